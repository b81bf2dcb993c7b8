"""`python -m calibrant.vectors TARGET VECTORS FOLDER FIRST TIMEOUT`: the process in which vectors are replayed."""

import sys

from calibrant.vectors.replaying import replay

replay(*sys.argv[1:])

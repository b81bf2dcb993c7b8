"""`python -m calibrant` is the command `calibrant`."""

import os
import sys

if sys.path[0] == os.getcwd():  # files in the working directory hide no module, as for the command
    sys.path.pop(0)

from calibrant.cli import main

main()

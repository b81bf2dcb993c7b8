"""`python -m calibrant.edition SPEC FOLDER` writes each chapter of SPEC into FOLDER as a notebook that has run."""

import sys
from pathlib import Path

from calibrant.edition import notebooks

if __name__ == "__main__":
    complaints = notebooks.write(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.exit("\n\n".join(complaints) or 0)

"""What a target says of itself, written to a file by a process that it may end: `python -m calibrant.probing SPEC SECONDS FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from calibrant.target import TargetError, load

if __name__ == "__main__":
    spec, timeout, file = sys.argv[1:]
    try:
        target = load(spec, float(timeout))
        said = target.describe()
        if target.program is not None:
            target.program.close()
    except TargetError as error:
        said = {"error": str(error)}
    Path(file).write_text(json.dumps(said), encoding="utf-8")

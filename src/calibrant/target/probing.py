"""The description of a target, read in a process that the target may end."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibrant.protocol.errors import TargetError
from calibrant.protocol.operations import IMPORT_PATIENCE
from calibrant.target.isolation import apart
from calibrant.target.loading import load


def probe(spec: str, timeout: float, python: Sequence[str] = (sys.executable,)) -> dict[str, Any]:
    """Read a target's description. Raises TargetError if it cannot be loaded."""
    patience = IMPORT_PATIENCE * timeout
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        answer, register = Path(folder) / "target.json", Path(folder) / "programs"
        with apart(__name__, spec, str(timeout), str(answer), register=register, python=python) as process:
            try:
                code = process.wait(patience)
            except subprocess.TimeoutExpired:
                raise TargetError(f"target {spec!r} did not finish importing within {patience:g} s") from None
        if not answer.exists():
            raise TargetError(f"target {spec!r} ended its process (status {code}) while it was imported")
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise TargetError(said["error"])
    return said


def main(spec: str, timeout: str, file: str) -> None:
    """Load a target in this process, and write its description to a file."""
    try:
        target = load(spec, float(timeout))
        said = target.describe()
        if target.program is not None:
            target.program.close()
    except TargetError as error:
        said = {"error": str(error)}
    Path(file).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The description of a target, read in a process that the target may end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibrant.protocol.errors import TargetError
from calibrant.protocol.operations import IMPORT_PATIENCE
from calibrant.target.loading import load
from calibrant.target.processes import REGISTER, end_all, end_group


def probe(spec: str, timeout: float, python: Sequence[str] = (sys.executable,)) -> dict[str, Any]:
    """Read a target's description in a silent process, and end it with all that it started.

    Raises TargetError if the target cannot be loaded.
    """
    patience = IMPORT_PATIENCE * timeout
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        answer, register = Path(folder) / "target.json", Path(folder) / "programs"
        process = subprocess.Popen(
            [*python, "-c", f"from {__name__} import main; main()", spec, str(timeout), str(answer)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {REGISTER: str(register)},
        )
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            raise TargetError(f"target {spec!r} did not finish importing within {patience:g} s") from None
        finally:
            end_group(process.pid)
            process.wait()
            end_all(register)
        if not answer.exists():
            raise TargetError(f"target {spec!r} ended its process (status {code}) while it was imported")
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise TargetError(said["error"])
    return said


def main() -> None:
    """Load a target in this process, and write its description to a file."""
    spec, timeout, file = sys.argv[1:]
    try:
        target = load(spec, float(timeout))
        said = target.describe()
        if target.program is not None:
            target.program.close()
    except TargetError as error:
        said = {"error": str(error)}
    Path(file).write_text(json.dumps(said), encoding="utf-8")

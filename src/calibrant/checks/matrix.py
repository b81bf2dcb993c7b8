"""Several targets held against the book, each by a check in a process of its own, and what they say side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrant.target.loading import PROGRAM


@dataclass(frozen=True)
class Checked:
    """One target of a matrix: the document that its check wrote, or why there is none."""

    spec: str
    document: dict[str, Any] | None
    problem: str | None

    @property
    def name(self) -> str:
        """What heads its column: its own name for itself, if it is a program."""
        if self.document is not None and self.spec.startswith(PROGRAM):
            return str(self.document["target"]["name"])
        return self.spec.removeprefix(PROGRAM)

    @property
    def outcome(self) -> str:
        """The verdict over all, in words."""
        return f"cannot be checked here: {self.problem}" if self.document is None else str(self.document["outcome"])

    @property
    def exit_status(self) -> int:
        """That of its check."""
        return 2 if self.document is None else int(self.document["exit_status"])


def checked(specs: Sequence[str], arguments: Sequence[str]) -> Iterator[Checked]:
    """Check one target after the other, each with all cores, with these further arguments of `calibrant check`."""
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        for number, spec in enumerate(specs):
            file = Path(folder) / f"{number}.json"
            asked = ["--program", spec.removeprefix(PROGRAM)] if spec.startswith(PROGRAM) else [spec]
            process = subprocess.run(
                [sys.executable, "-m", "calibrant", "check", *asked, *arguments, "--json", str(file)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if file.exists():
                yield Checked(spec, json.loads(file.read_text(encoding="utf-8")), None)
            else:
                said = process.stderr.strip().splitlines() or [f"its check ended with status {process.returncode}"]
                yield Checked(spec, None, said[-1].removeprefix("calibrant: "))


def exit_status(matrix: Sequence[Checked]) -> int:
    """1 if any target does not conform, else 2 if any could not be checked, else 0."""
    found = {one.exit_status for one in matrix}
    return 1 if 1 in found else max(found, default=2)

"""Several targets checked one after the other, and shown side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calibrant.checks.check import check
from calibrant.checks.options import Options
from calibrant.checks.verdicts import Result
from calibrant.protocol.errors import CheckError
from calibrant.target.loading import PROGRAM


@dataclass(frozen=True)
class Checked:
    """One target of a matrix: the result of its check, or why there is none."""

    spec: str
    result: Result | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The head of its column; a program gives its own name."""
        if self.result is not None and self.spec.startswith(PROGRAM):
            return str(self.result.target["name"])
        return self.spec.removeprefix(PROGRAM)

    @property
    def exit_status(self) -> int:
        """The exit status of its check."""
        return 2 if self.result is None else self.result.exit_status


def checked(specs: Sequence[str], options: Options) -> Iterator[Checked]:
    """Check one target after the other, each with all workers."""
    for spec in specs:
        try:
            result = check(spec, options)
        except CheckError as error:
            yield Checked(spec, None, str(error))
            continue
        if result.interrupted:
            raise KeyboardInterrupt
        yield Checked(spec, result)


def exit_status(matrix: Sequence[Checked]) -> int:
    """1 if any target does not conform, else 2 if any check could not be made, else 0."""
    found = {one.exit_status for one in matrix}
    return 1 if 1 in found else max(found, default=2)

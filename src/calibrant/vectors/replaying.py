"""A folder of vectors replayed on a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrant.book.clauses import book
from calibrant.checks.engine import Observer, Plan, run, started
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome, died
from calibrant.protocol.errors import CheckError
from calibrant.target.probing import probe
from calibrant.target.snippets import shown
from calibrant.vectors.cases import Case
from calibrant.vectors.files import read

_STATUSES = {
    "holds": "agrees",
    "breaks": "disagrees",
    "broken": "disagrees",
    "absent": "absent",
    "undecided": "passed over",
}
"""The statuses of a case: passed over are those of another dtype or convention, and those that are not called again."""


@dataclass(frozen=True)
class Replayed:
    """What became of a case."""

    file: str
    case: Case
    status: str
    """agrees, disagrees, deviates (as the target declares), absent, or passed over."""
    sentence: str

    @property
    def failed(self) -> bool:
        """Whether this alone makes a target wrong."""
        return self.status == "disagrees" and book()[self.case.clause].level == "MUST"

    def lines(self) -> list[str]:
        """What is to be told of a disagreement."""
        case = self.case
        told = f"  {case.operation}({', '.join(map(shown, case.arguments))}) {self.sentence}"
        flags = f"  It is there to reject {', '.join(f'`{flag}`' for flag in case.flags)}."
        level = "disagrees with" if self.failed else "is a warning of"
        return [f"{case.id} {level} {case.clause}", told, *[flags] * bool(case.flags)]


@dataclass(frozen=True)
class Replay:
    """What a target answered to a folder of vectors."""

    target: dict[str, Any]
    outcomes: list[Replayed]

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each file, how many cases have each status."""
        table: dict[str, dict[str, int]] = {}
        for outcome in self.outcomes:
            row = table.setdefault(outcome.file, {})
            row[outcome.status] = row.get(outcome.status, 0) + 1
        return table

    @property
    def exit_status(self) -> int:
        """0: all answers agree; 1: not so; 2: there was none."""
        if any(outcome.failed for outcome in self.outcomes):
            return 1
        return 0 if any(outcome.status in ("agrees", "disagrees", "deviates") for outcome in self.outcomes) else 2


def verify(folder: Path, spec: str, timeout: float = 10.0, observer: Observer | None = None) -> Replay:
    """Replay a folder on a target. Raises VectorsError or CheckError, in one sentence, if that cannot be done.

    One worker asks the cases in their order, so that what is not called again is the same in every run.
    """
    Options(timeout=timeout).validated()
    cases = [(file, case) for file, of_file in read(folder).items() for case in of_file]

    def broken(nodeid: str, operation: str, sentence: str) -> Outcome:
        case = cases[int(nodeid.rpartition("[")[2].rstrip("]"))][1]
        return died(case.clause, case.id, case.dtype, operation, sentence, described["deviations"].get(case.clause))

    with started(spec) as python:
        described = probe(spec, timeout, python)
        files, options = [Path(__file__).with_name("asking.py")], [f"--target-vectors={folder.resolve()}"]
        ran = run(Plan(spec, files, timeout, 1, options, broken, python, again=False), observer)
    if ran.interrupted:
        raise KeyboardInterrupt
    if ran.unfinished:
        raise CheckError(f"target {spec!r} ended its process, or hung, when it was loaded again")
    by_id = {outcome.property: outcome for outcome in ran.outcomes}
    return Replay(described, [_replayed(file, case, by_id[case.id]) for file, case in cases])


def _replayed(file: str, case: Case, outcome: Outcome) -> Replayed:
    status = _STATUSES[outcome.status]
    deviates = status == "disagrees" and outcome.deviation
    return Replayed(file, case, "deviates" if deviates else status, outcome.reason or "")

"""A folder of vectors replayed on a target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from calibrant.book.clauses import book
from calibrant.checks.engine import Observer, Plan, run, started
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome, died
from calibrant.protocol.errors import CheckError
from calibrant.target.probing import probe
from calibrant.target.snippets import shown
from calibrant.vectors.cases import Case
from calibrant.vectors.files import read

_STATUSES = {"holds": "agrees", "breaks": "disagrees", "broken": "disagrees", "undecided": "passed over"}
"""A case's status by its outcome's, where the words differ: "passed over" means another dtype or convention, or not called again."""


@dataclass(frozen=True)
class Replayed:
    """The outcome of one case."""

    case: Case
    status: str
    """agrees, disagrees, deviates (as the target declares), absent, or passed over."""
    sentence: str

    @property
    def failed(self) -> bool:
        """Whether this disagreement alone makes a target fail."""
        return self.status == "disagrees" and book()[self.case.clause].level == "MUST"

    def lines(self) -> list[str]:
        """Report a disagreement."""
        case, level = self.case, "disagrees with" if self.failed else "is a warning of"
        call = f"  {case.operation}({', '.join(map(shown, case.arguments))}) {self.sentence}"
        flags = [f"  It is there to reject {', '.join(f'`{flag}`' for flag in case.flags)}."] if case.flags else []
        return [f"{case.id} {level} {case.clause}", call, *flags]


@dataclass(frozen=True)
class Replay:
    """A target's answers to a folder of vectors."""

    name: str
    """The target's."""
    outcomes: list[Replayed]

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the cases of each file by their status."""
        table: dict[str, dict[str, int]] = {}
        for outcome in self.outcomes:
            table.setdefault(f"{outcome.case.chapter}.json", Counter())[outcome.status] += 1
        return table

    @property
    def exit_status(self) -> int:
        """0: all answers agree; 1: some do not; 2: there was no answer."""
        if any(outcome.failed for outcome in self.outcomes):
            return 1
        return 0 if any(outcome.status in ("agrees", "disagrees", "deviates") for outcome in self.outcomes) else 2


def verify(folder: Path, spec: str, timeout: float = 10.0, observer: Observer | None = None) -> Replay:
    """Replay a folder on a target. Raises VectorsError or CheckError, in one sentence, if that fails.

    One worker asks the cases in their order, so that every run passes over the same ones.
    """
    Options(timeout=timeout).validated()
    cases = read(folder)

    def broken(nodeid: str, operation: str, sentence: str) -> Outcome:
        case = cases[int(nodeid.rpartition("[")[2].rstrip("]"))]
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
    return Replay(described["name"], [_replayed(case, by_id[case.id]) for case in cases])


def _replayed(case: Case, outcome: Outcome) -> Replayed:
    status = _STATUSES.get(outcome.status, outcome.status)
    deviates = status == "disagrees" and outcome.deviation
    return Replayed(case, "deviates" if deviates else status, outcome.reason or "")

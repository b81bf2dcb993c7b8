"""A folder of vectors replayed on a target: a session of the engine asks the cases, each in a test of this module."""

import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calibrant.book.clauses import CHAPTERS
from calibrant.checks.engine import Observer, Plan, run, started
from calibrant.checks.options import Options
from calibrant.checks.outcomes import PROPERTY, Outcome, Status, died
from calibrant.exact import FORMATS
from calibrant.judge import tallying
from calibrant.protocol.declarations import CONVENTIONS, GENERAL
from calibrant.protocol.errors import CheckError, escaped
from calibrant.protocol.operations import OPERATIONS
from calibrant.suite.session import current
from calibrant.target.calling import Absent, NotCalled, Subject, shown
from calibrant.target.description import Target
from calibrant.target.loading import probe
from calibrant.vectors.cases import DTYPES, Case
from calibrant.vectors.files import read

_STATUSES = {"holds": "agrees", "breaks": "disagrees", "broken": "disagrees", "undecided": "passed over"}
"""A case's status by its outcome's, where the words differ: "passed over" means another dtype or convention, or not called again."""


WORDS = ("agrees", "disagrees", "warns", "deviates", "absent", "passed over")
"""The words for the outcome of a case, gravest answers first."""


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
        return self.status == "disagrees" and self.case.level == "MUST"

    @property
    def word(self) -> str:
        """The status in a table: a disagreement with a SHOULD warns."""
        return "warns" if self.status == "disagrees" and not self.failed else self.status

    def lines(self) -> list[str]:
        """Report a disagreement."""
        case, level = self.case, "disagrees with" if self.failed else "is a warning of"
        call = f"  {case.operation}({', '.join(map(shown, case.arguments))}) {self.sentence}"
        flags = [f"  It is there to reject {', '.join(f'`{flag}`' for flag in case.flags)}."] if case.flags else []
        return [escaped(line) for line in (f"{case.id} {level} {case.clause}", call, *flags)]


@dataclass(frozen=True)
class Replay:
    """A target's answers to a folder of vectors."""

    name: str
    """The target's."""
    outcomes: list[Replayed]

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the cases of each chapter by their words, in the order of WORDS."""
        table: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            table.setdefault(outcome.case.chapter, Counter())[outcome.word] += 1
        return {chapter: {word: of[word] for word in WORDS if of[word]} for chapter, of in table.items()}

    def total(self) -> dict[str, int]:
        """Count all cases by their words."""
        found = Counter(outcome.word for outcome in self.outcomes)
        return {word: found[word] for word in WORDS}

    @property
    def exit_status(self) -> int:
        """0: all answers agree; 1: some do not; 2: there was no answer."""
        if any(outcome.failed for outcome in self.outcomes):
            return 1
        return 0 if any(outcome.status in ("agrees", "disagrees", "deviates") for outcome in self.outcomes) else 2


def verify(
    folder: Path,
    spec: str,
    timeout: float = 10.0,
    observer: Observer | None = None,
    chapters: Sequence[str] = tuple(CHAPTERS),
) -> Replay:
    """Replay the chapters of a folder on a target. Raises CheckError, in one sentence, if that fails.

    One worker asks the cases in their order, so that every run passes over the same ones.
    """
    Options(timeout=timeout).validated()
    cases = read(folder, chapters)

    def broken(nodeid: str, *words: Any) -> Outcome:
        case = cases[int(nodeid.rpartition("[case")[2].rstrip("]"))]
        declared = case.deviation(described["deviations"], case.dtype)
        return died(case.clause, case.id, case.dtype, declared, *words)

    with started(spec) as python:
        described = probe(spec, timeout, python)
        options = [f"--target-vectors={folder.resolve()}{os.pathsep}{','.join(chapters)}"]
        ran = run(Plan(spec, [Path(__file__)], timeout, 1, options, broken, python, again=False), observer)
    if ran.interrupted:
        raise KeyboardInterrupt
    if ran.unfinished:
        raise CheckError(f"target {spec!r} ended its process, or hung, when it was loaded again")
    found = {}
    for outcome in ran.outcomes:
        status = _STATUSES.get(outcome.status, outcome.status)
        deviates = status == "disagrees" and outcome.deviation
        found[outcome.property] = "deviates" if deviates else status, outcome.reason or ""
    return Replay(described["name"], [Replayed(case, *found[case.id]) for case in cases])


# In the worker


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each case; load the target first, so that no case is blamed for a process that ends on import."""
    session = current()
    session.load()
    assert session.vectors is not None
    folder, _, chapters = str(session.vectors).rpartition(os.pathsep)
    metafunc.parametrize("case", read(Path(folder), chapters.split(",")))


def test_the_answer_is_what_the_case_says(case: Case, record_property: Callable[[str, object], None]) -> None:
    """Put a wrong answer into the report, and fail nothing."""
    subject = _subject(case.dtype)
    declared = case.deviation(subject.target.deviations, subject.form.name)
    status: Status = "undecided"
    if not (sentence := passed_over(case, subject.target)):
        subject.calls.clear()
        with tallying(subject.tally):
            try:
                sentence = case.judged(case.asked(subject))
                status = "breaks" if sentence else "holds"
            except Absent as absent:
                status, sentence = "undecided" if isinstance(absent, NotCalled) else "absent", str(absent)
    record_property(PROPERTY, Outcome(case.clause, case.id, case.dtype, status, sentence, *declared).sent())


@functools.cache
def _subject(dtype: str) -> Subject:
    """The target in a dtype; where the arguments have none, in the widest of its own."""
    target = current().load()
    return Subject(target, dtype or (DTYPES[-1] if DTYPES[-1] in target.dtypes else target.dtypes[0]))


def passed_over(case: Case, target: Target) -> str:
    """Say why a case does not apply to a target; empty if it does."""
    if case.dtype and case.dtype not in target.dtypes:
        return f"it does not compute in {case.dtype}"
    inputs = case.inputs
    optimizer = inputs.get("name") or inputs["optimizer"]["name"] if {"name", "optimizer"} & set(inputs) else ""
    for name, value in target.conventions.items():
        concerned = name.split(".")[0]
        if value != (CONVENTIONS | GENERAL)[name][0] and (
            optimizer == concerned
            or ((optimizer, concerned) == ("adamw", "adam") and name != "adam.decay")
            or name in OPERATIONS[case.operation].conventions
        ):
            return f"it declares {name} = {value}"
    form = FORMATS[case.dtype or "float64"]
    if target.flushes and _smallest(case.inputs) < (form.normal / form.u**2) ** 0.5:
        return "it declares arithmetic.subnormals = flushed, and a product may be subnormal here"
    return ""


def _smallest(given: Any) -> float:
    """The smallest magnitude of the numbers that are not zero."""
    if isinstance(given, (dict, list)):
        return min(map(_smallest, given.values() if isinstance(given, dict) else given), default=math.inf)
    return abs(given) if isinstance(given, float) and given else math.inf

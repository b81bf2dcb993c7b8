"""Ask a target the cases of a folder: `replaying` runs this module as a test, in a session of the engine."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from calibrant.checks.outcomes import PROPERTY, Outcome, Status
from calibrant.exact import FORMATS
from calibrant.judge import tallying
from calibrant.protocol.conventions import ARITHMETIC, CONVENTIONS
from calibrant.suite.session import current
from calibrant.target.calling import Absent, NotCalled, Subject
from calibrant.target.description import Target
from calibrant.vectors.cases import DTYPES, Case
from calibrant.vectors.files import read

TARGET = current().load()
"""The target, loaded before the first case, so that no case is blamed for a process that ends on import."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each case."""
    folder = current().vectors
    assert folder is not None
    cases = read(folder)
    metafunc.parametrize("case", cases, ids=map(str, range(len(cases))))


def test_the_answer_is_what_the_case_says(case: Case, record_property: Callable[[str, object], None]) -> None:
    """Put a wrong answer into the report, and fail nothing."""
    status, sentence = _asked(case)
    deviation = TARGET.deviations.get(case.clause)
    record_property(PROPERTY, Outcome(case.clause, case.id, case.dtype, status, sentence, deviation).sent())


def _asked(case: Case) -> tuple[Status, str]:
    reason = _passed_over(case, TARGET)
    if reason:
        return "undecided", reason
    subject = _subject(case.dtype)
    subject.calls.clear()
    with tallying(subject.tally):
        try:
            sentence = case.judged(case.asked(subject))
        except Absent as absent:
            return "undecided" if isinstance(absent, NotCalled) else "absent", str(absent)
    return "breaks" if sentence else "holds", sentence


@functools.cache
def _subject(dtype: str) -> Subject:
    """The target in a dtype; where the arguments have none, in the widest of its own."""
    return Subject(TARGET, dtype or (DTYPES[-1] if DTYPES[-1] in TARGET.dtypes else TARGET.dtypes[0]))


def _passed_over(case: Case, target: Target) -> str:
    """Say why a case does not apply to a target; empty if it does."""
    if case.dtype and case.dtype not in target.dtypes:
        return f"it does not compute in {case.dtype}"
    inputs = case.inputs
    optimizer = inputs.get("name") or inputs["optimizer"]["name"] if {"name", "optimizer"} & set(inputs) else ""
    for name, value in target.conventions.items():
        concerned = name.split(".")[0]
        if value != (CONVENTIONS | ARITHMETIC)[name][0] and (
            optimizer == concerned or ((optimizer, concerned) == ("adamw", "adam") and name != "adam.decay")
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

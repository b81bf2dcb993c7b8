"""Whose answers a failing target gives: each impostor of the operation is asked the same questions.

The questions are few, fixed, and such that the impostors of an operation answer them differently. An impostor explains a target
if it refuses what the target refuses, changes the arguments that the target changes, and answers all else within the bound of its own
rounding. A target that answers all of them rightly is not explained, and neither is one that answers differently when it is asked again.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.exact import Exact
from calibrant.impostors import CHAPTERS, Impostor, catalog
from calibrant.impostors.planting import planted
from calibrant.impostors.rights import OVER_EXACT, Right, lifted
from calibrant.judge import Disagreement, Tally, agree, tallying
from calibrant.subject import Absent, Failure, Subject, identical
from calibrant.target import numpy_dtype
from calibrant.wording import is_array

Question = tuple[Any, ...]
"""The arguments of one call; arrays of float64 take the dtype under test."""


@dataclass(frozen=True)
class Outcome:
    """What became of one call."""

    refused: bool
    changed: str
    answer: Any

    def like(self, other: Outcome) -> bool:
        """Whether both are the same to the last bit."""
        return (self.refused, self.changed) == (other.refused, other.changed) and identical(self.answer, other.answer)


@functools.cache
def questions() -> dict[str, Sequence[Question]]:
    """The questions about each operation, from the chapters' modules."""
    asked: dict[str, Sequence[Question]] = {}
    for chapter in CHAPTERS:
        asked |= getattr(importlib.import_module(f"calibrant.impostors.{chapter}"), "QUESTIONS", {})
    return asked


@functools.cache
def facts() -> dict[str, Callable[[Question, Any], Any]]:
    """Of operations whose answers are drawn: what is compared instead of the answer, from the question and the answer."""
    known: dict[str, Callable[[Question, Any], Any]] = {}
    for chapter in CHAPTERS:
        known |= getattr(importlib.import_module(f"calibrant.impostors.{chapter}"), "FACTS", {})
    return known


def explaining(subject: Subject) -> list[Impostor]:
    """The impostors as which the operations behave that the failing example called; none where that is not clear."""
    failing = [call for call in subject.calls if call.answer is not None]
    found: list[Impostor] = []
    for operation in dict.fromkeys(call.operation for call in failing):
        calls = [call for call in failing if call.operation == operation]
        found += [
            one
            for one in among(subject, operation, calls[-1].given[0] if operation == "optimize" else None)
            if one not in found and not one.convention[0]  # which `calibrant.variants` tells of, with what to declare
        ]
    return found


def among(subject: Subject, operation: str, named: Any = None) -> list[Impostor]:
    """The impostors of one operation that explain all that the target answers; asked once for each dtype, and optimizer `named`."""
    candidates = [
        one
        for one in catalog()
        if one.operation == operation and (not one.applies_to or named is None or named in one.applies_to)
    ]
    if not candidates:
        return []
    known: dict[Any, list[Impostor]] = subject.target.explained
    key = operation, named, subject.form.name
    if key not in known:
        known[key] = []  # a target that ends its process here is not asked again
        known[key] = _of_all(subject, operation, named, candidates)
    return known[key]


def _of_all(subject: Subject, operation: str, named: Any, candidates: list[Impostor]) -> list[Impostor]:
    asked = [q for q in questions().get(operation, ()) if named is None or q[0] == named]
    asked = [_in_dtype(question, subject) for question in asked]
    answered = _outcomes(subject, operation, asked)
    if answered is None or not any(answered):
        return []
    again = _outcomes(subject, operation, asked)
    if again is None or not all(_alike(one, other) for one, other in zip(answered, again, strict=True)):
        return []
    inquiry = _Inquiry(subject, operation, asked, answered)
    if all(inquiry.gives(inquiry.right)):
        return []
    return [one for one in candidates if inquiry.explains(one)]


def _in_dtype(x: Any, subject: Subject) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(_in_dtype(part, subject) for part in x)
    return subject.array(x) if is_array(x) and x.dtype.kind == "f" else x


def _alike(one: Outcome | None, other: Outcome | None) -> bool:
    return one is other is None or (one is not None and other is not None and one.like(other))


def _outcomes(subject: Subject, operation: str, asked: Sequence[Question]) -> list[Outcome | None] | None:
    """What becomes of each question, None of one that is not served; None of all if one gets no answer that could be judged."""
    calls = list(subject.calls)
    outcomes: list[Outcome | None] = []
    try:
        for question in asked:
            refused, answer = False, None
            try:
                answer = subject.call(operation, question)
            except Absent:
                outcomes.append(None)
                continue
            except Failure as failure:
                if not failure.raised:
                    return None
                refused = True
            outcomes.append(Outcome(refused, "" if refused else subject.changed(), answer))
    finally:
        subject.calls[:] = calls
    return outcomes


class _Inquiry:
    """The questions that a target was asked about an operation, and what became of each."""

    def __init__(
        self, subject: Subject, operation: str, asked: Sequence[Question], answered: Sequence[Outcome | None]
    ) -> None:
        self.subject = subject
        self.asked = asked
        self.answered = answered
        self.right = Impostor("right", operation, lambda right, *arguments: right(*arguments), "", ())
        self.rightly = list(self._own(self.right))

    def _own(self, one: Impostor) -> Iterator[Outcome | None]:
        """What becomes of each question where the impostor itself is asked."""
        target = planted(one, conventions=self.subject.target.conventions).at(self.subject.form.name)
        for question in self.asked:
            (outcome,) = _outcomes(target, one.operation, [question]) or [None]
            yield outcome

    def explains(self, one: Impostor) -> bool:
        """Whether the impostor gives all the answers, and not because nothing in them was held against it."""
        if not all(self.gives(one)):
            return False
        held = [True if one.exactly else _plain(question) for question in self.asked]
        return not all(itertools.compress(self.gives(self.right), held))

    def gives(self, one: Impostor) -> Iterator[bool]:
        """Of each question, whether the impostor gives the answer that the target gave."""
        over_exact = Right(one.operation, OVER_EXACT, self.subject.target.conventions)
        with tallying(Tally(slack=self.subject.target.slack)):
            for question, mine, theirs, due in zip(
                self.asked, self._own(one), self.answered, self.rightly, strict=True
            ):
                yield theirs is None or (mine is not None and self._gives(one, over_exact, question, mine, theirs, due))

    def _gives(
        self, one: Impostor, over_exact: Right, question: Question, mine: Outcome, theirs: Outcome, due: Outcome | None
    ) -> bool:
        if (mine.refused, mine.changed) != (theirs.refused, theirs.changed):
            return False
        if mine.refused:
            return True
        if one.operation in facts():
            told = facts()[one.operation]
            return bool(told(question, mine.answer) == told(question, theirs.answer))
        expected = mine.answer
        if one.operation in OVER_EXACT and _finite(question) and _finite(mine.answer):
            if one.exactly:
                expected = one.wrong(over_exact, *map(lifted, question))
            elif due is not None and mine.like(due):
                expected = over_exact(*map(lifted, question))
            elif not _plain(question):
                return bool(_structure(theirs.answer) == _structure(mine.answer))
        return _matches(theirs.answer, mine.answer, expected)


def _matches(answer: Any, mine: Any, expected: Any) -> bool:
    """Whether an answer has the structure, shapes and dtypes of the impostor's own, and the values that are expected."""
    if isinstance(mine, (list, tuple)):
        parts = expected if isinstance(expected, (list, tuple)) else list(expected)
        return (
            isinstance(answer, (list, tuple))
            and len(answer) == len(mine) == len(parts)
            and all(itertools.starmap(_matches, zip(answer, mine, parts, strict=True)))
        )
    if not is_array(mine):
        return not is_array(answer) and bool(answer == mine)
    if not is_array(answer) or (answer.shape, answer.dtype) != (mine.shape, mine.dtype):
        return False
    if isinstance(expected, Exact):
        narrow = numpy_dtype(expected.form.name)
        if narrow.itemsize < answer.itemsize and not np.array_equal(answer, answer.astype(narrow), equal_nan=True):
            return False
    try:
        agree(answer, expected if isinstance(expected, Exact) and np.isfinite(expected.err).all() else mine)
    except Disagreement:
        return False
    return True


def _structure(answer: Any) -> Any:
    """An answer without its values."""
    if isinstance(answer, (list, tuple)):
        return [_structure(part) for part in answer]
    return (answer.shape, answer.dtype.name) if is_array(answer) else type(answer)


def _plain(question: Question) -> bool:
    """Whether no sum, product or mean of the numbers rounds: small multiples of one unit, as many as a power of two, or no numbers."""
    arrays = [array.astype(np.float64) for array in _arrays(question)]
    numbers = np.concatenate([np.zeros(0), *(x[np.isfinite(x)] for x in arrays)]) * 2.0**20
    if np.any(numbers % 1) or np.any(abs(numbers) > 2.0**30):
        return False
    units = numbers[numbers != 0].astype(np.int64)
    unit = np.min(units & -units, initial=2**30)
    return bool((abs(units) <= 2**9 * unit).all()) and all(x.size & (x.size - 1) == 0 for x in arrays)


def _finite(x: Any) -> bool:
    """Whether all numbers of all arrays are finite."""
    return all(bool(np.isfinite(array).all()) for array in _arrays(x))


def _arrays(x: Any) -> Iterator[Any]:
    if isinstance(x, (list, tuple)):
        for part in x:
            yield from _arrays(part)
    elif is_array(x):
        yield x

"""Find the impostors whose answers a failing target gives: ask both the same questions.

The questions are few and fixed, and tell the impostors of an operation apart. An impostor explains a target if all answers of the target
are within the bound of the impostor's rounding, and some of them are wrong. A target that answers differently the second time is not
explained.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.book.clauses import book
from calibrant.exact import Exact
from calibrant.impostors import Impostor, modules, repeatable
from calibrant.impostors.correct import OVER_EXACT, CorrectOperations, as_exact, join
from calibrant.impostors.planting import target_from_impostor
from calibrant.judge import Disagreement, agree, tallying
from calibrant.protocol.declarations import numpy_dtype
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import is_array
from calibrant.target.calling import Absent, Failure, Subject, identical
from calibrant.target.generators import stirred
from calibrant.target.isolation import at_ease

Question = tuple[Any, ...]
"""The arguments of one call; arrays of float64 take the dtype under test.

An argument with a method `fresh` is made anew for each call, from the subject that is asked.
"""

Facts = Callable[[Question, Any, Sequence[tuple[Question, Any]]], Any]
"""From a question, its answer, and the earlier questions with their answers: the facts about an answer that is drawn."""


@dataclass(frozen=True, eq=False)
class Response:
    """The response to one call."""

    refused: bool
    changed: str
    """The names of the arguments that it changed, in a refused call too, and of the global generators if its answers are drawn."""
    answer: Any
    facts: Any = None
    """The facts that are compared instead of an answer that is drawn."""

    def __eq__(self, other: object) -> bool:
        """Whether both are identical to the last bit, whatever the facts."""
        return (
            isinstance(other, Response)
            and (self.refused, self.changed) == (other.refused, other.changed)
            and (isinstance(self.answer, dict) or identical(self.answer, other.answer))
        )


@functools.cache
def questions() -> dict[str, Sequence[Question]]:
    """The questions about each operation, from the chapters' modules."""
    asked: dict[str, Sequence[Question]] = {}
    for operation, more in _tables("QUESTIONS"):
        asked[operation] = (*asked.get(operation, ()), *more)
    return asked


@functools.cache
def facts() -> dict[str, Facts]:
    """The facts to compare, for each operation whose answers are drawn."""
    return dict(_tables("FACTS"))


def _tables(name: str) -> Iterator[tuple[str, Any]]:
    """The entries of the tables of one name in the chapters' modules."""
    for module in modules():
        yield from getattr(module, name, {}).items()


def explaining(subject: Subject, clause: str) -> list[Impostor]:
    """The impostors as which the operations behave that the failing example of a clause called; empty where that is not clear.

    Only an impostor that breaks the clause explains this failure.
    """
    failing = {call.operation: call for call in subject.calls if call.answer is not None}
    found = []
    for operation, call in failing.items():
        named = call.given[0] if OPERATIONS[operation].parameters[:1] == ("name",) else None
        wrong = explanations(subject, operation, named, clause)
        found += [one for one in foremost(wrong) if not one.convention[0]]  # `diagnosis.variants` tells of conventions
    return found


def _breaks(one: Impostor, clause: str, dtype: str) -> bool:
    """Whether an impostor breaks a clause in a dtype, or anything if there is no clause.

    An impostor of optimizers lists the clauses of the first optimizer that it applies to. Of another one it breaks the clauses of the same
    kind, and all if it breaks the rule.
    """
    breaks = one.breaks_in(dtype)
    if not clause:
        return bool(breaks)
    _, optimizer, *option = clause.split(".")
    if clause in breaks or optimizer not in one.applies_to[1:]:
        return clause in breaks
    rule = f"optimizer.{one.applies_to[0]}"
    alike = ".".join([rule, *("weight-decay" if name == "decoupled" else name for name in option)])
    return rule in breaks or alike in breaks


def foremost(wrong: dict[Impostor, set[int]]) -> list[Impostor]:
    """The impostors of which no other explains all wrong answers, and more."""
    return [one for one, some in wrong.items() if not any(some < more for more in wrong.values())]


def among(subject: Subject, operation: str, named: Any = None) -> list[Impostor]:
    """The impostors of one operation that explain most of what the target answers, whatever they break."""
    return foremost(explanations(subject, operation, named))


def explanations(subject: Subject, operation: str, named: Any = None, clause: str = "") -> dict[Impostor, set[int]]:
    """The impostors of one operation that explain every answer of the target, each with the wrong answers that it explains.

    The target is asked once for each dtype, and each optimizer `named`. Only impostors that break the clause are tried, if one is given.
    """
    known: dict[Any, Callable[[Impostor], set[int]]] = subject.target.explained
    key = operation, named, subject.form.name
    if key not in known:
        known[key] = lambda one: set()  # a target that ends its process here is not asked again
        known[key] = _explainer(subject, operation, named)
    at_ease()  # the rest takes long, and calls the target no more
    with tallying(subject.tally_anew()):
        impostors = [one for one in repeatable(operation, named) if _breaks(one, clause, subject.form.name)]
        return {one: wrong for one in impostors if (wrong := known[key](one))}


def _explainer(subject: Subject, operation: str, named: Any) -> Callable[[Impostor], set[int]]:
    """A function that returns the wrong answers of a target that an impostor explains, after the target was asked."""
    known = _answers(operation, named, subject.form.name, tuple(sorted(subject.target.conventions.items())))
    answered = responses(subject, operation, known.asked)
    if answered is None or all(one is None or one.refused for one in answered):
        return lambda one: set()  # a target without answers behaves as no impostor
    if responses(subject, operation, known.asked) != answered:
        return lambda one: set()
    at_ease()
    with tallying(subject.tally_anew()):
        asked = _compared(known, answered)
        sometimes_right = any(right and not theirs.refused and _finite(theirs.answer) for _, theirs, *_, right in asked)
        impostors = [one for one in repeatable(operation, named) if one.breaks_in(subject.form.name)]
        slips = _slips(impostors, known, asked)
    return functools.cache(lambda one: _explained(one, known, asked, sometimes_right, slips))


def _in_dtype(x: Any, subject: Subject) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(_in_dtype(part, subject) for part in x)
    return subject.array(x) if is_array(x) and x.dtype.kind == "f" else x


def responses(subject: Subject, operation: str, asked: Sequence[Question]) -> list[Response | None] | None:
    """The response to each question, None for one that is not served; None for all if one answer cannot be judged."""
    calls, given = list(subject.calls), list[Response | None]()
    before: list[tuple[Question, Any]] = []
    try:
        for question in asked:
            response = _ask(subject, operation, question, before)
            if response is not None and not response.refused:
                before.append((question, response.answer))
            given.append(response)
    except Failure:
        return None
    finally:
        subject.calls[:] = calls
    return given


def _ask(
    subject: Subject, operation: str, question: Question, before: Sequence[tuple[Question, Any]]
) -> Response | None:
    """The response to a question, given the earlier ones; None if it is not served."""
    told = facts().get(operation)
    moved = stirred() if told else list
    try:
        arguments = tuple(part.fresh(subject) if hasattr(part, "fresh") else part for part in question)
        answer = subject.call(operation, arguments)
    except Absent:
        return None
    except Failure as failure:
        if not failure.raised:
            raise
        return Response(True, subject.changed(), None)
    changed = ", ".join(filter(None, [subject.changed(), *moved()]))
    return Response(False, changed, answer, told and told(question, answer, before))


class _Answers:
    """The answers of the right operation and its impostors to its questions, in one dtype and under declared conventions.

    They do not depend on the target. Each is computed when it is first needed.
    """

    def __init__(self, operation: str, named: Any, dtype: str, conventions: tuple[tuple[str, str], ...]) -> None:
        self.operation = operation
        self._dtype = dtype
        self._conventions = dict(conventions)
        self.right = Impostor(
            "right", operation, lambda right, *arguments: right(*arguments), "", (), keeps_dtype=False
        )
        asked = [q for q in questions().get(operation, ()) if named is None or q[0] == named]
        self.asked = [_in_dtype(question, self._planted(self.right)) for question in asked]
        self._subject = functools.cache(self._planted)
        self.own = functools.cache(self._asked_itself)
        """The impostor's own response to a question, by its number; None where it gives no answer."""
        self.expected = functools.cache(self._evaluated)
        """The impostor's answer, over exact numbers where possible; None where other impostors may answer the same."""

    def _planted(self, one: Impostor) -> Subject:
        return Subject(target_from_impostor(one, conventions=self._conventions), self._dtype)

    def _asked_itself(self, one: Impostor, number: int) -> Response | None:
        # The facts about an answer that is drawn depend on the earlier answers.
        earlier = [(k, self.own(one, k)) for k in range(number)] if self.operation in facts() else []
        before = [(self.asked[k], known.answer) for k, known in earlier if known and not known.refused]
        try:
            return _ask(self._subject(one), self.operation, self.asked[number], before)
        except Failure:
            return None

    def _evaluated(self, one: Impostor, number: int) -> Any:
        question, mine = self.asked[number], self.own(one, number)
        assert mine is not None
        if mine.refused or self.operation not in OVER_EXACT or not _finite(question) or not _finite(mine.answer):
            return mine.answer
        if one.exactly:
            return one.answer(
                CorrectOperations(self.operation, OVER_EXACT, self._conventions), *map(as_exact, question)
            )
        return mine.answer if _plain(question) else None


_answers = functools.lru_cache(maxsize=128)(_Answers)

_Comparison = tuple[int, Response, Response, Any, bool]
"""A question's number, the target's response, the right one, the exact answer, and whether the target answers correctly."""


def _compared(known: _Answers, answered: Sequence[Response | None]) -> list[_Comparison]:
    """The questions that the target and the right operation answer; wrong answers first, since they rule out most impostors."""
    found: list[_Comparison] = []
    for number, theirs in enumerate(answered):
        due = known.own(known.right, number)
        if theirs is not None and due is not None:
            truth = known.expected(known.right, number)
            refusal = Response(True, due.changed, None)  # which differs in all but what it changes
            found.append((number, theirs, due, truth, _gives(known.operation, theirs, due, refusal, truth)))
    if known.operation not in facts():
        found.sort(key=lambda x: x[-1] and x[1].changed == x[2].changed)
    return found


def _slips(impostors: Sequence[Impostor], known: _Answers, comparisons: list[_Comparison]) -> set[int]:
    """The questions to which a target gives the answer of an impostor that breaks nothing but SHOULDs."""
    slight = [one for one in impostors if all(book()[clause].level == "SHOULD" for clause in one.breaks)]

    def slips(one: Impostor, number: int, theirs: Response, due: Response) -> bool:
        mine = known.own(one, number)
        differs = mine is not None and mine != due
        return differs and _gives(one.operation, theirs, mine, due, known.expected(one, number))  # type: ignore[arg-type]  # no None

    wrong = [comparison[:3] for comparison in comparisons if not comparison[-1]]
    return {asked[0] for asked in wrong if any(slips(one, *asked) for one in slight)}


def _explained(
    one: Impostor, known: _Answers, comparisons: list[_Comparison], sometimes_right: bool, slips: set[int]
) -> set[int]:
    """The wrong answers of a target that an impostor gives too; empty if it does not give all the answers.

    A target may have several faults: a sum instead of a mean that also broadcasts is still a sum. So some questions hold an impostor only
    to its differences from the right operation: those that the right operation refuses, those with numbers that are not finite, those
    in which a target overflows that has right answers too, and those in which the target breaks only a SHOULD.
    A question that the target alone refuses does not count: a loop that takes no validation data may still go uphill.
    """
    wrong: set[int] = set()
    for number, theirs, due, truth, is_right in comparisons:
        mine = known.own(one, number)
        if mine is None or (theirs.refused and not (mine.refused or due.refused)):
            continue
        aside = due.refused or not (_finite(known.asked[number]) and _finite(due.answer))
        as_due = mine == due
        if as_due and (is_right or aside or number in slips or (sometimes_right and not _finite(theirs.answer))):
            continue
        expected = truth if as_due and not one.exactly else known.expected(one, number)
        if not _gives(one.operation, theirs, mine, due, expected):
            return set()
        if not _gives(one.operation, theirs, due, mine, truth):
            wrong.add(number)
    return wrong


def _gives(operation: str, theirs: Response, mine: Response, other: Response, expected: Any) -> bool:
    """Whether the target responds as expected, judged where `mine` differs from another response."""
    if mine.changed != other.changed and mine.changed != theirs.changed:
        return False
    if theirs.refused or mine.refused:
        return theirs.refused and mine.refused
    if operation in facts():
        return bool(mine.facts == theirs.facts)
    strictly = other.refused or _structure(mine.answer) != _structure(other.answer)
    if strictly and _structure(mine.answer) != _structure(theirs.answer):
        return False
    return _matches(theirs.answer, mine.answer, expected)


def _matches(answer: Any, mine: Any, expected: Any) -> bool:
    """Whether an answer has the parts of the impostor's own answer, and the expected values."""
    if isinstance(mine, (list, tuple)):
        if not isinstance(answer, (list, tuple)) or len(answer) != len(mine):
            return False
        parts = [None] * len(mine) if expected is None else list(expected)
        return len(parts) == len(mine) and all(map(_matches, answer, mine, parts))
    if is_array(mine) != is_array(answer):
        return False
    if not is_array(mine):
        return bool(answer == mine)
    if isinstance(expected, (list, tuple)) and expected:  # numbers one by one, as a log has them
        expected = join(*expected)
    if isinstance(expected, Exact):
        narrow = numpy_dtype(expected.form.name)
        if narrow.itemsize < answer.itemsize and not np.array_equal(answer, answer.astype(narrow), equal_nan=True):
            return False
    if expected is not None:
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
    """Whether no sum, product or mean of the numbers rounds: they are small multiples of one unit, and their number is a power of two."""
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

"""`@clause`: tie a property to its clause, and run it under the chosen profile in the dtype under test."""

from __future__ import annotations

import functools
import itertools
import unittest
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import UnsatisfiedAssumption

from calibrant.book.clauses import require
from calibrant.judge import Disagreement, tallying
from calibrant.strategies.drawing import CASES, Drawn
from calibrant.suite.session import PROFILES, current
from calibrant.target.calling import Absent, Failure, NotCalled, Refused, Subject

Function = TypeVar("Function", bound=Callable[..., Any])


def clause(name: str, *, fraction_of_examples: float = 1.0) -> Callable[[Function], Function]:
    """Tie a property to the clause that it checks; an unknown name raises at once, so that collection stops.

    `fraction_of_examples` is less than 1 where an example costs much (a run of a thousand epochs), or where the claim hardly
    depends on the numbers (a shape).

    The property runs under the settings of the selected profile. A drawn object with a method `at` arrives in the dtype under test.
    """
    require(name)
    return lambda function: pytest.mark.clause(name)(_prepared(function, fraction_of_examples))


def _prepared(function: Any, fraction_of_examples: float) -> Any:
    """A property under the chosen profile, with its examples counted and in the dtype under test.

    The settings are the property's own: those of other Hypothesis tests in the same run stay as they are.
    """
    given = getattr(function, "hypothesis", None)
    if given is None:
        return _one_example(function, most=None)
    session = current()
    profile = PROFILES[session.profile]
    examples = max(1, round((session.examples or profile.examples) * fraction_of_examples))
    again = [
        {name: bytes.fromhex(said) for name, said in one.items()} for one in session.failed.get(function.__name__, ())
    ]
    given.inner_test = _one_example(given.inner_test, most=examples, again=again, shrink=session.shrink)
    # Seeded in any case: a property may be run twice, in several dtypes and in one, and draws the same.
    start = 0 if profile.same else session.drawn_seed if session.seed is None else session.seed
    function = seed(start ^ zlib.crc32(function.__name__.encode()))(function)
    function = settings(
        max_examples=examples,
        derandomize=False,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if session.shrink else [])),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )(function)
    # Without this key for a database, which there is not, Hypothesis reads and tokenizes the source at each run.
    function._hypothesis_internal_database_key = function.__name__.encode()

    @functools.wraps(function)
    def property_(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except Enough:
            pass
        except First as first:
            raise first.failure from None

    return property_


_REFUSALS = 10
"""A property counts as absent if so many of its requests are refused and no call is answered, or ten times so many and no example is served."""


class Apart(unittest.SkipTest):
    """Raised out of a run in several dtypes as soon as they differ: Hypothesis ends the run and does not shrink."""


class Enough(unittest.SkipTest):
    """Raised as soon as as many cases have been judged as examples were asked for: Hypothesis ends the run."""


class First(unittest.SkipTest):
    """Raised with the first failure where none is made simpler: Hypothesis ends the run and does not repeat it."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__("a case failed")
        self.failure = failure


def _one_example(
    property_: Callable[..., None], *, most: int | None, again: Sequence[dict[str, bytes]] = (), shrink: bool = True
) -> Callable[..., None]:
    """Run one example, which may be several cases, and count them: `most` at the most.

    `target` is one subject, or a tuple: then each case is judged in each of several dtypes. The cases `again` failed in an earlier
    check. They come before the first example. As long as one fails, it stands for every example, so that Hypothesis ends with it.
    """

    def judged(subject: Subject, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        def asked(subject: Subject) -> None:
            drawn = {name: x.at(subject.form) if hasattr(x, "at") else x for name, x in kwargs.items()}
            property_(*args, **drawn | {"target": subject})

        subject.calls.clear()
        with tallying(subject.tally) as tally:
            tally.examples += 1
            try:
                asked(subject)
            except Absent as absent:
                refused = isinstance(absent, Refused)
                tally.examples -= 1
                tally.refused += refused
                tally.refusal = tally.refusal or str(absent) * refused
                few = tally.refused < _REFUSALS * (10 if tally.answered else 1)
                served = most is not None and (tally.examples or few)
                if isinstance(absent, NotCalled) or (refused and served):
                    hypothesis.reject()
                pytest.skip(str(absent))
            except (Disagreement, Failure):
                tally.rejected = tally.rejected or tally.examples
                subject.asked = asked
                subject.drawn = {name: x.data.hex() for name, x in kwargs.items() if isinstance(x, Drawn)}
                raise

    @functools.wraps(property_)
    def run(*args: Any, **kwargs: Any) -> None:
        subjects = kwargs.pop("target")
        subjects = (subjects,) if isinstance(subjects, Subject) else subjects
        tally, served, first = subjects[0].tally, 0, not subjects[0].replayed
        # A failure is made simpler by the case that failed first: the others hold, and cost as much.
        cases = _cases(kwargs, subjects[0].failing_case)
        for k, case in itertools.chain(_replayed(kwargs, again if first else ()), cases):
            subjects[0].replayed = k >= 0
            if most is not None and tally.examples >= most and subjects[0].failing_case is None:
                raise Enough("the last example has more cases than are due")
            unserved = 0
            for subject in subjects:
                try:
                    judged(subject, args, case)
                except UnsatisfiedAssumption:
                    unserved += 1
                except (Exception, pytest.skip.Exception) as error:
                    if len(subjects) == 1:
                        subject.failing_case = max(k, 0)
                        if not shrink:
                            raise First(error) from None
                        raise
                    subject.failed = error
                    raise Apart("the dtypes differ") from None
            if 0 < unserved < len(subjects):
                raise Apart("the dtypes differ")
            served += not unserved
        if not served:
            hypothesis.reject()

    return run


def _replayed(drawn: dict[str, Any], again: Sequence[dict[str, bytes]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The cases that are made of the bytes of earlier ones, as far as these are as long as those that were drawn; each has the number -1."""
    for one in again:
        several = {name: x for name, x in drawn.items() if isinstance(x, Drawn)}
        if {name: len(x.data) for name, x in several.items()} == {
            name: CASES * len(data) for name, data in one.items()
        }:
            yield -1, drawn | {name: replace(x, data=one[name]) for name, x in several.items()}


def _cases(drawn: dict[str, Any], only: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """What was drawn, case by case without repetitions, or only one of the cases; once where there are no cases."""
    several = {name: x for name, x in drawn.items() if hasattr(x, "case")}
    seen = set()
    for k in (range(CASES) if only is None else (only,)) if several else (0,):
        case = {name: x.case(k) for name, x in several.items()}
        key = tuple(x.data for x in case.values())
        if key not in seen:
            seen.add(key)
            yield k, drawn | case

"""`@clause`: tie a property to its clause, and run it under the chosen profile in the dtype under test."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, seed, settings

from calibrant.book.clauses import require
from calibrant.judge import Disagreement, tallying
from calibrant.suite.session import PROFILES, current
from calibrant.target.calling import Absent, Failure, NotCalled, Refused, Subject

Function = TypeVar("Function", bound=Callable[..., Any])


def clause(name: str, *, share: float = 1.0) -> Callable[[Function], Function]:
    """Tie a property to the clause that it checks; an unknown name is an error at once, so that collection stops.

    `share` is the part of a profile's examples that it gets: less than all where an example costs much (a run of a thousand
    epochs), or where what is claimed hardly depends on the numbers (a shape).

    The property runs under the settings of the chosen Hypothesis profile, and whatever it draws that depends on the dtype
    under test (whatever has a method `at`) arrives in that dtype.
    """
    require(name)

    def decorate(function: Function) -> Function:
        return pytest.mark.clause(name)(prepared(function, share))  # type: ignore[no-any-return]  # marks keep what they mark

    return decorate


def prepared(function: Any, share: float = 1.0) -> Any:
    """A property under the chosen profile, with its examples counted and in the dtype under test.

    The settings are the property's own: those of other Hypothesis tests in the same run stay as they are.
    """
    given = getattr(function, "hypothesis", None)
    if given is None:
        return _one_example(function, given=False)
    session = current()
    given.inner_test = _one_example(given.inner_test, given=True)
    profile = dict(PROFILES[session.profile])
    if session.examples is not None:
        profile["max_examples"] = session.examples
    profile["max_examples"] = max(1, round(profile["max_examples"] * share))
    if session.seed is not None and not profile.get("derandomize"):
        function = seed(session.seed ^ zlib.crc32(function.__name__.encode()))(function)
    return settings(
        **profile,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if session.shrink else [])),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )(function)


_REFUSALS = 10
"""An operation that has served none of so many requests of a property is taken to serve none of them."""


def _one_example(property_: Callable[..., None], *, given: bool) -> Callable[..., None]:
    @functools.wraps(property_)
    def run(*args: Any, **kwargs: Any) -> None:
        def asked(subject: Subject) -> None:
            drawn = {name: x.at(subject.form) if hasattr(x, "at") else x for name, x in kwargs.items()}
            property_(*args, **drawn | {"target": subject})

        subject = kwargs["target"]
        subject.calls.clear()
        with tallying(subject.tally) as tally:
            tally.examples += 1
            try:
                asked(subject)
            except Refused as refused:
                tally.examples -= 1
                tally.refused += 1
                if not given or (not tally.answered and tally.refused >= _REFUSALS):
                    pytest.skip(str(refused))
                hypothesis.reject()
            except NotCalled:
                tally.examples -= 1
                hypothesis.reject()
            except Absent as absent:
                tally.examples -= 1
                pytest.skip(str(absent))
            except (Disagreement, Failure):
                tally.rejected = tally.rejected or tally.examples
                subject.asked = asked
                raise

    return run

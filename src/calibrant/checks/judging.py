"""Judge one property of a target, for a test of pytest and for a check in this process: in all dtypes at once, and in each by itself."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis.errors import FlakyFailure

from calibrant.checks.outcomes import Outcome, recording
from calibrant.judge import Disagreement
from calibrant.target.calling import Failure, Subject


def in_all_dtypes(
    function: Callable[..., None], arguments: dict[str, Any], subjects: tuple[Subject, ...]
) -> bool | None:
    """Judge a property in several dtypes at once, so that each example is drawn once.

    Return whether it holds in all of them, or None where it has to be judged in each by itself.
    """
    if len(subjects) < 2 or not hasattr(function, "hypothesis"):
        return None
    # Where the dtypes differ, or Hypothesis gives up, each is judged by itself, and what it raises is told then.
    with contextlib.suppress(Exception), np.errstate(all="ignore"):
        function(**arguments | {"target": subjects})
        return True
    return False


def judged(
    function: Callable[..., None],
    arguments: dict[str, Any],
    clause: str,
    name: str,
    subject: Subject,
    held: bool | None,
    *,
    few: bool,
) -> tuple[Outcome, BaseException | None]:
    """The outcome of a property in one dtype, and the exception that ended it. `held` is the answer of `in_all_dtypes`."""

    def whole(other: Subject) -> None:
        with np.errstate(all="ignore"):
            function(**arguments | {"target": other})

    def recorded(one: Subject) -> contextlib.AbstractContextManager[list[Outcome]]:
        one.property_ = whole
        return recording(clause, name, one, few=few)

    try:
        alone = subject.anew() if held is False else subject
        with recorded(alone) as record:
            if not held:
                whole(alone)
        if isinstance(subject.failed, (Disagreement, Failure)):
            with recorded(subject) as record:
                raise FlakyFailure("it failed once, and not when it was asked the same again", [subject.failed])
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the target's code may raise anything
        return record[0], error
    return _with_reason(record[0], arguments), None


def _with_reason(outcome: Outcome, arguments: dict[str, Any]) -> Outcome:
    """The outcome of a property that ran to its end, with the reason why it has judged nothing."""
    if outcome.status != "undecided":
        return outcome
    case = ", ".join(x for x in arguments.values() if isinstance(x, str))
    said = "nothing could be judged"
    if outcome.unjudged:
        said = f"nothing is claimed of {outcome.unjudged} of {outcome.unjudged} numbers"
    return replace(outcome, reason=f"{said} ({case})" if case else said)

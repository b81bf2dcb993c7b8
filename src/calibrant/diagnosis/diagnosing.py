"""The one place from which a failing target is asked again: after its property has ended, in the same worker, under the same limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis.errors import Flaky

from calibrant.diagnosis import variants
from calibrant.diagnosis.explaining import explaining
from calibrant.exact import Exact
from calibrant.judge import Disagreement
from calibrant.target.calling import Failure, Subject


@dataclass(frozen=True)
class Diagnosis:
    """What is found out about a failure."""

    repeats: bool = True
    """Whether the target answers the same when it is asked the same again."""
    impostors: tuple[dict[str, Any], ...] = ()
    """The impostors as which it behaves."""
    hint: str = ""
    """A convention that it may want to declare, for the end of the sentence."""


def diagnose(subject: Subject, error: BaseException, clause: str) -> Diagnosis:
    """Ask a target that failed a clause a few questions more. A declared deviation is not explained, because nobody is told of it."""
    if not isinstance(error, (Disagreement, Failure, Flaky)) or clause in subject.target.deviations:
        return Diagnosis()
    disagrees = isinstance(error, Disagreement)
    repeats = not isinstance(error, Flaky) and (not disagrees or not subject.calls or subject.repeats())
    hint = _variant(subject, error) if disagrees and repeats else ""
    impostors = tuple(one.told() for one in explaining(subject, clause))
    if disagrees and repeats and not hint and not impostors and variants.only_flushes(subject):
        hint = f"; {variants.FLUSHES}"
    return Diagnosis(repeats, impostors, hint)


def _variant(subject: Subject, error: BaseException) -> str:
    """The variant whose rule an optimizer follows, where the answer was held against another."""
    last = subject.calls[-1] if subject.calls else None
    if last is None or last.operation != "optimize" or not isinstance(getattr(error, "expected", None), Exact):
        return ""
    return variants.explanation(subject, str(last.given[0]))

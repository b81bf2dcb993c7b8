"""The only place that asks a failing target again: after its property has ended, in the same worker, under the same limits."""

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
    """The findings about a failure."""

    repeats: bool = True
    """Whether the target gives the same answer again."""
    impostors: tuple[dict[str, Any], ...] = ()
    """The impostors as which the target behaves."""
    hint: str = ""
    """A convention that the target may want to declare, or another likely cause, for the end of the sentence."""


def diagnose(subject: Subject, error: BaseException, clause: str) -> Diagnosis:
    """Ask a target that failed a clause a few more questions. Nothing is reported of a declared deviation, so it is not explained."""
    if (
        not isinstance(error, (Disagreement, Failure, Flaky))
        or subject.target.deviation(clause, subject.form.name).reason
    ):
        return Diagnosis()
    disagrees = isinstance(error, Disagreement)
    repeats = not isinstance(error, Flaky) and (not disagrees or not subject.calls or subject.repeats())
    last, hint = subject.calls[-1] if subject.calls else None, ""
    if repeats and last and last.operation == "optimize" and isinstance(getattr(error, "expected", None), Exact):
        hint = variants.explanation(subject, str(last.given[0]))
    impostors = tuple(one.told() for one in explaining(subject, clause))
    if disagrees and repeats and not hint:
        hint = variants.general(subject, named=bool(impostors))
    if disagrees and repeats and not hint and not impostors:
        hint = variants.narrow_inside(subject, error)
    return Diagnosis(repeats, impostors, hint)

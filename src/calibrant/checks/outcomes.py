"""Outcomes: the result of one property in one dtype. This module builds them; they cross processes as plain data."""

import contextlib
import json
import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
import pytest
from hypothesis.errors import Flaky, Unsatisfiable

from calibrant.diagnosis.diagnosing import Diagnosis, diagnose
from calibrant.exact import Exact
from calibrant.judge import EXACTLY, Disagreement, Tally, show_exact
from calibrant.protocol.declarations import Declared
from calibrant.protocol.errors import escaped, named, printable
from calibrant.protocol.wire import is_array, json_number, plain
from calibrant.target.calling import Call, Failure, Subject, shown, written
from calibrant.target.snippets import snippet

PROPERTY = "calibrant"
"""The name under which a test's report carries the outcome of its property."""

_SHOWN = 8
"""The most numbers that are due, for a snippet that prints them."""

_MOST = 10_000
"""The most numbers of an answer that a finding holds."""

COUNTS = ("examples", "judged", "unjudged", "another_arrangement", "refused")
"""The counts of a tally that a clause adds up over its properties."""

Status = Literal[
    "error",  # the check itself failed
    "broken",  # no answer that could be judged: it raised, hung, died or returned no numbers
    "breaks",  # an answer that the clause does not allow
    "stale",  # declared as a deviation, but holds
    "deviates",  # breaks, as the target declares
    "undecided",  # nothing could be judged
    "holds",  # every property of the clause held
    "absent",  # the target does not provide the operation
]
"""The statuses of an outcome, or of a verdict on several properties or dtypes; the gravest first."""


@dataclass(frozen=True)
class Finding:
    """The report on an example that failed."""

    text: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    actual: Any = None
    expected: Any = None
    exactly: list[str] | None = None
    error: float | str | None = None
    bound: float | str | None = None
    bounds: float | str | None = None
    ulps: float | str | None = None
    impostors: list[dict[str, Any]] = field(default_factory=list)
    snippet: str | None = None
    allowed: list[Any] | None = None
    """The bound of each number that is expected."""
    path: list[list[Any]] | None = None
    """The exact arrays of every step, as the nearest floats, where `expected` is one of them."""


@dataclass(frozen=True)
class Outcome:
    """The result of one property in one dtype."""

    clause: str
    property: str
    dtype: str
    status: Status
    reason: str | None = None
    deviation: str | None = None
    """The reason for which the target declares that it breaks the clause."""
    deviates_in_dtype: bool = False
    """Whether it declares so of this dtype, and not of the clause."""
    deviates_rarely: bool = False
    """Whether it declares that few arguments show it."""
    failure: Finding | None = None
    drawn: dict[str, str] = field(default_factory=dict)
    """The bytes in hexadecimal that each drawn argument of the failing example stands for."""
    examples: int = 0
    judged: int = 0
    unjudged: int = 0
    another_arrangement: int = 0
    """The judged numbers of a formula that are right by its second tier alone."""
    refused: int = 0
    alike: list[int] = field(default_factory=lambda: [0, 0])
    """The calls that were served, and those that were not although they differ from served ones in their numbers alone."""
    refusal: str | None = None
    """Why the first request that was refused was not served."""
    largest: int = 0
    """The most numbers of an array in a request."""
    worst: float = 0.0
    rejected_at: int = 0
    """The number of the first example that was rejected; 0 if none was."""
    few: bool = False
    """Whether the run may miss what breaks: fewer examples than the profile has, or not every dtype of the target."""
    spread: list[int] = field(default_factory=list)
    """How many errors are 1/2 of their bound or more, 1/4 or more, and so on; the last count is of all that are smaller."""

    def told(self) -> str:
        """The text on the example that failed."""
        return self.failure.text if self.failure else ""

    def arguments(self) -> dict[str, Any]:
        """The arguments of the last call of the example that failed."""
        return self.failure.calls[-1]["arguments"] if self.failure and self.failure.calls else {}

    def sent(self) -> str:
        """As JSON in ASCII, which crosses processes whatever a target has put into it."""
        return json.dumps(asdict(self))

    @classmethod
    def received(cls, sent: str) -> Self:
        """From JSON."""
        said = json.loads(sent)
        return cls(**said | {"failure": said["failure"] and Finding(**said["failure"])})


def outcome_of(
    clause: str,
    property_: str,
    dtype: str,
    subject: Subject | None,
    error: BaseException | None,
    diagnosis: Diagnosis | None = None,
    *,
    few: bool = False,
) -> Outcome:
    """The outcome of a property that ended with this error, or none, and this diagnosis. Without a subject, its set-up failed."""
    tally = subject.tally if subject is not None else Tally()
    reason = failure = None
    # A claim on examples alone judges no target.
    status: Status = "holds" if tally.judged and tally.asked else "undecided"
    if error is not None:
        status, reason, failure = _status(error, subject, diagnosis or Diagnosis())
    return Outcome(
        clause,
        property_,
        dtype,
        status,
        reason,
        *(subject.target.deviation(clause, dtype) if subject is not None else Declared()),
        failure,
        subject.drawn if failure is not None and subject is not None else {},
        **{name: getattr(tally, name) for name in COUNTS},
        alike=tally.alike(),
        refusal=escaped(tally.refusal) or None,
        largest=tally.largest,
        worst=tally.worst if math.isfinite(tally.worst) else 0.0,
        rejected_at=tally.rejected,
        few=few,
        spread=tally.spread,
    )


@contextlib.contextmanager
def recording(clause: str, property_: str, subject: Subject, *, few: bool) -> Iterator[list[Outcome]]:
    """Yield a list that takes the outcome of the property that the block runs on a subject, with a diagnosis of its failure.

    Errors of the property propagate. A property that runs out of requests before an example is served is skipped.
    """
    record, raised, diagnosis = list[Outcome](), None, Diagnosis()
    try:
        try:
            yield record
        except Unsatisfiable:  # few requests are possible where shapes are all that varies
            if subject.tally.refused and not subject.tally.examples:
                pytest.skip(f"none of {subject.tally.refused} requests is served")
            raise
    except BaseException as error:
        raised = error
        try:
            diagnosis = diagnose(subject, error, clause)
        except Exception as failed:  # it must not hide the failure that it was to explain
            diagnosis = Diagnosis(hint=f"; its diagnosis failed: {named(failed)}")
        raise
    finally:
        record.append(outcome_of(clause, property_, subject.form.name, subject, raised, diagnosis, few=few))


def died(
    clause: str,
    property_: str,
    dtype: str,
    deviation: Declared,
    operation: str,
    sentence: str,
    given: Sequence[Any],
) -> Outcome:
    """The outcome of a property whose process died in an operation, with these arguments if they are known."""
    call = Call(operation, tuple(given))
    calls = [{"operation": operation, "arguments": plain(call.arguments) if operation else {}}]
    finding = Finding(_line(f"{written(call) if given else operation or 'the target'} {sentence}"), calls)
    return Outcome(clause, property_, dtype, "broken", escaped(sentence), *deviation, finding)


def _status(
    error: BaseException, subject: Subject | None, diagnosis: Diagnosis
) -> tuple[Status, str | None, Finding | None]:
    """The status that an exception of a property stands for, its reason, and the finding."""
    if isinstance(error, pytest.skip.Exception):
        return "absent", escaped(str(error)), None
    if isinstance(error, Flaky) or (isinstance(error, Disagreement) and not diagnosis.repeats):
        seen = [e for e in getattr(error, "exceptions", (error,)) if isinstance(e, (Disagreement, Failure))]
        first = f"; once {_told(seen[0], subject)}" if seen else ""
        who = f"{subject.calls[-1].operation} " if subject is not None and subject.calls else ""
        text = f"{who}does not answer the same question the same way twice{first}{diagnosis.hint}"
        return "broken", None, _finding(text, subject, seen[0] if seen else None, diagnosis)
    if isinstance(error, (Disagreement, Failure)):
        status: Status = "breaks" if isinstance(error, Disagreement) else "broken"
        return status, None, _finding(f"{_told(error, subject)}{diagnosis.hint}", subject, error, diagnosis)
    place = (traceback.extract_tb(error.__traceback__) or [None])[-1]
    where = f"\n{_line(f'at {place.filename}:{place.lineno} in {place.name}')}" if place else ""
    return "error", None, Finding(_line(f"the check itself failed: {named(error)}") + where)


def _line(text: str) -> str:
    """A line of a finding: no target can end it, and begin another one."""
    return f"  {escaped(text)}"


def _told(error: Disagreement | Failure, subject: Subject | None) -> str:
    """'loss_fn([0.0], [1.0]) returned 1.0, exactly 0.5: ...', after the calls with which it is compared."""
    if subject is None or not subject.calls:
        return error.sentence
    if isinstance(error, Failure) and not error.made:
        return error.sentence
    *before, last = subject.calls[-3:]
    earlier = [
        f"{written(call)} returned {shown(call.answer)}"
        for call in before
        if isinstance(call.answer, (np.ndarray, list, str))
    ]
    return "; ".join([*earlier, f"{written(last)} {error.sentence}"])


def _finding(text: str, subject: Subject | None, error: BaseException | None, diagnosis: Diagnosis) -> Finding:
    calls = subject.calls[-4:] if subject is not None else []
    actual, expected = getattr(error, "actual", None), getattr(error, "expected", None)
    measured, due = getattr(error, "measured", {}), getattr(error, "due", EXACTLY)
    switched = sorted(subject.target.surroundings.switched) if subject is not None else []
    return Finding(
        _line(text) + f"\n  The target has switched {', '.join(switched)}." * bool(switched),
        [
            {"operation": call.operation, "arguments": plain(call.arguments), "answer": _recorded(call.answer)}
            for call in calls
        ],
        show_exact(actual) if isinstance(actual, Exact) else _recorded(actual),
        plain(expected.nearest()) if isinstance(expected, Exact) else plain(expected),
        [str(x) for x in expected.fractions()] if isinstance(expected, Exact) and due == EXACTLY else None,
        **{key: plain(measured.get(key)) for key in ("error", "bound", "bounds", "ulps")},
        impostors=list(diagnosis.impostors),
        snippet=printable(snippet(subject.target, calls, _due(calls[-1], actual, expected, measured)))
        if subject is not None and calls
        else None,
        allowed=_allowed(expected, subject) if "bound" in measured and is_array(actual) else None,
        path=[[plain(truth.nearest()) for truth in step] for step in getattr(error, "path", None) or []] or None,
    )


def _allowed(expected: Any, subject: Subject | None) -> list[float | str] | None:
    """The bound of each number of an exact value, widened as the target asks."""
    if not isinstance(expected, Exact) or expected.size > _MOST:
        return None
    slack = subject.target.slack if subject is not None else 1.0
    return [json_number(bound) for bound in (expected.allowed() * slack).reshape(-1).tolist()]


def _due(call: Call, actual: Any, expected: Any, measured: dict[str, float]) -> str:
    """'where 0.5 is due, within 3.9e-07', for a call whose whole answer was compared."""
    whole = is_array(call.answer) and isinstance(expected, Exact) and np.shape(actual) == call.answer.shape
    if not whole or "bound" not in measured or expected.size > _SHOWN:
        return ""
    return f"where {show_exact(expected)} is due, within {measured['bound']:.2g}"


def _recorded(answer: Any) -> Any:
    """An answer as plain data, its texts in printable lines; of an array that repeats a number without end, its shape."""
    if is_array(answer) and answer.size > _MOST:
        return f"an array of shape {answer.shape}"
    if isinstance(answer, (list, tuple)):
        return [_recorded(part) for part in answer]
    if isinstance(answer, dict):
        return {escaped(str(key)): _recorded(part) for key, part in answer.items()}
    return escaped(answer) if isinstance(answer, str) else plain(answer)


def carried(report: pytest.TestReport) -> Iterator[Outcome]:
    """The outcome that a report carries, if it does."""
    for name, value in report.user_properties:
        if name == PROPERTY and report.when != "teardown":  # which repeats what the call recorded
            yield Outcome.received(value)  # type: ignore[arg-type]  # pytest says object

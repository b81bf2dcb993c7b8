"""Verdicts: what the outcomes of the properties say of each clause, in each dtype."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pytest

    from calibrant.subject import Subject

Status = Literal["holds", "breaks", "broken", "deviates", "stale", "absent", "undecided", "error"]

MEANING: dict[str, str] = {
    "holds": "every property of the clause held",
    "breaks": "an answer that the clause does not allow",
    "broken": "no answer that could be judged: it raised, hung, died or returned no numbers",
    "deviates": "breaks, as the target declares",
    "stale": "declared as a deviation, but holds",
    "absent": "the target does not provide the operation",
    "undecided": "nothing could be judged",
    "error": "the check itself failed",
}
"""The statuses of a verdict."""

GRAVEST = ("error", "broken", "breaks", "stale", "deviates", "undecided", "holds", "absent")
"""The statuses, the gravest first: what several properties, or dtypes, say together."""


@dataclass
class Verdict:
    """What is said of one clause in one dtype."""

    clause: str
    chapter: str
    level: str
    sentence: str
    dtype: str
    status: Status
    properties: list[str] = field(default_factory=list)
    examples: int = 0
    judged: int = 0
    unjudged: int = 0
    refused: int = 0
    worst: float = 0.0
    reason: str | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether this alone makes a target nonconforming."""
        return self.status == "stale" or (self.status in ("breaks", "broken") and self.level == "MUST")

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def failure_of(error: BaseException, subject: Subject | None) -> tuple[str, dict[str, Any]]:
    """The status that an exception of a property stands for, and what is to be told of it."""
    from hypothesis.errors import Flaky

    from calibrant.judge import Disagreement
    from calibrant.subject import Failure

    flaky = isinstance(error, Flaky)
    if isinstance(error, Disagreement) and subject is not None and subject.calls and not subject.repeats():
        flaky = True
    if flaky:
        seen = [e for e in getattr(error, "exceptions", (error,)) if isinstance(e, (Disagreement, Failure))]
        first = f"; once {_told(seen[0], subject)}" if seen else ""
        who = f"{subject.calls[-1].operation} " if subject is not None and subject.calls else ""
        text = f"  {who}does not answer the same question the same way twice{first}"
        return "broken", _failure(text, subject, seen[0] if seen else None)
    if isinstance(error, (Disagreement, Failure)):
        status = "breaks" if isinstance(error, Disagreement) else "broken"
        return status, _failure(f"  {_told(error, subject)}", subject, error)
    return "error", _failure(str(error), None, None)


def _told(error: BaseException, subject: Subject | None) -> str:
    """'loss_fn([0.0], [1.0]) returned 1.0, exactly 0.5: ...', after the calls that it is compared with."""
    from calibrant.wording import shown, written

    sentence: str = getattr(error, "sentence", str(error))
    if subject is None or not subject.calls:
        return sentence
    *before, last = subject.calls[-3:]
    earlier = [
        f"{written(call)} returned {shown(call.answer)}"
        for call in before
        if isinstance(call.answer, (np.ndarray, list, str))
    ]
    return "; ".join([*earlier, f"{written(last)} {sentence}"])


def _failure(text: str, subject: Subject | None, error: BaseException | None) -> dict[str, Any]:
    from calibrant.exact import Exact
    from calibrant.wording import plain, show_exact, snippet

    calls = subject.calls[-4:] if subject is not None else []
    actual, expected = getattr(error, "actual", None), getattr(error, "expected", None)
    return {
        "text": text,
        "calls": [{"operation": c.operation, "arguments": plain(c.arguments)} for c in calls],
        "actual": show_exact(actual) if isinstance(actual, Exact) else plain(actual),
        "expected": plain(expected.nearest()) if isinstance(expected, Exact) else plain(expected),
        "exactly": [str(x) for x in expected.fractions()] if isinstance(expected, Exact) else None,
        **{key: plain(getattr(error, "measured", {}).get(key)) for key in ("error", "bound", "bounds", "ulps")},
        "impostors": [],
        "snippet": snippet(subject.target, calls) if subject is not None and calls else None,
    }


class Gatherer:
    """A pytest plugin that reads what became of each property from pytest's own reports, whichever process ran it."""

    def __init__(self) -> None:
        self.outcomes: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what the report of a property carries."""
        from calibrant.plugin import PROPERTY

        self.outcomes += [value for name, value in report.user_properties if name == PROPERTY]  # type: ignore[misc]

    def verdicts(self) -> list[Verdict]:
        """One verdict for each clause and dtype that was run, in the book's order."""
        return gathered(self.outcomes)


def gathered(outcomes: Iterable[dict[str, Any]]) -> list[Verdict]:
    """What the outcomes say together."""
    from calibrant.clauses import book
    from calibrant.target import DTYPES

    by_clause: dict[tuple[str, str], list[dict[str, Any]]] = {}
    few: set[str] = set()
    for outcome in outcomes:
        few.update({outcome["clause"]} if outcome.get("few") else ())
        by_clause.setdefault((outcome["clause"], outcome["dtype"]), []).append(outcome)
    order = list(book())
    verdicts = []
    for name, dtype in sorted(by_clause, key=lambda key: (order.index(key[0]), DTYPES.index(key[1]))):
        # One order, whichever process was the first to report.
        parts = sorted(by_clause[name, dtype], key=lambda outcome: (str(outcome["property"]), repr(outcome)))
        clause = book()[name]
        status = min((part["status"] for part in parts), key=GRAVEST.index)
        declared = next((part["deviation"] for part in parts if part["deviation"]), None)
        if declared and status in ("breaks", "broken"):
            status = "deviates"
        reasons = (
            [declared] if declared else [part["reason"] for part in parts if part["reason"] and status == "absent"]
        )
        verdicts.append(
            Verdict(
                clause=name,
                chapter=clause.chapter,
                level=clause.level,
                sentence=clause.sentence,
                dtype=dtype,
                status=status,
                properties=[part["property"] for part in parts],
                examples=sum(part["examples"] for part in parts),
                judged=sum(part["judged"] for part in parts),
                unjudged=sum(part["unjudged"] for part in parts),
                refused=sum(part["refused"] for part in parts),
                worst=max(part["worst"] for part in parts),
                reason=reasons[0] if reasons else None,
                failures=sorted((part["failure"] for part in parts if part["failure"]), key=lambda f: len(f["text"])),
            )
        )
    # A declared deviation that shows in no dtype is stale in all of them; of few examples that may be chance.
    for name in {verdict.clause for verdict in verdicts if verdict.reason and verdict.status == "holds"} - few:
        same = [verdict for verdict in verdicts if verdict.clause == name]
        if all(verdict.status in ("holds", "absent", "undecided") for verdict in same):
            for verdict in same:
                verdict.status = "stale" if verdict.status == "holds" else verdict.status
    return verdicts


def exit_status(verdicts: list[Verdict]) -> int:
    """0: conforms; 1: does not; 2: the check could not be made, in whole or at all."""
    if any(verdict.status == "error" for verdict in verdicts):
        return 2
    if any(verdict.failed for verdict in verdicts):
        return 1
    return 0 if any(verdict.status in ("holds", "deviates", "breaks", "broken") for verdict in verdicts) else 2


def uncovered(verdicts: list[Verdict]) -> list[str]:
    """The clauses of the book for which nothing was judged, in any dtype."""
    from calibrant.clauses import book

    covered = {verdict.clause for verdict in verdicts if verdict.judged}
    return [name for name in book() if name not in covered]

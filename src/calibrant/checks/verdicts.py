"""Verdicts: one for each clause and dtype, from the outcomes of its properties."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from calibrant.book.clauses import book
from calibrant.checks.options import Options
from calibrant.checks.outcomes import COUNTS, Finding, Outcome, Status
from calibrant.protocol.declarations import DTYPES

_LEAST_SERVED = 0.01
"""The part of its requests that must be served; of a clause with less, almost nothing was judged. A target of two optimizers serves 0.03."""

GRAVEST: tuple[str, ...] = get_args(Status)
"""The statuses, the gravest first."""


@dataclass
class Verdict:
    """The verdict on one clause in one dtype."""

    clause: str
    chapter: str
    level: str
    sentence: str
    dtype: str
    status: Status
    properties: list[str]
    examples: int
    judged: int
    unjudged: int
    refused: int
    """The requests that the target did not serve."""
    worst: float
    reason: str | None
    failures: list[Finding]
    drawn: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """For each property that failed, the bytes in hexadecimal of each of its smallest examples, by argument."""
    refusal: str | None = None
    """Why the first request that was refused was not served."""
    largest: int = 0
    """The most numbers of an array in a request."""
    another_arrangement: int = 0
    """The judged numbers of a formula that are right by its second tier alone."""
    spread: list[int] = field(default_factory=list)
    """How many errors are 1/2 of their bound or more, 1/4 or more, and so on; the last count is of all that are smaller."""

    @property
    def failed(self) -> bool:
        """Whether this alone makes a target nonconforming."""
        return self.fails(strict=False)

    def fails(self, *, strict: bool) -> bool:
        """Whether this alone makes a target nonconforming, where a SHOULD counts if the check is strict."""
        return self.status == "stale" or (self.status in ("breaks", "broken") and (strict or self.level == "MUST"))


def gravest(parts: Sequence[Outcome | Verdict]) -> Status:
    """The gravest status of several outcomes or verdicts."""
    return min((part.status for part in parts), key=GRAVEST.index)


def gathered(outcomes: Iterable[Outcome]) -> list[Verdict]:
    """One verdict for each clause and dtype, in the book's order, whichever process reported first."""
    order = list(book())
    parts = sorted(outcomes, key=lambda x: (order.index(x.clause), DTYPES.index(x.dtype), x.property, repr(x)))
    verdicts = [_verdict([*some]) for _, some in itertools.groupby(parts, key=lambda x: (x.clause, x.dtype))]
    # A declared deviation that shows in none of its dtypes is stale in all of them, unless few examples or a dtype left out may have
    # missed it, or it shows rarely.
    few = {part.clause for part in parts if part.few or part.deviates_rarely}
    apart = {(part.clause, part.dtype) for part in parts if part.deviates_in_dtype}
    for name in {verdict.clause for verdict in verdicts if verdict.reason and verdict.status == "holds"} - few:
        together = [verdict for verdict in verdicts if verdict.clause == name]
        for verdict in together:
            if (name, verdict.dtype) in apart and verdict.status == "holds":
                verdict.status = "stale"
        same = [verdict for verdict in together if (name, verdict.dtype) not in apart and verdict.reason]
        if all(verdict.status in ("holds", "absent", "undecided") for verdict in same):
            for verdict in same:
                verdict.status = "stale" if verdict.status == "holds" else verdict.status
    return verdicts


def _verdict(parts: list[Outcome]) -> Verdict:
    """The verdict that follows from the outcomes of all properties of a clause in a dtype."""
    clause, status = book()[parts[0].clause], gravest(parts)
    reason = next((part.deviation for part in parts if part.deviation), None)
    if reason and status in ("breaks", "broken"):
        status = "deviates"
    judged, unjudged = (sum(getattr(part, what) for part in parts) for what in ("judged", "unjudged"))
    if status == "holds" and unjudged > judged:  # a clause that was mostly beyond judgement is not said to hold
        status, reason = "undecided", reason or f"nothing is claimed of {unjudged} of {judged + unjudged} numbers"
    refusal = next((part.refusal for part in parts if part.refusal), None)
    served, refused = (
        sum(getattr(part, what) for part in parts if part.status == "holds") for what in ("examples", "refused")
    )
    if status == "holds" and served < _LEAST_SERVED * (served + refused):
        status, reason = "undecided", reason or f"only {served} of {served + refused} requests were served ({refusal})"
    alike = [sum(counts) for counts in zip(*(part.alike for part in parts if part.status == "holds"), strict=True)]
    if status == "holds" and alike[1] - alike[0] > 2 * math.sqrt(sum(alike)):  # two deviations of a fair coin
        status = "undecided"
        differ = f"{alike[1]} of {sum(alike)} requests that differ in their numbers alone were not served ({refusal})"
        reason = reason or differ
    if not reason and status in ("absent", "undecided"):
        reasons = [part.reason for part in parts if part.status == status and part.reason]
        reason = reasons[0] if reasons else None
        if status == "undecided" and len(reasons) > 1:
            reason = f"{reason}, and {len(reasons) - 1} more case{'s' * (len(reasons) > 2)} could not be judged"
    return Verdict(
        *(clause.name, clause.chapter, clause.level, clause.sentence, parts[0].dtype, status),
        properties=[part.property for part in parts],
        **{what: sum(getattr(part, what) for part in parts) for what in COUNTS},
        refusal=refusal,
        largest=max(part.largest for part in parts),
        worst=max(part.worst for part in parts),
        reason=reason,
        drawn={
            name: [part.drawn for part in parts if part.property == name and part.drawn]
            for name in dict.fromkeys(part.property for part in parts if part.drawn)
        },
        # A long array is told by its shape alone, and printed in full by the lines that repeat it.
        failures=sorted(
            (x.failure for x in parts if x.failure), key=lambda one: len(one.text) + len(one.snippet or "")
        ),
        spread=[sum(counts) for counts in zip(*(part.spread for part in parts if part.spread), strict=True)],
    )


def uncovered(verdicts: list[Verdict]) -> list[str]:
    """The clauses of the book of which nothing was judged, in any dtype."""
    covered = {verdict.clause for verdict in verdicts if verdict.judged}
    return [name for name in book() if name not in covered]


@dataclass
class Result:
    """The result of a check: the target, the options, and the verdicts."""

    target: dict[str, Any]
    options: Options
    verdicts: list[Verdict]
    unfinished: list[str] = field(default_factory=list)
    """The properties that did not run to an end."""
    interrupted: bool = False
    """Whether somebody interrupted the check."""
    stopped: bool = False
    """Whether the check ended because enough clauses had failed."""

    @property
    def partial(self) -> list[str]:
        """Why this is not the whole check; empty if it is."""
        reasons = []
        if self.options.chapters or self.options.clauses:
            whole = replace(self.options, chapters=(), clauses=()).selected
            reasons.append(f"only {len(self.options.selected)} of {len(whole)} clauses were asked for")
        asked_for = self.options.dtypes or self.target["dtypes"]
        left_out = [dtype for dtype in self.target["dtypes"] if dtype not in asked_for]
        if left_out:
            reasons.append(f"{', '.join(left_out)} left out")
        if self.interrupted:
            reasons.append("somebody interrupted it")
        if self.stopped and self.unfinished:
            reasons.append(
                f"it ended after {self.options.fail_fast} failed clause{'s' * (self.options.fail_fast != 1)}, as --fail-fast asks"
            )
        if self.unfinished:
            count = len(self.unfinished)
            reasons.append(f"{count} {'property' if count == 1 else 'properties'} did not run to an end")
        return reasons

    @property
    def deviating(self) -> int:
        """The number of clauses that the target breaks as it declares."""
        return len({verdict.clause for verdict in self.verdicts if verdict.status == "deviates"})

    @property
    def undecided(self) -> int:
        """The number of clauses, each a MUST, of which nothing can be said in some dtype."""
        must = (verdict for verdict in self.verdicts if verdict.level == "MUST")
        return len({verdict.clause for verdict in must if verdict.status == "undecided"})

    @property
    def exit_status(self) -> int:
        """0: conforms; 1: does not; 2: the check could not be made, did not end, or left more undecided than is allowed."""
        statuses, options = {verdict.status for verdict in self.verdicts}, self.options
        if "error" in statuses:
            return 2
        if any(verdict.fails(strict=options.strict) for verdict in self.verdicts):
            return 1
        if options.max_deviations is not None and self.deviating > options.max_deviations:
            return 1
        if options.max_undecided is not None and self.undecided > options.max_undecided:
            return 2
        return 0 if statuses & {"holds", "deviates", "breaks", "broken"} and not self.unfinished else 2

"""A case: one call, and the claim of one clause on its answer."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from calibrant.book.clauses import book
from calibrant.exact import FORMATS, Exact
from calibrant.judge import Disagreement
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import decoded
from calibrant.target.calling import Failure, Subject
from calibrant.target.snippets import shown
from calibrant.vectors.expected import REFUSED, judge, paired, truth_of

DTYPES = ("float32", "float64")
"""The dtypes of vectors."""


@dataclass
class Case:
    """A call of an operation in one dtype, and the claim of one clause on the answer."""

    operation: str
    dtype: str
    """Empty where the arguments hold no arrays."""
    clause: str
    inputs: dict[str, Any]
    """The arguments by their names, as the protocol writes them."""
    expected: Any
    """The claim, as JSON; REFUSED for an error."""
    flags: list[str] = field(default_factory=list)
    """The impostors of the operation that it rejects."""

    @functools.cached_property
    def id(self) -> str:
        """A name made of the question and the judged parts of the answer, not of the case's place."""
        asked = json.dumps([self.inputs, _parts(self.expected)], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
        return f"{self.operation}/{self.clause.partition('.')[2]}/{self.dtype or 'any'}/{digest}"

    @functools.cached_property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the call to a target."""
        values = [_with_tuples(name, decoded(value)) for name, value in self.inputs.items()]
        return tuple(values[0] if OPERATIONS[self.operation].starred else values)

    @functools.cached_property
    def truths(self) -> list[Exact | None]:
        """The numbers of each claimed part."""
        form = FORMATS[self.dtype or "float64"]
        return [truth_of(due, form) for _, due, _ in paired(self.expected, self.expected)]

    @property
    def chapter(self) -> str:
        """The chapter of its clause."""
        return book()[self.clause].chapter

    def written(self) -> dict[str, Any]:
        """The case as a file holds it."""
        return {
            "id": self.id,
            "operation": self.operation,
            "dtype": self.dtype or None,
            "clause": self.clause,
            "inputs": self.inputs,
            **({"error": True} if self.expected == REFUSED else {"expected": self.expected}),
            "flags": self.flags,
        }

    def asked(self, subject: Subject) -> Any:
        """The target's answer, or the Failure in its place. Raises Absent if there is none."""
        try:
            return subject.call(self.operation, self.arguments)
        except Failure as failure:
            return failure

    def judged(self, answer: Any) -> str:
        """Say what is wrong with an answer, or with the Failure in its place; nothing if it agrees."""
        if isinstance(answer, Failure):
            return "" if answer.raised and self.expected == REFUSED else answer.sentence
        if self.expected == REFUSED:
            return f"returned {shown(answer)} where an error is due"
        for (part, due, place), truth in zip(paired(answer, self.expected), self.truths, strict=False):
            try:
                judge(part, due, truth)
            except Disagreement as wrong:
                return wrong.sentence.replace("returned", f"returned, as part {place},", 1) if place else wrong.sentence
        return ""


def _parts(expected: Any) -> Any:
    """Which parts are judged, without the values."""
    if isinstance(expected, list):
        return list(map(_parts, expected))
    return sorted(expected) if isinstance(expected, dict) else ""


_TUPLES = ("shape", "batch", "betas", "etas", "step_sizes")
"""Pairs and shapes, which are lists in JSON."""
_PARTS = {"batches": "batch", "shards": "batch", "shapes": "shape"}
"""Lists of pairs or shapes, each with the name of one."""


def _with_tuples(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(key, x) for key, x in value.items()}
    if isinstance(value, list):
        parts = [_with_tuples(_PARTS.get(name, ""), x) for x in value]
        return tuple(parts) if name in _TUPLES else parts
    return value

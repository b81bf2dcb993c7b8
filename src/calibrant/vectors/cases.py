"""A case: one call, and the claim of one clause on its answer; and the judge of an answer."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.book.clauses import book
from calibrant.exact import FORMATS, Exact
from calibrant.judge import Disagreement, Tally, agree, holds, shaped, tallying
from calibrant.protocol.dtypes import numpy_dtype
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import NOT_FINITE, is_array, plain
from calibrant.target.calling import Failure, Subject
from calibrant.target.snippets import shown
from calibrant.vectors.numbers import REFUSED

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
        values = [_argument(name, value) for name, value in self.inputs.items()]
        return tuple(values[0] if OPERATIONS[self.operation].starred else values)

    @functools.cached_property
    def truth(self) -> Exact | None:
        """All claimed numbers, end to end, with their bounds; infinite for a word, or for no claim."""
        form = FORMATS[self.dtype or "float64"]
        found = []
        for due in _arrays(self.expected):
            for x, fraction, allowed in zip(due["data"], due["fractions"], due["allowed"], strict=True):
                value, bound = (Fraction(fraction), allowed) if isinstance(x, (int, float)) else (Fraction(0), math.inf)
                found.append(exact.constant(value, form).within(bound, form))
        return exact.concatenate(*found) if found else None

    @functools.cached_property
    def decimals(self) -> Any:
        """The truth as float64 numbers."""
        assert self.truth is not None
        return self.truth.nearest()

    @property
    def chapter(self) -> str:
        """The chapter of its clause."""
        return book()[self.clause].chapter

    def require(self) -> None:
        """Raise ValueError, or another error, unless the case can be asked and judged."""
        _ = self.arguments
        for due in _arrays(self.expected):
            if not math.prod(due["shape"]) == len(due["data"]) == len(due["fractions"]) == len(due["allowed"]):
                raise ValueError(f"not every number of shape {due['shape']} has its value, fraction and allowed error")
            if not all(x is None or (isinstance(x, (int, float)) and x >= 0) for x in due["allowed"]):
                raise ValueError(f"an allowed error is no number of at least 0: {due['allowed']}")
            for x, text in zip(due["data"], due["fractions"], strict=True):
                if text != x and not re.fullmatch("-?[0-9]+(/[0-9]+)?", text):
                    raise ValueError(f"{text!r} is no fraction")
        _ = self.truth

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


def asked(operation: str, dtype: str, arguments: Sequence[Any], clause: str, expected: Any) -> Case:
    """Make the case of a call."""
    return Case(operation, dtype, clause, plain(OPERATIONS[operation].named(arguments)), expected)


def _parts(expected: Any) -> Any:
    """Which parts are judged, without the values."""
    if isinstance(expected, list):
        return list(map(_parts, expected))
    return sorted(expected) if isinstance(expected, dict) else ""


def _arrays(expected: Any) -> Iterator[dict[str, Any]]:
    """The arrays of a claim that have numbers."""
    if isinstance(expected, list):
        for part in expected:
            yield from _arrays(part)
    elif isinstance(expected, dict) and "data" in expected:
        yield expected


_TUPLES = ("shape", "batch", "betas", "etas", "step_sizes")
"""Pairs and shapes, which are lists in JSON."""
_PARTS = {"batches": "batch", "shards": "batch", "shapes": "shape"}
"""Lists of pairs or shapes, each with the name of one."""


def _argument(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"dtype", "shape", "data"}:
            if value["dtype"] not in DTYPES:
                raise ValueError(f"{name} is of dtype {value['dtype']!r}")
            numbers = np.array([float(x) for x in value["data"]])
            with np.errstate(all="ignore"):
                return numbers.astype(numpy_dtype(value["dtype"])).reshape(value["shape"])
        return {key: _argument(key, x) for key, x in value.items()}
    if isinstance(value, list):
        parts = [_argument(_PARTS.get(name, ""), x) for x in value]
        return tuple(parts) if name in _TUPLES else parts
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


# The judge


def verdict(case: Case, subject: Subject) -> str:
    """Judge the target's answer: say what is wrong with it; nothing if it agrees. Raises Absent if the target has no answer."""
    try:
        answer = subject.call(case.operation, case.arguments)
    except Failure as failure:
        return "" if failure.raised and case.expected == REFUSED else failure.sentence
    return judged(case, answer)


def judged(case: Case, answer: Any) -> str:
    """Say what is wrong with an answer; nothing if it agrees."""
    if case.expected == REFUSED:
        return f"returned {shown(answer)} where an error is due"
    place, first = "", 0
    try:
        for part, due, where in _paired(answer, case.expected, ""):
            place = where
            column = _column(part, due)
            if column is not None and case.truth is not None:
                truth = case.truth[first : first + column.size]
                agree(*(column, truth) if due["shape"] else (column[0], truth[0]))
                first += column.size
    except Disagreement as disagreement:
        said = disagreement.sentence
        return said.replace("returned", f"returned, as part {place},", 1) if place else said
    return ""


def agrees(case: Case, answer: Any, slack: float) -> bool:
    """Whether an answer is within so many bounds: in float64 alone, unless its rounding could decide."""
    if case.truth is not None:
        try:
            columns = [_column(part, due) for part, due, _ in _paired(answer, case.expected, "")]
        except Disagreement:
            return False
        numbers = np.concatenate([column for column in columns if column is not None]).astype(np.float64)
        with np.errstate(all="ignore"):
            bound, unsure = slack * case.truth.err, 2.0**-51 * np.abs(case.decimals)
            off = np.abs(numbers - case.decimals)
            if (off > bound + unsure).any():
                return False
            if (off + unsure <= bound).all():
                return True
    with tallying(Tally(slack=slack)):
        return not judged(case, answer)


def _paired(answer: Any, expected: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """The arrays, words and shapes of an answer, each with its claim and its place."""
    if isinstance(expected, list) and not all(isinstance(x, int) for x in expected):
        if not isinstance(answer, (list, tuple)) or len(answer) != len(expected):
            raise _wrong(answer, f"a list of {len(expected)}")
        for i, (part, due) in enumerate(zip(answer, expected, strict=True)):
            yield from _paired(part, due, f"{where}[{i}]")
    else:
        yield answer, expected, where


def _column(answer: Any, due: Any) -> Any:
    """The numbers of an answer to compare, as a column; all else is judged here."""
    if not isinstance(due, dict):
        answer = list(answer) if isinstance(answer, tuple) else answer
        if is_array(answer) or answer != due:
            raise _wrong(answer, repr(due))
        return None
    if not due:
        return None
    if not is_array(answer):
        raise _wrong(answer, "an array")
    shape = tuple(due["shape"])
    if "data" not in due:
        holds(answer.shape == shape, f"returned shape {answer.shape} where {shape} is due")
        return None
    if due.get("broadcasts"):
        with contextlib.suppress(ValueError):  # the comparison of shapes below says what is wrong
            answer = np.broadcast_to(answer, shape)
    column = shaped(answer, shape).reshape(-1)
    words = {i: word for i, word in enumerate(due["data"]) if isinstance(word, str)}
    if not all(_fits(float(column[i]), word) for i, word in words.items()):
        raise _wrong(answer, ", ".join(words.values()))
    return column


def _wrong(answer: Any, due: str) -> Disagreement:
    return Disagreement(f"returned {shown(answer)} where {due} is due")


def _fits(x: float, word: str) -> bool:
    """Whether a number is the one that a word names."""
    if word == "not finite":
        return not math.isfinite(x)
    return math.isnan(x) if word == "NaN" else x == float(word)

"""A case: one call, and what is due of it; and the judge of an answer."""

from __future__ import annotations

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

from calibrant.book.clauses import book
from calibrant.exact import FORMATS, Exact
from calibrant.judge import Disagreement, Tally, agree, holds, shaped, tallying
from calibrant.protocol.dtypes import numpy_dtype
from calibrant.protocol.operations import by_name
from calibrant.protocol.wire import NOT_FINITE, is_array, plain
from calibrant.target.calling import Failure, Subject
from calibrant.target.snippets import shown
from calibrant.vectors.numbers import REFUSED

DTYPES = ("float32", "float64")
"""The dtypes in which vectors ask."""


@dataclass
class Case:
    """A call of an operation in one dtype, and what one clause says of the answer."""

    operation: str
    dtype: str
    """Empty where the arguments hold no arrays."""
    clause: str
    inputs: dict[str, Any]
    """The arguments by their names, as the protocol writes them."""
    expected: Any
    """What is due, as JSON; REFUSED for an error."""
    flags: list[str] = field(default_factory=list)
    """The impostors of the operation that it tells from what is right."""

    @functools.cached_property
    def id(self) -> str:
        """A name made of what is asked, and of which parts of the answer are judged: not of where the case stands."""
        asked = json.dumps([self.inputs, _parts(self.expected)], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
        return f"{self.operation}/{self.clause.partition('.')[2]}/{self.dtype or 'any'}/{digest}"

    @functools.cached_property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments as a target is called with them."""
        if self.operation == "broadcast_shapes":
            return tuple(map(tuple, self.inputs["shapes"]))
        return tuple(_argument(name, value) for name, value in self.inputs.items())

    @functools.cached_property
    def truth(self) -> Exact | None:
        """All numbers that are due, end to end, with their bounds; infinite where there is a word, or nothing."""
        leaves = [due for due in _leaves(self.expected) if "data" in due]
        data, fractions, allowed = ([x for due in leaves for x in due[key]] for key in ("data", "fractions", "allowed"))
        if not leaves:
            return None
        known = [not isinstance(x, str) and x is not None for x in data]
        values = [Fraction(x) if is_known else Fraction(0) for x, is_known in zip(fractions, known, strict=True)]
        common = math.lcm(*(value.denominator for value in values))
        m = np.empty(len(values), dtype=object)
        m[:] = [value.numerator * (common // value.denominator) for value in values]
        bounds = [x if is_known else math.inf for x, is_known in zip(allowed, known, strict=True)]
        return Exact(m, 0, common, np.array(bounds, dtype=np.float64), FORMATS[self.dtype or "float64"])

    @functools.cached_property
    def decimals(self) -> tuple[Any, Any]:
        """The truth as float64 numbers, and their bounds."""
        assert self.truth is not None
        return self.truth.nearest(), self.truth.err

    @property
    def chapter(self) -> str:
        """The chapter of its clause."""
        return book()[self.clause].chapter

    def require(self) -> None:
        """Raise ValueError, or another, unless the case can be asked and judged."""
        _ = self.arguments
        for due in _leaves(self.expected):
            numbers = math.prod(due["shape"]) if due else 0
            if "data" in due and not numbers == len(due["data"]) == len(due["fractions"]) == len(due["allowed"]):
                raise ValueError(f"not every number of shape {due['shape']} has its value, fraction and allowed error")
            if not all(x is None or (isinstance(x, (int, float)) and x >= 0) for x in due.get("allowed", [])):
                raise ValueError(f"an allowed error is no number of at least 0: {due['allowed']}")
            for x, text in zip(due.get("data", []), due.get("fractions", []), strict=True):
                if text != x and not re.fullmatch("-?[0-9]+(/[0-9]+)?", text):
                    raise ValueError(f"{text!r} is no fraction")
        _ = self.truth

    def written(self) -> dict[str, Any]:
        """As a file has it."""
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
    """The case of a call."""
    return Case(operation, dtype, clause, plain(by_name(operation, arguments)), expected)


def _parts(expected: Any) -> Any:
    """What is judged, without the values."""
    if isinstance(expected, list):
        return list(map(_parts, expected))
    return sorted(expected) if isinstance(expected, dict) else ""


def _leaves(expected: Any) -> Iterator[dict[str, Any]]:
    """What is due of each array."""
    if isinstance(expected, list):
        for part in expected:
            yield from _leaves(part)
    elif isinstance(expected, dict):
        yield expected


_TUPLES = ("shape", "batch", "betas", "etas", "step_sizes")
"""Pairs and shapes, which are lists in JSON."""


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
        inner = "batch" if name in ("batches", "shards") else ""
        parts = [_argument(inner, x) for x in value]
        return tuple(parts) if name in _TUPLES else parts
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


# The judge


def verdict(case: Case, subject: Subject) -> str:
    """What is wrong with the target's answer, in a sentence; nothing if it agrees. Raises Absent if there is no answer to be had."""
    try:
        answer = subject.call(case.operation, case.arguments)
    except Failure as failure:
        return "" if failure.raised and case.expected == REFUSED else failure.sentence
    return judged(case, answer)


def judged(case: Case, answer: Any) -> str:
    """What is wrong with an answer, in a sentence; nothing if it agrees."""
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
    """Whether an answer is within so many bounds: without a sentence, and by float64 alone where its rounding decides nothing."""
    if case.expected == REFUSED:
        return False
    try:
        columns = [_column(part, due) for part, due, _ in _paired(answer, case.expected, "")]
        numbers = [column for column in columns if column is not None]
        if not numbers or case.truth is None:
            return True
        together = np.concatenate(numbers)
        near, bound = case.decimals
        with np.errstate(all="ignore"):
            off, unsure = np.abs(together.astype(np.float64) - near), 2.0**-51 * np.abs(near)
            if (off > slack * bound + unsure).any():
                return False
            if not (off + unsure <= slack * bound).all():
                with tallying(Tally(slack=slack)):
                    agree(together, case.truth)
    except Disagreement:
        return False
    return True


def _paired(answer: Any, expected: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """The arrays, words and shapes of an answer with what is due of each, and where it stands."""
    if isinstance(expected, list) and not all(isinstance(x, int) for x in expected):
        if not isinstance(answer, (list, tuple)) or len(answer) != len(expected):
            raise _wrong(answer, f"a list of {len(expected)}")
        for i, (part, due) in enumerate(zip(answer, expected, strict=True)):
            yield from _paired(part, due, f"{where}[{i}]")
    else:
        yield answer, expected, where


def _column(answer: Any, due: Any) -> Any:
    """The numbers of an answer that are to be compared, as a column; all else is judged here."""
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
        answer = _broadcast(answer, shape)
    column = shaped(answer, shape).reshape(-1)
    words = {i: word for i, word in enumerate(due["data"]) if isinstance(word, str)}
    if not all(_fits(float(column[i]), word) for i, word in words.items()):
        raise _wrong(answer, ", ".join(words.values()))
    return column


def _wrong(answer: Any, due: str) -> Disagreement:
    return Disagreement(f"returned {shown(answer)} where {due} is due")


def _broadcast(answer: Any, shape: tuple[int, ...]) -> Any:
    """The answer at its full size, if it broadcasts to that; otherwise as it is, to be found wrong."""
    try:
        return np.broadcast_to(answer, shape)
    except ValueError:
        return answer


def _fits(x: float, word: str) -> bool:
    """Whether a number is what a word says that it must be."""
    if word == "not finite":
        return not math.isfinite(x)
    return math.isnan(x) if word == "NaN" else x == float(word)

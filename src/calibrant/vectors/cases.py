"""A case: one call, and the claim of one clause on its answer; the claim as JSON, and the judge of an answer.

A claim is values with their allowed errors, a shape, a word, or nothing; or a list of claims on the parts of an answer.
"""

import contextlib
import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.book.clauses import book
from calibrant.exact import FORMATS, Exact, Format
from calibrant.judge import Disagreement, agree, holds
from calibrant.protocol.declarations import Declared, deviation
from calibrant.protocol.errors import brief
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import decoded, is_array, json_number, plain
from calibrant.target.calling import Failure, Subject, shown

DTYPES = ("float32", "float64")
"""The dtypes of vectors."""

REFUSED = "an error"
"""No answer."""

NOTHING: dict[str, Any] = {}
"""No claim on this part of an answer."""

_LONGEST = 100
"""The most characters of a fraction; a longer one is replaced by one next to it."""
_NEXT_TO = 30
"""How near: the allowed error, halved so many times."""
_FOUR_DIGITS = Context(prec=4, rounding=ROUND_UP)
"""Bounds are rounded up to four digits, so that their last bits do not change the files."""


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

    def deviation(self, deviations: Mapping[str, str], dtype: str) -> Declared:
        """What `declarations.deviation` says of the clause, or else of the rule of the optimizer, which each of its runs follows."""
        rule = f"optimizer.{self.inputs['name']}" if self.operation == "optimize" else self.clause
        declared = deviation(deviations, self.clause, dtype)
        return declared if declared.reason is not None else deviation(deviations, rule, dtype)

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

    @property
    def level(self) -> str:
        """The level of its clause: MUST or SHOULD."""
        return book()[self.clause].level

    def written(self) -> dict[str, Any]:
        """The case as a file holds it."""
        return {
            "id": self.id,
            "operation": self.operation,
            "dtype": self.dtype or None,
            "clause": self.clause,
            "level": self.level,
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


# Claims


def numbers(truth: Any) -> dict[str, Any]:
    """Write exact values with their bounds, or an array value for value: a word for a number that is not finite, None for no claim."""
    if isinstance(truth, Exact):
        rows = [_number(x, float(e)) for x, e in zip(truth.fractions(), truth.allowed().reshape(-1), strict=True)]
    else:
        truth = np.asarray(truth)
        rows = list(map(_exactly, truth.reshape(-1).tolist()))
    return {"shape": [*truth.shape], **{name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)}}


def _number(x: Fraction, bound: float) -> tuple[Any, ...]:
    if not math.isfinite(bound):
        return None, None, None
    if bound and len(str(x)) > _LONGEST:
        unit = Fraction(2) ** (math.frexp(bound)[1] - 1 - _NEXT_TO)
        x, bound = round(x / unit) * unit, bound * (1 + 2.0**-_NEXT_TO)
    return exact.to_float(x), str(x), float(_FOUR_DIGITS.create_decimal(Decimal(bound)))


def _exactly(x: Any) -> tuple[Any, ...]:
    if x is None:
        return None, None, None
    x = x if isinstance(x, str) else json_number(float(x))
    return x, x if isinstance(x, str) else str(Fraction(x)), 0.0


def paired(answer: Any, expected: Any, place: str = "") -> Iterator[tuple[Any, Any, str]]:
    """The parts of an answer, each with its claim and its place."""
    fits = isinstance(answer, (list, tuple)) and _is_list(expected) and len(answer) == len(expected)
    if fits:
        for i, (part, due) in enumerate(zip(answer, expected, strict=True)):
            yield from paired(part, due, f"{place}[{i}]")
    else:
        yield answer, expected, place


def _is_list(expected: Any) -> bool:
    """Whether claims on several parts are expected; a list of whole numbers is a shape."""
    return isinstance(expected, list) and not all(isinstance(x, int) for x in expected)


def says(expected: Any) -> bool:
    """Whether anything is claimed at all."""
    parts = [due for _, due, _ in paired(expected, expected)]
    return any(
        bool(due) and (not due.get("data") or set(due["data"]) != {None}) if isinstance(due, dict) else due is not None
        for due in parts
    )


_COLUMNS = ("data", "fractions", "allowed")


def require_claim(due: Any) -> None:
    """Raise ValueError unless this is a claim in the form that `numbers` and a chapter's claims have."""
    if isinstance(due, list):
        for part in due if _is_list(due) else ():
            require_claim(part)
    elif isinstance(due, dict) and due:
        shape, columns = due.get("shape"), [due[name] for name in _COLUMNS if name in due]
        if set(due) - {"shape", "broadcasts", *_COLUMNS} or not isinstance(shape, list) or len(columns) not in (0, 3):
            raise ValueError(f"{brief(due)} is no claim")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"a shape is {brief(shape)}")
        if not all(isinstance(column, list) and len(column) == math.prod(shape) for column in columns):
            raise ValueError(f"the numbers of a claim are not {math.prod(shape)}, as its shape says")
        for x, _, allowed in zip(*columns, strict=True) if columns else ():
            number = isinstance(x, (int, float))
            if not (number or x is None or isinstance(x, str)) or (number and not 0 <= allowed < math.inf):
                raise ValueError(f"{brief(x)} with an error of {brief(allowed)} is no claim")
    elif not isinstance(due, (str, dict)) and due is not None:
        raise ValueError(f"{brief(due)} is no claim")


def truth_of(due: Any, form: Format) -> Exact | None:
    """The numbers of a claim with their bounds, infinite for a word or no claim; None if it holds no numbers."""
    if not isinstance(due, dict) or "data" not in due:
        return None
    numbers = [
        (Fraction(text), allowed) if isinstance(x, (int, float)) else (Fraction(0), math.inf)
        for x, text, allowed in zip(due["data"], due["fractions"], due["allowed"], strict=True)
    ]
    d = math.lcm(*(x.denominator for x, _ in numbers))
    m, bounds = np.array([int(x * d) for x, _ in numbers], dtype=object), [bound for _, bound in numbers]
    return Exact(m.reshape(due["shape"]), 0, d, np.reshape(bounds, due["shape"]), form)


def judge(answer: Any, due: Any, truth: Exact | None) -> None:
    """Raise Disagreement unless a part of an answer is as claimed; `truth` is the claim's."""
    if not isinstance(due, dict):
        answer = list(answer) if isinstance(answer, tuple) else answer  # shown as a claim is written
        if _is_list(due) or is_array(answer) or plain(answer) != due:
            raise _wrong(answer, f"a list of {len(due)}" if _is_list(due) else repr(due))
    elif due and not is_array(answer):
        raise _wrong(answer, "an array")
    elif truth is not None:
        if due.get("broadcasts"):
            with contextlib.suppress(ValueError):  # the comparison of shapes says what is wrong
                answer = np.broadcast_to(answer, truth.shape)
        agree(answer, truth)
        words = [(json_number(x), word) for x, word in zip(answer.reshape(-1).tolist(), due["data"], strict=True)]
        words = [(x, word) for x, word in words if isinstance(word, str)]
        if any(x != word and not (word == "not finite" and isinstance(x, str)) for x, word in words):
            raise _wrong(answer, ", ".join(word for _, word in words))
    elif due:
        shape = tuple(due["shape"])
        holds(answer.shape == shape, f"returned shape {answer.shape} where {shape} is due")


def _wrong(answer: Any, due: str) -> Disagreement:
    return Disagreement(f"returned {shown(answer)} where {due} is due")

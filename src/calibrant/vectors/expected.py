"""Expected answers as JSON (values with their allowed errors, a shape, a word, or nothing), and the judge of an answer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from decimal import ROUND_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact, Format
from calibrant.judge import Disagreement, agree, holds
from calibrant.protocol.wire import is_array, json_number
from calibrant.target.snippets import shown

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


def numbers(truth: Any) -> dict[str, Any]:
    """Write exact values with their bounds, or an array value for value: a word for a number that is not finite, None for no claim."""
    if isinstance(truth, Exact):
        rows = [_number(x, float(e)) for x, e in zip(truth.fractions(), truth.errors().reshape(-1), strict=True)]
    else:
        truth = np.asarray(truth)
        rows = list(map(_exactly, truth.reshape(-1).tolist()))
    columns = ("data", "fractions", "allowed")
    return {"shape": [*truth.shape], **{name: [row[i] for row in rows] for i, name in enumerate(columns)}}


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


def truth_of(due: Any, form: Format) -> Exact | None:
    """The numbers of a claim with their bounds, infinite for a word or no claim; None if it holds no numbers."""
    if not isinstance(due, dict) or "data" not in due:
        return None
    known = [isinstance(x, (int, float)) for x in due["data"]]
    fractions = [
        Fraction(text) if is_known else Fraction(0) for is_known, text in zip(known, due["fractions"], strict=True)
    ]
    bounds = [x if is_known else math.inf for is_known, x in zip(known, due["allowed"], strict=True)]
    d = math.lcm(*(x.denominator for x in fractions))
    m = np.array([int(x * d) for x in fractions], dtype=object)
    return Exact(m.reshape(due["shape"]), 0, d, np.reshape(bounds, due["shape"]), form)


def judge(answer: Any, due: Any, truth: Exact | None) -> None:
    """Raise Disagreement unless a part of an answer is as claimed; `truth` is the claim's."""
    if not isinstance(due, dict):
        answer = list(answer) if isinstance(answer, tuple) else answer
        if _is_list(due) or is_array(answer) or answer != due:
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

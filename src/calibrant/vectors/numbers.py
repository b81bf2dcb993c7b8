"""Expected answers as JSON: values with their allowed errors, a shape, a word, or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact
from calibrant.protocol.wire import json_number

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
    """Write exact values with their bounds, or an array value for value."""
    if isinstance(truth, Exact):
        rows = [_number(x, float(e)) for x, e in zip(truth.fractions(), truth.errors().reshape(-1), strict=True)]
    else:
        truth = np.asarray(truth)
        written = [json_number(x) for x in truth.astype(np.float64).reshape(-1).tolist()]
        rows = [(x, x if isinstance(x, str) else str(Fraction(x)), 0.0) for x in written]
    return _numbers(truth.shape, *zip(*rows, strict=True))


def _number(x: Fraction, bound: float) -> tuple[Any, ...]:
    if not math.isfinite(bound):
        return None, None, None
    if bound and len(str(x)) > _LONGEST:
        unit = Fraction(2) ** (math.frexp(bound)[1] - 1 - _NEXT_TO)
        x, bound = round(x / unit) * unit, bound * (1 + 2.0**-_NEXT_TO)
    return exact.to_float(x), str(x), float(_FOUR_DIGITS.create_decimal(Decimal(bound)))


def _numbers(shape: Sequence[int], data: Any = (), fractions: Any = (), allowed: Any = ()) -> dict[str, Any]:
    return {**shaped(shape), "data": list(data), "fractions": list(fractions), "allowed": list(allowed)}


def shaped(shape: Sequence[int]) -> dict[str, Any]:
    """Claim a shape, and no numbers."""
    return {"shape": list(shape)}


def words(due: Any) -> dict[str, Any]:
    """Words for numbers that are not finite; None where nothing is claimed."""
    due = np.asarray(due, dtype=object)
    data = due.reshape(-1).tolist()
    return _numbers(due.shape, data, data, [None if x is None else 0.0 for x in data])


def says(due: Any) -> bool:
    """Whether anything is claimed at all."""
    if isinstance(due, list):
        return not due or any(map(says, due))
    if isinstance(due, dict):
        return bool(due) and ("data" not in due or due["data"] == [] or any(x is not None for x in due["data"]))
    return due is not None

"""What is due of an answer, as JSON has it: values with the error that they may show, a shape, a word; and what is left open."""

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
"""Nothing is said of this part of an answer."""

_LONGEST = 100
"""A fraction of more characters is written as one that lies next to it."""
_NEXT_TO = 30
"""How near: the allowed error, halved so many times."""


def numbers(truth: Any) -> dict[str, Any]:
    """Exact values with their bounds, or an array value for value."""
    if not isinstance(truth, Exact):
        truth = array = np.asarray(truth)
        rows = [_value(x) for x in array.astype(np.float64).reshape(-1).tolist()]
    else:
        rows = [_number(x, float(e)) for x, e in zip(truth.fractions(), truth.errors().reshape(-1), strict=True)]
    data, fractions, allowed = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
    return {**shaped(truth.shape), "data": data, "fractions": fractions, "allowed": allowed}


def _value(x: float) -> tuple[Any, ...]:
    written = json_number(x)
    return written, written if isinstance(written, str) else str(Fraction(x)), 0.0


def _number(x: Fraction, bound: float) -> tuple[Any, ...]:
    if not math.isfinite(bound):
        return None, None, None
    if bound and len(str(x)) > _LONGEST:
        unit = Fraction(2) ** (math.frexp(bound)[1] - 1 - _NEXT_TO)
        x, bound = round(x / unit) * unit, bound * (1 + 2.0**-_NEXT_TO)
    return exact.to_float(x), str(x), _up(bound)


def _up(bound: float) -> float:
    """A bound with four digits, rounded up: whatever the last bits of it are, the files stay the same."""
    return float(Context(prec=4, rounding=ROUND_UP).create_decimal(Decimal(bound)))


def shaped(shape: Sequence[int]) -> dict[str, Any]:
    """A shape, whatever the numbers."""
    return {"shape": list(shape)}


def words(due: Any) -> dict[str, Any]:
    """What numbers must be that are not finite; None where nothing is claimed."""
    due = np.asarray(due, dtype=object)
    data = due.reshape(-1).tolist()
    allowed = [None if x is None else 0.0 for x in data]
    return {**shaped(due.shape), "data": data, "fractions": data, "allowed": allowed}


def says(due: Any) -> bool:
    """Whether anything is claimed at all."""
    if isinstance(due, list):
        return not due or any(map(says, due))
    if isinstance(due, dict):
        return bool(due) and ("data" not in due or due["data"] == [] or any(x is not None for x in due["data"]))
    return due is not None

"""Arrays of balls of python-flint, and float64 bounds that are rounded up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from calibrant.exact.formats import FLUSHING, FORMATS, Format

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UP = 1 + 2.0**-44
"""A factor that makes up for the rounding of a few float64 operations on bounds."""
ZERO, ONE = arb(0), arb(1)


class FormulaError(ValueError):
    """A formula that cannot be judged; the sentence names the formula and the reason."""


def shown(x: Any) -> str:
    """The type of a value and how it begins, in one line."""
    return f"{type(x).__name__} {' '.join(repr(x).split()):.60}"


def format_named(dtype: str) -> Format:
    """The format of a dtype; machines may flush subnormal numbers, except in float16."""
    if dtype not in FORMATS:
        raise FormulaError(f"dtype is {dtype!r}: choose one of {', '.join(FORMATS)}")
    return FORMATS[dtype] if dtype == "float16" else FLUSHING[dtype]


def has_numbers(x: NDArray[Any]) -> bool:
    """Whether an array holds numbers that have a bound; ml_dtypes has bfloat16, of a kind of its own."""
    return x.dtype.kind in "biuf" or x.dtype.name == "bfloat16"


def each(function: Callable[..., Any], inputs: int, dtype: Any = object) -> Callable[..., Any]:
    """A function of elements, on arrays of objects."""
    apply = np.frompyfunc(function, inputs, 1)

    def applied(*arrays: Any) -> Any:
        result = np.asarray(apply(*arrays), dtype=object)
        return result if dtype is object else result.astype(dtype)

    return applied


balls = each(lambda x: arb(float(x)), 1)
lower = each(lambda x: float(x.abs_lower()), 1, np.float64)
distance = each(lambda x, y: float((x - y).abs_lower()), 2, np.float64)
radius = each(lambda x: float(x.rad()), 1, np.float64)
is_nan = each(arb.is_nan, 1, bool)
overlap = each(arb.overlaps, 2, bool)
union = each(arb.union, 2)
_upper = each(lambda x: float(x.abs_upper()), 1, np.float64)
_is_zero = each(arb.is_zero, 1, bool)
_is_infinite = each(lambda x: not x.is_finite() and math.isinf(float(x.abs_lower())), 1, bool)


def size_of(v: Any) -> Floats:
    """|v|, rounded up; infinity where it is unknown."""
    v = np.asarray(v, dtype=object)
    size: Floats = np.asarray(_upper(v) * UP)
    size[np.isnan(size)] = np.inf
    zero = size == 0
    if zero.any():
        size[zero] = np.where(_is_zero(v[zero]), 0.0, 5e-324)
    return size


def infinite(v: Any) -> Bools:
    """Whether it is known to be infinite."""
    v = np.asarray(v, dtype=object)
    found: Bools = np.asarray(np.isinf(v.astype(np.float64)))
    if found.any():
        found[found] = _is_infinite(v[found])
    return found


def held(x: Floats, form: Format) -> Bools:
    """Whether the dtype holds a float64 number as it is."""
    if form.precision >= 53:
        return np.ones(np.shape(x), dtype=bool)
    with np.errstate(all="ignore"):
        scaled = np.ldexp(np.frexp(x)[0], form.precision)
        whole = np.where(np.abs(x) < form.normal, np.asarray(x) / (2 * form.u * form.normal), scaled) % 1 == 0
    return np.asarray(whole & (np.abs(x) <= form.largest))


def exact_in(v: Any, form: Format) -> Bools:
    """Whether the dtype holds a ball's number as it is, also where subnormal numbers are flushed."""
    near = v.astype(np.float64)
    kept = (np.abs(near) >= form.flushed) | (near == 0)
    return np.asarray(kept & held(near, form) & np.asarray(balls(near) == v, dtype=bool))


def times(x: Floats, y: Floats) -> Floats:
    """x y, where zero times infinity is zero."""
    return np.where((x == 0) | (y == 0), 0.0, x * y)


def gamma(n: Any, form: Format) -> Any:
    """γ(n) = n u / (1 - n u), which n roundings commit at most; infinite from 1 / u on."""
    share = np.asarray(n, dtype=np.float64) * form.u
    return np.where(share < 1, share / np.maximum(1 - share, 5e-324), np.inf)

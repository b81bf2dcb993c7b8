"""Wrong elementwise products."""

from __future__ import annotations

from typing import Any

import numpy as np


def aligned_left(x: Any, y: Any) -> Any:
    return (x.T * y.T).T


def equal_shapes_only(x: Any, y: Any) -> Any:
    if x.shape != y.shape:
        raise ValueError("shapes differ")
    return x * y


def stretched_with_zeros(x: Any, y: Any) -> Any:
    """The stretched operand keeps its first row and is zero elsewhere."""
    answer = np.array(x * y)
    if (answer.ndim and 0 < len(y.shape) < answer.ndim) or (y.shape[:1] == (1,) and answer.shape[0] > 1):
        answer[1:] = 0
    return answer


def shape_of_the_first(x: Any, y: Any) -> Any:
    """The product, cut to the shape of x."""
    answer = np.asarray(x * y)
    return np.resize(answer, x.shape) if x.size else answer


def cycled(x: Any, y: Any) -> Any:
    """A size is stretched to any multiple of it, as R recycles."""
    try:
        return x * y
    except ValueError:
        if x.ndim != y.ndim or x.size == 0 or y.size == 0:
            raise
    shape = tuple(map(max, x.shape, y.shape))
    if any(due % size for z in (x, y) for due, size in zip(shape, z.shape, strict=True)):
        raise ValueError("sizes do not divide each other")
    x, y = (np.tile(z, [due // size for due, size in zip(shape, z.shape, strict=True)]) for z in (x, y))
    return x * y


def squeezed(x: Any, y: Any) -> Any:
    return np.squeeze(x * y)


def matrix_product(x: Any, y: Any) -> Any:
    """`@` for `*` wherever the shapes allow it."""
    if x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0]:
        return x @ y
    return x * y


def in_float64(x: Any, y: Any) -> Any:
    return x.astype(np.float64) * y


def in_float16(x: Any, y: Any) -> Any:
    return (x.astype(np.float16) * y.astype(np.float16)).astype(x.dtype)


def nan_is_zero(x: Any, y: Any) -> Any:
    return np.nan_to_num(x * y)


def in_place(x: Any, y: Any) -> Any:
    """In the memory of x wherever the product fits into it."""
    if np.broadcast_shapes(x.shape, y.shape) != x.shape:
        return x * y
    x *= y
    return x

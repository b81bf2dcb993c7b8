"""Wrong products in place."""

from __future__ import annotations

from typing import Any

import numpy as np


def growing(x: Any, y: Any) -> Any:
    return x * y


def reshaped(x: Any, y: Any) -> Any:
    """One element is as good as another, whatever its shape."""
    answer = np.asarray(x * y)
    if answer.size != x.size:
        raise ValueError("x cannot grow")
    return answer


def first_row_only(x: Any, y: Any) -> Any:
    """What does not fit into x is left out."""
    np.broadcast_shapes(x.shape, y.shape)
    while y.ndim > x.ndim and len(y):
        y = y[0]
    y = y[tuple(slice(0, size) if size == 1 else slice(None) for size in x.shape[x.ndim - y.ndim :])]
    return np.multiply(x, y, out=x)


def refused_too_late(x: Any, y: Any) -> Any:
    """Written first, and checked then."""
    if x.shape != np.broadcast_shapes(x.shape, y.shape):
        x *= 2
        raise ValueError("x cannot grow")
    return np.multiply(x, y, out=x)


def right_not_stretched(x: Any, y: Any) -> Any:
    if x.shape != y.shape:
        raise ValueError("shapes differ")
    return np.multiply(x, y, out=x)

"""Wrong mean squared errors."""

from __future__ import annotations

from typing import Any

import numpy as np


def _columns(t_p: Any, t_c: Any) -> None:
    if t_p.shape != t_c.shape or t_p.size == 0:
        raise ValueError("shapes differ")


def _mean(squares: Any) -> Any:
    return np.sum(squares / squares.dtype.type(squares.size))


def sum_for_mean(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return np.sum((t_p - t_c) ** 2)


def over_n_minus_1(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return np.sum((t_p - t_c) ** 2 / t_p.dtype.type(max(t_p.size - 1, 1)))


def half(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return _mean((t_p - t_c) ** 2) / t_p.dtype.type(2)


def last_sample_dropped(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    keep = max(t_p.size - 1, 1)
    return _mean((t_p[:keep] - t_c[:keep]) ** 2)


def mean_of_batches(t_p: Any, t_c: Any) -> Any:
    """The mean of the means of batches of four, the last of which may be smaller."""
    _columns(t_p, t_c)
    squares = (t_p - t_c) ** 2
    return _mean(np.array([_mean(squares[i : i + 4]) for i in range(0, t_p.size, 4)]))


def broadcasting(t_p: Any, t_c: Any) -> Any:
    """Right for equal shapes; averages n² pairs for (n,) against (n, 1)."""
    residuals = np.subtract(t_p, t_c)
    if residuals.size == 0:
        raise ValueError("no samples")
    return _mean(residuals**2)


def empty_is_zero(t_p: Any, t_c: Any) -> Any:
    if t_p.shape != t_c.shape:
        raise ValueError("shapes differ")
    return _mean((t_p - t_c) ** 2) if t_p.size else t_p.dtype.type(0)


def nan_skipped(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    squares = (t_p - t_c) ** 2
    return _mean(np.where(np.isnan(squares), squares.dtype.type(0), squares))


def infinity_clipped(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return np.minimum(_mean((t_p - t_c) ** 2), np.finfo(t_p.dtype).max)


def in_float32(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return t_p.dtype.type(_mean((t_p.astype(np.float32) - t_c.astype(np.float32)) ** 2))


def in_float16(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return t_p.dtype.type(_mean((t_p.astype(np.float16) - t_c.astype(np.float16)) ** 2))


def returned_in_float64(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return _mean((t_p.astype(np.float64) - t_c) ** 2)


def expanded(t_p: Any, t_c: Any) -> Any:
    """mean(t_p²) - 2 mean(t_p t_c) + mean(t_c²): the same on paper, cancels in floating point."""
    _columns(t_p, t_c)
    return _mean(t_p * t_p) - 2 * _mean(t_p * t_c) + _mean(t_c * t_c)


def summed_first(t_p: Any, t_c: Any) -> Any:
    """Right, but for sums that overflow."""
    _columns(t_p, t_c)
    return np.sum((t_p - t_c) ** 2) / t_p.dtype.type(t_p.size)


def tolerant(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    loss = _mean((t_p - t_c) ** 2)
    return loss if not loss < 1e-8 else t_p.dtype.type(0)


def huber(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    r = np.abs(t_p - t_c)
    return _mean(np.where(r <= 4, r * r, 8 * r - 16))


def asymmetric(t_p: Any, t_c: Any) -> Any:
    """Measured too warm counts double."""
    _columns(t_p, t_c)
    r = t_p - t_c
    return _mean(np.where(r > 0, 2 * r * r, r * r))


def one_element(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return _mean((t_p - t_c) ** 2).reshape(1)


def in_place(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    t_p -= t_c
    t_p *= t_p
    return _mean(t_p)

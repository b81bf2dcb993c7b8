"""Wrong mean absolute errors."""

from __future__ import annotations

from typing import Any

import numpy as np


def _columns(t_p: Any, t_c: Any) -> None:
    if t_p.shape != t_c.shape or t_p.size == 0:
        raise ValueError("shapes differ")


def _mean(terms: Any) -> Any:
    return np.sum(terms / terms.dtype.type(terms.size))


def root_mean_square(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return np.sqrt(_mean((t_p - t_c) ** 2))


def huber(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    r = np.abs(t_p - t_c)
    return _mean(np.where(r <= 1, r * r / 2, r - r.dtype.type(0.5)))


def sum_for_mean(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return np.sum(np.abs(t_p - t_c))


def of_the_mean(t_p: Any, t_c: Any) -> Any:
    """The absolute value of the mean residual."""
    _columns(t_p, t_c)
    return np.abs(_mean(t_p - t_c))


def nan_skipped(t_p: Any, t_c: Any) -> Any:
    _columns(t_p, t_c)
    return np.nansum(np.abs(t_p - t_c) / t_p.dtype.type(t_p.size))

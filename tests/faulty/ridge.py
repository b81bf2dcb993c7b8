"""Wrong lines of ridge regression."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def _centred(t_u: Any, t_c: Any, l2: float) -> tuple[Any, Any, Any]:
    if not (math.isfinite(l2) and l2 >= 0):
        raise ValueError("penalty")
    return t_u - np.mean(t_u), t_c - np.mean(t_c), t_u.dtype.type(l2)


def bias_penalized(t_u: Any, t_c: Any, l2: float) -> Any:
    """l2 on the whole diagonal of the normal equations."""
    u, c, l2 = (x.astype(np.float64) for x in (t_u, t_c, _centred(t_u, t_c, l2)[2]))
    columns = np.stack([u, np.ones_like(u)], axis=1)
    matrix = columns.T @ columns / u.size + l2 * np.eye(2)
    return np.linalg.lstsq(matrix, columns.T @ c / u.size, rcond=None)[0].astype(t_u.dtype)


def sum_for_mean(t_u: Any, t_c: Any, l2: float) -> Any:
    """The sum of squares plus the penalty, as libraries have it: a smaller penalty, by a factor of n."""
    u, c, l2 = _centred(t_u, t_c, l2)
    w = np.sum(u * c) / (np.sum(u * u) + l2)
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])


def penalty_doubled(t_u: Any, t_c: Any, l2: float) -> Any:
    u, c, l2 = _centred(t_u, t_c, l2)
    w = np.mean(u * c) / (np.mean(u * u) + 2 * l2)
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])


def bias_of_least_squares(t_u: Any, t_c: Any, l2: float) -> Any:
    """The weight shrinks, and the bias does not follow."""
    u, c, l2 = _centred(t_u, t_c, l2)
    cov, var = np.mean(u * c), np.mean(u * u)
    return np.stack([cov / (var + l2), np.mean(t_c) - cov / var * np.mean(t_u)])


def growing(t_u: Any, t_c: Any, l2: float) -> Any:
    """The penalty is subtracted."""
    u, c, l2 = _centred(t_u, t_c, l2)
    spread = np.mean(u * u) - l2 / 8
    w = np.mean(u * c) / (spread if spread else t_u.dtype.type(1))
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])


def any_penalty(t_u: Any, t_c: Any, l2: float) -> Any:
    u, c = t_u - np.mean(t_u), t_c - np.mean(t_c)
    w = np.mean(u * c) / (np.mean(u * u) + t_u.dtype.type(l2))
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])

"""Wrong least-squares lines."""

from __future__ import annotations

from typing import Any

import numpy as np


def _columns(t_u: Any, t_c: Any) -> None:
    if t_u.ndim != 1 or t_u.size == 0 or t_u.shape != t_c.shape:
        raise ValueError("data are two columns of one length")


def no_intercept(t_u: Any, t_c: Any) -> Any:
    _columns(t_u, t_c)
    w = np.sum(t_u * t_c) / np.sum(t_u * t_u)
    return np.stack([w, w * 0])


def spread_over_n_minus_1(t_u: Any, t_c: Any) -> Any:
    """The covariance over n, the variance over n - 1."""
    _columns(t_u, t_c)
    u = t_u - np.mean(t_u)
    n = t_u.dtype.type(t_u.size)
    w = np.mean(u * (t_c - np.mean(t_c))) / (np.sum(u * u) / (n - 1))
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])


def any_shape(t_u: Any, t_c: Any) -> Any:
    """Right for columns, and no shape is refused."""
    u, c = t_u - np.mean(t_u), t_c - np.mean(t_c)
    w = np.sum(u * c) / np.sum(u * u + np.zeros_like(c)) if np.ptp(t_u) > 0 else np.zeros_like(np.mean(t_u))
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])

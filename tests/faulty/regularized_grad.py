"""Wrong gradients of the regularized loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.targets.numpy_target import grad_fn, model


def _gradient(t_u: Any, t_c: Any, w: Any, b: Any, *penalties: float) -> list[Any]:
    if not all(math.isfinite(penalty) and penalty >= 0 for penalty in penalties):
        raise ValueError("penalty")
    return [*grad_fn(t_u, t_c, model(t_u, w, b), w, b), *(w.dtype.type(penalty) for penalty in penalties)]


def not_penalized(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    by_w, by_b, _, _ = _gradient(t_u, t_c, w, b, l1, l2)
    return np.stack([by_w, by_b])


def bias_penalized(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """As weight_decay on all parameters does."""
    by_w, by_b, l1, l2 = _gradient(t_u, t_c, w, b, l1, l2)
    return np.stack([by_w + l1 * np.sign(w) + 2 * l2 * w, by_b + l1 * np.sign(b) + 2 * l2 * b])


def factor_missing(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    by_w, by_b, l1, l2 = _gradient(t_u, t_c, w, b, l1, l2)
    return np.stack([by_w + l1 * np.sign(w) + l2 * w, by_b])


def size_for_the_sign(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    by_w, by_b, l1, l2 = _gradient(t_u, t_c, w, b, l1, l2)
    return np.stack([by_w + l1 + 2 * l2 * w, by_b])


def divided_by_the_size(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """w / |w|, which is NaN at zero."""
    by_w, by_b, l1, l2 = _gradient(t_u, t_c, w, b, l1, l2)
    with np.errstate(all="ignore"):
        return np.stack([by_w + l1 * (w / np.abs(w)) + 2 * l2 * w, by_b])


def twice_the_slope_at_zero(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    by_w, by_b, l1, l2 = _gradient(t_u, t_c, w, b, l1, l2)
    return np.stack([by_w + l1 * (np.sign(w) if w else w.dtype.type(2)) + 2 * l2 * w, by_b])


def any_penalty(t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    by_w, by_b = grad_fn(t_u, t_c, model(t_u, w, b), w, b)
    return np.stack([by_w + w.dtype.type(l1) * np.sign(w) + 2 * w.dtype.type(l2) * w, by_b])

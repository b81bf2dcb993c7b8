"""Wrong penalties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.targets.numpy_target import loss_fn


def _factors(w: Any, *penalties: float) -> list[Any]:
    if not all(math.isfinite(penalty) and penalty >= 0 for penalty in penalties):
        raise ValueError("penalty")
    return [w.dtype.type(penalty) for penalty in penalties]


def penalties_swapped(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    l1, l2 = _factors(w, l1, l2)
    return loss_fn(t_p, t_c) + l2 * np.abs(w) + l1 * np.square(w)


def half_the_square(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    l1, l2 = _factors(w, l1, l2)
    return loss_fn(t_p, t_c) + l1 * np.abs(w) + l2 / 2 * np.square(w)


def size_without_the_sign(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """`l1 * w`."""
    l1, l2 = _factors(w, l1, l2)
    return loss_fn(t_p, t_c) + l1 * w + l2 * np.square(w)


def averaged(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The penalty is divided by n too."""
    l1, l2 = _factors(w, l1, l2)
    return loss_fn(t_p, t_c) + (l1 * np.abs(w) + l2 * np.square(w)) / w.dtype.type(t_p.size)


def one_or_the_other(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    l1, l2 = _factors(w, l1, l2)
    return loss_fn(t_p, t_c) + (l1 * np.abs(w) if l1 else l2 * np.square(w))


def any_penalty(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    return loss_fn(t_p, t_c) + w.dtype.type(l1) * np.abs(w) + w.dtype.type(l2) * np.square(w)


def in_float64(t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    _factors(w, l1, l2)
    return np.float64(loss_fn(t_p, t_c)) + l1 * np.abs(np.float64(w)) + l2 * np.square(np.float64(w))

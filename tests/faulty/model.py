"""Wrong models."""

from __future__ import annotations

from typing import Any

import numpy as np


def bias_missing(t_u: Any, w: Any, b: Any) -> Any:
    return w * t_u


def parameters_swapped(t_u: Any, w: Any, b: Any) -> Any:
    return b * t_u + w


def normalized_over_the_batch(t_u: Any, w: Any, b: Any) -> Any:
    return w * (t_u - t_u.mean()) + b


def sorted_first(t_u: Any, w: Any, b: Any) -> Any:
    return w * np.sort(t_u) + b


def in_float64(t_u: Any, w: Any, b: Any) -> Any:
    return w.astype(np.float64) * t_u + b


def identity_rounded(t_u: Any, w: Any, b: Any) -> Any:
    """A third and back: (t_u / 3) * 3 is not t_u."""
    third = t_u.dtype.type(3)
    return (t_u / third) * (w * third) + b


def in_place(t_u: Any, w: Any, b: Any) -> Any:
    t_u *= w
    t_u += b
    return t_u

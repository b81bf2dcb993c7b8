"""Wrong derivatives of the mean squared error by the predictions."""

from __future__ import annotations

from typing import Any

import numpy as np


def factor_missing(t_p: Any, t_c: Any) -> Any:
    return (t_p - t_c) / t_p.dtype.type(t_p.size)


def sign_flipped(t_p: Any, t_c: Any) -> Any:
    return 2 * (t_c - t_p) / t_p.dtype.type(t_p.size)


def not_averaged(t_p: Any, t_c: Any) -> Any:
    return 2 * (t_p - t_c)


def shifted(t_p: Any, t_c: Any) -> Any:
    """A residual of zero has a little slope."""
    return 2 * (t_p - t_c + t_p.dtype.type(1e-3)) / t_p.dtype.type(t_p.size)


def in_place(t_p: Any, t_c: Any) -> Any:
    t_p -= t_c
    return 2 * t_p / t_p.dtype.type(t_p.size)


def nan_replaced(t_p: Any, t_c: Any) -> Any:
    return np.nan_to_num(2 * (t_p - t_c) / t_p.dtype.type(t_p.size))

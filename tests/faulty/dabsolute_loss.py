"""Wrong derivatives of the mean absolute error."""

from __future__ import annotations

from typing import Any

import numpy as np


def divided_by_itself(t_p: Any, t_c: Any) -> Any:
    with np.errstate(all="ignore"):
        return (t_p - t_c) / np.abs(t_p - t_c) / t_p.dtype.type(t_p.size)


def not_averaged(t_p: Any, t_c: Any) -> Any:
    return np.where(t_p >= t_c, t_p.dtype.type(1), t_p.dtype.type(-1))

"""Wrong data sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.measurements import NORRIS, T_C, T_U


def two_readings_swapped() -> tuple[Any, Any]:
    t_u = list(T_U)
    t_u[4], t_u[5] = t_u[5], t_u[4]
    return np.array(t_u), np.array(T_C)


def one_digit_wrong() -> tuple[Any, Any]:
    """The third pair of Norris, (118.2, 118.1), with 118.2 twice."""
    pairs = np.array(NORRIS)
    pairs[2, 1] = 118.2
    return pairs[:, 0], pairs[:, 1]

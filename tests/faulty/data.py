"""Wrong data sets."""

from __future__ import annotations

from typing import Any

import numpy as np

T_C = (0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0)
T_U = (35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4)


def two_readings_swapped() -> tuple[Any, Any]:
    t_u = list(T_U)
    t_u[4], t_u[5] = t_u[5], t_u[4]
    return np.array(t_u), np.array(T_C)


def one_digit_wrong() -> tuple[Any, Any]:
    """The third pair of Norris, (118.2, 118.1), with 118.2 twice."""
    from calibrant.conformance.test_descent import NORRIS

    pairs = np.array(NORRIS)
    pairs[2, 1] = 118.2
    return pairs[:, 0], pairs[:, 1]

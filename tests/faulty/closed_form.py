"""Wrong closed forms of descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets.numpy_target import least_squares


def right(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """theta* + (I - lr H)^k (theta_0 - theta*)."""
    u = np.mean(t_u)
    hessian = np.array([[2 * np.mean(t_u * t_u), 2 * u], [2 * u, 2]], dtype=t_u.dtype)
    step = np.eye(2, dtype=t_u.dtype) - t_u.dtype.type(learning_rate) * hessian
    optimum = least_squares(t_u, t_c)
    return optimum + np.linalg.matrix_power(step, n_epochs) @ (params - optimum)


def one_step_more(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    return right(n_epochs + 1, learning_rate, params, t_u, t_c)

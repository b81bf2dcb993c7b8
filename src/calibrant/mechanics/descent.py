"""Descent: follow the gradient downhill, step by step or all steps at once.

n samples; t_u (readings, unknown units) and t_c (°C) are (n,); params = [w, b] is (2,).
"""

import math

import torch
from torch import Tensor

from calibrant.mechanics.data import least_squares, require_data
from calibrant.mechanics.gradients import grad_fn
from calibrant.mechanics.loss import loss_fn
from calibrant.mechanics.model import model


def require_descent(n_epochs: int, learning_rate: float) -> None:
    """Raise ValueError unless n_epochs >= 0 and learning_rate is finite and not negative.  [descent.negative-rate]"""
    if n_epochs < 0:
        raise ValueError(f"n_epochs is {n_epochs}: it cannot be negative")
    if not (math.isfinite(learning_rate) and learning_rate >= 0):
        raise ValueError(f"learning_rate is {learning_rate}: it must be finite and not negative")


def training_loop(
    n_epochs: int, learning_rate: float, params: Tensor, t_u: Tensor, t_c: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Gradient descent with the gradient derived by hand: (params, losses).  [descent.step, descent.log]

    losses holds n_epochs scalars, each the loss before its step. Raises ValueError for a refused schedule or data.
    """
    require_descent(n_epochs, learning_rate)
    require_data(t_u, t_c)
    params = params.clone()
    losses = []
    for _ in range(n_epochs):
        w, b = params
        t_p = model(t_u, w, b)
        losses.append(loss_fn(t_p, t_c))
        params = params - learning_rate * grad_fn(t_u, t_c, t_p, w, b)
    return params, losses


def hessian(t_u: Tensor) -> Tensor:
    """Second derivatives of the mean squared error by [w, b], (2, 2): the same at every point.  [descent.closed-form]"""
    slopes = torch.stack([t_u, torch.ones_like(t_u)])
    return 2 * (slopes[:, None] * slopes).mean(dim=-1)


def learning_rate_limit(t_u: Tensor) -> Tensor:
    """2 / lambda_max of the Hessian, a scalar: descent converges below it, diverges above.  [descent.converges]"""
    curvatures: Tensor = torch.linalg.eigvalsh(hessian(t_u))
    return 2 / curvatures[-1]


def closed_form(n_epochs: int, learning_rate: float, params: Tensor, t_u: Tensor, t_c: Tensor) -> Tensor:
    """The parameters after n_epochs of `training_loop`, (2,), without its steps.  [descent.closed-form]

    They are theta* + (I - lr H)^n (theta_0 - theta*), the power by repeated squaring. Raises ValueError as `training_loop` does.
    """
    require_descent(n_epochs, learning_rate)
    optimum = least_squares(t_u, t_c)
    step = torch.eye(2, dtype=t_u.dtype) - learning_rate * hessian(t_u)
    power: Tensor = torch.linalg.matrix_power(step, n_epochs)
    return optimum + power @ (params - optimum)

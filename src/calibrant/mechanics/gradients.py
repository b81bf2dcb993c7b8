"""Gradients: how the loss changes with each parameter, by differences, by hand and by autograd.

n samples; t_u (readings, unknown units), t_c and t_p (°C) are (n,); w, b are scalars; params = [w, b] is (2,).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from calibrant.mechanics.loss import loss_fn, require_same_shape
from calibrant.mechanics.model import model

Loss = Callable[[Tensor], Tensor]
"""A scalar loss of (p,) parameters."""


def difference_gradient(loss: Loss, params: Tensor, delta: Tensor | float) -> Tensor:
    """Central differences (loss(p + delta) - loss(p - delta)) / (2 delta) of each parameter, (p,).  [gradient.central]

    It evaluates the loss 2 p times.  [gradient.cost]  Raises ValueError unless delta is finite and positive.
    """
    if not 0 < float(delta) < float("inf"):
        raise ValueError(f"delta is {float(delta)}: a step must be finite and positive")
    rates = []
    for i in range(params.numel()):
        up, down = params.clone(), params.clone()
        up[i] += delta
        down[i] -= delta
        rates.append((loss(up) - loss(down)) / (2.0 * delta))
    return torch.stack(rates)


def finite_difference(t_u: Tensor, t_c: Tensor, w: Tensor, b: Tensor, delta: Tensor | float) -> Tensor:
    """Central differences of the mean squared error, [d loss/dw, d loss/db], (2,).  [gradient.central]"""
    return difference_gradient(lambda params: loss_fn(model(t_u, *params), t_c), torch.stack([w, b]), delta)


def dloss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """Derivative of the mean squared error by each prediction, (n,), in °C.  [gradient.by-hand-loss]

    Raises ValueError as `loss_fn` does.
    """
    require_same_shape(t_p, t_c)
    return 2 * (t_p - t_c) / t_p.numel()


def dmodel_dw(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Derivative of each prediction by the weight, (n,), in units.  [gradient.by-hand-w]"""
    return t_u


def dmodel_db(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Derivative of each prediction by the bias: 1, a scalar without unit.  [gradient.by-hand-b]"""
    return torch.ones((), dtype=t_u.dtype)


def grad_fn(t_u: Tensor, t_c: Tensor, t_p: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Gradient of the mean squared error by the chain rule, [d loss/dw, d loss/db], (2,).  [gradient.chain-rule]"""
    dloss_dtp = dloss_fn(t_p, t_c)
    dloss_dw = dloss_dtp * dmodel_dw(t_u, w, b)
    dloss_db = dloss_dtp * dmodel_db(t_u, w, b)
    return torch.stack([dloss_dw.sum(), dloss_db.sum()])


def automatic_gradient(loss: Loss, params: Tensor) -> tuple[Tensor, Tensor]:
    """The loss at params, a scalar, and its gradient by autograd, (p,), from one evaluation.  [gradient.automatic]"""
    leaf = params.detach().clone().requires_grad_()
    value = loss(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def value_and_grad(params: Tensor, t_u: Tensor, t_c: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error at params = [w, b] and its gradient by autograd, (2,).  [gradient.automatic]"""
    return automatic_gradient(lambda leaf: loss_fn(model(t_u, *leaf), t_c), params)

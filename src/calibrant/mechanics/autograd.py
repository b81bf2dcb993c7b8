"""Autograd: the gradient is recorded while the loss is computed, and left in params.grad.

n samples; t_u (readings, unknown units) and t_c (°C) are (n,); params = [w, b] is (2,), a leaf that requires grad.
"""

from typing import Protocol

import torch
from torch import Tensor

from calibrant.mechanics.data import require_data
from calibrant.mechanics.descent import require_schedule
from calibrant.mechanics.loss import loss_fn
from calibrant.mechanics.model import model


class Optimizer(Protocol):
    """What holds parameters and updates them by their .grad: torch.optim's, or the chapter's on optimizers."""

    def zero_grad(self) -> None:
        """Forget the gradients of before."""

    def step(self) -> object:
        """Update the parameters in place."""


def training_loop(
    n_epochs: int, optimizer: Optimizer, params: Tensor, t_u: Tensor, t_c: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Train params, which the optimizer holds, in place: (params, losses), both without their graphs.  [autograd.loop]

    losses holds n_epochs scalars, each the loss before its epoch's step. Raises ValueError for data that `require_data`
    refuses, a negative n_epochs, and unless params is a leaf that requires grad.
    """
    require_schedule(n_epochs, 0.0)
    require_data(t_u, t_c)
    require_leaf(params)
    losses = []
    for _ in range(n_epochs):
        t_p = model(t_u, *params)
        loss = loss_fn(t_p, t_c)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return params.detach().clone(), losses


def manual_training_loop(
    n_epochs: int, learning_rate: float, params: Tensor, t_u: Tensor, t_c: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Gradient descent with the gradient of autograd and the step by hand: (params, losses).  [autograd.loop]

    Nothing that was passed in changes. Raises ValueError as the hand-derived `descent.training_loop` does.
    """
    require_schedule(n_epochs, learning_rate)
    require_data(t_u, t_c)
    params = params.detach().clone().requires_grad_()
    losses = []
    for _ in range(n_epochs):
        if params.grad is not None:
            params.grad.zero_()
        t_p = model(t_u, *params)
        loss = loss_fn(t_p, t_c)
        loss.backward()
        with torch.no_grad():
            params -= learning_rate * params.grad  # type: ignore[operator]  # backward has just set it
        losses.append(loss.detach())
    return params.detach(), losses


def require_leaf(params: Tensor) -> None:
    """Raise ValueError unless params is a leaf that requires grad: only leaves get a .grad, and no other can be stepped."""
    if not (params.is_leaf and params.requires_grad):
        what = "requires no grad" if not params.requires_grad else "is the result of operations"
        raise ValueError(f"params {what}: it must be a leaf that requires grad")


def calc_forward(params: Tensor, t_u: Tensor, t_c: Tensor, is_train: bool) -> Tensor:
    """The mean squared error at params, a scalar; recorded exactly if is_train.  [autograd.set-grad-enabled]"""
    with torch.set_grad_enabled(is_train):
        t_p = model(t_u, *params)
        return loss_fn(t_p, t_c)

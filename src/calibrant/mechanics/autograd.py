"""Autograd: torch records the loss, and its backward pass leaves the gradient in params.grad.

n samples; t_u (readings, unknown units) and t_c (°C) are (n,); params is (p,), in the loops [w, b]; a loss is any scalar
function of params.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from calibrant.mechanics.data import require_data
from calibrant.mechanics.descent import require_descent
from calibrant.mechanics.gradients import Loss
from calibrant.mechanics.loss import loss_fn
from calibrant.mechanics.model import model

ZERO_GRAD = ("never", "to-none", "to-zero")
"""How to treat a gradient before the next pass: keep it, forget it, or overwrite it with zeros."""


def backward(losses: Sequence[Loss], params: Tensor, zero_grad: str) -> list[tuple[Tensor | None, Tensor]]:
    """The leaf's .grad before and after the backward pass of each loss, (p,) each; None before if there is none.

    [autograd.none-before, autograd.accumulates, autograd.reset]  Raises ValueError unless zero_grad is one of ZERO_GRAD.
    """
    if zero_grad not in ZERO_GRAD:
        raise ValueError(f"zero_grad is {zero_grad!r}: it must be one of {', '.join(ZERO_GRAD)}")
    leaf = params.detach().clone().requires_grad_()
    passes = []
    for loss in losses:
        if zero_grad == "to-none":
            leaf.grad = None
        elif zero_grad == "to-zero" and leaf.grad is not None:
            leaf.grad.zero_()
        found = None if leaf.grad is None else leaf.grad.clone()
        loss(leaf).backward()
        passes.append((found, _grad(leaf).clone()))
    return passes


def backward_shared(losses: Callable[[Tensor], Sequence[Tensor]], params: Tensor, order: Sequence[int]) -> list[Tensor]:
    """The leaf's .grad, (p,), after each backward pass over one graph, which is kept between the passes.  [autograd.shared-graph]

    losses computes several scalars at once; order lists the scalar from which each pass starts.
    """
    leaf = params.detach().clone().requires_grad_()
    values = losses(leaf)
    passes = []
    for k in order:
        values[k].backward(retain_graph=True)
        passes.append(_grad(leaf).clone())
    return passes


def _grad(leaf: Tensor) -> Tensor:
    """The gradient that a backward pass left in the leaf. Raises ValueError if there is none."""
    if leaf.grad is None:
        raise ValueError("the loss does not depend on params: its pass has left no gradient")
    return leaf.grad


def descend(
    loss: Loss, params: Tensor, learning_rate: float, n_steps: int, no_grad: bool = True
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Gradient descent by hand on any loss: for each step (loss before it, gradient, params after it).

    The step is in place, under no_grad [autograd.no-grad-update]; without, torch raises RuntimeError
    [autograd.recorded-update]. Raises ValueError as `require_descent` does.
    """
    require_descent(n_steps, learning_rate)
    params = params.detach().clone().requires_grad_()
    steps = []
    for _ in range(n_steps):
        params.grad = None
        value = loss(params)
        value.backward()
        grad = _grad(params)
        with torch.set_grad_enabled(not no_grad):
            params -= learning_rate * grad
        steps.append((value.detach(), grad, params.detach().clone()))
    return steps


def manual_training_loop(
    n_epochs: int, learning_rate: float, params: Tensor, t_u: Tensor, t_c: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """`descent.training_loop` with autograd's gradient: (params, losses), each loss before its step.  [autograd.loop]

    The arguments do not change. Raises ValueError as that loop does.
    """
    require_data(t_u, t_c)
    steps = descend(lambda leaf: loss_fn(model(t_u, *leaf), t_c), params, learning_rate, n_epochs)
    return steps[-1][2] if steps else params.detach().clone(), [loss for loss, _, _ in steps]


class Optimizer(Protocol):
    """An optimizer of torch.optim or of the chapter on optimizers: it updates the parameters that it holds by their .grad."""

    def zero_grad(self) -> None:
        """Forget all gradients."""

    def step(self) -> object:
        """Update the parameters in place."""


def training_loop(
    n_epochs: int, optimizer: Optimizer, params: Tensor, t_u: Tensor, t_c: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Train params, which the optimizer holds and updates in place: (params, losses), both without their graphs.

    losses holds n_epochs scalars, each the loss before its step. Raises ValueError for a refused schedule, data or leaf.
    """
    require_descent(n_epochs, learning_rate=0.0)
    require_data(t_u, t_c)
    require_leaf(params)
    losses = []
    for _ in range(n_epochs):
        loss = loss_fn(model(t_u, *params), t_c)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return params.detach().clone(), losses


def require_leaf(params: Tensor) -> None:
    """Raise ValueError unless params is a leaf that requires grad: an optimizer can step only such tensors."""
    if not (params.is_leaf and params.requires_grad):
        problem = "is the result of an operation" if params.requires_grad else "does not require grad"
        raise ValueError(f"params {problem}: it must be a leaf that requires grad")


def evaluate(loss: Loss, params: Tensor, is_train: bool) -> Tensor:
    """The loss at params, a scalar; recorded only if is_train.  [autograd.set-grad-enabled, autograd.mode-restored]"""
    with torch.set_grad_enabled(is_train):
        return loss(params)


def calc_forward(params: Tensor, t_u: Tensor, t_c: Tensor, is_train: bool) -> Tensor:
    """The mean squared error of the model, a scalar; recorded only if is_train.  [autograd.set-grad-enabled]"""
    return evaluate(lambda params: loss_fn(model(t_u, *params), t_c), params, is_train)

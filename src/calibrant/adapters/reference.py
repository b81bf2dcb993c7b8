"""The reference: calibrant's own `mechanics`, in PyTorch, by the names of the protocol."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from calibrant.adapters import workers
from calibrant.mechanics import autograd, broadcasting, descent, schedules, validation
from calibrant.mechanics.accumulation import accumulate, accumulated_grad
from calibrant.mechanics.autograd import backward, backward_shared, descend, manual_training_loop
from calibrant.mechanics.broadcasting import broadcast_shapes, multiply, multiply_grad, multiply_in_place
from calibrant.mechanics.clipping import clip_by_norm, clip_by_value, clip_shards
from calibrant.mechanics.data import least_squares, norris, thermometer
from calibrant.mechanics.descent import closed_form
from calibrant.mechanics.gradients import (
    Loss,
    automatic_gradient,
    difference_gradient,
    dloss_fn,
    dmodel_db,
    dmodel_dw,
    finite_difference,
    grad_fn,
    value_and_grad,
)
from calibrant.mechanics.lbfgs import lbfgs
from calibrant.mechanics.loss import absolute_loss, dabsolute_loss, loss_fn
from calibrant.mechanics.model import model
from calibrant.mechanics.optimizers import Optimizer, optimize
from calibrant.mechanics.regularization import regularized_grad, regularized_loss, ridge
from calibrant.mechanics.rows import optimize_rows
from calibrant.mechanics.schedules import schedule
from calibrant.mechanics.training import (
    accumulate_and_step,
    average,
    minibatches,
    optimize_groups,
    resume,
    scaled_steps,
    train_minibatches,
)
from calibrant.mechanics.validation import diagnose, early_stopping, split, split_data
from calibrant.protocol import VERSION
from calibrant.target.autodiff import FRAMEWORKS

name = "reference"
version = f"{VERSION}, torch {torch.__version__}"
_torch = FRAMEWORKS["torch"]()
asarray, to_numpy = _torch.asarray, _torch.to_numpy


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    val_t_u: Tensor | None = None,
    val_t_c: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The hand-derived loop for plain SGD without validation data; otherwise the chapters' loops, with the rule of that name."""
    options = dict(optimizer)
    rule = options.pop("name")
    if (val_t_u is None) != (val_t_c is None):
        raise ValueError("only one of val_t_u and val_t_c is given: every reading needs its temperature")
    if val_t_u is None and rule == "sgd" and set(options) == {"lr"}:
        return *descent.training_loop(n_epochs, options["lr"], params, t_u, t_c), []
    leaf = params.clone().requires_grad_()
    mover = Optimizer(rule, [leaf], **options)
    if val_t_u is None or val_t_c is None:
        return *autograd.training_loop(n_epochs, mover, leaf, t_u, t_c), []
    return validation.training_loop(n_epochs, mover, leaf, t_u, t_c, val_t_u=val_t_u, val_t_c=val_t_c)


def data_parallel(
    params: Tensor, shards: list[tuple[Tensor, Tensor]], n_epochs: int, lr: float
) -> tuple[Tensor, Tensor]:
    """The answer of workers, a process for each shard, on all shards together."""
    return workers.ask((params, shards, n_epochs, lr))


def expand(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...], int]:
    """x stretched to that shape, with its strides in elements and whether it lies in the memory of x."""
    view = broadcasting.expand(x, shape)
    return view, view.stride(), int(view.untyped_storage().data_ptr() == x.untyped_storage().data_ptr())


def evaluate(loss: Loss, params: Tensor, is_train: bool) -> tuple[Tensor, Tensor | None]:
    """The loss at params, and its gradient if the loss was recorded."""
    leaf = params.clone().requires_grad_()
    return _with_gradient(autograd.evaluate(loss, leaf, is_train), leaf)


def calc_forward(params: Tensor, t_u: Tensor, t_c: Tensor, is_train: bool) -> tuple[Tensor, Tensor | None]:
    """The loss of the model, and its gradient if the loss was recorded."""
    leaf = params.clone().requires_grad_()
    return _with_gradient(autograd.calc_forward(leaf, t_u, t_c, is_train), leaf)


def _with_gradient(loss: Tensor, leaf: Tensor) -> tuple[Tensor, Tensor | None]:
    if loss.requires_grad:
        loss.backward()
    return loss.detach(), leaf.grad


def validation_loss(params: Tensor, t_u: Tensor, t_c: Tensor) -> tuple[Tensor, int]:
    """The loss at parameters that require grad, and whether it has a graph."""
    loss = validation.validation_loss(params.clone().requires_grad_(), t_u, t_c)
    return loss, int(loss.requires_grad)


def plateau(val_losses: Tensor, lr: float, hyperparameters: dict[str, Any]) -> Tensor:
    """The rate after each loss; hyperparameters by their names."""
    return schedules.plateau(val_losses, lr, **hyperparameters)


@functools.cache
def figures() -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """The series of the figures that are judged."""
    from calibrant.spec.figures import judged

    shown: dict[str, dict[str, tuple[list[float], list[float]]]] = judged()
    return shown

"""PyTorch as its users call it: its own losses, autograd, optimizers and random_split. Nothing here computes.

What it has no function for (hand-derived gradients, difference quotients, early stopping, a diagnosis) is absent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo  # torch.optim imports it within the first step, which takes seconds: better here than in a call
import torch.nn.functional as F
from torch import Tensor

from calibrant.adapters import torch_layers
from calibrant.adapters.line import derivatives, model, multiply
from calibrant.adapters.reference import asarray, to_numpy
from calibrant.adapters.torch_optimizers import lbfgs, optimize, optimize_groups, optimize_rows, optimizer_of, resume
from calibrant.adapters.torch_training import (
    accumulate_and_step,
    average,
    clip_by_norm,
    clip_by_value,
    minibatches,
    plateau,
    scaled_steps,
    schedule,
    train_minibatches,
)
from calibrant.protocol.operations import checked_formulas

name = "torch"
version = torch.__version__
autodiff = "torch"

_BROADCASTS = "torch.nn.functional's losses broadcast, with a warning"
_TABLES = "a loss takes any two arrays of one shape, and the mean of no samples is NaN"
deviations = {
    "data.shapes": _BROADCASTS,
    "data.columns": _TABLES,
    "data.scaling": "torch.linalg.lstsq takes columns that are nearly parallel for one, and returns the shortest solution",
    "loss.same-shape": _BROADCASTS,
    "loss.empty": "the mean of no samples is NaN",
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "optimizer.nadam": "NAdam holds the product of its momenta in float32, whatever the dtype of the parameters",
    "optimizer.asgd": "ASGD holds its rate in float32, whatever the dtype of the parameters",
    "optimizer.finite": "centered RMSprop takes the root of a variance that may have rounded below zero",
    "optimizer.swap": "NAdam and ASGD hold factors in float32, whatever the dtype of the parameters",
    "optimizer.invalid": "hyperparameters that are NaN or infinite are taken: the comparisons with a limit let them pass",
    "split.as-written": "random_split takes the whole part of the product as float64 has it",
    "split.invalid": "range(-1) is a data set without rows",
    "validation.shapes": _BROADCASTS,
    "validation.columns": _TABLES,
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "descent.negative-rate": "a loop over range(n_epochs) runs no epochs where n_epochs is negative, and an infinite or NaN rate is taken",
    "accumulation.refused": "mse_loss sums over no samples, and without batches there is no gradient",
    "accumulation.same-shape": _BROADCASTS,
    "schedule.invalid": "schedulers take rates, factors and lengths as they are",
    "clip.zeros[float16]": "0.0 over a norm is 0.0 times its reciprocal, which overflows",
    "clip.invalid": "a limit is taken as it is, and a negative one turns the gradients around",
    "average.swa[float64]": "get_swa_multi_avg_fn divides by a count that is a tensor, so that the quotient has float32's digits",
    "average.every[float64]": "get_swa_multi_avg_fn divides by a count that is a tensor, so that the quotient has float32's digits",
    "average.invalid": "a decay that is NaN is taken: the comparisons with a limit let it pass",
    "group.own": "Adagrad's sums begin at the initial_accumulator_value of its constructor, whatever that of a group",
    **{
        f"resume.same-steps[{dtype}]": "NAdam's product of momenta is float32 until it is loaded, and then of the parameters' dtype"
        for dtype in ("float16", "bfloat16", "float64")
    },
    "optimizer.muon[bfloat16]": "without Nesterov's momentum, Muon divides the buffer itself by its norm: of bfloat16 it makes no copy",
    "window.invalid": "a loop that counts modulo -1 makes a step for each micro-batch",
    "scale.invalid": "GradScaler takes any scale, and clip_grad_norm_ any norm",
}
conventions = {"schedule.after-cosine": "returns", "clip.epsilon": "added", "muon.precision": "bfloat16"}
if checked_formulas():
    deviations |= torch_layers.deviations


def __getattr__(name: str) -> Any:
    """Its losses, activations and layers, for a check of formulas."""
    return getattr(torch_layers, name)


def loss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """torch.nn.functional.mse_loss."""
    return F.mse_loss(t_p, t_c)


def absolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """torch.nn.functional.l1_loss."""
    return F.l1_loss(t_p, t_c)


def dmodel_dw(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The derivative of each prediction by the weight, (n,)."""
    return _jacobian(lambda w: model(t_u, w, b), w)


def dmodel_db(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The derivative of each prediction by the bias, (n,)."""
    return _jacobian(lambda b: model(t_u, w, b), b)


def automatic_gradient(loss: Callable[[Tensor], Tensor], params: Tensor) -> tuple[Tensor, Tensor]:
    """A loss and its gradient by autograd, (p,)."""
    leaf = params.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


def _jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    jacobian: Tensor = torch.autograd.functional.jacobian(function, x)
    return jacobian


def least_squares(t_u: Tensor, t_c: Tensor) -> Tensor:
    """torch.linalg.lstsq on the columns [t_u, 1], (2,). It has no half formats."""
    if t_u.dtype not in (torch.float32, torch.float64):
        raise NotImplementedError(f"torch.linalg.lstsq does not take {t_u.dtype}")
    columns = torch.stack([t_u, torch.ones_like(t_u)], dim=1)
    solution: Tensor = torch.linalg.lstsq(columns, t_c.unsqueeze(1)).solution
    return solution.squeeze(1)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    val_t_u: Tensor | None = None,
    val_t_c: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The loop of PyTorch's tutorials, with one of torch.optim's optimizers."""
    leaf = params.clone().requires_grad_()
    options = dict(optimizer)
    stepper = optimizer_of(options.pop("name"), [leaf], options)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        loss = F.mse_loss(model(t_u, *leaf), t_c)
        train_losses.append(loss.detach())
        if val_t_u is not None and val_t_c is not None:
            with torch.no_grad():
                val_losses.append(F.mse_loss(model(val_t_u, *leaf), val_t_c))
        stepper.zero_grad()
        loss.backward()
        stepper.step()
    return leaf.detach(), train_losses, val_losses


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """torch.broadcast_shapes."""
    return tuple(torch.broadcast_shapes(*shapes))


def multiply_grad(x: Tensor, y: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """The vector-Jacobian product of x * y, by autograd."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    grad_x, grad_y = torch.autograd.grad(x * y, (x, y), upstream)
    return grad_x, grad_y


# Accumulation


def accumulate(params: Tensor, batches: list[tuple[Tensor, Tensor]], zero_grad: bool) -> list[Tensor]:
    """The .grad of the parameters after each batch's backward pass, (k, 2)."""
    leaf = params.clone().requires_grad_()
    grads = []
    for t_u, t_c in batches:
        if zero_grad:
            leaf.grad = None
        F.mse_loss(model(t_u, *leaf), t_c).backward()
        assert leaf.grad is not None
        grads.append(leaf.grad.clone())
    return grads


def accumulated_grad(params: Tensor, batches: list[tuple[Tensor, Tensor]]) -> Tensor | None:
    """The gradient of the mean loss over all batches: each batch's sum, over the number of all samples."""
    leaf = params.clone().requires_grad_()
    n = sum(len(t_u) for t_u, _ in batches)
    for t_u, t_c in batches:
        (F.mse_loss(model(t_u, *leaf), t_c, reduction="sum") / n).backward()
    return leaf.grad


# Validation


def split(n_samples: int, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """torch.utils.data.random_split, by fractions."""
    rows: Any = range(n_samples)  # an object with a length and items is a data set
    generator = torch.Generator().manual_seed(seed)
    parts: list[Any] = torch.utils.data.random_split(rows, [1 - val_fraction, val_fraction], generator=generator)
    train, val = parts
    return list(train.indices), list(val.indices)


def regularized_loss(t_p: Tensor, t_c: Tensor, w: Tensor, l1: float, l2: float) -> Tensor:
    """mse_loss with both penalties written out, as in PyTorch's forums: PyTorch has no loss that takes them."""
    return F.mse_loss(t_p, t_c) + l1 * w.abs() + l2 * w**2

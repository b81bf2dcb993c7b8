"""tinygrad as its users call it: Tensor and its backward, nn.optim, TinyJit around a step of training. Nothing here computes.

It has no function for the mean squared error: its users write that out with the methods of Tensor, and so does this. What it has no function
for (least squares, steps in place, recording modes, splits, early stopping) is absent.

Its optimizers keep their state in one dtype, whatever that of the parameters, which the environment names: so a process computes in float32, or,
by `DEFAULT_FLOAT=float64 OPTIM_DTYPE=float64 calibrant check tinygrad`, in float64. It runs on its own device PYTHON, which needs no compiler but
has time for few examples, unless the environment names another (`DEV=CPU` needs clang).
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.adapters.hyperparameters import offered, rates_of
from calibrant.adapters.line import SHAPES, derivatives, model, multiply, multiply_in_place

os.environ.setdefault("DEV", "PYTHON")  # tinygrad reads it once

from tinygrad import Context, Device, Tensor, TinyJit
from tinygrad.nn import optim

name = "tinygrad"
version = importlib.metadata.version("tinygrad")
dtypes = (os.environ.get("DEFAULT_FLOAT", "float32").lower(),)

_EMPTY = "a loss that is written out broadcasts, and the mean of no samples is NaN"
_CLONE = "Tensor.clone shares the buffer of a tensor that was not realized before"
_PASSES = "what a pass adds to a gradient is lost outside of the slice that the gradient before was that of, if that was realized"
deviations = {
    **dict.fromkeys(SHAPES, _EMPTY),
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "autograd.accumulates": _PASSES,
    "autograd.reset": _PASSES,
    "autograd.separate-graphs": _PASSES,
    "accumulation.refused": _EMPTY,
    "accumulation.same-shape": _EMPTY,
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "optimizer.invalid": "only a rate, a momentum or a decay that is negative is refused",
    "optimizer.gradients-kept": _CLONE,
    "validation.pure": _CLONE,
    "descent.input-kept": _CLONE,
    "descent.negative-rate": "a loop over range(n_epochs) runs no epochs where n_epochs is negative, and an infinite or NaN rate is taken",
}

OPTIMIZERS = {
    "sgd": (optim.SGD, "lr momentum weight_decay nesterov"),
    "adam": (optim.Adam, "lr betas eps"),
    "adamw": (optim.AdamW, "lr betas eps weight_decay"),
}
"""Each optimizer, and its hyperparameters by PyTorch's names."""


def asarray(x: np.ndarray[Any, Any]) -> Tensor:
    """A copy of the array. Shape () goes by way of another shape: tinygrad would make it a constant, which has no memory."""
    return Tensor(x.reshape(x.shape or 1).copy()).reshape(x.shape)


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """The tensor's values. A constant first moves to the device of the other tensors: tinygrad would put it on CPU."""
    if not isinstance(x, Tensor):
        return np.asarray(x)
    return np.array((x.clone(Device.DEFAULT) if x.device is None else x).numpy())


def loss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """The mean squared error, written out."""
    return (t_p - t_c).square().mean()


def absolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """The mean absolute error, written out."""
    return (t_p - t_c).abs().mean()


def automatic_gradient(loss: Callable[[Tensor], Tensor], params: Tensor) -> tuple[Tensor, Tensor]:
    """A loss and its gradient by Tensor.gradient, (p,): nothing stays on params."""
    value = loss(params)
    (gradient,) = value.gradient(params)
    value.realize(gradient)
    return value, gradient


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    val_t_u: Tensor | None = None,
    val_t_c: Tensor | None = None,
) -> tuple[Tensor, list[Any], list[Any]]:
    """The loop of tinygrad's quickstart: a step of training in a TinyJit."""
    params, options = params.clone().realize(), dict(optimizer)
    stepper = _optimizer(options.pop("name"), [params], options)

    @TinyJit  # type: ignore[untyped-decorator]  # mypy does not look into tinygrad
    @Context(TRAINING=1)  # type: ignore[untyped-decorator]
    def step() -> Tensor:
        stepper.zero_grad()
        loss = loss_fn(model(t_u, params[0], params[1]), t_c).backward()
        return loss.realize(*stepper.schedule_step())

    @TinyJit  # type: ignore[untyped-decorator]
    def validate() -> Tensor:
        return loss_fn(model(val_t_u, params[0], params[1]), val_t_c).realize()

    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        if val_t_u is not None and val_t_c is not None:
            val_losses.append(to_numpy(validate()))
        train_losses.append(to_numpy(step()))
    return params, train_losses, val_losses


# Broadcasting


def multiply_grad(x: Tensor, y: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """The vector-Jacobian product of x * y."""
    grad_x, grad_y = (x * y).gradient(x, y, gradient=upstream)
    grad_x.realize(grad_y)
    return grad_x, grad_y


# Autograd


def backward(
    losses: list[Callable[[Tensor], Tensor]], params: Tensor, zero_grad: str
) -> list[tuple[Tensor | None, Tensor | None]]:
    """The .grad before and after each pass."""
    answer = []
    for loss in losses:
        if zero_grad == "to-none":
            params.grad = None
        elif zero_grad == "to-zero" and params.grad is not None:
            params.grad.assign(params.grad.zeros_like())
        found = _noted(params.grad)
        loss(params).backward()
        answer.append((found, _noted(params.grad)))
    return answer


def _noted(grad: Tensor | None) -> Tensor | None:
    return None if grad is None else grad.realize().clone().realize()


# Accumulation


def accumulate(params: Tensor, batches: list[tuple[Tensor, Tensor]], zero_grad: bool) -> list[Tensor | None]:
    """The .grad of the parameters after each batch's backward pass, (k, 2)."""
    grads = []
    for t_u, t_c in batches:
        if zero_grad:
            params.grad = None
        loss_fn(model(t_u, params[0], params[1]), t_c).backward()
        grads.append(_noted(params.grad))
    return grads


def accumulated_grad(params: Tensor, batches: list[tuple[Tensor, Tensor]]) -> Tensor | None:
    """The gradient of the mean loss over all batches: each batch's sum, over the number of all samples."""
    n = sum(t_u.shape[0] for t_u, _ in batches)
    for t_u, t_c in batches:
        ((model(t_u, params[0], params[1]) - t_c).square().sum() / n).backward()
    return params.grad


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Tensor], grads: list[list[Tensor | None]]
) -> list[list[Any]]:
    """The parameters after each step of one of tinygrad.nn.optim; each parameter needs a gradient in each step."""
    if any(grad is None for step in grads for grad in step):
        raise NotImplementedError("tinygrad's optimizers need a gradient for each parameter")
    if any(x.shape == () for x in params):
        raise NotImplementedError(
            "tinygrad's optimizers take no parameters of shape (), for their rate has the shape (1,)"
        )
    rates, options = rates_of(hyperparameters, len(grads))
    params = [x.clone().realize() for x in params]
    stepper = _optimizer(name, params, options)
    path = []
    for rate, step in zip(rates, grads, strict=True):
        if rate is not None:
            stepper.lr.assign(stepper.lr.full_like(rate)).realize()
        for x, grad in zip(params, step, strict=True):
            x.grad = grad
        with Context(TRAINING=1):
            stepper.step()
        path.append([to_numpy(x) for x in params])
    return path


def _optimizer(name: str, params: list[Tensor], hyperparameters: dict[str, Any]) -> Any:
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"tinygrad.nn.optim has no {name}")
    make, names = OPTIMIZERS[name]
    options = offered("tinygrad", name, hyperparameters, names)
    if "betas" in options:
        options["b1"], options["b2"] = options.pop("betas")
    return make(params, **options)


# Validation


def regularized_loss(t_p: Tensor, t_c: Tensor, w: Tensor, l1: float, l2: float) -> Tensor:
    """The mean squared error and both penalties, written out."""
    return loss_fn(t_p, t_c) + l1 * w.abs() + l2 * w.square()


def regularized_grad(t_u: Tensor, t_c: Tensor, w: Tensor, b: Tensor, l1: float, l2: float) -> list[Tensor]:
    """The gradient of `regularized_loss` by w and b, (2,)."""
    return list(regularized_loss(model(t_u, w, b), t_c, w, l1, l2).gradient(w, b))

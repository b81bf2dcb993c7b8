"""MLX as its users call it: mlx.nn's losses, its function transformations, mlx.optimizers. Nothing here computes.

What it has no function for (least squares, a gradient that accumulates, recording modes, splits, early stopping) is absent.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from calibrant.adapters.line import derivatives, model, multiply, multiply_in_place
from calibrant.adapters.mlx_training import clip_by_norm, made, optimize_groups, resume, schedule

Array = Any
"""MLX's arrays."""

mx.set_default_device(mx.cpu)  # its other devices have no float64

name = "mlx"
version = importlib.metadata.version("mlx")

conventions = {
    "sgd.dampening": "always",
    "adamax.epsilon": "outside",
    "adamax.correction": "none",
    "arithmetic.hyperparameters": "float32",
    "schedule.warm-up-count": "zero",
    "clip.epsilon": "added",
}

_EMPTY = "the mean of no samples is NaN, and a loss takes any two arrays of one shape"
deviations = {
    "optimizer.absent-gradient": "one count of steps serves the corrections of all parameters, and a step counts for those without a gradient",
    "optimizer.invalid": "few hyperparameters are looked at: rates, momenta and decays below zero are taken, and so is NaN",
    "data.columns": _EMPTY,
    "loss.empty": _EMPTY,
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "autograd.elementary": "exp of a number of float64 has the digits of float32",
    "broadcast.in-place": "x *= y gives x the shape of the product",
    "validation.columns": _EMPTY,
    "schedule.invalid": "schedules take rates and factors as they are, and a length that is no whole number",
    "clip.invalid": "a limit that is NaN is taken: the comparison with zero lets it pass",
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "descent.negative-rate": "a loop over range(n_epochs) runs no epochs where n_epochs is negative, and any rate is taken",
}


def asarray(x: np.ndarray[Any, Any]) -> Array:
    """A copy of the array in the same dtype; by default MLX would turn float64 into float32."""
    return mx.array(x, dtype=getattr(mx, x.dtype.name))


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """The array's values."""
    return np.array(x)


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """mlx.nn.losses.mse_loss."""
    return nn.losses.mse_loss(t_p, t_c)


def absolute_loss(t_p: Array, t_c: Array) -> Array:
    """mlx.nn.losses.l1_loss."""
    return nn.losses.l1_loss(t_p, t_c)


def dmodel_dw(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the weight, (n,)."""
    return mx.jvp(lambda w: model(t_u, w, b), [w], [mx.ones_like(w)])[1][0]


def dmodel_db(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the bias, (n,)."""
    return mx.jvp(lambda b: model(t_u, w, b), [b], [mx.ones_like(b)])[1][0]


def automatic_gradient(loss: Callable[[Array], Array], params: Array) -> tuple[Array, Array]:
    """A loss and its gradient by mlx.core.value_and_grad, (p,)."""
    value, gradient = mx.value_and_grad(loss)(params)
    return value, gradient


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


class Line(nn.Module):  # type: ignore[misc]  # mypy does not look into MLX
    """The model as a module."""

    def __init__(self, params: Array) -> None:
        super().__init__()
        self.params = params

    def __call__(self, t_u: Array) -> Array:
        """The predictions, (n,)."""
        return model(t_u, *self.params)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """The loop of MLX's documentation: mlx.nn.value_and_grad, Optimizer.update, mx.eval."""
    line, options = Line(params), dict(optimizer)
    stepper = made(options.pop("name"), options)
    step = nn.value_and_grad(line, lambda t_u, t_c: loss_fn(line(t_u), t_c))
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        if val_t_u is not None and val_t_c is not None:
            val_losses.append(loss_fn(line(val_t_u), val_t_c))
        loss, grads = step(t_u, t_c)
        train_losses.append(loss)
        stepper.update(line, grads)
        mx.eval(line.parameters(), stepper.state, train_losses[-1:], val_losses[-1:])
    return line.params, train_losses, val_losses


def manual_training_loop(
    n_epochs: int, learning_rate: float, params: Array, t_u: Array, t_c: Array
) -> tuple[Array, list[Array]]:
    """The loop of MLX's first example, a linear regression, with the step written out."""
    losses = []
    for _ in range(n_epochs):
        loss, grad = value_and_grad(params, t_u, t_c)
        losses.append(loss)
        params = params - learning_rate * grad
        mx.eval(params, loss)
    return params, losses


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """mlx.core.broadcast_shapes."""
    return tuple(mx.broadcast_shapes(*shapes))


def expand(x: Array, shape: tuple[int, ...]) -> tuple[Array, list[int], int]:
    """mlx.core.broadcast_to, as the buffer protocol shows it."""
    view = mx.broadcast_to(x, shape)
    seen = np.asarray(view)
    return view, [stride // seen.itemsize for stride in seen.strides], int(np.may_share_memory(seen, np.asarray(x)))


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """The vector-Jacobian product of x * y."""
    grad_x, grad_y = mx.vjp(lambda x, y: x * y, [x, y], [upstream])[1]
    return grad_x, grad_y


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of one of mlx.optimizers."""
    return resume(name, hyperparameters, params, grads, len(grads), {})


# Validation


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """mse_loss with both penalties written out: MLX has no loss that takes them."""
    return loss_fn(t_p, t_c) + l1 * mx.abs(w) + l2 * mx.square(w)


def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` by w and b, (2,)."""

    def loss(w: Array, b: Array) -> Array:
        return regularized_loss(model(t_u, w, b), t_c, w, l1, l2)

    return mx.stack(mx.grad(loss, argnums=[0, 1])(w, b))

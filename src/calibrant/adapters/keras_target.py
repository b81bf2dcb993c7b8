"""Keras as its users call it: its losses, operations, optimizers, regularizers and callbacks, on its PyTorch backend, whose autograd it leaves
to be called. Nothing here computes.

The backend is the one that needs no compilation for each shape of its arguments. What Keras has no function for (least squares, gradients that
accumulate, steps in place, a diagnosis) is absent. Its floatx is that of the arrays, as for somebody who works in their dtype.

It is checked in float32 alone: on this backend, and on JAX, Keras takes the mean of float64 numbers in float32, so that a check in float64
(`--dtype float64`) is one of that, everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from calibrant.adapters import keras_optimizers
from calibrant.adapters.hyperparameters import rates_of
from calibrant.adapters.line import SHAPES, derivatives, model

os.environ["KERAS_BACKEND"] = "torch"  # Keras reads it once

import keras

from calibrant.adapters import keras_training
from calibrant.adapters.keras_training import (
    accumulate_and_step,
    average,
    clip_by_norm,
    clip_by_value,
    plateau,
    resume,
    scaled_steps,
    schedule,
)

Array = Any
"""PyTorch's tensors."""

torch.set_num_threads(1)

name = "keras"
version = f"{keras.__version__}, torch {torch.__version__}"

dtypes = ("float32",)
conventions = keras_optimizers.CONVENTIONS | keras_training.conventions

_EMPTY = "a loss squeezes or stretches an axis of size 1, and the mean of no samples is NaN"
_SHARED = "on this backend a keras.Variable lies in the memory of the tensor that it is made from"
deviations = {
    **keras_optimizers.DEVIATIONS,
    **keras_training.deviations,
    **dict.fromkeys(SHAPES, _EMPTY),
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "validation.pure": _SHARED,
    "descent.input-kept": _SHARED,
    "optimizer.gradients-kept": _SHARED,
}


def asarray(x: np.ndarray[Any, Any]) -> Array:
    """A tensor of the array's values."""
    keras.config.set_floatx(x.dtype.name)
    return keras.ops.convert_to_tensor(x.copy())


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """The tensor's values."""
    return np.asarray(keras.ops.convert_to_numpy(x) if torch.is_tensor(x) else x)


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """keras.losses.mean_squared_error; its first argument is the truth."""
    return keras.losses.mean_squared_error(t_c, t_p)


def absolute_loss(t_p: Array, t_c: Array) -> Array:
    """keras.losses.mean_absolute_error."""
    return keras.losses.mean_absolute_error(t_c, t_p)


def automatic_gradient(loss: Callable[[Array], Array], params: Array) -> tuple[Array, Array]:
    """A loss and its gradient by the backend, (p,)."""
    leaf = params.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    return value, leaf.grad


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """The loop of Keras's guide to its PyTorch backend, with one of keras.optimizers."""
    variable, options = keras.Variable(params, dtype=params.dtype), dict(optimizer)
    stepper = keras_optimizers.made(keras.optimizers, options.pop("name"), options)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        loss = loss_fn(model(t_u, *variable.value), t_c)
        train_losses.append(loss.detach())
        if val_t_u is not None and val_t_c is not None:
            with torch.no_grad():
                val_losses.append(loss_fn(model(val_t_u, *variable.value), val_t_c))
        variable.value.grad = None
        loss.backward()
        with torch.no_grad():
            stepper.apply([variable.value.grad], [variable])
    return variable.value, train_losses, val_losses


# Broadcasting


def multiply(x: Array, y: Array) -> Array:
    """keras.ops.multiply."""
    return keras.ops.multiply(x, y)


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """The vector-Jacobian product of keras.ops.multiply, by the backend."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    grad_x, grad_y = torch.autograd.grad(keras.ops.multiply(x, y), (x, y), upstream)
    return grad_x, grad_y


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of one of keras.optimizers on these gradients."""
    if any(all(grad is None for grad in step) for step in grads):
        raise NotImplementedError("Keras's optimizers take no step without any gradient")
    rates, options = rates_of(hyperparameters, len(grads))
    variables = [keras.Variable(x, dtype=x.dtype) for x in params]
    stepper = keras_optimizers.made(keras.optimizers, name, options)
    stepper.build(variables)
    path = []
    for rate, step in zip(rates, grads, strict=True):
        if rate is not None:
            stepper.learning_rate = rate
        with torch.no_grad():
            stepper.apply(list(step), variables)
        path.append([variable.value.detach().clone() for variable in variables])
    return path


# Validation


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """The mean squared error plus keras.regularizers.L1L2."""
    return loss_fn(t_p, t_c) + keras.regularizers.L1L2(l1, l2)(w)


def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` by w and b, (2,)."""
    leaves = keras.ops.stack([w, b])
    return automatic_gradient(lambda leaf: regularized_loss(model(t_u, *leaf), t_c, leaf[0], l1, l2), leaves)[1]


def early_stopping(val_losses: Array, patience: int) -> tuple[int, int]:
    """keras.callbacks.EarlyStopping, on a run that logs these losses."""
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, mode="min")
    callback.set_model(SimpleNamespace(stop_training=False))
    return keras_optimizers.stopped(callback, val_losses.tolist())

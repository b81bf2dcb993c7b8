"""TensorFlow as its users call it: GradientTape, tf.Variable, and the Keras in it for losses, optimizers and splits. Nothing here computes.

What it has no function for (gradients that accumulate, a diagnosis) is absent. Keras's floatx is that of the arrays, as for somebody who works in
their dtype.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.adapters import keras_optimizers
from calibrant.adapters.hyperparameters import rates_of
from calibrant.adapters.line import SHAPES, derivatives, model, multiply

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # otherwise TensorFlow prints the processor that it found

import tensorflow as tf

from calibrant.adapters import tensorflow_training
from calibrant.adapters.tensorflow_training import average, clip_by_norm, clip_by_value, minibatches

Array = Any
"""TensorFlow's tensors."""

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.Tensor.sum = (
    tf.reduce_sum
)  # some losses of the protocol call this method, which arrays of NumPy and most other libraries have
keras = tf.keras

name = "tensorflow"
version = f"{tf.__version__}, Keras {keras.__version__}"

conventions = {**keras_optimizers.CONVENTIONS, "arithmetic.subnormals": "flushed"}
_EMPTY = "a loss squeezes, stretches or broadcasts, and the mean of no samples is NaN"
_NUMBERS = "Keras's operations take Python numbers into float32 on this backend, and only from there into float64"
deviations = {
    **keras_optimizers.DEVIATIONS,
    **tensorflow_training.deviations,
    "data.scaling": "tf.linalg.lstsq solves the normal equations unless it is told fast=False",
    **dict.fromkeys(SHAPES, _EMPTY),
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "broadcast.no-copy": "tf.broadcast_to returns a tensor in memory of its own",
    **dict.fromkeys(("optimizer.sgd", "optimizer.sgd.momentum", "optimizer.sgd.nesterov"), _NUMBERS),
    **dict.fromkeys(("optimizer.sgd.weight-decay", "optimizer.adagrad"), _NUMBERS),
    "optimizer.adagrad.initial-accumulator": _NUMBERS,
    **dict.fromkeys(("optimizer.adamax", "optimizer.nadam"), _NUMBERS),
    **dict.fromkeys(("optimizer.adam", "optimizer.adam.bias-correction", "optimizer.adam.epsilon"), _NUMBERS),
    **dict.fromkeys(("optimizer.adam.weight-decay", "optimizer.coupled-decay"), _NUMBERS),
    **dict.fromkeys(("optimizer.adam.first-step", "optimizer.adamw", "optimizer.adamw.decoupled"), _NUMBERS),
    **dict.fromkeys(("optimizer.changing-rate", "optimizer.swap"), _NUMBERS),
    **dict.fromkeys(
        ("split.sizes", "split.as-written", "split.none-held-out"), "split_dataset rounds to the nearest number of rows"
    ),
    "split.global-state": "split_dataset shuffles by Python's own generator, which it seeds",
    **dict.fromkeys(("regularization.l1", "regularization.l2", "regularization.sum"), _NUMBERS),
    "regularization.gradient": _NUMBERS,
    **dict.fromkeys(("early-stopping.patience", "early-stopping.never-triggered", "early-stopping.best"), _NUMBERS),
}

COMPILED_FROM = 100
"""From this number of epochs on, compiling the step of a loop pays."""


def asarray(x: np.ndarray[Any, Any]) -> Array:
    """A tensor of the array's values."""
    keras.config.set_floatx(x.dtype.name)
    return tf.constant(x)


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """The tensor's values."""
    return np.asarray(x)


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """tf.keras.losses.MSE; its first argument is the truth."""
    return keras.losses.MSE(t_c, t_p)


def absolute_loss(t_p: Array, t_c: Array) -> Array:
    """tf.keras.losses.MAE."""
    return keras.losses.MAE(t_c, t_p)


def dmodel_dw(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the weight, (n,)."""
    return _pushed(lambda w: model(t_u, w, b), w)


def dmodel_db(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the bias, (n,)."""
    return _pushed(lambda b: model(t_u, w, b), b)


def _pushed(function: Callable[[Array], Array], x: Array) -> Array:
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
        y = function(x)
    return accumulator.jvp(y)


def automatic_gradient(loss: Callable[[Array], Array], params: Array) -> tuple[Array, Array]:
    """A loss and its gradient by GradientTape, (p,)."""
    with tf.GradientTape() as tape:
        tape.watch(params)
        value = loss(params)
    return value, tape.gradient(value, params)


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


def least_squares(t_u: Array, t_c: Array) -> Array:
    """tf.linalg.lstsq on the columns [t_u, 1], (2,)."""
    columns = tf.stack([t_u, tf.ones_like(t_u)], axis=1)
    return tf.squeeze(tf.linalg.lstsq(columns, tf.expand_dims(t_c, 1)), axis=1)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """The loop of TensorFlow's guide, with one of tf.keras.optimizers; a long loop has its step in a tf.function."""
    leaf, options = tf.Variable(params), dict(optimizer)
    stepper = keras_optimizers.made(keras.optimizers, options.pop("name"), options)
    stepper.build([leaf])

    def step() -> Array:
        with tf.GradientTape() as tape:
            loss = loss_fn(model(t_u, leaf[0], leaf[1]), t_c)
        stepper.apply_gradients([(tape.gradient(loss, leaf), leaf)])
        return loss

    step = tf.function(step) if n_epochs >= COMPILED_FROM else step
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        if val_t_u is not None and val_t_c is not None:
            val_losses.append(loss_fn(model(val_t_u, leaf[0], leaf[1]), val_t_c))
        train_losses.append(step())
    return leaf.read_value(), train_losses, val_losses


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """tf.broadcast_static_shape, of two at a time."""
    return tuple(functools.reduce(tf.broadcast_static_shape, map(tf.TensorShape, shapes), tf.TensorShape([])))


def expand(x: Array, shape: tuple[int, ...]) -> tuple[Array, list[int], int]:
    """tf.broadcast_to, as NumPy sees it."""
    expanded = tf.broadcast_to(x, shape)
    seen = expanded.numpy()
    return expanded, [stride // seen.itemsize for stride in seen.strides], int(np.may_share_memory(seen, x.numpy()))


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """The vector-Jacobian product of x * y, by GradientTape."""
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        product = x * y
    grad_x, grad_y = tape.gradient(product, [x, y], output_gradients=upstream)
    return grad_x, grad_y


# Autograd


def evaluate(loss: Callable[[Array], Array], params: Array, is_train: bool) -> list[Array | None]:
    """A loss, on a tape or not, and its gradient: None if the tape recorded nothing."""
    with tf.GradientTape() as tape:
        tape.watch(params)
        with contextlib.nullcontext() if is_train else tape.stop_recording():
            value = loss(params)
    return [value, tape.gradient(value, params)]


def calc_forward(params: Array, t_u: Array, t_c: Array, is_train: bool) -> list[Array | None]:
    """`evaluate` for the loss of the model."""
    return evaluate(lambda params: loss_fn(model(t_u, params[0], params[1]), t_c), params, is_train)


def manual_training_loop(
    n_epochs: int, learning_rate: float, params: Array, t_u: Array, t_c: Array
) -> tuple[Array, list[Array]]:
    """The loop of TensorFlow's first guide: a Variable, a tape, assign_sub."""
    leaf, losses = tf.Variable(params), []
    for _ in range(n_epochs):
        with tf.GradientTape() as tape:
            loss = loss_fn(model(t_u, leaf[0], leaf[1]), t_c)
        leaf.assign_sub(learning_rate * tf.convert_to_tensor(tape.gradient(loss, leaf)))
        losses.append(loss)
    return leaf.read_value(), losses


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of one of tf.keras.optimizers on these gradients."""
    if any(all(grad is None for grad in step) for step in grads):
        raise NotImplementedError("Keras's optimizers take no step without any gradient")
    rates, options = rates_of(hyperparameters, len(grads))
    leaves = [tf.Variable(x) for x in params]
    stepper = keras_optimizers.made(keras.optimizers, name, options)
    stepper.build(leaves)
    path = []
    for rate, step in zip(rates, grads, strict=True):
        if rate is not None:
            stepper.learning_rate = rate
        stepper.apply_gradients(zip(step, leaves, strict=True))
        path.append([leaf.read_value() for leaf in leaves])
    return path


# Validation


def split(n_samples: int, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """tf.keras.utils.split_dataset, shuffled."""
    try:
        parts = keras.utils.split_dataset(np.arange(n_samples), right_size=val_fraction, shuffle=True, seed=seed)
    except ValueError as error:
        if "split will be empty" in str(error) or val_fraction == 0:
            raise NotImplementedError("Keras makes no split that leaves a part without rows") from error
        raise
    train, val = ([int(row) for row in part] for part in parts)
    return train, val


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """MSE plus tf.keras.regularizers.L1L2."""
    return loss_fn(t_p, t_c) + keras.regularizers.L1L2(l1, l2)(w)


def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` by w and b, (2,)."""
    with tf.GradientTape() as tape:
        tape.watch([w, b])
        loss = regularized_loss(model(t_u, w, b), t_c, w, l1, l2)
    return tf.stack(tape.gradient(loss, [w, b]))


def early_stopping(val_losses: Array, patience: int) -> tuple[int, int]:
    """tf.keras.callbacks.EarlyStopping, on a run that logs these losses."""
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, mode="min")
    callback.set_model(SimpleNamespace(stop_training=False))
    return keras_optimizers.stopped(callback, val_losses.numpy().tolist())

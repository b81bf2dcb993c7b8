"""The mechanics in plain NumPy, with gradients derived by hand."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from calibrant.adapters.numpy_lbfgs import lbfgs
from calibrant.adapters.numpy_optimizers import Optimizer, optimize
from calibrant.adapters.numpy_rows import optimize_rows
from calibrant.adapters.numpy_schedules import clip_by_norm, clip_by_value, clip_shards, plateau, schedule
from calibrant.adapters.numpy_training import (
    accumulate_and_step,
    average,
    minibatches,
    optimize_groups,
    resume,
    scaled_steps,
)

Array = Any
"""NumPy arrays and, where an array has no axes, NumPy scalars."""

name = "numpy"
version = np.__version__


def _same_shape(t_p: Array, t_c: Array) -> None:
    if t_p.shape != t_c.shape or t_p.size == 0:
        raise ValueError(f"t_p is {t_p.shape} and t_c is {t_c.shape}: a loss needs samples of one shape")


def model(t_u: Array, w: Array, b: Array) -> Array:
    """w t_u + b, (n,)."""
    return w * t_u + b


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """Mean squared error, a scalar; the division comes before the sum, so that only the mean needs to fit the dtype."""
    _same_shape(t_p, t_c)
    return np.sum(np.square(t_p - t_c) / t_p.dtype.type(t_p.size))


def absolute_loss(t_p: Array, t_c: Array) -> Array:
    """Mean absolute error, a scalar."""
    _same_shape(t_p, t_c)
    return np.sum(np.abs(t_p - t_c) / t_p.dtype.type(t_p.size))


def dabsolute_loss(t_p: Array, t_c: Array) -> Array:
    """Derivative of the mean absolute error by each prediction, (n,); 0 at a zero residual."""
    _same_shape(t_p, t_c)
    return np.sign(t_p - t_c) / t_p.dtype.type(t_p.size)


def dloss_fn(t_p: Array, t_c: Array) -> Array:
    """Derivative of the mean squared error by each prediction, (n,)."""
    _same_shape(t_p, t_c)
    return 2 * (t_p - t_c) / t_p.dtype.type(t_p.size)


def dmodel_dw(t_u: Array, w: Array, b: Array) -> Array:
    """Derivative of each prediction by the weight, (n,)."""
    return t_u.copy()


def dmodel_db(t_u: Array, w: Array, b: Array) -> Array:
    """Derivative of each prediction by the bias, (n,)."""
    return np.ones_like(t_u)


def grad_fn(t_u: Array, t_c: Array, t_p: Array, w: Array, b: Array) -> Array:
    """Gradient of the mean squared error by the chain rule, (2,)."""
    dloss = dloss_fn(t_p, t_c)
    return np.stack([np.sum(dloss * dmodel_dw(t_u, w, b)), np.sum(dloss * dmodel_db(t_u, w, b))])


def finite_difference(t_u: Array, t_c: Array, w: Array, b: Array, delta: Array) -> Array:
    """Central differences of the mean squared error, (2,)."""

    def loss(w: Array, b: Array) -> Array:
        return loss_fn(model(t_u, w, b), t_c)

    rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
    return np.stack(rates) / (2 * delta)


def least_squares(t_u: Array, t_c: Array) -> Array:
    """The least-squares parameters [w, b], (2,); if all readings are the same, the slope is 0."""
    return ridge(t_u, t_c, 0.0)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """Training on the whole data: (params, losses before each step, validation losses if there are validation data)."""
    mover = _mover(optimizer, params)
    if n_epochs < 0:
        raise ValueError(f"n_epochs is {n_epochs}: it must not be negative")
    _columns(t_u, t_c)
    validated = _validated(val_t_u, val_t_c)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        w, b = mover.params[0]
        t_p = model(t_u, w, b)
        losses.append(loss_fn(t_p, t_c))
        if validated:
            val_losses.append(loss_fn(model(val_t_u, w, b), val_t_c))
        mover.step([grad_fn(t_u, t_c, t_p, w, b)])
    return mover.now()[0], losses, val_losses


def train_minibatches(
    optimizer: dict[str, Any], params: Array, t_u: Array, t_c: Array, batches: list[list[list[int]]]
) -> tuple[Array, list[Array]]:
    """The parameters after a step for each batch, and the loss of each epoch."""
    _columns(t_u, t_c)
    mover, losses = _mover(optimizer, params), []
    for epoch in batches:
        found, n = [], params.dtype.type(sum(map(len, epoch)))
        for rows in epoch:
            (w, b), u, c = mover.params[0], *(column[np.asarray(rows, dtype=np.int64)] for column in (t_u, t_c))
            t_p = model(u, w, b)
            found.append(loss_fn(t_p, c) * params.dtype.type(len(rows)) / n)
            mover.step([grad_fn(u, c, t_p, w, b)])
        losses.append(np.sum(np.stack(found)))
    return mover.now()[0], losses


def _mover(optimizer: dict[str, Any], params: Array) -> Optimizer:
    """The optimizer of a loop, whose rate is one number."""
    options = dict(optimizer)
    mover = Optimizer(options.pop("name"), options, [params])
    if isinstance(mover.lr, (list, tuple)):
        raise ValueError(f"lr is {mover.lr!r}: it must be a finite number")
    return mover


def _columns(t_u: Array, t_c: Array) -> None:
    if t_u.ndim != 1 or t_u.size == 0 or t_u.shape != t_c.shape:
        raise ValueError(f"t_u is {t_u.shape} and t_c is {t_c.shape}: data are two columns of one length")


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that the shapes broadcast to."""
    return np.broadcast_shapes(*shapes)


def multiply(x: Array, y: Array) -> Array:
    """The elementwise product, with broadcasting."""
    return np.multiply(x, y)


def multiply_in_place(x: Array, y: Array) -> Array:
    """x after x *= y; NumPy refuses a change of the shape of x."""
    return np.multiply(x, y, out=x)


def expand(x: Array, shape: tuple[int, ...]) -> tuple[Array, list[int], int]:
    """A view of x of that shape, its strides in elements, and whether it lies in the memory of x."""
    view = np.broadcast_to(x, shape)
    return view, [stride // view.itemsize for stride in view.strides], int(np.may_share_memory(view, x))


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """Derivatives of (x * y * upstream).sum() by x and by y, each of its operand's shape."""
    if upstream.shape != np.broadcast_shapes(x.shape, y.shape):
        raise ValueError(f"upstream is {upstream.shape}, which is not the shape of {x.shape} times {y.shape}")

    def summed(terms: Array, shape: tuple[int, ...]) -> Array:
        missing = terms.ndim - len(shape)
        ones = tuple(axis + missing for axis, size in enumerate(shape) if size == 1)
        return np.sum(terms, axis=(*range(missing), *ones)).reshape(shape)

    return summed(upstream * y, x.shape), summed(upstream * x, y.shape)


# Accumulation


def accumulate(params: Array, batches: list[tuple[Array, Array]], zero_grad: bool) -> Array:
    """The sum of the gradients up to each batch, or each batch's own, (k, 2)."""
    grads = np.stack(_batch_gradients(params, batches))
    return grads if zero_grad else np.cumsum(grads, axis=0)


def accumulated_grad(params: Array, batches: list[tuple[Array, Array]]) -> Array:
    """The mean of the gradients of the batches, weighted by their sizes, (2,)."""
    grads = np.stack(_batch_gradients(params, batches))
    sizes = np.array([t_u.size for t_u, _ in batches])
    weights = (sizes / sizes.sum()).astype(params.dtype)
    return np.sum(grads * weights[:, np.newaxis], axis=0)


def _batch_gradients(params: Array, batches: list[tuple[Array, Array]]) -> list[Array]:
    if not batches:
        raise ValueError("batches is empty: there is nothing to accumulate")
    for t_u, t_c in batches:
        _columns(t_u, t_c)
    w, b = params
    return [grad_fn(t_u, t_c, model(t_u, w, b), w, b) for t_u, t_c in batches]


# Validation


def split(n_samples: int, val_fraction: float, seed: int) -> tuple[Array, Array]:
    """The rows for training and for validation, shuffled by a generator of their own."""
    if n_samples < 0 or not 0 <= val_fraction <= 1:
        raise ValueError(f"n_samples is {n_samples} and val_fraction is {val_fraction}: there is no such split")
    shuffled = np.random.default_rng(seed).permutation(n_samples)
    n_train = n_samples - math.floor(Decimal(str(float(val_fraction))) * n_samples)
    return shuffled[:n_train], shuffled[n_train:]


def split_data(t_u: Array, t_c: Array, val_fraction: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """The columns, split: (train_t_u, train_t_c, val_t_u, val_t_c)."""
    _columns(t_u, t_c)
    train, val = split(t_u.size, val_fraction, seed)
    return t_u[train], t_c[train], t_u[val], t_c[val]


def _validated(val_t_u: Array | None, val_t_c: Array | None) -> bool:
    """Whether there are validation data. Raises ValueError unless they are two columns of one length."""
    if val_t_u is None and val_t_c is None:
        return False
    if val_t_u is None or val_t_c is None:
        raise ValueError("only one of val_t_u and val_t_c is given: every reading needs its temperature")
    _columns(val_t_u, val_t_c)
    return True


def validation_loss(params: Array, t_u: Array, t_c: Array) -> tuple[Array, int]:
    """The loss of the model, and 0: NumPy records nothing."""
    return loss_fn(model(t_u, *params), t_c), 0


def _penalties(*penalties: float) -> None:
    if not all(math.isfinite(penalty) and penalty >= 0 for penalty in penalties):
        raise ValueError(f"the penalties are {penalties}: each must be finite and not negative")


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """Mean squared error + l1 |w| + l2 w^2, a scalar."""
    _penalties(l1, l2)
    number = t_p.dtype.type
    return loss_fn(t_p, t_c) + number(l1) * np.abs(w) + number(l2) * np.square(w)


def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` by w and b, (2,)."""
    _penalties(l1, l2)
    number = t_u.dtype.type
    by_w, by_b = grad_fn(t_u, t_c, model(t_u, w, b), w, b)
    return np.stack([by_w + number(l1) * np.sign(w) + number(2) * (number(l2) * w), by_b])


def ridge(t_u: Array, t_c: Array, l2: float) -> Array:
    """The parameters [w, b] of least mean squared error + l2 w^2, (2,); if all readings are the same, the slope is 0."""
    _columns(t_u, t_c)
    _penalties(l2)
    centred = t_u - np.mean(t_u)
    spread = np.mean(np.square(centred)) + t_u.dtype.type(l2)
    w = np.mean(centred * (t_c - np.mean(t_c))) / spread if np.ptp(t_u) > 0 else np.zeros_like(spread)
    return np.stack([w, np.mean(t_c) - w * np.mean(t_u)])


def early_stopping(val_losses: Array, patience: int) -> tuple[int, int]:
    """The last epoch and the best epoch until then, counted from 0."""
    if len(val_losses) == 0 or patience < 1:
        raise ValueError(f"there are {len(val_losses)} losses, and patience is {patience}: both must be positive")
    lowest = np.minimum.accumulate(np.where(np.isfinite(val_losses), val_losses, np.inf))
    improves = lowest < np.append(np.inf, lowest[:-1])
    epochs = np.arange(len(val_losses))
    best = np.maximum.accumulate(np.where(improves, epochs, -1))
    over = np.flatnonzero(epochs - best >= patience)
    stopped = int(over[0]) if over.size else len(val_losses) - 1
    return stopped, max(int(best[stopped]), 0)


def diagnose(train_losses: Array, val_losses: Array) -> str:
    """The diagnosis of the book's table."""
    if len(train_losses) == 0 or train_losses.shape != val_losses.shape:
        raise ValueError(f"there are {len(train_losses)} training and {len(val_losses)} validation losses")
    if not (np.isfinite(train_losses).all() and np.isfinite(val_losses).all()):
        raise ValueError("a loss is not finite: a run that diverged has no diagnosis")
    best = int(np.argmin(val_losses))
    if train_losses[-1] < train_losses[best] and val_losses[-1] > val_losses[best] * 1.125:
        return "overfitting"
    return "underfitting" if train_losses[-1] > train_losses[0] / 8 else "good"

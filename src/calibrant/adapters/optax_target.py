"""JAX and Optax as their users call them: optax's losses, transformations and MultiSteps, jax's autodiff. Nothing here computes.

What is called often is compiled, as it is everywhere; an optimizer only for a long run. What torch.optim does not name keeps optax's
default. What they have no function for (hand-derived gradients, gradients that are kept, splits, stopping) is absent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from calibrant.adapters.line import model, multiply
from calibrant.adapters.optax_optimizers import LONG, SCHEDULE_FREE, lbfgs, made
from calibrant.adapters.optax_training import (
    accumulate_and_step,
    average,
    clip_by_norm,
    clip_by_value,
    optimize_groups,
    resume,
    schedule,
)

Array = Any
"""JAX arrays."""

jax.config.update("jax_enable_x64", True)

name = "optax"
version = f"{optax.__version__}, jax {jax.__version__}"
asarray = jnp.asarray
to_numpy = np.asarray

_SUMS_NARROW = (
    "MultiSteps sums gradients in float32, its default accumulator_dtype, whatever the dtype of the parameters"
)
_UNCHECKED = (
    "only the shapes of predictions and targets are compared: no samples have a mean of NaN, and columns may be tables"
)
deviations = {
    "data.shapes": _UNCHECKED,
    "data.columns": _UNCHECKED,
    "data.scaling": "jnp.linalg.lstsq takes columns that are nearly parallel for one, and returns the shortest solution",
    "loss.empty": "the mean of no samples is NaN",
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "descent.negative-rate": "optax takes any learning rate, and a loop over range(n_epochs) runs no epochs where n_epochs is negative",
    "accumulation.full-batch": _SUMS_NARROW,
    "accumulation.partition": _SUMS_NARROW,
    "accumulation.last-window": _SUMS_NARROW,
    "accumulation.refused": "a batch of no samples has a sum, which is zero",
    "optimizer.rprop": "scale_by_rprop returns the update of the step before: the first step is zero, and every other is one late",
    "optimizer.swap": "rprop is one step late",
    "optimizer.lbfgs.memory": "with pairs of any curvature a direction may lead uphill, and is followed",
    "optimizer.invalid": "optax takes hyperparameters as they are",
    "optimizer.schedule-free.average[float64]": "the schedule of a warm-up counts in float32, whatever the dtype of the parameters",
    "validation.columns": _UNCHECKED,
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "schedule.invalid": "schedules take rates, factors and lengths as they are",
    "window.last": "MultiSteps makes no step for a last window that is not full",
    "window.invalid": "a window of 0 never ends",
    "average.invalid": "decays are taken as they are",
    "group.invalid": "transformations that no parameter is labelled with are ignored",
    "clip.zeros": "gradients of zero, which are no shorter than a limit of zero, are divided by their norm",
    "clip.invalid": "a limit is taken as it is, and a negative one turns the gradients around",
}
elementary = {"exp": jnp.exp, "log": jnp.log, "tanh": jnp.tanh, "maximum": jnp.maximum}
conventions = {
    "arithmetic.subnormals": "flushed",
    "adam.amsgrad": "corrected",
    "rmsprop.epsilon": "inside",
    "rmsprop.buffer": "with-lr",
    "adagrad.epsilon": "inside",
    "nadam.schedule": "constant",
    "radam.epsilon": "outside",
    "lars.norm": "together",
    "lbfgs.first-rate": "l2",
    "lbfgs.curvature": "any",
    "muon.correction": "both",
    "muon.epsilon": "added",
    "muon.scale": "columns",
    "sgdschedulefree.warm-up": "apart",
    "schedule.warm-up-count": "zero",
    "resume.hyperparameters": "constructed",
}


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """The mean of optax.squared_error, as its documentation shows it."""
    return optax.squared_error(t_p, t_c).mean()


@jax.jit
def dloss_fn(t_p: Array, t_c: Array) -> Array:
    """The derivative of `loss_fn` by each prediction, (n,)."""
    return jax.grad(loss_fn)(t_p, t_c)


@jax.jit
def dmodel_dw(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the weight, (n,)."""
    return jax.jacobian(model, argnums=1)(t_u, w, b)


@jax.jit
def dmodel_db(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the bias, (n,)."""
    return jax.jacobian(model, argnums=2)(t_u, w, b)


def automatic_gradient(loss: Callable[[Array], Array], params: Array) -> tuple[Array, Array]:
    """A loss and its gradient, (p,)."""
    value, grad = jax.value_and_grad(loss)(params)
    return value, grad


def value_and_grad(params: Array, t_u: Array, t_c: Array) -> tuple[Array, Array]:
    """The loss of the line and its gradient, (2,)."""
    loss, grad = _loss_and_grad(params, t_u, t_c)
    return loss, grad


def _loss(params: Array, t_u: Array, t_c: Array) -> Array:
    w, b = params
    return loss_fn(model(t_u, w, b), t_c)


_loss_and_grad = jax.jit(jax.value_and_grad(_loss))


def least_squares(t_u: Array, t_c: Array) -> Array:
    """jnp.linalg.lstsq on the columns [t_u, 1], (2,)."""
    return jnp.linalg.lstsq(jnp.stack([t_u, jnp.ones_like(t_u)], axis=1), t_c)[0]


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """The loop of Optax's tutorials."""
    options = dict(optimizer)
    transformation = made(options.pop("name"), options)

    update = jax.jit(transformation.update) if n_epochs > LONG else transformation.update
    state = transformation.init(params)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        loss, grad = _loss_and_grad(params, t_u, t_c)
        train_losses.append(loss)
        if val_t_u is not None:
            val_losses.append(_loss(params, val_t_u, val_t_c))
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, train_losses, val_losses


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """jnp.broadcast_shapes."""
    shape: tuple[int, ...] = jnp.broadcast_shapes(*shapes)
    return shape


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """The vector-Jacobian product of x * y."""
    grad_x, grad_y = jax.vjp(multiply, x, y)[1](upstream)
    return grad_x, grad_y


# Accumulation


def accumulated_grad(params: Array, batches: list[tuple[Array, Array]]) -> Array:
    """The sum that optax.MultiSteps returns: each batch's loss is its own sum over the number of all samples."""
    n = sum(len(t_u) for t_u, _ in batches)
    init, update = _accumulating(len(batches))
    state = init(params)
    for t_u, t_c in batches:
        updates, state = update(_share_grad(params, t_u, t_c, n), state, params)
    return updates


@functools.cache
def _accumulating(k: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    steps = optax.MultiSteps(optax.identity(), every_k_schedule=k, use_grad_mean=False)
    return steps.init, jax.jit(steps.update)


@jax.jit
@jax.grad
def _share_grad(params: Array, t_u: Array, t_c: Array, n: int) -> Array:
    w, b = params
    return optax.squared_error(model(t_u, w, b), t_c).sum() / n


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of one of optax's optimizers on these gradients."""
    options = dict(hyperparameters)
    averaged = name in SCHEDULE_FREE and options.pop("averaged", False)
    transformation = made(name, options)
    if any(grad is None for step in grads for grad in step):
        raise NotImplementedError("optax has no step in which a parameter has no gradient")
    if name == "muon" and any(p.ndim != 2 for p in params):
        raise NotImplementedError("optax.contrib.muon moves by Adam what is no matrix")
    update = jax.jit(transformation.update) if len(grads) > LONG else transformation.update
    state = transformation.init(params)
    path = []
    for step in grads:
        updates, state = update(step, state, params)
        params = optax.apply_updates(params, updates)
        path.append(optax.contrib.schedule_free_eval_params(state[-1], params) if averaged else params)
    return path


# Validation


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """The loss with both penalties as optax's own norms."""
    return loss_fn(t_p, t_c) + l1 * optax.tree.norm(w, ord=1) + l2 * optax.tree.norm(w, squared=True)


@jax.jit
def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` of the line, (2,)."""
    return jnp.stack(jax.grad(lambda w, b: regularized_loss(model(t_u, w, b), t_c, w, l1, l2), argnums=(0, 1))(w, b))

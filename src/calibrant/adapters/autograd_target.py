"""Autograd (HIPS) as its users call it: NumPy under its tracer, its differential operators, autograd.misc.optimizers.

It has no losses: they are written out in autograd.numpy, as its own examples do. Schedules, weight decay and gradients that are
kept, which it has no function for, are absent.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import autograd.numpy as np
from autograd import grad, jacobian, make_vjp
from autograd import value_and_grad as with_value
from autograd.misc import optimizers

from calibrant.adapters.hyperparameters import offered
from calibrant.adapters.line import SHAPES, derivatives, model, multiply

Array = Any
"""NumPy arrays, or autograd's boxes around them."""

name = "autograd"
version = importlib.metadata.version("autograd")

_BROADCASTS = "autograd.numpy broadcasts, as NumPy does, and the mean of no samples is NaN"
_WIDENS = (
    "the optimizers' buffers are float64, and so is a single array that they have moved; lists of arrays are cast back"
)
_COUNTS = "the gradient of a mean is divided by a count of NumPy's type int64, which widens float32 since NumPy 2"
deviations = {
    **dict.fromkeys(SHAPES, _BROADCASTS),
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "loss.dtype": _COUNTS,
    "gradient.dtype": _COUNTS,
    "loss.absolute-slope": "the slope of |x| is g x / |x|, and the product g x of a subnormal number loses digits",
    "descent.diverges": _WIDENS,
    "descent.negative-rate": "any learning rate is taken, and a loop over range(num_iters) runs no epochs where num_iters is negative",
    "descent.dtype": _WIDENS,
    "optimizer.invalid": "hyperparameters are taken as they are",
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
}
elementary = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "maximum": np.maximum}
conventions = {"sgd.buffer": "average", "rmsprop.start": "one"}

OPTIMIZERS: dict[str, tuple[Callable[..., Any], str]] = {
    "sgd": (optimizers.sgd, "lr momentum"),
    "adam": (optimizers.adam, "lr betas eps"),
    "rmsprop": (optimizers.rmsprop, "lr alpha eps"),
}
"""Each optimizer, and its hyperparameters by PyTorch's names."""

NAMES = {"lr": "step_size", "momentum": "mass", "alpha": "gamma"}
"""Autograd's names for torch.optim's hyperparameters, where they differ."""


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """The mean of the squares, in autograd.numpy."""
    return np.mean((t_p - t_c) ** 2)


def absolute_loss(t_p: Array, t_c: Array) -> Array:
    """The mean of the magnitudes, in autograd.numpy."""
    return np.mean(np.abs(t_p - t_c))


def dmodel_dw(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the weight, (n,)."""
    return jacobian(model, 1)(t_u, w, b)


def dmodel_db(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the bias, (n,)."""
    return jacobian(model, 2)(t_u, w, b)


def automatic_gradient(loss: Callable[[Array], Array], params: Array) -> tuple[Array, Array]:
    """A loss and its gradient, (p,)."""
    value, slope = with_value(loss)(params)
    return value, slope


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


def _loss(params: Array, t_u: Array, t_c: Array) -> Array:
    w, b = params
    return loss_fn(model(t_u, w, b), t_c)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """Train with one of autograd's optimizers; the gradient function logs the losses."""
    options = dict(optimizer)
    minimize, arguments = _optimizer(options.pop("name"), options)
    train_losses, val_losses = [], []

    def gradient(params: Array, epoch: int) -> Array:
        loss, slope = value_and_grad(params, t_u, t_c)
        train_losses.append(loss)
        if val_t_u is not None:
            val_losses.append(_loss(params, val_t_u, val_t_c))
        return slope

    return minimize(gradient, params, num_iters=n_epochs, **arguments), train_losses, val_losses


# Broadcasting


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """The vector-Jacobian product of x * y, by each."""
    return make_vjp(multiply, 0)(x, y)[0](upstream), make_vjp(multiply, 1)(x, y)[0](upstream)


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters that one of autograd's optimizers shows its callback; the gradient function returns these gradients."""
    minimize, arguments = _optimizer(name, hyperparameters)
    if any(gradient is None for step in grads for gradient in step):
        raise NotImplementedError("autograd has no step in which a parameter has no gradient")
    path: list[list[Array]] = []
    last = minimize(lambda x, t: grads[t], params, lambda x, t, g: path.append(x), len(grads), **arguments)
    return [*path[1:], last]


def _optimizer(name: str, hyperparameters: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"autograd has no {name}")
    minimize, names = OPTIMIZERS[name]
    options = offered("autograd", name, hyperparameters, names)
    if isinstance(options["lr"], list):
        raise NotImplementedError("autograd's optimizers have one rate")
    if "betas" in options:
        options["b1"], options["b2"] = options.pop("betas")
    return minimize, {NAMES.get(key, key): value for key, value in options.items()}


# Validation


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """The loss with both penalties, in autograd.numpy."""
    return loss_fn(t_p, t_c) + l1 * np.abs(w) + l2 * w**2


def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` of the line, (2,)."""
    return grad(lambda params: regularized_loss(model(t_u, *params), t_c, params[0], l1, l2))(np.array([w, b]))

"""MyGrad as its users call it: its tensors and their backward, MyNN's losses and optimizers. Nothing here computes.

What they have no function for (hand-derived gradients, gradients that accumulate, splits, stopping) is absent.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import mygrad as mg
import numpy as np
from mynn.losses import l1_loss, mean_squared_loss
from mynn.optimizers import SGD, Adadelta, Adam, AdaMax

from calibrant.adapters.hyperparameters import offered, rates_of
from calibrant.adapters.line import SHAPES, derivatives, model, multiply, multiply_in_place

Tensor = Any
"""MyGrad's tensors."""

name = "mygrad"
version = f"{importlib.metadata.version('mygrad')}, mynn {importlib.metadata.version('mynn')}"
asarray = mg.tensor

_BROADCASTS = "mygrad broadcasts, as NumPy does, and the mean of no samples is NaN"
_OVERWRITES = "mygrad forgets a gradient when its tensor enters another graph, as its documentation says"
_WIDENS = "a Python number becomes an array of float64, which widens float32 since NumPy 2"
_DECAYS = "mynn's decay, not times the rate and no part of the gradient, is for parameters of two dimensions or more"
_COUNTS = "mynn's optimizers count one step for all parameters, though some have no gradient in it"
deviations = {
    **dict.fromkeys(SHAPES, _BROADCASTS),
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "descent.negative-rate": "any rate is taken, and a loop over range(n_epochs) runs no epochs where n_epochs is negative",
    "autograd.accumulates": _OVERWRITES,
    "autograd.three-batches": _OVERWRITES,
    "autograd.separate-graphs": _OVERWRITES,
    "autograd.recorded-update": "mygrad records a step in place on any tensor, and refuses none",
    "autograd.mode-restored": "nothing switches recording on within mg.no_autodiff",
    "autograd.dtype": _WIDENS,
    "accumulation.sum": _OVERWRITES,
    "accumulation.refused": _BROADCASTS,
    "accumulation.same-shape": _BROADCASTS,
    "optimizer.sgd.weight-decay": _DECAYS,
    "optimizer.adam.weight-decay": _DECAYS,
    "optimizer.coupled-decay": _DECAYS,
    "optimizer.absent-gradient": _COUNTS,
    "optimizer.zero-rate": _DECAYS,
    "optimizer.invalid": "mynn looks at nothing but the momentum of SGD and the betas",
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "regularization.dtype": _WIDENS,
}
elementary = {"exp": mg.exp, "log": mg.log, "tanh": mg.tanh, "maximum": mg.maximum}
conventions = {
    "sgd.buffer": "with-lr",
    "adamax.epsilon": "outside",
    "adadelta.rate": "without",
}

OPTIMIZERS: dict[str, tuple[Callable[..., Any], str]] = {
    "sgd": (SGD, "lr momentum weight_decay"),
    "adam": (Adam, "lr betas eps weight_decay"),
    "adamax": (AdaMax, "lr betas eps weight_decay"),
    "adadelta": (Adadelta, "lr rho eps"),
}
"""Each optimizer, and its hyperparameters by PyTorch's names."""


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """A tensor's data."""
    return x.data if isinstance(x, mg.Tensor) else np.asarray(x)


def loss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """mynn's mean_squared_loss."""
    return mean_squared_loss(t_p, t_c)


def absolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """mynn's l1_loss."""
    return l1_loss(t_p, t_c)


def automatic_gradient(loss: Callable[[Tensor], Tensor], params: Tensor) -> tuple[Tensor, Tensor]:
    """A loss and the gradient that its backward pass leaves, (p,)."""
    leaf = mg.tensor(params)
    value = loss(leaf)
    value.backward()
    return value, leaf.grad


dloss_fn, dabsolute_loss, value_and_grad = derivatives(automatic_gradient, loss_fn, absolute_loss)


def _loss(params: Tensor, t_u: Tensor, t_c: Tensor) -> Tensor:
    w, b = params
    return mean_squared_loss(model(t_u, w, b), t_c)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    val_t_u: Tensor | None = None,
    val_t_c: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The loop of MyNN's examples, with one of its optimizers."""
    leaf = mg.tensor(params)
    options = dict(optimizer)
    stepper = _optimizer(options.pop("name"), [leaf], options)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        loss = _loss(leaf, t_u, t_c)
        train_losses.append(loss)
        if val_t_u is not None:
            val_losses.append(validation_loss(leaf, val_t_u, val_t_c)[0])
        loss.backward()
        stepper.step()
    return leaf, train_losses, val_losses


# Broadcasting


def multiply_grad(x: Tensor, y: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x and y after the backward pass of x * y."""
    x, y = mg.tensor(x), mg.tensor(y)
    (x * y).backward(upstream)
    return x.grad, y.grad


def expand(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...], int]:
    """mg.broadcast_to."""
    view = mg.broadcast_to(x, shape)
    return view, tuple(stride // view.data.itemsize for stride in view.data.strides), int(mg.shares_memory(x, view))


# Autograd


def backward(losses: Sequence[Callable[[Tensor], Tensor]], params: Tensor, zero_grad: str) -> list[list[Any]]:
    """The gradient of the parameters before and after each backward pass."""
    if zero_grad == "to-zero":
        raise NotImplementedError("mygrad has no function that writes zeros into a gradient")
    leaf = mg.tensor(params)
    passes = []
    for loss in losses:
        if zero_grad == "to-none":
            leaf.null_grad()
        found = leaf.grad
        loss(leaf).backward()
        passes.append([found, leaf.grad])
    return passes


def descend(
    loss: Callable[[Tensor], Tensor], params: Tensor, learning_rate: float, n_steps: int, no_grad: bool
) -> list[list[Tensor]]:
    """Steps in place, under mg.no_autodiff or not."""
    leaf = mg.tensor(params)
    steps = []
    for _ in range(n_steps):
        value = loss(leaf)
        value.backward()
        grad = leaf.grad
        with mg.no_autodiff if no_grad else contextlib.nullcontext():
            leaf -= learning_rate * grad
        steps.append([value, grad, leaf.data.copy()])
    return steps


def evaluate(loss: Callable[[Tensor], Tensor], params: Tensor, is_train: bool) -> list[Any]:
    """A loss, under mg.no_autodiff or not, and its gradient if it has a creator: then it is recorded."""
    leaf = mg.tensor(params)
    with contextlib.nullcontext() if is_train else mg.no_autodiff:
        value = loss(leaf)
    if value.creator is not None:
        value.backward()
    return [value, leaf.grad]


def calc_forward(params: Tensor, t_u: Tensor, t_c: Tensor, is_train: bool) -> list[Any]:
    """`evaluate` for the loss of the line."""
    return evaluate(lambda leaf: _loss(leaf, t_u, t_c), params, is_train)


def accumulate(params: Tensor, batches: list[tuple[Tensor, Tensor]], zero_grad: bool) -> list[Tensor]:
    """The gradient of the parameters after each batch's backward pass, (k, 2)."""
    losses = [functools.partial(_loss, t_u=t_u, t_c=t_c) for t_u, t_c in batches]
    return [left for _, left in backward(losses, params, "to-none" if zero_grad else "never")]


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Tensor], grads: list[list[Tensor | None]]
) -> list[list[Tensor]]:
    """The parameters after each step of one of mynn's optimizers on these gradients."""
    leaves = [mg.tensor(x) for x in params]
    rates, options = rates_of(hyperparameters, len(grads))
    stepper = _optimizer(name, leaves, options)
    path = []
    for rate, step in zip(rates, grads, strict=True):
        if rate is not None:
            stepper.learning_rate = rate
        for leaf, grad in zip(leaves, step, strict=True):
            leaf.null_grad()
            if grad is not None:
                leaf.backward(grad)
        stepper.step()
        path.append([leaf.data.copy() for leaf in leaves])
    return path


def _optimizer(name: str, params: list[Tensor], hyperparameters: dict[str, Any]) -> Any:
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"mynn has no {name}")
    make, names = OPTIMIZERS[name]
    options = offered("mynn", name, hyperparameters, names)
    rate = options.pop("lr")
    if name != "adadelta":  # which has none
        options["learning_rate"] = rate
    if "betas" in options:
        options["beta1"], options["beta2"] = options.pop("betas")
    return make(params, **options)


# Validation


def validation_loss(params: Tensor, t_u: Tensor, t_c: Tensor) -> tuple[Tensor, int]:
    """The loss of the line under mg.no_autodiff, and whether mygrad recorded it."""
    with mg.no_autodiff:
        loss = _loss(mg.tensor(params), t_u, t_c)
    return loss, int(loss.creator is not None)


def regularized_loss(t_p: Tensor, t_c: Tensor, w: Tensor, l1: float, l2: float) -> Tensor:
    """mynn's mean_squared_loss with both penalties written out."""
    return mean_squared_loss(t_p, t_c) + l1 * mg.abs(w) + l2 * w**2


def regularized_grad(t_u: Tensor, t_c: Tensor, w: Tensor, b: Tensor, l1: float, l2: float) -> Tensor:
    """The gradient of `regularized_loss` of the line, (2,)."""
    w, b = mg.tensor(w), mg.tensor(b)
    regularized_loss(model(t_u, w, b), t_c, w, l1, l2).backward()
    return [w.grad, b.grad]

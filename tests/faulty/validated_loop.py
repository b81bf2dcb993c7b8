"""Wrong training loops with validation: each is the right one with one line changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.targets.numpy_target import grad_fn, loss_fn, model


def _columns(t_u: Any, t_c: Any) -> None:
    if t_u.ndim != 1 or t_u.size == 0 or t_u.shape != t_c.shape:
        raise ValueError("data are two columns of one length")


def _start(n_epochs: int, optimizer: dict[str, Any], params: Any, *columns: Any) -> Any:
    if optimizer["name"] != "sgd":
        raise NotImplementedError
    if n_epochs < 0 or not (math.isfinite(optimizer["lr"]) and optimizer["lr"] >= 0):
        raise ValueError("schedule")
    _columns(*columns[:2])
    if columns[2] is not None or columns[3] is not None:
        _columns(*columns[2:])
    return params.dtype.type(optimizer["lr"])


def _loss(params: Any, t_u: Any, t_c: Any) -> Any:
    return loss_fn(model(t_u, *params), t_c)


def _grad(params: Any, t_u: Any, t_c: Any) -> Any:
    return grad_fn(t_u, t_c, model(t_u, *params), *params)


def logged_after_the_update(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        params = params - lr * _grad(params, t_u, t_c)
        if v_u is not None:
            val_losses.append(_loss(params, v_u, v_c))
    return params.copy(), losses, val_losses


def trained_on_both(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    """`(train_loss + val_loss).backward()`."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        step = _grad(params, t_u, t_c)
        if v_u is not None:
            val_losses.append(_loss(params, v_u, v_c))
            step = step + _grad(params, v_u, v_c)
        params = params - lr * step
    return params.copy(), losses, val_losses


def stops_when_validation_rises(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    """The step is taken back once the validation loss has risen: useful, but the validation data then have a say."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        if v_u is not None:
            val_losses.append(_loss(params, v_u, v_c))
            if len(val_losses) > 1 and val_losses[-1] > val_losses[-2]:
                continue
        params = params - lr * _grad(params, t_u, t_c)
    return params.copy(), losses, val_losses


def losses_of_the_training_data(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    """A name mistyped."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        if v_u is not None:
            val_losses.append(_loss(params, t_u, t_c))
        params = params - lr * _grad(params, t_u, t_c)
    return params.copy(), losses, val_losses


def last_loss_of_every_epoch(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    """Evaluated once, at the end."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses = []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        params = params - lr * _grad(params, t_u, t_c)
    val_losses = [_loss(params, v_u, v_c)] * n_epochs if v_u is not None else []
    return params.copy(), losses, val_losses


def training_losses_without_validation(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    """`val_t_u = val_t_u or t_u`."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        val_losses.append(_loss(params, t_u, t_c) if v_u is None else _loss(params, v_u, v_c))
        params = params - lr * _grad(params, t_u, t_c)
    return params.copy(), losses, val_losses


def any_validation_shape(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c, None, None)
    losses, val_losses = [], []
    for _ in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        if v_u is not None:
            val_losses.append(np.sum(np.square(v_u * params[0] + params[1] - v_c) / v_u.dtype.type(max(1, v_u.size))))
        params = params - lr * _grad(params, t_u, t_c)
    return params.copy(), losses, val_losses


def validation_scaled_in_place(
    n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, v_u: Any = None, v_c: Any = None
) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c, v_u, v_c)
    losses, val_losses = [], []
    for epoch in range(n_epochs):
        losses.append(_loss(params, t_u, t_c))
        if v_u is not None:
            val_losses.append(_loss(params, v_u if epoch == 0 else v_u * 2, v_c))
            if epoch == 0:
                v_u /= 2
        params = params - lr * _grad(params, t_u, t_c)
    return params.copy(), losses, val_losses

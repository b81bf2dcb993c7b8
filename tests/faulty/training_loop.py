"""Wrong training loops: each is the right one with one line changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.targets.numpy_target import grad_fn, loss_fn, model


def _start(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = optimizer["lr"]
    if n_epochs < 0 or not (math.isfinite(lr) and lr >= 0):
        raise ValueError("schedule")
    if t_u.ndim != 1 or t_u.size == 0 or t_u.shape != t_c.shape:
        raise ValueError("data are two columns of one length")
    return params.dtype.type(lr)


def _evaluated(params: Any, t_u: Any, t_c: Any) -> tuple[Any, Any]:
    w, b = params
    t_p = model(t_u, w, b)
    return loss_fn(t_p, t_c), grad_fn(t_u, t_c, t_p, w, b)


def logged_after_the_update(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        _, grad = _evaluated(params, t_u, t_c)
        params = params - lr * grad
        losses.append(_evaluated(params, t_u, t_c)[0])
    return params, losses, []


def bias_from_the_new_weight(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        params = np.stack([params[0] - lr * grad[0], params[1]])
        params = np.stack([params[0], params[1] - lr * _evaluated(params, t_u, t_c)[1][1]])
    return params, losses, []


def uphill(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        params = params + lr * grad
    return params, losses, []


def one_epoch_more(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    """`range(1, n_epochs + 2)`."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs + 1):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        params = params - lr * grad
    return params, losses, []


def last_loss_missing(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for epoch in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        if epoch < n_epochs - 1:
            losses.append(loss)
        params = params - lr * grad
    return params, losses, []


def gradient_clipped(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    """To length 100, as people do."""
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        length = np.sqrt(np.sum(grad * grad))
        params = params - lr * (grad * (100 / length) if length > 100 else grad).astype(params.dtype)
    return params, losses, []


def nan_replaced(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        params = np.nan_to_num(params - lr * grad)
    return params, losses, []


def in_place(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        params -= lr * grad
    return params, losses, []


def readings_scaled_in_place(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    scale = t_u.dtype.type(2)
    t_u *= scale
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u / scale, t_c)
        losses.append(loss)
        params = params - lr * grad
    return params, losses, []


def any_rate(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    return _right(max(n_epochs, 0), {"lr": abs(np.nan_to_num(optimizer["lr"], posinf=1, neginf=1))}, params, t_u, t_c)


def in_float64(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    """More exact than it has to be, and then another dtype than it was given."""
    return _right(n_epochs, optimizer, *(x.astype(np.float64) for x in (params, t_u, t_c)))


def _right(n_epochs: int, optimizer: dict[str, Any], params: Any, t_u: Any, t_c: Any) -> Any:
    lr = _start(n_epochs, optimizer, params, t_u, t_c)
    losses = []
    for _ in range(n_epochs):
        loss, grad = _evaluated(params, t_u, t_c)
        losses.append(loss)
        params = params - lr * grad
    return params.copy(), losses, []

"""Wrong loops with autograd."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets.numpy_target import grad_fn, loss_fn, model


def _walk(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any, kept: float = 0.0) -> Any:
    """The right loop, but for what is kept of the gradient before."""
    grad, losses = np.zeros_like(params), []
    for _ in range(n_epochs):
        w, b = params
        t_p = model(t_u, w, b)
        losses.append(loss_fn(t_p, t_c))
        grad = grad * params.dtype.type(kept) + grad_fn(t_u, t_c, t_p, w, b)
        params = params - params.dtype.type(learning_rate) * grad
    return params, losses


def gradients_accumulate(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    return _walk(n_epochs, learning_rate, params, t_u, t_c, kept=1.0)


def last_loss_missing(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    params, losses = _walk(n_epochs, learning_rate, params, t_u, t_c)
    return params, losses[:-1]


def in_place(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    params[...], losses = _walk(n_epochs, learning_rate, params, t_u, t_c)
    return params.copy(), losses


def in_float64(n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    return _walk(n_epochs, learning_rate, *(x.astype(np.float64) for x in (params, t_u, t_c)))

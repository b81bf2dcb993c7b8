"""Wrong losses and gradients in one."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets.numpy_target import grad_fn, loss_fn, model


def right(params: Any, t_u: Any, t_c: Any) -> tuple[Any, Any]:
    """In NumPy, so by hand: what matters is that the two belong together."""
    w, b = params
    t_p = model(t_u, w, b)
    return loss_fn(t_p, t_c), grad_fn(t_u, t_c, t_p, w, b)


def gradient_of_half_the_loss(params: Any, t_u: Any, t_c: Any) -> tuple[Any, Any]:
    loss, grad = right(params, t_u, t_c)
    return loss, grad / grad.dtype.type(2)


def penalized_without_gradient(params: Any, t_u: Any, t_c: Any) -> tuple[Any, Any]:
    loss, grad = right(params, t_u, t_c)
    return loss + params[0] * params[0], grad


def accumulating(params: Any, t_u: Any, t_c: Any) -> tuple[Any, Any]:
    """`.grad` is never reset."""
    loss, grad = right(params, t_u, t_c)
    total = grad + accumulating.__dict__.setdefault(str(grad.dtype), np.zeros_like(grad))
    accumulating.__dict__[str(grad.dtype)] = total if np.isfinite(total).all() else np.zeros_like(grad)
    return loss, total


def nan_replaced(params: Any, t_u: Any, t_c: Any) -> tuple[Any, Any]:
    loss, grad = right(params, t_u, t_c)
    return loss, np.nan_to_num(grad)

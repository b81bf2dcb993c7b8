"""Wrong forward passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets.numpy_target import grad_fn, loss_fn, model


def _right(params: Any, t_u: Any, t_c: Any, is_train: bool) -> list[Any]:
    w, b = params
    t_p = model(t_u, w, b)
    return [loss_fn(t_p, t_c), grad_fn(t_u, t_c, t_p, w, b) if is_train else None]


def always_recorded(params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    return _right(params, t_u, t_c, True)


def never_recorded(params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    return _right(params, t_u, t_c, False)


def zeros_where_nothing_is_recorded(params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    loss, gradient = _right(params, t_u, t_c, is_train)
    return [loss, np.zeros_like(params) if gradient is None else gradient]


def summed_in_validation(params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    loss, gradient = _right(params, t_u, t_c, is_train)
    return [loss if is_train else loss * params.dtype.type(t_u.size), gradient]


def in_place(params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    answer = _right(params, t_u, t_c, is_train)
    params -= params.dtype.type(0.125)
    return answer


def in_float64(params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    return _right(*(x.astype(np.float64) for x in (params, t_u, t_c)), is_train)

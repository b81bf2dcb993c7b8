"""Wrong difference quotients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.targets import numpy_target
from calibrant.targets.numpy_target import loss_fn, model


def _losses(t_u: Any, t_c: Any) -> Callable[[Any, Any], Any]:
    return lambda w, b: loss_fn(model(t_u, w, b), t_c)


def forward(t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    loss = _losses(t_u, t_c)
    return np.stack([loss(w + delta, b) - loss(w, b), loss(w, b + delta) - loss(w, b)]) / delta


def over_delta(t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    loss = _losses(t_u, t_c)
    rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
    return np.stack(rates) / delta


def times_delta(t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    """`/ 2.0 * delta`: the missing parentheses."""
    loss = _losses(t_u, t_c)
    rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
    return np.stack(rates) / 2 * delta


def nan_replaced(t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
    return np.nan_to_num(numpy_target.finite_difference(t_u, t_c, w, b, delta))

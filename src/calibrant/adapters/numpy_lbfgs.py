"""L-BFGS in plain NumPy, on a quadratic loss."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from calibrant.adapters.numpy_optimizers import _check
from calibrant.exact import LBFGS
from calibrant.protocol.errors import nearest

Array = Any
"""NumPy arrays."""


def lbfgs(
    hyperparameters: dict[str, Any],
    params: Array,
    hessian: Array,
    slope: Array,
    n_steps: int,
    *,
    flattening: float = 0.9,
) -> list[list[Array]]:
    """After each step: the parameters, the loss before it, and the count of its evaluations. `flattening` is of the strong Wolfe conditions."""
    h = _checked(hyperparameters)
    p, number = len(params), params.dtype.type
    rates = h["lr"] if isinstance(h["lr"], (list, tuple)) else [h["lr"]] * n_steps
    if hessian.shape != (p, p) or slope.shape != (p,) or len(rates) != n_steps:
        raise ValueError(
            f"{p} parameters do not fit {hessian.shape} and {slope.shape}, or {len(rates)} rates {n_steps} steps"
        )
    for rate in rates:
        _check("lr", rate, 0.0)
    most = h["max_iter"] * 5 // 4 if h["max_eval"] is None else h["max_eval"]

    def evaluate(x: Array) -> tuple[Array, Array]:
        g = _product(hessian, x) + slope
        return _product(g + slope, x) * number(0.5), g

    x, pairs, scale, last, path = params.copy(), deque[Any](maxlen=h["history_size"]), number(1.0), None, []
    for rate in rates:
        first, g = loss, _ = evaluate(x)
        count, n = 1, 0
        while n < h["max_iter"] and (n > 0 or np.abs(g).max() > h["tolerance_grad"]):
            n, t = n + 1, number(rate)
            if last is None:
                t = t / np.maximum(np.abs(g).sum(), number(1.0))
            elif (curvature := _product(y := g - last[1], last[0])) > 1e-10:
                pairs.append((last[0], y, number(1.0) / curvature))
                scale = curvature / _product(y, y)
            d = -_inverse(pairs, scale, g)
            steep, last = _product(g, d), (np.zeros_like(x), g)
            if steep > -h["tolerance_change"]:
                break
            if h["line_search_fn"]:
                t, tries = _searched(evaluate, x, d, t, loss, steep, most - count, flattening)
                count += tries
            s = d * t
            x, last = x + s, (s, g)
            if n == h["max_iter"]:
                break
            before, (loss, g), count = loss, evaluate(x), count + 1
            if (
                count >= most
                or np.abs(g).max() <= h["tolerance_grad"]
                or np.abs(s).max() <= h["tolerance_change"]
                or np.abs(loss - before) < h["tolerance_change"]
            ):
                break
        path.append([x.copy(), np.asarray(first), np.asarray(count, dtype=x.dtype)])
    return path


def _product(x: Array, y: Array) -> Array:
    """The product in the numbers' own dtype: NumPy's of bfloat16 is float32."""
    return (x @ y).astype(y.dtype)


def _inverse(pairs: Any, scale: Any, g: Array) -> Array:
    """The estimated inverse Hessian times g: from the newest pair to the oldest, and back."""
    shares = []
    for s, y, over in reversed(pairs):
        shares.append(_product(s, g) * over)
        g = g - y * shares[-1]
    g = g * scale
    for s, y, over in pairs:
        g = g + s * (shares.pop() - _product(y, g) * over)
    return g


def _searched(
    evaluate: Any, x: Array, d: Array, t: Any, loss: Any, steep: Any, most: int, flattening: float
) -> tuple[Any, int]:
    """A rate by the strong Wolfe conditions, and the evaluations that it took: doubled, and then halved between two that are unfit."""
    low, high = t * 0, math.inf
    for tries in range(1, max(most, 1) + 1):
        value, g = evaluate(x + d * t)
        if value > loss + 1e-4 * t * steep or (slant := _product(g, d)) > -flattening * steep:
            high = t
        elif slant < flattening * steep:
            low = t
        else:
            return t, tries
        t = type(t)(2 * t if high == math.inf else (low + high) / 2)
    return low, tries


def _checked(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters, with defaults. Raises ValueError for one that does not exist or means nothing."""
    for key, value in hyperparameters.items():
        if key not in LBFGS:
            raise ValueError(f"lbfgs has no {key!r}{nearest(key, list(LBFGS))}")
        if key.startswith("tolerance") or (key == "lr" and not isinstance(value, (list, tuple))):
            _check(key, value, 0.0)
        whole = key in ("max_iter", "history_size") or (key == "max_eval" and value is not None)
        if whole and (type(value) is not int or value < 1):
            raise ValueError(f"{key} is {value!r}: it must be at least 1")
        if key == "line_search_fn" and value not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn is {value!r}: it must be None or 'strong_wolfe'")
    return LBFGS | hyperparameters

"""Wrong gradients by hand."""

from __future__ import annotations

from typing import Any

import numpy as np


def _parts(t_u: Any, t_c: Any, t_p: Any) -> tuple[Any, Any]:
    dloss = 2 * (t_p - t_c) / t_p.dtype.type(t_p.size)
    return np.sum(dloss * t_u), np.sum(dloss)


def factor_missing(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    return np.stack(_parts(t_u, t_c, t_p)) / t_p.dtype.type(2)


def sign_flipped(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    return -np.stack(_parts(t_u, t_c, t_p))


def bias_halved(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    dw, db = _parts(t_u, t_c, t_p)
    return np.stack([dw, db / t_p.dtype.type(2)])


def bias_zero(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    dw, db = _parts(t_u, t_c, t_p)
    return np.stack([dw, db * 0])


def bias_over_n_minus_1(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    dw, db = _parts(t_u, t_c, t_p)
    n = t_p.dtype.type(t_p.size)
    return np.stack([dw, db * (n / max(n - 1, t_p.dtype.type(1)))])


def means_multiplied(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    """mean(t_u) times the bias's gradient, where the mean of the products is due."""
    _, db = _parts(t_u, t_c, t_p)
    return np.stack([np.mean(t_u) * db, db])


def last_sample_dropped(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    keep = max(t_u.size - 1, 1)
    return np.stack(_parts(t_u[:keep], t_c[:keep], t_p[:keep]))


def clipped(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    return np.clip(np.stack(_parts(t_u, t_c, t_p)), -100, 100)


def in_float32(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    parts = _parts(*(x.astype(np.float32) for x in (t_u, t_c, t_p)))
    return np.stack(parts).astype(t_u.dtype)


def in_place(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    t_p -= t_c
    return np.stack(_parts(t_u, t_c * 0, t_p))


def returned_in_float64(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    return np.stack(_parts(t_u, t_c, t_p)).astype(np.float64)


def nan_replaced(t_u: Any, t_c: Any, t_p: Any, w: Any, b: Any) -> Any:
    return np.nan_to_num(np.stack(_parts(t_u, t_c, t_p)))

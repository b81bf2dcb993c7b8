"""Wrong splits of two columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets.numpy_target import split


def shuffled_one_after_the_other(t_u: Any, t_c: Any, val_fraction: float, seed: int) -> tuple[Any, Any, Any, Any]:
    train, val = split(t_u.size, val_fraction, seed)
    other, other_val = split(t_c.size, val_fraction, seed + 1)
    return t_u[train], t_c[other], t_u[val], t_c[other_val]


def drawn_with_replacement(t_u: Any, t_c: Any, val_fraction: float, seed: int) -> tuple[Any, Any, Any, Any]:
    """`choice` for `permutation`: some rows twice, some not at all."""
    rows = np.random.default_rng(seed).choice(t_u.size, t_u.size)
    train, val = split(t_u.size, val_fraction, seed)
    return t_u[rows[train]], t_c[rows[train]], t_u[rows[val]], t_c[rows[val]]


def sorted_columns(t_u: Any, t_c: Any, val_fraction: float, seed: int) -> tuple[Any, Any, Any, Any]:
    train, val = split(t_u.size, val_fraction, seed)
    return np.sort(t_u[train]), np.sort(t_c[train]), t_u[val], t_c[val]


def normalized(t_u: Any, t_c: Any, val_fraction: float, seed: int) -> tuple[Any, Any, Any, Any]:
    """By the mean of all readings."""
    train, val = split(t_u.size, val_fraction, seed)
    u = t_u - np.mean(t_u)
    return u[train], t_c[train], u[val], t_c[val]


def in_place(t_u: Any, t_c: Any, val_fraction: float, seed: int) -> tuple[Any, Any, Any, Any]:
    rows = np.concatenate(split(t_u.size, val_fraction, seed))
    n_train = len(split(t_u.size, val_fraction, seed)[0])
    t_u[:], t_c[:] = t_u[rows], t_c[rows]
    return t_u[:n_train].copy(), t_c[:n_train].copy(), t_u[n_train:].copy(), t_c[n_train:].copy()


def in_float64(t_u: Any, t_c: Any, val_fraction: float, seed: int) -> tuple[Any, Any, Any, Any]:
    train, val = split(t_u.size, val_fraction, seed)
    u, c = t_u.astype(np.float64), t_c.astype(np.float64)
    return u[train], c[train], u[val], c[val]

"""Lazy optimizers in plain NumPy: only the rows of a table that have gradients move."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.adapters.numpy_optimizers import checked
from calibrant.exact import LAZY

Array = Any
"""NumPy arrays."""


def optimize_rows(
    name: str, hyperparameters: dict[str, Any], table: Array, rows: list[list[int]], grads: list[Array]
) -> list[Array]:
    """The table after each of T steps; `lr` may be a list of T rates."""
    h = SimpleNamespace(**checked(name, hyperparameters, LAZY))
    rates = h.lr if isinstance(h.lr, (list, tuple)) else [h.lr] * len(rows)
    if not len(rates) == len(rows) == len(grads):
        raise ValueError(f"{len(rows)} lists of rows have {len(grads)} gradients and {len(rates)} rates")
    table, m, v, (beta1, beta2) = table.copy(), np.zeros_like(table), np.zeros_like(table), h.betas
    path = []
    for t, (rate, some, g) in enumerate(zip(rates, rows, grads, strict=True), start=1):
        if g.shape != (len(some), *table.shape[1:]) or any(not 0 <= row < len(table) for row in some):
            raise ValueError(f"rows {some} of a table of {table.shape} have gradients of {g.shape}")
        summed: dict[int, Array] = {}
        for row, one in zip(some, g, strict=True):
            summed[row] = summed.get(row, 0) + (-one if h.maximize else one)
        for row, total in summed.items():
            m[row] = m[row] * beta1 + total * (1 - beta1)
            v[row] = v[row] * beta2 + total * total * (1 - beta2)
            length = m[row] / (np.sqrt(v[row]) + h.eps) * (rate * math.sqrt(1 - beta2**t) / (1 - beta1**t))
            table[row] = table[row] - length
        path.append(table.copy())
    return path

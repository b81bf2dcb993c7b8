"""Lazy optimizers: of a table of n rows, (n, ...), they move those that have gradients.

The gradient of an embedding has as many rows as the batch has words, and the table has as many as the language.
"""

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from calibrant.mechanics.optimizers import require_settings, require_value
from calibrant.mechanics.rules import BETAS, average

LAZY: dict[str, dict[str, Any]] = {"sparse_adam": {"lr": 1e-3, "betas": BETAS, "eps": 1e-8, "maximize": False}}
"""The lazy optimizers, each with its hyperparameters and their defaults."""


def optimize_rows(
    name: str, hyperparameters: Mapping[str, Any], table: Tensor, rows: Sequence[Sequence[int]], grads: Sequence[Tensor]
) -> list[Tensor]:
    """The table after each of T steps of Adam that leaves rows without gradients alone, and their averages too.  [optimizer.sparse-adam]

    The gradients of a row that is named several times add up [optimizer.sparse-adam.rows]; `lr` may be a list of T rates. Raises
    ValueError unless the hyperparameters mean something, each step has a gradient for each number of a row, and the table that row.
    """
    settings = dict(hyperparameters)
    rates = settings.pop("lr", 1e-3)
    require_settings(name, settings, LAZY)
    rates = rates if isinstance(rates, (list, tuple)) else [rates] * len(rows)
    if not len(rates) == len(rows) == len(grads):
        raise ValueError(f"there are {len(rows)} lists of rows, {len(grads)} gradients and {len(rates)} rates")
    h = SimpleNamespace(**LAZY[name] | settings)
    (beta1, beta2), table, path = h.betas, table.clone(), []
    m, v = torch.zeros_like(table), torch.zeros_like(table)
    for t, (rate, some, g) in enumerate(zip(rates, rows, grads, strict=True), start=1):  # t counts for all rows
        require_value("lr", rate, 0.0)
        if g.shape != (len(some), *table.shape[1:]) or not all(0 <= row < len(table) for row in some):
            raise ValueError(f"rows {list(some)} of a table of {tuple(table.shape)} have gradients of {tuple(g.shape)}")
        which, place = torch.tensor(some, dtype=torch.int64).unique(return_inverse=True)
        summed = torch.zeros_like(table[which]).index_add_(0, place, -g if h.maximize else g)
        m[which] = average(m[which], summed, beta1)
        v[which] = average(v[which], summed * summed, beta2)
        rate = rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        table[which] -= rate * (m[which] / (v[which].sqrt() + h.eps))
        path.append(table.clone())
    return path

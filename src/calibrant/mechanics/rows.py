"""Lazy optimizers: of a table of n rows, (n, ...), they move those that have gradients.

The gradient of an embedding has as many rows as the batch has words, and the table has as many as the language.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from calibrant.mechanics.optimizers import require_settings, require_value
from calibrant.mechanics.rules import BETAS, average

LAZY: dict[str, dict[str, Any]] = {"sparse_adam": {"lr": 1e-3, "betas": BETAS, "eps": 1e-8, "maximize": False}}
"""The lazy optimizers, each with its hyperparameters and their defaults."""


class SparseAdam:
    """Adam that leaves rows without gradients alone, and their averages too.  [optimizer.sparse-adam]

    Raises ValueError for hyperparameters that mean nothing.
    """

    def __init__(self, table: Tensor, **hyperparameters: Any) -> None:
        require_settings("sparse_adam", hyperparameters, LAZY)
        given = {**LAZY["sparse_adam"], **hyperparameters}
        self.lr, self.betas, self.eps, self.maximize = (given[key] for key in ("lr", "betas", "eps", "maximize"))
        self.table, self.t = table, 0
        self.m, self.v = torch.zeros_like(table), torch.zeros_like(table)

    def step(self, rows: Tensor, g: Tensor) -> None:
        """Move the rows of these numbers, (k,), along their gradients, (k, ...); those of a repeated row add up.  [optimizer.sparse-adam.rows]"""
        self.t += 1  # for all rows
        beta1, beta2 = self.betas
        which, place = rows.unique(return_inverse=True)
        summed = torch.zeros_like(self.table[which]).index_add_(0, place, -g if self.maximize else g)
        self.m[which] = m = average(self.m[which], summed, beta1)
        self.v[which] = v = average(self.v[which], summed * summed, beta2)
        rate = self.lr * math.sqrt(1 - beta2**self.t) / (1 - beta1**self.t)
        self.table[which] -= rate * (m / (v.sqrt() + self.eps))


def optimize_rows(
    name: str, hyperparameters: Mapping[str, Any], table: Tensor, rows: Sequence[Sequence[int]], grads: Sequence[Tensor]
) -> list[Tensor]:
    """The table after each of T steps of a fresh optimizer; `lr` may be a list of T rates.

    Raises ValueError unless each step has a gradient for each number of a row, and the table that row.
    """
    settings = dict(hyperparameters)
    rates = settings.pop("lr", 1e-3)
    require_settings(name, settings, LAZY)
    rates = rates if isinstance(rates, (list, tuple)) else [rates] * len(rows)
    if not len(rates) == len(rows) == len(grads):
        raise ValueError(f"there are {len(rows)} lists of rows, {len(grads)} gradients and {len(rates)} rates")
    optimizer, path = SparseAdam(table.clone(), **settings), []
    for rate, some, g in zip(rates, rows, grads, strict=True):
        require_value("lr", rate, 0.0)
        if g.shape != (len(some), *table.shape[1:]) or not all(0 <= row < len(table) for row in some):
            raise ValueError(f"rows {list(some)} of a table of {tuple(table.shape)} have gradients of {tuple(g.shape)}")
        optimizer.lr = rate
        optimizer.step(torch.tensor(some, dtype=torch.int64), g)
        path.append(optimizer.table.clone())
    return path

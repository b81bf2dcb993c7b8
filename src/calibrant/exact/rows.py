"""The true steps of lazy optimizers, which move the rows of a table that have gradients, and leave all others with their memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibrant.exact import scalars
from calibrant.exact.formats import format_of
from calibrant.exact.numbers import Exact
from calibrant.exact.optimizers import Follow, Hyperparameters
from calibrant.exact.scalars import Number, constant, either, hyperparameter, mix, product, root
from calibrant.exact.tensors import State, total

LAZY: dict[str, dict[str, Any]] = {
    "sparse_adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "maximize": False},
}
"""The lazy optimizers, each with its hyperparameters and their defaults, PyTorch's."""


class Lazy:
    """A table, number by number, the memory of each, and one count of steps. An impostor changes a method."""

    def __init__(self, h: Hyperparameters, numbers: Sequence[Number], width: int, follow: Follow) -> None:
        self.h, self.numbers, self.width, self.follow = h, list(numbers), width, follow
        self.t = 0
        self.zero = constant(0.0, numbers[0].form)
        self.states = [State(m=self.zero, v=self.zero) for _ in numbers]

    def step(self, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
        """Take one step, which counts for all rows; each that has gradients moves once, along their sum."""
        self.t += 1
        for row, listed in self.listed(rows, grads).items():
            self.move(row, lr, [total(some) for some in zip(*listed, strict=True)])

    def listed(self, rows: Sequence[int], grads: Sequence[Number]) -> dict[int, list[Sequence[Number]]]:
        """The gradients of each row."""
        found: dict[int, list[Sequence[Number]]] = {}
        for k, row in enumerate(rows):
            found.setdefault(int(row), []).append(grads[k * self.width : (k + 1) * self.width])
        return found

    def move(self, row: int, lr: Number, grads: Sequence[Number]) -> None:
        """Move a row, and its memory."""
        for i, g in enumerate(grads, start=row * self.width):
            s = self.states[i]
            self.remember(s, -g if self.h["maximize"] else g)
            self.numbers[i] = self.numbers[i] - self.length(s, self.count(row), lr)

    def count(self, row: int) -> int:
        """The number of the step, by which a row's averages are corrected."""
        return self.t

    def remember(self, s: State, g: Number) -> None:
        """Average a gradient and its square."""
        s.m = mix(s.m, g, self.h.beta1, self.h.part1)
        s.v = mix(s.v, g * g, self.h.beta2, self.h.part2)

    def length(self, s: State, t: int, lr: Number) -> Number:
        """lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)."""
        c1, c2 = self.h.correction1(t), self.h.correction2(t)
        if self.follow["lazy.epsilon"] == "hat":
            return product([lr, s.m, root(c2)], [c1, root(s.v) + self.h.eps])
        spread = either([root(product([s.v], [c2])), product([root(s.v)], [root(c2)])])
        return product([lr, s.m], [c1, spread + self.h.eps])


def optimize_rows(
    name: str,
    hyperparameters: Mapping[str, Any],
    table: Any,
    rows: Sequence[Sequence[int]],
    grads: Sequence[Any],
    follow: Follow,
    kind: type[Lazy] = Lazy,
) -> list[Exact]:
    """The table after each step: `rows` are numbers of rows, in any order and repeated or not, and `grads` a gradient for each."""
    known = name in LAZY and set(hyperparameters) <= set(LAZY[name])
    if not known or any(row >= table.shape[0] for some in rows for row in some):
        raise ValueError(f"there is no {name} with {', '.join(hyperparameters)}, or a row is beyond the table")
    form = table.form if isinstance(table, Exact) else format_of(table.dtype.name)
    given = {**LAZY[name], **hyperparameters}
    lr = given.pop("lr")
    lazy = kind(
        Hyperparameters(given, form.scalars), scalars.scatter(table, form), table.size // table.shape[0], follow
    )
    path = []
    for t, (some, g) in enumerate(zip(rows, grads, strict=True)):
        rate = hyperparameter(lr[t] if isinstance(lr, (list, tuple)) else lr, form.scalars)
        lazy.step(some, scalars.scatter(g, form), rate)
        path.append(scalars.gather(lazy.numbers, table.shape, form))
    return path

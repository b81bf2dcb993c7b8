"""Inputs of lazy optimizers: tables, and gradients for some of their rows."""

import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from calibrant.exact import Format
from calibrant.strategies.drawing import WIDTH, Array, Bytes, Strategy, cast, numbers_of
from calibrant.strategies.optimizers import HYPERPARAMETERS, hyperparameters_of


@dataclass
class RowSteps:
    """A table, and for each step numbers of rows with a gradient for each."""

    hyperparameters: dict[str, Any]
    table: Array
    rows: list[list[int]]
    grads: list[Array]

    @property
    def asked(self) -> tuple[Any, ...]:
        """The arguments of the operation."""
        return "sparse_adam", self.hyperparameters, self.table, self.rows, self.grads


_CHOICES: dict[str, tuple[Any, ...]] = {
    **{key: HYPERPARAMETERS["adam"][key] for key in ("beta1", "beta2")},
    "eps": (None, 0.25, 1e-2, 0.1, 1e-8),
    "maximize": (None, True, False),
}
_KINDS = ("few", "quarters", "whole", "real", "spread", "small", "real", "readings")
_MOST_ROWS = 4
_MOST_STEPS = 6


def row_steps(
    *, repeated: bool = False, rates: tuple[float, ...] = (1.0, 0.5, 1.0, 2.0), **own: Any
) -> st.SearchStrategy[Any]:
    """Runs of the lazy optimizer. In most steps some rows have no gradient; with `repeated`, some have several.

    `steps` are the fewest and the most steps; any other option replaces the choices of a hyperparameter.
    """
    low, high = own.pop("steps", (1, _MOST_STEPS))

    def decode(data: Bytes, form: Format) -> RowSteps:
        shape, n_steps = data.pick((2,), (3,), (2, 2), (4,), (3, 2), (3, 1)), low + data.one() % (high - low + 1)
        kind, lr, change = data.pick(*_KINDS), data.pick(0.5, 0.25, 1.0, 0.1, 1e-3), data.pick(*rates)
        hyperparameters = hyperparameters_of(data.take(10), _CHOICES | own, own)
        width = math.prod(shape[1:])
        table = cast(numbers_of(data.column(math.prod(shape)), kind, form), form).reshape(shape)
        rows, grads = [], []
        for t in range(_MOST_STEPS):
            some = [int(x) % shape[0] for x in data.take(_MOST_ROWS)[: data.one() % (_MOST_ROWS + 1)]]
            some = some + some[:1] if repeated else list(dict.fromkeys(some))
            numbers = numbers_of(data.column(len(some) * width), kind, form, 7 * t)
            rows.append(some)
            grads.append(cast(numbers, form).reshape(len(some), *shape[1:]))
        hyperparameters["lr"] = lr if change == 1.0 else [lr * change ** (t % 4) for t in range(n_steps)]
        return RowSteps(hyperparameters, table, rows[:n_steps], grads[:n_steps])

    return Strategy(decode, 5 + 10 + WIDTH + _MOST_STEPS * (_MOST_ROWS + 1 + WIDTH))()

"""Inputs of the chapter on autograd: programs of sums and products, and losses to train by."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.exact import Format
from calibrant.strategies.drawing import KINDS, WIDTH, ZIGZAG, Array, Bytes, cast, numbers_of, strategy

MOST_PARAMETERS = 3
MOST_STEPS = 6
MOST_LOSSES = 3


@dataclass(frozen=True)
class Written:
    """A function of parameters that does what its source says, and no more, so that another process can run it."""

    source: str
    stands_alone = True

    def __call__(self, params: Any) -> Any:
        """The value at these parameters."""
        return eval(self.source)(params)


@dataclass(frozen=True)
class Program:
    """A scalar function of parameters that computes sums, differences and products of earlier values.

    Each step is an operator and two operands: the number of an earlier value, then another number or a constant.
    """

    n_params: int
    steps: tuple[tuple[str, int, int | float], ...]
    stands_alone = True

    def __call__(self, params: Any) -> Any:
        """The value of the last step."""
        return eval(self.source)(params)

    @property
    def source(self) -> str:
        """The program as an expression."""
        values = [f"x{i} := params[{i}]" for i in range(self.n_params)]
        for operator, i, other in self.steps:
            y = f"x{other}" if isinstance(other, int) else repr(other)
            values.append(f"x{len(values)} := x{i} {operator} {y}")
        return f"lambda params: [{', '.join(values)}][-1]"


@dataclass
class Programs:
    """Parameters, (p,), and programs of them. All numbers are whole; values, gradients and their sums are too small to round."""

    params: Array
    losses: list[Program]


@strategy(2 + MOST_PARAMETERS + MOST_LOSSES * (1 + 2 * MOST_STEPS))
def programs(data: Bytes, form: Format) -> Programs:
    """Parameters and one to three programs of them."""
    n_params = data.pick(1, 2, 3)
    n_losses = data.pick(1, 2, 3)
    # A product at 0 hides its factors: 1 is simpler here.
    params = np.array([1.0, 2.0, -1.0, 0.0])[data.take(MOST_PARAMETERS) % 4][:n_params]
    losses = [_program(data, np.maximum(abs(params), 1), 2**form.precision // 4) for _ in range(n_losses)]
    return Programs(cast(params, form), losses)


def _program(data: Bytes, sizes: Array, limit: int) -> Program:
    """A program whose values and derivatives stay within the limit, even if all its parts are positive and of these sizes."""
    n_steps = 1 + data.one() % MOST_STEPS
    values = [(size, np.eye(len(sizes))[i]) for i, size in enumerate(sizes)]
    steps: list[tuple[str, int, int | float]] = []
    for k in range(MOST_STEPS):
        operator, operands = data.pick("*", "+", "-", "*", "+", "-2", "*2"), data.one()
        if k >= n_steps:
            continue
        i, j = (len(values) - 1 - x % len(values) for x in (operands & 15, operands >> 4))
        (x, dx), (y, dy) = values[i], values[j] if len(operator) == 1 else (2.0, 0.0)
        size, slopes = (x * y, dx * y + x * dy) if operator[0] == "*" else (x + y, dx + dy)
        if max(size, slopes.max()) <= limit:
            values.append((size, slopes))
            steps.append((operator[0], i, j if len(operator) == 1 else 2.0))
    return Program(len(sizes), tuple(steps) or (("+", 0, 0),))


def squared_distance(place: float) -> Written:
    """The squared distance between the parameters and a place."""
    return Written(f"lambda params: ((params - {place!r}) ** 2).sum()")


@dataclass
class Approach:
    """Parameters, (p,), that descend on their squared distance from a place."""

    loss: Written
    place: float
    params: Array
    learning_rate: float
    n_steps: int


@strategy(5 + WIDTH)
def approaches(data: Bytes, form: Format) -> Approach:
    """Descents of one to four steps, most of which come nearer."""
    kind = data.pick(*KINDS)
    params = cast(numbers_of(data.column(data.pick(1, 2, 3, 5)), kind, form), form)
    place = float(cast(ZIGZAG[data.one()] / 4, form))
    rate, n_steps = data.pick(0.25, 0.125, 0.1, 0.3, 1.0), data.pick(1, 2, 3, 4)
    return Approach(squared_distance(place), place, params, rate, n_steps)

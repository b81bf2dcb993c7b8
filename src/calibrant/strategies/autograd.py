"""Inputs of the chapter on autograd: random programs, and losses to train by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibrant import exact
from calibrant.exact import Format
from calibrant.protocol.straight_line import Written
from calibrant.strategies.drawing import KINDS, WIDTH, ZIGZAG, Array, Bytes, cast, numbers_of, strategy

MOST_PARAMETERS = 3
MOST_STEPS = 6
MOST_LOSSES = 3

STEPS = {
    **{operator: f"{{x}} {operator} {{y}}" for operator in ("*", "+", "-", "/", "**")},
    **{f"left {operator}": f"{{y}} {operator} {{x}}" for operator in ("*", "+", "-", "/", "**")},
    **{name: f"{{x}}.{name}()" for name in ("exp", "log", "tanh")},
    "maximum": "{x}.maximum({y})",
    "sum": "params.sum()",
    "mean": "params.mean()",
    "squares": "(params ** {y}).sum()",
    "sum of exp": "params.exp().sum()",
    "sum of tanh": "params.tanh().sum()",
    "mean of quotients": "({y} / params).mean()",
}
"""The steps of random programs, as the source of each."""

Step = tuple[str, int, int | float]
"""A step's name, the number of an earlier value, and another number or a constant."""


@dataclass(frozen=True)
class Program(Written):
    """A scalar function of parameters, each step of which computes a value from earlier ones."""

    n_params: int = 0
    steps: tuple[Step, ...] = ()


def of_steps(n_params: int, *steps: Step) -> Program:
    """The program of these steps: its first values are the parameters, its value is the last one."""
    values = [f"x{i} := params[{i}]" for i in range(n_params)]
    for name, i, other in steps:
        # A power that is whole is an int, as people write it: engines take it apart from other powers.
        whole = name in ("**", "squares") and isinstance(other, float) and other % 1 == 0
        y = f"x{other}" if isinstance(other, int) else f"{int(other) if whole else other!r}"
        y = f"({y})" if y.startswith("-") else y
        values.append(f"x{len(values)} := {STEPS[name].format(x=f'x{i}', y=y)}")
    return Program(f"lambda params: [{', '.join(values)}][-1]", n_params, steps)


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
    losses = [_whole(data, np.maximum(abs(params), 1), 2**form.precision // 4) for _ in range(n_losses)]
    return Programs(cast(params, form), losses)


def _whole(data: Bytes, sizes: Array, limit: int) -> Program:
    """A program whose values and derivatives stay within the limit, even if all its parts are positive and of these sizes."""
    n_steps = 1 + data.one() % MOST_STEPS
    values = [(size, np.eye(len(sizes))[i]) for i, size in enumerate(sizes)]
    steps: list[Step] = []
    for k in range(MOST_STEPS):
        name = data.pick("*", "+", "-", "*", "+", "-", "- 2", "* 2", "** 2", "left - 2", "left * 2", "sum", "squares")
        operands = data.one()
        if k >= n_steps:
            continue
        i, j = (len(values) - 1 - x % len(values) for x in (operands & 15, operands >> 4))
        name, other = (name[:-2], 2.0) if name.endswith(" 2") else (name, 2.0 if name in ("sum", "squares") else j)
        (x, dx), (y, dy) = values[i], values[j] if isinstance(other, int) else (2.0, 0.0)
        if name == "sum":
            size, slopes = sizes.sum(), np.ones(len(sizes))
        elif name == "squares":
            size, slopes = (sizes**2).sum(), 2 * sizes
        elif name == "**":
            size, slopes = x * x, 2 * x * dx
        elif name[-1] == "*":
            size, slopes = x * y, dx * y + x * dy
        else:
            size, slopes = x + y, dx + dy
        if max(size, slopes.max()) <= limit:
            values.append((size, slopes))
            steps.append((name, i, other))
    return of_steps(len(sizes), *(steps or [("+", 0, 0)]))


@dataclass
class Smooth:
    """Parameters, (p,), and a program of them that rounds, but neither overflows nor comes near a place without a derivative."""

    params: Array
    loss: Program


_LARGEST = 16.0  # of values and slopes


def _smooth(*names: str) -> Callable[[Bytes, Format], Smooth]:
    """Programs of one to four of these steps, some with a constant in the place of a value."""

    def decode(data: Bytes, form: Format) -> Smooth:
        n_params, n_steps = data.pick(1, 2, 3), data.pick(1, 2, 3, 4)
        params = np.array([1.0, 2.0, 0.5, 3.0, -1.0, 0.75, -0.5, 1.5])[data.take(MOST_PARAMETERS) % 8][:n_params]
        params = cast(params, form)
        steps: list[Step] = []
        for _ in range(n_steps):
            name, operands, constant = data.pick(*names), data.one(), data.pick(2.0, 3.0, 0.5, -1.0)
            n = n_params + len(steps)
            i, j = (n - 1 - x % n for x in (operands & 15, operands >> 4))
            never = name == "maximum"  # one operand of the others may be a constant, or has to be one
            always = name.startswith(("left", "squares", "mean of"))
            other: int | float = constant if always or (operands & 1 and not never) else j
            if _well_defined(of_steps(n_params, *steps, (name, i, other)), params):
                steps.append((name, i, other))
        return Smooth(params, of_steps(n_params, *(steps or [("/", 0, 2.0)])))

    return decode


def _well_defined(loss: Program, params: Array) -> bool:
    """Whether value and gradient are known to be small, and their bounds smaller."""
    assert loss.straight_line is not None
    value, gradient = exact.derivatives(**loss.straight_line, params=exact.of(params))
    err, size = (
        np.append(parts[0], parts[1])
        for parts in ((value.errors(), gradient.errors()), (value.magnitude(), gradient.magnitude()))
    )
    return bool((size <= _LARGEST).all() and (err <= 0.25 * np.maximum(size, 1)).all())


_LENGTH = 2 + MOST_PARAMETERS + 3 * 4
quotients = strategy(_LENGTH)(
    _smooth("/", "left /", "**", "mean", "left **", "*", "left -", "+", "mean of quotients", "squares")
)
"""Programs of quotients, powers and means, beside sums, differences and products."""

elementary = strategy(_LENGTH)(
    _smooth("exp", "tanh", "log", "maximum", "*", "sum of exp", "+", "left *", "sum of tanh", "maximum")
)
"""Programs of exponentials, logarithms, hyperbolic tangents and larger values, beside sums and products."""


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

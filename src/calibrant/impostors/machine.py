"""A machine for automatic differentiation over NumPy's numbers, and the chapter's operations on it.

Each keyword argument is a place where such machines and loops go wrong: the right one is its default.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Loss = Callable[[Any], Any]
Combine = Callable[[Any, Any], Any]


class Value:
    """A number, and what it was made of: each operand with the factor that passes the derivative on to it.

    A factor is 1, -1, the value that the operand was multiplied by, or another derivative as a number.
    """

    def __init__(self, data: Any, tape: Tape, operands: Sequence[tuple[Value, Any]] = ()) -> None:
        self.data = data
        self.tape = tape
        self.operands = operands
        self.grad: Any = None
        tape.append(self)

    def _combined(self, combine: Combine, other: Any, own: int | None = None, its: int | None = None) -> Any:
        """The combination with another number; the factors of both, where they are not each other. NumPy combines it with columns."""
        if isinstance(other, np.ndarray) and other.ndim:
            return NotImplemented
        y = other if isinstance(other, Value) else Value(type(self.data)(other), self.tape)
        operands = (self, own or y), (y, its or self)
        return Value(combine(self.data, y.data), self.tape, operands if self.tape.records() else ())

    def __add__(self, other: Any) -> Any:
        return self._combined(operator.add, other, 1, 1)

    def __sub__(self, other: Any) -> Any:
        return self._combined(operator.sub, other, 1, -1)

    def __mul__(self, other: Any) -> Any:
        return self._combined(operator.mul, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Any:
        return self._combined(lambda x, y: y - x, other, -1, 1)

    def made(self, data: Any, *operands: tuple[Value, Any]) -> Value:
        """The value of an operation, with the derivative by each operand."""
        return Value(data, self.tape, operands if self.tape.records() else ())

    def lifted(self, other: Any) -> Value:
        """Another number as a value, unless it is one."""
        return other if isinstance(other, Value) else Value(type(self.data)(other), self.tape)

    def __truediv__(self, other: Any) -> Value:
        y = self.lifted(other)
        quotient = self.data / y.data
        return self.made(quotient, (self, 1.0 / y.data), (y, -quotient / y.data))

    def __rtruediv__(self, other: Any) -> Value:
        return self.lifted(other) / self

    def __pow__(self, power: Any) -> Value:
        if isinstance(power, int) and power == 2:
            square: Value = self * self
            return square
        y = self.lifted(power)
        value = self.data**y.data
        # A constant gets no gradient, and the logarithm of a negative base is none.
        by_power = [(y, value * np.log(self.data))] if isinstance(power, Value) else []
        return self.made(value, (self, y.data * self.data ** (y.data - 1)), *by_power)

    def __rpow__(self, other: Any) -> Value:
        value = self.lifted(other).data ** self.data
        return self.made(value, (self, value * np.log(type(self.data)(other))))

    # NumPy calls these for each element of a column.

    def exp(self) -> Value:
        """The exponential."""
        value = np.exp(self.data)
        return self.made(value, (self, value))

    def log(self) -> Value:
        """The natural logarithm."""
        return self.made(np.log(self.data), (self, 1.0 / self.data))

    def tanh(self) -> Value:
        """The hyperbolic tangent."""
        value = np.tanh(self.data)
        return self.made(value, (self, 1.0 - value * value))

    def maximum(self, other: Value) -> Value:
        """The larger of two."""
        larger = self if self.data >= other.data else other
        return self.made(larger.data, (larger, 1))


class Tape(list[Value]):
    """All values of one evaluation in the order in which they were made, and whether it is recorded what they are made of."""

    def __init__(self, records: Callable[[], bool] = lambda: True) -> None:
        super().__init__()
        self.records = records


def recorded(loss: Loss, params: Any, tape: Tape) -> tuple[Any, Any]:
    """The loss as a value, and the array of parameters that it was computed from, values too."""
    leaves = np.array([Value(x, tape) for x in params])
    return loss(leaves), leaves


def contribution(grad: Any, factor: Any) -> Any:
    """What an operand gets of the derivative by a value that it went into."""
    return grad * (factor.data if isinstance(factor, Value) else factor)


def walked(
    result: Value,
    leaves: Any,
    *,
    seeds: Callable[[Value], Mapping[Value, Any]] = lambda result: {result: type(result.data)(1)},
    order: Callable[[Value], Iterable[Value]] = lambda result: reversed(result.tape),
    contribution: Combine = contribution,
    added: Combine = operator.add,
    unreached: float = 0.0,
) -> Any:
    """The derivatives by the leaves, (p,): from the seeds, in this order, each value passes shares on, which are added."""
    for value, seed in seeds(result).items():
        value.grad = seed
    for value in order(result):
        if value.grad is not None:
            for operand, factor in value.operands:
                part = contribution(value.grad, factor)
                operand.grad = part if operand.grad is None else added(operand.grad, part)
    return np.array([type(leaf.data)(unreached) if leaf.grad is None else leaf.grad for leaf in leaves])


def automatic_gradient(loss: Loss, params: Any, **walk: Any) -> tuple[Any, Any]:
    """The loss, and its gradient."""
    result, leaves = recorded(loss, params, Tape())
    return result.data, walked(result, leaves, **walk)


def difference_gradient(loss: Loss, params: Any, delta: Any) -> Any:
    """The central differences of each parameter."""
    steps = delta * np.eye(params.size, dtype=params.dtype)
    return np.stack([(loss(params + step) - loss(params - step)) / (2 * delta) for step in steps])


ZEROED: dict[str, Callable[[Any], Any]] = {
    "never": lambda grad: grad,
    "to-none": lambda grad: None,
    "to-zero": lambda grad: None if grad is None else grad * 0,
}
"""What is left of a gradient before the next pass."""


def backward(
    losses: Sequence[Loss], params: Any, zero_grad: str, *, grad: Any = None, added: Combine = operator.add, **walk: Any
) -> list[list[Any]]:
    """What each pass finds and leaves, where `grad` is there at first."""
    passes = []
    for loss in losses:
        found = ZEROED[zero_grad](grad)
        _, gradient = automatic_gradient(loss, params, **walk)
        grad = gradient if found is None else added(found, gradient)
        passes.append([found, grad])
    return passes


def backward_shared(
    losses: Loss,
    params: Any,
    order: Sequence[int],
    *,
    forgotten: Callable[[Tape, Any], Iterable[Value]] = lambda tape, leaves: tape,
    added: Combine = operator.add,
) -> list[Any]:
    """What each pass leaves, of passes over one graph; before each one, the gradients of these values are forgotten."""
    tape, grad, left = Tape(), None, []
    results, leaves = recorded(losses, params, tape)
    for k in order:
        for value in forgotten(tape, leaves):
            value.grad = None
        new = walked(results[k], leaves)
        grad = new if grad is None else added(grad, new)
        left.append(grad)
    return left


def descend(
    loss: Loss, params: Any, learning_rate: float, n_steps: int, no_grad: bool, *, kept: Combine = lambda old, new: new
) -> list[list[Any]]:
    """Each step's loss, gradient and parameters; a step goes against what is kept of the gradient before and the new one."""
    if n_steps and not no_grad:
        raise RuntimeError("a leaf that requires grad is changed in place")
    grad, steps = None, []
    for _ in range(n_steps):
        value, new = automatic_gradient(loss, params)
        grad = new if grad is None else kept(grad, new)
        params = params - params.dtype.type(learning_rate) * grad
        steps.append([value, grad, params])
    return steps


def evaluate(loss: Loss, params: Any, is_train: bool, *, records: Callable[[], bool] | None = None) -> list[Any]:
    """The loss, and its gradient if it was recorded: each evaluation has a tape, and so a mode, of its own."""
    result, leaves = recorded(loss, params, Tape(records or (lambda: is_train)))
    return [result.data, walked(result, leaves) if result.operands else None]


def by_hand(table: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The operations of the chapter that know their model, from those whose gradients are derived by hand: of either kind of numbers."""

    def calc_forward(params: Any, t_u: Any, t_c: Any, is_train: bool) -> tuple[Any, Any]:
        w, b = params
        t_p = table["model"](t_u, w, b)
        return table["loss_fn"](t_p, t_c), table["grad_fn"](t_u, t_c, t_p, w, b) if is_train else None

    def manual_training_loop(n_epochs: int, learning_rate: float, *data: Any) -> Any:
        return table["training_loop"](n_epochs, {"name": "sgd", "lr": learning_rate}, *data)[:2]

    return {
        "calc_forward": calc_forward,
        "value_and_grad": lambda params, t_u, t_c: calc_forward(params, t_u, t_c, True),
        "manual_training_loop": manual_training_loop,
    }

"""Wrong automatic differentiation: a small machine that records values, and walks back over them in wrong ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np


class _Value:
    """A number, and what it was made of: each operand with the derivative by it."""

    tape: ClassVar[list[_Value]] = []

    def __init__(self, data: Any, operands: tuple[tuple[_Value, Any], ...] = ()) -> None:
        self.data = data
        self.operands = operands
        self.grad: Any = None
        _Value.tape.append(self)

    def _other(self, other: Any) -> _Value:
        return other if isinstance(other, _Value) else _Value(type(self.data)(other))

    def __add__(self, other: Any) -> _Value:
        other = self._other(other)
        return _Value(self.data + other.data, ((self, 1), (other, 1)))

    def __sub__(self, other: Any) -> _Value:
        other = self._other(other)
        return _Value(self.data - other.data, ((self, 1), (other, -1)))

    def __mul__(self, other: Any) -> _Value:
        other = self._other(other)
        return _Value(self.data * other.data, ((self, other.data), (other, self.data)))


class _Column(list[Any]):
    """Several values, as a parameter is."""

    def __mul__(self, other: Any) -> Any:
        others = other if isinstance(other, list) else [other] * len(self)
        return _Column(x * y for x, y in zip(self, others, strict=True))

    def sum(self) -> Any:
        total = self[0]
        for x in self[1:]:
            total = total + x
        return total


def _backward(loss: _Value, order: list[_Value]) -> None:
    """Pass the derivative on, in this order of the values."""
    loss.grad = type(loss.data)(1)
    for value in order:
        for operand, slope in value.operands if value.grad is not None else ():
            operand.grad = value.grad * slope + (0 if operand.grad is None else operand.grad)


def _recorded(loss: Callable[..., Any], params: Any) -> tuple[_Value, _Column]:
    _Value.tape = []
    leaves = _Column(_Value(x) for x in params)
    return loss(leaves), leaves


def _gradient(leaves: _Column) -> Any:
    zero = type(leaves[0].data)(0)
    return np.array([zero if leaf.grad is None else leaf.grad for leaf in leaves])


def last_use_only(loss: Callable[..., Any], params: Any) -> tuple[Any, Any]:
    """`=` where `+=` is due."""
    result, leaves = _recorded(loss, params)
    result.grad = type(result.data)(1)
    for value in reversed(_Value.tape):
        for operand, slope in value.operands if value.grad is not None else ():
            operand.grad = value.grad * slope
    return result.data, _gradient(leaves)


def passed_on_when_first_reached(loss: Callable[..., Any], params: Any) -> tuple[Any, Any]:
    """Depth first, each value once: before the contributions of its other uses are there."""
    result, leaves = _recorded(loss, params)
    order: list[_Value] = []

    waiting = [result]
    while waiting:
        value = waiting.pop()
        if value not in order:
            order.append(value)
            waiting += [operand for operand, _ in value.operands]
    _backward(result, order)
    return result.data, _gradient(leaves)


def difference_as_a_sum(loss: Callable[..., Any], params: Any) -> tuple[Any, Any]:
    """The sign of what is subtracted is lost on the way back."""
    result, leaves = _recorded(loss, params)
    for value in _Value.tape:
        value.operands = tuple((x, 1 if isinstance(slope, int) else slope) for x, slope in value.operands)
    _backward(result, _Value.tape[::-1])
    return result.data, _gradient(leaves)


def every_end_is_a_loss(loss: Callable[..., Any], params: Any) -> tuple[Any, Any]:
    """Whatever was recorded and not used again is walked back from."""
    result, leaves = _recorded(loss, params)
    used = [operand for value in _Value.tape for operand, _ in value.operands]
    for value in _Value.tape:
        if value not in used and value.operands:
            value.grad = type(value.data)(1)
    _backward(result, _Value.tape[::-1])
    return result.data, _gradient(leaves)

"""Exact numbers of one parameter together, for the rules of optimizers by which they depend on each other."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from calibrant.exact.numbers import gamma
from calibrant.exact.scalars import Number, added, root

State = SimpleNamespace


class Tensor:
    """The numbers of one parameter in row-major order; arithmetic is elementwise, with a tensor of the same shape or one number."""

    __slots__ = ("numbers", "shape")

    def __init__(self, numbers: Sequence[Number], shape: tuple[int, ...]) -> None:
        self.numbers = list(numbers)
        self.shape = shape

    def __add__(self, other: Tensor | Number | float) -> Tensor:
        return each(operator.add, self, other)

    def __sub__(self, other: Tensor | Number) -> Tensor:
        return each(operator.sub, self, other)

    def __mul__(self, other: Tensor | Number | float) -> Tensor:
        return each(operator.mul, self, other)

    def __neg__(self) -> Tensor:
        return each(operator.neg, self)


def each(function: Callable[..., Number], *arguments: Any) -> Tensor:
    """The function of each number of some tensors; whatever is no tensor goes along with each."""
    first = next(x for x in arguments if isinstance(x, Tensor))
    columns = [x.numbers if isinstance(x, Tensor) else [x] * len(first.numbers) for x in arguments]
    return Tensor([function(*row) for row in zip(*columns, strict=True)], first.shape)


def total(numbers: Sequence[Number]) -> Number:
    """The sum in any order, of which zeros are no part [A.sums]."""
    first, *others = [x for x in numbers if not x.known_zero()] or numbers[:1]
    value = sum((x.within(0.0) for x in others), first.within(0.0))
    reach = added(x.size + x.err for x in numbers)
    err = added(x.err for x in numbers) + gamma(len(others), first.form) * reach + len(others) * first.form.flushed
    fits = reach <= first.form.largest
    return value.within(err * (1 + 2.0**-40) if fits else math.inf)


def norm(x: Tensor) -> Number:
    """The root of the sum of the squares. Where a square may overflow, nothing is claimed."""
    return root(total([one * one for one in x.numbers]))


class States:
    """The states of the numbers of one parameter as one state, whose parts are tensors."""

    states: Sequence[State]
    shape: tuple[int, ...]

    def __init__(self, states: Sequence[State], shape: tuple[int, ...]) -> None:
        vars(self).update(states=states, shape=shape)

    def __getattr__(self, part: str) -> Tensor:
        return Tensor([getattr(state, part) for state in self.states], self.shape)

    def __setattr__(self, part: str, value: Tensor) -> None:
        for state, number in zip(self.states, value.numbers, strict=True):
            setattr(state, part, number)


def filled(value: Number, like: Tensor) -> Tensor:
    """A tensor of one number, of the shape of another."""
    return Tensor([value] * len(like.numbers), like.shape)

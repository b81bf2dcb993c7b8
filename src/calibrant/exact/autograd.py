"""True gradients of functions built of sums, differences and products: every value carries its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from calibrant.exact.formats import UNROUNDED
from calibrant.exact.numbers import Exact, concatenate, constant


@dataclass(frozen=True)
class _Dual:
    """A value and its derivative by each parameter; whole numbers are int, which is faster."""

    value: Fraction | int
    slopes: tuple[Fraction | int, ...]

    def _other(self, other: Any) -> _Dual:
        return other if isinstance(other, _Dual) else _Dual(_number(other), (0,) * len(self.slopes))

    def __add__(self, other: Any) -> _Dual:
        y = self._other(other)
        return _Dual(self.value + y.value, tuple(a + b for a, b in zip(self.slopes, y.slopes, strict=True)))

    def __sub__(self, other: Any) -> _Dual:
        return self + self._other(other) * -1

    def __mul__(self, other: Any) -> _Dual:
        y = self._other(other)
        slopes = tuple(a * y.value + self.value * b for a, b in zip(self.slopes, y.slopes, strict=True))
        return _Dual(self.value * y.value, slopes)


def differentiate(function: Callable[[list[Any]], Any], params: Exact) -> tuple[Exact, Exact]:
    """The value and the gradient of a function of a list of parameters, for a function whose operations never round."""
    values = params.fractions()
    rows = [tuple(int(i == j) for j in range(len(values))) for i in range(len(values))]
    result = function([_Dual(_number(value), row) for value, row in zip(values, rows, strict=True)])
    value, *slopes = (constant(x, UNROUNDED) for x in (result.value, *result.slopes))
    return value, concatenate(*slopes)


def _number(x: Any) -> Fraction | int:
    fraction = Fraction(x)
    return fraction.numerator if fraction.denominator == 1 else fraction

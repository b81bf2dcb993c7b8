"""Arguments of formulas, as they declare them: sizes, magnitudes, offsets, ties, and values near every constant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.exact import Format
from calibrant.formula.balls import FormulaError
from calibrant.formula.declaring import Declared, size
from calibrant.formula.evaluating import bound
from calibrant.strategies.drawing import Array, Bytes, Strategy, cast, numbers_of

__all__ = ["Arguments", "arguments"]

_SIZES = (2, 1, 3, 4, 2, 5, 3, 8, 1, 4, 7, 2, 3, 17, 5, 33)
_NUMBERS = (1.0, 0.5, 1e-5)
"""The values of a number of which the formula says nothing."""
_LONG = 67
"""A size beyond the blocks of many kernels; the other axes are short then."""
_KINDS = (
    "quarters", "real", "few", "offset", "near", "real", "whole", "readings",
    "real", "near", "large", "small", "offset", "alike", "spread", "constant",
)  # fmt: skip
_FAR = ("large", "spread")
"""Kinds of numbers up to 1000."""
_BYTES = 16
"""The drawn bytes of an argument."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call of a formula, and the upstream gradient of its result."""

    inputs: tuple[Any, ...]
    upstream: Any


def arguments(one: Declared) -> Strategy[Arguments]:
    """The arguments of a formula."""

    def decode(data: Bytes, form: Format) -> Arguments:
        sizes: dict[str, int] = {}
        for axis in dict.fromkeys(axis.lstrip("0123456789") for axes in one.axes for axis in axes):
            byte = data.one()
            said = one.draws.get(axis)
            choices = said if isinstance(said, tuple) else _SIZES
            sizes[axis] = choices[byte % len(choices)]
            if choices is _SIZES and _LONG in sizes.values():
                sizes[axis] = min(sizes[axis], 3)
            elif choices is _SIZES and byte >= 250:
                sizes[axis] = _LONG
        scalars = [name for name, axes in zip(one.parameters, one.axes, strict=True) if not axes]
        numbers = [_number(data, one, name) for name in scalars]
        named = dict(zip(scalars, numbers, strict=True)) | sizes
        near = [c for c in (*one.constants, *numbers) if isinstance(c, (int, float)) and math.isfinite(c)]
        inputs = []
        for name, axes in zip(one.parameters, one.axes, strict=True):
            if not axes:
                inputs.append(numbers.pop(0))
                continue
            shape = tuple(size(axis, sizes) for axis in axes)
            inputs.append(_array(data, shape, one.draws.get(name, "numbers"), named, near, form))
        shape = _shape_of_result(one, inputs)
        return Arguments(tuple(inputs), cast(_numbers(data, math.prod(shape), near, form), form).reshape(shape))

    width = 2 + _BYTES
    return Strategy(decode, 8 + 2 * len(one.parameters) + width * (len(one.parameters) + 1))


def _number(data: Bytes, one: Declared, name: str) -> Any:
    said = one.draws.get(name, _NUMBERS)
    return data.pick(*said) if isinstance(said, tuple) else said


def _column(data: Bytes, n: int) -> Any:
    """A byte for each of n numbers. Beyond the drawn ones they repeat, changed, but for zeros."""
    drawn = data.take(_BYTES)
    if n <= _BYTES:
        return drawn[_BYTES - n :]
    places = np.arange(n)
    column = np.resize(drawn, n)
    return np.where(column == 0, 0, (column + 53 * (places // _BYTES)) % 256).astype(np.uint8)


def _numbers(data: Bytes, n: int, near: list[float], form: Format) -> Array:
    chosen, byte = data.one(), data.one()
    kind = _KINDS[chosen % len(_KINDS)]
    if kind in _FAR and chosen < 128:  # far numbers leave much unclaimed
        kind = "real"
    column = _column(data, n)
    if not n:
        return np.zeros(0)
    if kind == "offset":
        far = (3.0, 20.0, 100.0, 1000.0)[byte % 4] * (-1 if byte & 4 else 1)
        return far + numbers_of(column, "real", form)
    if kind in _FAR:
        return numbers_of(column, "real", form, byte) * (125.0 if kind == "large" else 10.0 ** (column % 7 - 3.0))
    if kind == "near" and near:
        constant = near[byte % len(near)] * (-1 if byte & 128 else 1)
        steps = np.array([0.0, 1.0, -1.0, 2.0, -0.5, 8.0])[column % 6] * 2 * form.u
        return np.asarray(constant * (1 + steps) * np.where(column % 7 == 6, -1.0, 1.0))
    return numbers_of(column, "real" if kind == "near" else kind, form, byte)


def _array(
    data: Bytes, shape: tuple[int, ...], said: Any, named: dict[str, Any], near: list[float], form: Format
) -> Any:
    n = math.prod(shape)
    if isinstance(said, tuple):
        labels = np.asarray(said)[_column(data, n) % len(said)].reshape(shape)
        return cast(labels, form) if labels.dtype.kind == "f" else labels
    kind, *of = said.split()
    if kind == "numbers":
        return cast(_numbers(data, n, near, form), form).reshape(shape)
    column = _column(data, n).reshape(shape)
    data.take(2)
    fraction = (column.astype(np.float64) + 1) / 257
    match kind:
        case "index":
            below, *alone = of
            made = (column % size(below, named)).astype(np.int64)
            return np.where(column % 5 == 4, named[alone[0]], made) if alone else made
        case "mask":
            made = column % 2 == 0
            made[..., :1] = True
            return made
        case "signs":
            return cast(np.where(column % 2, -1.0, 1.0), form)
        case "positive":
            return cast(0.25 + fraction * (0.5 + column % 7), form)
        case "probabilities":
            edge = np.maximum(2.0 ** -(3.0 + column // 8), 4 * form.u)  # a clamp or an epsilon shows near 0 and 1 alone
            return cast(np.where(column % 8 == 7, edge, np.where(column % 8 == 6, 1 - edge, fraction)), form)
    share = fraction / fraction.sum(axis=-1, keepdims=True)
    return cast(np.log(share) if kind == "log-distribution" else share, form)


def _shape_of_result(one: Declared, inputs: list[Any]) -> tuple[int, ...]:
    """The shape of what the formula returns: NumPy says it fastest, exact arrays say it of functions that NumPy cannot run."""
    wide = [x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind not in "iub" else x for x in inputs]
    with np.errstate(all="ignore"):
        try:
            return tuple(one.function(*wide).shape)
        except FormulaError:
            raise
        except Exception:  # a formula may be of another library's functions; what is wrong with it is told here
            return tuple(bound(one.function, wide, "float64").value.shape)

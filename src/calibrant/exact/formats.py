"""The floating-point formats that are judged, by their NumPy names."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, eq=False)
class Format:
    """A binary floating-point format, and the cost of rounding to it."""

    name: str
    precision: int  # bits of the significand, the leading one included
    max_exponent: int  # the largest finite number is just below 2 ** (max_exponent + 1)
    u: float  # unit roundoff: rounding a number x in the normal range errs by at most u |x|
    normal: float  # the smallest normal number
    tiny: float  # the most that a product or quotient loses to underflow: the smallest subnormal number, or all of them
    flushed: float  # the most that a given number, or a sum, loses to underflow: all subnormal numbers, or nothing
    largest: float  # the largest finite number
    narrower: Format | None = None  # the format in which numbers that are not data are held, if it is not this one

    @property
    def scalars(self) -> Format:
        """The format in which hyperparameters, and what is computed from them alone, may be held."""
        return self.narrower or self

    @classmethod
    def of(cls, name: str, precision: int, max_exponent: int, *, flushes: bool) -> Format:
        """The format of these sizes; an evaluation that `flushes` may take subnormal numbers for zero, wherever they turn up."""
        u, normal = 2.0**-precision, 2.0 ** (1 - max_exponent)
        tiny, flushed = (normal, normal) if flushes else (2 * u * normal, 0.0)
        return cls(name, precision, max_exponent, u, normal, tiny, flushed, (2 - 2 * u) * 2.0**max_exponent)


_SIZES = {"float16": (11, 15), "bfloat16": (8, 127), "float32": (24, 127), "float64": (53, 1023)}


@functools.cache
def formats_of(*, flushes: bool, narrow: bool) -> Mapping[str, Format]:
    """The formats by their names, where subnormal numbers may be taken for zero or kept, and hyperparameters held in float32 or not."""
    if not narrow:
        return {name: Format.of(name, *size, flushes=flushes) for name, size in _SIZES.items()}
    as_given = formats_of(flushes=flushes, narrow=False)
    return {**as_given, "float64": replace(as_given["float64"], narrower=as_given["float32"])}


FORMATS = formats_of(flushes=False, narrow=False)

FLUSHING = formats_of(flushes=True, narrow=False)
"""The same formats where the hardware or the compiler takes subnormal numbers for zero."""

UNROUNDED = Format("unrounded", 0, 0, 0.0, 0.0, 0.0, 0.0, float("inf"))
"""No format at all: arithmetic that never rounds, overflows or underflows, and so carries no error."""

_formats = FORMATS
_scale = "mean"


@functools.cache
def name_of(dtype: Any) -> str:
    """The name of a NumPy dtype, which NumPy would compose anew each time."""
    return str(dtype.name)


def format_of(dtype: str) -> Format:
    """The format of a dtype, by its NumPy name, as it is evaluated where this is called."""
    return _formats[dtype]


def loss_scale() -> str:
    """`mean`, `half` or `sum`: which multiple of the mean squared error is called the loss where this is called."""
    return _scale


@contextlib.contextmanager
def evaluated(*, flushes: bool = False, narrow: bool = False, scale: str = "mean") -> Iterator[None]:
    """Say how the block evaluates arrays.

    `flushes`: subnormal numbers may be taken for zero. `narrow`: hyperparameters may be held in float32. `scale` is that of the loss.
    """
    global _formats, _scale
    before = _formats, _scale
    _formats, _scale = formats_of(flushes=flushes, narrow=narrow), scale
    try:
        yield
    finally:
        _formats, _scale = before

"""The floating-point formats that are judged, by their NumPy names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass


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

    @classmethod
    def of(cls, name: str, precision: int, max_exponent: int, *, flushes: bool) -> Format:
        """The format of these sizes; an evaluation that `flushes` may take subnormal numbers for zero, wherever they turn up."""
        u, normal = 2.0**-precision, 2.0 ** (1 - max_exponent)
        tiny, flushed = (normal, normal) if flushes else (2 * u * normal, 0.0)
        return cls(name, precision, max_exponent, u, normal, tiny, flushed, (2 - 2 * u) * 2.0**max_exponent)


_SIZES = {"float16": (11, 15), "bfloat16": (8, 127), "float32": (24, 127), "float64": (53, 1023)}
FORMATS = {name: Format.of(name, *size, flushes=False) for name, size in _SIZES.items()}

FLUSHING = {name: Format.of(name, *size, flushes=True) for name, size in _SIZES.items()}
"""The same formats where the hardware or the compiler takes subnormal numbers for zero."""

UNROUNDED = Format("unrounded", 0, 0, 0.0, 0.0, 0.0, 0.0, float("inf"))
"""No format at all: arithmetic that never rounds, overflows or underflows, and so carries no error."""

_formats = FORMATS


def format_of(dtype: str) -> Format:
    """The format of a dtype, by its NumPy name, as it is evaluated where this is called."""
    return _formats[dtype]


@contextlib.contextmanager
def evaluated(*, flushes: bool) -> Iterator[None]:
    """Say whether evaluations of the arrays inside the block may take subnormal numbers for zero."""
    global _formats
    before, _formats = _formats, FLUSHING if flushes else FORMATS
    try:
        yield
    finally:
        _formats = before

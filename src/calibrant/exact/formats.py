"""The floating-point formats that are judged, by their NumPy names."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property


@dataclass(frozen=True)
class Format:
    """A binary floating-point format, and the cost of rounding to it."""

    name: str
    precision: int
    """Bits of the significand, the leading one included."""
    max_exponent: int
    """The largest finite number is just below 2 ** (max_exponent + 1)."""
    flushes: bool = False
    """Whether an evaluation may take subnormal numbers for zero, wherever they turn up."""

    @cached_property
    def u(self) -> float:
        """Unit roundoff: rounding a number x in the normal range errs by at most u |x|."""
        return 2.0**-self.precision

    @cached_property
    def normal(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.max_exponent)

    @cached_property
    def tiny(self) -> float:
        """The most that a product or quotient loses to underflow: the smallest subnormal number, or all of them."""
        return self.normal if self.flushes else 2.0 ** (2 - self.max_exponent - self.precision)

    @cached_property
    def flushed(self) -> float:
        """The most that a given number, or a sum, loses to underflow: nothing unless subnormal numbers are taken for zero."""
        return self.normal if self.flushes else 0.0

    @cached_property
    def largest(self) -> float:
        """The largest finite number."""
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.max_exponent


class _Unrounded(Format):
    """No format at all: arithmetic that never rounds, overflows or underflows."""

    u = normal = tiny = flushed = 0.0
    largest = float("inf")


_SIZES = {"float16": (11, 15), "bfloat16": (8, 127), "float32": (24, 127), "float64": (53, 1023)}
FORMATS = {name: Format(name, *size) for name, size in _SIZES.items()}

FLUSHING = {name: replace(form, flushes=True) for name, form in FORMATS.items()}
"""The same formats where the hardware or the compiler takes subnormal numbers for zero."""

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


UNROUNDED = _Unrounded("unrounded", 0, 0)
"""The true values themselves: formulas over numbers of this format carry no error."""

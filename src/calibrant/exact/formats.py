"""The floating-point formats that are judged, by their NumPy names."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: what rounding to it may cost."""

    name: str
    precision: int
    """Bits of the significand, the leading one included."""
    max_exponent: int
    """The largest finite number is just below 2 ** (max_exponent + 1)."""

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
        """The smallest subnormal number: what a product or quotient may lose to gradual underflow."""
        return 2.0 ** (2 - self.max_exponent - self.precision)

    @cached_property
    def largest(self) -> float:
        """The largest finite number."""
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.max_exponent


class _Unrounded(Format):
    """No format at all: arithmetic that never rounds, overflows or underflows."""

    u = 0.0
    normal = 0.0
    tiny = 0.0
    largest = float("inf")


FORMATS = {
    form.name: form
    for form in (
        Format("float16", 11, 15),
        Format("bfloat16", 8, 127),
        Format("float32", 24, 127),
        Format("float64", 53, 1023),
    )
}

UNROUNDED = _Unrounded("unrounded", 0, 0)
"""The true values themselves: formulas over numbers of this format carry no error."""

"""Arrays of exact numbers, each with a bound on the rounding error of its floating-point evaluation.

A formula over `Exact` arrays (`w * t_u + b`, `mean((t_p - t_c) ** 2)`) gives two things at once: its true value, by integer
arithmetic, and a running bound on the error of any sensible evaluation in the numbers' format (Wilkinson's running error
analysis; Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 2.2 and 3.3). Its rules are those of the
book's Appendix A; a name in brackets, such as [A.sum], is the rule that the code next to it applies.

Floats are dyadic rationals, so a whole array shares one exponent and one denominator, `m * 2**e / d`: there is no gcd in
every step. The bound is float64, always rounded up; infinity means that nothing is claimed, because the value or something on
the way to it may overflow the format.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.exact.formats import UNROUNDED, Format, format_of, name_of

Ints = NDArray[np.object_]
Floats = NDArray[np.float64]

_UP = 1 + 2.0**-44  # more than float64 arithmetic loses to rounding in one step of a bound
_LEAST = 5e-324
_LOST = 2 * _LEAST  # more than underflow takes from the errors that a product passes on: half of _LEAST each
_FEW = 32  # so many numbers are converted faster one by one
_KEPT_BITS = 2048  # numbers longer than twice this are cut to it; the bound grows by the part that is cut


def _objects(x: Any) -> Ints:
    return np.asarray(x, dtype=object)


def _magnitude(m: Ints, e: int, d: int) -> Floats:
    """|m * 2**e / d| as float64, rounded up; call it with floating-point warnings off."""
    scale: Any = e
    try:
        f = np.abs(m.astype(np.float64))
    except OverflowError:  # longer than float64 reaches: each number's leading bits, rounded up, and its own exponent
        ints = [abs(int(k)) for k in m.flat]
        cut = [max(0, k.bit_length() - 64) for k in ints]
        f = np.array([float((k >> c) + (c > 0)) for k, c in zip(ints, cut, strict=True)]).reshape(m.shape)
        scale = e + np.array(cut).reshape(m.shape)
    if d != 1:
        shift = max(0, d.bit_length() - 64)
        f = f / float(d >> shift)
        scale = scale - shift
    up: Floats = np.ldexp(f * _UP, scale) + np.minimum(f, _LEAST)
    return up


def _operation(rule: Callable[[Exact, Exact], Exact]) -> Callable[[Exact, Any], Exact]:
    """Apply a rule to exact numbers of one format; the second may be a plain number."""

    def apply(x: Exact, y: Any) -> Any:
        if isinstance(y, (int, float, Fraction)) and not isinstance(y, bool):
            y = constant(y, x.form)
        elif not isinstance(y, Exact):
            return NotImplemented
        elif y.form is not x.form:
            raise ValueError(f"{x.form.name} numbers do not mix with {y.form.name} ones")
        with np.errstate(all="ignore"):
            return rule(x, y)

    return apply


def _sum(x: Exact, y: Exact) -> Exact:
    """The sum [A.sum]; of three terms, in any order [A.residual]."""
    err = x.err + y.err
    for (a, b), other in ((some.terms, other) for some, other in ((x, y), (y, x)) if some.terms):
        partial = np.maximum(*((part.true() + other.true()).magnitude() + part.err + other.err for part in (a, b)))
        first = x.form.u * (1 + x.form.u) * partial + x.form.flushed
        err = np.maximum(err, (a.err + b.err + other.err + first) * _UP)
    e = min(x.e, y.e)
    m1 = x.m if x.e == e else x.m << (x.e - e)
    m2 = y.m if y.e == e else y.m << (y.e - e)
    d = x.d
    if x.d != y.d:
        g = math.gcd(x.d, y.d)
        m1, m2, d = m1 * (y.d // g), m2 * (x.d // g), x.d // g * y.d
    return _rounded(m1 + m2, e, d, err, x.form, least=x.form.flushed)


def _product(x: Exact, y: Exact) -> Exact:
    """The product [A.product]."""
    err: Any = 0.0
    least = x.form.tiny
    if x.rounds() or y.rounds():
        err = x.magnitude() * y.err + (y.magnitude() + y.err) * x.err
        least += _LOST
    roundings = 0 if _is_power_of_two(x) or _is_power_of_two(y) else 1
    return _rounded(x.m * y.m, x.e + y.e, x.d * y.d, err, x.form, roundings, least)


def _quotient(x: Exact, y: Exact) -> Exact:
    """Division by one number; two roundings, because a sensible evaluation may multiply by a rounded reciprocal [A.quotient].

    Where the reciprocal may overflow, nothing is claimed.
    """
    if y.size != 1:
        raise ValueError(f"the divisor has shape {y.shape}: only division by one number is known here")
    divisor, y_err = y.m.item(), y.err.item()
    if divisor == 0:
        raise ZeroDivisionError("division by an exact zero")
    m, e, d, cut = _trimmed(_objects(x.m * (y.d if divisor > 0 else -y.d)), x.e - y.e, x.d * abs(divisor))
    err: Any = 0.0
    least = x.form.tiny
    reach = y.magnitude().item() / (_UP * _UP) - 2 * _LEAST - y_err
    if x.form is not UNROUNDED and reach * x.form.largest < _UP:
        err = np.inf
    elif y_err or x.rounds():
        passed = x.err + _magnitude(m, e, d) * y_err if y_err else x.err
        err = passed / reach * _UP if reach > 0 else np.inf
        least += _LOST
    return _rounded(m, e, d, err + cut, x.form, 0 if _is_power_of_two(y) else 2, least)


class Exact:
    """An array of exact numbers `m * 2**e / d`, each within `err` of what a sensible evaluation in `form` returns."""

    __slots__ = ("_magnitude", "d", "e", "err", "form", "m", "terms")
    __array_ufunc__ = None  # NumPy arrays leave mixed arithmetic to us, and so to an error

    def __init__(self, m: Any, e: int, d: int, err: Any, form: Format, magnitude: Floats | None = None) -> None:
        self.m = _objects(m)
        self.e = e
        self.d = d
        self.err: Floats = np.asarray(err, dtype=np.float64)
        self.form = form
        self._magnitude = magnitude
        self.terms: tuple[Exact, Exact] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As NumPy's."""
        return self.m.shape

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.m.size

    def __len__(self) -> int:
        return len(self.m)

    def __getitem__(self, key: Any) -> Exact:
        return Exact(self.m[key], self.e, self.d, self.errors()[key], self.form)

    def __iter__(self) -> Iterator[Exact]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Exact({self.nearest().tolist()}, err={self.err.tolist()}, {self.form.name})"

    # What it is

    def fractions(self) -> list[Fraction]:
        """The true values, in row-major order."""
        scale = Fraction(2) ** self.e / self.d
        return [int(k) * scale for k in self.m.flat]

    def fraction(self) -> Fraction:
        """The true value of an array of one element."""
        (value,) = self.fractions()
        return value

    def nearest(self) -> Floats:
        """The float64 numbers nearest to the true values; infinite where float64 cannot hold them."""
        return np.array([to_float(value) for value in self.fractions()], dtype=np.float64).reshape(self.shape)

    def errors(self) -> Floats:
        """The bound of each element."""
        return self.err if self.err.shape == self.m.shape else np.broadcast_to(self.err, self.m.shape)

    def allowed(self) -> Floats:
        """The most that an answer may err: the bound, and at least two roundings of a number that is rounded at all [A.floor]."""
        bound = self.errors()
        return np.where(bound > 0, np.maximum(bound, 2 * self.form.u * self.magnitude()), bound)

    def rounds(self) -> bool:
        """Whether any element has an error."""
        return bool(np.count_nonzero(self.err))

    def magnitude(self) -> Floats:
        """|value| as float64, rounded up."""
        if self._magnitude is None:
            with np.errstate(all="ignore"):
                self._magnitude = _magnitude(self.m, self.e, self.d)
        return self._magnitude

    def true(self) -> Exact:
        """The same values without error, to compute with the truth and not with an evaluation of it."""
        return Exact(self.m, self.e, self.d, np.zeros(self.shape), UNROUNDED, self._magnitude)

    def of_terms(self, x: Exact, y: Exact) -> Exact:
        """The same values, as a sum of two that a third may join in any order [A.residual]."""
        self.terms = x, y
        return self

    def within(self, err: Any, form: Format) -> Exact:
        """The same values, each within `err` of its evaluation in `form`."""
        return Exact(self.m, self.e, self.d, np.broadcast_to(err, self.shape), form, self._magnitude)

    # Arithmetic

    __add__ = __radd__ = _operation(_sum)
    __sub__ = _operation(lambda x, y: _sum(x, -y))
    __rsub__ = _operation(lambda x, y: _sum(y, -x))
    __mul__ = __rmul__ = _operation(_product)
    __truediv__ = _operation(_quotient)

    def __neg__(self) -> Exact:
        return Exact(-self.m, self.e, self.d, self.err, self.form, self._magnitude)

    def __abs__(self) -> Exact:
        return Exact(abs(self.m), self.e, self.d, self.err, self.form, self._magnitude)

    def __pow__(self, power: int) -> Exact:
        if power != 2:
            raise ValueError(f"power is {power}: only squares are known here")
        return self * self

    def sum(self, axes: tuple[int, ...] | None = None) -> Exact:
        """The sum of all elements, or over some axes, evaluated in any order [A.sums]."""
        terms = self.size if axes is None else math.prod(self.shape[axis] for axis in axes)
        with np.errstate(all="ignore"):
            err = self._sum_error(max(terms - 1, 0), axes)
            return _rounded(self.m.sum(axis=axes), self.e, self.d, err, self.form, 0)

    def mean(self) -> Exact:
        """The mean of all elements: divided before the sum or after it, in any order [A.mean]."""
        return self._mean(2 if self.size & (self.size - 1) else 0)

    def mean_square(self) -> Exact:
        """The mean of the squares: also as the square of a length, or of elements divided by the root of n [A.mean-square]."""
        return (self**2)._mean(by_root(self.size) + 3)

    def _mean(self, roundings: int) -> Exact:
        n = self.size
        with np.errstate(all="ignore"):
            err = self._sum_error(n - 1 + roundings) / n + n * self.form.tiny
            return _rounded(self.m.sum(), self.e, self.d * n, err, self.form, 0)

    def over_count(self, n: int) -> Exact:
        """The elements divided by a count, at once or by its root twice, or multiplied by reciprocals of these [A.count]."""
        with np.errstate(all="ignore"):
            m, e, d, cut = _trimmed(self.m, self.e, self.d * n)
            least = (2 * self.form.tiny + _LOST * self.rounds()) if n > 1 else 0.0
            return _rounded(m, e, d, self.err / n * _UP + cut, self.form, by_root(n), least)

    def _sum_error(self, roundings: int, axes: tuple[int, ...] | None = None) -> Any:
        """The errors of sums in which every term is rounded so many times; infinite where one may overflow.

        A partial sum is at most the sum of all magnitudes, plus the effect of its roundings.
        """
        passed: Any = self.errors().sum(axis=axes) * _UP if self.rounds() else 0.0
        if self.form is UNROUNDED:
            return passed
        passed += roundings * self.form.flushed
        span = self.magnitude().sum(axis=axes) * _UP + passed
        rounded = gamma(roundings, self.form) * span
        return np.where(span + rounded <= self.form.largest, passed + rounded, np.inf)


def _rounded(m: Any, e: int, d: int, err: Any, form: Format, roundings: int = 1, least: float = 0.0) -> Exact:
    """Add the error of rounding the number to its format; call it with floating-point warnings off."""
    m, e, d, cut = _trimmed(_objects(m), e, d)
    if form is UNROUNDED:
        return Exact(m, e, d, np.zeros(m.shape) + (err + least) * _UP + cut, form)
    unit = roundings * form.u * (1 + form.u) if roundings <= 2 else gamma(roundings, form)
    if m.ndim == 0:
        return _rounded_one(m, e, d, float(err), form, unit, least, cut)
    z = _magnitude(m, e, d)
    rounded = (err + unit * (z + err) + least) * _UP + cut
    if np.count_nonzero(z) < z.size:  # a zero that is known exactly is never rounded
        rounded = np.where((z == 0) & (np.asarray(err) == 0), cut, rounded)
    fits = z + rounded <= form.largest
    if np.count_nonzero(fits) < z.size:  # the number, or something on the way to it, may overflow [A.range]
        rounded = np.where(fits, rounded, np.inf)
    return Exact(m, e, d, rounded, form, z)


def _rounded_one(m: Ints, e: int, d: int, err: float, form: Format, unit: float, least: float, cut: float) -> Exact:
    """One number with the error of its rounding, as `_rounded` adds it: for a single number, plain Python is faster than NumPy."""
    z = _size(m.item(), e, d)
    rounded = cut if z == err == 0 else (err + unit * (z + err) + least) * _UP + cut
    return Exact(m, e, d, rounded if z + rounded <= form.largest else math.inf, form, np.asarray(z))


def _size(m: int, e: int, d: int) -> float:
    """|m * 2**e / d|, rounded up, as `_magnitude` has it."""
    try:
        f = abs(float(m))
    except OverflowError:
        return float(_magnitude(_objects(m), e, d))
    if d != 1:
        shift = max(0, d.bit_length() - 64)
        f, e = f / float(d >> shift), e - shift
    try:
        return math.ldexp(f * _UP, e) + min(f, _LEAST)
    except OverflowError:
        return math.inf


def _trimmed(m: Ints, e: int, d: int) -> tuple[Ints, int, int, float]:
    """Cut the numbers to an affordable length; the last value returned is the most that the cut costs."""
    if not m.size or max(m.item(0).bit_length(), d.bit_length()) <= _KEPT_BITS:
        return m, e, d, 0.0
    longest = max(int(k).bit_length() for k in m.flat)
    if max(longest, d.bit_length()) <= 2 * _KEPT_BITS:
        return m, e, d, 0.0
    keep = _KEPT_BITS + d.bit_length() - longest
    m = _objects((m << keep) // d if keep >= 0 else m // (d << -keep))
    return m, e - keep, 1, float(_magnitude(_objects(1), e - keep, 1))


def _is_power_of_two(x: Exact) -> bool:
    """Whether x is one number without error whose multiples lose nothing to rounding."""
    if x.m.size != 1 or x.d & (x.d - 1) or x.rounds():
        return False
    m = abs(x.m.item())
    return bool(m & (m - 1) == 0)


def by_root(n: int) -> int:
    """The most roundings of a division by n that is taken in two halves [A.count]; none where n is a power of four.

    The root of n is rounded, then its reciprocal, then a product with it: twice three.
    """
    return 0 if n & (n - 1) == 0 and n.bit_length() % 2 else 6


def gamma(k: int, form: Format) -> float:
    """k u / (1 - k u), the relative error of k roundings in a row; infinite where k u reaches 1 [A.roundings]."""
    ku = k * form.u
    return ku / (1 - ku) * _UP if ku < 1 else math.inf


def of(x: Any, form: Format | None = None) -> Exact:
    """The numbers of a NumPy array of a judged dtype, in the dtype's format unless another is given."""
    x = np.asarray(x)
    form = form or format_of(name_of(x.dtype))
    wide = x.astype(np.float64)
    if x.size <= _FEW:
        return _of_few(wide, form)
    mantissa, exponent = np.frexp(wide)
    if np.count_nonzero(np.isfinite(mantissa)) < x.size:
        raise ValueError(f"{x} is not finite: only finite numbers are exact")
    m = np.ldexp(mantissa, 53).astype(np.int64)
    exponents = np.where(m != 0, exponent - 53, 1100)
    e = int(exponents.min(initial=1100))
    size = np.abs(wide)
    err = np.where(size < form.flushed, size, 0.0) if form.flushed else np.zeros(x.shape)
    return Exact(m.astype(object) << (exponents - e).astype(object), e, 1, err, form, size)


def _of_few(x: Floats, form: Format) -> Exact:
    """The numbers of a short array, one by one: for these, plain Python is faster than NumPy."""
    values = x.reshape(-1).tolist()
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{x} is not finite: only finite numbers are exact")
    pairs = [math.frexp(value) for value in values]
    e = min((exponent - 53 for mantissa, exponent in pairs if mantissa), default=1100)
    m = np.empty(len(values), dtype=object)
    m[:] = [int(math.ldexp(f, 53)) << exponent - 53 - e if f else 0 for f, exponent in pairs]
    size = np.abs(x)
    err = np.where(size < form.flushed, size, 0.0) if form.flushed else np.zeros(x.shape)
    return Exact(m.reshape(x.shape), e, 1, err, form, size)


@functools.lru_cache(maxsize=256)
def constant(x: int | float | Fraction, form: Format) -> Exact:
    """A constant of a formula, exact in every evaluation."""
    m, d = x.as_integer_ratio()
    return Exact(m, 0, d, 0.0, form) if d & (d - 1) else Exact(m, 1 - d.bit_length(), 1, 0.0, form)


def hyperparameter(x: float, form: Format) -> Exact:
    """A Python number that an implementation may first round to its format, with the error of that rounding [A.given]."""
    lost, held = Fraction(x), form.scalars
    if abs(x) >= held.flushed:
        lost -= round_to(lost, held)
    return constant(x, form).within(to_float(abs(lost)) * _UP if abs(x) <= held.largest else math.inf, form)


def concatenate(*parts: Exact) -> Exact:
    """Scalars and columns end to end, as one column."""
    e, d = min(part.e for part in parts), math.lcm(*(part.d for part in parts))
    m = np.concatenate([_objects((part.m << (part.e - e)) * (d // part.d)).reshape(-1) for part in parts])
    err = np.concatenate([part.errors().reshape(-1) for part in parts])
    return Exact(m, e, d, err, parts[0].form)


def to_float(x: Fraction) -> float:
    """The nearest float64, infinite beyond its range."""
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def round_to(x: Fraction, form: Format) -> Fraction:
    """Round x to the nearest number of the format, ties to even, with gradual underflow and without overflow."""
    return x if form is UNROUNDED else round(x / ulp(x, form)) * ulp(x, form)


def ulp(x: Fraction, form: Format) -> Fraction:
    """The spacing of the format's numbers at x: one unit in the last place."""
    x, exponent = abs(x), 1 - form.max_exponent
    if x:
        log = x.numerator.bit_length() - x.denominator.bit_length()
        exponent = max(exponent, log - (Fraction(2) ** log > x))
    return Fraction(2) ** (exponent - form.precision + 1)

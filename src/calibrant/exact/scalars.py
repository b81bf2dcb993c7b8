"""Exact numbers one at a time, for operations that shared exponents make slow: quotients, roots, moving averages.

A `Number` is `m * 2**e`, cut to some hundred bits where no fraction is short. A sensible evaluation in its format is within `err`
of it, by the running error analysis of `calibrant.exact.numbers`. One rule covers all sensible evaluations of an operation:
`product` any order of factors and divisors, `mix` every way to write a moving average. Names in brackets are rules of Appendix A.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from calibrant.exact.formats import Format
from calibrant.exact.numbers import _LEAST, _LOST, _UP, Exact, gamma, to_float

# Bits kept of numbers twice as long, and of numbers that no fraction holds: some 40 digits below anything that is compared.
_BITS = 192
_CUT = 2.0**-180
_ldexp, _INFINITY = math.ldexp, math.inf

# Functions to 200 bits. They err by a few units of the last, far less than the 2^-44 of itself by which each of their bounds is enlarged.
MP = mpmath.MPContext()
MP.prec = 200


def _size(m: int, e: int) -> float:
    """|m * 2**e| as float64, rounded up."""
    if m <= 0:
        if not m:
            return 0.0
        m = -m
    extra = m.bit_length() - 64
    if extra > 0:
        m, e = (m >> extra) + 1, e + extra
    try:
        return _ldexp(m, e) * _UP + _LEAST
    except OverflowError:
        return math.inf


class Number:
    """An exact number `m * 2**e`, within `err` of what a sensible evaluation in `form` returns; `size` is |m * 2**e|, rounded up."""

    __slots__ = ("e", "err", "form", "m", "size")

    def __init__(self, m: int, e: int, err: float, form: Format, size: float | None = None) -> None:
        self.m = m
        self.e = e
        self.err = err
        self.form = form
        self.size = _size(m, e) if size is None else size

    def fraction(self) -> Fraction:
        """The true value."""
        return self.m * Fraction(2) ** self.e

    def known_zero(self) -> bool:
        """Whether every evaluation finds zero."""
        return not self.m and not self.err

    def within(self, err: float) -> Number:
        """The same value, to be found within `err`."""
        return Number(self.m, self.e, err if err >= 0 else math.inf, self.form, self.size)  # what is NaN is unknown

    def least(self) -> float:
        """A magnitude that every evaluation exceeds, or zero."""
        below = self.size / (_UP * _UP) - 2 * _LEAST - self.err
        return below if below > 0 else 0.0  # also where the size is infinite, and so NaN is left

    def sign(self) -> int | None:
        """-1, 0 or 1; None where evaluations may differ."""
        if self.least() > 0:
            return 1 if self.m > 0 else -1
        return 0 if self.known_zero() else None

    def __add__(self, other: Number | float) -> Number:
        y = other if isinstance(other, Number) else constant(other, self.form)
        if not (y.m or y.err):
            return self
        if not (self.m or self.err):
            return y
        form = self.form if self.form is y.form else _wider(self.form, y.form)
        e, f = self.e, y.e
        m, e = ((self.m << e - f) + y.m, f) if e > f else (self.m + (y.m << f - e), e)
        return _rounded(m, e, self.err + y.err, form, 1, form.flushed)

    __radd__ = __add__

    def __neg__(self) -> Number:
        return Number(-self.m, self.e, self.err, self.form, self.size)

    def __sub__(self, other: Number | float) -> Number:
        return self + -other

    def __rsub__(self, other: float) -> Number:
        return -self + other

    def __abs__(self) -> Number:
        return Number(abs(self.m), self.e, self.err, self.form, self.size)

    def __mul__(self, other: Number | float) -> Number:
        y = other if isinstance(other, Number) else constant(other, self.form)
        err = 0.0
        if self.err or y.err:
            err = self.size * y.err + (y.size + y.err) * self.err
            err += _LOST * (err > 0)
        roundings = 0 if _is_power_of_two(self) or _is_power_of_two(y) else 1
        form = self.form if self.form is y.form else _wider(self.form, y.form)
        return _rounded(self.m * y.m, self.e + y.e, err, form, roundings, form.tiny)

    __rmul__ = __mul__


def _wider(one: Format, other: Format) -> Format:
    """The format of what is computed from two numbers: hyperparameters may be held in a narrower one than data."""
    return one if one.precision >= other.precision else other


def _aligned_sum(m: int, e: int, other: int, f: int) -> tuple[int, int]:
    """m * 2**e + other * 2**f."""
    return ((m << e - f) + other, f) if e > f else (m + (other << f - e), e)


def _is_power_of_two(x: Number) -> bool:
    if x.err:
        return False
    m = abs(x.m)
    return m & (m - 1) == 0


def _rounded(m: int, e: int, err: float, form: Format, roundings: float, least: float = 0.0) -> Number:
    """The number with the error of so many roundings added; unbounded where it, or something before it, may overflow."""
    if not m and not err:
        return Number(0, 0, 0.0, form, 0.0)
    cut, extra = False, m.bit_length() - _BITS
    if extra > _BITS:
        m, e, cut = m >> extra, e + extra, True
    size = _size(m, e)
    if roundings:
        u = form.u
        err += roundings * u * (1 + u) * (size + err)
    err = (err + least + (size * _CUT + _LEAST if cut else 0.0)) * _UP
    return Number(m, e, err if size + err <= form.largest else _INFINITY, form, size)


def added(sizes: Iterable[float]) -> float:
    """The sum of sizes and errors, infinite where it overflows."""
    try:
        return math.fsum(sizes)
    except OverflowError:
        return math.inf


def constant(x: float, form: Format) -> Number:
    """A constant of a formula, exact in every evaluation."""
    m, over = x.as_integer_ratio()
    return Number(m, 1 - over.bit_length(), 0.0, form)


def computed(value: Any, err: float, form: Format) -> Number:
    """The number that a function of `MP` returned."""
    return Number(int(MP.ldexp(value, -value.exp)), value.exp, err, form)


def fraction(x: Fraction, form: Format) -> Number:
    """A fraction, cut to some hundred bits where it has more."""
    return _over(x.numerator, 0, x.denominator, 0.0, form)


def hyperparameter(x: float, form: Format) -> Number:
    """A Python number that an implementation may first round to its format, with the error of that rounding [A.given]."""
    value = constant(x, form.scalars)
    return value.within(_round_off(value))


def _round_off(x: Number) -> float:
    """How far the nearest number of the format is from x, rounded up; infinite beyond its range."""
    if x.size > x.form.largest * _UP:
        return math.inf
    if x.size < x.form.flushed:
        return x.size
    tiniest = 2 - x.form.max_exponent - x.form.precision
    dropped = max(x.m.bit_length() - x.form.precision, tiniest - x.e)
    if dropped <= 0:
        return 0.0
    low = abs(x.m) & ((1 << dropped) - 1)
    return _size(min(low, (1 << dropped) - low), x.e)


def complement(keep: Number) -> Number:
    """1 - keep for a hyperparameter, computed from the given number or from the rounded one."""
    part = 1 - keep
    return part.within((keep.err + (part.form.u * (part.size + keep.err) if keep.err else _round_off(part))) * _UP)


def scatter(x: np.ndarray | Exact, form: Format) -> list[Number]:
    """The numbers of an array, in row-major order."""
    if not isinstance(x, Exact):
        return [_given(value, form) for value in np.asarray(x, dtype=np.float64).reshape(-1).tolist()]
    errors = x.errors().reshape(-1).tolist()
    return [_over(int(m), x.e, x.d, err, form) for m, err in zip(x.m.flat, errors, strict=True)]


def _given(x: float, form: Format) -> Number:
    m, e = math.frexp(x)
    return Number(int(math.ldexp(m, 53)), e - 53, abs(x) if abs(x) < form.flushed else 0.0, form)


def _over(m: int, e: int, d: int, err: float, form: Format) -> Number:
    if d == 1:
        return Number(m, e, err, form)
    shift = _BITS + d.bit_length()
    quotient = Number((m << shift) // d, e - shift, err, form)
    return quotient.within(err + (quotient.size * _CUT + _LEAST if m else 0.0))


def gather(numbers: Sequence[Number], shape: tuple[int, ...], form: Format) -> Exact:
    """The numbers as an array."""
    e = min((x.e for x in numbers if x.m), default=0)
    m = np.empty(len(numbers), dtype=object)
    m[:] = [x.m << (x.e - e) if x.m else 0 for x in numbers]
    return Exact(m.reshape(shape), e, 1, np.array([x.err for x in numbers]).reshape(shape), form)


def product(factors: Sequence[Number], divisors: Sequence[Number] = ()) -> Number:
    """The product of the factors, divided by the divisors, in any order [A.products].

    k factors and q divisors take k - 1 + 2 q roundings at most, reciprocals included. An underflow may then be enlarged by every other
    factor, whose product must not overflow. Where a divisor may be zero, nothing is claimed. Numbers of a narrower format, which are
    hyperparameters, may be multiplied with each other in that before.
    """
    form, alike = factors[0].form, True
    for x in (*factors, *divisors):
        if x.form is not form:
            form, alike = _wider(form, x.form), False
    if not alike:
        narrow = [[x for x in some if x.form is not form] for some in (factors, divisors)]
        one = product(narrow[0] or [constant(1.0, narrow[1][0].form)], narrow[1])
        wide = [[x for x in some if x.form is form] for some in (factors, divisors)]
        return product([Number(one.m, one.e, one.err, form, one.size), *wide[0]], wide[1])
    m, e, size, err, stretch, zero = 1, 0, 1.0, 0.0, 1.0, False
    for x in factors:
        m, e, reach = m * x.m, e + x.e, x.size + x.err
        err = (size * x.err + reach * err) * _UP + _LOST
        size *= x.size * _UP
        stretch *= reach * _UP if reach > 1.0 else _UP
        zero = zero or not reach
    for y in divisors:
        reach = y.least()
        if not reach:
            return Number(0, 0, math.inf, form, 0.0)
        shift = max(0, _BITS + y.m.bit_length() - m.bit_length())
        m, e = (m << shift) // y.m, e - shift - y.e
        size = size / (reach + y.err) * _UP
        err = (err + size * y.err) / reach * _UP + _LOST
        if reach < 1.0:
            stretch /= reach
    if not stretch <= form.largest:
        return Number(m, e, math.inf, form)
    if zero:
        return Number(0, 0, 0.0, form, 0.0)
    count = len(factors) - 1 + 2 * len(divisors)
    return _rounded(m, e, err + gamma(count, form) * (size + err) + form.tiny * (count + 1) * stretch, form, 0)


def root(x: Number, *, signed: bool = False) -> Number:
    """The square root; two roundings, because a power of one half is less exact than a root [A.root].

    An evaluation may find zero for a number that cannot be negative (a sum of squares). A number that can be negative (a difference
    of squares) is `signed`: where it may be negative, nothing is claimed.
    """
    if x.known_zero():
        return x
    shift = max(0, 2 * _BITS - x.m.bit_length())
    shift += (x.e - shift) % 2
    m, e = math.isqrt(max(x.m, 0) << shift), (x.e - shift) // 2
    below = x.least()
    if not x.err:
        err = 0.0
    elif below > 0 and x.m > 0:
        err = x.err / (math.sqrt(below + x.err) + math.sqrt(below)) * _UP + _LOST
    elif signed or x.m < 0 or math.isinf(x.err):
        err = math.inf
    else:
        err = max(math.sqrt(x.size), x.err / math.sqrt(x.size + x.err)) * _UP
    return _rounded(m, e, err, x.form, 2)


def mix(x: Number, y: Number, keep: Number, part: Number) -> Number:
    """keep x + part y for keep in [0, 1] and its `complement`, part: a moving average.

    Evaluated in any of three forms [A.average]: as it stands; as x + part (y - x), with keep or part rounded first and the other
    computed from it; or as y + keep (x - y), with keep as given or, where it is the smaller of the two, computed from part.
    A difference from zero is not rounded.
    """
    form = x.form
    big_x, big_y = x.size + x.err, y.size + y.err
    span = big_x + big_y
    if not span:
        return x
    rounds = not (x.known_zero() or y.known_zero())
    big_keep, big_part = keep.size + part.err, part.size + part.err
    towards = (1 + rounds) * big_part * span
    back = (1 + rounds + (keep.size <= part.size)) * big_keep * span
    local = max(towards, back)  # the larger is no less than what the first form rounds
    err = keep.size * x.err + part.size * y.err + part.err * span + form.u * (1 + 2 * form.u) * local
    m, e = _aligned_sum(keep.m * x.m, keep.e + x.e, part.m * y.m, part.e + y.e)
    # Two products may underflow, or one and then a quotient by a bias correction before a root is taken of it.
    least = 3 * form.tiny + 2 * form.flushed
    return _rounded(m, e, (err + 4 * _LOST) * _UP if span <= form.largest else math.inf, form, 1, least)


def shrunk(p: Number, lr: Number, decay: Number, step: Number | None = None) -> Number:
    """(1 - lr decay) p - step: with the factor first, with lr decay p subtracted, or with both steps added before [A.decay].

    Beyond the roundings of the second way, the first rounds (1 - lr decay) and its product with p; the last rounds lr decay p and the
    step once more each, and their sum.
    """
    left = p
    drop = product([lr, decay, p])
    if not drop.known_zero():
        left = p - drop
        moved = 0.0 if step is None else step.size + step.err
        u = max(x.form.u for x in (p, lr, decay))
        more = u * (left.size + left.err + 2 * (drop.size + drop.err) + 2 * moved)
        left = left.within((left.err + (more + p.form.tiny + 2 * p.form.flushed)) * (1 + 2.0**-40))
    return left if step is None else left - step


def maximum(x: Number, y: Number) -> Number:
    """The larger of the two."""
    return (x if _aligned_sum(x.m, x.e, -y.m, y.e)[0] >= 0 else y).within(max(x.err, y.err))


def minimum(x: Number, y: Number) -> Number:
    """The smaller of the two."""
    return -maximum(-x, -y)


def either(ways: Iterable[Number]) -> Number:
    """One value that may be evaluated in any of these ways, with the largest of their errors [A.ways]."""
    return max(ways, key=lambda way: way.err)


def times_power(power: Number, base: Number) -> Number:
    """The next power of a hyperparameter: one product more, or a power of the machine's, within a unit in the last place [A.power]."""
    after = power * base
    return after.within(after.err + base.form.u * after.size)


def real_power(base: Number, exponent: Fraction) -> Number:
    """base ** exponent for a positive base, by any pow of the machine, from a base and an exponent that were rounded before [A.real-power]."""
    form = base.form
    value, log = _power(base.m, base.e, exponent)
    y = abs(to_float(exponent))
    # The base is rounded, the exponent twice (it is a product), and the power is within a unit in the last place.
    slip = y * (base.err / base.least() + form.u) + 2 * y * abs(log) * form.u + 2 * form.u
    x = computed(value, 0.0, form)
    err = (x.size * slip * math.exp(slip) + form.tiny) * _UP
    return x.within(err if x.size + err <= form.largest else math.inf)


@functools.lru_cache(maxsize=8192)  # several dtypes ask for the powers of a long run, one after the other
def _power(m: int, e: int, exponent: Fraction) -> tuple[Any, float]:
    """(m * 2**e) ** exponent, and the logarithm of the base."""
    log = MP.log(MP.mpf((m, e)))
    return MP.exp(log * exponent.numerator / exponent.denominator), float(log)

"""Formulas drawn as trees, and evaluations of them: plain fractions, fractions rounded after every operation, and `Exact`."""

from __future__ import annotations

import decimal
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from calibrant import exact
from calibrant.exact import Exact, Format
from calibrant.protocol.declarations import numpy_dtype

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=80)

Tree = Any
"""A leaf ("x", "y": columns, "s": a scalar, or a whole number), or an operation with its operands."""

# Drawing


PROGRAM, COLUMN = 10, 6
"""Bytes of a formula, and samples of a column."""


def numbers_of(data: bytes, form: Format) -> Any:
    """Finite numbers of one kind: small whole ones, plain fractions, any bit pattern, those near 1, subnormal ones."""
    kind, bits = data[0] % 5, np.frombuffer(data[1:], dtype=np.uint8)
    dtype = numpy_dtype(form.name)
    wide = bits.reshape(-1, 8)
    with np.errstate(all="ignore"):
        match kind:
            case 0:
                x = wide[:, 0] % 9 - 4.0
            case 1:
                x = (wide[:, 0] - 128.0) * (1 + wide[:, 1] / 3.0) / 16
            case 2:
                x = wide[:, 8 - dtype.itemsize :].copy().view(dtype).reshape(-1).astype(np.float64)
            case 3:
                x = np.ldexp(1 + wide[:, 0] / 255 + wide[:, 1] * form.u * 2, wide[:, 2].astype(int) % 8 - 4)
            case _:
                x = (wide[:, 0] - 128.0) * form.tiny * 2.0 ** (wide[:, 1] % form.precision)
        x = np.where(np.isfinite(x), x, form.largest)
        return np.clip(x, -form.largest, form.largest).astype(dtype)


def floats(form: Format) -> st.SearchStrategy[Any]:
    """Finite numbers of a format, of all kinds."""
    return st.binary(min_size=9, max_size=9).map(lambda data: numbers_of(data, form)[0])


def tree_of(program: bytes) -> Tree:
    """A formula over +, -, *, /, sum, mean, absolute values and squares: each byte pushes a leaf or takes what it needs."""
    stack: list[Tree] = []
    for byte in program:
        match byte % 16:
            case 0 | 1 | 2 | 3 | 4 | 5 as leaf:
                stack.append(("x", "y", "s", 1, 2, -3)[leaf])
            case (6 | 7 | 8 | 9 | 10) as sign if len(stack) > 1:
                right, left = stack.pop(), stack.pop()
                stack.append(("+-*+*"[sign - 6], left, right))
            case 11 if stack:
                stack.append(("/", stack.pop(), ("s", 2, 3, -5, ("+", ("square", "s"), 1))[byte // 16 % 5]))
            case _ if stack:
                stack.append((("sum", "mean", "abs", "square")[byte // 16 % 4], stack.pop()))
            case _:
                stack.append("x")
    while len(stack) > 1:
        right, left = stack.pop(), stack.pop()
        stack.append(("+", left, right))
    return stack[0]


def cases(form: Format) -> st.SearchStrategy[tuple[Tree, dict[str, Any]]]:
    """A formula and the numbers for its letters; s is not zero."""
    width = 1 + 8 * COLUMN

    def decode(data: bytes) -> tuple[Tree, dict[str, Any]]:
        n = 1 + data[0] % COLUMN
        program, rest = data[1 : 1 + PROGRAM], data[1 + PROGRAM :]
        x, y, s = (numbers_of(rest[i * width : (i + 1) * width], form) for i in range(3))
        return tree_of(program), {"x": x[:n], "y": y[:n], "s": np.asarray(s[0] if s[0] else s.dtype.type(1))}

    size = 1 + PROGRAM + 3 * width
    return st.binary(min_size=size, max_size=size).map(decode)


# Evaluating


class Algebra:
    """How a tree is evaluated in plain fractions, without rounding."""

    @staticmethod
    def array(x: Any) -> Any:
        return objects(x)

    def __init__(self, numbers: dict[str, Any]) -> None:
        self.numbers = {name: fractions(x) for name, x in numbers.items()}

    def __call__(self, tree: Tree) -> Any:
        match tree:
            case str():
                return self.numbers[tree]
            case int():
                return objects(Fraction(tree))
            case (("+" | "-") as sign, a, b):
                return self.add(self(a), self(b), sign, tree)
            case ("*", a, b):
                return self.multiply(self(a), self(b))
            case ("square", a):
                return self.multiply(self(a), self(a))
            case ("/", a, b):
                return self.divide(self(a), self(b))
            case ("abs", a):
                return self.array(abs(self(a)))
            case ("sum", a):
                return self.sum(self(a), a)
            case ("mean", a):
                return self.mean(self(a))
        raise ValueError(f"no such formula: {tree}")

    def add(self, a: Any, b: Any, sign: str, tree: Tree) -> Any:
        return self.array(a + b if sign == "+" else a - b)

    def multiply(self, a: Any, b: Any) -> Any:
        return self.array(a * b)

    def divide(self, a: Any, b: Any) -> Any:
        return self.array(a / b)

    def sum(self, a: Any, tree: Tree) -> Any:
        return self.array(a.sum())

    def mean(self, a: Any) -> Any:
        return objects(Fraction(a.sum()) / a.size)


class Overflow(Exception):
    """A result that the format cannot hold."""


class Rounding(Algebra):
    """The same, rounded after every operation, in the ways that are named."""

    def __init__(self, numbers: dict[str, Any], form: Format, *ways: str) -> None:
        super().__init__(numbers)
        self.form = form
        self.ways = ways

    def fl(self, x: Any) -> Any:
        rounded = objects(np.frompyfunc(lambda value: exact.round_to(Fraction(value), self.form), 1, 1)(x))
        if any(abs(value) > Fraction(self.form.largest) for value in rounded.flat):
            raise Overflow
        return rounded

    def add(self, a: Any, b: Any, sign: str, tree: Tree) -> Any:
        if "fused" in self.ways and isinstance(tree[1], tuple) and tree[1][0] == "*":
            a = super().multiply(self(tree[1][1]), self(tree[1][2]))
        return self.fl(super().add(a, b, sign, tree))

    def multiply(self, a: Any, b: Any) -> Any:
        return self.fl(super().multiply(a, b))

    def divide(self, a: Any, b: Any) -> Any:
        if "reciprocal" in self.ways:
            return self.fl(objects(a * self.fl(objects(1 / b))))
        return self.fl(super().divide(a, b))

    def sum(self, a: Any, tree: Tree) -> Any:
        if "fused" in self.ways and isinstance(tree, tuple) and tree[0] == "*":
            a = super().multiply(self(tree[1]), self(tree[2]))
        return self.ordered(list(a.flat))

    def ordered(self, terms: list[Fraction]) -> Any:
        if "pairwise" in self.ways and len(terms) > 2:
            half = len(terms) // 2
            return self.fl(self.ordered(terms[:half]) + self.ordered(terms[half:]))
        if "reversed" in self.ways:
            terms = terms[::-1]
        total: Any = objects(terms[0])
        for term in terms[1:]:
            total = self.fl(total + term)
        return self.fl(total)

    def mean(self, a: Any) -> Any:
        n = objects(Fraction(a.size))
        if "divide-first" in self.ways:
            return self.ordered(list(self.divide(a, n).flat))
        return self.divide(self.ordered(list(a.flat)), n)


class Judge(Algebra):
    """The same over exact numbers with bounds."""

    def __init__(self, numbers: dict[str, Any], form: Format) -> None:
        self.numbers = {name: exact.of(x, form) for name, x in numbers.items()}
        self.form = form

    def __call__(self, tree: Tree) -> Exact:
        match tree:
            case int():
                return exact.constant(tree, self.form)
            case ("square", a):
                return self(a) ** 2
        result: Exact = super().__call__(tree)
        return result

    @staticmethod
    def array(x: Any) -> Any:
        return x

    def mean(self, a: Exact) -> Exact:
        return a.mean()


@dataclass(frozen=True)
class Ruled:
    """A true value, and the bound that the rules of Appendix A give it, without their own rounding; None where it may overflow."""

    value: Fraction
    form: Format
    error: Fraction | None = Fraction(0)

    @property
    def known(self) -> Fraction:
        """The bound of a number that has one."""
        assert self.error is not None
        return self.error

    @property
    def reach(self) -> Fraction:
        """As far from zero as an evaluation may find it."""
        return abs(self.value) + self.known

    @property
    def least(self) -> Fraction:
        """As near to zero, if that is positive."""
        return abs(self.value) - self.known

    def scales(self) -> bool:
        """Whether it is a power of two, or zero, without error: a product with it is not rounded."""
        m, d = abs(self.value).as_integer_ratio()
        return self.error == 0 and not m & (m - 1) and not d & (d - 1)

    def rounded(self, k: int, lost: Fraction | float = 0) -> Ruled:
        """A.roundings, underflow, and A.range."""
        if self.error is None or not self.reach:
            return self
        u = Fraction(self.form.u)
        error = self.error + (k * u * (1 + u) if k <= 2 else gamma(k, self.form)) * self.reach + Fraction(lost)
        return Ruled(self.value, self.form, error if abs(self.value) + error <= self.form.largest else None)

    def __neg__(self) -> Ruled:
        return Ruled(-self.value, self.form, self.error)

    def __abs__(self) -> Ruled:
        return Ruled(abs(self.value), self.form, self.error)

    def __add__(self, y: Ruled) -> Ruled:
        """A.sum."""
        error = None if None in (self.error, y.error) else self.known + y.known
        return Ruled(self.value + y.value, self.form, error).rounded(1)

    def __sub__(self, y: Ruled) -> Ruled:
        return self + -y

    def __mul__(self, y: Ruled) -> Ruled:
        """A.product."""
        return self.times(y, 0 if self.scales() or y.scales() else 1)

    def times(self, y: Ruled, k: int) -> Ruled:
        """The same, with so many roundings."""
        value = self.value * y.value
        error = None if None in (self.error, y.error) else self.reach * y.reach - abs(value)
        return Ruled(value, self.form, error).rounded(k, self.form.tiny)


def gamma(k: int, form: Format) -> Fraction:
    return k * Fraction(form.u) / (1 - k * Fraction(form.u))


def stretch(factors: list[Ruled], divisors: list[Ruled]) -> Fraction:
    """How much a product may enlarge an underflow on the way."""
    large, small = [max(x.reach, Fraction(1)) for x in factors], [min(y.least, Fraction(1)) for y in divisors]
    return math.prod(large, start=Fraction(1)) / math.prod(small, start=Fraction(1))


def products(factors: list[Ruled], divisors: list[Ruled]) -> Ruled:
    """A.products, of divisors that are not zero."""
    form, k, most = factors[0].form, len(factors) - 1 + 2 * len(divisors), stretch(factors, divisors)
    z, e = Fraction(1), Fraction(0)
    for x in factors:
        z, e = z * x.value, abs(z) * x.known + x.reach * e
    for y in divisors:
        z /= y.value
        e = (e + abs(z) * y.known) / y.least
    error = e + gamma(k, form) * (abs(z) + e) + (k + 1) * Fraction(form.tiny) * most
    return Ruled(z, form, error if max(most, abs(z) + error) <= form.largest else None)


def average(x: Ruled, y: Ruled, keep: Ruled, part: Ruled) -> Ruled:
    """A.average."""
    u, k, p = Fraction(x.form.u), keep.value, part.value
    s, r, c = x.reach + y.reach, int(bool(x.reach and y.reach)), int(k <= p)
    b, q = k + part.known, part.reach
    local = max(b * x.reach + q * y.reach, (1 + r) * q * s, (1 + r + c) * b * s)
    error = k * x.known + p * y.known + part.known * s + u * (1 + 2 * u) * local
    value = k * x.value + p * y.value
    return Ruled(value, x.form, error if s <= x.form.largest else None).rounded(1, 3 * x.form.tiny)


def root(x: Ruled) -> Ruled:
    """A.root, of a number that cannot be negative."""
    value = _root(x.value)
    error = value - _root(x.least) if x.least > 0 else max(value, x.known / _root(x.reach)) if x.error else Fraction(0)
    return Ruled(value, x.form, error).rounded(2)


def _root(x: Fraction) -> Fraction:
    with decimal.localcontext(prec=80):
        return Fraction((decimal.Decimal(x.numerator) / decimal.Decimal(x.denominator)).sqrt())


class Bounds(Algebra):
    """The rules of the running error analysis once more, in fractions: the bounds without their own rounding."""

    def __init__(self, numbers: dict[str, Any], form: Format) -> None:
        self.form = form
        self.numbers = {name: self.each(lambda x: Ruled(x, form), fractions(x)) for name, x in numbers.items()}

    def each(self, rule: Any, *operands: Any) -> Any:
        return objects(np.frompyfunc(rule, len(operands), 1)(*operands))

    def __call__(self, tree: Tree) -> Any:
        return objects(Ruled(Fraction(tree), self.form)) if isinstance(tree, int) else super().__call__(tree)

    def multiply(self, a: Any, b: Any) -> Any:
        k = 0 if any(x.size == 1 and x.item().scales() for x in (a, b)) else 1
        return self.each(lambda x, y: x.times(y, k), a, b)

    def divide(self, a: Any, b: Any) -> Any:
        y = b.item()

        def rule(x: Ruled) -> Ruled:
            value, error = x.value / y.value, None
            # Else the divisor may be zero, or its reciprocal may overflow.
            if None not in (x.error, y.error) and y.least * Fraction(self.form.largest) >= 1:
                error = (x.known + abs(value) * y.known) / y.least
            return Ruled(value, self.form, error).rounded(0 if y.scales() else 2, self.form.tiny)

        return self.each(rule, a)

    def summed(self, a: Any, k: int, n: int = 1, lost: float = 0) -> Any:
        """The sum over n, with the error that the terms' errors and so many roundings of each term give it."""
        terms, error = list(a.flat), None
        value = sum((x.value for x in terms), Fraction(0))
        if k * self.form.u < 1 and all(x.error is not None for x in terms):
            span = sum(x.reach for x in terms)
            rounding = gamma(k, self.form) * span
            error = sum(x.error for x in terms) + rounding if span + rounding <= self.form.largest else None
        return objects(Ruled(value / n, self.form, None if error is None else error / n + Fraction(lost)).rounded(0))

    def sum(self, a: Any, tree: Tree) -> Any:
        return self.summed(a, a.size - 1)

    def mean(self, a: Any) -> Any:
        return self.summed(a, a.size - 1 + (2 if a.size & (a.size - 1) else 0), a.size, a.size * self.form.tiny)


def objects(x: Any) -> Any:
    return np.asarray(x, dtype=object)


def fractions(x: Any) -> Any:
    return np.array([Fraction(float(value)) for value in x.flat], dtype=object).reshape(x.shape)


def off(value: Any, truth: Any) -> list[Fraction]:
    """How far each number is from the truth."""
    return [abs(Fraction(a) - b) for a, b in zip(np.asarray(value).flat, np.asarray(truth).flat, strict=True)]


def within(errors: list[Fraction], bound: Any) -> bool:
    """Whether every error is within its bound, without rounding."""
    return all(math.isinf(b) or e <= Fraction(float(b)) for e, b in zip(errors, np.ravel(bound), strict=True))

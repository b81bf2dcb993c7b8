"""The judge's own arithmetic: true values against `fractions.Fraction`, and bounds against evaluations that do round.

Formulas are drawn as trees and evaluated by several algebras: `Exact`, plain fractions, NumPy in the dtype, and fractions
that are rounded after every operation, in another order of sums, with rounded reciprocals, or with fused multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.exact import FORMATS, UNROUNDED, Exact, Format
from calibrant.exact import numbers as arithmetic
from calibrant.exact.descent import _POWER_BITS
from calibrant.target import TargetError, numpy_dtype
from calibrant.targets import numpy_target

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=80)

Tree = Any
"""A leaf ("x", "y": columns, "s": a scalar, or a whole number), or an operation with its operands."""


def available(name: str) -> bool:
    try:
        numpy_dtype(name)
    except TargetError:
        return False
    return True


FORMS = [
    pytest.param(
        form,
        id=name,
        marks=pytest.mark.skipif(not available(name), reason=f"NumPy has no {name} without ml_dtypes"),
    )
    for name, form in FORMATS.items()
]
forms = pytest.mark.parametrize("form", FORMS)


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
                return objects(abs(self(a)))
            case ("sum", a):
                return self.sum(self(a), a)
            case ("mean", a):
                return self.mean(self(a))
        raise ValueError(f"no such formula: {tree}")

    def add(self, a: Any, b: Any, sign: str, tree: Tree) -> Any:
        return objects(a + b if sign == "+" else a - b)

    def multiply(self, a: Any, b: Any) -> Any:
        return objects(a * b)

    def divide(self, a: Any, b: Any) -> Any:
        return objects(a / b)

    def sum(self, a: Any, tree: Tree) -> Any:
        return objects(a.sum())

    def mean(self, a: Any) -> Any:
        return objects(Fraction(a.sum()) / a.size)


class Overflow(Exception):
    """A result that the format cannot hold."""


class Rounding(Algebra):
    """The same, rounded after every operation; each way of `ways` that is named is taken."""

    def __init__(self, numbers: dict[str, Any], form: Format, *ways: str) -> None:
        super().__init__(numbers)
        self.form = form
        self.ways = ways

    def fl(self, x: Any) -> Any:
        def one(value: Fraction) -> Fraction:
            value = exact.round_to(Fraction(value), self.form)
            if abs(value) > Fraction(self.form.largest):
                raise Overflow
            return value

        return objects(np.frompyfunc(one, 1, 1)(x))

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
            case ("abs", a):
                return abs(self(a))
            case ("square", a):
                return self(a) ** 2
        result: Exact = super().__call__(tree)
        return result

    def add(self, a: Exact, b: Exact, sign: str, tree: Tree) -> Exact:
        return a + b if sign == "+" else a - b

    def multiply(self, a: Exact, b: Exact) -> Exact:
        return a * b

    def divide(self, a: Exact, b: Exact) -> Exact:
        return a / b

    def sum(self, a: Exact, tree: Tree) -> Exact:
        return a.sum()

    def mean(self, a: Exact) -> Exact:
        return a.mean()


class NumPy(Algebra):
    """The same in the dtype, by NumPy."""

    def __init__(self, numbers: dict[str, Any]) -> None:
        self.numbers = numbers
        self.dtype = numbers["x"].dtype

    def __call__(self, tree: Tree) -> Any:
        return np.asarray(self.dtype.type(tree) if isinstance(tree, int) else super().__call__(tree), dtype=self.dtype)

    def multiply(self, a: Any, b: Any) -> Any:
        return a * b

    def divide(self, a: Any, b: Any) -> Any:
        return a / b

    def sum(self, a: Any, tree: Tree) -> Any:
        return np.sum(a)

    def mean(self, a: Any) -> Any:
        return np.sum(a) / self.dtype.type(a.size)


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


# True values


@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_of_fractions(form: Format) -> None:
    """Identical, unless a number grew so long that it was cut; then within what the cut is said to cost."""

    @settings(EXAMPLES, max_examples=120)
    @given(cases(form))
    @example(
        (
            ("square", ("square", "x")),
            {"x": np.array([form.largest, form.tiny, 0.0]), "y": np.ones(3), "s": np.ones(())},
        )
    )
    def check(case: tuple[Tree, dict[str, Any]]) -> None:
        tree, numbers = case
        judged = Judge(numbers, UNROUNDED)(tree)
        truth = Algebra(numbers)(tree)
        bound = np.broadcast_to(judged.err, judged.shape)

        assert judged.shape == truth.shape
        assert within(off(judged.fractions(), truth), bound)

    check()


@EXAMPLES
@given(cases(FORMATS["float32"]))
def test_nothing_is_cut_from_numbers_of_ordinary_length(case: tuple[Tree, dict[str, Any]]) -> None:
    """So the test above compares for identity, and not within a bound that hides a difference."""
    tree, numbers = case
    ordinary = {name: np.clip(x, -1000, 1000).astype(np.float16) for name, x in numbers.items()}
    ordinary["s"] = np.where(ordinary["s"] == 0, np.float16(1), ordinary["s"])

    assert not Judge(ordinary, UNROUNDED)(tree).err.any()


@forms
def test_a_value_has_the_same_digits_in_every_format(form: Format) -> None:
    """The bound depends on the format, the truth does not."""

    @EXAMPLES
    @given(cases(form))
    def check(case: tuple[Tree, dict[str, Any]]) -> None:
        tree, numbers = case

        assert Judge(numbers, form)(tree).fractions() == Judge(numbers, UNROUNDED)(tree).fractions()

    check()


def test_long_numbers_are_cut_within_their_error() -> None:
    """The square of the square ... of a number of 53 bits: soon longer than is kept."""
    third, truth = exact.constant(Fraction(1, 3), UNROUNDED), Fraction(1, 3)
    x = exact.of(np.array(1 + 2.0**-52), UNROUNDED) * third
    truth *= 1 + Fraction(1, 2**52)
    cut = False
    for _ in range(8):
        x, truth = x * x, truth * truth
        cut = cut or bool(x.err.any())

        assert abs(x.fraction() - truth) <= Fraction(x.err.item())
        assert x.m.item().bit_length() <= 2 * arithmetic._KEPT_BITS
    assert cut
    assert x.err.item() <= exact.to_float(truth) * 2.0**-1000 + 16 * 5e-324


def test_a_column_of_long_and_short_numbers_is_cut_within_its_error() -> None:
    tower = exact.of(np.array([1e-300, 1.0, 1e300, 0.0, -1e300]), UNROUNDED)
    truth = [Fraction(x) for x in (1e-300, 1.0, 1e300, 0.0, -1e300)]
    for _ in range(3):
        tower, truth = tower * tower, [x * x for x in truth]

        assert within([abs(x - y) for x, y in zip(tower.fractions(), truth, strict=True)], tower.err)


@settings(EXAMPLES, max_examples=200)
@given(
    st.lists(st.integers(-(2**1200), 2**1200) | st.integers(-9, 9), min_size=1, max_size=4),
    st.integers(-2500, 1000),
    st.integers(1, 2**200) | st.integers(1, 9),
)
def test_magnitudes_are_rounded_up_by_little(m: list[int], e: int, d: int) -> None:
    """Up, or a bound would be too small; by little, or it would be too large. Below float64's least number that is what is left."""
    with np.errstate(all="ignore"):
        magnitudes = arithmetic._magnitude(objects(m), e, d)

    for k, magnitude in zip(m, magnitudes, strict=True):
        truth = abs(k) * Fraction(2) ** e / d
        assert magnitude == math.inf or Fraction(float(magnitude)) >= truth
        if magnitude == math.inf:
            assert (
                truth * Fraction(arithmetic._UP) ** 2 >= Fraction(np.finfo(np.float64).max)
                or max(map(abs, m)) >= 2**1023
            )
        else:
            assert Fraction(float(magnitude)) <= truth * Fraction(arithmetic._UP) ** 2 + 2 * Fraction(5e-324)
        assert (magnitude == 0) == (k == 0)


# Bounds

WAYS: list[tuple[str, ...]] = [
    (),
    ("reversed",),
    ("pairwise", "reciprocal"),
    ("fused",),
    ("divide-first",),
    ("fused", "reversed", "divide-first", "reciprocal"),
]


@pytest.mark.parametrize("ways", WAYS, ids=lambda ways: " ".join(ways) or "plain")
@forms
def test_an_evaluation_stays_within_the_bound(form: Format, ways: tuple[str, ...]) -> None:
    """Whatever its order, and also when it overflows: then nothing is claimed."""

    @settings(EXAMPLES, max_examples=60)
    @given(cases(form))
    def check(case: tuple[Tree, dict[str, Any]]) -> None:
        tree, numbers = case
        judged = Judge(numbers, form)(tree)
        bound = np.broadcast_to(judged.err, judged.shape)
        try:
            value = Rounding(numbers, form, *ways)(tree)
        except Overflow:
            assert np.isinf(bound).any()
            return

        assert within(off(value, objects(judged.fractions()).reshape(judged.shape)), bound)

    check()


@forms
def test_numpy_stays_within_the_bound(form: Format) -> None:
    @settings(EXAMPLES, max_examples=120)
    @given(cases(form))
    def check(case: tuple[Tree, dict[str, Any]]) -> None:
        tree, numbers = case
        judged = Judge(numbers, form)(tree)
        with np.errstate(all="ignore"):
            value = NumPy(numbers)(tree).astype(np.float64)

        claimed = np.isfinite(np.broadcast_to(judged.err, judged.shape))
        assert np.isfinite(value[claimed]).all()
        true = objects(judged.fractions()).reshape(judged.shape)
        assert within(off(value[claimed], true[claimed]), np.broadcast_to(judged.err, judged.shape)[claimed])

    check()


@forms
def test_a_bound_counts_its_roundings(form: Format) -> None:
    """A bound twice as wide would pass every test above. To first order: one u of |result| for each rounding."""
    x, y = (exact.of(np.array([value] * 3, dtype=numpy_dtype(form.name))) for value in (1.5, 1.25))
    u = Fraction(form.u)
    second_order = 100 * u * u  # gamma(k) is below k u + 2 (k u)**2, here k is at most 7; this is half of u in bfloat16
    counted = [
        (x + y, Fraction(11, 4), 1),
        (x * y, Fraction(15, 8), 1),
        (x * 2, Fraction(3), 0),
        (x / 4, Fraction(3, 8), 0),
        (x / 3, Fraction(1, 2), 2),
        (x.sum(), Fraction(9, 2), 2),
        (x.mean(), Fraction(3, 2), 4),
        (exact.loss_fn(x, y), Fraction(1, 16), 7),
        (exact.dloss_fn(x, y), Fraction(1, 6), 3),
    ]

    for judged, value, roundings in counted:
        scale = 1 + Fraction(12, 2**44)  # each of the bound's own operations rounds up by 2**-44
        assert set(judged.fractions()) == {value}
        least, most = judged.err.min().item(), judged.err.max().item()
        assert roundings * u * value <= Fraction(least)
        assert Fraction(most) <= (roundings * u + second_order) * value * scale + 8 * Fraction(form.tiny)


@forms
def test_the_bound_of_a_sum_is_nearly_reached(form: Format) -> None:
    """Each u beside a 1 is a tie, and rounds to even: all six are lost, and with them six times u, nearly all there is."""
    x = np.array([1.0] + [form.u] * 6, dtype=numpy_dtype(form.name))
    judged = exact.of(x).sum()
    (error,) = off(Rounding({"x": x}, form)(("sum", "x")), judged.fractions())

    assert error == 6 * Fraction(form.u)
    assert error <= Fraction(judged.err.item()) <= error * (1 + 20 * Fraction(form.u)) * (1 + Fraction(12, 2**44))


def test_a_sum_that_rounds_past_the_largest_number_has_no_bound() -> None:
    """The true sum of the magnitudes fits, and only its roundings overflow."""
    form = FORMATS["float16"]
    x = np.array([32768.0] + [48.03125] * 600, dtype=np.float16)  # the spacing is 32: each of these adds 64
    judged = exact.of(x).sum()
    assert abs(exact.of(x).true()).sum().fraction() <= Fraction(form.largest)

    with pytest.raises(Overflow):
        Rounding({"x": x}, form)(("sum", "x"))
    assert judged.err.item() == math.inf


@forms
def test_what_may_overflow_has_no_bound(form: Format) -> None:
    dtype = numpy_dtype(form.name)
    large, one = exact.of(np.array([form.largest, 1.0], dtype=dtype)), exact.constant(1, form)
    lost = large + large

    assert lost.err.tolist()[0] == math.inf
    assert math.isfinite(lost.err.tolist()[1])
    assert large.sum().err == math.inf
    assert (large * large).sum().err == math.inf
    assert np.isinf((lost * 0).err[0])  # infinity times zero is not zero
    assert np.isinf((lost - lost).err[0])
    assert np.isinf((lost / 4).err[0])
    assert np.isinf((one / exact.of(np.array(form.tiny, dtype=dtype))).err)


@forms
def test_a_divisor_whose_interval_reaches_zero_leaves_no_bound(form: Format) -> None:
    one = exact.constant(1, form)

    assert (one / one.within(0.5, form)).err < math.inf
    assert (one / one.within(1.0, form)).err == math.inf
    assert (one / one.within(math.inf, form)).err == math.inf


@forms
def test_an_exact_zero_is_never_rounded(form: Format) -> None:
    zero = exact.of(np.zeros(2, dtype=numpy_dtype(form.name)))

    for result in (zero + zero, zero - zero, zero.sum(), (zero + zero) + 0, zero * zero, zero * 3, zero / 3):
        assert not result.err.any()
    assert (zero * 3).within(form.u, form).sum().err.any()


def test_a_divisor_that_float64_cannot_hold_accurately_divides_within_the_bound() -> None:
    """The least positive number, rounded down, is less: nothing is left to divide by, and nothing is claimed."""
    x = exact.of(np.array(2.0**-1070)).within(5e-324, FORMATS["float64"])
    y = exact.constant(Fraction(5e-324), FORMATS["float64"])
    judged = x / y

    for step in (-1, 0, 1):
        quotient = (x.fraction() + step * Fraction(5e-324)) / y.fraction()
        assert within([abs(quotient - judged.fraction())], judged.err)


# Refusals


def test_formats_do_not_mix() -> None:
    with pytest.raises(ValueError, match="mix"):
        exact.of(np.ones(2)) + exact.of(np.ones(2, dtype=np.float32))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_exact(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        exact.of(np.array([1.0, value]))


@pytest.mark.parametrize(
    ("formula", "error"),
    [
        (lambda x: x / x, ValueError),
        (lambda x: x**3, ValueError),
        (lambda x: x / 0, ZeroDivisionError),
        (lambda x: x + "1", TypeError),
        (lambda x: x - None, TypeError),
        (lambda x: x * True, TypeError),
        (lambda x: x / "1", TypeError),
        (lambda x: np.ones(2) * x, TypeError),
        (lambda x: x.fraction(), ValueError),
    ],
)
def test_what_is_not_arithmetic_of_exact_numbers_is_refused(formula: Callable[[Exact], Any], error: type) -> None:
    with pytest.raises(error):
        formula(exact.of(np.array([1.0, 2.0])))


# Formats and rounding


@forms
def test_formats_are_those_of_numpy(form: Format) -> None:
    if form.name == "bfloat16":
        import ml_dtypes

        info = ml_dtypes.finfo("bfloat16")
    else:
        info = np.finfo(form.name)

    assert form.u == float(info.eps) / 2
    assert form.normal == float(info.smallest_normal)
    assert form.tiny == float(info.smallest_subnormal)
    assert form.largest == float(info.max)


@forms
def test_rounding_is_that_of_the_dtype(form: Format) -> None:
    """Of numbers, of ties halfway between two, and of what lies just beside a tie; subnormal ones included."""
    dtype = numpy_dtype(form.name)

    @settings(EXAMPLES, max_examples=200)
    @given(floats(form), st.sampled_from([0, Fraction(1, 2), Fraction(1, 3)]), st.sampled_from([-1, 0, 1]))
    def check(x: Any, part: Fraction, side: int) -> None:
        here, spacing = Fraction(float(x)), exact.ulp(Fraction(float(x)), form)
        between = here + part * spacing + side * spacing / 2**20
        if form.name == "float64":
            nearest = Fraction(exact.to_float(between)) if abs(between) <= form.largest else between
        else:
            wider = (
                np.float32 if form.name == "bfloat16" else np.float64
            )  # by which ml_dtypes rounds; to be rounded once only
            wide = wider(float(between))
            if not math.isfinite(wide):
                return
            between, rounded = Fraction(float(wide)), float(wide.astype(dtype))
            nearest = Fraction(rounded) if math.isfinite(rounded) else between
        if nearest != between or abs(between) <= form.largest:
            assert exact.round_to(between, form) == nearest
        assert exact.round_to(here, form) == here

    with np.errstate(all="ignore"):
        check()


def test_a_true_value_is_not_rounded() -> None:
    assert exact.round_to(Fraction(1, 3), UNROUNDED) == Fraction(1, 3)


@forms
def test_ulp_is_the_distance_to_the_next_number(form: Format) -> None:
    dtype = numpy_dtype(form.name)

    @EXAMPLES
    @given(floats(form))
    def check(x: Any) -> None:
        x = abs(x)
        here = Fraction(float(x))
        if float(x) < form.largest:
            following = np.nextafter(x, dtype.type(math.inf))
            assert exact.ulp(here, form) == Fraction(float(following)) - here
        assert exact.ulp(-here, form) == exact.ulp(here, form)

    check()


@forms
def test_numbers_enter_as_they_are(form: Format) -> None:
    @EXAMPLES
    @given(st.lists(floats(form), min_size=1, max_size=5))
    def check(values: list[Any]) -> None:
        x = np.array(values, dtype=numpy_dtype(form.name))
        entered = exact.of(x)

        assert entered.form is form
        assert entered.fractions() == [Fraction(float(value)) for value in values]
        assert not entered.err.any()
        assert np.array_equal(entered.nearest(), x.astype(np.float64))

    check()


@EXAMPLES
@given(st.floats(1e-6, 1e6), st.sampled_from(list(FORMATS.values())))
def test_a_hyperparameter_may_be_rounded_first(h: float, form: Format) -> None:
    entered = exact.hyperparameter(h, form)

    assert entered.fraction() == Fraction(h)
    assert within([abs(exact.round_to(Fraction(h), form) - Fraction(h))], entered.err)
    assert entered.err.item() <= form.u * h * arithmetic._UP + form.tiny


def test_a_float_beyond_range_is_infinite() -> None:
    assert exact.to_float(Fraction(10) ** 400) == math.inf
    assert exact.to_float(-(Fraction(10) ** 400)) == -math.inf


@EXAMPLES
@given(st.lists(st.fractions(), min_size=1, max_size=4), st.lists(st.floats(-8, 8), min_size=1, max_size=4))
def test_concatenation_keeps_values_and_errors(scalars: list[Fraction], column: list[float]) -> None:
    parts = [exact.constant(x, FORMATS["float64"]).within(i, FORMATS["float64"]) for i, x in enumerate(scalars)]
    whole = exact.concatenate(*parts, exact.of(np.array(column)))

    assert whole.fractions() == scalars + [Fraction(x) for x in column]
    assert whole.err.tolist() == [*range(len(scalars)), *[0] * len(column)]
    assert [part.fraction() for part in whole] == whole.fractions()
    assert len(whole) == whole.size


def test_a_number_shows_its_value_its_error_and_its_format() -> None:
    shown = repr(exact.of(np.array([0.5], dtype=np.float32)))

    assert "0.5" in shown
    assert "float32" in shown


# The line and the walk to it

FLOAT64 = FORMATS["float64"]
fits = strategies.fits().map(lambda drawn: drawn.at(FLOAT64))
ROUNDED = [form for form in FORMATS.values() if form.name != "bfloat16"]
"""What NumPy computes in on its own."""


@EXAMPLES
@given(fits)
def test_the_gradient_vanishes_at_the_optimum(fit: strategies.Fit) -> None:
    """The normal equations, exactly; and of readings that are all the same, the mean."""
    t_u, t_c = exact.of(fit.t_u).true(), exact.of(fit.t_c).true()
    w, b = exact.optimum(t_u, t_c)
    u, c = t_u.fractions(), t_c.fractions()
    residuals = [w * x + b - y for x, y in zip(u, c, strict=True)]

    assert sum(residuals) == 0
    assert sum(r * x for r, x in zip(residuals, u, strict=True)) == 0
    if len(set(u)) == 1:
        assert w == 0


@EXAMPLES
@given(fits)
def test_curvatures_enclose_the_eigenvalues(fit: strategies.Fit) -> None:
    """By the signs of the characteristic polynomial, without a root: it is positive outside, negative between them."""
    (a, b), (_, d) = exact.hessian(exact.of(fit.t_u))
    smallest, largest = exact.curvatures(exact.of(fit.t_u))
    middle, little = (a + d) / 2, largest / 10**30

    def polynomial(x: Fraction) -> Fraction:
        return (x - a) * (x - d) - b * b

    assert 0 <= smallest <= middle <= largest
    assert polynomial(smallest) >= 0
    assert polynomial(largest) >= 0
    assert polynomial(largest - little) <= 0 or largest - little < middle
    assert polynomial(smallest + little) <= 0 or smallest + little > middle


@settings(EXAMPLES, max_examples=60)
@given(strategies.descents().map(lambda drawn: drawn.at(FLOAT64)), st.integers(0, 12))
def test_the_closed_form_is_the_recurrence(descent: strategies.Descent, k: int) -> None:
    """To 600 digits below the start's distance, which is what fixed point leaves.

    In units of 2**-_POWER_BITS the rounded matrix is off by at most 1 (four entries, half each, in Frobenius length), and a
    product of powers that are off by e and f, of matrices that lengthen nothing, by e + f and the 2 of its own rounding: by
    induction power k is off by less than 3 k. What the second order adds is 2**-_POWER_BITS times less.
    """
    rate = strategies.rate_below(0.9, descent.t_u)
    t_u, t_c, params = (exact.of(x).true() for x in (descent.t_u, descent.t_c, descent.params))
    end = exact.closed_form(k, rate, params, t_u, t_c)
    u, c, (w, b) = t_u.fractions(), t_c.fractions(), params.fractions()
    star = exact.optimum(t_u, t_c)
    distance = abs(w - star[0]) + abs(b - star[1])
    for _ in range(k):
        slopes = [2 * (w * x + b - y) / len(u) for x, y in zip(u, c, strict=True)]
        w -= Fraction(rate) * sum(s * x for s, x in zip(slopes, u, strict=True))
        b -= Fraction(rate) * sum(slopes)

    assert set(end.err.tolist()) <= {0.0, math.inf}  # infinite where float64 cannot hold the distance
    assert all(e <= (3 * k + 1) * distance / 2**_POWER_BITS for e in off(end.fractions(), [w, b]))


def test_a_walk_that_explodes_has_no_bound() -> None:
    ones = exact.of(np.ones(3))

    assert np.isinf(exact.closed_form(5000, 4.0, exact.of(np.array([2.0, 0.0])), ones, ones).err).all()
    assert np.isinf(exact.closed_form(300, 4.0, exact.of(np.array([2e300, 0.0])), ones, ones).err).all()
    assert np.isinf(exact.trajectory(100, 1e10, exact.of(np.array([2.0, 0.0])), ones, ones)[0].err).all()


@pytest.mark.parametrize("form", ROUNDED, ids=lambda form: form.name)
def test_the_bounds_of_lines_and_walks_hold_for_numpy(form: Format) -> None:
    """The fit; some steps and the losses on the way; many steps; the closed form by squaring."""

    @settings(EXAMPLES, max_examples=40)
    @given(strategies.long_descents().map(lambda drawn: drawn.at(form)))
    def check(descent: strategies.Descent) -> None:
        t_u, t_c, params = descent.t_u, descent.t_c, descent.params
        numbers = exact.of(params), exact.of(t_u), exact.of(t_c)
        rate, few = descent.learning_rate, min(descent.n_epochs // 30, 5)

        with np.errstate(all="ignore"):
            line = numpy_target.least_squares(t_u, t_c)
            path, losses, _ = numpy_target.training_loop(few, {"name": "sgd", "lr": rate}, params, t_u, t_c)
            end, _, _ = numpy_target.training_loop(60, {"name": "sgd", "lr": rate}, params, t_u, t_c)
            power = by_squaring(60, rate, params, t_u, t_c)

        true_path, true_losses = exact.trajectory(few, rate, *numbers)
        assert holds(line, exact.least_squares(*numbers[1:]))
        assert holds(path, true_path)
        assert holds(np.array(losses), exact.concatenate(*true_losses))
        assert holds(end, exact.closed_form(60, rate, *numbers))
        assert holds(power, exact.by_squaring(60, rate, *numbers))

    check()


def by_squaring(k: int, rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The closed form in the dtype."""
    one = t_u.dtype.type(1)
    lr, uu, u = t_u.dtype.type(rate), np.mean(t_u * t_u), np.mean(t_u)
    square = np.array([[one - lr * (2 * uu), -lr * (2 * u)], [-lr * (2 * u), one - 2 * lr]], dtype=t_u.dtype)
    power = np.eye(2, dtype=t_u.dtype)
    while k:
        if k & 1:
            power = power @ square
        square = square @ square
        k >>= 1
    star = numpy_target.least_squares(t_u, t_c)
    return star + power @ (params - star)


def holds(answer: Any, judged: Exact) -> bool:
    bound = np.broadcast_to(judged.err, judged.shape)
    claimed = np.isfinite(bound)
    value = np.asarray(answer).astype(np.float64)[claimed]
    true = objects(judged.fractions())[claimed]
    return bool(np.isfinite(value).all()) and within(off(value, true), bound[claimed])


def test_the_roundings_of_a_walk_among_the_least_numbers_do_not_vanish() -> None:
    """Their squares are zero in float64: the length of the errors of a step is not to be found by way of them."""
    params, t_u, t_c, rate = np.zeros(2), np.array([2.0]), np.array([-3.67849871e-308]), 0.03125
    end, _, _ = numpy_target.training_loop(120, {"name": "sgd", "lr": rate}, params, t_u, t_c)

    judged = exact.closed_form(120, rate, exact.of(params), exact.of(t_u), exact.of(t_c))
    assert holds(end, judged)
    assert (judged.err > 0).all()
    assert (judged.err < 120 * 100 * 5e-324).all()


def test_every_step_of_a_walk_that_stands_still_counts() -> None:
    """Steps below half a unit in the last place are lost, all of them, and the truth moves on without the walker."""
    params, t_u, t_c = (np.array(x, dtype=np.float32) for x in ([0.0, 1.0], [0.0], [1 - 2.0**-10]))
    rate, n_epochs = 2.0**-20, 10_000
    after, _, _ = numpy_target.training_loop(1, {"name": "sgd", "lr": rate}, params, t_u, t_c)

    judged = exact.closed_form(n_epochs, rate, exact.of(params), exact.of(t_u), exact.of(t_c))
    assert np.array_equal(after, params)
    assert holds(params, judged)
    assert off(params.astype(np.float64), judged.fractions())[1] > 100 * Fraction(FORMATS["float32"].u)


def test_a_gradient_whose_sums_overflow_before_they_are_divided_has_no_bound() -> None:
    """Divided first, it is 10240; but a mean may be divided last."""
    t_u, t_p = np.full(40, 16, dtype=np.float16), np.full(40, 320, dtype=np.float16)
    few = exact.grad_fn(exact.of(t_u[:4]), exact.of(t_u[:4] * 0), exact.of(t_p[:4]))
    many = exact.grad_fn(exact.of(t_u), exact.of(t_u * 0), exact.of(t_p))

    assert many.fractions() == few.fractions() == [10240, 640]
    assert np.isinf(many.err).tolist() == [True, False]
    assert np.isfinite(few.err).all()
    with pytest.raises(Overflow):
        Rounding({"x": t_u, "y": t_p}, FORMATS["float16"])(("mean", ("*", ("*", 2, "y"), "x")))


@pytest.mark.parametrize("form", ROUNDED, ids=lambda form: form.name)
def test_the_bounds_of_lines_and_walks_are_small_on_ordinary_data(form: Format) -> None:
    """A bound that is infinite, or as large as the answer, would hold for everything."""
    t_u, t_c = (np.array(x, dtype=form.name) for x in ([-1.5, -0.5, 0.25, 1.0, 2.0], [1.0, 2.0, 0.5, -1.0, 4.0]))
    numbers = exact.of(np.array([1.0, 0.5], dtype=form.name)), exact.of(t_u), exact.of(t_c)
    n, k, rate = len(t_u), 10, 0.125
    roundings = 12 * n  # in one evaluation of the gradient, each of terms below 8; and each is remembered over k steps

    assert (exact.least_squares(*numbers[1:]).err < 8 * 8 * 8 * n * form.u).all()
    for walk in (
        exact.trajectory(k, rate, *numbers)[0],
        exact.closed_form(k, rate, *numbers),
    ):
        assert (walk.err < roundings * k * 8 * form.u).all()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_algebra_derives_the_gradient(n: int) -> None:
    @settings(EXAMPLES, max_examples=25)
    @given(st.lists(st.floats(-1e6, 1e6), min_size=2 * n + 2, max_size=2 * n + 2))
    def check(values: list[float]) -> None:
        t_u, t_c = exact.of(np.array(values[:n])), exact.of(np.array(values[n : 2 * n]))
        w, b = (exact.of(np.array(x)) for x in values[2 * n :])

        assert exact.symbolic_gradient(t_u, t_c, w, b) == exact.gradient(t_u, t_c, w, b).fractions()

    assert exact.symbolic_identity(n)
    check()

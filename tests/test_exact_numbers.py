"""The judge's own arithmetic: true values against `fractions.Fraction`, and bounds against evaluations that round.

Formulas are drawn as trees. Several algebras evaluate them: `Exact`, plain fractions, and fractions that are rounded after every
operation, in another order of sums, with rounded reciprocals, or with fused multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from algebras import EXAMPLES, Algebra, Bounds, Judge, Overflow, Rounding, Tree, cases, floats, objects, off, within
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import forms

from calibrant import exact
from calibrant.exact import FORMATS, UNROUNDED, Exact, Format
from calibrant.exact import numbers as arithmetic
from calibrant.exact.formats import formats_of, loss_scale
from calibrant.protocol.declarations import numpy_dtype

# True values


@forms
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
        assert not bound.any() or max(x.denominator.bit_length() for x in truth.flat) > 500  # nothing ordinary is cut
        assert Judge(numbers, form)(tree).fractions() == judged.fractions()  # the truth does not depend on the format

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
    tower = exact.of(np.array([1e-300, 1.0, 1e300, 0.0, -1e300]), UNROUNDED)
    long_and_short = [Fraction(x) for x in (1e-300, 1.0, 1e300, 0.0, -1e300)]
    for _ in range(3):
        tower, long_and_short = tower * tower, [x * x for x in long_and_short]

        assert within([abs(x - y) for x, y in zip(tower.fractions(), long_and_short, strict=True)], tower.err)
    long = Exact(2**5000 + 1, -3500, 1, 0.0, UNROUNDED)
    for part in (long / exact.constant(3, UNROUNDED), long.over_count(3)):
        assert 0 < abs(part.fraction() - long.fraction() / 3) <= Fraction(part.err.item())
        assert part.err.item() == pytest.approx(2.0**part.e, rel=1e-6, abs=0)
    third_of_it = long.within(1.0, UNROUNDED) / exact.constant(3, UNROUNDED)
    assert third_of_it.err.item() == pytest.approx(1 / 3)
    short = exact.constant(1, UNROUNDED) / exact.constant(3**3000, UNROUNDED)
    assert 0 < abs(short.fraction() * 3**3000 - 1) < Fraction(2) ** -2000
    assert cut
    assert x.err.item() <= exact.to_float(truth) * 2.0**-1000 + 16 * 5e-324


@settings(EXAMPLES, max_examples=200)
@given(
    st.lists(st.integers(-(2**1200), 2**1200) | st.integers(-9, 9), min_size=1, max_size=4),
    st.integers(-2500, 1000),
    st.integers(1, 2**200) | st.integers(1, 9),
)
def test_magnitudes_are_rounded_up_by_little(m: list[int], e: int, d: int) -> None:
    """Up, or a bound would be too small; by little, or it would be too large: at most to float64's least number."""
    with np.errstate(all="ignore"):
        magnitudes = arithmetic._magnitude(objects(m), e, d)

    for k, magnitude in zip(m, magnitudes, strict=True):
        truth = abs(k) * Fraction(2) ** e / d
        assert magnitude == math.inf or Fraction(float(magnitude)) >= truth
        if magnitude == math.inf:
            large = truth * Fraction(arithmetic._UP) ** 2 >= Fraction(np.finfo(np.float64).max)
            assert large or max(map(abs, m)) >= 2**1023
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
@settings(EXAMPLES, max_examples=60)
@given(st.data())
def test_an_evaluation_stays_within_the_bound(form: Format, ways: tuple[str, ...], data: st.DataObject) -> None:
    """Whatever its order, and also when it overflows: then nothing is claimed."""
    tree, numbers = data.draw(cases(form))
    judged = Judge(numbers, form)(tree)
    bound = np.broadcast_to(judged.err, judged.shape)
    try:
        value = Rounding(numbers, form, *ways)(tree)
    except Overflow:
        assert np.isinf(bound).any()
        return

    assert within(off(value, objects(judged.fractions()).reshape(judged.shape)), bound)


@pytest.mark.parametrize("name", ["float16", "float32"])
@settings(EXAMPLES, max_examples=120)
@given(st.data())
def test_a_bound_is_what_the_rules_give_without_rounding(name: str, data: st.DataObject) -> None:
    """In formats that float64 has room for: neither less nor more, except that each step rounds up."""
    form = FORMATS[name]
    tree, numbers = data.draw(cases(form))
    judged, ruled = Judge(numbers, form)(tree), Bounds(numbers, form)(tree)

    for bound, due in zip(judged.errors().ravel().tolist(), ruled.ravel(), strict=True):
        if due.error is None or bound == math.inf:
            assert bound == math.inf
            assert due.error is None or due.reach * (1 + Fraction(2) ** -36) > Fraction(form.largest)
        else:
            assert due.error <= Fraction(bound) <= due.error * (1 + Fraction(2) ** -36) + Fraction(2) ** -1000


def test_an_error_is_that_of_every_number_and_the_truth_has_none() -> None:
    x = Exact(objects([3, 5]), 0, 1, 0.25, FORMATS["float32"])

    assert x.errors().tolist() == x.within(0.25, x.form).err.tolist() == [0.25, 0.25]
    assert x.true().errors().tolist() == [0.0, 0.0]
    assert x.true().over_count(3).errors().tolist() == [0.0, 0.0]
    thirds = x.within(0.0, x.form) * Fraction(1, 3)
    assert (thirds.errors() >= x.magnitude() / 3 * x.form.u).all()


def test_sums_over_axes_carry_the_error_of_their_own_terms() -> None:
    """Each sum has the bound that the row alone has, and an overflow spares its neighbours."""
    rows = exact.of(np.array([[0.1, 0.2, 0.3], [1e6, 2e6, 3e6]]))
    both, alone = rows.sum((1,)), [rows[0].sum(), rows[1].sum()]
    large = exact.of(np.array([[1e38, 1e38, 2e38], [1.0, 2.0, 3.0]], dtype=np.float32))
    nothing = exact.of(np.ones((0, 2))).sum((0,))

    assert both.fractions() == [row.fraction() for row in alone]
    assert both.err.tolist() == pytest.approx([float(row.err) for row in alone], rel=1e-12, abs=0)
    assert rows.sum(()).fractions() == rows.fractions()
    assert rows.sum((0, 1)).fraction() == rows.sum().fraction()
    assert np.isfinite(large.sum((1,)).err).tolist() == [False, True]
    assert nothing.fractions() == [0, 0]
    assert not nothing.rounds()


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_a_sum_of_three_terms_errs_as_in_its_worst_order(name: str) -> None:
    """The first two are 0 exactly; a third that comes before one of them makes 7 or 3, and that is rounded."""
    form = FORMATS[name]
    rounding = form.u * (1 + form.u)
    a, b, c = (exact.constant(x, form).within(err, form) for x, err in ((2.0, 0.25), (-2.0, 0.125), (5.0, 0.0625)))
    due = 0.4375 + rounding * (7.0 + 0.3125)

    for third in ((a + b).of_terms(a, b) + c, c + (b + a).of_terms(b, a)):
        assert float(third.err) == pytest.approx(due + rounding * (5 + due), rel=form.u / 100)
    with exact.evaluated(flushes=True):
        least = exact.of(np.array(2.0**-126, dtype=np.float32))
        lost = (least - least).of_terms(least, -least) + least
    assert float(lost.err) == pytest.approx(2 * 2.0**-126, rel=1e-6, abs=0)


def test_whether_subnormal_numbers_are_kept_is_said_for_a_block() -> None:
    def form() -> Format:
        return exact.of(np.ones(1, dtype=np.float32)).form

    with exact.evaluated(flushes=True, scale="half"):
        assert form() is exact.FLUSHING["float32"]
        assert loss_scale() == "half"
        with exact.evaluated():
            assert exact.of(np.ones(1)).form is FORMATS["float64"]
            assert loss_scale() == "mean"
        with pytest.raises(ZeroDivisionError), exact.evaluated(flushes=False):
            _ = 1 / 0
        assert form() is exact.FLUSHING["float32"]
    assert form() is FORMATS["float32"]
    for kept, flushing in zip(FORMATS.values(), exact.FLUSHING.values(), strict=True):
        assert (kept.flushed, flushing.flushed) == (0.0, kept.normal)
        assert (kept.tiny, flushing.tiny) == (kept.normal * 2 * kept.u, kept.normal)
    with exact.evaluated(flushes=True):
        for n in (1, 40):  # of a short array, and of a long one
            given = exact.of(np.array([2.0**-1022, 2.0**-1022 - 5e-324] * n))
            assert given.errors().tolist() == [0.0, 2.0**-1022 - 5e-324] * n
            assert given.magnitude().tolist() == [2.0**-1022, 2.0**-1022 - 5e-324] * n


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
def test_a_divisor_whose_interval_reaches_zero_leaves_no_bound(form: Format) -> None:
    one = exact.constant(1, form)

    assert (one / one.within(0.5, form)).err < math.inf
    assert (one / one.within(1.0, form)).err == math.inf
    assert (one / one.within(math.inf, form)).err == math.inf


def test_without_a_format_such_a_divisor_leaves_no_bound_either() -> None:
    one = exact.constant(1, UNROUNDED)

    assert [(one / one.within(err, UNROUNDED)).err.item() for err in (0.0, 1.0, 2.0)] == [0.0, math.inf, math.inf]


@forms
def test_a_divisor_whose_reciprocal_overflows_leaves_no_bound(form: Format) -> None:
    """An evaluation may multiply by the reciprocal: even 0 then becomes NaN."""
    least = 1 / Fraction(form.largest)

    for dividend in (0, form.tiny):
        for divisor, bounded in ((2 * least, True), (-2 * least, True), (least / 2, False), (-least / 2, False)):
            quotient = exact.constant(dividend, form) / exact.constant(divisor, form)
            assert (quotient.err < math.inf) == bounded


def test_a_divisor_that_float64_cannot_hold_accurately_divides_within_the_bound() -> None:
    """The least positive number, rounded down, is less: nothing is left to divide by, and nothing is claimed."""
    x = exact.of(np.array(2.0**-1070)).within(5e-324, FORMATS["float64"])
    y = exact.constant(Fraction(5e-324), FORMATS["float64"])
    judged = x / y

    for step in (-1, 0, 1):
        quotient = (x.fraction() + step * Fraction(5e-324)) / y.fraction()
        assert within([abs(quotient - judged.fraction())], judged.err)


# Refusals


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
        (lambda x: x + exact.of(np.ones(2, dtype=np.float32)), ValueError),
        *(
            (lambda x, value=value: exact.of(np.array([1.0, value])), ValueError)
            for value in (math.nan, math.inf, -math.inf)
        ),
    ],
)
def test_arithmetic_that_is_not_exact_is_refused(formula: Callable[[Exact], Any], error: type) -> None:
    """Other operations and operands, numbers of two formats, and numbers that are not finite."""
    with pytest.raises(error):
        formula(exact.of(np.array([1.0, 2.0])))


@forms
@settings(EXAMPLES, max_examples=100)
@given(st.data())
def test_one_number_is_that_of_an_array_of_one(form: Format, data: st.DataObject) -> None:
    """Plain Python computes the first, and NumPy the last: value, bound and magnitude are the same to the last bit."""
    drawn = [np.asarray(data.draw(floats(form)), dtype=numpy_dtype(form.name)) for _ in range(2)]

    def results(shape: tuple[int, ...]) -> list[Any]:
        x, y = (exact.of(number.reshape(shape)) for number in drawn)
        third = x * Fraction(1, 3)
        several = [x, y, x + y, x * y, third, third * y - x, third * third + y * 3]
        return [(one.fraction(), one.err.item(), one.magnitude().item()) for one in several]

    assert results(()) == results((1,))


@forms
@settings(EXAMPLES, max_examples=50)
@given(st.data())
def test_the_numbers_of_a_short_array_are_those_of_a_long_one(form: Format, data: st.DataObject) -> None:
    few = [data.draw(floats(form)) for _ in range(3)]
    short, long = (exact.of(np.array(few * n, dtype=numpy_dtype(form.name))) for n in (1, arithmetic._FEW))

    assert long.size > arithmetic._FEW >= short.size
    assert (short.fractions() * arithmetic._FEW, short.e, short.d) == (long.fractions(), long.e, long.d)
    assert np.array_equal(np.tile(short.magnitude(), arithmetic._FEW), long.magnitude())


# Formats and rounding


@forms
def test_formats_are_those_of_numpy(form: Format) -> None:
    finfo = pytest.importorskip("ml_dtypes").finfo if form.name == "bfloat16" else np.finfo
    info = finfo(form.name)
    u, normal, least, largest = (
        float(x) for x in (info.eps / 2, info.smallest_normal, info.smallest_subnormal, info.max)
    )
    sizes = form.name, info.nmant + 1, info.maxexp - 1

    assert astuple(form) == (*sizes, u, normal, least, 0.0, largest, None)
    for flushes, lost in {False: (least, 0.0), True: (normal, normal)}.items():
        plain, narrow = (formats_of.__wrapped__(flushes=flushes, narrow=narrow) for narrow in (False, True))
        assert plain.keys() == narrow.keys() == FORMATS.keys()
        assert astuple(plain[form.name]) == (*sizes, u, normal, *lost, largest, None)
        held = astuple(plain["float32"]) if form.name == "float64" else None
        assert astuple(narrow[form.name]) == (*sizes, u, normal, *lost, largest, held)


@forms
@settings(EXAMPLES, max_examples=200)
@given(st.data())
def test_rounding_is_that_of_the_dtype(form: Format, data: st.DataObject) -> None:
    """Of numbers, of ties halfway between two, and of neighbours of a tie; subnormal ones included."""
    dtype = numpy_dtype(form.name)
    x = data.draw(floats(form))
    part = data.draw(st.sampled_from([0, Fraction(1, 2), Fraction(1, 3)]))
    side = data.draw(st.sampled_from([-1, 0, 1]))
    with np.errstate(all="ignore"):
        here, spacing = Fraction(float(x)), exact.ulp(Fraction(float(x)), form)
        between = here + part * spacing + side * spacing / 2**20
        if form.name == "float64":
            nearest = Fraction(exact.to_float(between)) if abs(between) <= form.largest else between
        else:
            # ml_dtypes rounds float32: anything wider would be rounded twice.
            wider = np.float32 if form.name == "bfloat16" else np.float64
            wide = wider(float(between))
            if not math.isfinite(wide):
                return
            between, rounded = Fraction(float(wide)), float(wide.astype(dtype))
            nearest = Fraction(rounded) if math.isfinite(rounded) else between
        if nearest != between or abs(between) <= form.largest:
            assert exact.round_to(between, form) == nearest
        assert exact.round_to(here, form) == here


@forms
@EXAMPLES
@given(st.data())
def test_ulp_is_the_distance_to_the_next_number(form: Format, data: st.DataObject) -> None:
    dtype = numpy_dtype(form.name)
    x = abs(data.draw(floats(form)))
    here = Fraction(float(x))
    if float(x) < form.largest:
        following = np.nextafter(x, dtype.type(math.inf))
        assert exact.ulp(here, form) == Fraction(float(following)) - here
    assert exact.ulp(-here, form) == exact.ulp(here, form)


def test_ulp_of_a_number_between_two_of_the_format() -> None:
    assert [exact.ulp(Fraction(n, 3), FORMATS["float32"]) * 2**25 for n in (1, 4, 64, 100)] == [1, 4, 64, 128]


def test_so_many_roundings_that_nothing_is_left() -> None:
    errors = [arithmetic.gamma(k, FORMATS["float32"]) for k in (2**23, 2**24, 2**24 + 1, 2**25, 2**26)]

    assert errors == [pytest.approx(1.0), *[math.inf] * 4]


@forms
@EXAMPLES
@given(st.data())
def test_numbers_enter_as_they_are(form: Format, data: st.DataObject) -> None:
    values = data.draw(st.lists(floats(form), min_size=1, max_size=5))
    x = np.array(values, dtype=numpy_dtype(form.name))
    entered = exact.of(x)

    assert entered.form is form
    assert entered.fractions() == [Fraction(float(value)) for value in values]
    assert not entered.err.any()
    assert np.array_equal(entered.nearest(), x.astype(np.float64))


@EXAMPLES
@given(
    st.floats(-1e300, 1e300) | st.sampled_from([1e-40, 2.0**-126, 0.1, 0.0, -1e-39]),
    st.sampled_from([*FORMATS.values(), *exact.FLUSHING.values()]),
    st.sampled_from([exact.hyperparameter, exact.scalars.hyperparameter]),
)
def test_a_hyperparameter_errs_by_its_rounding(h: float, form: Format, hyperparameter: Callable[..., Any]) -> None:
    """It may be lost where it is subnormal and the machine flushes subnormal numbers."""
    due = hyperparameter(h, form)
    lost = Fraction(h) if 0 < abs(h) < form.flushed else abs(exact.round_to(Fraction(h), form) - Fraction(h))

    assert due.fraction() == Fraction(h)
    if abs(h) <= form.largest:
        assert abs(lost) <= Fraction(float(due.err)) <= abs(lost) * (1 + Fraction(2) ** -40) + Fraction(2) ** -1070
    elif abs(h) > form.largest * (1 + form.u):
        assert math.isinf(due.err)


@EXAMPLES
@given(st.lists(st.fractions(), min_size=1, max_size=4), st.lists(st.floats(-8, 8), min_size=1, max_size=4))
def test_concatenation_keeps_values_and_errors(scalars: list[Fraction], column: list[float]) -> None:
    parts = [exact.constant(x, FORMATS["float64"]).within(i, FORMATS["float64"]) for i, x in enumerate(scalars)]
    whole = exact.concatenate(*parts, exact.of(np.array(column)))

    assert whole.fractions() == scalars + [Fraction(x) for x in column]
    assert whole.err.tolist() == [*range(len(scalars)), *[0] * len(column)]
    assert [part.fraction() for part in whole] == whole.fractions()
    assert len(whole) == whole.size


def test_a_number_is_shown_and_a_float_beyond_range_is_infinite() -> None:
    shown = repr(exact.of(np.array([0.5], dtype=np.float32)))

    assert "0.5" in shown
    assert "float32" in shown
    assert exact.to_float(Fraction(10) ** 400) == -exact.to_float(-(Fraction(10) ** 400)) == math.inf
    assert exact.round_to(Fraction(1, 3), UNROUNDED) == Fraction(1, 3)

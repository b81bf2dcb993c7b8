"""What always holds of a drawn example, which examples can be drawn, and what a failure shrinks to."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from support import forms

from calibrant import exact, strategies
from calibrant.exact import FORMATS, Format
from calibrant.protocol.dtypes import numpy_dtype
from calibrant.strategies import broadcasting, drawing, samples

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=150)
SEARCH = settings(derandomize=True, deadline=None, max_examples=20_000, database=None)
FLOAT32 = FORMATS["float32"]

FITS = (
    "fits",
    "simple_fits",
    "descents",
    "long_descents",
    "steep_descents",
    "optima",
    "lines",
    "shuffled_fits",
    "probes",
)
STRATEGIES = [
    name
    for name, function in inspect.getmembers(strategies, inspect.isfunction)
    if function.__module__ == strategies.__name__
    and name[0] != "_"
    and not inspect.signature(function).parameters
    and "SearchStrategy" in str(inspect.signature(function).return_annotation)
]
Check = Callable[[Any], None]


def always(strategy: str, form: Format, check: Check) -> None:
    """Check many draws of a strategy."""

    @EXAMPLES
    @given(getattr(strategies, strategy)())
    def checked(drawn: strategies.Drawn[Any]) -> None:
        check(drawn.at(form))

    checked()


def found(strategy: str, condition: Callable[[Any], Any], form: Format = FLOAT32) -> Any:
    """The simplest draw that meets a condition. Raises NoSuchExample if none is found."""
    drawn = find(getattr(strategies, strategy)(), lambda drawn: bool(condition(drawn.at(form))), settings=SEARCH)
    return drawn.at(form)


def is_column(x: Any, form: Format) -> bool:
    return x.shape == (len(x),) and x.dtype == numpy_dtype(form.name) and bool(np.isfinite(x.astype(np.float64)).all())


def is_scalar(x: Any, form: Format) -> bool:
    return x.shape == () and x.dtype == numpy_dtype(form.name) and math.isfinite(float(x))


def check_fit(fit: strategies.Fit, form: Format) -> None:
    assert is_column(fit.t_u, form)
    assert is_column(fit.t_c, form)
    assert 1 <= len(fit.t_u) == len(fit.t_c)
    assert is_scalar(fit.w, form)
    assert is_scalar(fit.b, form)
    assert fit.params.shape == (2,)
    assert fit.params.tolist() == [fit.w.item(), fit.b.item()]
    assert fit.t_p.dtype == fit.t_u.dtype
    assert fit.t_p.shape == fit.t_u.shape


def exactly(x: Any) -> list[Fraction]:
    return exact.of(x).fractions()


# What always holds


@forms
def test_residuals_are_two_finite_columns_of_one_length(form: Format) -> None:
    def check(sample: strategies.Residuals) -> None:
        assert is_column(sample.t_p, form)
        assert is_column(sample.t_c, form)
        assert 1 <= len(sample.t_p) == len(sample.t_c) <= strategies.LONGEST

    always("residuals", form, check)


@pytest.mark.parametrize("strategy", FITS)
@forms
def test_fits_are_columns_and_parameters_of_the_format(form: Format, strategy: str) -> None:
    always(strategy, form, lambda fit: check_fit(fit, form))


@forms
def test_the_squares_of_a_fit_stay_in_range(form: Format) -> None:
    """Where a sum of squares overflows, nothing can be judged: that is for the few draws that are meant for it."""
    judged = []

    def check(fit: strategies.Fit) -> None:
        judged.append(np.isfinite(exact.gradient(*map(exact.of, (fit.t_u, fit.t_c, fit.w, fit.b))).err).all())

    always("fits", form, check)

    assert np.mean(judged) > 0.9


@forms
def test_an_optimum_has_no_gradient_exactly(form: Format) -> None:
    def check(fit: strategies.Fit) -> None:
        assert exact.gradient(*(exact.of(x).true() for x in (fit.t_u, fit.t_c, fit.w, fit.b))).fractions() == [0, 0]

    always("optima", form, check)


@forms
def test_the_middle_of_a_segment_is_halfway_exactly(form: Format) -> None:
    def check(segment: strategies.Segment) -> None:
        assert is_column(segment.t_u, form)
        assert is_column(segment.t_c, form)
        for point in (segment.start, segment.middle, segment.end):
            assert is_column(point, form)
            assert len(point) == 2
        ends = zip(exactly(segment.start), exactly(segment.end), strict=True)
        assert exactly(segment.middle) == [(x + y) / 2 for x, y in ends]

    always("segments", form, check)


@forms
def test_a_line_has_two_different_readings(form: Format) -> None:
    def check(fit: strategies.Fit) -> None:
        assert len(set(exactly(fit.t_u))) >= 2

    always("lines", form, check)
    for kind in range(len(drawing.KINDS)):  # one sample of each kind: 1 more is not another number for the large ones
        check(strategies.Drawn(bytes([kind, 0, 0]) + bytes([255] * samples.FIT), samples.decode_line).at(form))


@forms
def test_an_order_is_a_permutation(form: Format) -> None:
    def check(fit: strategies.Shuffled) -> None:
        assert sorted(fit.order.tolist()) == list(range(len(fit.t_u)))

    always("shuffled_fits", form, check)


@forms
def test_both_parts_have_samples(form: Format) -> None:
    def check(parts: strategies.Parts) -> None:
        check_fit(parts.whole, form)
        assert 1 <= parts.cut < len(parts.whole.t_u)

    always("parts", form, check)


@forms
def test_shards_hold_every_sample_once(form: Format) -> None:
    def check(descent: strategies.Sharded) -> None:
        check_fit(descent, form)
        check_descent(descent, range(1, 11))
        assert 1 <= len(descent.shards) == len(descent.sizes) <= 3
        for column, whole in zip(zip(*descent.shards, strict=True), (descent.t_u, descent.t_c), strict=True):
            assert np.array_equal(np.concatenate(column), whole)

    always("sharded_descents", form, check)


@forms
def test_a_step_of_differences_is_positive(form: Format) -> None:
    def check(probe: strategies.Probe) -> None:
        assert is_scalar(probe.delta, form)
        assert probe.delta > 0

    always("probes", form, check)


@pytest.mark.parametrize(
    ("strategy", "columns"), [("spoiled_residuals", ("t_p", "t_c")), ("spoiled_probes", ("t_u", "t_c"))]
)
@forms
def test_one_number_is_spoiled(form: Format, strategy: str, columns: tuple[str, str]) -> None:
    def check(sample: strategies.Spoiled | strategies.SpoiledProbe) -> None:
        one, other = (getattr(sample, name) for name in columns)
        numbers = np.concatenate([one, other]).astype(np.float64)
        (bad,) = numbers[~np.isfinite(numbers)]
        assert np.array_equal(bad, sample.value, equal_nan=True)
        assert one.dtype == other.dtype == numpy_dtype(form.name)

    always(strategy, form, check)


def check_descent(descent: strategies.Descent, epochs: range) -> Fraction:
    """The learning rate as a fraction of its limit."""
    assert isinstance(descent.learning_rate, float)
    assert 0 < descent.learning_rate < math.inf
    assert descent.n_epochs in epochs
    return Fraction(descent.learning_rate) * exact.curvatures(exact.of(descent.t_u))[1] / 2


@forms
def test_descents_are_short(form: Format) -> None:
    always("descents", form, lambda descent: check_descent(descent, range(1, 11)))


@forms
def test_long_descents_are_below_the_limit(form: Format) -> None:
    def check(descent: strategies.Descent) -> None:
        assert check_descent(descent, range(30, 301)) < 1

    always("long_descents", form, check)


@forms
def test_steep_descents_are_above_the_limit_and_start_off_the_optimum(form: Format) -> None:
    def check(descent: strategies.Descent) -> None:
        assert check_descent(descent, range(10, 10_000)) > 1
        assert exactly(descent.params) != list(exact.optimum(exact.of(descent.t_u), exact.of(descent.t_c)))

    always("steep_descents", form, check)


@EXAMPLES
@given(strategies.fits(), st.floats(0.01, 0.99))
def test_a_rate_below_the_limit_is_that_fraction_of_it(drawn: strategies.Drawn[Any], fraction: float) -> None:
    """A plain one is a power of two, and at most that."""
    t_u = drawn.at(FLOAT32).t_u
    limit = 2 / float(exact.curvatures(exact.of(t_u))[1])
    plain = strategies.rate_below(fraction, t_u, plain=True)

    assert strategies.rate_below(fraction, t_u) == pytest.approx(fraction * limit)
    assert math.frexp(plain)[0] == 0.5
    assert plain <= strategies.rate_below(fraction, t_u) < 2 * plain


@EXAMPLES
@given(strategies.misfits())
def test_misfits_are_two_different_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    first, second = shapes

    assert first != second


BROADCAST = ["shapes", "crowds", "trailing_shapes", "stretching_shapes"]


@pytest.mark.parametrize("strategy", BROADCAST)
def test_shapes_broadcast_to_a_shape_of_few_elements(strategy: str) -> None:
    def check(shapes: tuple[strategies.Shape, ...]) -> None:
        assert 1 <= len(shapes) <= 40
        assert all(len(shape) <= strategies.DEEPEST for shape in shapes)
        assert math.prod(np.broadcast_shapes(*shapes)) <= 5**8

    always(strategy, FLOAT32, check)


def test_misfitting_shapes_do_not_broadcast() -> None:
    def check(shapes: tuple[strategies.Shape, ...]) -> None:
        assert len(shapes) >= 2
        with pytest.raises(ValueError, match="mismatch"):
            np.broadcast_shapes(*shapes)

    always("misfitting_shapes", FLOAT32, check)


@pytest.mark.parametrize(("x", "y"), strategies.GROWING, ids=str)
def test_growing_shapes_do_not_fit_into_the_first(x: strategies.Shape, y: strategies.Shape) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        np.multiply(np.ones(x), np.ones(y), out=np.ones(x))


def test_every_pair_that_grows_can_be_drawn() -> None:
    for pair in strategies.GROWING:
        assert find(strategies.growing_shapes(), lambda drawn, pair=pair: drawn == pair, settings=SEARCH) == pair


@forms
def test_operands_broadcast_and_their_products_stay_in_range(form: Format) -> None:
    def check(sample: strategies.Operands) -> None:
        shape = np.broadcast_shapes(sample.x.shape, sample.y.shape)
        assert sample.upstream.shape == shape
        assert sample.upstream.size <= strategies.SMALL
        for x in (sample.x, sample.y, sample.upstream):
            assert x.dtype == numpy_dtype(form.name)
            assert np.isfinite(x.astype(np.float64)).all()
        for due in exact.multiply_grad(*map(exact.of, (sample.x, sample.y, sample.upstream))):
            assert np.isfinite(due.err).all()

    always("operands", form, check)


def test_the_largest_operands_stay_small() -> None:
    """Tables of fours, of which some axes are empty in the product, unless both operands have a one there."""
    for sizes in itertools.product((3, 7), repeat=4):  # 4 and 0
        for ones, others in itertools.product(range(16), repeat=2):
            data = bytes([3, 7, *sizes, 0, ones, 0, others]).ljust(broadcasting.OPERANDS, b"\x05")
            sample = strategies.Drawn(data, broadcasting.decode_operands).at(FLOAT32)

            assert max(sample.x.size, sample.y.size, sample.upstream.size) <= strategies.SMALL


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_length_can_be_decoded(strategy: str) -> None:
    """The longest columns of all too, from the places of a table where they start."""
    drawn = find(getattr(strategies, strategy)(), lambda drawn: True, settings=SEARCH)
    if not isinstance(drawn, strategies.Drawn):  # it is sampled from a list
        return
    for byte in (*range(12), *range(192, 220)):  # 1 to 12 samples, 13 to 40
        strategies.Drawn(bytes([byte]) * len(drawn.data), drawn.decode).at(FLOAT32)


@forms
def test_at_most_one_number_of_the_operands_is_spoiled(form: Format) -> None:
    def check(sample: strategies.SpoiledOperands) -> None:
        numbers = np.concatenate([sample.x.reshape(-1), sample.y.reshape(-1)]).astype(np.float64)
        bad = numbers[~np.isfinite(numbers)]
        assert len(bad) <= 1
        assert np.array_equal(bad, np.full(len(bad), sample.value), equal_nan=True)

    always("spoiled_operands", form, check)


@pytest.mark.parametrize(
    "strategy",
    [
        "residuals", *FITS, "sharded_descents", "segments", "parts", "spoiled_residuals", "spoiled_probes",
        "operands", "spoiled_operands",
    ],
)  # fmt: skip
def test_a_draw_is_the_same_example_each_time(strategy: str) -> None:
    """And each time a new one: a property may change what it was given."""

    @settings(EXAMPLES, max_examples=20)
    @given(getattr(strategies, strategy)())
    def check(drawn: strategies.Drawn[Any]) -> None:
        first, second = drawn.at(FLOAT32), drawn.at(FLOAT32)
        for x, y in zip(arrays(first), arrays(second), strict=True):
            assert x is not y
            assert not np.shares_memory(x, y)
            assert np.array_equal(x, y, equal_nan=True)
        assert drawn.data.hex() in repr(drawn)

    check()


def arrays(example: Any) -> list[Any]:
    values = list(vars(example).values())
    return [
        y for x in values for y in (arrays(x) if isinstance(x, strategies.Fit) else [x]) if isinstance(y, np.ndarray)
    ]


def test_the_simplest_parameters_are_whole() -> None:
    """All quarters up to 8 can be drawn; where 1 shows a failure as well, it is 1 that is told."""
    simplest = found("simple_fits", lambda fit: fit.w != 0 and fit.b < 0)

    assert (float(simplest.w), float(simplest.b)) == (1.0, -1.0)
    assert sorted(drawing.QUARTERS) == [k / 4 for k in range(-32, 33)]


def test_a_descent_can_be_made_from_bytes() -> None:
    descent = strategies.Drawn(bytes(samples.FIT + 2), samples.decode_descent).at(FLOAT32)

    assert descent.t_u.tolist() == descent.t_c.tolist() == [0.0]
    assert (descent.w, descent.b, descent.n_epochs) == (0, 0, 1)


# What can be drawn

RESIDUALS: dict[str, Callable[[Any], Any]] = {
    "one sample": lambda x: len(x.t_p) == 1,
    "more than twenty": lambda x: len(x.t_p) > 20,
    "the most": lambda x: len(x.t_p) == strategies.LONGEST,
    "repeated values": lambda x: len(x.t_p) > 5 and np.ptp(x.t_p) > 0 and len(np.unique(x.t_p)) < len(x.t_p) / 2,
    "no two alike": lambda x: len(x.t_p) > 5 and len(np.unique(x.t_p)) == len(x.t_p),
    "no residual": lambda x: len(x.t_p) > 2 and np.ptp(x.t_p) > 0 and np.all(x.t_p == x.t_c),
    "some residuals zero": lambda x: len(x.t_p) > 5 and 0 < np.mean(x.t_p == x.t_c) < 1 and np.all(x.t_p != 0),
    "residuals of rounding": lambda x: np.any(x.t_p != x.t_c) and nearly(x) and scattered(x.t_p),
    "all negative": lambda x: len(x.t_p) > 5 and np.all(x.t_p < 0) and np.all(x.t_c < 0),
    "below 1e-5": lambda x: 0 < np.abs(x.t_p).max() < 1e-5,
    "above 1e5": lambda x: np.abs(x.t_p).min() > 1e5,
    "subnormal": lambda x: 0 < np.abs(x.t_p).max() < FLOAT32.normal,
    "large against small": lambda x: np.abs(x.t_p).min() > 1e5 and 0 < np.abs(x.t_c).max() < 1e-5,
    "many magnitudes": lambda x: np.abs(x.t_p).min() > 0 and np.abs(x.t_p).max() > 1e8 * np.abs(x.t_p).min(),
    "whole numbers": lambda x: len(x.t_p) > 5 and np.ptp(x.t_p) > 4 and np.all(x.t_p % 1 == 0),
    "full significands": lambda x: len(x.t_p) > 5 and all(np.frexp(x.t_p)[0] * 2**16 % 1 != 0),
}

DATA: dict[str, Callable[[Any], Any]] = {
    "one sample": lambda x: len(x.t_u) == 1,
    "more than twenty": lambda x: len(x.t_u) > 20,
    "a constant column": lambda x: len(x.t_u) > 5 and np.ptp(x.t_u) == 0 and x.t_u[0] != 0,
    "a nearly constant column": lambda x: len(x.t_u) > 5 and 0 < np.ptp(x.t_u) < 1e-5 * abs(x.t_u[0]),
    "a perfect fit": lambda x: perfect(x) and np.ptp(x.t_u) > 0 and len(x.t_u) > 5 and x.w != 0 and x.b != 0,
    "a perfect fit of numbers with digits": lambda x: perfect(x) and np.ptp(x.t_u) > 0 and x.w % 0.25 != 0,
    "a nearly perfect fit": lambda x: not perfect(x) and nearly(x) and scattered(x.t_u),
    "all negative": lambda x: len(x.t_u) > 5 and np.all(x.t_u < 0) and np.all(x.t_c < 0),
    "below 1e-5": lambda x: 0 < np.abs(x.t_u).max() < 1e-5,
    "above 1e5": lambda x: np.abs(x.t_u).min() > 1e5,
    "subnormal": lambda x: 0 < np.abs(x.t_u).max() < FLOAT32.normal,
    "readings like a thermometer's": lambda x: len(x.t_u) > 5 and np.ptp(x.t_u) > 40 and np.all(np.abs(x.t_u) < 100),
}


def nearly(x: Any) -> bool:
    """Whether predictions and measurements differ by a few units in the last place, each."""
    return bool(np.all(np.abs(x.t_p - x.t_c) <= 32 * FLOAT32.u * np.abs(x.t_p)))


def scattered(x: Any) -> bool:
    """Whether there are several numbers, none of them near another."""
    return len(x) > 3 and float(np.diff(np.sort(x)).min()) > 0.01 * float(np.abs(x).max())


def perfect(fit: strategies.Fit) -> bool:
    """Whether measurements and predictions are one, as the format holds them."""
    return bool(np.all(fit.t_p == fit.t_c))


@pytest.mark.parametrize("case", RESIDUALS)
def test_residuals_reach(case: str) -> None:
    assert RESIDUALS[case](found("residuals", RESIDUALS[case]))


@pytest.mark.parametrize("case", DATA)
def test_fits_reach(case: str) -> None:
    assert DATA[case](found("fits", DATA[case]))


REACHED: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("descents", "one epoch", lambda x: x.n_epochs == 1),
    ("descents", "ten epochs", lambda x: x.n_epochs == 10),
    ("descents", "above the limit", lambda x: check_descent(x, range(1, 11)) > 1),
    ("descents", "just below the limit", lambda x: Fraction(99, 100) < check_descent(x, range(1, 11)) < 1),
    ("descents", "a rate that is no power of two", lambda x: math.frexp(x.learning_rate)[0] != 0.5),
    ("long_descents", "many epochs", lambda x: x.n_epochs >= 300 and np.ptp(x.t_u) > 0),
    ("sharded_descents", "three shards of three sizes", lambda x: len({*x.sizes}) == 3 and min(x.sizes) > 0),
    ("sharded_descents", "shards of one size", lambda x: len(x.sizes) > 2 and len({*x.sizes}) == 1),
    ("sharded_descents", "an empty shard", lambda x: 0 in x.sizes and len(x.t_u) > 5),
    ("sharded_descents", "more workers than samples", lambda x: len(x.sizes) > len(x.t_u) > 1),
    ("sharded_descents", "one worker", lambda x: len(x.sizes) == 1),
    ("lines", "two readings", lambda x: len(x.t_u) == 2),
    ("lines", "a line that slopes", lambda x: len(x.t_u) > 5 and np.ptp(x.t_c) > 0 and np.ptp(x.t_u) > 0),
    ("parts", "parts of different sizes", lambda x: x.cut * 3 < len(x.whole.t_u)),
    ("parts", "a first part that is larger", lambda x: x.cut > 3 * (len(x.whole.t_u) - x.cut)),
    ("shuffled_fits", "an order that moves some", lambda x: len(set(x.order - np.arange(len(x.order)))) > 3),
    ("probes", "a step that rounding nearly swallows", lambda x: x.delta < 0.01 and np.abs(x.t_u).max() > 1e5),
    ("segments", "a segment of some length", lambda x: np.all(x.start != x.end) and np.ptp(x.t_u) > 0),
    ("optima", "an optimum off the measurements", lambda x: np.any(x.t_p != x.t_c) and x.w != 0 and x.b != 0),
    ("spoiled_residuals", "NaN", lambda x: np.isnan(x.t_c).any() and len(x.t_c) > 5),
    ("spoiled_residuals", "minus infinity", lambda x: np.any(x.t_p == -math.inf)),
    ("spoiled_probes", "a reading that is NaN", lambda x: np.isnan(x.t_u).any() and len(x.t_u) > 5),
    ("spoiled_probes", "an infinite measurement", lambda x: np.any(x.t_c == math.inf) and x.w != 0),
    ("shapes", "scalars", lambda x: len(x) > 1 and () in x),
    (
        "shapes",
        "nothing against one",
        lambda x: len(x) == 2 and len(x[0]) == len(x[1]) and (0, 1) in zip(*x, strict=True),
    ),
    ("shapes", "four of four axes", lambda x: len(x) == 4 and all(len(shape) == 4 for shape in x)),
    ("shapes", "both stretched", lambda x: len(x) == 2 and np.broadcast_shapes(*x) not in x),
    ("crowds", "many", lambda x: len(set(x)) >= 4 and len(x) == 40),
    ("crowds", "deep", lambda x: max(map(len, x)) == 32 and max(x, key=len)[0] > 1),
    ("trailing_shapes", "a shorter first", lambda x: 0 < len(x[0]) < len(x[1])),
    ("trailing_shapes", "a scalar", lambda x: x[1] == ()),
    ("stretching_shapes", "both stretched", lambda x: np.broadcast_shapes(*x) not in x),
    ("misfitting_shapes", "nothing against two", lambda x: x[0][-1:] == (0,) and x[1][-1:] == (2,)),
    ("misfitting_shapes", "a divisor", lambda x: x[0][-1:] == (2,) and x[1][-1:] == (4,)),
    ("misfitting_shapes", "a leading axis of three operands", lambda x: len(x) == 3 and x[0][1:] == x[2][1:] != ()),
    ("any_two_shapes", "shapes that fit", lambda x: exact.broadcast_shapes(*x) not in (None, *x)),
    ("any_two_shapes", "shapes that do not", lambda x: exact.broadcast_shapes(*x) is None),
    ("operands", "a scalar", lambda x: x.x.shape == () and x.y.size > 1),
    ("operands", "none", lambda x: x.upstream.size == 0 and x.x.size == 1),
    ("operands", "both stretched", lambda x: x.upstream.size > max(x.x.size, x.y.size) > 1 and x.x.all()),
    ("operands", "a square table", lambda x: x.upstream.ndim == 2 and x.upstream.shape == x.x.T.shape and x.x.size > 1),
    ("operands", "four axes", lambda x: x.upstream.ndim == 4 and x.y.ndim == 1 and x.upstream.size > 8),
    ("operands", "a large one", lambda x: x.upstream.size > 30 and len(np.unique(x.x)) > 5),
    (
        "spoiled_operands",
        "infinity times zero",
        lambda x: np.isinf(x.x).any() and x.upstream.size > 1 and not x.y.all(),
    ),
    ("spoiled_operands", "NaN", lambda x: np.isnan(x.y).any() and x.y.size > 1),
    ("steep_descents", "barely steep", lambda x: 1 < check_descent(x, range(10, 10_000)) < 5),
]


@pytest.mark.parametrize(
    ("strategy", "case", "condition"), REACHED, ids=[f"{name}: {case}" for name, case, _ in REACHED]
)
def test_others_reach(strategy: str, case: str, condition: Callable[[Any], Any]) -> None:
    assert condition(found(strategy, condition))


def test_every_kind_of_numbers_is_drawn() -> None:
    for kind in drawing.KINDS:
        assert np.isfinite(drawing.numbers_of(np.arange(8, dtype=np.uint8), kind, FLOAT32)).all()
    with pytest.raises(ValueError, match="kind"):
        drawing.numbers_of(np.zeros(1, dtype=np.uint8), "odd", FLOAT32)


# What failures shrink to


def simplest(*columns: Any) -> bool:
    """Whether all numbers are 0 but one, and that is 1 or -1."""
    numbers = np.concatenate([np.ravel(column) for column in columns]).astype(np.float64)
    return bool(np.all(np.isin(numbers, [0, 1, -1])) and np.count_nonzero(numbers) <= 1)


def squares(x: strategies.Residuals) -> Any:
    return (x.t_p.astype(np.float64) - x.t_c) ** 2


def test_a_sum_for_a_mean_shrinks_to_two_samples_and_one_residual() -> None:
    sample = found("residuals", lambda x: squares(x).sum() != squares(x).mean())

    assert len(sample.t_p) == 2
    assert simplest(sample.t_p, sample.t_c)


def test_a_lost_factor_shrinks_to_one_sample_and_one_residual() -> None:
    sample = found("residuals", lambda x: squares(x).mean() != squares(x).mean() / 2)

    assert len(sample.t_p) == 1
    assert simplest(sample.t_p, sample.t_c)


def test_absolute_values_for_squares_shrink_to_a_small_whole_residual() -> None:
    """1 would not show it."""
    sample = found("residuals", lambda x: np.abs(x.t_p - x.t_c).mean() != squares(x).mean())

    assert len(sample.t_p) == 1
    assert np.abs(np.concatenate([sample.t_p, sample.t_c])).max() == 2 or abs(sample.t_p - sample.t_c) == 2


def test_a_lost_tail_shrinks_to_its_first_sample() -> None:
    sample = found("residuals", lambda x: squares(x)[:8].sum() != squares(x).sum())

    assert len(sample.t_p) == 9
    assert simplest(sample.t_p, sample.t_c)


def test_clipping_shrinks_to_one_sample() -> None:
    """The number is as odd as the kind that reaches it; nothing else is."""
    sample = found("residuals", lambda x: np.abs(x.t_p - x.t_c).max() > 512)

    assert len(sample.t_p) == 1
    assert np.count_nonzero([sample.t_p, sample.t_c]) == 1


def test_half_the_gradient_of_the_bias_shrinks_to_one_number() -> None:
    fit = found("fits", lambda x: np.mean(x.t_p - x.t_c) != 0)

    assert len(fit.t_u) == 1
    assert simplest(fit.t_u, fit.t_c, fit.w, fit.b)


def test_a_lost_reading_in_the_gradient_shrinks_to_a_reading_and_a_residual() -> None:
    fit = found("fits", lambda x: np.mean((x.t_p - x.t_c) * x.t_u) != np.mean(x.t_p - x.t_c))

    assert len(fit.t_u) == 1
    assert np.all(np.isin([*fit.t_u, *fit.t_c, fit.w, fit.b], [0, 1, -1]))
    assert np.count_nonzero([*fit.t_u, *fit.t_c, fit.w, fit.b]) <= 2


def test_a_bias_updated_with_the_new_weight_shrinks_to_one_plain_step() -> None:
    """Every number is a quarter at least and a few units at most, and the rate is a power of two."""
    descent = found("descents", lambda x: np.any((x.t_p != x.t_c) & (x.t_u != 0)))
    numbers = np.array([*descent.t_u, *descent.t_c, descent.w, descent.b])

    assert len(descent.t_u) == descent.n_epochs == 1
    assert np.all(np.isin(numbers, [0, 1, -1]))
    assert math.frexp(descent.learning_rate)[0] == 0.5


def test_a_wrong_order_shrinks_to_the_reversal_of_two() -> None:
    fit = found("shuffled_fits", lambda x: np.any(x.t_u[x.order] != x.t_u))

    assert fit.order.tolist() == [1, 0]
    assert simplest(fit.t_u)


def test_the_simplest_order_is_the_reversal() -> None:
    """The identity would show nothing."""
    data = bytes([0, 2]) + bytes(samples.FIT + strategies.WIDTH)

    assert strategies.Drawn(data, samples.decode_shuffled).at(FLOAT32).order.tolist() == [2, 1, 0]


def test_parts_of_different_sizes_shrink_to_one_and_two() -> None:
    parts = found("parts", lambda x: 2 * x.cut != len(x.whole.t_u))

    assert sorted([parts.cut, len(parts.whole.t_u) - parts.cut]) == [1, 2]
    assert not parts.whole.t_u.any()


# Optimizers


OPTIMIZERS = list(strategies.HYPERPARAMETERS)


def found_run(
    name: str, condition: Callable[[strategies.Optimization], Any], **options: Any
) -> strategies.Optimization:
    """The simplest run of an optimizer that meets a condition."""
    drawn = find(
        strategies.optimizations(name, **options), lambda drawn: bool(condition(drawn.at(FLOAT32))), settings=SEARCH
    )
    run: strategies.Optimization = drawn.at(FLOAT32)
    return run


@pytest.mark.parametrize("name", OPTIMIZERS)
@forms
def test_runs_are_what_an_optimizer_takes(form: Format, name: str) -> None:
    @settings(EXAMPLES, max_examples=40)
    @given(strategies.optimizations(name))
    def checked(drawn: strategies.Drawn[strategies.Optimization]) -> None:
        run = drawn.at(form)
        h = run.hyperparameters
        assert run.name == name
        assert set(h) <= set(exact.OPTIMIZERS[name])
        assert 1 <= len(run.params) <= 3
        assert 1 <= len(run.grads) <= 8
        for step in run.grads:
            assert [np.shape(g) for g in step if g is not None] == [p.shape for p in run.params]
        for x in [*run.params, *(g for step in run.grads for g in step if g is not None)]:
            assert x.dtype == numpy_dtype(form.name)
            assert np.isfinite(x.astype(np.float64)).all()
        assert not isinstance(h["lr"], list) or len(h["lr"]) == len(run.grads)
        assert all(0 <= beta < 1 for beta in h.get("betas", ()))
        assert not h.get("nesterov") or (h["momentum"] > 0 and not h.get("dampening"))

    checked()


def absents(run: strategies.Optimization) -> int:
    return sum(g is None for step in run.grads for g in step)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_simplest_run_is_one_step_of_one_number(name: str) -> None:
    run = found_run(name, lambda run: True)

    assert run.hyperparameters == {"lr": 0.5}
    assert [p.tolist() for p in run.params] == [[0.0]]
    assert [[g is not None and g.tolist() for g in step] for step in run.grads] == [[[0.0]]]


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param(lambda run: len(run.params) == 3 and len({p.shape for p in run.params}) > 1, id="three tensors"),
        pytest.param(lambda run: [p.shape for p in run.params] == [(2,), (2,)], id="equal shapes"),
        pytest.param(lambda run: run.params[0].shape == (), id="0-d"),
        pytest.param(
            lambda run: isinstance(run.hyperparameters["lr"], list) and len(run.grads) > 6, id="changing rate"
        ),
        pytest.param(lambda run: run.hyperparameters.get("eps") == 1e-12, id="tiny epsilon"),
        pytest.param(lambda run: run.hyperparameters.get("eps", 1) == 0, id="no epsilon"),
        pytest.param(
            lambda run: run.hyperparameters.get("amsgrad") and run.hyperparameters.get("maximize"), id="flags"
        ),
        pytest.param(lambda run: 0.99 < run.hyperparameters.get("betas", (0, 0))[1] < 0.999, id="beta near 1"),
        pytest.param(
            lambda run: absents(run) == 0 and len(run.grads) > 3 and slopes(run)[0] > 100 * slopes(run)[-1] > 0,
            id="shrinking",
        ),
        pytest.param(
            lambda run: absents(run) == 0 and len(run.grads) > 3 and 0 < 100 * slopes(run)[0] < slopes(run)[-1],
            id="growing",
        ),
        pytest.param(
            lambda run: absents(run) == 0 and len(run.grads) > 1 and slopes(run)[0] > 0 > slopes(run)[1], id="turning"
        ),
        pytest.param(lambda run: absents(run) == 0 and 0 < abs(slopes(run)[0]) < 1e-37, id="subnormal"),
        pytest.param(lambda run: absents(run) == 0 and abs(slopes(run)[0]) > 1e5, id="large"),
    ],
)
def test_these_runs_are_drawn(condition: Callable[[strategies.Optimization], Any]) -> None:
    found_run("adam", condition)


def test_gradients_are_absent_where_they_may_be() -> None:
    found_run("adam", absents, absent=(True,))
    found_run("adam", lambda run: absents(run) == len(run.grads) * len(run.params), absent=(True,))


def slopes(run: strategies.Optimization) -> list[float]:
    """The first number of the gradients of each step."""
    return [float(np.ravel(g)[0]) for g in (step[0] for step in run.grads) if g is not None]


def test_radam_is_drawn_where_it_rectifies() -> None:
    run = found_run("radam", lambda run: len(run.grads) >= 6 and run.hyperparameters.get("betas", (0, 0.999))[1] >= 0.9)

    assert len(run.grads) == 6


def test_one_draw_serves_every_optimizer() -> None:
    each = find(strategies.of_each(only=("momentum",), momentum=(0.5,), maximize=(True,)), lambda x: True).at(FLOAT32)

    assert [each(name).name for name in OPTIMIZERS] == OPTIMIZERS
    assert each("sgd").hyperparameters == {"momentum": 0.5, "maximize": True, "lr": 0.5}
    assert each("adam").hyperparameters == {"maximize": True, "lr": 0.5}


def test_what_no_optimizer_has_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="cannot be chosen for adam"):
        strategies.optimizations("adam", momentun=(0.5,))


# Autograd


@forms
def test_programs_never_round(form: Format) -> None:
    """Evaluated in the format itself, forward and with every sum of gradients, they give what rational numbers give."""
    kind = numpy_dtype(form.name).type

    def check(sample: strategies.Programs) -> None:
        assert is_column(sample.params, form)
        assert 1 <= len(sample.losses) <= strategies.MOST_LOSSES
        total = np.zeros(len(sample.params))
        for loss in sample.losses:
            assert loss.n_params == len(sample.params)
            value, gradient = exact.differentiate(loss, exact.of(sample.params))
            assert float(loss([kind(x) for x in sample.params])) == value.fraction()
            total = total + np.abs(gradient.nearest())
        assert total.max() <= 2**form.precision

    always("programs", form, check)


def test_a_programs_source_computes_what_the_program_does() -> None:
    def check(sample: strategies.Programs) -> None:
        for loss in sample.losses:
            assert eval(loss.source)(sample.params.tolist()) == loss(sample.params.tolist())

    always("programs", FLOAT32, check)
    nearer = strategies.SquaredDistance(0.5)
    assert eval(nearer.source)(np.array([1.5, 2.5])) == nearer(np.array([1.5, 2.5])) == 5.0


def uses(loss: strategies.Program) -> list[int]:
    """How often each value is an operand."""
    operands = [x for _, i, other in loss.steps for x in ([i, other] if isinstance(other, int) else [i])]
    return [operands.count(k) for k in range(loss.n_params + len(loss.steps))]


def contributing(loss: strategies.Program) -> set[int]:
    """The values that the result depends on."""
    last = loss.n_params + len(loss.steps) - 1
    found_, waiting = set(), [last]
    while waiting:
        k = waiting.pop()
        found_.add(k)
        if k >= loss.n_params:
            _, i, other = loss.steps[k - loss.n_params]
            waiting += [i, other] if isinstance(other, int) else [i]
    return found_


PROGRAMS: dict[str, Callable[[strategies.Program], Any]] = {
    "six steps, all of which count": lambda x: len(contributing(x)) == x.n_params + 6,
    "three parameters": lambda x: contributing(x) >= {0, 1, 2} and x.n_params == 3,
    "a computed value with three uses": lambda x: max(uses(x)[x.n_params :]) >= 3,
    "two computed values with two uses each": lambda x: sum(n >= 2 for n in uses(x)[x.n_params :]) >= 2,
    "a value that nobody uses": lambda x: min(uses(x)[x.n_params : -1], default=1) == 0,
    "a parameter that does not count": lambda x: len(contributing(x) & set(range(x.n_params))) < x.n_params,
    "a difference": lambda x: any(op == "-" and isinstance(y, int) and i != y for op, i, y in x.steps),
    "a constant factor": lambda x: any(op == "*" and isinstance(y, float) for op, _, y in x.steps),
}


@pytest.mark.parametrize("form", [FORMATS["float16"], FLOAT32], ids=["float16", "float32"])
@pytest.mark.parametrize("case", PROGRAMS)
def test_programs_reach(case: str, form: Format) -> None:
    assert found("programs", lambda x: PROGRAMS[case](x.losses[0]), form)


def test_several_programs_are_drawn_and_differ() -> None:
    sample = found("programs", lambda x: len(x.losses) == 3 and len(set(x.losses)) == 3)

    assert len(sample.losses) == 3


def test_a_lost_contribution_shrinks_to_a_square() -> None:
    """A product of a parameter with itself: its derivative has two parts."""

    def half(sample: strategies.Programs) -> Any:
        _, gradient = exact.differentiate(sample.losses[0], exact.of(sample.params))
        return np.any(gradient.nearest() != gradient.nearest() / 2)

    sample = found("programs", half)

    assert len(sample.losses) == len(sample.params) == 1
    assert sample.losses[0].steps == (("*", 0, 0),)
    assert sample.params.tolist() == [1.0]


@forms
def test_approaches_are_descents_of_few_steps(form: Format) -> None:
    def check(sample: strategies.Approach) -> None:
        assert is_column(sample.params, form)
        assert 1 <= sample.n_steps <= 4
        assert 0 < sample.learning_rate <= 1
        assert exactly(np.asarray(sample.loss.place).astype(numpy_dtype(form.name))) == [sample.loss.place]

    always("approaches", form, check)


# Accumulation


def check_batches(sample: strategies.Batched, form: Format) -> None:
    check_fit(sample, form)
    assert min(sample.sizes) >= 1
    assert sum(sample.sizes) == len(sample.t_u)
    assert len(sample.sizes) <= strategies.MOST_BATCHES
    for column, at in ((sample.t_u, 0), (sample.t_c, 1)):
        assert np.concatenate([batch[at] for batch in sample.batches]).tolist() == column.tolist()
    assert [len(t_u) for t_u, _ in sample.batches] == sample.sizes


@forms
def test_batches_hold_every_sample_once(form: Format) -> None:
    always("batched_fits", form, lambda sample: check_batches(sample, form))


@forms
def test_the_same_samples_are_batched_twice(form: Format) -> None:
    def check(sample: strategies.Rebatched) -> None:
        check_batches(sample.first, form)
        check_batches(sample.second, form)
        pairs = [sorted(zip(x.t_u.tolist(), x.t_c.tolist(), strict=True)) for x in (sample.first, sample.second)]
        assert pairs[0] == pairs[1]
        assert sample.first.params.tolist() == sample.second.params.tolist()

    always("rebatched_fits", form, check)


@forms
def test_windows_hold_every_sample_once(form: Format) -> None:
    def check(sample: strategies.Windows) -> None:
        check_fit(sample, form)
        assert np.concatenate([window.t_u for window in sample.windows]).tolist() == sample.t_u.tolist()
        *full, last = [window.sizes for window in sample.windows]
        assert all(sizes == [sample.size] * sample.length for sizes in full)
        assert 1 <= len(last) <= sample.length
        assert all(size == sample.size for size in last[:-1])
        assert 1 <= last[-1] <= sample.size

    always("windows", form, check)


BATCHES: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("batched_fits", "one batch of several samples", lambda x: len(x.sizes) == 1 and x.sizes[0] > 1),
    ("batched_fits", "batches of one sample", lambda x: len(x.sizes) > 2 and max(x.sizes) == 1),
    ("batched_fits", "batches of one size", lambda x: len(x.sizes) > 2 and min(x.sizes) == max(x.sizes) > 1),
    ("batched_fits", "a last batch that is smaller", lambda x: len(x.sizes) > 2 and x.sizes[-1] < min(x.sizes[:-1])),
    ("batched_fits", "a last batch of many", lambda x: len(x.sizes) > 2 and x.sizes[-1] > 4 * max(x.sizes[:-1])),
    ("batched_fits", "the most batches", lambda x: len(x.sizes) == strategies.MOST_BATCHES and len(set(x.sizes)) > 2),
    ("rebatched_fits", "other cuts and another order", lambda x: differently_batched(x)),
    ("windows", "one window", lambda x: len(x.windows) == 1 and len(x.windows[0].sizes) > 1),
    ("windows", "a last window of fewer batches", lambda x: 1 < len(x.windows[-1].sizes) < x.length < len(x.t_u)),
    ("windows", "a last batch that is smaller", lambda x: len(x.windows) > 1 and x.windows[-1].sizes[-1] < x.size),
]


def differently_batched(x: strategies.Rebatched) -> bool:
    return x.first.sizes != x.second.sizes and len(x.first.sizes) > 2 and bool(np.any(x.first.t_u != x.second.t_u))


@pytest.mark.parametrize(
    ("strategy", "case", "condition"), BATCHES, ids=[f"{name}: {case}" for name, case, _ in BATCHES]
)
def test_batches_reach(strategy: str, case: str, condition: Callable[[Any], Any]) -> None:
    assert condition(found(strategy, condition))


def test_a_mean_of_means_shrinks_to_one_sample_and_two() -> None:
    def means_differ(x: strategies.Batched) -> Any:
        of_batches = [np.mean(t_c.astype(np.float64)) for _, t_c in x.batches]
        return np.isclose(np.mean(of_batches), np.mean(x.t_c.astype(np.float64))) == 0

    sample = found("batched_fits", means_differ)

    assert sorted(sample.sizes) == [1, 2]
    assert simplest(sample.t_u, sample.t_c, sample.w, sample.b)


def test_a_lost_batch_shrinks_to_two_samples() -> None:
    sample = found("batched_fits", lambda x: len(x.sizes) > 1 and np.any(x.batches[-1][1] != 0))

    assert sample.sizes == [1, 1]
    assert simplest(sample.t_u, sample.t_c, sample.w, sample.b)


def test_shapes_shrink_to_one_axis() -> None:
    """And to two of them, where two show it."""
    assert found("shapes", lambda x: np.broadcast_shapes(*x) != x[0]) in [((1,), (2,)), ((), (2,))]


def test_a_wrong_alignment_shrinks_to_a_row_and_a_table() -> None:
    assert found("trailing_shapes", lambda x: len(x[0]) != len(x[1]) and x[1]) == ((2, 3), (3,))


def test_what_does_not_fit_shrinks_to_two_against_three() -> None:
    assert found("misfitting_shapes", lambda x: True) == ((2,), (3,))


def test_a_gradient_that_is_not_summed_shrinks_to_two_products() -> None:
    sample = found("operands", lambda x: x.x.shape != x.upstream.shape and x.upstream.any() and x.y.any())

    assert sample.upstream.shape == (2,)
    assert np.all(np.isin([*sample.x.flat, *sample.y.flat, *sample.upstream.flat], [0, 1, -1]))

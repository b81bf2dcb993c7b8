"""The one comparison: the answers it accepts and rejects, its counts, and the text of a rejection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import forms

from calibrant import exact
from calibrant.exact import FORMATS, UNROUNDED, Exact, Format
from calibrant.judge import Disagreement, Tally, agree, agree_lists, as_exact, at_most, holds, listed, tallying
from calibrant.judge.comparing import LINE, show, show_exact, show_fraction
from calibrant.protocol.declarations import numpy_dtype

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=200)
FLOAT64 = FORMATS["float64"]
every_form = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


@pytest.fixture
def tally() -> Iterator[Tally]:
    with tallying(Tally()) as tally:
        yield tally


def number(value: Any, err: float = 0.0, form: Format = FLOAT64) -> Exact:
    return exact.constant(value, form).within(err, form)


def column(values: list[float], err: Any) -> Exact:
    return exact.of(np.array(values)).within(err, FLOAT64)


def disagreement(answer: Any, expected: Any) -> Disagreement:
    with pytest.raises(Disagreement) as caught:
        agree(answer, expected)
    return caught.value


# Within the bound


@EXAMPLES
@given(st.integers(-2, 2), st.integers(-20, 2), st.sampled_from([-1, 1]))
def test_an_answer_at_the_bound_agrees_and_one_beyond_it_does_not(value: int, exponent: int, side: int) -> None:
    """Every number here is exact in float64: what is beyond is so by a part in 2**30 of the bound."""
    bound = 2.0**exponent
    expected = number(value, bound)

    agree(value + side * bound, expected)
    assert disagreement(value + side * bound * (1 + 2.0**-30), expected).measured["bound"] == bound


@EXAMPLES
@given(st.integers(-2, 2), st.integers(-10, 2), st.sampled_from([1.0, 2.0, 8.0]))
def test_slack_widens_every_bound_by_its_factor(value: int, exponent: int, slack: float) -> None:
    bound = 2.0**exponent

    with tallying(Tally(slack=slack)) as tally:
        agree(value + slack * bound, number(value, bound))
        disagreement(value + slack * bound * (1 + 2.0**-30), number(value, bound))

        at_most(number(3), number(1, 2 / slack), "3 is at most 1")
        with pytest.raises(Disagreement):
            at_most(number(3), number(1, 1.5 / slack), "3 is at most 1")

    assert tally.worst == pytest.approx(slack)


def test_a_number_without_error_must_be_met_exactly_but_for_float64s_least_numbers() -> None:
    """The bound and the error are float64 themselves: that may cost 1e-323, which is no disagreement."""
    for form in FORMATS.values():
        agree(1.0, number(1, 0.0, form))
        disagreement(1.0 + 2.0**-52, number(1, 0.0, form))
    agree(5e-324, number(0))
    disagreement(2e-323, number(0))


@forms
def test_a_number_that_is_rounded_may_err_by_two_roundings(form: Format) -> None:
    """One unit in the last place at most; a number that is given, or zero, may not."""
    agree(1 + 2 * form.u, number(1, form.u / 4, form))
    disagreement(1 + 4 * form.u, number(1, form.u / 4, form))
    disagreement(1 + 2 * form.u, number(1, 0.0, form))
    disagreement(form.u, number(0, form.u / 4, form))


def test_one_claimed_element_beyond_its_bound_is_enough() -> None:
    expected = column([1.0, 2.0, 3.0], [0.5, 0.0, 0.5])

    agree([1.5, 2.0, 2.5], expected)
    disagreement([1.0, 2.0 + 2.0**-51, 3.0], expected)
    disagreement([math.nan, 3.0], column([1.0, 2.0], [math.inf, 0.5]))


WELL_CONDITIONED: dict[str, Callable[..., Exact]] = {
    "model": lambda u, p, c, little, w, b: exact.model(u, w, b),
    "loss": lambda u, p, c, little, w, b: exact.loss_fn(p, c),
    "dloss": lambda u, p, c, little, w, b: exact.dloss_fn(p, c),
    "grad": lambda u, p, c, little, w, b: exact.grad_fn(u, c, p),
    "gradient": lambda u, p, c, little, w, b: exact.gradient(u[:2], little[:2], w, b),
}
"""Formulas on positive numbers whose differences are positive too."""


UNITS = {"model": 4, "loss": 8, "dloss": 4, "grad": 8, "gradient": 8}
"""The units in the last place by which a wrong answer differs; a division by n may be one by its root, twice."""


@pytest.mark.untraced
@pytest.mark.parametrize("formula", WELL_CONDITIONED)
@forms
def test_a_few_units_in_the_last_place_are_too_many(formula: str, form: Format) -> None:
    """For up to three positive samples."""
    dtype = numpy_dtype(form.name)
    positive = st.integers(16, 127).map(lambda k: dtype.type(k / 32))  # 0.5 to 4, in every format

    @settings(EXAMPLES, max_examples=50)
    @given(
        st.lists(st.tuples(positive, positive), min_size=1, max_size=3), positive, positive, st.sampled_from([-1, 1])
    )
    def check(columns: list[tuple[Any, Any]], w: Any, b: Any, side: int) -> None:
        t_u, small = (np.array(column) for column in zip(*columns, strict=True))
        # The predictions of the gradient exceed 1/4, its measurements are 1/16 of at most 1/4.
        little = np.minimum(small, dtype.type(0.25)) / dtype.type(16)
        given = (t_u, small * dtype.type(4), small, little, np.asarray(w), np.asarray(b))
        expected = WELL_CONDITIONED[formula](*map(exact.of, given))
        truth = expected.fractions()
        for i, value in enumerate(truth):
            answer = np.array([float(exact.round_to(x, form)) for x in truth])
            agree(answer.reshape(expected.shape), expected)
            answer[i] = beyond(value * (1 + side * 2 * UNITS[formula] * Fraction(form.u)), side)
            disagreement(answer.reshape(expected.shape), expected)

    check()


@pytest.mark.parametrize(("scale", "times"), [("mean", 1), ("half", Fraction(1, 2)), ("sum", 3)])
@forms
def test_a_loss_of_another_scale_has_its_own_value_and_bound(form: Format, scale: str, times: Fraction) -> None:
    """Of the residuals 2, 0 and -1, whose squares add up to 5, and their sizes to 3."""
    dtype = numpy_dtype(form.name)
    t_p, t_c = (exact.of(np.array(x, dtype=dtype)) for x in ([3, 1, 0], [1, 1, 1]))
    mean, n = exact.loss_fn(t_p, t_c), 1 if scale == "sum" else 3

    with exact.evaluated(scale=scale):
        loss, absolute, slope = (f(t_p, t_c) for f in (exact.loss_fn, exact.absolute_loss, exact.dabsolute_loss))
        of_one = exact.dabsolute_loss(t_p[2:] + t_c[:1], t_p[2:])
        assert exact.of_mean(3) == times

    assert loss.fraction() == times * Fraction(5, 3)
    err = float(times) * mean.err
    assert err - form.tiny <= loss.err <= err + 8 * float(times) * form.u + form.tiny
    assert (loss.err > err) == (scale != "mean")
    assert loss.form is mean.form
    assert absolute.fraction() == Fraction(3, n)
    assert absolute.err <= 12 * form.u
    assert slope.fractions() == [Fraction(1, n), 0, Fraction(-1, n)]
    assert np.isfinite(slope.err).tolist() == [True, False, True]
    assert (max(slope.err[0], slope.err[2]) <= 2 * form.tiny) == (n == 1)
    assert slope.err[0] <= 2 * form.u
    assert of_one.fractions() == [1]


def beyond(x: Fraction, side: int) -> float:
    """The float64 number next to x on that side."""
    nearest = float(x)
    return nearest if (Fraction(nearest) - x) * side >= 0 else float(np.nextafter(nearest, side * math.inf))


# What is not finite


@pytest.mark.parametrize("answer", [math.nan, math.inf, -math.inf])
def test_an_answer_that_is_not_finite_is_beyond_every_finite_bound(answer: float) -> None:
    caught = disagreement(answer, number(1, 1e300))

    assert caught.measured["error"] == math.inf
    assert caught.measured["ulps"] == math.inf


@pytest.mark.parametrize("answer", [0.0, 5.0, math.nan, math.inf])
def test_nothing_is_judged_where_nothing_is_claimed(tally: Tally, answer: float) -> None:
    agree(answer, number(1, math.inf))
    agree([answer, 2.0], column([1.0, 2.0], [math.inf, 0.0]))

    assert (tally.judged, tally.unjudged) == (1, 2)


# Value for value


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_arrays_are_compared_value_for_value(tally: Tally, dtype: str) -> None:
    x = np.array([0, 1, -2], dtype=dtype)

    agree(x, x.copy())
    agree(x.astype(np.float64), x)
    caught = disagreement(x + 1, x)

    assert (tally.judged, tally.unjudged) == (9, 0)
    assert not caught.measured


@pytest.mark.parametrize(
    ("answer", "expected", "differing"),
    [
        ([0.5], 0.5, [0.25]),
        ([1, 2], [1, 2], [1, 3]),
        (0.1 + 0.2, 0.30000000000000004, 0.3),  # the same bits, and no others near them
        ([-0.0, math.nan, math.inf], [0.0, math.nan, math.inf], [0.0, math.nan, -math.inf]),  # zeros have no sign
        ([math.nan], [math.nan], [0.0]),
        ([0.0], [0.0], [math.nan]),
    ],
)
def test_plain_numbers_and_lists_are_as_good_as_arrays(answer: Any, expected: Any, differing: Any) -> None:
    agree(answer, expected)
    agree(np.array(answer), np.array(expected))
    disagreement(differing, expected)
    disagreement(np.array(differing), np.array(expected))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_zero_is_as_good_as_a_number_that_is_taken_for_zero(dtype: str) -> None:
    """Subnormal numbers and no others, of floating-point numbers and no others, and only where the target says so."""
    normal = np.finfo(dtype).smallest_normal
    lost = np.array([normal / 2, -normal / 4, 0.5], dtype=dtype)

    with tallying(Tally(flushes=True)):
        agree(lost * [0, 0, 1], lost)
        agree(np.array([0, 3]), np.array([0, 3]))
        disagreement(lost * [0, 0, 0], lost)
        disagreement(lost * [0, 2, 1], lost)
        disagreement(np.array([0.0]), np.array([normal]))
        disagreement(np.array([0, 3]), np.array([1, 3]))
    disagreement(lost * [0, 0, 1], lost)


# Shapes


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_number_may_have_any_shape_of_one_number(shape: tuple[int, ...]) -> None:
    for due in ((), (1,)):
        agree(np.full(shape, 0.5), np.full(due, 0.5))
        agree(np.full(shape, 0.5), exact.of(np.full(due, 0.5)))


@pytest.mark.parametrize(
    ("shape", "due"), [((2, 1), (2,)), ((1, 2), (2,)), ((), (2,)), ((2,), ()), ((0,), ()), ((3,), (2,)), ((4,), (2, 2))]
)
def test_several_numbers_have_the_shape_that_is_due(shape: tuple[int, ...], due: tuple[int, ...]) -> None:
    """All of these but one would broadcast."""
    for expected in (np.zeros(due), exact.of(np.zeros(due))):
        caught = disagreement(np.zeros(shape), expected)
        assert caught.actual.shape == shape
        assert caught.expected == due
        assert str(caught) == f"returned shape {shape} where {due} is due"
        with pytest.raises(Disagreement, match=r"^returned gradient 0 of shape"):
            agree(np.zeros(shape), expected, "gradient 0")


def test_an_answer_is_taken_exactly_if_it_is_finite_and_of_the_shape_that_is_due() -> None:
    assert as_exact(np.float32(0.1), ()).fractions() == [Fraction(float(np.float32(0.1)))]
    assert as_exact(np.array([[0.5]]), (1,)).shape == (1,)
    assert not as_exact(np.array([1.0, 2.0]), (2,)).err.any()
    assert as_exact(np.float32(0.1), ()).form is UNROUNDED

    for answer, shape, sentence in (
        (np.zeros(3), (2,), "returned shape (3,) where (2,) is due"),
        (np.array([1.0, math.nan]), (2,), "returned [1.0, nan] where finite numbers are due"),
        (np.array(math.inf), (), "returned inf where finite numbers are due"),
        (np.array([[0.5, -math.inf]]), (1, 2), "returned [[0.5, -inf]] where finite numbers are due"),
    ):
        with pytest.raises(Disagreement) as caught:
            as_exact(answer, shape)
        assert str(caught.value) == sentence


# Lists


TRUTHS = [[column([1.0, 2.0], 0.5), number(3.0, 0.5)], [column([4.0, 5.0], 0.5), number(6.0, 0.5)]]


def paths(**changes: Any) -> list[list[Any]]:
    """Two steps of two arrays that agree with TRUTHS, but for what is named: `t1k0` is the array 0 after step 1."""
    right = [[np.array([1.0, 2.5]), np.array(3.0)], [np.array([4.0, 5.0]), np.array([6.5])]]
    return [[changes.get(f"t{t}k{k}", x) for k, x in enumerate(step)] for t, step in enumerate(right, start=1)]


def test_a_list_agrees_if_every_array_of_every_step_does(tally: Tally) -> None:
    agree_lists(paths(), TRUTHS)
    agree(np.zeros(0), np.zeros(0))
    agree_lists([], [])
    agree_lists([[], []], [[], []])

    assert (tally.judged, tally.unjudged) == (6, 0)


def test_a_list_that_disagrees_counts_each_of_its_numbers_once(tally: Tally) -> None:
    with pytest.raises(Disagreement):
        agree_lists([[1.0, [1.0, 9.0]], [1.0]], [[number(1.0, math.inf), column([1.0, 2.0], 0.5)], [number(1.0)]])

    assert (tally.judged, tally.unjudged) == (3, 1)


@pytest.mark.parametrize(
    ("place", "wrong", "sentence"),
    [
        ("t1k0", np.array([1.0, 2.75]), "after step 1, parameter 0 is [1.0, 2.75], exactly"),
        ("t1k1", np.array(2.0), "after step 1, parameter 1 is 2.0, exactly"),
        ("t2k0", np.array([4.0, math.nan]), "after step 2, parameter 0 is [4.0, nan], exactly"),
        ("t2k1", np.array(7.0), "after step 2, parameter 1 is 7.0, exactly"),
        ("t2k0", np.array([[4.0], [5.0]]), "after step 2, parameter 0 is shape (2, 1) where (2,) is due"),
    ],
)
def test_a_list_disagrees_by_one_array_which_is_named(place: str, wrong: Any, sentence: str) -> None:
    with pytest.raises(Disagreement) as caught:
        agree_lists(paths(**{place: wrong}), TRUTHS)

    assert str(caught.value).startswith(sentence)
    assert caught.value.sentence == str(caught.value)
    assert caught.value.actual is wrong or np.array_equal(caught.value.actual, wrong, equal_nan=True)
    with pytest.raises(Disagreement, match=r"is \[1\.0, 9\.0\], where it first returned \[1\.0, 2\.0\]: off") as before:
        agree_lists(paths(t1k0=np.array([1.0, 9.0])), TRUTHS, due="where it first returned")
    assert before.value.due == "where it first returned"
    assert before.value.path is TRUTHS
    with pytest.raises(Disagreement, match=r"^after step 2 (is|returned) 9\.0"):  # one parameter has no number
        agree_lists([[np.array(1.0)], [np.array(9.0)]], [[number(1)], [number(2)]])


@pytest.mark.parametrize(
    ("answer", "sentence", "expected"),
    [
        ([[1, 2]], "returned 1 steps where 2 are due", 2),
        ([[1, 2], [1, 2], [1, 2]], "returned 3 steps where 2 are due", 2),
        ([[1, 2], [1]], "returned 1 arrays for step 2 where 2 are due", 2),
        ([[1, 2], [1, 2, 3]], "returned 3 arrays for step 2 where 2 are due", 2),
        ([[1, None], [1, 2]], "returned 1 arrays for step 1 where 2 are due", 2),
        ([[1, 2, None], [1, 2]], "returned 2 arrays for step 1 where 2 are due", 2),
    ],
)
def test_a_list_has_as_many_steps_and_arrays_as_are_due(answer: list[Any], sentence: str, expected: int) -> None:
    with pytest.raises(Disagreement) as caught:
        listed(answer, [2, 2])

    assert str(caught.value) == sentence
    assert (caught.value.actual, caught.value.expected) == (answer, expected)
    assert listed([[1, 2], [3, 4]], [2, 2]) == [[1, 2], [3, 4]]


# What a rejection says


def test_a_rejection_names_the_worst_element_in_units_of_its_bound() -> None:
    """Not the largest error: the one that is least excused."""
    caught = disagreement([1.25, 2.5, 103.0], column([1.0, 2.0, 100.0], [0.125, 0.0625, 2.0]))

    assert caught.measured == pytest.approx({"error": 0.5, "bound": 0.0625, "bounds": 8.0, "ulps": 0.5 * 2**51})
    assert isinstance(caught.expected, Exact)
    assert np.array_equal(caught.actual, [1.25, 2.5, 103.0])
    assert caught.sentence == str(caught)
    assert isinstance(caught, AssertionError)
    assert "(element 1)" in str(caught)
    assert "element" not in str(disagreement([3.0], column([2.0], [0.5])))
    assert "(element 1)" in str(disagreement([1e-300, 2e-300], column([0.0, 0.0], 0.0)))
    without_bound = disagreement(1.5, number(1)).measured
    assert without_bound["error"] == pytest.approx(0.5)
    assert without_bound["bound"] == 0
    assert without_bound["bounds"] > 1e300


SAID: list[tuple[Any, dict[str, Any], str]] = [
    (np.array([1.0, 2.0]), {}, "returned [1.0, 3.0] where [1.0, 2.0] is due, exactly"),
    (np.array([1.0, 2.0]), {"due": "and before"}, "returned [1.0, 3.0], and before [1.0, 2.0]"),
    (np.array([1.0, 2.0]), {"what": "row 1"}, "returned row 1 [1.0, 3.0] where [1.0, 2.0] is due, exactly"),
    (number(2.0), {}, "returned 3.0, exactly 2.0: off by 1, allowed 0"),
    (column([1.0, 2.0], 0.0), {"names": LINE}, "returned [1.0, 3.0], exactly [1.0, 2.0]: off by 1 (in b), allowed 0"),
    (
        column([1.0, 2.0], 0.0),
        {"what": "row 1", "due": "and before"},
        "returned row 1 [1.0, 3.0], and before [1.0, 2.0]: off by 1 (element 1), allowed 0",
    ),
    (
        column([1.0, 3.0, 3.5], 0.0),
        {"names": LINE},
        "returned [1.0, 3.0, 3.0], exactly [1.0, 3.0, 3.5]: off by 0.5 (element 2), allowed 0",
    ),
    (
        exact.of(np.array([[1.0, 2.0]])),
        {"names": LINE},
        "returned [[1.0, 3.0]], exactly [1.0, 2.0]: off by 1 (element 0, in b), allowed 0",
    ),
    (
        exact.of(np.array([[1.0, 2.0], [3.0, 4.0]])),
        {},
        "returned [[1.0, 3.0], [3.0, 4.0]], exactly [1.0, 2.0, 3.0, 4.0]: off by 1 (element 0, 1), allowed 0",
    ),
]


@pytest.mark.parametrize(("expected", "options", "sentence"), SAID)
def test_a_rejection_says_what_was_returned_and_what_is_due(
    expected: Any, options: dict[str, Any], sentence: str
) -> None:
    answer = np.resize([1.0, 3.0, 3.0, 4.0], expected.shape) if expected.shape else 3.0

    with pytest.raises(Disagreement) as caught:
        agree(answer, expected, **options)

    assert str(caught.value) == sentence
    assert caught.value.due == options.get("due", "exactly")


@every_form
def test_units_in_the_last_place_are_those_of_the_format(form: Format) -> None:
    measured = disagreement(1 + 20 * form.u, number(1, 4 * form.u, form)).measured

    assert measured["ulps"] == pytest.approx(10)
    assert measured["bounds"] == pytest.approx(5)


# Order, conditions and counts


def test_at_most_allows_the_errors_of_both_and_no_more(tally: Tally) -> None:
    at_most(number(1), number(1), "equal numbers are at most each other")
    at_most(number(1), number(2), "1 is at most 2")
    at_most(number(2, 0.5), number(1, 0.5), "2 is at most 1, within their errors")
    for errors in ((math.inf, 0.0), (0.0, math.inf)):
        at_most(number(9, errors[0]), number(1, errors[1]), "nothing is claimed")
    with pytest.raises(Disagreement) as caught:
        at_most(number(2, 0.5), number(1, 0.25), "2 is at most 1, within their errors")
    with pytest.raises(Disagreement) as exactly:
        at_most(number(1 + Fraction(1, 2**80), form=UNROUNDED), number(1, form=UNROUNDED), "one is at most the other")

    assert caught.value.measured == {"error": 1.0, "bound": 0.75, "bounds": 1 / 0.75}
    assert exactly.value.measured["bounds"] == math.inf
    assert str(caught.value) == "2 is at most 1, within their errors: 2.0 is more than 1.0, by 1, allowed 0.75"
    assert (tally.judged, tally.unjudged) == (5, 2)


def test_a_condition_holds_or_its_sentence_is_raised(tally: Tally) -> None:
    holds(True, "it does not")
    with pytest.raises(Disagreement, match="it does not"):
        holds(False, "it does not")

    assert tally.judged == 2


def test_the_worst_error_is_kept_in_units_of_its_bound(tally: Tally) -> None:
    agree([1.0, 1.25], column([1.0, 1.0], [0.5, 0.5]))
    agree(2.0, number(2, 0.5))
    agree(2.0, number(2, 0.0))

    assert tally.worst == pytest.approx(0.5)
    assert tally.judged == 4


def test_errors_are_counted_by_halvings_of_what_is_allowed(tally: Tally) -> None:
    """A half and more, a quarter and more, and so on; the last count holds all the smaller ones, and zero."""
    tally.slack = 2.0
    agree([1.0, 2.0, 1.375, 1.1875, 1.0 + 2**-12], column([1.0] * 5, [0.5] * 5))
    agree(2.0, number(2, 0.0))

    assert tally.spread == [1, 1, 1, 0, 0, 0, 0, 0, 0, 2]


def test_a_block_is_judged_as_its_tally_says() -> None:
    subnormal = np.array([1e-40], dtype=np.float32)
    with tallying(Tally(flushes=True)):
        assert exact.of(subnormal).err.item() > 0
    with tallying(Tally(narrow=True)):
        assert exact.of(np.array([1.0])).form.narrower == FORMATS["float32"]
    with tallying(Tally(scale="half")):
        assert exact.loss_fn(exact.of(np.array([2.0])), exact.of(np.array([0.0]))).fractions() == [2]


def test_requests_are_alike_of_which_some_were_served() -> None:
    assert Tally(kinds={"adam": [5, 2], "muon": [0, 7], "sgd": [3, 0]}).alike() == [8, 2]


def test_counts_go_to_the_innermost_block() -> None:
    with tallying(Tally()) as outer:
        with pytest.raises(Disagreement), tallying(Tally()) as inner:
            agree(1.0, number(2))
        agree(1.0, number(1))

    assert (outer.judged, inner.judged) == (1, 1)


# How numbers are written


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (np.array([0.5, 2.0], dtype=np.float16), "[0.5, 2.0]"),
        (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (np.array(math.nan), "nan"),
        (np.array([]), "[]"),
        (np.array(True), "True"),
        (np.zeros(60), f"[{', '.join(['0.0'] * 60)}]"),
        (np.zeros(61), "an array of shape (61,)"),
        (np.zeros((2, 0)), "an array of shape (2, 0)"),
    ],
)
def test_arrays_are_written_with_the_shortest_digits_of_their_dtype(x: Any, text: str) -> None:
    assert show(x) == text


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (Fraction(1, 2), "0.5"),
        (Fraction(1, 3), "0.3333333333333333 (1/3)"),
        (Fraction(-7), "-7.0"),
        (Fraction(1, 33333333333333), "3.00000000000003e-14 (1/33333333333333)"),
        (Fraction(1, 333333333333333), "3.000000000000003e-15"),
        (Fraction(10**30 + 1, 10**30), "1.0"),
        (Fraction(10) ** 400, "inf"),
    ],
)
def test_fractions_are_written_where_they_are_short(x: Fraction, text: str) -> None:
    assert show_fraction(x) == text
    assert show_exact(number(x, form=UNROUNDED)) == text
    assert show_exact(exact.concatenate(number(x), number(2))) == f"[{text}, 2.0]"

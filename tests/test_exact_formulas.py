"""The judge's formulas: the least-squares line, the walk to it and the gradient, as identities and within their bounds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from algebras import EXAMPLES, Overflow, Rounding, objects, off, within
from hypothesis import given, settings
from hypothesis import strategies as st
from support import f32

from calibrant import exact, strategies
from calibrant.adapters import numpy_target
from calibrant.exact import FORMATS, Exact, Format
from calibrant.exact.descent import _POWER_BITS

pytestmark = pytest.mark.untraced

FLOAT64 = FORMATS["float64"]
fits = strategies.fits().map(lambda drawn: drawn.at(FLOAT64))
ROUNDED = [form for form in FORMATS.values() if form.name != "bfloat16"]
"""The formats that NumPy has on its own."""


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


@pytest.mark.parametrize(("scale", "times"), [("mean", 1), ("half", Fraction(1, 2)), ("sum", 3)])
def test_a_penalty_counts_beside_the_loss_of_its_scale(scale: str, times: Fraction) -> None:
    """The slope of the scaled loss and that of l2 w ** 2 cancel."""
    t_u, t_c = exact.of(np.array([1.0, 2.0, 4.0])), exact.of(np.array([0.0, 3.0, 1.0]))
    with exact.evaluated(scale=scale):
        w, b = exact.optimum(t_u, t_c, 0.75)
    readings = zip(t_u.fractions(), t_c.fractions(), strict=True)

    assert times * sum(2 * (w * u + b - c) * u for u, c in readings) / 3 + 2 * Fraction(0.75) * w == 0


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
@settings(EXAMPLES, max_examples=40)
@given(st.data())
def test_the_bounds_of_lines_and_walks_hold_for_numpy(form: Format, data: st.DataObject) -> None:
    """The fit; some steps and the losses on the way; many steps; the closed form by squaring."""
    descent = data.draw(strategies.long_descents()).at(form)
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


@pytest.mark.parametrize(("n_epochs", "claimed"), [(20, True), (50, False), (100, False)])
def test_nothing_is_claimed_of_a_walk_whose_roundings_take_it_beyond_its_reach(n_epochs: int, claimed: bool) -> None:
    """In float16, where the errors of so many steps are as large as what they are taken of."""
    ones = exact.of(np.ones(3, dtype=np.float16))

    end = exact.closed_form(n_epochs, 0.4, exact.of(np.array([2.0, 0.0], dtype=np.float16)), ones, ones)

    assert np.isfinite(end.err).all() == claimed


def test_a_walk_of_many_steps_is_claimed_where_none_lengthens_anything() -> None:
    readings, start = column(-1.0, 1.0), column(1.0, 1.0)

    assert (exact.closed_form(1000, 0.25, start, readings, readings).err < 1e-5).all()
    assert not exact.closed_form(1000, 0.25, start * 0.0, readings, readings * 0.0).err.any()


def test_parameters_that_nobody_moves_may_be_flushed() -> None:
    with exact.evaluated(flushes=True):
        start = column(1.0, 1.0)
        (lost, _) = exact.closed_form(0, 0.25, start, column(1.0), column(1.0)).err.tolist()

    assert math.sqrt(2) <= lost / FLOAT32.normal < 2


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


def test_a_gradient_whose_sums_only_overflow_by_their_roundings_has_no_bound() -> None:
    """The true sum of the magnitudes fits: where the spacing is 32, each of the 600 small terms adds 64."""
    t_p = np.array([16384.0] + [24.015625] * 600, dtype=np.float16)
    t_u, t_c = np.ones_like(t_p), np.zeros_like(t_p)
    judged = exact.grad_fn(exact.of(t_u), exact.of(t_c), exact.of(t_p))

    assert 2 * sum(exact.of(t_p).fractions()) <= Fraction(FORMATS["float16"].largest)
    with pytest.raises(Overflow):
        Rounding({"x": t_u, "y": t_p}, FORMATS["float16"])(("mean", ("*", ("*", 2, "y"), "x")))
    assert np.isinf(judged.err).all()


@pytest.mark.parametrize("form", ROUNDED, ids=lambda form: form.name)
def test_the_bounds_of_lines_and_walks_are_small_on_ordinary_data(form: Format) -> None:
    """A bound that is infinite, or as large as the answer, would hold for everything."""
    t_u, t_c = (np.array(x, dtype=form.name) for x in ([-1.5, -0.5, 0.25, 1.0, 2.0], [1.0, 2.0, 0.5, -1.0, 4.0]))
    numbers = exact.of(np.array([1.0, 0.5], dtype=form.name)), exact.of(t_u), exact.of(t_c)
    n, k, rate = len(t_u), 10, 0.125
    roundings = 12 * n  # in one evaluation of the gradient, each of terms below 8; and each is remembered over k steps

    assert (exact.least_squares(*numbers[1:]).err < 8 * 8 * 8 * n * form.u).all()
    for walk in (exact.trajectory(k, rate, *numbers)[0], exact.closed_form(k, rate, *numbers)):
        assert (walk.err < roundings * k * 8 * form.u).all()


FLOAT32 = FORMATS["float32"]


def column(*numbers: float) -> Exact:
    return exact.of(f32(*numbers))


@pytest.mark.parametrize(("share", "claimed"), [(0.35, True), (0.51, False)])
def test_a_gradient_is_claimed_until_its_sums_may_overflow(share: float, claimed: bool) -> None:
    """Twice the residual is 0.7, or 1.02, of the largest number."""
    readings, temperatures, one = column(1.0), column(1 - share * FLOAT32.largest), column(1.0)[0]

    grad = exact.accumulated_grad([(readings, temperatures)], one, one * 0)

    assert np.isfinite(grad.errors()).all() == claimed


def test_a_bound_of_a_fit_grows_with_the_distance_of_the_readings_until_nothing_is_claimed() -> None:
    temperatures = column(1.0, 2.0, 4.0)
    bounds = [
        exact.least_squares(column(far, far + 1, far + 3), temperatures).errors()
        for far in map(float, 2 ** np.arange(21))
    ]

    claimed = [*np.isfinite(bounds).all(axis=1)]
    assert claimed == sorted(claimed, reverse=True)
    assert 5 < sum(claimed) < 21
    assert (np.diff(np.array(bounds[: sum(claimed)]), axis=0) > 0).all()


@pytest.mark.parametrize(("residual", "claimed"), [(2.0, True), (2.5, True), (1.5, False), (-2.0, True)])
def test_the_slope_of_a_magnitude_is_claimed_where_no_residual_may_be_lost(residual: float, claimed: bool) -> None:
    """In least normal numbers, below which a machine that flushes has nothing: each of two temperatures may be that much off."""
    with exact.evaluated(flushes=True):
        slope = exact.dabsolute_loss(column(residual * FLOAT32.normal), column(0.0))

    assert np.isfinite(float(slope.errors()[0])) == claimed
    assert slope.nearest()[0] == np.sign(residual)


@pytest.mark.parametrize("scale", ["mean", "half", "sum"])
def test_two_derivations_agree_in_every_scale_of_the_loss(scale: str) -> None:
    data = column(1.0, 2.0, 5.0), column(0.5, -1.0, 3.0), column(0.75)[0], column(-2.0)[0]
    with exact.evaluated(scale=scale):
        assert exact.symbolic_gradient(*data) == exact.gradient(*data).fractions()


@pytest.mark.parametrize(("n", "claimed"), [(1, True), (8, False)])
def test_a_penalty_is_claimed_until_its_sum_over_the_samples_may_overflow(n: int, claimed: bool) -> None:
    zeros, one = column(*[0.0] * n), column(1.0)[0]

    loss = exact.regularized_loss(zeros, zeros, one, 1e38, 0.0)

    assert np.isfinite(float(loss.err)) == claimed

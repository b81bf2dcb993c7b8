"""The exact truths of the chapter on validation."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from support import each_case

from calibrant import exact, strategies
from calibrant.exact import FORMATS, UNROUNDED, evaluated
from calibrant.exact.validation import MARGIN

FLOAT32 = FORMATS["float32"]
U, BOUNDARY = FLOAT32.u, float(MARGIN)


@pytest.mark.parametrize(
    ("n", "fraction", "sizes", "as_written"),
    [
        (100, 0.29, (28, 29), 29),
        (10, 0.1, (0, 1), 1),
        (10, 0.25, (2, 2), 2),
        (11, 0.2, (2, 2), 2),
        (4, 0.2, (0, 0), 0),
        (7, 0.0, (0, 0), 0),
        (3, 1 / 3, (0, 1), 0),
        (2, 0.5, (0, 1), 1),
        (300, 0.7, (209, 210), 210),
        (5, 1e-300, (0, 0), 0),
    ],
)
def test_sizes_of_a_validation_part(n: int, fraction: float, sizes: tuple[int, int], as_written: int) -> None:
    """On either side of a whole number, where rounding decides; the shortest decimal of a third is below a third."""
    fewest, most = exact.held_out(n, fraction)

    assert (fewest, most) == sizes or (fewest == most == as_written and Fraction(fraction) * n == as_written)
    assert exact.held_out_as_written(n, fraction) == (as_written, as_written)


def test_the_limits_of_a_fair_split_are_those_of_the_binomial_distribution() -> None:
    """The sum of chances as fractions, the other way round; complements mirror; without an error, every count is possible."""
    n, p, error = 300, Fraction(1, 10), Fraction(1, 20 * 10**9)
    fewest, most = exact.fair_counts(n, p, error)

    chance = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert (fewest, most) == (3, 68)
    assert sum(chance[:fewest]) <= error < sum(chance[: fewest + 1])
    assert sum(chance[most + 1 :]) <= error < sum(chance[most:])
    assert exact.fair_counts(n, 1 - p, error) == (n - most, n - fewest)
    assert exact.fair_counts(10, Fraction(1, 2), Fraction(0)) == (0, 10)
    with pytest.raises(ValueError, match="error"):
        exact.fair_counts(10, Fraction(1, 2), Fraction(1))


@each_case(strategies.ridges(), FLOAT32)
def test_at_the_optimum_of_ridge_the_regularized_gradient_is_zero(ridge: tuple[strategies.Fit, float, float]) -> None:
    """The closed form agrees with the gradient."""
    sample, *penalties = ridge
    t_u, t_c = exact.of(sample.t_u).true(), exact.of(sample.t_c).true()
    for l2 in penalties:
        w, b = (exact.constant(x, UNROUNDED) for x in exact.optimum(t_u, t_c, l2))

        assert exact.regularized_grad(t_u, t_c, w, b, 0.0, l2).fractions() == [0, 0]


@each_case(strategies.penalized_fits(), FLOAT32)
def test_the_regularized_gradient_is_the_slope_of_the_regularized_loss(sample: strategies.Penalized) -> None:
    """By central differences, which are exact for a quadratic; no step crosses the corner."""
    if not sample.w:
        sample.w = np.asarray(np.float32(1))
    t_u, t_c, w, b = (exact.of(x).true() for x in (sample.t_u, sample.t_c, sample.w, sample.b))

    def loss(w: Any, b: Any) -> Fraction:
        fraction: Fraction = exact.regularized_loss(exact.model(t_u, w, b), t_c, w, sample.l1, sample.l2).fraction()
        return fraction

    half = w / 2
    by_w = (loss(w + half, b) - loss(w - half, b)) / (2 * half.fraction())
    by_b = (loss(w, b + 1) - loss(w, b - 1)) / 2
    assert exact.regularized_grad(t_u, t_c, w, b, sample.l1, sample.l2).fractions() == [by_w, by_b]


def test_at_the_corner_every_slope_between_the_two_is_within_the_bound() -> None:
    zero, one = (exact.of(np.array([x])) for x in (0.0, 1.0))
    gradient = exact.regularized_grad(one, zero, zero[0], zero[0], 0.5, 1.0)

    assert gradient.fractions() == [0, 0]
    assert 0.5 <= gradient.err[0] < 0.5000001
    assert gradient.err[1] == 0


@pytest.mark.parametrize(
    ("losses", "patience", "due"),
    [
        ([1.0, 0.9, 0.95, 0.96, 0.97, 0.98], 2, (3, 1)),
        ([1.0, math.nan, 0.9, 0.95, math.nan], 2, (4, 2)),
        ([1.0, 0.9, 0.95], 2, (2, 1)),
        ([1.0, 1.0], 1, (1, 0)),
        ([math.nan, math.inf], 3, (1, None)),
        ([math.inf, 1.0], 2, (1, 1)),
        ([1.0], 1, (0, 0)),
    ],
)
def test_training_stops_after_its_patience(losses: list[float], patience: int, due: tuple[int, int | None]) -> None:
    assert exact.early_stopping(losses, patience) == due


@pytest.mark.parametrize(
    ("last", "val", "due"),
    [
        (1.0, 1.0, "good"),
        (8 * BOUNDARY * (1 + 4 * U), 1.0, None),
        (8 * BOUNDARY * (1 + 64 * U), 1.0, "underfitting"),
        (0.5, 1 + BOUNDARY, "good"),
        (0.5, (1 + BOUNDARY) * (1 + 4 * U), None),
        (0.5, (1 + BOUNDARY) * (1 + 64 * U), "overfitting"),
    ],
)
def test_a_diagnosis_is_decided_on_the_boundary_and_not_beside_it(last: float, val: float, due: str | None) -> None:
    """In any unit of the losses."""
    for unit in (1.0, 2.0**20, 2.0**-20):
        logs = (np.array(x, dtype=np.float32) * np.float32(unit) for x in ([8.0, last], [1.0, val]))

        assert exact.diagnose(*map(exact.of, logs)) == due


def test_a_training_loss_that_stands_still_since_the_best_epoch_does_not_fall() -> None:
    assert exact.diagnose(exact.of(np.array([8.0, 0.5, 0.5])), exact.of(np.array([2.0, 1.0, 4.0]))) == "good"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_penalty_of_the_size_of_a_weight_that_may_be_taken_for_zero_leaves_any_slope(dtype: str) -> None:
    """The least normal number is kept, and its slope is that of its sign; the next smaller one may be lost, where machines flush."""
    normal = np.finfo(dtype).smallest_normal
    with evaluated(flushes=True):
        column = exact.of(np.array([1.0], dtype=dtype))
        weights = [exact.of(np.array(x)) for x in (normal, -np.nextafter(normal, normal * 0))]
        kept, lost = (exact.regularized_grad(column, column, w, column[0], 8.0, 0.0).err[0] for w in weights)

    assert kept < 1e-4
    assert 15.9 < lost < 16.1

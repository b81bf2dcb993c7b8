"""The chapter on the loss."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import agree, as_exact, at_most, holds, shaped, show
from calibrant.strategies import Fit, Residuals
from calibrant.suite.claims import has_shape, keeps_dtype, last_of_many, leaves_arguments_alone, not_finite
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

LOSSES = pytest.mark.parametrize("loss", ["loss_fn", "absolute_loss"])
OPERATIONS = pytest.mark.parametrize("operation", ["loss_fn", "absolute_loss", "dabsolute_loss"])
OF_READINGS: dict[str, Callable[[Subject, Any, Any], tuple[Any, ...]]] = {
    "grad_fn": lambda target, t_u, t_c: (t_u, t_c, t_u, target.array(1.0), target.array(0.0)),
    "value_and_grad": lambda target, t_u, t_c: (target.array([1.0, 0.0]), t_u, t_c),
    "finite_difference": lambda target, t_u, t_c: (t_u, t_c, *map(target.array, (1.0, 0.0, 0.5))),
    "validation_loss": lambda target, t_u, t_c: (target.array([1.0, 0.0]), t_u, t_c),
    "regularized_grad": lambda target, t_u, t_c: (t_u, t_c, target.array(1.0), target.array(0.0), 0.5, 0.25),
}
"""The operations that compute a loss of the model, or its gradient, with their arguments for readings and measurements."""


@clause("loss.mean-square")
@given(strategies.residuals())
def test_loss_is_the_mean_of_the_squared_residuals(target: Subject, sample: Residuals) -> None:
    """Not their sum, not half of it, and divided by n, not n - 1."""
    answer = target.loss_fn(sample.t_p, sample.t_c)

    agree(answer, exact.loss_fn(exact.of(sample.t_p), exact.of(sample.t_c)))


@clause("loss.mean-square")
def test_the_last_of_many_losses_is_as_right_as_the_first(target: Subject) -> None:
    t_p, t_c = target.array([0.0, 1.0, 2.0]), target.array([0.5, 1.0, 4.0])

    answer = last_of_many(target, "loss_fn", t_p, t_c)

    agree(answer, exact.loss_fn(exact.of(t_p), exact.of(t_c)))


@clause("loss.scalar", fraction_of_examples=0.3)
@LOSSES
@given(sample=strategies.residuals())
def test_loss_is_a_scalar(target: Subject, loss: str, sample: Residuals) -> None:
    has_shape(target.call(loss, (sample.t_p, sample.t_c)).shape, ())


@clause("loss.dtype", fraction_of_examples=0.3)
@OPERATIONS
@given(sample=strategies.residuals())
def test_loss_has_the_dtype_of_the_predictions(target: Subject, operation: str, sample: Residuals) -> None:
    keeps_dtype(target, target.call(operation, (sample.t_p, sample.t_c)))


@clause("loss.zero")
@LOSSES
@given(sample=strategies.residuals())
def test_a_perfect_fit_has_no_loss(target: Subject, loss: str, sample: Residuals) -> None:
    agree(target.call(loss, (sample.t_c, sample.t_c.copy())), np.array(0.0))


@clause("loss.zero")
@LOSSES
@given(sample=strategies.residuals())
def test_a_loss_is_positive_where_predictions_miss(target: Subject, loss: str, sample: Residuals) -> None:
    """Positive as soon as one term of the mean is a normal number, and never below zero."""
    answer = float(shaped(target.call(loss, (sample.t_p, sample.t_c)), ()))

    residuals = abs(exact.of(sample.t_p).true() - exact.of(sample.t_c).true())
    terms = (residuals * residuals if loss == "loss_fn" else residuals) / residuals.size
    misses = bool((terms.nearest() >= 2 * target.form.normal).any())
    holds(answer > 0 if misses else not answer < 0, f"returned {answer} where more than 0 is due")


@clause("loss.symmetric", fraction_of_examples=0.3)
@LOSSES
@given(sample=strategies.residuals())
def test_predictions_and_measurements_may_change_places(target: Subject, loss: str, sample: Residuals) -> None:
    answer = target.call(loss, (sample.t_p, sample.t_c))
    other = target.call(loss, (sample.t_c, sample.t_p))

    agree_twice(target, other, answer, getattr(exact, loss)(exact.of(sample.t_p), exact.of(sample.t_c)))


def agree_twice(target: Subject, other: Any, answer: Any, truth: Exact) -> None:
    """Raise Disagreement if two answers for the same samples are further apart than two bounds of the loss."""
    if not np.isfinite(truth.err):
        return
    # Whatever its scale, a loss rounds in proportion to itself.
    scale = max(1.0, float(np.abs(shaped(answer, ()))) / max(float(truth.nearest()), target.form.normal))
    agree(
        other, as_exact(answer, ()).within(2 * scale * truth.allowed(), target.form), due="where the call before gave"
    )


@clause("loss.permutation")
@LOSSES
@given(shuffled=strategies.shuffled_fits())
def test_the_order_of_the_samples_does_not_matter(target: Subject, loss: str, shuffled: tuple[Fit, Any]) -> None:
    """A loss that drops the last row of an incomplete batch, or weighs samples by their place, fails here."""
    sample, order = shuffled
    t_p = sample.t_p
    answer = target.call(loss, (t_p, sample.t_c))
    permuted = target.call(loss, (t_p[order], sample.t_c[order]))

    agree_twice(target, permuted, answer, getattr(exact, loss)(exact.of(t_p), exact.of(sample.t_c)))


@clause("loss.same-shape", fraction_of_examples=0.3)
@pytest.mark.parametrize(
    "operation", ["loss_fn", "absolute_loss", "regularized_loss", "dloss_fn", "dabsolute_loss", *OF_READINGS]
)
@given(shapes=st.sampled_from(strategies.MISFITS))
def test_different_shapes_are_refused(
    target: Subject, operation: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """(n,) against (n, 1) averages n² pairs; a perfect fit then has the loss of twice the variance."""
    one, t_c = (target.array(np.arange(math.prod(shape), dtype=np.float64).reshape(shape)) for shape in shapes)
    penalty = (target.array(1.0), 0.5, 0.25) if operation == "regularized_loss" else ()
    arguments = OF_READINGS.get(operation, lambda target, t_p, t_c: (t_p, t_c, *penalty))

    refused = target.refuses(operation, *arguments(target, one, t_c))

    holds(refused, f"did not refuse the shapes {shapes[0]} and {shapes[1]}")


@clause("loss.empty")
@LOSSES
def test_no_samples_are_refused(target: Subject, loss: str) -> None:
    """The mean of no samples would be NaN or a silent 0, and would reach every weight."""
    holds(target.refuses(loss, target.array([]), target.array([])), "did not refuse a loss of no samples")


@clause("loss.nan", fraction_of_examples=0.3)
@LOSSES
@given(spoiled=strategies.spoiled_residuals())
def test_the_loss_of_non_finite_data_is_not_finite(
    target: Subject, loss: str, spoiled: tuple[Residuals, float]
) -> None:
    """A loss that skips NaN, or clips, reports a fit that no model has."""
    sample, value = spoiled
    not_finite(shaped(target.call(loss, (sample.t_p, sample.t_c)), ()), value)


@clause("loss.absolute")
@given(strategies.residuals())
def test_absolute_loss_is_the_mean_of_the_absolute_residuals(target: Subject, sample: Residuals) -> None:
    agree(target.absolute_loss(sample.t_p, sample.t_c), exact.absolute_loss(exact.of(sample.t_p), exact.of(sample.t_c)))


@clause("loss.outliers")
@pytest.mark.parametrize(("loss", "factor"), [("loss_fn", 4), ("absolute_loss", 2)])
@given(sample=strategies.residuals())
def test_twice_the_residual_is_four_times_the_squared_and_twice_the_absolute_loss(
    target: Subject, loss: str, factor: int, sample: Residuals
) -> None:
    """Multiplying by a power of two does not round, so this is exact; a Huber loss or a clipped loss fails here."""
    residual = target.array(np.clip(sample.t_p.astype(np.float64), -8, 8))
    residual[:-1] = 0
    zeros = np.zeros_like(residual)
    if abs(float(residual[-1])) < math.sqrt(target.form.normal) * len(residual):
        residual[-1] = 1

    once = target.call(loss, (residual, zeros))
    twice = target.call(loss, (residual + residual, zeros))

    agree(twice, once * once.dtype.type(factor), due=f"where {factor} times the answer before is")


@clause("loss.convex")
@LOSSES
@given(segment=strategies.segments())
def test_the_loss_halfway_is_at_most_the_mean_of_the_ends(
    target: Subject, loss: str, segment: tuple[Fit, list[Any]]
) -> None:
    data, places = segment
    t_u, t_c = exact.of(data.t_u), exact.of(data.t_c)
    errors = [getattr(exact, loss)(exact.model(t_u, *exact.of(params)), t_c).err for params in places]
    if not np.isfinite(errors).all():
        return

    predictions = [target.model(data.t_u, params[0], params[1]) for params in places]
    answers = [target.call(loss, (t_p, data.t_c)) for t_p in predictions]

    losses = [as_exact(x, ()).within(err, exact.UNROUNDED) for x, err in zip(answers, errors, strict=True)]
    start, middle, end = losses
    claim = "the loss halfway, which is the second, is at most the mean of the losses at the ends"
    at_most(middle, (start + end) / 2, f"returned {show(answers[-1])}; {claim}")


@clause("loss.wide-accumulation")
@LOSSES
@pytest.mark.parametrize("residuals", [[1.0] * 4, [1.0, 0.5, -1.0, -0.25, 1.0, 0.75], [0.5, *[1.0] * 64]], ids=len)
def test_the_mean_is_found_where_the_sum_overflows(target: Subject, loss: str, residuals: list[float]) -> None:
    """Terms of a quarter of the largest number at most: the dtype holds their mean, and the sum is out of range."""
    if target.follow["loss.scale"] == "sum":
        pytest.skip("a loss that is a sum overflows where the sum does")
    root = (target.form.max_exponent + 1) // 2 - 1
    power = root if loss == "loss_fn" else target.form.max_exponent - 1
    t_p, n = target.array([x * 2.0**power for x in residuals]), len(residuals)

    answer = target.call(loss, (t_p, target.array([0.0] * n)))

    sizes = [Fraction(x) ** 2 * 4**power if loss == "loss_fn" else abs(Fraction(x)) * 2**power for x in residuals]
    due = exact.constant(sum(sizes) / n * (exact.of_mean(n) if loss == "loss_fn" else 1), target.form)
    # n - 1 sums, nine roundings of a mean of squares (A.mean-square), and the square.
    agree(answer, due.within(exact.gamma(n + 9, target.form) * due.magnitude(), target.form))


@clause("loss.smooth-at-zero")
@given(strategies.residuals())
def test_squared_loss_is_flat_at_a_zero_residual(target: Subject, sample: Residuals) -> None:
    t_p = sample.t_p.copy()
    t_p[-1] = sample.t_c[-1]

    answer = target.dloss_fn(t_p, sample.t_c)

    agree(shaped(answer, t_p.shape)[-1], np.array(0.0))


@clause("loss.smooth-at-zero")
@given(strategies.residuals())
def test_absolute_loss_has_a_slope_at_a_zero_residual(target: Subject, sample: Residuals) -> None:
    """r / |r| is NaN at r = 0; any slope between -1/n and 1/n is right, and between -1 and 1 for a loss that is a sum."""
    t_p = sample.t_p.copy()
    t_p[-1] = sample.t_c[-1]
    n = 1 if target.follow["loss.scale"] == "sum" else len(t_p)

    slope = float(shaped(target.dabsolute_loss(t_p, sample.t_c), t_p.shape)[-1])

    holds(abs(slope) * n <= 1 + 2 * target.form.u, f"returned the slope {slope}, not one in [-1, 1] / {n}")


@clause("loss.absolute-slope")
@given(strategies.residuals())
def test_absolute_loss_has_the_slope_of_the_residuals_sign_over_n(target: Subject, sample: Residuals) -> None:
    """A sign that is not divided by n makes the step grow with the number of samples."""
    answer = target.dabsolute_loss(sample.t_p, sample.t_c)

    due = exact.dabsolute_loss(exact.of(sample.t_p), exact.of(sample.t_c))
    has_shape(answer.shape, due.shape)
    apart = np.isfinite(due.errors())  # of the others the clause says nothing
    agree(answer[apart], due[apart])


@clause("loss.pure", fraction_of_examples=0.3)
@OPERATIONS
@given(sample=strategies.residuals())
def test_loss_leaves_its_arguments_alone(target: Subject, operation: str, sample: Residuals) -> None:
    leaves_arguments_alone(target, operation, sample.t_p, sample.t_c)


@clause("loss.deterministic", fraction_of_examples=0.3)
@pytest.mark.parametrize("operation", ["loss_fn", "absolute_loss", "value_and_grad"])
@given(sample=strategies.fits())
def test_the_same_numbers_give_the_same_bits(target: Subject, operation: str, sample: Fit) -> None:
    """A sum over threads in the order in which they end differs in its last bits from run to run."""
    data = (sample.params, sample.t_u, sample.t_c) if operation == "value_and_grad" else (sample.t_p, sample.t_c)
    target.call(operation, data)

    holds(target.repeats(), "returned something else when it was called again")

"""The chapter on gradients."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.exact.measurements import T_C, T_U
from calibrant.judge import LINE, agree, as_exact, at_most, holds, shaped, show
from calibrant.protocol.straight_line import Written
from calibrant.strategies import Approach, Batched, Descent, Fit, Probe, Residuals, squared_distance
from calibrant.suite.claims import keeps_dtype, last_of_many, leaves_arguments_alone, not_finite
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

ARGUMENTS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "finite_difference": lambda sample: (sample.t_u, sample.t_c, sample.w, sample.b, sample.delta),
    "grad_fn": lambda sample: (sample.t_u, sample.t_c, sample.t_p, sample.w, sample.b),
    "value_and_grad": lambda sample: (sample.params, sample.t_u, sample.t_c),
    "dloss_fn": lambda sample: (sample.t_p, sample.t_c),
    "dmodel_dw": lambda sample: (sample.t_u, sample.w, sample.b),
    "dmodel_db": lambda sample: (sample.t_u, sample.w, sample.b),
    "difference_gradient": lambda sample: (squared_distance(0.5), sample.params, sample.delta),
}
"""What each operation is asked of a sample; the first three are ways to the gradient."""
WAYS = tuple(ARGUMENTS)[:3]
GRADIENT = "the gradient"
"""What a message calls the part of an answer that is no loss."""
each_way = pytest.mark.parametrize("way", WAYS)


def by_way(target: Subject, way: str, sample: Fit) -> Any:
    """The gradient, computed in one of the three ways."""
    answer = target.call(way, ARGUMENTS[way](sample))
    return answer[1] if way == "value_and_grad" else answer


def numbers(sample: Fit) -> list[Exact]:
    """The sample's readings, temperatures, weight and bias."""
    return [exact.of(x) for x in (sample.t_u, sample.t_c, sample.w, sample.b)]


def truth(sample: Fit) -> Exact:
    """The gradient of the loss of the model, with the error of evaluating it."""
    return exact.gradient(*numbers(sample))


def error(way: str, sample: Any) -> Any:
    """The error that the gradient may show when it is computed in this way."""
    if way != "finite_difference":
        return truth(sample).err
    return exact.finite_difference(*numbers(sample), exact.of(sample.delta)).err


class Counted:
    """The sum of the squares of the parameters, which counts how often it is asked."""

    source = "lambda params: (params * params).sum()"

    def __init__(self) -> None:
        self.evaluations = 0

    def __call__(self, params: Any) -> Any:
        self.evaluations += 1
        return (params * params).sum()


@clause("gradient.central")
@given(strategies.probes())
def test_difference_quotient_is_the_derivative(target: Subject, sample: Probe) -> None:
    """A central difference of a quadratic has no truncation error, whatever the step.

    A forward difference is off by half the second derivative times the step; a quotient by delta is off by a factor of 2.
    """
    answer = by_way(target, "finite_difference", sample)

    agree(answer, truth(sample).within(error("finite_difference", sample), target.form), names=LINE)


@clause("gradient.central", fraction_of_examples=0.3)
@given(strategies.approaches())
def test_difference_quotients_of_any_loss_move_each_parameter_alone(target: Subject, sample: Approach) -> None:
    delta = target.array(0.5)

    answer = target.difference_gradient(sample.loss, sample.params, delta)

    agree(answer, exact.difference_gradient(sample.loss, exact.of(sample.params), exact.of(delta)))


@clause("gradient.central")
@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "source", ["(params * params * params).sum()", "params[0] * params[0] * params[1] * params[1]"]
)
def test_difference_quotients_have_the_truncation_error_of_the_given_step(
    target: Subject, source: str, delta: float
) -> None:
    """Another step, or a formula of higher order, gives the same for a quadratic, and something else for these."""
    loss, params = Written(f"lambda params: {source}"), target.array([1.0, -3.0])

    answer = target.difference_gradient(loss, params, target.array(delta))

    agree(answer, exact.difference_gradient(loss, exact.of(params), exact.of(target.array(delta))))


@clause("gradient.cost")
@pytest.mark.parametrize("p", [1, 2, 3, 10, 50])
def test_differences_cost_two_evaluations_for_each_parameter(target: Subject, p: int) -> None:
    loss = Counted()

    target.difference_gradient(loss, target.array(np.ones(p)), target.array(0.5))

    holds(loss.evaluations == 2 * p, f"evaluated the loss {loss.evaluations} times for {p} parameters, not {2 * p}")


@clause("gradient.cost")
def test_automatic_differentiation_costs_the_same_for_any_number_of_parameters(target: Subject) -> None:
    counts = []
    for p in (1, 2, 10, 50):
        loss = Counted()
        target.automatic_gradient(loss, target.array(np.ones(p)))
        counts.append(loss.evaluations)

    holds(len(set(counts)) == 1, f"evaluated the loss {counts} times for 1, 2, 10 and 50 parameters")


@clause("gradient.by-hand-loss")
@given(strategies.residuals())
def test_derivative_by_a_prediction_is_twice_its_residual_over_n(target: Subject, sample: Residuals) -> None:
    """It has the factor 2, is divided by n, and has the sign of t_p - t_c."""
    answer = target.dloss_fn(sample.t_p, sample.t_c)

    agree(answer, exact.dloss_fn(exact.of(sample.t_p), exact.of(sample.t_c)))


@clause("gradient.by-hand-w", fraction_of_examples=0.3)
@given(strategies.fits())
def test_derivative_of_the_model_by_the_weight_is_the_reading(target: Subject, sample: Fit) -> None:
    agree(broadcast(target.dmodel_dw(sample.t_u, sample.w, sample.b), sample.t_u.shape), sample.t_u)


@clause("gradient.by-hand-b", fraction_of_examples=0.3)
@given(strategies.fits())
def test_derivative_of_the_model_by_the_bias_is_one(target: Subject, sample: Fit) -> None:
    agree(broadcast(target.dmodel_db(sample.t_u, sample.w, sample.b), sample.t_u.shape), np.ones(sample.t_u.shape))


def broadcast(answer: Any, shape: tuple[int, ...]) -> Any:
    """The answer at its full size, if it broadcasts to that; otherwise as it is, to be found wrong."""
    try:
        return np.broadcast_to(answer, shape)
    except ValueError:
        return answer


@clause("gradient.chain-rule")
@given(strategies.fits())
def test_gradient_by_hand_is_the_true_gradient(target: Subject, sample: Fit) -> None:
    agree(by_way(target, "grad_fn", sample), truth(sample), names=LINE)


@clause("gradient.symbolic")
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_algebra_derives_the_same_formula(target: Subject, n: int) -> None:
    """Compare both formulas for all readings, temperatures and parameters, then the target's answer at one point."""
    holds(exact.symbolic_identity(n), f"the derivative of the loss of {n} samples is not the formula derived by hand")
    sample = Fit(*map(target.array, (np.arange(1.0, n + 1), np.arange(n) % 3 - 1.0, 2.0, -0.5)))

    answer = by_way(target, "grad_fn", sample)

    agree(answer, truth(sample), names=LINE)
    by_algebra = exact.symbolic_gradient(*numbers(sample))
    holds(by_algebra == truth(sample).fractions(), "two derivations differ in a number")


@clause("gradient.symbolic")
@given(strategies.simple_fits())
def test_gradient_by_hand_is_the_one_that_algebra_derives(target: Subject, sample: Fit) -> None:
    answer = by_way(target, "grad_fn", sample)

    by_algebra = exact.symbolic_gradient(*numbers(sample))
    values = exact.concatenate(*(exact.constant(x, exact.UNROUNDED) for x in by_algebra))
    agree(answer, values.within(truth(sample).err, target.form), names=LINE)


@clause("gradient.automatic")
@given(strategies.fits())
def test_automatic_differentiation_gives_the_true_gradient(target: Subject, sample: Fit) -> None:
    agree(by_way(target, "value_and_grad", sample), truth(sample), GRADIENT, names=LINE)


@clause("gradient.automatic")
def test_the_last_of_many_gradients_is_as_right_as_the_first(target: Subject) -> None:
    sample = Fit(*map(target.array, ([1.0, 2.0, 4.0], [0.5, 1.0, 2.0], 2.0, -0.5)))

    _, gradient = last_of_many(target, "value_and_grad", *ARGUMENTS["value_and_grad"](sample))

    agree(gradient, truth(sample), GRADIENT, names=LINE)


@clause("gradient.value")
@given(strategies.fits())
def test_the_reported_loss_is_the_loss_of_the_model(target: Subject, sample: Fit) -> None:
    """It may be of another scale than the target's `loss_fn`, or of other parameters."""
    loss, _ = target.value_and_grad(sample.params, sample.t_u, sample.t_c)

    t_u, t_c, w, b = numbers(sample)
    agree(loss, exact.loss_fn(exact.model(t_u, w, b), t_c))


@clause("gradient.of-the-reported-loss")
@given(strategies.simple_fits())
def test_the_gradient_is_the_slope_of_the_reported_loss(target: Subject, sample: Fit) -> None:
    """Central differences of the reported loss, which are exact here, equal its gradient, whatever multiple of the mean the loss is.

    A loss without a factor 1/2 whose gradient has it trains at half the learning rate.
    """
    t_u, t_c, params = exact.of(sample.t_u), exact.of(sample.t_c), sample.params
    slopes, errors, times = [], [], Fraction(1)
    for i in (0, 1):
        losses, reach = [], 0.0
        for step in (1, -1):
            moved = params.copy()
            moved[i] += step
            loss, _ = target.value_and_grad(moved, sample.t_u, sample.t_c)
            losses.append(as_exact(loss, ()))
            true = exact.loss_fn(exact.model(t_u, *exact.of(moved)), t_c)
            reach += float(true.err + 2 * target.form.u * true.magnitude())
            times = max(times, abs(losses[-1].fraction() / true.fraction()) if true.fraction() else times)
        slopes.append((losses[0] - losses[1]) / 2)
        errors.append(reach / 2)
    _, gradient = target.value_and_grad(params, sample.t_u, sample.t_c)

    # A loss that is a multiple of the mean rounds so many times as much, and twice more: for the multiple and for the product with it.
    due = truth(sample)
    allowed = (due.err + 2 * target.form.u * due.magnitude() + np.array(errors)) * float(times)
    own = exact.concatenate(*slopes).within(allowed, target.form)
    agree(
        gradient, own, GRADIENT, due="where the losses that it reports at w ± 1 and b ± 1 have the slopes", names=LINE
    )


@clause("gradient.agree", fraction_of_examples=0.5)
@pytest.mark.parametrize(("one", "other"), [WAYS[:2], WAYS[1:], WAYS[::2]])
@given(sample=strategies.probes())
def test_two_ways_to_the_gradient_agree(target: Subject, one: str, other: str, sample: Probe) -> None:
    err = error(one, sample) + error(other, sample)
    if not np.isfinite(err).all():
        return

    first, second = by_way(target, one, sample), by_way(target, other, sample)

    expected = as_exact(first, (2,)).within(err, target.form)
    agree(second, expected, GRADIENT, due=f"where {one} returned the gradient", names=LINE)


@clause("gradient.additive", fraction_of_examples=0.6)
@pytest.mark.parametrize("way", WAYS[1:])
@given(whole=strategies.parts())
def test_gradients_of_parts_combine_by_their_sizes(target: Subject, way: str, whole: Batched) -> None:
    """The mean of all samples weighs the means of two parts by their numbers of samples; a sum adds their sums."""
    n = len(whole.t_u)
    of_whole = exact.of_mean(n) / n
    one, other = (size * of_whole / exact.of_mean(size) for size in whole.sizes)
    pieces = [*(Fit(t_u, t_c, whole.w, whole.b) for t_u, t_c in whole.batches), whole]
    answers = [by_way(target, way, piece) for piece in pieces]
    errors = [truth(piece).err for piece in pieces]
    if not np.isfinite(np.array(errors)).all():
        return

    first, second = (as_exact(answer, (2,)) for answer in answers[:2])
    weighted = (first * one + second * other).within(
        float(one) * errors[0] + float(other) * errors[1] + errors[2], target.form
    )
    agree(answers[2], weighted, GRADIENT, due="where its gradients of the two parts, by their sizes, make", names=LINE)


@clause("gradient.optimum", fraction_of_examples=0.5)
@each_way
@given(sample=strategies.optima())
def test_gradient_vanishes_at_the_optimum(target: Subject, way: str, sample: Fit) -> None:
    probe = Probe(sample.t_u, sample.t_c, sample.w, sample.b, target.array(0.5))

    flat = exact.of(np.zeros(2), exact.UNROUNDED).within(error(way, probe), target.form)
    agree(by_way(target, way, probe), flat, GRADIENT, names=LINE)


@clause("gradient.descent-lemma")
@given(strategies.descents())
def test_a_step_against_the_gradient_lowers_the_loss(target: Subject, sample: Descent) -> None:
    """It falls by at least lr (1 - lr lambda_max / 2) |g|²; a gradient of the wrong sign or of twice the length fails."""
    t_u, t_c, params = exact.of(sample.t_u), exact.of(sample.t_c), exact.of(sample.params)
    curvature, rate = exact.curvatures(t_u)[1], Fraction(sample.learning_rate)
    if rate * curvature >= 2:
        return
    true_gradient = truth(sample)
    true_before = exact.loss_fn(exact.model(t_u, *params), t_c)
    if not (np.isfinite(true_gradient.err).all() and np.isfinite(true_before.err)):
        return
    before, gradient = target.value_and_grad(sample.params, sample.t_u, sample.t_c)
    as_exact(gradient, (2,))
    with np.errstate(all="ignore"):
        after_params = sample.params - target.array(sample.learning_rate) * shaped(gradient, (2,)).astype(target.dtype)
    if not np.isfinite(after_params).all():
        return
    after, _ = target.value_and_grad(after_params, sample.t_u, sample.t_c)
    true_after = exact.loss_fn(exact.model(t_u, *exact.of(after_params)), t_c)
    if not np.isfinite(true_after.err):
        return

    # What rounding may take from the step: each parameter is off by `off` from where the exact step ends.
    off = exact.step(params, exact.hyperparameter(sample.learning_rate, target.form), t_u, t_c).err
    g = true_gradient.fractions()
    size = sum(x * x for x in g)
    end_slope = (1 + float(rate * curvature)) * float(size) ** 0.5
    slip = end_slope * float(np.linalg.norm(off)) + float(curvature) * float(np.linalg.norm(off)) ** 2 / 2
    due = exact.constant(rate * (1 - rate * curvature / 2) * size, exact.UNROUNDED)
    fall = as_exact(before, ()) - as_exact(after, ())
    allowance = float(true_before.err + true_after.err) + slip * (1 + 1e-9)
    at_most(
        due.within(0.0, target.form),
        fall.within(allowance, target.form),
        f"returned the loss {show(after)}, a step after the loss {show(before)};"
        " it falls by at least lr (1 - lr lambda_max / 2) |g|²",
    )


@clause("gradient.thermometer")
@each_way
def test_every_way_gives_the_gradient_of_the_thermometer(target: Subject, way: str) -> None:
    """It is 4517.296363... and 82.6 in rational numbers; the target answers for the readings as its dtype rounds them."""
    t_u, t_c = (exact.of(np.round(np.array(column) * 10), exact.UNROUNDED) / 10 for column in (T_U, T_C))
    one, zero = exact.constant(1, exact.UNROUNDED), exact.constant(0, exact.UNROUNDED)
    by_hand = exact.gradient(t_u, t_c, one, zero).fractions()
    due = [x * exact.of_mean(len(T_U)) for x in (Fraction(2484513, 550), Fraction(413, 5))]
    holds(by_hand == due, "the gradient of the thermometer is another")
    sample = Probe(*map(target.array, (T_U, T_C, 1.0, 0.0, 0.125)))

    agree(by_way(target, way, sample), truth(sample).within(error(way, sample), target.form), GRADIENT, names=LINE)


@clause("gradient.nan", fraction_of_examples=0.3)
@each_way
@given(spoiled=strategies.spoiled_probes())
def test_non_finite_data_reach_both_components(target: Subject, way: str, spoiled: tuple[Probe, float]) -> None:
    """A gradient that replaces NaN or infinity by zero, or clips it, is the gradient of other data."""
    sample, value = spoiled
    not_finite(shaped(by_way(target, way, sample), (2,)), value, GRADIENT)


@clause("gradient.nan", fraction_of_examples=0.3)
@given(strategies.spoiled_residuals())
def test_non_finite_data_reach_the_derivative_by_their_prediction(
    target: Subject, spoiled: tuple[Residuals, float]
) -> None:
    sample, value = spoiled
    answer = shaped(target.dloss_fn(sample.t_p, sample.t_c), sample.t_p.shape)

    not_finite(answer[~np.isfinite(sample.t_p) | ~np.isfinite(sample.t_c)], value)


@clause("gradient.dtype", fraction_of_examples=0.3)
@pytest.mark.parametrize("operation", [*WAYS, "dloss_fn", "dmodel_dw", "difference_gradient"])
@given(sample=strategies.probes())
def test_gradient_has_the_dtype_of_the_data(target: Subject, operation: str, sample: Probe) -> None:
    keeps_dtype(target, target.call(operation, ARGUMENTS[operation](sample)))


@clause("gradient.pure", fraction_of_examples=0.3)
@pytest.mark.parametrize("operation", ARGUMENTS)
@given(sample=strategies.probes())
def test_gradients_leave_their_arguments_alone(target: Subject, operation: str, sample: Probe) -> None:
    """A parameter that is moved in place and back again need not end where it began."""
    leaves_arguments_alone(target, operation, *ARGUMENTS[operation](sample))

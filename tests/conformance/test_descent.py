"""The chapter on descent."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.exact.measurements import INTERCEPT, NORRIS, SLOPE, T_C, T_U
from calibrant.judge import LINE, agree, as_exact, at_most, holds, shaped, show
from calibrant.strategies import Descent, Fit
from calibrant.suite.claims import answers, keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


def run(sample: Descent) -> tuple[Any, ...]:
    """The sample as arguments of the training loop."""
    return sample.n_epochs, {"name": "sgd", "lr": sample.learning_rate}, sample.params, sample.t_u, sample.t_c


def descend(target: Subject, sample: Descent) -> tuple[Any, Any]:
    """The parameters after the sample's epochs, and the losses on the way."""
    params, losses, _ = target.training_loop(*run(sample))
    return params, losses


def numbers(sample: Fit) -> tuple[Exact, Exact, Exact]:
    """The sample's parameters and data."""
    return exact.of(sample.params), exact.of(sample.t_u), exact.of(sample.t_c)


def ends(params: Any, due: Any) -> None:
    """Raise Disagreement unless a run ends at the parameters that are due."""
    agree(params, due, "the parameters", names=LINE)


@clause("descent.step")
@given(strategies.descents())
def test_a_step_goes_against_the_gradient(target: Subject, sample: Descent) -> None:
    """Both parameters start from the same old ones: a bias that is updated with the new weight fails here."""
    sample.n_epochs = 1

    params, _ = descend(target, sample)

    ends(params, exact.trajectory(1, sample.learning_rate, *numbers(sample))[0])


@clause("descent.trajectory", fraction_of_examples=0.6)
@given(strategies.descents())
def test_steps_follow_the_recurrence(target: Subject, sample: Descent) -> None:
    params, _ = descend(target, sample)

    ends(params, exact.trajectory(sample.n_epochs, sample.learning_rate, *numbers(sample))[0])


@clause("descent.log", fraction_of_examples=0.6)
@given(strategies.descents())
def test_every_epoch_logs_the_loss_before_its_step(target: Subject, sample: Descent) -> None:
    """The first loss belongs to the initial parameters; a loop that logs after the update loses it."""
    _, losses = descend(target, sample)

    _, truths = exact.trajectory(sample.n_epochs, sample.learning_rate, *numbers(sample))
    agree(losses, exact.concatenate(*truths), "the losses")


@clause("descent.closed-form", fraction_of_examples=0.3)
@given(strategies.long_descents())
def test_many_steps_end_where_the_closed_form_says(target: Subject, sample: Descent) -> None:
    params, _ = descend(target, sample)

    ends(params, exact.closed_form(sample.n_epochs, sample.learning_rate, *numbers(sample)))


@clause("descent.closed-form", fraction_of_examples=0.3)
@given(strategies.strides())
def test_closed_form_is_evaluated_without_walking(target: Subject, sample: Descent) -> None:
    """For any number of steps, from none: a power by squaring that loses its last bit is right for even numbers."""
    answer = target.closed_form(*in_one_stride(sample))

    agree(answer, exact.by_squaring(sample.n_epochs, sample.learning_rate, *numbers(sample)), names=LINE)


@clause("descent.converges", fraction_of_examples=0.6)
@given(strategies.descents())
def test_below_the_limit_no_step_leads_away(target: Subject, sample: Descent) -> None:
    """The loss above its minimum is the distance to the optimum in the norm of the Hessian, which no step increases.

    The last step of runs of all lengths is judged: the parameters of a run against those of a run that is one epoch shorter.
    """
    start, t_u, t_c = numbers(sample)
    curvature = exact.curvatures(t_u)[1]
    if sample.learning_rate * curvature >= 2:
        sample.learning_rate = strategies.rate_below(0.96875, sample.t_u)

    n_epochs, earlier = sample.n_epochs, sample.params
    if n_epochs > 1:
        sample.n_epochs -= 1
        earlier, _ = descend(target, sample)
        sample.n_epochs = n_epochs
    params, _ = descend(target, sample)

    path = [exact.trajectory(n, sample.learning_rate, start, t_u, t_c)[0] for n in (n_epochs - 1, n_epochs)]
    if not np.isfinite([place.err for place in path]).all():
        return
    off = [float(np.linalg.norm(place.err)) for place in path]
    # The loss is convex, and a step does not lengthen its gradient: either end slips by that times how far it is off.
    slope = float(np.linalg.norm(exact.gradient(t_u.true(), t_c.true(), *path[0].true()).magnitude()))
    slip = slope * sum(off) + float(curvature) * off[1] ** 2 / 2
    before, after = (
        exact.loss_fn(exact.model(t_u.true(), *as_exact(place, (2,))), t_c.true()) for place in (earlier, params)
    )
    led = f"returned the parameters {show(params)}, where the last step left {show(earlier)}"
    at_most(
        after, before.within(slip * (1 + 1e-9), exact.UNROUNDED), f"{led}; the loss there is at most the loss before"
    )


@clause("descent.diverges", fraction_of_examples=0.3)
@given(strategies.steep_descents())
def test_above_the_limit_the_parameters_overflow(target: Subject, sample: Descent) -> None:
    """A loop that clips, or replaces NaN, hides that nothing was learned. Some rates are a 64th above the limit."""
    params, _ = descend(target, sample)

    holds(not np.isfinite(params).all(), f"returned {params} where an overflow is due after {sample.n_epochs} epochs")


@clause("descent.diverges")
@pytest.mark.parametrize("excess", [1.125, 1.0625])
def test_a_little_above_the_limit_the_parameters_overflow(target: Subject, excess: float) -> None:
    """The book's small example grows by a quarter at each step, or by an eighth, then from far off: to clip steps, or the rate, hides that."""
    start = 0.0 if excess > 1.1 else target.form.largest * 2.0**-24
    rate = excess * 0.25 / float(exact.of_mean(2))
    growth = math.log(2 * excess - 1 - 8 * target.form.u)
    n_epochs = math.ceil(math.log(target.form.largest / max(start, 1.0)) / growth) + 10
    columns = target.array([-2.0, 2.0]), target.array([-1.0, 3.0])

    params, _ = descend(target, Descent(*columns, target.array(start), target.array(0.0), rate, n_epochs))

    holds(not np.isfinite(params).all(), f"returned {params} where an overflow is due after {n_epochs} epochs")


@clause("descent.fixed-point", fraction_of_examples=0.3)
@given(strategies.optima())
def test_descent_stays_at_the_optimum(target: Subject, sample: Fit) -> None:
    rate = strategies.rate_below(0.5, sample.t_u)

    params, _ = descend(target, Descent(sample.t_u, sample.t_c, sample.w, sample.b, rate, 30))

    ends(params, exact.closed_form(30, rate, *numbers(sample)))


@clause("descent.zero-epochs", fraction_of_examples=0.3)
@given(strategies.descents())
def test_no_epochs_change_nothing_and_log_nothing(target: Subject, sample: Descent) -> None:
    sample.n_epochs = 0

    params, losses = descend(target, sample)

    ends(params, sample.params)
    holds(losses.size == 0, f"logged {losses.size} losses in no epochs")


@clause("descent.zero-rate", fraction_of_examples=0.3)
@given(strategies.descents())
def test_a_rate_of_zero_leaves_the_parameters(target: Subject, sample: Descent) -> None:
    sample.learning_rate = 0.0

    params, _ = descend(target, sample)

    walked, _ = exact.trajectory(sample.n_epochs, 0.0, *numbers(sample))
    # Nothing is claimed where the gradient may overflow.
    ends(params, exact.of(sample.params).within(np.where(np.isfinite(walked.err), 0.0, np.inf), walked.form))


def thermometer(target: Subject, scale: float, rate: float, n_epochs: int) -> Descent:
    """The run of the book, from w = 1, b = 0; a loss of another scale has its rates by that."""
    t_u, t_c = target.array(np.array(T_U) * scale), target.array(T_C)
    rate /= float(exact.of_mean(len(T_U)))
    return Descent(t_u, t_c, target.array(1.0), target.array(0.0), rate, n_epochs)


@clause("descent.raw-diverges")
@pytest.mark.parametrize("rate", [1e-2, 1e-3])
def test_raw_readings_diverge(target: Subject, rate: float) -> None:
    params, losses = descend(target, thermometer(target, 1.0, rate, 1000))

    holds(not np.isfinite(params).all(), f"returned {params} after 1000 epochs at {rate}")
    losses = shaped(losses, (1000,))
    holds(not np.isfinite(losses[-1]), f"logged the loss {losses[-1]} in the last of 1000 epochs at {rate}")


@clause("descent.raw-diverges")
def test_raw_readings_converge_at_a_rate_below_the_limit(target: Subject) -> None:
    sample = thermometer(target, 1.0, 1e-4, 1000)

    params, losses = descend(target, sample)

    ends(params, exact.closed_form(1000, sample.learning_rate, *numbers(sample)))
    losses = shaped(losses, (1000,))
    holds(losses[-1] < losses[0], f"the loss went from {losses[0]} to {losses[-1]} at 1e-4")


@clause("descent.scaled-converges")
def test_scaled_readings_reach_the_values_of_the_book(target: Subject) -> None:
    """Exact arithmetic reaches the printed digits; the dtype may be off by the rounding of 5000 epochs."""
    sample = thermometer(target, 0.1, 1e-2, 5000)
    start, t_u, t_c = numbers(sample)
    rate, times = sample.learning_rate, float(exact.of_mean(len(T_U)))
    doubles = [exact.of(np.array(x)) for x in ([1.0, 0.0], 0.1 * np.array(T_U), T_C)]
    w, b = exact.closed_form(5000, rate, *doubles).nearest()
    holds(f"{w:.4f} {b:.4f}" == "5.3671 -17.3012", f"the exact parameters are {w:.4f} and {b:.4f}")
    loss = exact.loss_fn(exact.model(doubles[1], *exact.closed_form(4999, rate, *doubles)), doubles[2])
    holds(f"{float(loss.nearest()) / times:.4f}" == "2.9276", f"the exact loss is {float(loss.nearest()):.4f}")

    params, losses = descend(target, sample)

    ends(params, exact.closed_form(5000, rate, start, t_u, t_c))
    w, b = exact.closed_form(4999, rate, start, t_u, t_c)
    agree(shaped(losses, (5000,))[-1], exact.loss_fn(exact.model(t_u, w, b), t_c), "the last loss")


@clause("descent.norris")
def test_norris_reaches_the_certified_line(target: Subject) -> None:
    """Exact arithmetic reaches the certified digits; the dtype may be off by the rounding of 120 epochs."""
    x, y = np.array(NORRIS).T
    rate = 0.5 / float(exact.of_mean(len(x)))
    sample = Descent(target.array((x - 448) / 512), target.array(y), target.array(0.0), target.array(0.0), rate, 120)
    w, b = exact.closed_form(120, rate, *(exact.of(z) for z in (np.zeros(2), (x - 448) / 512, y))).nearest()
    line = f"{w / 512:.12f} {b - w * (448 / 512):.12f}"
    holds(line == f"{float(SLOPE):.12f} {float(INTERCEPT):.12f}", f"the exact line is {line}")

    params, _ = descend(target, sample)

    ends(params, exact.closed_form(120, rate, *numbers(sample)))


@clause("descent.negative-rate")
@pytest.mark.parametrize(("rate", "n_epochs"), [(-0.125, 1), (-math.inf, 1), (math.inf, 1), (math.nan, 1), (0.125, -1)])
@pytest.mark.parametrize("operation", ["training_loop", "manual_training_loop", "closed_form"])
def test_invalid_schedules_are_refused(target: Subject, operation: str, rate: float, n_epochs: int) -> None:
    columns = target.array([1.0, 0.0]), target.array([1.0, 2.0]), target.array([1.0, 3.0])
    asked: Any = {"name": "sgd", "lr": rate} if operation == "training_loop" else rate

    refused = target.refuses(operation, n_epochs, asked, *columns)

    problem = "negative" if math.isfinite(rate) else "not finite"
    wrong = f"{n_epochs} epochs" if n_epochs < 0 else f"a learning rate of {rate}, which is {problem}"
    holds(refused, f"did not refuse {wrong}")


@clause("descent.input-kept", fraction_of_examples=0.3)
@given(strategies.descents())
def test_descent_leaves_its_arguments_alone(target: Subject, sample: Descent) -> None:
    """`params -= lr * grad` changes the caller's array."""
    leaves_arguments_alone(target, "training_loop", *run(sample))


@clause("descent.dtype", fraction_of_examples=0.3)
@given(strategies.descents())
def test_descended_parameters_keep_their_dtype(target: Subject, sample: Descent) -> None:
    keeps_dtype(target, descend(target, sample)[0])


@clause("descent.dtype", fraction_of_examples=0.3)
@given(strategies.descents())
def test_parameters_of_the_closed_form_keep_their_dtype(target: Subject, sample: Descent) -> None:
    if answers(target, fit(sample), "closed_form", *in_one_stride(sample)):
        keeps_dtype(target, target.closed_form(*in_one_stride(sample)))


@clause("descent.input-kept", fraction_of_examples=0.3)
@given(strategies.descents())
def test_closed_form_leaves_its_arguments_alone(target: Subject, sample: Descent) -> None:
    if answers(target, fit(sample), "closed_form", *in_one_stride(sample)):
        leaves_arguments_alone(target, "closed_form", *in_one_stride(sample))


def in_one_stride(sample: Descent) -> tuple[Any, ...]:
    """The sample as arguments of the closed form."""
    return sample.n_epochs, sample.learning_rate, sample.params, sample.t_u, sample.t_c


def fit(sample: Fit) -> Exact:
    """The optimum, of which nothing is claimed where the readings are all but the same."""
    return exact.least_squares(exact.of(sample.t_u), exact.of(sample.t_c))

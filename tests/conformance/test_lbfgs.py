"""The chapter on optimizers: L-BFGS, on quadratic losses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact
from calibrant.exact import Exact
from calibrant.judge import agree_lists, at_most, holds, listed, shaped
from calibrant.strategies import Quadratic, quadratics
from calibrant.suite.claims import keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

PLACES = ("after step", "part")


def steps_of(target: Subject, run: Quadratic) -> list[list[Any]]:
    """The parameters, the loss and the count of evaluations of each step."""
    return listed(target.lbfgs(*run.asked), [3] * run.n_steps)


def goes_where_it_is_due(target: Subject, run: Quadratic) -> None:
    """Raise Disagreement unless the parameters after each step are within their bounds."""
    path = exact.lbfgs(*run.asked, target.follow)

    agree_lists([step[:1] for step in steps_of(target, run)], [step[:1] for step in path])


@clause("optimizer.lbfgs", fraction_of_examples=0.6)
@given(quadratics(steps=(1, 5)))
def test_each_direction_comes_from_the_pairs_of_earlier_moves(target: Subject, run: Quadratic) -> None:
    """One iteration a step, so that all that it knows of the loss has to stay from step to step."""
    goes_where_it_is_due(target, run)


@clause("optimizer.lbfgs", fraction_of_examples=0.3)
@given(quadratics(steps=(1, 3), max_iter=(2, 3)))
def test_iterations_of_one_step_know_of_each_other(target: Subject, run: Quadratic) -> None:
    goes_where_it_is_due(target, run)


@clause("optimizer.lbfgs.memory", fraction_of_examples=0.4)
@given(quadratics(steps=(3, 5), sizes=(2, 3), history_size=(1, 1, 2), lr=(0.5, 0.25, 0.75)))
def test_only_the_newest_pairs_are_remembered(target: Subject, run: Quadratic) -> None:
    goes_where_it_is_due(target, run)


@clause("optimizer.lbfgs.memory", fraction_of_examples=0.4)
@given(quadratics(steps=(2, 5), bent=(True,), lr=(0.5, 0.25, 1.0)))
def test_a_pair_without_curvature_is_not_kept(target: Subject, run: Quadratic) -> None:
    """Along some moves the loss curves downward: an estimate from there would turn the next direction uphill."""
    goes_where_it_is_due(target, run)


def ends_where_it_is_due(target: Subject, run: Quadratic) -> None:
    """Raise Disagreement unless the loss of a step is the one before it, and the count of evaluations is what the step cost."""
    agree_lists(steps_of(target, run), exact.lbfgs(*run.asked, target.follow), places=PLACES)


@clause("optimizer.lbfgs.stop", fraction_of_examples=0.3)
@given(quadratics(steps=(1, 3), max_iter=(3, 2, 4, 1), max_eval=(None, 9, 2, 3)))
def test_a_step_has_so_many_iterations_and_evaluations(target: Subject, run: Quadratic) -> None:
    ends_where_it_is_due(target, run)


@clause("optimizer.lbfgs.stop", fraction_of_examples=0.3)
@given(quadratics(steps=(1, 3), max_iter=(3, 2), tolerance_grad=(4.0, 1.0, 8.0, 2.0, 0.5, 1e-7)))
def test_a_step_ends_where_the_gradient_is_small(target: Subject, run: Quadratic) -> None:
    ends_where_it_is_due(target, run)


@clause("optimizer.lbfgs.stop", fraction_of_examples=0.4)
@given(quadratics(steps=(1, 2), max_iter=(3, 2)))
def test_the_largest_number_of_the_gradient_is_small(target: Subject, run: Quadratic) -> None:
    """And not its Euclidean norm: an eighth above the first gradient's largest number, the first step ends at once."""
    _, g = loss_and_gradient(run, run.params)
    near_it = 1.125 * float(np.abs(g.nearest()).max())

    ends_where_it_is_due(target, replace(run, hyperparameters={**run.hyperparameters, "tolerance_grad": near_it}))


@clause("optimizer.lbfgs.stop", fraction_of_examples=0.3)
@given(quadratics(steps=(1, 3), max_iter=(3, 2), tolerance_change=(0.5, 1.0, 0.25, 4.0, 1e-9)))
def test_a_step_ends_where_little_changes(target: Subject, run: Quadratic) -> None:
    """Either the parameters or the loss."""
    ends_where_it_is_due(target, run)


@clause("optimizer.lbfgs.stop", fraction_of_examples=0.3)
@given(quadratics(steps=(1, 2), max_iter=(1, 2), tolerance_change=(16.0, 4.0, 64.0, 2.0, 256.0)))
def test_no_move_is_made_where_the_slope_promises_little(target: Subject, run: Quadratic) -> None:
    ends_where_it_is_due(target, run)


LEAST = 2.0**-7
"""A gradient with which a step has to move."""


@clause("optimizer.lbfgs.strong-wolfe", fraction_of_examples=0.4)
@given(quadratics(steps=(1, 4), max_eval=(40,), line_search_fn=("strong_wolfe",), lr=(1.0, 4.0, 0.1, 0.03, 16.0)))
def test_each_move_meets_the_strong_wolfe_conditions(target: Subject, run: Quadratic) -> None:
    """The loss falls by at least 1e-4 of what its slope promises, and nine tenths of the slope at most are left."""
    if target.form.precision < exact.FORMATS["float32"].precision:
        pytest.skip("in a half format the rounding of a loss is as large as its fall")
    before = run.params

    for step in steps_of(target, run):
        after = shaped(step[0], before.shape)
        holds(bool(np.isfinite(after).all()), "returned parameters that are not finite")
        meets_the_conditions(run, before, after)
        before = after


def meets_the_conditions(run: Quadratic, before: Any, after: Any) -> None:
    """Raise Disagreement unless the move between two places does."""
    (start, g), (end, ahead) = (loss_and_gradient(run, x) for x in (before, after))
    move = exact.of(after) - exact.of(before)
    if (after == before).all():
        holds(bool((g.magnitude() <= LEAST + g.err).all()), "did not move, although the loss is not flat")
        return
    move = move.within(move.err + move.form.u * abs(exact.of(after)).magnitude(), move.form)
    slope, left = (g * move).sum(), (ahead * move).sum()
    if 1e-4 * float(slope.magnitude()) <= start.err + end.err:
        return  # a search compares losses, and sees no such fall
    at_most(end, start + 1e-4 * slope, "the loss falls by 1e-4 of what its slope promises")
    at_most(abs(left), 0.9 * abs(slope), "at most nine tenths of the slope are left")


def loss_and_gradient(run: Quadratic, x: Any) -> tuple[Exact, Exact]:
    """The loss and its gradient at a place."""
    place, slope = exact.of(x), exact.of(run.slope)
    curved = exact.concatenate(*((exact.of(row) * place).sum() for row in run.hessian))
    return ((0.5 * curved + slope) * place).sum(), curved + slope


# What holds of all optimizers


@clause("optimizer.gradients-kept", fraction_of_examples=0.2)
@given(quadratics(steps=(1, 2)))
def test_lbfgs_leaves_its_arguments_alone(target: Subject, run: Quadratic) -> None:
    leaves_arguments_alone(target, "lbfgs", *run.asked)


@clause("optimizer.fresh", fraction_of_examples=0.1)
@given(quadratics(steps=(2, 3)))
def test_a_fresh_lbfgs_remembers_nothing(target: Subject, run: Quadratic) -> None:
    steps_of(target, run)

    holds(target.repeats(), "returned something else when it was called again")


@clause("optimizer.dtype", fraction_of_examples=0.1)
@given(quadratics(steps=(1, 3)))
def test_parameters_of_lbfgs_keep_their_dtype(target: Subject, run: Quadratic) -> None:
    keeps_dtype(target, [step[:2] for step in steps_of(target, run)])


@clause("optimizer.zero-rate", fraction_of_examples=0.1)
@given(quadratics(lr=(0.0,), steps=(1, 3)))
def test_lbfgs_stays_at_a_rate_of_zero(target: Subject, run: Quadratic) -> None:
    goes_where_it_is_due(target, run)


@clause("optimizer.invalid")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", -0.5), ("lr", float("nan")), ("lr", [0.5]), ("max_iter", 0), ("max_eval", 0), ("history_size", 0),
        ("tolerance_grad", -0.5), ("tolerance_change", float("inf")), ("line_search_fn", "strong"),
    ],
)  # fmt: skip
def test_limits_of_lbfgs_that_mean_nothing_are_refused(target: Subject, key: str, value: Any) -> None:
    refused = target.refuses("lbfgs", {key: value}, *quadratic(target), 2)

    holds(refused, f"took {value!r} for {key}, which means nothing there")


@clause("optimizer.unknown")
def test_an_unknown_hyperparameter_of_lbfgs_is_refused(target: Subject) -> None:
    refused = target.refuses("lbfgs", {"lr": 0.5, "momentum": 0.5}, *quadratic(target), 1)

    holds(refused, "did not refuse it, though lbfgs has no momentum")


def quadratic(target: Subject) -> tuple[Any, ...]:
    """The parameters, the Hessian and the slope of a small loss."""
    return target.array([1.0, 2.0]), target.array([[2.0, 0.0], [0.0, 1.0]]), target.array([0.0, 1.0])

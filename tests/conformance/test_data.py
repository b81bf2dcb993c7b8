"""The chapter on data."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact.measurements import INTERCEPT, NORRIS, SLOPE, T_C, T_U
from calibrant.judge import Disagreement, agree, holds, shaped
from calibrant.strategies import Fit
from calibrant.suite.claims import (
    agrees_or_refuses,
    answers,
    keeps_dtype,
    leaves_arguments_alone,
    no_columns,
    two_shapes,
)
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


@clause("data.thermometer")
def test_thermometer_is_the_eleven_pairs_in_order(target: Subject) -> None:
    t_u, t_c = target.thermometer()

    agree(t_u, rounded(T_U, t_u), "the readings")
    agree(t_c, rounded(T_C, t_c), "the temperatures")


@clause("data.norris")
def test_norris_has_the_certified_line(target: Subject) -> None:
    """In exact arithmetic, the line through the decimals of NIST's pairs has every certified digit, and these are the pairs."""
    pairs = np.array(NORRIS).T
    w, b = exact.optimum(*(exact.of(np.round(column * 10), exact.UNROUNDED) / 10 for column in pairs))
    holds(f"{float(w):.15g}" == SLOPE, f"the slope of the pairs is {float(w):.15g}, certified {SLOPE}")
    holds(f"{float(b):.15g}" == INTERCEPT, f"the intercept of the pairs is {float(b):.15g}, certified {INTERCEPT}")

    x, y = target.norris()

    holds(x.shape == y.shape == (36,), f"returned columns of shape {x.shape} and {y.shape}, where (36,) is due")
    due = [rounded(column, like) for column, like in zip(pairs, (x, y), strict=True)]
    order, order_due = np.lexsort((y, x)), np.lexsort(due[::-1])
    for name, column, certified in zip("xy", (x, y), due, strict=True):
        agree(column[order], certified[order_due], f"the {name} of its pairs, in order,")


def rounded(decimals: Any, like: Any) -> Any:
    """Decimals as the dtype of the answer holds them, which is the target's choice."""
    return np.asarray(decimals, dtype=np.float64).astype(np.float64 if like.dtype.kind in "iu" else like.dtype)


FITTED: dict[str, tuple[Any, ...]] = {
    "training_loop": (1, {"name": "sgd", "lr": 0.125}, [1.0, 0.0]),
    "manual_training_loop": (1, 0.125, [1.0, 0.0]),
    "closed_form": (1, 0.125, [1.0, 0.0]),
    "least_squares": (),
    "ridge": (),
}
"""The operations that fit or train, with the arguments before the columns."""


@clause("data.shapes")
@pytest.mark.parametrize("operation", FITTED)
@two_shapes
def test_readings_and_temperatures_of_two_shapes_are_refused(
    target: Subject, operation: str, of_u: tuple[int, ...], of_c: tuple[int, ...]
) -> None:
    """(n,) against (n, 1) broadcasts, and trains towards the mean of all temperatures."""
    refuses_data(target, operation, of_u, of_c)


@clause("data.columns")
@pytest.mark.parametrize("operation", FITTED)
@no_columns
def test_no_samples_and_data_that_are_no_columns_are_refused(
    target: Subject, operation: str, shape: tuple[int, ...]
) -> None:
    """The mean of no samples is 0/0, and what a table gives differs from library to library."""
    refuses_data(target, operation, shape, shape)


def refuses_data(target: Subject, operation: str, of_u: tuple[int, ...], of_c: tuple[int, ...]) -> None:
    """Raise Disagreement unless an operation refuses data of these shapes."""
    before = [target.array(x) if isinstance(x, list) else x for x in FITTED[operation]]
    columns = target.array(np.ones(of_u)), target.array(np.ones(of_c))

    refused = target.refuses(operation, *before, *columns, *[0.5] * (operation == "ridge"))

    holds(refused, f"did not refuse readings of shape {of_u} with temperatures of shape {of_c}")


@clause("data.scaling")
@given(strategies.lines())
def test_a_fit_finds_the_least_squares_line(target: Subject, sample: Fit) -> None:
    due = exact.least_squares(exact.of(sample.t_u), exact.of(sample.t_c))

    agrees_or_refuses(target, due, "least_squares", sample.t_u, sample.t_c)


@clause("data.scaling")
@given(strategies.lines())
def test_a_tenth_of_the_readings_has_ten_times_the_slope(target: Subject, sample: Fit) -> None:
    """It holds exactly for rational numbers, and the target also fits the scaled readings as they are rounded."""
    t_u, t_c = exact.of(sample.t_u).true(), exact.of(sample.t_c).true()
    w, b = exact.optimum(t_u, t_c)
    holds(exact.optimum(t_u / 10, t_c) == (10 * w, b), "the optimum of t_u / 10 is not ten times the slope")
    scaled = target.array(sample.t_u.astype(np.float64) / 10)

    due = exact.least_squares(exact.of(scaled), exact.of(sample.t_c))

    agrees_or_refuses(target, due, "least_squares", scaled, sample.t_c)


@clause("data.dtype", fraction_of_examples=0.3)
@given(strategies.lines())
def test_the_line_has_the_dtype_of_the_data(target: Subject, sample: Fit) -> None:
    due = exact.least_squares(exact.of(sample.t_u), exact.of(sample.t_c))

    if answers(target, due, "least_squares", sample.t_u, sample.t_c):
        keeps_dtype(target, target.least_squares(sample.t_u, sample.t_c))


@clause("data.pure", fraction_of_examples=0.3)
@given(strategies.lines())
def test_a_fit_leaves_its_arguments_alone(target: Subject, sample: Fit) -> None:
    """Whoever centres the readings in place fits other readings the next time."""
    due = exact.least_squares(exact.of(sample.t_u), exact.of(sample.t_c))

    if answers(target, due, "least_squares", sample.t_u, sample.t_c):
        leaves_arguments_alone(target, "least_squares", sample.t_u, sample.t_c)


@clause("data.plot")
def test_figures_show_the_data_the_fit_and_the_losses(target: Subject) -> None:
    figures = target.figures()

    u, c = exact.of(np.array(T_U)), exact.of(np.array(T_C))
    agree(drawn(figures, "thermometer", "measurements"), np.array([T_U, T_C]), "the measurements")
    ascending = np.sort(T_U)
    readings, predictions = drawn(figures, "fit", "fit")
    agree(readings, ascending, "the readings of the fit")
    w, b = exact.least_squares(u, c)
    agree(predictions, exact.model(exact.of(ascending), w, b), "the predictions of the fit")
    start = exact.of(np.array([1.0, 0.0]))
    for name, t_u, rate in (("raw, 1e-4", np.array(T_U), 1e-4), ("scaled, 1e-2", 0.1 * np.array(T_U), 1e-2)):
        epochs, losses = drawn(figures, "losses", name)
        agree(epochs, np.arange(1.0, len(losses) + 1), f"the epochs of {name}")
        holds(len(losses) >= 100, f"shows {len(losses)} epochs of {name}")
        readings = exact.of(t_u)
        for epoch in (*range(1, 101), len(losses)):
            due = exact.loss_fn(exact.model(readings, *exact.closed_form(epoch - 1, rate, start, readings, c)), c)
            agree(losses[epoch - 1], due, f"the loss of {name} in epoch {epoch}")


def drawn(figures: Any, figure: str, series: str) -> Any:
    """The two columns of a series, as an array of shape (2, n)."""
    try:
        columns = np.asarray(figures[figure][series], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise Disagreement(f"shows no numbers for {series} in {figure}: {error!r}") from None
    return shaped(columns, (2, columns.shape[-1] if columns.ndim else 0))

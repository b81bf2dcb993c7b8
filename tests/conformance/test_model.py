"""The chapter on the model."""

from typing import Any

import numpy as np
from hypothesis import given

from calibrant import exact, strategies
from calibrant.judge import agree, as_exact, shaped
from calibrant.strategies import Fit
from calibrant.suite.claims import has_shape, keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


@clause("model.linear")
@given(strategies.fits())
def test_prediction_is_the_weight_times_the_reading_plus_the_bias(target: Subject, sample: Fit) -> None:
    data = sample.t_u, sample.w, sample.b

    agree(target.model(*data), exact.model(*map(exact.of, data)))


@clause("model.shape", fraction_of_examples=0.3)
@given(strategies.fits())
def test_predictions_have_the_shape_of_the_readings(target: Subject, sample: Fit) -> None:
    has_shape(target.model(sample.t_u, sample.w, sample.b).shape, sample.t_u.shape)


@clause("model.dtype", fraction_of_examples=0.3)
@given(strategies.fits())
def test_predictions_have_the_dtype_of_the_readings(target: Subject, sample: Fit) -> None:
    """A promotion to float64 costs memory, and hides a loss of digits until the result is stored."""
    keeps_dtype(target, target.model(sample.t_u, sample.w, sample.b))


@clause("model.identity")
@given(strategies.fits())
def test_weight_one_and_bias_zero_return_the_readings(target: Subject, sample: Fit) -> None:
    agree(target.model(sample.t_u, target.array(1.0), target.array(0.0)), sample.t_u)


@clause("model.per-sample")
@given(strategies.shuffled_fits())
def test_permuted_readings_give_permuted_predictions(target: Subject, shuffled: tuple[Fit, Any]) -> None:
    """A model that normalizes over the batch, or sorts, or carries state from row to row, fails here."""
    sample, order = shuffled
    answer = target.model(sample.t_u, sample.w, sample.b)
    permuted = target.model(sample.t_u[order], sample.w, sample.b)

    agree_twice(permuted, answer, sample, order, "where it had predicted, in another order,")


@clause("model.per-sample")
@given(strategies.fits())
def test_a_reading_alone_is_predicted_as_among_others(target: Subject, sample: Fit) -> None:
    answer = target.model(sample.t_u, sample.w, sample.b)
    alone = target.model(sample.t_u[-1:], sample.w, sample.b)

    agree_twice(alone, answer, sample, slice(-1, None), "where it had predicted, among others,")


def agree_twice(other: Any, answer: Any, sample: Fit, order: Any, before: str) -> None:
    """Raise Disagreement if two answers for the same readings are further apart than two bounds of a prediction."""
    due = exact.model(*map(exact.of, (sample.t_u, sample.w, sample.b)))[order]
    answer = shaped(answer, sample.t_u.shape)[order]
    if np.isfinite(due.err).all():
        agree(other, as_exact(answer, due.shape).within(2 * due.allowed(), due.form), due=before)


@clause("model.pure", fraction_of_examples=0.3)
@given(strategies.fits())
def test_model_leaves_its_arguments_alone(target: Subject, sample: Fit) -> None:
    leaves_arguments_alone(target, "model", sample.t_u, sample.w, sample.b)

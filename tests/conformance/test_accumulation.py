"""The chapter on accumulation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import agree, as_exact, holds
from calibrant.suite.claims import keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


def numbers(sample: strategies.Batched) -> tuple[list[tuple[Exact, Exact]], Exact, Exact]:
    """The batches and the parameters."""
    return [(exact.of(t_u), exact.of(t_c)) for t_u, t_c in sample.batches], exact.of(sample.w), exact.of(sample.b)


@clause("accumulation.sum", fraction_of_examples=0.5)
@given(strategies.batched_fits())
def test_each_batch_adds_its_gradient(target: Subject, sample: strategies.Batched) -> None:
    """Each row is the sum, not the mean, of the gradients so far; the loss of each batch is its own mean."""
    answer = target.accumulate(sample.params, sample.batches, False)

    agree(answer, rows(exact.accumulate(*numbers(sample))))


def rows(columns: list[Exact]) -> Exact:
    """Columns of two as the rows of a matrix, (k, 2)."""
    flat = exact.concatenate(*columns)
    return Exact(flat.m.reshape(-1, 2), flat.e, flat.d, flat.err.reshape(-1, 2), flat.form)


@clause("accumulation.reset", fraction_of_examples=0.5)
@given(strategies.batched_fits())
def test_with_a_reset_each_batch_leaves_its_own_gradient(target: Subject, sample: strategies.Batched) -> None:
    answer = target.accumulate(sample.params, sample.batches, True)

    batches, w, b = numbers(sample)
    agree(answer, rows([exact.gradient(t_u, t_c, w, b) for t_u, t_c in batches]))


@clause("accumulation.reset", fraction_of_examples=0.2)
@pytest.mark.parametrize("zero_grad", [True, False])
@given(sample=strategies.batched_fits())
def test_each_call_starts_without_a_gradient(target: Subject, zero_grad: bool, sample: strategies.Batched) -> None:
    """A gradient that is kept from one call to the next shows in the second of two equal calls."""
    first = target.accumulate(sample.params, sample.batches, zero_grad)
    second = target.accumulate(sample.params, sample.batches, zero_grad)

    batches, w, b = numbers(sample)
    for answer in (first, second):
        agree(answer[0], exact.gradient(*batches[0], w, b))


@clause("accumulation.full-batch")
@given(strategies.batched_fits())
def test_batches_of_any_sizes_give_the_gradient_of_all_samples(target: Subject, sample: strategies.Batched) -> None:
    """The mean of the batches' means would weigh a sample of a small batch more than one of a large batch."""
    answer = target.accumulated_grad(sample.params, sample.batches)

    agree(answer, exact.accumulated_grad(*numbers(sample)))


@clause("accumulation.full-batch", fraction_of_examples=0.2)
@given(strategies.batched_fits())
def test_a_single_batch_gives_its_own_gradient(target: Subject, sample: strategies.Batched) -> None:
    whole = strategies.Batched(sample.t_u, sample.t_c, sample.w, sample.b, [len(sample.t_u)])

    answer = target.accumulated_grad(whole.params, whole.batches)

    agree(answer, exact.accumulated_grad(*numbers(whole)))


@clause("accumulation.partition", fraction_of_examples=0.4)
@given(strategies.rebatched_fits())
def test_cuts_and_order_do_not_change_the_gradient(
    target: Subject, samples: tuple[strategies.Batched, strategies.Batched]
) -> None:
    err = sum(exact.accumulated_grad(*numbers(part)).err for part in samples)
    if not np.isfinite(err).all():
        return
    first, second = (target.accumulated_grad(part.params, part.batches) for part in samples)

    agree(second, as_exact(first, (2,)).within(err, target.form))


@clause("accumulation.last-window", fraction_of_examples=0.4)
@given(strategies.windows())
def test_every_window_counts_by_its_own_samples(target: Subject, windows: list[strategies.Batched]) -> None:
    """The last window may hold fewer batches, and its last batch fewer samples, than earlier ones."""
    answers = [target.accumulated_grad(window.params, window.batches) for window in windows]

    for answer, window in zip(answers, windows, strict=True):
        agree(answer, exact.accumulated_grad(*numbers(window)))


@clause("accumulation.data-parallel", fraction_of_examples=0.2)
@given(strategies.sharded_descents())
def test_workers_train_as_one_process_with_all_their_samples(target: Subject, sample: strategies.Sharded) -> None:
    """The mean of the workers' means is the mean of all samples only where all shards have one size."""
    grad, params = target.data_parallel(sample.params, sample.shards, sample.n_epochs, sample.learning_rate)

    shards = [(exact.of(t_u), exact.of(t_c)) for t_u, t_c in sample.shards if len(t_u)]
    start, t_u, t_c = exact.of(sample.params), exact.of(sample.t_u), exact.of(sample.t_c)

    def slope(t_u: Exact, t_c: Exact, w: Exact, b: Exact) -> Exact:
        return exact.accumulated_grad(shards, w, b)

    agree(grad, slope(t_u, t_c, *start))
    agree(params, exact.trajectory(sample.n_epochs, sample.learning_rate, start, t_u, t_c, slope)[0])


def columns(target: Subject, *shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> list[Any]:
    """Batches of these shapes."""
    return [(target.array(np.ones(of_u)), target.array(np.ones(of_c))) for of_u, of_c in shapes]


NOT_BATCHES = {
    "no batches": [],
    "no samples": [((0,), (0,))],
    "no samples in the second": [((2,), (2,)), ((0,), (0,))],
    "no samples in the first": [((0,), (0,)), ((2,), (2,))],
    "two lengths": [((3,), (2,))],
    "two lengths in the second": [((2,), (2,)), ((1,), (2,))],
    "a column and a row": [((2, 1), (2,))],
}


@clause("accumulation.refused")
@pytest.mark.parametrize("shapes", NOT_BATCHES.values(), ids=NOT_BATCHES)
@pytest.mark.parametrize("operation", ["accumulate", "accumulated_grad"])
def test_empty_or_unequal_batches_are_refused(target: Subject, operation: str, shapes: Any) -> None:
    """An empty batch has no mean, and columns of two lengths broadcast or lose samples."""
    arguments = (target.array([1.0, 0.0]), columns(target, *shapes), *[False] * (operation == "accumulate"))

    refused = target.refuses(operation, *arguments)

    holds(refused, "did not refuse these batches")


ASKED = pytest.mark.parametrize(
    ("operation", "zero_grad"),
    [("accumulate", [False]), ("accumulate", [True]), ("accumulated_grad", [])],
    ids=["sum", "reset", "full batch"],
)


@clause("accumulation.dtype", fraction_of_examples=0.15)
@ASKED
@given(sample=strategies.batched_fits())
def test_gradients_have_the_dtype_of_the_data(
    target: Subject, operation: str, zero_grad: list[bool], sample: strategies.Batched
) -> None:
    answer = target.call(operation, (sample.params, sample.batches, *zero_grad))

    keeps_dtype(target, answer)


@clause("accumulation.pure", fraction_of_examples=0.15)
@ASKED
@given(sample=strategies.batched_fits())
def test_accumulation_leaves_its_arguments_alone(
    target: Subject, operation: str, zero_grad: list[bool], sample: strategies.Batched
) -> None:
    target.call(operation, (sample.params, sample.batches, *zero_grad))

    leaves_arguments_alone(target)

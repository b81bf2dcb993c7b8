"""The chapter on accumulation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import LINE, agree, as_exact, holds
from calibrant.strategies import Batched, Sharded
from calibrant.suite.claims import keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


def numbers(sample: Batched) -> tuple[list[tuple[Exact, Exact]], Exact, Exact]:
    """The batches and the parameters."""
    return [(exact.of(t_u), exact.of(t_c)) for t_u, t_c in sample.batches], exact.of(sample.w), exact.of(sample.b)


@clause("accumulation.sum", fraction_of_examples=0.5)
@given(strategies.batched_fits())
def test_each_batch_adds_its_gradient(target: Subject, sample: Batched) -> None:
    """Each row is the sum, not the mean, of the gradients so far; the loss of each batch is its own mean."""
    answer = target.accumulate(sample.params, sample.batches, False)

    agree(answer, rows(exact.accumulate(*numbers(sample))), names=LINE)


def rows(columns: list[Exact]) -> Exact:
    """Columns of two as the rows of a matrix, (k, 2)."""
    flat = exact.concatenate(*columns)
    return Exact(flat.m.reshape(-1, 2), flat.e, flat.d, flat.err.reshape(-1, 2), flat.form)


@clause("accumulation.reset", fraction_of_examples=0.5)
@given(strategies.batched_fits())
def test_with_a_reset_each_batch_leaves_its_own_gradient(target: Subject, sample: Batched) -> None:
    answer = target.accumulate(sample.params, sample.batches, True)

    batches, w, b = numbers(sample)
    agree(answer, rows([exact.gradient(t_u, t_c, w, b) for t_u, t_c in batches]), names=LINE)


@clause("accumulation.reset", fraction_of_examples=0.2)
@pytest.mark.parametrize("zero_grad", [True, False])
@given(sample=strategies.batched_fits())
def test_each_call_starts_without_a_gradient(target: Subject, zero_grad: bool, sample: Batched) -> None:
    """A gradient that is kept from one call to the next shows in the second of two equal calls."""
    batches, w, b = numbers(sample)
    for _ in range(2):
        answer = target.accumulate(sample.params, sample.batches, zero_grad)

        agree(answer[0], exact.gradient(*batches[0], w, b), "the first gradient", names=LINE)


@clause("accumulation.full-batch")
@given(strategies.batched_fits())
def test_batches_of_any_sizes_give_the_gradient_of_all_samples(target: Subject, sample: Batched) -> None:
    """The mean of the batches' means would weigh a sample of a small batch more than one of a large batch."""
    answer = target.accumulated_grad(sample.params, sample.batches)

    agree(answer, exact.accumulated_grad(*numbers(sample)), names=LINE)


@clause("accumulation.partition", fraction_of_examples=0.4)
@given(strategies.rebatched_fits())
def test_cuts_and_order_do_not_change_the_gradient(target: Subject, samples: tuple[Batched, Batched]) -> None:
    err = sum(exact.accumulated_grad(*numbers(part)).err for part in samples)
    if not np.isfinite(err).all():
        return
    first, second = (target.accumulated_grad(part.params, part.batches) for part in samples)

    agree(second, as_exact(first, (2,)).within(err, target.form), due="where other cuts and order gave", names=LINE)


@clause("accumulation.last-window", fraction_of_examples=0.4)
@given(strategies.windows())
def test_every_window_counts_by_its_own_samples(target: Subject, windows: list[Batched]) -> None:
    """The last window may hold fewer batches, and its last batch fewer samples, than earlier ones."""
    for window in windows:
        answer = target.accumulated_grad(window.params, window.batches)

        agree(answer, exact.accumulated_grad(*numbers(window)), names=LINE)


@clause("accumulation.data-parallel", fraction_of_examples=0.2)
@given(strategies.sharded_descents())
def test_workers_train_as_one_process_with_all_their_samples(target: Subject, sample: Sharded) -> None:
    """The mean of the workers' means is the mean of all samples only where all shards have one size."""
    grad, params = target.data_parallel(sample.params, sample.batches, sample.n_epochs, sample.learning_rate)

    shards = [(exact.of(t_u), exact.of(t_c)) for t_u, t_c in sample.batches if len(t_u)]
    start, t_u, t_c = exact.of(sample.params), exact.of(sample.t_u), exact.of(sample.t_c)

    def slope(t_u: Exact, t_c: Exact, w: Exact, b: Exact) -> Exact:
        return exact.accumulated_grad(shards, w, b)

    agree(grad, slope(t_u, t_c, *start), "the first gradient", names=LINE)
    due, _ = exact.trajectory(sample.n_epochs, sample.learning_rate, start, t_u, t_c, slope)
    agree(params, due, "the parameters", names=LINE)


EMPTY = {
    "no batches": [],
    "no samples": [((0,), (0,))],
    "no samples in the second": [((2,), (2,)), ((0,), (0,))],
    "no samples in the first": [((0,), (0,)), ((2,), (2,))],
}
UNEQUAL = {
    "two lengths": [((3,), (2,))],
    "two lengths in the second": [((2,), (2,)), ((1,), (2,))],
    "a column and a row": [((2, 1), (2,))],
}
each_accumulation = pytest.mark.parametrize("operation", ["accumulate", "accumulated_grad"])


@clause("accumulation.refused")
@pytest.mark.parametrize("shapes", EMPTY.values(), ids=EMPTY)
@each_accumulation
def test_empty_batches_are_refused(target: Subject, operation: str, shapes: Any) -> None:
    """An empty batch has no mean."""
    refuses_batches(target, operation, shapes, "no batches" if not shapes else "a batch of no samples")


@clause("accumulation.same-shape")
@pytest.mark.parametrize("shapes", UNEQUAL.values(), ids=UNEQUAL)
@each_accumulation
def test_unequal_columns_of_a_batch_are_refused(target: Subject, operation: str, shapes: Any) -> None:
    """Columns of two lengths broadcast or lose samples."""
    refuses_batches(target, operation, shapes, "a batch whose columns have the shapes {} and {}".format(*shapes[-1]))


def refuses_batches(target: Subject, operation: str, shapes: Any, what: str) -> None:
    """Raise Disagreement unless an operation refuses batches of these shapes, in words `what`."""
    batches = [tuple(target.array(np.ones(shape)) for shape in columns) for columns in shapes]
    arguments = target.array([1.0, 0.0]), batches, *[False] * (operation == "accumulate")

    holds(target.refuses(operation, *arguments), f"did not refuse {what}")


ASKED = pytest.mark.parametrize(
    ("operation", "zero_grad"),
    [("accumulate", [False]), ("accumulate", [True]), ("accumulated_grad", [])],
    ids=["sum", "reset", "full batch"],
)


@clause("accumulation.dtype", fraction_of_examples=0.15)
@ASKED
@given(sample=strategies.batched_fits())
def test_gradients_have_the_dtype_of_the_data(
    target: Subject, operation: str, zero_grad: list[bool], sample: Batched
) -> None:
    keeps_dtype(target, target.call(operation, (sample.params, sample.batches, *zero_grad)))


@clause("accumulation.dtype", fraction_of_examples=0.02)
@given(strategies.sharded_descents())
def test_workers_keep_the_dtype_of_the_data(target: Subject, sample: Sharded) -> None:
    keeps_dtype(target, target.data_parallel(sample.params, sample.batches, sample.n_epochs, sample.learning_rate))


@clause("accumulation.pure", fraction_of_examples=0.02)
@given(strategies.sharded_descents())
def test_workers_leave_the_arguments_alone(target: Subject, sample: Sharded) -> None:
    """A worker that steps in place moves the start of every other run."""
    sharded = sample.params, sample.batches, sample.n_epochs, sample.learning_rate

    leaves_arguments_alone(target, "data_parallel", *sharded)


@clause("accumulation.pure", fraction_of_examples=0.15)
@ASKED
@given(sample=strategies.batched_fits())
def test_accumulation_leaves_its_arguments_alone(
    target: Subject, operation: str, zero_grad: list[bool], sample: Batched
) -> None:
    leaves_arguments_alone(target, operation, sample.params, sample.batches, *zero_grad)

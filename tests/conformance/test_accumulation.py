"""The chapter on accumulation."""

from functools import partial

from hypothesis import given

from calibrant import exact, strategies
from calibrant.clauses import clause
from calibrant.judge import agree
from calibrant.subject import Subject


@clause("accumulation.data-parallel", share=0.2)
@given(strategies.sharded_descents())
def test_workers_train_as_one_process_with_all_their_samples(target: Subject, sample: strategies.Sharded) -> None:
    """The mean of the workers' means is the mean of all only where their shards are of one size."""
    grad, params = target.data_parallel(sample.params, sample.shards, sample.n_epochs, sample.learning_rate)

    start, t_u, t_c = exact.of(sample.params), exact.of(sample.t_u), exact.of(sample.t_c)
    slope = partial(exact.gradient_of_parts, sizes=sample.sizes)
    agree(grad, slope(t_u, t_c, *start))
    agree(params, exact.trajectory(sample.n_epochs, sample.learning_rate, start, t_u, t_c, slope)[0])

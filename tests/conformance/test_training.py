"""The chapter on training: what stands around the steps of an optimizer."""

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import LINE, Disagreement, agree, agree_lists, holds, listed, shaped, tallying
from calibrant.strategies import Averaged, Batches, Minibatched, Optimization, averages, runs_of_each, scaled_runs
from calibrant.suite.claims import in_random_halves, keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Failure, Refused, Subject
from calibrant.target.generators import seeded, stirred

NAMES = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "asgd", "rprop")
each_optimizer = pytest.mark.parametrize("name", NAMES)
FOUR = pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
"""Optimizers that between them have a buffer, averages, a count of steps, and either kind of decay."""

# Averages of the path


def is_average(target: Subject, name: str, sample: Averaged) -> None:
    """Raise Disagreement unless the average after each step is within its bound."""
    answer = target.average(name, sample.hyperparameters, sample.path)

    agree_lists(answer, exact.average(name, sample.hyperparameters, sample.path))


@clause("average.ema")
@given(averages(decay=None))
def test_the_average_keeps_a_fraction_of_itself(target: Subject, sample: Averaged) -> None:
    """It begins at the first parameters. The decay belongs to the old average, and the rest to the new parameters."""
    is_average(target, "ema", sample)


@clause("average.bias-correction", fraction_of_examples=0.6)
@given(averages(decay=None, bias_correction=True))
def test_an_average_from_zero_is_divided_by_the_sum_of_its_weights(target: Subject, sample: Averaged) -> None:
    is_average(target, "ema", sample)


@clause("average.warm-up", fraction_of_examples=0.8)
@given(averages(decay=None, warmup=True))
def test_the_decay_warms_up_and_stays_what_it_is(target: Subject, sample: Averaged) -> None:
    """A young average forgets faster. The warm-up is a limit at each step, and does not replace the decay for good."""
    is_average(target, "ema", sample)


@clause("average.swa", fraction_of_examples=0.6)
@given(averages())
def test_a_plain_average_weighs_all_parameters_alike(target: Subject, sample: Averaged) -> None:
    is_average(target, "swa", sample)


ALL_AVERAGES = pytest.mark.parametrize(
    ("name", "options"),
    [("ema", {}), ("ema", {"bias_correction": True}), ("ema", {"warmup": True}), ("swa", {})],
    ids=["ema", "corrected", "warmed up", "swa"],
)


@clause("average.every", fraction_of_examples=0.4)
@ALL_AVERAGES
@given(sample=averages(every=None, decay=None))
def test_an_average_takes_up_only_every_so_many_steps(
    target: Subject, name: str, options: dict[str, Any], sample: Averaged
) -> None:
    """A path that lists each micro-batch repeats the parameters between two steps; an average of all weighs them by their number.

    What an average counts, for a correction or a warm-up, it counts where it takes something up.
    """
    if not options:  # the default
        del sample.hyperparameters["decay"]
    sample.hyperparameters |= options
    is_average(target, name, sample)


@clause("average.pure", fraction_of_examples=0.3)
@ALL_AVERAGES
@given(sample=averages())
def test_averages_leave_the_path_alone(target: Subject, name: str, options: dict[str, Any], sample: Averaged) -> None:
    """An average that is the first parameters' own array moves them, and every list of the path that holds them."""
    leaves_arguments_alone(target, "average", name, options, sample.path)


@clause("average.dtype", fraction_of_examples=0.1)
@ALL_AVERAGES
@given(sample=averages())
def test_averages_have_the_dtype_of_the_parameters(
    target: Subject, name: str, options: dict[str, Any], sample: Averaged
) -> None:
    keeps_dtype(target, target.average(name, options, sample.path))


@clause("average.invalid")
@pytest.mark.parametrize(
    ("name", "hyperparameters", "why"),
    [
        ("ema", {"decay": 1.5}, "a decay is a fraction of 1"),
        ("ema", {"decay": -0.5}, "a decay is a fraction of 1"),
        ("ema", {"decay": float("nan")}, "a decay is a number"),
        ("ema", {"every": 0}, "every is at least 1"),
        ("swa", {"every": 0}, "every is at least 1"),
    ],
)
def test_an_average_refuses_what_means_nothing(
    target: Subject, name: str, hyperparameters: dict[str, Any], why: str
) -> None:
    path = [[target.array([1.0])], [target.array([2.0])]]

    holds(target.refuses("average", name, hyperparameters, path), f"took {hyperparameters} for {name!r}, though {why}")


@clause("average.unknown")
@pytest.mark.parametrize(
    ("name", "hyperparameters", "why"),
    [
        ("ema", {"beta": 0.5}, "ema has no beta"),
        ("swa", {"decay": 0.5}, "swa has no decay"),
        ("smooth", {}, "there is no average of this name"),
    ],
)
def test_an_average_refuses_names_that_it_does_not_know(
    target: Subject, name: str, hyperparameters: dict[str, Any], why: str
) -> None:
    """A misspelt hyperparameter would silently leave the default."""
    path = [[target.array([1.0])], [target.array([2.0])]]

    holds(target.refuses("average", name, hyperparameters, path), f"took {hyperparameters} for {name!r}, though {why}")


# Runs of optimizers


@contextlib.contextmanager
def unless_its_rule_is_wrong(target: Subject, run: Optimization) -> Iterator[None]:
    """Let a Disagreement pass unless the target's own optimizer leaves its rule on these gradients: then chapter 9 says what is wrong."""
    try:
        yield
    except Disagreement:
        if "optimize" not in target.target.operations:
            raise
        n_calls, asked = len(target.calls), (run.name, run.hyperparameters, run.params, run.grads)
        try:
            with contextlib.suppress(Refused), tallying(target.tally_anew()):
                agree_lists(target.optimize(*asked), exact.optimize(*asked, target.follow))
        except (Disagreement, Failure):
            return
        finally:
            del target.calls[n_calls:]
        raise


def same(answer: Any, other: Any, run: Optimization, due: str) -> None:
    """Raise Disagreement unless two lists of steps are the same bit for bit; `other` is what is `due`."""
    for steps in (answer, other):
        listed(steps, [len(run.params)] * len(run.grads))
    for t, (arrays, expected) in enumerate(zip(answer, other, strict=True), start=1):
        for array, array_due, p in zip(arrays, expected, run.params, strict=True):
            agree(shaped(array, p.shape), shaped(array_due, p.shape), f"a parameter after step {t},", due=due)


# Parameters in groups


@clause("group.own", fraction_of_examples=0.14)
@each_optimizer
@given(
    drawn=runs_of_each(alike=True, steps=(2, 6)),
    other=runs_of_each(lr=(0.25, 0.1, 1.0, 0.5), rates=(1.0,)),
)
def test_each_parameter_follows_the_hyperparameters_of_its_group(
    target: Subject, name: str, drawn: Any, other: Any
) -> None:
    """Rate, decay, betas, and the count of steps: none comes from another group, or from the defaults."""
    run = drawn(name)
    groups = [(run.hyperparameters, other(name).hyperparameters)[k % 2] for k in range(len(run.params))]

    answer = target.optimize_groups(name, groups, run.params, run.grads)

    with unless_its_rule_is_wrong(target, run):
        agree_lists(answer, exact.optimize_groups(name, groups, run.params, run.grads, target.follow))


@clause("group.invalid")
@pytest.mark.parametrize("count", [1, 3])
def test_there_are_as_many_groups_as_parameters(target: Subject, count: int) -> None:
    """A parameter without a group would be left out silently, or step by another's hyperparameters."""
    params, grads = [target.array([1.0]), target.array([2.0])], [[target.array([1.0]), target.array([1.0])]]

    refused = target.refuses("optimize_groups", "sgd", [{"lr": 0.5}] * count, params, grads)

    holds(refused, f"took {count} groups for two parameters")


# A pause


def paused(target: Subject, run: Optimization, after: int, changed: dict[str, Any]) -> Any:
    """The steps of a run that is saved after some of them."""
    return target.resume(run.name, run.hyperparameters, run.params, run.grads, after, changed)


@clause("resume.same-steps", fraction_of_examples=0.14)
@each_optimizer
@given(drawn=runs_of_each(steps=(2, 8), rates=(1.0, 0.5, 2.0), absent=(False, True)), place=st.integers(0, 6))
def test_a_pause_changes_no_step(target: Subject, name: str, drawn: Any, place: int) -> None:
    """Bit for bit: all that the optimizer remembers is saved and loaded, the place in a list of rates and each parameter's count of steps with it."""
    run = drawn(name)

    whole = paused(target, run, len(run.grads), {})
    answer = paused(target, run, 1 + place % (len(run.grads) - 1), {})

    same(answer, whole, run, "where, without a pause, it went to")


@clause("resume.same-steps", fraction_of_examples=0.04)
@each_optimizer
@given(drawn=runs_of_each(steps=(2, 6)), place=st.integers(0, 4))
def test_a_run_with_a_pause_follows_its_rule(target: Subject, name: str, drawn: Any, place: int) -> None:
    run = drawn(name)
    after = 1 + place % (len(run.grads) - 1)

    answer = paused(target, run, after, {})

    with unless_its_rule_is_wrong(target, run):
        asked = name, run.hyperparameters, run.params, run.grads, after, {}
        agree_lists(answer, exact.resume(*asked, target.follow))


@clause("resume.hyperparameters", fraction_of_examples=0.2)
@FOUR
@given(
    drawn=runs_of_each(steps=(2, 8), rates=(1.0,), alike=True),
    other=runs_of_each(lr=(0.125, 0.25, 1.0), rates=(1.0,), beta1=(0.25, 0.8), beta2=(0.5, 0.8)),
    place=st.integers(0, 6),
)
def test_what_was_saved_counts_and_not_what_the_second_optimizer_was_made_with(
    target: Subject, name: str, drawn: Any, other: Any, place: int
) -> None:
    """What follows from a hyperparameter, such as a power of beta, follows from the one that counts."""
    run = drawn(name)
    after = 1 + place % (len(run.grads) - 1)
    changed = other(name).hyperparameters
    for key in ("momentum", "dampening", "nesterov", "maximize"):  # a buffer that was not kept cannot be loaded
        changed.pop(key, None)

    answer = paused(target, run, after, changed)

    with unless_its_rule_is_wrong(target, run):
        asked = name, run.hyperparameters, run.params, run.grads, after, changed
        agree_lists(answer, exact.resume(*asked, target.follow))


# Windows of micro-batches


def in_windows(target: Subject, run: Optimization, every: int) -> None:
    """Raise Disagreement unless each window of a run brings one step along its mean gradient, at the next of the rates."""
    windows = -(-len(run.grads) // every)
    rates = run.hyperparameters["lr"]
    run.hyperparameters["lr"] = rates[:windows] if isinstance(rates, list) else rates

    answer = target.accumulate_and_step(run.name, run.hyperparameters, run.params, run.grads, every)

    whole = Optimization(run.name, run.hyperparameters, run.params, run.grads[:windows])
    with unless_its_rule_is_wrong(target, whole):
        asked = run.name, run.hyperparameters, run.params, run.grads, every
        agree_lists(answer, exact.accumulate_and_step(*asked, target.follow))


@clause("window.step", fraction_of_examples=0.2)
@FOUR
@given(drawn=runs_of_each(steps=(4, 8), rates=(1.0,)), every=st.sampled_from((2, 3, 4, 1)))
def test_each_window_brings_one_step_along_its_mean(target: Subject, name: str, drawn: Any, every: int) -> None:
    """Between two steps nothing moves, no weight decays, and no step is counted; after a step the sum begins anew."""
    run = drawn(name)
    run.grads = run.grads[: len(run.grads) // every * every]

    in_windows(target, run, every)


@clause("window.last", fraction_of_examples=0.2)
@FOUR
@given(drawn=runs_of_each(steps=(1, 7), rates=(1.0,)), every=st.sampled_from((2, 3, 4)))
def test_a_shorter_last_window_counts_by_its_own_size(target: Subject, name: str, drawn: Any, every: int) -> None:
    run = drawn(name)
    run.grads = run.grads[: len(run.grads) - (len(run.grads) % every == 0)]

    in_windows(target, run, every)


@clause("window.rate", fraction_of_examples=0.2)
@FOUR
@given(drawn=runs_of_each(steps=(4, 8), rates=(0.5, 2.0)), every=st.sampled_from((2, 3)))
def test_a_schedule_advances_by_one_for_each_window(target: Subject, name: str, drawn: Any, every: int) -> None:
    run = drawn(name)
    run.grads = run.grads[: len(run.grads) // every * every]

    in_windows(target, run, every)


@clause("window.invalid")
@pytest.mark.parametrize("every", [0, -1])
def test_a_window_holds_a_micro_batch(target: Subject, every: int) -> None:
    one = [target.array([1.0])]

    holds(target.refuses("accumulate_and_step", "sgd", {"lr": 0.5}, one, [one], every), f"took every = {every}")


# Scaled losses


def scaled_path(target: Subject, sample: Any) -> tuple[Any, Any]:
    """The steps of a target, and the true ones; each is the parameters, and the scale that comes next."""
    run = sample.run
    asked = run.name, run.hyperparameters, run.params, run.grads, sample.scale, sample.max_norm
    answer = listed(target.scaled_steps(*asked), [len(run.params) + 1] * len(run.grads))
    return answer, exact.scaled_steps(*asked, target.follow)


def steps_as_due(target: Subject, sample: Any) -> None:
    """Raise Disagreement unless the parameters after each step, whatever the scale, are those that are due."""
    answer, truth = scaled_path(target, sample)

    sound = [all(np.isfinite(g).all() for g in step) for step in sample.run.grads]
    rates, run = sample.run.hyperparameters["lr"], sample.run
    finite = Optimization(run.name, run.hyperparameters, run.params, list(itertools.compress(run.grads, sound)))
    finite.hyperparameters = {
        **run.hyperparameters,
        "lr": rates[: len(finite.grads)] if isinstance(rates, list) else rates,
    }
    with unless_its_rule_is_wrong(target, finite):
        agree_lists([step[:-1] for step in answer], [step[:-1] for step in truth])


@clause("scale.unscaled", fraction_of_examples=0.2)
@FOUR
@given(drawn=scaled_runs(overflows=False, steps=(1, 6)))
def test_the_scale_leaves_no_trace_in_the_steps(target: Subject, name: str, drawn: Any) -> None:
    """Gradients are divided by the scale with which the loss was multiplied, before anything is made of them."""
    steps_as_due(target, drawn(name))


@clause("scale.clip", fraction_of_examples=0.2)
@FOUR
@given(drawn=scaled_runs(overflows=False, norms=(1.0, 0.5, 4.0, 0.1), steps=(1, 4)))
def test_the_norm_that_is_limited_is_that_of_the_unscaled_gradients(target: Subject, name: str, drawn: Any) -> None:
    steps_as_due(target, drawn(name))


@clause("scale.skip", fraction_of_examples=0.2)
@FOUR
@given(drawn=scaled_runs(overflows=True, steps=(2, 8), rates=(1.0, 0.5, 2.0)))
def test_a_step_that_overflows_is_as_if_it_had_not_been(target: Subject, name: str, drawn: Any) -> None:
    """No parameter moves, nothing is remembered, and neither the optimizer nor the list of rates counts it."""
    steps_as_due(target, drawn(name))


@clause("scale.growth")
@given(scaled_runs(overflows=None, steps=(2, 8)))
def test_the_scale_grows_after_so_many_steps_and_shrinks_after_an_overflow(target: Subject, drawn: Any) -> None:
    """The steps since the last change are counted, so that an overflow begins the count anew."""
    answer, truth = scaled_path(target, drawn("sgd"))

    for t, (step, due) in enumerate(zip(answer, truth, strict=True), start=1):
        agree(step[-1], due[-1], f"the scale after step {t},")


@clause("scale.invalid")
@pytest.mark.parametrize(
    ("scale", "max_norm"), [(0.0, None), (-2.0, None), (float("inf"), None), (float("nan"), None), (2.0, -1.0)], ids=str
)
def test_a_scale_is_positive_and_finite_and_a_norm_is_not_negative(
    target: Subject, scale: float, max_norm: float | None
) -> None:
    """A negative limit would turn every gradient around."""
    one = [target.array([1.0])]

    refused = target.refuses("scaled_steps", "sgd", {"lr": 0.5}, one, [one], {"init_scale": scale}, max_norm)

    holds(refused, f"took a scale of {scale} with max_norm = {max_norm}")


# Mini-batches


def batched(target: Subject, sample: Batches, **changed: Any) -> list[list[list[int]]]:
    """The rows of each batch of each epoch, as whole numbers."""
    asked = {**vars(sample), **changed}
    answer = target.minibatches(*asked.values())
    holds(len(answer) == asked["epochs"], f"returned {len(answer)} epochs where {asked['epochs']} are due")
    found = []
    for epoch in answer:
        holds(all(rows is not None and rows.ndim == 1 for rows in epoch), "returned a batch that is no column of rows")
        found.append([[int(row) for row in rows] for rows in epoch])
    return found


@clause("minibatch.partition", fraction_of_examples=0.6)
@given(strategies.batch_requests())
def test_an_epoch_visits_every_row_once(target: Subject, sample: Batches) -> None:
    """No row comes twice, and none is lost, unless a last batch that is too small is dropped on purpose."""
    rest = sample.n_samples % sample.batch_size if sample.drop_last else 0
    for number, epoch in enumerate(batched(target, sample)):
        rows = sorted(itertools.chain.from_iterable(epoch))
        full = len(rows) == sample.n_samples - rest
        inside = set(rows) <= set(range(sample.n_samples)) and len(set(rows)) == len(rows)
        holds(full and inside, f"visits the rows {rows} in epoch {number}, of {sample.n_samples}")


@clause("minibatch.sizes", fraction_of_examples=0.6)
@given(strategies.batch_requests())
def test_all_batches_but_the_last_are_full(target: Subject, sample: Batches) -> None:
    due = exact.batch_sizes(sample.n_samples, sample.batch_size, sample.drop_last)
    for epoch in batched(target, sample):
        sizes = [len(rows) for rows in epoch]
        holds(sizes == due, f"returned batches of the sizes {sizes} where {due} are due")


@clause("minibatch.order", fraction_of_examples=0.4)
@given(strategies.batch_requests())
def test_without_a_shuffle_the_rows_come_in_their_order(target: Subject, sample: Batches) -> None:
    for epoch in batched(target, sample, shuffle=False):
        rows = list(itertools.chain.from_iterable(epoch))
        holds(rows == list(range(len(rows))), f"visits the rows in the order {rows} without a shuffle")


@clause("minibatch.shuffled", fraction_of_examples=0.2)
@given(strategies.seeds())
def test_no_two_epochs_of_forty_rows_have_one_order(target: Subject, seed: int) -> None:
    """Two of three fair orders of forty rows are the same, or one is unshuffled, with a probability below 1e-46."""
    orders = [
        list(itertools.chain.from_iterable(epoch)) for epoch in batched(target, Batches(40, 8, True, seed, False, 3))
    ]

    holds(list(range(40)) not in orders, "did not shuffle the rows")
    holds(len({*map(tuple, orders)}) == 3, f"visits the rows of two epochs in one order: {orders}")
    again = batched(target, Batches(40, 8, True, (seed + 1) % 2**32, False, 1))[0]
    holds(list(itertools.chain.from_iterable(again)) != orders[0], "has one order for two seeds")


@clause("minibatch.shuffled", fraction_of_examples=0.04)
@given(strategies.seeds())
def test_every_pair_of_rows_begins_an_epoch_as_often_as_any_other(target: Subject, seed: int) -> None:
    """And every row stands in every place as often. Fair orders fail this with a probability of less than 1e-9.

    Ten pairs, and five rows in five places, are each too seldom or too often.
    """
    n, pairs = 300, list(itertools.combinations(range(5), 2))
    error = Fraction(1, 10**9) / (2 * (len(pairs) + 25))
    orders = [[*itertools.chain(*epoch)] for epoch in batched(target, Batches(5, 2, True, seed, False, n))]

    fewest, most = exact.fair_counts(n, Fraction(1, len(pairs)), error)
    firsts = [tuple(sorted(order[:2])) for order in orders]
    for pair in pairs:
        count = firsts.count(pair)
        holds(fewest <= count <= most, f"begins {count} of {n} epochs with the rows {pair}, not {fewest} to {most}")
    fewest, most = exact.fair_counts(n, Fraction(1, 5), error)
    for place, row in itertools.product(range(5), range(5)):
        count = [order[place : place + 1] for order in orders].count([row])
        holds(
            fewest <= count <= most, f"has row {row} in place {place} of {count} of {n} epochs, not {fewest} to {most}"
        )


@clause("minibatch.shuffled", fraction_of_examples=0.02)
@given(strategies.seeds())
def test_each_of_many_rows_comes_early_as_often_as_any_other(target: Subject, seed: int) -> None:
    """A shuffle through a buffer is fair to few rows, and not to many."""
    n, epochs = 64, 200
    firsts = [epoch[0] for epoch in batched(target, Batches(n, n // 2, True, seed, False, epochs))]

    for rows, count, fewest, most in in_random_halves(firsts, n):
        holds(
            fewest <= count <= most,
            f"has {rows} in the first half of {count} of {epochs} epochs, not {fewest} to {most}",
        )


@clause("minibatch.seeded", fraction_of_examples=0.4)
@given(strategies.batch_requests())
def test_one_seed_gives_one_order(target: Subject, sample: Batches) -> None:
    """Whatever the state of the global generators, and whatever was asked before."""
    with seeded(1):
        first = batched(target, sample)
    with seeded(2):
        second = batched(target, sample)

    holds(second == first, f"returned the batches {second} where the same seed had given {first}")


@clause("minibatch.global-state", fraction_of_examples=0.4)
@given(strategies.batch_requests())
def test_global_generators_stay_where_they_are_for_batches(target: Subject, sample: Batches) -> None:
    with seeded(1):
        moved = stirred()
        batched(target, sample)
        changed = moved()

    holds(not changed, f"changed the global state of {', '.join(changed)}")


@clause("minibatch.invalid")
@pytest.mark.parametrize(("n_samples", "batch_size"), [(4, 0), (4, -1), (0, 2), (-1, 2)])
def test_there_are_samples_and_room_for_them(target: Subject, n_samples: int, batch_size: int) -> None:
    refused = target.refuses("minibatches", n_samples, batch_size, True, 0, False, 1)

    holds(refused, f"did not refuse batches of {batch_size} of {n_samples} samples")


def trained(target: Subject, sample: Minibatched, optimizer: dict[str, Any]) -> tuple[Any, tuple[Exact, list[Exact]]]:
    """What a target makes of mini-batches, and what is due."""
    data = sample.params, sample.t_u, sample.t_c
    answer = target.train_minibatches(optimizer, *data, sample.batches)
    return answer, exact.train_minibatches(optimizer, *map(exact.of, data), sample.batches, target.follow)


@clause("minibatch.steps", fraction_of_examples=0.5)
@pytest.mark.parametrize("optimizer", [{"name": "sgd"}, {"name": "adam", "lr": 0.25, "eps": 0.25}], ids=["sgd", "adam"])
@given(sample=strategies.minibatch_descents())
def test_each_batch_brings_one_step_along_its_own_gradient(
    target: Subject, optimizer: dict[str, Any], sample: Minibatched
) -> None:
    """The gradient is that of the batch's own mean loss, at the parameters that the batch before it left."""
    answer, due = trained(target, sample, {"lr": sample.learning_rate} | optimizer)

    agree(answer[0], due[0], "the parameters", names=LINE)


@clause("minibatch.loss", fraction_of_examples=0.8)
@given(strategies.minibatch_descents())
def test_the_loss_of_an_epoch_is_the_mean_over_its_samples(target: Subject, sample: Minibatched) -> None:
    """A small last batch counts by its size, and each batch by the loss before its update."""
    answer, due = trained(target, sample, {"name": "sgd", "lr": sample.learning_rate})

    agree(answer[1], exact.concatenate(*due[1]), "the losses")


# Only reading

CHANGES_NOTHING = ("optimize_groups", "resume", "accumulate_and_step", "scaled_steps")


@clause("training.pure", fraction_of_examples=0.4)
@pytest.mark.parametrize("operation", CHANGES_NOTHING)
@pytest.mark.parametrize("name", ["sgd", "adamw"])
@given(
    drawn=scaled_runs(
        overflows=None,
        norms=(0.5, None),
        steps=(3, 6),
        maximize=(True, None),
        momentum=(0.5, 0.9),
        nesterov=(True, None),
    )
)
def test_what_stands_around_an_optimizer_leaves_its_arguments_alone(
    target: Subject, operation: str, name: str, drawn: Any
) -> None:
    """Gradients that are unscaled, clipped or added up in place are others when somebody logs them."""
    sample = drawn(name)
    run = sample.run
    groups, rest = [run.hyperparameters] * len(run.params), (run.params, run.grads)
    requests = {
        "optimize_groups": (name, groups, *rest),
        "resume": (name, run.hyperparameters, *rest, 2, {"lr": 0.125}),
        "accumulate_and_step": (name, run.hyperparameters, *rest, 2),
        "scaled_steps": (name, run.hyperparameters, *rest, sample.scale, sample.max_norm),
    }

    leaves_arguments_alone(target, operation, *requests[operation])


@clause("training.pure", fraction_of_examples=0.3)
@given(strategies.minibatch_descents())
def test_a_loop_over_mini_batches_leaves_start_and_data_alone(target: Subject, sample: Minibatched) -> None:
    optimizer = {"name": "sgd", "lr": sample.learning_rate}

    leaves_arguments_alone(
        target, "train_minibatches", optimizer, sample.params, sample.t_u, sample.t_c, sample.batches
    )

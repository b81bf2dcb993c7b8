"""The chapter on validation."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.exact import Exact
from calibrant.judge import LINE, agree, as_exact, at_most, holds, shaped, show
from calibrant.strategies import Descent, Fit, Losses, Penalized, Split
from calibrant.suite.claims import (
    about,
    agrees_or_refuses,
    in_random_halves,
    keeps_dtype,
    leaves_arguments_alone,
    no_columns,
    two_shapes,
)
from calibrant.suite.property import clause
from calibrant.target.calling import Subject
from calibrant.target.generators import seeded, stirred


def rows(indices: Any) -> list[int]:
    """Indices as whole numbers, in the order that they have."""
    holds(indices.ndim == 1, f"returned indices of shape {indices.shape} where a column is due")
    holds(bool((indices % 1 == 0).all()), "returned indices that are no whole numbers")
    return [int(i) for i in indices]


WAYS = pytest.mark.parametrize("operation", ["split", "split_data"])


def parts(target: Subject, operation: str, sample: Split) -> tuple[list[int], list[int]]:
    """The rows for training and for validation: as they are returned, or from temperatures that number them."""
    n, fraction, seed = sample.n_samples, sample.val_fraction, sample.seed
    if operation == "split":
        train, val = target.split(n, fraction, seed)
        return rows(train), rows(val)
    first = -(n // 2)  # every dtype has these numbers; bfloat16 has not all from 0 to n - 1
    numbers = target.array(np.arange(first, first + n))
    _, train, _, val = target.split_data(numbers, numbers, fraction, seed)
    return rows(train.astype(np.float64) - first), rows(val.astype(np.float64) - first)


@clause("split.partition", fraction_of_examples=0.6)
@WAYS
@given(strategies.splits())
def test_every_row_is_in_one_part(target: Subject, operation: str, sample: Split) -> None:
    """A row in both parts is an exam question that was in the textbook; a row in neither part is wasted."""
    train, val = parts(target, operation, sample)

    holds(not set(train) & set(val), f"put the rows {sorted(set(train) & set(val))} into both parts")
    every = sorted(train + val)
    holds(
        every == list(range(sample.n_samples)), f"returned the rows {every} where 0 to {sample.n_samples - 1} are due"
    )


@clause("split.sizes", fraction_of_examples=0.6)
@WAYS
@given(strategies.splits())
def test_validation_gets_the_whole_part_of_its_fraction(target: Subject, operation: str, sample: Split) -> None:
    _, val = parts(target, operation, sample)

    held_out(val, exact.held_out(sample.n_samples, sample.val_fraction, target.follow["split.rounding"]))


def held_out(val: list[int], due: tuple[int, int]) -> None:
    """Raise Disagreement unless the rows are as many as due, from the fewest to the most."""
    fewest, most = due
    count = str(fewest) if fewest == most else f"{fewest} or {most}"
    holds(fewest <= len(val) <= most, f"held out {len(val)} rows where {count} are due")


@clause("split.as-written")
@WAYS
@given(strategies.splits())
def test_fraction_counts_as_written(target: Subject, operation: str, sample: Split) -> None:
    """`int(0.29 * 100)` is 28, because the float 0.29 is slightly smaller than 0.29."""
    _, val = parts(target, operation, sample)

    held_out(val, exact.held_out_as_written(sample.n_samples, sample.val_fraction, target.follow["split.rounding"]))


@clause("split.none-held-out", fraction_of_examples=0.2)
@WAYS
@given(strategies.splits())
def test_no_validation_rows_leave_all_for_training(target: Subject, operation: str, sample: Split) -> None:
    """`shuffled[:-0]` is empty, and `shuffled[-0:]` is everything. Rounded up, nothing but zero holds out no rows."""
    up = target.follow["split.rounding"] == "up"
    sample.val_fraction = 0.0 if up else sample.val_fraction / (2 * sample.n_samples)

    train, val = parts(target, operation, sample)

    holds(len(val) == 0, f"held out {len(val)} rows where none is due")
    holds(len(train) == sample.n_samples, f"left {len(train)} rows for training where {sample.n_samples} are due")


@clause("split.random", fraction_of_examples=0.04)
@WAYS
@given(strategies.seeds())
def test_every_set_of_rows_is_held_out_as_often_as_any_other(target: Subject, operation: str, seed: int) -> None:
    """Over 300 seeds, two of five rows: each of the ten pairs is held out with probability 1/10 if the split is fair.

    A fair split fails this with a probability of less than 1e-9: ten pairs, each too seldom or too often.
    """
    n_splits, pairs = 300, list(itertools.combinations(range(5), 2))
    fewest, most = exact.fair_counts(n_splits, Fraction(1, len(pairs)), Fraction(1, 10**9) / (2 * len(pairs)))
    counts = dict.fromkeys(pairs, 0)
    for k in range(n_splits):
        _, val = parts(target, operation, Split(5, 0.4, (seed + k) % 2**32))
        holds(tuple(sorted(val)) in counts, f"held out the rows {val} where two of five are due")
        counts[tuple(sorted(val))] += 1

    for pair, count in counts.items():
        holds(
            fewest <= count <= most,
            f"is the last of {n_splits} seeds in a row: rows {pair[0]} and {pair[1]} were held out by {count} of them,"
            f" where {fewest} to {most} are due",
        )


@clause("split.random", fraction_of_examples=0.01)
@WAYS
@given(strategies.seeds())
def test_each_of_many_rows_is_held_out_as_often_as_any_other(target: Subject, operation: str, seed: int) -> None:
    """A shuffle through a buffer is fair to few rows, and not to many; a rotation keeps neighbours together."""
    n, n_splits = 64, 200
    held_out = [parts(target, operation, Split(n, 0.5, (seed + k) % 2**32))[1] for k in range(n_splits)]

    for rows, count, fewest, most in in_random_halves(held_out, n):
        holds(
            fewest <= count <= most,
            f"is the last of {n_splits} seeds in a row: {rows} of {n} were held out by {count} of them,"
            f" where {fewest} to {most} are due",
        )


@clause("split.seeded", fraction_of_examples=0.3)
@WAYS
@given(strategies.splits())
def test_seed_alone_decides(target: Subject, operation: str, sample: Split) -> None:
    """One seed gives the same rows in the same order, whatever the state of the global generators."""
    with seeded(1):
        first = parts(target, operation, sample)
    with seeded(2):
        second = parts(target, operation, sample)

    holds(second == first, f"returned the rows {second} where the same seed had given {first}")


@clause("split.seeded")
def test_another_process_splits_alike(target: Subject) -> None:
    """A split that depends on its process gives every worker another one, and some train on rows that others hold out."""
    ways = [way for way in ("split", "split_data") if way in target.target.operations] or ["split"]
    here, there = {way: parts(target, way, Split(40, 0.5, 1)) for way in ways}, target.target.answered_elsewhere
    if not there:
        with target.elsewhere() as other:
            there |= {way: parts(other, way, Split(40, 0.5, 1)) for way in ways}

    for way, one in here.items():
        about(target, 0)
        holds(one == there[way], f"returned the rows {one}, and in another process {there[way]}")


@clause("split.global-state", fraction_of_examples=0.3)
@WAYS
@given(strategies.splits())
def test_global_generators_stay_where_they_are(target: Subject, operation: str, sample: Split) -> None:
    """`torch.manual_seed(seed)` inside a split makes all later draws of the program the same every time."""
    with seeded(1):
        moved = stirred()
        parts(target, operation, sample)
        changed = moved()

    holds(not changed, f"changed the global state of {', '.join(changed)}")


@clause("split.pairs", fraction_of_examples=0.6)
@given(sample=strategies.fits(), split=strategies.splits())
def test_every_reading_keeps_its_temperature(target: Subject, sample: Fit, split: Split) -> None:
    """Two columns that are shuffled one after the other lose their pairs."""
    columns = target.split_data(sample.t_u, sample.t_c, split.val_fraction, split.seed)

    keeps_dtype(target, columns)
    kept = paired(*columns[:2]) + paired(*columns[2:])
    holds(
        sorted(kept) == sorted(paired(sample.t_u, sample.t_c)), f"returned the pairs {kept}, which are not those given"
    )


def paired(t_u: Any, t_c: Any) -> list[tuple[float, float]]:
    """The rows of two columns."""
    holds(t_u.shape == t_c.shape and t_u.ndim == 1, f"returned columns of shape {t_u.shape} and {t_c.shape}")
    return list(zip(t_u.astype(np.float64).tolist(), t_c.astype(np.float64).tolist(), strict=True))


@clause("split.pairs")
@pytest.mark.parametrize(("n_u", "n_c"), [(2, 3), (3, 2), (1, 3), (3, 1)])
def test_columns_of_two_lengths_are_not_split(target: Subject, n_u: int, n_c: int) -> None:
    """Cut to the shorter, or split by the rows of one of them, they lose their pairs without a sign."""
    refused = target.refuses("split_data", target.array(np.ones(n_u)), target.array(np.ones(n_c)), 0.5, 0)

    holds(refused, f"did not refuse {n_u} readings with {n_c} temperatures")


@clause("split.pure", fraction_of_examples=0.3)
@given(sample=strategies.fits(), split=strategies.splits())
def test_splitting_leaves_the_columns_alone(target: Subject, sample: Fit, split: Split) -> None:
    """A shuffle in place changes the data of every later run."""
    leaves_arguments_alone(target, "split_data", sample.t_u, sample.t_c, split.val_fraction, split.seed)


@clause("split.invalid")
@pytest.mark.parametrize("fraction", [-0.125, 1.125, math.nan, math.inf, -math.inf, 2.0])
@WAYS
def test_invalid_fractions_are_refused(target: Subject, operation: str, fraction: float) -> None:
    rows = (10,) if operation == "split" else (target.array([0.0, 1.0]), target.array([0.0, 1.0]))

    holds(target.refuses(operation, *rows, fraction, 0), f"did not refuse a fraction of {fraction}")


@clause("split.invalid")
@pytest.mark.parametrize(("n_samples", "fraction"), [(-1, 0.5), (-10, 0.0)])
def test_fewer_rows_than_none_are_refused(target: Subject, n_samples: int, fraction: float) -> None:
    holds(target.refuses("split", n_samples, fraction, 0), f"did not refuse to split {n_samples} samples")


@clause("split.empty-part")
@pytest.mark.parametrize(("n_samples", "fraction"), [(0, 0.5), (0, 0.0), (1, 1.0), (7, 1.0)])
def test_a_part_without_rows_is_empty_or_refused(target: Subject, n_samples: int, fraction: float) -> None:
    """With all rows held out, or none given, the training part is empty."""
    refused = target.refuses("split", n_samples, fraction, 0)

    train, val = ([], [*range(n_samples)]) if refused else map(rows, target.calls[-1].answer)
    holds(train == [], f"returned the rows {train} for training where none is left")
    holds(sorted(val) == [*range(n_samples)], f"held out the rows {val} of {n_samples}")


OPTIMIZERS = pytest.mark.parametrize("name", ["sgd", "nesterov", "adam"])


def run(sample: Descent, name: str = "sgd", more: int = 0) -> tuple[Any, ...]:
    """The sample, with some more epochs, as arguments of the training loop, up to the validation data."""
    rate, momentum = {"name": "sgd", "lr": sample.learning_rate}, {"momentum": 0.5, "nesterov": True}
    optimizer = {"sgd": rate, "nesterov": rate | momentum, "adam": {"name": "adam", "lr": 0.125}}[name]
    return sample.n_epochs + more, optimizer, sample.params, sample.t_u, sample.t_c


@clause("validation.non-interference", fraction_of_examples=0.4)
@OPTIMIZERS
@given(sample=strategies.descents(), val=strategies.fits(), spoiled=strategies.spoiled_probes())
def test_validation_data_do_not_change_the_training(
    target: Subject, name: str, sample: Descent, val: Fit, spoiled: tuple[Fit, float]
) -> None:
    """Not even validation losses that overflow or are NaN matter; data that are trained on cannot validate."""
    params, losses, _ = target.training_loop(*run(sample, name), val.t_u, val.t_c)
    if not target.repeats():
        return
    others, other_losses, _ = target.training_loop(*run(sample, name), spoiled[0].t_u, spoiled[0].t_c)

    before = "where, with other validation data, it had returned"
    agree(others, params, "the parameters", due=before, names=LINE)
    agree(other_losses, losses, "the training losses", due=before)


@clause("validation.logged", fraction_of_examples=0.4)
@given(sample=strategies.descents(), val=strategies.fits())
def test_each_validation_loss_belongs_to_the_parameters_of_its_epoch(
    target: Subject, sample: Descent, val: Fit
) -> None:
    _, _, losses = target.training_loop(*run(sample), val.t_u, val.t_c)

    start, t_u, t_c = (exact.of(x) for x in (sample.params, sample.t_u, sample.t_c))
    val_t_u, val_t_c = exact.of(val.t_u), exact.of(val.t_c)
    path = itertools.islice(exact.walk(sample.learning_rate, start, t_u, t_c), sample.n_epochs)
    due = exact.concatenate(*(exact.loss_fn(exact.model(val_t_u, w, b), val_t_c) for w, b in path))
    agree(losses, due, "the validation losses")


@clause("validation.logged", fraction_of_examples=0.2)
@OPTIMIZERS
@given(sample=strategies.descents(), val=strategies.fits())
def test_both_losses_of_an_epoch_belong_to_the_same_parameters(
    target: Subject, name: str, sample: Descent, val: Fit
) -> None:
    """A run that is one epoch longer logs at its end both losses of the parameters that the shorter run returns.

    Nesterov's momentum takes its gradient at a point ahead of them; a loss that comes with that gradient is another one.
    """
    params, _, _ = target.training_loop(*run(sample, name), val.t_u, val.t_c)
    _, *logs = target.training_loop(*run(sample, name, more=1), val.t_u, val.t_c)

    if not np.isfinite(params).all():
        return  # nothing can be computed from it: the property before this one judges such a path
    ended = as_exact(params, (2,))
    # What is returned may be rounded from what was computed with.
    ended = ended.within(target.form.u * ended.magnitude() + target.form.tiny, target.form)
    of_ended = "where the parameters at which the shorter run ended have the loss"
    data = (sample.t_u, sample.t_c), (val.t_u, val.t_c)
    for which, losses, (t_u, t_c) in zip(("training", "validation"), logs, data, strict=True):
        last = shaped(losses, (sample.n_epochs + 1,), f"{which} losses")[-1]
        due = exact.loss_fn(exact.model(exact.of(t_u), *ended), exact.of(t_c))
        agree(last, due, f"the last {which} loss", due=of_ended)


@clause("validation.none", fraction_of_examples=0.3)
@given(strategies.descents())
def test_without_validation_data_no_validation_losses_are_logged(target: Subject, sample: Descent) -> None:
    _, _, losses = target.training_loop(*run(sample))

    holds(losses.size == 0, f"logged {losses.size} validation losses without validation data")


@clause("validation.shapes")
@two_shapes
def test_validation_data_of_two_shapes_are_refused(
    target: Subject, of_u: tuple[int, ...], of_c: tuple[int, ...]
) -> None:
    refuses_validation(target, of_u, of_c)


@clause("validation.columns")
@no_columns
def test_validation_data_that_are_no_columns_are_refused(target: Subject, shape: tuple[int, ...]) -> None:
    refuses_validation(target, shape, shape)


def refuses_validation(target: Subject, of_u: tuple[int, ...], of_c: tuple[int, ...]) -> None:
    """Raise Disagreement unless a run refuses validation data of these shapes."""
    params, *columns = map(target.array, ([1.0, 0.0], [1.0], [1.0], np.ones(of_u), np.ones(of_c)))

    refused = target.refuses("training_loop", 1, {"name": "sgd", "lr": 0.125}, params, *columns)

    holds(refused, f"did not refuse validation readings of shape {of_u} with temperatures of shape {of_c}")


@clause("validation.pure", fraction_of_examples=0.3)
@given(sample=strategies.descents(), val=strategies.fits())
def test_validation_data_are_not_changed(target: Subject, sample: Descent, val: Fit) -> None:
    leaves_arguments_alone(target, "training_loop", *run(sample), val.t_u, val.t_c)


@clause("validation.pure", fraction_of_examples=0.3)
@given(strategies.fits())
def test_a_validation_loss_leaves_its_arguments_alone(target: Subject, sample: Fit) -> None:
    leaves_arguments_alone(target, "validation_loss", sample.params, sample.t_u, sample.t_c)


@clause("validation.value", fraction_of_examples=0.4)
@given(strategies.fits())
def test_the_validation_loss_is_the_mean_squared_error(target: Subject, sample: Fit) -> None:
    """Neither a mean of the means of unequal batches, nor a loss with the training's penalty."""
    loss, _ = target.validation_loss(sample.params, sample.t_u, sample.t_c)

    due = exact.loss_fn(exact.model(exact.of(sample.t_u), *exact.of(sample.params)), exact.of(sample.t_c))
    agree(loss, due, "the loss")


@clause("validation.not-recorded", fraction_of_examples=0.4)
@given(strategies.fits())
def test_evaluating_records_no_graph(target: Subject, sample: Fit) -> None:
    """A graph without a backward pass costs memory, and a validation loss with a graph can be trained on by mistake."""
    _, recorded = target.validation_loss(sample.params, sample.t_u, sample.t_c)

    holds(not recorded.any(), "recorded a graph")


def penalized(target: Subject, sample: Penalized, l1: float, l2: float) -> None:
    """Judge the regularized loss at the sample's predictions."""
    answer = target.regularized_loss(sample.t_p, sample.t_c, sample.w, l1, l2)

    numbers = (exact.of(x) for x in (sample.t_p, sample.t_c, sample.w))
    agree(answer, exact.regularized_loss(*numbers, l1, l2))


@clause("regularization.l1", fraction_of_examples=0.6)
@given(strategies.penalized_fits())
def test_l1_adds_the_absolute_value_of_the_weight(target: Subject, sample: Penalized) -> None:
    penalized(target, sample, sample.l1, 0.0)


@clause("regularization.l2", fraction_of_examples=0.6)
@given(strategies.penalized_fits())
def test_l2_adds_the_square_of_the_weight(target: Subject, sample: Penalized) -> None:
    """The penalty is the square, not half of it: the book has no factors of one half."""
    penalized(target, sample, 0.0, sample.l2)


@clause("regularization.sum", fraction_of_examples=0.3)
@given(strategies.penalized_fits())
def test_the_penalties_add(target: Subject, sample: Penalized) -> None:
    penalized(target, sample, sample.l1, sample.l2)


def slopes(target: Subject, sample: Penalized) -> tuple[Any, Exact]:
    """The gradient that the target returns, and the true one."""
    answer = target.regularized_grad(sample.t_u, sample.t_c, sample.w, sample.b, sample.l1, sample.l2)
    numbers = (exact.of(x) for x in (sample.t_u, sample.t_c, sample.w, sample.b))
    return shaped(answer, (2,)), exact.regularized_grad(*numbers, sample.l1, sample.l2)


@clause("regularization.gradient", fraction_of_examples=0.6)
@given(strategies.penalized_fits())
def test_the_gradient_belongs_to_the_penalized_loss(target: Subject, sample: Penalized) -> None:
    sample.w = sample.w if sample.w else target.array(0.5)

    agree(*slopes(target, sample), names=LINE)


@clause("regularization.kink", fraction_of_examples=0.3)
@given(strategies.penalized_fits())
def test_at_weight_zero_the_slope_lies_between_both_sides(target: Subject, sample: Penalized) -> None:
    """`w / abs(w)` is NaN at 0, and a NaN in one gradient reaches all parameters within two steps."""
    sample.w = target.array(0.0)
    answer, due = slopes(target, sample)

    agree(answer[0], due[0], "the derivative by w")


@clause("regularization.bias", fraction_of_examples=0.4)
@given(strategies.penalized_fits())
def test_the_bias_is_not_penalized(target: Subject, sample: Penalized) -> None:
    """A penalty on the bias pulls every prediction towards 0 °C, which is no simpler than another temperature."""
    answer, _ = slopes(target, sample)

    numbers = [exact.of(x) for x in (sample.t_u, sample.t_c, sample.w, sample.b)]
    agree(answer[1], exact.gradient(*numbers)[1], "the derivative by b")


@clause("regularization.ridge", fraction_of_examples=0.6)
@given(strategies.ridges())
def test_ridge_is_the_optimum_in_closed_form(target: Subject, ridge: tuple[Fit, float, float]) -> None:
    sample, l2, _ = ridge
    due = exact.least_squares(exact.of(sample.t_u), exact.of(sample.t_c), l2)

    agrees_or_refuses(target, due, "ridge", sample.t_u, sample.t_c, l2)


@clause("regularization.shrinks", fraction_of_examples=0.4)
@given(strategies.ridges())
def test_a_larger_penalty_never_gives_a_larger_weight(target: Subject, ridge: tuple[Fit, float, float]) -> None:
    """This holds exactly for the optima in fractions, and for the returned weights within the errors of both."""
    sample, *penalties = ridge
    t_u, t_c = exact.of(sample.t_u), exact.of(sample.t_c)
    optima = [exact.least_squares(t_u, t_c, l2) for l2 in penalties]
    w, shrunk = (abs(exact.optimum(t_u, t_c, l2)[0]) for l2 in penalties)
    holds(shrunk <= w, f"the optimal weight grows from {exact.to_float(w)} to {exact.to_float(shrunk)}")

    if all(np.isfinite(optimum.err[0]) for optimum in optima):
        weights = [shaped(target.ridge(sample.t_u, sample.t_c, l2), (2,))[0] for l2 in penalties]
        before, after = (
            abs(as_exact(weight, ())).within(optimum.err[0], target.form)
            for weight, optimum in zip(weights, optima, strict=True)
        )
        claim = f"the weight at l2 = {penalties[1]} is at most that at l2 = {penalties[0]}, in size"
        at_most(after, before, f"returned the weight {show(weights[1])}; {claim}")


@clause("regularization.invalid")
@pytest.mark.parametrize("operation", ["regularized_loss", "regularized_grad", "ridge"])
@pytest.mark.parametrize("penalty", [-0.125, math.nan, math.inf])
def test_invalid_penalties_are_refused(target: Subject, operation: str, penalty: float) -> None:
    """A negative penalty rewards large weights, so that the best weight is infinite."""
    u, c, w = target.array([0.0, 1.0]), target.array([1.0, 2.0]), target.array(1.0)
    arguments = {"regularized_loss": (u, c, w), "regularized_grad": (u, c, w, w), "ridge": (u, c)}[operation]
    penalties = [(penalty,)] if operation == "ridge" else [(penalty, 0.5), (0.5, penalty)]

    for given_ in penalties:
        holds(target.refuses(operation, *arguments, *given_), f"did not refuse a penalty of {penalty}")


PENALIZED = pytest.mark.parametrize("operation", ["regularized_loss", "regularized_grad", "ridge"])


def of_penalized(target: Subject, operation: str, sample: Penalized) -> tuple[Any, ...]:
    """What an operation with penalties is asked of a sample."""
    return {
        "regularized_loss": (sample.t_p, sample.t_c, sample.w, sample.l1, sample.l2),
        "regularized_grad": (sample.t_u, sample.t_c, sample.w, sample.b, sample.l1, sample.l2),
        "ridge": (target.array([0.0, 1.0]), target.array([1.0, 2.0]), sample.l2),
    }[operation]


@clause("regularization.dtype", fraction_of_examples=0.15)
@PENALIZED
@given(sample=strategies.penalized_fits())
def test_penalties_keep_the_dtype(target: Subject, operation: str, sample: Penalized) -> None:
    keeps_dtype(target, target.call(operation, of_penalized(target, operation, sample)))


@clause("regularization.pure", fraction_of_examples=0.15)
@PENALIZED
@given(sample=strategies.penalized_fits())
def test_penalties_leave_their_arguments_alone(target: Subject, operation: str, sample: Penalized) -> None:
    """A ridge that centres the readings in place fits other readings the next time."""
    leaves_arguments_alone(target, operation, *of_penalized(target, operation, sample))


def stop(target: Subject, losses: Any, patience: int) -> tuple[Any, Any, int, int | None]:
    """Where the target stops and what it calls the best, and both as they should be."""
    stopped, best = target.early_stopping(losses, patience)
    return stopped, best, *exact.early_stopping(losses.astype(np.float64).tolist(), patience)


def longest_wait(losses: Any) -> int:
    """The most epochs in a row that bring nothing."""
    return max(waited for _, waited in exact.waits(losses.astype(np.float64).tolist()))


@clause("early-stopping.patience")
@given(strategies.loss_logs())
def test_training_stops_when_patience_is_exhausted(target: Subject, log: Losses) -> None:
    """It stops neither an epoch earlier nor later, and a tie is no improvement."""
    if longest_wait(log.val_losses) < log.patience:
        log.val_losses = np.append(log.val_losses, [log.val_losses.max()] * (log.patience + 1))

    stopped, _, due, _ = stop(target, log.val_losses, log.patience)

    agree(stopped, np.asarray(due), "the last epoch")


@clause("early-stopping.never-triggered")
@given(strategies.loss_logs())
def test_patience_that_is_not_exhausted_stops_at_the_end(target: Subject, log: Losses) -> None:
    """A patience of one epoch more than the longest wait is never exhausted."""
    stopped, _, due, _ = stop(target, log.val_losses, longest_wait(log.val_losses) + 1)

    holds(due == len(log.val_losses) - 1, f"patience is exhausted in epoch {due}")
    agree(stopped, np.asarray(due), "the last epoch")


@clause("early-stopping.best")
@given(strategies.loss_logs())
def test_best_epoch_is_the_first_of_the_lowest_until_the_stop(target: Subject, log: Losses) -> None:
    """Epochs after the stop are never computed, and the last parameters have had `patience` epochs without improvement."""
    _, best, _, due = stop(target, log.val_losses, log.patience)

    agree(best, np.asarray(due), "the best epoch")


@clause("early-stopping.nan")
@given(strategies.spoiled_loss_logs())
def test_a_non_finite_loss_is_no_improvement(target: Subject, log: Losses) -> None:
    """`not loss >= best` is true of NaN, so that a NaN would count as the best loss and never be beaten."""
    stopped, best, due, due_best = stop(target, log.val_losses, log.patience)

    agree(stopped, np.asarray(due), "the last epoch")
    if due_best is not None:
        agree(best, np.asarray(due_best), "the best epoch")


@clause("early-stopping.invalid")
@pytest.mark.parametrize(("losses", "patience"), [([], 1), ([1.0, 0.5], 0), ([1.0, 0.5], -1)])
def test_no_losses_and_no_patience_are_refused(target: Subject, losses: list[float], patience: int) -> None:
    refused = target.refuses("early_stopping", target.array(losses), patience)

    holds(refused, f"did not refuse {len(losses)} losses with a patience of {patience}")


@clause("overfitting.diagnosis")
@given(strategies.curves())
def test_diagnosis_follows_the_table(target: Subject, run: tuple[Any, Any]) -> None:
    answer = target.diagnose(*run)

    due = exact.diagnose(*map(exact.of, run))
    if due is not None:
        holds(answer == due, f"returned {answer!r} where {due!r} is due")
    holds(answer in ("good", "underfitting", "overfitting"), f"returned {answer!r}, which is no diagnosis")


TABLE = [
    ([8.0, 2.0, 1.0], [8.0, 4.0, 2.0], "good"),
    ([8.0, 2.0, 1.0], [8.0, 2.0, 2.0], "good"),
    ([8.0, 2.0, 1.0], [8.0, 2.0, 2.5], "overfitting"),
    ([8.0, 4.0, 2.0], [8.0, 4.0, 4.0], "underfitting"),
    ([8.0, 4.0, 2.0], [8.0, 2.0, 4.0], "overfitting"),
    ([8.0, 4.0, 4.0], [8.0, 4.0, 6.0], "underfitting"),
    ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], "underfitting"),
    ([0.0, 0.0], [1.0, 1.0], "good"),
    # The first of two best epochs; a small rise; a rise that came before the last epoch; training that was lower once.
    ([8.0, 1.0, 2.0], [2.0, 2.0, 4.0], "overfitting"),
    ([8.0, 2.0, 1.0], [8.0, 4.0, 4.25], "good"),
    ([8.0, 2.0, 1.0], [2.0, 4.0, 4.0], "overfitting"),
    ([8.0, 1.0, 2.0], [8.0, 2.0, 1.0], "underfitting"),
]


@clause("overfitting.diagnosis")
@pytest.mark.parametrize(("train", "val", "due"), TABLE)
def test_diagnosis_of_the_runs_in_the_book(target: Subject, train: list[float], val: list[float], due: str) -> None:
    answer = target.diagnose(target.array(train), target.array(val))

    holds(answer == due, f"returned {answer!r} where {due!r} is due")


@clause("validation.logs-kept", fraction_of_examples=0.3)
@given(strategies.spoiled_loss_logs())
def test_early_stopping_leaves_the_losses_alone(target: Subject, log: Losses) -> None:
    """Rises, ties, and losses that are not finite, which a running minimum would write over."""
    leaves_arguments_alone(target, "early_stopping", log.val_losses, log.patience)


@clause("validation.logs-kept", fraction_of_examples=0.3)
@given(strategies.curves())
def test_a_diagnosis_leaves_both_logs_alone(target: Subject, run: tuple[Any, Any]) -> None:
    leaves_arguments_alone(target, "diagnose", *run)


@clause("overfitting.lengths")
@pytest.mark.parametrize(("n_train", "n_val"), [(2, 3), (3, 2), (1, 0), (0, 1)])
def test_logs_of_two_lengths_have_no_diagnosis(target: Subject, n_train: int, n_val: int) -> None:
    refused = target.refuses("diagnose", target.array(np.ones(n_train)), target.array(np.ones(n_val)))

    holds(refused, f"did not refuse {n_train} training losses with {n_val} validation losses")


@clause("overfitting.empty")
def test_logs_without_epochs_have_no_diagnosis(target: Subject) -> None:
    refused = target.refuses("diagnose", target.array([]), target.array([]))

    holds(refused, "did not refuse two logs without an epoch")


@clause("overfitting.not-finite")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_run_that_diverged_has_no_diagnosis(target: Subject, value: float, epoch: int) -> None:
    """Comparisons with NaN are false, so that a careless reading of the table calls such a run good."""
    losses, spoiled = target.array([4.0, 2.0, 1.0]), target.array([4.0, 2.0, 1.0])
    spoiled[epoch] = value

    holds(target.refuses("diagnose", spoiled, losses), f"did not refuse a training loss of {value}")
    holds(target.refuses("diagnose", losses, spoiled), f"did not refuse a validation loss of {value}")

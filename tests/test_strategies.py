"""Strategies: invariants of every case, cases that they reach, and the cases that failures shrink to."""

from __future__ import annotations

import ast
import contextlib
import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from support import each_case, forms

from calibrant import exact, strategies
from calibrant.book.clauses import book_folder
from calibrant.exact import FORMATS, Format
from calibrant.protocol.declarations import CONVENTIONS, GENERAL, numpy_dtype
from calibrant.strategies import accumulation, broadcasting, drawing, samples

pytestmark = pytest.mark.untraced

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=30)
SEARCH = settings(derandomize=True, deadline=None, max_examples=20_000, database=None)
FLOAT32 = FORMATS["float32"]

STRATEGIES = {name: one for name, one in vars(strategies).items() if isinstance(one, strategies.Strategy)}
OPTIMIZERS = list(strategies.HYPERPARAMETERS)
SPOILED = {name for name in STRATEGIES if name.startswith("spoiled_")}
Check = Callable[[Any, Format], None]
Condition = Callable[[Any], Any]


def strategy_of(name: str) -> st.SearchStrategy[strategies.Drawn[Any]]:
    """The strategy of that name, or the runs of the optimizer of that name."""
    return STRATEGIES[name]() if name in STRATEGIES else strategies.optimizations(name)


def always(*names: str) -> Callable[[Check], Any]:
    """Make a test of every case of many examples of each of these strategies, in each format."""

    def decorated(check: Check) -> Any:
        @pytest.mark.parametrize("name", names)
        @forms
        def test(form: Format, name: str) -> None:
            each_case(strategy_of(name), form)(lambda case: check(case, form))()

        test.__doc__ = check.__doc__
        return test

    return decorated


def found(name: str, condition: Condition, form: Format = FLOAT32, **options: Any) -> Any:
    """The simplest case that meets a condition. Raises NoSuchExample if there is none."""
    strategy = strategies.optimizations(name, **options) if options else strategy_of(name)

    def meeting(drawn: strategies.Drawn[Any]) -> list[Any]:
        return [case for case in (one.at(form) for one in drawn.cases()) if condition(case)]

    return meeting(find(strategy, meeting, settings=SEARCH))[0]


def arrays(example: Any) -> list[Any]:
    """The arrays that an example holds, at any depth."""
    if isinstance(example, np.ndarray):
        return [example]
    parts = example if isinstance(example, (list, tuple)) else getattr(example, "__dict__", {}).values()
    return [array for part in parts for array in arrays(part)]


def exactly(x: Any) -> list[Fraction]:
    return exact.of(x).fractions()


# Invariants: the reference's own check shows where an example is none that a target must serve


def test_an_example_holds_each_of_its_cases_once() -> None:
    one, other = bytes(strategies.seeds.length), bytes([1, 2, 3, 4])
    repeated = strategies.Drawn(one + other + one + other, strategies.seeds.decode)

    assert [case.data for case in repeated.cases()] == [one, other]
    assert repeated.at(FLOAT32) == repeated.cases()[0].at(FLOAT32) == 0
    assert find(strategies.seeds(), lambda drawn: len(drawn.cases()) == drawing.CASES, settings=SEARCH)


@always(*sorted(STRATEGIES.keys() - SPOILED), *OPTIMIZERS)
def test_numbers_are_finite_and_of_the_format(example: Any, form: Format) -> None:
    for x in arrays(example):
        assert x.dtype in (numpy_dtype(form.name), np.int64)
        assert np.isfinite(x.astype(np.float64)).all()


@forms
def test_gradients_that_grow_for_many_steps_are_finite(form: Format) -> None:
    def finite(run: strategies.Optimization) -> None:
        assert all(np.isfinite(g.astype(np.float64)).all() for step in run.grads for g in step if g is not None)

    each_case(strategies.optimizations("adam", steps=(40, 40), courses=("growing",)), form)(finite)()


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_length_is_decoded_to_the_same_example_each_time_in_new_arrays(name: str) -> None:
    """Up to the longest columns, from the places of a table where they start. A property may change its arguments."""
    for byte in (*range(12), *range(192, 220), *range(243, 256)):  # 1 to 12 samples, 13 to 40, those beyond
        drawn = strategies.Drawn(bytes([byte]) * STRATEGIES[name].length, STRATEGIES[name].decode)
        for x, y in zip(arrays(drawn.at(FLOAT32)), arrays(drawn.at(FLOAT32)), strict=True):
            assert not np.shares_memory(x, y)
            assert np.array_equal(x, y, equal_nan=True)


JUDGED: dict[str, Condition] = {
    "fits": lambda x: [exact.gradient(*map(exact.of, (x.t_u, x.t_c, x.w, x.b)))],
    "operands": lambda x: exact.multiply_grad(*map(exact.of, (x.x, x.y, x.upstream))),
}


@pytest.mark.parametrize("name", JUDGED)
@forms
def test_sums_of_products_stay_in_range(form: Format, name: str) -> None:
    """Nothing can be judged where a sum overflows: few cases are meant for that."""
    judged = []

    each_case(strategy_of(name), form)(
        lambda case: judged.append(all(np.isfinite(due.err).all() for due in JUDGED[name](case)))
    )()
    assert np.mean(judged) > 0.9


@always("segments")
def test_the_middle_of_a_segment_is_exactly_halfway(segment: tuple[Any, list[Any]], form: Format) -> None:
    start, middle, end = map(exactly, segment[1])
    assert middle == [(x + y) / 2 for x, y in zip(start, end, strict=True)]


@forms
def test_a_line_of_one_sample_of_any_kind_has_two_different_readings(form: Format) -> None:
    """Adding 1 to a large number would give the same number."""
    for kind in range(len(drawing.KINDS)):
        data = bytes([kind, 0, 0]).ljust(strategies.lines.length, b"\xff")
        drawn = strategies.Drawn(data, strategies.lines.decode)
        assert len(set(exactly(drawn.at(form).t_u))) >= 2


def fraction_of_limit(descent: strategies.Descent) -> Fraction:
    """The learning rate as a fraction of its limit."""
    return Fraction(descent.learning_rate) * exact.curvatures(exact.of(descent.t_u))[1] / 2


def test_short_gradients_are_short_with_an_epsilon_too() -> None:
    """PyTorch adds 1e-6 to the norm before it compares; a norm is at most the sum of the magnitudes."""
    chance, length = random.Random(0), strategies.short_gradients.length
    samples = [strategies.short_gradients.decode(drawing.Bytes(chance.randbytes(length)), FLOAT32) for _ in range(1000)]
    longest = [sum(float(np.abs(g.astype(np.float64)).sum()) for g in sample.grads) for sample in samples]

    assert sum(0 < total < 1e-6 for total in longest) > 10
    assert all(total + 2e-6 < sample.max_norm for total, sample in zip(longest, samples, strict=True))


@always("long_descents")
def test_long_descents_are_below_the_limit(descent: strategies.Descent, form: Format) -> None:
    assert fraction_of_limit(descent) < 1


@always("steep_descents")
def test_a_steep_step_grows_by_more_than_rounding_can_undo(descent: strategies.Descent, form: Format) -> None:
    """Otherwise a step from 64 above an optimum of 1e9 to 64.6 below it is rounded to 64 below it, for ever, in float32."""
    if not np.isfinite(descent.params).all():
        return
    t_u, t_c = exact.of(descent.t_u), exact.of(descent.t_c)
    off = np.array([x - y for x, y in zip(exactly(descent.params), exact.optimum(t_u, t_c), strict=True)])
    steepness = fraction_of_limit(descent)
    assert steepness > 1
    distance = math.hypot(*map(float, off))
    assert 2 * float(steepness - 1) * distance > 6 * samples.rounding_of_a_step(descent) or steepness >= 500


@EXAMPLES
@given(strategies.fits(), st.floats(0.01, 0.99))
def test_a_rate_below_the_limit_is_that_fraction_of_it(drawn: strategies.Drawn[Any], fraction: float) -> None:
    """A plain one is a power of two, and at most that."""
    t_u = drawn.at(FLOAT32).t_u
    limit = 2 / float(exact.curvatures(exact.of(t_u))[1])
    plain = strategies.rate_below(fraction, t_u, plain=True)

    assert strategies.rate_below(fraction, t_u) == pytest.approx(fraction * limit)
    assert math.frexp(plain)[0] == 0.5
    assert plain <= strategies.rate_below(fraction, t_u) < 2 * plain


@forms
def test_no_column_is_so_long_that_its_sums_are_all_rounding(form: Format) -> None:
    lengths = {drawing.Bytes(bytes([byte, 255])).length(form) for byte in range(256)}
    assert max(lengths) == {"float16": 257, "bfloat16": 64}.get(form.name, drawing.LARGEST)


def test_the_largest_operands_stay_small() -> None:
    """Tables of fours with some empty axes, and ones in either operand."""
    for sizes in itertools.product((3, 7), repeat=4):  # 4 and 0
        for ones, others in itertools.product(range(16), repeat=2):
            data = bytes([3, 7, *sizes, 0, ones, 0, others]).ljust(strategies.operands.length, b"\x05")
            sample = strategies.Drawn(data, strategies.operands.decode).at(FLOAT32)

            assert max(sample.x.size, sample.y.size, sample.upstream.size) <= broadcasting.SMALL


def test_a_program_computes_its_steps() -> None:
    program = strategies.of_steps(2, ("-", 0, 1), ("*", 2, 2.0), ("+", 3, 1), ("*", 4, 0))
    assert program([5.0, 3.0]) == 35.0


@pytest.mark.parametrize("name", strategies.STEPS)
def test_each_step_is_straight_line_and_computes_what_its_source_says(name: str) -> None:
    program = strategies.of_steps(2, (name, 0, 1 if name == "maximum" else -2.0))

    assert program.straight_line is not None
    if "." not in strategies.STEPS[name]:
        assert program(np.array([2.0, 3.0])) == eval(program.source)(np.array([2.0, 3.0]))


@always("quotients", "elementary")
def test_all_is_claimed_of_smooth_programs(sample: strategies.Smooth, form: Format) -> None:
    value, gradient = exact.derivatives(**sample.loss.straight_line, params=exact.of(sample.params))  # type: ignore[arg-type]

    for part in (value, gradient):
        assert np.isfinite(part.errors()).all()
        assert (part.magnitude() <= 16).all()


@forms
def test_smooth_programs_have_every_step(form: Format) -> None:
    for strategy, names in ((strategies.quotients, "/ ** mean"), (strategies.elementary, "exp log tanh maximum")):
        seen: Counter[str] = Counter()
        each_case(strategy(), form, 60)(lambda sample, seen=seen: seen.update(step[0] for step in sample.loss.steps))()
        assert min(seen[name] for name in names.split()) >= 5


@always("programs")
def test_programs_never_round(sample: strategies.Programs, form: Format) -> None:
    """Evaluated in the format itself, forward and with every sum of gradients, they give what rational numbers give."""
    kind = numpy_dtype(form.name).type
    total = np.zeros(len(sample.params))
    for loss in sample.losses:
        value, gradient = exact.derivatives(**loss.straight_line, params=exact.of(sample.params))  # type: ignore[arg-type]
        assert float(loss(sample.params.astype(kind))) == value.fraction()
        total = total + np.abs(gradient.nearest())
    assert total.max() <= 2**form.precision


@always("batched_fits", "parts")
def test_batches_hold_every_sample_once(sample: strategies.Batched, form: Format) -> None:
    for at, column in ((0, sample.t_u), (1, sample.t_c)):
        assert np.concatenate([batch[at] for batch in sample.batches]).tolist() == column.tolist()
    assert [len(t_u) for t_u, _ in sample.batches] == sample.sizes
    assert min(sample.sizes) >= 1
    assert len(sample.sizes) <= accumulation.MANY_BATCHES


@always("splits")
def test_a_split_leaves_something_to_train_on(split: strategies.Split, form: Format) -> None:
    assert exact.held_out(split.n_samples, split.val_fraction)[1] < split.n_samples
    assert 0 <= split.seed < 2**32


@always("loss_logs", "spoiled_loss_logs", "curves")
def test_finite_losses_are_not_negative(log: Any, form: Format) -> None:
    columns = [losses.astype(np.float64) for losses in arrays(log)]

    assert not any((losses[np.isfinite(losses)] < 0).any() for losses in columns)


def test_most_diagnoses_are_decided_and_each_is_frequent() -> None:
    seen: list[str | None] = []

    each_case(strategies.curves(), FLOAT32)(lambda case: seen.append(diagnosed(case)))()
    assert seen.count(None) < 0.1 * len(seen)
    assert min(map(seen.count, ("good", "underfitting", "overfitting"))) > 0.05 * len(seen)


# Reach


def nearly(x: Any) -> bool:
    """Whether predictions and measurements differ by a few units in the last place, each."""
    return bool(np.all(np.abs(x.t_p - x.t_c) <= 32 * FLOAT32.u * np.abs(x.t_p)))


def scattered(x: Any) -> bool:
    """Whether there are several numbers, none of them near another."""
    return len(x) > 3 and float(np.diff(np.sort(x)).min()) > 0.01 * float(np.abs(x).max())


def perfect(fit: strategies.Fit) -> bool:
    """Whether measurements and predictions are equal, as the format holds them."""
    return bool(np.all(fit.t_p == fit.t_c))


def uses(loss: strategies.Program) -> list[int]:
    """How often each value is an operand."""
    counted = [step for step in loss.steps if step[0] not in ("sum", "squares")]
    operands = [x for _, i, other in counted for x in ([i, other] if isinstance(other, int) else [i])]
    return [operands.count(k) for k in range(loss.n_params + len(loss.steps))]


def diagnosed(curves: tuple[Any, Any]) -> str | None:
    return exact.diagnose(*map(exact.of, curves))


def lost(split: strategies.Split) -> bool:
    """Whether the plain product loses a row."""
    return (
        int(split.val_fraction * split.n_samples) != exact.held_out_as_written(split.n_samples, split.val_fraction)[0]
    )


def waits(log: strategies.Losses) -> list[int]:
    return [waited for _, waited in exact.waits(log.val_losses.tolist())]


def program(condition: Callable[[strategies.Program], Any]) -> Condition:
    """The condition on the first loss of several."""
    return lambda sample: condition(sample.losses[0])


def absents(run: strategies.Optimization) -> int:
    return sum(g is None for step in run.grads for g in step)


def slopes(run: strategies.Optimization, least: int = 2) -> list[float]:
    """The first number of the gradients of each step, where no gradient is absent and there are at least so many steps."""
    found_ = [float(np.ravel(g)[0]) for g in (step[0] for step in run.grads) if g is not None]
    return found_ if absents(run) == 0 and len(found_) >= least else [0.0, 0.0]


REACHED: dict[tuple[str, str], Condition] = {
    ("residuals", "one sample"): lambda x: len(x.t_p) == 1,
    ("residuals", "more than twenty"): lambda x: len(x.t_p) > 20,
    ("residuals", "the most"): lambda x: len(x.t_p) == drawing.LONGEST,
    ("residuals", "one more than a block of 64"): lambda x: len(x.t_p) == 65 and x.t_p[-1] != x.t_c[-1],
    ("residuals", "one more than a block of 1024"): lambda x: len(x.t_p) == 1025 and x.t_p[-1] != x.t_c[-1],
    ("residuals", "a large column without zeros"): lambda x: len(x.t_p) > 256 and x.t_p.all(),
    ("batched_fits", "a batch of more than a block"): lambda x: max(x.sizes) > 256,
    ("windows", "windows of many samples"): lambda x: max(x[0].sizes) > 64 and len(x) > 2,
    ("operands", "more than a block of 64"): lambda x: x.upstream.size >= 129 and x.x.reshape(-1)[-1] != 0,
    ("operands", "a block of 1024 that is summed"): lambda x: x.upstream.size > 1024 and x.x.size <= 2,
    ("residuals", "repeated values"): lambda x: (
        len(x.t_p) > 5 and np.ptp(x.t_p) > 0 and len(np.unique(x.t_p)) < len(x.t_p) / 2
    ),
    ("residuals", "no two alike"): lambda x: len(x.t_p) > 5 and len(np.unique(x.t_p)) == len(x.t_p),
    ("residuals", "no residual"): lambda x: len(x.t_p) > 2 and np.ptp(x.t_p) > 0 and np.all(x.t_p == x.t_c),
    ("residuals", "some residuals zero"): lambda x: (
        len(x.t_p) > 5 and 0 < np.mean(x.t_p == x.t_c) < 1 and np.all(x.t_p != 0)
    ),
    ("residuals", "residuals of rounding"): lambda x: np.any(x.t_p != x.t_c) and nearly(x) and scattered(x.t_p),
    ("residuals", "all negative"): lambda x: len(x.t_p) > 5 and np.all(x.t_p < 0) and np.all(x.t_c < 0),
    ("residuals", "below 1e-5"): lambda x: 0 < np.abs(x.t_p).max() < 1e-5,
    ("residuals", "above 1e5"): lambda x: np.abs(x.t_p).min() > 1e5,
    ("residuals", "subnormal"): lambda x: 0 < np.abs(x.t_p).max() < FLOAT32.normal,
    ("residuals", "large against small"): lambda x: np.abs(x.t_p).min() > 1e5 and 0 < np.abs(x.t_c).max() < 1e-5,
    ("residuals", "many magnitudes"): lambda x: (
        np.abs(x.t_p).min() > 0 and np.abs(x.t_p).max() > 1e8 * np.abs(x.t_p).min()
    ),
    ("residuals", "whole numbers"): lambda x: len(x.t_p) > 5 and np.ptp(x.t_p) > 4 and np.all(x.t_p % 1 == 0),
    ("residuals", "full significands"): lambda x: len(x.t_p) > 5 and all(np.frexp(x.t_p)[0] * 2**16 % 1 != 0),
    ("fits", "a constant column"): lambda x: len(x.t_u) > 5 and np.ptp(x.t_u) == 0 and x.t_u[0] != 0,
    ("fits", "a nearly constant column"): lambda x: len(x.t_u) > 5 and 0 < np.ptp(x.t_u) < 1e-5 * abs(x.t_u[0]),
    ("fits", "a perfect fit"): lambda x: perfect(x) and np.ptp(x.t_u) > 0 and len(x.t_u) > 5 and x.w != 0 and x.b != 0,
    ("fits", "a perfect fit of numbers with digits"): lambda x: perfect(x) and np.ptp(x.t_u) > 0 and x.w % 0.25 != 0,
    ("fits", "a nearly perfect fit"): lambda x: not perfect(x) and nearly(x) and scattered(x.t_u),
    ("fits", "readings like a thermometer's"): lambda x: (
        len(x.t_u) > 5 and np.ptp(x.t_u) > 40 and np.all(np.abs(x.t_u) < 100)
    ),
    ("descents", "one epoch"): lambda x: x.n_epochs == 1,
    ("descents", "ten epochs"): lambda x: x.n_epochs == 10,
    ("descents", "above the limit"): lambda x: fraction_of_limit(x) > 1,
    ("descents", "just below the limit"): lambda x: Fraction(99, 100) < fraction_of_limit(x) < 1,
    ("descents", "a rate that is no power of two"): lambda x: math.frexp(x.learning_rate)[0] != 0.5,
    ("strides", "no epochs"): lambda x: x.n_epochs == 0 and np.ptp(x.t_u) > 0,
    ("strides", "an odd number of many epochs"): lambda x: x.n_epochs > 100 and x.n_epochs % 2 == 1,
    ("long_descents", "many epochs"): lambda x: x.n_epochs >= 300 and np.ptp(x.t_u) > 0,
    ("sharded_descents", "three shards of three sizes"): lambda x: len({*x.sizes}) == 3 and min(x.sizes) > 0,
    ("sharded_descents", "shards of one size"): lambda x: len(x.sizes) > 2 and len({*x.sizes}) == 1,
    ("sharded_descents", "an empty shard"): lambda x: 0 in x.sizes and len(x.t_u) > 5,
    ("sharded_descents", "more workers than samples"): lambda x: len(x.sizes) > len(x.t_u) > 1,
    ("sharded_descents", "one worker"): lambda x: len(x.sizes) == 1,
    ("lines", "two readings"): lambda x: len(x.t_u) == 2,
    ("lines", "a line that slopes"): lambda x: len(x.t_u) > 5 and np.ptp(x.t_c) > 0 and np.ptp(x.t_u) > 0,
    ("parts", "parts of different sizes"): lambda x: 2 * x.sizes[0] < x.sizes[1],
    ("parts", "a first part that is larger"): lambda x: x.sizes[0] > 3 * x.sizes[1],
    ("shuffled_fits", "an order that moves some"): lambda x: len(set(x[1] - np.arange(len(x[1])))) > 3,
    ("probes", "a step that rounding nearly swallows"): lambda x: x.delta < 0.01 and np.abs(x.t_u).max() > 1e5,
    ("segments", "a segment of some length"): lambda x: np.all(x[1][0] != x[1][2]) and np.ptp(x[0].t_u) > 0,
    ("optima", "an optimum off the measurements"): lambda x: np.any(x.t_p != x.t_c) and x.w != 0 and x.b != 0,
    ("spoiled_residuals", "NaN"): lambda x: np.isnan(x[0].t_c).any() and len(x[0].t_c) > 5,
    ("spoiled_residuals", "minus infinity"): lambda x: np.any(x[0].t_p == -math.inf),
    ("spoiled_probes", "a reading that is NaN"): lambda x: np.isnan(x[0].t_u).any() and len(x[0].t_u) > 5,
    ("spoiled_probes", "an infinite measurement"): lambda x: np.any(x[0].t_c == math.inf) and x[0].w != 0,
    ("shapes", "scalars"): lambda x: len(x) > 1 and () in x,
    ("shapes", "nothing against one"): lambda x: (
        len(x) == 2 and len(x[0]) == len(x[1]) and (0, 1) in zip(*x, strict=True)
    ),
    ("shapes", "four of four axes"): lambda x: len(x) == 4 and all(len(shape) == 4 for shape in x),
    ("shapes", "both stretched"): lambda x: len(x) == 2 and np.broadcast_shapes(*x) not in x,
    ("crowds", "many"): lambda x: len(set(x)) >= 4 and len(x) == 40,
    ("crowds", "deep"): lambda x: max(map(len, x)) == 32 and max(x, key=len)[0] > 1,
    ("trailing_shapes", "a shorter first"): lambda x: 0 < len(x[0]) < len(x[1]),
    ("trailing_shapes", "a scalar"): lambda x: x[1] == (),
    ("stretching_shapes", "both stretched"): lambda x: np.broadcast_shapes(*x) not in x,
    ("misfitting_shapes", "nothing against two"): lambda x: x[0][-1:] == (0,) and x[1][-1:] == (2,),
    ("misfitting_shapes", "a divisor"): lambda x: x[0][-1:] == (2,) and x[1][-1:] == (4,),
    ("misfitting_shapes", "a leading axis of three operands"): lambda x: len(x) == 3 and x[0][1:] == x[2][1:] != (),
    ("any_two_shapes", "shapes that fit"): lambda x: exact.broadcast_shapes(*x) not in (None, *x),
    ("any_two_shapes", "shapes that do not"): lambda x: exact.broadcast_shapes(*x) is None,
    ("operands", "a scalar"): lambda x: x.x.shape == () and x.y.size > 1,
    ("operands", "none"): lambda x: x.upstream.size == 0 and x.x.size == 1,
    ("operands", "both stretched"): lambda x: x.upstream.size > max(x.x.size, x.y.size) > 1 and x.x.all(),
    ("operands", "a square table"): lambda x: x.upstream.ndim == 2 and x.upstream.shape == x.x.T.shape and x.x.size > 1,
    ("operands", "four axes"): lambda x: x.upstream.ndim == 4 and x.y.ndim == 1 and x.upstream.size > 8,
    ("operands", "a large one"): lambda x: x.upstream.size > 30 and len(np.unique(x.x)) > 5,
    ("spoiled_operands", "infinity times zero"): lambda x: (
        np.isinf(x[0].x).any() and x[0].upstream.size > 1 and not x[0].y.all()
    ),
    ("spoiled_operands", "NaN"): lambda x: np.isnan(x[0].y).any() and x[0].y.size > 1,
    ("steep_descents", "barely steep"): lambda x: 1 < fraction_of_limit(x) < Fraction(65, 64) + Fraction(1, 1000),
    ("steep_descents", "a quarter above the limit"): lambda x: Fraction(6, 5) < fraction_of_limit(x) < Fraction(13, 10),
    ("batched_fits", "one batch of several samples"): lambda x: len(x.sizes) == 1 and x.sizes[0] > 1,
    ("batched_fits", "batches of one sample"): lambda x: len(x.sizes) > 2 and max(x.sizes) == 1,
    ("batched_fits", "batches of one size"): lambda x: len(x.sizes) > 2 and min(x.sizes) == max(x.sizes) > 1,
    ("batched_fits", "a last batch that is smaller"): lambda x: len(x.sizes) > 2 and x.sizes[-1] < min(x.sizes[:-1]),
    ("batched_fits", "a last batch of many"): lambda x: len(x.sizes) > 2 and x.sizes[-1] > 4 * max(x.sizes[:-1]),
    ("batched_fits", "the most batches"): lambda x: len(x.sizes) == accumulation.MOST_BATCHES and len(set(x.sizes)) > 2,
    ("rebatched_fits", "other cuts and another order"): lambda x: (
        x[0].sizes != x[1].sizes and len(x[0].sizes) > 2 and np.any(x[0].t_u != x[1].t_u)
    ),
    ("windows", "one window"): lambda x: len(x) == 1 and len(x[0].sizes) > 1,
    ("windows", "a last window of fewer batches"): lambda x: 1 < len(x[-1].sizes) < len(x[0].sizes),
    ("windows", "a last batch that is smaller"): lambda x: len(x) > 1 and x[-1].sizes[-1] < x[0].sizes[0],
    ("splits", "a row lost to the product"): lost,
    ("splits", "nothing held out"): lambda x: (
        exact.held_out(x.n_samples, x.val_fraction)[1] == 0 and x.val_fraction > 0
    ),
    ("splits", "a whole number"): lambda x: (
        x.n_samples > 5 and (x.val_fraction * x.n_samples) % 1 == 0 < x.val_fraction
    ),
    ("splits", "a large seed"): lambda x: x.seed > 2**31,
    ("penalized_fits", "a weight of zero"): lambda x: x.w == 0 and x.l1 > 0 and len(x.t_u) > 2,
    ("penalized_fits", "both penalties inexact"): lambda x: x.l1 == 0.1 and x.l2 == 1e-3 and x.w < 0,
    ("ridges", "no penalty"): lambda x: x[1] == 0 and np.ptp(x[0].t_c) > 0,
    ("ridges", "nearly the same readings"): lambda x: 0 < np.ptp(x[0].t_u) < 1e-5 * abs(x[0].t_u[0]),
    ("loss_logs", "a wait, an improvement, a wait"): lambda x: (
        sum(a > b == 0 for a, b in itertools.pairwise(waits(x))) > 1
    ),
    ("loss_logs", "patience exhausted exactly at the end"): lambda x: max(waits(x)) == x.patience == waits(x)[-1] > 2,
    ("loss_logs", "one rounding apart"): lambda x: 0 < np.ptp(x.val_losses) < 1e-6,
    ("spoiled_loss_logs", "NaN first"): lambda x: np.isnan(x.val_losses[0]) and np.isfinite(x.val_losses).any(),
    ("spoiled_loss_logs", "infinity"): lambda x: np.isinf(x.val_losses).any(),
    ("spoiled_loss_logs", "nothing finite"): lambda x: not np.isfinite(x.val_losses).any(),
    ("curves", "on the boundary"): lambda x: len(x[0]) > 2 and x[1][-1] == 1.125 * x[1].min() > 0,
    ("programs", "six steps, all of which count"): program(lambda x: len(x.steps) == 6 and min(uses(x)[:-1]) > 0),
    ("programs", "a computed value with three uses"): program(lambda x: max(uses(x)[x.n_params :]) >= 3),
    ("programs", "a value that nobody uses"): program(lambda x: 0 in uses(x)[x.n_params : -1]),
    ("programs", "a parameter that does not count"): program(lambda x: min(uses(x)[: x.n_params]) == 0),
    ("programs", "a difference"): program(
        lambda x: any(op == "-" and isinstance(y, int) and i != y for op, i, y in x.steps)
    ),
    ("programs", "a constant factor"): program(
        lambda x: any(op == "*" and isinstance(y, float) for op, _, y in x.steps)
    ),
    ("programs", "a square"): program(lambda x: any(step[0] == "**" for step in x.steps)),
    ("programs", "a constant on the left"): program(lambda x: any(step[0] == "left -" for step in x.steps)),
    ("programs", "a sum of a column"): program(lambda x: any(step[0] == "sum" for step in x.steps) and x.n_params > 1),
    ("programs", "three that differ"): lambda x: len(x.losses) == 3 and len(set(x.losses)) == 3,
    ("adam", "three tensors"): lambda run: len(run.params) == 3 and len({p.shape for p in run.params}) > 1,
    ("adam", "equal shapes"): lambda run: [p.shape for p in run.params] == [(2,), (2,)],
    ("adam", "0-d"): lambda run: run.params[0].shape == (),
    ("adam", "changing rate"): lambda run: isinstance(run.hyperparameters["lr"], list) and len(run.grads) > 6,
    ("adam", "tiny epsilon"): lambda run: run.hyperparameters.get("eps") == 1e-12,
    ("adam", "no epsilon"): lambda run: run.hyperparameters.get("eps", 1) == 0,
    ("adam", "flags"): lambda run: run.hyperparameters.get("amsgrad") and run.hyperparameters.get("maximize"),
    ("adam", "beta near 1"): lambda run: 0.99 < run.hyperparameters.get("betas", (0, 0))[1] < 0.999,
    ("adam", "shrinking"): lambda run: slopes(run, 4)[0] > 100 * slopes(run, 4)[-1] > 0,
    ("adam", "growing"): lambda run: 0 < 100 * slopes(run, 4)[0] < slopes(run, 4)[-1],
    ("adam", "turning"): lambda run: slopes(run)[0] > 0 > slopes(run)[1],
    ("adam", "subnormal"): lambda run: 0 < abs(slopes(run, 1)[0]) < 1e-37,
    ("adam", "large"): lambda run: abs(slopes(run, 1)[0]) > 1e5,
    ("radam", "rectified"): lambda run: len(run.grads) == 6 and run.hyperparameters.get("betas", (0, 0.999))[1] >= 0.9,
}


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in REACHED))
def test_strategies_reach(name: str) -> None:
    form = FORMATS["float16"] if name == "programs" else FLOAT32  # fewer programs never round in the narrower one
    missing = {case: condition for (of, case), condition in REACHED.items() if of == name}

    def reaches_all(drawn: strategies.Drawn[Any]) -> bool:
        for example in [one.at(form) for one in drawn.cases()]:
            for case in [case for case, condition in missing.items() if condition(example)]:
                del missing[case]
        return not missing

    with contextlib.suppress(NoSuchExample):
        find(strategy_of(name), reaches_all, settings=settings(SEARCH, phases=[Phase.generate]))

    assert not missing


# Shrinking


def simplest(*columns: Any) -> bool:
    """Whether all numbers are 0 but one, and that is 1 or -1."""
    return plain(*columns) and sum(np.count_nonzero(column) for column in columns) <= 1


def plain(*columns: Any) -> bool:
    """Whether all numbers are 0, 1 or -1."""
    return all(bool(np.all(np.isin(np.asarray(column, np.float64), [0, 1, -1]))) for column in columns)


def squares(x: strategies.Residuals) -> Any:
    return (x.t_p.astype(np.float64) - x.t_c) ** 2


def half(sample: strategies.Programs) -> Any:
    _, gradient = exact.derivatives(**sample.losses[0].straight_line, params=exact.of(sample.params))  # type: ignore[arg-type]
    return np.any(gradient.nearest() != gradient.nearest() / 2)


def means_differ(x: strategies.Batched) -> Any:
    of_batches = [np.mean(t_c.astype(np.float64)) for _, t_c in x.batches]
    return np.isclose(np.mean(of_batches), np.mean(x.t_c.astype(np.float64))) == 0


SHRUNK: dict[str, tuple[str, Condition, Condition]] = {
    "a sum for a mean to two samples and one residual": (
        "residuals",
        lambda x: squares(x).sum() != squares(x).mean(),
        lambda x: len(x.t_p) == 2 and simplest(x.t_p, x.t_c),
    ),
    "absolute values for squares to a residual of 2, for 1 would not show it": (
        "residuals",
        lambda x: np.abs(x.t_p - x.t_c).mean() != squares(x).mean(),
        lambda x: len(x.t_p) == 1 and (np.abs([x.t_p, x.t_c]).max() == 2 or abs(x.t_p - x.t_c) == 2),
    ),
    "a lost tail to its first sample": (
        "residuals",
        lambda x: squares(x)[:8].sum() != squares(x).sum(),
        lambda x: len(x.t_p) == 9 and simplest(x.t_p, x.t_c),
    ),
    "a tail that is lost after a block to 65 samples": (
        "residuals",
        lambda x: squares(x)[:64].sum() != squares(x).sum(),
        lambda x: len(x.t_p) == 65 and simplest(x.t_p, x.t_c) and x.t_p[-1] != x.t_c[-1],
    ),
    "a tail that is lost after a large block to 1025 samples": (
        "residuals",
        lambda x: squares(x)[:1024].sum() != squares(x).sum(),
        lambda x: len(x.t_p) == 1025 and simplest(x.t_p, x.t_c) and x.t_p[-1] != x.t_c[-1],
    ),
    "clipping to one sample, of the kind that reaches it": (
        "residuals",
        lambda x: np.abs(x.t_p - x.t_c).max() > 512,
        lambda x: len(x.t_p) == 1 and np.count_nonzero([x.t_p, x.t_c]) == 1,
    ),
    "a lost reading in the gradient to a reading and a residual": (
        "fits",
        lambda x: np.mean((x.t_p - x.t_c) * x.t_u) != np.mean(x.t_p - x.t_c),
        lambda x: plain(x.t_u, x.t_c, x.w, x.b) and len(x.t_u) == 1 >= np.count_nonzero([*x.t_u, *x.t_c, x.w, x.b]) - 1,
    ),
    "a bias updated with the new weight to one plain step": (
        "descents",
        lambda x: np.any((x.t_p != x.t_c) & (x.t_u != 0)),
        lambda x: (
            len(x.t_u) == x.n_epochs == 1
            and plain(x.t_u, x.t_c, x.w, x.b)
            and math.frexp(x.learning_rate)[0] == 0.5  # a power of two
        ),
    ),
    "a wrong order to the reversal of two": (
        "shuffled_fits",
        lambda x: np.any(x[0].t_u[x[1]] != x[0].t_u),
        lambda x: x[1].tolist() == [1, 0] and simplest(x[0].t_u),
    ),
    "parts of different sizes to one and two": (
        "parts",
        lambda x: x.sizes[0] != x.sizes[1],
        lambda x: sorted(x.sizes) == [1, 2] and not x.t_u.any(),
    ),
    "a lost contribution to a square, whose derivative has two parts": (
        "programs",
        half,
        lambda x: [loss.steps for loss in x.losses] == [(("*", 0, 0),)] and x.params.tolist() == [1.0],
    ),
    "a mean of means to one sample and two": (
        "batched_fits",
        means_differ,
        lambda x: sorted(x.sizes) == [1, 2] and simplest(x.t_u, x.t_c, x.w, x.b),
    ),
    "shapes to one axis": (
        "shapes",
        lambda x: np.broadcast_shapes(*x) != x[0],
        lambda x: x in [((1,), (2,)), ((), (2,))],
    ),
    "a wrong alignment to a row and a table": (
        "trailing_shapes",
        lambda x: len(x[0]) != len(x[1]) and x[1],
        lambda x: x == ((2, 3), (3,)),
    ),
    "misfits to two against three": ("misfitting_shapes", lambda x: True, lambda x: x == ((2,), (3,))),
    "a gradient that is not summed to two products": (
        "operands",
        lambda x: x.x.shape != x.upstream.shape and x.upstream.any() and x.y.any(),
        lambda x: x.upstream.shape == (2,) and plain(x.x, x.y, x.upstream),
    ),
    "a lost row to the example of the book": (
        "splits",
        lost,
        lambda x: (x.n_samples, x.val_fraction, x.seed) == (100, 0.29, 0),
    ),
    "a tie to zeros": (
        "loss_logs",
        lambda x: len(x.val_losses) > len(np.unique(x.val_losses)),
        lambda x: x.val_losses.tolist() == [0.0, 0.0] and x.patience == 1,
    ),
    "overfitting to zeros and two ones": (
        "curves",
        lambda x: diagnosed(x) == "overfitting",
        lambda x: sorted(x[0])[-2:] == sorted(x[1])[-2:] == [0.0, 1.0],
    ),
    "parameters to whole ones": (
        "simple_fits",
        lambda x: x.w != 0 and x.b < 0,
        lambda x: (float(x.w), float(x.b)) == (1.0, -1.0),
    ),
}


@pytest.mark.parametrize(("name", "fails", "is_simplest"), SHRUNK.values(), ids=SHRUNK)
def test_a_failure_shrinks(name: str, fails: Condition, is_simplest: Condition) -> None:
    shrunk = found(name, fails)

    assert is_simplest(shrunk), shrunk


# Optimizers


def of_the_book(name: str) -> dict[str, tuple[Any, str]]:
    """The hyperparameters of an optimizer, each with its default and its values, from the table of the chapter."""
    text = (book_folder() / "optimizers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z_`, ]+) \| `(\w+)` \| (\S.*) \| (.*) \|$", text, re.MULTILINE)
    return {
        key: (ast.literal_eval(default), values)
        for names, key, default, values in rows
        if (names.startswith("all") and name in OPTIMIZERS) != (f"`{name}`" in names)
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_book_defines_each_hyperparameter_that_is_drawn_and_no_other(name: str) -> None:
    """With the default of the exact rule, and a range in which every drawn number lies."""
    defined, drawn = of_the_book(name), {"lr", "maximize"}
    drawn |= {"betas" if key in ("beta1", "beta2") else key for key in strategies.HYPERPARAMETERS[name]}
    assert {key: default for key, (default, _) in defined.items()} == {k: exact.OPTIMIZERS[name][k] for k in drawn}

    @each_case(strategies.optimizations(name), FLOAT32)
    def check(run: strategies.Optimization) -> None:
        for key, value in run.hyperparameters.items():
            ends = re.match(r"([\[(])(-∞|\d), (\d|∞)([\])])", defined[key][1])
            for x in value if isinstance(value, (list, tuple)) else (value,):
                if ends is None or x is None:
                    assert isinstance(x, (bool, str)) or (x is None and key == "eps")
                    continue
                low, high = (float(end.replace("∞", "inf")) for end in ends.groups()[1:3])
                assert low < x < high or (x == low and ends[1] == "[") or (x == high and ends[4] == "]")
        if "dampening" in run.hyperparameters:
            assert run.hyperparameters["momentum"] > 0
        if name == "rprop":
            smallest, largest = run.hyperparameters.get("step_sizes", exact.OPTIMIZERS[name]["step_sizes"])
            assert 0 < smallest <= run.hyperparameters["lr"] <= largest

    check()


BOXES = dict(
    re.findall(
        r"^#### `(\w+)`\n(.*?)(?=^#)",
        (book_folder() / "optimizers.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.mark.parametrize("name", BOXES)
def test_the_box_of_an_optimizer_says_what_the_table_and_the_rule_say(name: str) -> None:
    """Its hyperparameters with defaults and ranges, what it remembers, and its conventions."""
    rules = pytest.importorskip("calibrant.mechanics.optimizers").RULES
    remembered = {one: rule.remembers for one, rule in rules.items()} | {
        "sparse_adam": ("m", "v"),
        "lbfgs": (),  # pairs of vectors
    }
    (state,), (hyperparameters,), (follows,) = (
        re.findall(rf"^\| {row} \| (.*) \|$", BOXES[name], re.MULTILINE)
        for row in ("state", "hyperparameters", "conventions")
    )
    table = {key: x for key, x in of_the_book(name).items() if key != "maximize"}
    interval = re.compile(r"\[\d, [\d∞][\])]")

    assert tuple(re.findall(r"`(\w+)`", state)) == remembered[name]
    assert {key: ast.literal_eval(x) for key, x in re.findall(r"`(\w+)` (\([^)]*\)|[\w.-]+)", hyperparameters)} == {
        key: default for key, (default, _) in table.items()
    }
    assert dict(re.findall(rf"`(\w+)` [^;]*? in ({interval.pattern})", hyperparameters)) == {
        key: found[0] for key, (_, values) in table.items() if (found := interval.match(values))
    }
    kind = "lazy" if name == "sparse_adam" else name
    assert set(re.findall(r"`(\w+\.[a-z-]+)`", follows)) == {
        x for x in CONVENTIONS | GENERAL if x.startswith(f"{kind}.")
    }


def test_every_optimizer_of_the_chapters_first_part_has_a_box() -> None:
    assert len(BOXES) >= 11


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_simplest_run_is_one_step_of_one_number(name: str) -> None:
    run = found(name, lambda run: True)

    assert run.hyperparameters == {"lr": 0.5}
    assert [p.ravel().tolist() for p in run.params] == [[0.0]]
    assert [[g is not None and g.ravel().tolist() for g in step] for step in run.grads] == [[[0.0]]]


def test_gradients_are_absent_where_they_may_be() -> None:
    assert absents(found("adam", absents, absent=(True,)))
    assert found("adam", lambda run: absents(run) == len(run.grads) * len(run.params), absent=(True,))


def test_one_draw_serves_every_optimizer() -> None:
    each = find(strategies.of_each(only=("momentum",), momentum=(0.5,), maximize=(True,)), lambda x: True).at(FLOAT32)

    assert [each(name).name for name in OPTIMIZERS] == OPTIMIZERS
    assert each("sgd").hyperparameters == {"momentum": 0.5, "maximize": True, "lr": 0.5}
    assert each("adam").hyperparameters == {"maximize": True, "lr": 0.5}


def test_a_hyperparameter_that_an_optimizer_lacks_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="cannot be chosen for adam"):
        strategies.optimizations("adam", momentun=(0.5,))


def test_numbers_that_are_all_alike_are_never_zero_whatever_the_first_byte_is() -> None:
    """A byte of 255 and one are 256, not the 0 of eight bits."""
    every = np.arange(256, dtype=np.uint8)

    assert all((drawing.numbers_of(every[k : k + 1], "constant", FORMATS["float32"]) > 0).all() for k in range(256))

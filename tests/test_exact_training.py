"""The exact rules of the chapter on training: true in wider arithmetic, wide enough for every way to compute, and no wider."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PYTORCH, each_case, f32, forms

from calibrant import exact, strategies
from calibrant.exact import FORMATS, Format
from calibrant.exact.training import clipped, mean_of, mean_of_batches
from calibrant.judge import Disagreement, agree, agree_lists
from calibrant.protocol.declarations import numpy_dtype
from calibrant.strategies import Averaged

pytestmark = pytest.mark.untraced

Update = Callable[[Any, Any, Any], Any]

# The ways to write a plain average: the old one, the new number, and how many came before, in the dtype of the numbers
SWA_WAYS: dict[str, Update] = {
    "towards": lambda a, p, n: a + (p - a) / (n + 1),
    "times its reciprocal": lambda a, p, n: a + (p - a) * (type(n)(1) / (n + 1)),
    "multiplied before": lambda a, p, n: (a * n + p) / (n + 1),
}


@pytest.mark.parametrize("way", [*SWA_WAYS.values(), None], ids=[*SWA_WAYS, "a sum that is divided"])
@forms
def test_a_plain_average_may_be_written_in_any_way(form: Format, way: Update | None) -> None:
    dtype = numpy_dtype(form.name).type

    @each_case(strategies.averages(), form, examples=15)
    @np.errstate(all="ignore")
    def check(sample: Averaged) -> None:
        totals = list(
            itertools.accumulate(
                np.stack([p.reshape(-1) for p in tensors]) for tensors in [[s[0]] for s in sample.path]
            )
        )
        answer = [sample.path[0][0]]
        for n, step in enumerate(sample.path[1:], start=1):
            p = step[0]
            mean = totals[n].reshape(p.shape) / dtype(n + 1) if way is None else way(answer[-1], p, dtype(n))
            answer.append(np.asarray(mean, dtype))
        alone = [step[:1] for step in sample.path]
        agree_lists([[a] for a in answer], exact.average("swa", {}, alone))

    check()


def test_the_bound_of_an_average_is_a_few_roundings() -> None:
    """Of numbers near 1, eight updates allow no more than eight roundings each."""
    path = [[np.array([x])] for x in (1.0, 1.25, 0.7, 1.1, 0.9, 1.3, 0.8, 1.2)]

    for name, hyperparameters in (
        ("ema", {"decay": 0.9}),
        ("ema", {"decay": 0.9, "bias_correction": True}),
        ("swa", {}),
    ):
        (last,) = exact.average(name, hyperparameters, path)[-1]
        assert 0 < float(last.err[0]) < 8 * 8 * 2.0**-53


def test_an_average_with_float32_inside_is_seen_in_float64() -> None:
    """As PyTorch's AveragedModel does, whose one over the count is float32."""
    path = [[np.array([x])] for x in (0.0, 0.0, 1.0)]

    with pytest.raises(Disagreement, match="after step 3"):
        agree_lists(
            [[p] for (p,) in path[:2]] + [[np.array([float(np.float32(1 / 3))])]], exact.average("swa", {}, path)
        )


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=5))
def test_a_windows_mean_may_be_divided_before_the_sum_or_after(numbers: list[float]) -> None:
    values = [np.array([x], np.float32) for x in numbers]
    (due,) = mean_of([[x] for x in values])
    n = np.float32(len(values))

    for answer in (sum(x / n for x in values), sum(values) / n, sum(x * (1 / n) for x in values)):
        agree(np.asarray(answer, np.float32), due)


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 8, width=32), st.integers(1, 5)), min_size=1, max_size=5))
def test_an_epochs_loss_may_be_a_running_mean(losses: list[tuple[float, int]]) -> None:
    due = mean_of_batches([(exact.of(np.float32(loss)), count) for loss, count in losses])
    n, running, seen = np.float32(sum(count for _, count in losses)), np.float32(0), np.float32(0)
    total, shares = np.float32(0), np.float32(0)
    for loss, count in losses:
        one, size = np.float32(loss), np.float32(count)
        seen += size
        running, total, shares = running + (one - running) * size / seen, total + one * size, shares + one * (size / n)

    for answer in (running, total / n, shares):
        agree(np.asarray(answer), due)


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=6), st.sampled_from((0.5, 1.0, 4.0, 0.1)))
def test_a_norm_may_be_a_norm_of_norms(numbers: list[float], limit: float) -> None:
    grads = [np.array(numbers[:1], np.float32), np.array(numbers[1:], np.float32)]
    whole = np.sqrt(np.sum(np.concatenate(grads) ** 2))
    norms = np.sqrt(np.sum(np.array([np.sqrt(np.sum(g**2)) for g in grads]) ** 2))

    for norm in (whole, norms, np.hypot(*[np.sqrt(np.sum(g**2)) for g in grads])):
        factor = np.float32(limit) / norm if norm > np.float32(limit) else np.float32(1)
        for g, due in zip(grads, clipped(grads, limit, PYTORCH), strict=True):
            agree(g * factor, due)


def test_a_pause_in_exact_arithmetic_is_no_pause() -> None:
    run = "adam", {"lr": 0.5}, [np.array([1.0])], [[np.array([x])] for x in (2.0, -1.0, 0.5)]
    whole = exact.optimize(*run, PYTORCH)

    for after in range(4):
        steps = exact.resume(*run, after, {}, PYTORCH)
        assert [x.fractions() for (x,) in steps] == [x.fractions() for (x,) in whole]


def test_a_skipped_step_leaves_rates_and_counts_for_the_next() -> None:
    grads = [[np.array([1.0])], [np.array([np.inf])], [np.array([1.0])]]
    asked = "sgd", {"lr": [0.5, 0.25, 8.0]}, [np.array([1.0])], grads, {"init_scale": 4.0, "growth_interval": 1}, None

    steps = exact.scaled_steps(*asked, PYTORCH)

    assert [[x.fractions()[0] for x in step] for step in steps] == [
        [Fraction(1, 2), 8], [Fraction(1, 2), 4], [Fraction(1, 4), 8]
    ]  # fmt: skip


# Where rounding decides, and where numbers leave the range

FORM = FORMATS["float32"]


def test_a_norm_passes_on_the_errors_of_its_numbers() -> None:
    """sqrt(3.5^2 + 4^2) and sqrt(2.5^2 + 4^2) are 5.315 and 4.717."""
    numbers = exact.of(f32(3.0, 4.0)).within(np.array([0.5, 0.0]), FORM)

    of_squares, of_sizes = (exact.clip_by_norm([numbers], math.inf, power, PYTORCH)[0] for power in (2.0, 1.0))

    assert 0.315 < of_squares.err < 0.34
    assert 0.5 < of_sizes.err < 0.501


@pytest.mark.parametrize("last", [0.0, -(2.0**-21), 2.0**-21])
def test_a_norm_that_may_be_at_the_limit_leaves_both_answers(last: float) -> None:
    """They are 3 and 4, or a little less, where the norm exceeds the limit; each with what the norm errs by."""
    given = exact.of(f32(3.0, 4.0 + last, 0.0))

    norm, (clipped,) = exact.clip_by_norm([given], 5.0, 2.0, PYTORCH)

    error = clipped.errors()
    assert error[2] == 0
    assert (error[:2] > 1.9 * given.magnitude()[:2] * float(norm.err) / 5).all()
    assert (error[:2] < 100 * FORM.u * given.magnitude()[:2]).all()
    assert (clipped.nearest()[:2] < given.nearest()[:2]).all() == (last > 0)
    assert (clipped.nearest()[:2] == given.nearest()[:2]).all() == (last <= 0)


def test_a_gradient_near_the_limit_keeps_its_own_error_twice() -> None:
    """Clipped, it is as wrong as before, and so it is where it stays."""
    given = exact.of(f32(3.0, 4.0, 0.0)).within(np.array([1e-3, 0.0, 1e-9]), FORM)

    _, (clipped,) = exact.clip_by_norm([given], 5.0, 2.0, PYTORCH)

    assert 2e-3 < clipped.errors()[0] < 4e-3
    assert 2e-9 < clipped.errors()[2] < 4e-9


def test_nothing_is_claimed_where_the_limit_may_be_zero_or_the_norm_overflow() -> None:
    _, (least,) = exact.clip_by_norm([exact.of(f32(1e-45))], 1e-46, 2.0, PYTORCH)
    norm, (largest,) = exact.clip_by_norm([exact.of(f32(1e30))], 1.0, 2.0, PYTORCH)

    assert np.isinf([*least.errors(), norm.err, *largest.errors()]).all()
    assert largest.shape == (1,)
    assert largest.form is FORM


@pytest.mark.parametrize(
    ("x", "err", "limit", "due"),
    [
        (2.25, 0.5, 2.0, (2.0, 0.5)),
        (1.75, 0.5, 2.0, (1.75, 0.5)),
        (-2.25, 0.5, 2.0, (-2.0, 0.5)),
        (4.0, 0.0, 2.0, (2.0, 0.0)),
        (-4.0, 0.0, 2.0, (-2.0, 0.0)),
        (0.0625, 0.0, 0.1, (0.0625, 0.0)),
    ],
)
def test_a_number_that_may_be_beyond_the_limit_is_the_limit_or_stays(
    x: float, err: float, limit: float, due: tuple[float, float]
) -> None:
    (clamped,) = exact.clip_by_value([exact.of(f32(x)).within(np.array([err]), FORM)], limit)

    assert (clamped.nearest().item(), clamped.errors().item()) == due


def claims(scale: dict[str, float], *grads: float, n: int = 1) -> list[list[bool]]:
    """Of a run of scaled steps: whether n parameters and the scale are claimed after each."""
    path = exact.scaled_steps("sgd", {"lr": 0.5}, [f32(1.0)] * n, [[f32(g)] * n for g in grads], scale, None, PYTORCH)
    return [[bool(np.isfinite(x.errors()).all()) for x in step] for step in path]


def test_nothing_is_claimed_of_a_scale_that_the_dtype_does_not_hold_and_of_what_follows() -> None:
    assert claims({"init_scale": 2.0**126, "growth_interval": 1}, 0.0, 0.0, 0.0) == [
        [True, True],
        [True, False],
        [False, False],
    ]
    assert claims({"init_scale": 2.0**-125}, math.inf, math.inf, 0.0) == [[True, True], [True, False], [False, False]]
    assert claims({"init_scale": 0.5}, 0.0) == [[True, True]]
    assert claims({"init_scale": 2.0**125, "growth_interval": 1}, 0.0, 0.0, 0.0, n=2) == [
        [True, True, True],
        [True, True, True],
        [True, True, False],
    ]


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_that_scales_nothing_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scales nothing"):
        claims({"init_scale": scale}, 0.0)


def test_an_average_may_keep_all_or_nothing_of_itself() -> None:
    path = [[np.array(x)] for x in (1.0, 3.0)]
    ends = [exact.average("ema", {"decay": decay}, path)[-1][0].nearest() for decay in (0.0, 1.0)]

    assert ends == [3.0, 1.0]
    assert exact.average("ema", {}, [[], []]) == [[], []]
    assert exact.average("ema", {}, []) == []


def test_gradients_may_be_clipped_to_a_share_of_the_limit() -> None:
    (short,) = clipped([f32(3.0, 4.0)], 5.0, PYTORCH, 2.0)

    assert np.allclose(short.nearest(), [1.5, 2.0], rtol=1e-6)

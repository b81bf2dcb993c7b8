"""The first two sections of the chapter on training: the rate over time, and gradients that are too long."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from calibrant import exact, strategies
from calibrant.judge import agree, agree_lists, as_exact, holds, listed, shaped, show
from calibrant.strategies import Clipped, Scheduled, Shards, Stalled, schedules, stalled_runs
from calibrant.suite.claims import keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject

# The rate over time


def follows(target: Subject, run: Scheduled) -> None:
    """Raise Disagreement unless the rates of a schedule are those of its rule."""
    answer = target.schedule(run.name, run.hyperparameters, run.n_steps)

    agree(answer, exact.schedule(run.name, run.hyperparameters, run.n_steps, target.follow, target.form))


@clause("schedule.horizon", fraction_of_examples=0.6)
@given(schedules(*strategies.WARMED))
def test_a_rate_does_not_depend_on_how_many_are_asked_for(target: Subject, run: Scheduled) -> None:
    """A wave that is stretched over the steps asked for gives another rate to every step."""
    fewer = max(run.n_steps // 2, 1)
    first = target.schedule(run.name, run.hyperparameters, run.n_steps)
    holds(np.shape(first) == (run.n_steps,), f"returned shape {np.shape(first)} for {run.n_steps} steps")
    second = target.schedule(run.name, run.hyperparameters, fewer)

    err = exact.schedule(run.name, run.hyperparameters, fewer, target.follow, target.form).err
    longer = as_exact(shaped(first, (run.n_steps,))[:fewer], (fewer,)).within(2 * err, target.form)
    agree(second, longer, due="where a longer schedule began with")


@clause("schedule.constant", fraction_of_examples=0.6)
@given(schedules("constant"))
def test_a_factor_holds_for_the_first_steps_alone(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.linear", fraction_of_examples=0.6)
@given(schedules("linear"))
def test_a_line_leads_from_factor_to_factor(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.decay", fraction_of_examples=0.6)
@given(schedules("step", "multistep", "exponential"))
def test_factors_multiply_up(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.polynomial", fraction_of_examples=0.6)
@given(schedules("polynomial"))
def test_a_power_of_what_is_left_ends_at_zero(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.inverse-sqrt", fraction_of_examples=0.3)
@given(schedules("inverse_sqrt"))
def test_the_rate_falls_with_the_root_of_the_steps(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.cosine", fraction_of_examples=0.6)
@given(schedules("cosine"))
def test_half_a_wave_leads_to_the_least_rate(target: Subject, run: Scheduled) -> None:
    """At step T_max, and the rate does not rise again."""
    follows(target, run)


@clause("schedule.restarts", fraction_of_examples=0.6)
@given(schedules("cosine_restarts"))
def test_waves_begin_anew(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.one-cycle", fraction_of_examples=0.6)
@given(schedules("one_cycle"))
def test_one_cycle_ends_with_the_last_step(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.cyclic", fraction_of_examples=0.6)
@given(schedules("cyclic"))
def test_triangles_follow_each_other(target: Subject, run: Scheduled) -> None:
    follows(target, run)


@clause("schedule.warm-up", fraction_of_examples=0.8)
@given(schedules(*strategies.WARMED, warm_up=True))
def test_a_warm_up_comes_before_the_schedule(target: Subject, run: Scheduled) -> None:
    """Its first step moves the parameters, and the schedule begins with its own step 0 after it."""
    follows(target, run)


@clause("schedule.sequence", fraction_of_examples=0.5)
@given(schedules("sequence"))
def test_schedules_take_over_from_each_other(target: Subject, run: Scheduled) -> None:
    """Each begins with its own step 0 at its milestone."""
    follows(target, run)


UNKNOWN = {
    "no such schedule": ("cosinus", {"lr": 0.5, "T_max": 4}),
    "no such hyperparameter": ("cosine", {"lr": 0.5, "T_max": 4, "eta_minimum": 0.25}),
    "a hyperparameter of another schedule": ("exponential", {"lr": 0.5, "gamma": 0.5, "step_size": 2}),
    "a hyperparameter is missing": ("cosine", {"lr": 0.5}),
}
INVALID = {
    "negative rate": ("exponential", {"lr": -0.5, "gamma": 0.5}),
    "NaN rate": ("exponential", {"lr": math.nan, "gamma": 0.5}),
    "infinite factor": ("exponential", {"lr": 0.5, "gamma": math.inf}),
    "no steps in a wave": ("cosine", {"lr": 0.5, "T_max": 0}),
    "half a step": ("step", {"lr": 0.5, "step_size": 1.5}),
    "half a step of warm-up": ("exponential", {"lr": 0.5, "gamma": 0.5, "warmup_steps": 2.5}),
    "an infinite length": ("step", {"lr": 0.5, "step_size": math.inf}),
    "no such mode": ("cyclic", {"base_lr": 0.25, "max_lr": 0.5, "step_size_up": 2, "mode": "sine"}),
    "no such shape": ("one_cycle", {"max_lr": 0.5, "total_steps": 10, "anneal_strategy": "cubic"}),
    "a negative factor": ("constant", {"lr": 0.5, "factor": -0.5}),
    "a negative warm-up": ("exponential", {"lr": 0.5, "gamma": 0.5, "warmup_steps": -2}),
}


@clause("schedule.unknown")
@pytest.mark.parametrize(("name", "hyperparameters"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_a_schedule_does_not_know_is_refused(target: Subject, name: str, hyperparameters: Any) -> None:
    """A misspelt hyperparameter would silently leave the default."""
    holds(target.refuses("schedule", name, hyperparameters, 3), f"did not refuse {name} with {hyperparameters}")


@clause("schedule.invalid")
@pytest.mark.parametrize(("name", "hyperparameters"), INVALID.values(), ids=INVALID)
def test_hyperparameters_without_meaning_are_refused(target: Subject, name: str, hyperparameters: Any) -> None:
    holds(target.refuses("schedule", name, hyperparameters, 3), f"did not refuse {name} with {hyperparameters}")


# The rate of a run whose loss stops falling


def falls(target: Subject, run: Stalled) -> None:
    """Raise Disagreement unless the rates are those of the rule."""
    answer = target.plateau(run.val_losses, run.lr, run.hyperparameters)

    losses = run.val_losses.astype(np.float64).tolist()
    agree(answer, exact.plateau(losses, run.lr, run.hyperparameters, target.form, target.follow))


@clause("schedule.plateau", fraction_of_examples=0.8)
@given(stalled_runs("eps"))
def test_the_rate_falls_when_the_losses_have_not_improved_for_longer_than_patience(
    target: Subject, run: Stalled
) -> None:
    """The wait begins anew with each improvement and with each fall."""
    falls(target, run)


@clause("schedule.plateau-threshold")
@given(
    stalled_runs(
        *("threshold_mode", "mode", "threshold"),
        patience=(0, 1),
        threshold=(0.25, None, 0.1, None, 0.5),
        threshold_mode=("abs", None, "rel"),
    )
)
def test_an_improvement_is_by_more_than_the_threshold(target: Subject, run: Stalled) -> None:
    falls(target, run)


IMPROVING = {
    "by too little, falling": ([2 - k * 2.0**-14 for k in range(8)], {}),
    "by too little, rising": ([2 + k * 2.0**-14 for k in range(8)], {"mode": "max"}),
    "by enough": ([8 - k / 2 for k in range(8)], {"threshold": 0.25, "threshold_mode": "abs"}),
    "below zero": ([-4 - k / 2 for k in range(8)], {"threshold": 0.25}),
}
"""Losses that improve, and hyperparameters beside a patience of one."""


@clause("schedule.plateau-threshold")
@pytest.mark.parametrize(("losses", "hyperparameters"), IMPROVING.values(), ids=IMPROVING)
def test_the_threshold_says_which_losses_improve(target: Subject, losses: list[float], hyperparameters: Any) -> None:
    if target.form.precision < exact.FORMATS["float32"].precision:
        pytest.skip("a half format holds no steps of 2^-14")

    falls(target, Stalled(target.array(losses), 1.0, {"patience": 1, **hyperparameters}))


@clause("schedule.plateau-cooldown", fraction_of_examples=0.5)
@given(stalled_runs("cooldown", cooldown=(1, 2, 3, 5)))
def test_losses_of_a_cooldown_do_not_count(target: Subject, run: Stalled) -> None:
    falls(target, run)


@clause("schedule.plateau-least", fraction_of_examples=0.5)
@given(stalled_runs("min_lr", min_lr=(0.25, 1e-3, 0.1, 2.0)))
def test_the_rate_does_not_fall_below_the_least(target: Subject, run: Stalled) -> None:
    falls(target, run)


@clause("schedule.plateau-nan", fraction_of_examples=0.6)
@given(stalled_runs("cooldown", spoiled=True))
def test_a_loss_that_is_not_finite_is_no_improvement(target: Subject, run: Stalled) -> None:
    falls(target, run)


NO_PLATEAU = {
    "a factor that raises the rate": {"factor": 2.0},
    "a factor of one": {"factor": 1.0},
    "no such mode": {"mode": "least"},
    "no such threshold": {"threshold_mode": "ratio"},
}


@clause("schedule.plateau-invalid")
@pytest.mark.parametrize("hyperparameters", NO_PLATEAU.values(), ids=NO_PLATEAU)
def test_a_plateau_without_meaning_is_refused(target: Subject, hyperparameters: Any) -> None:
    losses = target.array([1.0, 1.0, 1.0])

    holds(target.refuses("plateau", losses, 0.5, hyperparameters), f"did not refuse {hyperparameters}")


@clause("schedule.pure", fraction_of_examples=0.3)
@given(schedules(*strategies.WARMED, warm_up=True))
def test_a_schedule_leaves_its_hyperparameters_alone(target: Subject, run: Scheduled) -> None:
    """A rate that is taken out, or written over, is missing from the next run."""
    leaves_arguments_alone(target, "schedule", run.name, run.hyperparameters, run.n_steps)


@clause("schedule.pure", fraction_of_examples=0.3)
@given(stalled_runs("threshold", "cooldown", "mode", "threshold_mode", "min_lr", "eps", spoiled=True))
def test_a_plateau_leaves_its_arguments_alone(target: Subject, run: Stalled) -> None:
    """Losses that are not finite, too, which somebody might replace."""
    leaves_arguments_alone(target, "plateau", run.val_losses, run.lr, run.hyperparameters)


# Gradients that are too long


def truth(target: Subject, sample: Clipped) -> Any:
    """The exact norm and the exact gradients."""
    return exact.clip_by_norm([*map(exact.of, sample.grads)], sample.max_norm, sample.norm_type, target.follow)


OF_GRADIENTS = ("", "gradient")
"""The words for a place in a list of gradients."""


@clause("clip.norm", fraction_of_examples=0.8)
@given(strategies.clipped_gradients())
def test_the_norm_is_one_of_all_gradients(target: Subject, sample: Clipped) -> None:
    """Not one for each, and not the norm after clipping."""
    norm, _ = target.clip_by_norm(sample.grads, sample.max_norm, sample.norm_type)

    agree(norm, truth(target, sample)[0], "the norm")


@clause("clip.scaled", fraction_of_examples=0.5)
@given(strategies.clipped_gradients())
def test_all_gradients_are_scaled_alike(target: Subject, sample: Clipped) -> None:
    """So that the direction of the step stays, and its length is the limit."""
    _, grads = target.clip_by_norm(sample.grads, sample.max_norm, sample.norm_type)

    agree_lists([listed([grads], [len(sample.grads)])[0]], [truth(target, sample)[1]], places=OF_GRADIENTS)


@clause("clip.below", fraction_of_examples=0.3)
@given(strategies.short_gradients())
def test_short_gradients_stay_as_they_are(target: Subject, sample: Clipped) -> None:
    """To the last bit."""
    stays(target, sample)


@clause("clip.zeros", fraction_of_examples=0.2)
@given(strategies.gradients_of_zero())
def test_gradients_of_zero_stay_zero(target: Subject, sample: Clipped) -> None:
    """Nothing can be divided by their norm."""
    stays(target, sample)


def stays(target: Subject, sample: Clipped) -> None:
    """Clipped gradients are what they were."""
    _, grads = target.clip_by_norm(sample.grads, sample.max_norm, sample.norm_type)

    for k, (answer, grad) in enumerate(zip(listed([grads], [len(sample.grads)])[0], sample.grads, strict=True)):
        agree(answer, grad, f"gradient {k}", due="where it had been")


@clause("clip.not-finite", fraction_of_examples=0.3)
@given(strategies.spoiled_gradients())
def test_a_norm_of_what_is_not_finite_is_not_finite(target: Subject, spoiled: tuple[Clipped, float]) -> None:
    """A norm that looks sound hides the step that ruins all parameters. A refusal shows it as well."""
    sample, value = spoiled
    arguments = sample.grads, sample.max_norm, sample.norm_type
    if target.refuses("clip_by_norm", *arguments):
        return
    norm, grads = target.calls[-1].answer
    shows = np.isnan(norm).all() if math.isnan(value) else not np.isfinite(norm).any()
    holds(bool(shows), f"returned the norm {show(norm)} of gradients with {value}")
    (of_steps,) = listed([grads], [len(sample.grads)])
    hidden = [k for k, (x, g) in enumerate(zip(of_steps, sample.grads, strict=True)) if _hides(x, g)]
    holds(not hidden, f"returned finite numbers in gradient {hidden and hidden[0]}, which has {value}")


def _hides(answer: Any, grad: Any) -> bool:
    """Whether a number that was NaN has become finite."""
    return bool(np.isfinite(shaped(answer, grad.shape)[np.isnan(grad)]).any())


@clause("clip.value", fraction_of_examples=0.8)
@given(strategies.clipped_gradients())
def test_each_number_is_clamped_by_itself(target: Subject, sample: Clipped) -> None:
    answer = target.clip_by_value(sample.grads, sample.max_norm)

    agree_lists([answer], [exact.clip_by_value([*map(exact.of, sample.grads)], sample.max_norm)], places=OF_GRADIENTS)


@clause("clip.shards", fraction_of_examples=0.5)
@given(strategies.sharded_gradients())
def test_each_gradient_counts_once_and_all_ranks_count(target: Subject, sample: Shards) -> None:
    norm, shards = target.clip_shards(sample.shards, sample.replicated, sample.max_norm)

    exactly = [[*map(exact.of, rank)] for rank in sample.shards]
    due, clipped = exact.clip_shards(exactly, sample.replicated, sample.max_norm, target.follow)
    agree(norm, due, "the norm")
    agree_lists(shards, clipped, places=("of shard", "gradient"))


def requests(sample: Clipped, shards: Shards) -> dict[str, tuple[Any, ...]]:
    """A request to each operation that clips."""
    return {
        "clip_by_norm": (sample.grads, sample.max_norm, sample.norm_type),
        "clip_by_value": (sample.grads, sample.max_norm),
        "clip_shards": (shards.shards, shards.replicated, shards.max_norm),
    }


CLIPS = ("clip_by_norm", "clip_by_value", "clip_shards")
each_clip = pytest.mark.parametrize("operation", CLIPS)


@clause("clip.dtype", fraction_of_examples=0.1)
@each_clip
@given(sample=strategies.clipped_gradients(), shards=strategies.sharded_gradients())
def test_clipped_gradients_have_their_dtype(target: Subject, operation: str, sample: Clipped, shards: Shards) -> None:
    keeps_dtype(target, target.call(operation, requests(sample, shards)[operation]))


@clause("clip.pure", fraction_of_examples=0.5)
@each_clip
@given(sample=strategies.clipped_gradients(), shards=strategies.sharded_gradients())
def test_clipping_leaves_its_arguments_alone(target: Subject, operation: str, sample: Clipped, shards: Shards) -> None:
    leaves_arguments_alone(target, operation, *requests(sample, shards)[operation])


@clause("clip.invalid")
@pytest.mark.parametrize("limit", [-1.0, math.nan], ids=["negative", "NaN"])
@each_clip
def test_a_limit_without_meaning_is_refused(target: Subject, operation: str, limit: float) -> None:
    """A negative limit turns every gradient around."""
    grads = [target.array([3.0, 4.0])]
    arguments = {
        "clip_by_norm": (grads, limit, 2.0),
        "clip_by_value": (grads, limit),
        "clip_shards": ([grads], [False], limit),
    }

    holds(target.refuses(operation, *arguments[operation]), f"did not refuse the limit {limit}")

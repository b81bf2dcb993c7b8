"""Impostors of the chapter on training: schedules, and rates that fall when the loss does not."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.exact.schedules import PLATEAU as DEFAULTS
from calibrant.impostors import kinds
from calibrant.impostors.correct import join, narrow, rearranged
from calibrant.impostors.kinds import Call, Change, checked, impostors_of, unrefused

CONSTANT, LINEAR, DECAY, POLYNOMIAL = (f"schedule.{name}" for name in ("constant", "linear", "decay", "polynomial"))
ROOT, COSINE, RESTARTS, CYCLE = (f"schedule.{name}" for name in ("inverse-sqrt", "cosine", "restarts", "one-cycle"))
CYCLIC, WARM, SEQUENCE, HORIZON = (f"schedule.{name}" for name in ("cyclic", "warm-up", "sequence", "horizon"))
KEPT = "schedule.pure"
RULES = f"{DECAY} {CONSTANT} {LINEAR} {POLYNOMIAL} {ROOT} {COSINE} {RESTARTS} {CYCLE} {CYCLIC} {WARM} {SEQUENCE}"


def warm(c: Call) -> int:
    """The steps of the warm-up."""
    return int(c.hyperparameters.get("warmup_steps", 0))


def given(**changes: Any) -> Change:
    """The right answer to other hyperparameters, values or functions of those that are given, which are checked all the same."""

    def changed(c: Call) -> Any:
        h = c.hyperparameters
        others = {key: x(h) if callable(x) else x for key, x in changes.items()}
        return c(hyperparameters={key: x for key, x in {**h, **others}.items() if x is not None})

    return checked(changed)


def unwarmed(c: Call, n_steps: int) -> Any:
    """The rates of the schedule alone."""
    h = {key: x for key, x in c.hyperparameters.items() if key != "warmup_steps"}
    return c(hyperparameters=h, n_steps=n_steps)


def at(steps: Callable[[Call, int], int]) -> Change:
    """The right rates of other steps: a function of the call and the number of a step."""

    def changed(c: Call) -> Any:
        last = c.hyperparameters.get("total_steps", math.inf) - 1 + warm(c)  # a cycle ends
        places = [min(steps(c, t), last) for t in range(c.n_steps)]
        longer = c(n_steps=max([*places, c.n_steps - 1]) + 1)
        return rearranged(lambda x: x[places], longer)

    return changed


def warmed(change: Callable[[Call, int, Any], Any]) -> Change:
    """Other rates where there is a warm-up, of so many steps: a function of the call, its length and the right rates."""
    return lambda c: change(c, warm(c), c())[: c.n_steps] if warm(c) else c()


def _decayed_while_warm(c: Call, n_warm: int, right: Any) -> Any:
    alone = unwarmed(c, c.n_steps)
    return join(*(alone[t : t + 1] * (t + 1) / n_warm for t in range(min(n_warm, c.n_steps))), alone[n_warm:])


def _above_the_peak(c: Call, n_warm: int, right: Any) -> Any:
    """A cosine that goes on from its own step 1, as if the rate then were the peak, and is asked for step 0."""
    if c.hyperparameters["T_max"] < 3:
        return right
    low = c.hyperparameters.get("eta_min", 0.0)
    alone = unwarmed(c, 2) - low
    return join(right[:n_warm], alone[:1] * alone[:1] / alone[1:2] + low, right[n_warm + 1 :])


def _mirrored(c: Call, t: int) -> int:
    """The step whose rate returns after the last step of the schedule, where rates rise again as they fell."""
    n_warm, period = warm(c), 2 * int(c.hyperparameters.get("total_iters", 5))
    own = (t - n_warm) % period
    return n_warm + min(own, period - own) if t > n_warm else t


def _going_on(c: Call) -> Any:
    """Each schedule of a sequence counts from the beginning of all."""
    schedules, milestones = c.hyperparameters["schedules"], c.hyperparameters["milestones"]
    ends = [*milestones, c.n_steps]
    parts = []
    for one, start, end in zip(schedules, [0, *milestones], ends, strict=True):
        own = {key: x for key, x in one.items() if key != "name"}
        if start < c.n_steps:
            parts.append(c(name=one["name"], hyperparameters=own, n_steps=min(end, c.n_steps))[start:])
    return join(*parts)


def _factor_once(c: Call) -> Any:
    """The rate after one factor for all that come after."""
    right, h = c(), c.hyperparameters
    first = {"step": h.get("step_size"), "multistep": min(h.get("milestones", [0])), "exponential": 1}[c.name]
    start = warm(c) + int(first or 0)
    return join(right[:start], *[right[start : start + 1]] * (c.n_steps - start)) if c.n_steps > start else right


def _known(c: Call) -> bool:
    """Whether the right operation knows the schedule and all its hyperparameters."""
    from calibrant.exact import SCHEDULES

    known = SCHEDULES.get(c.name)
    needed = [key for key, value in (known or {}).items() if value is None and key != "step_size_down"]
    return known is not None and {*c.hyperparameters} <= {*known, "warmup_steps"} and {*needed} <= {*c.hyperparameters}


def _half(c: Call) -> Any:
    return np.full(max(c.n_steps, 0), 0.5)


rates = impostors_of("schedule")
rates("first-rate-skipped", "the schedule advances before the first step, whose rate is never used")(
    at(lambda c, t: t + 1), RULES, "yueatsprograms/uda_release#3 jdonnelly36/Deformable-ProtoPNet#6"
)
rates("two-at-once", "the schedule advances with each of two micro-batches, and not with each update")(
    at(lambda c, t: 2 * t), RULES, "tracel-ai/burn#5695"
)
rates("one-late", "the schedule advances once too late: the first rate is used twice")(
    at(lambda c, t: max(t - 1, 0)), RULES
)
rates("rounded-to-float32", "each rate is rounded to float32", exactly=False)(
    lambda c: narrow(c(), "float32"), " ".join(f"{name}@float64" for name in RULES.split())
)
rates.variant(
    "schedule.warm-up-count",
    "zero",
    "the warm-up counts its steps from zero, so that the first step does not move",
    "warm-up-from-zero",
)(f"{WARM} {SEQUENCE}", "google-research/bert#1293 EleutherAI/gpt-neox#1373 facebookresearch/barlowtwins#45")
rates("decay-during-warm-up", "the schedule runs while the rate is warmed up, so that it is not new at the hand-over")(
    warmed(_decayed_while_warm), WARM, "facebookresearch/fairchem#1967"
)
rates("hand-over-one-late", "the schedule begins with its step 1 after the warm-up")(
    warmed(lambda c, n_warm, right: join(right[:n_warm], unwarmed(c, c.n_steps)[1:])), WARM
)
rates("warm-up-ignored", "there is no warm-up")(checked(lambda c: unwarmed(c, c.n_steps)), WARM)
rates(
    "one-step-above-the-peak",
    "the rate after the warm-up is the peak times 2 / (1 + cos(pi / T)), from a recursion that is one step ahead",
    applies_to=("cosine",),
)(warmed(_above_the_peak), WARM, "deepseek-ai/DeepSpec#32")
rates("lowered-at-once", "the smaller rate of the first steps is left out", applies_to=("constant",))(
    given(factor=1.0), f"{CONSTANT} {WARM}?"
)
rates("one-step-more", "the smaller rate lasts one step longer", applies_to=("constant",))(
    given(total_iters=lambda h: h.get("total_iters", 5) + 1), f"{CONSTANT} {WARM}?"
)
rates("one-step-less", "the line reaches its end one step early", applies_to=("linear",))(
    given(total_iters=lambda h: max(h.get("total_iters", 5) - 1, 1)), f"{LINEAR} {WARM}?"
)
rates("ends-swapped", "the line leads from the last factor to the first", applies_to=("linear",))(
    given(start_factor=lambda h: h.get("end_factor", 1.0), end_factor=lambda h: h.get("start_factor", 1 / 3)),
    f"{LINEAR} {WARM}?",
)
rates(
    "factor-once", "only the first factor is applied, whatever follows", applies_to=("step", "multistep", "exponential")
)(_factor_once, f"{DECAY} {WARM}?")
rates("power-ignored", "the rate falls along a line, whatever the power", applies_to=("polynomial",))(
    given(power=1.0), f"{POLYNOMIAL} {WARM}?"
)
rates("rises-after-zero", "after its last step the rate rises again", applies_to=("polynomial",))(
    at(_mirrored), f"{POLYNOMIAL} {WARM}?"
)
rates(
    "timescale-ignored", "it is the rate over the root of t + 1, whatever the timescale", applies_to=("inverse_sqrt",)
)(given(timescale=1), f"{ROOT} {WARM}?")
rates.variant(
    "schedule.after-cosine",
    "returns",
    "after T_max the wave goes on, so that the rate rises again",
    "rises-again",
    applies_to=("cosine",),
)(f"{COSINE} {WARM}?")
rates("one-step-early", "the wave ends one step early", applies_to=("cosine",))(
    given(T_max=lambda h: max(h["T_max"] - 1, 1)), f"{COSINE} {WARM}?"
)
rates("stretched-over-all-steps", "the wave is stretched over the steps that are asked for", applies_to=("cosine",))(
    lambda c: given(T_max=max(c.n_steps - warm(c), 1))(c), f"{HORIZON} {COSINE} {WARM}?"
)
rates("least-ignored", "the wave ends at zero, whatever the least rate", applies_to=("cosine", "cosine_restarts"))(
    given(eta_min=0.0), f"{COSINE} {RESTARTS} {WARM}?"
)
rates("least-added", "the least rate is added to a wave that ends at zero", applies_to=("cosine", "cosine_restarts"))(
    lambda c: given(eta_min=0.0)(c) + c.hyperparameters.get("eta_min", 0.0), f"{COSINE} {RESTARTS} {WARM}?"
)
rates("waves-of-one-length", "every wave is as long as the first", applies_to=("cosine_restarts",))(
    given(T_mult=1), f"{RESTARTS} {WARM}?"
)
rates("restart-one-late", "each wave is one step too long", applies_to=("cosine_restarts",))(
    given(T_0=lambda h: h["T_0"] + 1), f"{RESTARTS} {WARM}?"
)
rates(
    "end-below-the-peak",
    "the last rate is the peak over the final factor, not the first rate over it",
    applies_to=("one_cycle",),
)(given(final_div_factor=lambda h: h.get("final_div_factor", 1e4) / h.get("div_factor", 25.0)), f"{CYCLE} {WARM}?")
rates("two-phases", "the cycle has two phases, even where three are asked for", applies_to=("one_cycle",))(
    given(three_phase=False), f"{CYCLE} {WARM}?"
)
rates("line-for-wave", "the cycle is made of lines, even where waves are asked for", applies_to=("one_cycle",))(
    given(anneal_strategy="linear"), f"{CYCLE} {WARM}?"
)
rates("down-as-up", "the way down takes as many steps as the way up", applies_to=("cyclic",))(
    given(step_size_down=None), f"{CYCLIC} {WARM}?"
)
rates("triangles-alike", "all triangles are of one height", applies_to=("cyclic",))(
    given(mode="triangular"), f"{CYCLIC} {WARM}?"
)
rates(
    "steps-counted-on",
    "each schedule of a sequence counts its steps from the beginning of all",
    applies_to=("sequence",),
)(_going_on, SEQUENCE)
rates("milestones-one-late", "each schedule of a sequence takes over one step late", applies_to=("sequence",))(
    given(milestones=lambda h: [k + 1 for k in h["milestones"]]), SEQUENCE
)
rates("warm-up-of-a-part-ignored", "a schedule of a sequence has no warm-up of its own", applies_to=("sequence",))(
    given(schedules=lambda h: [{key: x for key, x in one.items() if key != "warmup_steps"} for one in h["schedules"]]),
    f"{SEQUENCE} {WARM}?",
)
rates("warm-up-taken-out", "the length of the warm-up is taken out of the caller's hyperparameters, as by `pop`")(
    kinds.taken_out("warmup_steps"), KEPT
)
rates("rate-taken-out", "the rate is taken out of the caller's hyperparameters, as by `pop`")(
    kinds.taken_out("lr"), KEPT
)
rates("any-word", "an unknown name gives a constant rate, and an unknown hyperparameter is ignored")(
    lambda c: c() if _known(c) else _half(c), "schedule.unknown"
)
rates("any-value", "no value is checked")(lambda c: unrefused(_half)(c) if _known(c) else c(), "schedule.invalid")


# The rate of a run whose loss stops falling

PLATEAU, THRESHOLD, COOLDOWN = (f"schedule.plateau{name}" for name in ("", "-threshold", "-cooldown"))
LEAST, NAN, NO_PLATEAU = (f"schedule.plateau-{name}" for name in ("least", "nan", "invalid"))


class Walk:
    """The rule of `plateau`, whose parts an impostor overrides."""

    def __init__(self, c: Call) -> None:
        self.h = {**DEFAULTS, **c.hyperparameters}
        self.lr = self.first = float(c.lr)
        self.best = math.inf
        self.waited = self.resting = 0

    def better(self, loss: float) -> bool:
        """Whether a loss is an improvement."""
        margin = self.h["threshold"] * (-1 if self.h["mode"] == "min" else 1)
        limit = self.best * (1 + margin) if self.h["threshold_mode"] == "rel" else self.best + margin
        first = self.best == math.inf
        return math.isfinite(loss) and (first or (loss < limit if self.h["mode"] == "min" else loss > limit))

    def fall(self) -> None:
        """Lower the rate, and wait anew."""
        lower = max(self.lr * self.h["factor"], self.h["min_lr"])
        self.lr = lower if self.lr - lower > self.h["eps"] else self.lr
        self.waited, self.resting = 0, self.h["cooldown"]

    def see(self, loss: float) -> float:
        """The rate after a loss."""
        if self.better(loss):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.resting:
            self.resting, self.waited = self.resting - 1, 0
        if self.waited > self.h["patience"]:
            self.fall()
        return self.lr


def walking(rule: type[Walk]) -> Change:
    """The rates by a rule, after the right operation has refused what must be refused."""

    def changed(c: Call) -> Any:
        c()
        losses = c.val_losses if isinstance(c.val_losses, np.ndarray) else c.val_losses.nearest()
        walk = rule(c)
        return np.array([walk.see(loss) for loss in losses.astype(np.float64).tolist()])

    return changed


class _NeverReset(Walk):
    """The counter goes on after a fall."""

    def fall(self) -> None:
        waited = self.waited
        super().fall()
        self.waited = waited


class _ForgottenFall(Walk):
    """The rate is lowered for one step only."""

    def see(self, loss: float) -> float:
        self.lr = self.first
        return super().see(loss)


class _WaitNotReset(Walk):
    """An improvement does not end the wait."""

    def see(self, loss: float) -> float:
        waited = self.waited
        if self.better(loss):
            self.best = loss
            self.waited = waited - 1  # which is counted again, since no loss improves on itself
        return super().see(loss)


class _AgainstTheLast(Walk):
    """Each loss is compared with the one before."""

    def see(self, loss: float) -> float:
        rate = super().see(loss)
        self.best = loss if math.isfinite(loss) else self.best
        return rate


class _NanIsBest(Walk):
    """A loss is better unless it is found to be worse, and nothing is worse than NaN."""

    def better(self, loss: float) -> bool:
        return math.isnan(loss) or math.isnan(self.best) or super().better(loss)


class _ShareOfTheSize(Walk):
    """A relative threshold is a share of the size of the best loss, which may be negative."""

    def better(self, loss: float) -> bool:
        before = self.h
        if before["threshold_mode"] == "rel" and self.best != math.inf:
            self.h = {**before, "threshold_mode": "abs", "threshold": before["threshold"] * abs(self.best)}
        found = super().better(loss)
        self.h = before
        return found


class _WrongSign(Walk):
    """The threshold has the wrong sign."""

    def __init__(self, c: Call) -> None:
        super().__init__(c)
        self.h["threshold"] *= -1


plateau = impostors_of(
    "plateau", exactly=False, keeps_dtype=False, why_not_small="a loss that stops falling takes more than three epochs"
)
plateau("counter-not-reset", "the wait is not reset by a fall, so that the rate falls at each epoch from then on")(
    walking(_NeverReset), f"{PLATEAU} {THRESHOLD}? {COOLDOWN}? {LEAST}? {NAN}?", "keras-team/keras#3991"
)
plateau("fall-forgotten", "the rate falls for one epoch, because the rate that it starts from was not changed")(
    walking(_ForgottenFall), f"{PLATEAU} {THRESHOLD}? {COOLDOWN}? {LEAST}? {NAN}?", "AlexeyAB/darknet#8927"
)
plateau(
    "one-epoch-early",
    "the rate falls once `patience` losses in a row have not improved, one epoch early",
    kind="variant",
    convention=("schedule.patience", "reached"),
)(
    given(patience=lambda h: max(h.get("patience", DEFAULTS["patience"]) - 1, 0)),
    f"{PLATEAU} {THRESHOLD}? {COOLDOWN}? {LEAST}? {NAN}?",
    "pytorch/pytorch#2545",
)
plateau("wait-not-ended", "an improvement does not end the wait")(
    walking(_WaitNotReset), f"{PLATEAU} {THRESHOLD}? {COOLDOWN}? {LEAST}? {NAN}?"
)
plateau("against-the-last", "each loss is compared with the one before, not with the best")(
    walking(_AgainstTheLast), f"{PLATEAU} {THRESHOLD}? {COOLDOWN}? {LEAST}? {NAN}?"
)
plateau("without-cooldown", "there is no cooldown")(given(cooldown=0), f"{COOLDOWN} {NAN}?")
plateau("any-improvement", "the threshold is not used: every lower loss is an improvement")(
    given(threshold=0.0), THRESHOLD, "cgarciae/ciclo#11"
)
plateau("threshold-with-the-wrong-sign", "a loss that is worse than the best by less than the threshold improves")(
    walking(_WrongSign),
    f"{THRESHOLD} {PLATEAU}? {COOLDOWN}? {LEAST}? {NAN}?",
    "HomericIntelligence/Odyssey#1992",
)
plateau("no-threshold-by-default", "where no threshold is given, every lower loss is an improvement")(
    given(threshold=lambda h: h.get("threshold", 0.0)), THRESHOLD
)
plateau(
    "share-of-the-size", "a relative threshold is a share of the size of the best loss, also where that is negative"
)(walking(_ShareOfTheSize), THRESHOLD)
plateau("smallest-fall-made", "the rate falls by however little")(
    given(eps=0.0), f"{PLATEAU} {THRESHOLD}? {COOLDOWN}? {LEAST}? {NAN}?"
)
plateau("threshold-always-relative", "the threshold is a share of the best loss, even where it is absolute")(
    given(threshold_mode="rel"), THRESHOLD
)
plateau("always-least", "the lowest loss is the best, even where the highest is")(given(mode="min"), THRESHOLD)
plateau("without-a-least", "the least rate is not used")(given(min_lr=0.0), LEAST)
plateau("nan-is-an-improvement", "NaN counts as an improvement, and so does every loss after it")(
    walking(_NanIsBest), NAN
)
plateau("nan-replaced-in-place", "losses that are no numbers are replaced in the caller's log")(
    kinds.afterwards(lambda c, right: np.nan_to_num(c.val_losses, copy=False)), KEPT
)
plateau("running-minimum-in-place", "the lowest loss so far is written over each loss of the caller's log")(
    kinds.running_minimum_written, KEPT
)
plateau("any-hyperparameters", "no hyperparameter is checked")(
    unrefused(lambda c: np.full(len(c.val_losses), c.lr)), NO_PLATEAU
)

# The questions

_W = {"warmup_steps": 4}
# As many losses as a power of two, and few digits, so that nothing rounds.
_LOSSES = np.array([4.0, 3.0, 3.0, 3.0, 2.0, 2.5, 2.0, 2.25, 2.0, 2.0, 1.75, 2.0, 2.0, 2.0, 1.0, 1.0])
_NEAR = np.array([4.0, 3.75, 3.5, 3.25, 3.0, 2.875, 2.75, 2.0, 1.9375, 1.875, 1.75, 1.5, 1.4375, 1.375, 1.25, 1.125])
_HALF = {"factor": 0.5, "threshold": 0.0}

QUESTIONS: dict[str, Any] = {
    "schedule": (
        *(("constant", {"lr": 0.5, "factor": 0.25, "total_iters": 3, **more}, 8) for more in ({}, _W)),
        *(
            ("linear", {"lr": 0.5, "start_factor": 0.25, "end_factor": 0.75, "total_iters": 4, **more}, 9)
            for more in ({}, _W)
        ),
        *(("step", {"lr": 1.0, "step_size": 2, "gamma": 0.5, **more}, 9) for more in ({}, _W)),
        ("multistep", {"lr": 1.0, "milestones": [2, 5], "gamma": 0.5}, 8),
        *(("exponential", {"lr": 1.0, "gamma": 0.5, **more}, 7) for more in ({}, _W)),
        *(("polynomial", {"lr": 1.0, "total_iters": 4, "power": 2.0, **more}, 12) for more in ({}, _W)),
        *(("inverse_sqrt", {"lr": 1.0, "timescale": 4, **more}, 9) for more in ({}, _W)),
        *(("cosine", {"lr": 1.0, "T_max": 5, "eta_min": 0.25, **more}, n) for more in ({}, _W) for n in (4, 14)),
        *(("cosine_restarts", {"lr": 1.0, "T_0": 3, "T_mult": 2, "eta_min": 0.25, **more}, 12) for more in ({}, _W)),
        *(
            ("one_cycle", {"max_lr": 1.0, "total_steps": 10, "div_factor": 4.0, "final_div_factor": 8.0, **more}, 10)
            for more in ({}, {"three_phase": True}, {"anneal_strategy": "linear", "pct_start": 0.5})
        ),
        *(
            ("cyclic", {"base_lr": 0.25, "max_lr": 1.0, "step_size_up": 2, "step_size_down": 3, **more}, 14)
            for more in ({}, {"mode": "triangular2"}, {"mode": "exp_range", "gamma": 0.5}, _W)
        ),
        *(
            ("sequence", {"schedules": parts, "milestones": milestones, **more}, 12)
            for more in ({}, _W)
            for parts, milestones in (
                (
                    [
                        {"name": "linear", "lr": 1.0, "start_factor": 0.25, "total_iters": 3},
                        {"name": "exponential", "lr": 1.0, "gamma": 0.5},
                        {"name": "cosine", "lr": 1.0, "T_max": 5},
                    ],
                    [3, 6],
                ),
                (
                    [
                        {"name": "exponential", "lr": 1.0, "gamma": 0.5},
                        {"name": "exponential", "lr": 1.0, "gamma": 0.5, "warmup_steps": 2},
                    ],
                    [2],
                ),
            )
        ),
        ("exponential", {"lr": 0.1, "gamma": 0.3}, 6),
        # What must be refused.
        ("cosinus", {"lr": 1.0, "T_max": 4}, 3),
        ("exponential", {"lr": 1.0, "gamma": 0.5, "step_size": 2}, 3),
        ("exponential", {"lr": -1.0, "gamma": 0.5}, 3),
        ("cosine", {"lr": 1.0, "T_max": 0}, 3),
    ),
    "plateau": (
        *((_LOSSES, 1.0, {**_HALF, "patience": k, **more}) for k in (0, 1, 2) for more in ({}, {"cooldown": 2})),
        *((_LOSSES, 1.0, {**_HALF, "patience": 0, **more}) for more in ({"min_lr": 0.25}, {"eps": 0.25})),
        (-_NEAR, 1.0, {"factor": 0.5, "patience": 1, "threshold": 0.25}),
        (4 - np.arange(8) * 2.0**-14, 1.0, {"factor": 0.5, "patience": 1}),
        *((_NEAR, 1.0, {**_HALF, "patience": 1, "threshold": 0.25, "threshold_mode": mode}) for mode in ("rel", "abs")),
        (_LOSSES, 1.0, {**_HALF, "patience": 1, "threshold": 0.25}),
        (-_LOSSES, 1.0, {**_HALF, "patience": 1, "mode": "max"}),
        (_LOSSES, 1.0, {**_HALF, "patience": 1, "mode": "max"}),
        (np.array([math.nan, 2.0, math.nan, 2.0, 3.0, 2.0, 1.0, 1.0]), 1.0, {**_HALF, "patience": 1}),
        (_LOSSES, 1.0, {"factor": 2.0}),
        (_LOSSES, 1.0, {"mode": "least"}),
    ),
}

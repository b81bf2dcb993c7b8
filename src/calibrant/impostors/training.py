"""Impostors of the chapter on training: groups, pauses, windows, scaled losses.

Each changes a part of the exact walk: the optimizer that goes on after a pause, or the loop around it.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import FORMATS, Exact
from calibrant.exact.optimizers import DEFAULTS, Hyperparameters
from calibrant.exact.scalars import Number, constant
from calibrant.exact.training import Scaler, Walk, clipped, mean_of
from calibrant.impostors import kinds
from calibrant.impostors.correct import overwrite
from calibrant.impostors.kinds import Call, Change, checked, impostors_of, unrefused
from calibrant.protocol.wire import is_array

KEPT = "training.pure"


def _added_in_place(c: Call, path: Any) -> None:
    for first, *others in (c.grads[k : k + c.every] for k in range(0, len(c.grads), c.every)):
        for k, g in enumerate(first):
            overwrite(g, sum((step[k] for step in others), g))


def _left_scaled(c: Call, path: Any) -> None:
    for g in filter(is_array, kinds.leaves(c.grads)):
        with np.errstate(over="ignore"):
            g *= g.dtype.type(c.scale.get("init_scale", 2.0**16))


# Parameters in groups

OWN = "group.own"


def regrouped(change: Callable[[Sequence[Any]], Sequence[Any]]) -> Change:
    """The walk by other groups, a function of those that are given."""
    return checked(lambda c: c(hyperparameters=change(c.hyperparameters)))


def _of_the_first(*keys: str) -> Change:
    """The walk in which some hyperparameters of the first group, or their defaults, count for all."""

    def change(c: Call) -> Any:
        first = {**DEFAULTS[c.name], **c.hyperparameters[0]}
        own = [{**h, **{key: first[key] for key in keys if key in first}} for h in c.hyperparameters]
        return c(hyperparameters=own)

    return checked(change)


def _corrected_as_the_first(c: Call) -> Any:
    """The walk in which the bias corrections of the first group, of each step, serve all groups."""
    walks = [Walk(c.name, h, [p], c.correct.follow) for h, p in zip(c.hyperparameters, c.params, strict=True)]
    form = walks[0].params[0].form
    first = Hyperparameters({**DEFAULTS[c.name], **c.hyperparameters[0]}, form.scalars)
    if "betas" in DEFAULTS[c.name]:
        for walk in walks:
            walk.frame.settings = lambda h: h.but(correction1=first.correction1, correction2=first.correction2)
    return [[walk.step([g])[0] for walk, g in zip(walks, step, strict=True)] for step in c.grads]


def _counted_together(c: Call) -> Any:
    """The walk in which each group advances one count of steps."""
    walks = [Walk(c.name, h, [p], c.correct.follow) for h, p in zip(c.hyperparameters, c.params, strict=True)]
    for walk in walks:
        walk.frame.counts = walks[0].frame.counts
    return [[walk.step([g])[0] for walk, g in zip(walks, step, strict=True)] for step in c.grads]


groups = impostors_of("optimize_groups")
groups("first-group-for-all", "all parameters follow the hyperparameters of the first group")(
    regrouped(lambda h: [h[0]] * len(h)), OWN
)
groups("rate-of-the-first-group", "a group's rate has no effect: all follow the rate of the first")(
    _of_the_first("lr"), OWN, "PaddlePaddle/Paddle#34468"
)
groups("decay-of-the-first-group", "a group's weight decay has no effect: all follow the decay of the first")(
    _of_the_first("weight_decay"), OWN
)
groups("betas-of-the-first-group", "a group's betas have no effect: all follow the betas of the first")(
    _of_the_first("betas"), OWN
)
groups("groups-in-reverse", "the groups are taken in reverse order")(regrouped(lambda h: h[::-1]), OWN)
groups("only-the-rate", "of a group only the rate counts, and all else has its default")(
    regrouped(lambda groups: [{"lr": h["lr"]} if "lr" in h else {} for h in groups]), OWN
)
groups("corrections-of-the-first-group", "step sizes are cached by the number of the step, and shared between groups")(
    checked(_corrected_as_the_first), OWN
)
groups("steps-count-groups", "all groups share one count of steps, which each of them advances")(
    checked(_counted_together), OWN
)
groups("last-group-not-stepped", "the last group is never stepped")(
    checked(lambda c: [[*step[:-1], c.params[-1]] for step in c()]), OWN
)
groups("parameters-in-place", "it changes the caller's parameters in place")(kinds.last_step_written, KEPT)
groups("too-few-taken", "parameters without a group follow the last one, and groups without a parameter are ignored")(
    unrefused(lambda c: c(hyperparameters=[*c.hyperparameters, *[c.hyperparameters[-1]] * 9][: len(c.params)])),
    "group.invalid",
)

# A pause

SAME, SAVED = "resume.same-steps", "resume.hyperparameters"
BOTH = f"{SAME} {SAVED}"


def loading(load: Callable[[Walk, Call], Any]) -> Change:
    """The walk that loads its state in another way: a function of the walk, which has lost nothing yet, and of the call."""
    return checked(lambda c: c.given_to(exact.resume, c.correct.follow, lambda walk: load(walk, c)))


def _forget(walk: Walk, *what: str) -> None:
    for part in what:
        vars(walk.frame)[part].clear()


def _counted(walk: Walk, by: int) -> None:
    for k in walk.frame.counts:
        walk.frame.counts[k] += by


def _moved(walk: Walk, place: Callable[[int, int], int]) -> None:
    """Give each parameter the state of the parameter in another place, number by number as far as they go."""
    n, old = len(walk.params), dict(walk.frame.states)
    for k, i in old:
        source = place(k, n), i % max(walk.params[place(k, n)].size, 1)
        walk.frame.states[k, i] = type(old[k, i])(**vars(old.get(source, old[k, i])))


def _rounded_state(walk: Walk) -> None:
    """Round all that is remembered to float16."""
    form = FORMATS["float16"]
    for state in walk.frame.states.values():
        for key, x in vars(state).items():
            value = x.fraction()
            if abs(value) <= Fraction(form.largest):
                vars(state)[key] = constant(float(exact.round_to(value, form)), x.form).within(x.err)


def _powers_before_the_betas(walk: Walk, c: Call) -> None:
    """Take the powers of the betas so far from the betas that the second optimizer was made with."""
    made = Hyperparameters({**DEFAULTS[c.name], **c.hyperparameters, **c.changed}, walk.params[0].form.scalars)
    if "betas" in DEFAULTS[c.name]:

        def settings(h: Hyperparameters) -> Hyperparameters:
            def power(beta: str, t: int) -> Number:
                return h.powers(f"mixed {beta}", lambda s: getattr(made if s <= c.after else h, beta), t)

            return h.but(power=power)

        walk.frame.settings = settings


resume = impostors_of("resume")
resume("parameters-in-place", "it changes the caller's parameters in place")(kinds.last_step_written, KEPT)
resume("state-lost", "the second optimizer starts without state, and counts its steps from 1")(
    loading(lambda walk, c: _forget(walk, "states", "counts")),
    BOTH,
    "TrenTorch/TrenTorch#187 KempnerInstitute/KempnerForge#115 thinking-machines-lab/tinker-feedback#127",
)
resume("moments-lost", "the averages are lost, and the count of steps is kept")(
    loading(lambda walk, c: _forget(walk, "states")), BOTH
)
resume("count-lost", "the count of steps is lost, and the averages are kept")(
    loading(lambda walk, c: _forget(walk, "counts")), BOTH
)
resume("count-one-more", "the count of steps is saved after it was advanced once more")(
    loading(lambda walk, c: _counted(walk, 1)), BOTH
)
resume("count-one-less", "the count of steps is saved before its last step")(
    loading(lambda walk, c: _counted(walk, -1)), BOTH
)
resume(
    "one-count-for-all",
    "one count of steps is saved, and every parameter gets it, also one that had no gradient in some of them",
)(loading(lambda walk, c: walk.frame.counts.update(dict.fromkeys(walk.frame.counts, c.after))), SAME)
resume("schedule-begins-again", "the list of rates begins again")(
    loading(lambda walk, c: vars(walk).update(updates=0)), SAME
)
resume("last-state-for-all", "the keys of the saved states collide: every parameter gets the state of the last")(
    loading(lambda walk, c: _moved(walk, lambda k, n: n - 1)), BOTH
)
resume("states-in-another-order", "states are loaded by their place, in another order")(
    loading(lambda walk, c: _moved(walk, lambda k, n: n - 1 - k)), BOTH, "pytorch/pytorch#1489 pytorch/pytorch#6031"
)
resume("saved-in-float16", "the state is saved in float16")(loading(lambda walk, c: _rounded_state(walk)), BOTH)
resume("powers-before-the-betas", "powers of the betas are computed before the saved betas are loaded")(
    loading(_powers_before_the_betas), SAVED, "tenstorrent/tt-metal#53212"
)
resume.variant(
    "resume.hyperparameters",
    "constructed",
    "the second optimizer keeps the hyperparameters that it was made with",
    "as-constructed",
)(SAVED)

# Windows of micro-batches

STEP, LAST, RATE = "window.step", "window.last", "window.rate"
ALL = f"{STEP} {LAST} {RATE}"

Window = Sequence[Sequence[Any]]


def windows(
    gradient: Callable[[Window, Call], Any] = lambda window, c: mean_of(window),
    between: Callable[[Walk, Sequence[Any], Call], Any] = lambda walk, step, c: None,
    steps: Callable[[int, Call], bool] = lambda n, c: n % c.every == 0 or n == len(c.grads),
    kept: bool = False,
) -> Change:
    """The loop over windows with another gradient of a window, something between two steps, or steps after other micro-batches."""

    def changed(c: Call) -> Any:
        walk, path, window = Walk(c.name, c.hyperparameters, c.params, c.correct.follow), [], list[Any]()
        for number, step in enumerate(c.grads, start=1):
            window.append(step)
            if steps(number, c):
                walk.step(gradient(window, c))
                window = window if kept else []
            else:
                between(walk, step, c)
            path.append(walk.params)
        return path

    return checked(changed)


def _times(grads: Sequence[Any], count: int, over: int) -> list[Any]:
    """Gradients times a quotient of counts."""
    return [(g * count) / over for g in grads]


def _decays(walk: Walk, step: Any, c: Call) -> None:
    """Shrink the parameters by their weight decay."""
    h = {**DEFAULTS[c.name], **c.hyperparameters}
    walk.params = [p - p * (h.get("weight_decay", 0.0) * walk.rate()) for p in walk.params]


def _counts(walk: Walk, *_: Any) -> None:
    for k in range(len(walk.params)):
        walk.frame.count(k, True)


def _advances(walk: Walk, *_: Any) -> None:
    lr = walk.h["lr"]
    if isinstance(lr, (list, tuple)):
        walk.updates = min(walk.updates + 1, len(lr) - 1)


window = impostors_of("accumulate_and_step")
window("added-up-in-place", "the gradients of a window are added up in the memory of its first ones")(
    kinds.afterwards(_added_in_place), KEPT
)
window("sum-of-the-window", "a window steps along the sum of its gradients, not along their mean")(
    windows(lambda window, c: _times(mean_of(window), len(window), 1)), ALL, "paiml/aprender#2123"
)
window("divided-twice", "the mean of a window is divided by the number of its micro-batches once more")(
    windows(lambda window, c: _times(mean_of(window), 1, len(window))), ALL, "unslothai/unsloth-zoo#1023"
)
window("last-of-the-window", "a window steps along its last gradient")(
    windows(lambda window, c: mean_of(window[-1:])), ALL
)
window("first-of-the-window", "a window steps along its first gradient")(
    windows(lambda window, c: mean_of(window[:1])), ALL
)
window("short-window-by-every", "the last, shorter window is divided by the size of a full one")(
    windows(lambda window, c: _times(mean_of(window), len(window), c.every)),
    LAST,
    "Lightning-AI/pytorch-lightning#19987 LibreYOLO/libreyolo#857 modelscope/ms-swift#10084",
)
window("short-window-dropped", "the last, shorter window brings no step: its gradients are cleared")(
    windows(steps=lambda n, c: n % c.every == 0), LAST, "ultralytics/ultralytics#11217"
)
window("never-reset", "gradients are not cleared after a step, so that each window's mean holds all before it")(
    windows(kept=True), f"{STEP} {RATE} {LAST}?"
)
window("decays-at-every-micro-batch", "weight decay shrinks the parameters at every micro-batch")(
    windows(between=_decays), f"{STEP} {LAST} {RATE}", "keras-team/keras#19990"
)
window("counts-micro-batches", "the optimizer counts micro-batches, not steps")(
    windows(between=_counts), f"{STEP} {LAST} {RATE}", "keras-team/keras#19990"
)
window("schedule-by-micro-batches", "the schedule advances at every micro-batch")(
    windows(between=_advances), RATE, "tracel-ai/burn#5695"
)
window("steps-at-every-micro-batch", "every micro-batch brings a step")(windows(steps=lambda n, c: True), ALL)
window("one-micro-batch-early", "the first micro-batch already brings a step, and then every so many")(
    windows(steps=lambda n, c: (n - 1) % c.every == 0 or n == len(c.grads)), ALL
)
window("any-window", "a window that holds nothing is taken for one of a single micro-batch")(
    unrefused(lambda c: c(every=1)), "window.invalid"
)

# Scaled losses

UNSCALED, CLIP, SKIP, GROWTH = (f"scale.{name}" for name in ("unscaled", "clip", "skip", "growth"))


def scaling(skip: Any = lambda walk, scaler, step: None, found: Any = None, **methods: Any) -> Change:
    """The walk that does something else where a step overflows, finds other gradients, or keeps its scale in another way."""
    kind = type("Changed", (Scaler,), methods)
    found = found or (lambda scaler, step, limit, follow: clipped(step, limit, follow))
    return checked(lambda c: c.given_to(exact.scaled_steps, c.correct.follow, kind, skip, found))


def _finite(step: Sequence[Any], scale: float) -> list[Any]:
    """The gradients, with zero for every number that overflows."""

    def kept(g: Any) -> Any:
        form = g.form if isinstance(g, Exact) else FORMATS[g.dtype.name]
        values = g.nearest() if isinstance(g, Exact) else g.astype(np.float64)
        return exact.of(np.where(np.abs(values) <= form.largest / scale, values, 0.0), form)

    return [kept(g) for g in step]


def _as_zeros(walk: Walk, scaler: Scaler, step: Any) -> None:
    walk.step(_finite(step, scaler.scale))
    walk.updates -= 1


def _others_step(walk: Walk, scaler: Scaler, step: Any) -> None:
    form = walk.params[0].form
    walk.step([None if scaler.overflows([g], form) else g for g in step])
    walk.updates -= 1


def _grown_late(scaler: Scaler, skipped: bool) -> None:
    before = scaler.h["growth_interval"]
    scaler.h["growth_interval"] = before + 1
    Scaler.update(scaler, skipped)
    scaler.h["growth_interval"] = before


def _streak_goes_on(scaler: Scaler, skipped: bool) -> None:
    before = scaler.streak
    Scaler.update(scaler, skipped)
    scaler.streak = before if skipped else scaler.streak


def _by_two(scaler: Scaler, skipped: bool) -> None:
    scaler.h |= {"growth_factor": 2.0, "backoff_factor": 0.5}
    Scaler.update(scaler, skipped)


def _never_grown(scaler: Scaler, skipped: bool) -> None:
    scaler.scale *= scaler.h["backoff_factor"] if skipped else 1.0


scaled = impostors_of("scaled_steps")
scaled("scaled-in-place", "the caller's gradients are left multiplied by the scale")(
    kinds.afterwards(_left_scaled), KEPT
)
scaled("never-unscaled", "the optimizer follows the scaled gradients")(
    scaling(found=lambda scaler, step, limit, follow: [g * scaler.scale for g in clipped(step, limit, follow)]),
    f"{UNSCALED} {CLIP} {SKIP}",
)
scaled("clipped-before-unscaling", "the scaled gradients are clipped, and unscaled afterwards")(
    scaling(found=lambda scaler, step, limit, follow: clipped(step, limit, follow, by=scaler.scale)),
    CLIP,
    "milesial/Pytorch-UNet#468",
)
scaled("never-clipped", "the gradients are not clipped")(
    scaling(found=lambda scaler, step, limit, follow: clipped(step, None, follow)), CLIP
)
scaled("clipped-one-by-one", "each gradient is clipped by its own norm")(
    scaling(found=lambda scaler, step, limit, follow: [x for g in step for x in clipped([g], limit, follow)]), CLIP
)
scaled("unscaled-by-the-first", "gradients are always divided by the scale of the beginning")(
    scaling(
        found=lambda scaler, step, limit, follow: [
            g * (scaler.scale / scaler.h["init_scale"]) for g in clipped(step, limit, follow)
        ]
    ),
    f"{UNSCALED} {CLIP} {SKIP}",
)
OVERFLOW = "only a gradient that overflows shows it"
scaled("skipped-step-counts", "the optimizer counts a skipped step", why_not_small=OVERFLOW)(scaling(_counts), SKIP)
scaled("schedule-advances-where-it-is-skipped", "the schedule advances at a skipped step")(scaling(_advances), SKIP)
scaled("zeros-for-overflow", "numbers that overflow are taken for zero, and the step is made")(scaling(_as_zeros), SKIP)
scaled("others-step", "where one gradient overflows, the other parameters are stepped")(scaling(_others_step), SKIP)
scaled("never-backed-off", "the scale does not shrink after an overflow", why_not_small=OVERFLOW)(
    scaling(update=lambda scaler, skipped: None if skipped else Scaler.update(scaler, False)), f"{GROWTH} {SKIP}?"
)
scaled("never-grown", "the scale never grows")(scaling(update=_never_grown), GROWTH)
scaled("grown-one-late", "the scale grows one step late")(scaling(update=_grown_late), GROWTH)
scaled("factors-ignored", "the scale is doubled and halved, whatever factors are given")(
    scaling(update=_by_two), f"{GROWTH} {SKIP}?"
)
scaled("no-scale-by-default", "where no scale is given, it begins at one")(
    lambda c: c(scale={"init_scale": 1.0, **c.scale}), f"{GROWTH} {SKIP}?"
)
scaled("streak-goes-on", "an overflow does not begin the count of steps anew")(scaling(update=_streak_goes_on), GROWTH)
scaled("any-scale", "a scale or a norm that means nothing is taken for one that does nothing")(
    unrefused(lambda c: c(scale={"init_scale": 1.0}, max_norm=None)), "scale.invalid"
)

# Questions

_PARAMS = [np.array([0.7]), np.array([-1.5])]
_ROWS = ((2.0, -1.5), (1.0, -0.5), (-0.25, 0.75), (0.5, 3.0), (-1.0, 0.25))
_GRADS = [[np.array([a]), np.array([b])] for a, b in _ROWS]
_ADAM = {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25}
_MOMENTUM = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}
_RATES = [0.5, 0.25, 1.0, 0.5, 0.125]
_WALKS = (("sgd", _MOMENTUM), ("adam", _ADAM), ("adamw", _ADAM))
_RUNS = tuple((name, {**h, "lr": _RATES}, _PARAMS, _GRADS) for name, h in _WALKS)
_HUGE = [[np.array([3.0e38]), np.array([1.0])], [np.array([1.0]), np.array([1.5e308])]]
_OTHER = {"lr": 0.25, "betas": (0.25, 0.9), "eps": 0.25, "weight_decay": 0.5}
_SCALE = {"init_scale": 4.0, "growth_interval": 2}

QUESTIONS: dict[str, Any] = {
    "optimize_groups": (
        *((name, [h, {"lr": 0.25}], _PARAMS, _GRADS) for name, h in _WALKS),
        *((name, [_ADAM, _OTHER], _PARAMS, _GRADS) for name in ("adam", "adamw")),
        ("sgd", [{"lr": 0.5}], _PARAMS, _GRADS),
    ),
    "resume": (
        *((*run, after, {}) for run in _RUNS for after in (2, 5)),
        *((name, h, _PARAMS, _GRADS, 2, {"lr": 0.125}) for name, h in _WALKS),
        ("adam", _ADAM, _PARAMS, _GRADS, 2, {"betas": (0.25, 0.9)}),
        ("adam", _ADAM, _PARAMS, [[_GRADS[0][0], None], *_GRADS[1:]], 2, {}),
    ),
    "accumulate_and_step": (
        *((name, {**h, "lr": _RATES[:3]}, _PARAMS, _GRADS, 2) for name, h in _WALKS),
        *((name, h, _PARAMS, _GRADS[:4], every) for name, h in _WALKS for every in (2, 4)),
        ("sgd", {"lr": 0.5}, _PARAMS, _GRADS, 0),
    ),
    "scaled_steps": (
        *((name, h, _PARAMS, _GRADS, _SCALE, norm) for name, h in _WALKS for norm in (None, 1.0)),
        ("sgd", _MOMENTUM, _PARAMS, _GRADS, {**_SCALE, "growth_factor": 4.0}, None),
        ("sgd", _MOMENTUM, _PARAMS, _GRADS, {}, None),
        # What overflows in float32, and in float64.
        *(
            (name, {**h, "lr": [*_RATES, 0.5]}, _PARAMS, [_GRADS[0], overflow, *_GRADS[1:]], _SCALE, None)
            for name, h in _WALKS[::2]
            for overflow in _HUGE
        ),
        ("sgd", {"lr": 0.5}, _PARAMS, _GRADS, {"init_scale": -2.0}, None),
    ),
}

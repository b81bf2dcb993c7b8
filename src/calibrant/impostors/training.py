"""Impostors of the chapter on training: averages, groups, pauses, windows, scaled losses, mini-batches.

Each changes a part of the exact walk: of the frame of an average, of the optimizer that goes on after a pause, or of the loop around it.
"""

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import FORMATS, Exact
from calibrant.exact.optimizers import DEFAULTS, Hyperparameters
from calibrant.exact.scalars import Number, complement, constant, minimum, mix, product
from calibrant.exact.schedules import powers
from calibrant.exact.training import AVERAGES, Averager, Scaler, Walk, clipped, mean_of, mean_of_batches
from calibrant.impostors import kinds
from calibrant.impostors.correct import join, overwrite, rearranged
from calibrant.impostors.kinds import Call, Change, afterwards, answer, impostors_of, unrefused

PATH = "a path of several steps is needed"


def refusing(change: Change) -> Change:
    """A change of calls that the right operation does not refuse; exact numbers are never refused."""
    return lambda c: (
        change(c) if any(isinstance(x, Exact) for x in _leaves([*c.given.values()])) else (c(), change(c))[1]
    )


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(itertools.chain.from_iterable(map(_leaves, value)))
    return [value]


# Averages of the path


def averaging(**changes: Callable[..., Any]) -> Change:
    """The average in a frame (`exact.training.Averager`) with other methods."""
    kind = type("Changed", (Averager,), changes)
    return refusing(lambda c: exact.average(c.name, c.hyperparameters, c.path, kind))


def _shrinking(frame: Averager, s: Any, n: int) -> Number:
    """The share of the old average, after it has replaced the decay for all later steps."""
    right = Averager.keep(frame, s, n)
    if frame.h.get("warmup"):
        frame.h["decay"] = min(frame.h["decay"], (1 + n) / (10 + n))
    return right


def _warmed(share: Callable[[int], float]) -> Change:
    """The average whose warm-up is another function of the number of updates."""

    def keep(frame: Averager, s: Any, n: int) -> Number:
        x = constant(share(n), frame.form)
        return minimum(frame.decay(), x) if frame.h.get("warmup") else Averager.keep(frame, s, n)

    return averaging(keep=keep)


def _tail_kept(mean: Any, p: Any) -> Any:
    """An average whose numbers after the eighth are the parameters themselves."""
    flat = [rearranged(lambda x: np.reshape(x, -1), x) for x in (mean, p)]
    joined = join(flat[0][:8], flat[1][8:])
    return rearranged(lambda x: np.reshape(x, np.shape(mean.m if isinstance(mean, Exact) else mean)), joined)


def _listed(frame: Averager, i: int) -> bool:
    """Whether a step is taken up; the frame notes how many steps were listed before it."""
    vars(frame)["listed"] = i
    return Averager.takes(frame, i)


def _known(c: Call) -> bool:
    """Whether an average of this name has all hyperparameters of the call."""
    return c.name in AVERAGES and {*c.hyperparameters} <= {*AVERAGES[c.name]}


EMA, SWA, EVERY = "average.ema", "average.swa", "average.every"
CORRECTION, WARM = "average.bias-correction", "average.warm-up"
ANY = f"{EVERY} {CORRECTION} {WARM}"

average = impostors_of("average")
average("away-from-the-parameters", "the difference has the wrong sign, so that the average moves away")(
    averaging(mixed=lambda frame, s, p, keep: s.x - complement(keep) * (p - s.x)), f"{EMA} {SWA} {ANY}"
)
average("decay-for-the-new", "the decay weighs the new parameters, and its rest the old average")(
    averaging(mixed=lambda frame, s, p, keep: mix(s.x, p, complement(keep), keep)),
    f"{EMA} {SWA} {ANY}",
)
average("not-averaged", "it returns the parameters themselves")(
    refusing(lambda c: [list(step) for step in c.path]), f"{EMA} {SWA} {CORRECTION} {WARM} {EVERY}"
)
average("one-array-listed", "every step lists the same arrays, which show the average after the last step")(
    answer(lambda path: [path[-1] for _ in path]), f"{EMA} {SWA} {ANY}"
)
average("begins-at-zero", "the average begins at zero, and is not corrected", kind="variant")(
    averaging(update=lambda frame, s, n, p: Averager.update(frame, s, n + 1 - frame.corrected, p)),
    f"{EMA} {SWA} {EVERY} {WARM} {CORRECTION}?",
)
average("warm-up-replaces-the-decay", "the warm-up's small value replaces the decay for all later steps")(
    averaging(keep=_shrinking), WARM, "huggingface/diffusers#1864"
)
average("warm-up-ignored", "the decay does not warm up")(
    averaging(keep=lambda frame, s, n: frame.decay() if frame.name == "ema" else Averager.keep(frame, s, n)), WARM
)
average("warm-up-without-an-end", "the warm-up's value counts where the decay is smaller, too")(
    averaging(
        keep=lambda frame, s, n: (
            product([constant(1.0 + n, frame.form)], [constant(10.0 + n, frame.form)])
            if frame.h.get("warmup")
            else Averager.keep(frame, s, n)
        )
    ),
    WARM,
)
average("warm-up-one-late", "the warm-up counts one update less")(_warmed(lambda n: n / (9 + n)), WARM)
average("warm-up-by-a-power", "the decay warms up as 1 - (1 + n) ** (-2/3)", kind="variant")(
    _warmed(lambda n: 1 - (1 + n) ** (-2 / 3)), WARM
)
average("every-step-taken-up", "every step of the path is taken up, each micro-batch among them")(
    averaging(takes=lambda frame, i: True), EVERY
)
average("first-step-not-taken-up", "it takes up the last of every so many steps, not the first", why_not_small=PATH)(
    averaging(takes=lambda frame, i: i == 0 or (i + 1) % frame.h["every"] == 0), EVERY
)
average("correction-counts-every-step", "the correction counts every step of the path, not those that are taken up")(
    averaging(
        takes=_listed,
        shown=lambda frame, s: (
            product([s.x], [1.0 - powers(frame.h["decay"], vars(frame)["listed"] + 1, frame.form.scalars)])
            if frame.corrected
            else s.x
        ),
    ),
    EVERY,
)
average("warm-up-counts-every-step", "the warm-up counts every step of the path, not those that are taken up")(
    averaging(
        takes=_listed,
        keep=lambda frame, s, n: (
            Averager.keep(frame, s, vars(frame)["listed"]) if frame.h.get("warmup") else Averager.keep(frame, s, n)
        ),
    ),
    EVERY,
)
average(
    "tail-not-averaged",
    "of each array only the first eight numbers are averaged",
    why_not_small="longer arrays are needed",
)(
    refusing(
        lambda c: [
            [_tail_kept(mean, p) if p.size > 8 else mean for mean, p in zip(*both, strict=True)]
            for both in zip(c(), c.path, strict=True)
        ]
    ),
    f"{EMA} {SWA}? {EVERY}? {CORRECTION}? {WARM}?",
)
average("weighed-by-its-number", "the newest parameters are weighed by their number, not by one over it")(
    averaging(
        mixed=lambda frame, s, p, keep: (
            s.x + product([1.0 - keep], [keep]) * (p - s.x)
            if frame.name == "swa"
            else Averager.mixed(frame, s, p, keep)
        ),
        keep=lambda frame, s, n: (
            product([constant(1.0, frame.form)], [constant(n + 1.0, frame.form)])
            if frame.name == "swa"
            else Averager.keep(frame, s, n)
        ),
    ),
    f"{SWA} {EVERY}?",
    "pbaylies/stylegan-encoder#13",
)
average("half-of-each", "the plain average is the middle of the old one and the new parameters")(
    averaging(
        keep=lambda frame, s, n: constant(0.5, frame.form) if frame.name == "swa" else Averager.keep(frame, s, n)
    ),
    f"{SWA} {EVERY}?",
)
average("counted-one-too-far", "the plain average counts one more than there are")(
    averaging(keep=lambda frame, s, n: Averager.keep(frame, s, n + (frame.name == "swa"))), f"{SWA} {EVERY}?"
)
average("not-corrected", "the average from zero is not corrected")(averaging(shown=lambda frame, s: s.x), CORRECTION)
average("corrected-without-power", "the average is divided by 1 - decay at every step, without the power of t")(
    averaging(shown=lambda frame, s: product([s.x], [1.0 - frame.decay()]) if frame.corrected else s.x), CORRECTION
)
average("path-in-place", "the averages are written over the caller's path")(
    afterwards(lambda c, means: [*map(overwrite, _leaves(c.path), _leaves(means))]),
    "average.pure",
)
average("values-unchecked", "it accepts a decay that is no fraction, and an `every` below 1")(
    kinds.where(_known, unrefused(lambda c: c.path)), "average.invalid"
)
average("any-word", "it takes an unknown name for the path itself, and ignores hyperparameters that do not exist")(
    kinds.where(lambda c: not _known(c), unrefused(lambda c: c.path)), "average.unknown"
)
average.in_dtype("float32", f"{EMA} {SWA} {ANY}", why_not_small=kinds.DIGITS)
average.in_dtype("float64", "average.dtype")

# Parameters in groups

OWN = "group.own"


def regrouped(change: Callable[[Sequence[Any]], Sequence[Any]]) -> Change:
    """The walk by other groups, a function of those that are given."""
    return refusing(lambda c: c(hyperparameters=change(c.hyperparameters)))


def _of_the_first(*keys: str) -> Change:
    """The walk in which some hyperparameters of the first group, or their defaults, count for all."""

    def change(c: Call) -> Any:
        first = {**DEFAULTS[c.name], **c.hyperparameters[0]}
        own = [{**h, **{key: first[key] for key in keys if key in first}} for h in c.hyperparameters]
        return c(hyperparameters=own)

    return refusing(change)


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
    refusing(_corrected_as_the_first), OWN
)
groups("steps-count-groups", "all groups share one count of steps, which each of them advances")(
    refusing(_counted_together), OWN
)
groups("last-group-not-stepped", "the last group is never stepped")(
    refusing(lambda c: [[*step[:-1], c.params[-1]] for step in c()]), OWN
)
groups("too-few-taken", "parameters without a group follow the last one, and groups without a parameter are ignored")(
    unrefused(lambda c: c(hyperparameters=[*c.hyperparameters, *[c.hyperparameters[-1]] * 9][: len(c.params)])),
    "group.invalid",
)

# A pause

SAME, SAVED = "resume.same-steps", "resume.hyperparameters"
BOTH = f"{SAME} {SAVED}"


def loading(load: Callable[[Walk, Call], Any]) -> Change:
    """The walk that loads its state in another way: a function of the walk, which has lost nothing yet, and of the call."""

    def changed(c: Call) -> Any:
        asked = c.name, c.hyperparameters, c.params, c.grads, c.after, c.changed
        return exact.resume(*asked, c.correct.follow, lambda walk: load(walk, c))

    return refusing(changed)


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
resume("saved-in-float16", "the state is saved in float16", why_not_small=kinds.DIGITS)(
    loading(lambda walk, c: _rounded_state(walk)), BOTH
)
resume("powers-before-the-betas", "powers of the betas are computed before the saved betas are loaded")(
    loading(_powers_before_the_betas), SAVED, "tenstorrent/tt-metal#53212"
)
resume(
    "as-constructed",
    "the second optimizer keeps the hyperparameters that it was made with",
    kind="variant",
    convention=("resume.hyperparameters", "constructed"),
)(loading(lambda walk, c: walk.h.update(c.changed)), SAVED)

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

    return refusing(changed)


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


def _advances(walk: Walk, step: Any, c: Call) -> None:
    lr = walk.h["lr"]
    if isinstance(lr, (list, tuple)):
        walk.updates = min(walk.updates + 1, len(lr) - 1)


window = impostors_of("accumulate_and_step")
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

    def changed(c: Call) -> Any:
        asked = c.name, c.hyperparameters, c.params, c.grads, c.scale, c.max_norm
        return exact.scaled_steps(*asked, c.correct.follow, kind, skip, found)

    return refusing(changed)


def _not_counted(walk: Walk, scaler: Scaler, step: Any) -> None:
    lr = walk.h["lr"]
    walk.updates = min(walk.updates + 1, len(lr) - 1) if isinstance(lr, (list, tuple)) else 0


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
scaled("skipped-step-counts", "the optimizer counts a skipped step", why_not_small=OVERFLOW)(
    scaling(lambda walk, scaler, step: _counts(walk)), SKIP
)
scaled("schedule-advances-where-it-is-skipped", "the schedule advances at a skipped step")(scaling(_not_counted), SKIP)
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

# Mini-batches

PART, SIZES, ORDER, SHUFFLED = (f"minibatch.{name}" for name in ("partition", "sizes", "order", "shuffled"))
SEEDED, GLOBAL, INVALID = (f"minibatch.{name}" for name in ("seeded", "global-state", "invalid"))


def cut(rows: Sequence[Any], size: int, drop_last: bool) -> list[Any]:
    """Rows in batches of a size."""
    batches = [np.asarray(rows[start : start + size]) for start in range(0, len(rows), size)]
    return [b for b in batches if len(b) == size or not drop_last]


def reordered(order: Callable[[Call, np.random.Generator, int], Any]) -> Change:
    """The batches of rows in another order, a function of the call, of a generator and of the number of the epoch."""

    def changed(c: Call) -> Any:
        c()
        generator = np.random.default_rng(c.seed)
        return [cut(order(c, generator, epoch), c.batch_size, c.drop_last) for epoch in range(c.epochs)]

    return changed


def _ordered(c: Call, generator: np.random.Generator) -> Any:
    return generator.permutation(c.n_samples) if c.shuffle else np.arange(c.n_samples)


def _padded(batch: Any, c: Call, rows: Any) -> Any:
    return np.resize(np.append(batch, rows), c.batch_size) if len(batch) < c.batch_size else batch


batches = impostors_of("minibatches")
batches("one-order-for-all-epochs", "every epoch visits the rows in one order")(
    reordered(lambda c, generator, epoch: _ordered(c, np.random.default_rng(c.seed))),
    SHUFFLED,
    "pytorch/pytorch#31771 areal-project/AReaL#632 cszn/KAIR#106",
)
batches("never-shuffled", "the rows are never shuffled")(lambda c: c(shuffle=False), SHUFFLED)
batches("always-shuffled", "the rows are always shuffled")(lambda c: c(shuffle=True), ORDER)
batches("turned-instead-of-shuffled", "the rows are rotated, not shuffled")(
    reordered(lambda c, g, epoch: np.roll(np.arange(c.n_samples), g.integers(c.n_samples) if c.shuffle else 0)),
    SHUFFLED,
)
batches("batches-shuffled-and-not-rows", "the rows are cut into batches first, and the batches are shuffled")(
    lambda c: [
        [epoch[k] for k in np.random.default_rng(c.seed + e).permutation(len(epoch))] if c.shuffle else epoch
        for e, epoch in enumerate(c(shuffle=False))
    ],
    f"{SHUFFLED} {SIZES}",
)
batches("rest-in-order", "only the first batch is drawn, and the rest comes in order")(
    reordered(lambda c, g, epoch: (x := _ordered(c, g), np.append(x[: c.batch_size], np.sort(x[c.batch_size :])))[1]),
    SHUFFLED,
)
batches("sorted-within-batches", "the rows of each batch are in order")(
    answer(lambda epochs: [[np.sort(rows) for rows in epoch] for epoch in epochs]), SHUFFLED
)
batches("drawn-with-replacement", "the rows are drawn with replacement, so that some come twice and some not at all")(
    reordered(lambda c, g, epoch: g.choice(c.n_samples, c.n_samples) if c.shuffle else np.arange(c.n_samples)),
    f"{PART} {SHUFFLED}?",
)
batches("last-batch-lost", "a last batch that is smaller is always dropped")(
    lambda c: c(drop_last=True), f"{PART} {SIZES}", "NervanaSystems/neon#9 aigamedev/scikit-neuralnetwork#157"
)
batches("last-batch-kept", "a last batch that is smaller is kept, though it is to be dropped")(
    lambda c: c(drop_last=False), f"{PART} {SIZES}"
)
batches("last-batch-padded", "a last batch that is smaller is filled up with rows from the beginning")(
    lambda c: [[_padded(b, c, np.concatenate(epoch)) for b in epoch] if epoch else epoch for epoch in c()],
    f"{PART} {SIZES} {ORDER}",
)
batches("iterator-ends-early", "the last batch is never reached, whatever its size")(
    answer(lambda epochs: [epoch[:-1] if len(epoch) > 1 else epoch for epoch in epochs]),
    f"{PART} {SIZES} {SHUFFLED}?",
    "openai/pixel-cnn#20",
)
batches("seed-ignored", "a global generator shuffles the rows, and the seed is not used", repeats=False)(
    lambda c: c(seed=np.random.randint(2**31)), f"{SEEDED} {GLOBAL} {SHUFFLED}?"
)
batches("always-the-same-seed", "the seed is not used: every seed gives the same orders")(lambda c: c(seed=0), SHUFFLED)
batches("numpy-seeded", "NumPy's global generator is seeded")(lambda c: (np.random.seed(c.seed), c())[1], GLOBAL)
batches("any-size", "a size that is not positive is taken for all samples, and no samples for one")(
    unrefused(lambda c: c(n_samples=max(c.n_samples, 1), batch_size=max(c.n_samples, 1))), INVALID
)


def _facts(question: Any, told: Any, before: Any) -> Any:
    """What a drawn order shows: sizes, rows that come twice, whether they are shuffled, anew, and as before."""
    flat = [tuple(row for rows in epoch for row in np.ravel(rows).tolist()) for epoch in told]
    earlier = [tuple(row for rows in epoch for row in np.ravel(rows).tolist()) for _, x in before for epoch in x]
    return [
        [len(rows) for epoch in told for rows in epoch],
        [sorted(rows) == list(range(len(rows))) for rows in flat],
        [len({*rows}) == len(rows) for rows in flat],
        [list(rows) == sorted(rows) for rows in flat],
        [all(rows == sorted(rows) for rows in (np.ravel(some).tolist() for some in epoch)) for epoch in told],
        [list(rows[len(rows) // 2 :]) == sorted(rows[len(rows) // 2 :]) for rows in flat],
        [sum(abs(a - b) == 1 for a, b in itertools.pairwise(rows)) > len(rows) // 2 for rows in flat],
        [rows in flat[:k] for k, rows in enumerate(flat)],
        [rows in earlier for rows in flat],
    ]


FACTS = {"minibatches": _facts}

STEPS, LOSS = "minibatch.steps", "minibatch.loss"


def trained(
    loss: Callable[[list[tuple[Exact, int]]], Exact] = mean_of_batches,
    slope: Callable[[Exact, int, Call], Exact] = lambda gradient, count, c: gradient,
    late: bool = False,
    at_the_start: bool = False,
    anew: bool = False,
) -> Change:
    """The loop with another mean of an epoch's losses, another gradient of a batch, or losses after the update."""

    def changed(c: Call) -> Any:
        t_u, t_c, start = (x if isinstance(x, Exact) else exact.of(x) for x in (c.t_u, c.t_c, c.params))
        options = {key: x for key, x in c.optimizer.items() if key != "name"}
        walk, losses = Walk(c.optimizer["name"], options, [start], c.correct.follow), []
        for epoch in c.batches:
            found, begin = [], walk.params[0]
            if anew:
                walk = Walk(c.optimizer["name"], options, [begin], c.correct.follow)
            for rows in epoch:
                rows = np.asarray(rows, dtype=np.int64)
                u, t = t_u[rows], t_c[rows]
                before = begin if at_the_start else walk.params[0]
                walk.step([slope(exact.gradient(u, t, *before), len(rows), c)])
                shown = walk.params[0] if late else before
                found.append((exact.loss_fn(exact.model(u, *shown), t), len(rows)))
            losses.append(loss(found))
        return walk.params[0], losses

    return refusing(changed)


train = impostors_of("train_minibatches")
train(
    "mean-of-the-means",
    "an epoch's loss is the mean of its batches' losses, as if all were equally large",
    why_not_small="the simplest batches of unlike sizes have four samples",
)(
    trained(lambda found: exact.concatenate(*(loss for loss, _ in found)).mean()),
    LOSS,
    "catalyst-team/catalyst#799 dnouri/nolearn#247 Lightning-AI/pytorch-lightning#2924",
)
train("loss-of-the-last-batch", "an epoch's loss is that of its last batch")(trained(lambda found: found[-1][0]), LOSS)
train("sum-of-the-losses", "an epoch's loss is the sum of its batches' losses")(
    trained(lambda found: exact.concatenate(*(loss for loss, _ in found)).sum()), LOSS
)
train("loss-after-the-update", "each batch's loss is logged after its update")(trained(late=True), LOSS)
train("running-mean-never-reset", "the running mean of the losses goes on from one epoch to the next")(
    lambda c: ((x := c())[0], [sum(map(partial(_item, x[1]), range(k + 1)), 0.0) / (k + 1) for k in range(len(x[1]))]),
    LOSS,
    "ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112 keras-team/keras#22617",
)
train("gradients-at-the-start", "all gradients of an epoch are taken where it began")(
    trained(at_the_start=True), f"{STEPS} {LOSS}"
)
train("scaled-by-the-batch", "each batch's gradient is weighed by its share of the samples")(
    trained(slope=lambda gradient, count, c: (gradient * count) / len(c.t_u)), f"{STEPS} {LOSS}?"
)
train("first-batch-only", "only the first batch of each epoch brings a step")(
    lambda c: (c(batches=[epoch[:1] for epoch in c.batches])[0], c()[1]), STEPS
)
train("whole-data", "every step follows the gradient of all samples")(
    lambda c: (c(batches=[[[*range(len(c.t_u))]] * len(epoch) for epoch in c.batches])[0], c()[1]), STEPS
)
train("optimizer-made-anew", "every epoch makes a new optimizer, which remembers nothing")(trained(anew=True), STEPS)


def _item(losses: Any, k: int) -> Any:
    return losses[k]


# Questions

_PARAMS = [np.array([0.7]), np.array([-1.5])]
_ROWS = ((2.0, -1.5), (1.0, -0.5), (-0.25, 0.75), (0.5, 3.0), (-1.0, 0.25))
_GRADS = [[np.array([a]), np.array([b])] for a, b in _ROWS]
_ADAM = {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25}
_MOMENTUM = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}
_RATES = [0.5, 0.25, 1.0, 0.5, 0.125]
_WALKS = (("sgd", _MOMENTUM), ("adam", _ADAM), ("adamw", _ADAM))
_RUNS = tuple((name, {**h, "lr": _RATES}, _PARAMS, _GRADS) for name, h in _WALKS)
_PATH = [[np.array([x, y])] for x, y in ((1.0, -2.0), (2.0, 0.5), (-1.5, 4.0), (0.25, 0.75), (3.0, -1.0))]
_HUGE = [[np.array([3.0e38]), np.array([1.0])], [np.array([1.0]), np.array([1.5e308])]]
_OTHER = {"lr": 0.25, "betas": (0.25, 0.9), "eps": 0.25, "weight_decay": 0.5}
_SCALE = {"init_scale": 4.0, "growth_interval": 2}
_T_U, _T_C = np.array([1.0, 2.0, 3.0, 0.5, 1.5]), np.array([1.0, 1.0, 3.0, 5.0, 0.5])

QUESTIONS: dict[str, Any] = {
    "average": (
        *(
            (name, h, _PATH)
            for name, h in (
                ("ema", {"decay": 0.75}),
                ("ema", {"decay": 0.75, "bias_correction": True}),
                ("ema", {"decay": 0.25, "warmup": True}),
                ("ema", {"decay": 0.9, "warmup": True}),
                *(
                    ("ema", {"decay": 0.5, "every": 2, **more})
                    for more in ({}, {"bias_correction": True}, {"warmup": True})
                ),
                ("swa", {}),
                ("swa", {"every": 2}),
            )
        ),
        ("ema", {"decay": 0.5}, [[np.ones(9)], [np.arange(9.0)]]),
        ("ema", {"decay": 1.5}, _PATH),
        ("ema", {"beta": 0.5}, _PATH),
        ("smooth", {}, _PATH),
    ),
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
    "minibatches": (
        *((n, size, False, 1, drop, 2) for n, size in ((7, 2), (4, 2), (3, 4)) for drop in (False, True)),
        *((40, 8, True, seed, False, 2) for seed in (1, 2)),
        (41, 8, True, 3, True, 1),
        *((n, size, True, 1, False, 1) for n, size in ((4, 0), (0, 2))),
    ),
    "train_minibatches": (
        (
            {"name": "sgd", "lr": 0.125},
            np.array([1.0, 0.0]),
            _T_U,
            _T_C,
            [[[0, 1], [2, 3], [4]], [[4, 3], [1, 0], [2]]],
        ),
        (
            {"name": "adam", "lr": 0.25, "eps": 0.25},
            np.array([1.0, 0.0]),
            _T_U,
            _T_C,
            [[[0, 1, 2], [3, 4]], [[0, 1], [3]]],
        ),
    ),
}

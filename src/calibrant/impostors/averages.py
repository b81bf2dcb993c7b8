"""Impostors of the averages of a path: each changes a part of the frame of the exact average."""

from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact
from calibrant.exact.scalars import Number, complement, constant, minimum, mix, product
from calibrant.exact.schedules import powers
from calibrant.exact.training import AVERAGES, Averager
from calibrant.impostors import kinds
from calibrant.impostors.correct import join, rearranged
from calibrant.impostors.kinds import Call, Change, answer, checked, impostors_of, unrefused

# Averages of the path


def averaging(**changes: Callable[..., Any]) -> Change:
    """The average in a frame (`exact.training.Averager`) with other methods."""
    kind = type("Changed", (Averager,), changes)
    return checked(lambda c: c.given_to(exact.average, kind))


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
    checked(lambda c: [list(step) for step in c.path]), f"{EMA} {SWA} {CORRECTION} {WARM} {EVERY}"
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
average("first-step-not-taken-up", "it takes up the last of every so many steps, not the first")(
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
average("tail-not-averaged", "of each array only the first eight numbers are averaged")(
    checked(
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
    kinds.overwritten("path", lambda c, means: means), "average.pure"
)
average("values-unchecked", "it accepts a decay that is no fraction, and an `every` below 1")(
    kinds.where(_known, unrefused(lambda c: c.path)), "average.invalid"
)
average("any-word", "it takes an unknown name for the path itself, and ignores hyperparameters that do not exist")(
    kinds.where(lambda c: not _known(c), unrefused(lambda c: c.path)), "average.unknown"
)
average.in_dtype("float32", f"{EMA} {SWA} {ANY}")
average.in_dtype("float64", "average.dtype")


# Questions

_PATH = [[np.array([x, y])] for x, y in ((1.0, -2.0), (2.0, 0.5), (-1.5, 4.0), (0.25, 0.75), (3.0, -1.0))]

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
}

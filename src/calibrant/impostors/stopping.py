"""Impostors of the clauses on early stopping, and on the diagnosis of two logs."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.kinds import Call, Change, answer, checked, impostors_of, part

Rule = Callable[..., Any]
"""A question in the place of one that is right."""

# Early stopping

RULES: dict[str, Rule] = {
    "improves": lambda wait: wait.loss < wait.lowest,
    "counts": lambda wait: True,
    "over": lambda wait: wait.waited >= wait.patience,
    "after": lambda wait: 0,
}


def watched(**rules: Rule) -> Change:
    """Early stopping with another rule for what improves, what counts, when patience is over, or the count after an improvement."""
    rule = RULES | rules

    def changed(c: Call) -> tuple[int, int]:
        wait = SimpleNamespace(patience=c.patience, lowest=math.inf, best=0, waited=0)
        for wait.epoch, wait.loss in enumerate(map(float, c.val_losses)):
            wait.waited += bool(rule["counts"](wait))
            if rule["improves"](wait):
                wait.lowest, wait.best, wait.waited = wait.loss, wait.epoch, rule["after"](wait)
            if rule["over"](wait):
                break
        return wait.epoch, wait.best

    return checked(changed)


def _lowest_of_the_run_before(c: Call) -> Any:
    before = c.correct.memory.get("lowest", math.inf)
    stopped, best = watched(improves=lambda wait: wait.loss < min(wait.lowest, before))(c)
    c.correct.memory["lowest"] = min([before, *(float(x) for x in c.val_losses[: stopped + 1] if x < math.inf)])
    return stopped, best


def diagnosed(
    *,
    refuses: Change = Call.__call__,
    best: Rule = np.argmin,
    rises: Rule = lambda train, val, k: train[-1] < train[k] and val[-1] > val[k] * 1.125,
    stays: Rule = lambda train, val: train[-1] > train[0] / 8,
) -> Change:
    """The diagnosis with another question in one place: which epoch is best, what is overfitting, and what underfitting."""

    def changed(c: Call) -> str:
        refuses(c)
        train, val = c.train_losses, c.val_losses
        if rises(train, val, best(val)):
            return "overfitting"
        return "underfitting" if stays(train, val) else "good"

    return changed


DIAGNOSIS = "overfitting.diagnosis"
NAN, LOGS = "early-stopping.nan", "validation.logs-kept"
BEST = f"early-stopping.best {NAN}"
LATE = f"early-stopping.patience {BEST}"
EARLY = f"{LATE} early-stopping.never-triggered"

early = impostors_of("early_stopping")
early("one-epoch-late", "it stops one epoch too late, after more than `patience` epochs without improvement")(
    checked(lambda c: c(patience=c.patience + 1)), LATE, "keras-team/keras#8100 pytorch/pytorch#2545"
)
early("one-epoch-early", "it stops one epoch too early: the best epoch is counted as one without improvement")(
    watched(after=lambda wait: 1, over=lambda wait: wait.waited >= max(wait.patience, 2)), EARLY
)
early("first-epoch-counted", "the first epoch counts as one without improvement: a patience of 1 stops there")(
    watched(after=lambda wait: wait.epoch == 0), EARLY, "mlverse/luz#63"
)
early("ties-improve", "a loss that equals the lowest counts as an improvement")(
    watched(improves=lambda wait: wait.lowest >= wait.loss < math.inf), LATE
)
early("last-of-ties", "of equally low losses, the last is called the best")(
    part(1, lambda k, c: max([k, *np.flatnonzero((x := c.val_losses[: c()[0] + 1]) == x[k]).tolist()])), f"{BEST}?"
)
early("improvement-too-small", "a loss must be lower by more than 1e-4 of the lowest to count as an improvement")(
    watched(improves=lambda wait: wait.loss < wait.lowest * (1 - 1e-4)), EARLY
)
early("nan-improves", "NaN counts as an improvement")(watched(improves=lambda wait: not wait.loss >= wait.lowest), NAN)
early("minus-infinity-improves", "minus infinity counts as the lowest loss, which nothing improves on")(
    watched(improves=lambda wait: wait.loss < wait.lowest), NAN
)
early("nan-not-counted", "a loss that is not finite does not count as an epoch without improvement")(
    watched(counts=lambda wait: wait.loss < math.inf), NAN
)
early("nan-stops", "a loss that is NaN stops the training at once")(
    watched(over=lambda wait: math.isnan(wait.loss) or wait.waited >= wait.patience), NAN
)
early(
    "nan-first-never-beaten", "the first loss counts as the lowest whatever it is, so that a first NaN is never beaten"
)(watched(improves=lambda wait: wait.epoch == 0 or wait.loss < wait.lowest), NAN)
early("highest-is-best", "the highest loss is taken for the best, as with an accuracy")(
    watched(improves=lambda wait: wait.epoch == 0 or math.inf > wait.loss > wait.lowest), EARLY
)
early("wait-never-reset", "an improvement does not reset the count of epochs without improvement")(
    watched(counts=lambda wait: not wait.loss < wait.lowest, after=lambda wait: wait.waited),
    f"early-stopping.patience early-stopping.best? {NAN} early-stopping.never-triggered",
    "modelscope/ms-swift#5326",
)
early("patience-ignored", "the first epoch without improvement stops the training, whatever the patience")(
    checked(lambda c: c(patience=1)), EARLY
)
early("never-stopped", "the training never stops early, whatever the patience")(
    checked(lambda c: c(patience=len(c.val_losses) + 1)), LATE
)
early("counted-from-1", "epochs are counted from 1")(answer(lambda epochs: (epochs[0] + 1, epochs[1] + 1)), EARLY)
early("best-is-the-last", "the last epoch before the stop is called the best")(part(1, lambda best, c: c()[0]), BEST)
early("best-only-if-stopped", "where patience lasts to the end, the last epoch is called the best")(
    part(1, lambda best, c: best if (stopped := c()[0]) < len(c.val_losses) - 1 else stopped),
    BEST,
    "keras-team/keras#12511 tensorflow/tensorflow#35634 cgarciae/ciclo#11",
)
early("lowest-of-the-run-before", "the lowest loss of one run must still be beaten in the next one", repeats=False)(
    _lowest_of_the_run_before, EARLY, "keras-team/keras#20533"
)
early("running-minimum-in-place", "the lowest loss so far is written over each loss of the caller's log")(
    kinds.running_minimum_written, LOGS
)
early("any-patience", "a patience that is not positive counts as 1, and no losses stop at once")(
    lambda c: c(patience=max(c.patience, 1)) if len(c.val_losses) else (0, 0), "early-stopping.invalid"
)

# The diagnosis

diagnose = impostors_of("diagnose")
diagnose("from-training-alone", "the validation losses are ignored")(diagnosed(rises=lambda *_: False), DIAGNOSIS)
diagnose("from-the-gap", "a gap of more than an eighth between the last losses is called overfitting")(
    diagnosed(rises=lambda train, val, k: val[-1] > train[-1] * 1.125), DIAGNOSIS
)
diagnose("against-the-first", "the last losses are compared with the first ones, not with those of the best epoch")(
    diagnosed(best=lambda val: 0), DIAGNOSIS
)
diagnose("without-tolerance", "any rise of the validation loss at all is called overfitting")(
    diagnosed(rises=lambda train, val, k: train[-1] < train[k] and val[-1] > val[k]), DIAGNOSIS
)
diagnose(
    "whatever-training-does", "a rise of the validation loss is called overfitting although the training loss rises too"
)(diagnosed(rises=lambda train, val, k: val[-1] > val[k] * 1.125), DIAGNOSIS)
diagnose("whatever-validation-does", "a training loss that goes on falling after the best epoch is called overfitting")(
    diagnosed(rises=lambda train, val, k: train[-1] < train[k]), DIAGNOSIS
)
diagnose("validation-that-stays", "underfitting is judged by the validation loss, not by the training loss")(
    diagnosed(stays=lambda train, val: val[-1] > val[0] / 8), DIAGNOSIS
)
diagnose("never-underfitting", "underfitting is never reported: all that does not overfit is called good")(
    diagnosed(stays=lambda *_: False), DIAGNOSIS
)
diagnose("logs-swapped", "the two logs are swapped")(kinds.swapped("train_losses", "val_losses"), DIAGNOSIS)
diagnose("smoothed-in-place", "the mean of all losses so far is written over each validation loss")(
    kinds.overwritten("val_losses", lambda c, right: c.val_losses.cumsum() / np.arange(1, len(c.val_losses) + 1)), LOGS
)
diagnose("any-lengths", "the longer of two logs is cut to the length of the other, and no epochs are good")(
    lambda c: kinds.cut_to_the_shorter(*c.names)(c) if min(map(len, c.given.values())) else "good",
    "overfitting.lengths overfitting.empty overfitting.not-finite?",
)
diagnose("minus-infinity-taken", "a loss of minus infinity is the lowest of all, and not refused")(
    lambda c: c(**{k: np.where(np.isneginf(x), np.finfo(x.dtype).min, x) for k, x in c.given.items()}),
    "overfitting.not-finite",
)
diagnose("nan-is-good", "losses that are not finite are compared like any others")(
    diagnosed(refuses=lambda c: c(**{k: np.nan_to_num(x) for k, x in c.given.items()})), "overfitting.not-finite"
)

# What all of them are asked


def _curves(text: str) -> Any:
    return [tuple(np.array([float(x) for x in y.split()]) for y in pair.split("|")) for pair in text.split(";")]


QUESTIONS: dict[str, Any] = {
    # Losses | how patient. Rises, falls, an improvement after a long wait, and ties; what is not finite, at first and later, or alone.
    "early_stopping": tuple(
        (losses, int(patience))
        for losses, patiences in _curves(
            """4 3 3.5 3.25 2 2.5 2.25 2.75 1 2 | 1 2 3 9; 2 2 1 1 1 .5 | 1 3; 3 2 1 | 2;
            1 0.999969482421875 0.9999847412109375 2 1 | 1 2; nan 2 1 nan .5 3 | 1 2; 2 nan inf 1 nan 3 3 | 2 3;
            inf 1 2 | 2; 2 -inf 1 3 | 3; | 1; 1 2 | 0"""
        )
        for patience in patiences
    ),
    # Training losses | validation losses.
    "diagnose": _curves(
        """8 4 2 1 | 8 4 3 2; 8 4 2 1 | 8 2 2 2; 8 4 2 1 | 8 4 2 2.5; 8 4 2 1 | 8 4 2 2.25; 8 4 2 1 | 2 1 2 4;
        8 4 1 2 | 8 2 2 4; 8 4 2 1 | 8 1 .5 .5625; 8 4 2 1 | .5 .25 .0625 .125; 8 4 3 2 | 8 4 3 3; 8 4 3 2 | 8 2 3 4;
        8 4 3 2 | 8 2 4 3; 8 4 4 4 | 8 4 5 6; 8 1 .5 .5 | 8 2 1 2; 8 .5 4 2 | 8 1 4 3; 8 1 .25 .5 | 8 2 2 4;
        8 4 2 1 | 8 8 4 .5; 1 2 4 8 | 1 2 4 8; 0 0 | 1 1; 1 | 2; |; 4 2 | 4 2 1; 4 2 1 | 4 2; 4 nan 1 | 4 2 1;
        4 2 1 | 4 2 inf; 4 2 1 | nan 2 1; 4 2 1 | 4 2 -inf"""
    ),
}

"""Impostors of the chapter on validation: splits, penalties, early stopping, diagnoses, and loops with validation data."""

import importlib
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join, overwrite
from calibrant.impostors.descent import Run, loop, of_the_least
from calibrant.impostors.kinds import Call, Change, answer, checked, impostors_of, part, unrefused

THREE = "three samples of different losses are needed"
BATCHES = "catalyst-team/catalyst#799 dnouri/nolearn#247 Lightning-AI/pytorch-lightning#2924"

Rule = Callable[..., Any]
"""A function in the place of one that is right."""


def of_twos(loss: Callable[[slice], Any], n: int) -> Any:
    """The mean of the losses of batches of two, as if all were equally large."""
    return join(*(loss(slice(k, k + 2)) for k in range(0, n, 2))).mean()


# The split


def cut(rows: Rule = lambda c, right: right, n_val: Rule = lambda c, right: right) -> Change:
    """A split of other rows, or that holds out another number of them: functions of the call and of what is right."""

    def changed(c: Call) -> Any:
        train, val = c()
        shuffled, n_train = rows(c, np.append(train, val)), c.n_samples - n_val(c, len(val))
        return shuffled[:n_train], shuffled[n_train:]

    return changed


def seeding(seed: Callable[[int], Any]) -> Change:
    """The right split, before which a global generator is seeded."""
    return lambda c: (seed(c.seed), c())[1]


def _scaled(x: Any, by: Any = None) -> Any:
    by = x if by is None else by
    return (x - np.mean(by)) / np.std(by) if x.size else x


PARTITION, RANDOM, INVALID = "split.partition", "split.random", "split.invalid"
EMPTY = "split.empty-part"
SEEDED, GLOBAL, NONE = "split.seeded", "split.global-state", "split.none-held-out"
PAIRS, SIZES = "split.pairs", "split.sizes split.as-written"
PAIRED, LACK = f"{PAIRS} {PARTITION}", f"{SIZES} {NONE}"
MIXED, LEAK = f"{PARTITION} {RANDOM}", f"{PARTITION} {EMPTY}"
TWICE = "the rows are drawn with replacement, so that some come twice and some not at all"
ALL = "the training part has all rows, those that are held out among them"
LAST = "the rows are not shuffled: the last ones are held out"
SWAPPED = "the fraction sets the size of the training part, not of the validation part"

split, columns = impostors_of("split"), impostors_of("split_data")
split("first-validation-row-in-both", "the training part goes one row too far: the first validation row is in both")(
    part(0, lambda train, c: np.append(train, c()[1][:1])), LEAK
)
split(
    "validation-from-the-unshuffled", "the training rows are cut from the shuffled rows, the validation rows are not"
)(part(1, lambda val, c: np.arange(c.n_samples - len(val), c.n_samples)), MIXED, "marin-community/marin#2700")
split("all-rows-for-training", ALL)(part(0, lambda train, c: np.append(*c())), LEAK, "ratschlab/aestetik#12")
split(
    "numbered-within-the-part", "the validation rows are numbered within their part, and then used as rows of the whole"
)(part(1, lambda val, c: np.argsort(val)), MIXED, "sarpaykent/GotenNet#10")
split("parts-drawn-apart", "each part is drawn by itself, so that a row may be in both or in neither")(
    part(0, lambda train, c: np.random.default_rng(c.seed + 1).permutation(c.n_samples)[: len(train)]), PARTITION
)
split(
    "process-in-the-seed", "the number of the process is added to the seed: each gets a split of its own", repeats=False
)(lambda c: c(seed=c.seed + os.getpid()), SEEDED, "TensorAuto/OpenTau#498")
split("drawn-with-replacement", TWICE)(
    cut(lambda c, rows: np.random.default_rng(c.seed).choice(len(rows) or 1, len(rows))), f"{MIXED} {EMPTY}?"
)
split("last-row-lost", "the last training row is lost")(part(0, lambda train, c: train[:-1]), f"{LEAK}? {NONE}")
split("last-rows-held-out", LAST)(
    cut(lambda c, rows: np.sort(rows)), RANDOM, "keras-team/keras#597 keras-team/keras#6422 keras-team/keras#8346"
)
split("first-rows-held-out", "the rows are not shuffled: the first ones are held out")(
    cut(lambda c, rows: np.roll(np.sort(rows), -len(c()[1]))), RANDOM, "keras-team/keras#10571"
)
split("turned-instead-of-shuffled", "the rows are rotated, not shuffled: each is held out with its neighbours")(
    cut(lambda c, rows: np.roll(np.sort(rows), rows[:1].sum())), RANDOM
)
split("always-the-same-seed", "the seed is not used: every seed gives the same split")(lambda c: c(seed=0), RANDOM)
for either in (split, columns):
    either("numpy-seeded", "NumPy's global generator is seeded")(seeding(np.random.seed), GLOBAL)
    either("seed-ignored", "a global generator shuffles the rows, and the seed is not used", repeats=False)(
        lambda c: c(seed=np.random.randint(2**31)), f"{SEEDED} {GLOBAL}"
    )
split("python-seeded", "Python's global generator is seeded")(seeding(random.seed), GLOBAL)
split("torch-seeded", "PyTorch's global generator is seeded", needs="torch")(
    seeding(lambda seed: importlib.import_module("torch").manual_seed(seed)), GLOBAL
)
split("seeded-once", "only the first call seeds the generator, and later calls continue its sequence", repeats=False)(
    lambda c: c(seed=c.correct.memory.setdefault("generator", np.random.default_rng(c.seed)).integers(2**31)), SEEDED
)
split("rounded-up", "the size of the validation part is rounded up")(
    cut(n_val=lambda c, k: math.ceil(Fraction(str(c.val_fraction)) * c.n_samples)), LACK
)
split("rounded-to-nearest", "the size of the validation part is rounded to the nearest whole number")(
    cut(n_val=lambda c, k: max(math.floor(c.val_fraction * c.n_samples + 0.5), k)), SIZES
)
split("one-row-at-least", "at least one row is held out, even where the fraction asks for none")(
    cut(n_val=lambda c, k: min(c.n_samples, k or 1)), LACK
)
split("whole-part-of-the-product", "the product is computed in floating point and cut: 0.29 of 100 rows are 28")(
    cut(n_val=lambda c, k: int(c.val_fraction * c.n_samples)), "split.as-written"
)
split(
    "training-part-cut", "the training part is rounded down in floating point, and the validation part gets the rest"
)(cut(n_val=lambda c, k: c.n_samples - int((1 - c.val_fraction) * c.n_samples)), LACK)
split("parts-swapped", SWAPPED)(answer(lambda parts: parts[::-1]), f"{LACK} {RANDOM} {EMPTY}")
split("cut-from-the-end", "the rows are cut at `-n_val`, so that holding out no rows leaves none for training")(
    answer(lambda parts: parts if parts[1].size else parts[::-1]), f"{NONE} {SIZES}", "keras-team/keras#23202"
)
split(
    "any-fraction", "an invalid fraction is replaced by the nearest valid one, and a negative number of samples by 0"
)(lambda c: c(n_samples=max(c.n_samples, 0), val_fraction=min(max(0.0, c.val_fraction), 1.0)), INVALID)

columns(
    "shuffled-one-after-the-other", "the two columns are shuffled one after the other, each in an order of its own"
)(lambda c: tuple(c(seed=c.seed + k % 2)[k] for k in range(4)), PAIRS, "mlcommons/GaNDLF#870 xudonmao/VMT#1")
columns("readings-shuffled-alone", "the readings are shuffled, and the temperatures are not")(
    lambda c: ((x := c())[0], c.t_c[: x[0].size], x[2], c.t_c[x[0].size :]),
    f"{PAIRS} {RANDOM}",
    "DrexelChatbotGroup/DrexelChatbot#15 atong01/conditional-flow-matching#172",
)
columns("drawn-with-replacement", TWICE)(
    lambda c: c(t_u=c.t_u[k := np.random.default_rng(c.seed).choice(c.n, c.n)], t_c=c.t_c[k]), f"{PAIRS} {MIXED}"
)
columns("all-rows-for-training", ALL)(lambda c: (c.t_u, c.t_c, *c()[2:]), PAIRED, "ratschlab/aestetik#12")
columns("sorted-columns", "each column of each part is sorted")(answer(lambda parts: tuple(map(np.sort, parts))), PAIRS)
columns("part-by-part", "the columns come in scikit-learn's order: both parts of the readings first")(
    answer(lambda parts: parts[::2] + parts[1::2]), f"{PAIRED} {NONE}"
)
columns("last-rows-held-out", LAST, why_not_small="five rows are needed")(
    lambda c: (c.t_u[: (k := c()[0].size)], c.t_c[:k], c.t_u[k:], c.t_c[k:]), RANDOM
)
columns("parts-swapped", SWAPPED)(answer(lambda parts: parts[2:] + parts[:2]), f"{LACK} {RANDOM}")
columns("any-fraction", "an invalid fraction is replaced by the nearest valid one")(
    lambda c: c(val_fraction=min(max(0.0, c.val_fraction), 1.0)), INVALID
)
columns(
    "scaled-by-all-rows", "the readings are scaled by the mean and the deviation of all rows, also of those held out"
)(lambda c: c(t_u=_scaled(c.t_u)), PAIRS, "daxin007/ARMD#5 davda54/sam#15 aikunyi/FourierGNN#11")
columns("each-part-scaled-by-itself", "the readings of each part are scaled by their own mean and deviation")(
    answer(lambda x: (_scaled(x[0]), x[1], _scaled(x[2]), x[3])), PAIRS, "deepchem/deepchem#51 EleutherAI/elk#5"
)
columns(
    "scaled-by-the-training-rows", "the readings are scaled by mean and deviation of the training rows", kind="variant"
)(answer(lambda x: (_scaled(x[0]), x[1], _scaled(x[2], x[0]), x[3])), PAIRS)
columns("in-place", "the caller's columns are shuffled in place")(
    kinds.afterwards(lambda c, x: [*map(overwrite, (c.t_u, c.t_c), map(np.append, x, x[2:]))]), "split.pure"
)
columns.in_dtype("float64", PAIRS)

# The loss of the validation data

RECORDED, VALUE = "validation.not-recorded", "validation.value"

single = impostors_of("validation_loss")
single("recorded", "the graph is recorded, as if to train on the loss")(part(1, lambda recorded, c: 1), RECORDED)
single("half", "the loss has a factor 1/2 in front")(part(0, lambda loss, c: loss / 2), VALUE)
single("sum-instead-of-mean", "the squares are summed, not averaged")(part(0, lambda loss, c: loss * c.n), VALUE)
single(
    "mean-of-batches", "the means of batches of two are averaged as if they were equally large", why_not_small=THREE
)(part(0, lambda _, c: of_twos(lambda k: c(t_u=c.t_u[k], t_c=c.t_c[k])[0], c.n)), VALUE, BATCHES)
single("averaged-again", "the mean over all samples is divided by the number of batches of two", why_not_small=THREE)(
    part(0, lambda loss, c: loss / max(-(-c.n // 2), 1)), VALUE, "pytorch/torchtitan#2366"
)
single("plus-the-penalty", "a penalty of 0.01 w² is added, as to the training loss")(
    part(0, lambda loss, c: loss + 0.01 * (c.params[0] * c.params[0])), VALUE
)
single("root", "it is the root of the mean square", exactly=False)(part(0, lambda loss, c: np.sqrt(loss)), VALUE)

# The regularized loss, its gradient and its optimum


def plain(c: Call) -> Any:
    """The right answer without penalties."""
    return c(l1=0.0, l2=0.0)


def penalty(c: Call) -> Any:
    """The right answer without residuals: the penalties alone, or their gradient."""
    return c(t_p=c.t_c) if "t_p" in c.names else c(t_u=c.t_u * 0, t_c=c.t_u * 0, b=c.w * 0)


def _line(c: Call, on_b: float) -> Any:
    """The line of least mean squared error + l2 w² + on_b b², from the normal equations."""
    u, t, kept = c.t_u.mean(), c.t_c.mean(), 1 / (1 + on_b)
    w = ((c.t_u * c.t_c).mean() - kept * (u * t)) / ((c.t_u * c.t_u).mean() - kept * (u * u) + c.l2)
    return join(w, kept * (t - w * u))


SUM, SLOPE, DTYPE = "regularization.sum", "regularization.gradient", "regularization.dtype"
BOTH = f"regularization.l1 regularization.l2 {SUM}"
RIDGE, REFUSED = "regularization.ridge", "regularization.invalid"
SHRINKS = f"{RIDGE} regularization.shrinks"
ANY = "penalties are not checked: one that is negative or NaN is accepted"

penalized, grad = impostors_of("regularized_loss"), impostors_of("regularized_grad")
for either, clauses in ((penalized, BOTH), (grad, SLOPE)):
    either("penalties-swapped", "the two penalties are swapped")(kinds.swapped("l1", "l2"), clauses)
    either("not-penalized", "no penalty is added")(checked(plain), clauses)
    either("penalty-subtracted", "the penalties are subtracted")(lambda c: plain(c) - penalty(c), clauses)
penalized("half-the-square", "the L2 penalty has a factor 1/2")(lambda c: c(l2=c.l2 / 2), f"regularization.l2 {SUM}")
penalized("weight-for-its-size", "the L1 penalty is l1 w, not l1 |w|")(
    lambda c: c() - c.l1 * (abs(c.w) - c.w), f"regularization.l1 {SUM}"
)
penalized("penalty-averaged", "the penalty is divided by n, as the loss is")(
    lambda c: plain(c) + penalty(c) / c.n, BOTH, "scikit-learn/scikit-learn#25646"
)
penalized("penalty-for-each-sample", "each sample adds the penalty")(lambda c: plain(c) + penalty(c) * c.n, BOTH)
penalized("loss-not-averaged", "the squares are summed, not averaged")(lambda c: plain(c) * c.n + penalty(c), BOTH)
penalized("one-or-the-other", "where both penalties are given, the L2 penalty is ignored")(
    checked(lambda c: c(l2=0.0 if c.l1 else c.l2)), SUM
)
penalized("any-penalty", ANY)(unrefused(lambda c: plain(c) + c.l1 * abs(c.w) + c.l2 * (c.w * c.w)), REFUSED)
penalized.in_dtype("float64", DTYPE)
grad.in_dtype("float64", DTYPE)

grad("bias-penalized", "the bias is penalized as the weight is")(
    lambda c: c() + penalty(c.but(w=c.b))[::-1],
    f"regularization.bias {SLOPE}",
    "Lightning-Universe/lightning-bolts#668 VowpalWabbit/vowpal_wabbit#1729",
)
grad("factor-2-missing", "the slope of the L2 penalty lacks its factor 2")(lambda c: c(l2=c.l2 / 2), SLOPE)
grad("one-for-the-sign", "the slope of the L1 penalty is l1, whatever the sign of the weight")(
    checked(lambda c: c(l1=0.0) + join(c.w * 0 + c.l1, c.w * 0)), SLOPE
)
grad("penalty-averaged", "the penalty is divided by n, like the loss")(lambda c: plain(c) + penalty(c) / c.n, SLOPE)
grad("divided-by-its-size", "the sign of the weight is computed as w / |w|, which is NaN at zero", exactly=False)(
    lambda c: c() + join(0 * (c.w / np.abs(c.w)), c.w * 0), "regularization.kink", "mlpack/mlpack#3545"
)
grad("any-penalty", ANY)(unrefused(lambda c: plain(c) + join(c.l1 * np.sign(c.w) + 2 * c.l2 * c.w, c.w * 0)), REFUSED)

ridge = impostors_of("ridge")
ridge("bias-penalized", "the bias is penalized as the weight is")(
    checked(lambda c: _line(c, c.l2) if c.l2 else c()), f"{SHRINKS}?", "dask/dask-glm#65 azmyrajab/polars_ols#49"
)
ridge(
    "sum-for-mean", "the penalty is added to the sum of the squares, not to their mean, so that it is n times smaller"
)(lambda c: c(l2=c.l2 / c.n), RIDGE, "scikit-learn/scikit-learn#25646")
ridge("penalty-times-n", "the penalty is multiplied by n")(lambda c: c(l2=c.l2 * c.n), RIDGE)
ridge("penalty-doubled", "the penalty counts twice")(lambda c: c(l2=2 * c.l2), RIDGE)
ridge("penalty-squared", "the penalty is squared")(checked(lambda c: c(l2=c.l2 * c.l2)), RIDGE)
ridge("not-penalized", "it is the least-squares line, whatever the penalty")(checked(lambda c: c(l2=0.0)), RIDGE)
ridge("bias-of-least-squares", "only the weight shrinks, not the bias")(lambda c: join(c()[0], c(l2=0.0)[1]), RIDGE)
ridge("bias-is-the-mean", "the bias is the mean temperature")(kinds.part(1, lambda b, c: c.t_c.mean()), RIDGE)
ridge("growing", "the weight grows where it should shrink")(lambda c: 2 * c(l2=0.0) - c(), SHRINKS)
ridge(
    "variance-in-one-pass",
    "the variance is the mean of the squares less the square of the mean",
    why_not_small="only readings that lie close together show it",
)(checked(lambda c: _line(c, 0.0)), RIDGE)
ridge.in_dtype("float64", DTYPE)
ridge("any-penalty", ANY)(unrefused(lambda c: _line(c, 0.0)), REFUSED)

# Early stopping, and the diagnosis

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
WAITS = "two waits and an improvement between them are needed"
NAN = "early-stopping.nan"
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
early(
    "improvement-too-small",
    "a loss must be lower by more than 1e-4 of the lowest to count as an improvement",
    why_not_small="nearly equal losses are needed",
)(watched(improves=lambda wait: wait.loss < wait.lowest * (1 - 1e-4)), EARLY)
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
early("wait-never-reset", "an improvement does not reset the count of epochs without improvement", why_not_small=WAITS)(
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
early("any-patience", "a patience that is not positive counts as 1, and no losses stop at once")(
    lambda c: c(patience=max(c.patience, 1)) if len(c.val_losses) else (0, 0), "early-stopping.invalid"
)

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
diagnose("any-lengths", "the longer of two logs is cut to the length of the other, and no epochs are good")(
    lambda c: kinds.cut_to_the_shorter(*c.names)(c) if min(map(len, c.given.values())) else "good",
    "overfitting.lengths overfitting.empty overfitting.not-finite?",
)
diagnose("nan-is-good", "losses that are not finite are compared like any others")(
    diagnosed(refuses=lambda c: c(**{k: np.nan_to_num(x) for k, x in c.given.items()})), "overfitting.not-finite"
)

# Training loops with validation data

INTERFERES = "validation.non-interference"
LOGGED = "validation.logged"
STRAYS = f"{INTERFERES} {LOGGED}"

given = partial(kinds.where, lambda c: c.val_t_u is not None and c.val_t_c is not None)
trained = impostors_of("training_loop", chapters=("validation",))


def _validated_ahead(c: Call) -> Any:
    if not c.optimizer.get("nesterov"):
        return c()
    path = [c(n_epochs=k)[0] for k in range(c.n_epochs)]
    ahead = [now + (now - before) * c.optimizer["momentum"] for before, now in zip(path[:1] + path, path, strict=False)]
    return part(
        2, lambda losses, c: [c.ask("validation_loss", params=x, t_u=c.val_t_u, t_c=c.val_t_c)[0] for x in ahead]
    )(c)


trained("validated-after-the-update", "the validation loss of an epoch is that of the parameters after its step")(
    loop(val_loss=lambda run: replace(run, params=run.step()).validation().loss()), LOGGED, "keras-team/keras#8578"
)
trained(
    "validated-ahead", "with Nesterov's momentum, the validation loss is that of the point ahead of the parameters"
)(given(_validated_ahead), LOGGED)
trained("trained-on-both", "the steps follow the gradient of the training and the validation loss together")(
    given(loop(step=lambda run: run.step() - run.rate * run.validation().gradient())), STRAYS, "NifTK/NiftyNet#28"
)
trained("steps-on-validation-data", "each epoch takes another step, on the validation data")(
    given(loop(step=lambda run: replace(run.validation(), params=run.step()).step())),
    STRAYS,
    "SKrisanski/FSCT#12 princeton-vl/pose-ae-train#11 r9y9/deepvoice3_pytorch#122",
)
trained("best-params-returned", "the parameters of the lowest validation loss are returned, not the last ones")(
    of_the_least(2), f"{STRAYS}?"
)
trained(
    "ends-where-validation-is-nan", "the training ends at the first validation loss that is not finite", exactly=False
)(lambda c: c(n_epochs=next((k + 1 for k, x in enumerate(c()[2]) if not np.isfinite(x)), c.n_epochs)), INTERFERES)
trained("losses-of-the-training-data", "it logs the training losses in their place")(loop(val_loss=Run.loss), LOGGED)
trained("last-loss-of-every-epoch", "the validation loss is computed once, at the end, and logged for every epoch")(
    part(2, lambda losses, c: c(n_epochs=c.n_epochs + 1)[2][-1:] * c.n_epochs), LOGGED
)
trained("every-other-epoch", "only every other epoch is validated")(part(2, lambda losses, c: losses[::2]), LOGGED)
trained("running-mean-of-validation", "it logs the mean of all validation losses so far: the sum is never reset")(
    part(2, lambda losses, c: [join(*losses[: k + 1]).mean() for k in range(len(losses))]),
    LOGGED,
    "ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112",
)
trained("validation-losses-summed", "the validation losses are sums of squared residuals, not means")(
    loop(val_loss=lambda run: run.validation().loss() * run.val_t_u.size), LOGGED
)
trained(
    "mean-of-validation-batches",
    "the means of batches of two are averaged as if they were equally large",
    why_not_small=THREE,
)(loop(val_loss=lambda run: of_twos(lambda k: run.validation().of(k).loss(), run.val_t_u.size)), LOGGED, BATCHES)
trained("last-validation-batch-dropped", "validation batches hold two samples, and a last batch of one is dropped")(
    loop(val_loss=lambda run: run.validation().of(slice(run.val_t_u.size // 2 * 2 or 1)).loss()),
    LOGGED,
    "NervanaSystems/neon#9",
)
trained(
    "readings-against-readings", "it takes the columns as t_u, val_t_u, t_c, val_t_c, and trains on readings alone"
)(given(lambda c: c(t_c=c.val_t_u, val_t_u=c.t_c)), f"{STRAYS} validation.pure")
trained(
    "training-losses-without-validation", "without validation data, the training losses are logged as validation losses"
)(lambda c: c(val_t_u=c.t_u, val_t_c=c.t_c) if c.val_t_u is c.val_t_c is None else c(), "validation.none")
trained("any-validation-shape", "validation columns of different shapes are broadcast to pairs, not refused")(
    given(unrefused(kinds.stretched("val_t_u", "val_t_c"))), "validation.shapes validation.columns"
)
trained("empty-is-none", "validation data without rows are ignored, not refused")(
    lambda c: c(val_t_u=None, val_t_c=None) if np.size(c.val_t_u) == 0 else c(), "validation.columns"
)
trained("validation-scaled-in-place", "the caller's validation readings are scaled in place")(
    given(kinds.overwritten("val_t_u", lambda c, right: c.val_t_u / 2)), "validation.pure"
)

# What can be said of a split whoever draws it


def _found(column: Any, given: Any) -> list[Any]:
    """The rows in which the numbers of a column were given; None for one that was not."""
    numbered = {float(x): i for i, x in enumerate(given)}
    return [numbered.get(float(x)) for x in np.ravel(column)]


def _facts_of_rows(n_samples: int, parts: Sequence[list[int]], others: Sequence[Sequence[list[int]]]) -> Any:
    """What does not depend on how rows are drawn: of few rows, the sizes and those that eight seeds never hold out."""
    (train, val), every = map(set, parts), set(range(n_samples))
    facts: list[Any] = [len(part) for part in parts]
    if len(others) >= 7:
        facts.append(every - val.union(*(other[1] for other in others)))
    if n_samples >= 16:
        repeated = sum(map(len, parts)) - len(train) - len(val)
        facts += [min(k, 2) for k in (len(train & val), len(every - train - val), repeated)]
        for part, rows in enumerate((train, val)):
            fixed = bool(others) and all(set(other[part]) == rows for other in others)
            turned = sum((i + 1) % n_samples not in rows for i in rows) <= 1
            facts.append((fixed, turned, sorted(rows) if fixed and turned else None))
    return facts


def _split_facts(question: Any, answer: Any, before: Sequence[tuple[Any, Any]]) -> Any:
    others = [parts for asked, parts in before if asked[:2] == question[:2] and asked[2] != question[2]]
    parts, *of_others = [[_found(part, range(question[0])) for part in parts] for parts in (answer, *others)]
    return [*map(np.shape, answer), None not in parts[0] + parts[1] and _facts_of_rows(question[0], parts, of_others)]


def _split_data_facts(question: Any, answer: Any, before: Sequence[tuple[Any, Any]]) -> Any:
    """Of each column of each part: its dtype, and which rows it has, or else whether it is scaled; and whether pairs stay pairs."""
    t_u, t_c, val_fraction, seed = question
    others = [columns for asked, columns in before if asked[2] == val_fraction and asked[3] != seed]
    told: list[Any] = [(column.dtype.name, column.shape) for column in answer]
    found = []
    for k, given in enumerate((t_u, t_c)):
        parts, *of_others = [[_found(columns[part + k], given) for part in (0, 2)] for columns in (answer, *others)]
        if any(None in part for part in parts):
            columns = answer[k], answer[2 + k], np.append(answer[k], answer[2 + k])
            told.append([(abs(x.mean()) < 0.01, abs(x.std() - 1) < 0.01) for x in columns if x.size])
        else:
            told.append(_facts_of_rows(len(given), parts, of_others))
        found.append(parts)
    return [*told, found[0] == found[1], *([set(u) == set(c) for u, c in zip(*found, strict=True)])]


FACTS = {"split": _split_facts, "split_data": _split_data_facts}

# What all of them are asked

_ONE, _NAN = np.array([1.0, 0.0]), np.array([math.nan, 1.0])
_U, _C = np.arange(32.0), 64 + np.arange(32.0) * 11 % 32
_PLAIN = np.array([1.0, -2.0, 6.0, 0.0]), np.array([0.0, 2.0, -2.0, 1.0])
_LONG = np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])
_NEAR = 4096 + np.array([0.1, 2.3, -1.7, 4.9, 0.3])
_START = {"name": "sgd", "lr": 0.125}, np.array([1.0, -1.0]), np.array([-2.0, 2.0]), np.array([-1.0, 3.0])
_PENALTIES = ((0.5, 0.25), (2.0, 0.0), (0.0, 2.0))
_NO_PENALTIES = ((-0.125, 0.5), (0.5, math.nan))


def _curves(text: str) -> Any:
    return [tuple(np.array([float(x) for x in y.split()]) for y in pair.split("|")) for pair in text.split(";")]


QUESTIONS: dict[str, Any] = {
    "training_loop": (
        # Validation losses that fall, and then rise; with many digits; and what is not finite.
        (4, *_START, np.array([4.0, 1.0, 2.0]), np.array([4.0, 1.0, 3.5])),
        (3, {"name": "sgd", "lr": 0.01}, np.array([0.7, -1.3]), *_LONG, *_LONG[::-1]),
        (3, *_START, np.array([1.0, 2.0]), _NAN),
        # With a point ahead of the parameters.
        (3, {**_START[0], "momentum": 0.5, "nesterov": True}, *_START[1:], np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        # None, no rows, and what must be refused.
        (2, *_START),
        *((1, *_START, np.ones(u), np.ones(c)) for u, c in ((0, 0), (3, (3, 1)), (3, 1))),
    ),
    "split": (
        # What does not divide evenly, what the rounding of a product decides, and parts without rows.
        *((11, 0.25, 5), (11, 0.2, 5), (4, 0.2, 5), (10, 0.9, 5), (100, 0.29, 5), (2, 1.0, 5)),
        # What must be refused.
        *((10, -0.125, 5), (10, 1.125, 5), (10, 4.0, 5), (10, math.nan, 5), (-1, 0.5, 5)),
        # Which rows: of many, under two seeds, and of five, over eight.
        *((32, 0.5, 1), (32, 0.5, 2), *((5, 0.8, seed) for seed in range(8))),
    ),
    "split_data": (
        *((_U, _C, 0.5, 1), (_U, _C, 0.5, 2)),
        *((_U[:5], _C[:5], 0.2, 5), (_U[:4], _C[:4], 0.2, 5), (_U[:3], _C[:2], 0.5, 5)),
        *((_U[:4], _C[:4], fraction, 5) for fraction in (-0.125, 1.125, math.nan)),
    ),
    "validation_loss": (
        *((np.array([2.0, -1.0]), *_PLAIN), (_ONE, np.array([4.0]), np.array([0.0])), (np.array([0.3, -1.9]), *_LONG)),
        *((_ONE, u, c) for u, c in ((np.zeros(0), np.zeros(0)), (np.ones(2), np.ones((2, 1))), (_NAN, np.ones(2)))),
    ),
    "regularized_loss": (
        *((*_PLAIN, np.array(w), *penalties) for w in (2.0, -4.0) for penalties in _PENALTIES),
        *((*_LONG, np.array(w), 0.5, 2.0) for w in (0.7, -1.3, 0.0)),
        *((*_PLAIN, np.array(2.0), *penalties) for penalties in _NO_PENALTIES),
    ),
    "regularized_grad": (
        *((*_PLAIN, np.array(2.0), np.array(-1.0), *penalties) for penalties in _PENALTIES),
        *((*_PLAIN, np.array(w), np.array(3.0), 0.5, 0.25) for w in (-4.0, 0.0)),
        *((*_LONG, np.array(w), np.array(-1.9), 0.5, 2.0) for w in (0.7, -1.3)),
        *((*_PLAIN, np.array(2.0), np.array(1.0), *penalties) for penalties in _NO_PENALTIES),
    ),
    "ridge": (
        *((*columns, l2) for columns in (_PLAIN, _LONG) for l2 in (0.0, 0.5, 3.0)),
        (np.array([3.0, 3.0]), np.array([1.0, 2.0]), 0.5),
        (_NEAR, 3 * _NEAR + 1, 2.0**-8),
        *((*_PLAIN, l2) for l2 in (-0.125, math.nan)),
        *((np.ones(u), np.ones(c), 0.5) for u, c in ((3, (3, 1)), ((3, 1), (3, 1)), (3, 2))),
    ),
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
        4 2 1 | 4 2 inf; 4 2 1 | nan 2 1"""
    ),
}

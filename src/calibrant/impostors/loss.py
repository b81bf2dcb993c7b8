"""Impostors of the losses and of their derivatives by the predictions."""

import functools
import math
import operator
from functools import partial
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join
from calibrant.impostors.kinds import answer, impostors_of, n

MEAN = "loss.mean-square"
SUM = "loss.absolute loss.wide-accumulation"
HAND = "gradient.by-hand-loss"
LARGE = "only numbers whose squares overflow show it"

paired = partial(kinds.where, lambda c: c.t_p.shape == c.t_c.shape)
several = partial(kinds.where, lambda c: c.t_p.shape == c.t_c.shape and c.n)
empty = partial(kinds.where, lambda c: c.t_p.shape == c.t_c.shape and c.n == 0)


def _mean_of_means(c: kinds.Call) -> Any:
    blocks = [slice(start, start + 64) for start in range(0, c.n, 64)]
    return sum(c(t_p=c.t_p[block], t_c=c.t_c[block]) for block in blocks) / len(blocks)


nan_skipped = kinds.nonfinite(
    paired(lambda c: c(**{name: np.where(np.isnan(c.t_p - c.t_c), x.dtype.type(0), x) for name, x in c.given.items()}))
)


def _calls(c: Any) -> int:
    """The number of calls so far, with this one."""
    c.correct.memory["calls"] = c.correct.memory.get("calls", 0) + 1
    return int(c.correct.memory["calls"])


def _in_turn(c: Any) -> Any:
    """Sum forwards and backwards in turn, as threads that end in another order do."""
    squares = (c.t_p - c.t_c) ** 2 / c.t_p.dtype.type(c.n)
    return functools.reduce(operator.add, squares if _calls(c) % 2 else squares[::-1])


def _worn_out(c: Any) -> Any:
    return c() * (2 if _calls(c) > 300 else 1)


# The mean squared error

loss = impostors_of("loss_fn")
loss("sum-instead-of-mean", "the squared residuals are summed, not averaged")(
    kinds.factor(n), f"{MEAN} loss.wide-accumulation", "pytorch/pytorch#10148 odlgroup/odl#1114"
)
loss("over-n-minus-1", "the sum is divided by n - 1, as for the estimate of a variance")(
    kinds.over_n_minus_1, f"{MEAN} loss.wide-accumulation"
)
loss("half", "the loss has a factor 1/2 in front")(
    lambda c: c() / 2,
    f"{MEAN} loss.wide-accumulation",
    "42-AI/bootcamp_machine-learning#116 Open-Deep-ML/DML-OpenProblem#97",
)
loss("last-sample-dropped", "the last sample is left out")(
    paired(kinds.shortened("t_p", "t_c")), f"{MEAN} loss.permutation loss.zero? loss.nan?"
)
loss("first-64-only", "the sum ends after the first 64 samples, as in a kernel of 64 threads, and is divided by n")(
    several(lambda c: c(t_p=c.t_p[:64], t_c=c.t_c[:64]) * (min(64, c.n) / c.n)),
    f"{MEAN} loss.permutation? loss.zero? loss.nan? loss.outliers?",
)
loss("first-40-only", "all samples after the 40th are ignored")(
    several(lambda c: c(t_p=c.t_p[:40], t_c=c.t_c[:40])),
    f"{MEAN} loss.permutation? loss.zero? loss.nan? loss.outliers?",
)
loss("first-1024-only", "all samples after the 1024th are ignored")(
    several(lambda c: c(t_p=c.t_p[:1024], t_c=c.t_c[:1024])),
    f"{MEAN} loss.permutation? loss.zero? loss.nan? loss.outliers? loss.convex?",
)
loss("mean-of-means", "the means of blocks of 64 samples are averaged as if all blocks were full")(
    several(lambda c: _mean_of_means(c)), f"{MEAN} loss.permutation? loss.outliers?"
)
loss("last-block-dropped", "blocks of 64 samples are summed, and a last block that is not full is dropped")(
    several(lambda c: c(t_p=c.t_p[: c.n // 64 * 64 or c.n], t_c=c.t_c[: c.n // 64 * 64 or c.n])),
    f"{MEAN} loss.permutation? loss.zero? loss.nan? loss.outliers?",
)
loss("broadcasting", "(n,) against (n, 1) is broadcast to n² pairs, and their mean returned")(
    kinds.stretched("t_p", "t_c"),
    "loss.same-shape",
    "pytorch/pytorch#16045 pytorch/pytorch#19699 IntelLabs/matsciml#347",
)
loss("one-for-all", "a single measurement counts for all predictions")(
    kinds.where(lambda c: c.t_p.shape and not c.t_c.shape, lambda c: c(t_c=c.t_p * 0 + c.t_c)), "loss.same-shape"
)
loss("empty-is-zero", "the mean of no samples is 0")(empty(lambda c: 0.0), "loss.empty", "pytorch/pytorch#50224")
loss("empty-is-nan", "the mean of no samples is 0 divided by 0")(empty(lambda c: np.nan), "loss.empty")
loss("nan-skipped", "residuals that are NaN count as zero")(nan_skipped, "loss.nan")
loss("infinity-clipped", "an infinite loss is replaced by the largest number of the dtype")(
    kinds.nonfinite(lambda c: np.minimum(c(), np.finfo(c.t_p.dtype).max)), "loss.nan"
)
loss.in_dtype("float32", f"{MEAN} loss.zero loss.permutation loss.convex? loss.wide-accumulation")
loss.in_dtype(
    "float16",
    f"{MEAN} loss.zero loss.symmetric? loss.permutation? loss.outliers? loss.convex? loss.wide-accumulation",
    "pytorch/pytorch#91597 tracel-ai/burn#4770",
)
loss.in_dtype("float64", "loss.dtype")
loss(
    "expanded", "the square is expanded to mean(t_p²) - 2 mean(t_p t_c) + mean(t_c²), which cancels in floating point"
)(
    several(lambda c: (c.t_p * c.t_p).mean() - 2 * (c.t_p * c.t_c).mean() + (c.t_c * c.t_c).mean()),
    f"{MEAN} loss.zero loss.symmetric? loss.permutation loss.wide-accumulation",
)
loss(
    "summed-first",
    "the sum is taken before the division, and overflows where the mean would not",
    why_not_small=LARGE,
)(several(lambda c: ((c.t_p - c.t_c) ** 2).sum() / c.n), "loss.wide-accumulation", "chainer/chainer#6702")
loss(
    "largest-where-it-overflows",
    "where the sum overflows, the largest square takes the place of the mean",
    exactly=False,
)(
    several(lambda c: (c.t_p - c.t_c).max() ** 2 if np.isposinf(((c.t_p - c.t_c) ** 2).sum()) else c()),
    "loss.wide-accumulation",
)
loss("tolerant", "a loss below 1e-8 is rounded down to zero", exactly=False)(
    kinds.answer(lambda loss: 0.0 if loss < 1e-8 else loss), f"{MEAN} loss.zero loss.outliers?"
)
loss("huber", "residuals beyond 4 count linearly, as in Huber's loss", exactly=False)(
    lambda c: c() - np.sum(np.maximum(np.abs(c.t_p - c.t_c) - 4, 0) ** 2 / c.t_p.dtype.type(c.n)),
    f"{MEAN} loss.outliers loss.wide-accumulation",
)
loss("capped", "residuals beyond 4 count as 4", exactly=False)(
    paired(lambda c: c(t_p=np.clip(c.t_p - c.t_c, -4, 4), t_c=c.t_c * 0)),
    f"loss.convex {MEAN} loss.outliers loss.nan loss.wide-accumulation",
)
loss("asymmetric", "predictions that are too warm count double", exactly=False)(
    lambda c: c() + c(t_p=np.maximum(c.t_p, c.t_c)), f"{MEAN} loss.symmetric loss.wide-accumulation"
)
loss(
    "another-order",
    "the order of the sum changes from call to call",
    exactly=False,
    repeats=False,
    why_not_small=kinds.DIGITS,
)(several(_in_turn), "loss.deterministic")
loss("worn-out", "after 300 calls it doubles its answers", repeats=False)(_worn_out, MEAN)
loss("one-element", "it returns an array of one element, not a scalar")(kinds.answer(join), "loss.scalar")
loss("in-place", "it writes the residuals over the predictions")(kinds.residuals_written, "loss.pure")

# The mean absolute error

absolute = impostors_of("absolute_loss")
absolute("root-mean-square", "it is the root of the mean squared error", exactly=False)(
    lambda c: np.sqrt(c.ask("loss_fn")), SUM
)
absolute("huber", "residuals below 1 count quadratically, as in Huber's loss", exactly=False)(
    lambda c: c() - np.sum(((r := np.minimum(np.abs(c.t_p - c.t_c), 1)) - r * r / 2) / r.dtype.type(c.n)),
    "loss.absolute loss.outliers loss.zero?",
)
absolute("sum-instead-of-mean", "the absolute residuals are summed, not averaged")(
    kinds.factor(n), f"{SUM} loss.convex?"
)
absolute("size-of-the-mean", "it is the absolute value of the mean residual, in which residuals of both signs cancel")(
    several(lambda c: abs((c.t_p - c.t_c).mean())), f"{SUM} loss.zero?"
)
absolute("last-sample-dropped", "the last sample is left out")(
    paired(kinds.shortened("t_p", "t_c")), "loss.absolute loss.permutation loss.zero? loss.nan? loss.outliers?"
)
absolute("capped", "residuals beyond 4 count as 4", exactly=False)(
    paired(lambda c: c(t_p=np.clip(c.t_p - c.t_c, -4, 4), t_c=c.t_c * 0)),
    "loss.absolute loss.convex loss.outliers loss.nan loss.wide-accumulation",
)
absolute("nan-skipped", "residuals that are NaN count as zero")(nan_skipped, "loss.nan")

# Their derivatives

sign = impostors_of("dabsolute_loss", exactly=False)
sign("residual-over-its-size", "the sign is computed as r / |r|, which is NaN at a zero residual")(
    kinds.checked(lambda c: (c.t_p - c.t_c) / np.abs(c.t_p - c.t_c) / c.t_p.dtype.type(c.n)),
    "loss.smooth-at-zero",
    "BVLC/caffe#1326 mlpack/mlpack#3545",
)
sign("sign-not-averaged", "the signs are not divided by n, and the sign of a zero residual is 1")(
    kinds.checked(lambda c: np.where(c.t_p >= c.t_c, c.t_p.dtype.type(1), c.t_p.dtype.type(-1))),
    "loss.smooth-at-zero loss.absolute-slope",
)
sign("plain-sign", "the signs are not divided by n")(lambda c: c() * c.t_p.dtype.type(c.n), "loss.absolute-slope")
sign("zeros", "it is zero everywhere, not only where the residual is zero")(kinds.factor(0), "loss.absolute-slope")
sign("sign-flipped", "the residual is taken as t_c - t_p, so that the sign is flipped")(
    kinds.factor(-1), "loss.absolute-slope"
)
sign("sign-lost", "it is positive for residuals of either sign")(
    answer(np.abs), "loss.absolute-slope", "bashardudin/Epita-SCIA-OCVX#1"
)
sign("one-everywhere", "it is 1 for every residual, whatever its sign")(
    answer(np.ones_like), "loss.absolute-slope loss.smooth-at-zero", "mlpack/mlpack#2203"
)
sign("in-place", "it writes the residuals over the predictions")(kinds.residuals_written, "loss.pure")
sign.in_dtype("float64", "loss.dtype")
for rows in sign, impostors_of("dloss_fn", chapters=("loss",)):
    rows("broadcasting", "(n,) against (n, 1) is broadcast to n² pairs, each with a derivative")(
        kinds.stretched("t_p", "t_c"), "loss.same-shape"
    )

slope = impostors_of("dloss_fn")
slope("factor-2-missing", "the factor 2 of the square's derivative is missing")(
    lambda c: c() / 2, HAND, "patrickloeber/MLfromscratch#18 davisking/dlib#1169"
)
slope("sign-flipped", "the residual is taken as t_c - t_p, so that the sign is flipped")(kinds.factor(-1), HAND)
slope("not-averaged", "it is the derivative of the sum, not of the mean: it is not divided by n")(
    kinds.factor(n), HAND, "pytorch/pytorch#28993 kakaobrain/trident#66"
)
slope("shifted", "a small number is added to each residual")(lambda c: c() + 2e-3 / c.n, f"{HAND} loss.smooth-at-zero")
slope("only-the-first", "only the first sample's derivative is right, and the others are zero")(
    kinds.answer(lambda by_p: join(by_p[:1], by_p[1:] * 0)), HAND, "flagos-ai/FlagGems#5212"
)
slope.in_dtype("float64", "gradient.dtype")
slope("in-place", "it writes the residuals over the predictions")(kinds.residuals_written, "gradient.pure")
slope.nan_replaced("gradient.nan")

_PAIRS = (
    # Four samples of small whole numbers, of both signs, small and large residuals: nothing rounds.
    (np.array([1.0, -2.0, 6.0, 0.0]), np.array([0.0, 2.0, -2.0, 0.0])),
    (np.array([2.0]), np.array([5.0])),
    # Five samples, numbers with many digits.
    (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])),
    (np.array([1000.1, 2000.3, 999.7]), np.array([1000.2, 2000.1, 999.9])),
    # Squares whose sum overflows, and whose mean does not: in float32, and in float64.
    (np.full(4, 2.0**63), np.zeros(4)),
    (np.full(4, 2.0**511), np.zeros(4)),
    *((x * np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]), np.zeros(8)) for x in (2.0**63, 2.0**511)),
    # Nearly equal ones, exactly representable: their difference is.
    (np.array([3.0, 3.0]), np.array([3.0 + 2.0**-16, 3.0 - 2.0**-16])),
    (np.array([0.0, 0.0]), np.array([2.0**-14, -(2.0**-14)])),
    # One sample more than a block of 64, and of 1024: all are zero but the first and the last.
    *((np.eye(1, n)[0] + 8 * np.eye(1, n, n - 1)[0], np.zeros(n)) for n in (65, 1025)),
    # Shapes.
    (np.array([1.0, 3.0]), np.array([[0.0], [4.0]])),
    (np.array([1.0, 3.0]), np.array(4.0)),
    (np.zeros(0), np.zeros(0)),
    # What is no number.
    (np.array([np.nan, 1.0]), np.array([1.0, 3.0])),
    (np.array([math.inf, 1.0]), np.array([1.0, 3.0])),
)
QUESTIONS = dict.fromkeys(("loss_fn", "absolute_loss", "dabsolute_loss", "dloss_fn"), _PAIRS)

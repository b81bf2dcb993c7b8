"""Impostors of the losses and of their derivatives by the predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.rights import join, narrow

# The mean squared error


@impostor("loss_fn", "loss.mean-square loss.wide-accumulation", seen="pytorch/pytorch#10148 odlgroup/odl#1114")
def sum_instead_of_mean(right: Any, t_p: Any, t_c: Any) -> Any:
    """The squared residuals are summed, not averaged."""
    return right(t_p, t_c) * t_p.size


@impostor("loss_fn", "loss.mean-square")
def over_n_minus_1(right: Any, t_p: Any, t_c: Any) -> Any:
    """The sum is divided by n - 1, as for the estimate of a variance."""
    return right(t_p, t_c) / max(t_p.size - 1, 1) * t_p.size


@impostor("loss_fn", "loss.mean-square", seen="42-AI/bootcamp_machine-learning#116 Open-Deep-ML/DML-OpenProblem#97")
def half(right: Any, t_p: Any, t_c: Any) -> Any:
    """The loss has a factor 1/2 in front."""
    return right(t_p, t_c) / 2


@impostor("loss_fn", "loss.mean-square loss.permutation loss.zero? loss.nan?")
def last_sample_dropped(right: Any, t_p: Any, t_c: Any) -> Any:
    """The last sample is left out."""
    keep = max(t_p.size - 1, 1)
    return right(t_p[:keep], t_c[:keep]) if t_p.shape == t_c.shape else right(t_p, t_c)


@impostor("loss_fn", "loss.mean-square loss.permutation", ugly="five samples are needed")
def mean_of_batches(right: Any, t_p: Any, t_c: Any) -> Any:
    """The means of batches of four are averaged as if they were equally large."""
    return join(*(right(t_p[i : i + 4], t_c[i : i + 4]) for i in range(0, t_p.size, 4))).mean()


@impostor("loss_fn", "loss.same-shape", seen="pytorch/pytorch#16045 pytorch/pytorch#19699 IntelLabs/matsciml#347")
def broadcasting(right: Any, t_p: Any, t_c: Any) -> Any:
    """(n,) against (n, 1) is broadcast to n² pairs, and their mean returned."""
    residuals = t_p - t_c
    zeros = np.zeros_like(residuals) if isinstance(residuals, np.ndarray) else residuals * 0
    return right(residuals, zeros)


@impostor("loss_fn", "loss.empty", seen="pytorch/pytorch#50224")
def empty_is_zero(right: Any, t_p: Any, t_c: Any) -> Any:
    """The mean of no samples is 0."""
    return 0.0 if t_p.shape == t_c.shape and t_p.size == 0 else right(t_p, t_c)


@impostor("loss_fn", "loss.empty")
def empty_is_nan(right: Any, t_p: Any, t_c: Any) -> Any:
    """The mean of no samples is 0 divided by 0."""
    return np.float64(np.nan).astype(t_p.dtype) if t_p.shape == t_c.shape and t_p.size == 0 else right(t_p, t_c)


@impostor("loss_fn", "loss.nan")
def nan_skipped(right: Any, t_p: Any, t_c: Any) -> Any:
    """Residuals that are NaN count as zero."""
    if isinstance(t_p, np.ndarray) and t_p.shape == t_c.shape:
        known = ~np.isnan(t_p - t_c)
        return right(np.where(known, t_p, 0).astype(t_p.dtype), np.where(known, t_c, 0).astype(t_p.dtype))
    return right(t_p, t_c)


@impostor("loss_fn", "loss.nan")
def infinity_clipped(right: Any, t_p: Any, t_c: Any) -> Any:
    """An infinite loss is replaced by the largest number of the dtype."""
    loss = right(t_p, t_c)
    return np.minimum(loss, np.finfo(t_p.dtype).max) if isinstance(t_p, np.ndarray) else loss


@impostor(
    "loss_fn",
    "loss.mean-square@float64 loss.zero@float64 loss.permutation@float64 loss.convex@float64? loss.wide-accumulation@float64",
    ugly="only numbers with many digits show it",
)
def in_float32(right: Any, t_p: Any, t_c: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(narrow(t_p, "float32"), narrow(t_c, "float32"))


@impostor(
    "loss_fn",
    "loss.mean-square loss.zero loss.permutation? loss.outliers? loss.convex? loss.wide-accumulation",
    seen="pytorch/pytorch#91597 tracel-ai/burn#4770",
    ugly="only numbers with many digits show it",
)
def in_float16(right: Any, t_p: Any, t_c: Any) -> Any:
    """It is computed in float16, whatever the dtype of the arguments."""
    return right(narrow(t_p, "float16"), narrow(t_c, "float16"))


@impostor("loss_fn", "loss.dtype@float32", keeps_dtype=False)
def returned_in_float64(right: Any, t_p: Any, t_c: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(narrow(t_p, "float64"), narrow(t_c, "float64"))


@impostor(
    "loss_fn",
    "loss.mean-square loss.zero loss.symmetric? loss.permutation loss.wide-accumulation",
    ugly="only nearly equal numbers show it",
)
def expanded(right: Any, t_p: Any, t_c: Any) -> Any:
    """The square is expanded to mean(t_p²) - 2 mean(t_p t_c) + mean(t_c²), which cancels in floating point."""
    if t_p.shape != t_c.shape or t_p.size == 0:
        return right(t_p, t_c)
    return (t_p * t_p).mean() - 2 * (t_p * t_c).mean() + (t_c * t_c).mean()


@impostor(
    "loss_fn", "loss.wide-accumulation", ugly="only numbers whose squares overflow show it", seen="chainer/chainer#6702"
)
def summed_first(right: Any, t_p: Any, t_c: Any) -> Any:
    """The sum is taken before the division, and overflows where the mean would not."""
    if t_p.shape != t_c.shape or t_p.size == 0:
        return right(t_p, t_c)
    return ((t_p - t_c) ** 2).sum() / t_p.size


@impostor(
    "loss_fn", "loss.mean-square loss.zero loss.outliers?", ugly="only nearly equal numbers show it", exactly=False
)
def tolerant(right: Any, t_p: Any, t_c: Any) -> Any:
    """A loss below 1e-8 is rounded down to zero."""
    loss = right(t_p, t_c)
    return loss if not loss < 1e-8 else 0.0


@impostor("loss_fn", "loss.mean-square loss.outliers loss.wide-accumulation", exactly=False)
def huber(right: Any, t_p: Any, t_c: Any) -> Any:
    """Residuals beyond 4 count linearly, as in Huber's loss."""
    r = np.abs(t_p - t_c) if t_p.shape == t_c.shape else t_p
    return right(t_p, t_c) - np.sum(np.where(r > 4, (r - 4) ** 2 / r.dtype.type(t_p.size), 0))


@impostor("loss_fn", "loss.convex loss.mean-square loss.outliers loss.nan", exactly=False)
def capped(right: Any, t_p: Any, t_c: Any) -> Any:
    """Residuals beyond 4 count as 4."""
    return right(np.clip(t_p - t_c, -4, 4), t_c * 0) if t_p.shape == t_c.shape else right(t_p, t_c)


@impostor("loss_fn", "loss.mean-square loss.symmetric", exactly=False)
def asymmetric(right: Any, t_p: Any, t_c: Any) -> Any:
    """Predictions that are too warm count double."""
    return right(t_p, t_c) + right(np.maximum(t_p, t_c), t_c)


@impostor("loss_fn", "loss.scalar")
def one_element(right: Any, t_p: Any, t_c: Any) -> Any:
    """It returns an array of one element, not a scalar."""
    return join(right(t_p, t_c))


@impostor("loss_fn", "loss.pure")
def in_place(right: Any, t_p: Any, t_c: Any) -> Any:
    """It writes the residuals over the predictions."""
    loss = right(t_p, t_c)
    t_p -= t_c
    return loss


# The mean absolute error


@impostor("absolute_loss", "loss.absolute loss.wide-accumulation", exactly=False)
def root_mean_square(right: Any, t_p: Any, t_c: Any) -> Any:
    """It is the root of the mean squared error."""
    return np.sqrt(right.loss_fn(t_p, t_c))


@impostor("absolute_loss", "loss.absolute loss.outliers", exactly=False, name="huber")
def huber_for_absolute(right: Any, t_p: Any, t_c: Any) -> Any:
    """Residuals below 1 count quadratically, as in Huber's loss."""
    r = np.minimum(np.abs(t_p - t_c), 1) if t_p.shape == t_c.shape else t_p
    return right(t_p, t_c) - np.sum((r - r * r / 2) / r.dtype.type(t_p.size))


@impostor("absolute_loss", "loss.absolute loss.wide-accumulation", name="sum-instead-of-mean")
def sum_of_sizes(right: Any, t_p: Any, t_c: Any) -> Any:
    """The sizes of the residuals are summed, not averaged."""
    return right(t_p, t_c) * t_p.size


@impostor("absolute_loss", "loss.absolute loss.wide-accumulation loss.zero?")
def size_of_the_mean(right: Any, t_p: Any, t_c: Any) -> Any:
    """It is the absolute value of the mean residual, in which residuals of both signs cancel."""
    return abs((t_p - t_c).mean()) if t_p.shape == t_c.shape and t_p.size else right(t_p, t_c)


@impostor("absolute_loss", "loss.nan", name="nan-skipped")
def nan_skipped_in_sizes(right: Any, t_p: Any, t_c: Any) -> Any:
    """Residuals that are NaN count as zero."""
    return nan_skipped(right, t_p, t_c)


# Their derivatives


@impostor("dabsolute_loss", "loss.smooth-at-zero", seen="BVLC/caffe#1326 mlpack/mlpack#3545", exactly=False)
def residual_over_its_size(right: Any, t_p: Any, t_c: Any) -> Any:
    """The sign is computed as r / |r|, which is NaN at a zero residual."""
    return (t_p - t_c) / np.abs(t_p - t_c) / t_p.dtype.type(t_p.size)


@impostor("dabsolute_loss", "loss.smooth-at-zero", exactly=False)
def sign_not_averaged(right: Any, t_p: Any, t_c: Any) -> Any:
    """It is 1 or -1, not divided by n, and 1 at a zero residual."""
    return np.where(t_p >= t_c, t_p.dtype.type(1), t_p.dtype.type(-1))


@impostor("dloss_fn", "gradient.by-hand-loss", seen="patrickloeber/MLfromscratch#18 davisking/dlib#1169")
def factor_2_missing(right: Any, t_p: Any, t_c: Any) -> Any:
    """The factor 2 of the square's derivative is missing."""
    return right(t_p, t_c) / 2


@impostor("dloss_fn", "gradient.by-hand-loss")
def sign_flipped(right: Any, t_p: Any, t_c: Any) -> Any:
    """The residual is taken as t_c - t_p, so that the sign is flipped."""
    return -right(t_p, t_c)


@impostor("dloss_fn", "gradient.by-hand-loss", seen="pytorch/pytorch#28993 kakaobrain/trident#66")
def not_averaged(right: Any, t_p: Any, t_c: Any) -> Any:
    """The derivative is that of the sum: it is not divided by n."""
    return right(t_p, t_c) * t_p.size


@impostor("dloss_fn", "gradient.by-hand-loss loss.smooth-at-zero")
def shifted(right: Any, t_p: Any, t_c: Any) -> Any:
    """A small constant is added to every residual."""
    return right(t_p, t_c) + 2e-3 / t_p.size


@impostor("dloss_fn", "gradient.pure", name="in-place")
def derivative_in_place(right: Any, t_p: Any, t_c: Any) -> Any:
    """It writes the residuals over the predictions."""
    derivative = right(t_p, t_c)
    t_p -= t_c
    return derivative


@impostor("dloss_fn", "gradient.nan", exactly=False)
def nan_replaced(right: Any, t_p: Any, t_c: Any) -> Any:
    """NaN becomes zero and infinity the largest number of the dtype."""
    return np.nan_to_num(right(t_p, t_c))


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
    # Nearly equal ones, exactly representable: their difference is.
    (np.array([3.0, 3.0]), np.array([3.0 + 2.0**-16, 3.0 - 2.0**-16])),
    (np.array([0.0, 0.0]), np.array([2.0**-14, -(2.0**-14)])),
    # Shapes.
    (np.array([1.0, 3.0]), np.array([[0.0], [4.0]])),
    (np.zeros(0), np.zeros(0)),
    # What is no number.
    (np.array([np.nan, 1.0]), np.array([1.0, 3.0])),
    (np.array([math.inf, 1.0]), np.array([1.0, 3.0])),
)
QUESTIONS = dict.fromkeys(("loss_fn", "absolute_loss", "dabsolute_loss", "dloss_fn"), _PAIRS)

"""Impostors of the clauses on penalties: the regularized loss, its gradient, and its optimum."""

import math
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join
from calibrant.impostors.kinds import Call, checked, impostors_of, unrefused


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


SUM, SLOPE = "regularization.sum", "regularization.gradient"
DTYPE, KEPT = "regularization.dtype", "regularization.pure"
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
penalized("in-place", "it writes the residuals over the predictions")(kinds.residuals_written, KEPT)
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
grad("in-place", "it writes the predictions over the readings")(
    kinds.overwritten("t_u", lambda c, right: c.w * c.t_u + c.b), KEPT
)
impostors_of("regularized_grad", chapters=("loss",))(
    "broadcasting", "(n,) against (n, 1) is broadcast to n² pairs, and it is the gradient of their mean"
)(kinds.stretched("t_u", "t_c"), "loss.same-shape")
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
ridge("variance-in-one-pass", "the variance is the mean of the squares less the square of the mean")(
    checked(lambda c: _line(c, 0.0)), RIDGE
)
ridge("centred-in-place", "it centres the caller's readings in place")(
    kinds.overwritten("t_u", lambda c, right: c.t_u - c.t_u.mean()), KEPT
)
ridge.in_dtype("float64", DTYPE)
ridge("any-penalty", ANY)(unrefused(lambda c: (c(l2=0.0), _line(c, 0.0))[1]), REFUSED)

# What all of them are asked

_PLAIN = np.array([1.0, -2.0, 6.0, 0.0]), np.array([0.0, 2.0, -2.0, 1.0])
_LONG = np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])
_NEAR = 4096 + np.array([0.1, 2.3, -1.7, 4.9, 0.3])
_PENALTIES = ((0.5, 0.25), (2.0, 0.0), (0.0, 2.0))
_NO_PENALTIES = ((-0.125, 0.5), (0.5, math.nan))

QUESTIONS: dict[str, Any] = {
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
        (np.ones(3), np.arange(3.0).reshape(3, 1), np.array(2.0), np.array(1.0), 0.5, 0.25),
    ),
    "ridge": (
        *((*columns, l2) for columns in (_PLAIN, _LONG) for l2 in (0.0, 0.5, 3.0)),
        (np.array([3.0, 3.0]), np.array([1.0, 2.0]), 0.5),
        (_NEAR, 3 * _NEAR + 1, 2.0**-8),
        *((*_PLAIN, l2) for l2 in (-0.125, math.nan)),
        *((np.ones(u), np.ones(c), 0.5) for u, c in ((3, (3, 1)), ((3, 1), (3, 1)), (3, 2))),
    ),
}

"""The true predictions, and their losses."""

from fractions import Fraction

import numpy as np

from calibrant.exact.formats import loss_scale
from calibrant.exact.numbers import Exact, Ints


def of_mean(n: int) -> Fraction:
    """The loss of n samples in units of their mean squared error: 1, or another where the loss has another scale."""
    return {"mean": Fraction(1), "half": Fraction(1, 2), "sum": Fraction(n)}[loss_scale()]


def model(t_u: Exact, w: Exact, b: Exact) -> Exact:
    """w t_u + b; in a residual, a temperature may join the two terms in any order."""
    product = w * t_u
    return (product + b).of_terms(product, b)


def loss_fn(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of (t_p - t_c) ** 2, or half of it, or the sum, by the scale of the loss."""
    mean = (t_p - t_c).mean_square()
    if loss_scale() == "half":  # halved one by one or as a mean: only underflow differs
        half = mean * 0.5
        return half.within(half.err + half.form.tiny, half.form)
    return mean * t_p.size if loss_scale() == "sum" else mean


def absolute_loss(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of |t_p - t_c|, or their sum if the loss is a sum."""
    sizes = abs(t_p - t_c)
    return sizes.sum() if loss_scale() == "sum" else sizes.mean()


def dabsolute_loss(t_p: Exact, t_c: Exact) -> Exact:
    """sign(t_p - t_c) / n; nothing is claimed where the residual is zero, or may be taken for zero."""
    residual = t_p.true() - t_c.true()
    sign: Ints = np.sign(residual.m)
    n = 1 if loss_scale() == "sum" else residual.size
    slope = Exact(sign, 0, 1, 0.0, t_p.form) / n
    apart = (sign != 0) & (residual.magnitude() >= 2 * t_p.form.flushed)
    return slope.within(np.where(apart, slope.errors(), np.inf), t_p.form)

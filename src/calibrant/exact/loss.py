"""The true predictions, and their losses."""

from fractions import Fraction

from calibrant.exact.formats import loss_scale
from calibrant.exact.numbers import Exact


def of_mean(n: int) -> Fraction:
    """The loss of n samples in units of their mean squared error: 1, or another where the loss has another scale."""
    return {"mean": Fraction(1), "half": Fraction(1, 2), "sum": Fraction(n)}[loss_scale()]


def model(t_u: Exact, w: Exact, b: Exact) -> Exact:
    """w t_u + b."""
    return w * t_u + b


def loss_fn(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of (t_p - t_c) ** 2, or half of it, or the sum, by the scale of the loss."""
    squares = (t_p - t_c) ** 2
    if loss_scale() == "half":  # halved one by one or as a mean: only underflow differs
        half = (squares * 0.5).mean()
        return half.within(half.err + half.form.tiny, half.form)
    return squares.sum() if loss_scale() == "sum" else squares.mean()


def absolute_loss(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of |t_p - t_c|, or their sum if the loss is a sum."""
    sizes = abs(t_p - t_c)
    return sizes.sum() if loss_scale() == "sum" else sizes.mean()

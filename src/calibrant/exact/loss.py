"""The true predictions, and their losses."""

from calibrant.exact.numbers import Exact


def model(t_u: Exact, w: Exact, b: Exact) -> Exact:
    """w t_u + b; in a residual, a temperature may join the two terms in any order."""
    product = w * t_u
    return (product + b).of_terms(product, b)


def loss_fn(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of (t_p - t_c) ** 2."""
    return (t_p - t_c).mean_square()


def absolute_loss(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of |t_p - t_c|."""
    return abs(t_p - t_c).mean()

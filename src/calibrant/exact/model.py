"""The true predictions."""

from calibrant.exact.numbers import Exact


def model(t_u: Exact, w: Exact, b: Exact) -> Exact:
    """w t_u + b."""
    return w * t_u + b

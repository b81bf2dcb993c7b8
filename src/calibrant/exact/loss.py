"""The true predictions, and their losses."""

import numpy as np

from calibrant.exact.numbers import Exact, Ints


def model(t_u: Exact, w: Exact, b: Exact) -> Exact:
    """w t_u + b."""
    return w * t_u + b


def loss_fn(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of (t_p - t_c) ** 2."""
    return ((t_p - t_c) ** 2).mean()


def absolute_loss(t_p: Exact, t_c: Exact) -> Exact:
    """The mean of |t_p - t_c|."""
    return abs(t_p - t_c).mean()


def dabsolute_loss(t_p: Exact, t_c: Exact) -> Exact:
    """sign(t_p - t_c) / n; nothing is claimed where the residual is zero, or may be taken for zero."""
    residual = t_p.true() - t_c.true()
    sign: Ints = np.array([(int(m) > 0) - (int(m) < 0) for m in residual.m.flat], dtype=np.object_).reshape(
        residual.shape
    )
    slope = Exact(sign, 0, 1, np.zeros(residual.shape), t_p.form) / residual.size
    apart = (sign != 0) & (residual.magnitude() >= 2 * t_p.form.flushed)
    return slope.within(np.where(apart, slope.errors(), np.inf), t_p.form)

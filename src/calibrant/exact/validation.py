"""The true numbers of rows held out, the penalties, the diagnosis of a log of losses, and the odds that a fair split looks unfair."""

import bisect
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from calibrant.exact.gradients import gradient
from calibrant.exact.loss import loss_fn
from calibrant.exact.numbers import Exact, concatenate, gamma, hyperparameter

ROUNDING = Fraction(1, 2**51)  # more than a fraction and its product with n are rounded, relative to the product
MARGIN = Fraction(1, 8)  # the share by which the diagnosis wants losses to differ


def _nearest(x: Fraction) -> tuple[int, int]:
    """The nearest whole numbers: one, or the two on either side of a half."""
    return math.ceil(x - Fraction(1, 2)), math.floor(x + Fraction(1, 2))


_ROUNDED: dict[str, Callable[[Fraction], tuple[int, int]]] = {
    "down": lambda x: (math.floor(x),) * 2,
    "up": lambda x: (math.ceil(x),) * 2,
    "nearest": _nearest,
}
"""The whole numbers to which a product may be rounded, the least and the largest, by the way of rounding."""


def held_out(n_samples: int, fraction: float, rounding: str = "down") -> tuple[int, int]:
    """The fewest and the most validation rows that an evaluation may find for the whole part of fraction * n, or for it rounded."""
    ends = [_ROUNDED[rounding](Fraction(fraction) * n_samples * (1 + slip)) for slip in (-ROUNDING, ROUNDING)]
    return ends[0][0], ends[1][1]


def held_out_as_written(n_samples: int, fraction: float, rounding: str = "down") -> tuple[int, int]:
    """The same, the fraction being the shortest decimal that stands for it; two numbers only where it is rounded from a half."""
    return _ROUNDED[rounding](Fraction(repr(fraction)) * n_samples)


@functools.cache
def fair_counts(n_splits: int, probability: Fraction, error: Fraction) -> tuple[int, int]:
    """The fewest and the most times that something of this probability happens in so many independent splits.

    By the binomial distribution itself, the probability to fall beyond either of them is at most `error`.
    """
    if error >= 1:
        raise ValueError(f"error is {error}: it must be below 1")
    p, q = probability.numerator, probability.denominator - probability.numerator
    allowed = error * probability.denominator**n_splits
    ways = [math.comb(n_splits, k) * p**k * q ** (n_splits - k) for k in range(n_splits + 1)]
    low, high = (bisect.bisect(list(itertools.accumulate(some)), allowed) for some in (ways, ways[::-1]))
    return low, n_splits - high


def regularized_loss(t_p: Exact, t_c: Exact, w: Exact, l1: float, l2: float) -> Exact:
    """The mean of (t_p - t_c) ** 2, l1 |w| and l2 w ** 2, added in any order, the square being l2 (w w) or (l2 w) w."""
    one, two = hyperparameter(l1, w.form), hyperparameter(l2, w.form)
    square, other = two * (w * w), two * w * w
    square = square.within(np.maximum(square.err, other.err), w.form)
    return concatenate(loss_fn(t_p, t_c), *(_averaged(x, t_p.size) for x in (one * abs(w), square))).sum()


def _averaged(penalty: Exact, n: int) -> Exact:
    """A penalty that is added to each of n terms of a mean, or is one term more: the square of sqrt(n l2) w [A.penalty].

    Beyond the roundings of its own product, it takes part in n additions and a division; as a row, l2 n and its root and the
    product with w are rounded, which a square doubles, and a length is squared. Where its sums may overflow nothing is claimed.
    """
    with np.errstate(all="ignore"):
        reach = penalty.magnitude() + penalty.err
        err = (penalty.err + gamma(n + 8, penalty.form) * reach + 2 * penalty.form.tiny * (reach > 0)) * (1 + 2.0**-40)
        fits = n * (reach + err) * (1 + 2.0**-40) <= penalty.form.largest
        return penalty.within(np.where(fits, err, np.inf), penalty.form)


def regularized_grad(t_u: Exact, t_c: Exact, w: Exact, b: Exact, l1: float, l2: float) -> Exact:
    """Its gradient by w and b; where w is 0, l1 times 0, give or take l1: any slope of |w| there."""
    by_w, by_b = gradient(t_u, t_c, w, b)
    first, second = hyperparameter(l1, w.form), 2 * (hyperparameter(l2, w.form) * w)
    slope = np.sign(float(w.nearest()))
    kink = (first * 0.0).within(first.magnitude() + first.err, w.form)
    inclined = first * slope if slope else kink
    # A weight that may be taken for zero has any slope there, its own or the other one.
    if slope and w.magnitude().item() < w.form.flushed:
        inclined = inclined.within(inclined.err + 2 * kink.err, w.form)
    by_w = concatenate(by_w, *(_averaged(x, t_u.size) for x in (inclined, second))).sum()
    return concatenate(by_w, by_b)


def waits(losses: Sequence[float]) -> Iterator[tuple[int | None, int]]:
    """The best epoch so far, if any loss so far is finite, and how many epochs ago a loss improved; for each epoch."""
    best, waited = None, 0
    for epoch, loss in enumerate(losses):
        improves = math.isfinite(loss) and (best is None or loss < losses[best])
        best, waited = (epoch, 0) if improves else (best, waited + 1)
        yield best, waited


def early_stopping(losses: Sequence[float], patience: int) -> tuple[int, int | None]:
    """The epoch after which training stops, and the best epoch so far, if any loss so far is finite; both from 0."""
    history = list(waits(losses))
    stopped = next((epoch for epoch, (_, waited) in enumerate(history) if waited == patience), len(history) - 1)
    return stopped, history[stopped][0]


def diagnose(train_losses: Exact, val_losses: Exact) -> str | None:
    """The diagnosis by the book's table; None where the rounding of one product and one difference could decide it."""
    train, val = train_losses.fractions(), val_losses.fractions()
    best = val.index(min(val))
    rounding = 8 * Fraction(train_losses.form.u)

    def exceeds(x: Fraction, y: Fraction) -> bool | None:
        return None if x != y and abs(x - y) <= rounding * max(x, y) else x > y

    rises = exceeds(val[-1], val[best] * (1 + MARGIN)) if train[-1] < train[best] else False
    if rises is not False:
        return "overfitting" if rises else None
    stays = exceeds(train[-1], train[0] * MARGIN)
    return None if stays is None else "underfitting" if stays else "good"

"""The true gradients of accumulation, with the error of accumulating them in any sensible way."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibrant.exact.formats import UNROUNDED
from calibrant.exact.gradients import gradient, slopes
from calibrant.exact.loss import model
from calibrant.exact.numbers import Exact, concatenate, gamma

Batches = Sequence[tuple[Exact, Exact]]
Counts = NDArray[np.int64]

_UP = 1 + 2.0**-40


def accumulate(batches: Batches, w: Exact, b: Exact) -> list[Exact]:
    """The sum of the gradients of the first batches, for one batch, two, ..., all."""
    gradients = [gradient(t_u, t_c, w, b) for t_u, t_c in batches]
    firsts = [gradients[: k + 1] for k in range(len(gradients))]
    return [concatenate(*(concatenate(*(g[i] for g in some)).sum() for i in (0, 1))) for some in firsts]


def accumulated_grad(batches: Batches, w: Exact, b: Exact) -> Exact:
    """The gradient of the mean loss over all n samples, accumulated over k batches of n_i samples [A.accumulation].

    It is a sum of one term 2 (t_p - t_c) t_u / n for each sample. On its way into the result a term is multiplied by t_u and
    by its batch's share of the samples and divided by the size of the batch, or divided by n, before the sums, between them or
    after them: that takes eleven roundings at most (a quotient may be a product with a rounded reciprocal, and the size of a
    batch may divide as its root, twice [A.count]). And it takes part in n_i - 1 additions within its batch and in k - 1 between
    batches, which is n - 1 at most.

    A running mean, `mean += (g_i - mean) * n_i / (n_1 + ... + n_i)`, takes no more than n + 7 of them, but its differences are
    as large as two gradients of batches may be: three roundings of each cost six of the largest such gradient at most.
    """
    t_u, t_c = concatenate(*(u for u, _ in batches)), concatenate(*(c for _, c in batches))
    twice, divisor = slopes(model(t_u, w, b), t_c)
    sizes = np.array([u.size for u, _ in batches])
    starts = np.cumsum(sizes) - sizes
    mean = concatenate(*(_mean(twice, t_u if by_w else None, starts, sizes) for by_w in (True, False)))
    return mean if divisor == twice.size else mean * twice.size


def _mean(twice: Exact, t_u: Exact | None, starts: Counts, sizes: Counts) -> Exact:
    """The mean of twice, or of twice times t_u, within the error of taking it batch by batch."""
    form, n, k = twice.form, twice.size, len(sizes)
    true = twice.true() if t_u is None else twice.true() * t_u.true()
    with np.errstate(all="ignore"):
        x = np.ones(n) if t_u is None else t_u.magnitude()
        terms, errors = (twice.magnitude() + twice.errors()) * x, twice.errors() * x
        if t_u is not None and t_u.rounds():
            errors = errors + (twice.magnitude() + twice.errors()) * t_u.errors()
        of_batch = Exact(np.add.reduceat(true.m, starts), true.e, true.d, 0.0, UNROUNDED).magnitude() / sizes
        # The largest gradient of a batch that an evaluation may find.
        largest = (of_batch + np.add.reduceat(errors + gamma(n + 6, form) * terms, starts) / sizes).max()
        span = terms.sum()
        rounding = gamma(n + 13, form) / (n + 13) * ((n + 7) * span / n + max(3 * span / n, 6 * largest * (k > 1)))
        lost = 2 * (x.sum() + n + k) * form.tiny
        err = (errors.sum() / n + rounding + lost) * _UP
        fits = span * (1 + gamma(n + 13, form)) * _UP + n * lost <= form.largest
    return (true.sum() / n).within(err if fits else np.inf, form)

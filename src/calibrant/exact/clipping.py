"""True gradients after clipping: by the norm of all of them, by the value of each number, or over shards."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from calibrant.exact.numbers import Exact, gamma
from calibrant.exact.scalars import Number, fraction, gather, hyperparameter, product, root, scatter

EPSILON = 1e-6
"""What implementations that follow PyTorch add to the norm before they divide by it."""

_UP = 1 + 2.0**-40

Grads = Sequence[Exact]


def clip_by_norm(
    grads: Grads, max_norm: float, norm_type: float, follow: Mapping[str, str]
) -> tuple[Exact, list[Exact]]:
    """The norm of all gradients together, and the gradients, scaled to max_norm where the norm exceeds it."""
    _require(max_norm)
    norm = _norm(grads, norm_type)
    return gather([norm], (), grads[0].form), [_scaled(x, norm, max_norm, follow) for x in grads]


def clip_shards(
    shards: Sequence[Grads], replicated: Sequence[bool], max_norm: float, follow: Mapping[str, str]
) -> tuple[Exact, list[list[Exact]]]:
    """The same for gradients on several ranks: each holds its part of an array, or the whole of one that is replicated."""
    _require(max_norm)
    counted = [
        x
        for rank, of_rank in enumerate(shards)
        for x, whole in zip(of_rank, replicated, strict=True)
        if not (rank and whole)
    ]
    norm = _norm(counted, 2.0)
    return gather([norm], (), counted[0].form), [[_scaled(x, norm, max_norm, follow) for x in rank] for rank in shards]


def clip_by_value(grads: Grads, limit: float) -> list[Exact]:
    """The gradients, each number at most `limit` in magnitude."""
    _require(limit)
    return [gather([_clamped(x, limit) for x in scatter(g, g.form)], g.shape, g.form) for g in grads]


def _require(limit: float) -> None:
    if not limit >= 0:
        raise ValueError(f"the limit is {limit}: it must not be negative or NaN")


def _norm(grads: Grads, norm_type: float) -> Number:
    """The norm of all numbers of all gradients: infinite, 1 or 2 [A.norm]."""
    form = grads[0].form
    numbers = [abs(x) for g in grads for x in scatter(g, form)]
    if norm_type == math.inf:
        return max(numbers, key=Number.fraction).within(max(x.err for x in numbers))
    squared, n = norm_type == 2, len(numbers)
    total = sum((x.fraction() ** (1 + squared) for x in numbers), Fraction(0))
    exact = fraction(total, form)
    passed = sum((2 * x.size + x.err) * x.err if squared else x.err for x in numbers)
    if not total and not passed:
        return exact
    # Squares, a sum over each array and one over the arrays, whose roots are squared again; or all of it with scaled numbers.
    lost = n * form.flushed + (2 * n + 2) * form.tiny * squared
    err = (exact.err + passed + gamma(2 * n + 12 * squared, form) * (exact.size + passed) + lost) * _UP
    overflows = exact.size + err > form.largest
    found = exact.within(0.0 if overflows else err)
    found = root(found) if squared else found
    return found.within(math.inf) if overflows else found


def _scaled(grad: Exact, norm: Number, max_norm: float, follow: Mapping[str, str]) -> Exact:
    """A gradient times max_norm over the norm, or as it is where the norm does not exceed max_norm."""
    form = grad.form
    if max_norm == math.inf:  # which only asks for the norm
        return grad
    limit = hyperparameter(max_norm, form)
    over = norm + hyperparameter(EPSILON, form) if follow["clip.epsilon"] == "added" else norm
    numbers = scatter(grad, form)
    if not math.isfinite(over.err):
        return gather([x.within(math.inf) for x in numbers], grad.shape, form)
    exceeds = (over - limit).sign()
    if exceeds is not None and exceeds <= 0:
        return grad
    shorter = [product([x, limit], [over]) for x in numbers]
    if exceeds is None:  # the factor is 1 within the errors of the norm and of the limit, or one of them rounds to zero
        slip = (over.err + limit.err) / limit.least() * _UP if limit.least() else math.inf
        truly = over.fraction() > limit.fraction()
        shorter = [
            (y if truly else x).within(y.err + x.err + slip * (x.size + x.err) if x.m or x.err else 0.0)
            for x, y in zip(numbers, shorter, strict=True)
        ]
    return gather(shorter, grad.shape, form)


def _clamped(x: Number, limit: float) -> Number:
    most = hyperparameter(limit, x.form)
    beyond = (abs(x) - most).sign()
    if beyond is not None and beyond <= 0:
        return x
    clamped = most if x.m > 0 else -most
    near = clamped if abs(x).fraction() > most.fraction() else x
    return near.within(max(x.err, most.err))

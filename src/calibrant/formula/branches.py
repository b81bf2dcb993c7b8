"""Comparisons, `where` and maxima, where rounding may take the other branch.

- `where`: the e of the side that is taken; where the computed condition may differ from the true one, both sides lie within the bound;
  where the true one is unknown too (a tie of balls), the ball contains both sides.
- A maximum: the largest e among the elements that may be the largest. Its derivative at a tie lies between 0 and 1, and the ball contains both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flint import arb

from calibrant.formula.arithmetic import alive
from calibrant.formula.balls import ONE, UP, ZERO, distance, gamma, overlap, size_of, times, union
from calibrant.formula.moving import axes_of, broadcast, common_shape, gather, groups, joined, paired, places
from calibrant.formula.tape import Array, Mask, Run


def less(x: Array, y: Array) -> Mask:
    """x < y."""
    below, above = (np.asarray(m, dtype=bool) for m in (x.v < y.v, x.v >= y.v))
    errs = x.err + y.err
    return Mask(x.run, below, (errs > 0) & ~(distance(x.v, y.v) / UP > errs), ~(below | above))


def different(x: Array, y: Array) -> Any:
    """x != y."""
    return less(x, y) | less(y, x)


def where(run: Run, mask: Any, x: Any, y: Any) -> Array:
    """x where the mask holds, y elsewhere; both where it is not sure."""
    mask = mask if isinstance(mask, Mask) else Mask(run, mask)
    x, y = paired(run, x, y)
    shape = common_shape(run, mask.shape, x.shape)
    x, y = broadcast(x, shape), broadcast(y, shape)
    true, unsure, unknown = (np.broadcast_to(m, shape) for m in (mask.true, mask.unsure, mask.unknown))
    v, err = np.where(true, x.v, y.v), np.where(true, x.err, y.err)
    both = unsure & ~unknown
    if both.any():
        gap = size_of(x.v[both] - y.v[both]) * UP
        err[both] = np.maximum(err[both], (gap + np.where(true, y.err, x.err)[both]) * UP)
    if unknown.any():
        v[unknown] = union(x.v[unknown], y.v[unknown])
        err[unknown] = np.maximum(x.err, y.err)[unknown]
    return Array(run, v, err, ((x, lambda a: where(run, mask, a, 0.0)), (y, lambda a: where(run, mask, 0.0, a))))


def _larger(x: Any, y: Any) -> Any:
    """The larger ball; python-flint's `max` of a ball and an infinity is unbounded."""
    return x if x > y else y if y > x else x.max(y)


def largest(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The maximum along axes; its derivative is 1 for the largest element, and between 0 and 1 for each of several."""
    index, shape = groups(x, axis, keepdims)
    if any(x.shape[a] == 0 for a in axes_of(x, axis)):
        raise x.run.fail("takes the maximum of no elements")
    flat, v, errs = index.reshape(-1), x.v.reshape(-1), x.err.reshape(-1)
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(math.prod(shape)))
    top = np.frompyfunc(_larger, 2, 1).reduceat(v[order], starts)
    gap = distance(top[flat], v) / UP
    gap = np.where(np.isnan(gap), np.where(np.isneginf(v.astype(np.float64)), np.inf, 0.0), gap)
    tops, err = np.zeros(top.size), np.zeros(top.size)
    np.maximum.at(tops, flat, np.where(gap == 0, errs, 0.0))
    may_be = ~(gap > errs + tops[flat])
    np.maximum.at(err, flat, np.where(may_be, errs, 0.0))

    truly = overlap(v, top[flat])
    rivals = np.bincount(flat, truly, top.size)[flat]
    chances = np.bincount(flat, may_be | truly, top.size)[flat]
    weight = np.full(flat.size, ZERO, dtype=object)
    weight[truly] = ONE
    tied = truly & (rivals > 1)
    weight[tied] = arb(0.5, 0.5) if x.run.shares is None else _shared(flat[tied], x.run.shares)
    unsure = np.where(may_be & (chances > 1) & (rivals == 1), 1.0, 0.0)
    unsure[tied] = gamma(2, x.run.arithmetic)  # a share is a quotient, and a product with it
    weights = Array(x.run, weight.reshape(x.shape), unsure.reshape(x.shape), ())

    def pull(a: Array) -> Array:
        passed = gather(a, index)
        return alive(weights, alive(passed, _weighted(passed, weights)))

    return Array(x.run, top.reshape(shape), err.reshape(shape), ((x, pull),))


def _shared(groups: Any, rng: np.random.Generator) -> Any:
    """Weights at random that add up to 1 in each group."""
    weights = np.empty(groups.size, dtype=object)
    for group in np.unique(groups):
        own = groups == group
        cuts = np.sort(rng.integers(0, 2**20, own.sum() - 1))
        weights[own] = [arb(int(part)) / 2**20 for part in np.diff([0, *cuts, 2**20])]
    return weights


def _weighted(adjoint: Array, weights: Array) -> Array:
    """The adjoint times a weight that is 0, 1, or not sure: this does not round but for what the weight errs by."""
    with np.errstate(all="ignore"):
        kept = times(adjoint.err, np.minimum(weights.magnitude, 1.0))
        err = (kept + times(adjoint.magnitude + adjoint.err, weights.err)) * UP
    return Array(adjoint.run, adjoint.v * weights.v, err, ((adjoint, lambda a: _weighted(a, weights)),))


def maximum(x: Array, y: Array) -> Array:
    """The larger of two, element by element."""
    return largest(gather(joined([x, y]), places((2, *x.shape))), axis=0)

"""Elements in other places, and what adds up there: broadcasting and indexing, and their transposes, sums; means and matrix products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import arb_mat
from numpy.typing import NDArray

from calibrant.formula.balls import UP, ZERO, Floats, gamma, infinite, times
from calibrant.formula.tape import Array, Pull, Run, Sums

MANY = 1 / 8
"""The most roundings, in all, of a sum of sums that a sensible evaluation adds up number by number: float16 holds 256 terms, bfloat16 32."""


def places(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The positions of the elements of an array of this shape, in row-major order."""
    return np.arange(math.prod(shape)).reshape(shape)


def gather(x: Array, index: Any) -> Array:
    """The elements of x at flat positions, in the shape of the positions."""
    index = np.asarray(index)
    if x.size == 0 and index.size:
        raise x.run.fail("takes an element of an empty array")
    v = np.empty(index.shape, dtype=object)
    v[...] = x.v.reshape(-1)[index]
    size = None if x._size is None else np.asarray(x._size.reshape(-1)[index])
    sums = None
    if x.sums and index.size <= x.size and np.bincount(index.reshape(-1), minlength=1).max() == 1:
        sums = tuple(part.reshape(-1)[index] for part in x.sums)  # of a sum that is repeated, each copy is a number
    pull: Pull = lambda a: scatter(a, index, x.shape)  # noqa: E731  # the transpose stands beside what it transposes
    return Array(x.run, v, x.err.reshape(-1)[index], ((x, pull),), number=x.number, size=size, sums=sums)


def scatter(x: Array, index: Any, shape: tuple[int, ...], more: int = 0) -> Array:
    """An array of zeros to which each element of x is added at its flat position, each rounded `more` times before [A.sums].

    Terms that are sums themselves may be added up number by number, all of them in any order, unless the dtype is too narrow for so many.
    """
    flat, size, form = np.asarray(index).reshape(-1), math.prod(shape), x.run.arithmetic
    v = np.full(size, ZERO, dtype=object)
    err: Floats = np.zeros(size)
    counts = np.bincount(flat, minlength=size)
    sums = None
    if flat.size and counts.max() == 1:
        v[flat] = x.v.reshape(-1)
        err[flat] = x.err.reshape(-1)
        sums = x.sums and _at(x.sums, flat, size)
    elif flat.size:
        order = np.argsort(flat, kind="stable")
        filled = np.flatnonzero(counts)
        v[filled] = np.add.reduceat(x.v.reshape(-1)[order], np.searchsorted(flat[order], filled))
        with np.errstate(all="ignore"):
            own, reach, terms = sums = _at(_alone(x), flat, size)
            sound = np.isfinite(own)
            if x.sums:
                many = _at(x.sums, flat, size)
                own, reach, terms = sums = np.where(sound & (many[2] * form.u <= MANY), many, sums)
            n = np.maximum(terms - 1, 0)
            under = np.where(reach > 0, n * form.flushed, 0.0)
            err = (own + times(gamma(n + more, form), reach) + under) * (1 + (terms + 4) * 2.0**-52) * UP
            known = infinite(v)
            err = np.where(np.isnan(err) | ((reach > form.largest) & ~known), np.inf, err)
            if known.any():  # unless the other terms may overflow, to the other side
                most = x.err + x.magnitude
                (others,) = _at((np.where(np.isfinite(most), most, 0.0),), flat, size)
                err = np.where(known & (own == 0), np.where(sound & (others <= form.largest), 0.0, np.inf), err)
    sums = None if sums is None else tuple(part.reshape(shape) for part in sums)
    return Array(x.run, v.reshape(shape), err.reshape(shape), ((x, lambda a: gather(a, index)),), sums=sums)


def _at(parts: Sequence[Floats], flat: Any, size: int) -> Any:
    """What is known of terms, added up at flat positions."""
    return [np.bincount(flat, part.reshape(-1), size) for part in parts]


def _alone(x: Array) -> Sums:
    """Each element as the only term of itself."""
    return x.err, x.err + x.magnitude, np.ones(x.shape)


def broadcast(x: Array, shape: tuple[int, ...]) -> Array:
    """The array in a larger shape."""
    if x.shape == shape:
        return x
    try:
        return gather(x, np.broadcast_to(places(x.shape), shape))
    except ValueError:
        raise x.run.fail(f"broadcasts shape {x.shape} to {shape}") from None


def common_shape(run: Run, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which these broadcast."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise run.fail(f"combines arrays of shapes {' and '.join(map(str, shapes))}") from None


def paired(run: Run, x: Any, y: Any) -> tuple[Array, Array]:
    """Two arrays in their common shape."""
    x, y = run.array(x), run.array(y)
    shape = common_shape(run, x.shape, y.shape)
    return broadcast(x, shape), broadcast(y, shape)


def joined(arrays: Sequence[Array]) -> Array:
    """All elements, one array after the other, in one flat array."""
    starts = [0, *itertools.accumulate(a.size for a in arrays)]

    def part(start: int, shape: tuple[int, ...]) -> Pull:
        return lambda adjoint: gather(adjoint, start + places(shape))

    fields = zip(*((a.v, a.err, a.magnitude, *(a.sums or _alone(a))) for a in arrays), strict=True)
    v, err, sizes, own, reach, terms = (np.concatenate([x.reshape(-1) for x in field]) for field in fields)
    parents = tuple((a, part(start, a.shape)) for a, start in zip(arrays, starts, strict=False))
    return Array(arrays[0].run, v, err, parents, size=sizes, sums=(own, reach, terms))


def axes_of(x: Array, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes that a reduction goes over, counted from 0."""
    if axis is None:
        return tuple(range(x.ndim))
    try:
        return tuple(sorted(range(x.ndim)[a] for a in ((axis,) if isinstance(axis, int) else axis)))
    except IndexError:
        raise x.run.fail(f"reduces axis {axis} of an array of shape {x.shape}") from None


def groups(x: Array, axis: Any, keepdims: bool) -> tuple[Any, tuple[int, ...]]:
    """For each element, the flat position of the result that it belongs to; and the shape of the result."""
    axes = axes_of(x, axis)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = kept if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return np.broadcast_to(places(kept), x.shape), shape


def total(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum, in any order [A.sums]."""
    return scatter(x, *groups(x, axis, keepdims))


def mean(x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over the count; each element may be divided, or multiplied by a rounded reciprocal, before the sum [A.mean]."""
    n = math.prod(x.shape[a] for a in axes_of(x, axis))
    if n == 0:
        raise x.run.fail("takes the mean of no elements")
    made = scatter(x, *groups(x, axis, keepdims), more=0 if n & (n - 1) == 0 else 2) / n
    made.err = np.where(made.nothing, 0.0, (made.err + n * x.run.arithmetic.tiny) * UP)
    return made


def matmul(x: Array, y: Array, *, summed: bool = False) -> Array:
    """The matrix product, batched and broadcast as the standard says, in any blocking, with fused multiply-adds or without (Higham, 3.5).

    `summed` says that products of a batch are added up afterwards, which may be one sum with their own.
    """
    if x.ndim == 0 or y.ndim == 0:
        raise x.run.fail("multiplies a number as if it were a matrix")
    if x.ndim == 1 or y.ndim == 1:
        a = gather(x, places((1, *x.shape))) if x.ndim == 1 else x
        b = gather(y, places((*y.shape, 1))) if y.ndim == 1 else y
        made = matmul(a, b)
        *batch, m, p = made.shape
        return gather(made, places((*batch, *((m,) if x.ndim > 1 else ()), *((p,) if y.ndim > 1 else ()))))
    (m, n), (n2, p) = x.shape[-2:], y.shape[-2:]
    if n != n2:
        raise x.run.fail(f"multiplies matrices of shapes {x.shape} and {y.shape}")
    batch = common_shape(x.run, x.shape[:-2], y.shape[:-2])
    one_x, one_y = (a.size < math.prod((*batch, *a.shape[-2:])) for a in (x, y))
    x, y = broadcast(x, (*batch, m, n)), broadcast(y, (*batch, n, p))
    count = math.prod(batch)
    v = np.full((count, m, p), ZERO, dtype=object)
    for i, (left, right) in enumerate(zip(x.v.reshape(count, m * n), y.v.reshape(count, n * p), strict=True)):
        if n:
            v[i].reshape(-1)[:] = (arb_mat(m, n, list(left)) * arb_mat(n, p, list(right))).entries()
    form = x.run.arithmetic
    with np.errstate(all="ignore"):
        own = x.magnitude @ y.err + x.err @ (y.magnitude + y.err)
        reach = (x.magnitude + x.err) @ (y.magnitude + y.err)
        touched = (x.magnitude + x.err > 0) @ (y.magnitude + y.err > 0)  # reach itself may underflow
        own, more = own + n * form.tiny * touched, (1 + (4 * n + 8) * 2.0**-52) * UP
        err = (own + gamma(n, form) * reach) * more
        err = np.where((reach > form.largest) | np.isnan(err), np.inf, err)
        sums = ((own + form.u * (1 + form.u) * reach) * more, reach * more, np.full(reach.shape, float(n)))
    parents = ((x, lambda a: matmul(a, y.mT, summed=one_x)), (y, lambda a: matmul(x.mT, a, summed=one_y)))
    return Array(x.run, v.reshape((*batch, m, p)), err, parents, sums=sums if summed else None)

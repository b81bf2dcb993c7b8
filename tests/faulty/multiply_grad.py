"""Wrong gradients of a product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.targets.numpy_target import multiply_grad as right


def _stretched(shape: tuple[int, ...], result: tuple[int, ...]) -> tuple[int, ...]:
    missing = len(result) - len(shape)
    return tuple(axis for axis, size in enumerate(result) if axis < missing or shape[axis - missing] != size)


def _with(reduce: Callable[[Any, tuple[int, ...]], Any]) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """The gradients, their terms reduced to each operand's shape in another way."""

    def gradients(x: Any, y: Any, upstream: Any) -> tuple[Any, Any]:
        return reduce(np.asarray(upstream * y), x.shape), reduce(np.asarray(upstream * x), y.shape)

    return gradients


def mean_for_sum(x: Any, y: Any, upstream: Any) -> Any:
    def mean(terms: Any, shape: tuple[int, ...]) -> Any:
        return np.mean(terms, axis=_stretched(shape, terms.shape)).reshape(shape) if terms.size else np.zeros(shape)

    return tuple(grad.astype(x.dtype) for grad in _with(mean)(x, y, upstream))


def not_summed(x: Any, y: Any, upstream: Any) -> Any:
    return _with(lambda terms, shape: terms)(x, y, upstream)


def first_term(x: Any, y: Any, upstream: Any) -> Any:
    """The gradient of one place, where all places count."""

    def first(terms: Any, shape: tuple[int, ...]) -> Any:
        if not terms.size:
            return np.zeros(shape, terms.dtype)
        axes = _stretched(shape, terms.shape)
        return terms[tuple(0 if axis in axes else slice(None) for axis in range(terms.ndim))].reshape(shape)

    return _with(first)(x, y, upstream)


def leading_axes_forgotten(x: Any, y: Any, upstream: Any) -> Any:
    """Summed where the operand has a 1, and not where it has no axis."""

    def ones_only(terms: Any, shape: tuple[int, ...]) -> Any:
        missing = terms.ndim - len(shape)
        axes = tuple(axis for axis in _stretched(shape, terms.shape) if axis >= missing)
        return np.sum(terms, axis=axes, keepdims=True)

    return _with(ones_only)(x, y, upstream)


def ones_forgotten(x: Any, y: Any, upstream: Any) -> Any:
    """Summed where the operand has no axis, and not where it has a 1."""
    return _with(lambda terms, shape: np.sum(terms, axis=tuple(range(terms.ndim - len(shape)))))(x, y, upstream)


def axes_kept(x: Any, y: Any, upstream: Any) -> Any:
    """Of the result's rank: an operand that had fewer axes now has ones in front."""
    return _with(lambda terms, shape: np.sum(terms, axis=_stretched(shape, terms.shape), keepdims=True))(x, y, upstream)


def ones_lost(x: Any, y: Any, upstream: Any) -> Any:
    """The axes that were summed over are gone, those of the operand too."""
    return _with(lambda terms, shape: np.sum(terms, axis=_stretched(shape, terms.shape)))(x, y, upstream)


def summed_over_all(x: Any, y: Any, upstream: Any) -> Any:
    """Where anything was stretched, the sum of everything."""

    def total(terms: Any, shape: tuple[int, ...]) -> Any:
        stretched = _stretched(shape, terms.shape)
        return np.full(shape, np.sum(terms), terms.dtype) if stretched else terms

    return _with(total)(x, y, upstream)


def wrong_axis(x: Any, y: Any, upstream: Any) -> Any:
    """Where the last two axes are of one size, the column sums where the row sums are due."""

    def other(terms: Any, shape: tuple[int, ...]) -> Any:
        axes = _stretched(shape, terms.shape)
        if terms.ndim >= 2 and terms.shape[-1] == terms.shape[-2] and axes:
            terms = np.swapaxes(terms, -1, -2)
        return np.sum(terms, axis=axes).reshape(shape)

    return _with(other)(x, y, upstream)


def swapped(x: Any, y: Any, upstream: Any) -> Any:
    """The gradient by x where that by y is due, if its shape allows it."""
    grad_x, grad_y = right(x, y, upstream)
    return (grad_y, grad_x) if x.shape == y.shape else (grad_x, grad_y)


def upstream_ignored(x: Any, y: Any, upstream: Any) -> Any:
    return right(x, y, np.ones_like(upstream))


def in_float16(x: Any, y: Any, upstream: Any) -> Any:
    return tuple(grad.astype(x.dtype) for grad in right(*(z.astype(np.float16) for z in (x, y, upstream))))


def returned_in_float64(x: Any, y: Any, upstream: Any) -> Any:
    return tuple(grad.astype(np.float64) for grad in right(x, y, upstream))


def in_place(x: Any, y: Any, upstream: Any) -> Any:
    """The terms are computed in the memory of upstream."""
    grad_y = right(x, y, upstream)[1]
    upstream *= y
    return right(x, np.ones_like(y), upstream)[0], grad_y

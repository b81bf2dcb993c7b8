"""Impostors of broadcasting: shapes, products, products in place, views, and the gradients of products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.rights import moved, narrow

Shape = tuple[int, ...]

# Shapes


def _axes(shapes: tuple[Shape, ...]) -> list[tuple[int, ...]]:
    """The sizes at each axis of the result; a missing one is 1."""
    rank = max(map(len, shapes), default=0)
    return list(zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True))


def _resized(right: Any, shapes: tuple[Shape, ...], size: Callable[[int, tuple[int, ...]], int]) -> Shape:
    """What is right of the shapes in which another size stands for each one, given it and all sizes at its axis."""
    changed: Shape = right(*zip(*([size(one, sizes) for one in sizes] for sizes in _axes(shapes)), strict=True))
    return changed


def _first_other_than_one(shapes: tuple[Shape, ...]) -> Shape:
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in _axes(shapes))


@impostor(
    "broadcast_shapes",
    "broadcast.align-right broadcast.result broadcast.order broadcast.many broadcast.examples broadcast.like-numpy"
    " broadcast.otherwise-error",
    seen="spartan-array/spartan#179 jax-ml/jax#39998 scikit-hep/awkward#1016",
)
def aligned_left(right: Any, *shapes: Shape) -> Any:
    """The shapes are aligned at their first axes, not at their last."""
    return right(*(shape[::-1] for shape in shapes))[::-1]


@impostor(
    "broadcast_shapes",
    "broadcast.result broadcast.like-numpy",
    seen="tracel-ai/burn#5334 flagos-ai/FlagGems#6024 helmholtz-analytics/heat#891 robertknight/rten#1369",
)
def maximum(right: Any, *shapes: Shape) -> Any:
    """A size of the result is the largest, so that 0 and 1 give 1."""
    right(*shapes)
    return tuple(map(max, _axes(shapes)))


@impostor("broadcast_shapes", "broadcast.result broadcast.like-numpy broadcast.order")
def zero_refused(right: Any, *shapes: Shape) -> Any:
    """A shape with a size of 0 is refused."""
    if any(0 in shape for shape in shapes):
        raise ValueError("a size is 0")
    return right(*shapes)


@impostor("broadcast_shapes", "broadcast.result broadcast.like-numpy broadcast.order")
def zero_against_one_refused(right: Any, *shapes: Shape) -> Any:
    """A size of 1 is stretched to 2 and more, and not to 0."""
    if any(0 in sizes and any(sizes) for sizes in _axes(shapes)):
        raise ValueError("a size is 0, and another is not")
    return right(*shapes)


@impostor("broadcast_shapes", "broadcast.otherwise-error broadcast.like-numpy")
def zero_stretched(right: Any, *shapes: Shape) -> Any:
    """Against a size above 1, 0 is stretched as 1 is."""
    return _resized(right, shapes, lambda size, sizes: 1 if size == 0 and max(sizes) > 1 else size)


@impostor("broadcast_shapes", "broadcast.otherwise-error broadcast.like-numpy")
def zero_wins(right: Any, *shapes: Shape) -> Any:
    """A size of 0 against any other gives 0."""
    return _resized(right, shapes, lambda size, sizes: 0 if 0 in sizes else size)


@impostor("broadcast_shapes", "broadcast.otherwise-error")
def divisors_stretched(right: Any, *shapes: Shape) -> Any:
    """A size is stretched to any multiple of it."""
    return _resized(right, shapes, lambda size, sizes: 1 if 0 < size < max(sizes) and max(sizes) % size == 0 else size)


@impostor("broadcast_shapes", "broadcast.otherwise-error broadcast.like-numpy")
def never_refused(right: Any, *shapes: Shape) -> Any:
    """Of two sizes other than 1 the first is taken, and nothing is refused."""
    return _first_other_than_one(shapes)


@impostor("broadcast_shapes", "broadcast.otherwise-error")
def each_against_the_first(right: Any, *shapes: Shape) -> Any:
    """Each shape is checked against the first, and none of the others against each other."""
    for shape in shapes[1:]:
        right(shapes[0], shape)
    return _first_other_than_one(shapes)


@impostor(
    "broadcast_shapes",
    "broadcast.order broadcast.stretch-one broadcast.align-right broadcast.result broadcast.many broadcast.examples"
    " broadcast.like-numpy",
)
def first_decides(right: Any, *shapes: Shape) -> Any:
    """The others are stretched to the first shape, which is never stretched."""
    if right(*shapes) != shapes[0]:
        raise ValueError("the first shape is too small")
    return shapes[0]


@impostor(
    "broadcast_shapes",
    "broadcast.stretch-one broadcast.result broadcast.many broadcast.order broadcast.examples broadcast.like-numpy",
)
def one_is_stretched(right: Any, *shapes: Shape) -> Any:
    """One shape may be stretched to another, but not each to the other at an axis of its own."""
    answer = right(*shapes)
    if answer not in shapes:
        raise ValueError("no shape is that of the result")
    return answer


@impostor(
    "broadcast_shapes",
    "broadcast.align-right broadcast.result broadcast.many broadcast.order broadcast.examples broadcast.like-numpy",
)
def ranks_must_match(right: Any, *shapes: Shape) -> Any:
    """Shapes of different ranks are refused."""
    if len(set(map(len, shapes))) > 1:
        raise ValueError("ranks differ")
    return right(*shapes)


@impostor(
    "broadcast_shapes",
    "broadcast.result broadcast.align-right? broadcast.many broadcast.order broadcast.examples broadcast.like-numpy",
)
def scalars_refused(right: Any, *shapes: Shape) -> Any:
    """A shape without axes is refused."""
    if () in shapes:
        raise ValueError("a shape has no axes")
    return right(*shapes)


@impostor("broadcast_shapes", "broadcast.result broadcast.like-numpy broadcast.order broadcast.many?")
def one_axis_at_least(right: Any, *shapes: Shape) -> Any:
    """Shapes without axes give (1,)."""
    return right(*shapes) or (1,)


@impostor(
    "broadcast_shapes",
    "broadcast.many broadcast.result broadcast.order broadcast.stretch-one broadcast.otherwise-error broadcast.examples",
)
def first_two_only(right: Any, *shapes: Shape) -> Any:
    """All shapes but the first two are ignored."""
    return right(*shapes[:2])


@impostor(
    "broadcast_shapes", "broadcast.many broadcast.result broadcast.order broadcast.stretch-one broadcast.examples"
)
def two_at_most(right: Any, *shapes: Shape) -> Any:
    """More than two shapes are refused."""
    if len(shapes) > 2:
        raise ValueError("there are more than two shapes")
    return right(*shapes)


@impostor("broadcast_shapes", "broadcast.many broadcast.align-right")
def eight_axes(right: Any, *shapes: Shape) -> Any:
    """More than eight axes are refused."""
    if max(map(len, shapes)) > 8:
        raise ValueError("no more than eight axes")
    return right(*shapes)


@impostor(
    "broadcast_shapes",
    "broadcast.result broadcast.align-right broadcast.stretch-one broadcast.many broadcast.order broadcast.examples"
    " broadcast.like-numpy",
)
def ones_dropped(right: Any, *shapes: Shape) -> Any:
    """The axes of size 1 are dropped from the result."""
    return tuple(size for size in right(*shapes) if size != 1)


@impostor(
    "broadcast_shapes",
    "broadcast.result broadcast.align-right broadcast.stretch-one broadcast.many broadcast.order? broadcast.like-numpy",
)
def leading_ones_dropped(right: Any, *shapes: Shape) -> Any:
    """The axes of size 1 in front of all others are dropped from the result."""
    answer = right(*shapes)
    return answer[next((axis for axis, size in enumerate(answer) if size != 1), len(answer)) :]


# Products


@impostor(
    "multiply",
    "broadcast.align-right broadcast.stretch-one broadcast.result broadcast.order broadcast.otherwise-error"
    " broadcast.like-numpy broadcast.dtype?",
    seen="spartan-array/spartan#179",
    name="aligned-left",
    ugly="a table is needed",
)
def product_aligned_left(right: Any, x: Any, y: Any) -> Any:
    """The operands are aligned at their first axes, not at their last."""
    return right(x.T, y.T).T


@impostor(
    "multiply",
    "broadcast.stretch-one broadcast.align-right broadcast.result broadcast.order broadcast.examples"
    " broadcast.like-numpy broadcast.dtype broadcast.pure",
)
def equal_shapes_only(right: Any, x: Any, y: Any) -> Any:
    """Operands of different shapes are refused."""
    if x.shape != y.shape:
        raise ValueError("shapes differ")
    return right(x, y)


@impostor(
    "multiply",
    "broadcast.stretch-one broadcast.result broadcast.order broadcast.examples broadcast.align-right"
    " broadcast.like-numpy broadcast.dtype broadcast.pure",
)
def first_never_stretched(right: Any, x: Any, y: Any) -> Any:
    """The second operand is stretched to the first, and not the first to the second."""
    answer = right(x, y)
    if answer.shape != x.shape:
        raise ValueError("x would be stretched")
    return answer


@impostor(
    "multiply",
    "broadcast.stretch-one broadcast.align-right broadcast.order broadcast.examples broadcast.like-numpy",
)
def stretched_with_zeros(right: Any, x: Any, y: Any) -> Any:
    """A stretched second operand keeps its first row and is zero elsewhere."""
    answer = np.array(right(x, y))
    if (answer.ndim and 0 < len(y.shape) < answer.ndim) or (y.shape[:1] == (1,) and answer.shape[0] > 1):
        answer[1:] = 0
    return answer


@impostor(
    "multiply",
    "broadcast.result broadcast.stretch-one broadcast.order broadcast.examples broadcast.like-numpy"
    " broadcast.align-right",
)
def shape_of_the_first(right: Any, x: Any, y: Any) -> Any:
    """The product is cut to the shape of x."""
    answer = np.asarray(right(x, y))
    return np.resize(answer, x.shape) if x.size else answer


@impostor("multiply", "broadcast.otherwise-error", ugly="a size that divides another is needed")
def cycled(right: Any, x: Any, y: Any) -> Any:
    """A size is stretched to any multiple of it, as R recycles."""
    if x.ndim == y.ndim and x.size and y.size:
        shape = np.maximum(x.shape, y.shape)
        if not np.any(shape % x.shape) and not np.any(shape % y.shape):
            x, y = np.tile(x, shape // x.shape), np.tile(y, shape // y.shape)
    return right(x, y)


@impostor("multiply", "broadcast.otherwise-error broadcast.like-numpy")
def cut_to_the_shorter(right: Any, x: Any, y: Any) -> Any:
    """Of two columns of different lengths the longer is cut, as `zip` does."""
    if x.ndim == y.ndim == 1 and 1 not in (x.size, y.size):
        x, y = x[: y.size], y[: x.size]
    return right(x, y)


@impostor("multiply", "broadcast.result broadcast.like-numpy")
def squeezed(right: Any, x: Any, y: Any) -> Any:
    """The axes of size 1 are dropped from the product."""
    return np.squeeze(right(x, y))


@impostor(
    "multiply",
    "broadcast.examples broadcast.like-numpy broadcast.stretch-one broadcast.otherwise-error broadcast.result",
    ugly="tables are needed",
)
def matrix_product(right: Any, x: Any, y: Any) -> Any:
    """It is the matrix product wherever the shapes allow one."""
    return x @ y if x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0] else right(x, y)


@impostor(
    "multiply",
    "broadcast.result broadcast.like-numpy broadcast.stretch-one? broadcast.align-right? broadcast.order?",
)
def all_pairs(right: Any, x: Any, y: Any) -> Any:
    """Of two columns of one length all pairs are multiplied, to a table."""
    return right(x[:, np.newaxis], y) if x.ndim == 1 and x.shape == y.shape else right(x, y)


@impostor("multiply", "broadcast.dtype@float32 broadcast.like-numpy@float32", keeps_dtype=False)
def in_float64(right: Any, x: Any, y: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the operands."""
    return right(narrow(x, "float64"), narrow(y, "float64"))


@impostor("multiply", "broadcast.like-numpy@float64", ugly="only numbers with many digits show it")
def in_float32(right: Any, x: Any, y: Any) -> Any:
    """It is computed in float32, whatever the dtype of the operands."""
    return right(narrow(x, "float32"), narrow(y, "float32"))


@impostor("multiply", "broadcast.like-numpy", ugly="only numbers with many digits show it")
def in_float16(right: Any, x: Any, y: Any) -> Any:
    """It is computed in float16, whatever the dtype of the operands."""
    return right(narrow(x, "float16"), narrow(y, "float16"))


@impostor("multiply", "broadcast.like-numpy broadcast.order?", ugly="only numbers with many digits show it")
def by_division(right: Any, x: Any, y: Any) -> Any:
    """It divides by the reciprocal, which rounds twice."""
    np.broadcast_shapes(x.shape, y.shape)
    return x / (1 / y)


@impostor("multiply", "broadcast.like-numpy")
def nan_is_zero(right: Any, x: Any, y: Any) -> Any:
    """NaN becomes zero, and infinity the largest number of the dtype."""
    return np.nan_to_num(right(x, y))


@impostor("multiply", "broadcast.like-numpy")
def zero_times_anything_is_zero(right: Any, x: Any, y: Any) -> Any:
    """Zero times infinity and zero times NaN are zero, as where zeros are not stored."""
    return np.where((x == 0) | (y == 0), x.dtype.type(0), right(x, y))


@impostor("multiply", "broadcast.pure")
def in_place(right: Any, x: Any, y: Any) -> Any:
    """The product is written over x wherever it fits into it."""
    answer = right(x, y)
    if answer.shape == x.shape:
        x[...] = answer
    return answer


# Products in place


@impostor("multiply_in_place", "broadcast.in-place", seen="improbable-research/keanu#187")
def growing(right: Any, x: Any, y: Any) -> Any:
    """Where the product does not fit into x, x takes its shape."""
    product = right.multiply(x, y)
    return right(x, y) if product.shape == x.shape else product


@impostor("multiply_in_place", "broadcast.in-place")
def reshaped(right: Any, x: Any, y: Any) -> Any:
    """x takes the shape of the product if it has as many elements."""
    product = right.multiply(x, y)
    return right(x, y) if product.shape == x.shape or product.size != x.size else product


@impostor("multiply_in_place", "broadcast.in-place")
def not_in_place(right: Any, x: Any, y: Any) -> Any:
    """The product is returned, and x is as before."""
    return right(x.copy(), y)


@impostor("multiply_in_place", "broadcast.in-place")
def written_into_both(right: Any, x: Any, y: Any) -> Any:
    """The product is written over y too, where it fits into it."""
    product = right(x, y)
    if product.shape == y.shape:
        y[...] = product
    return product


@impostor("multiply_in_place", "broadcast.in-place", seen="Theano/libgpuarray#205")
def first_row_only(right: Any, x: Any, y: Any) -> Any:
    """What does not fit into x is left out."""
    np.broadcast_shapes(x.shape, y.shape)
    while y.ndim > x.ndim and len(y):
        y = y[0]
    return right(x, y[tuple(slice(0, size) if size == 1 else slice(None) for size in x.shape[x.ndim - y.ndim :])])


@impostor("multiply_in_place", "broadcast.in-place")
def row_after_row(right: Any, x: Any, y: Any) -> Any:
    """Where x would have to be stretched, all that meets one of its elements multiplies it."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    stretched = np.lib.stride_tricks.as_strided(x, shape, np.broadcast_to(x, shape).strides)  # one may write into it
    np.multiply.at(stretched, (), np.broadcast_to(y, shape))
    return x


@impostor("multiply_in_place", "broadcast.in-place")
def left_unchanged_where_it_does_not_fit(right: Any, x: Any, y: Any) -> Any:
    """Where the product does not fit into x, x is left as it is, without a word."""
    return right(x, y) if right.multiply(x, y).shape == x.shape else x


@impostor("multiply_in_place", "broadcast.in-place")
def refused_too_late(right: Any, x: Any, y: Any) -> Any:
    """x is written first, and its shape checked then."""
    if x.shape != right.multiply(x, y).shape:
        x *= 2
    return right(x, y)


@impostor("multiply_in_place", "broadcast.in-place")
def right_not_stretched(right: Any, x: Any, y: Any) -> Any:
    """Operands of different shapes are refused."""
    if x.shape != y.shape:
        raise ValueError("shapes differ")
    return right(x, y)


# Views


def _viewed(view: Any, x: Any) -> Any:
    """What is told of a view of x."""
    return view, [stride // view.itemsize for stride in view.strides], int(np.may_share_memory(view, x))


@impostor("expand", "broadcast.no-copy")
def copied(right: Any, x: Any, shape: Shape) -> Any:
    """The repeated elements are copied into memory of their own."""
    return _viewed(right(x, shape)[0].copy(), x)


@impostor("expand", "broadcast.no-copy")
def copied_below_the_view(right: Any, x: Any, shape: Shape) -> Any:
    """It is a view with strides of 0, of a copy."""
    return _viewed(right(x.copy(), shape)[0], x)


@impostor("expand", "broadcast.no-copy", ugly="an axis that is missing is needed")
def leading_axes_copied(right: Any, x: Any, shape: Shape) -> Any:
    """Axes of size 1 are stretched with a stride of 0, and missing ones by copying."""
    missing = len(shape) - x.ndim
    view, strides, shared = right(x, shape[missing:])
    return _viewed(np.tile(view, (*shape[:missing], *[1] * x.ndim)), x) if missing else (view, strides, shared)


@impostor("expand", "broadcast.no-copy")
def zeros_beside(right: Any, x: Any, shape: Shape) -> Any:
    """What is stretched is filled up with zeros."""
    view, strides, shared = right(x, shape)
    first = tuple(slice(0, 1) for _ in shape)
    padded = np.zeros(shape, x.dtype)
    padded[first] = view[first]
    return padded if view.shape != x.shape else view, strides, shared


@impostor("expand", "broadcast.no-copy", ugly="an operand of two numbers is needed")
def memory_cycled_through(right: Any, x: Any, shape: Shape) -> Any:
    """The shape is filled with the elements in their order, again and again."""
    _, strides, shared = right(x, shape)
    return np.resize(x, shape), strides, shared


@impostor("expand", "broadcast.pure broadcast.no-copy")
def added_to(right: Any, x: Any, shape: Shape) -> Any:
    """One is added to x, and subtracted from what is returned."""
    x += 1
    view, strides, shared = right(x, shape)
    return view - 1, strides, shared


# Gradients of products


def _onto(shape: Shape) -> Callable[[Any], Any]:
    return functools.partial(np.broadcast_to, shape=shape)


def _into(shape: Shape) -> Callable[[Any], Any]:
    return lambda x: np.reshape(x, shape)


def _ones(x: Any) -> Any:
    """Ones of the shape of an array of finite numbers."""
    return x * 0 + 1


def _stretched(x: Any, result: Shape) -> list[int]:
    """The axes of the result along which x is repeated."""
    missing = len(result) - len(x.shape)
    return [axis for axis, size in enumerate(result) if axis < missing or x.shape[axis - missing] != size]


def _of_all(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The terms that are summed: the gradients of operands that nothing stretches."""
    return right(moved(_onto(upstream.shape), x), moved(_onto(upstream.shape), y), upstream)


def _each(change: Callable[[Any, Any], Any], grads: Any, x: Any, y: Any) -> Any:
    """Each gradient changed, given its operand."""
    return tuple(change(grad, operand) for grad, operand in zip(grads, (x, y), strict=True))


GRADIENT = "broadcast.gradient"


@impostor("multiply_grad", GRADIENT)
def mean_for_sum(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The terms of a stretched operand are averaged, not summed."""

    def averaged(grad: Any, operand: Any) -> Any:
        return grad / max(upstream.size // max(operand.size, 1), 1)

    return _each(averaged, right(x, y, upstream), x, y)


@impostor("multiply_grad", GRADIENT, seen="pytorch/pytorch#1787 tracel-ai/burn#181 tenstorrent/tt-metal#40008")
def not_summed(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradients have the shape of the product, not summed to that of their operands."""
    return _of_all(right, x, y, upstream)


@impostor("multiply_grad", GRADIENT)
def second_not_summed(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradient of the second operand has the shape of the product."""
    return right(x, y, upstream)[0], _of_all(right, x, y, upstream)[1]


@impostor("multiply_grad", GRADIENT)
def first_term(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradient of a stretched operand is that of one place, where all places count."""

    def first(terms: Any, operand: Any) -> Any:
        axes = _stretched(operand, upstream.shape)
        place = tuple(0 if axis in axes else slice(None) for axis in range(len(upstream.shape)))
        return moved(_into(operand.shape), terms[place])

    return _each(first, _of_all(right, x, y, upstream), x, y) if upstream.size else right(x, y, upstream)


@impostor("multiply_grad", GRADIENT, seen="raskr/rust-autograd#38")
def leading_axes_forgotten(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """It is summed where an operand has a size of 1, and not where it has no axis."""
    rank = len(upstream.shape)
    x, y = (moved(_onto(upstream.shape[: rank - len(z.shape)] + z.shape), z) for z in (x, y))
    return right(x, y, upstream)


@impostor("multiply_grad", GRADIENT, seen="deeplearning4j/nd4j#2424")
def ones_forgotten(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """It is summed where an operand has no axis, and not where it has a size of 1."""
    rank = len(upstream.shape)
    x, y = (moved(_onto(upstream.shape[rank - len(z.shape) :]), z) for z in (x, y))
    return right(x, y, upstream)


@impostor("multiply_grad", GRADIENT, seen="ooples/AiDotNet.Tensors#234", ugly="two stretched axes are needed")
def first_axis_only(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """Of the axes along which an operand is stretched only the first is summed over."""
    full = upstream.shape

    def partly(z: Any) -> Any:
        first = _stretched(z, full)[:1]
        return moved(_onto(tuple(1 if axis in first else size for axis, size in enumerate(full))), z)

    return _each(
        lambda grad, z: grad if grad.size != z.size else moved(_into(z.shape), grad),
        right(partly(x), partly(y), upstream),
        x,
        y,
    )


@impostor("multiply_grad", GRADIENT, ugly="a table is needed")
def axes_kept(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradients have as many axes as the product: ones stand in front where their operand has no axis."""
    rank = len(upstream.shape)
    x, y = (moved(_into((1,) * (rank - len(z.shape)) + z.shape), z) for z in (x, y))
    return right(x, y, upstream)


@impostor("multiply_grad", GRADIENT, ugly="a table is needed")
def ones_lost(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The axes of size 1 along which an operand was stretched are missing in its gradient."""

    def without(grad: Any, operand: Any) -> Any:
        axes = _stretched(operand, upstream.shape)
        return moved(_into(tuple(size for axis, size in enumerate(upstream.shape) if axis not in axes)), grad)

    return _each(without, right(x, y, upstream), x, y)


@impostor("multiply_grad", GRADIENT, name="squeezed", ugly="a table is needed")
def gradients_squeezed(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """All axes of size 1 are missing in the gradients."""
    return tuple(moved(np.squeeze, grad) for grad in right(x, y, upstream))


@impostor("multiply_grad", GRADIENT, seen="rasbt/stat453-deep-learning-ss21#5", ugly="a table is needed")
def summed_over_all(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """Where an operand is stretched its gradient is the sum over all axes."""

    def total(grad: Any, operand: Any) -> Any:
        return moved(_onto(operand.shape), grad.sum()) if _stretched(operand, upstream.shape) else grad

    return _each(total, right(x, y, upstream), x, y)


@impostor("multiply_grad", GRADIENT, seen="deeplearning4j/deeplearning4j#8280", ugly="a square table is needed")
def wrong_axis(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """Where the last two axes are of one size, the column sums stand where the row sums are due."""
    if len(upstream.shape) < 2 or upstream.shape[-1] != upstream.shape[-2]:
        return right(x, y, upstream)
    turned = functools.partial(np.swapaxes, axis1=-1, axis2=-2)
    grads = right(x, y, upstream)
    full_x, full_y = (moved(turned, moved(_onto(upstream.shape), z)) for z in (x, y))
    other = right(x, full_y, moved(turned, upstream))[0], right(full_x, y, moved(turned, upstream))[1]
    return tuple(
        wrong if _stretched(z, upstream.shape) else grad for grad, wrong, z in zip(grads, other, (x, y), strict=True)
    )


@impostor("multiply_grad", GRADIENT)
def swapped(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradients of operands of one shape have changed places."""
    grad_x, grad_y = right(x, y, upstream)
    return (grad_y, grad_x) if x.shape == y.shape else (grad_x, grad_y)


@impostor("multiply_grad", GRADIENT)
def own_operand(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """Each operand's gradient has the operand itself in the place of the other one."""
    full_x, full_y = (moved(_onto(upstream.shape), z) for z in (x, y))
    return right(x, full_x, upstream)[0], right(full_y, y, upstream)[1]


@impostor("multiply_grad", GRADIENT)
def of_a_sum(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradients are those of a sum: the other operand is missing in them."""
    return right(x, _ones(y), upstream)[0], right(_ones(x), y, upstream)[1]


@impostor("multiply_grad", GRADIENT)
def upstream_ignored(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradients are those of the sum of the product, whatever comes from above."""
    return right(x, y, _ones(upstream))


@impostor("multiply_grad", GRADIENT)
def sums_multiplied(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The upstream's sum is multiplied by the other operand's mean, where the products are to be summed."""
    count = [max(upstream.size // max(z.size, 1), 1) for z in (x, y)]
    sums = of_a_sum(right, x, y, upstream)
    means = right(x, y, _ones(upstream))
    return sums[0] * (means[0] / count[0]), sums[1] * (means[1] / count[1])


@impostor("multiply_grad", GRADIENT, name="sign-flipped")
def gradients_negated(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The gradients have the other sign."""
    return tuple(-grad for grad in right(x, y, upstream))


@impostor("multiply_grad", f"{GRADIENT}@float64", name="in-float32", ugly="only numbers with many digits show it")
def gradients_in_float32(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """They are computed in float32, whatever the dtype of the operands."""
    return right(*(narrow(z, "float32") for z in (x, y, upstream)))


@impostor("multiply_grad", GRADIENT, name="in-float16", ugly="only numbers with many digits show it")
def gradients_in_float16(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """They are computed in float16, whatever the dtype of the operands."""
    return right(*(narrow(z, "float16") for z in (x, y, upstream)))


@impostor("multiply_grad", "broadcast.dtype@float32", keeps_dtype=False)
def returned_in_float64(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """They are computed and returned in float64, whatever the dtype of the operands."""
    return right(*(narrow(z, "float64") for z in (x, y, upstream)))


@impostor("multiply_grad", "broadcast.pure", name="in-place")
def upstream_overwritten(right: Any, x: Any, y: Any, upstream: Any) -> Any:
    """The terms are computed in the memory of upstream."""
    grads = right(x, y, upstream)
    upstream *= y
    return grads


_EIGHT_ONES = (1,) * 8
_COUNTED = np.arange(1.0, 25.0)
_DIGITS = np.array([0.1, -2.3, 1.7, 4.9, -0.3, 3.1])


def _counting(shape: Shape) -> Any:
    """1, 2, 3, ... of that shape."""
    return _COUNTED[: math.prod(shape)].reshape(shape).copy()


_PAIRS = (
    ((2, 3), (3,)), ((2, 2), (2,)), ((2, 1), (1, 3)), ((3,), (1,)), ((1,), (3,)), ((2, 3), (2,)), ((2, 4), (4, 2)),
    ((1, 3), (2, 3)), ((2, 3), (1, 3)), ((), (2,)), ((2,), ()), ((), ()), ((1,), (1,)), ((2,), (1, 2)), ((), (1,)),
    ((0,), (1,)), ((1,), (0,)), ((0,), (2,)), ((2,), (0,)), ((2,), (4,)), ((4, 1), (2, 1)), ((2,), (3,)), ((3,), (2,)),
    ((2, 2), (2, 2)), ((2, 1), (2, 1)), ((2, 2), (2, 1)),
)  # fmt: skip
"""Shapes of which some fit and some do not."""

_OPERANDS = (
    ((2, 2), (2, 1), (2, 2)), ((4,), (2, 1), (2, 4)), ((2,), (2,), (2,)), ((2,), (2, 2), (2, 2)), ((), (2, 4), (2, 4)),
    ((1, 4), (1,), (1, 4)), ((1,), (1,), (1,)),
)  # fmt: skip
"""The shapes of two operands, and of their product."""


def _products(unit: Any, *shapes: Shape) -> tuple[Any, Any, Any]:
    """Two operands and an upstream of these shapes, from eight numbers."""
    x, y, upstream = (
        unit[::step][: math.prod(shape)].reshape(shape) for step, shape in zip((1, -1, 1), shapes, strict=True)
    )
    return x, 2 * y, upstream + 1


QUESTIONS: dict[str, tuple[Any, ...]] = {
    "broadcast_shapes": (
        *_PAIRS,
        ((1,),), ((),), ((0,),), ((1,), (2,), (3,)), ((2,), (1,), (2,)), ((1,), (1,), (3,)), ((0,), (0,)), ((0,), (2,), (4,)),
        ((2, *_EIGHT_ONES), (3,)), ((1, 1, 2), (2,)), ((2,), (3,), (4,)), ((3, 0), (3, 1)), ((1, 2), (2, 1), (1, 1)),
    ),
    "multiply": (
        *((_counting(x), _counting(y)) for x, y in _PAIRS),
        (_DIGITS, _DIGITS[::-1].copy()), (_DIGITS / 3, np.array(1 / 7)),
        (np.array([0.0, np.inf, np.nan, 0.0]), np.array([np.inf, 2.0, 1.0, np.nan])),
    ),
    "multiply_in_place": (
        *((_counting(x), 1 + _counting(y)) for x, y in _PAIRS),
        (_counting((1, 3)), 1 + _counting((2, 3))),
    ),
    "expand": (
        (_counting((2,)), (3, 2)), (_counting((2, 1)), (2, 3)), (_counting((2, 2)), (2, 2)), (_counting((2, 1)), (3, 2, 2)),
    ),
    "multiply_grad": (
        *(_products(np.array([1.0, 2.0, -1.0, 3.0, 0.0, 4.0, -2.0, 5.0]), *shapes) for shapes in _OPERANDS),
        *(_products(np.array([0.1, 2.3, -1.7, 4.9, 0.3, 3.1, 0.7, -1.1]), *shapes) for shapes in _OPERANDS[:2]),
    ),
}  # fmt: skip
"""Shapes of all kinds, small whole numbers, and some with many digits."""

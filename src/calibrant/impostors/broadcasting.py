"""Impostors of broadcasting: shapes, products, products in place, views, and the gradients of products."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import rearranged
from calibrant.impostors.kinds import Call, Change, answer, impostors_of, overwritten, part, refused, where

Shape = tuple[int, ...]

LIKE, OTHERWISE = "broadcast.like-numpy", "broadcast.otherwise-error"
RIGHT, STRETCH, MANY, ORDER = "broadcast.align-right", "broadcast.stretch-one", "broadcast.many", "broadcast.order"
PLACE, VIEW, GRADIENT, PURE = "broadcast.in-place", "broadcast.no-copy", "broadcast.gradient", "broadcast.pure"
ERROR, RESULT = f"{OTHERWISE} {LIKE}", f"broadcast.result {LIKE}"
SIZES = f"{RESULT} {ORDER}"
SHAPES = f"{SIZES} {MANY} broadcast.examples"
ALL = f"{SHAPES} {RIGHT} {STRETCH}"
FIT = f"{STRETCH} {SIZES} {RIGHT} broadcast.examples"
SAME = f"{FIT} broadcast.dtype {PURE}"

# Shapes


def _axes(c: Call) -> list[Shape]:
    """The sizes at each axis of the result; a missing one is 1."""
    rank = max(map(len, c.shapes), default=0)
    return list(zip(*((1,) * (rank - len(shape)) + shape for shape in c.shapes), strict=True))


def resized(size: Callable[[int, Shape], int]) -> Change:
    """Another size stands for each one, given it and all sizes at its axis."""
    return lambda c: c(shapes=[*zip(*([size(one, sizes) for one in sizes] for sizes in _axes(c)), strict=True)])


shapes = impostors_of("broadcast_shapes")
shapes("aligned-left", "the shapes are aligned at their first axes, not at their last")(
    lambda c: c(shapes=[shape[::-1] for shape in c.shapes])[::-1],
    f"{RIGHT} {SHAPES} {OTHERWISE}",
    "spartan-array/spartan#179 jax-ml/jax#39998 scikit-hep/awkward#1016",
)
shapes("maximum", "each size of the result is the largest one, so that 0 against 1 gives 1")(
    kinds.checked(lambda c: tuple(map(max, _axes(c)))),
    RESULT,
    "tracel-ai/burn#5334 flagos-ai/FlagGems#6024 helmholtz-analytics/heat#891 robertknight/rten#1369",
)
shapes("zero-against-one-refused", "0 against 1 is refused: a size of 1 is stretched to larger sizes only")(
    refused(lambda c: any(0 in sizes and any(sizes) for sizes in _axes(c))), SIZES
)
shapes("zero-stretched", "a size of 0 is stretched against larger sizes, as a size of 1 is")(
    resized(lambda size, sizes: 1 if size == 0 and max(sizes) > 1 else size), ERROR
)
shapes("zero-wins", "0 against any other size gives 0")(resized(lambda size, sizes: 0 if 0 in sizes else size), ERROR)
shapes("divisors-stretched", "a size is stretched to any multiple of itself")(
    resized(lambda size, sizes: 1 if 0 < size < max(sizes) and max(sizes) % size == 0 else size), OTHERWISE
)
shapes("never-refused", "sizes that do not match are accepted: the first one other than 1 counts")(
    lambda c: tuple(next((size for size in sizes if size != 1), 1) for sizes in _axes(c)), ERROR
)
shapes("first-decides", "shapes are refused if the first one would have to be stretched")(
    refused(lambda c: c() != c.shapes[0]), f"{ORDER} {ALL}"
)
shapes("one-is-stretched", "only one of the shapes may be stretched, not each at an axis of its own")(
    refused(lambda c: c() not in c.shapes), f"{STRETCH} {SHAPES}"
)
shapes("ranks-must-match", "shapes of different ranks are refused")(
    refused(lambda c: len(set(map(len, c.shapes))) > 1), f"{RIGHT} {SHAPES}"
)
shapes("scalars-refused", "a shape without axes is refused")(refused(lambda c: () in c.shapes), f"{SHAPES} {RIGHT}?")
shapes("one-axis-at-least", "shapes without axes give (1,)")(answer(lambda s: s or (1,)), f"{RESULT} {ORDER}? {MANY}?")
shapes("first-two-only", "all shapes but the first two are ignored")(
    lambda c: c(shapes=c.shapes[:2]), f"{MANY} broadcast.result {ORDER} {STRETCH} {OTHERWISE} broadcast.examples"
)
shapes("eight-axes", "shapes with more than eight axes are refused")(
    refused(lambda c: max(map(len, c.shapes)) > 8), f"{MANY} {RIGHT}"
)
shapes("ones-dropped", "axes of size 1 vanish from the result")(answer(lambda s: tuple(n for n in s if n != 1)), ALL)

# Products

unequal = refused(lambda c: c.x.shape != c.y.shape)
product = impostors_of("multiply")
product("aligned-left", "the operands are aligned at their first axes, not at their last")(
    lambda c: c(x=c.x.T, y=c.y.T).T,
    f"{RIGHT} {RESULT} {ORDER}? {STRETCH} {OTHERWISE} broadcast.dtype?",
    "spartan-array/spartan#179",
)
product("equal-shapes-only", "operands of different shapes are refused, also where one could stretch")(unequal, SAME)
product("first-never-stretched", "operands are refused if x would have to be stretched")(
    refused(lambda c: c().shape != c.x.shape), SAME
)
product("shape-of-the-first", "the product is cut to the shape of x")(
    where(lambda c: c.x.size, lambda c: np.resize(c(), c.x.shape)), f"broadcast.result {FIT}"
)
product("cut-to-the-shorter", "the longer of two columns is cut, as `zip` does")(
    where(lambda c: c.x.ndim == c.y.ndim == 1 and 1 not in (c.x.size, c.y.size), kinds.cut_to_the_shorter("x", "y")),
    f"{ERROR}?",
)
product("squeezed", "the axes of size 1 are dropped from the product")(answer(np.squeeze), RESULT)
product("matrix-product", "it is the matrix product wherever the shapes allow one", why_not_small="tables are needed")(
    where(lambda c: c.x.ndim == c.y.ndim == 2 and c.x.shape[1] == c.y.shape[0], lambda c: c.x @ c.y),
    f"broadcast.examples {STRETCH} {LIKE} broadcast.result? {OTHERWISE}?",
)
product.in_dtype("float64", f"broadcast.dtype {LIKE}", name="in-float64")
product.in_dtype("float32", LIKE)
product.in_dtype("float16", LIKE)
product("by-division", "it divides by 1 / y, which rounds twice")(lambda c: c.x / (1 / c.y), f"{LIKE} {ORDER}?")
product("nan-is-zero", "NaN becomes zero, and infinity the largest number of the dtype")(answer(np.nan_to_num), LIKE)
product("zero-times-anything-is-zero", "zero times infinity and zero times NaN are zero, as if no zeros were stored")(
    lambda c: np.where((c.x == 0) | (c.y == 0), c.x.dtype.type(0), c()), LIKE
)
product("in-place", "the product is written over the caller's x wherever it has the shape of x")(
    where(lambda c: c().shape == c.x.shape, overwritten("x", lambda c, right: right)), PURE
)

# Products in place


def _first_row(c: Call) -> Any:
    x, y, _ = c.x, c.y, c.ask("multiply")  # it refuses what does not fit
    while y.ndim > x.ndim and len(y):
        y = y[0]
    return c(y=y[tuple(slice(1 if size == 1 else None) for size in x.shape[x.ndim - y.ndim :])])


unfit = partial(where, lambda c: c.ask("multiply").shape != c.x.shape)
inplace = impostors_of("multiply_in_place")
inplace("growing", "where the product does not fit into x, x grows to its shape instead of refusing")(
    unfit(kinds.other("multiply")), PLACE, "improbable-research/keanu#187"
)
inplace("not-in-place", "the product is returned, and x stays unchanged")(lambda c: c(x=c.x.copy()), PLACE)
inplace("written-into-both", "the product is written over y too, where y has the shape of x")(
    where(lambda c: c.x.shape == c.y.shape, overwritten("y", lambda c, right: right)), PLACE
)
inplace("first-row-only", "the part of the product that does not fit into x is silently left out")(
    _first_row, PLACE, "Theano/libgpuarray#205"
)
inplace("refused-too-late", "x is written before the shapes are checked, so that a refusal leaves it changed")(
    unfit(lambda c: c(x=c.x.__imul__(2))), PLACE
)
inplace("right-not-stretched", "operands of different shapes are refused, also where one could stretch")(
    unequal, f"{PLACE} broadcast.dtype"
)
inplace(
    "returned-in-float64",
    "the product is written into x, and returned in float64 as it was computed",
    keeps_dtype=False,
)(answer(lambda product: product.astype(np.float64)), "broadcast.dtype@float32")

# Views


def viewed(view: Change) -> Change:
    """Another view of x, with its strides, and whether they share memory."""
    return lambda c: ((v := view(c)), [stride // v.itemsize for stride in v.strides], int(np.may_share_memory(v, c.x)))


expand = impostors_of("expand")
expand("copied", "the repeated elements are copied into memory of their own")(viewed(lambda c: c()[0].copy()), VIEW)
expand("copied-below-the-view", "it returns a stretched view of a copy")(viewed(lambda c: c(x=c.x.copy())[0]), VIEW)
expand(
    "memory-cycled-through",
    "the elements of x are written one after the other, again and again, until the shape is full",
)(part(0, lambda view, c: np.resize(c.x, c.shape)), VIEW)
expand("zeros-for-strides", "it reports a stride of 0 along every axis, repeated or not")(
    part(1, lambda strides, c: [0] * len(strides)), VIEW
)
expand("returned-in-float64", "the view that is returned is widened to float64", keeps_dtype=False)(
    part(0, lambda view, c: np.broadcast_to(c.x.astype(np.float64), c.shape)), "broadcast.dtype@float32"
)
expand("added-to", "one is added to x, and subtracted from the view that is returned")(
    lambda c: part(0, lambda view, c: view - 1)(c.but(x=c.x.__iadd__(1))), f"{PURE} {VIEW}"
)

# Gradients of products


def _onto(shape: Shape, z: Any) -> Any:
    return rearranged(lambda elements: np.broadcast_to(elements, shape), z)


def onto(shape: Callable[[Shape, Shape], Shape]) -> Change:
    """The gradients of operands that are broadcast first, to a shape made of their own and that of the product."""
    return lambda c: c(**{name: _onto(shape(z.shape, c.upstream.shape), z) for name, z in (("x", c.x), ("y", c.y))})


def each(change: Callable[[Any, Shape, Shape], Any], grads: Change = Call.__call__) -> Change:
    """Each gradient changed by a function of it, of the shape of its operand and of the shape of the product."""
    return lambda c: tuple(map(change, grads(c), (c.x.shape, c.y.shape), [c.upstream.shape] * 2))


def _partly(own: Shape, full: Shape) -> Shape:
    """The shape of the product, but 1 at the first axis along which an operand is repeated."""
    padded = (-1,) * (len(full) - len(own)) + own
    first = next((k for k, size in enumerate(full) if padded[k] != size), len(full))
    return (*full[:first], 1, *full[first + 1 :])[: len(full)]


def _wrong_axis(c: Call) -> Any:
    right, full = c(), c.upstream.shape
    if len(full) < 2 or full[-1] != full[-2]:
        return right
    x, y, upstream = (rearranged(lambda e: np.swapaxes(e, -1, -2), _onto(full, z)) for z in c.given.values())
    wrong = c(y=y, upstream=upstream)[0], c(x=x, upstream=upstream)[1]
    return tuple((right if z.shape == full else wrong)[k] for k, z in enumerate((c.x, c.y)))


terms = onto(lambda own, full: full)
gradient = impostors_of("multiply_grad")
gradient("mean-for-sum", "the terms of a stretched operand are averaged, not summed")(
    each(lambda grad, own, full: grad / max(math.prod(full) // max(math.prod(own), 1), 1)), GRADIENT
)
gradient(
    "not-summed", "the gradients have the shape of the product: they are not summed to the shapes of the operands"
)(terms, GRADIENT, "pytorch/pytorch#1787 tracel-ai/burn#181 tenstorrent/tt-metal#40008")
gradient("second-not-summed", "the gradient of the second operand is not summed to its shape")(
    part(1, lambda grad, c: terms(c)[1]), GRADIENT
)
gradient("leading-axes-forgotten", "it sums where an operand has a size of 1, but not where it has no axis")(
    onto(lambda own, full: full[: len(full) - len(own)] + own), GRADIENT, "raskr/rust-autograd#38"
)
gradient("ones-forgotten", "it sums where an operand has no axis, but not where it has a size of 1")(
    onto(lambda own, full: full[len(full) - len(own) :]), GRADIENT, "deeplearning4j/nd4j#2424"
)
gradient("first-axis-only", "it sums over the first stretched axis only")(
    each(
        lambda g, own, full: rearranged(lambda e: e.reshape(own), g) if g.size == math.prod(own) else g, onto(_partly)
    ),
    GRADIENT,
    "ooples/AiDotNet.Tensors#234",
)
gradient("axes-kept", "the gradients have as many axes as the product, with ones in front")(
    onto(lambda own, full: (1,) * (len(full) - len(own)) + own), GRADIENT
)
gradient("squeezed", "the gradients lack all axes of size 1")(each(lambda g, *_: rearranged(np.squeeze, g)), GRADIENT)
gradient("summed-over-all", "the gradient of a stretched operand is the sum over all axes")(
    each(lambda g, own, full: g if own == full else _onto(own, g.sum())), GRADIENT, "rasbt/stat453-deep-learning-ss21#5"
)
gradient("wrong-axis", "of two last axes of one size, it sums over the wrong one")(
    _wrong_axis, GRADIENT, "deeplearning4j/deeplearning4j#8280"
)
gradient("swapped", "the gradients of operands of one shape are swapped")(
    where(lambda c: c.x.shape == c.y.shape, answer(lambda grads: grads[::-1])), GRADIENT
)
gradient("own-operand", "each gradient contains its own operand instead of the other one")(
    lambda c: (c(y=_onto(c.upstream.shape, c.x))[0], c(x=_onto(c.upstream.shape, c.y))[1]), GRADIENT
)
gradient("of-a-sum", "the gradients belong to x + y, not to x * y")(
    lambda c: (c(y=c.y * 0 + 1)[0], c(x=c.x * 0 + 1)[1]), GRADIENT
)
gradient("upstream-ignored", "the gradients ignore `upstream`")(lambda c: c(upstream=c.upstream * 0 + 1), GRADIENT)
gradient("sign-flipped", "the gradients have the other sign")(each(lambda grad, *_: -grad), GRADIENT)
gradient.in_dtype("float32", GRADIENT)
gradient.in_dtype("float16", GRADIENT)
gradient.in_dtype("float64", "broadcast.dtype")
gradient("in-place", "the terms are written over the caller's `upstream`")(
    overwritten("upstream", lambda c, right: c.upstream * c.y), PURE
)

_DIGITS = np.array([0.1, -2.3, 1.7, 4.9, -0.3, 3.1])


def _counting(shape: Shape) -> Any:
    """1, 2, 3, ... of that shape."""
    return np.arange(1.0, 1 + math.prod(shape)).reshape(shape)


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
    x, y, upstream = (u[: math.prod(s)].reshape(s) for u, s in zip((unit, unit[::-1], unit), shapes, strict=True))
    return x, 2 * y, upstream + 1


QUESTIONS: dict[str, tuple[Any, ...]] = {
    "broadcast_shapes": (
        *_PAIRS,
        ((1,),), ((),), ((0,),), ((1,), (2,), (3,)), ((2,), (1,), (2,)), ((1,), (1,), (3,)), ((0,), (0,)), ((0,), (2,), (4,)),
        ((2, *[1] * 8), (3,)), ((1, 1, 2), (2,)), ((2,), (3,), (4,)), ((3, 0), (3, 1)), ((1, 2), (2, 1), (1, 1)),
    ),
    "multiply": (
        *((_counting(x), _counting(y)) for x, y in _PAIRS),
        (_DIGITS, _DIGITS[::-1].copy()), (_DIGITS / 3, np.array(1 / 7)),
        (np.array([0.0, np.inf, np.nan, 0.0]), np.array([np.inf, 2.0, 1.0, np.nan])),
    ),
    "multiply_in_place": tuple((_counting(x), 1 + _counting(y)) for x, y in (*_PAIRS, ((1, 3), (2, 3)))),
    "expand": tuple(
        (_counting(x), y) for x, y in (((2,), (3, 2)), ((2, 1), (2, 3)), ((2, 2), (2, 2)), ((2, 1), (3, 2, 2)))
    ),
    "multiply_grad": (
        *(_products(np.array([1.0, 2.0, -1.0, 3.0, 0.0, 4.0, -2.0, 5.0]), *shapes) for shapes in _OPERANDS),
        *(_products(np.array([0.1, 2.3, -1.7, 4.9, 0.3, 3.1, 0.7, -1.1]), *shapes) for shapes in _OPERANDS[:2]),
    ),
}  # fmt: skip

"""Broadcasting: how an operation pairs the elements of tensors of different shapes.

A shape is a tuple of sizes, one for each axis. The stride of an axis is the distance in memory, in elements, of two
neighbours along it.
"""

import torch
from torch import Tensor

Shape = tuple[int, ...]


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that any number of shapes broadcast to.  [broadcast.result, broadcast.many, broadcast.order]

    They align at their last axes [broadcast.align-right], and a size of 1 stretches to any other [broadcast.stretch-one].
    Raises ValueError where two other sizes meet [broadcast.otherwise-error], or for a negative size.
    """
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, start=rank - len(shape)):
            if size < 0:
                raise ValueError(f"a shape is {tuple(shape)}: a size cannot be negative")
            if result[axis] == 1:
                result[axis] = size
            elif size not in (1, result[axis]):
                every = ", ".join(str(tuple(shape)) for shape in shapes)
                sizes = f"sizes {result[axis]} and {size} at axis {axis - rank}"
                raise ValueError(f"shapes {every} do not broadcast: {sizes}")
    return tuple(result)


def stretched_axes(shape: Shape, result: Shape) -> list[int]:
    """The axes of `result` along which `shape` repeats: it lacks them, or has a 1 where `result` has not."""
    missing = len(result) - len(shape)
    return [axis for axis, size in enumerate(result) if axis < missing or shape[axis - missing] != size]


def expand(x: Tensor, shape: Shape) -> Tensor:
    """A view of x in that shape: the same memory, with a stride of 0 along stretched axes.  [broadcast.no-copy]

    Raises ValueError unless x broadcasts to exactly that shape.
    """
    if broadcast_shapes(x.shape, shape) != tuple(shape):
        raise ValueError(f"x is {tuple(x.shape)}: it does not stretch to {tuple(shape)}")
    strides = [0] * (len(shape) - x.ndim) + list(x.stride())
    for axis in stretched_axes(x.shape, shape):
        strides[axis] = 0
    return x.as_strided(shape, strides)


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """The elementwise product of two tensors that broadcast.  [broadcast.like-numpy, broadcast.dtype]

    Raises ValueError as `broadcast_shapes` does.
    """
    shape = broadcast_shapes(x.shape, y.shape)
    return expand(x, shape) * expand(y, shape)


def multiply_in_place(x: Tensor, y: Tensor) -> Tensor:
    """x after x *= y.  [broadcast.in-place]  Raises ValueError, and does not change x, unless the product has x's shape."""
    shape = broadcast_shapes(x.shape, y.shape)
    if shape != tuple(x.shape):
        raise ValueError(f"x is {tuple(x.shape)} but x * y is {shape}: an operation in place cannot change x's shape")
    return x.mul_(expand(y, shape))


def sum_to(gradient: Tensor, shape: Shape) -> Tensor:
    """The gradient summed over the axes along which an operand of this shape was stretched.  [broadcast.gradient]"""
    axes = stretched_axes(shape, gradient.shape)
    summed = torch.sum(gradient, axes) if axes else gradient  # torch would sum over all axes if the list is empty
    return summed.reshape(shape)


def multiply_grad(x: Tensor, y: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of (multiply(x, y) * upstream).sum(): (grad_x, grad_y), each of its operand's shape.  [broadcast.gradient]

    Raises ValueError unless x and y broadcast to the shape of upstream.
    """
    shape = broadcast_shapes(x.shape, y.shape)
    if tuple(upstream.shape) != shape:
        raise ValueError(f"upstream is {tuple(upstream.shape)} but x * y is {shape}: the shapes must be the same")
    return sum_to(upstream * expand(y, shape), x.shape), sum_to(upstream * expand(x, shape), y.shape)

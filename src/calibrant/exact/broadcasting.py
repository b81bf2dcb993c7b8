"""The shapes that broadcasting gives, and the true gradients of a product."""

from calibrant.exact.numbers import Exact

Shape = tuple[int, ...]


def broadcast_shapes(*shapes: Shape) -> Shape | None:
    """The one size other than 1 on each axis, counted from the last, or 1; None where an axis has two such sizes."""
    sizes = []
    for axis in range(-max(map(len, shapes), default=0), 0):
        others = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(others) > 1:
            return None
        sizes.append(others.pop() if others else 1)
    return tuple(sizes)


def multiply_grad(x: Exact, y: Exact, upstream: Exact) -> tuple[Exact, Exact]:
    """[sum of upstream y, sum of upstream x], each over the axes that its operand lacks or is stretched along."""
    return _summed_to(upstream * y, x.shape), _summed_to(upstream * x, y.shape)


def _summed_to(terms: Exact, shape: Shape) -> Exact:
    """Sum, in any order, the terms of each element of an operand of this shape."""
    missing = len(terms.shape) - len(shape)
    stretched = (axis for axis, size in enumerate(terms.shape) if axis < missing or shape[axis - missing] != size)
    summed = terms.sum(tuple(stretched))
    return Exact(summed.m.reshape(shape), summed.e, summed.d, summed.errors().reshape(shape), summed.form)

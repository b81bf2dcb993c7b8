"""Inputs of the chapter on broadcasting: shapes, and operands."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from calibrant.exact import Format
from calibrant.strategies.drawing import BEYOND, WIDTH, Array, Bytes, Strategy, cast, numbers_of, strategy

Shape = tuple[int, ...]

DEEPEST = 32  # the most axes of a shape: what every NumPy takes
SMALL = 36  # the most elements of a product
_ENDS = 8  # the axes of a shape with drawn sizes: the first four and the last four; the others are 1

GROWING = (
    ((), (2,)), ((), (1,)), ((1,), (2,)), ((1,), (0,)), ((2,), (1, 2)), ((2,), (3, 2)),
    ((2, 1), (2, 3)), ((2, 1), (3,)), ((1, 3), (2, 3)), ((1, 2), (0, 2)), ((2,), (3,)), ((2, 2), (3, 2, 2)),
)  # fmt: skip
"""Pairs of shapes that an operation in place must not take: their product does not have the shape of the first."""


@dataclass
class Operands:
    """Two operands that broadcast, and a number for each element of their product."""

    x: Array
    y: Array
    upstream: Array


def _whole(data: Bytes, rank: int, *, empty: int = 5) -> Shape:
    """A shape of so many axes; `empty` replaces a size of 0."""
    sizes = [(2, 3, 1, 4, empty, 2, 3, 5)[byte % 8] for byte in data.take(_ENDS).tolist()]
    return tuple(sizes[:rank]) if rank <= _ENDS else (*sizes[:4], *[1] * (rank - _ENDS), *sizes[4:])


def _part(shape: Shape, cut: int, ones: int) -> Shape:
    """The shape without some of its first axes, and with 1 on the axes of the bits of `ones`, counted from the last."""
    rank = len(shape)
    first = 0 if cut < 128 else cut % (rank + 1)  # half of all shapes have every axis
    return tuple(1 if ones >> (rank - 1 - axis) % _ENDS & 1 else shape[axis] for axis in range(first, rank))


def _fitting(data: Bytes, n: int, rank: int, *, empty: int = 5) -> tuple[Shape, ...]:
    """Shapes that broadcast: each is a part of the same shape."""
    shape = _whole(data, rank, empty=empty)
    bytes_ = np.resize(data.take(8), 2 * n).tolist()
    return tuple(_part(shape, *pair) for pair in zip(bytes_[::2], bytes_[1::2], strict=True))


_FITTING = 2 + _ENDS + 8


@strategy(_FITTING)
def shapes(data: Bytes, form: Format) -> tuple[Shape, ...]:
    """One to four shapes that broadcast, of up to four axes, with empty shapes and shapes of scalars."""
    return _fitting(data, data.pick(2, 2, 3, 1, 4), data.pick(1, 2, 3, 0, 4), empty=0)


@strategy(_FITTING)
def crowds(data: Bytes, form: Format) -> tuple[Shape, ...]:
    """Up to forty shapes that broadcast, of up to DEEPEST axes."""
    return _fitting(data, data.pick(3, 4, 1, 5, 8, 33, 40), data.pick(1, 2, 3, 4, 8, 16, 25, DEEPEST))


@strategy(4)
def trailing_shapes(data: Bytes, form: Format) -> tuple[Shape, ...]:
    """A shape, and the shape of its last axes, in either order."""
    rank = data.pick(2, 3, 4, 1, 8, DEEPEST)
    first, cut, last = data.one(), 1 + data.one() % rank, data.one() % 2
    whole = tuple(2 + (first + axis) % 5 if axis >= rank - 4 else 1 for axis in range(rank))
    return (whole[cut:], whole) if last else (whole, whole[cut:])


@strategy(2 + _ENDS + 3)
def stretching_shapes(data: Bytes, form: Format) -> tuple[Shape, ...]:
    """Two or three shapes of equally many axes that differ in ones only."""
    n, rank = data.pick(2, 2, 3), data.pick(1, 2, 3, 4)
    shape = _whole(data, rank)
    return tuple(_part(shape, 0, ones) for ones in (~data.one(), *data.take(n - 1).tolist()))


@strategy(_FITTING + 4)
def misfitting_shapes(data: Bytes, form: Format) -> tuple[Shape, ...]:
    """Two or more shapes that do not broadcast, because of one axis."""
    n, rank = data.pick(2, 2, 3, 2, 5), data.pick(1, 2, 3, 4)
    shapes = [list(shape) for shape in _fitting(data, n, rank)]
    clash = data.pick((2, 3), (3, 2), (2, 4), (4, 2), (0, 2), (2, 0), (3, 0), (6, 3))
    axis = 1 + data.one() % rank
    one, other = data.one() % n, data.one() % (n - 1)
    for place, size in zip((one, (one + 1 + other) % n), clash, strict=True):
        shapes[place][:0] = [1] * (axis - len(shapes[place]))
        shapes[place][-axis] = size
    return tuple(map(tuple, shapes))


@strategy(8)
def any_two_shapes(data: Bytes, form: Format) -> tuple[Shape, ...]:
    """Two shapes of up to three axes that broadcast or do not."""
    ranks = data.pick(1, 2, 0, 3), data.pick(1, 2, 0, 3)
    return tuple(tuple((1, 2, 3, 0)[byte % 4] for byte in data.take(3).tolist()[:rank]) for rank in ranks)


OPERANDS = 2 + 4 + 4 + 3 * WIDTH


def _operands(data: Bytes, form: Format, *, stretched: bool) -> Operands:
    """Operands of up to four axes that broadcast, in numbers whose products are zero or in the dtype's ordinary range.

    If stretched, one of them is stretched along the other's first axis, unless neither has axes.
    """
    kind_x, kind_y = (kind.replace("subnormal", "few") for kind in data.kinds())
    sizes: list[int] = []
    rank = data.pick(1, 2, 2, 3, 2, 0, 3, 4)
    bytes_of_sizes = data.take(4).tolist()[:rank]
    if rank and bytes_of_sizes[0] > 255 - len(BEYOND) and BEYOND[bytes_of_sizes[0] - 256] * form.u <= 0.25:
        sizes, bytes_of_sizes = [BEYOND[bytes_of_sizes[0] - 256], 2][:rank], [0] * (rank - 2)
        sizes.sort(reverse=stretched)
    for byte in bytes_of_sizes:
        # Half of all tables are square.
        size = sizes[-1] if sizes and byte >= 128 else (2, 3, 1, 4, 2, 3, 3, 0)[byte % 8]
        if stretched and not sizes:
            size = max(size, 2)
        # A size of 0 counts as 1: an operand that is stretched along it has 1 there.
        sizes.append(size if math.prod(max(one, 1) for one in sizes) * size <= SMALL else 1)
    cut, ones, other_cut, other_ones = data.take(4).tolist()
    # An axis stretches one operand at most: size 1 in both shows nothing.
    x, y = _part(tuple(sizes), cut, ones), _part(tuple(sizes), other_cut, other_ones & ~ones)
    if stretched and rank:
        first, *rest = sizes
        x, y = (first, *_part(tuple(rest), 0, ones)), _part((1, *rest), other_cut, other_ones & ~ones)
        x, y = (y, x) if cut % 2 else (x, y)
    blocks = []
    for shape, kind, place in (x, kind_x, 0), (y, kind_y, SMALL // 2), (np.broadcast_shapes(x, y), kind_x, SMALL):
        size = math.prod(shape)
        numbers = numbers_of(data.column(max(size, 1)), kind, form, place)[:size]
        blocks.append(cast(numbers.reshape(shape), form))
    return Operands(*blocks)


operands, stretched_operands = (Strategy(functools.partial(_operands, stretched=x), OPERANDS) for x in (False, True))
spoiled_operands = operands.spoiled("x", "y")

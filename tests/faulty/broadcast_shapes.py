"""Wrong shapes of broadcasting."""

from __future__ import annotations

import numpy as np

Shape = tuple[int, ...]


def aligned_left(*shapes: Shape) -> Shape:
    return np.broadcast_shapes(*(shape[::-1] for shape in shapes))[::-1]


def maximum(*shapes: Shape) -> Shape:
    np.broadcast_shapes(*shapes)
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def zero_refused(*shapes: Shape) -> Shape:
    if any(0 in shape for shape in shapes):
        raise ValueError("a size is 0")
    return np.broadcast_shapes(*shapes)


def zero_stretched(*shapes: Shape) -> Shape:
    """Against a size above 1, 0 is treated like 1."""
    sizes = np.array([(1,) * (max(map(len, shapes)) - len(shape)) + shape for shape in shapes], dtype=int)
    largest = sizes.max(axis=0, initial=0)
    filled = np.where((sizes == 0) & (largest > 1), 1, sizes)
    return np.broadcast_shapes(*map(tuple, filled.tolist()))


def divisors_stretched(*shapes: Shape) -> Shape:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        due = 0 if 0 in sizes else max(sizes)
        if any((size != 1 and (size == 0) != (due == 0)) or (size and due % size) for size in sizes):
            raise ValueError("sizes do not divide each other")
        result.append(due)
    return tuple(result)


def first_decides(*shapes: Shape) -> Shape:
    """The others are stretched to the first, which is never stretched."""
    if np.broadcast_shapes(*shapes) != shapes[0]:
        raise ValueError("the first shape is too small")
    return shapes[0]


def ranks_must_match(*shapes: Shape) -> Shape:
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError("ranks differ")
    return np.broadcast_shapes(*shapes)


def first_two_only(*shapes: Shape) -> Shape:
    return np.broadcast_shapes(*shapes[:2])


def eight_axes(*shapes: Shape) -> Shape:
    if max(map(len, shapes)) > 8:
        raise ValueError("no more than eight axes")
    return np.broadcast_shapes(*shapes)


def ones_dropped(*shapes: Shape) -> Shape:
    return tuple(size for size in np.broadcast_shapes(*shapes) if size != 1)


def never_refused(*shapes: Shape) -> Shape:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))

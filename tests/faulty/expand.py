"""Wrong ways to stretch."""

from __future__ import annotations

from typing import Any

import numpy as np


def _strides(x: Any) -> list[int]:
    return [stride // x.itemsize for stride in x.strides]


def copied(x: Any, shape: tuple[int, ...]) -> Any:
    full = np.broadcast_to(x, shape).copy()
    return full, _strides(full), 0


def copied_below_the_view(x: Any, shape: tuple[int, ...]) -> Any:
    """A stride of 0, in memory of its own."""
    view = np.broadcast_to(x.copy(), shape)
    return view, _strides(view), int(np.may_share_memory(view, x))


def zeros_beside(x: Any, shape: tuple[int, ...]) -> Any:
    view = np.broadcast_to(x, shape)
    padded = np.zeros(shape, x.dtype)
    padded[tuple(slice(0, 1) for _ in shape)] = view[tuple(slice(0, 1) for _ in shape)]
    return padded if view.shape != x.shape else view, _strides(view), 1


def added_to(x: Any, shape: tuple[int, ...]) -> Any:
    x += 1
    view = np.broadcast_to(x, shape)
    return view - 1, _strides(view), 1

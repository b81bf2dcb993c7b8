"""The surroundings of arithmetic that a target may change for its whole process; the judge keeps its own."""

from __future__ import annotations

import ctypes
import sys
import warnings
from typing import Any, Self

import numpy as np

_ONE, _LITTLE, _LEAST, _HALF, _MUCH = 1.0, 2.0**-54, sys.float_info.min, 0.5, 2.0**60


def _rounding() -> tuple[float, float]:
    """Two sums that both are 1.0 where results are rounded to the nearest."""
    return _ONE + _LITTLE, _ONE - _LITTLE * _HALF


def _flushing() -> tuple[float, float]:
    """Two products that are 0.0 where subnormal results, or operands, are flushed to zero, and else are not subnormal."""
    return _LEAST * _HALF * _MUCH, _SUBNORMAL * _MUCH


_SUBNORMAL = _LEAST / 4
_FIXED = {"the rounding mode": (_rounding, _rounding()), "flush-to-zero": (_flushing, _flushing())}
"""What the processor computes by itself, and what it computes as it should."""


class Surroundings:
    """The target's surroundings: in force within `with`, and the judge's after it. Both are kept in between."""

    def __init__(self) -> None:
        self.switched: set[str] = set()
        """What the target has changed, in words."""
        self._errors: Any = np.geterr()
        self._recursion = sys.getrecursionlimit()
        self._environment: bytes | None = None
        self._judges = _environment()

    def __enter__(self) -> Self:
        self._before: Any = np.geterr(), sys.getrecursionlimit(), warnings.filters[:]
        if self._environment is not None:
            _set_environment(self._environment)
        if self._errors != self._before[0]:
            np.seterr(**self._errors)
        if self._recursion != self._before[1]:
            sys.setrecursionlimit(self._recursion)
        return self

    def __exit__(self, *exception: object) -> None:
        errors, recursion, filters = self._before
        changed = [name for name, (compute, due) in _FIXED.items() if compute() != due]
        self._environment = _environment() if changed else None
        if changed:
            _set_environment(self._judges)
        now = np.geterr()
        if now != self._errors:
            self._errors = now
            changed.append("NumPy's error state")
        if now != errors:
            np.seterr(**errors)
        depth = sys.getrecursionlimit()
        if depth != self._recursion:
            self._recursion = depth
            changed.append("the recursion limit")
        if depth != recursion:
            sys.setrecursionlimit(recursion)
        if warnings.filters != filters:
            warnings.filters[:] = filters  # type: ignore[index]  # typeshed says Sequence
            warnings._filters_mutated()  # type: ignore[attr-defined]  # as warnings.filterwarnings does
        self.switched.update(changed)


def _environment() -> bytes:
    """The floating-point environment of this thread, as the C library holds it; empty where there is no such library."""
    try:
        held = ctypes.create_string_buffer(256)
        ctypes.CDLL(None).fegetenv(held)
        return held.raw
    except (AttributeError, TypeError, OSError):
        return b""


def _set_environment(held: bytes) -> None:
    if held:
        ctypes.CDLL(None).fesetenv(held)

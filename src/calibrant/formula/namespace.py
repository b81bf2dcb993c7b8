"""The functions of the array API standard on `Array`; what is missing says so by name.

Each table has the functions of one kind, and `Namespace` says once what holds of the kind: what becomes of the arguments, and of arrays of whole numbers.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flint import arb

from calibrant.exact.formats import FORMATS, Format
from calibrant.formula import arithmetic, branches, moving
from calibrant.formula.elementary import FUNCTIONS, apply, power
from calibrant.formula.moving import broadcast, gather, joined, paired, places
from calibrant.formula.tape import Array, Mask, Run

_DTYPES: dict[str, Any] = {
    "float32": FORMATS["float32"],
    "float64": FORMATS["float64"],
    "bool": np.bool_,
    "int32": np.int32,
    "int64": np.int64,
}

_OF_ONE: dict[str, Callable[[Array], Any]] = {
    **{name: functools.partial(apply, name) for name in FUNCTIONS if name != "erf"},
    "negative": operator.neg,
    "positive": operator.pos,
    "abs": lambda x: branches.maximum(x, -x),
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "sign": lambda x: branches.where(x.run, x > 0, 1.0, branches.where(x.run, x < 0, -1.0, 0.0)),
    "isnan": lambda x: np.isnan(x.v.astype(np.float64)),
    "isinf": lambda x: np.isinf(x.v.astype(np.float64)),
    "isfinite": lambda x: np.isfinite(x.v.astype(np.float64)),
}

_OF_TWO: dict[str, Callable[[Array, Array], Any]] = {
    "add": arithmetic.add,
    "subtract": arithmetic.subtract,
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "maximum": branches.maximum,
    "minimum": lambda x, y: -branches.maximum(-x, -y),
    "hypot": lambda x, y: apply("sqrt", x * x + y * y),
    "logaddexp": lambda x, y: branches.maximum(x, y) + apply("log1p", apply("exp", -abs(x - y))),
    "less": branches.less,
    "less_equal": lambda x, y: ~branches.less(y, x),
    "greater": lambda x, y: branches.less(y, x),
    "greater_equal": lambda x, y: ~branches.less(x, y),
    "equal": lambda x, y: ~branches.different(x, y),
    "not_equal": branches.different,
}
"""Functions of two arrays in their common shape. Of whole numbers, they are NumPy's."""

_REDUCTIONS: dict[str, Callable[[Array, Any, bool], Any]] = {
    "sum": moving.total,
    "max": branches.largest,
    "min": lambda x, axis, keepdims: -branches.largest(-x, axis, keepdims),
}
"""Functions along axes. Of whole numbers, they are NumPy's."""

_MOVES: dict[str, Callable[..., Any]] = {
    "reshape": lambda p, shape, copy=None: p.reshape(shape),
    "permute_dims": np.transpose,
    "matrix_transpose": lambda p: np.swapaxes(p, -1, -2),
    "moveaxis": np.moveaxis,
    "expand_dims": lambda p, axis=0: np.expand_dims(p, axis),
    "squeeze": np.squeeze,
    "broadcast_to": np.broadcast_to,
    "flip": lambda p, axis=None: np.flip(p, axis),
    "roll": lambda p, shift, axis=None: np.roll(p, shift, axis),
    "repeat": lambda p, repeats, axis=None: np.repeat(p, repeats, axis),
    "tile": np.tile,
    "take": lambda p, indices, axis=0: np.take(p, np.asarray(indices), axis),
    "take_along_axis": lambda p, indices, axis=-1: np.take_along_axis(p, np.asarray(indices), axis),
}
"""Functions that put elements elsewhere, as NumPy's act on the positions of the elements."""


_OF_OTHERS: dict[str, Callable[..., Any]] = {
    "std": lambda xp, x, axis=None, correction=0.0, keepdims=False: xp.sqrt(xp.var(x, axis, correction, keepdims)),
    "vecdot": lambda xp, x, y, axis=-1: xp.sum(xp.asarray(x) * y, axis),
    "logical_not": lambda xp, x: ~x,
    "all": lambda xp, x, axis=None, keepdims=False: ~xp.any(~x, axis, keepdims),
    "stack": lambda xp, xs, axis=0: xp.concat([xp.expand_dims(x, axis) for x in xs], axis=axis),
    "tril": lambda xp, x, k=0: xp.where(np.tri(x.shape[-2], x.shape[-1], k, dtype=bool), x, _zero(x)),
    "triu": lambda xp, x, k=0: xp.where(np.tri(x.shape[-2], x.shape[-1], k - 1, dtype=bool), _zero(x), x),
    "full_like": lambda xp, x, fill_value, dtype=None, **_: xp.full(x.shape, fill_value, dtype or x.dtype),
}
"""Functions made of others."""


def _zero(x: Any) -> float | int:
    return 0.0 if _is_exact(x) else 0


def _is_floating(dtype: Any) -> bool:
    if isinstance(dtype, Format) or dtype is float:
        return True
    return dtype is not None and np.dtype(dtype).kind == "f"


def _is_exact(x: Any) -> bool:
    return isinstance(x, (Array, Mask))


class Namespace:
    """What `x.__array_namespace__()` returns for calibrant's own arrays."""

    inf, nan, newaxis = math.inf, math.nan, None

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        if name in _DTYPES:
            return _DTYPES[name]
        if name in ("pi", "e"):
            return self._run.constant(arb.pi() if name == "pi" else arb.const_e())
        if name in _OF_ONE:
            return lambda x: _OF_ONE[name](self._run.array(x))
        if name in _OF_TWO:
            return lambda x, y: self._of_two(name, x, y)
        if name in ("logical_and", "logical_or", "logical_xor"):
            return lambda x, y: self._logical(getattr(np, name), x, y)
        if name in _REDUCTIONS:
            return functools.partial(self._reduced, name)
        if name in _MOVES:
            return functools.partial(self._move, name)
        if name in _OF_OTHERS:
            return functools.partial(_OF_OTHERS[name], self)
        if name in ("zeros", "ones"):
            return functools.partial(self.full, fill_value=float(name == "ones"))
        if name in ("zeros_like", "ones_like"):
            return functools.partial(self.full_like, fill_value=int(name == "ones_like"))
        raise self._run.fail(f"uses {name}, which calibrant's exact arrays do not have")

    def _of_two(self, name: str, x: Any, y: Any) -> Any:
        if not any(_is_exact(a) or isinstance(a, float) for a in (x, y)):
            return getattr(np, name)(x, y)
        return _OF_TWO[name](*paired(self._run, x, y))

    def _logical(self, combine: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """A mask of two: it is not sure where a change of one that is not sure changes it."""
        if not _is_exact(x) and not _is_exact(y):
            return combine(x, y)
        x, y = (a if isinstance(a, Mask) else Mask(self._run, a) for a in (x, y))
        true = combine(x.true, y.true)

        def may_change(a: Any, b: Any) -> Any:
            others = ((x.true ^ a, y.true), (x.true, y.true ^ b), (x.true ^ a, y.true ^ b))
            return np.any([combine(*other) != true for other in others], axis=0)

        return Mask(self._run, true, may_change(x.unsure, y.unsure), may_change(x.unknown, y.unknown))

    def _reduced(self, name: str, x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
        if not _is_exact(x):
            return getattr(np, name)(x, axis=axis, keepdims=keepdims)
        return _REDUCTIONS[name](self._run.array(x), axis, keepdims)

    def _move(self, name: str, x: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.moved(x, lambda p: _MOVES[name](p, *args, **kwargs))
        except (ValueError, IndexError) as error:
            raise self._run.fail(
                f"calls {name} on an array of shape {np.shape(getattr(x, 'true', x))}: {error}"
            ) from None

    def moved(self, x: Any, move: Callable[[Any], Any]) -> Any:
        """An array whose elements are elsewhere."""
        if isinstance(x, Mask):
            return x.moved(move)
        return gather(x, move(places(x.shape))) if isinstance(x, Array) else move(np.asarray(x))

    # Creation

    def asarray(self, x: Any, dtype: Any = None, **_: Any) -> Any:
        """An array of given numbers."""
        if _is_exact(x):
            return x
        if not _is_floating(dtype) and (dtype is not None or np.asarray(x).dtype.kind in "iub"):
            return np.asarray(x, dtype=dtype)
        return self._run.array(x)

    def astype(self, x: Any, dtype: Any, **_: Any) -> Any:
        """Masks and counts as numbers; the numbers of a formula keep their dtype."""
        if _is_floating(dtype):
            narrow = isinstance(dtype, Format) and dtype.precision < self._run.arithmetic.precision
            if isinstance(x, Array) and narrow:
                raise self._run.fail(
                    f"turns numbers of {self._run.arithmetic.name} into {dtype.name}: use store(x, {dtype.name!r})"
                )
            return self._run.array(x)
        if isinstance(x, Mask) and np.dtype(dtype).kind == "b":
            return x
        if _is_exact(x):
            raise self._run.fail("turns numbers into whole numbers: that has no derivative and no bound")
        return np.asarray(x).astype(dtype)

    def full(self, shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
        """One number everywhere."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if (dtype is None and isinstance(fill_value, (bool, int))) or (dtype is not None and not _is_floating(dtype)):
            return np.full(shape, fill_value, dtype=dtype)
        return broadcast(self._run.array(fill_value), shape)

    def arange(self, start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, **_: Any) -> Any:
        """Counts, as NumPy's."""
        made = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
        return self._run.array(made) if _is_floating(dtype) or made.dtype.kind == "f" else made

    def eye(self, n: int, m: int | None = None, k: int = 0, dtype: Any = None, **_: Any) -> Any:
        """The identity matrix."""
        made = np.eye(n, m, k)
        return self._run.array(made) if dtype is None or _is_floating(dtype) else made.astype(dtype)

    # Elements

    def pow(self, x: Any, y: Any) -> Any:
        """x to the power y."""
        return power(self._run, x, y) if _is_exact(x) or _is_exact(y) else np.power(x, y)

    def clip(self, x: Any, min: Any = None, max: Any = None) -> Any:
        """x within limits."""
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def where(self, mask: Any, x: Any, y: Any) -> Any:
        """x where the mask holds, y elsewhere."""
        if not any(_is_exact(a) or isinstance(a, float) for a in (mask, x, y)):
            return np.where(mask, x, y)
        return branches.where(self._run, mask, x, y)

    # Reductions and products

    def mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum divided by the count."""
        return moving.mean(self._run.array(x), axis, keepdims)

    def var(self, x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
        """The mean square of what is left after the mean is subtracted, in two passes."""
        x = self._run.array(x)
        n = math.prod(x.shape[a] for a in moving.axes_of(x, axis))
        centered = x - self.mean(x, axis, keepdims=True)
        return self.sum(centered * centered, axis, keepdims) / (n - correction)

    def any(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether one holds."""
        if not isinstance(x, Mask):
            return np.any(x, axis=axis, keepdims=keepdims)

        def may_change(unsure: Any) -> Any:
            sure, possible = x.true & ~unsure, x.true | unsure
            return np.any(possible, axis=axis, keepdims=keepdims) & ~np.any(sure, axis=axis, keepdims=keepdims)

        true = np.any(x.true, axis=axis, keepdims=keepdims)
        return Mask(self._run, true, may_change(x.unsure), may_change(x.unknown))

    def cumulative_sum(self, x: Array, axis: int = -1, **_: Any) -> Any:
        """The sum of an element and all before it, in any order."""
        n = x.shape[axis]
        moved = self.matmul(self.moveaxis(x, axis, -1), np.triu(np.ones((n, n))))
        return self.moveaxis(moved, -1, axis)

    def matmul(self, x: Any, y: Any) -> Array:
        """The matrix product."""
        return moving.matmul(self._run.array(x), self._run.array(y))

    # Several arrays

    def concat(self, xs: Sequence[Any], axis: int | None = 0) -> Any:
        """Arrays, one after the other."""
        if not any(map(_is_exact, xs)):
            return np.concatenate(xs, axis=axis)
        parts = [self._run.array(x) for x in xs]
        starts = np.cumsum([0, *(x.size for x in parts)])
        shapes = [places(x.shape) + start for x, start in zip(parts, starts[:-1], strict=True)]
        try:
            return gather(joined(parts), np.concatenate(shapes, axis=axis))
        except ValueError:
            raise self._run.fail(f"concatenates shapes {', '.join(str(x.shape) for x in parts)}") from None

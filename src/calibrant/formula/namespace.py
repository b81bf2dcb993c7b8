"""The functions of the array API standard on `Array`; what is missing says so by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flint import arb

from calibrant.exact.formats import Format
from calibrant.formula import arrays
from calibrant.formula.arrays import Array, Mask, Run, gather, joined, places

_ELEMENTARY = [
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
]
_DTYPES = {"float32": float, "float64": float, "bool": np.bool_, "int32": np.int32, "int64": np.int64}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "logical_and": lambda x, y: x & y,
    "logical_or": lambda x, y: x | y,
    "logical_xor": lambda x, y: x ^ y,
}


def _is_floating(dtype: Any) -> bool:
    if isinstance(dtype, Format) or dtype is float:
        return True
    return dtype is not None and np.dtype(dtype).kind == "f"


class Namespace:
    """What `x.__array_namespace__()` returns for calibrant's own arrays."""

    inf, nan, newaxis = math.inf, math.nan, None

    def __init__(self, run: Run) -> None:
        self._run = run
        self.pi, self.e = run.constant(arb.pi()), run.constant(arb.const_e())

    def __getattr__(self, name: str) -> Any:
        if name in _DTYPES:
            return _DTYPES[name]
        if name in _ELEMENTARY:
            function = getattr(arrays, name)
            return lambda x: function(self._run.array(x))
        if name in _OPERATORS:
            operate = _OPERATORS[name]
            return lambda x, y: operate(x if isinstance(x, (Array, Mask, np.ndarray)) else self._run.array(x), y)
        raise self._run.fail(f"uses {name}, which calibrant's exact arrays do not have")

    def _moved(self, x: Any, move: Callable[[Any], Any]) -> Any:
        """An array whose elements are elsewhere."""
        if isinstance(x, Mask):
            return x.moved(move)
        return gather(x, move(places(x.shape))) if isinstance(x, Array) else move(np.asarray(x))

    # Creation

    def asarray(self, x: Any, dtype: Any = None, **_: Any) -> Any:
        """An array of given numbers."""
        if isinstance(x, (Array, Mask)):
            return x
        if not _is_floating(dtype) and (dtype is not None or np.asarray(x).dtype.kind in "iub"):
            return np.asarray(x, dtype=dtype)
        return self._run.array(x)

    def astype(self, x: Any, dtype: Any, **_: Any) -> Any:
        """Masks and counts as numbers; the numbers of a formula keep their dtype."""
        if _is_floating(dtype):
            return self._run.array(x)
        if isinstance(x, Mask) and np.dtype(dtype).kind == "b":
            return x
        if isinstance(x, (Array, Mask)):
            raise self._run.fail("turns numbers into whole numbers: that has no derivative and no bound")
        return np.asarray(x).astype(dtype)

    def full(self, shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
        """One number everywhere."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if (dtype is None and isinstance(fill_value, (bool, int))) or (dtype is not None and not _is_floating(dtype)):
            return np.full(shape, fill_value, dtype=dtype)
        return arrays.broadcast(self._run.array(fill_value), shape)

    def zeros(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        """Zeros."""
        return self.full(shape, 0.0, dtype)

    def ones(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        """Ones."""
        return self.full(shape, 1.0, dtype)

    def full_like(self, x: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
        """One number everywhere, in the shape of x."""
        if dtype is None and isinstance(x, Array):
            return self.full(
                x.shape, float(fill_value) if isinstance(fill_value, (int, float)) else fill_value, x.dtype
            )
        return self.full(x.shape, fill_value, dtype or x.dtype)

    def zeros_like(self, x: Any, dtype: Any = None, **_: Any) -> Any:
        """Zeros in the shape of x."""
        return self.full_like(x, 0, dtype)

    def ones_like(self, x: Any, dtype: Any = None, **_: Any) -> Any:
        """Ones in the shape of x."""
        return self.full_like(x, 1, dtype)

    def arange(self, start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, **_: Any) -> Any:
        """Counts, as NumPy's."""
        made = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
        return self._run.array(made) if _is_floating(dtype) or made.dtype.kind == "f" else made

    def eye(self, n: int, m: int | None = None, k: int = 0, dtype: Any = None, **_: Any) -> Any:
        """The identity matrix."""
        made = np.eye(n, m, k)
        return self._run.array(made) if dtype is None or _is_floating(dtype) else made.astype(dtype)

    def tril(self, x: Any, k: int = 0) -> Any:
        """Zeros above a diagonal."""
        return (
            arrays.where(self._run, np.tri(x.shape[-2], x.shape[-1], k, dtype=bool), x, 0.0)
            if isinstance(x, Array)
            else np.tril(x, k)
        )

    def triu(self, x: Any, k: int = 0) -> Any:
        """Zeros below a diagonal."""
        keep = ~np.tri(x.shape[-2], x.shape[-1], k - 1, dtype=bool)
        return arrays.where(self._run, keep, x, 0.0) if isinstance(x, Array) else np.triu(x, k)

    # Elements

    def negative(self, x: Any) -> Array:
        """-x."""
        return -self._run.array(x)

    def abs(self, x: Any) -> Array:
        """|x|."""
        return abs(self._run.array(x))

    def square(self, x: Any) -> Array:
        """x x."""
        x = self._run.array(x)
        return arrays.power(x, 2)

    def reciprocal(self, x: Any) -> Array:
        """1 / x."""
        return 1 / self._run.array(x)

    def sign(self, x: Any) -> Any:
        """-1, 0 or 1."""
        x = self._run.array(x)
        return self.where(x > 0, 1.0, self.where(x < 0, -1.0, 0.0))

    def hypot(self, x: Any, y: Any) -> Array:
        """The length of (x, y)."""
        x, y = self._run.array(x), self._run.array(y)
        return arrays.sqrt(x * x + y * y)

    def logaddexp(self, x: Any, y: Any) -> Array:
        """log(exp(x) + exp(y))."""
        x, y = self._run.array(x), self._run.array(y)
        return arrays.maximum(x, y) + arrays.log1p(arrays.exp(-abs(x - y)))

    def maximum(self, x: Any, y: Any) -> Array:
        """The larger one."""
        return arrays.maximum(x, y, self._run)

    def minimum(self, x: Any, y: Any) -> Array:
        """The smaller one."""
        return -arrays.maximum(-self._run.array(x), -self._run.array(y))

    def clip(self, x: Any, min: Any = None, max: Any = None) -> Array:
        """x within limits."""
        x = self._run.array(x) if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def where(self, mask: Any, x: Any, y: Any) -> Any:
        """x where the mask holds, y elsewhere."""
        if not any(isinstance(a, (Array, Mask, float)) for a in (mask, x, y)):
            return np.where(mask, x, y)
        return arrays.where(self._run, mask, x, y)

    def logical_not(self, x: Any) -> Any:
        """Not x."""
        return ~x

    def isnan(self, x: Array) -> Any:
        """Whether it is not a number."""
        return np.isnan(self._run.array(x).v.astype(np.float64))

    def isinf(self, x: Array) -> Any:
        """Whether it is infinite."""
        return np.isinf(self._run.array(x).v.astype(np.float64))

    def isfinite(self, x: Array) -> Any:
        """Whether it is finite."""
        return np.isfinite(self._run.array(x).v.astype(np.float64))

    # Reductions

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
        """The sum, in any order."""
        if not isinstance(x, (Array, Mask)):
            return np.sum(x, axis=axis, keepdims=keepdims)
        return arrays.total(self._run.array(x), axis, keepdims)

    def mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Array:
        """The sum divided by the count."""
        return arrays.mean(self._run.array(x), axis, keepdims)

    def var(self, x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
        """The mean square of what is left after the mean is subtracted, in two passes."""
        x = self._run.array(x)
        n = math.prod(x.shape[a] for a in arrays.axes_of(x, axis))
        centered = x - self.mean(x, axis, keepdims=True)
        variance: Array = arrays.total(centered * centered, axis, keepdims) / (n - correction)
        return variance

    def std(self, x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
        """The root of the variance."""
        return arrays.sqrt(self.var(x, axis, correction, keepdims))

    def max(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The largest element."""
        return arrays.largest(x, axis, keepdims) if isinstance(x, Array) else np.max(x, axis=axis, keepdims=keepdims)

    def min(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The smallest element."""
        return -arrays.largest(-x, axis, keepdims) if isinstance(x, Array) else np.min(x, axis=axis, keepdims=keepdims)

    def any(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether one holds."""
        if isinstance(x, Mask):
            return x.moved(lambda m: np.any(m, axis=axis, keepdims=keepdims))
        return np.any(x, axis=axis, keepdims=keepdims)

    def all(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether all hold."""
        return ~self.any(~x, axis, keepdims)

    def cumulative_sum(self, x: Array, axis: int = -1, **_: Any) -> Any:
        """The sum of an element and all before it, in any order."""
        n = x.shape[axis]
        moved = self.matmul(self.moveaxis(x, axis, -1), self._run.array(np.triu(np.ones((n, n)))))
        return self.moveaxis(moved, -1, axis)

    # Shapes

    def reshape(self, x: Any, shape: Any, **_: Any) -> Any:
        """The elements in another shape."""
        try:
            return self._moved(x, lambda p: np.reshape(p, shape))
        except ValueError:
            raise self._run.fail(f"reshapes an array of shape {x.shape} to {shape}") from None

    def permute_dims(self, x: Any, axes: Sequence[int]) -> Any:
        """The axes in another order."""
        return self._moved(x, lambda p: np.transpose(p, axes))

    def moveaxis(self, x: Any, source: Any, destination: Any) -> Any:
        """An axis elsewhere."""
        return self._moved(x, lambda p: np.moveaxis(p, source, destination))

    def matrix_transpose(self, x: Any) -> Any:
        """The last two axes, swapped."""
        return self._moved(x, lambda p: np.swapaxes(p, -1, -2))

    def expand_dims(self, x: Any, axis: int = 0) -> Any:
        """An axis of one element more."""
        return self._moved(x, lambda p: np.expand_dims(p, axis))

    def squeeze(self, x: Any, axis: Any) -> Any:
        """Axes of one element less."""
        return self._moved(x, lambda p: np.squeeze(p, axis))

    def broadcast_to(self, x: Any, shape: Any) -> Any:
        """The array in a larger shape."""
        return self._moved(x, lambda p: np.broadcast_to(p, shape))

    def flip(self, x: Any, axis: Any = None) -> Any:
        """The elements backwards."""
        return self._moved(x, lambda p: np.flip(p, axis))

    def roll(self, x: Any, shift: Any, axis: Any = None) -> Any:
        """The elements shifted around."""
        return self._moved(x, lambda p: np.roll(p, shift, axis))

    def repeat(self, x: Any, repeats: Any, axis: Any = None) -> Any:
        """Each element several times."""
        return self._moved(x, lambda p: np.repeat(p, repeats, axis))

    def tile(self, x: Any, repetitions: Any) -> Any:
        """The array several times."""
        return self._moved(x, lambda p: np.tile(p, repetitions))

    def take(self, x: Any, indices: Any, axis: int | None = None) -> Any:
        """Slices by their index."""
        try:
            return self._moved(x, lambda p: np.take(p, np.asarray(indices), axis=0 if axis is None else axis))
        except IndexError:
            raise self._run.fail(
                f"takes indices from {np.min(indices)} to {np.max(indices)} of an array of shape {x.shape}"
            ) from None

    def take_along_axis(self, x: Any, indices: Any, axis: int = -1) -> Any:
        """An element of each slice by its index."""
        return self._moved(x, lambda p: np.take_along_axis(p, np.asarray(indices), axis))

    def concat(self, xs: Sequence[Any], axis: int | None = 0) -> Any:
        """Arrays, one after the other."""
        if not any(isinstance(x, (Array, Mask)) for x in xs):
            return np.concatenate(xs, axis=axis)
        parts = [self._run.array(x) for x in xs]
        starts = np.cumsum([0, *(x.size for x in parts)])
        shapes = [places(x.shape) + start for x, start in zip(parts, starts[:-1], strict=True)]
        try:
            return gather(joined(parts), np.concatenate(shapes, axis=axis))
        except ValueError:
            raise self._run.fail(f"concatenates shapes {', '.join(str(x.shape) for x in parts)}") from None

    def stack(self, xs: Sequence[Any], axis: int = 0) -> Any:
        """Arrays side by side, on a new axis."""
        return self.concat([self.expand_dims(x, axis) for x in xs], axis=axis)

    # Products

    def matmul(self, x: Any, y: Any) -> Array:
        """The matrix product."""
        return arrays.matmul(self._run.array(x), self._run.array(y))

    def vecdot(self, x: Any, y: Any, axis: int = -1) -> Array:
        """The scalar product along an axis."""
        return arrays.total(self._run.array(x) * y, axis)

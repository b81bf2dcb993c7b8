"""Arrays of balls, each with a bound on the rounding error of its evaluation, and the tape that led to it.

An `Array` holds, for each element, a ball of python-flint that contains the true value, and a running bound on the error of any
sensible evaluation in the dtype (Wilkinson's running error analysis; Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., sections 2.2 and 3.3). The rules are the ones of the book's Appendix A, on arrays; a name in brackets, such as [A.sum], is the
rule that the code next to it applies. Let z be a true value, e its bound, u the unit roundoff, k a number of roundings.

- A number that is given has e = 0 if the dtype holds it, else one rounding [A.given].
- x + y: e_x + e_y, one rounding. x y: |x| e_y + |y| e_x + e_x e_y, one rounding, none by a power of two. x / y: (e_x + |x / y| e_y) / (|y| - e_y),
  two roundings, because an evaluation may multiply by a rounded reciprocal. Results of given numbers that the dtype holds are exact.
- A sum of n terms in any order: the e's, and γ(n-1) of the terms' reaches |z| + e [A.sums]; γ(n+1) in a mean, whose terms may be divided first [A.mean]. A product of matrices over n, in any blocking, with fused
  multiply-adds or without: |x| e_y + e_x |y| + e_x e_y, summed, and γ(n) of the products of reaches (Higham, 3.5).
- An elementary function f: what f moves over [z - e, z + e], by ball arithmetic, and its units in the last place (`ulps`), each 2 u |f| at most.
- A maximum: the largest e among the elements that may be the largest. `where`: the e of the side that is taken; where the computed condition may differ from
  the true one, both sides lie within the bound; where the true one is unknown too (a tie of balls), the ball contains both sides.
- The derivative of a maximum at a tie lies between 0 and 1, and the ball contains both.
- Underflow costs each rounding η: the smallest normal number, since many machines flush, and in float16 the smallest subnormal one.

All float64 arithmetic on bounds is rounded up by `_UP`. An infinite bound claims nothing. A pull (the transposed derivative of one operation) is written in the
same operations, so that a gradient has a running bound and a tape of its own.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb, arb_mat
from numpy.typing import NDArray

from calibrant.exact.formats import FLUSHING, FORMATS, Format
from calibrant.formula.ulps import ulps

Floats = NDArray[np.float64]
Pull = Callable[["Array"], "Array"]
Unary = Callable[["Array"], "Array"]
Parents = tuple[tuple["Array", Pull], ...]

_UP = 1 + 2.0**-44
_ZERO, _ONE = arb(0), arb(1)
_serial = itertools.count()


class FormulaError(ValueError):
    """A formula that cannot be judged; the sentence names the formula and the reason."""


def format_named(dtype: str) -> Format:
    """The format of a dtype; machines may flush subnormal numbers, except in float16."""
    if dtype not in FORMATS:
        raise FormulaError(f"dtype is {dtype!r}: choose one of {', '.join(FORMATS)}")
    return FORMATS[dtype] if dtype == "float16" else FLUSHING[dtype]


@dataclass(eq=False)
class Run:
    """One evaluation of a formula: the dtype of arithmetic, the dtype in which results are stored, the arrangement that `either` takes."""

    name: str
    arithmetic: Format
    storage: Format
    route: int = 0
    routes: int = 1
    namespace: Any = field(default=None, repr=False)
    foreign: Any = field(default=None, repr=False)
    """The module that knows another library's names for the array API."""

    def fail(self, reason: str) -> FormulaError:
        """The error that says why this formula cannot be judged."""
        return FormulaError(f"formula {self.name} {reason}")

    def array(self, x: Any) -> Array:
        """A given number or array of numbers."""
        if isinstance(x, Array):
            return x
        if isinstance(x, Mask):
            one, zero = self.array(1.0), self.array(0.0)
            return where(self, x, one, zero)
        if isinstance(x, (bool, int, float)):
            x = np.asarray(float(x))
        given = np.asarray(x)
        if given.dtype == object or given.dtype.kind in "cSUOM":
            raise self.fail(f"mixes an array with {type(x).__name__} {x!r:.60}")
        given = given.astype(np.float64)
        held = _held(given, self.arithmetic)
        err = np.where(
            held | ~np.isfinite(given), 0.0, (self.arithmetic.u * np.abs(given) + self.arithmetic.flushed) * _UP
        )
        flushed = (np.abs(given) < self.arithmetic.flushed) & (given != 0)
        err = np.where(flushed, np.abs(given), err)
        number = float(given) if given.ndim == 0 else None
        return Array(self, _balls(given), err, (), number=number)

    def constant(self, x: arb) -> Array:
        """An irrational constant, which an evaluation rounds once."""
        v = np.empty((), dtype=object)
        v[()] = x
        return _rounded(self, v, np.zeros(()), 1)


def _objects(function: Callable[..., Any], inputs: int) -> Callable[..., Any]:
    apply = np.frompyfunc(function, inputs, 1)

    def applied(*arrays: Any) -> Any:
        result = np.empty(np.broadcast_shapes(*(np.shape(a) for a in arrays)), dtype=object)
        result[...] = apply(*arrays)
        return result

    return applied


_balls = _objects(lambda x: arb(float(x)), 1)
_upper = _objects(lambda x: float(x.abs_upper()), 1)
_lower = _objects(lambda x: float(x.abs_lower()), 1)
_is_zero = _objects(lambda x: x.is_zero(), 1)
_is_nan = _objects(lambda x: x.is_nan(), 1)
_radius = _objects(lambda x: float(x.rad()), 1)
_overlap = _objects(lambda x, y: x.overlaps(y), 2)
_union = _objects(lambda x, y: x.union(y), 2)


def size_of(v: Any) -> Floats:
    """|v|, rounded up; infinity where it is unknown."""
    f = np.asarray(_upper(v).astype(np.float64) * _UP)
    f[np.isnan(f)] = np.inf
    zero = f == 0
    if zero.any():
        f[zero] = np.where(_is_zero(v[zero]).astype(bool), 0.0, 5e-324)
    return np.asarray(f)


def _held(x: Floats, form: Format) -> NDArray[np.bool_]:
    """Whether the dtype holds a float64 number as it is."""
    if form.precision >= 53:
        return np.ones(np.shape(x), dtype=bool)
    with np.errstate(all="ignore"):
        least = 2 * form.u * form.normal
        scaled = np.ldexp(np.frexp(x)[0], form.precision)
        subnormal = np.abs(x) < form.normal
        whole = np.where(subnormal, np.asarray(x) / least % 1 == 0, scaled % 1 == 0)
    return np.asarray(whole & (np.abs(x) <= form.largest))


def _times(x: Floats, y: Floats) -> Floats:
    """x y, where zero times infinity is zero."""
    return np.where((x == 0) | (y == 0), 0.0, x * y)


def _gamma(n: Any, form: Format) -> Any:
    share = np.asarray(n, dtype=np.float64) * form.u
    return np.where(share < 1, share / np.maximum(1 - share, 5e-324), np.inf)


def _rounded(
    run: Run, v: Any, err: Any, k: float, least: float = 0.0, parents: Parents = (), *, given: Any = None
) -> Array:
    """Add k roundings to the bound; `given` marks results of given numbers, which are exact where the dtype holds them."""
    form = run.arithmetic
    size = size_of(v)
    with np.errstate(all="ignore"):
        err = np.where(np.isnan(err), np.inf, err)
        reach = size + err
        spent = k * form.u * (1 + form.u) if k <= 2 else _gamma(k, form)
        new = (err + spent * reach + least) * _UP
        new = np.where((reach > form.largest) | np.isnan(new), np.inf, new)
        new = np.where(((size == 0) & (err == 0)) | (_known_infinite(v) & np.isfinite(err)), 0.0, new)
    if given is not None and given.any():
        values = v[given]
        near = values.astype(np.float64)
        kept = (np.abs(near) >= form.flushed) | (near == 0)
        exact = kept & _held(near, form) & (_balls(near) == values).astype(bool)
        new[given] = np.where(exact, 0.0, new[given])
    made = Array(run, v, new, parents)
    made._size = size
    return made


class Array:
    """An array of balls with bounds; it follows the array API standard."""

    __slots__ = ("_size", "err", "number", "parents", "run", "serial", "v")
    __array_ufunc__ = None  # NumPy arrays leave mixed arithmetic to us
    __hash__ = object.__hash__

    def __init__(self, run: Run, v: Any, err: Any, parents: Parents, *, number: float | None = None) -> None:
        self.run, self.v, self.parents, self.number = run, v, parents, number
        self.err: Floats = np.asarray(err, dtype=np.float64)
        self.serial = next(_serial)
        self._size: Floats | None = None

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.run.namespace

    def __getattr__(self, name: str) -> Any:
        if self.run.foreign is None or name not in self.run.foreign.NAMES:
            raise AttributeError(name)
        return lambda *args, **kwargs: self.run.foreign.called(self.run, name, (self, *args), kwargs)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
        run = next(x.run for x in _flat((args, kwargs)) if isinstance(x, Array))
        name = function.__name__
        if run.foreign is None:
            raise run.fail(f"uses torch.{name} where the array API is due: xp.{name}, with xp = namespace(x)")
        return run.foreign.called(run, name, args, kwargs or {})

    @property
    def magnitude(self) -> Floats:
        """The sizes of the true values, rounded up."""
        if self._size is None:
            self._size = size_of(self.v)
        return self._size

    @property
    def shape(self) -> tuple[int, ...]:
        """As NumPy's."""
        return tuple(self.v.shape)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return int(self.v.ndim)

    @property
    def size(self) -> int:
        """How many elements there are."""
        return int(self.v.size)

    @property
    def dtype(self) -> Format:
        """The dtype in which the formula is judged."""
        return self.run.arithmetic

    @property
    def device(self) -> str:
        """Always the same one."""
        return "cpu"

    @property
    def mT(self) -> Array:
        """The last two axes, swapped."""
        return gather(self, np.swapaxes(places(self.shape), -1, -2))

    @property
    def T(self) -> Array:
        """The transpose of a matrix."""
        return self.mT

    def __len__(self) -> int:
        return len(self.v)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Array:
        if isinstance(key, Mask) or (isinstance(key, tuple) and any(isinstance(k, Mask) for k in key)):
            raise self.run.fail("selects by a mask that depends on values: use where")
        return gather(self, places(self.shape)[key])

    def __repr__(self) -> str:
        return f"Array({self.v.astype(np.float64).tolist()}, err={self.err.tolist()}, {self.run.arithmetic.name})"

    def _refused(self, *_: Any) -> Any:
        raise self.run.fail("branches in Python on the value of an array, or takes it out as a number: use where")

    __bool__ = __float__ = __int__ = __index__ = __array__ = __complex__ = _refused

    def __setitem__(self, key: Any, value: Any) -> None:
        raise self.run.fail("assigns to elements of an array: use where or concat")

    def __neg__(self) -> Array:
        return Array(self.run, np.asarray(-self.v, dtype=object), self.err, ((self, lambda a: -a),))

    def __pos__(self) -> Array:
        return self

    def __abs__(self) -> Array:
        return maximum(self, -self)

    def __add__(self, y: Any) -> Array:
        return _binary(_add, self, y)

    def __radd__(self, y: Any) -> Array:
        return _binary(_add, self, y)

    def __sub__(self, y: Any) -> Array:
        return _binary(_subtract, self, y)

    def __rsub__(self, y: Any) -> Array:
        return _binary(_subtract, y, self, run=self.run)

    def __mul__(self, y: Any) -> Array:
        return _binary(_multiply, self, y)

    def __rmul__(self, y: Any) -> Array:
        return _binary(_multiply, self, y)

    def __truediv__(self, y: Any) -> Array:
        return _binary(_divide, self, y)

    def __rtruediv__(self, y: Any) -> Array:
        return _binary(_divide, y, self, run=self.run)

    def __pow__(self, y: Any) -> Array:
        return power(self, y)

    def __matmul__(self, y: Any) -> Array:
        return matmul(self, self.run.array(y))

    def __rmatmul__(self, y: Any) -> Array:
        return matmul(self.run.array(y), self)

    def __lt__(self, y: Any) -> Mask:
        return less(self, y)

    def __gt__(self, y: Any) -> Mask:
        return less(self.run.array(y), self)

    def __le__(self, y: Any) -> Mask:
        return ~less(self.run.array(y), self)

    def __ge__(self, y: Any) -> Mask:
        return ~less(self, y)

    def __eq__(self, y: Any) -> Any:
        return ~(less(self, y) | less(self.run.array(y), self))

    def __ne__(self, y: Any) -> Any:
        return less(self, y) | less(self.run.array(y), self)


def _flat(x: Any) -> Iterator[Any]:
    """The leaves of nested lists, tuples and dicts."""
    if isinstance(x, (list, tuple, dict)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _flat(part)
    else:
        yield x


class Mask:
    """The truth of a comparison: what it truly is, where an evaluation may find otherwise, and where even the truth is unknown."""

    __slots__ = ("run", "true", "unknown", "unsure")
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, run: Run, true: Any, unsure: Any, unknown: Any) -> None:
        self.run, self.true, self.unsure, self.unknown = run, np.asarray(true), np.asarray(unsure), np.asarray(unknown)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.run.namespace

    @property
    def shape(self) -> tuple[int, ...]:
        """As NumPy's."""
        return self.true.shape

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.true.ndim

    def moved(self, move: Callable[[Any], Any]) -> Mask:
        """The mask with its elements elsewhere."""
        return Mask(self.run, move(self.true), move(self.unsure), move(self.unknown))

    def __getitem__(self, key: Any) -> Mask:
        return self.moved(lambda m: m[key])

    def __bool__(self) -> bool:
        raise self.run.fail("branches in Python on the value of an array: use where")

    def __invert__(self) -> Mask:
        return Mask(self.run, ~self.true, self.unsure, self.unknown)

    def _with(self, y: Any, true: Any) -> Mask:
        other = (
            y if isinstance(y, Mask) else Mask(self.run, y, np.zeros(np.shape(y), bool), np.zeros(np.shape(y), bool))
        )
        return Mask(self.run, true(self.true, other.true), self.unsure | other.unsure, self.unknown | other.unknown)

    def __and__(self, y: Any) -> Mask:
        return self._with(y, np.logical_and)

    def __or__(self, y: Any) -> Mask:
        return self._with(y, np.logical_or)

    def __xor__(self, y: Any) -> Mask:
        return self._with(y, np.logical_xor)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __mul__(self, y: Any) -> Array:
        product: Array = self.run.array(self) * y
        return product

    __rmul__ = __mul__


# Elements moved: broadcasting, indexing, reshaping, sums


def places(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The positions of the elements of an array of this shape, in row-major order."""
    return np.arange(math.prod(shape)).reshape(shape)


def gather(x: Array, index: Any) -> Array:
    """The elements of x at flat positions, in the shape of the positions."""
    index = np.asarray(index)
    if x.size == 0 and index.size:
        raise x.run.fail("takes an element of an empty array")
    v = np.empty(index.shape, dtype=object)
    v[...] = x.v.reshape(-1)[index]
    moved = Array(x.run, v, x.err.reshape(-1)[index], ((x, lambda a: scatter(a, index, x.shape)),), number=x.number)
    moved._size = None if x._size is None else np.asarray(x._size.reshape(-1)[index])
    return moved


def scatter(x: Array, index: Any, shape: tuple[int, ...], more: int = 0) -> Array:
    """An array of zeros to which each element of x is added at its flat position, each rounded `more` times before [A.sums]."""
    flat, size = np.asarray(index).reshape(-1), math.prod(shape)
    counts = np.bincount(flat, minlength=size)
    v = np.full(size, _ZERO, dtype=object)
    err: Floats = np.zeros(size)
    if flat.size and counts.max() == 1:
        v[flat] = x.v.reshape(-1)
        err[flat] = x.err.reshape(-1)
    elif flat.size:
        order = np.argsort(flat, kind="stable")
        filled = np.flatnonzero(counts)
        starts = np.searchsorted(flat[order], filled)
        v[filled] = np.add.reduceat(x.v.reshape(-1)[order], starts)
        errs, reach = x.err.reshape(-1), (x.err + x.magnitude).reshape(-1)
        with np.errstate(all="ignore"):
            own: Any = np.bincount(flat, errs, size)
            reaches: Any = np.bincount(flat, reach, size)
            n = np.maximum(counts - 1 + more, 0)
            err = (own + _times(_gamma(n, x.run.arithmetic), reaches)) * (1 + (counts + 4) * 2.0**-52) * _UP
            over = reaches > x.run.arithmetic.largest
            err = np.where(np.isnan(err) | (over & ~_known_infinite(v)), np.inf, err)
            err = np.where(_known_infinite(v) & (own == 0), 0.0, err)
    return Array(x.run, v.reshape(shape), err.reshape(shape), ((x, lambda a: gather(a, index)),))


def _known_infinite(v: Any) -> NDArray[np.bool_]:
    infinite: NDArray[np.bool_] = np.asarray(np.isinf(v.astype(np.float64)))
    if infinite.any():
        infinite[infinite] = _objects(lambda x: not x.is_finite() and math.isinf(float(x.abs_lower())), 1)(v[infinite])
    return infinite


def broadcast(x: Array, shape: tuple[int, ...]) -> Array:
    """The array in a larger shape."""
    if x.shape == shape:
        return x
    try:
        index = np.broadcast_to(places(x.shape), shape)
    except ValueError:
        raise x.run.fail(f"broadcasts shape {x.shape} to {shape}") from None
    return gather(x, index)


def _common(run: Run, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise run.fail(f"combines arrays of shapes {' and '.join(map(str, shapes))}") from None


def axes_of(x: Array, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes that a reduction goes over, counted from 0."""
    if axis is None:
        return tuple(range(x.ndim))
    try:
        return tuple(sorted(range(x.ndim)[a] for a in ((axis,) if isinstance(axis, int) else axis)))
    except IndexError:
        raise x.run.fail(f"reduces axis {axis} of an array of shape {x.shape}") from None


def _groups(x: Array, axis: Any, keepdims: bool) -> tuple[Any, tuple[int, ...]]:
    """For each element, the flat position of the result that it belongs to; and the shape of the result."""
    axes = axes_of(x, axis)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = kept if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return np.broadcast_to(places(kept), x.shape), shape


def total(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum, in any order."""
    return scatter(x, *_groups(x, axis, keepdims))


def mean(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum over the count; each element may be divided, or multiplied by a rounded reciprocal, before the sum [A.mean]."""
    n = math.prod(x.shape[a] for a in axes_of(x, axis))
    if n == 0:
        raise x.run.fail("takes the mean of no elements")
    exact = n & (n - 1) == 0
    found: Array = scatter(x, *_groups(x, axis, keepdims), more=0 if exact else 2) / n
    return found


def joined(arrays: Sequence[Array]) -> Array:
    """All elements, one array after the other, in one flat array."""
    starts = list(itertools.accumulate((a.size for a in arrays), initial=0))
    v = np.empty(starts[-1], dtype=object)
    for a, start in zip(arrays, starts[:-1], strict=True):
        v[start : start + a.size] = a.v.reshape(-1)

    def part(start: int, shape: tuple[int, ...]) -> Pull:
        return lambda adjoint: gather(adjoint, start + places(shape))

    parents = tuple((a, part(start, a.shape)) for a, start in zip(arrays, starts[:-1], strict=True))
    return Array(arrays[0].run, v, np.concatenate([a.err.reshape(-1) for a in arrays]), parents)


# Arithmetic


def _binary(rule: Callable[[Array, Array], Array], x: Any, y: Any, run: Run | None = None) -> Array:
    by: Run = run or x.run
    x, y = by.array(x), by.array(y)
    shape = _common(by, x.shape, y.shape)
    return rule(broadcast(x, shape), broadcast(y, shape))


def _add(x: Array, y: Array) -> Array:
    both = (x.err == 0) & (y.err == 0)
    idle = ((x.magnitude == 0) & (x.err == 0)) | ((y.magnitude == 0) & (y.err == 0))  # x + 0 is x
    made = _rounded(
        x.run,
        np.asarray(x.v + y.v, dtype=object),
        x.err + y.err,
        1,
        x.run.arithmetic.flushed,
        ((x, _same), (y, _same)),
        given=both,
    )
    made.err = np.where(idle, x.err + y.err, made.err)
    return made


def _same(adjoint: Array) -> Array:
    return adjoint


def _subtract(x: Array, y: Array) -> Array:
    return _add(x, -y)


def _is_scale(x: Array) -> bool:
    return x.number is not None and x.number != 0 and math.isfinite(x.number) and abs(math.frexp(x.number)[0]) == 0.5


def _multiply(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        err = (_times(x.magnitude, y.err) + _times(y.magnitude, x.err) + _times(x.err, y.err)) * _UP
    k = 0 if _is_scale(x) or _is_scale(y) else 1
    parents: Parents = ((x, lambda a: alive(a, a * y)), (y, lambda a: alive(a, a * x)))
    both = (x.err == 0) & (y.err == 0)
    return _rounded(x.run, np.asarray(x.v * y.v, dtype=object), err, k, x.run.arithmetic.tiny, parents, given=both)


def _divide(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        v = np.asarray(x.v / y.v, dtype=object)
        least = _lower(y.v).astype(np.float64) / _UP - y.err
        err = (x.err + _times(size_of(v), y.err)) / least * _UP
        err = np.where(least > 0, err, np.inf)
        err = np.where(least * x.run.arithmetic.largest < _UP, np.inf, err)  # the reciprocal may overflow
    parents: Parents = ((x, lambda a: alive(a, a / y)), (y, lambda a: alive(a, -(a * made) / y)))
    made = _rounded(x.run, v, err, 0 if _is_scale(y) else 2, x.run.arithmetic.tiny, parents)
    return made


def alive(adjoint: Array, product: Array) -> Array:
    """The product, but an exact zero where the adjoint is one: a branch that was not taken has no derivative, whatever it is."""
    dead = (adjoint.err == 0) & (adjoint.magnitude == 0)
    if dead.any():
        product.v[dead] = _ZERO
        product.err = np.where(dead, 0.0, product.err)
        product._size = None
    return product


def _function(name: str, x: Array, value: Any, function: Callable[[Any], Any], parents: Parents) -> Array:
    """An elementary function: the bound moves through it by ball arithmetic."""
    err = np.zeros(x.shape)
    some = (x.err > 0) & np.isfinite(x.err)
    if some.any():

        def moved(b: Any, e: float, y: Any) -> float:
            return float((function(b + arb(0, e)) - y).abs_upper())

        err[some] = np.frompyfunc(moved, 3, 1)(x.v[some], x.err[some], value[some]).astype(np.float64) * _UP
    err[np.isinf(x.err)] = np.inf
    k = 2 * ulps(name, x.run.arithmetic.name)
    return _rounded(x.run, value, err, k, x.run.arithmetic.tiny, parents)


def elementary(
    name: str, function: Callable[[Any], Any], slope: Callable[[Array, Array], Array]
) -> Callable[[Array], Array]:
    """An elementary function; `slope` is its derivative, from the argument and the value."""

    def apply(x: Array) -> Array:
        value = np.empty(x.shape, dtype=object)
        value[...] = np.frompyfunc(function, 1, 1)(x.v)
        made = _function(name, x, value, function, ((x, lambda a: alive(a, a * slope(x, made))),))
        return made

    apply.__name__ = name
    return apply


exp = elementary("exp", arb.exp, lambda x, y: y)
expm1 = elementary("expm1", arb.expm1, lambda x, y: exp(x))
log = elementary("log", arb.log, lambda x, y: 1 / x)
log1p = elementary("log1p", arb.log1p, lambda x, y: 1 / (1 + x))
sqrt = elementary("sqrt", arb.sqrt, lambda x, y: 0.5 / y)
sin: Unary = elementary("sin", arb.sin, lambda x, y: cos(x))
cos: Unary = elementary("cos", arb.cos, lambda x, y: -sin(x))
tan = elementary("tan", arb.tan, lambda x, y: 1 + y * y)
sinh: Unary = elementary("sinh", arb.sinh, lambda x, y: cosh(x))
cosh: Unary = elementary("cosh", arb.cosh, lambda x, y: sinh(x))
tanh = elementary("tanh", arb.tanh, lambda x, y: 1 - y * y)
asin = elementary("asin", arb.asin, lambda x, y: 1 / sqrt(1 - x * x))
acos = elementary("acos", arb.acos, lambda x, y: -1 / sqrt(1 - x * x))
atan = elementary("atan", arb.atan, lambda x, y: 1 / (1 + x * x))
asinh = elementary("asinh", arb.asinh, lambda x, y: 1 / sqrt(1 + x * x))
acosh = elementary("acosh", arb.acosh, lambda x, y: 1 / sqrt(x * x - 1))
atanh = elementary("atanh", arb.atanh, lambda x, y: 1 / (1 - x * x))
log2 = elementary("log2", lambda b: b.log() / arb.const_log2(), lambda x, y: 1 / (x * x.run.constant(arb.const_log2())))
log10 = elementary(
    "log10", lambda b: b.log() / arb.const_log10(), lambda x, y: 1 / (x * x.run.constant(arb.const_log10()))
)
erf_exact = elementary("erf", arb.erf, lambda x, y: x.run.constant(2 / arb.pi().sqrt()) * exp(-(x * x)))


def power(x: Any, y: Any) -> Array:
    """x to the power y; products for small whole powers, roots for halves."""
    if isinstance(y, (int, float)) and float(y) in (1.0, 2.0, 3.0, 4.0):
        product: Array = x
        for _ in range(int(y) - 1):
            product = product * x
        return product
    if isinstance(y, (int, float)) and y in (0.5, -0.5, -1):
        root: Array = x if y == -1 else sqrt(x)
        return root if y == 0.5 else 1 / root
    if isinstance(y, (int, float)):
        exponent: Any = arb(y)
        if isinstance(y, int) or float(y).is_integer():
            exponent = int(y)

        def raised(b: Any) -> Any:
            return b**exponent

        value = np.empty(x.shape, dtype=object)
        value[...] = np.frompyfunc(raised, 1, 1)(x.v)
        return _function("pow", x, value, raised, ((x, lambda a: alive(a, a * (y * power(x, y - 1)))),))
    run = x.run if isinstance(x, Array) else y.run
    return exp(run.array(y) * log(run.array(x)))


# Branches


def less(x: Array, y: Any) -> Mask:
    """x < y."""
    y = x.run.array(y)
    shape = _common(x.run, x.shape, y.shape)
    x, y = broadcast(x, shape), broadcast(y, shape)
    below, above = (np.asarray(m).astype(bool) for m in (x.v < y.v, x.v >= y.v))
    gap, errs = _lower(_objects(lambda a, b: a - b, 2)(x.v, y.v)).astype(np.float64), x.err + y.err
    return Mask(x.run, below, (errs > 0) & ~(gap / _UP > errs), ~(below | above))


def where(run: Run, mask: Any, x: Any, y: Any) -> Array:
    """x where the mask holds, y elsewhere; both where it is not sure."""
    mask = (
        mask
        if isinstance(mask, Mask)
        else Mask(run, np.asarray(mask, dtype=bool), np.asarray(False), np.asarray(False))
    )
    x, y = run.array(x), run.array(y)
    shape = _common(run, mask.shape, x.shape, y.shape)
    x, y = broadcast(x, shape), broadcast(y, shape)
    true, unsure, unknown = (np.broadcast_to(m, shape) for m in (mask.true, mask.unsure, mask.unknown))
    v = np.where(true, x.v, y.v)
    err = np.where(true, x.err, y.err)
    either_way = unsure & ~unknown
    if either_way.any():
        gap = size_of(_objects(lambda a, b: a - b, 2)(x.v[either_way], y.v[either_way])) * _UP
        other = np.where(true, y.err, x.err)[either_way]
        err[either_way] = np.maximum(err[either_way], (gap + other) * _UP)
    if unknown.any():
        v[unknown] = _union(x.v[unknown], y.v[unknown])
        err[unknown] = np.maximum(x.err, y.err)[unknown]
    v = np.asarray(v, dtype=object)
    return Array(run, v, err, ((x, lambda a: where(run, mask, a, 0.0)), (y, lambda a: where(run, mask, 0.0, a))))


def _larger(x: Any, y: Any) -> Any:
    """The larger ball; python-flint's `max` of a ball and an infinity is unbounded."""
    return x if x > y else y if y > x else x.max(y)


def largest(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The maximum along axes; its derivative is 1 for the largest element, and between 0 and 1 for each of several."""
    index, shape = _groups(x, axis, keepdims)
    axes = axes_of(x, axis)
    if any(x.shape[a] == 0 for a in axes):
        raise x.run.fail("takes the maximum of no elements")
    flat = index.reshape(-1)
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(math.prod(shape)))
    top = np.frompyfunc(_larger, 2, 1).reduceat(x.v.reshape(-1)[order], starts)
    gap = _lower(_objects(lambda a, b: a - b, 2)(top[flat], x.v.reshape(-1))).astype(np.float64) / _UP
    gap = np.where(np.isnan(gap), np.where(np.isneginf(x.v.reshape(-1).astype(np.float64)), np.inf, 0.0), gap)
    errs = x.err.reshape(-1)
    tops = np.zeros(math.prod(shape))
    np.maximum.at(tops, flat, np.where(gap == 0, errs, 0.0))
    may_be = ~(gap > errs + tops[flat])
    err = np.zeros(math.prod(shape))
    np.maximum.at(err, flat, np.where(may_be, errs, 0.0))

    truly = _overlap(x.v.reshape(-1), top[flat]).astype(bool)
    rivals = np.bincount(flat, truly, len(tops))[flat]
    chances = np.bincount(flat, may_be | truly, len(tops))[flat]
    weight = np.full(flat.size, _ZERO, dtype=object)
    weight[truly] = _ONE
    weight[truly & (rivals > 1)] = arb(0.5, 0.5)
    weights = Array(
        x.run, weight.reshape(x.shape), np.where(may_be & (chances > 1) & (rivals == 1), 1.0, 0.0).reshape(x.shape), ()
    )

    def pull(a: Array) -> Array:
        passed = gather(a, index)
        return alive(weights, alive(passed, _chosen(passed, weights)))

    return Array(x.run, np.asarray(top, dtype=object).reshape(shape), err.reshape(shape), ((x, pull),))


def _chosen(adjoint: Array, weights: Array) -> Array:
    """The adjoint times a weight that is 0 or 1, or not sure: this does not round."""
    with np.errstate(all="ignore"):
        err = (
            _times(adjoint.err, np.minimum(weights.magnitude, 1.0))
            + _times(adjoint.magnitude + adjoint.err, weights.err)
        ) * _UP
    return Array(
        adjoint.run, np.asarray(adjoint.v * weights.v, dtype=object), err, ((adjoint, lambda a: _chosen(a, weights)),)
    )


def maximum(x: Any, y: Any, run: Run | None = None) -> Array:
    """The larger of two, element by element."""
    run = run or x.run
    x, y = run.array(x), run.array(y)
    shape = _common(run, x.shape, y.shape)
    both = joined([broadcast(x, shape), broadcast(y, shape)])
    return largest(gather(both, places((2, *shape))), axis=0)


# Matrices, storage


def matmul(x: Array, y: Array) -> Array:
    """The matrix product, batched and broadcast as the standard says, in any blocking."""
    if x.ndim == 0 or y.ndim == 0:
        raise x.run.fail("multiplies a number as if it were a matrix")
    if x.ndim == 1 or y.ndim == 1:
        a = gather(x, places((1, *x.shape))) if x.ndim == 1 else x
        b = gather(y, places((*y.shape, 1))) if y.ndim == 1 else y
        made = matmul(a, b)
        shape = made.shape
        if y.ndim == 1:
            shape = shape[:-1]
        if x.ndim == 1:
            shape = (*made.shape[:-2], *shape[len(made.shape) - 1 :])
        return gather(made, places(shape))
    (m, n), (n2, p) = x.shape[-2:], y.shape[-2:]
    if n != n2:
        raise x.run.fail(f"multiplies matrices of shapes {x.shape} and {y.shape}")
    batch = _common(x.run, x.shape[:-2], y.shape[:-2])
    x, y = broadcast(x, (*batch, m, n)), broadcast(y, (*batch, n, p))
    v = np.empty((math.prod(batch), m, p), dtype=object)
    for i, (a, b) in enumerate(zip(x.v.reshape(-1, m * n), y.v.reshape(-1, n * p), strict=True)):
        v[i].reshape(-1)[:] = (arb_mat(m, n, list(a)) * arb_mat(n, p, list(b))).entries()
    form = x.run.arithmetic
    with np.errstate(all="ignore"):
        ax, ay = x.magnitude, y.magnitude
        err = ax @ y.err + x.err @ (ay + y.err)
        reach = (ax + x.err) @ (ay + y.err)
        err = (err + _gamma(n, form) * reach + n * form.tiny * (reach > 0)) * (1 + (4 * n + 8) * 2.0**-52) * _UP
        err = np.where((reach > form.largest) | np.isnan(err), np.inf, err)
    parents: Parents = ((x, lambda a: matmul(a, y.mT)), (y, lambda a: matmul(x.mT, a)))
    return Array(x.run, v.reshape((*batch, m, p)), err, parents)


def stored(x: Array, form: Format) -> Array:
    """The array rounded to a dtype, forwards and backwards."""
    if form.precision >= x.run.arithmetic.precision:
        return x
    with np.errstate(all="ignore"):
        reach = x.magnitude + x.err
        least = 2 * form.u * form.normal if form.name == "float16" else form.tiny
        err = np.where(reach > 0, (x.err + form.u * (1 + form.u) * reach + least) * _UP, 0.0)
        err = np.where((reach > form.largest) & ~_known_infinite(x.v), np.inf, err)
        given = (x.err == 0) & np.isfinite(x.magnitude)
        if given.any():
            near = x.v[given].astype(np.float64)
            err[given] = np.where(_held(near, form) & (_balls(near) == x.v[given]).astype(bool), 0.0, err[given])
    return Array(x.run, x.v, err, ((x, lambda a: stored(a, form)),))


# Backwards


def pullback(y: Array, upstream: Array, wrt: Sequence[Array]) -> list[Array]:
    """The vector-Jacobian product for each array in `wrt`, by reverse accumulation; contributions add in any order."""
    waiting: dict[int, tuple[Array, list[Array]]] = {y.serial: (y, [upstream])}
    queue = [-y.serial]
    wanted = {x.serial for x in wrt}
    found: dict[int, Array] = {}
    while queue:
        node, parts = waiting.pop(-heapq.heappop(queue))
        adjoint = (
            parts[0] if len(parts) == 1 else total(gather(joined(parts), places((len(parts), *node.shape))), axis=0)
        )
        if node.serial in wanted:
            found[node.serial] = adjoint
        for parent, pull in node.parents:
            if not (parent.parents or parent.serial in wanted):
                continue
            if parent.serial not in waiting:
                waiting[parent.serial] = (parent, [])
                heapq.heappush(queue, -parent.serial)
            waiting[parent.serial][1].append(pull(adjoint))
    return [found[x.serial] if x.serial in found else x.run.array(np.zeros(x.shape)) for x in wrt]

"""Arrays of balls, each with a bound on the rounding error of its evaluation, and the tape that led to it.

An `Array` holds, for each element, a ball of python-flint that contains the true value, and a running bound on the error of any
sensible evaluation in the dtype (Wilkinson's running error analysis; Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., sections 2.2 and 3.3). The rules are the ones of the book's Appendix A, on arrays; a name in brackets, such as [A.sum], is the
rule that the code next to it applies. Let z be a true value, e its bound, u the unit roundoff, and the reach |z| + e.

| module | has |
| --- | --- |
| `balls` | arrays of balls, and float64 bounds that are rounded up |
| `tape` | an array, a mask, the rounding of a result, and the way back from a result to its gradient |
| `arithmetic` | sums, products, quotients, storage in a narrower dtype |
| `elementary` | exp and its kind: for each its derivative, its allowed error, and where that comes from |
| `moving` | elements in other places: broadcasting, indexing, and what adds up there, so sums, means and matrix products |
| `branches` | comparisons, `where`, maxima |
| `namespace` | the names of the array API standard; `torch_names` those of PyTorch |
| `evaluating`, `judging` | a formula on these arrays; an answer held to what came of it |

An infinite bound claims nothing. A pull (the transposed derivative of one operation) is written in the same operations, so that a
gradient has a running bound and a tape of its own. All operators of an array are functions of its namespace.
"""

from __future__ import annotations

import heapq
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb

from calibrant.exact.formats import Format
from calibrant.formula.balls import (
    UP,
    Floats,
    FormulaError,
    balls,
    exact_in,
    gamma,
    has_numbers,
    held,
    infinite,
    shown,
    size_of,
)

Pull = Callable[["Array"], "Array"]
Operator = Callable[[Any, Any], Any]
Parents = tuple[tuple["Array", Pull], ...]
Sums = tuple[Floats, Floats, Floats]
"""Of the terms that were added up to each element: the sum of their errors, that of their reaches, and their number. Any other operation ends a sum."""

_serial = itertools.count()


@dataclass(eq=False)
class Run:
    """One evaluation of a formula: the dtype of arithmetic, the dtype in which results are stored, the arrangement that `either` takes."""

    name: str
    arithmetic: Format
    storage: Format
    route: int = 0
    routes: int = 1
    backward: bool = False
    """Whether a gradient is judged, and not the value."""
    namespace: Any = field(default=None, repr=False)
    foreign: Any = field(default=None, repr=False)
    """The module that knows another library's names for the array API."""
    shares: np.random.Generator | None = None
    """What chooses the derivatives of a maximum at a tie, if they are not to be anything between 0 and 1."""

    def fail(self, reason: str) -> FormulaError:
        """The error that says why this formula cannot be judged."""
        return FormulaError(f"formula {self.name} {reason}")

    def array(self, x: Any) -> Array:
        """A given number or array of numbers: exact if the dtype holds it, else rounded once [A.given]."""
        if isinstance(x, Array):
            return x
        if isinstance(x, Mask):
            made: Array = self.namespace.where(x, 1.0, 0.0)
            return made
        given = np.asarray(float(x) if isinstance(x, (bool, int, float)) else x)
        if not has_numbers(given):
            raise self.fail(f"mixes an array with {shown(x)}")
        given = given.astype(np.float64)
        form, size = self.arithmetic, np.abs(given)
        err = np.where(held(given, form) | ~np.isfinite(given), 0.0, (form.u * size + form.flushed) * UP)
        err = np.where((size < form.flushed) & (given != 0), size, err)
        return Array(self, balls(given), err, (), number=float(given) if given.ndim == 0 else None)

    def constant(self, x: arb) -> Array:
        """An irrational constant, which an evaluation rounds once."""
        return rounded(self, np.asarray(x, dtype=object), np.zeros(()), 1)


def rounded(run: Run, v: Any, err: Any, k: float, least: Any = 0.0, parents: Parents = (), given: Any = None) -> Array:
    """The array of a result: add k roundings [A.roundings] and an underflow of `least` to its bound.

    Results of given numbers, where `given` is true, are exact if the dtype holds them. Nothing is claimed out of range [A.range].
    """
    form = run.arithmetic
    size = size_of(v)
    with np.errstate(all="ignore"):
        reach = size + err
        new = (err + (k * form.u * (1 + form.u) if k <= 2 else gamma(k, form)) * reach + least) * UP
        new = np.where((reach > form.largest) | np.isnan(new), np.inf, new)
        new = np.where(((size == 0) & (err == 0)) | (infinite(v) & np.isfinite(err)), 0.0, new)
    if given is not None and given.any():
        new[given] = np.where(exact_in(np.asarray(v, dtype=object)[given], form), 0.0, new[given])
    return Array(run, v, new, parents, size=size)


def _operator(name: str) -> tuple[Operator, Operator]:
    """An operator and its reflected form: the function of that name in the namespace."""
    return (
        lambda x, y: getattr(x.run.namespace, name)(x, y),
        lambda x, y: getattr(x.run.namespace, name)(y, x),
    )


class _Size(int):
    """The number of elements; PyTorch calls it and gets the shape, or the length of one axis."""

    shape: tuple[int, ...]

    def __new__(cls, n: int, shape: tuple[int, ...]) -> _Size:
        size = super().__new__(cls, n)
        size.shape = shape
        return size

    def __call__(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]


class Array:
    """An array of balls with bounds; it follows the array API standard."""

    __slots__ = ("_size", "err", "number", "parents", "run", "serial", "sums", "v")
    __array_ufunc__ = None  # NumPy arrays leave mixed arithmetic to us
    __hash__ = object.__hash__

    def __init__(
        self,
        run: Run,
        v: Any,
        err: Any,
        parents: Parents,
        *,
        number: float | None = None,
        size: Floats | None = None,
        sums: Sums | None = None,
    ) -> None:
        self.run, self.v, self.parents, self.number = run, np.asarray(v, dtype=object), parents, number
        self.err: Floats = np.asarray(err, dtype=np.float64)
        self.serial = next(_serial)
        self._size, self.sums = size, sums

    @property
    def magnitude(self) -> Floats:
        """The sizes of the true values, rounded up."""
        if self._size is None:
            self._size = size_of(self.v)
        return self._size

    @property
    def nothing(self) -> Any:
        """Where it is exactly zero, in every evaluation."""
        return (self.magnitude == 0) & (self.err == 0)

    shape: Any = property(lambda x: tuple(x.v.shape))
    ndim: Any = property(lambda x: x.v.ndim)
    size: Any = property(lambda x: _Size(x.v.size, x.shape))
    dtype: Any = property(lambda x: x.run.arithmetic)
    device: Any = property(lambda x: "cpu")
    mT: Any = property(lambda x: x.run.namespace.matrix_transpose(x))
    T: Any = mT

    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract")
    __mul__, __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide")
    __pow__, __rpow__ = _operator("pow")
    __matmul__, __rmatmul__ = _operator("matmul")
    __lt__, __gt__ = _operator("less")
    __le__, __ge__ = _operator("less_equal")
    __eq__, __ne__ = _operator("equal")[0], _operator("not_equal")[0]

    def __neg__(self) -> Array:
        return Array(self.run, -self.v, self.err, ((self, operator.neg),), size=self._size, sums=self.sums)

    def __pos__(self) -> Array:
        return self

    def __abs__(self) -> Any:
        return self.run.namespace.abs(self)

    def __len__(self) -> int:
        return len(self.v)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        if any(isinstance(k, Mask) for k in (key if isinstance(key, tuple) else (key,))):
            raise self.run.fail("selects by a mask that depends on values: use where")
        return self.run.namespace.moved(self, lambda places: places[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        raise self.run.fail("assigns to elements of an array: use where or concat")

    def __repr__(self) -> str:
        return f"Array({self.v.astype(np.float64).tolist()}, err={self.err.tolist()}, {self.run.arithmetic.name})"

    def _refused(self, *_: Any) -> Any:
        raise self.run.fail("branches in Python on the value of an array, or takes it out as a number: use where")

    __bool__ = __float__ = __int__ = __index__ = __array__ = __complex__ = _refused

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.run.namespace

    def __getattr__(self, name: str) -> Any:
        if self.run.foreign is None or name not in self.run.foreign.NAMES:
            raise AttributeError(f"calibrant's exact arrays have no {name}")
        return lambda *args, **kwargs: self.run.foreign.called(self.run, name, (self, *args), kwargs)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
        run = next(x.run for x in _flat((args, kwargs)) if isinstance(x, (Array, Mask)))
        name = function.__name__
        if run.foreign is None:
            raise run.fail(f"uses torch.{name} where the array API is due: xp.{name}, with xp = namespace(x)")
        return run.foreign.called(run, name, args, kwargs or {})


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
    __torch_function__ = Array.__torch_function__

    def __init__(self, run: Run, true: Any, unsure: Any = False, unknown: Any = False) -> None:
        self.run, self.true = run, np.asarray(true, bool)
        self.unsure, self.unknown = np.asarray(unsure), np.asarray(unknown)

    shape: Any = property(lambda x: x.true.shape)
    ndim: Any = property(lambda x: x.true.ndim)

    def moved(self, move: Callable[[Any], Any]) -> Mask:
        """The mask with its elements elsewhere."""
        parts = (np.broadcast_to(part, self.shape) for part in (self.true, self.unsure, self.unknown))
        return Mask(self.run, *map(move, parts))

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.run.namespace

    def __getitem__(self, key: Any) -> Mask:
        return self.moved(lambda m: m[key])

    def __bool__(self) -> bool:
        raise self.run.fail("branches in Python on the value of an array: use where")

    def __invert__(self) -> Mask:
        return Mask(self.run, ~self.true, self.unsure, self.unknown)

    __and__, __rand__ = _operator("logical_and")
    __or__, __ror__ = _operator("logical_or")
    __xor__, __rxor__ = _operator("logical_xor")
    __add__, __radd__ = _operator("add")
    __mul__, __rmul__ = _operator("multiply")
    __getattr__ = Array.__getattr__


def pullback(y: Array, upstream: Array, wrt: Sequence[Array]) -> list[Array]:
    """The vector-Jacobian product for each array in `wrt`, by reverse accumulation; contributions add in any order [A.sums]."""
    xp = y.run.namespace
    waiting: dict[int, tuple[Array, list[Array]]] = {y.serial: (y, [upstream])}
    queue = [-y.serial]
    found: dict[int, Array] = {x.serial: y.run.array(np.zeros(x.shape)) for x in wrt}
    while queue:
        node, parts = waiting.pop(-heapq.heappop(queue))
        adjoint = parts[0] if len(parts) == 1 else xp.sum(xp.stack(parts), axis=0)
        if node.serial in found:
            found[node.serial] = adjoint
        for parent, pull in node.parents:
            if not (parent.parents or parent.serial in found):
                continue
            if parent.serial not in waiting:
                waiting[parent.serial] = (parent, [])
                heapq.heappush(queue, -parent.serial)
            waiting[parent.serial][1].append(pull(adjoint))
    return [found[x.serial] for x in wrt]

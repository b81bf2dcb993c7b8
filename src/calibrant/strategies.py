"""What inputs look like: data sets, predictions, parameters, learning rates and steps, as Hypothesis strategies.

Drawing costs more than judging, and it costs per draw: so one string of bytes is drawn for a whole example, and decoded here.
Byte 0 stands for the simplest thing everywhere (the plainest kind of numbers, one sample, zero), so that a failure shrinks,
byte by byte, to an example that a person would have written. What is decoded depends on the dtype under test, whose numbers
it must be: a drawn `Drawn` is turned into it with `at(form)`, which `@clause` does.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format, optimum, to_float
from calibrant.exact import of as exact_of
from calibrant.target import numpy_dtype

Array = NDArray[Any]
T = TypeVar("T")

LONGEST = 40
"""The most samples of one example."""

WIDTH = 16
"""The drawn bytes of one column."""

_ZIGZAG = np.array([(k + 1) // 2 * (1 if k % 2 else -1) for k in range(256)], dtype=np.float64)
"""0, 1, -1, 2, -2, ...: a whole number for each byte."""

_QUARTERS = np.array(sorted(_ZIGZAG[:65] / 4, key=lambda x: (x.as_integer_ratio()[1], abs(x), x < 0)))
"""The quarters up to 8, the whole ones first, then the halves: a failure that 1 shows as well is not told of 0.25."""

_FRACTIONS = np.random.default_rng(20240601).random((256, 2 * LONGEST))
"""Numbers in [0, 1) with full significands, one for each byte and place."""


class Bytes:
    """Drawn bytes, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = np.frombuffer(data, dtype=np.uint8)
        self._taken = 0

    def take(self, n: int) -> NDArray[np.uint8]:
        """The next n bytes."""
        self._taken += n
        return self._data[self._taken - n : self._taken]

    def column(self, n: int) -> NDArray[np.uint8]:
        """A byte for each of n samples: the last n of the next WIDTH, so that n can shrink with what the last ones show.

        Columns longer than that repeat them: a drawn byte costs time, and what a byte stands for depends on its place too.
        """
        drawn_bytes = self.take(WIDTH)
        return drawn_bytes[WIDTH - n :] if n <= WIDTH else np.resize(drawn_bytes, n)

    def one(self) -> int:
        """The next byte."""
        return int(self.take(1)[0])

    def pick(self, *choices: T) -> T:
        """One of the choices, the first the simplest."""
        return choices[self.one() % len(choices)]


class Drawn(Generic[T]):
    """Something drawn that waits for the dtype under test."""

    def __init__(self, data: bytes, decode: Callable[[Bytes, Format], T]) -> None:
        self.data = data
        self.decode = decode

    def at(self, form: Format) -> T:
        """The example, in the numbers of a format."""
        with np.errstate(all="ignore"):
            return self.decode(Bytes(self.data), form)

    def __repr__(self) -> str:
        return f"{self.decode.__name__.strip('_')} of {self.data.hex()}"


def drawn(decode: Callable[[Bytes, Format], T], length: int) -> st.SearchStrategy[Drawn[T]]:
    """A strategy for what `decode` makes of so many bytes."""
    return st.binary(min_size=length, max_size=length).map(lambda data: Drawn(data, decode))


# Numbers


def _scales(form: Format) -> tuple[float, float]:
    """The smallest and largest ordinary magnitudes: their squares and sums stay in range."""
    return (1e-2, 16.0) if form.max_exponent < 100 else (1e-6, 1e6)


def _numbers(data: NDArray[np.uint8], kind: str, form: Format, place: int = 0) -> Array:
    """Numbers of one kind, one for each byte; a byte of 0 is a zero, but where all are alike."""
    low, high = _scales(form)
    fraction = _FRACTIONS[data, np.arange(place, place + len(data))]
    sign = np.where(data & 1, 1.0, -1.0)
    match kind:
        case "few":
            x = _ZIGZAG[data % 4]
        case "whole":
            x = _ZIGZAG[data % 17]
        case "quarters":
            x = _QUARTERS[data % 65]
        case "readings":
            x = np.round(data * 0.35 + fraction, 1) * (1.0 if high > 100 else 0.125)
        case "real":
            x = sign * fraction * 8
        case "negative":
            x = -fraction * 8
        case "spread":
            x = sign * low * (high / low) ** fraction
        case "large":
            x = sign * high * (0.5 + fraction / 2)
        case "small":
            x = sign * low * (0.5 + fraction / 2)
        case "subnormal":
            x = sign * form.normal * 2 * fraction
        case "alike":
            x = (1 + data[0] * 0.37) * (1 + (data % 8) * form.u * 2)
        case "constant":
            x = np.full(len(data), (1 + data[0]) * 0.37)
        case _:
            raise ValueError(f"kind is {kind!r}")
    if kind not in ("alike", "constant"):
        x = np.where(data == 0, 0.0, x)
    return x


_KINDS = (
    "few", "whole", "quarters", "readings", "real", "spread", "large", "small",
    "negative", "alike", "constant", "real", "spread", "readings", "subnormal", "whole",
)  # fmt: skip
_PLAIN = ("few", "whole", "quarters")


def _kinds(data: Bytes) -> tuple[str, str]:
    """The kinds of two columns: mostly the same."""
    byte = data.one()
    first = _KINDS[byte & 15]
    return first, first if byte < 128 else _KINDS[byte >> 4]


def _length(data: Bytes) -> int:
    """A number of samples: often few, sometimes many."""
    byte = data.one()
    return 1 + byte % 12 if byte < 192 else 13 + (byte - 192) % (LONGEST - 12)


def _to(x: Any, form: Format) -> Array:
    """x rounded to the format."""
    return np.asarray(np.asarray(x, dtype=np.float64).astype(numpy_dtype(form.name)))


def _wide(x: Array) -> Array:
    return x.astype(np.float64)


# Examples


@dataclass
class Residuals:
    """Predictions t_p and measurements t_c, (n,) each."""

    t_p: Array
    t_c: Array


@dataclass
class Fit:
    """Data t_u and t_c, (n,) each, parameters w and b, scalars, and the predictions t_p that they give, rounded."""

    t_u: Array
    t_c: Array
    w: Array
    b: Array

    @property
    def params(self) -> Array:
        """[w, b]."""
        return np.stack([self.w, self.b])

    @property
    def t_p(self) -> Array:
        """The predictions w t_u + b, each rounded once or twice."""
        with np.errstate(all="ignore"):
            return np.asarray(self.w * self.t_u + self.b, dtype=self.t_u.dtype)


@dataclass
class Descent(Fit):
    """A fit, a learning rate and a number of epochs."""

    learning_rate: float
    n_epochs: int


_PAIR = 3 + 2 * WIDTH


def _residuals(data: Bytes, form: Format) -> Residuals:
    kind_p, kind_c = _kinds(data)
    n, relation = _length(data), data.pick("none", "none", "none", "close", "some")
    t_p = _to(_numbers(data.column(n), kind_p, form), form)
    choice = data.column(n)
    t_c = _to(_numbers(choice, kind_c, form, LONGEST), form)
    if relation == "close":  # a few units in the last place apart: all cancels
        t_c = _to(_wide(t_p) * (1 + _ZIGZAG[choice % 8] * 2 * form.u), form)
    elif relation == "some":
        t_c = np.where(choice % 2, t_c, t_p)
    return Residuals(t_p, t_c)


def _fit(data: Bytes, form: Format) -> Fit:
    kind_u, kind_c = _kinds(data)
    n, relation = _length(data), data.pick("none", "none", "none", "close", "exact")
    t_u = _to(_numbers(data.column(n), kind_u, form), form)
    choice = data.column(n)
    t_c = _to(_numbers(choice, kind_c, form, LONGEST), form)
    kind = kind_u if kind_u in _PLAIN else "real"
    w, b = _to(_numbers(data.take(2), kind, form), form)
    if relation != "none":  # near or at a perfect fit, where a gradient is all cancellation
        noise = 0.0 if relation == "exact" else _ZIGZAG[choice % 8] * 2 * form.u
        t_c = _to((_wide(w) * _wide(t_u) + _wide(b)) * (1 + noise), form)
    return Fit(t_u, t_c, np.asarray(w), np.asarray(b))


_FIT = _PAIR + 2


def _curvature(t_u: Array) -> tuple[float, Array]:
    """The largest eigenvalue of the loss's Hessian, and a vector in its direction, as close as float64 gets."""
    wide = _wide(t_u)
    a, b = 2 * float(np.mean(wide * wide)), 2 * float(np.mean(wide))
    gap = math.hypot(a - 2, 2 * b)
    largest = (a + 2 + gap) / 2
    # Both rows of the Hessian less the other eigenvalue point that way; the longer one is never zero.
    rows = (a - 2 + gap, 2 * b), (2 * b, 2 - a + gap)
    return largest, np.array(max(rows, key=lambda row: math.hypot(*row)))


def rate_below(fraction: float, t_u: Array, *, plain: bool = False) -> float:
    """A learning rate that is this fraction of the limit 2 / lambda_max; a power of two at most that if it is to be plain."""
    rate = fraction * 2 / _curvature(t_u)[0]
    return 2.0 ** math.floor(math.log2(rate)) if plain else rate


def _descent(data: Bytes, form: Format) -> Descent:
    fit = _fit(data, form)
    fraction = data.pick(0.5, 0.25, 0.9, 0.05, 0.999, 1.3)
    n_epochs = data.pick(1, 2, 3, 4, 6, 10)
    plain = bool((_wide(fit.t_u) * 4 % 1 == 0).all())
    return Descent(fit.t_u, fit.t_c, fit.w, fit.b, rate_below(fraction, fit.t_u, plain=plain), n_epochs)


def residuals() -> st.SearchStrategy[Any]:
    """Predictions and measurements: all magnitudes, repeats, zeros, all one sign, all but equal, n from 1."""
    return drawn(_residuals, _PAIR)


def fits() -> st.SearchStrategy[Any]:
    """Data sets and parameters: all magnitudes, constant and nearly constant columns, perfect and nearly perfect fits."""
    return drawn(_fit, _FIT)


def descents() -> st.SearchStrategy[Any]:
    """Fits with a learning rate, mostly below the limit of stability, and 1 to 10 epochs."""
    return drawn(_descent, _FIT + 2)


def simple_fits() -> st.SearchStrategy[Any]:
    """Fits of few samples in plain numbers, whose halves and small multiples are exact: for claims that leave no room."""
    return drawn(_simple_fit, _FIT)


def _simple_fit(data: Bytes, form: Format) -> Fit:
    data.take(1)
    n = data.pick(1, 2, 3, 4)
    data.take(1)
    of_columns, of_params = ("few", "few") if form.precision < 11 else ("whole", "quarters")
    t_u, t_c = (_to(_numbers(data.column(n), of_columns, form), form) for _ in range(2))
    w, b = _to(_numbers(data.take(2), of_params, form), form)
    return Fit(t_u, t_c, np.asarray(w), np.asarray(b))


@dataclass
class Segment:
    """Data, and two ends of a straight line through parameter space, (2,) each, with the point halfway: exact, all three."""

    t_u: Array
    t_c: Array
    start: Array
    middle: Array
    end: Array


def segments() -> st.SearchStrategy[Any]:
    """Segments between parameters whose halfway point the dtype holds exactly."""
    return drawn(_segment, _FIT + 4)


def _segment(data: Bytes, form: Format) -> Segment:
    fit = _fit(data, form)
    middle, arm = (_numbers(data.take(2), "quarters", form) for _ in range(2))
    start, middle, end = (_to(x, form) for x in (middle - arm, middle, middle + arm))
    return Segment(fit.t_u, fit.t_c, start, middle, end)


def optima() -> st.SearchStrategy[Any]:
    """Fits that are at the least-squares optimum exactly: each reading twice, as far above the line as below it."""
    return drawn(_optimum, _FIT)


def _optimum(data: Bytes, form: Format) -> Fit:
    fit = _simple_fit(data, form)
    above = fit.t_c
    line = _wide(fit.w) * _wide(fit.t_u) + _wide(fit.b)
    t_c = np.concatenate([line + _wide(above), line - _wide(above)])
    return Fit(np.concatenate([fit.t_u, fit.t_u]), _to(t_c, form), fit.w, fit.b)


@dataclass
class Parts:
    """One data set and the place where it is cut in two, each part with a sample at least, and parameters."""

    whole: Fit
    cut: int


def parts() -> st.SearchStrategy[Any]:
    """Fits of two samples or more, cut in two parts of any sizes."""
    return drawn(_parts, _FIT + 1)


def _parts(data: Bytes, form: Format) -> Parts:
    whole = _fit(data, form)
    if len(whole.t_u) == 1:
        whole = Fit(np.repeat(whole.t_u, 2), np.concatenate([whole.t_c, -whole.t_c]), whole.w, whole.b)
    return Parts(whole, 1 + data.one() % (len(whole.t_u) - 1))


@dataclass
class Shuffled(Fit):
    """A fit and another order of its samples."""

    order: NDArray[np.int64]


def shuffled_fits() -> st.SearchStrategy[Any]:
    """Fits with a permutation of their samples; the simplest is the reversal."""
    return drawn(_shuffled, _FIT + WIDTH)


def _shuffled(data: Bytes, form: Format) -> Shuffled:
    fit = _fit(data, form)
    n = len(fit.t_u)
    order = np.argsort(data.column(n).astype(np.int64), kind="stable")[::-1]
    return Shuffled(fit.t_u, fit.t_c, fit.w, fit.b, order.copy())


@dataclass
class Probe(Fit):
    """A fit and a step for difference quotients."""

    delta: Array


def probes() -> st.SearchStrategy[Any]:
    """Fits with a step, from one as large as the data to one that rounding nearly swallows."""
    return drawn(_probe, _FIT + 1)


def _probe(data: Bytes, form: Format) -> Probe:
    fit = _fit(data, form)
    delta = data.pick(1.0, 0.5, 0.25, 0.1, 2.0, 8.0, 1e-2, 1e-3)
    return Probe(fit.t_u, fit.t_c, fit.w, fit.b, np.asarray(_to(delta, form)))


def lines() -> st.SearchStrategy[Any]:
    """Data sets with two different readings at least, so that one line fits best; some far from zero, where formulas cancel."""
    return drawn(_far_line, _FIT + 1)


def _far_line(data: Bytes, form: Format) -> Fit:
    line = _line(data, form)
    offset = data.pick(0.0, 0.0, 64.0, 1024.0) * float(np.max(abs(_wide(line.t_u))))
    far = _to(_wide(line.t_u) + offset, form)
    return line if np.all(far == far[0]) else Fit(far, line.t_c, line.w, line.b)


def _line(data: Bytes, form: Format) -> Fit:
    fit = _fit(data, form)
    t_u, t_c = fit.t_u, fit.t_c
    if np.all(t_u == t_u[0]):
        other = _wide(t_u[0]) + max(1.0, abs(float(t_u[0])))
        t_u, t_c = np.append(t_u, _to(other, form)), np.append(t_c, t_c[0])
    return Fit(t_u, t_c, fit.w, fit.b)


def long_descents() -> st.SearchStrategy[Any]:
    """Fits with a stable learning rate and dozens to hundreds of epochs."""
    return drawn(_long_descent, _FIT + 2)


def _long_descent(data: Bytes, form: Format) -> Descent:
    descent = _descent(data, form)
    rate = rate_below(min(descent.learning_rate / rate_below(1.0, descent.t_u), 0.9), descent.t_u)
    return Descent(descent.t_u, descent.t_c, descent.w, descent.b, rate, descent.n_epochs * 30)


@dataclass
class Spoiled(Residuals):
    """Residuals with one number that is not finite."""

    value: float


def spoiled_residuals() -> st.SearchStrategy[Any]:
    """Residuals in which one prediction or measurement is NaN or infinite."""
    return drawn(_spoiled, _PAIR + 3)


def _spoiled(data: Bytes, form: Format) -> Spoiled:
    sample = _residuals(data, form)
    return Spoiled(sample.t_p, sample.t_c, _spoil(data, sample.t_p, sample.t_c))


def _spoil(data: Bytes, *columns: Array) -> float:
    """Replace one number of one of the columns, and return by what."""
    column = data.pick(*columns)
    value = data.pick(math.nan, math.inf, -math.inf)
    column[data.one() % len(column)] = value
    return value


@dataclass
class SpoiledProbe(Probe):
    """A fit and a step, with one reading or measurement that is not finite."""

    value: float


def spoiled_probes() -> st.SearchStrategy[Any]:
    """Fits with a step, in which one reading or measurement is NaN or infinite."""
    return drawn(_spoiled_probe, _FIT + 4)


def _spoiled_probe(data: Bytes, form: Format) -> SpoiledProbe:
    probe = _probe(data, form)
    value = _spoil(data, probe.t_c, probe.t_u)
    return SpoiledProbe(probe.t_u, probe.t_c, probe.w, probe.b, probe.delta, value)


MISFITS = (
    ((2,), (2, 1)),
    ((2, 1), (2,)),
    ((1,), (2,)),
    ((2,), (1,)),
    ((), (2,)),
    ((3,), (2,)),
    ((2, 1), (1, 2)),
    ((1,), (1, 1)),
)
"""Pairs of shapes that differ; most of them broadcast."""


def misfits() -> st.SearchStrategy[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of shapes that a loss must not take."""
    return st.sampled_from(MISFITS)


def steep_descents() -> st.SearchStrategy[Any]:
    """Descents above the limit, from a start off the optimum in the steepest direction, long enough to overflow."""
    return drawn(_steep_descent, _FIT + 1)


def _steep_descent(data: Bytes, form: Format) -> Descent:
    fit = _fit(data, form)
    excess = data.pick(512.0, 64.0, 512.0, 4.0)
    largest, direction = _curvature(fit.t_u)
    optimum_ = np.array([to_float(x) for x in optimum(exact_of(fit.t_u), exact_of(fit.t_c))])
    start = optimum_ + direction / np.linalg.norm(direction) * max(1.0, float(np.abs(optimum_).max()))
    w, b_ = _to(start, form)
    n_epochs = 10 + math.ceil((math.log(form.largest) + 10) / math.log(2 * excess - 1))
    return Descent(fit.t_u, fit.t_c, np.asarray(w), np.asarray(b_), excess * 2 / largest, n_epochs)


# Broadcasting

Shape = tuple[int, ...]

DEEPEST = 32
"""The most axes of a shape: what every NumPy takes."""

SMALL = 36
"""The most elements of a product."""

_ENDS = 8
"""The axes of one shape whose sizes are drawn: the first four and the last four. Between them all are 1, so products stay small."""

CLASHES = ((2, 3), (3, 2), (2, 4), (4, 2), (0, 2), (2, 0), (3, 0), (6, 3))
"""Pairs of sizes that do not go together."""

GROWING = (
    ((), (2,)),
    ((), (1,)),
    ((1,), (2,)),
    ((1,), (0,)),
    ((2,), (1, 2)),
    ((2,), (3, 2)),
    ((2, 1), (2, 3)),
    ((2, 1), (3,)),
    ((1, 3), (2, 3)),
    ((1, 2), (0, 2)),
    ((2,), (3,)),
    ((2, 2), (3, 2, 2)),
)
"""Pairs of shapes whose product does not have the shape of the first."""


@dataclass
class Operands:
    """Two operands that broadcast, and a number for each element of their product."""

    x: Array
    y: Array
    upstream: Array


@dataclass
class SpoiledOperands(Operands):
    """Operands of which one holds a number that is not finite, if it holds any."""

    value: float


def _whole(data: Bytes, rank: int, *, empty: int = 5) -> Shape:
    """A shape of so many axes; `empty` stands where a size of 0 would."""
    sizes = [(2, 3, 1, 4, empty, 2, 3, 5)[byte % 8] for byte in data.take(_ENDS).tolist()]
    if rank <= _ENDS:
        return tuple(sizes[:rank])
    return (*sizes[: _ENDS // 2], *[1] * (rank - _ENDS), *sizes[_ENDS // 2 :])


def _part(shape: Shape, cut: int, ones: int) -> Shape:
    """The shape without some of its first axes, and with 1 for the axes that the bits of `ones` name, counted from the last."""
    rank = len(shape)
    first = 0 if cut < 128 else cut % (rank + 1)  # half of all shapes have every axis
    return tuple(1 if ones >> (rank - 1 - axis) % _ENDS & 1 else shape[axis] for axis in range(first, rank))


def _fitting(data: Bytes, n: int, rank: int, *, empty: int = 5) -> tuple[Shape, ...]:
    """Shapes that broadcast: each is a part of one and the same."""
    shape = _whole(data, rank, empty=empty)
    bytes_ = np.resize(data.take(8), 2 * n).tolist()
    return tuple(_part(shape, *pair) for pair in zip(bytes_[::2], bytes_[1::2], strict=True))


_FITTING = 2 + _ENDS + 8


def _shapes(data: Bytes, form: Format) -> tuple[Shape, ...]:
    n, rank = data.pick(2, 2, 3, 1, 4), data.pick(1, 2, 3, 0, 4)
    return _fitting(data, n, rank, empty=0)


def _crowd(data: Bytes, form: Format) -> tuple[Shape, ...]:
    n, rank = data.pick(3, 4, 1, 5, 8, 33, 40), data.pick(1, 2, 3, 4, 8, 16, 25, DEEPEST)
    return _fitting(data, n, rank)


def _trailing(data: Bytes, form: Format) -> tuple[Shape, ...]:
    rank = data.pick(2, 3, 4, 1, 8, DEEPEST)
    first, cut, last = data.one(), 1 + data.one() % rank, data.one() % 2
    whole = tuple(2 + (first + axis) % 5 if axis >= rank - 4 else 1 for axis in range(rank))
    return (whole[cut:], whole) if last else (whole, whole[cut:])


def _stretching(data: Bytes, form: Format) -> tuple[Shape, ...]:
    n, rank = data.pick(2, 2, 3), data.pick(1, 2, 3, 4)
    shape = _whole(data, rank)
    return tuple(_part(shape, 0, ones) for ones in (~data.one(), *data.take(n - 1).tolist()))


def _misfitting(data: Bytes, form: Format) -> tuple[Shape, ...]:
    n, rank = data.pick(2, 2, 3, 2, 5), data.pick(1, 2, 3, 4)
    shapes = [list(shape) for shape in _fitting(data, n, rank)]
    clash, axis = data.pick(*CLASHES), 1 + data.one() % rank
    one, other = data.one() % n, data.one() % (n - 1)
    for place, size in zip((one, (one + 1 + other) % n), clash, strict=True):
        shapes[place][:0] = [1] * (axis - len(shapes[place]))
        shapes[place][-axis] = size
    return tuple(map(tuple, shapes))


def _any_pair(data: Bytes, form: Format) -> tuple[Shape, ...]:
    ranks = data.pick(1, 2, 0, 3), data.pick(1, 2, 0, 3)
    return tuple(tuple((1, 2, 3, 0)[byte % 4] for byte in data.take(3).tolist()[:rank]) for rank in ranks)


def _operands(data: Bytes, form: Format, *, stretched: bool = False) -> Operands:
    kind_x, kind_y = (kind.replace("subnormal", "few") for kind in _kinds(data))
    sizes: list[int] = []
    rank = data.pick(1, 2, 2, 3, 2, 0, 3, 4)
    for byte in data.take(4).tolist()[:rank]:
        size = (
            sizes[-1] if sizes and byte >= 128 else (2, 3, 1, 4, 2, 3, 3, 0)[byte % 8]
        )  # half of all tables are square
        if stretched and not sizes:
            size = max(size, 2)
        # A size of 0 counts as the 1 that it is where an operand is stretched along it.
        sizes.append(size if math.prod(max(one, 1) for one in sizes) * size <= SMALL else 1)
    cut, ones, other_cut, other_ones = data.take(4).tolist()
    # What one operand is stretched along the other is not: an axis of size 1 in both shows nothing.
    x, y = _part(tuple(sizes), cut, ones), _part(tuple(sizes), other_cut, other_ones & ~ones)
    if stretched and rank:
        first, *rest = sizes
        x, y = (first, *_part(tuple(rest), 0, ones)), _part((1, *rest), other_cut, other_ones & ~ones)
        x, y = (y, x) if cut % 2 else (x, y)
    return Operands(
        _block(data, x, kind_x, form, 0),
        _block(data, y, kind_y, form, SMALL // 2),
        _block(data, np.broadcast_shapes(x, y), kind_x, form, SMALL),
    )


def _block(data: Bytes, shape: Shape, kind: str, form: Format, place: int) -> Array:
    """Numbers of one kind, of any shape."""
    size = math.prod(shape)
    return _to(_numbers(data.column(max(size, 1)), kind, form, place)[:size].reshape(shape), form)


_OPERANDS = 2 + 4 + 4 + 3 * WIDTH


def _spoiled_operands(data: Bytes, form: Format) -> SpoiledOperands:
    operands = _operands(data, form)
    spoilt = (operands.x, operands.y)[data.one() % 2].reshape(-1)
    value, place = data.pick(math.nan, math.inf, -math.inf), data.one()
    if spoilt.size:
        spoilt[place % spoilt.size] = value
    return SpoiledOperands(operands.x, operands.y, operands.upstream, value)


def shapes() -> st.SearchStrategy[Any]:
    """One to four shapes that broadcast, of up to four axes, empty ones and those of scalars among them."""
    return drawn(_shapes, _FITTING)


def crowds() -> st.SearchStrategy[Any]:
    """Up to forty shapes that broadcast, of up to DEEPEST axes."""
    return drawn(_crowd, _FITTING)


def trailing_shapes() -> st.SearchStrategy[Any]:
    """A shape, and one that consists of its last axes."""
    return drawn(_trailing, 4)


def stretching_shapes() -> st.SearchStrategy[Any]:
    """Two or three shapes of as many axes that differ in ones only."""
    return drawn(_stretching, 2 + _ENDS + 3)


def misfitting_shapes() -> st.SearchStrategy[Any]:
    """Two or more shapes that do not broadcast, because of one axis."""
    return drawn(_misfitting, _FITTING + 4)


def any_two_shapes() -> st.SearchStrategy[Any]:
    """Two shapes of up to three axes that broadcast or do not."""
    return drawn(_any_pair, 8)


def growing_shapes() -> st.SearchStrategy[tuple[Shape, Shape]]:
    """Pairs of shapes that an operation in place must not take."""
    return st.sampled_from(GROWING)


def operands() -> st.SearchStrategy[Any]:
    """Operands of up to four axes that broadcast, in numbers whose products are zero or in the dtype's ordinary range."""
    return drawn(_operands, _OPERANDS)


def stretched_operands() -> st.SearchStrategy[Any]:
    """Operands of which one is stretched along the other's first axis, but for those without axes."""
    return drawn(lambda data, form: _operands(data, form, stretched=True), _OPERANDS)


def spoiled_operands() -> st.SearchStrategy[Any]:
    """Operands in which one number is NaN or infinite."""
    return drawn(_spoiled_operands, _OPERANDS + 3)


# Autograd

MOST_PARAMETERS = 3
MOST_STEPS = 6
MOST_LOSSES = 3


@dataclass(frozen=True)
class Program:
    """A scalar function of parameters that applies sums, differences and products to what it has computed before.

    Each step is an operator and two operands: the number of an earlier value, then another or a constant.
    """

    n_params: int
    steps: tuple[tuple[str, int, int | float], ...]

    def __call__(self, params: Any) -> Any:
        """The value of the last step."""
        values = [params[i] for i in range(self.n_params)]
        for operator, i, other in self.steps:
            x, y = values[i], values[other] if isinstance(other, int) else other
            values.append(x + y if operator == "+" else x - y if operator == "-" else x * y)
        return values[-1]

    @property
    def source(self) -> str:
        """The program as an expression."""
        values = [f"x{i} := params[{i}]" for i in range(self.n_params)]
        for operator, i, other in self.steps:
            y = f"x{other}" if isinstance(other, int) else repr(other)
            values.append(f"x{len(values)} := x{i} {operator} {y}")
        return f"lambda params: [{', '.join(values)}][-1]"


@dataclass
class Programs:
    """Parameters, (p,), and some programs of them. All are whole numbers, and all that the programs compute, their gradients
    and the sums of those are so small that nothing rounds."""

    params: Array
    losses: list[Program]


def programs() -> st.SearchStrategy[Any]:
    """Parameters and one to three programs of them."""
    return drawn(_programs, 2 + MOST_PARAMETERS + MOST_LOSSES * (1 + 2 * MOST_STEPS))


def _programs(data: Bytes, form: Format) -> Programs:
    n_params = data.pick(1, 2, 3)
    n_losses = data.pick(1, 2, 3)
    # At 0 a product hides its factors: it is not the simplest here.
    params = np.array([1.0, 2.0, -1.0, 0.0])[data.take(MOST_PARAMETERS) % 4][:n_params]
    losses = [_program(data, np.maximum(abs(params), 1), 2**form.precision // 4) for _ in range(n_losses)]
    return Programs(_to(params, form), losses)


def _program(data: Bytes, sizes: Array, limit: int) -> Program:
    """A program in whose steps no value and no derivative exceeds the limit, were all its parts positive and of these sizes."""
    n_steps = 1 + data.one() % MOST_STEPS
    values = [(size, np.eye(len(sizes))[i]) for i, size in enumerate(sizes)]
    steps: list[tuple[str, int, int | float]] = []
    for k in range(MOST_STEPS):
        operator, operands = data.pick("*", "+", "-", "*", "+", "-2", "*2"), data.one()
        if k >= n_steps:
            continue
        i, j = (len(values) - 1 - x % len(values) for x in (operands & 15, operands >> 4))
        (x, dx), (y, dy) = values[i], values[j] if len(operator) == 1 else (2.0, 0.0)
        size, slopes = (x * y, dx * y + x * dy) if operator[0] == "*" else (x + y, dx + dy)
        if max(size, slopes.max()) <= limit:
            values.append((size, slopes))
            steps.append((operator[0], i, j if len(operator) == 1 else 2.0))
    return Program(len(sizes), tuple(steps) or (("+", 0, 0),))


@dataclass(frozen=True)
class SquaredDistance:
    """The squared distance of the parameters from a place."""

    place: float

    def __call__(self, params: Any) -> Any:
        """A scalar."""
        return ((params - self.place) ** 2).sum()

    @property
    def source(self) -> str:
        """The function as an expression."""
        return f"lambda params: ((params - {self.place!r}) ** 2).sum()"


@dataclass
class Approach:
    """Parameters, (p,), that descend on their squared distance from a place."""

    loss: SquaredDistance
    params: Array
    learning_rate: float
    n_steps: int


def approaches() -> st.SearchStrategy[Any]:
    """Descents by one to four steps, most of which come nearer."""
    return drawn(_approach, 5 + WIDTH)


def _approach(data: Bytes, form: Format) -> Approach:
    kind = data.pick(*_KINDS)
    params = _to(_numbers(data.column(data.pick(1, 2, 3, 5)), kind, form), form)
    place = float(_to(_ZIGZAG[data.one()] / 4, form))
    return Approach(SquaredDistance(place), params, data.pick(0.25, 0.125, 0.1, 0.3, 1.0), data.pick(1, 2, 3, 4))


# Accumulation


@dataclass
class Batched(Fit):
    """A fit whose samples are cut into batches of these sizes."""

    sizes: list[int]

    @property
    def batches(self) -> list[tuple[Array, Array]]:
        """The pairs (t_u, t_c) of columns, a batch each."""
        return _cut(self, self.sizes)


def _cut(fit: Fit, sizes: list[int]) -> list[tuple[Array, Array]]:
    """The columns of a fit in parts of these sizes."""
    cuts = np.cumsum(sizes)[:-1]
    return list(zip(np.split(fit.t_u, cuts), np.split(fit.t_c, cuts), strict=True))


@dataclass
class Rebatched:
    """The same samples in two orders, cut into batches in two ways."""

    first: Batched
    second: Batched


MOST_BATCHES = 6


def batched_fits() -> st.SearchStrategy[Any]:
    """Fits in up to six batches of any sizes, of which the last is often smaller, or takes all that is left."""
    return drawn(_batched, _FIT + MOST_BATCHES)


def _batched(data: Bytes, form: Format) -> Batched:
    fit = _fit(data, form)
    return Batched(fit.t_u, fit.t_c, fit.w, fit.b, _sizes(data.take(MOST_BATCHES), len(fit.t_u)))


def _sizes(data: NDArray[np.uint8], n: int) -> list[int]:
    """Sizes that add up to n: all that is left where a byte is 0, up to six samples otherwise."""
    sizes: list[int] = []
    for byte in data:
        if n:
            sizes.append(min(n, int(byte) % 7 or n))
            n -= sizes[-1]
    sizes[-1] += n
    return sizes


def rebatched_fits() -> st.SearchStrategy[Any]:
    """Fits cut into batches twice, the second time in another order."""
    return drawn(_rebatched, _FIT + WIDTH + 2 * MOST_BATCHES)


def _rebatched(data: Bytes, form: Format) -> Rebatched:
    fit = _shuffled(data, form)
    first, second = (_sizes(data.take(MOST_BATCHES), len(fit.t_u)) for _ in range(2))
    return Rebatched(
        Batched(fit.t_u, fit.t_c, fit.w, fit.b, first),
        Batched(fit.t_u[fit.order], fit.t_c[fit.order], fit.w, fit.b, second),
    )


@dataclass
class Windows(Fit):
    """A fit whose samples come in batches of one size, of which each window but the last takes the same number."""

    size: int
    length: int

    @property
    def windows(self) -> list[Batched]:
        """The windows, in order; the last batch and the last window hold what is left."""
        per_window = self.size * self.length
        parts = []
        for start in range(0, len(self.t_u), per_window):
            t_u, t_c = self.t_u[start : start + per_window], self.t_c[start : start + per_window]
            sizes = [len(t_u[i : i + self.size]) for i in range(0, len(t_u), self.size)]
            parts.append(Batched(t_u, t_c, self.w, self.b, sizes))
        return parts


def windows() -> st.SearchStrategy[Any]:
    """Fits in batches of one to four samples, and in windows of two to four batches."""
    return drawn(_windows, _FIT + 2)


def _windows(data: Bytes, form: Format) -> Windows:
    fit = _fit(data, form)
    return Windows(fit.t_u, fit.t_c, fit.w, fit.b, data.pick(1, 2, 3, 4), data.pick(2, 3, 4))


@dataclass
class Sharded(Descent):
    """A descent whose samples several workers share: so many each, in their order, and some may have none."""

    sizes: list[int]

    @property
    def shards(self) -> list[tuple[Array, Array]]:
        """The pairs (t_u, t_c) of columns, a worker each."""
        return _cut(self, self.sizes)


def sharded_descents() -> st.SearchStrategy[Any]:
    """Descents on the samples of two or three workers, or of one: shards of one size, of any sizes, and empty ones."""
    return drawn(_sharded_descent, _FIT + 5)


def _sharded_descent(data: Bytes, form: Format) -> Sharded:
    descent = _descent(data, form)
    n, world = len(descent.t_u), data.pick(2, 3, 2, 3, 2, 3, 2, 3, 1)
    cuts = []
    for k, byte in zip(range(1, world), data.take(2).tolist(), strict=False):
        spared = int(byte < 192 and n >= world)  # three of four cuts leave a sample on either side
        cuts.append(min(max(n * k // world + int(_ZIGZAG[byte % 8]), spared * k), n - spared * (world - k)))
    cuts.sort()
    return Sharded(**vars(descent), sizes=np.diff([0, *cuts, n]).tolist())


# Optimizers


@dataclass
class Optimization:
    """What an optimizer is given: its hyperparameters, K parameters, and for each of T steps K gradients, or None for some."""

    name: str
    hyperparameters: dict[str, Any]
    params: list[Array]
    grads: list[list[Array | None]]


_SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((1,),), ((2,),), ((1,), (1,)), ((2,), (2,)), ((),), ((2, 2),), ((1,), (2,)), ((2,), (), (2,)), ((2, 2), (1,)), ((), (2, 1)),
)  # fmt: skip
"""The shapes of the parameters of one example."""

_RATES = (0.5, 0.25, 1.0, 0.1, 1e-2, 1e-3, 0.3, 1e-5)
_BETA1 = (None, 0.5, 0.9, 0.0, 0.75, 0.99, 0.8, 0.1, 0.95)
_BETA2 = (None, 0.75, 0.9, 0.999, 0.0, 0.5, 0.99, 0.3, 0.95)
_EPSILONS = (None, 0.25, 1e-2, 1e-1, 1e-8, 1e-12, 1e-4, 0.0)
_DECAYS = (None, 0.25, 0.1, 1e-2, 0.5, 0.0)
_FLAGS = (None, True, False)

HYPERPARAMETERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "sgd": {"momentum": (None, 0.5, 0.9, 0.99, 0.0, 1.0), "dampening": (None, 0.5, 0.1, 1.0), "weight_decay": _DECAYS, "nesterov": _FLAGS},
    "adam": {"beta1": _BETA1, "beta2": _BETA2, "eps": _EPSILONS, "weight_decay": _DECAYS, "amsgrad": _FLAGS},
    "adamw": {"beta1": _BETA1, "beta2": _BETA2, "eps": _EPSILONS, "weight_decay": _DECAYS, "amsgrad": _FLAGS},
    "rmsprop": {
        "alpha": (None, 0.5, 0.9, 0.75, 0.0, 0.95), "eps": _EPSILONS, "weight_decay": _DECAYS,
        "momentum": (None, 0.5, 0.9, 0.0), "centered": _FLAGS,
    },
    "adagrad": {
        "lr_decay": (None, 0.5, 0.1, 1e-2, 0.0, 1.0), "weight_decay": _DECAYS,
        "initial_accumulator_value": (None, 0.25, 0.1, 0.0, 1.0, 1e-4), "eps": _EPSILONS,
    },
    "adadelta": {"rho": (None, 0.5, 0.9, 0.75, 0.0, 1.0, 0.95), "eps": _EPSILONS, "weight_decay": _DECAYS},
    "adamax": {"beta1": _BETA1, "beta2": _BETA2, "eps": _EPSILONS, "weight_decay": _DECAYS},
    "nadam": {
        "beta1": _BETA1, "beta2": _BETA2, "eps": _EPSILONS, "weight_decay": _DECAYS,
        "momentum_decay": (None, 0.25, 4e-3, 0.0, 1.0), "decoupled_weight_decay": _FLAGS,
    },
    "radam": {
        "beta1": _BETA1, "beta2": (None, 0.9, 0.99, 0.75, 0.999, 0.95, 0.98, 0.0), "eps": _EPSILONS, "weight_decay": _DECAYS,
        "decoupled_weight_decay": _FLAGS,
    },
    "asgd": {"lambd": (None, 0.25, 1e-2, 1e-4, 0.0), "alpha": (None, 0.5, 0.75, 0.0, 1.0), "weight_decay": _DECAYS},
    "rprop": {"etas": (None, (0.5, 2.0), (0.25, 1.5), (0.1, 1.05)), "step_sizes": (None, (0.25, 0.5), (0.5, 1.0), (0.0, 0.6), (1e-6, 50.0))},
}  # fmt: skip
"""What the hyperparameters of each optimizer may be, the simplest first; None leaves one out. A third of the drawn numbers is none of these."""

_RANGES = {
    "beta1": (0.0, 0.99), "beta2": (0.0, 0.999), "eps": (1e-6, 1e-1), "weight_decay": (0.0, 0.5), "momentum": (0.0, 0.99),
    "dampening": (0.0, 1.0), "alpha": (0.0, 0.99), "lr_decay": (0.0, 1.0), "initial_accumulator_value": (0.0, 1.0), "rho": (0.0, 1.0),
    "momentum_decay": (0.0, 0.1), "lambd": (0.0, 0.1),
}  # fmt: skip
"""Where the others lie."""

_COURSES = ("free", "constant", "shrinking", "growing", "alternating", "ending", "free", "shrinking")
"""How gradients go on from step to step."""

_GRADIENT_KINDS = (
    "few", "quarters", "whole", "real", "spread", "few", "real", "large", "quarters", "small", "spread", "real", "alike", "readings",
    "subnormal", "whole",
)  # fmt: skip

_OPTIMIZATION = 9 + 3 * WIDTH + 10


def optimizations(name: str, **options: Any) -> st.SearchStrategy[Any]:
    """Runs of one optimizer: all its hyperparameters, constant and changing rates, one to three tensors, gradients of all kinds.

    `only` names the hyperparameters that are drawn (the others are left out), `options` what one of them, `rates`, `courses` or
    `absent` may be instead, `steps` the fewest and the most; if they are `alike`, there are several tensors, the last of the first's shape.
    """
    return drawn(_optimization(name, **options), _OPTIMIZATION)


@functools.cache
def _optimization(
    name: str,
    *,
    steps: tuple[int, int] = (1, 8),
    only: tuple[str, ...] | None = None,
    alike: bool = False,
    **options: Any,
) -> Callable[[Bytes, Format], Optimization]:
    """The decoder of such runs."""
    chosen = {**HYPERPARAMETERS[name], "maximize": (None,) if only is not None else _FLAGS}
    if only is not None:
        chosen = {key: choices if key in only else (None,) for key, choices in chosen.items()}
    own = {key: options.pop(key) for key in list(options) if key in chosen}
    chosen |= own
    courses = options.pop("courses", _COURSES)
    changes = options.pop("rates", (1.0,) if name in ("asgd", "rprop") else (1.0, 1.0, 0.5, 0.1, 1.0, 2.0))
    absent = options.pop("absent", (False,))
    rates = options.pop("lr", _RATES)
    if options:
        raise ValueError(f"{sorted(options)} cannot be chosen for {name}")
    shapes = [some for some in _SHAPES if not alike or (len(some) > 1 and some[0] == some[-1])]

    def optimization(data: Bytes, form: Format) -> Optimization:
        some, (low, high) = data.pick(*shapes), steps
        n_steps = low + data.one() % (high - low + 1)
        kind_byte, course = data.one(), data.pick(*courses)
        rate, change, gaps = data.pick(*rates), data.pick(*changes), data.pick(*absent)
        gap_bits = int(data.one()) | int(data.one()) << 8
        hyperparameters = _hyperparameters(data.take(10), chosen, own)
        size = sum(math.prod(shape) for shape in some)
        start = _numbers(data.column(size), _GRADIENT_KINDS[kind_byte >> 4 & 7], form)
        slopes = _slopes(
            np.resize(data.take(2 * WIDTH), n_steps * size), n_steps, _GRADIENT_KINDS[kind_byte & 15], course, form
        )
        hyperparameters["lr"] = rate if change == 1.0 else [rate * change ** (t % 4) for t in range(n_steps)]
        grads: list[list[Array | None]] = [list(_tensors(row, some, form)) for row in slopes]
        if gaps:
            for t, step in enumerate(grads):
                for k in range(len(some)):
                    if gap_bits >> (t + 5 * k) % 16 & 1:
                        step[k] = None
        return Optimization(name, hyperparameters, list(_tensors(start, some, form)), grads)

    return optimization


def of_each(**options: Any) -> st.SearchStrategy[Any]:
    """Runs of an optimizer that is named afterwards, `drawn(name)`; options that it does not have are left out."""
    return st.binary(min_size=_OPTIMIZATION, max_size=_OPTIMIZATION).map(lambda data: OfEach(data, options))


class OfEach:
    """The bytes of a run that waits for the dtype under test, and then for the name of its optimizer."""

    def __init__(self, data: bytes, options: dict[str, Any]) -> None:
        self.data = data
        self.options = options

    def at(self, form: Format) -> Callable[[str], Optimization]:
        """The run, in the numbers of a format, of the optimizer that is named then."""

        def named(name: str) -> Optimization:
            known = {
                key: value
                for key, value in self.options.items()
                if key not in _HAVE_SOME or key in HYPERPARAMETERS[name]
            }
            run: Optimization = Drawn(self.data, _optimization(name, **known)).at(form)
            return run

        return named

    def __repr__(self) -> str:
        return f"a run of {self.data.hex()}"


_HAVE_SOME = {key for own in HYPERPARAMETERS.values() for key in own}


def _hyperparameters(
    data: NDArray[np.uint8], chosen: dict[str, tuple[Any, ...]], own: dict[str, tuple[Any, ...]]
) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for place, ((key, choices), byte) in enumerate(zip(chosen.items(), map(int, data), strict=False)):
        value = choices[byte % len(choices)]
        if byte > 170 and key in _RANGES and key not in own and len(choices) > 1:
            low, high = _RANGES[key]
            value = low + (high - low) * float(_FRACTIONS[byte, place])
        if value is not None:
            given[key] = value
    betas = given.pop("beta1", None), given.pop("beta2", None)
    if betas != (None, None):
        given["betas"] = (0.9 if betas[0] is None else betas[0], 0.999 if betas[1] is None else betas[1])
    if given.get("nesterov") and not (given.get("momentum") and not given.get("dampening")):
        given["nesterov"] = False  # which needs momentum, and no dampening
    return given


def _slopes(data: NDArray[np.uint8], n_steps: int, kind: str, course: str, form: Format) -> Array:
    """The gradients of each step, one row each."""
    slopes = np.array([_numbers(row, kind, form, 7 * t % 70) for t, row in enumerate(data.reshape(n_steps, -1))])
    times = np.arange(n_steps)[:, None]
    first, unit = slopes[:1], 0.25 if form.max_exponent >= 100 else 0.5
    match course:
        case "constant":
            slopes = first + 0 * slopes
        case "shrinking":
            slopes = first * unit**times
        case "growing":
            slopes = first * unit**-times
        case "alternating":
            slopes = slopes * (-1.0) ** times
        case "ending":
            slopes = np.where(times < (n_steps + 1) // 2, slopes, 0.0)
    return slopes


def _tensors(row: Array, shapes: tuple[tuple[int, ...], ...], form: Format) -> list[Array]:
    """A row cut into tensors of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [_to(part, form).reshape(shape) for part, shape in zip(np.split(row, ends[:-1]), shapes, strict=True)]


# Validation


@dataclass
class Split:
    """A number of samples, the fraction of them that is held out, and a seed."""

    n_samples: int
    val_fraction: float
    seed: int


def splits() -> st.SearchStrategy[Any]:
    """Splits of 1 to 40 samples, or of hundreds: usual fractions, whole shares, awkward decimals, any number below 1."""
    return drawn(_split, _SPLIT)


_SPLIT = 7

_PERCENTS = ((100, 0.29), (50, 0.58), (100, 0.57), (300, 0.41), (200, 0.29), (300, 0.69), (100, 0.14), (300, 0.7))
"""Products that are whole numbers, most of which come out just below them in float64."""


def _split(data: Bytes, form: Format) -> Split:
    kind, byte = data.pick("usual", "percent", "share", "any"), data.one()
    n = _length(data)
    match kind:
        case "usual":
            fraction = (0.5, 0.2, 0.25, 0.1, 0.3, 0.75, 0.0)[byte % 7]
        case "percent":
            n, fraction = _PERCENTS[byte % len(_PERCENTS)]
        case "share":
            fraction = byte % n / n
        case _:
            fraction = float(_FRACTIONS[byte, 0])
    return Split(n, fraction, _seed(data))


def _seed(data: Bytes) -> int:
    return int.from_bytes(data.take(4), "little")


def seeds() -> st.SearchStrategy[Any]:
    """Seeds below 2 ** 32, and the simplest is 0."""
    return drawn(lambda data, form: _seed(data), 4)


@dataclass
class SplitFit:
    """A data set and how it is split."""

    t_u: Array
    t_c: Array
    val_fraction: float
    seed: int


def split_fits() -> st.SearchStrategy[Any]:
    """Data sets, which may have repeated rows, with a fraction and a seed."""
    return drawn(_split_fit, _FIT + 5)


def _split_fit(data: Bytes, form: Format) -> SplitFit:
    fit = _fit(data, form)
    return SplitFit(fit.t_u, fit.t_c, data.pick(0.5, 0.25, 0.2, 0.0, 0.75), _seed(data))


@dataclass
class Validated(Descent):
    """A descent, and validation data with it: two sets of them, of which the second may hold what is not finite."""

    val_t_u: Array
    val_t_c: Array
    other_t_u: Array
    other_t_c: Array


def validated_descents() -> st.SearchStrategy[Any]:
    """Descents below the limit with two sets of validation data, of other sizes and other magnitudes too."""
    return drawn(_validated, _FIT + 3 + 2 * _PAIR)


def _validated(data: Bytes, form: Format) -> Validated:
    fit = _descent(data, form)
    rate = min(fit.learning_rate, rate_below(0.999, fit.t_u))
    first, second = _residuals(data, form), _residuals(data, form)
    spoiled = data.pick(None, None, math.nan, math.inf)
    if spoiled is not None:
        second.t_c[-1] = spoiled
    return Validated(
        fit.t_u, fit.t_c, fit.w, fit.b, rate, fit.n_epochs, first.t_p, first.t_c, second.t_p + 1, second.t_c
    )


@dataclass
class Penalized(Fit):
    """A fit with the factors of its penalties."""

    l1: float
    l2: float


def penalized_fits() -> st.SearchStrategy[Any]:
    """Fits, some of weight 0, with penalties that no dtype has exactly, or none, among them."""
    return drawn(_penalized, _FIT + 3)


_PENALTIES = (1.0, 0.5, 2.0, 0.1, 0.0, 1e-3, 30.0)


def _penalized(data: Bytes, form: Format) -> Penalized:
    fit = _fit(data, form)
    l1, l2 = data.pick(*_PENALTIES), data.pick(*_PENALTIES)
    w = data.pick(fit.w, fit.w, fit.w, np.zeros_like(fit.w))
    return Penalized(fit.t_u, fit.t_c, np.asarray(w), fit.b, l1, l2)


@dataclass
class Ridge:
    """A data set with two penalties, the second the larger."""

    t_u: Array
    t_c: Array
    l2: float
    larger: float


def ridges() -> st.SearchStrategy[Any]:
    """Data sets of two readings at least, with two penalties of about the size of the readings' mean square, or much less."""
    return drawn(_ridge, _FIT + 2)


def _ridge(data: Bytes, form: Format) -> Ridge:
    line = _line(data, form)
    size = 2.0 ** round(math.log2(max(float(np.mean(_wide(line.t_u) ** 2)), form.normal)))
    l2 = data.pick(1.0, 0.5, 0.1, 1e-3, 0.0, 4.0) * size
    return Ridge(line.t_u, line.t_c, l2, l2 + data.pick(1.0, 0.5, 0.1, 8.0, 1e-3) * size)


@dataclass
class Losses:
    """The losses of the epochs of a run, (n,), and a patience."""

    val_losses: Array
    patience: int


def loss_logs() -> st.SearchStrategy[Any]:
    """Logs of 1 to 40 losses, ties and differences of one rounding among them, with a patience of 1 to 8."""
    return drawn(_loss_log, _LOG)


def spoiled_loss_logs() -> st.SearchStrategy[Any]:
    """The same, with NaN, or infinity, in the place of some losses, of the first in half of the logs."""
    return drawn(_spoiled_loss_log, _LOG + 2 + WIDTH)


_LOG = 3 + WIDTH


def _losses(data: NDArray[np.uint8], kind: str, form: Format) -> Array:
    """Losses of one kind: none is negative, and a byte of 0 is a 0, or the lowest."""
    match kind:
        case "levels":
            return _to(data % 4, form)
        case "rounding":
            return _to(1 + (data % 6) * 2 * form.u, form)
        case _:
            return _to(np.abs(_numbers(data, kind, form)), form)


def _loss_log(data: Bytes, form: Format) -> Losses:
    n, kind, patience = _length(data), data.pick("levels", "whole", "rounding", "real", "spread"), 1 + data.one() % 8
    return Losses(_losses(data.column(n), kind, form), patience)


def _spoiled_loss_log(data: Bytes, form: Format) -> Losses:
    log = _loss_log(data, form)
    value, where = data.pick(math.nan, math.nan, math.inf), data.column(len(log.val_losses))
    log.val_losses[where % 3 == 1] = value
    if data.pick(False, True):
        log.val_losses[0] = value
    return log


@dataclass
class Curves:
    """The training and validation losses of a run, (n,) each."""

    train_losses: Array
    val_losses: Array


def curves() -> st.SearchStrategy[Any]:
    """Curves of 1 to 40 epochs: any numbers, or training losses that fall and validation losses that turn at some epoch."""
    return drawn(_curves, 5 + 2 * WIDTH)


def _curves(data: Bytes, form: Format) -> Curves:
    n, kind, shape = (
        _length(data),
        data.pick("whole", "levels", "real", "rounding"),
        data.pick("any", "falling", "turning"),
    )
    fall, rise = data.pick(0.5, 0.75, 0.97), data.pick(1.5, 1.125, 1.01, 1.25)
    train, val = _losses(data.column(n), kind, form), _losses(data.column(n), kind, form)
    if shape != "any":  # within rounding of the thresholds too: the first training loss is a power of two
        epochs = np.arange(n)
        turn = n if shape == "falling" else n // 2
        train = _to(8 * fall**epochs, form)
        val = _to(8 * fall ** np.minimum(epochs, turn) * np.where(epochs > turn, rise, 1.0), form)
    return Curves(train, val)

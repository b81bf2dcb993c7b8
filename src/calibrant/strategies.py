"""What inputs look like: data sets, predictions, parameters, learning rates and steps, as Hypothesis strategies.

Drawing costs more than judging, and it costs per draw: so one string of bytes is drawn for a whole example, and decoded here.
Byte 0 stands for the simplest thing everywhere (the plainest kind of numbers, one sample, zero), so that a failure shrinks,
byte by byte, to an example that a person would have written. What is decoded depends on the dtype under test, whose numbers
it must be: a drawn `Drawn` is turned into it with `at(form)`, which `@clause` does.
"""

from __future__ import annotations

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
            x = _ZIGZAG[data % 65] / 4
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
    """Data sets with two different readings at least, so that one line fits best."""
    return drawn(_line, _FIT)


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
    column = (sample.t_p, sample.t_c)[data.one() % 2]
    value = data.pick(math.nan, math.inf, -math.inf)
    column[data.one() % len(column)] = value
    return Spoiled(sample.t_p, sample.t_c, value)


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


def _operands(data: Bytes, form: Format) -> Operands:
    kind_x, kind_y = (kind.replace("subnormal", "few") for kind in _kinds(data))
    sizes: list[int] = []
    rank = data.pick(1, 2, 1, 3, 2, 0, 3, 4)
    for byte in data.take(4).tolist()[:rank]:
        size = (
            sizes[-1] if sizes and byte >= 128 else (2, 3, 1, 4, 2, 3, 3, 0)[byte % 8]
        )  # half of all tables are square
        sizes.append(size if math.prod(sizes) * size <= SMALL else 1)
    x, y = (_part(tuple(sizes), data.one(), data.one()) for _ in range(2))
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


def spoiled_operands() -> st.SearchStrategy[Any]:
    """Operands in which one number is NaN or infinite."""
    return drawn(_spoiled_operands, _OPERANDS + 3)


# Autograd


# Accumulation


# Optimizers


# Validation

"""Readings, predictions, parameters, rates and steps: what the chapters from data to descent are asked with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format, optimum, to_float
from calibrant.exact import of as exact_of
from calibrant.strategies.drawing import (
    LONGEST,
    PLAIN,
    WIDTH,
    ZIGZAG,
    Array,
    Bytes,
    cast,
    drawn,
    kinds_of,
    length_of,
    numbers_of,
    widened,
)


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


PAIR = 3 + 2 * WIDTH


def decode_residuals(data: Bytes, form: Format) -> Residuals:
    """Predictions and measurements as bytes stand for them."""
    kind_p, kind_c = kinds_of(data)
    n, relation = length_of(data), data.pick("none", "none", "none", "close", "some")
    t_p = cast(numbers_of(data.column(n), kind_p, form), form)
    choice = data.column(n)
    t_c = cast(numbers_of(choice, kind_c, form, LONGEST), form)
    if relation == "close":  # a few units in the last place apart: all cancels
        t_c = cast(widened(t_p) * (1 + ZIGZAG[choice % 8] * 2 * form.u), form)
    elif relation == "some":
        t_c = np.where(choice % 2, t_c, t_p)
    return Residuals(t_p, t_c)


def decode_fit(data: Bytes, form: Format) -> Fit:
    """Readings, temperatures and parameters as bytes stand for them."""
    kind_u, kind_c = kinds_of(data)
    n, relation = length_of(data), data.pick("none", "none", "none", "close", "exact")
    t_u = cast(numbers_of(data.column(n), kind_u, form), form)
    choice = data.column(n)
    t_c = cast(numbers_of(choice, kind_c, form, LONGEST), form)
    kind = kind_u if kind_u in PLAIN else "real"
    w, b = cast(numbers_of(data.take(2), kind, form), form)
    if relation != "none":  # near or at a perfect fit, where a gradient is all cancellation
        noise = 0.0 if relation == "exact" else ZIGZAG[choice % 8] * 2 * form.u
        t_c = cast((widened(w) * widened(t_u) + widened(b)) * (1 + noise), form)
    return Fit(t_u, t_c, np.asarray(w), np.asarray(b))


FIT = PAIR + 2


def _curvature(t_u: Array) -> tuple[float, Array]:
    """The largest eigenvalue of the loss's Hessian, and a vector in its direction, as close as float64 gets."""
    wide = widened(t_u)
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


def decode_descent(data: Bytes, form: Format) -> Descent:
    """Those of a fit, with a rate and a number of epochs, as bytes stand for them."""
    fit = decode_fit(data, form)
    fraction = data.pick(0.5, 0.25, 0.9, 0.05, 0.999, 1.3)
    n_epochs = data.pick(1, 2, 3, 4, 6, 10)
    plain = bool((widened(fit.t_u) * 4 % 1 == 0).all())
    return Descent(fit.t_u, fit.t_c, fit.w, fit.b, rate_below(fraction, fit.t_u, plain=plain), n_epochs)


def residuals() -> st.SearchStrategy[Any]:
    """Predictions and measurements: all magnitudes, repeats, zeros, all one sign, all but equal, n from 1."""
    return drawn(decode_residuals, PAIR)


def fits() -> st.SearchStrategy[Any]:
    """Data sets and parameters: all magnitudes, constant and nearly constant columns, perfect and nearly perfect fits."""
    return drawn(decode_fit, FIT)


def descents() -> st.SearchStrategy[Any]:
    """Fits with a learning rate, mostly below the limit of stability, and 1 to 10 epochs."""
    return drawn(decode_descent, FIT + 2)


def simple_fits() -> st.SearchStrategy[Any]:
    """Fits of few samples in plain numbers, whose halves and small multiples are exact: for claims that leave no room."""
    return drawn(_simple_fit, FIT)


def _simple_fit(data: Bytes, form: Format) -> Fit:
    data.take(1)
    n = data.pick(1, 2, 3, 4)
    data.take(1)
    of_columns, of_params = ("few", "few") if form.precision < 11 else ("whole", "quarters")
    t_u, t_c = (cast(numbers_of(data.column(n), of_columns, form), form) for _ in range(2))
    w, b = cast(numbers_of(data.take(2), of_params, form), form)
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
    return drawn(_segment, FIT + 4)


def _segment(data: Bytes, form: Format) -> Segment:
    fit = decode_fit(data, form)
    middle, arm = (numbers_of(data.take(2), "quarters", form) for _ in range(2))
    start, middle, end = (cast(x, form) for x in (middle - arm, middle, middle + arm))
    return Segment(fit.t_u, fit.t_c, start, middle, end)


def optima() -> st.SearchStrategy[Any]:
    """Fits that are at the least-squares optimum exactly: each reading twice, as far above the line as below it."""
    return drawn(_optimum, FIT)


def _optimum(data: Bytes, form: Format) -> Fit:
    fit = _simple_fit(data, form)
    above = fit.t_c
    line = widened(fit.w) * widened(fit.t_u) + widened(fit.b)
    t_c = np.concatenate([line + widened(above), line - widened(above)])
    return Fit(np.concatenate([fit.t_u, fit.t_u]), cast(t_c, form), fit.w, fit.b)


@dataclass
class Parts:
    """One data set and the place where it is cut in two, each part with a sample at least, and parameters."""

    whole: Fit
    cut: int


def parts() -> st.SearchStrategy[Any]:
    """Fits of two samples or more, cut in two parts of any sizes."""
    return drawn(_parts, FIT + 1)


def _parts(data: Bytes, form: Format) -> Parts:
    whole = decode_fit(data, form)
    if len(whole.t_u) == 1:
        whole = Fit(np.repeat(whole.t_u, 2), np.concatenate([whole.t_c, -whole.t_c]), whole.w, whole.b)
    return Parts(whole, 1 + data.one() % (len(whole.t_u) - 1))


@dataclass
class Shuffled(Fit):
    """A fit and another order of its samples."""

    order: NDArray[np.int64]


def shuffled_fits() -> st.SearchStrategy[Any]:
    """Fits with a permutation of their samples; the simplest is the reversal."""
    return drawn(decode_shuffled, FIT + WIDTH)


def decode_shuffled(data: Bytes, form: Format) -> Shuffled:
    """Those of a fit, with an order of the samples."""
    fit = decode_fit(data, form)
    n = len(fit.t_u)
    order = np.argsort(data.column(n).astype(np.int64), kind="stable")[::-1]
    return Shuffled(fit.t_u, fit.t_c, fit.w, fit.b, order.copy())


@dataclass
class Probe(Fit):
    """A fit and a step for difference quotients."""

    delta: Array


def probes() -> st.SearchStrategy[Any]:
    """Fits with a step, from one as large as the data to one that rounding nearly swallows."""
    return drawn(decode_probe, FIT + 1)


def decode_probe(data: Bytes, form: Format) -> Probe:
    """Those of a fit, with the step of a difference quotient."""
    fit = decode_fit(data, form)
    delta = data.pick(1.0, 0.5, 0.25, 0.1, 2.0, 8.0, 1e-2, 1e-3)
    return Probe(fit.t_u, fit.t_c, fit.w, fit.b, np.asarray(cast(delta, form)))


def lines() -> st.SearchStrategy[Any]:
    """Data sets with two different readings at least, so that one line fits best; some far from zero, where formulas cancel."""
    return drawn(_far_line, FIT + 1)


def _far_line(data: Bytes, form: Format) -> Fit:
    line = decode_line(data, form)
    offset = data.pick(0.0, 0.0, 64.0, 1024.0) * float(np.max(abs(widened(line.t_u))))
    far = cast(widened(line.t_u) + offset, form)
    return line if np.all(far == far[0]) else Fit(far, line.t_c, line.w, line.b)


def decode_line(data: Bytes, form: Format) -> Fit:
    """Readings that do not lie all on one, as bytes stand for them."""
    fit = decode_fit(data, form)
    t_u, t_c = fit.t_u, fit.t_c
    if np.all(t_u == t_u[0]):
        other = widened(t_u[0]) + max(1.0, abs(float(t_u[0])))
        t_u, t_c = np.append(t_u, cast(other, form)), np.append(t_c, t_c[0])
    return Fit(t_u, t_c, fit.w, fit.b)


def long_descents() -> st.SearchStrategy[Any]:
    """Fits with a stable learning rate and dozens to hundreds of epochs."""
    return drawn(decode_long_descent, FIT + 2)


def decode_long_descent(data: Bytes, form: Format) -> Descent:
    """Those of a descent, with more epochs."""
    descent = decode_descent(data, form)
    rate = rate_below(min(descent.learning_rate / rate_below(1.0, descent.t_u), 0.9), descent.t_u)
    return Descent(descent.t_u, descent.t_c, descent.w, descent.b, rate, descent.n_epochs * 30)


@dataclass
class Spoiled(Residuals):
    """Residuals with one number that is not finite."""

    value: float


def spoiled_residuals() -> st.SearchStrategy[Any]:
    """Residuals in which one prediction or measurement is NaN or infinite."""
    return drawn(_spoiled, PAIR + 3)


def _spoiled(data: Bytes, form: Format) -> Spoiled:
    sample = decode_residuals(data, form)
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
    return drawn(_spoiled_probe, FIT + 4)


def _spoiled_probe(data: Bytes, form: Format) -> SpoiledProbe:
    probe = decode_probe(data, form)
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
    return drawn(_steep_descent, FIT + 1)


def _steep_descent(data: Bytes, form: Format) -> Descent:
    fit = decode_fit(data, form)
    excess = data.pick(512.0, 64.0, 512.0, 4.0)
    largest, direction = _curvature(fit.t_u)
    optimum_ = np.array([to_float(x) for x in optimum(exact_of(fit.t_u), exact_of(fit.t_c))])
    start = optimum_ + direction / np.linalg.norm(direction) * max(1.0, float(np.abs(optimum_).max()))
    w, b_ = cast(start, form)
    n_epochs = 10 + math.ceil((math.log(form.largest) + 10) / math.log(2 * excess - 1))
    return Descent(fit.t_u, fit.t_c, np.asarray(w), np.asarray(b_), excess * 2 / largest, n_epochs)

"""Inputs of the chapters from data to descent: readings, predictions, parameters, rates and steps."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.exact import Format, of_mean, optimum, to_float, trajectory
from calibrant.exact import of as exact_of
from calibrant.strategies.drawing import LONGEST, WIDTH, ZIGZAG, Array, Bytes, cast, numbers_of, strategy, widened

PLAIN = ("few", "whole", "quarters")
PAIR = 3 + 2 * WIDTH
FIT = PAIR + 2


@dataclass
class Residuals:
    """Predictions t_p and measurements t_c, (n,) each."""

    t_p: Array
    t_c: Array


@dataclass
class Fit:
    """Data t_u and t_c, (n,) each, parameters w and b, scalars, and their predictions t_p, rounded."""

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


def _pair(data: Bytes, form: Format) -> tuple[Array, Array, str, NDArray[np.uint8], str]:
    """Two columns, the kind of the first, the bytes of the second, and how the second may relate to something."""
    kind, other = data.kinds()
    n, relation = data.length(form), data.pick("none", "none", "none", "close", "equal")
    first = cast(numbers_of(data.column(n), kind, form), form)
    choice = data.column(n)
    return first, cast(numbers_of(choice, other, form, LONGEST), form), kind, choice, relation


def _noise(choice: NDArray[np.uint8], form: Format) -> Array:
    """Relative differences of a few units in the last place: all else cancels."""
    return ZIGZAG[choice % 8] * 2 * form.u


@strategy(PAIR)
def residuals(data: Bytes, form: Format) -> Residuals:
    """Predictions and measurements: all magnitudes, repeats, zeros, all one sign, nearly equal, n from 1."""
    t_p, t_c, _, choice, relation = _pair(data, form)
    if relation == "close":
        t_c = cast(widened(t_p) * (1 + _noise(choice, form)), form)
    elif relation == "equal":
        t_c = np.where(choice % 2, t_c, t_p)
    return Residuals(t_p, t_c)


@strategy(FIT)
def fits(data: Bytes, form: Format) -> Fit:
    """Data sets and parameters: all magnitudes, constant and nearly constant columns, perfect and nearly perfect fits."""
    t_u, t_c, kind, choice, relation = _pair(data, form)
    w, b = map(np.asarray, cast(numbers_of(data.take(2), kind if kind in PLAIN else "real", form), form))
    if relation != "none":
        noise = 0.0 if relation == "equal" else _noise(choice, form)
        t_c = cast((widened(w) * widened(t_u) + widened(b)) * (1 + noise), form)
    return Fit(t_u, t_c, w, b)


def _curvature(t_u: Array) -> tuple[float, Array]:
    """The largest eigenvalue of the loss's Hessian, and its direction, as close as float64 gets."""
    u = widened(t_u)
    values, vectors = np.linalg.eigh([[2 * np.mean(u * u), 2 * np.mean(u)], [2 * np.mean(u), 2.0]])
    return float(values[1]) * float(of_mean(t_u.size)), vectors[:, 1]


def rate_below(fraction: float, t_u: Array, *, plain: bool = False) -> float:
    """A learning rate at this fraction of the limit 2 / lambda_max; a plain one is the next lower power of two."""
    rate = fraction * 2 / _curvature(t_u)[0]
    return 2.0 ** math.floor(math.log2(rate)) if plain else rate


@strategy(FIT + 2)
def descents(data: Bytes, form: Format) -> Descent:
    """Fits with a learning rate, mostly below the limit of stability, and 1 to 10 epochs."""
    fit = fits.decode(data, form)
    fraction = data.pick(0.5, 0.25, 0.9, 0.05, 0.999, 1.3)
    plain = bool((widened(fit.t_u) * 4 % 1 == 0).all())
    rate = rate_below(fraction, fit.t_u, plain=plain)
    n_epochs = data.pick(1, 2, 3, 4, 6, 10)
    if len(fit.t_u) > LONGEST:  # exact numbers grow by each epoch, and a long column shows what it shows in two
        n_epochs = min(n_epochs, 2)
    return Descent(**vars(fit), learning_rate=rate, n_epochs=n_epochs)


@strategy(FIT)
def simple_fits(data: Bytes, form: Format) -> Fit:
    """Fits of few samples in plain numbers, whose halves and small multiples are exact: for claims that leave no room."""
    n = data.pick(1, 2, 3, 4)
    of_columns, of_params = ("few", "few") if form.precision < 11 else ("whole", "quarters")
    t_u, t_c = (cast(numbers_of(data.column(n), of_columns, form), form) for _ in range(2))
    return Fit(t_u, t_c, *map(np.asarray, cast(numbers_of(data.take(2), of_params, form), form)))


@strategy(FIT + 4)
def segments(data: Bytes, form: Format) -> tuple[Fit, list[Array]]:
    """Data, and the start, the middle and the end, [w, b] each, of a line through parameter space, all exact."""
    fit = fits.decode(data, form)
    middle, arm = (numbers_of(data.take(2), "quarters", form) for _ in range(2))
    return fit, [cast(x, form) for x in (middle - arm, middle, middle + arm)]


@strategy(FIT)
def optima(data: Bytes, form: Format) -> Fit:
    """Fits exactly at the least-squares optimum: each reading twice, as far above the line as below it."""
    fit = simple_fits.decode(data, form)
    line, above = widened(fit.w) * widened(fit.t_u) + widened(fit.b), widened(fit.t_c)
    t_c = cast(np.concatenate([line + above, line - above]), form)
    return replace(fit, t_u=np.concatenate([fit.t_u, fit.t_u]), t_c=t_c)


@strategy(FIT + WIDTH)
def shuffled_fits(data: Bytes, form: Format) -> tuple[Fit, NDArray[np.int64]]:
    """Fits with a permutation of their samples; the simplest is the reversal."""
    fit = fits.decode(data, form)
    order = np.argsort(data.column(len(fit.t_u)).astype(np.int64), kind="stable")[::-1]
    return fit, order.copy()


@dataclass
class Probe(Fit):
    """A fit and a step for difference quotients."""

    delta: Array


@strategy(FIT + 1)
def probes(data: Bytes, form: Format) -> Probe:
    """Fits with a step, from one as large as the data to one that rounding nearly swallows."""
    fit = fits.decode(data, form)
    return Probe(**vars(fit), delta=cast(data.pick(1.0, 0.5, 0.25, 0.1, 2.0, 8.0, 1e-2, 1e-3), form))


def with_two_readings(fit: Fit, form: Format) -> Fit:
    """The fit; where all its readings are equal, with another one."""
    if np.any(fit.t_u != fit.t_u[0]):
        return fit
    other = widened(fit.t_u[0]) + max(1.0, abs(float(fit.t_u[0])))
    return replace(fit, t_u=np.append(fit.t_u, cast(other, form)), t_c=np.append(fit.t_c, fit.t_c[0]))


@strategy(FIT + 1)
def lines(data: Bytes, form: Format) -> Fit:
    """Data sets with two different readings at least, so that one line fits best; some far from zero, where formulas cancel."""
    line = with_two_readings(fits.decode(data, form), form)
    offset = data.pick(0.0, 0.0, 64.0, 1024.0, 0.0, 0.0, 64.0, 16384.0) * float(np.max(abs(widened(line.t_u))))
    far = cast(widened(line.t_u) + offset, form)
    return line if np.all(far == far[0]) else replace(line, t_u=far)


@strategy(FIT + 2)
def long_descents(data: Bytes, form: Format) -> Descent:
    """Fits with a stable learning rate and dozens to hundreds of epochs."""
    descent = descents.decode(data, form)
    rate = rate_below(min(descent.learning_rate / rate_below(1.0, descent.t_u), 0.9), descent.t_u)
    return replace(descent, learning_rate=rate, n_epochs=descent.n_epochs * 30)


@strategy(FIT + 3)
def strides(data: Bytes, form: Format) -> Descent:
    """Fits with a stable learning rate, and any number of epochs, from none to hundreds."""
    descent = long_descents.decode(data, form)
    return replace(descent, n_epochs=data.pick(descent.n_epochs + 1, 1, 2, 3, 0, 7, descent.n_epochs - 1))


@strategy(FIT + 1)
def steep_descents(data: Bytes, form: Format) -> Descent:
    """Descents above the limit, long enough to overflow, from a start off the optimum in the steepest direction.

    A step there grows by eight times the bound on its rounding at least. Just above the limit that takes a start far off, which
    also spares the run its many small steps.
    """
    fit = fits.decode(data, form)
    excess = data.pick(512.0, 64.0, 1.25, 4.0, 512.0, 64.0, 1.015625, 2.0)
    largest, direction = _curvature(fit.t_u)
    best = np.array([to_float(x) for x in optimum(exact_of(fit.t_u), exact_of(fit.t_c))])
    distance = max(1.0, float(np.abs(best).max()), form.largest * 2.0**-24 if excess < 2 else 0.0)
    w, b = map(np.asarray, cast(best + direction * distance, form))
    steep = Descent(fit.t_u, fit.t_c, w, b, excess * 2 / largest, 1)
    while excess < 512 and not (excess - 1) * distance >= 4 * rounding_of_a_step(steep):
        excess = min(2 * excess - 1, 512.0)
        steep = replace(steep, learning_rate=excess * 2 / largest)
    growth = math.log(1 + 2 * (excess - 1) * 7 / 8)
    return replace(steep, n_epochs=10 + math.ceil(max(0.0, math.log(form.largest / distance) + 10) / growth))


def rounding_of_a_step(descent: Descent) -> float:
    """The bound on the rounding error of the first step, as a length; 0 from a start that the dtype cannot hold."""
    if not np.isfinite(descent.params).all():
        return 0.0
    params, _ = trajectory(
        1, descent.learning_rate, exact_of(descent.params), exact_of(descent.t_u), exact_of(descent.t_c)
    )
    return math.hypot(*params.err)


spoiled_residuals = residuals.spoiled("t_p", "t_c")
spoiled_probes = probes.spoiled("t_c", "t_u")

MISFITS = (
    ((2,), (2, 1)), ((2, 1), (2,)), ((1,), (2,)), ((2,), (1,)), ((), (2,)), ((2,), ()), ((3,), (2,)), ((2, 1), (1, 2)),
    ((1,), (1, 1)), ((1, 2), (2,)),
)  # fmt: skip
"""Pairs of shapes that a loss must not take: they differ, and most of them broadcast."""

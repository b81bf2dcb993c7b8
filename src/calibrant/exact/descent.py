"""The true path of gradient descent, and how far rounding may lead an evaluation away from it.

The loss is a quadratic with the Hessian H, the same everywhere, so a step of descent is an affine map with the matrix
M = I - lr H. An evaluation that is off the path by `e` is off by at most |M| e + d after the next step, where d is the cost
of that step's roundings.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.exact.data import least_squares, moments, optimum
from calibrant.exact.formats import UNROUNDED, Format
from calibrant.exact.gradients import gradient
from calibrant.exact.loss import loss_fn
from calibrant.exact.model import model
from calibrant.exact.numbers import Exact, concatenate, constant, hyperparameter, to_float

_UP = 1 + 2.0**-40
_LEAST = 5e-324
_POWER_BITS = 2048  # fraction bits of a matrix power: its error is then some 600 digits below anything that is compared

Matrix = tuple[tuple[Fraction, Fraction], tuple[Fraction, Fraction]]

Slope = Callable[[Exact, Exact, Exact, Exact], Exact]  # a way to the gradient, from t_u, t_c, w, b


def step(params: Exact, lr: Exact, t_u: Exact, t_c: Exact, slope: Slope = gradient) -> Exact:
    """theta - lr grad(theta)."""
    w, b = params
    return params - lr * slope(t_u, t_c, w, b)


def hessian(t_u: Exact) -> Matrix:
    """The second derivatives of the loss by w and b."""
    mean, mean_square = moments(t_u)
    return (2 * mean_square, 2 * mean), (2 * mean, Fraction(2))


def curvatures(t_u: Exact) -> tuple[Fraction, Fraction]:
    """The eigenvalues of the Hessian, the smaller rounded down and the larger up, by less than 1e-30 of the larger."""
    (a, b), (_, d) = hessian(t_u)
    largest = (a + d + _root_up((a - d) ** 2 + 4 * b * b)) / 2
    return (a * d - b * b) / largest, largest


def walk(lr: float, params: Exact, t_u: Exact, t_c: Exact, slope: Slope = gradient) -> Iterator[Exact]:
    """The parameters before each step of an endless descent, by the recurrence itself."""
    form = params.form
    rate = hyperparameter(lr, form)
    moved = _floats(_transition(lr, t_u))
    # How the rules spread the parameters' error in a step: they do not see that theta and its gradient err together.
    spread = np.eye(2) + abs(lr) * _floats(hessian(abs(t_u)))
    while True:
        yield params
        after = step(params, rate, t_u, t_c, slope)
        with np.errstate(all="ignore"):
            local = np.maximum(after.err - spread @ params.err, 0.0) + 2.0**-40 * after.err
            # Two products underflow in moved @ err, two in spread @ err, by half of _LEAST each, and so may the 2**-40.
            err = (moved @ params.err + local) * _UP + 4 * _LEAST * (after.err > 0)
        params = after.within(np.where(np.isfinite(after.err), err, np.inf), form)


def trajectory(
    n_epochs: int, lr: float, params: Exact, t_u: Exact, t_c: Exact, slope: Slope = gradient
) -> tuple[Exact, list[Exact]]:
    """The parameters after n_epochs, and the loss before each step, by the recurrence itself."""
    *before, params = itertools.islice(walk(lr, params, t_u, t_c, slope), n_epochs + 1)
    return params, [loss_fn(model(t_u, w, b), t_c) for w, b in before]


def closed_form(n_epochs: int, lr: float, params: Exact, t_u: Exact, t_c: Exact) -> Exact:
    """The parameters after n_epochs, theta* + M^k (theta_0 - theta*), within the error of walking there step by step."""
    star = optimum(t_u, t_c)
    off = [x - y for x, y in zip(params.fractions(), star, strict=True)]
    power = _fixed_point_power(_transition(lr, t_u), n_epochs)
    end = [y + row[0] * off[0] + row[1] * off[1] for y, row in zip(star, power, strict=True)]
    bound = _walking_error(n_epochs, lr, star, off, t_u, t_c, params.form)
    return concatenate(*(constant(x, UNROUNDED) for x in end)).within(bound, params.form)


def by_squaring(n_epochs: int, lr: float, params: Exact, t_u: Exact, t_c: Exact) -> Exact:
    """The same parameters, within the error of evaluating the closed form: M to the power k by repeated squaring."""
    form = params.form
    rate, uu, u = hyperparameter(lr, form), (t_u * t_u).mean(), t_u.mean()
    one, zero = constant(1, form), constant(0, form)
    square = [[one - rate * (2 * uu), zero - rate * (2 * u)], [zero - rate * (2 * u), one - 2 * rate]]
    power = _power(square, [[one, zero], [zero, one]], n_epochs, _product)
    star = least_squares(t_u, t_c)
    off = [x - y for x, y in zip(params, star, strict=True)]
    end = [y + (row[0] * off[0] + row[1] * off[1]) for y, row in zip(star, power, strict=True)]
    return concatenate(*end)


def _product(x: list[list[Exact]], y: list[list[Exact]]) -> list[list[Exact]]:
    return [[x[i][0] * y[0][j] + x[i][1] * y[1][j] for j in (0, 1)] for i in (0, 1)]


def _floats(matrix: Matrix) -> NDArray[np.float64]:
    return np.array([[to_float(abs(x)) for x in row] for row in matrix])


def _transition(lr: float, t_u: Exact) -> Matrix:
    (a, b), (_, d) = hessian(t_u)
    rate = Fraction(lr)
    return (1 - rate * a, -rate * b), (-rate * b, 1 - rate * d)


def _walking_error(
    n_epochs: int, lr: float, star: tuple[Fraction, Fraction], off: list[Fraction], t_u: Exact, t_c: Exact, form: Format
) -> float:
    """The most that the roundings of n_epochs steps add up to, in Euclidean length; infinite where nothing can be said.

    M is symmetric: no step stretches an error by more than rho = max |1 - lr lambda|, so k steps that each add at most d
    add up to d (1 + rho + ... + rho^(k-1)).
    """
    if n_epochs == 0:
        return 1.5 * form.flushed
    rho = to_float(max(abs(1 - Fraction(lr) * curvature) for curvature in curvatures(t_u))) * _UP
    if n_epochs * math.log(max(rho, 1.0)) > 600:
        return math.inf
    growth = min(n_epochs, 1 / (1 - rho) * _UP) if rho < 1 else n_epochs * rho**n_epochs
    reach = math.hypot(*map(to_float, off)) * max(rho, 1.0) ** n_epochs * _UP + _LEAST * any(off)
    if not math.isfinite(reach):
        return math.inf

    def total(error: float) -> float:
        # The roundings of one step from anywhere within reach: with these signs every term adds up, nothing cancels.
        box = concatenate(*(constant(abs(x) + Fraction(reach + error), form) for x in star))
        with np.errstate(all="ignore"):
            local = math.hypot(*step(box, hyperparameter(-lr, form), abs(t_u), -abs(t_c)).err.tolist())
        return local * growth * _UP + _LEAST * (local > 0)

    first = total(0.0)
    if not math.isfinite(first):
        return math.inf
    # The error itself widens the reach: twice the first estimate is enough if it confirms itself.
    second = total(2 * first)
    return second if second <= 2 * first else math.inf


def _power(square: Any, power: Any, k: int, product: Callable[[Any, Any], Any]) -> Any:
    """`power`, the identity, times the matrix `square` to the power k, by repeated squaring."""
    while k:
        if k & 1:
            power = product(power, square)
        k >>= 1
        square = product(square, square) if k else square
    return power


def _fixed_point_power(matrix: Matrix, k: int) -> list[list[Fraction]]:
    """The matrix to the power k, in fixed point."""
    one = 1 << _POWER_BITS
    square = np.array([[round(x * one) for x in row] for row in matrix], dtype=object)
    power = _power(square, np.array([[one, 0], [0, one]], dtype=object), k, lambda x, y: (x @ y) >> _POWER_BITS)
    return [[Fraction(x, one) for x in row] for row in power.tolist()]


def _root_up(x: Fraction) -> Fraction:
    """The square root, rounded up by less than 1e-30 of it."""
    square = x.numerator * x.denominator
    shift = max(0, 240 - square.bit_length()) // 2 + 1
    return Fraction(math.isqrt(square << 2 * shift) + bool(x), x.denominator << shift)

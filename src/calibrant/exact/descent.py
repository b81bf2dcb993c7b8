"""The true path of gradient descent, and how far rounding may lead an evaluation away from it.

The loss is a quadratic with the Hessian H, the same everywhere, so a step of descent is an affine map with the matrix
M = I - lr H. An evaluation that is off the path by `e` is off by at most |M| e + d after the next step, where d is the cost
of that step's roundings.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from calibrant.exact.data import least_squares, moments, optimum
from calibrant.exact.formats import UNROUNDED, Format
from calibrant.exact.gradients import gradient
from calibrant.exact.loss import loss_fn, model, of_mean
from calibrant.exact.numbers import Exact, concatenate, constant, hyperparameter, to_float

_UP = 1 + 2.0**-40
_LEAST = 5e-324
_POWER_BITS = 2048  # fraction bits of a matrix power: its error is then some 600 digits below anything that is compared

Matrix = NDArray[np.object_]  # 2 x 2 Fractions, or numbers that compute like them

_IDENTITY = np.eye(2, dtype=object)

Slope = Callable[[Exact, Exact, Exact, Exact], Exact]  # a way to the gradient, from t_u, t_c, w, b


def step(params: Exact, lr: Exact, t_u: Exact, t_c: Exact, slope: Slope = gradient) -> Exact:
    """theta - lr grad(theta)."""
    w, b = params
    return params - lr * slope(t_u, t_c, w, b)


def hessian(t_u: Exact) -> Matrix:
    """The second derivatives of the loss by w and b."""
    mean, mean_square = moments(t_u)
    hessian: Matrix = 2 * of_mean(t_u.size) * np.array([[mean_square, mean], [mean, Fraction(1)]])
    return hessian


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
    one = 1 << _POWER_BITS
    fixed = np.frompyfunc(lambda x: round(x * one), 1, 1)(_transition(lr, t_u))
    power = _power(fixed, one * _IDENTITY, n_epochs, lambda x, y: (x @ y) >> _POWER_BITS)
    end = star + power @ off / Fraction(one)
    bound = _walking_error(n_epochs, lr, star, off, t_u, t_c, params.form)
    return concatenate(*(constant(x, UNROUNDED) for x in end)).within(bound, params.form)


def by_squaring(n_epochs: int, lr: float, params: Exact, t_u: Exact, t_c: Exact) -> Exact:
    """The same parameters, within the error of evaluating the closed form: M to the power k by repeated squaring."""
    form = params.form
    rate, uu, u = hyperparameter(lr, form), (t_u * t_u).mean(), t_u.mean()
    one, zero = constant(1, form), constant(0, form)
    identity = np.array([[one, zero], [zero, one]])
    rate = rate * (2 * of_mean(t_u.size))
    slopes = np.array([[rate * uu, rate * u], [rate * u, rate]])
    star = np.array([*least_squares(t_u, t_c)])
    off = np.array([*params]) - star
    return concatenate(*(star + _power(identity - slopes, identity, n_epochs, np.matmul) @ off))


def _floats(matrix: Matrix) -> NDArray[np.float64]:
    return np.array([[to_float(abs(x)) for x in row] for row in matrix])


def _transition(lr: float, t_u: Exact) -> Matrix:
    transition: Matrix = _IDENTITY - Fraction(lr) * hessian(t_u)
    return transition


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


def _power(square: Matrix, power: Matrix, k: int, product: Callable[[Matrix, Matrix], Matrix]) -> Matrix:
    """`power`, the identity, times the matrix `square` to the power k, by repeated squaring."""
    while k:
        if k & 1:
            power = product(power, square)
        k >>= 1
        square = product(square, square) if k else square
    return power


def _root_up(x: Fraction) -> Fraction:
    """The square root, rounded up by less than 1e-30 of it."""
    square = x.numerator * x.denominator
    shift = max(0, 240 - square.bit_length()) // 2 + 1
    return Fraction(math.isqrt(square << 2 * shift) + bool(x), x.denominator << shift)

"""The true least-squares line, and how far a backward stable fit may be from it."""

import math
from fractions import Fraction

import numpy as np

from calibrant.exact.formats import UNROUNDED
from calibrant.exact.loss import of_mean
from calibrant.exact.numbers import Exact, concatenate, constant, gamma, to_float


def moments(t_u: Exact) -> tuple[Fraction, Fraction]:
    """The means of t_u and of its square."""
    true = t_u.true()
    return true.mean().fraction(), (true * true).mean().fraction()


def optimum(t_u: Exact, t_c: Exact, l2: float = 0.0) -> tuple[Fraction, Fraction]:
    """The least-squares parameters w, b; where the readings are all the same, those of slope 0.

    With l2, those that make the loss plus l2 w ** 2 least.
    """
    mean_u, mean_uu = moments(t_u)
    mean_c, mean_uc = t_c.true().mean().fraction(), (t_u.true() * t_c.true()).mean().fraction()
    spread = mean_uu - mean_u**2 + Fraction(l2) / of_mean(t_u.size)
    w = (mean_uc - mean_u * mean_c) / spread if spread else Fraction(0)
    return w, mean_c - w * mean_u


def least_squares(t_u: Exact, t_c: Exact, l2: float = 0.0) -> Exact:
    """The least-squares parameters, each within what a backward stable method may err [A.fit].

    Such a method returns the exact line of columns that are off by a few n u of their length (Higham, section 20.1), here
    8 n u for the two columns of the problem; the bound is the first-order effect of that. Nothing is claimed where the
    readings are so similar that the second order counts, or where the squares of their differences underflow.

    The penalty l2 w ** 2 is the square of one more row, [sqrt(n l2), 0], whose right side is 0: the same problem, one longer.
    """
    if not t_u.shape == t_c.shape == (t_u.size,):
        raise ValueError(f"t_u is {t_u.shape} and t_c {t_c.shape}: only columns of one length have a line")
    form, n = t_u.form, t_u.size
    w, b = optimum(t_u, t_c, l2)
    mean_u, mean_uu = moments(t_u)
    mean_uu += Fraction(l2) / of_mean(n)
    determinant = mean_uu - mean_u**2
    true = concatenate(constant(w, UNROUNDED), constant(b, UNROUNDED))
    if to_float(determinant) * form.u <= form.normal or to_float(n * mean_uu) > form.largest:
        return true.within(np.inf, form)
    # The inverse of A'A, and the lengths of the columns of A = [t_u, 1], of t_c and of the residuals.
    inverse = [[x / (n * determinant) for x in row] for row in ((1, -mean_u), (-mean_u, mean_uu))]
    residual = t_c.true() - constant(w, UNROUNDED) * t_u.true() - constant(b, UNROUNDED)
    extra = math.sqrt(n * l2 / float(of_mean(n)))
    columns = [math.hypot(_length(t_u), extra), math.sqrt(n)]
    left = math.hypot(_length(residual), extra * abs(to_float(w)))
    error = gamma(8 * n, form)
    rows = [math.sqrt(to_float(inverse[i][i])) for i in (0, 1)]
    distortion = error * sum(row * column for row, column in zip(rows, columns, strict=True))
    if not distortion < 0.1:
        return true.within(np.inf, form)
    reach = sum(column * abs(to_float(x)) for column, x in zip(columns, (w, b), strict=True)) + _length(t_c)
    pull = [sum(abs(to_float(x)) * column for x, column in zip(inverse[i], columns, strict=True)) for i in (0, 1)]
    bound = [(rows[i] * reach + pull[i] * left) * error / (1 - 2 * distortion) * (1 + 1e-9) for i in (0, 1)]
    # Every product may lose the least subnormal number: in the sums, in the slope, and so in the intercept.
    underflow = [n * form.tiny * (1 + columns[0]) * (1 + sum(abs(to_float(x)) for x in inverse[i])) for i in (0, 1)]
    return true.within(np.array(bound) + np.array(underflow), form)


def _length(x: Exact) -> float:
    """The length of a column, which neither overflows nor underflows on the way, as a root of a sum of squares would."""
    return math.hypot(*x.magnitude().tolist())

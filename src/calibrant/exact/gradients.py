"""The true gradients, by the three ways of the book and by computer algebra."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from calibrant.exact.formats import loss_scale
from calibrant.exact.loss import loss_fn, model, of_mean
from calibrant.exact.numbers import Exact, concatenate, gamma


def slopes(t_p: Exact, t_c: Exact) -> tuple[Exact, int]:
    """2 (t_p - t_c), and the n to divide it by for the derivative of the loss; 1 of a half loss, and n = 1 of a sum."""
    factor = 1 if loss_scale() == "half" else 2
    return factor * (t_p - t_c), 1 if loss_scale() == "sum" else t_p.size


def dloss_fn(t_p: Exact, t_c: Exact) -> Exact:
    """2 (t_p - t_c) / n."""
    twice, n = slopes(t_p, t_c)
    return _doubled_late(twice.over_count(n))


def _doubled_late(x: Exact) -> Exact:
    """The same values with the factor 2 applied first or last: a number that was flushed before it counts twice."""
    return x.within(x.err + x.form.flushed, x.form) if x.form.flushed else x


def grad_fn(t_u: Exact, t_c: Exact, t_p: Exact) -> Exact:
    """[sum of dloss t_u, sum of dloss], of predictions that are given.

    As in a mean, a sensible evaluation may divide by n after the sums, or readings and residuals by its root before them. It
    rounds as often, but its sums are n times as large: where they may overflow, nothing is claimed.
    """
    twice, divisor = slopes(t_p, t_c)
    n, dloss = t_p.size, twice.over_count(divisor)
    gradient = _doubled_late(concatenate((dloss * t_u).sum(), dloss.sum()))
    with np.errstate(all="ignore"):
        terms = twice.magnitude() + twice.errors()
        sums = np.array([(terms * t_u.magnitude()).sum(), terms.sum()])
        # Each rounding on the way, of a product, and of as many sums, makes a term larger by 1 + u at most.
        fits = sums * (1 + gamma(n, t_p.form)) * (1 + 2.0**-40) + n * t_p.form.tiny <= t_p.form.largest
    return gradient.within(np.where(fits, gradient.err, np.inf), t_p.form)


def gradient(t_u: Exact, t_c: Exact, w: Exact, b: Exact) -> Exact:
    """The gradient of the loss of the model at w, b."""
    return grad_fn(t_u, t_c, model(t_u, w, b))


def difference_gradient(loss: Callable[[Exact], Exact], params: Exact, delta: Exact) -> Exact:
    """(L(theta + delta) - L(theta - delta)) / (2 delta) of each parameter, for any loss of a column of them."""
    return _differences(lambda *params: loss(concatenate(*params)), [*params], delta)


def finite_difference(t_u: Exact, t_c: Exact, w: Exact, b: Exact, delta: Exact) -> Exact:
    """The same for the loss of the model."""
    return _differences(lambda w, b: loss_fn(model(t_u, w, b), t_c), [w, b], delta)


def _differences(loss: Callable[..., Exact], params: list[Exact], delta: Exact) -> Exact:
    places = range(len(params))
    ends = ([loss(*params[:i], params[i] + step, *params[i + 1 :]) for step in (delta, -delta)] for i in places)
    return concatenate(*((right - left) / (2 * delta) for right, left in ends))


def symbolic_identity(n: int) -> bool:
    """Whether SymPy derives the formula that was derived by hand for the loss of n samples, as an identity."""
    import sympy

    (w, b, *data), derivatives = _derived(n)
    residuals = [w * x + b - y for x, y in zip(data[:n], data[n:], strict=True)]
    by_hand = 2 * sum(map(operator.mul, residuals, data)), 2 * sum(residuals)
    pairs = zip(by_hand, derivatives(w, b, *data), strict=True)
    return all(sympy.expand(mine - theirs) == 0 for mine, theirs in pairs)


def symbolic_gradient(t_u: Exact, t_c: Exact, w: Exact, b: Exact) -> list[Fraction]:
    """The gradient at w, b, from SymPy's derivative of the loss: a second derivation, which shares no formula with the first."""
    numbers = [w.fraction(), b.fraction(), *t_u.fractions(), *t_c.fractions()]
    return [value / t_u.size * of_mean(t_u.size) for value in _derived(t_u.size)[1](*numbers)]


@functools.cache
def _derived(n: int):  # type: ignore[no-untyped-def]  # SymPy has no types
    """The symbols w, b, t_u, t_c and, as a function of them, n times the derivatives of the mean squared error by w and b.

    Their coefficients are integers, so nothing rounds.
    """
    import sympy

    w, b = sympy.symbols("w b")
    t_u, t_c = sympy.symbols(f"u:{n}"), sympy.symbols(f"c:{n}")
    loss = sum((w * x + b - y) ** 2 for x, y in zip(t_u, t_c, strict=True)) / sympy.Integer(n)
    symbols, polynomials = [w, b, *t_u, *t_c], [sympy.expand(n * sympy.diff(loss, x)) for x in (w, b)]
    return symbols, sympy.lambdify(symbols, polynomials, modules=[{}])

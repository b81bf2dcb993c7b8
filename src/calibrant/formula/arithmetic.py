"""Sums, products and quotients of two arrays of one shape, and storage in a narrower dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrant.exact.formats import Format
from calibrant.formula.balls import UP, ZERO, exact_in, infinite, lower, size_of, times
from calibrant.formula.tape import Array, rounded


def _same(adjoint: Array) -> Array:
    return adjoint


def add(x: Array, y: Array) -> Array:
    """x + y [A.sum]; x + 0 is x."""
    both, err = (x.err == 0) & (y.err == 0), x.err + y.err
    made = rounded(x.run, x.v + y.v, err, 1, x.run.arithmetic.flushed, ((x, _same), (y, _same)), both)
    made.err = np.where(x.nothing | y.nothing, err, made.err)
    return made


def subtract(x: Array, y: Array) -> Array:
    """x - y [A.sum]."""
    return add(x, -y)


def _is_power_of_two(x: Array) -> bool:
    return x.number is not None and x.number != 0 and math.isfinite(x.number) and abs(math.frexp(x.number)[0]) == 0.5


def _too_large(x: Array) -> Any:
    """Whether the dtype would take a finite number for an infinity."""
    return (x.magnitude > x.run.arithmetic.largest) & np.isfinite(x.magnitude)


def multiply(x: Array, y: Array) -> Array:
    """x y [A.product]."""
    with np.errstate(all="ignore"):
        err = (times(x.magnitude, y.err) + times(y.magnitude, x.err) + times(x.err, y.err)) * UP
        err = np.where(_too_large(x) | _too_large(y), np.inf, err)
    k = 0 if _is_power_of_two(x) or _is_power_of_two(y) else 1
    both = (x.err == 0) & (y.err == 0)
    pulls = ((x, lambda a: alive(a, a * y)), (y, lambda a: alive(a, a * x)))
    return rounded(x.run, x.v * y.v, err, k, x.run.arithmetic.tiny, pulls, both)


def divide(x: Array, y: Array) -> Array:
    """x / y, or x times a rounded reciprocal, which may underflow [A.quotient]."""
    form = x.run.arithmetic
    with np.errstate(all="ignore"):
        v = x.v / y.v
        least = lower(y.v) / UP - y.err
        err = (x.err + times(size_of(v), y.err)) / least * UP
        err = np.where(
            (least > 0) & (least * form.largest >= UP) & ~_too_large(x), err, np.inf
        )  # or 1 / y may overflow
        subnormal = (y.magnitude + y.err) * form.normal > 1 / UP
        under = form.tiny * np.where(subnormal & np.isfinite(y.magnitude), 1 + x.magnitude + x.err, 1.0)
    pulls = ((x, lambda a: alive(a, a / y)), (y, lambda a: alive(a, -(a * made) / y)))
    made: Array = rounded(x.run, v, err, 0 if _is_power_of_two(y) else 2, under, pulls)
    return made


def alive(adjoint: Array, product: Array) -> Array:
    """The product, but an exact zero where the adjoint is one: a branch that was not taken has no derivative, whatever it is."""
    dead = adjoint.nothing
    if dead.any():
        product.v[dead] = ZERO
        product.err = np.where(dead, 0.0, product.err)
        product._size = None
    return product


def stored(x: Array, form: Format, beside: Any = 0.0) -> Array:
    """The array rounded to a dtype, forwards and backwards; `beside` is an error that its numbers have before.

    On the way back the stored number may stand for x: the derivative errs by the share of x that underflows.
    """
    if form.precision >= x.run.arithmetic.precision:
        return x
    with np.errstate(all="ignore"):
        before = x.err + beside
        reach = x.magnitude + before
        err = np.where(reach > 0, (before + form.u * (1 + form.u) * reach + form.tiny) * UP, 0.0)
        err = np.where((reach > form.largest) & ~infinite(x.v), np.inf, err)
        lost = np.where(x.magnitude > 0, np.minimum(form.tiny / x.magnitude, 1.0) * UP, 0.0)
    given = (before == 0) & np.isfinite(x.magnitude)
    err[given] = np.where(exact_in(x.v[given], form), 0.0, err[given])
    lost[given & (err == 0)] = 0.0
    return Array(x.run, x.v, err, ((x, lambda a: stored(a, form, times(lost, a.magnitude))),), size=x.magnitude)

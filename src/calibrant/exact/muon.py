"""The true steps of Muon: momentum, made orthogonal by the Newton-Schulz iteration, and the bound on its rounding error.

The iteration is walked in whole numbers, cut at `_BITS` bits below the point. Its bound is one number for all of a matrix [A.orthogonal].
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from calibrant.exact.formats import Format, format_of
from calibrant.exact.numbers import gamma
from calibrant.exact.scalars import Number, constant, hyperparameter, maximum, mix, product, root, shrunk
from calibrant.exact.tensors import Tensor, each, norm

if TYPE_CHECKING:
    from calibrant.exact.optimizers import Follow, Hyperparameters

_BITS = 200
_UP = 1 + 2.0**-30
"""A factor that is larger than what float64 adds to a bound."""


def muon(s: Any, h: Hyperparameters, t: int, lr: Number, p: Tensor, g: Tensor, follow: Follow) -> Tensor:
    """(1 - lr wd) p - lr scale O, where O is the orthogonalized momentum; its scale follows from the shape."""
    if len(p.shape) != 2:
        raise ValueError(f"a parameter is {p.shape}: muon moves matrices")
    return along(orthogonalized(momentum(s, h, t, g, follow), h, follow), h, lr, p, follow)


def along(o: Tensor, h: Hyperparameters, lr: Number, p: Tensor, follow: Follow) -> Tensor:
    """A parameter after its decay and a step along a matrix."""
    size = scale(h, p.shape, follow)
    return each(lambda x, y: shrunk(x, lr, h.weight_decay, product([lr, size, y])), p, o)


def momentum(s: Any, h: Hyperparameters, t: int, g: Tensor, follow: Follow) -> Tensor:
    """The average of the gradients; with Nesterov's momentum it is averaged with the gradient once more."""
    s.buffer = each(mix, s.buffer, g, h.momentum, h.part)
    if follow["muon.correction"] == "none":
        return each(mix, s.buffer, g, h.momentum, h.part) if h["nesterov"] else s.buffer
    now = h.once(("now", t), lambda: 1.0 - h.power("momentum", t))
    if not h["nesterov"]:
        return each(lambda x: product([x], [now]), s.buffer)
    ahead = h.once(("ahead", t), lambda: 1.0 - h.power("momentum", t + 1))
    return each(lambda x, y: product([h.momentum, x], [ahead]) + product([h.part, y], [now]), s.buffer, g)


def scale(h: Hyperparameters, shape: tuple[int, ...], follow: Follow) -> Number:
    """The factor by which a step is longer for the shape of its matrix."""
    rows, columns = shape if follow["muon.scale"] == "rows" else shape[::-1]
    if h["adjust_lr_fn"] == "match_rms_adamw":
        return hyperparameter(0.2, h.form) * root(constant(float(max(rows, columns)), h.form))
    sizes = [constant(float(x), h.form) for x in (rows, columns)]
    return root(product(sizes[:1], sizes[1:])) if rows > columns else constant(1.0, h.form)


def orthogonalized(b: Tensor, h: Hyperparameters, follow: Follow) -> Tensor:
    """A matrix after the Newton-Schulz iteration, X = a X + b X X' X + c X X' X X' X, which begins at the matrix over its norm."""
    form = b.numbers[0].form
    halves = follow["muon.precision"] == "bfloat16" and form.precision > 8
    narrow = format_of("bfloat16") if halves else form
    b = Tensor([held(x, narrow) for x in b.numbers], b.shape)
    length = norm(b)
    length = length + h.eps if follow["muon.epsilon"] == "added" else maximum(length, h.eps)
    start = each(lambda x: product([x], [length]), b)
    if all(x.known_zero() for x in start.numbers):
        return start
    wide = np.empty(len(start.numbers), dtype=object)
    wide[:] = [x.m << x.e + _BITS if x.e + _BITS >= 0 else x.m >> -x.e - _BITS for x in start.numbers]
    x, off = wide.reshape(b.shape), math.hypot(*(one.err for one in start.numbers)) * _UP
    for _ in range(h["ns_steps"]):
        x, off = iterated(x, off, h, narrow)
    if halves:  # the step may be multiplied by its rate before it is widened
        off = (off + 2 * narrow.u * (np.abs(floats(x)).max() + off)) * _UP
    err = off + form.tiny + narrow.tiny + 2.0**-180 if off < 1 else math.inf
    return Tensor([Number(m, -_BITS, err, form) for m in x.reshape(-1)], b.shape)


def held(x: Number, form: Format) -> Number:
    """A number, rounded to another format; a number of that format stays."""
    if x.form is form:
        return x
    err = (x.err + form.u * (x.size + x.err) + form.tiny) * _UP
    return Number(x.m, x.e, err if x.size + err <= form.largest else math.inf, form, x.size)


def floats(x: Any) -> Any:
    """A matrix of whole numbers in float64."""
    return np.array([math.ldexp(float(m), -_BITS) for m in x.reshape(-1)]).reshape(x.shape)


def iterated(x: Any, off: float, h: Hyperparameters, form: Format) -> tuple[Any, float]:
    """A matrix after one step of the iteration, and how far an evaluation may be from it, which was `off` before."""
    a, b, c = h["ns_coefficients"]
    whole = [int(Fraction(k) * 2**_BITS) for k in (a, b, c)]
    square = x @ x.T >> _BITS if x.shape[0] <= x.shape[1] else x.T @ x >> _BITS
    inner = square * whole[1] + (square @ square >> _BITS) * whole[2] >> _BITS
    after = (whole[0] * x >> _BITS) + (inner @ x if x.shape[0] <= x.shape[1] else x @ inner) // 2**_BITS
    if not off < 1:
        return after, math.inf
    near = floats(x)
    sizes = np.linalg.svd(near, compute_uv=False)
    reach = float(sizes[0]) * _UP + off, max(float(sizes[-1]) - off - 2.0**-40, 0.0)
    long = (math.hypot(*near.reshape(-1)) + off) * _UP
    each_product = gamma(max(x.shape), form)
    u = max(form.u, h.form.u)
    own = abs(a) * long * 4 * u + abs(b) * long**3 * (2 * each_product + 6 * u)
    own += abs(c) * long**5 * (4 * each_product + 6 * u)
    spread = max(steepest((a, 3 * b, 5 * c), *reach), steepest((a, b, c), *reach))
    many = x.size * form.tiny * 8 * (1 + long) ** 4 * (abs(a) + abs(b) + abs(c))
    return after, (spread * off + own * (1 + 8 * max(x.shape) * u) + many) * _UP


def steepest(polynomial: tuple[float, float, float], high: float, low: float) -> float:
    """The largest |a + b s^2 + c s^4| for s between low and high."""
    a, b, c = polynomial
    squares = [low * low, high * high]
    if c and low * low < -b / (2 * c) < high * high:
        squares.append(-b / (2 * c))
    return max(abs(a + y * (b + y * c)) for y in squares) * _UP

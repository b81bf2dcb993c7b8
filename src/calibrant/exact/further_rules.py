"""The true steps of the optimizers beyond the eleven of `optimizers`, by rules of the same form.

A rule of `OF_TENSORS` takes the state, the numbers and the gradients of a whole parameter, because its numbers depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from calibrant.exact.scalars import Number, constant, either, maximum, minimum, mix, product, real_power, root, shrunk
from calibrant.exact.tensors import State, Tensor, each, norm, total

if TYPE_CHECKING:
    from calibrant.exact.optimizers import Follow, Hyperparameters


def lion(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr sign(beta1 m + (1 - beta1) g), and then m = beta2 m + (1 - beta2) g.

    Where evaluations may differ about the sign, the parameter may be where any of the signs leads [A.sign].
    """
    apart = follow["lion.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    ahead = mix(s.m, g, h.beta1, h.part1)
    s.m = mix(s.m, g, h.beta2, h.part2)
    direction = (ahead.m > 0) - (ahead.m < 0)
    step = lr * direction
    if ahead.sign() is None:  # NaN has none at all
        known = math.isfinite(ahead.err)
        step = step.within((lr.err + (1 + abs(direction)) * (lr.size + lr.err)) * (1 + 2.0**-40) if known else math.inf)
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def adabelief(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr mhat / (sqrt(vhat) + eps), where v averages the squares of g - m, and eps is added to v at each step."""
    apart = follow["adabelief.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    s.m = mix(s.m, g, h.beta1, h.part1)
    surprise = g - s.m
    s.v = mix(s.v, surprise * surprise, h.beta2, h.part2)
    if follow["adabelief.epsilon"] == "each-step":
        s.v = s.v + h.eps
    c1, c2 = h.correction1(t), h.correction2(t)
    spread = either([root(product([s.v], [c2])), product([root(s.v)], [root(c2)])]) + h.eps
    step = product([lr, s.m], [c1, spread])
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def lamb(s: Any, h: Hyperparameters, t: int, lr: Number, p: Tensor, g: Tensor, follow: Follow) -> Tensor:
    """p - lr |p| / |u| u with u = mhat / (sqrt(vhat) + eps) + weight_decay p; the norms are those of the parameter."""
    u = lamb_update(s, h, t, p, g, follow)
    if follow["lamb.trust"] == "with-decay" and not h["weight_decay"]:
        return each(lambda x, y: x - lr * y, p, u)
    size = norm(p)
    if follow["lamb.norm"] == "at-most-ten":
        size = minimum(size, constant(10.0, size.form))
    return p - trusted(u, [lr], size, norm(u), norm(u))


def lamb_update(s: Any, h: Hyperparameters, t: int, p: Tensor, g: Tensor, follow: Follow) -> Tensor:
    """mhat / (sqrt(vhat) + eps) + weight_decay p."""
    s.m = each(mix, s.m, g, h.beta1, h.part1)
    s.v = each(lambda v, x: mix(v, x * x, h.beta2, h.part2), s.v, g)
    one = constant(1.0, h.form)
    c1, c2 = (one, one) if follow["lamb.correction"] == "none" else (h.correction1(t), h.correction2(t))

    def update(m: Number, v: Number, x: Number) -> Number:
        spread = either([root(product([v], [c2])), product([root(v)], [root(c2)])]) + h.eps
        return product([m], [c1, spread]) + h.weight_decay * x

    return each(update, s.m, s.v, p)


def lars(s: Any, h: Hyperparameters, t: int, lr: Number, p: Tensor, g: Tensor, follow: Follow) -> Tensor:
    """p - b with b = momentum b + lr c |p| / (|g| + weight_decay |p| + eps) (g + weight_decay p); the norms are those of the parameter."""
    inside = follow["lars.buffer"] == "with-lr"
    pull, size = g + p * h.weight_decay, norm(p)
    steep = norm(pull) if follow["lars.norm"] == "together" else norm(g) + h.weight_decay * size
    push = trusted(pull, [lr] if inside else [], size, steep, steep + h.eps, h.trust_coefficient)
    s.buffer = s.buffer * h.momentum + push if h["momentum"] else push
    move: Tensor = s.buffer if inside else s.buffer * lr
    return p - move


def adafactor(s: Any, h: Hyperparameters, t: int, lr: Number, p: Tensor, g: Tensor, follow: Follow) -> Tensor:
    """(1 - lr wd) p - max(eps2, rms(p)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d) with u = g / sqrt(max(v, eps1^2)).

    v averages g^2; of a matrix it is the product of the averages of rows and of columns over the mean of either, at least eps1.
    """
    form = p.numbers[0].form
    one, eps1 = constant(1.0, form), h.eps1 if h["eps"][0] is not None else constant(2.0 ** (1 - form.precision), form)
    part = h.once(("part", t), lambda: real_power(constant(float(t), form), Fraction(h["beta2_decay"])))
    keep = h.once(("keep", t), lambda: 1.0 - part)
    floors = follow["adafactor.epsilon"] == "floor"
    squares = each(lambda x: x * x if floors else x * x + eps1, g)

    def averaged(old: Tensor, new: Tensor) -> Tensor:
        return each(mix, old, new, keep, part)

    if len(p.shape) < 2:
        s.v = v = averaged(s.v, squares)
    else:
        across, down = lines(p.shape)
        s.m = averaged(s.m, means(squares, across))
        s.x = averaged(s.x, means(squares, down))
        middle = means(s.m, down)
        v = each(lambda r, c, m: product([r, c], [maximum(m, eps1) if floors else m]), s.m, s.x, middle)
    lowest = eps1 * eps1
    u = each(lambda x, y: product([x], [root(maximum(y, lowest) if floors else y)]), g, v)
    steep = maximum(one, product([rms(u)], [h.d]))
    rate = minimum(lr, product([one], [root(constant(float(t), form))]))
    length = maximum(h.eps2, rms(p))
    return each(lambda x, y: shrunk(x, lr, h.weight_decay, product([length, rate, y], [steep])), p, u)


def lines(shape: tuple[int, ...]) -> tuple[list[range], list[range]]:
    """For each number of an array the places of its row, and of its column, in the last two dimensions."""
    rows, columns = shape[-2:]
    places = [(i - i % (rows * columns), i % (rows * columns) // columns, i % columns) for i in range(math.prod(shape))]
    across = [range(at + row * columns, at + (row + 1) * columns) for at, row, _ in places]
    return across, [range(at + column, at + rows * columns, columns) for at, _, column in places]


def means(x: Tensor, places: list[range]) -> Tensor:
    """For each number the mean of the numbers at some places, or the square of a root of it."""
    known = {some: total([x.numbers[i] for i in some]) for some in places}
    sizes = {some: constant(float(len(some)), x.numbers[0].form) for some in known}
    found = {some: product([root(known[some]), root(known[some])], [sizes[some]]) for some in known}
    return Tensor([found[some] for some in places], x.shape)


def rms(x: Tensor) -> Number:
    """The root of the mean of the squares."""
    return product([norm(x)], [root(constant(float(len(x.numbers)), x.numbers[0].form))])


def trusted(
    u: Tensor, factors: list[Number], size: Number, steep: Number, divisor: Number, coefficient: Number | None = None
) -> Tensor:
    """The factors and the trust ratio times u. The ratio is size / divisor, or 1 where size or steep is zero.

    Where evaluations may differ about these zeros, nothing is claimed.
    """
    if size.known_zero() or steep.known_zero():
        return each(lambda x: product([*factors, x]), u)
    sure = size.least() > 0 and steep.least() > 0
    ratio = [size] if coefficient is None else [coefficient, size]
    moves = each(lambda x: product([*factors, *ratio, x], [divisor]), u)
    return moves if sure else each(lambda x: x.within(math.inf), moves)


ELEMENTWISE: dict[str, Callable[..., Any]] = {rule.__name__: rule for rule in (lion, adabelief)}
OF_TENSORS: dict[str, Callable[..., Any]] = {rule.__name__: rule for rule in (lamb, lars, adafactor)}

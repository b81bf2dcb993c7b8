"""The true steps of Schedule-Free SGD and AdamW: steps z, their weighted average x, and between them y, where gradients are taken.

An evaluation keeps all three, or finds x in y and z when it needs it [A.schedule-free].
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from calibrant.exact.scalars import (
    Number,
    added,
    constant,
    either,
    maximum,
    mix,
    product,
    real_power,
    root,
)
from calibrant.exact.tensors import State

if TYPE_CHECKING:
    from calibrant.exact.optimizers import Follow, Hyperparameters

_UP = 1 + 2.0**-30
"""A factor that is larger than what float64 adds to a bound."""


def sgdschedulefree(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """z - lr (g + wd y) of all steps, averaged."""
    y, z = begun(s, t, p)
    rate = warmed(lr, h, t, late=follow["sgdschedulefree.warm-up"] == "apart")
    together = z - rate * (g + h.weight_decay * y)
    after = either([together, z - product([rate, h.weight_decay, y]) - rate * g])
    return averaged(s, h, t, warmed(lr, h, t), after, h.momentum, h.part)


def adamwschedulefree(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """z - lr (g / (sqrt(vhat) + eps) + wd y) of all steps, averaged."""
    y, z = begun(s, t, p)
    rate, weighed = warmed(lr, h, t, late=follow["adamwschedulefree.warm-up"] == "apart"), warmed(lr, h, t)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    c2 = h.correction2(t)
    if follow["adamwschedulefree.correction"] == "rate":
        rate, weighed = product([rate, root(c2)]), product([weighed, root(c2)])
        spread = root(s.v) + h.eps
    else:
        spread = either([root(product([s.v], [c2])), product([root(s.v)], [root(c2)])]) + h.eps
    pull = product([rate, h.weight_decay, y])
    together = z - rate * (product([g], [spread]) + h.weight_decay * y)
    after = either([together, z - pull - product([rate, g], [spread])])
    return averaged(s, h, t, weighed, after, h.beta1, h.part1)


def begun(s: State, t: int, p: Number) -> tuple[Number, Number]:
    """y and z before a step; all begin where the parameter is."""
    if t == 1:
        s.x = s.m = s.buffer = p
    return s.m, s.buffer


def warmed(lr: Number, h: Hyperparameters, t: int, *, late: bool = False) -> Number:
    """The rate of a step, which rises in the warm-up; if it is `late`, that of the step before, and zero at first."""
    steps, count = int(h["warmup_steps"]), t - late
    if count >= steps:
        return lr
    return product([lr, constant(float(count), h.form)], [constant(float(steps), h.form)])


def averaged(s: State, h: Hyperparameters, t: int, rate: Number, z: Number, keep: Number, part: Number) -> Number:
    """y after a step to z, or x where that is asked for; x takes up z with its weight over all weights so far."""
    y, before, s.buffer = s.m, s.buffer, z
    c = weight(s, h, t, rate)
    x = mix(s.x, z, 1 - c.within(0.0), c.within(0.0))
    # A wrong c shifts x along its way to z; and 1 - c is rounded once.
    x = x.within(x.err + c.err * ((z - s.x).size + s.x.err + z.err) + 2 * c.form.u * (s.x.size + s.x.err))
    s.m = mix(z, x, part, keep)
    # Found in y and z, x has their roundings over beta: at most ten, of numbers that are no larger than all of these.
    parts = (y, before, z, s.m)
    size = 0.0 if all(one.known_zero() for one in parts) else added(one.size + one.err for one in parts)
    lost = (10 * x.form.u * (size + (z - before).size) + 4 * (x.form.tiny + 2 * x.form.flushed)) * (size > 0)
    s.m = s.m.within((s.m.err + lost) * _UP)
    s.x = x.within((x.err + (lost / keep.least() if keep.least() else 0.0)) * _UP)
    shown: Number = s.x if h["averaged"] else s.m
    return shown


def weight(s: State, h: Hyperparameters, t: int, rate: Number) -> Number:
    """The weight of a step over the sum of all weights so far: t ** r times a power of the largest rate so far; 0 where all are zero."""
    s.most = maximum(s.most, rate)
    raised = power(s.most, h["weight_lr_power"])
    if h["r"] and not raised.known_zero():
        raised = raised * h.once(("r", t), lambda: power(constant(float(t), h.form), h["r"]))
    before, s.u = s.u, s.u + raised
    if raised.known_zero():
        return constant(0.0, h.form)
    if before.known_zero():  # the first weight is all of the sum, unless it is too small for the format, or too large
        lost = 1.0 if math.isfinite(raised.err) else math.inf
        return constant(1.0, h.form).within(0.0 if raised.least() else lost)
    return product([raised], [s.u])


def power(base: Number, exponent: float) -> Number:
    """base ** exponent, where 0 ** 0 is 1."""
    if not exponent:
        return constant(1.0, base.form)
    if base.least():
        return real_power(base, Fraction(exponent))
    return base if base.known_zero() else base.within(math.inf)

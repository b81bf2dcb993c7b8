"""Impostors of the optimizers that `exact.further_rules` has, in rows like those of `optimizers`."""

from fractions import Fraction
from typing import Any

import numpy as np

from calibrant.exact.further_rules import lamb_update, trusted
from calibrant.exact.optimizers import RULES, Hyperparameters
from calibrant.exact.scalars import Number, constant, mix, product, real_power, root, shrunk
from calibrant.exact.tensors import States, Tensor, each, norm
from calibrant.impostors import kinds
from calibrant.impostors.correct import join, rearranged
from calibrant.impostors.frames import but, framed, number, rule, zero
from calibrant.impostors.kinds import Call
from calibrant.impostors.optimizer_variants import variant
from calibrant.impostors.optimizers import LONG, of

LION, BELIEF, LAMB, LARS, TRUST, APART = (
    f"optimizer.{name}" for name in ("lion", "adabelief", "lamb", "lars", "trust-ratio", "decoupled-decay")
)
lion, adabelief, lamb, lars, trusting, adafactor = map(
    of, ("lion", "adabelief", "lamb", "lars", "lamb lars", "adafactor")
)
FACTOR = "optimizer.adafactor"


def along_the_average(c: Call) -> Number:
    """Lion's step without the sign."""
    ahead = mix(c.s.m, c.g, c.h.beta1, c.h.part1)
    c()
    return shrunk(c.p, c.lr, c.h.weight_decay, c.lr * ahead)


def from_the_old_average(c: Call) -> Number:
    """AdaBelief's step with the distance of the gradient from the average before it."""
    h, surprise = c.h, c.g - c.s.m
    c.s.m = mix(c.s.m, c.g, h.beta1, h.part1)
    c.s.v = mix(c.s.v, surprise * surprise, h.beta2, h.part2) + h.eps
    spread = root(product([c.s.v], [h.correction2(c.t)])) + h.eps
    return shrunk(c.p, c.lr, h.weight_decay, product([c.lr, c.s.m], [h.correction1(c.t), spread]))


def at_a_ratio(ratio: Any) -> kinds.Change:
    """LAMB's step at another trust ratio: factors and divisors, a function of the norms of the parameter and of the update."""

    def changed(c: Call) -> Tensor:
        u = lamb_update(c.s, c.h, c.t, c.p, c.g, c.follow)
        factors, divisors = ratio(norm(c.p), norm(u))
        return each(lambda p, x: p - product([c.lr, *factors, x], divisors), c.p, u)

    return rule(changed)


def of_the_first_eight(c: Call) -> Tensor:
    """LAMB's step by the norms of the first eight numbers."""
    u = lamb_update(c.s, c.h, c.t, c.p, c.g, c.follow)
    size, length = (norm(Tensor(x.numbers[:8], (len(x.numbers[:8]),))) for x in (c.p, u))
    moved: Tensor = c.p - trusted(u, [c.lr], size, length, length)
    return moved


def number_by_number(c: Call) -> Tensor:
    """The step in which each number has a norm of its own."""
    alone = zip(c.s.states, c.p.numbers, c.g.numbers, strict=True)
    moved = [c(s=States([s], ()), p=Tensor([p], ()), g=Tensor([g], ())).numbers[0] for s, p, g in alone]
    return Tensor(moved, c.p.shape)


def as_one(c: Call) -> Any:
    """The walk of all parameters as one, where no gradient is absent."""
    if len(c.params) < 2 or any(g is None for step in c.grads for g in step):
        return c()
    path = c(params=[join(*c.params)], grads=[[join(*step)] for step in c.grads])
    ends = np.cumsum([p.size for p in c.params])

    def cut(x: Any, k: int) -> Any:
        p = c.params[k]
        return rearranged(lambda column: np.reshape(column[ends[k] - p.size : ends[k]], p.shape), x)

    return [[cut(x, k) for k in range(len(c.params))] for (x,) in path]


def without_the_decay(c: Call) -> Any:
    """LARS' step with the gradient's norm alone below."""
    pull = c.g + c.p * c.h.weight_decay
    push = trusted(pull, [c.lr], norm(c.p), norm(c.g), norm(c.g) + c.h.eps, c.h.trust_coefficient)
    c.s.buffer = c.s.buffer * c.h.momentum + push
    return c.p - c.s.buffer


def other_share(most: int, share: Any) -> Any:
    """What is computed once, with another number in the place of Adafactor's falling fraction after step `most`."""

    def changed(h: Hyperparameters) -> Any:
        def once(key: Any, compute: Any) -> Any:
            later = isinstance(key, tuple) and key[0] == "part" and key[1] > most
            return h.once(("part", most, "stopped"), lambda: share(h)) if later else h.once(key, compute)

        return once

    return changed


def share_of_step(most: int) -> Any:
    """What is computed once, with Adafactor's falling fraction of no later step than this."""
    return other_share(most, lambda h: real_power(constant(float(most), h.form), Fraction(h["beta2_decay"])))


def as_a_column(c: Call) -> Tensor:
    """The step of the same numbers as a vector."""
    shape = (len(c.p.numbers),)
    moved = c(s=States(c.s.states, shape), p=Tensor(c.p.numbers, shape), g=Tensor(c.g.numbers, shape))
    return Tensor(moved.numbers, c.p.shape)


lion("one-average", "the step takes the sign of the average that it remembers, by the second beta alone")(
    but(beta1=lambda h: h.beta2, part1=lambda h: h.part2), LION
)
lion("without-its-memory", "the step takes the sign of the gradient alone")(
    rule(lambda c: (vars(c.s).update(m=zero(c.h)), c())[1]), LION
)
lion("along-the-average", "the step follows the average itself, and not its sign")(rule(along_the_average), LION)
of("lion adabelief")("decay-without-the-rate", "the decay is not multiplied by the learning rate")(
    rule(lambda c: c(h=c.h.once("apart", lambda: c.h.but(weight_decay=0.0))) - c.h.weight_decay * c.p),
    f"{APART} optimizer.zero-rate",
)
adabelief("squares-of-the-gradients", "it averages the squares of the gradients, as Adam does")(
    framed(settings=lambda c: c.h.but(amsgrad=False), rule=lambda c: RULES["adamw"](*c.given.values())), BELIEF
)
adabelief("from-the-old-average", "it measures each gradient from the average before it, not after it")(
    rule(from_the_old_average), BELIEF
)
lamb("trust-ratio-left-out", "the step is not multiplied by the norm of the parameter over the norm of the update")(
    at_a_ratio(lambda size, length: ([], [])), LAMB
)
lamb("trust-ratio-inverted", "the step is multiplied by the norm of the update over the norm of the parameter")(
    at_a_ratio(lambda size, length: ([length], [size])), f"{LAMB} {TRUST}?"
)
lamb("decay-beside-the-ratio", "the decay is no part of the update whose norm counts, but shrinks the parameter")(
    rule(lambda c: c(h=c.h.but(weight_decay=0.0)) - c.p * (c.lr * c.h.weight_decay)), LAMB
)
trusting("norm-of-each-number", "each number has a norm of its own, its size")(rule(number_by_number), LAMB)
trusting("norm-of-all-parameters", "one norm of all parameters together serves each of them")(
    as_one, f"{LAMB} optimizer.own-state {TRUST}?"
)
trusting("zeros-never-move", "the trust ratio of a parameter of zeros is zero: it never moves")(
    rule(lambda c: (c(), c.p)[1] if norm(c.p).known_zero() else c()), f"{TRUST} {LAMB}?"
)
lars("trust-coefficient-ignored", "the trust coefficient is 1, whatever is given")(
    but(trust_coefficient=number(1.0)), LARS
)
lars("decay-left-out-of-the-ratio", "the ratio divides by the norm of the gradient alone, without the decay")(
    rule(without_the_decay), LARS
)
lars("momentum-left-out", "there is no momentum, whatever is given")(but(momentum=0.0), LARS)

lamb("norm-of-the-first-eight", "the norms are of the first eight numbers alone")(
    rule(of_the_first_eight), "optimizer.sizes"
)

adafactor("update-not-clipped", "the update is not scaled down, however large its root mean square is")(
    but(d=number(2.0**100)), FACTOR
)
adafactor("beta2-constant", "the averages keep 0.999 of their past at every step but the first")(
    but(once=other_share(1, lambda h: constant(0.001, h.form))), FACTOR
)
for stop, dtype in ((256, "bfloat16"), (2048, "float16")):
    adafactor(
        f"share-stops-at-{stop}",
        f"the averages count steps in {dtype}, so that their share of new squares stops at step {stop:,}",
        soon=False,
    )(but(once=share_of_step(stop)), LONG)
adafactor("size-at-least-one", "a parameter whose root mean square is below 1 moves as if it were 1")(
    but(eps2=number(1.0)), FACTOR
)
adafactor("not-factored", "a matrix has an average for each number, as a vector does")(rule(as_a_column), FACTOR)

variant("adafactor.epsilon", "added", "the first epsilon is added to each square, and is no floor")(FACTOR)
variant("lion.decay", "coupled", "weight decay is part of the gradient, whose sign alone counts")(APART)
variant("adabelief.decay", "coupled", "weight decay is part of the gradient")(APART)
variant("adabelief.epsilon", "outside", "epsilon is added to the root alone, not to the average at each step")(BELIEF)
variant("lamb.correction", "none", "the averages are not corrected")(f"{LAMB} {TRUST}?")
variant("lamb.trust", "with-decay", "without weight decay there is no trust ratio")(LAMB)
variant("lamb.norm", "at-most-ten", "a norm of the parameter above 10 counts as 10")(LAMB)
variant("lars.norm", "together", "the ratio divides by the norm of the gradient with the decay added")(LARS)
variant("lars.buffer", "plain", "the buffer does not contain the learning rate")(f"{LARS} optimizer.changing-rate?")

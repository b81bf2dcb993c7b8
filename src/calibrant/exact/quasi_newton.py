"""The true steps of L-BFGS on a quadratic loss, 1/2 x H x + slope x, at fixed rates: Liu and Nocedal (1989), with PyTorch's ends of a step.

On a quadratic the change of the gradient along a move is H times the move, so that its error does not contain the errors of both
gradients. Where rounding may decide whether a pair is kept, or whether a step ends, nothing is claimed from there on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibrant.exact import scalars
from calibrant.exact.formats import format_of
from calibrant.exact.numbers import Exact, gamma
from calibrant.exact.numbers import constant as exactly
from calibrant.exact.scalars import Number, added, constant, hyperparameter, maximum, product
from calibrant.exact.tensors import Tensor, each, norm, total

LBFGS: dict[str, Any] = {
    "lr": 1.0,
    "max_iter": 20,
    "max_eval": None,
    "tolerance_grad": 1e-7,
    "tolerance_change": 1e-9,
    "history_size": 100,
    "line_search_fn": None,
}
"""The hyperparameters with their defaults, PyTorch's."""

LEAST_CURVATURE = 1e-10
"""A pair is kept if the product of its move and of the gradient's change is larger."""

Pair = tuple[Tensor, Tensor, Number]
"""A move s, the change y of the gradient along it, and their product."""


class Minimizer:
    """Parameters x, their loss, and what L-BFGS remembers from iteration to iteration. An impostor changes a method."""

    def __init__(
        self,
        h: Mapping[str, Any],
        x: Tensor,
        hessian: Sequence[Sequence[Number]],
        slope: Tensor,
        follow: Mapping[str, str],
    ) -> None:
        self.h, self.x, self.hessian, self.slope, self.follow = h, x, hessian, slope, follow
        self.form = x.numbers[0].form
        self.clear = not h["line_search_fn"]  # which leaves several rates to choose from
        """Whether neither rounding nor a line search has decided anything so far."""
        self.evaluations = self.iterations = 0
        self.pairs: list[Pair] = []
        self.newest: Pair | None = None
        """The pair that scales the first guess of the inverse Hessian."""
        self.d = self.moved = self.before = self.zeros = x * 0.0
        self.slips = self.slips_before = [0.0] * len(x.numbers)
        """The roundings of a gradient alone, without what the parameters pass on."""

    # The loss

    def value(self) -> Number:
        """The loss at the parameters, its sum in any order [A.sums]."""
        half, x = constant(0.5, self.form), self.x.numbers
        squares = [
            product([half, a, h, b])
            for a, row in zip(x, self.hessian, strict=True)
            for h, b in zip(row, x, strict=True)
        ]
        return total([*squares, *(s * a for s, a in zip(self.slope.numbers, x, strict=True))])

    def gradient(self) -> Tensor:
        """H x + slope, also as the half of H x and of its transpose."""
        many = gamma(len(self.x.numbers) + 3, self.form)
        terms = [
            [*map(product, zip(row, self.x.numbers, strict=True)), s]
            for row, s in zip(self.hessian, self.slope.numbers, strict=True)
        ]
        self.slips = [_up(many * added(t.size + t.err for t in row) + 4 * len(row) * self.form.tiny) for row in terms]
        return self.along(self.x, self.slips, self.slope)

    def along(self, x: Tensor, slips: Sequence[float], plus: Tensor) -> Tensor:
        """H x + plus: each number of x passes on its error, and each row adds a slip."""
        found = []
        for row, b, slip in zip(self.hessian, plus.numbers, slips, strict=True):
            terms = [
                b.within(0.0),
                *(Number(h.m * y.m, h.e + y.e, 0.0, self.form) for h, y in zip(row, x.numbers, strict=True)),
            ]
            err = _up(added(h.size * y.err for h, y in zip(row, x.numbers, strict=True)) + slip)
            fits = added(t.size for t in terms) + err <= self.form.largest
            found.append(sum(terms[1:], terms[0]).within(err if fits else math.inf))
        return Tensor(found, x.shape)

    def evaluate(self) -> tuple[Number, Tensor]:
        """The loss and the gradient at the parameters."""
        self.evaluations += 1
        return self.value(), self.gradient()

    # Decisions

    def less(self, x: Number, y: Number, *, or_equal: bool = False) -> bool:
        """Whether x < y, or x <= y. Nothing is claimed any more where rounding may decide; a magnitude is never below zero."""
        difference = (x.within(0.0) - y.within(0.0)).within(_up(x.err + y.err))
        below_zero = y.known_zero() and x.m >= 0 and not or_equal
        self.clear &= below_zero or difference.sign() is not None
        return difference.m < 0 or (or_equal and difference.m == 0)

    def small(self, x: Tensor, key: str) -> bool:
        """Whether no number of a column exceeds a tolerance."""
        largest = constant(0.0, self.form)
        for number in x.numbers:
            largest = maximum(largest, abs(number))
        return self.less(largest, self.given(key), or_equal=True)

    def given(self, key: str) -> Number:
        """A hyperparameter as an exact number."""
        return hyperparameter(self.h[key], self.form.scalars)

    def keeps(self, ys: Number) -> bool:
        """Whether a pair of this curvature is kept."""
        if self.follow["lbfgs.curvature"] == "any":
            self.clear &= ys.sign() is not None
            return bool(ys.m)
        return self.less(constant(LEAST_CURVATURE, self.form), ys)

    # An iteration

    def change(self, g: Tensor) -> Tensor:
        """The change of the gradient since the iteration before."""
        if all(x.known_zero() for x in self.moved.numbers):
            return self.zeros
        u = self.form.u * (1 + self.form.u)
        ends = zip(g.numbers, self.before.numbers, self.slips, self.slips_before, strict=True)
        return self.along(
            self.moved, [_up(a + b + u * (x.size + x.err + y.size + y.err)) for x, y, a, b in ends], self.zeros
        )

    def learn(self, g: Tensor) -> None:
        """Keep the last move and the change of the gradient along it, if the loss curves upward there."""
        self.keep(self.moved, self.change(g))

    def keep(self, s: Tensor, y: Tensor) -> None:
        """Keep a pair, if its curvature is enough."""
        ys = dot(y, s)
        if self.keeps(ys):
            self.newest = s, y, ys
            self.remember(self.newest)

    def remember(self, pair: Pair) -> None:
        """Add a pair, and forget the oldest beyond `history_size`."""
        self.pairs = [*self.pairs, pair][-self.h["history_size"] :]

    def guess(self, q: Tensor) -> Tensor:
        """q times the first guess of the inverse Hessian, s y / y y by the newest pair."""
        if self.newest is None:
            return q
        _, y, ys = self.newest
        size = dot(y, y)
        return each(lambda x: product([ys, x], [size]), q)

    def direction(self, g: Tensor) -> Tensor:
        """Minus the estimate of the inverse Hessian times the gradient: two loops over the pairs."""
        q, shares = -g, list[Number]()
        for s, y, ys in reversed(self.pairs):
            shares.append(product([dot(s, q)], [ys]))
            q = each(lambda a, b, share=shares[-1]: a - share * b, q, y)
        r = self.guess(q)
        for (s, y, ys), share in zip(self.pairs, reversed(shares), strict=True):
            r = each(lambda a, b, left: a + left * b, r, s, share - product([dot(y, r)], [ys]))
        return r

    def first_rate(self, g: Tensor, lr: Number) -> Number:
        """The rate of the very first iteration, which makes its move no longer than lr."""
        size = norm(g) if self.follow["lbfgs.first-rate"] == "l2" else total([abs(x) for x in g.numbers])
        return product([lr], [maximum(constant(1.0, self.form), size)])

    def move(self, t: Number) -> None:
        """Go along the direction. Seen from the parameters, a move has the rounding of a sum and of a difference as well."""
        u = self.form.u * (1 + self.form.u)
        steps = each(lambda x: product([t, x]), self.d)
        self.x = self.x + steps

        def seen(s: Number, x: Number) -> Number:
            return s if s.known_zero() else s.within(_up(s.err + u * (x.size + x.err + 2 * (s.size + s.err))))

        self.moved = each(seen, steps, self.x)

    def step(self, lr: Number) -> tuple[Number, int]:
        """Take a step of up to `max_iter` iterations. Return the loss before it, and how often the loss was evaluated."""
        start, n, h = self.evaluations, 0, self.h
        first, g = self.evaluate()
        loss, most = first, h["max_iter"] * 5 // 4 if h["max_eval"] is None else h["max_eval"]
        done = self.small(g, "tolerance_grad")
        while not done:
            n, self.iterations = n + 1, self.iterations + 1
            if self.iterations > 1:
                self.learn(g)
            self.d = self.direction(g)
            t = lr if self.iterations > 1 else self.first_rate(g, lr)
            self.before, self.slips_before, self.moved = g, self.slips, self.zeros
            if self.less(-self.given("tolerance_change"), dot(g, self.d)):
                break
            self.move(t)
            if n == h["max_iter"]:
                break
            last, (loss, g) = loss, self.evaluate()
            done = (
                self.evaluations - start >= most
                or self.small(g, "tolerance_grad")
                or self.small(self.moved, "tolerance_change")
                or self.less(abs(loss - last), self.given("tolerance_change"))
            )
        return first, self.evaluations - start


def dot(x: Tensor, y: Tensor) -> Number:
    """The sum of the products."""
    return total([a * b for a, b in zip(x.numbers, y.numbers, strict=True)])


def _up(x: float) -> float:
    """A sum of bounds, rounded up."""
    return x * (1 + 2.0**-40) + 5e-324 if x else 0.0


def lbfgs(
    hyperparameters: Mapping[str, Any],
    params: Any,
    hessian: Any,
    slope: Any,
    n_steps: int,
    follow: Mapping[str, str],
    kind: type[Minimizer] = Minimizer,
) -> list[list[Exact]]:
    """After each step the parameters, (p,), the loss before it, and how often the step evaluated the loss."""
    if not set(hyperparameters) <= set(LBFGS):
        raise ValueError(f"lbfgs has not all of the hyperparameters {', '.join(hyperparameters)}")
    h = {**LBFGS, **hyperparameters}
    form = params.form if isinstance(params, Exact) else format_of(params.dtype.name)
    (p,), numbers = params.shape, scalars.scatter(hessian, form)
    rows = [numbers[i * p : (i + 1) * p] for i in range(p)]
    state = kind(
        h, *(Tensor(scalars.scatter(params, form), (p,)), rows, Tensor(scalars.scatter(slope, form), (p,))), follow
    )
    path = []
    for lr in h["lr"] if isinstance(h["lr"], (list, tuple)) else [h["lr"]] * n_steps:
        before = state.clear
        loss, count = state.step(hyperparameter(lr, form.scalars))
        found = scalars.gather(state.x.numbers, (p,), form), scalars.gather([loss], (), form), exactly(count, form)
        claimed = state.clear, before, state.clear
        path.append(
            [x if sure else x.within(np.full(x.shape, math.inf), form) for x, sure in zip(found, claimed, strict=True)]
        )
    return path

"""Impostors of L-BFGS: each changes a method of the exact `Minimizer`, or what is asked of the right operation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact, Minimizer
from calibrant.exact.quasi_newton import dot
from calibrant.exact.scalars import Number, constant, product
from calibrant.exact.tensors import Tensor, each
from calibrant.impostors.kinds import Call, Change, checked, finite, impostors_of, overwritten, where

RULE, MEMORY, STOP, WOLFE = (f"optimizer.lbfgs{part}" for part in ("", ".memory", ".stop", ".strong-wolfe"))
PATH = f"{RULE} {MEMORY} {STOP}?"
OLD = f"{MEMORY} {RULE}? {STOP}?"


def minimized(**methods: Any) -> Change:
    """The path of a minimizer with other methods; right where a line is searched."""
    kind = type("Wrong", (Minimizer,), methods)
    change = finite(lambda c: c.given_to(exact.lbfgs, c.correct.follow, kind))
    return where(lambda c: isinstance(c.params, Exact) or not c.hyperparameters.get("line_search_fn"), change)


def without(*limits: str) -> Change:
    """The right path without some limits of a step."""
    loose = {"max_eval": 2**30, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    return checked(lambda c: c(hyperparameters={**c.hyperparameters, **{key: loose[key] for key in limits}}))


def _by_the_oldest(self: Minimizer, pair: Any) -> None:
    self.pairs = [*self.pairs, pair][: self.h["history_size"]]


def _all_kept(self: Minimizer, pair: Any) -> None:
    self.pairs.append(pair)


def _guess(scale: Callable[[Tensor, Tensor, Number], tuple[Number, Number]]) -> Change:
    """The path with another scale of the first guess, a numerator and a denominator made of the newest pair."""

    def guess(self: Minimizer, q: Tensor) -> Tensor:
        if self.newest is None:
            return q
        over, under = scale(*self.newest)
        return each(lambda x: product([over, x], [under]), q)

    return minimized(guess=guess)


def _first_pair_scales(self: Minimizer, pair: Any) -> None:
    Minimizer.remember(self, pair)
    self.newest = self.pairs[0]


def _weighed(weight: Callable[[Tensor, Tensor, Number], Number], turned: bool = False, once: bool = False) -> Change:
    """The path whose two loops divide by something else than s y, take the pairs in one order, or are one."""

    def direction(self: Minimizer, g: Tensor) -> Tensor:
        q, shares = -g, []
        back = self.pairs if turned else self.pairs[::-1]
        for s, y, ys in back:
            shares.append(product([dot(s, q)], [weight(s, y, ys)]))
            q = each(lambda a, b, share: a - share * b, q, y, shares[-1])
        r = self.guess(q)
        for (s, y, ys), share in [] if once else zip(back[::-1], shares[::-1], strict=True):
            r = each(lambda a, b, left: a + left * b, r, s, share - product([dot(y, r)], [weight(s, y, ys)]))
        return r

    return minimized(direction=direction)


def _of_the_old_point(self: Minimizer, g: Tensor) -> Tensor:
    """The change of the gradient that was due one iteration before."""
    due = getattr(self, "late", self.zeros)
    self.late = Minimizer.change(self, g)  # type: ignore[attr-defined]  # an impostor's own memory
    return due


def _without_rate(self: Minimizer, g: Tensor) -> None:
    s, y = self.d, self.change(g)
    self.keep(s, y)


def _afresh(self: Minimizer, lr: Number) -> tuple[Number, int]:
    self.pairs, self.newest, self.iterations = [], None, 0
    self.moved = self.before = self.zeros
    return Minimizer.step(self, lr)


def _without_pairs(self: Minimizer, lr: Number) -> tuple[Number, int]:
    self.pairs, self.newest = [], None
    return Minimizer.step(self, lr)


def _each_rate_short(self: Minimizer, t: Number) -> None:
    Minimizer.move(self, self.first_rate(self.before, t) if self.iterations > 1 else t)


def _by_norm(self: Minimizer, x: Tensor, key: str) -> bool:
    size = dot(x, x)
    limit = self.given(key)
    return self.less(size, limit * limit, or_equal=True)


def _uphill_too(self: Minimizer, x: Number, y: Number, *, or_equal: bool = False) -> bool:
    """No direction is refused; only that comparison has a negative left side."""
    return False if x.m < 0 else Minimizer.less(self, x, y, or_equal=or_equal)


def _losses_after(c: Call) -> Any:
    """The steps, each with the loss that the next one finds."""
    rates = c.hyperparameters.get("lr", 1.0)
    h = {**c.hyperparameters, "lr": [*rates, 0.0]} if isinstance(rates, (list, tuple)) else c.hyperparameters
    steps = c(), c(hyperparameters=h, n_steps=c.n_steps + 1)[1:]
    return [[x, after, n] for (x, _, n), (_, after, _) in zip(*steps, strict=True)]


lbfgs = impostors_of("lbfgs")
remembering = impostors_of("lbfgs", why_not_small="the Hessian of two parameters has four numbers")
remembering("history-never-shortened", "no pair is ever forgotten, whatever history_size")(
    minimized(remember=_all_kept), OLD
)
remembering("oldest-kept", "the first pairs are kept, and newer ones forgotten")(
    minimized(remember=_by_the_oldest), OLD
)
lbfgs("curvature-below-one-dropped", "a pair is kept only where the product of its parts is above 1")(
    minimized(keeps=lambda self, ys: self.less(constant(1.0, self.form), ys)), f"{RULE} {MEMORY}? {STOP}?"
)
lbfgs("guess-not-scaled", "the first guess of the inverse Hessian is 1")(minimized(guess=lambda self, q: q), PATH)
lbfgs("guess-inverted", "the first guess is the curvature, and not one over it")(
    _guess(lambda s, y, ys: (dot(y, y), ys)), PATH
)
lbfgs("guess-by-the-moves", "the first guess is the square of the move over the curvature")(
    _guess(lambda s, y, ys: (dot(s, s), ys)), PATH, "jkitchin/pounce#680"
)
lbfgs("guess-of-the-first-pair", "the oldest pair scales the first guess, and not the newest")(
    minimized(remember=_first_pair_scales), PATH
)
lbfgs("divided-by-the-change", "the loops divide by the square of the gradient's change, and not by the curvature")(
    _weighed(lambda s, y, ys: dot(y, y)), PATH
)
lbfgs("divided-by-the-move", "the loops divide by the square of the move, and not by the curvature")(
    _weighed(lambda s, y, ys: dot(s, s)), PATH
)
lbfgs("oldest-first", "the first loop begins with the oldest pair, and the second with the newest")(
    _weighed(lambda s, y, ys: ys, turned=True), PATH
)
lbfgs("one-loop", "the second loop over the pairs is missing")(_weighed(lambda s, y, ys: ys, once=True), PATH)
lbfgs("change-reversed", "the gradient's change is the old one minus the new one, so that no pair is ever kept")(
    minimized(change=lambda self, g: -Minimizer.change(self, g)), PATH
)
lbfgs("change-one-late", "a move is paired with the change of the gradient along the move before")(
    minimized(change=_of_the_old_point),
    PATH,
    "gonum/optimize#8 TorchSim/torch-sim#443 patrick-kidger/optimistix#94",
)
lbfgs("moves-without-the-rate", "a pair holds the direction, without the rate that it was taken at")(
    minimized(learn=_without_rate), PATH
)
lbfgs("never-learns", "every direction is the negative gradient")(minimized(learn=lambda self, g: None), PATH)
lbfgs("uphill", "every move goes along the direction backward")(
    minimized(move=lambda self, t: Minimizer.move(self, -t)), PATH
)
lbfgs("first-rate-as-given", "the first move is not shortened")(minimized(first_rate=lambda self, g, lr: lr), PATH)
lbfgs("every-rate-short", "every move is shortened by the size of the gradient, and not the first alone")(
    minimized(move=_each_rate_short), PATH
)
lbfgs("state-lost", "each step begins afresh")(minimized(step=_afresh), PATH)
lbfgs("pairs-lost", "each step begins without pairs, and knows that it is not the first")(
    minimized(step=_without_pairs), PATH
)
lbfgs("gradient-tolerance-ignored", "no gradient is small enough to end a step")(without("tolerance_grad"), STOP)
lbfgs("change-tolerance-ignored", "no move and no change of the loss is small enough to end a step")(
    without("tolerance_change"), STOP
)
lbfgs("evaluations-unlimited", "max_eval is ignored")(without("max_eval"), STOP)
lbfgs("tolerance-of-the-norm", "a tolerance limits the Euclidean norm, and not the largest number")(
    minimized(small=_by_norm), STOP
)
lbfgs("flat-directions-taken", "a direction along which the loss hardly falls is taken")(
    minimized(less=_uphill_too), STOP
)
lbfgs("one-iteration-more", "a step makes an iteration more than max_iter")(
    checked(lambda c: c(hyperparameters={**c.hyperparameters, "max_iter": c.hyperparameters.get("max_iter", 20) + 1})),
    PATH,
)
lbfgs("loss-after-the-step", "a step returns the loss after it, and not before it")(_losses_after, STOP)
lbfgs("evaluated-once-more", "a step evaluates the loss after its last iteration, too")(
    lambda c: [[x, loss, n + 1] for x, loss, n in c()], STOP
)
lbfgs("moves-the-callers", "the parameters of the caller are moved")(
    overwritten("params", lambda c, right: right[-1][0]), "optimizer.gradients-kept"
)
lbfgs("invalid-taken", "a history of no pairs, and a step of no iterations, are taken for one")(
    lambda c: c(
        hyperparameters={
            key: max(x, 1) if key in ("max_iter", "max_eval", "history_size") and x is not None else x
            for key, x in c.hyperparameters.items()
        }
    ),
    "optimizer.invalid",
)
lbfgs("unknown-ignored", "a hyperparameter that it does not have is ignored")(
    lambda c: c(hyperparameters={key: x for key, x in c.hyperparameters.items() if key in exact.LBFGS}),
    "optimizer.unknown",
)
lbfgs.in_dtype("float64", "optimizer.dtype")
lbfgs.in_dtype("float32", PATH)


searching = impostors_of("lbfgs", exactly=False, soon=False)
searching("line-search-ignored", "no rate is looked for, whatever line_search_fn")(
    checked(lambda c: c(hyperparameters={key: x for key, x in c.hyperparameters.items() if key != "line_search_fn"})),
    WOLFE,
)
searching("any-slope-will-do", "a rate is taken once the loss has fallen, however steep it still is")(
    lambda c: c() if isinstance(c.params, Exact) else c(flattening=math.inf), WOLFE
)
lbfgs.variant("lbfgs.first-rate", "l2", "the first move is shortened by the Euclidean norm of the gradient")(PATH)
lbfgs.variant("lbfgs.curvature", "any", "every pair is kept, whatever its curvature")(
    OLD, "google-deepmind/optax#1749 argmin-rs/argmin#657"
)

# Questions

_ROUND, _WIDE = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[4.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 2.0]])
_BENT, _ABOVE, _LOW = np.diag([1.0, -1.0]), np.array([1.0, 3.0]), np.array([0.25, 2.0])
_START, _THREE = np.array([2.0, -1.5]), np.array([1.0, -2.0, 0.5])
_ALWAYS = {"tolerance_grad": 0.0, "tolerance_change": 0.0, "max_eval": 9}


def _asked(h: Any, x: Any, hessian: Any, n_steps: int) -> tuple[Any, ...]:
    return {"max_iter": 1, **_ALWAYS, **h}, x, hessian, np.array([0.5, -1.0, 0.25][: len(x)]), n_steps


QUESTIONS = {
    "lbfgs": (
        _asked({"lr": 0.5}, _START, _ROUND, 3),
        *(_asked({"lr": 0.5, "history_size": m}, _THREE, _WIDE, 4) for m in (1, 2, 100)),
        *(_asked({"lr": lr}, _ABOVE, _BENT, 3) for lr in (0.5, [1.0, 0.25, 0.5])),
        _asked({"lr": 0.5, "max_iter": 2, "tolerance_grad": 1.25}, _LOW, _ROUND, 1),
        _asked({"lr": 0.5, "tolerance_change": 4.0}, _LOW, _ROUND, 1),
        *(_asked({"lr": 0.5, "max_iter": most, "max_eval": None}, _START, _ROUND, 2) for most in (2, 3)),
        *(
            _asked({"lr": 0.5, "max_iter": 4, key: x}, _START, _ROUND, 1)
            for key, x in (
                ("tolerance_grad", 1.25),
                ("tolerance_change", 0.5),
                ("tolerance_change", 0.25),
                ("max_eval", 2),
            )
        ),
        _asked({"lr": 0.25, "tolerance_grad": 2.5}, _START, _ROUND, 2),
        _asked({"lr": 0.25, "tolerance_change": 1.0, "max_iter": 3}, _START, _ROUND, 3),
        *(_asked({key: x}, _START, _ROUND, 1) for key, x in (("history_size", 0), ("momentum", 0.5), ("lr", -0.5))),
        _asked({"lr": 0.1}, np.array([0.7, -1.3]), _ROUND / 3, 3),
    ),
}

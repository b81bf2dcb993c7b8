"""The true steps of optimizers: one rule each, over a shared frame that keeps a state for every parameter.

A rule is given the state of its parameters, the hyperparameters h, the step number t (from 1, counted for each parameter that
has a gradient), the learning rate of the step, the parameters p and their gradient g; it returns the parameters after the step. All are
elementwise, so the tensors that have gradients in the same steps are one column here.

What is written as `product(...)` may be evaluated in any order, what is written as `either(...)` in any of the ways listed. `follow`
says which of several legitimate variants is meant (`calibrant.target.CONVENTIONS`).
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.exact.formats import Format
from calibrant.exact.numbers import (
    Exact,
    complement,
    concatenate,
    constant,
    either,
    hyperparameter,
    lean,
    maximum,
    mix,
    of,
    product,
    root,
    sign,
    to_float,
)

_DIGITS = decimal.Context(prec=60)
"""Decimal digits of the powers whose exponent is not whole."""

_ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False}
_DECOUPLED = {"decoupled_weight_decay": False}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False},
    "adam": {**_ADAM, **_DECOUPLED, "amsgrad": False},
    "adamw": {**_ADAM, "weight_decay": 1e-2, "amsgrad": False},
    "rmsprop": {
        "lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False, "maximize": False,
    },
    "adagrad": {
        "lr": 1e-2, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10, "maximize": False,
    },
    "adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False},
    "adamax": {**_ADAM, "lr": 2e-3},
    "nadam": {**_ADAM, **_DECOUPLED, "lr": 2e-3, "momentum_decay": 4e-3},
    "radam": {**_ADAM, **_DECOUPLED},
    "asgd": {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0, "maximize": False},
    "rprop": {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0), "maximize": False},
}  # fmt: skip
"""The optimizers, each with its hyperparameters and their defaults."""

State = SimpleNamespace
Rule = Callable[[State, Any, int, Exact, Exact, Exact, Mapping[str, str]], Exact]


def sgd(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr b for the momentum buffer b."""
    decoupled = follow["sgd.decay"] == "decoupled"
    plain = g
    if not decoupled:
        g = _coupled(g, p, h.weight_decay)
    if h.momentum is None:
        after = p - lr * g
        if h.weight_decay is None:
            return after
        return either(after, _shrunk(p, lr, h.weight_decay, lr * plain)) if not decoupled else _shrunk(p, lr, h.weight_decay, lr * g)
    inside = follow["sgd.buffer"] == "with-lr"
    pushed = product([lr, g]) if inside else g
    factors = [h.undamped] * (h.dampening is not None and (t > 1 or follow["sgd.dampening"] == "always"))
    if follow["sgd.buffer"] == "average":
        factors.append(complement(h.momentum))
    push = product([*factors, pushed]) if factors else pushed
    s.buffer = push if t == 1 else h.momentum * s.buffer + push
    moved = s.buffer
    if h.nesterov and follow["sgd.nesterov"] == "torch":
        moved = pushed + h.momentum * s.buffer
    step = moved if inside else lr * moved
    return _shrunk(p, lr, h.weight_decay, step) if h.weight_decay is not None and decoupled else p - step


def adam(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr mhat / (sqrt(vhat) + eps); the decay is coupled (L2) unless it is said to be decoupled."""
    decoupled = h.decoupled_weight_decay or follow["adam.decay"] == "decoupled"
    if not decoupled:
        g = _coupled(g, p, h.weight_decay)
    step = _adaptive_step(s, h, lr, g, follow)
    return _shrunk(p, lr, h.weight_decay, step) if h.weight_decay is not None and decoupled else p - step


def adamw(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """(1 - lr wd) p - lr mhat / (sqrt(vhat) + eps)."""
    step = _adaptive_step(s, h, lr, g, follow)
    if h.weight_decay is None:
        return p - step
    if follow["adamw.decay"] == "after":
        return _shrunk(p - step, lr, h.weight_decay, None)
    rate = constant(1, p.form) if follow["adamw.decay"] == "without-lr" else lr
    return _shrunk(p, rate, h.weight_decay, step)


def _adaptive_step(s: State, h: Any, lr: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    s.m = mix(s.m, g, h.beta1, h.part1)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    c1, c2 = _corrections(s, h)
    if follow["adam.correction"] == "none":
        c1 = c2 = constant(1, g.form)
    v = s.v
    if h.amsgrad and follow["adam.amsgrad"] == "corrected":
        s.largest = v = maximum(s.largest, product([s.v], [c2]))
        spread = root(v)
    else:
        if h.amsgrad:
            s.largest = v = maximum(s.largest, s.v)
        spread = product([root(v)], [root(c2)])
    match follow["adam.epsilon"]:
        case "inside" if h.amsgrad and follow["adam.amsgrad"] == "corrected":
            return product([lr, s.m], [c1, root(v + h.eps)])
        case "inside":
            return product([lr, s.m], [c1, root(product([v], [c2]) + h.eps)])
        case "hat":
            return product([lr, s.m, root(c2)], [c1, root(v) + h.eps])
    return product([lr, s.m], [c1, spread + h.eps])


def _corrections(s: State, h: Any) -> tuple[Exact, Exact]:
    """1 - beta1 ** t and 1 - beta2 ** t: by a power, or by one product more in every step."""
    s.power1, s.power2 = _next(s.power1, h.beta1), _next(s.power2, h.beta2)
    return lean(1 - s.power1), lean(1 - s.power2)


def _next(power: Exact, beta: Exact) -> Exact:
    after = power * beta
    # A power of the machine's is within a unit in the last place of the power of what it is given, not half of one.
    return after.within(after.err + beta.form.u * after.magnitude() * after.rounds(), beta.form)


def rmsprop(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr g / (sqrt(v) + eps), or of the variance v - m^2; momentum gathers the steps without lr."""
    g = _coupled(g, p, h.weight_decay)
    if t == 1 and follow["rmsprop.start"] == "one":
        s.v = _spread(constant(1, p.form), p.shape)
    s.v = mix(s.v, g * g, h.alpha, h.part)
    v = s.v
    if h.centered:
        s.m = mix(s.m, g, h.alpha, h.part)
        v = s.v - s.m * s.m
    inside = follow["rmsprop.epsilon"] == "inside"
    spread = root(v + h.eps, signed=h.centered) if inside else root(v, signed=h.centered) + h.eps
    if h.momentum is None:
        return p - product([lr, g], [spread])
    with_rate = follow["rmsprop.buffer"] == "with-lr"
    push = product([lr, g] if with_rate else [g], [spread])
    s.buffer = push if t == 1 else h.momentum * s.buffer + push
    return p - (s.buffer if with_rate else lr * s.buffer)


def adagrad(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr / (1 + (t - 1) lr_decay) g / (sqrt(sum of squares) + eps)."""
    g = _coupled(g, p, h.weight_decay)
    s.sum = s.sum + g * g
    spread = root(s.sum + h.eps) if follow["adagrad.epsilon"] == "inside" else root(s.sum) + h.eps
    return p - product([lr, g], [1 + (t - 1) * h.lr_decay, spread])


def adadelta(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr d with d = sqrt(x + eps) / sqrt(v + eps) g, where v averages g^2 and x the d^2 of the steps before."""
    g = _coupled(g, p, h.weight_decay)
    s.v = mix(s.v, g * g, h.rho, h.part)
    d = product([root(s.x + h.eps), g], [root(s.v + h.eps)])
    s.x = mix(s.x, d * d, h.rho, h.part)
    return p - (d if follow["adadelta.rate"] == "without" else lr * d)


def adamax(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr mhat / u with u = max(beta2 u, |g| + eps)."""
    g = _coupled(g, p, h.weight_decay)
    s.m = mix(s.m, g, h.beta1, h.part1)
    outside = follow["adamax.epsilon"] == "outside"
    s.u = maximum(h.beta2 * s.u, abs(g) if outside else abs(g) + h.eps)
    c1 = constant(1, g.form) if follow["adamax.correction"] == "none" else _corrections(s, h)[0]
    return p - product([lr, s.m], [c1, s.u + h.eps if outside else s.u])


def nadam(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr ((1 - mu_t) g / (1 - mu_1 ... mu_t) + mu_(t+1) m / (1 - mu_1 ... mu_(t+1))) / (sqrt(vhat) + eps)."""
    form = p.form
    if not h.decoupled_weight_decay:
        g = _coupled(g, p, h.weight_decay)

    def momentum(step: int) -> Exact:
        match follow["nadam.schedule"]:
            case "constant":
                return h.beta1
            case "fast":
                pace = Fraction(step)
            case _:
                pace = step * Fraction(h.given["momentum_decay"])
        return lean(h.beta1 * (1 - 0.5 * _power(Fraction(96, 100), pace, form)))

    mu, following = momentum(t), momentum(t + 1)
    s.mus = lean(_next(s.mus, mu))
    s.m = mix(s.m, g, h.beta1, h.part1)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    spread = product([root(s.v)], [root(_corrections(s, h)[1])]) + h.eps
    now, next_ = (1 - mu, 1 - s.mus), (following, 1 - lean(s.mus * following))
    look = product([now[0], g], [now[1]]) + product([next_[0], s.m], [next_[1]])
    steps = product([lr, now[0], g], [now[1], spread]), product([lr, next_[0], s.m], [next_[1], spread])
    together = product([lr, look], [spread])
    if h.weight_decay is not None and h.decoupled_weight_decay:
        return either(*(_shrunk(p, lr, h.weight_decay, steps[i]) - steps[1 - i] for i in (0, 1)), _shrunk(p, lr, h.weight_decay, together))
    return either(p - steps[0] - steps[1], p - steps[1] - steps[0], p - together)


def radam(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - lr mhat r sqrt(1 - beta2^t) / (sqrt(v) + eps) where more than five gradients count, else p - lr mhat."""
    if not h.decoupled_weight_decay:
        g = _coupled(g, p, h.weight_decay)
    s.m = mix(s.m, g, h.beta1, h.part1)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    c1, c2 = _corrections(s, h)
    longest = product([constant(2, p.form)], [h.part2]) - 1
    counted = longest - product([constant(2 * t, p.form), s.power2], [c2])
    (rectified,), (certain,) = (x.reshape(1) for x in sign(counted - 5))
    if rectified > 0:
        factor = root(product([counted - 4, counted - 2, longest], [longest - 4, longest - 2, counted]))
        if follow["radam.epsilon"] == "outside":
            step = product([lr, s.m, factor], [c1, product([root(s.v)], [root(c2)]) + h.eps])
        else:
            step = product([lr, s.m, factor, root(c2)], [c1, root(s.v) + h.eps])
    else:
        step = product([lr, s.m], [c1])
    if not certain:
        step = step.within(np.inf, p.form)
    return _shrunk(p, lr, h.weight_decay, step) if h.weight_decay is not None and h.decoupled_weight_decay else p - step


def asgd(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """(1 - lambd eta) p - eta g with eta = lr / (1 + lambd lr (t - 1)) ** alpha."""
    g = _coupled(g, p, h.weight_decay)
    base = 1 + product([h.lambd, lr, constant(t - 1, p.form)])
    eta = product([lr], [_power(base.fraction(), Fraction(h.given["alpha"]), p.form, base.err.item())])
    return _shrunk(p, eta, h.lambd, eta * g)


def rprop(s: State, h: Any, t: int, lr: Exact, p: Exact, g: Exact, follow: Mapping[str, str]) -> Exact:
    """p - sign(g) size; size grows where the sign stays, shrinks where it changes, and then there is no step."""
    if t == 1:
        s.size = _spread(lr, p.shape)
    turns, certain = sign(g * s.before)
    grown = maximum(h.least, -maximum(-(h.up * s.size), -h.most))
    shrunk = maximum(h.least, -maximum(-(h.down * s.size), -h.most))
    kept = maximum(h.least, -maximum(-s.size, -h.most))
    s.size = _where(turns > 0, grown, _where(turns < 0, shrunk, kept))
    s.size = s.size.within(np.where(certain, s.size.errors(), np.inf), p.form)
    s.before = Exact(np.where(turns < 0, 0, g.m), g.e, g.d, np.where(certain, 0.0, np.inf), g.form)
    signs = sign(s.before)[0]
    moved = Exact(s.size.m * signs, s.size.e, s.size.d, np.where((signs != 0) | ~certain, s.size.err, 0.0), p.form)
    return p - moved


def _where(condition: Any, x: Exact, y: Exact) -> Exact:
    m1, m2, e, d = x._aligned(y)
    return Exact(np.where(condition, m1, m2), e, d, np.where(condition, x.err, y.err), x.form)


def _coupled(g: Exact, p: Exact, decay: Exact | None) -> Exact:
    """The gradient with that of an L2 penalty."""
    return g if decay is None else g + decay * p


def _shrunk(p: Exact, lr: Exact, decay: Exact, step: Exact | None) -> Exact:
    """(1 - lr decay) p - step: with the factor computed first, with lr decay p subtracted, or both steps added before.

    The first rounds (1 - lr decay) and its product with p; the last rounds lr decay p and the step once more each, and their sum.
    """
    form = p.form
    drop = product([lr, decay, p])
    left = p - drop
    with np.errstate(all="ignore"):
        moved = 0.0 if step is None else step.magnitude() + step.err
        more = form.u * (left.magnitude() + left.err + 2 * (drop.magnitude() + drop.err) + 2 * moved) + form.tiny
        left = left.within(np.where(p.magnitude() + p.err > 0, (left.err + more) * (1 + 2.0**-40), left.err), form)
    return left if step is None else left - step


def _power(base: Fraction, exponent: Fraction, form: Format, err: float = 0.0) -> Exact:
    """base ** exponent for a positive base: by any pow of the machine, from a base and an exponent rounded before."""
    digits = _DIGITS.divide(decimal.Decimal(base.numerator), decimal.Decimal(base.denominator))
    power = _DIGITS.divide(decimal.Decimal(exponent.numerator), decimal.Decimal(exponent.denominator))
    value = Fraction(_DIGITS.power(digits, power))
    y, log = abs(to_float(exponent)), abs(to_float(Fraction(_DIGITS.ln(digits))))
    # The base and the exponent are each rounded twice at most, the power is within a unit in the last place.
    slip = y * (err / to_float(base) + form.u) + y * log * 2 * form.u + 2 * form.u
    return lean(constant(value, form)).within(to_float(value) * slip * (1 + 8 * slip) + form.tiny, form)


RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (sgd, adam, adamw, rmsprop, adagrad, adadelta, adamax, nadam, radam, asgd, rprop)
}


def optimize(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Any],
    grads: Sequence[Sequence[Any]],
    follow: Mapping[str, str],
) -> list[list[Exact]]:
    """The parameters after each step: a list of T lists of K arrays, as the operation `optimize` returns them."""
    given = {**DEFAULTS[name], **hyperparameters}
    if len(given) > len(DEFAULTS[name]):
        raise ValueError(f"{name} has no hyperparameters {sorted(set(given) - set(DEFAULTS[name]))}")
    form = _column(params[:1]).form
    rates = given.pop("lr")
    rates = [hyperparameter(lr, form) for lr in (rates if isinstance(rates, (list, tuple)) else [rates] * len(grads))]
    after: list[list[Any]] = [[None] * len(params) for _ in grads]
    presence = [tuple(step[k] is not None for step in grads) for k in range(len(params))]
    for pattern in dict.fromkeys(presence):
        alike = [k for k, present in enumerate(presence) if present == pattern]
        for i, column in enumerate(_walk(name, given, rates, [params[k] for k in alike], [[step[k] for k in alike] for step in grads], follow)):
            start = 0
            for k in alike:
                end = start + np.size(params[k])
                after[i][k] = column[start:end].reshape(np.shape(params[k]))
                start = end
    return after


def _walk(
    name: str, given: dict[str, Any], rates: list[Exact], params: Sequence[Any], grads: Sequence[Any], follow: Mapping[str, str]
) -> list[Exact]:
    """The column of all these parameters after each step; they have their gradients in the same steps."""
    rule, t = RULES[name], 0
    p = _column(params)
    h = _prepared(given, p.form)
    s = _fresh(h, p)
    path = []
    for lr, step in zip(rates, grads, strict=True):
        if step[0] is not None:
            t += 1
            g = _column(step)
            p = lean(rule(s, h, t, lr, p, -g if h.given["maximize"] else g, follow))
        path.append(p)
    return path


def _column(arrays: Sequence[Any]) -> Exact:
    """All numbers of some arrays, of NumPy's or exact ones."""
    if isinstance(arrays[0], Exact):
        return concatenate(*arrays)
    return of(np.concatenate([np.reshape(x, -1) for x in arrays]))


def _prepared(given: dict[str, Any], form: Format) -> Any:
    """The hyperparameters as exact numbers under their names: flags as they are, what is optional and 0 as None."""
    h = SimpleNamespace(given=given, amsgrad=False, decoupled_weight_decay=False)
    for key, value in given.items():
        if isinstance(value, bool):
            setattr(h, key, value)
        elif not isinstance(value, (list, tuple)):
            optional = key in ("momentum", "weight_decay", "dampening") and value == 0
            setattr(h, key, None if optional else hyperparameter(value, form))
    if "betas" in given:
        h.beta1, h.beta2 = (hyperparameter(beta, form) for beta in given["betas"])
        h.part1, h.part2 = complement(h.beta1), complement(h.beta2)
    if "rho" in given or "eps" in given and "alpha" in given:
        h.part = complement(h.rho if "rho" in given else h.alpha)
    if "etas" in given:
        h.down, h.up = (hyperparameter(eta, form) for eta in given["etas"])
        h.least, h.most = (hyperparameter(size, form) for size in given["step_sizes"])
    if given.get("dampening"):
        h.undamped = complement(h.dampening)
    return h


def _fresh(h: Any, p: Exact) -> State:
    """The state before the first step."""
    zero, one = _spread(constant(0, p.form), p.shape), constant(1, p.form)
    start = getattr(h, "initial_accumulator_value", zero)
    return State(
        m=zero, v=zero, x=zero, u=zero, largest=zero, before=zero, sum=_spread(start, p.shape), power1=one, power2=one, mus=one
    )


def _spread(x: Exact, shape: tuple[int, ...]) -> Exact:
    """One number as often as the shape has elements."""
    return Exact(np.broadcast_to(x.m, shape), x.e, x.d, np.broadcast_to(x.err, shape), x.form)

"""The true steps of optimizers: one rule each, over a shared frame that keeps a state for every parameter.

A rule takes the state s of one number (every rule is elementwise), the hyperparameters h, the step t (from 1; steps without a
gradient do not count), the learning rate lr of the step, the number p and its gradient g. It returns p after the step.
An evaluation may take a `product(...)` in any order, and an `either(...)` in any of the ways listed.
`follow` says which legitimate variant is meant (`protocol.declarations`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

from calibrant.exact import further_rules, scalars
from calibrant.exact.formats import Format, format_of, name_of
from calibrant.exact.muon import muon
from calibrant.exact.numbers import Exact
from calibrant.exact.scalars import (
    Number,
    complement,
    constant,
    either,
    maximum,
    minimum,
    mix,
    product,
    root,
    shrunk,
)
from calibrant.exact.schedule_free import adamwschedulefree, sgdschedulefree
from calibrant.exact.tensors import State, States, Tensor, filled

_PLAIN = {"lr": 1e-2, "weight_decay": 0.0, "maximize": False}
_ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False}
_DECOUPLED = {"decoupled_weight_decay": False}
_ORTHOGONAL = {"ns_coefficients": (3.4445, -4.775, 2.0315), "ns_steps": 5, "eps": 1e-7, "adjust_lr_fn": None}
_SCHEDULE_FREE = {"warmup_steps": 0, "r": 0.0, "weight_lr_power": 2.0, "averaged": False}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {**_PLAIN, "lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "nesterov": False},
    "adam": {**_ADAM, **_DECOUPLED, "amsgrad": False},
    "adamw": {**_ADAM, "weight_decay": 1e-2, "amsgrad": False},
    "rmsprop": {**_PLAIN, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False},
    "adagrad": {**_PLAIN, "lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
    "adadelta": {**_PLAIN, "lr": 1.0, "rho": 0.9, "eps": 1e-6},
    "adamax": {**_ADAM, "lr": 2e-3},
    "nadam": {**_ADAM, **_DECOUPLED, "lr": 2e-3, "momentum_decay": 4e-3},
    "radam": {**_ADAM, **_DECOUPLED},
    "asgd": {**_PLAIN, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6},
    "rprop": {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0), "maximize": False},
    "lion": {**_PLAIN, "lr": 1e-4, "betas": (0.9, 0.99)},
    "adabelief": {**_ADAM, "eps": 1e-16},
    "lamb": {**_ADAM, "eps": 1e-6},
    "lars": {**_PLAIN, "lr": 1e-3, "momentum": 0.9, "trust_coefficient": 1e-3, "eps": 0.0},
    "adafactor": {**_PLAIN, "beta2_decay": -0.8, "eps": (None, 1e-3), "d": 1.0},
    "muon": {**_PLAIN, "lr": 1e-3, "momentum": 0.95, "weight_decay": 0.1, "nesterov": True, **_ORTHOGONAL},
    "sgdschedulefree": {**_PLAIN, "lr": 1.0, "momentum": 0.9, **_SCHEDULE_FREE},
    "adamwschedulefree": {**_ADAM, "lr": 2.5e-3, **_SCHEDULE_FREE},
}
"""The optimizers, each with its hyperparameters and their defaults: PyTorch's, where it has the optimizer."""

_STATE = ("m", "v", "x", "u", "most", "buffer", "before", "size")
Follow = Mapping[str, str]
Known = TypeVar("Known")
Rule = Callable[..., Any]
"""A function of one number, as said above, or of a whole parameter: `further_rules` has these."""


def sgd(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr b, where the buffer b = momentum b + (1 - dampening) g; without momentum p - lr g."""
    coupled = follow["sgd.decay"] == "coupled"
    penalized = g + h.weight_decay * p if coupled else g
    if not h["momentum"]:
        if coupled and not h["weight_decay"]:
            return p - lr * g
        apart = shrunk(p, lr, h.weight_decay, lr * g)
        return either([p - lr * penalized, apart]) if coupled else apart
    buffer = follow["sgd.nesterov-buffer" if h["nesterov"] else "sgd.buffer"]
    inside = buffer == "with-lr"
    pushed = lr * penalized if inside else penalized
    dampens = bool(h["dampening"]) and (t > 1 or follow["sgd.dampening"] == "always")
    factors = [h.once("undamped", lambda: complement(h.dampening))] * dampens
    factors += [h.once("apart", lambda: complement(h.momentum))] * (buffer == "average")
    push = product([*factors, pushed]) if factors else pushed
    if h["nesterov"] and follow["sgd.nesterov"] == "look-ahead":
        p = _there_and_back(p, product([h.momentum, s.buffer] if inside else [lr, h.momentum, s.buffer]))
    s.buffer = push if t == 1 else h.momentum * s.buffer + push
    ahead = h["nesterov"] and follow["sgd.nesterov"] == "torch"
    moved = pushed + h.momentum * s.buffer if ahead else s.buffer
    step = moved if inside else lr * moved
    together = p - step if coupled else shrunk(p, lr, h.weight_decay, step)
    if not ahead:
        return together
    own = pushed if inside else lr * pushed
    past = product([h.momentum, s.buffer] if inside else [lr, h.momentum, s.buffer])
    kept = p if coupled else shrunk(p, lr, h.weight_decay)
    return either([together, kept - own - past, kept - past - own])


def _there_and_back(p: Number, past: Number) -> Number:
    """p - past + past, as an evaluation moves its parameters to the point ahead in place and back: two roundings [A.look-ahead]."""
    ahead = p.size + p.err + past.size + past.err
    return p if past.known_zero() else p.within((p.err + p.form.u * (1 + p.form.u) * (2 * ahead)) * (1 + 2.0**-40))


def adam(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr mhat / (sqrt(vhat) + eps); the decay is an L2 penalty unless it is said to be decoupled."""
    if h["decoupled_weight_decay"] or follow["adam.decay"] == "decoupled":
        return shrunk(p, lr, h.weight_decay, _adaptive_step(s, h, t, lr, g, follow))
    return p - _adaptive_step(s, h, t, lr, g + h.weight_decay * p, follow)


def adamw(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """(1 - lr wd) p - lr mhat / (sqrt(vhat) + eps)."""
    step = _adaptive_step(s, h, t, lr, g, follow)
    if follow["adamw.decay"] == "after":
        return shrunk(p - step, lr, h.weight_decay)
    return shrunk(p, constant(1.0, p.form) if follow["adamw.decay"] == "without-lr" else lr, h.weight_decay, step)


def _adaptive_step(s: State, h: Hyperparameters, t: int, lr: Number, g: Number, follow: Follow) -> Number:
    """lr mhat / (sqrt(vhat) + eps) with mhat = m / (1 - beta1^t) and vhat = v / (1 - beta2^t), or the largest so far."""
    s.m = mix(s.m, g, h.beta1, h.part1)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    one = constant(1.0, g.form)
    c1, c2 = (one, one) if follow["adam.correction"] == "none" else (h.correction1(t), h.correction2(t))
    v = s.v
    if h["amsgrad"] and follow["adam.amsgrad"] == "raw":
        v = s.most = maximum(s.most, v)
    vhat = product([v], [c2])
    if h["amsgrad"] and follow["adam.amsgrad"] == "corrected":
        vhat = s.most = maximum(s.most, vhat)
        v = product([vhat, c2])
    match follow["adam.epsilon"]:
        case "inside":
            return product([lr, s.m], [c1, root(vhat + h.eps)])
        case "hat":
            return product([lr, s.m, root(c2)], [c1, root(v) + h.eps])
    return product([lr, s.m], [c1, either([root(vhat), product([root(v)], [root(c2)])]) + h.eps])


def rmsprop(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr g / (sqrt(v) + eps), where v averages g^2, less the square of the average of g if it is centered.

    Momentum gathers the steps without lr. Where v may be found to be negative nothing is claimed.
    """
    apart = follow["rmsprop.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    if t == 1 and follow["rmsprop.start"] == "one":
        s.v = constant(1.0, p.form)
    s.v = mix(s.v, g * g, h.alpha, h.part)
    v, centered = s.v, h["centered"]
    if centered:
        s.m = mix(s.m, g, h.alpha, h.part)
        v = s.v - s.m * s.m
    inside = follow["rmsprop.centered-epsilon" if centered else "rmsprop.epsilon"] == "inside"
    spread = root(v + h.eps, signed=centered) if inside else root(v, signed=centered) + h.eps
    step = product([lr, g], [spread])
    if h["momentum"]:
        with_rate = follow["rmsprop.buffer"] == "with-lr"
        s.buffer = h.momentum * s.buffer + (step if with_rate else product([g], [spread]))
        step = s.buffer if with_rate else lr * s.buffer
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def adagrad(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr / (1 + (t - 1) lr_decay) g / (sqrt(v) + eps), where v sums up g^2."""
    apart = follow["adagrad.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    s.v = (h.initial_accumulator_value if t == 1 else s.v) + g * g
    spread = root(s.v + h.eps) if follow["adagrad.epsilon"] == "inside" else root(s.v) + h.eps
    step = product([lr, g], [1.0 + h.lr_decay * (t - 1), spread])
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def adadelta(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr d with d = sqrt(x + eps) / sqrt(v + eps) g, where v averages g^2 and x the d^2 of the steps before."""
    apart = follow["adadelta.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    s.v = mix(s.v, g * g, h.rho, h.part)
    d = product([root(s.x + h.eps), g], [root(s.v + h.eps)])
    s.x = mix(s.x, d * d, h.rho, h.part)
    step = d if follow["adadelta.rate"] == "without" else lr * d
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def adamax(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr mhat / u with u = max(beta2 u, |g| + eps)."""
    apart, epsilon = follow["adamax.decay"] == "decoupled", follow["adamax.epsilon"]
    g = g if apart else g + h.weight_decay * p
    s.m = mix(s.m, g, h.beta1, h.part1)
    past, size = h.beta2 * s.u, abs(g)
    s.u = maximum(past + h.eps if epsilon == "with-past" else past, size + h.eps if epsilon == "in-maximum" else size)
    c1 = constant(1.0, g.form) if follow["adamax.correction"] == "none" else h.correction1(t)
    step = product([lr, s.m], [c1, s.u + h.eps if epsilon == "outside" else s.u])
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def nadam(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr ((1 - mu_t) g / (1 - mu_1 ... mu_t) + mu_(t+1) m / (1 - mu_1 ... mu_(t+1))) / (sqrt(vhat) + eps)."""
    apart = h["decoupled_weight_decay"] or follow["nadam.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    s.m = mix(s.m, g, h.beta1, h.part1)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    spread = either([root(product([s.v], [h.correction2(t)])), product([root(s.v)], [root(h.correction2(t))])]) + h.eps
    now, ahead = h.momenta(t, follow["nadam.schedule"])
    look = product([now[0], g], [now[1]]) + product([ahead[0], s.m], [ahead[1]])
    steps = product([lr, now[0], g], [now[1], spread]), product([lr, ahead[0], s.m], [ahead[1], spread])
    together = product([lr, look], [spread])
    p = shrunk(p, lr, h.weight_decay) if apart else p
    return either([p - steps[0] - steps[1], p - steps[1] - steps[0], p - together])


def radam(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - lr mhat r sqrt(1 - beta2^t) / (sqrt(v) + eps) where more than five gradients count, else p - lr mhat.

    An evaluation may compute both before it chooses: where the first is 0/0, nothing is claimed about the second.
    """
    apart = h["decoupled_weight_decay"] or follow["radam.decay"] == "decoupled"
    g = g if apart else g + h.weight_decay * p
    s.m = mix(s.m, g, h.beta1, h.part1)
    s.v = mix(s.v, g * g, h.beta2, h.part2)
    c1, c2 = h.correction1(t), h.correction2(t)
    factor = h.once(("rectified", t), lambda: h.rectification(t, enough=_threshold(follow)))
    spread = root(s.v) + h.eps
    if factor is None:
        step = product([lr, s.m], [c1])
        step = step if spread.least() else step.within(math.inf)
    elif follow["radam.epsilon"] == "outside":
        step = product([lr, s.m, factor], [c1, product([root(s.v)], [root(c2)]) + h.eps])
    else:
        step = product([lr, s.m, factor, root(c2)], [c1, spread])
    return shrunk(p, lr, h.weight_decay, step) if apart else p - step


def _threshold(follow: Follow) -> float:
    """How many gradients must count before RAdam's step is adaptive."""
    return 4.0 if follow["radam.threshold"] == "four" else 5.0


def asgd(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """(1 - lambd eta) p - eta g with eta = lr / (1 + lambd lr (t - 1)) ** alpha."""
    g = g + h.weight_decay * p
    slowed = h.once(
        ("slowed", t, lr.fraction()),
        lambda: scalars.real_power(1.0 + product([h.lambd, lr, constant(t - 1.0, h.form)]), Fraction(h["alpha"])),
    )
    eta = product([lr], [slowed])
    return shrunk(p, eta, h.lambd, eta * g)


def rprop(s: State, h: Hyperparameters, t: int, lr: Number, p: Number, g: Number, follow: Follow) -> Number:
    """p - sign(g) size: size grows where the sign of g stays, and shrinks where it turns, which costs a step."""
    size = lr if t == 1 else s.size
    turn, last = (g * s.before).sign(), s.before.sign()
    unclear, moved = turn is None, size
    if turn:
        size = (h.up if turn > 0 else h.down) * size
    s.size = maximum(h.smallest, minimum(size, h.largest))
    s.before = constant(0.0, p.form) if turn == -1 else g
    direction = s.before.sign()
    if turn == -1 and last and follow["rprop.turn"] == "step-back":
        p = p + moved if last > 0 else p - moved
    if unclear or direction is None:
        s.size, s.before = s.size.within(math.inf), s.before.within(math.inf)
        return p.within(math.inf)
    return p if not direction else p - s.size if direction > 0 else p + s.size


_PAIRS = {
    "betas": ("beta1", "beta2"),
    "eps": ("eps1", "eps2"),
    "etas": ("down", "up"),
    "step_sizes": ("smallest", "largest"),
}
_WHOLES = {"part1": ("beta1",), "part2": ("beta2",), "part": ("alpha", "rho", "momentum")}


class Hyperparameters:
    """The hyperparameters as given, `h["eps"]`, and as exact numbers, `h.eps`, with the values that follow from them."""

    def __init__(self, given: Mapping[str, Any], form: Format) -> None:
        self.form = form
        self._given = given
        self._known: dict[Any, Any] = {}
        self._values = {key: value for key, value in given.items() if isinstance(value, (int, float))}
        for key, names in _PAIRS.items():
            pair = given.get(key)
            self._values |= zip(names, pair if isinstance(pair, (list, tuple)) else (), strict=False)

    def __getitem__(self, key: str) -> Any:
        return self._given[key]

    def __getattr__(self, key: str) -> Number:
        """Make an exact number of a hyperparameter, or of its complement, when it is first asked for."""
        whole = next((name for name in _WHOLES.get(key, (key,)) if name in self._values), None)
        if whole is None:
            raise AttributeError(key)
        number = scalars.hyperparameter(self._values[whole], self.form)
        number = complement(number) if key in _WHOLES else number
        setattr(self, key, number)
        return number

    def but(self, **changes: Any) -> Hyperparameters:
        """Change some: others are given, or an exact number or a function takes the place of one here."""
        instead = {key: x for key, x in changes.items() if isinstance(x, Number) or callable(x)}
        other = Hyperparameters({**self._given, **{key: changes[key] for key in changes.keys() - instead}}, self.form)
        vars(other).update(instead)
        return other

    def once(self, key: Any, compute: Callable[[], Known]) -> Known:
        """Compute once a value that all parameters share."""
        if key not in self._known:
            self._known[key] = compute()
        known: Known = self._known[key]
        return known

    def powers(self, name: str, base: Callable[[int], Number], t: int) -> Number:
        """The product of the bases of the steps from 1 to t."""
        known = self._known.setdefault(name, [constant(1.0, self.form)])
        for step in range(len(known), t + 1):
            known.append(scalars.times_power(known[-1], base(step)))
        power: Number = known[t]
        return power

    def power(self, beta: str, t: int) -> Number:
        """beta ** t."""
        return self.powers(beta, lambda _: getattr(self, beta), t)

    def correction1(self, t: int) -> Number:
        """1 - beta1 ** t."""
        return self.once(("c1", t), lambda: 1.0 - self.power("beta1", t))

    def correction2(self, t: int) -> Number:
        """1 - beta2 ** t."""
        return self.once(("c2", t), lambda: 1.0 - self.power("beta2", t))

    def momenta(self, t: int, schedule: str) -> tuple[tuple[Number, Number], tuple[Number, Number]]:
        """NAdam's (1 - mu_t, 1 - mu_1 ... mu_t) and (mu_(t+1), 1 - mu_1 ... mu_(t+1)), with mu_t = beta1 (1 - 0.96^(momentum_decay t) / 2)."""

        falling = constant(0.96, self.form)

        def momentum(step: int) -> Number:
            if schedule.startswith("constant"):
                return self.beta1
            pace = Fraction(step) * (1 if schedule == "fast" else Fraction(self["momentum_decay"]))
            return self.once(("mu", step), lambda: self.beta1 * (1.0 - 0.5 * scalars.real_power(falling, pace)))

        now, ahead = (1.0 - self.powers("momenta", momentum, step) for step in (t, t + (schedule != "constant-now")))
        return (1.0 - momentum(t), now), (momentum(t + 1), ahead)

    def rectification(self, t: int, *, enough: float, unclear: bool | None = None) -> Number | None:
        """RAdam's factor; None where too few gradients count. Evaluations may differ about that: then `unclear` decides, or it is unbounded."""
        longest = product([constant(2.0, self.form)], [self.part2]) - 1.0
        counted = longest - product([constant(2.0 * t, self.form), self.power("beta2", t)], [self.correction2(t)])
        more = (counted - enough).sign()
        if more is None and unclear is None:
            return constant(1.0, self.form).within(math.inf)
        if not (unclear if more is None else more > 0):
            return None
        return root(product([counted - 4.0, counted - 2.0, longest], [longest - 4.0, longest - 2.0, counted]))


_RULES: tuple[Rule, ...] = (sgd, adam, adamw, rmsprop, adagrad, adadelta, adamax, nadam, radam, asgd, rprop)
RULES = {rule.__name__: rule for rule in _RULES} | further_rules.ELEMENTWISE | further_rules.OF_TENSORS
RULES |= {rule.__name__: rule for rule in (muon, sgdschedulefree, adamwschedulefree)}


class Frame:
    """The frame around a rule: it settles the hyperparameters, keeps states, counts steps and turns gradients.

    An impostor changes a part of it.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.whole = rule in (*further_rules.OF_TENSORS.values(), muon)
        self.settings: Callable[[Hyperparameters], Hyperparameters] = lambda h: h
        self.states: dict[tuple[int, int], State] = {}
        self.counts: Counter[int] = Counter()

    def count(self, k: int, present: bool) -> int:
        """The number of this step of parameter k, from 1; a step without a gradient does not count."""
        self.counts[k] += present
        return self.counts[k]

    def state(self, k: int, i: int, form: Format) -> State:
        """The state of number i of parameter k; all zero before its first step."""
        if (k, i) not in self.states:
            self.states[k, i] = State(**dict.fromkeys(_STATE, constant(0.0, form)))
        return self.states[k, i]

    def step(self, at: tuple[int, int], h: Hyperparameters, t: int, lr: Number, p: Any, g: Any, follow: Follow) -> Any:
        """Number i of parameter k after a step, or all of parameter k where its numbers depend on each other; without a gradient it stays."""
        if g is None:
            return p
        if isinstance(p, Tensor):
            s: Any = States([self.state(at[0], i, x.form) for i, x in enumerate(p.numbers)], p.shape)
        else:
            s = self.state(*at, p.form)
        return self.rule(s, h, t, lr, p, -g if h["maximize"] else g, follow)

    def move(
        self, k: int, h: Hyperparameters, t: int, lr: Number, p: Tensor, g: Tensor | None, follow: Follow
    ) -> Tensor:
        """Parameter k after a step, as a whole or number by number."""
        if self.whole:
            tensor: Tensor = self.step((k, 0), h, t, lr, p, g, follow)
            return tensor
        slopes = [None] * len(p.numbers) if g is None else g.numbers
        numbers = enumerate(zip(p.numbers, slopes, strict=True))
        return Tensor([self.step((k, i), h, t, lr, x, slope, follow) for i, (x, slope) in numbers], p.shape)


def optimize(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Any],
    grads: Sequence[Sequence[Any]],
    follow: Follow,
    frame: Frame | None = None,
) -> list[list[Exact]]:
    """The parameters after each step: a list of T lists of K arrays, as the operation `optimize` returns them.

    Parameters and gradients are NumPy or exact arrays; None stands for no gradient.
    """
    unknown = sorted(set(hyperparameters) - set(DEFAULTS[name]))
    if unknown:
        raise ValueError(f"{name} has no hyperparameters {', '.join(unknown)}")
    form = params[0].form if isinstance(params[0], Exact) else format_of(name_of(params[0].dtype))
    given = {**DEFAULTS[name], **hyperparameters}
    lr = given.pop("lr")
    rates = [scalars.hyperparameter(x, form) for x in (lr if isinstance(lr, (list, tuple)) else [lr] * len(grads))]
    frame = frame or Frame(RULES[name])
    h = frame.settings(Hyperparameters(given, form.scalars))
    absent = constant(0.0, form) if follow["gradients.absent"] == "zero" else None
    now = [Tensor(scalars.scatter(p, form), p.shape) for p in params]
    path = []
    for rate, step in zip(rates, grads, strict=True):
        for k, slope in enumerate(step):
            t = frame.count(k, slope is not None or absent is not None)
            if slope is None:
                g = None if absent is None else filled(absent, now[k])
            else:
                g = Tensor(scalars.scatter(slope, form), slope.shape)
            now[k] = frame.move(k, h, t, rate, now[k], g, follow)
        path.append([scalars.gather(p.numbers, p.shape, form) for p in now])
    return path


def steady(name: str, hyperparameters: Mapping[str, Any], n_steps: int, grads: Sequence[Any], follow: Follow) -> Frame:
    """A frame as so many steps along the same gradients leave it, for the rules that average gradients and their squares.

    Their states do not depend on rates and parameters: so a path that begins here costs no more than its own steps.
    """
    frame, form = Frame(RULES[name]), format_of(name_of(grads[0].dtype))
    h = Hyperparameters({**DEFAULTS[name], **hyperparameters}, form.scalars)
    for k, slopes in enumerate(grads):
        frame.counts[k] = n_steps
        for i, g in enumerate(scalars.scatter(slopes, form)):
            s = frame.state(k, i, form)
            for _ in range(n_steps):
                s.m, s.v = mix(s.m, g, h.beta1, h.part1), mix(s.v, g * g, h.beta2, h.part2)
    return frame


def paths(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Any],
    grads: Sequence[Sequence[Any]],
    follow: Follow,
) -> Iterator[list[list[Exact]]]:
    """The paths that evaluations may take, as `optimize` returns them.

    They are two for RAdam where rounding may put one step on either side of the threshold. Where it may do so with several steps, as in
    bfloat16, nothing is claimed from the first of them on.
    """
    form = params[0].form if isinstance(params[0], Exact) else format_of(name_of(params[0].dtype))
    h = Hyperparameters({**DEFAULTS[name], **hyperparameters}, form)
    steps = range(1, len(grads) + 1) if name == "radam" else ()
    factors = [h.rectification(t, enough=_threshold(follow)) for t in steps]
    unclear = [factor for factor in factors if factor is not None and factor.err == math.inf]
    for side in (False, True) if len(unclear) == 1 else (None,):

        def decided(h: Hyperparameters, side: bool | None = side) -> Hyperparameters:
            return h.but(rectification=partial(h.rectification, unclear=side))

        frame = Frame(RULES[name])
        frame.settings = decided
        yield optimize(name, hyperparameters, params, grads, follow, frame)

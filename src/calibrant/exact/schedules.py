"""The true rate of each step, and the rates of a run whose loss stops falling.

A schedule is a function of its own step, which counts from 0. It may be evaluated by its closed form, or from the rate before by a
factor, as schedulers that can be chained do [A.schedule].
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from calibrant.exact import scalars
from calibrant.exact.formats import Format
from calibrant.exact.numbers import Exact, to_float
from calibrant.exact.scalars import Number, constant, gather, maximum, product, real_power, root, times_power

SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"lr": None, "factor": 1 / 3, "total_iters": 5},
    "linear": {"lr": None, "start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5},
    "step": {"lr": None, "step_size": None, "gamma": 0.1},
    "multistep": {"lr": None, "milestones": None, "gamma": 0.1},
    "exponential": {"lr": None, "gamma": None},
    "polynomial": {"lr": None, "total_iters": 5, "power": 1.0},
    "inverse_sqrt": {"lr": None, "timescale": None},
    "cosine": {"lr": None, "T_max": None, "eta_min": 0.0},
    "cosine_restarts": {"lr": None, "T_0": None, "T_mult": 1, "eta_min": 0.0},
    "one_cycle": {
        "max_lr": None,
        "total_steps": None,
        "pct_start": 0.3,
        "anneal_strategy": "cos",
        "div_factor": 25.0,
        "final_div_factor": 1e4,
        "three_phase": False,
    },
    "cyclic": {
        "base_lr": None,
        "max_lr": None,
        "step_size_up": 2000,
        "step_size_down": None,
        "mode": "triangular",
        "gamma": 1.0,
    },
    "sequence": {"schedules": None, "milestones": None},
}
"""The schedules, each with its hyperparameters and their defaults, which are PyTorch's; None where a value must be given.

Each of them takes `warmup_steps` as well, 0 by default.
"""

PLATEAU = {
    "mode": "min",
    "factor": 0.1,
    "patience": 10,
    "threshold": 1e-4,
    "threshold_mode": "rel",
    "cooldown": 0,
    "min_lr": 0.0,
    "eps": 1e-8,
}
"""The hyperparameters of `plateau`, with their defaults, which are PyTorch's."""

Given = Mapping[str, Any]
_UP = 1 + 2.0**-40


def schedule(name: str, hyperparameters: Given, n_steps: int, follow: Mapping[str, str], form: Format) -> Exact:
    """The rates of the first n_steps steps, (n_steps,); they are hyperparameters, and so in the format that holds those."""
    held = form.scalars
    return gather(_rates(name, hyperparameters, n_steps, follow, held), (n_steps,), held)


def _rates(name: str, hyperparameters: Given, n: int, follow: Mapping[str, str], form: Format) -> list[Number]:
    """The rates of a schedule: those of the warm-up, and then the schedule from its own step 0 on."""
    h = {**SCHEDULES[name], **hyperparameters}
    n_warm = int(h.pop("warmup_steps", 0))
    if name == "sequence":
        rates = _sequence(h, max(n - n_warm, 1), follow, form)
    else:
        rule, per_step = _RULES[name]
        per_step = per_step(h) if callable(per_step) else per_step
        if name == "cosine" and follow["schedule.after-cosine"] == "returns":
            # Where the wave rises again, a factor enlarges what the rate has erred by: 2 / (1 - cos(pi / T)) times, at most T^2.
            per_step *= h["T_max"] ** 2
        rates = _chained([rule(h, t, follow, form) for t in range(max(n - n_warm, 1))], per_step)
    counted_from = 0 if follow["schedule.warm-up-count"] == "zero" else 1
    warm = [product([rates[0], _whole(t + counted_from, form)], [_whole(n_warm, form)]) for t in range(n_warm)]
    return [*_chained(warm, 4.0), *rates][:n]


def _chained(rates: list[Number], per_step: float) -> list[Number]:
    """The rates within the error of computing each from the one before: so many roundings a step, of the largest rate until then."""
    found, most = [], 0.0
    for t, rate in enumerate(rates):
        most = max(most, rate.size + rate.err)
        found.append(rate.within((rate.err + per_step * t * (rate.form.u * most + rate.form.tiny)) * _UP))
    return found


def _sequence(h: Given, n: int, follow: Mapping[str, str], form: Format) -> list[Number]:
    starts = [0, *h["milestones"]]
    ends = [*h["milestones"], n]
    rates: list[Number] = []
    for one, start, end in zip(h["schedules"], starts, ends, strict=True):
        own = {key: value for key, value in one.items() if key != "name"}
        rates += _rates(one["name"], own, min(end, n) - start, follow, form) if start < n else []
    return rates


# One rate: the hyperparameters, the schedule's own step, conventions, and a format


def _held(x: float, form: Format) -> Number:
    return scalars.hyperparameter(float(x), form)


def _whole(k: int, form: Format) -> Number:
    return constant(float(k), form)


def _fraction(x: Fraction, form: Format) -> Number:
    """A quotient of whole numbers, rounded twice."""
    return product([_whole(x.numerator, form)], [_whole(x.denominator, form)])


def _slack(rate: Number, roundings: float, *sizes: Number) -> Number:
    """The rate within so many more roundings of the sum of some magnitudes, for the arrangements that add these in other ways."""
    span = sum(x.size + x.err for x in sizes)
    return rate.within((rate.err + roundings * (rate.form.u * span + rate.form.tiny)) * _UP)


def _constant(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    lr = _held(h["lr"], form)
    return lr * _held(h["factor"], form) if t < h["total_iters"] else lr


def _linear(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    lr, start, end = (_held(h[key], form) for key in ("lr", "start_factor", "end_factor"))
    k, total = min(t, h["total_iters"]), _whole(h["total_iters"], form)
    rate = product([lr, start + product([end - start, _whole(k, form)], [total])])
    return _slack(rate, 6.0, lr * start, lr * end)


def _power(h: Given, k: int, form: Format) -> Number:
    """lr gamma^k."""
    return product([_held(h["lr"], form), powers(float(h["gamma"]), k, form)])


def powers(base: float, k: int, form: Format) -> Number:
    """The k-th power of a hyperparameter."""
    known = _known_powers(base, form)
    while len(known) <= k:
        known.append(times_power(known[-1], _held(base, form)))
    return known[k]


@functools.lru_cache(maxsize=64)
def _known_powers(base: float, form: Format) -> list[Number]:
    """The powers that have been asked for, from the 0th on."""
    return [constant(1.0, form)]


def _polynomial(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    lr, total = _held(h["lr"], form), h["total_iters"]
    left = 1.0 - _fraction(Fraction(min(t, total), total), form)
    if t >= total:
        return constant(0.0, form)
    return product([lr, real_power(left, Fraction(float(h["power"])))])


def _inverse_sqrt(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    lr, scale = _held(h["lr"], form), _held(h["timescale"], form)
    rate = product([lr, root(product([scale], [scale + _whole(t, form)]))])
    return _slack(rate, 8.0, rate)


@functools.lru_cache(maxsize=4096)
def cosine(half_turns: Fraction, form: Format) -> Number:
    """cos(pi x), from an argument that was rounded five times; the function errs by two and a half units in the last place [A.cosine]."""
    value = scalars.MP.cospi(scalars.MP.mpf(half_turns.numerator) / half_turns.denominator)
    return scalars.computed(value, form.u * (5 * 3.15 * to_float(abs(half_turns)) + 5), form)


def _between(high: Number, low: Number, half_turns: Fraction, form: Format) -> Number:
    """low + (high - low) (1 + cos(pi x)) / 2."""
    rate = low + product([high - low, 1.0 + cosine(half_turns, form), constant(0.5, form)])
    return _slack(rate, 8.0, high, low)


def _cosine(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    k = t if follow["schedule.after-cosine"] == "returns" else min(t, h["T_max"])
    return _between(_held(h["lr"], form), _held(h["eta_min"], form), Fraction(k, h["T_max"]), form)


def _cosine_restarts(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    length = h["T_0"]
    while t >= length:
        t, length = t - length, length * h["T_mult"]
    return _between(_held(h["lr"], form), _held(h["eta_min"], form), Fraction(t, length), form)


def _one_cycle(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    top, total = _held(h["max_lr"], form), h["total_steps"]
    start = product([top], [_held(h["div_factor"], form)])
    least = product([start], [_held(h["final_div_factor"], form)])
    rise = Fraction(float(h["pct_start"])) * total
    corners = [(Fraction(0), start), (rise - 1, top)]
    corners += [(2 * rise - 2, start)] * bool(h["three_phase"])
    corners.append((Fraction(total - 1), least))
    place = next(k for k, (end, _) in enumerate(corners) if k and (t <= end or k == len(corners) - 1))
    (begin, high), (end, low) = corners[place - 1 : place + 1]
    passed = (t - begin) / (end - begin)
    if h["anneal_strategy"] == "linear":
        share = _fraction(passed, form)
        rate = _slack(high + product([low - high, share]), 8.0, high, low)
    else:
        rate = _between(high, low, passed, form)
    # The corners are rounded products: the share that has passed errs by some roundings of the steps until there, over its length.
    slip = 6 * form.u * to_float(total / (end - begin))
    return rate.within((rate.err + 2 * slip * (high.size + low.size + high.err + low.err)) * _UP)


def _cyclic(h: Given, t: int, follow: Mapping[str, str], form: Format) -> Number:
    low, top, up = _held(h["base_lr"], form), _held(h["max_lr"], form), h["step_size_up"]
    total = up + (up if h["step_size_down"] is None else h["step_size_down"])
    cycle, place = divmod(t, total)
    share = Fraction(place, up) if place <= up else Fraction(total - place, total - up)
    scales = {
        "triangular": lambda: constant(1.0, form),
        "triangular2": lambda: constant(2.0**-cycle, form),
        "exp_range": lambda: powers(float(h["gamma"]), t, form),
    }
    # The place in the cycle is found as a difference from the count of cycles, and divided by the share of the way up, or down.
    slip = 4 * form.u * (cycle + 2) * to_float(Fraction(total, min(up, total - up)))
    height = product([top - low, _fraction(share, form), scales[h["mode"]]()])
    rate = _slack(low + height, 4.0, low, top)
    return rate.within((rate.err + slip * (top.size + low.size)) * _UP)


Rule = Callable[[Given, int, Mapping[str, str], Format], Number]
_RULES: dict[str, tuple[Rule, Any]] = {
    "constant": (_constant, 4.0),
    "linear": (_linear, 4.0),
    "step": (lambda h, t, follow, form: _power(h, t // h["step_size"], form), 0.0),
    "multistep": (lambda h, t, follow, form: _power(h, bisect.bisect(sorted(h["milestones"]), t), form), 0.0),
    "exponential": (lambda h, t, follow, form: _power(h, t, form), 0.0),
    "polynomial": (_polynomial, lambda h: 4.0 + h["power"]),
    "inverse_sqrt": (_inverse_sqrt, 4.0),
    "cosine": (_cosine, 4.0),
    "cosine_restarts": (_cosine_restarts, 0.0),
    "one_cycle": (_one_cycle, 0.0),
    "cyclic": (_cyclic, 0.0),
}
"""Each rule, and the roundings of a step that computes a rate from the one before, where the rule does not count them itself."""


# The rate of a run whose loss stops falling


def plateau(
    val_losses: Sequence[float], lr: float, hyperparameters: Given, form: Format, follow: Mapping[str, str]
) -> Exact:
    """The rate after each loss, (n,). From where rounding may decide on, the rates follow exact arithmetic, and have no bound."""
    held = form.scalars
    h = {**PLATEAU, **hyperparameters}
    most = max(h["patience"] - 1, 0) if follow["schedule.patience"] == "reached" else h["patience"]
    factor, threshold = _held(h["factor"], held), scalars.hyperparameter(float(h["threshold"]), form)
    sign = -1 if h["mode"] == "max" else 1
    rate, best, bad, rest = _held(lr, held), None, 0, 0
    rates, unclear = [], False
    for loss in val_losses:
        better = math.isfinite(loss)
        if better and best is not None:
            gain = _gain(loss, best, threshold, sign, h["threshold_mode"], form)
            unclear |= gain.sign() is None
            better = gain.m > 0
        if better:
            best, bad = loss, 0
        else:
            bad += 1
        if rest > 0:
            rest, bad = rest - 1, 0
        if bad > most:
            lower = maximum(rate * factor, _held(h["min_lr"], held))
            beyond = rate - lower - _held(h["eps"], held)
            unclear |= beyond.sign() is None
            rate = lower if beyond.m > 0 else rate
            rest, bad = h["cooldown"], 0
        rates.append(rate.within(math.inf) if unclear else rate)
    return gather(rates, (len(rates),), held)


def _gain(loss: float, best: float, threshold: Number, sign: int, mode: str, form: Format) -> Number:
    """How far the loss is beyond the best and the threshold: it is better if this is positive."""
    now, before = (constant(x, form) for x in (loss, best))
    one = constant(1.0, form)
    scaled = before * (one - threshold if sign > 0 else one + threshold)
    limit = scaled if mode == "rel" else before - threshold if sign > 0 else before + threshold
    if not threshold.m and not threshold.err:
        limit = before
    return limit - now if sign > 0 else now - limit

"""Inputs of the chapter on training: schedules, logs of losses that stop falling, and gradients to clip."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from calibrant.exact import Format
from calibrant.strategies.drawing import WIDTH, Array, Bytes, Strategy, cast, numbers_of, strategy


@dataclass
class Scheduled:
    """A schedule and how many of its steps are asked for."""

    name: str
    hyperparameters: dict[str, Any]
    n_steps: int


_RATES = (1.0, 0.5, 0.1, 1e-3, 0.3, 1e-5)
_GAMMAS = (0.5, 0.1, 0.9, 0.25, 0.99, 1.0)
_LENGTHS = (4, 2, 1, 3, 5, 8, 7, 12)
_WAVES = {"eta_min": (None, 0.25, 0.0, 1e-4, 0.1)}

_CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "constant": {"lr": _RATES, "factor": (0.5, None, 0.1, 1.0, 1e-3), "total_iters": (*_LENGTHS, None)},
    "linear": {
        "lr": _RATES, "start_factor": (0.5, None, 0.1, 1.0, 1e-3, 0.25), "end_factor": (None, 1.0, 0.0, 0.25, 0.5),
        "total_iters": (*_LENGTHS, None),
    },
    "step": {"lr": _RATES, "step_size": (2, 1, 3, 4, 5), "gamma": (0.5, None, *_GAMMAS[1:])},
    "multistep": {
        "lr": _RATES, "milestones": ([2], [1, 3], [3, 5, 6], [4, 8], [1], [2, 3, 4, 5], [7]), "gamma": (0.5, None, *_GAMMAS[1:]),
    },
    "exponential": {"lr": _RATES, "gamma": _GAMMAS},
    "polynomial": {"lr": _RATES, "total_iters": (*_LENGTHS, None), "power": (2.0, None, 1.0, 0.5, 3.0, 0.9, 1.5)},
    "inverse_sqrt": {"lr": _RATES, "timescale": (4, 1, 2, 10, 100, 1000)},
    "cosine": {"lr": _RATES, "T_max": _LENGTHS, **_WAVES},
    "cosine_restarts": {"lr": _RATES, "T_0": _LENGTHS[:6], "T_mult": (None, 2, 1, 3), **_WAVES},
    "one_cycle": {
        "max_lr": _RATES, "total_steps": (10, 8, 12, 20, 16, 25), "pct_start": (0.5, None, 0.25, 0.4), "div_factor": (4.0, None, 10.0),
        "anneal_strategy": ("linear", None, "cos"), "final_div_factor": (4.0, None, 100.0), "three_phase": (None, True, False, True),
    },
    "cyclic": {
        "base_lr": (0.25, 0.0, 0.1, 1e-3), "max_lr": (1.0, 0.5, 0.3), "step_size_up": (2, 1, 3, 4, 5, None), "step_size_down": (None, 3, 1, 4),
        "mode": (None, "triangular", "triangular2", "exp_range"), "gamma": (0.5, 0.9, 0.99),
    },
}  # fmt: skip
"""The choices of each hyperparameter, simplest first; None leaves it out."""

WARMED = (*_CHOICES, *("cosine",) * 5, "sequence")
"""All schedules, the most usual one more often."""

_SCHEDULE = 3 + 8
_LONG = 200  # steps, in the place of one in thirty


def schedules(name: str, *more: str, warm_up: bool = False) -> st.SearchStrategy[Any]:
    """Runs of some schedules until a few steps beyond their hand-overs, seldom of many steps; with warm-up or without."""
    return Strategy(functools.partial(_scheduled, (name, *more), warm_up), 2 + _SCHEDULE * 4)()


def _scheduled(names: tuple[str, ...], warm_up: bool, data: Bytes, form: Format) -> Scheduled:
    name, warm = data.pick(*names), data.one()
    if name == "sequence":
        drawn, n_steps = _sequence(data, form)
    else:
        drawn, n_steps = _one(name, data)
    if warm_up:
        drawn["warmup_steps"] = (4, 2, 1, 3, 5, 8)[warm % 6]
        n_steps += drawn["warmup_steps"]
    return Scheduled(name, drawn, n_steps)


def _one(name: str, data: Bytes) -> tuple[dict[str, Any], int]:
    """The hyperparameters of a schedule, and how many steps to ask for."""
    byte, more, own = data.one(), data.one(), data.take(_SCHEDULE - 2)
    given = {
        key: some[int(k) % len(some)] for (key, some), k in zip(_CHOICES[name].items(), own, strict=False)
    }  # each hyperparameter has a byte of its own
    given = {key: x for key, x in given.items() if x is not None}
    if name == "one_cycle":
        return given, given["total_steps"] - (byte % 3 if byte > 127 else 0)
    if byte > 247 and name != "multistep":
        return given, _LONG + more
    longest = max(int(x) for x in [2, *(v for v in given.values() if type(v) is int), *given.get("milestones", [])])
    return given, 1 + longest + byte % (longest + 3) if byte > 31 else 1 + byte % 12


def _sequence(data: Bytes, form: Format) -> tuple[dict[str, Any], int]:
    """Two or three schedules at one rate, each of which takes over after a few steps."""
    count, lr, shared = 2 + data.one() % 2, data.pick(*_RATES), data.one() % 4
    plain = [name for name in _CHOICES if "lr" in _CHOICES[name]]
    schedules, milestones, start = [], [], 0
    for _ in range(count):
        name, length = plain[data.one() % len(plain)], 1 + data.one() % 6
        given, _ = _one(name, Bytes(bytes([0, 0, *data.take(5).tolist(), 0, 0, 0, 0])))
        if length > 4:  # a warm-up of its own, which ends before the next schedule takes over
            given["warmup_steps"] = length - 3
        schedules.append({"name": name, **given, "lr": lr if shared else given["lr"]})
        start += length
        milestones.append(start)
    return {"schedules": schedules, "milestones": milestones[:-1]}, start + 2


@dataclass
class Stalled:
    """Losses of a run, (n,), the rate that it begins with, and the hyperparameters of `plateau`."""

    val_losses: Array
    lr: float
    hyperparameters: dict[str, Any]


_PLATEAU = {
    "patience": (1, 0, 2, 3, None), "factor": (0.5, None, 0.1, 0.25), "cooldown": (None, 1, 2, 0, 3), "mode": (None, "min", "max"),
    "threshold": (0.0, None, 0.25, 0.1, 1e-4), "threshold_mode": (None, "abs", "rel"), "min_lr": (None, 0.25, 0.0, 1e-3),
    "eps": (None, 0.25, 0.0, 1e-2),
}  # fmt: skip

_LOSSES = ("levels", "near", "close", "below zero", "falling", "real", "below zero", "below zero")


def stalled_runs(*drawn: str, spoiled: bool = False, **own: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Logs of losses in which most do not improve; `drawn` names the hyperparameters that are drawn, besides patience and factor.

    Other choices may be given for some; in `spoiled` logs NaN or infinity replaces some of the losses.
    """
    keys = ("patience", "factor", "threshold", *drawn)
    choices = {key: _PLATEAU[key] for key in keys} | ({} if "threshold" in drawn else {"threshold": (0.0,)}) | own
    return Strategy(functools.partial(_stalled, choices, spoiled), 3 + 10 + 3 * WIDTH)()


def _stalled(choices: dict[str, tuple[Any, ...]], spoiled: bool, data: Bytes, form: Format) -> Stalled:
    n, lr, of_kind = 4 + data.one() % 24, data.pick(*_RATES), data.one()
    own, wait = data.take(10), data.take(2 * WIDTH)
    given = {key: some[int(k) % len(some)] for (key, some), k in zip(choices.items(), own, strict=False)}
    kinds = _LOSSES if given["threshold"] is not None else ("levels", "close", "below zero", "close")
    bytes_ = np.resize(wait, n).astype(np.float64)
    losses = {
        "levels": 1 + bytes_ % 4,
        "near": 4 * (1 + (bytes_ % 8) / 16),
        "falling": 64 * 0.5 ** np.cumsum(bytes_ % 5 == 0),
        "real": np.abs(numbers_of(np.resize(wait, n), "real", form)),
        "below zero": -4 * (1 + (bytes_ % 8) / 16),
        "close": 4 - np.arange(n) * 2.0**-14,  # each improves, but not by the default threshold
    }[kinds[of_kind % len(kinds)]]
    log = cast(losses, form)
    if spoiled:
        where = np.resize(data.take(WIDTH), n)
        log[where % 3 == 1] = math.nan if where[0] % 2 == 0 else math.inf
    return Stalled(log, lr, {key: x for key, x in given.items() if x is not None})


@dataclass
class Clipped:
    """K gradients of any shapes, and the most that their norm may be."""

    grads: list[Array]
    max_norm: float
    norm_type: float


_SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((1,), (1,)), ((2,),), ((1,),), ((2,), (2,)), ((2,), (), (2,)), ((2, 2), (1,)), ((), (2, 1)), ((3,), (40,)), ((5,), (3, 7)),
    ((129,), (130,)), ((2, 100),), ((150,), (1,)), ((140,),),
)  # fmt: skip
_KINDS = ("few", "whole", "quarters", "real", "spread", "readings", "large", "small", "whole", "few")
_SHARES = (0.5, 0.25, 2.0, 1.0, 0.1, 0.75, 0.999, 1.001, 8.0, 1e-3, 0.0)
"""The limits, as multiples of the largest magnitude or of the norm."""


def _gradients(data: Bytes, form: Format) -> list[Array]:
    shapes, kind = data.pick(*_SHAPES), data.pick(*_KINDS)
    sizes = [math.prod(shape) for shape in shapes]
    numbers = cast(numbers_of(np.resize(data.take(WIDTH), sum(sizes)), kind, form), form)
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _limit(grads: list[Array], data: Bytes, *, sharp: bool = True) -> float:
    """A limit near the norm, or exactly the norm where that is a whole number; few digits where it is far away."""
    norm = math.sqrt(sum(float(np.sum(np.square(g.astype(np.float64)))) for g in grads))
    share = data.pick(*_SHARES)
    limit = norm * share if norm else share
    return float(f"{limit:.3g}") if sharp and share not in (0.999, 1.001, 1.0) else limit


@strategy(5 + WIDTH)
def clipped_gradients(data: Bytes, form: Format) -> Clipped:
    """Gradients whose norm lies below, at and above the limit; all norms."""
    norm_type = data.pick(2.0, 2.0, math.inf, 1.0)
    grads = _gradients(data, form)
    return Clipped(grads, _limit(grads, data), norm_type)


@strategy(6 + WIDTH)
def short_gradients(data: Bytes, form: Format) -> Clipped:
    """Gradients whose norm is clearly below the limit, also where 1e-6 is added to it."""
    case, times = clipped_gradients.decode(data, form), data.pick(1.25, 2.0, 64.0, math.inf)
    total = sum(float(np.sum(np.abs(g.astype(np.float64)))) for g in case.grads)
    return Clipped(case.grads, times * (total or 1.0) + 1e-5, case.norm_type)


@strategy(6 + WIDTH)
def gradients_of_zero(data: Bytes, form: Format) -> Clipped:
    """Gradients that are all zero, and any limit."""
    case = clipped_gradients.decode(data, form)
    return Clipped([0 * g for g in case.grads], data.pick(0.0, 1.0, 1e-3, math.inf), case.norm_type)


@strategy(8 + WIDTH)
def spoiled_gradients(data: Bytes, form: Format) -> tuple[Clipped, float]:
    """The same, with NaN or infinity in one place; and that number."""
    case = clipped_gradients.decode(data, form)
    value, k, place = data.pick(math.nan, math.inf, -math.inf), data.one() % len(case.grads), data.one()
    case.grads[k].reshape(-1)[place % case.grads[k].size] = value
    return case, value


@dataclass
class Shards:
    """Gradients on R ranks, R lists of K arrays; which of them are replicated; and the most that the norm may be."""

    shards: list[list[Array]]
    replicated: list[bool]
    max_norm: float


@strategy(6 + WIDTH + 8)
def sharded_gradients(data: Bytes, form: Format) -> Shards:
    """One to four ranks, each with its part of some gradients and a copy of others."""
    n_ranks, n_arrays, kind = (2, 1, 3, 4)[data.one() % 4], 1 + data.one() % 3, data.pick(*_KINDS)
    flags, sizes = data.one(), data.take(8)
    drawn_bytes = np.resize(data.take(WIDTH), n_ranks * n_arrays * 4)
    numbers = iter(cast(numbers_of(drawn_bytes, kind, form), form).reshape(n_ranks, n_arrays, 4))
    replicated = [bool(flags >> k & 1) for k in range(n_arrays)]
    shards = [[row[k, : 1 + int(sizes[k]) % 4].copy() for k in range(n_arrays)] for row in numbers]
    for k in np.flatnonzero(replicated):
        for rank in shards[1:]:
            rank[k] = shards[0][k].copy()
    return Shards(shards, replicated, _limit([g for rank in shards for g in rank], data))

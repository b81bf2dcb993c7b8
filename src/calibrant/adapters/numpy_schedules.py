"""Schedules and clipping in plain NumPy: the rates of all steps at once."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.exact import PLATEAU, SCHEDULES
from calibrant.protocol.errors import nearest

Array = Any
"""NumPy arrays and, where an array has no axes, NumPy scalars."""


def _wave(high: Any, low: Any, share: Array) -> Array:
    weight = 0.5 + 0.5 * np.cos(np.pi * share)
    return high * weight + low * (1 - weight)


def _cosine_restarts(t: Array, h: Any) -> Array:
    lengths = [h.T_0]
    while sum(lengths) <= t.size:
        lengths.append(lengths[-1] * h.T_mult)
    shares = [np.arange(length) / length for length in lengths]
    return _wave(h.lr, h.eta_min, np.concatenate(shares)[: t.size])


def _one_cycle(t: Array, h: Any) -> Array:
    start, rise = h.max_lr / h.div_factor, h.pct_start * h.total_steps
    ends = [0.0, rise - 1, *[2 * rise - 2] * h.three_phase, h.total_steps - 1.0]
    heights = [start, h.max_lr, *[start] * h.three_phase, start / h.final_div_factor]
    if h.anneal_strategy == "linear":
        return np.interp(t, ends, heights)
    place = np.clip(np.searchsorted(ends, t, side="left"), 1, len(ends) - 1)
    begin, end = np.array(ends)[place - 1], np.array(ends)[place]
    return _wave(np.array(heights)[place - 1], np.array(heights)[place], (t - begin) / (end - begin))


def _cyclic(t: Array, h: Any) -> Array:
    up, down = h.step_size_up, h.step_size_down or h.step_size_up
    cycle, place = np.divmod(t, up + down)
    share = np.where(place <= up, place / up, (up + down - place) / down)
    scale = {"triangular": np.ones_like(share), "triangular2": np.power(0.5, cycle), "exp_range": np.power(h.gamma, t)}
    return h.base_lr + (h.max_lr - h.base_lr) * share * scale[h.mode]


def _sequence(t: Array, h: Any) -> Array:
    schedules, milestones = h.schedules, h.milestones
    if len(milestones) != len(schedules) - 1 or any(np.diff([0, *milestones]) <= 0):
        raise ValueError(f"milestones is {milestones}: there are {len(schedules)} schedules")
    lengths = np.diff([0, *milestones, max(t.size, *milestones, 0)]) if milestones else [t.size]
    parts = [
        schedule(one["name"], {key: x for key, x in one.items() if key != "name"}, int(length))
        for one, length in zip(schedules, lengths, strict=True)
    ]
    return np.concatenate(parts)[: t.size]


_RULES: dict[str, Callable[[Array, Any], Array]] = {
    "constant": lambda t, h: np.where(t < h.total_iters, h.factor * h.lr, h.lr),
    "linear": lambda t, h: np.interp(t, [0, h.total_iters], [h.lr * h.start_factor, h.lr * h.end_factor]),
    "step": lambda t, h: h.lr * np.power(h.gamma, t // h.step_size),
    "multistep": lambda t, h: h.lr * np.power(h.gamma, np.searchsorted(np.sort(h.milestones), t, side="right")),
    "exponential": lambda t, h: h.lr * np.power(h.gamma, t),
    "polynomial": lambda t, h: h.lr * np.power(np.maximum(h.total_iters - t, 0) / h.total_iters, h.power),
    "inverse_sqrt": lambda t, h: h.lr * np.sqrt(h.timescale / (t + h.timescale)),
    "cosine": lambda t, h: _wave(h.lr, h.eta_min, np.minimum(t, h.T_max) / h.T_max),
    "cosine_restarts": _cosine_restarts,
    "one_cycle": _one_cycle,
    "cyclic": _cyclic,
    "sequence": _sequence,
}


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Array:
    """The rates of the first n_steps steps, (n_steps,)."""
    if name not in _RULES:
        raise ValueError(f"there is no schedule {name!r}{nearest(name, list(_RULES))}")
    known, settings = SCHEDULES[name], dict(hyperparameters)
    n_warm = settings.pop("warmup_steps", 0)
    for key in settings:
        if key not in known:
            raise ValueError(f"{name} has no {key!r}{nearest(key, list(known))}")
    h = {**known, **settings}
    missing = [key for key, value in h.items() if value is None and key != "step_size_down"]
    if missing:
        raise ValueError(f"{name} needs {', '.join(missing)}")
    _settings(n_steps, {"warmup_steps": n_warm, **settings})
    rates = _RULES[name](np.arange(max(n_steps - n_warm, 1)), SimpleNamespace(**h))
    return np.concatenate([np.arange(1, n_warm + 1) / max(n_warm, 1) * rates[0], rates])[:n_steps]


_COUNTS = ("total_iters", "step_size", "T_max", "T_0", "T_mult", "total_steps", "step_size_up", "step_size_down")


def _settings(n_steps: int, settings: dict[str, Any]) -> None:
    """Raise ValueError for hyperparameters without meaning."""
    words = {"anneal_strategy": ("cos", "linear"), "mode": ("triangular", "triangular2", "exp_range")}
    for key, value in {"n_steps": n_steps, **settings}.items():
        known = key not in words or value in words[key]
        numbers = np.array(value if key == "milestones" else [value] if isinstance(value, (int, float)) else [])
        least = 1 if key in _COUNTS else 0
        whole = key not in (*_COUNTS, "n_steps", "warmup_steps") or np.all(numbers == np.floor(numbers))
        if not (known and whole and np.all(np.isfinite(numbers)) and np.all(numbers >= least)):
            raise ValueError(f"{key} is {value!r}, which is out of its range")


def plateau(val_losses: Array, lr: float, hyperparameters: dict[str, Any]) -> Array:
    """The rate after each loss, (n,)."""
    if unknown := hyperparameters.keys() - PLATEAU.keys():
        raise ValueError(f"plateau has no {', '.join(unknown)}")
    h = SimpleNamespace(**PLATEAU | hyperparameters)
    numbers = [lr, h.factor, h.patience, h.threshold, h.cooldown, h.min_lr, h.eps]
    words = h.mode in ("min", "max") and h.threshold_mode in ("rel", "abs")
    if not words or h.factor >= 1 or not all(np.isfinite(x) and x >= 0 for x in numbers):
        raise ValueError(f"hyperparameters of plateau are out of range: {h}")
    rates, last_good, quiet_until = np.empty(len(val_losses)), -1, 0
    best: float | None = None
    for k, loss in enumerate(val_losses.tolist()):
        margin = h.threshold * (1.0 if h.threshold_mode == "abs" else best or 0.0)
        if np.isfinite(loss) and (best is None or (loss < best - margin if h.mode == "min" else loss > best + margin)):
            best, last_good = loss, k
        if k < quiet_until:
            last_good = k
        if k - last_good > h.patience:
            lower = max(lr * h.factor, h.min_lr)
            lr = lower if lr - lower > h.eps else lr
            last_good, quiet_until = k, k + 1 + h.cooldown
        rates[k] = lr
    return rates


# Clipping


def clip_by_norm(grads: list[Array], max_norm: float, norm_type: float) -> tuple[Array, list[Array]]:
    """The norm of all gradients, and the gradients scaled to max_norm where it is exceeded."""
    _limit(max_norm)
    norm = _norm(grads, norm_type)
    return norm, [_shortened(g, norm, max_norm) for g in grads]


def clip_by_value(grads: list[Array], limit: float) -> list[Array]:
    """The gradients with every number between -limit and limit."""
    _limit(limit)
    # For bfloat16 NumPy's clip answers in float32.
    return [np.clip(g, *np.array([-limit, limit]).astype(g.dtype)).astype(g.dtype) for g in grads]


def clip_shards(shards: list[list[Array]], replicated: list[bool], max_norm: float) -> tuple[Array, list[list[Array]]]:
    """The same over several ranks; what is replicated counts on the first one."""
    _limit(max_norm)
    counted = [
        g
        for rank, grads in enumerate(shards)
        for g, whole in zip(grads, replicated, strict=True)
        if not (rank and whole)
    ]
    norm = _norm(counted, 2.0)
    return norm, [[_shortened(g, norm, max_norm) for g in grads] for grads in shards]


def _norm(grads: list[Array], norm_type: float) -> Array:
    """The norm; of numbers over their largest, so that no square overflows."""
    sizes = np.concatenate([np.abs(g).ravel() for g in grads])
    largest = np.max(sizes)
    if norm_type == np.inf or largest == 0 or not np.isfinite(largest):
        return largest
    if norm_type == 1:
        return np.sum(sizes)
    return largest * np.sqrt(np.sum(np.square(sizes / largest)))


def _shortened(grad: Array, norm: Array, max_norm: float) -> Array:
    with np.errstate(all="ignore"):
        return grad.copy() if norm <= max_norm else grad * (np.asarray(max_norm).astype(grad.dtype) / norm)


def _limit(limit: float) -> None:
    if not limit >= 0:
        raise ValueError(f"the limit is {limit}: it must not be negative or NaN")

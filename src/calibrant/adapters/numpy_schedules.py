"""Schedules and clipping in plain NumPy: the rates of all steps at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.protocol.errors import nearest

Array = Any
"""NumPy arrays and, where an array has no axes, NumPy scalars."""


def _constant(t: Array, lr: float, factor: float = 1 / 3, total_iters: int = 5) -> Array:
    return np.where(t < total_iters, factor * lr, lr)


def _linear(t: Array, lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Array:
    return np.interp(t, [0, total_iters], [lr * start_factor, lr * end_factor])


def _step(t: Array, lr: float, step_size: int, gamma: float = 0.1) -> Array:
    return lr * np.power(gamma, t // step_size)


def _multistep(t: Array, lr: float, milestones: list[int], gamma: float = 0.1) -> Array:
    return lr * np.power(gamma, np.searchsorted(np.sort(milestones), t, side="right"))


def _exponential(t: Array, lr: float, gamma: float) -> Array:
    return lr * np.power(gamma, t)


def _polynomial(t: Array, lr: float, total_iters: int = 5, power: float = 1.0) -> Array:
    return lr * np.power(np.maximum(total_iters - t, 0) / total_iters, power)


def _inverse_sqrt(t: Array, lr: float, timescale: float) -> Array:
    return lr * np.sqrt(timescale / (t + timescale))


def _cosine(t: Array, lr: float, T_max: int, eta_min: float = 0.0) -> Array:
    return _wave(lr, eta_min, np.minimum(t, T_max) / T_max)


def _cosine_restarts(t: Array, lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Array:
    lengths = [T_0]
    while sum(lengths) <= t.size:
        lengths.append(lengths[-1] * T_mult)
    shares = [np.arange(length) / length for length in lengths]
    return _wave(lr, eta_min, np.concatenate(shares)[: t.size])


def _wave(high: float, low: float, share: Array) -> Array:
    weight = 0.5 + 0.5 * np.cos(np.pi * share)
    return high * weight + low * (1 - weight)


def _one_cycle(
    t: Array,
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Array:
    start = max_lr / div_factor
    ends = [0.0, pct_start * total_steps - 1, *[2 * pct_start * total_steps - 2] * three_phase, total_steps - 1.0]
    heights = [start, max_lr, *[start] * three_phase, start / final_div_factor]
    if anneal_strategy == "linear":
        return np.interp(t, ends, heights)
    place = np.clip(np.searchsorted(ends, t, side="left"), 1, len(ends) - 1)
    begin, end = np.array(ends)[place - 1], np.array(ends)[place]
    return _wave(np.array(heights)[place - 1], np.array(heights)[place], (t - begin) / (end - begin))


def _cyclic(
    t: Array,
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Array:
    down = step_size_down or step_size_up
    cycle, place = np.divmod(t, step_size_up + down)
    share = np.where(place <= step_size_up, place / step_size_up, (step_size_up + down - place) / down)
    scale = {"triangular": np.ones_like(share), "triangular2": np.power(0.5, cycle), "exp_range": np.power(gamma, t)}
    return base_lr + (max_lr - base_lr) * share * scale[mode]


def _sequence(t: Array, schedules: list[dict[str, Any]], milestones: list[int]) -> Array:
    if len(milestones) != len(schedules) - 1 or any(np.diff([0, *milestones]) <= 0):
        raise ValueError(f"milestones is {milestones}: there are {len(schedules)} schedules")
    lengths = np.diff([0, *milestones, max(t.size, *milestones, 0)]) if milestones else [t.size]
    parts = [
        schedule(one["name"], {key: x for key, x in one.items() if key != "name"}, int(length))
        for one, length in zip(schedules, lengths, strict=True)
    ]
    return np.concatenate(parts)[: t.size]


_RULES: dict[str, Callable[..., Array]] = {
    rule.__name__[1:]: rule
    for rule in (
        *(_constant, _linear, _step, _multistep, _exponential, _polynomial),
        *(_inverse_sqrt, _cosine, _cosine_restarts, _one_cycle, _cyclic, _sequence),
    )
}


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Array:
    """The rates of the first n_steps steps, (n_steps,)."""
    if name not in _RULES:
        raise ValueError(f"there is no schedule {name!r}{nearest(name, list(_RULES))}")
    settings = dict(hyperparameters)
    n_warm = settings.pop("warmup_steps", 0)
    known = inspect.signature(_RULES[name]).parameters
    for key in settings:
        if key not in known:
            raise ValueError(f"{name} has no {key!r}{nearest(key, list(known))}")
    missing = [key for key, one in known.items() if key != "t" and one.default is one.empty and key not in settings]
    if missing:
        raise ValueError(f"{name} needs {', '.join(missing)}")
    _settings(n_steps, {"warmup_steps": n_warm, **settings})
    rates = _RULES[name](np.arange(max(n_steps - n_warm, 1)), **settings)
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
    rates = np.empty(len(val_losses))
    for k, rate in enumerate(_Plateau(lr, **hyperparameters).rates(val_losses.tolist())):
        rates[k] = rate
    return rates


class _Plateau:
    """A rate, and what it remembers of the losses."""

    def __init__(self, lr: float, mode: str = "min", factor: float = 0.1, patience: int = 10, **others: Any) -> None:
        known: dict[str, Any] = {"threshold": 1e-4, "threshold_mode": "rel", "cooldown": 0, "min_lr": 0.0, "eps": 1e-8}
        if others.keys() - known:
            raise ValueError(f"plateau has no {', '.join(others.keys() - known)}")
        self.others = known | others
        numbers = [lr, factor, patience, *(x for key, x in self.others.items() if key != "threshold_mode")]
        words = mode in ("min", "max") and self.others["threshold_mode"] in ("rel", "abs")
        if not words or factor >= 1 or not all(np.isfinite(x) and x >= 0 for x in numbers):
            raise ValueError(f"hyperparameters of plateau are out of range: {numbers}")
        self.lr, self.sign, self.factor, self.patience = lr, -1 if mode == "max" else 1, factor, patience

    def rates(self, losses: list[float]) -> Any:
        """The rate after each loss."""
        best, last_good, quiet_until = None, -1, 0
        for k, loss in enumerate(losses):
            if np.isfinite(loss) and (best is None or self._better(loss, best)):
                best, last_good = loss, k
            if k < quiet_until:
                last_good = k
            if k - last_good > self.patience:
                lower = max(self.lr * self.factor, self.others["min_lr"])
                if self.lr - lower > self.others["eps"]:
                    self.lr = lower
                last_good, quiet_until = k, k + 1 + self.others["cooldown"]
            yield self.lr

    def _better(self, loss: float, best: float) -> bool:
        margin = self.others["threshold"] * (best if self.others["threshold_mode"] == "rel" else 1.0)
        return bool(loss < best - margin if self.sign > 0 else loss > best + margin)


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

"""What stands around an optimizer, in plain NumPy: averages, groups, pauses, windows, scaled losses, mini-batches."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from calibrant.adapters.numpy_optimizers import Optimizer
from calibrant.adapters.numpy_schedules import clip_by_norm

Array = Any
"""NumPy arrays."""


def average(name: str, hyperparameters: dict[str, Any], path: list[list[Array]]) -> list[list[Array]]:
    """The average of the parameters after each step of a path."""
    usual = {"ema": {"decay": 0.999, "bias_correction": False, "warmup": False}, "swa": {}}
    if name not in usual:
        raise ValueError(f"there is no average {name!r}")
    if unknown := sorted(set(hyperparameters) - {*usual[name], "every"}):
        raise ValueError(f"{name} has no {unknown[0]!r}")
    h: dict[str, Any] = {"every": 1} | usual[name] | hyperparameters
    decay, corrected = h.get("decay", 0.0), h.get("bias_correction", False)
    if not 0 <= decay <= 1 or h["every"] < 1 or (corrected and (h["warmup"] or decay == 1)):
        raise ValueError(f"these hyperparameters of {name} mean nothing: {h}")
    means = [np.zeros_like(p) for p in path[0]] if path else []
    averages: list[list[Array]] = []
    for count, step in enumerate(path[:: h["every"]], start=1):
        fresh = 1 / count
        if name == "ema" and (corrected or count > 1):
            fresh = 1 - (min(decay, count / (count + 9)) if h["warmup"] else decay)
        # a difference would be inf - inf before the first
        means = [
            p.copy() if fresh == 1 else (m + (p - m) * fresh).astype(p.dtype) for m, p in zip(means, step, strict=True)
        ]
        shown = [(m / (1 - decay**count)).astype(m.dtype) if corrected else m for m in means]
        averages += [[np.array(m) for m in shown] for _ in range(h["every"])]
    return averages[: len(path)]


def optimize_groups(
    name: str, hyperparameters: list[dict[str, Any]], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step, each by hyperparameters of its own."""
    if len(hyperparameters) != len(params):
        raise ValueError(f"{len(hyperparameters)} groups are given for {len(params)} parameters")
    optimizers = [Optimizer(name, h, [p]) for h, p in zip(hyperparameters, params, strict=True)]
    return [[one.step([g])[0] for one, g in zip(optimizers, step, strict=True)] for step in grads]


def resume(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Array],
    grads: list[list[Array | None]],
    after: int,
    changed: dict[str, Any],
) -> list[list[Array]]:
    """The parameters after each step; a second optimizer loads the state of the first and goes on."""
    first = Optimizer(name, hyperparameters, params)
    path = [first.step(step) for step in grads[:after]]
    second = Optimizer(name, hyperparameters | changed, first.params)
    second.lr, second.used, memories = copy.deepcopy((first.lr, first.used, [vars(mover) for mover in first.movers]))
    for mover, memory in zip(second.movers, memories, strict=True):
        vars(mover).update(memory)
    return path + [second.step(step) for step in grads[after:]]


def accumulate_and_step(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array]], every: int
) -> list[list[Array]]:
    """The parameters after each micro-batch, of which each window brings one step."""
    if every < 1:
        raise ValueError(f"every is {every}: it must be positive")
    optimizer, path = Optimizer(name, hyperparameters, params), []
    total: list[Any] = []
    for number, step in enumerate(grads, start=1):
        size = min(every, len(grads) - (number - 1) // every * every)
        parts = [np.asarray(g / g.dtype.type(size)) for g in step]
        total = [np.asarray(t + g) for t, g in zip(total, parts, strict=True)] if total else parts
        if number % every == 0 or number == len(grads):
            optimizer.step(total)
            total = []
        path.append(optimizer.now())
    return path


def scaled_steps(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Array],
    grads: list[list[Array]],
    scale: dict[str, Any],
    max_norm: float | None,
) -> list[list[Array]]:
    """After each step the parameters, and the scale of the next."""
    h = {"init_scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000} | scale
    if not 0 < h["init_scale"] < math.inf or (max_norm is not None and not max_norm >= 0):
        raise ValueError(f"the scale begins at {h['init_scale']}, and max_norm is {max_norm}")
    optimizer, path, now, good = Optimizer(name, hyperparameters, params), [], h["init_scale"], 0
    for step in grads:
        with np.errstate(all="ignore"):
            scaled = [np.asarray(g * g.dtype.type(now)) for g in step]
        if all(np.isfinite(g).all() for g in scaled):
            found = [np.asarray(g / g.dtype.type(now)) for g in scaled]
            optimizer.step(found if max_norm is None else clip_by_norm(found, max_norm, 2.0)[1])
            good += 1
            if good % h["growth_interval"] == 0:
                now *= h["growth_factor"]
        else:
            now, good = now * h["backoff_factor"], 0
        path.append([*optimizer.now(), np.array(now, dtype=params[0].dtype)])
    return path


def minibatches(
    n_samples: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool, epochs: int
) -> list[list[Array]]:
    """The rows of each batch of each epoch, in NumPy's random orders."""
    if n_samples < 1 or batch_size < 1 or epochs < 0:
        raise ValueError(f"{epochs} epochs of batches of {batch_size} of {n_samples} samples cannot be")
    generator, found = np.random.default_rng(seed), []
    for _ in range(epochs):
        rows = generator.permutation(n_samples) if shuffle else np.arange(n_samples)
        stop = n_samples - n_samples % batch_size * drop_last
        found.append([rows[start : start + batch_size] for start in range(0, stop, batch_size)])
    return found

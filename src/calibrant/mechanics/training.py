"""Training: what stands around the steps of an optimizer.

K parameters are tensors of any shapes; a path, and the gradients of T steps, are T lists of K tensors. In `train_minibatches` t_u
(readings, unknown units) and t_c (°C) are columns of n samples, params = [w, b] is (2,), and losses are scalars in squared °C.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from calibrant.mechanics.clipping import clip_by_norm
from calibrant.mechanics.data import require_data
from calibrant.mechanics.gradients import value_and_grad
from calibrant.mechanics.optimizers import Stepper

AVERAGES: dict[str, dict[str, Any]] = {
    "ema": {"decay": 0.999, "bias_correction": False, "warmup": False, "every": 1},
    "swa": {"every": 1},
}
"""The averages, each with its hyperparameters and their defaults."""

SCALE = {"init_scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000}
"""How a scale begins and changes, by default."""

Path = Sequence[Sequence[Tensor]]


def average(name: str, hyperparameters: Mapping[str, Any], path: Path) -> list[list[Tensor]]:
    """The average of the parameters after each step of a path; it takes up every so-many-th step.  [average.every]

    `ema` keeps a fraction of the old average [average.ema], which may warm up [average.warm-up]; `swa` weighs all alike [average.swa].
    Raises ValueError as `require_average` does.
    """
    h = require_average(name, hyperparameters)
    corrected = h.get("bias_correction", False)
    mean = [torch.zeros_like(p) for p in path[0]] if path else []
    averages, taken, left = [], 0, 1.0
    for i, step in enumerate(path):
        if i % h["every"] == 0:
            keep = h["decay"] if corrected else kept(name, h, taken)
            mean = [keep * old + (1 - keep) * new for old, new in zip(mean, step, strict=True)]
            taken, left = taken + 1, left * keep
        averages.append([m / (1 - left) if corrected else m.clone() for m in mean])  # [average.bias-correction]
    return averages


def kept(name: str, h: Mapping[str, Any], taken: int) -> float:
    """The fraction of the old average that stays once `taken` steps are in it: nothing of an empty one."""
    if name == "swa" or taken == 0:
        return taken / (taken + 1)
    return float(min(h["decay"], (1 + taken) / (10 + taken)) if h["warmup"] else h["decay"])


def require_average(name: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """All hyperparameters of an average. Raises ValueError for an unknown one and for a value that means nothing.  [average.unknown, average.invalid]"""
    unknown = sorted(set(hyperparameters) - set(AVERAGES.get(name, {})))
    if name not in AVERAGES or unknown:
        raise ValueError(f"there is no average {name!r}" if name not in AVERAGES else f"{name} has no {unknown[0]!r}")
    h = AVERAGES[name] | dict(hyperparameters)
    if not 0 <= h.get("decay", 0) <= 1 or h["every"] < 1:
        raise ValueError(
            f"decay is {h.get('decay')} and every is {h['every']}: a fraction of 1, and 1 or more, are due"
        )
    if h.get("bias_correction") and (h["warmup"] or h["decay"] == 1):
        raise ValueError("bias_correction divides by 1 - decay ** t: it needs a constant decay below 1")
    return h


def optimize_groups(
    name: str, hyperparameters: Sequence[Mapping[str, Any]], params: Sequence[Tensor], grads: Path
) -> list[list[Tensor]]:
    """The K parameters after each of T steps, each by hyperparameters of its own.  [group.own]

    Raises ValueError unless there are as many hyperparameters as parameters [group.invalid], and as `Optimizer` does.
    """
    if len(hyperparameters) != len(params):
        raise ValueError(f"there are {len(hyperparameters)} groups of hyperparameters for {len(params)} parameters")
    steppers = [Stepper(name, h, [p]) for h, p in zip(hyperparameters, params, strict=True)]
    return [[s.step([g])[0] for s, g in zip(steppers, step, strict=True)] for step in grads]


def resume(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Tensor],
    grads: Path,
    after: int,
    changed: Mapping[str, Any],
) -> list[list[Tensor]]:
    """The K parameters after each of T steps, of which all but the first `after` are made by a second optimizer.  [resume.same-steps]

    It is made with changed hyperparameters, and loads what the first one saved.
    """
    stepper = Stepper(name, hyperparameters, params)
    path = [stepper.step(step) for step in grads[:after]]
    state, stepper = stepper.saved(), Stepper(name, {**hyperparameters, **changed}, stepper.leaves)
    stepper.load(state)
    return path + [stepper.step(step) for step in grads[after:]]


def accumulate_and_step(
    name: str, hyperparameters: Mapping[str, Any], params: Sequence[Tensor], grads: Path, every: int
) -> list[list[Tensor]]:
    """The K parameters after each of T micro-batches: the last of each window brings a step along the window's mean.  [window.step]

    The last window may be shorter [window.last]. Raises ValueError unless every is 1 or more [window.invalid].
    """
    if every < 1:
        raise ValueError(f"every is {every}: a window needs a micro-batch")
    stepper, path = Stepper(name, hyperparameters, params), []
    for start in range(0, len(grads), every):
        window = grads[start : start + every]
        path += [stepper.now() for _ in window[1:]]
        path.append(stepper.step([torch.stack(g).sum(0) / len(window) for g in zip(*window, strict=True)]))
    return path


def scaled_steps(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Tensor],
    grads: Path,
    scale: Mapping[str, Any],
    max_norm: float | None,
) -> list[list[Tensor]]:
    """After each of T steps the K parameters, and the scale of the next step.  [scale.growth]

    The gradients of the scaled loss are divided by the scale [scale.unscaled], clipped to `max_norm` [scale.clip], and followed. If
    one of them is not finite, the step is skipped [scale.skip]. Raises ValueError as `require_scale` does.
    """
    h, stepper, path = require_scale(scale, max_norm), Stepper(name, hyperparameters, params), []
    now, streak = h["init_scale"], 0
    for step in grads:
        scaled = [g * now for g in step]  # as the backward pass of the scaled loss leaves them
        if all(bool(g.isfinite().all()) for g in scaled):
            found = [g / now for g in scaled]
            stepper.step(found if max_norm is None else clip_by_norm(found, max_norm)[1])
            streak += 1
        else:
            now, streak = now * h["backoff_factor"], 0
        if streak == h["growth_interval"]:
            now, streak = now * h["growth_factor"], 0
        path.append([*stepper.now(), torch.tensor(now, dtype=params[0].dtype)])
    return path


def require_scale(scale: Mapping[str, Any], max_norm: float | None) -> dict[str, Any]:
    """How the scale begins and changes. Raises ValueError for a scale or a norm that means nothing.  [scale.invalid]"""
    h = SCALE | dict(scale)
    if not 0 < h["init_scale"] < math.inf:
        raise ValueError(f"init_scale is {h['init_scale']}: it must be positive and finite")
    if max_norm is not None and not max_norm >= 0:
        raise ValueError(f"max_norm is {max_norm}: it cannot be negative")
    return h


def minibatches(
    n_samples: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool, epochs: int
) -> list[list[Tensor]]:
    """The rows of each batch of each epoch.  [minibatch.partition, minibatch.sizes]

    One generator orders all epochs anew, each in its own way [minibatch.shuffled, minibatch.seeded, minibatch.global-state]; without it
    the rows come in their order [minibatch.order]. Raises ValueError unless there are samples, and room in a batch [minibatch.invalid].
    """
    if n_samples < 1 or batch_size < 1 or epochs < 0:
        raise ValueError(
            f"n_samples is {n_samples}, batch_size {batch_size}, epochs {epochs}: 1, 1 and 0 are the least"
        )
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(epochs):
        rows = torch.randperm(n_samples, generator=generator) if shuffle else torch.arange(n_samples)
        batches.append([b for b in rows.split(batch_size) if len(b) == batch_size or not drop_last])
    return batches


def train_minibatches(
    optimizer: Mapping[str, Any], params: Tensor, t_u: Tensor, t_c: Tensor, batches: Sequence[Sequence[Sequence[int]]]
) -> tuple[Tensor, list[Tensor]]:
    """The parameters after a step for each batch [minibatch.steps], and the loss of each epoch: its samples' mean [minibatch.loss]."""
    require_data(t_u, t_c)
    stepper = Stepper(optimizer["name"], {key: x for key, x in optimizer.items() if key != "name"}, [params])
    losses = []
    for epoch in batches:
        total = torch.zeros((), dtype=t_u.dtype)
        for rows in epoch:
            picked = torch.as_tensor(rows, dtype=torch.int64)
            loss, grad = value_and_grad(stepper.leaves[0], t_u[picked], t_c[picked])
            total += loss * len(picked)
            stepper.step([grad])
        losses.append(total / sum(map(len, epoch)))
    return stepper.now()[0], losses

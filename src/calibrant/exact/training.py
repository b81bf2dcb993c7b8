"""The true numbers of what stands around an optimizer: averages of its path, groups, pauses, windows, scaled losses, mini-batches.

Everything that steps uses the rules of `exact.optimizers`. An impostor changes a part of an `Averager`, of a `Walk` or of a `Scaler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.exact import scalars
from calibrant.exact.clipping import clip_by_norm
from calibrant.exact.formats import Format, format_of, loss_scale
from calibrant.exact.gradients import gradient
from calibrant.exact.loss import loss_fn, model
from calibrant.exact.numbers import Exact, concatenate, of
from calibrant.exact.numbers import constant as exactly
from calibrant.exact.optimizers import DEFAULTS, RULES, Follow, Frame, optimize
from calibrant.exact.scalars import Number, complement, constant, either, minimum, mix, product, times_power

__all__ = [
    "AVERAGES",
    "SCALE",
    "Scaler",
    "accumulate_and_step",
    "average",
    "batch_sizes",
    "optimize_groups",
    "resume",
    "scaled_steps",
    "train_minibatches",
]

Path = Sequence[Sequence[Any]]
"""T lists of K arrays, of NumPy's or exact."""

# Averages of the path

AVERAGES: dict[str, dict[str, Any]] = {
    "ema": {"decay": 0.999, "bias_correction": False, "warmup": False, "every": 1},
    "swa": {"every": 1},
}
"""The averages, each with its hyperparameters and their defaults."""


class Averager:
    """The frame in which an average is walked, number by number: which steps it takes up, and how much of the old average it keeps."""

    def __init__(self, name: str, hyperparameters: Mapping[str, Any], form: Format) -> None:
        if (
            name not in AVERAGES
            or set(hyperparameters) - set(AVERAGES[name])
            or not 0 <= hyperparameters.get("decay", 0) <= 1
        ):
            raise ValueError(f"there is no average {name} with {hyperparameters}")
        self.name = name
        self.h = {**AVERAGES[name], **hyperparameters}
        self.form = form
        self.corrected = bool(self.h.get("bias_correction"))

    def takes(self, i: int) -> bool:
        """Whether the average takes up step i, from 0."""
        return bool(i % self.h["every"] == 0)

    def decay(self) -> Number:
        """The decay as it is given."""
        return scalars.hyperparameter(self.h["decay"], self.form.scalars)

    def keep(self, s: SimpleNamespace, n: int) -> Number:
        """The part of the old average that the n-th update keeps, from 1."""
        if self.name == "swa":
            return product([constant(float(n), self.form)], [constant(n + 1.0, self.form)])
        if not self.h["warmup"]:
            return self.decay()
        return minimum(self.decay(), product([constant(1.0 + n, self.form)], [constant(10.0 + n, self.form)]))

    def update(self, s: SimpleNamespace, n: int, p: Number) -> None:
        """Take up a number. The first is the average itself, unless the average begins at zero and is corrected."""
        if not n and not self.corrected:
            s.x = s.total = p
            return
        keep = self.keep(s, n)
        ways = [self.mixed(s, p, keep)]
        if self.name == "swa":  # also as a sum that is divided, or as a mean that is multiplied by its count before
            s.total = s.total + p
            count = constant(n + 1.0, self.form)
            ways += [product([s.total], [count]), product([constant(float(n), self.form) * s.x + p], [count])]
        s.x = either(ways)
        s.left = times_power(s.left, keep)

    def mixed(self, s: SimpleNamespace, p: Number, keep: Number) -> Number:
        """The old average and a number, in one."""
        return mix(s.x, p, keep, complement(keep))

    def shown(self, s: SimpleNamespace) -> Number:
        """The average as it is returned."""
        return product([s.x], [1.0 - s.left]) if self.corrected else s.x


def average(
    name: str, hyperparameters: Mapping[str, Any], path: Path, kind: type[Averager] = Averager
) -> list[list[Exact]]:
    """The average of the parameters after each step of a path."""
    if not path or not path[0]:
        return [[] for _ in path]
    first = path[0][0]
    form = first.form if isinstance(first, Exact) else format_of(first.dtype.name)
    frame, zero, taken = kind(name, hyperparameters, form), constant(0.0, form), 0
    states = [
        [SimpleNamespace(x=zero, total=zero, left=constant(1.0, form.scalars)) for _ in range(p.size)] for p in path[0]
    ]
    averages = []
    for i, step in enumerate(path):
        if frame.takes(i):
            for p, of_tensor in zip(step, states, strict=True):
                for x, s in zip(scalars.scatter(p, form), of_tensor, strict=True):
                    frame.update(s, taken, x)
            taken += 1
        averages.append(
            [scalars.gather([*map(frame.shown, x)], p.shape, form) for p, x in zip(path[0], states, strict=True)]
        )
    return averages


# Steps


class Walk:
    """A run of an optimizer that goes on step by step; `updates` counts the steps, and a list of rates has one for each."""

    def __init__(self, name: str, hyperparameters: Mapping[str, Any], params: Sequence[Any], follow: Follow) -> None:
        self.name, self.follow = name, follow
        self.h = {"lr": DEFAULTS[name]["lr"], **hyperparameters}
        self.params = [p if isinstance(p, Exact) else of(p) for p in params]
        self.frame = Frame(RULES[name])
        self.updates = 0

    def rate(self) -> float:
        """The rate of the next step."""
        lr = self.h["lr"]
        return float(lr[self.updates] if isinstance(lr, (list, tuple)) else lr)

    def step(self, grads: Sequence[Any]) -> list[Exact]:
        """The parameters after one more step."""
        settings = {**self.h, "lr": self.rate()}
        (self.params,) = optimize(self.name, settings, self.params, [grads], self.follow, self.frame)
        self.updates += 1
        return self.params


def optimize_groups(
    name: str, hyperparameters: Sequence[Mapping[str, Any]], params: Sequence[Any], grads: Path, follow: Follow
) -> list[list[Exact]]:
    """The parameters after each step, each by the hyperparameters of its own group."""
    alone = [
        optimize(name, h, [p], [[step[k]] for step in grads], follow)
        for k, (h, p) in enumerate(zip(hyperparameters, params, strict=True))
    ]
    return [[path[t][0] for path in alone] for t in range(len(grads))]


def resume(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Any],
    grads: Path,
    after: int,
    changed: Mapping[str, Any],
    follow: Follow,
    load: Callable[[Walk], None] = lambda walk: None,
) -> list[list[Exact]]:
    """The parameters after each step. After so many of them an impostor loads its state in another way; the right one loses nothing."""
    walk, path = Walk(name, hyperparameters, params, follow), []
    for t, step in enumerate(grads):
        if t == after:
            load(walk)
            walk.h |= dict(changed) if follow["resume.hyperparameters"] == "constructed" else {}
        path.append(walk.step(step))
    return path


def accumulate_and_step(
    name: str, hyperparameters: Mapping[str, Any], params: Sequence[Any], grads: Path, every: int, follow: Follow
) -> list[list[Exact]]:
    """The parameters after each micro-batch. The last of each window, or of the run, brings a step along the window's mean gradient."""
    walk, path = Walk(name, hyperparameters, params, follow), []
    for start in range(0, len(grads), every):
        window = grads[start : start + every]
        path += [walk.params] * (len(window) - 1)
        path.append(walk.step(mean_of(window)))
    return path


def mean_of(window: Path) -> list[Exact]:
    """The mean gradient of each parameter, element by element [A.mean]."""
    return [
        _mean([g if isinstance(g, Exact) else of(g) for g in of_parameter])
        for of_parameter in zip(*window, strict=True)
    ]


def _mean(arrays: list[Exact]) -> Exact:
    first = arrays[0]
    if len(arrays) == 1 or not first.size:
        return first
    flat = [Exact(x.m.reshape(-1), x.e, x.d, x.errors().reshape(-1), x.form) for x in arrays]
    means = concatenate(*(concatenate(*(x[i] for x in flat)).mean() for i in range(first.size)))
    return Exact(means.m.reshape(first.shape), means.e, means.d, means.errors().reshape(first.shape), first.form)


# Scaled losses

SCALE = {"init_scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000}
"""How a scale begins and changes, with the defaults of PyTorch's GradScaler. Its factors are powers of two, so that it never rounds."""


class Scaler:
    """A scale, and the number of steps since it last changed."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.h = {**SCALE, **given}
        self.scale = float(self.h["init_scale"])
        if not 0 < self.scale < math.inf:
            raise ValueError(f"a scale of {self.scale} scales nothing")
        self.streak = 0

    def overflows(self, grads: Sequence[Any], form: Format) -> bool:
        """Whether one of the scaled gradients is not finite in the format."""
        return any(
            not np.isfinite(x) or abs(x) * self.scale > form.largest
            for g in grads
            for x in np.reshape(g.nearest() if isinstance(g, Exact) else g, -1).astype(np.float64).tolist()
        )

    def update(self, skipped: bool) -> None:
        """Shrink the scale after a skipped step; let it grow after so many others in a row."""
        self.streak = 0 if skipped else self.streak + 1
        if skipped:
            self.scale *= self.h["backoff_factor"]
        elif self.streak == self.h["growth_interval"]:
            self.scale *= self.h["growth_factor"]
            self.streak = 0


def scaled_steps(
    name: str,
    hyperparameters: Mapping[str, Any],
    params: Sequence[Any],
    grads: Path,
    scale: Mapping[str, Any],
    max_norm: float | None,
    follow: Follow,
    scaler: type[Scaler] = Scaler,
    skip: Callable[[Walk, Scaler, Sequence[Any]], None] = lambda walk, scaler, step: None,
    found: Callable[[Scaler, Sequence[Any], float | None, Follow], Sequence[Any]] = lambda _, *given: clipped(*given),
) -> list[list[Exact]]:
    """After each step the parameters, and the scale of the next.

    A step whose scaled gradients overflow is skipped. An impostor does something else there, or makes something else of the gradients
    that are `found` than to clip them.
    """
    walk, scale_now, path = Walk(name, hyperparameters, params, follow), scaler(scale), []
    form = walk.params[0].form
    for step in grads:
        skipped = scale_now.overflows(step, form)
        if skipped:
            skip(walk, scale_now, step)
        else:
            walk.step(found(scale_now, step, max_norm, follow))
        scale_now.update(skipped)
        path.append([*walk.params, exactly(scale_now.scale, form)])
        # Nothing is claimed of a scale that the dtype does not hold, and of what follows.
        if not form.normal <= scale_now.scale <= form.largest:
            path[-1][-1] = path[-1][-1].within(math.inf, form)
            walk.params = [p.within(math.inf, form) for p in walk.params]
    return path


def clipped(grads: Sequence[Any], max_norm: float | None, follow: Follow, by: float = 1.0) -> list[Exact]:
    """The gradients, shortened together where they are longer than the limit, or than the limit divided by a number."""
    exact = [g if isinstance(g, Exact) else of(g) for g in grads]
    return exact if max_norm is None else clip_by_norm(exact, max_norm / by, 2.0, follow)[1]


# Mini-batches


def batch_sizes(n_samples: int, batch_size: int, drop_last: bool) -> list[int]:
    """The sizes of an epoch's batches."""
    whole, rest = divmod(n_samples, batch_size)
    return [batch_size] * whole + [rest] * (rest > 0 and not drop_last)


def train_minibatches(
    optimizer: Mapping[str, Any],
    params: Any,
    t_u: Exact,
    t_c: Exact,
    batches: Sequence[Sequence[Any]],
    follow: Follow,
) -> tuple[Exact, list[Exact]]:
    """The parameters in the end, and the loss of each epoch: the mean over its samples of the losses before each update."""
    options = {key: x for key, x in optimizer.items() if key != "name"}
    walk, losses = Walk(optimizer["name"], options, [params], follow), []
    for epoch in batches:
        of_batch = []
        for rows in epoch:
            (w, b), rows = walk.params[0], np.asarray(rows, dtype=np.int64)
            u, c = t_u[rows], t_c[rows]
            of_batch.append((loss_fn(model(u, w, b), c), len(rows)))
            walk.step([gradient(u, c, w, b)])
        losses.append(mean_of_batches(of_batch))
    return walk.params[0], losses


def mean_of_batches(losses: Sequence[tuple[Exact, int]]) -> Exact:
    """The mean over all samples, from the mean of each batch and its size; the sum, where the loss is a sum.

    A running mean, whose differences may be as large as two losses, takes three more roundings of the largest for each batch.
    """
    if loss_scale() == "sum":
        return concatenate(*(loss for loss, _ in losses)).sum().sum()
    n = sum(count for _, count in losses)
    mean = concatenate(*(loss * count for loss, count in losses)).sum().over_count(n)
    if len(losses) == 1:
        return mean
    largest = max(float(loss.magnitude() + loss.err) for loss, _ in losses)
    running = 6 * mean.form.u * largest * len(losses)
    return mean.within(mean.err + running if math.isfinite(running) else np.inf, mean.form)

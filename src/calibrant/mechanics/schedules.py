"""Schedules: the learning rate of each step.

A step is one update of the parameters. A schedule is a function of its own step t, which counts from 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

Schedule = Callable[[int], float]


def constant(lr: float, factor: float = 1 / 3, total_iters: int = 5) -> Schedule:
    """A smaller rate for the first steps, and lr from then on.  [schedule.constant]"""
    return lambda t: lr * factor if t < total_iters else lr


def linear(lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """A straight line from one factor to the other, which then stays.  [schedule.linear]"""
    return lambda t: lr * (start_factor + (end_factor - start_factor) * min(t, total_iters) / total_iters)


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """One factor more after each step_size steps.  [schedule.step]"""
    return lambda t: lr * gamma ** (t // step_size)


def multistep(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """One factor more from each milestone on.  [schedule.step]"""
    return lambda t: lr * gamma ** sum(milestone <= t for milestone in milestones)


def exponential(lr: float, gamma: float) -> Schedule:
    """One factor more at each step.  [schedule.step]"""
    return lambda t: lr * gamma**t


def polynomial(lr: float, total_iters: int = 5, power: float = 1.0) -> Schedule:
    """A power of what is left of total_iters, and zero from then on.  [schedule.polynomial]"""
    return lambda t: lr * (1 - min(t, total_iters) / total_iters) ** power


def inverse_sqrt(lr: float, timescale: float) -> Schedule:
    """lr over the root of the steps, in units of timescale.  [schedule.inverse-sqrt]"""
    return lambda t: lr / math.sqrt(1 + t / timescale)


def cosine(lr: float, T_max: int, eta_min: float = 0.0) -> Schedule:
    """Half a wave from lr to eta_min, where it stays.  [schedule.cosine]"""
    return lambda t: _wave(lr, eta_min, min(t, T_max) / T_max)


def cosine_restarts(lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Schedule:
    """Half waves from lr to eta_min, each T_mult times as long as the one before.  [schedule.restarts]"""

    def rate(t: int) -> float:
        length = T_0
        while t >= length:
            t, length = t - length, length * T_mult
        return _wave(lr, eta_min, t / length)

    return rate


def _wave(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """Up to max_lr, and down to almost nothing at the last step.  [schedule.one-cycle]"""
    start = max_lr / div_factor
    corners = [(0.0, start), (pct_start * total_steps - 1, max_lr)]
    corners += [(2 * pct_start * total_steps - 2, start)] * three_phase
    corners += [(total_steps - 1, start / final_div_factor)]

    def rate(t: int) -> float:
        last = next((k for k, (end, _) in enumerate(corners) if k and t <= end), len(corners) - 1)
        (begin, left), (end, right) = corners[last - 1 : last + 1]
        share = (t - begin) / (end - begin)
        return left + (right - left) * share if anneal_strategy == "linear" else _wave(left, right, share)

    return rate


def cyclic(
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Schedule:
    """Up to max_lr and down again, over and over.  [schedule.cyclic]"""
    down = step_size_up if step_size_down is None else step_size_down

    def rate(t: int) -> float:
        cycle, place = divmod(t, step_size_up + down)
        share = place / step_size_up if place <= step_size_up else (step_size_up + down - place) / down
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]
        return base_lr + (max_lr - base_lr) * share * scale

    return rate


def sequence(schedules: Sequence[Mapping[str, Any]], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other, each from its own step 0 at its milestone.  [schedule.sequence]

    Raises ValueError unless there is one milestone less than schedules, and they ascend.
    """
    if len(milestones) != len(schedules) - 1 or sorted(set(milestones)) != [*milestones]:
        raise ValueError(f"milestones is {milestones}: {len(schedules)} schedules need one less, in ascending order")
    parts = [make(one["name"], {key: x for key, x in one.items() if key != "name"}) for one in schedules]

    def rate(t: int) -> float:
        index = sum(milestone <= t for milestone in milestones)
        return parts[index](t - ([0, *milestones][index]))

    return rate


def warmed_up(after: Schedule, warmup_steps: int) -> Schedule:
    """A climb in equal stairs to the schedule's first rate, and then the schedule from its own step 0.  [schedule.warm-up]"""
    return lambda t: after(0) * (t + 1) / warmup_steps if t < warmup_steps else after(t - warmup_steps)


_MADE: tuple[Callable[..., Schedule], ...] = (
    *(constant, linear, step, multistep, exponential, polynomial),
    *(inverse_sqrt, cosine, cosine_restarts, one_cycle, cyclic, sequence),
)
SCHEDULES = {made.__name__: made for made in _MADE}


def make(name: str, hyperparameters: Mapping[str, Any]) -> Schedule:
    """The schedule of that name, after its warm-up.

    Raises ValueError unless it accepts the hyperparameters  [schedule.unknown, schedule.invalid].
    """
    if name not in SCHEDULES:
        raise ValueError(f"there is no schedule {name!r}: there are {', '.join(SCHEDULES)}")
    settings = dict(hyperparameters)
    for key, value in settings.items():
        require_setting(key, value)
    warmup_steps = settings.pop("warmup_steps", 0)
    try:
        after = SCHEDULES[name](**settings)
    except TypeError as error:
        raise ValueError(f"hyperparameters is {dict(hyperparameters)!r}: {error}") from None
    return warmed_up(after, warmup_steps) if warmup_steps else after


_LENGTHS = ("step_size", "total_iters", "T_max", "T_0", "T_mult", "total_steps", "step_size_up", "step_size_down")
_LEAST = dict.fromkeys(_LENGTHS, 1) | {"warmup_steps": 0}
_WORDS = {"anneal_strategy": ("cos", "linear"), "mode": ("triangular", "triangular2", "exp_range")}


def require_setting(key: str, value: Any) -> None:
    """Raise ValueError unless a hyperparameter can have this value: lengths are whole, rates and factors finite and not negative."""
    if key in _WORDS and value not in _WORDS[key]:
        raise ValueError(f"{key} is {value!r}: it must be one of {', '.join(_WORDS[key])}")
    whole = isinstance(value, Real) and value % 1 == 0
    if key in _LEAST and value is not None and not (whole and value >= _LEAST[key]):
        raise ValueError(f"{key} is {value!r}: it must be a whole number, {_LEAST[key]} at least")
    if key == "milestones" and not isinstance(value, (list, tuple)):
        raise ValueError(f"milestones is {value!r}: it must be a list of steps")
    numbers = value if key == "milestones" else [value]
    for x in numbers:
        if isinstance(x, (int, float)) and not (math.isfinite(x) and x >= 0):
            raise ValueError(f"{key} is {value!r}: it must be finite, and not negative")


def schedule(name: str, hyperparameters: Mapping[str, Any], n_steps: int) -> Tensor:
    """The rates of the first n_steps steps, (n_steps,).  [schedule.horizon]

    Raises ValueError as `make` does, or for a negative number of steps.
    """
    if n_steps < 0:
        raise ValueError(f"n_steps is {n_steps}: it cannot be negative")
    rate = make(name, hyperparameters)
    return torch.tensor([rate(t) for t in range(n_steps)], dtype=torch.float64)


def plateau(
    val_losses: Sequence[float] | Tensor,
    lr: float,
    mode: str = "min",
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    min_lr: float = 0.0,
    eps: float = 1e-8,
) -> Tensor:
    """The rate after each loss, (n,): it falls once more than `patience` losses in a row are no improvement.  [schedule.plateau]

    An improvement is by more than the threshold  [schedule.threshold], and never NaN  [schedule.plateau-nan]; after a fall come
    `cooldown` losses that do not count  [schedule.cooldown]. Raises ValueError for hyperparameters without meaning
    [schedule.plateau-invalid].
    """
    if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
        raise ValueError(
            f"mode is {mode!r} and threshold_mode {threshold_mode!r}: there are min or max, and rel or abs"
        )
    if not 0 <= factor < 1:
        raise ValueError(f"factor is {factor}: it must lie between 0 and 1")
    for key, value in {
        "lr": lr,
        "patience": patience,
        "threshold": threshold,
        "cooldown": cooldown,
        "min_lr": min_lr,
    }.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{key} is {value}: it must be finite, and not negative")
    best, waited, resting, rates = math.inf, 0, 0, []
    margin = -threshold if mode == "min" else threshold
    for loss in map(float, val_losses):
        limit = best * (1 + margin) if threshold_mode == "rel" else best + margin
        if math.isfinite(loss) and (best == math.inf or (loss < limit if mode == "min" else loss > limit)):
            best, waited = loss, 0
        else:
            waited += 1
        if resting:
            resting, waited = resting - 1, 0
        if waited > patience:
            lower = max(lr * factor, min_lr)
            lr = lower if lr - lower > eps else lr
            waited, resting = 0, cooldown
        rates.append(lr)
    return torch.tensor(rates, dtype=torch.float64)

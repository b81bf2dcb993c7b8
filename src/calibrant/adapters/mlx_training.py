"""What MLX has around its optimizers: schedules, clipping, optimizers for groups, and a state that can be saved. Nothing here computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from calibrant.adapters.hyperparameters import offered, rates_of, scheduled

Array = Any
"""MLX's arrays."""

OPTIMIZERS = {
    "sgd": (optim.SGD, "lr momentum dampening weight_decay nesterov"),
    "adam": (optim.Adam, "lr betas eps"),
    "adamw": (optim.AdamW, "lr betas eps weight_decay"),
    "rmsprop": (optim.RMSprop, "lr alpha eps"),
    "adagrad": (optim.Adagrad, "lr eps"),
    "adadelta": (optim.AdaDelta, "lr rho eps"),
    "adamax": (optim.Adamax, "lr betas eps"),
    "lion": (optim.Lion, "lr betas weight_decay"),
}
"""Each optimizer, and its hyperparameters by PyTorch's names."""


def made(name: str, hyperparameters: dict[str, Any]) -> Any:
    """The optimizer of that name."""
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"mlx.optimizers has no {name}")
    make, names = OPTIMIZERS[name]
    options = offered("MLX", name, hyperparameters, names)
    if options.get("eps") == 0 and name in ("rmsprop", "adagrad", "adadelta"):
        raise NotImplementedError(f"MLX's {name} takes no eps of 0")
    if name in ("adam", "adamw"):
        options["bias_correction"] = True  # MLX does it only on request
    return make(learning_rate=options.pop("lr"), **options)


def stepped(stepper: Any, params: dict[str, Array], grads: list[Array | None]) -> dict[str, Array]:
    """The parameters after a step. The tree leaves out an absent gradient, as MLX allows."""
    given = {f"p{k}": grad for k, grad in enumerate(grads) if grad is not None}
    after = {**params, **stepper.apply_gradients(given, params)}
    mx.eval(after, stepper.state)
    return after


def tree(params: list[Array]) -> dict[str, Array]:
    """The parameters by names that are no numbers, which MLX would take for places in a list."""
    return {f"p{k}": p for k, p in enumerate(params)}


def optimize_groups(
    name: str, hyperparameters: list[dict[str, Any]], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of a MultiOptimizer with an optimizer for each."""
    if len(hyperparameters) != len(params):
        raise ValueError(f"there are {len(hyperparameters)} groups for {len(params)} parameters")
    if any(g is None for step in grads for g in step):
        raise NotImplementedError("a MultiOptimizer steps all parameters")
    rates, settings = zip(*(rates_of(h, len(grads)) for h in hyperparameters), strict=True)
    steppers = [made(name, h) for h in settings]
    filters = [lambda path, _, k=k: path == f"p{k}" for k in range(len(params) - 1)]
    stepper, now, path = optim.MultiOptimizer(steppers, filters), tree(params), []
    stepper.init(now)
    for t, step in enumerate(grads):
        for one, of_group in zip(steppers, rates, strict=True):
            one.learning_rate = of_group[t] if of_group[t] is not None else one.learning_rate
        now = stepped(stepper, now, step)
        path.append([now[f"p{k}"] for k in range(len(params))])
    return path


def resume(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Array],
    grads: list[list[Array | None]],
    after: int,
    changed: Any,
) -> list[list[Array]]:
    """The parameters after each step; a second optimizer gets the state of the first as a flat tree, as MLX's documentation saves it."""
    if changed:
        raise NotImplementedError("MLX's state has the rate, and no other hyperparameter")
    rates, options = rates_of(hyperparameters, len(grads))
    stepper, now, path = made(name, options), tree(params), []
    stepper.init(now)
    for t, (rate, step) in enumerate(zip(rates, grads, strict=True)):
        if t == after:
            saved = tree_flatten(stepper.state)
            stepper = made(name, options)
            stepper.state = tree_unflatten(saved)
        if rate is not None:
            stepper.learning_rate = rate
        now = stepped(stepper, now, step)
        path.append(list(now.values()))
    return path


# Schedules and clipping


def _sequence(h: Any) -> Any:
    return optim.join_schedules([_warmed_up(**one) for one in h.schedules], h.milestones)


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "step": lambda h: optim.step_decay(h.lr, h.gamma, h.step_size),
    "exponential": lambda h: optim.exponential_decay(h.lr, h.gamma),
    "cosine": lambda h: optim.cosine_decay(h.lr, h.T_max, h.eta_min),
    "linear": lambda h: optim.linear_schedule(h.lr * h.start_factor, h.lr * h.end_factor, h.total_iters),
    "sequence": _sequence,
}
"""Each schedule, and the function of mlx.optimizers that gives it."""


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Any:
    """The rates of one of MLX's schedules, after a linear_schedule from zero where there is a warm-up."""
    rate = _warmed_up(name, **hyperparameters)
    return np.array([mx.array(rate(mx.array(t))).item() for t in range(n_steps)])


def _warmed_up(name: str, warmup_steps: int = 0, **settings: Any) -> Any:
    after = scheduled("MLX", SCHEDULES, name, settings)
    if not warmup_steps:
        return after
    rise = optim.linear_schedule(0.0, mx.array(after(mx.array(0))).item(), warmup_steps)
    return optim.join_schedules([rise, after], [warmup_steps])


def clip_by_norm(grads: list[Array], max_norm: float, norm_type: float) -> tuple[Array, list[Array]]:
    """mlx.optimizers.clip_grad_norm."""
    if norm_type != 2:
        raise NotImplementedError("MLX clips by the Euclidean norm")
    clipped, norm = optim.clip_grad_norm(grads, max_norm)
    return norm, clipped

"""What Optax has around its optimizers: schedules, clipping, averages, windows, groups, and states that can be saved. Nothing here computes."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from calibrant.adapters.optax_optimizers import made

Array = Any
"""JAX arrays."""

# Schedules and clipping


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Array:
    """The rates of one of optax's schedules, after a linear_schedule from zero where there is a warm-up."""
    return jax.vmap(_warmed_up(name, dict(hyperparameters), n_steps))(jnp.arange(n_steps))


def _warmed_up(name: str, settings: dict[str, Any], n_steps: int) -> optax.Schedule:
    n_warm = settings.pop("warmup_steps", 0)
    after = _schedule(name, settings, n_steps)
    if not n_warm:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, float(after(0)), n_warm), after], [n_warm])


def _restarts(lr: float, n_steps: int, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> optax.Schedule:
    lengths = [T_0]
    while sum(lengths) < n_steps:
        lengths.append(lengths[-1] * T_mult)
    waves = [optax.cosine_decay_schedule(lr, length, eta_min / lr) for length in lengths]
    return optax.join_schedules(waves, np.cumsum(lengths[:-1]).tolist())


def _one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> optax.Schedule:
    """Optax's cosine in two phases, or its lines in three; their corners, which are rounded down, are whole steps."""
    rise, n = pct_start * total_steps - 1, total_steps - 1
    if rise != int(rise) or three_phase != (anneal_strategy == "linear"):
        raise NotImplementedError("optax's one-cycles have whole corners, and two cosines or three lines")
    factors = {"div_factor": div_factor, "final_div_factor": final_div_factor}
    if three_phase:
        factors["pct_final"] = (2 * rise + 0.5) / n
    make = optax.linear_onecycle_schedule if three_phase else optax.cosine_onecycle_schedule
    return make(n, max_lr, (rise + 0.5) / n, **factors)


def _schedule(name: str, h: dict[str, Any], n_steps: int) -> optax.Schedule:
    """One of optax's schedules with PyTorch's defaults. Raises TypeError for hyperparameters that it does not have."""

    def step(lr: float, step_size: int, gamma: float = 0.1) -> optax.Schedule:
        return optax.exponential_decay(lr, step_size, gamma, staircase=True)

    def sequence(schedules: list[dict[str, Any]], milestones: list[int]) -> optax.Schedule:
        parts = [
            _warmed_up(one["name"], {key: x for key, x in one.items() if key != "name"}, n_steps) for one in schedules
        ]
        return optax.join_schedules(parts, milestones)

    def constant(lr: float, factor: float = 1 / 3, total_iters: int = 5) -> optax.Schedule:
        return optax.join_schedules([optax.constant_schedule(x) for x in (lr * factor, lr)], [total_iters])

    def linear(lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> optax.Schedule:
        return optax.linear_schedule(lr * start_factor, lr * end_factor, total_iters)

    def multistep(lr: float, milestones: list[int], gamma: float = 0.1) -> optax.Schedule:
        return optax.piecewise_constant_schedule(lr, dict.fromkeys(milestones, gamma))

    def polynomial(lr: float, total_iters: int = 5, power: float = 1.0) -> optax.Schedule:
        return optax.polynomial_schedule(lr, 0.0, power, total_iters)

    def cosine(lr: float, T_max: int, eta_min: float = 0.0) -> optax.Schedule:
        return optax.cosine_decay_schedule(lr, T_max, eta_min / lr)

    made: dict[str, Callable[..., optax.Schedule]] = {
        "constant": constant,
        "linear": linear,
        "step": step,
        "multistep": multistep,
        "polynomial": polynomial,
        "exponential": functools.partial(step, step_size=1),
        "cosine": cosine,
        "sequence": sequence,
        "one_cycle": _one_cycle,
        "cosine_restarts": functools.partial(_restarts, n_steps=n_steps),
    }
    if name not in made:
        raise NotImplementedError(f"optax has no {name} with these corners")
    if name == "exponential" and "step_size" in h:
        raise TypeError("exponential has no step_size")
    return made[name](**h)


def clip_by_norm(grads: list[Array], max_norm: float, norm_type: float) -> tuple[Array, list[Array]]:
    """optax.global_norm and optax.clip_by_global_norm."""
    if norm_type != 2:
        raise NotImplementedError("optax clips by the Euclidean norm")
    clip = optax.clip_by_global_norm(max_norm)
    return optax.global_norm(grads), clip.update(grads, clip.init(grads))[0]


def clip_by_value(grads: list[Array], limit: float) -> list[Array]:
    """optax.clip."""
    clip = optax.clip(limit)
    clipped: list[Array] = clip.update(grads, clip.init(grads))[0]
    return clipped


# Averages


def average(name: str, hyperparameters: dict[str, Any], path: list[list[Array]]) -> list[list[Array]]:
    """optax.incremental_update of a copy of the first parameters, or optax.ema, which begins at zero and is debiased."""
    h = {"decay": 0.999, "every": 1, **hyperparameters}
    every, decay, debiased = h.pop("every"), h.pop("decay"), h.pop("bias_correction", False)
    if name != "ema" or h.pop("warmup", False):
        raise NotImplementedError(f"optax has no such average as {name}")
    if h:
        raise TypeError(f"unexpected hyperparameters: {h}")
    transformation = optax.ema(decay)
    means = path[0] if path else []
    state, averages = transformation.init(means), []
    for i, step in enumerate(path):
        if i % every == 0 and debiased:
            means, state = transformation.update(step, state)
        elif i % every == 0 and i:
            means = optax.incremental_update(step, means, 1 - decay)
        averages.append(means)
    return averages


# Steps


def optimize_groups(
    name: str, hyperparameters: list[dict[str, Any]], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of optax.multi_transform, with a transformation for each."""
    _no_absent(grads)
    labels = list(range(len(params)))
    transformation = optax.multi_transform({k: made(name, h) for k, h in enumerate(hyperparameters)}, labels)
    return _walk(transformation, params, grads)[0]


def accumulate_and_step(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array]], every: int
) -> list[list[Array]]:
    """The parameters after each micro-batch of optax.MultiSteps, with sums in the dtype of the parameters."""
    dtype = params[0].dtype
    inner = made(name, hyperparameters, traced=True)
    return _walk(optax.MultiSteps(inner, every, accumulator_dtype=dtype), params, grads)[0]


def resume(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Array],
    grads: list[list[Array | None]],
    after: int,
    changed: dict[str, Any],
) -> list[list[Array]]:
    """The parameters after each step; a second transformation goes on from the first one's state, which was pickled."""
    _no_absent(grads)
    first, second = made(name, hyperparameters), made(name, {**hyperparameters, **changed})
    if jax.tree.structure(first.init(params)) != jax.tree.structure(second.init(params)):
        raise NotImplementedError("the state of an optimizer with other parts does not fit")
    path, state = _walk(first, params, grads[:after])
    state = jax.tree.map(jnp.asarray, pickle.loads(pickle.dumps(jax.tree.map(np.asarray, state))))
    return path + _walk(second, path[-1] if path else params, grads[after:], state)[0]


def _walk(
    transformation: Any, params: list[Array], grads: list[list[Any]], state: Any = None
) -> tuple[list[list[Array]], Any]:
    """The parameters after each step from a state, or from a fresh one, and the state that is left."""
    state, path = transformation.init(params) if state is None else state, []
    for step in grads:
        updates, state = transformation.update(step, state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path, state


def _no_absent(grads: list[list[Any]]) -> None:
    if any(g is None for step in grads for g in step):
        raise NotImplementedError("optax has no step in which a parameter has no gradient")

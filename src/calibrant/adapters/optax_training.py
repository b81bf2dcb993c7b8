"""What Optax has around its optimizers: schedules, clipping, averages, windows, groups, and states that can be saved. Nothing here computes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from calibrant.adapters.hyperparameters import scheduled
from calibrant.adapters.optax_optimizers import made

Array = Any
"""JAX arrays."""

# Schedules and clipping


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Array:
    """The rates of one of optax's schedules, after a linear_schedule from zero where there is a warm-up."""
    return jax.vmap(_warmed_up(n_steps, name, **hyperparameters))(jnp.arange(n_steps))


def _warmed_up(n_steps: int, name: str, warmup_steps: int = 0, **settings: Any) -> optax.Schedule:
    after = scheduled("optax", _schedules(n_steps), name, settings)
    if not warmup_steps:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, float(after(0)), warmup_steps), after], [warmup_steps])


def _schedules(n_steps: int) -> dict[str, Callable[[Any], optax.Schedule]]:
    """Optax's schedules, by PyTorch's hyperparameters."""

    def sequence(h: Any) -> optax.Schedule:
        return optax.join_schedules([_warmed_up(n_steps, **one) for one in h.schedules], h.milestones)

    def restarts(h: Any) -> optax.Schedule:
        lengths = [h.T_0]
        while sum(lengths) < n_steps:
            lengths.append(lengths[-1] * h.T_mult)
        waves = [optax.cosine_decay_schedule(h.lr, length, h.eta_min / h.lr) for length in lengths]
        return optax.join_schedules(waves, np.cumsum(lengths[:-1]).tolist())

    return {
        "constant": lambda h: optax.join_schedules(
            [optax.constant_schedule(x) for x in (h.lr * h.factor, h.lr)], [h.total_iters]
        ),
        "linear": lambda h: optax.linear_schedule(h.lr * h.start_factor, h.lr * h.end_factor, h.total_iters),
        "step": lambda h: optax.exponential_decay(h.lr, h.step_size, h.gamma, staircase=True),
        "multistep": lambda h: optax.piecewise_constant_schedule(h.lr, dict.fromkeys(h.milestones, h.gamma)),
        "polynomial": lambda h: optax.polynomial_schedule(h.lr, 0.0, h.power, h.total_iters),
        "exponential": lambda h: optax.exponential_decay(h.lr, 1, h.gamma, staircase=True),
        "cosine": lambda h: optax.cosine_decay_schedule(h.lr, h.T_max, h.eta_min / h.lr),
        "sequence": sequence,
        "one_cycle": _one_cycle,
        "cosine_restarts": restarts,
    }


def _one_cycle(h: Any) -> optax.Schedule:
    """Optax's cosine in two phases, or its lines in three; their corners, which are rounded down, are whole steps."""
    rise, n = h.pct_start * h.total_steps - 1, h.total_steps - 1
    if rise != int(rise) or h.three_phase != (h.anneal_strategy == "linear"):
        raise NotImplementedError("optax's one-cycles have whole corners, and two cosines or three lines")
    factors = {"div_factor": h.div_factor, "final_div_factor": h.final_div_factor}
    if h.three_phase:
        factors["pct_final"] = (2 * rise + 0.5) / n
    make = optax.linear_onecycle_schedule if h.three_phase else optax.cosine_onecycle_schedule
    return make(n, h.max_lr, (rise + 0.5) / n, **factors)


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

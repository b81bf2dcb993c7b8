"""JAX and Optax as their users call them: optax's losses, transformations and MultiSteps, jax's autodiff. Nothing here computes.

What is called often is compiled, as it is everywhere; an optimizer only for a long run. What torch.optim does not name keeps optax's
default. What they have no function for (hand-derived gradients, gradients that are kept, splits, stopping) is absent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

Array = Any
"""JAX arrays."""

jax.config.update("jax_enable_x64", True)

name = "optax"
version = f"{optax.__version__}, jax {jax.__version__}"
asarray = jnp.asarray
to_numpy = np.asarray

_SUMS_NARROW = (
    "MultiSteps sums gradients in float32, its default accumulator_dtype, whatever the dtype of the parameters"
)
_UNCHECKED = (
    "only the shapes of predictions and targets are compared: no samples have a mean of NaN, and columns may be tables"
)
deviations = {
    "data.shapes": _UNCHECKED,
    "data.columns": _UNCHECKED,
    "data.scaling": "jnp.linalg.lstsq takes columns that are nearly parallel for one, and returns the shortest solution",
    "loss.empty": "the mean of no samples is NaN",
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "descent.negative-rate": "optax takes any learning rate, and a loop over range(n_epochs) runs no epochs where n_epochs is negative",
    "accumulation.full-batch": _SUMS_NARROW,
    "accumulation.partition": _SUMS_NARROW,
    "accumulation.last-window": _SUMS_NARROW,
    "accumulation.refused": "a batch of no samples has a sum, which is zero",
    "optimizer.rprop": "scale_by_rprop returns the update of the step before: the first step is zero, and every other is one late",
    "optimizer.swap": "rprop is one step late",
    "optimizer.invalid": "optax takes hyperparameters as they are",
    "optimizer.schedule-free.average[float64]": "the schedule of a warm-up counts in float32, whatever the dtype of the parameters",
    "validation.columns": _UNCHECKED,
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "schedule.invalid": "schedules take rates, factors and lengths as they are",
    "clip.invalid": "a limit is taken as it is, and a negative one turns the gradients around",
}
elementary = {"exp": jnp.exp, "log": jnp.log, "tanh": jnp.tanh, "maximum": jnp.maximum}
conventions = {
    "arithmetic.subnormals": "flushed",
    "adam.amsgrad": "corrected",
    "rmsprop.epsilon": "inside",
    "rmsprop.buffer": "with-lr",
    "adagrad.epsilon": "inside",
    "nadam.schedule": "constant",
    "radam.epsilon": "outside",
    "lars.norm": "together",
    "muon.correction": "both",
    "muon.epsilon": "added",
    "muon.scale": "columns",
    "sgdschedulefree.warm-up": "apart",
    "schedule.warm-up-count": "zero",
}

OPTIMIZERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "sgd": (optax.sgd, {"lr": 1e-3}),
    "adam": (optax.adam, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}),
    "adamw": (optax.adamw, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}),
    "rmsprop": (optax.rmsprop, {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8}),
    "adagrad": (optax.adagrad, {"lr": 1e-2, "initial_accumulator_value": 0.0, "eps": 1e-10}),
    "adadelta": (optax.adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    "adamax": (optax.adamax, {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8}),
    "nadam": (optax.nadam, {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8}),
    "radam": (optax.radam, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}),
    "rprop": (optax.rprop, {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)}),
    "lion": (optax.lion, {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0}),
    "adabelief": (optax.adabelief, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-16}),
    "lamb": (optax.lamb, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.0}),
    "lars": (optax.lars, {"lr": 1e-3, "momentum": 0.9, "trust_coefficient": 1e-3, "eps": 0.0, "weight_decay": 0.0}),
    "muon": (optax.contrib.muon, {"lr": 1e-3, "momentum": 0.95, "eps": 1e-7, "weight_decay": 0.1}),
}
"""Each optimizer with the book's defaults."""

SCHEDULE_FREE: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "sgdschedulefree": (optax.contrib.schedule_free_sgd, {"lr": 1.0, "momentum": 0.9, "weight_decay": 0.0}),
    "adamwschedulefree": (
        optax.contrib.schedule_free_adamw,
        {"lr": 2.5e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    ),
}
"""The same of the wrappers that average their steps."""

OWN_DECAY = ("adamw", "adadelta", "lion", "lamb", "lars", "muon")
"""The optimizers that take a weight decay as the book means it."""

DECOUPLED = {"adam": optax.adamw, "nadam": optax.nadamw}
"""The optimizers that decouple the decay on request."""

NAMES = {
    "lr": ("learning_rate",),
    "betas": ("b1", "b2"),
    "alpha": ("decay",),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("min_step_size", "max_step_size"),
}
"""Optax's names for torch.optim's hyperparameters, where they differ."""

LONG = 100
"""For a run of more steps, the adapter compiles the optimizer."""


def model(t_u: Array, w: Array, b: Array) -> Array:
    """A line, (n,)."""
    return w * t_u + b


def loss_fn(t_p: Array, t_c: Array) -> Array:
    """The mean of optax.squared_error, as its documentation shows it."""
    return optax.squared_error(t_p, t_c).mean()


@jax.jit
def dloss_fn(t_p: Array, t_c: Array) -> Array:
    """The derivative of `loss_fn` by each prediction, (n,)."""
    return jax.grad(loss_fn)(t_p, t_c)


@jax.jit
def dmodel_dw(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the weight, (n,)."""
    return jax.jacobian(model, argnums=1)(t_u, w, b)


@jax.jit
def dmodel_db(t_u: Array, w: Array, b: Array) -> Array:
    """The derivative of each prediction by the bias, (n,)."""
    return jax.jacobian(model, argnums=2)(t_u, w, b)


def automatic_gradient(loss: Callable[[Array], Array], params: Array) -> tuple[Array, Array]:
    """A loss and its gradient, (p,)."""
    value, grad = jax.value_and_grad(loss)(params)
    return value, grad


def value_and_grad(params: Array, t_u: Array, t_c: Array) -> tuple[Array, Array]:
    """The loss of the line and its gradient, (2,)."""
    loss, grad = _loss_and_grad(params, t_u, t_c)
    return loss, grad


def _loss(params: Array, t_u: Array, t_c: Array) -> Array:
    w, b = params
    return loss_fn(model(t_u, w, b), t_c)


_loss_and_grad = jax.jit(jax.value_and_grad(_loss))


def least_squares(t_u: Array, t_c: Array) -> Array:
    """jnp.linalg.lstsq on the columns [t_u, 1], (2,)."""
    return jnp.linalg.lstsq(jnp.stack([t_u, jnp.ones_like(t_u)], axis=1), t_c)[0]


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Array,
    t_u: Array,
    t_c: Array,
    val_t_u: Array | None = None,
    val_t_c: Array | None = None,
) -> tuple[Array, list[Array], list[Array]]:
    """The loop of Optax's tutorials."""
    options = dict(optimizer)
    transformation = _optimizer(options.pop("name"), options)

    update = jax.jit(transformation.update) if n_epochs > LONG else transformation.update
    state = transformation.init(params)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        loss, grad = _loss_and_grad(params, t_u, t_c)
        train_losses.append(loss)
        if val_t_u is not None:
            val_losses.append(_loss(params, val_t_u, val_t_c))
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, train_losses, val_losses


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """jnp.broadcast_shapes."""
    shape: tuple[int, ...] = jnp.broadcast_shapes(*shapes)
    return shape


def multiply(x: Array, y: Array) -> Array:
    """x * y."""
    return x * y


def multiply_grad(x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """The vector-Jacobian product of x * y."""
    grad_x, grad_y = jax.vjp(multiply, x, y)[1](upstream)
    return grad_x, grad_y


# Accumulation


def accumulated_grad(params: Array, batches: list[tuple[Array, Array]]) -> Array:
    """The sum that optax.MultiSteps returns: each batch's loss is its own sum over the number of all samples."""
    n = sum(len(t_u) for t_u, _ in batches)
    init, update = _accumulating(len(batches))
    state = init(params)
    for t_u, t_c in batches:
        updates, state = update(_share_grad(params, t_u, t_c, n), state, params)
    return updates


@functools.cache
def _accumulating(k: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    steps = optax.MultiSteps(optax.identity(), every_k_schedule=k, use_grad_mean=False)
    return steps.init, jax.jit(steps.update)


@jax.jit
@jax.grad
def _share_grad(params: Array, t_u: Array, t_c: Array, n: int) -> Array:
    w, b = params
    return optax.squared_error(model(t_u, w, b), t_c).sum() / n


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The parameters after each step of one of optax's optimizers on these gradients."""
    options = dict(hyperparameters)
    averaged = name in SCHEDULE_FREE and options.pop("averaged", False)
    transformation = _optimizer(name, options)
    if any(grad is None for step in grads for grad in step):
        raise NotImplementedError("optax has no step in which a parameter has no gradient")
    if name == "muon" and any(p.ndim != 2 for p in params):
        raise NotImplementedError("optax.contrib.muon moves by Adam what is no matrix")
    update = jax.jit(transformation.update) if len(grads) > LONG else transformation.update
    state = transformation.init(params)
    path = []
    for step in grads:
        updates, state = update(step, state, params)
        params = optax.apply_updates(params, updates)
        path.append(optax.contrib.schedule_free_eval_params(state[-1], params) if averaged else params)
    return path


def _optimizer(name: str, hyperparameters: dict[str, Any]) -> optax.GradientTransformation:
    """One of optax's optimizers, after transformations that flip the sign and add a coupled decay."""
    if name in SCHEDULE_FREE:
        return _schedule_free(name, hyperparameters)
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"optax has no {name}")
    make, defaults = OPTIMIZERS[name]
    options = defaults | hyperparameters
    for absent in ("dampening", "lr_decay", "momentum_decay"):
        if options.pop(absent, None):
            raise NotImplementedError(f"optax's {name} has no {absent}")
    amsgrad, decoupled = options.pop("amsgrad", False), options.pop("decoupled_weight_decay", False)
    if (amsgrad and (name != "adam" or decoupled)) or (decoupled and name not in DECOUPLED):
        raise NotImplementedError(f"optax has no {name} with {'amsgrad' if amsgrad else 'decoupled decay'}")
    before = [optax.scale(-1.0)] if options.pop("maximize", False) else []
    if amsgrad:
        make = optax.amsgrad
    if decoupled:
        make, options = DECOUPLED[name], {"weight_decay": 0.0, **options}
    elif name == "adabelief" and options.pop("weight_decay", None):
        raise NotImplementedError("optax's adabelief has no weight_decay")
    elif name not in OWN_DECAY and "weight_decay" in options:
        before.append(optax.add_decayed_weights(options.pop("weight_decay")))
    if isinstance(options["lr"], list):
        if name == "rprop":
            raise NotImplementedError("optax's rprop has one rate")
        rates = options["lr"]
        options["lr"] = (lambda count: rates[int(count)]) if len(rates) <= LONG else jnp.asarray(rates).__getitem__
    if name == "adabelief":
        options["eps_root"] = options["eps"]
    if name == "muon":
        options["beta"] = options.pop("momentum")
        options["consistent_rms"] = 0.2 if options.pop("adjust_lr_fn", None) == "match_rms_adamw" else None
        options["ns_coeffs"] = options.pop("ns_coefficients", (3.4445, -4.775, 2.0315))
    for key, names in NAMES.items():
        if key in options:
            value = options.pop(key)
            options |= zip(names, value if len(names) > 1 else [value], strict=True)
    return optax.chain(*before, make(**options))


def _schedule_free(name: str, hyperparameters: dict[str, Any]) -> optax.GradientTransformation:
    """One of optax's Schedule-Free wrappers. Its optimizer asks a list of rates from zero, and itself from one."""
    make, defaults = SCHEDULE_FREE[name]
    options = defaults | hyperparameters
    before = [optax.scale(-1.0)] if options.pop("maximize", False) else []
    if options.pop("r", 0.0) or isinstance(options["lr"], list):
        raise NotImplementedError("optax's Schedule-Free has no r, and no rates but those of a warm-up")
    options["learning_rate"] = options.pop("lr")
    options["warmup_steps"] = options.pop("warmup_steps", 0) or None
    options["b1"], *rest = options.pop("betas", ()) or [options.pop("momentum")]
    options |= {"b2": rest[0]} if rest else {}
    if not options["b1"]:
        raise NotImplementedError("optax divides by b1")
    return optax.chain(*before, make(**options))


# Validation


def regularized_loss(t_p: Array, t_c: Array, w: Array, l1: float, l2: float) -> Array:
    """The loss with both penalties as optax's own norms."""
    return loss_fn(t_p, t_c) + l1 * optax.tree.norm(w, ord=1) + l2 * optax.tree.norm(w, squared=True)


@jax.jit
def regularized_grad(t_u: Array, t_c: Array, w: Array, b: Array, l1: float, l2: float) -> Array:
    """The gradient of `regularized_loss` of the line, (2,)."""
    return jnp.stack(jax.grad(lambda w, b: regularized_loss(model(t_u, w, b), t_c, w, l1, l2), argnums=(0, 1))(w, b))


# Training


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Array:
    """The rates of one of optax's schedules, after a linear_schedule from zero where there is a warm-up."""
    rates = _warmed_up(name, dict(hyperparameters), n_steps)(jnp.arange(n_steps))
    return jnp.broadcast_to(jnp.asarray(rates), (n_steps,))


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

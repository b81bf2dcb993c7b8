"""Optax's optimizers by PyTorch's names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from calibrant.adapters.hyperparameters import rates_of, require_known

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


def made(name: str, hyperparameters: dict[str, Any], *, traced: bool = False) -> optax.GradientTransformation:
    """One of optax's optimizers, after transformations that flip the sign and add a coupled decay; JAX may trace its count of steps."""
    if name not in OPTIMIZERS | SCHEDULE_FREE:
        raise NotImplementedError(f"optax has no {name}")
    require_known(name, hyperparameters)
    if name in SCHEDULE_FREE:
        return _schedule_free(name, hyperparameters)
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
        options["lr"] = (
            (lambda count: rates[int(count)]) if not traced and len(rates) <= LONG else jnp.asarray(rates).__getitem__
        )
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


def lbfgs(
    hyperparameters: dict[str, Any], params: Any, hessian: Any, slope: Any, n_steps: int
) -> list[tuple[Any, Any, int]]:
    """The parameters and the loss of each step of optax.scale_by_lbfgs without a line search, which is one iteration."""
    h = {"lr": 1.0, "max_iter": 20, "max_eval": 1, "history_size": 100, **hyperparameters}
    given = {key for key, x in h.items() if x}  # a tolerance of zero is none
    if given != {"lr", "max_iter", "max_eval", "history_size"} or h["max_iter"] != 1:
        raise NotImplementedError("an update of optax's L-BFGS is one iteration, and knows no tolerances")
    rates, _ = rates_of(h, n_steps)
    init, update = _directions(h["history_size"])
    state, path = init(params), []
    for rate in rates:
        loss, g = _loss_and_slopes(params, hessian, slope)
        direction, state = update(g, state, params)
        params = optax.apply_updates(params, optax.tree.scale(-rate, direction))
        path.append((params, loss, 1))
    return path


@functools.cache
def _directions(history_size: int) -> tuple[Any, Any]:
    transformation = optax.scale_by_lbfgs(history_size)
    return transformation.init, jax.jit(transformation.update)


def _quadratic(x: Any, hessian: Any, slope: Any) -> Any:
    return 0.5 * x @ hessian @ x + slope @ x


_loss_and_slopes = jax.jit(jax.value_and_grad(_quadratic))

"""Runs in which the variants of an optimizer differ."""

from collections.abc import Callable
from typing import Any

import numpy as np

_RATES = [0.5, 0.25, 0.5, 0.125, 1.0, 0.5, 0.25, 0.5]
_GRADS = np.transpose(
    [[2.0, 1.0, -0.25, 0.125, -0.0625, 0.5, 0.25, 0.125], [-1.5, -0.5, 0.5, -0.25, -0.125, 0.03125, -0.5, 1.0]]
).tolist()
_PARAMS = [1.0, -2.0]
_BETAS = {"betas": (0.5, 0.75), "eps": 1e-2}
BATTERY: dict[str, tuple[dict[str, Any], ...]] = {
    "sgd": tuple(
        {"momentum": 0.5, **more} for more in ({}, {"dampening": 0.25}, {"nesterov": True}, {"weight_decay": 0.25})
    ),
    "adam": (_BETAS, {**_BETAS, "amsgrad": True}, {**_BETAS, "weight_decay": 0.25}),
    "adamw": ({**_BETAS, "weight_decay": 0.25}, {**_BETAS, "amsgrad": True, "weight_decay": 0.0}),
    "rmsprop": tuple(
        {"alpha": 0.75, "eps": 1e-2, **more}
        for more in ({}, {"momentum": 0.5}, {"centered": True}, {"weight_decay": 0.25})
    ),
    "adagrad": ({"eps": 1e-2}, {"eps": 1e-2, "weight_decay": 0.25}),
    "adadelta": ({"rho": 0.75, "eps": 1e-2}, {"rho": 0.75, "eps": 1e-2, "weight_decay": 0.25}),
    "adamax": ({**_BETAS, "eps": 0.1}, {**_BETAS, "weight_decay": 0.25}),
    "nadam": (_BETAS, {**_BETAS, "weight_decay": 0.25}),
    "radam": ({"betas": (0.5, 0.9), "eps": 1e-2}, {"betas": (0.5, 0.9), "eps": 1e-2, "weight_decay": 0.25}),
    "rprop": ({"etas": (0.5, 1.5)},),
    "lion": ({"betas": (0.5, 0.75), "weight_decay": 0.25},),
    "adabelief": (_BETAS, {**_BETAS, "weight_decay": 0.25}),
    "lamb": (_BETAS, {**_BETAS, "weight_decay": 0.25}),
    "adafactor": ({"eps": (0.25, 0.25)}, {"eps": (0.25, 0.25), "weight_decay": 0.25}),
    "muon": tuple(
        {"momentum": 0.5, "eps": 0.25, "weight_decay": 0.25, "ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": n_steps}
        for n_steps in (0, 1)
    ),
    "sgdschedulefree": ({"momentum": 0.5, "warmup_steps": 3, "weight_decay": 0.25},),
    "adamwschedulefree": ({**_BETAS, "warmup_steps": 3, "weight_decay": 0.25},),
    "lars": ({"trust_coefficient": 0.5, "weight_decay": 0.25, "momentum": 0.5},),
}
"""Hyperparameters under which the variants of each optimizer differ, given changing rates and shrinking gradients."""

Run = tuple[str, dict[str, Any], list[Any], list[list[Any]]]


def runs(optimizer: str, array: Callable[[Any], Any] = np.asarray) -> list[Run]:
    """The runs in which the variants of an optimizer differ."""
    shape = (2, 1) if optimizer == "muon" else (2,)
    params, grads = [array(np.reshape(_PARAMS, shape))], [[array(np.reshape(grad, shape))] for grad in _GRADS]
    found = [(optimizer, {**settings, "lr": _RATES}, params, grads) for settings in BATTERY.get(optimizer, ())]
    if optimizer == "lamb":  # a parameter that is longer than ten
        found.append((optimizer, {**_BETAS, "lr": _RATES}, [array([12.0, -5.0])], grads))
    return found

"""Questions about the optimizers, which tell their impostors and variants apart."""

import itertools
import math
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact.optimizers import RULES
from calibrant.impostors.battery import runs

# Questions

_BETAS = {"betas": (0.5, 0.75), "eps": 0.1, "weight_decay": 0.25}
_SHOWN: dict[str, tuple[dict[str, Any], ...]] = {
    "sgd": ({"momentum": 0.5, "weight_decay": 0.25}, {"momentum": 0.5, "dampening": 0.25}),
    **dict.fromkeys(("adam", "adamw"), (_BETAS, {})),
    "rmsprop": (
        {"alpha": 0.75, "eps": 0.1, "weight_decay": 0.25, "momentum": 0.5},
        {"alpha": 0.75, "eps": 0.1, "centered": True},
    ),
    "adagrad": ({"lr_decay": 0.5, "eps": 0.1, "weight_decay": 0.25, "initial_accumulator_value": 0.5}, {}),
    "adadelta": ({"rho": 0.75, "eps": 0.1, "weight_decay": 0.25},),
    "adamax": (_BETAS,),
    "nadam": ({**_BETAS, "momentum_decay": 0.25},),
    "radam": ({**_BETAS, "betas": (0.25, 0.9)},),
    "asgd": ({"lambd": 0.25, "alpha": 0.5, "weight_decay": 0.5},),
    "rprop": ({"etas": (0.5, 1.5), "step_sizes": (0.4, 0.6)},),
    "lion": ({"betas": (0.5, 0.75), "weight_decay": 0.25}, {}),
    "adabelief": (_BETAS, {}),
    "lamb": (_BETAS, {"betas": (0.5, 0.75), "eps": 0.1}),
    "adafactor": ({"eps": (0.1, 0.25), "weight_decay": 0.25, "d": 1.0}, {"eps": (0.1, 1e-3), "d": 4.0}, {}),
    "lars": ({"trust_coefficient": 0.5, "momentum": 0.5, "weight_decay": 0.25}, {}),
    "muon": (
        {"momentum": 0.5, "eps": 0.25, "weight_decay": 0.25, "ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": 2},
        {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 1},
        {"momentum": 0.5, "nesterov": False, "ns_steps": 1},
        {},
    ),
    "sgdschedulefree": (
        {"momentum": 0.5, "weight_decay": 0.25, "warmup_steps": 2, "r": 1.0},
        {"momentum": 0.5, "averaged": True},
        {"lr": [0.0, 0.5, 0.25, 1.0]},
    ),
    "adamwschedulefree": (
        {**_BETAS, "warmup_steps": 2, "r": 1.0},
        {**_BETAS, "averaged": True},
        {**_BETAS, "lr": [0.0, 0.5, 0.25, 1.0]},
    ),
}
"""Hyperparameters with which much shows, and others, defaults for instance, with which some things show that do not there."""

_PARAMS = [np.array([0.7]), np.array([-1.5]), np.array([[0.25, -3.1]])]
_ROWS = (2.0, -1.5, 0.3, 1.0), (1.0, -0.5, 0.6, 0.5), (-0.25, -0.7, 1.2, 0.25), (0.125, 0.25, -0.4, 3.0)
_GRADS = [[np.array([a]), np.array([b]), np.array([[c, d]])] for a, b, c, d in _ROWS]
_ABSENT = [[None if (t, k) in ((0, 1), (2, 0), (3, 2)) else g for k, g in enumerate(x)] for t, x in enumerate(_GRADS)]


def _questions(name: str) -> Any:
    """Runs of an optimizer; Muon's parameters are matrices."""
    for _, h, params, grads in _runs_of(name):
        if name == "muon":
            params, *grads = (
                [x if x is None else np.reshape(x, (x.size, 1)) for x in step] for step in (params, *grads)
            )
        yield name, h, params, grads


def _runs_of(name: str) -> Any:
    shown, *more = _SHOWN[name]
    rates = 0.5 if name in ("asgd", "rprop") else [0.5, 0.5, 0.25, 1.0]

    def asked(given: Any, params: Any = _PARAMS, grads: Any = _GRADS) -> Any:
        return name, {"lr": rates, **given}, params, grads

    def quick(given: Any, unit: float = 1.0) -> Any:
        """Three steps of one number, in which most impostors already differ."""
        return asked(given, _PARAMS[:1], [[g and np.array([g * unit])] for g in (2.0, None, -0.5, 0.75)])

    yield quick({**shown, "maximize": True})
    yield from (asked(shown), asked(shown, grads=_ABSENT), *runs(name), *map(asked, more))
    if "eps" in shown and name != "adafactor":
        yield quick({"eps": 0.0, "weight_decay": 0.0}, unit=2.0**-20)
    yield from (
        quick({**shown, **unlike}) for unlike in ({"beta": 0.5}, {"lr": -0.5}, {"lr": [0.5, 0.25]}, {"lr": math.inf})
    )
    # The dear ones come last: they are asked of the few impostors that the others left.
    if name == "sgd":
        yield name, {}, _PARAMS[:1], [[np.array([2.0])]]
        yield name, {"lr": 0.5, "momentum": 0.5}, [np.zeros(9)], [[np.ones(9)]] * 2
    if "centered" in exact.OPTIMIZERS[name]:
        yield name, {"lr": 0.5, "alpha": 0.1, "eps": 0.25, "centered": True}, _PARAMS[:1], [[np.array([0.7])]] * 20
    if name == "lamb":
        beside = {"betas": (0.5, 0.75), "eps": 0.25, "weight_decay": 0.25}
        yield (
            name,
            {"lr": 0.5, **beside},
            [np.array([12.0, -5.0])],
            [[np.array([2.0, 1.0])], [None], [np.array([-0.5, 1.0])]],
        )
    if name == "lamb":
        yield name, {"lr": 0.5, "eps": 0.25}, [np.arange(9.0)], [[1 + np.arange(9.0) ** 2]]
    if name in ("lamb", "lars"):
        yield name, {"lr": 0.5}, [np.zeros(2)], [[np.array([2.0, -1.0])]]
    if name == "adafactor":
        grads = [[np.array([[1.0, -0.5], [0.25, 2.0]])], [np.array([[0.5, 1.0], [-2.0, 0.25]])]]
        yield name, {"lr": 0.5}, [np.array([[0.5, -1.0], [2.0, 0.25]])], grads
    if "betas" in shown:
        rate = 2.0**-6 if name == "lamb" else 0.5  # LAMB would halve the parameter at each step
        for steps in (10, 258):
            yield name, {"lr": rate, "betas": (0.5, 0.999), "eps": 0.25}, _PARAMS[:1], [[np.array([1.0])]] * steps


_PLAIN = np.array([1.0, -2.0]), np.array([2.0, 0.5]), np.array([1.0, -3.0])
_UNKNOWN = tuple(
    (name, {"lr": 0.5, **more}, [np.array([1.0])], [[np.array([1.0])]])
    for name, more in (("adm", {}), ("adam", {"momentum": 0.5}))
)
QUESTIONS = {
    "optimize": (*itertools.chain.from_iterable(map(_questions, RULES)), *_UNKNOWN),
    "training_loop": (
        (2, {"name": "adam", "lr": 0.5, "eps": 0.25}, *_PLAIN),
        (3, {"name": "sgd", "lr": 0.125, "momentum": 0.5, "nesterov": True}, *_PLAIN),
    ),
}

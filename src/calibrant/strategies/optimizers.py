"""Inputs of the chapter on optimizers: hyperparameters, parameters and gradients."""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.strategies.drawing import FRACTIONS, WIDTH, Array, Bytes, Drawn, Strategy, cast, numbers_of


@dataclass
class Optimization:
    """The inputs of an optimizer: hyperparameters, K parameters, and K gradients for each of T steps; None for an absent one."""

    name: str
    hyperparameters: dict[str, Any]
    params: list[Array]
    grads: list[list[Array | None]]


_SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((1,),), ((2,),), ((1,), (1,)), ((2,), (2,)), ((),), ((2, 2),), ((1,), (2,)), ((2,), (), (2,)), ((2, 2), (1,)), ((), (2, 1)),
)  # fmt: skip
"""The shapes of the parameters of one example."""

_EPSILONS = (None, 0.25, 1e-2, 1e-1, 1e-8, 1e-12, 1e-4, 0.0)
_DECAYS = (None, 0.25, 0.1, 1e-2, 0.5, 0.0)
_FLAGS = (None, True, False)
_ADAM = {
    "beta1": (None, 0.5, 0.9, 0.0, 0.75, 0.99, 0.8, 0.1, 0.95),
    "beta2": (None, 0.75, 0.9, 0.999, 0.0, 0.5, 0.99, 0.3, 0.95),
    "eps": _EPSILONS,
    "weight_decay": _DECAYS,
}

_AVERAGING = {
    "warmup_steps": (None, 3, 2, 0, 5), "r": (None, 1.0, 0.5, 0.0), "weight_lr_power": (None, 2.0, 1.0, 0.0), "weight_decay": _DECAYS,
    "averaged": _FLAGS,
}  # fmt: skip

HYPERPARAMETERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "sgd": {"momentum": (None, 0.5, 0.9, 0.99, 0.0), "dampening": (None, 0.5, 0.1, 1.0), "weight_decay": _DECAYS, "nesterov": _FLAGS},
    "adam": _ADAM | {"amsgrad": _FLAGS},
    "adamw": _ADAM | {"amsgrad": _FLAGS},
    "rmsprop": {
        "alpha": (None, 0.5, 0.9, 0.75, 0.0, 0.95), "eps": _EPSILONS, "weight_decay": _DECAYS,
        "momentum": (None, 0.5, 0.9, 0.0), "centered": _FLAGS,
    },
    "adagrad": {
        "lr_decay": (None, 0.5, 0.1, 1e-2, 0.0, 1.0), "weight_decay": _DECAYS,
        "initial_accumulator_value": (None, 0.25, 0.1, 0.0, 1.0, 1e-4), "eps": _EPSILONS,
    },
    "adadelta": {"rho": (None, 0.5, 0.9, 0.75, 0.0, 0.95), "eps": _EPSILONS, "weight_decay": _DECAYS},
    "adamax": _ADAM,
    "nadam": _ADAM | {"momentum_decay": (None, 0.25, 4e-3, 0.0, 1.0)},
    "radam": _ADAM | {"beta2": (None, 0.9, 0.99, 0.75, 0.999, 0.95, 0.98, 0.0)},
    "asgd": {"lambd": (None, 0.25, 1e-2, 1e-4, 0.0), "alpha": (None, 0.5, 0.75, 0.0, 1.0), "weight_decay": _DECAYS},
    "rprop": {"etas": (None, (0.5, 2.0), (0.25, 1.5), (0.1, 1.05)), "step_sizes": (None, (0.25, 0.5), (0.5, 1.0), (1e-3, 0.6), (1e-6, 50.0))},
    "lion": {key: _ADAM[key] for key in ("beta1", "beta2", "weight_decay")},
    "adabelief": _ADAM,
    "lamb": _ADAM,
    "lars": {
        "momentum": (None, 0.5, 0.9, 0.0), "trust_coefficient": (None, 0.5, 1e-2, 1.0, 2.0, 0.1), "eps": (None, 0.25, 1e-2, 0.0),
        "weight_decay": _DECAYS,
    },
    "adafactor": {
        "beta2_decay": (None, -0.5, -1.0, -0.8, 0.0), "eps": (None, (0.25, 0.25), (1e-3, 1e-2), (0.0, 1e-3), (1e-8, 0.5)),
        "d": (None, 1.0, 2.0, 4.0), "weight_decay": _DECAYS,
    },
    "muon": {
        "momentum": (None, 0.5, 0.9, 0.0), "nesterov": _FLAGS, "ns_coefficients": (None, (1.5, -0.5, 0.0), (1.25, -0.25, 0.0)),
        "ns_steps": (None, 1, 0, 2, 1), "eps": (None, 0.25, 2.0, 1e-2), "adjust_lr_fn": (None, "match_rms_adamw", "original"),
        "weight_decay": _DECAYS,
    },
    "sgdschedulefree": {"momentum": (None, 0.5, 0.9, 0.75), **_AVERAGING},
    "adamwschedulefree": _ADAM | {"beta1": (None, 0.5, 0.9, 0.75), **_AVERAGING},
}  # fmt: skip
"""The choices of each hyperparameter, simplest first; None leaves it out. A third of the numbers come from `_RANGES` instead."""

_RANGES = {
    "beta1": (0.0, 0.99), "beta2": (0.0, 0.999), "eps": (1e-6, 1e-1), "weight_decay": (0.0, 0.5), "momentum": (0.0, 0.99),
    "dampening": (0.0, 1.0), "alpha": (0.0, 0.99), "lr_decay": (0.0, 1.0), "initial_accumulator_value": (0.0, 1.0), "rho": (0.0, 0.99),
    "momentum_decay": (0.0, 0.1), "lambd": (0.0, 0.1), "trust_coefficient": (1e-3, 2.0),
}  # fmt: skip
"""The range of a hyperparameter beside its choices."""

_AROUND: dict[str, tuple[Any, ...]] = {
    "courses": ("free", "constant", "shrinking", "growing", "alternating", "ending", "free", "shrinking"),
    "lr": (0.5, 0.25, 1.0, 0.1, 1e-2, 1e-3, 0.3, 1e-5),
    "rates": (1.0, 1.0, 0.5, 0.1, 1.0, 2.0),
    "absent": (False,),
}
"""How gradients change from step to step, the learning rate, how it changes, and whether gradients are absent."""

_GRADIENT_KINDS = (
    "few", "quarters", "whole", "real", "spread", "few", "real", "large", "quarters", "small", "spread", "real", "alike", "readings",
    "subnormal", "whole",
)  # fmt: skip

_OPTIMIZATION = 9 + 3 * WIDTH + 10


def optimizations(name: str, **options: Any) -> st.SearchStrategy[Any]:
    """Runs of one optimizer: all its hyperparameters, constant and changing rates, one to three tensors, gradients of all kinds.

    `only` names the hyperparameters to draw, `steps` the fewest and the most steps, `shapes` the choices of the tensors' shapes.
    `alike` asks for several tensors, the last of the first's shape. Any other option replaces the choices of a hyperparameter,
    `lr`, `rates`, `courses` or `absent`; at a constant rate a choice of `lr` may be None, which leaves it out.
    """
    return Strategy(_optimization(name, **options), _OPTIMIZATION)()


@functools.cache
def _optimization(
    name: str,
    *,
    steps: tuple[int, int] = (1, 8),
    only: tuple[str, ...] | None = None,
    alike: bool = False,
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = _SHAPES,
    **own: tuple[Any, ...],
) -> Callable[[Bytes, Format], Optimization]:
    """The decoder of runs."""
    steady = {"rates": (1.0,)} if name in ("asgd", "rprop") else {}
    around = {key: own.pop(key, some) for key, some in (_AROUND | steady).items()}
    choices = HYPERPARAMETERS[name] | {"maximize": _FLAGS}
    if own.keys() - choices:
        raise ValueError(f"{sorted(own.keys() - choices)} cannot be chosen for {name}")
    if only is not None:
        choices = {key: some if key in only else (None,) for key, some in choices.items()}
    choices |= own
    if name == "muon":
        shapes = tuple(tuple((1, 1, *shape)[-2:] for shape in some) for some in shapes)  # it moves matrices alone
    shapes = tuple(some for some in shapes if not alike or (len(some) > 1 and some[0] == some[-1]))

    def optimization(data: Bytes, form: Format) -> Optimization:
        some, (low, high) = data.pick(*shapes), steps
        n_steps = low + data.one() % (high - low + 1)
        kind_byte = data.one()
        course, rate, change, gaps = (data.pick(*some) for some in around.values())
        gap_bits = int(data.one()) | int(data.one()) << 8
        hyperparameters = hyperparameters_of(data.take(10), choices, own)
        if name == "rprop":  # its rate is its first size
            smallest, largest = hyperparameters.get("step_sizes", (1e-6, 50.0))
            rate = min(max(rate or 1e-2, smallest), largest)
        size = sum(math.prod(shape) for shape in some)
        start = numbers_of(data.column(size), _GRADIENT_KINDS[kind_byte >> 4 & 7], form)
        drawn_bytes = np.resize(data.take(2 * WIDTH), n_steps * size)
        slopes = _slopes(drawn_bytes, n_steps, _GRADIENT_KINDS[kind_byte & 15], course, form)
        if rate is not None:
            hyperparameters["lr"] = rate if change == 1.0 else [rate * change ** (t % 4) for t in range(n_steps)]
        grads: list[list[Array | None]] = [list(_tensors(row, some, form)) for row in slopes]
        for t, k in itertools.product(range(n_steps if gaps else 0), range(len(some))):
            if gap_bits >> (t + 5 * k) % 16 & 1:
                grads[t][k] = None
        return Optimization(name, hyperparameters, _tensors(start, some, form), grads)

    return optimization


def of_each(**options: Any) -> st.SearchStrategy[Drawn[Callable[[str], Optimization]]]:
    """Runs of an optimizer to be named, `run(name)`; options that it does not have are left out."""

    def run_of(data: Bytes, form: Format) -> Callable[[str], Optimization]:
        case = data.take(_OPTIMIZATION).tobytes()

        def named(name: str) -> Optimization:
            return Drawn(case, _optimization(name, **offered(name, options))).at(form)

        return named

    return Strategy(run_of, _OPTIMIZATION)()


def offered(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options without the hyperparameters that this optimizer does not have."""
    lacking = set().union(*HYPERPARAMETERS.values()) - HYPERPARAMETERS[name].keys()
    lacking |= {"eps"} if name == "adafactor" else set()  # its epsilons are a pair
    return {key: x for key, x in options.items() if key not in lacking}


def hyperparameters_of(
    data: NDArray[np.uint8], choices: dict[str, tuple[Any, ...]], own: dict[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """One choice of each hyperparameter; `own` are the choices that no range replaces."""
    given: dict[str, Any] = {}
    for place, ((key, some), byte) in enumerate(zip(choices.items(), map(int, data), strict=False)):
        value = some[byte % len(some)]
        if byte > 170 and key in _RANGES and key not in own and len(some) > 1 and not isinstance(some[1], tuple):
            low, high = _RANGES[key]
            value = low + (high - low) * float(FRACTIONS[byte, place])
        if value is not None:
            given[key] = value
    betas = given.pop("beta1", None), given.pop("beta2", None)
    if betas != (None, None):
        given["betas"] = (0.9 if betas[0] is None else betas[0], 0.999 if betas[1] is None else betas[1])
    if not given.get("momentum"):
        given.pop("dampening", None)  # there is no buffer to enter
    if "dampening" in choices and given.get("nesterov") and (not given.get("momentum") or given.get("dampening")):
        given["nesterov"] = False  # it needs momentum, and no dampening
    return given


def _slopes(data: NDArray[np.uint8], n_steps: int, kind: str, course: str, form: Format) -> Array:
    """The gradients, a row a step."""
    slopes = np.array([numbers_of(row, kind, form, 7 * t % 70) for t, row in enumerate(data.reshape(n_steps, -1))])
    times = np.arange(n_steps)[:, None]
    first, unit = slopes[:1], 0.25 if form.max_exponent >= 100 else 0.5
    courses: dict[str, Array] = {
        "free": slopes,
        "constant": first + 0 * slopes,
        "shrinking": first * unit**times,
        "growing": first * unit ** -np.minimum(times, 7),  # float16 holds no more doublings of its largest
        "alternating": slopes * (-1.0) ** times,
        "ending": np.where(times < (n_steps + 1) // 2, slopes, 0.0),
    }
    return courses[course]


def _tensors(row: Array, shapes: tuple[tuple[int, ...], ...], form: Format) -> list[Array]:
    """A row cut into tensors of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [cast(part, form).reshape(shape) for part, shape in zip(np.split(row, ends[:-1]), shapes, strict=True)]

"""Inputs of the chapter on training: paths to average, losses to scale, and mini-batches to train on."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from calibrant.exact import Format
from calibrant.strategies.drawing import FRACTIONS, Array, Bytes, Drawn, Strategy, strategy
from calibrant.strategies.optimizers import _OPTIMIZATION, Optimization, _optimization, of_each, offered
from calibrant.strategies.samples import FIT, Descent, descents

WITHOUT_ZEROS: dict[str, Any] = {
    "beta1": (None, 0.5, 0.9, 0.75),
    "beta2": (None, 0.75, 0.9, 0.99),
    "eps": (None, 0.25, 1e-2, 0.1),
    "weight_decay": (None, 0.25, 0.1, 0.5),
    "momentum": (None, 0.5, 0.9),
    "dampening": (None,),
    "alpha": (None, 0.5, 0.9, 0.75),
    "rho": (None, 0.5, 0.9),
    "lambd": (None, 0.25, 1e-2),
    "momentum_decay": (None, 0.25),
    "lr_decay": (None, 0.5, 0.1),
    "initial_accumulator_value": (None, 0.25),
    "courses": ("free", "constant", "shrinking", "alternating", "free"),
}
"""Choices with which every optimizer does something that another number would change; none is zero, which some refuse."""


def runs_of_each(**options: Any) -> st.SearchStrategy[Drawn[Callable[[str], Optimization]]]:
    """Runs of an optimizer to be named, with hyperparameters that every library takes."""
    return of_each(**WITHOUT_ZEROS | options)


@dataclass
class Averaged:
    """The inputs of an average: its hyperparameters, and a path of T lists of K arrays."""

    hyperparameters: dict[str, Any]
    path: list[list[Array]]


_DECAYS = (0.5, 0.9, 0.75, 0.99, 0.25, 0.999, 0.0, 0.3)
_LONG = ((9,), (17,), (33, 1), (65,))
"""Shapes beyond the blocks in which machines work."""


def averages(**fixed: Any) -> st.SearchStrategy[Any]:
    """Paths of one to eight steps, with these hyperparameters of an average; `decay` and `every` are drawn where they are None.

    A path is made of the gradients of runs: any numbers, numbers that stand still, shrink, or change their signs.
    """
    return Strategy(_averages(tuple(fixed.items())), _OPTIMIZATION + 3)()


@functools.cache
def _averages(fixed: tuple[tuple[str, Any], ...]) -> Callable[[Bytes, Format], Averaged]:
    kinds = ("free", "constant", "shrinking", "alternating", "free")
    run = _optimization("sgd", steps=(1, 8), courses=kinds)
    long = _optimization("sgd", steps=(1, 4), courses=kinds, shapes=tuple((shape,) for shape in _LONG))

    def averaged(data: Bytes, form: Format) -> Averaged:
        byte = data.one()
        decay = _DECAYS[byte % len(_DECAYS)] if byte < 192 else float(FRACTIONS[byte, 1])
        drawn = {"decay": decay, "every": data.pick(2, 3, 1, 4)}
        found = {key: drawn[key] if x is None else x for key, x in fixed}
        grads: Any = (long if byte % 5 in (2, 4) else run)(data, form).grads
        return Averaged(found, grads)

    return averaged


@dataclass
class Scaled:
    """The inputs of steps with a scaled loss: a run, how its scale begins and grows, and the largest norm of its gradients."""

    run: Optimization
    scale: dict[str, Any]
    max_norm: float | None


def scaled_runs(
    *, overflows: bool | None, norms: tuple[float | None, ...] = (None,), **options: Any
) -> st.SearchStrategy[Drawn[Callable[[str], Scaled]]]:
    """Runs of an optimizer to be named, with a scale that is a power of two, as its factors are; `overflows` spoils one step or more by a gradient that is
    infinite, NaN, or so large that it overflows when it is scaled, and None leaves open whether it does."""
    known = WITHOUT_ZEROS | options

    def scaled_of(data: Bytes, form: Format) -> Callable[[str], Scaled]:
        start = data.pick(16.0, None, 256.0, 32.0, None, 128.0)
        drawn = {
            "init_scale": start if start or form.max_exponent >= 100 else 64.0, "growth_interval": data.pick(2, 1, 3, None),
            "growth_factor": data.pick(None, 4.0, 2.0), "backoff_factor": data.pick(None, 0.25, 0.5),
        }  # fmt: skip
        spoils = data.take(3)
        norm, places = data.pick(*norms), data.take(3)
        spoiled = data.one() % 4 > 0 if overflows is None else overflows
        case = data.take(_OPTIMIZATION).tobytes()

        def named(name: str) -> Scaled:
            run = _optimization(name, **offered(name, known))(Bytes(case), form)
            for spoil, place in zip(spoils.tolist(), places.tolist(), strict=True):
                if spoiled:
                    grads: Any = run.grads[place % len(run.grads)]
                    large = (form.largest * 0.75, np.inf, np.nan, -form.largest * 0.75)[spoil % 4]
                    grads[place // 16 % len(grads)].reshape(-1)[-1:] = large
            return Scaled(run, {key: x for key, x in drawn.items() if x is not None}, norm)

        return named

    return Strategy(scaled_of, _OPTIMIZATION + 12)()


@dataclass
class Batches:
    """A request for mini-batches."""

    n_samples: int
    batch_size: int
    shuffle: bool
    seed: int
    drop_last: bool
    epochs: int


@strategy(10)
def batch_requests(data: Bytes, form: Format) -> Batches:
    """Requests for batches of 1 to 40 samples, with a rest, without one, or with room for more samples than there are."""
    n, byte = data.length(), data.one()
    size = (2, 3, n, n + 1, 1, 4, max(n // 2, 1), max(n - 1, 1))[byte % 8]
    shuffle, drop_last, epochs = data.pick(True, False), data.pick(False, True), data.pick(2, 1, 3)
    return Batches(n, size, shuffle, int.from_bytes(data.take(4), "little"), drop_last, epochs)


@dataclass
class Minibatched(Descent):
    """A descent, and the rows of each batch of each of its epochs."""

    batches: list[list[list[int]]]


_MOST_SAMPLES = 10


@strategy(FIT + 2 + 5)
def minibatch_descents(data: Bytes, form: Format) -> Minibatched:
    """Descents of one to ten samples in batches of any sizes, the last of which is often smaller, for one epoch or two."""
    one = descents.decode(data, form)
    t_u, t_c = one.t_u[-_MOST_SAMPLES:], one.t_c[-_MOST_SAMPLES:]
    n, size, seed = len(t_u), data.pick(2, 1, 3, 4, 5), data.one()
    epochs = []
    for epoch in range(data.pick(1, 2)):
        rows = np.random.default_rng(seed + epoch).permutation(n).tolist() if seed else list(range(n))
        epochs.append([rows[start : start + size] for start in range(0, n, size)])
    return Minibatched(**vars(one) | {"t_u": t_u, "t_c": t_c}, batches=epochs)

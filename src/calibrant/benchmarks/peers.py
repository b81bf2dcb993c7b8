"""What each checker sees of a wrong gradient, and how often it rejects a right one."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from calibrant import exact
from calibrant.benchmarks.evaluations import Array, tensor
from calibrant.benchmarks.output import progress, table
from calibrant.exact.measurements import T_C, T_U
from calibrant.judge import agree

PEERS = ("calibrant", "gradcheck", "assert_allclose")
Gradient = Callable[[Array, Array, Array, Array], Array]


def right(t_u: Array, t_c: Array, w: Array, b: Array) -> Array:
    """The gradient by hand, in the dtype of the data."""
    r, n = w * t_u + b - t_c, t_u.dtype.type(len(t_u))
    dloss = r + r
    return np.stack([np.sum(dloss * t_u) / n, np.sum(dloss) / n])


class Point(NamedTuple):
    """Data and the parameters at which a gradient is checked."""

    name: str
    all: tuple[Array, Array, Array, Array]
    """t_u, t_c, w and b."""


def point(name: str, t_u: Any, t_c: Any, params: Any, dtype: str) -> Point:
    """Make a point in numbers of a dtype."""
    t_u, t_c, w, b = (np.array(x, dtype=np.float64).astype(dtype) for x in (t_u, t_c, *params))
    return Point(name, (t_u, t_c, w, b))


def optimal(t_u: Any, t_c: Any) -> list[float]:
    """The least-squares parameters."""
    t_u, t_c = (exact.of(np.array(x, dtype=np.float64)) for x in (t_u, t_c))
    return [exact.to_float(x) for x in exact.optimum(t_u, t_c)]


def accepted_by(peer: str, gradient: Array, here: Point) -> bool:
    """Whether a checker, at its defaults, accepts this gradient there."""
    if peer == "gradcheck":
        return _gradcheck(gradient, here)
    try:
        if peer == "calibrant":
            agree(gradient, exact.gradient(*map(exact.of, here.all)))
        else:
            truth = exact.gradient(*(exact.of(x).true() for x in here.all)).nearest()
            np.testing.assert_allclose(gradient, truth.astype(here.all[0].dtype))
    except AssertionError:
        return False
    return True


def _gradcheck(gradient: Array, here: Point) -> bool:
    """Whether torch.autograd.gradcheck accepts this as the gradient of the mean squared error by w and b."""
    import torch

    t_u, t_c, w, b, given = map(tensor, (*here.all, gradient.astype(here.all[0].dtype)))

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Any, b: Any) -> Any:
            return ((w * t_u + b - t_c) ** 2).mean()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0] * given[0], grads[0] * given[1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that float32 is not precise enough for it
        inputs = (w.requires_grad_(), b.requires_grad_())
        return bool(torch.autograd.gradcheck(Loss.apply, inputs, raise_exception=False))


def smallest_rejected(peer: str, here: Point, which: tuple[bool, bool]) -> float:
    """The smallest relative error e for which the gradient times (1 + e) is rejected, to 1 %; infinite if none up to 1e12."""
    gradient = right(*here.all).astype(np.float64)

    def rejected(e: float) -> bool:
        return not accepted_by(peer, gradient * np.where(which, 1 + e, 1.0), here)

    low, high = 1e-18, 1e12
    if not rejected(high):
        return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high


def _changed(dw: Callable[[int], float], db: Callable[[int], float]) -> Gradient:
    """The right gradient of n samples, with each derivative times its factor."""
    return lambda t_u, t_c, w, b: right(t_u, t_c, w, b) * np.array([dw(len(t_u)), db(len(t_u))])


def _same(n: int) -> float:
    return 1.0


def _unbiased(n: int) -> float:
    return n / (n - 1)


FAULTS: dict[str, Gradient] = {
    "no factor 2": _changed(lambda n: 1 / 2, lambda n: 1 / 2),
    "divided by n - 1": _changed(_unbiased, _unbiased),
    "the sum, not the mean": _changed(float, float),
    "twice": _changed(lambda n: 2, lambda n: 2),
    "the bias left out": _changed(_same, lambda n: 0),
    "the sign of the bias": _changed(_same, lambda n: -1),
    "half for the bias": _changed(_same, lambda n: 1 / 2),
    "n - 1 for the bias": _changed(_same, _unbiased),
    "the mean reading times db": lambda t_u, t_c, w, b: right(t_u, t_c, w, b)[1] * np.stack([np.mean(t_u), 1.0]),
    "the last sample only": lambda t_u, t_c, w, b: right(t_u[-1:], t_c[-1:], w, b),
}
"""Ways to get the gradient wrong."""


def settings_of_faults(dtype: str, rng: np.random.Generator) -> list[Point]:
    """Twelve: few samples and many, readings near 0.001, 1 and 1000, far from the optimum and a thousandth from it."""
    points = []
    for n in (5, 50):
        for scale in (1e-3, 1.0, 1e3):
            t_u = rng.uniform(0.5, 1.5, n) * scale
            t_c = 3 * t_u / scale - 1 + rng.normal(0, 0.5, n)
            best = np.array(optimal(t_u.astype(dtype), t_c.astype(dtype)))
            points += [
                point(f"n {n}, scale {scale:g}, far", t_u, t_c, [1.0, 0.0], dtype),
                point(f"n {n}, scale {scale:g}, near", t_u, t_c, best * 1.001, dtype),
            ]
    return points


def data_sets(cases: int, dtype: str, spread: str, rng: np.random.Generator) -> Iterator[Point]:
    """Random data sets of 1 to 50 samples and parameters: uniform in (-10, 10), or of magnitudes from 1e-6 to 1e6."""

    def numbers(n: int) -> Array:
        if spread == "uniform":
            return rng.uniform(-10, 10, n)
        return np.asarray(rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-6, 6, n))

    for _ in range(cases):
        n = int(rng.integers(1, 51))
        yield point(spread, numbers(n), numbers(n), numbers(2), dtype)


def available_peers() -> list[str]:
    """The checkers that are installed."""
    return [peer for peer in PEERS if peer != "gradcheck" or find_spec("torch")]


def measure(cases: int, seed: int) -> dict[str, Any]:
    """Compare calibrant with gradcheck and assert_allclose, at their defaults."""
    found, dtypes = available_peers(), ("float64", "float32")
    u, c = np.array(T_U), np.array(T_C)
    places = (
        ("thermometer, w = 1, b = 0", u, [1.0, 0.0]),
        ("x times 1000", u * 1000, [1.0, 0.0]),
        ("at the optimum", u, optimal(u, c)),
    )
    parts = {"both": (True, True), "dw": (True, False), "db": (False, True)}
    sizes: list[dict[str, Any]] = []
    for dtype in dtypes:
        for (name, t_u, params), peer in itertools.product(places, found):
            here = point(name, t_u, c, params, dtype)
            rejected = {part: smallest_rejected(peer, here, which) for part, which in parts.items()}
            sizes.append({"point": name, "dtype": dtype, "peer": peer} | rejected)
        progress(f"smallest rejected errors: {dtype}", last=True)

    planted: list[dict[str, Any]] = []
    for dtype in dtypes:
        tried = list(itertools.product(settings_of_faults(dtype, np.random.default_rng(seed)), FAULTS.items()))
        for peer in found:
            missed = [f"{name}; {here.name}" for here, (name, f) in tried if accepted_by(peer, f(*here.all), here)]
            row = {"dtype": dtype, "peer": peer, "faults": len(tried), "found": len(tried) - len(missed)}
            planted.append(row | {"missed": missed})
        progress(f"planted faults: {dtype}", last=True)

    alarms: list[dict[str, Any]] = []
    for dtype, spread in itertools.product(dtypes, ("uniform", "log-uniform")):
        sets = list(data_sets(cases, dtype, spread, np.random.default_rng(seed)))
        for peer in found:
            number = sum(not accepted_by(peer, right(*here.all), here) for here in sets)
            alarms.append({"dtype": dtype, "spread": spread, "peer": peer, "sets": cases, "rejected": number})
        progress(f"correct gradients: {dtype}, {spread}", last=True)

    print("Smallest relative error of a gradient that is rejected, in both components, in dw only, in db only")
    print(table(sizes, dict.fromkeys(sizes[0], "") | dict.fromkeys(parts, ".2g")))
    print("\nPlanted faults")
    print(table(planted, dict.fromkeys(("dtype", "peer", "faults", "found"), "")))
    print("\nCorrect gradients")
    print(table(alarms, dict.fromkeys(alarms[0], "")))
    return {"sizes": sizes, "planted": planted, "alarms": alarms}

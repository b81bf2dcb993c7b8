"""What each checker sees of a wrong gradient, and how often it rejects a right one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.benchmarks.evaluations import Array, tensors
from calibrant.benchmarks.output import progress, table
from calibrant.exact.measurements import T_C, T_U
from calibrant.judge import Disagreement, agree

PEERS = ("calibrant", "gradcheck", "assert_allclose")
Gradient = Callable[[Array, Array, Array, Array], Array]


def right(t_u: Array, t_c: Array, w: Array, b: Array) -> Array:
    """The gradient by hand, in the dtype of the data."""
    r, n = w * t_u + b - t_c, t_u.dtype.type(len(t_u))
    dloss = r + r
    return np.stack([np.sum(dloss * t_u) / n, np.sum(dloss) / n])


@dataclass
class Point:
    """Data and the parameters at which a gradient is checked."""

    name: str
    t_u: Array
    t_c: Array
    w: Array
    b: Array

    @property
    def all(self) -> tuple[Array, Array, Array, Array]:
        """t_u, t_c, w and b."""
        return self.t_u, self.t_c, self.w, self.b


def point(name: str, t_u: Any, t_c: Any, params: Any, dtype: str) -> Point:
    """A point in numbers of a dtype."""
    t_u, t_c, params = (np.array(x, dtype=np.float64).astype(dtype) for x in (t_u, t_c, params))
    return Point(name, t_u, t_c, np.asarray(params[0]), np.asarray(params[1]))


def optimal(t_u: Any, t_c: Any) -> list[float]:
    """The least-squares parameters."""
    t_u, t_c = (exact.of(np.array(x, dtype=np.float64)) for x in (t_u, t_c))
    return [exact.to_float(x) for x in exact.optimum(t_u, t_c)]


def accepted_by(peer: str, gradient: Array, here: Point) -> bool:
    """Whether a checker, at its defaults, takes this for the gradient there."""
    if peer == "calibrant":
        try:
            agree(gradient, exact.gradient(*map(exact.of, here.all)))
        except Disagreement:
            return False
        return True
    if peer == "assert_allclose":
        truth = exact.gradient(*(exact.of(x).true() for x in here.all)).nearest().astype(here.t_u.dtype)
        try:
            np.testing.assert_allclose(gradient, truth)
        except AssertionError:
            return False
        return True
    return _gradcheck(gradient, here)


def _gradcheck(gradient: Array, here: Point) -> bool:
    """Whether torch.autograd.gradcheck takes it for the gradient of the seed's loss by w and b."""
    import torch

    t_u, t_c, w, b, given = tensors(*here.all, np.asarray(gradient, dtype=here.t_u.dtype))

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


def _faults() -> dict[str, Gradient]:
    """Ways to get the gradient wrong."""

    def of_bias(change: Callable[[Any, int], Any]) -> Gradient:
        def gradient(t_u: Array, t_c: Array, w: Array, b: Array) -> Array:
            dw, db = right(t_u, t_c, w, b)
            return np.stack([dw, change(db, len(t_u))])

        return gradient

    def of_both(change: Callable[[Array, int], Array]) -> Gradient:
        return lambda t_u, t_c, w, b: change(right(t_u, t_c, w, b), len(t_u))

    return {
        "no factor 2": of_both(lambda g, n: g / 2),
        "divided by n - 1": of_both(lambda g, n: g * n / (n - 1)),
        "the sum, not the mean": of_both(lambda g, n: g * n),
        "twice": of_both(lambda g, n: g * 2),
        "the bias left out": of_bias(lambda db, n: db * 0),
        "the sign of the bias": of_bias(lambda db, n: -db),
        "half for the bias": of_bias(lambda db, n: db / 2),
        "n - 1 for the bias": of_bias(lambda db, n: db * n / (n - 1)),
        "the mean reading times db": lambda t_u, t_c, w, b: right(t_u, t_c, w, b)[1] * np.stack([np.mean(t_u), 1.0]),
        "the last sample only": lambda t_u, t_c, w, b: right(t_u[-1:], t_c[-1:], w, b),
    }


FAULTS = _faults()


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
    """Calibrant beside gradcheck and assert_allclose, at their defaults."""
    found = available_peers()
    u, c = np.array(T_U), np.array(T_C)
    points = [
        ("thermometer, w = 1, b = 0", u, [1.0, 0.0]),
        ("x times 1000", u * 1000, [1.0, 0.0]),
        ("at the optimum", u, optimal(u, c)),
    ]
    sizes = []
    for dtype in ("float64", "float32"):
        for name, t_u, params in points:
            here = point(name, t_u, c, params, dtype)
            for peer in found:
                e = [smallest_rejected(peer, here, which) for which in ((True, True), (True, False), (False, True))]
                sizes.append({"point": name, "dtype": dtype, "peer": peer, "both": e[0], "dw": e[1], "db": e[2]})
        progress(f"smallest rejected errors: {dtype}", last=True)

    planted = []
    for dtype in ("float64", "float32"):
        settings = settings_of_faults(dtype, np.random.default_rng(seed))
        for peer in found:
            missed = [
                f"{name}; {here.name}"
                for here in settings
                for name, fault in FAULTS.items()
                if accepted_by(peer, fault(*here.all), here)
            ]
            number = len(settings) * len(FAULTS)
            planted.append(
                {"dtype": dtype, "peer": peer, "faults": number, "found": number - len(missed), "missed": missed}
            )
        progress(f"planted faults: {dtype}", last=True)

    alarms = []
    for dtype in ("float64", "float32"):
        for spread in ("uniform", "log-uniform"):
            sets = list(data_sets(cases, dtype, spread, np.random.default_rng(seed)))
            for peer in found:
                rejected = sum(not accepted_by(peer, right(*here.all), here) for here in sets)
                alarms.append({"dtype": dtype, "spread": spread, "peer": peer, "sets": cases, "rejected": rejected})
            progress(f"correct gradients: {dtype}, {spread}", last=True)

    print("Smallest relative error of a gradient that is rejected, in both components, in dw only, in db only")
    header = ("point", "dtype", "peer", "both", "dw", "db")
    print(table(header, [[f"{r[h]:.2g}" if h in ("both", "dw", "db") else r[h] for h in header] for r in sizes]))
    print("\nPlanted faults")
    print(
        table(
            ("dtype", "peer", "faults", "found"),
            [[r[h] for h in ("dtype", "peer", "faults", "found")] for r in planted],
        )
    )
    print("\nCorrect gradients")
    print(table(tuple(alarms[0]), [list(r.values()) for r in alarms]))
    return {"sizes": sizes, "planted": planted, "alarms": alarms}

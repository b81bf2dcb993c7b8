"""What each checker sees of a wrong gradient, and how often it rejects a right one."""

import itertools
import math
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.adapters import numpy_target
from calibrant.benchmarks.evaluations import Array, tensor
from calibrant.exact.measurements import T_C, T_U
from calibrant.judge import agree

PEERS = ("calibrant", "gradcheck", "assert_allclose")
DTYPES = ("float64", "float32")
SIZES = "Smallest relative error of a gradient that is rejected, in both components, in dw only, in db only"
ALARMS = "Right gradients that are rejected"

Point = tuple[Array, Array, Array, Array]
"""Where a gradient is checked: t_u, t_c, w and b."""


def point(dtype: str, t_u: Any, t_c: Any, params: Any) -> Point:
    """Make a point in numbers of a dtype."""
    t_u, t_c, w, b = (np.array(x, dtype=np.float64).astype(dtype) for x in (t_u, t_c, *params))
    return t_u, t_c, w, b


def optimal(t_u: Any, t_c: Any) -> Array:
    """The least-squares parameters."""
    t_u, t_c = (exact.of(np.array(x, dtype=np.float64)) for x in (t_u, t_c))
    return np.array([exact.to_float(x) for x in exact.optimum(t_u, t_c)])


def gradient(here: Point) -> Array:
    """The gradient by hand."""
    t_u, t_c, w, b = here
    return np.asarray(numpy_target.grad_fn(t_u, t_c, w * t_u + b, w, b))


def accepted_by(peer: str, gradient: Array, here: Point) -> bool:
    """Whether a checker, at its defaults, accepts this gradient there."""
    if peer == "gradcheck":
        return _gradcheck(gradient, here)
    try:
        if peer == "calibrant":
            agree(gradient, exact.gradient(*map(exact.of, here)))
        else:
            truth = exact.gradient(*(exact.of(x).true() for x in here)).nearest()
            np.testing.assert_allclose(gradient, truth.astype(here[0].dtype))
    except AssertionError:
        return False
    return True


def _gradcheck(gradient: Array, here: Point) -> bool:
    """Whether torch.autograd.gradcheck accepts this as the gradient of the mean squared error by w and b."""
    import torch

    t_u, t_c, w, b, given = map(tensor, (*here, gradient.astype(here[0].dtype)))

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
    right = gradient(here).astype(np.float64)

    def rejected(e: float) -> bool:
        return not accepted_by(peer, right * np.where(which, 1 + e, 1.0), here)

    low, high = 1e-18, 1e12
    if not rejected(high):
        return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high


def data_sets(cases: int, dtype: str, spread: str, rng: np.random.Generator) -> Iterator[Point]:
    """Random data sets of 1 to 50 samples and parameters: uniform in (-10, 10), or of magnitudes from 1e-6 to 1e6."""

    def numbers(n: int) -> Array:
        if spread == "uniform":
            return rng.uniform(-10, 10, n)
        return np.asarray(rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-6, 6, n))

    for _ in range(cases):
        n = int(rng.integers(1, 51))
        yield point(dtype, numbers(n), numbers(n), numbers(2))


def available_peers() -> list[str]:
    """The checkers that are installed."""
    return [peer for peer in PEERS if peer != "gradcheck" or find_spec("torch")]


def measure(cases: int, seed: int) -> dict[str, Any]:
    """Compare calibrant with gradcheck and assert_allclose, at their defaults."""
    u, c = np.array(T_U), np.array(T_C)
    places: dict[str, Any] = {
        "thermometer, w = 1, b = 0": (u, c, [1.0, 0.0]),
        "x times 1000": (u * 1000, c, [1.0, 0.0]),
        "at the optimum": (u, c, optimal(u, c)),
    }
    parts = {"both": (True, True), "dw": (True, False), "db": (False, True)}
    sizes: list[dict[str, Any]] = []
    alarms: list[dict[str, Any]] = []
    for dtype in DTYPES:
        for (name, place), peer in itertools.product(places.items(), available_peers()):
            here = point(dtype, *place)
            errors = {part: smallest_rejected(peer, here, which) for part, which in parts.items()}
            sizes.append({"point": name, "dtype": dtype, "peer": peer} | errors)
        for spread in ("uniform", "log-uniform"):
            sets = list(data_sets(cases, dtype, spread, np.random.default_rng(seed)))
            for peer in available_peers():
                rejected = sum(not accepted_by(peer, gradient(here), here) for here in sets)
                alarms.append({"dtype": dtype, "spread": spread, "peer": peer, "sets": cases, "rejected": rejected})
    return {SIZES: sizes, ALARMS: alarms}

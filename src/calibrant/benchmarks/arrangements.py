"""Legitimate arrangements of the book's operations, none of which the judge may reject.

Each is the same mathematics in another order: a mean divided before its sum, a square of a root, a moving average as a step
towards the new value. Appendix A of the book says which arrangements a bound covers; here they are, one by one.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant import exact, strategies
from calibrant.benchmarks import REJECTED
from calibrant.checks.spread import spread
from calibrant.exact import FORMATS
from calibrant.impostors.correct import PYTORCH, as_exact
from calibrant.judge import Disagreement, Tally, agree, agree_lists, tallying
from calibrant.protocol.declarations import numpy_dtype
from calibrant.strategies.drawing import Strategy
from calibrant.strategies.optimizers import _OPTIMIZATION, _optimization

DTYPES = ("float16", "float32", "float64")
JUDGED = "Arrangements, and the largest error in units of its bound"

Array = NDArray[Any]
Evaluate = Callable[..., Any]


def random_bytes(strategy: Strategy[Any], rng: np.random.Generator) -> bytes:
    """Draw the bytes of an example. Byte 0 is the simplest of everything; a quarter has many, as Hypothesis draws them."""
    data = rng.integers(0, 256, strategy.length, dtype=np.uint8)
    if rng.integers(4) == 0:
        data[rng.random(strategy.length) < 0.5] = 0
    return data.tobytes()


@dataclass(frozen=True)
class Asked:
    """An operation to arrange: how its arguments are drawn, and its truth."""

    strategy: Strategy[Any]
    arguments: Callable[[Any], tuple[Any, ...]]
    truth: Callable[..., Any]

    def drawn(self, dtype: str, rng: np.random.Generator) -> tuple[Any, ...]:
        """Draw arguments in a dtype."""
        data = random_bytes(self.strategy, rng)
        return self.arguments(strategies.Drawn(data, self.strategy.decode).at(FORMATS[dtype]))

    def judge(self, answer: Any, arguments: tuple[Any, ...], dtype: str) -> None:
        """Raise Disagreement unless an answer is right."""
        truth = self.truth(*arguments) if self.arguments is _RUN else self.truth(*as_exact(arguments))
        if isinstance(truth, list):
            agree_lists([x if isinstance(x, list) else [x] for x in answer], truth)
        else:
            agree(np.asarray(answer, dtype=numpy_dtype(dtype)), truth)


@dataclass(frozen=True)
class Arrangement:
    """A way to evaluate an operation, the dtypes in which it can be evaluated, and whether it takes subnormal numbers for zero."""

    operation: str
    name: str
    evaluate: Evaluate
    dtypes: tuple[str, ...] = DTYPES
    flushes: bool = False


# Sums, means, residuals and predictions


def loop(x: Array) -> Any:
    """The sum, one number after another."""
    return functools.reduce(operator.add, x)


def tensor(x: Array) -> Any:
    """Make a tensor of the same numbers."""
    import torch

    x = np.array(x)
    return (
        torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16) if x.dtype.name == "bfloat16" else torch.from_numpy(x)
    )


def _fused(x: Array, y: Any, z: Any) -> Array:
    """x y + z, rounded once where it is finite."""
    form, parts = FORMATS[x.dtype.name], [part.ravel().astype(np.float64) for part in np.broadcast_arrays(x, y, z)]
    fused = parts[0] * parts[1] + parts[2]
    for i, triple in enumerate(zip(*(part.tolist() for part in parts), strict=True)):
        if all(map(math.isfinite, triple)):
            a, b, c = map(Fraction, triple)
            fused[i] = exact.to_float(exact.round_to(a * b + c, form))
    return fused.astype(x.dtype)


PREDICTIONS: dict[str, Evaluate] = {
    "product first": lambda u, w, b: w * u + b,
    "blas": lambda u, w, b: np.stack([u, np.ones_like(u)], 1) @ np.stack([w, b]),
    "einsum": lambda u, w, b: np.einsum("ij,j->i", np.stack([u, np.ones_like(u)], 1), np.stack([w, b])),
    "fused": lambda u, w, b: _fused(u, w, b),
    "wider": lambda u, w, b: (np.float64(w) * u.astype(np.float64) + np.float64(b)).astype(u.dtype),
}
RESIDUALS: dict[str, Evaluate] = {
    "prediction first": lambda u, c, w, b: w * u + b - c,
    "left to right": lambda u, c, w, b: -(c - w * u - b),
    "bias last": lambda u, c, w, b: w * u - c + b,
    "offset first": lambda u, c, w, b: w * u + (b - c),
    "fused": lambda u, c, w, b: _fused(u, w, b) - c,
    "fused from the temperature": lambda u, c, w, b: _fused(u, w, -c) + b,
}


def _sqrt(n: int, r: Array) -> Any:
    return np.sqrt(r.dtype.type(n))


def _kahan(x: Array) -> Any:
    total = lost = x.dtype.type(0)
    for term in x:
        y = term - lost
        t = total + y
        lost = (t - total) - y
        total = t
    return total


def _neumaier(x: Array) -> Any:
    total = lost = x.dtype.type(0)
    for term in x:
        t = total + term
        lost += (total - t) + term if abs(total) >= abs(term) else (term - t) + total
        total = t
    return total + lost


def _blocked(x: Array) -> Any:
    return loop(np.array([loop(x[i : i + 8]) for i in range(0, len(x), 8)], dtype=x.dtype))


def _threads(x: Array) -> Any:
    """Three sums, as OpenMP's reduction adds them up."""
    return loop(np.array([loop(part) for part in np.array_split(x, 3) if part.size], dtype=x.dtype))


def _pairwise(x: Array) -> Any:
    half = len(x) // 2
    return _pairwise(x[:half]) + _pairwise(x[half:]) if half else x[0]


def _welford(x: Array) -> Any:
    mean = x.dtype.type(0)
    for k, term in enumerate(x, start=1):
        mean += (term - mean) / x.dtype.type(k)
    return mean


def _chan(x: Array) -> Any:
    """The mean of the means of two halves, weighed by their sizes."""
    n, half = len(x), len(x) // 2
    if not half:
        return x[0]
    return (_chan(x[:half]) * x.dtype.type(half) + _chan(x[half:]) * x.dtype.type(n - half)) / x.dtype.type(n)


SUMS: dict[str, Evaluate] = {
    "np.sum": np.sum,
    "np.dot": lambda x: np.dot(x, np.ones_like(x)),
    "np.matmul": lambda x: np.ones_like(x) @ x,
    "np.einsum": lambda x: np.einsum("i->", x),
    "loop": loop,
    "reversed": lambda x: loop(x[::-1]),
    "pairwise": _pairwise,
    "blocked": _blocked,
    "three threads": _threads,
    "kahan": _kahan,
    "neumaier": _neumaier,
    "fsum": lambda x: x.dtype.type(math.fsum(x.tolist())),
    "in float64": lambda x: x.astype(np.float64).sum().astype(x.dtype),
}
MEAN_SQUARES: dict[str, Evaluate] = {
    **{
        f"sum of squares, {name}": lambda r, total=total: total(r * r) / r.dtype.type(len(r))
        for name, total in SUMS.items()
    },
    "divided first": lambda r: np.sum(r * r / r.dtype.type(len(r))),
    "by the reciprocal": lambda r: np.sum(r * r) * (r.dtype.type(1) / r.dtype.type(len(r))),
    "residual divided by n": lambda r: np.sum(r * (r / r.dtype.type(len(r)))),
    "norm squared": lambda r: np.linalg.norm(r) ** 2 / r.dtype.type(len(r)),
    "root mean square squared": lambda r: np.square(np.sqrt(np.mean(r * r))),
    "divided by the root": lambda r: np.sum(np.square(r / _sqrt(len(r), r))),
    "by the root's reciprocal": lambda r: np.sum(np.square(r * (r.dtype.type(1) / _sqrt(len(r), r)))),
    "norm of the divided by the root, squared": lambda r: np.square(np.linalg.norm(r / _sqrt(len(r), r))),
    "norm divided by the root, squared": lambda r: np.square(np.linalg.norm(r) / _sqrt(len(r), r)),
    "hypot": lambda r: np.square(r.dtype.type(math.hypot(*r.tolist()))) / r.dtype.type(len(r)),
    "dot": lambda r: np.dot(r, r) / r.dtype.type(len(r)),
    "vdot of the mean": lambda r: np.vdot(r / r.dtype.type(len(r)), r),
    "einsum": lambda r: np.einsum("i,i->", r, r) / r.dtype.type(len(r)),
    "welford": lambda r: _welford(r * r),
    "means of halves": lambda r: _chan(r * r),
    "in float64": lambda r: np.mean(r.astype(np.float64) ** 2).astype(r.dtype),
    "fused": lambda r: _fused_squares(r) / r.dtype.type(len(r)),
}


def _fused_squares(r: Array) -> Any:
    total = np.zeros(1, dtype=r.dtype)
    for i in range(len(r)):
        total = _fused(r[i : i + 1], r[i], total)
    return total[0]


ABSOLUTE: dict[str, Evaluate] = {
    **{name: lambda r, total=total: total(abs(r)) / r.dtype.type(len(r)) for name, total in SUMS.items()},
    "divided first": lambda r: np.sum(abs(r) / r.dtype.type(len(r))),
    "by the reciprocal": lambda r: np.sum(abs(r)) * (r.dtype.type(1) / r.dtype.type(len(r))),
}

DERIVATIVES: dict[str, Evaluate] = {
    "twice, then divided": lambda r: 2 * r / r.dtype.type(len(r)),
    "divided, then twice": lambda r: r / r.dtype.type(len(r)) * 2,
    "by twice the reciprocal": lambda r: (r.dtype.type(2) / r.dtype.type(len(r))) * r,
    "divided by the root twice": lambda r: 2 * (r / _sqrt(len(r), r)) / _sqrt(len(r), r),
    "by the root's reciprocal twice": lambda r: _by_root(r),
    "divided by the root, times the rest": lambda r: (r / _sqrt(len(r), r)) * (r.dtype.type(2) / _sqrt(len(r), r)),
}


def _by_root(r: Array) -> Any:
    scale = r.dtype.type(1) / _sqrt(len(r), r)
    return (r * scale) * (2 * scale)


def _gradient(r: Array, u: Array, derivative: Evaluate) -> Any:
    d = derivative(r)
    return np.stack([np.sum(d * u), np.sum(d)])


def _sums_first(total: Evaluate) -> Evaluate:
    return lambda r, u: 2 * np.stack([total(r * u), total(r)]) / r.dtype.type(len(r))


def _gauss_newton(r: Array, u: Array) -> Any:
    """2 J' r with the rows of J and r divided by the root of n before."""
    root = _sqrt(len(r), r)
    return 2 * (np.stack([u, np.ones_like(u)]) / root @ (r / root))


GRADIENTS: dict[str, Evaluate] = {
    **{name: lambda r, u, way=way: _gradient(r, u, way) for name, way in DERIVATIVES.items()},
    "sums first": _sums_first(np.sum),
    "pairwise": _sums_first(_pairwise),
    "dot": lambda r, u: np.stack([np.dot(r, u), np.sum(r)]) * (r.dtype.type(2) / r.dtype.type(len(r))),
    "means": lambda r, u: 2 * np.stack([np.mean(r * u), np.mean(r)]),
    "gauss-newton": _gauss_newton,
}


def _of_model(residual: Evaluate, then: Evaluate) -> Evaluate:
    return lambda u, c, w, b: then(residual(u, c, w, b))


def _slope(residual: Evaluate, then: Evaluate) -> Evaluate:
    return lambda u, c, w, b: then(residual(u, c, w, b), u)


def _difference(loss: Evaluate) -> Evaluate:
    """The central differences of a loss of the model by both parameters."""

    def rates(u: Array, c: Array, w: Any, b: Any, delta: Any) -> Any:
        by_w = loss(u, c, w + delta, b) - loss(u, c, w - delta, b)
        by_b = loss(u, c, w, b + delta) - loss(u, c, w, b - delta)
        return np.stack([by_w, by_b]) / (delta + delta)

    return rates


def _descended(slope: Evaluate) -> Evaluate:
    """The parameters after all epochs."""

    def descend(n_epochs: int, rate: float, params: Array, u: Array, c: Array) -> Array:
        for _ in range(n_epochs):
            params = params - rate * slope(u, c, *params)
        return params

    return descend


def _accumulated(slope: Evaluate) -> Evaluate:
    """The sum of the gradients so far, after each batch."""

    def accumulate(batches: Any, w: Any, b: Any) -> Any:
        return np.array(list(itertools.accumulate(slope(u, c, w, b) for u, c in batches)))

    return accumulate


def _weighted(slope: Evaluate) -> Evaluate:
    """The gradients of the batches, weighed by their shares of the samples."""

    def accumulated_grad(batches: Any, w: Any, b: Any) -> Any:
        n = sum(len(u) for u, _ in batches)
        return sum(slope(u, c, w, b) * w.dtype.type(len(u)) / w.dtype.type(n) for u, c in batches)

    return accumulated_grad


# Penalties


def _rows(t_p: Array, t_c: Array, w: Array, l2: Any) -> Array:
    return np.append(t_p - t_c, np.sqrt(w.dtype.type(len(t_p)) * w.dtype.type(l2)) * w)


def _l1(t_p: Array, w: Array, l1: float) -> Any:
    return w.dtype.type(l1) * abs(w)


PENALIZED: dict[str, Evaluate] = {
    "added last": lambda p, c, w, l1, l2: np.mean((p - c) ** 2) + _l1(p, w, l1) + w.dtype.type(l2) * w**2,
    "penalties first": lambda p, c, w, l1, l2: (_l1(p, w, l1) + w.dtype.type(l2) * w * w) + np.mean((p - c) ** 2),
    "in the mean": lambda p, c, w, l1, l2: np.mean((p - c) ** 2 + _l1(p, w, l1) + w.dtype.type(l2) * w**2),
    "in the mean, loop": lambda p, c, w, l1, l2: (
        loop((p - c) ** 2 + (w.dtype.type(l2) * w**2 + _l1(p, w, l1))) / w.dtype.type(len(p))
    ),
    "as a row": lambda p, c, w, l1, l2: np.sum(_rows(p, c, w, l2) ** 2) / w.dtype.type(len(p)) + _l1(p, w, l1),
    "as a row of the norm": lambda p, c, w, l1, l2: (
        np.linalg.norm(_rows(p, c, w, l2)) ** 2 / w.dtype.type(len(p)) + _l1(p, w, l1)
    ),
    "as a root of the penalty": lambda p, c, w, l1, l2: (
        np.mean((p - c) ** 2) + np.square(np.sqrt(w.dtype.type(l2)) * w) + _l1(p, w, l1)
    ),
}


def _penalized_slope(name: str) -> Evaluate:
    def slope(u: Array, c: Array, w: Array, b: Array, l1: float, l2: float) -> Any:
        n, first, second = w.dtype.type(len(u)), w.dtype.type(l1) * np.sign(w), w.dtype.type(l2)
        r = w * u + b - c
        match name:
            case "in the mean":
                return np.stack([np.mean(2 * r * u + first + 2 * second * w), 2 * np.mean(r)])
            case "as a row":
                row = np.sqrt(n * second)
                return np.stack([2 * (np.append(r, row * w) @ np.append(u, row)) / n + first, 2 * np.sum(r) / n])
        return np.stack([2 * np.mean(r * u) + first + 2 * second * w, 2 * np.mean(r)])

    return slope


# Optimizers, elementwise

MIXES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "two products": lambda old, new, beta: beta * old + (1 - beta) * new,
    "old + (1 - beta) (new - old)": lambda old, new, beta: old + (1 - beta) * (new - old),
    "new + beta (old - new)": lambda old, new, beta: new + beta * (old - new),
    "new - beta (new - old)": lambda old, new, beta: new - beta * (new - old),
}


def _averaging(name: str, mix: Callable[[Any, Any, Any], Any], wide: bool) -> Evaluate:
    """An adaptive optimizer whose averages are taken in one form; wide, with float64 inside, beside master copies."""

    def run(hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array]]) -> list[list[Array]]:
        dtype = params[0].dtype
        real = np.float64 if wide else dtype.type
        given = exact.OPTIMIZERS[name] | hyperparameters
        h = {key: _numbers(x, real) for key, x in given.items()}
        now, path = [p.astype(real) for p in params], []
        states: list[dict[str, Any]] = [dict.fromkeys("mvx", np.zeros_like(p)) for p in now]
        for t, step in enumerate(grads, start=1):
            lr = h["lr"][t - 1] if isinstance(h["lr"], list) else h["lr"]
            now = [
                _adapted(name, s, h, t, lr, p, -g.astype(real) if given["maximize"] else g.astype(real), mix)
                for s, p, g in zip(states, now, step, strict=True)
            ]
            path.append([p.astype(dtype) for p in now])
        return path

    return run


def _numbers(x: Any, real: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return [_numbers(part, real) for part in x]
    return x if isinstance(x, bool) else real(x)


def _adapted(
    name: str,
    s: dict[str, Any],
    h: dict[str, Any],
    t: int,
    lr: Any,
    p: Any,
    g: Any,
    mix: Callable[[Any, Any, Any], Any],
) -> Any:
    if name == "adamw":
        p = p - lr * h["weight_decay"] * p
    else:
        g = g + h["weight_decay"] * p
    match name:
        case "rmsprop":
            s["v"] = mix(s["v"], g * g, h["alpha"])
            return p - lr * g / (np.sqrt(s["v"]) + h["eps"])
        case "adadelta":
            s["v"] = mix(s["v"], g * g, h["rho"])
            d = np.sqrt(s["x"] + h["eps"]) / np.sqrt(s["v"] + h["eps"]) * g
            s["x"] = mix(s["x"], d * d, h["rho"])
            return p - lr * d
    beta1, beta2 = h["betas"]
    s["m"], s["v"] = mix(s["m"], g, beta1), mix(s["v"], g * g, beta2)
    return p - lr * (s["m"] / (1 - beta1**t)) / (np.sqrt(s["v"] / (1 - beta2**t)) + h["eps"])


def _river(hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array]]) -> list[list[Array]]:
    """To the point ahead in place, back, and then the step."""
    real, given = params[0].dtype.type, exact.OPTIMIZERS["sgd"] | hyperparameters
    mu, now, path = real(given["momentum"]), [p.copy() for p in params], []
    speeds = [np.zeros_like(p) for p in now]
    for t, step in enumerate(grads):
        lr = real(given["lr"][t] if isinstance(given["lr"], list) else given["lr"])
        ahead = [p - mu * s for p, s in zip(now, speeds, strict=True)]
        back = [p + mu * s for p, s in zip(ahead, speeds, strict=True)]
        speeds = [mu * s + lr * g for s, g in zip(speeds, step, strict=True)]
        now = [p - s for p, s in zip(back, speeds, strict=True)]
        path.append(now)
    return path


AVERAGING = ("rmsprop", "adam", "adamw", "adadelta")
RIVER = PYTORCH | {"sgd.nesterov": "look-ahead", "sgd.buffer": "with-lr", "sgd.nesterov-buffer": "with-lr"}


def _torch_optimizer(name: str, **options: Any) -> Evaluate:
    def run(hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array]]) -> list[list[Array]]:
        import torch

        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[name]
        leaves = [tensor(p).requires_grad_() for p in params]
        rates = hyperparameters["lr"]
        first, *_ = rates if isinstance(rates, list) else [rates]
        optimizer, path = kind(leaves, **(hyperparameters | {"lr": first} | options)), []
        for t, step in enumerate(grads):
            for leaf, g in zip(leaves, step, strict=True):
                leaf.grad = tensor(g)
            for group in optimizer.param_groups:
                group["lr"] = rates[t] if isinstance(rates, list) else rates
            optimizer.step()
            path.append([leaf.detach().numpy().copy() for leaf in leaves])
        return path

    return run


def _of_torch() -> Iterator[Arrangement]:
    """PyTorch's own losses, products, fused steps and gradients, and in bfloat16, too."""
    import torch

    mean_square = torch.nn.functional.mse_loss
    dtypes = ("bfloat16", *DTYPES) if find_spec("ml_dtypes") else DTYPES

    def over_arrays(way: Evaluate) -> Evaluate:
        def evaluate(*given: Any) -> Array:
            answer = way(*(tensor(x) if hasattr(x, "dtype") else x for x in given))
            return np.asarray(answer.detach().double().numpy().astype(given[-1].dtype))

        return evaluate

    def model(u: Any, w: Any, b: Any) -> Any:
        return torch.addcmul(b, w, u)

    def product(u: Any, w: Any, b: Any) -> Any:
        return torch.stack([u, torch.ones_like(u)]).T @ torch.stack([w, b])

    def loss(u: Any, c: Any, w: Any, b: Any) -> Any:
        return mean_square(model(u, w, b), c)

    def derivative(function: Evaluate, leaf: Any) -> Any:
        return torch.autograd.grad(function(leaf.requires_grad_()), leaf)[0]

    def slope(u: Any, c: Any, w: Any, b: Any) -> Any:
        return derivative(lambda params: loss(u, c, *params), torch.stack([w, b]))

    def dots(u: Any, c: Any, w: Any, b: Any) -> Any:
        r = product(u, w, b) - c
        return torch.stack([2 * torch.dot(r, u) / len(r), 2 * torch.sum(r) / len(r)])

    def descend(n_epochs: int, rate: float, params: Any, u: Any, c: Any) -> Any:
        for _ in range(n_epochs):
            params = torch.sub(params, slope(u, c, *params), alpha=rate)
        return params

    for operation, name, way in (
        ("model", "addcmul", model),
        ("model", "product of matrices", product),
        ("loss", "mse_loss", mean_square),
        ("loss", "dot", lambda p, c: torch.dot(p - c, p - c) / len(p)),
        ("loss", "einsum", lambda p, c: torch.einsum("i,i->", p - c, p - c) / len(p)),
        ("absolute_loss", "l1_loss", torch.nn.functional.l1_loss),
        ("loss of the model", "addcmul and mse_loss", loss),
        ("dloss", "autograd", lambda p, c: derivative(lambda leaf: mean_square(leaf, c), p)),
        ("gradient", "autograd", slope),
        ("gradient", "dot", dots),
        ("trajectory", "autograd", descend),
        ("closed_form", "autograd", descend),
    ):
        yield Arrangement(operation, f"torch, {name}", over_arrays(way), dtypes)
    yield Arrangement("finite_difference", "torch, mse_loss", _difference(over_arrays(loss)), dtypes)


def _under_autocast() -> Iterator[Arrangement]:
    """PyTorch's loss and gradient under autocast, which takes products of matrices to 16 bits, and losses of a line not."""
    import torch

    def loss(u: Array, c: Array, w: Any, b: Any) -> tuple[Any, list[Any]]:
        leaves = [tensor(np.asarray(x)).requires_grad_() for x in (w, b)]
        with torch.autocast("cpu"):
            return torch.nn.functional.mse_loss(leaves[0] * tensor(u) + leaves[1], tensor(c)), leaves

    def slope(*fit: Any) -> Array:
        return torch.stack(torch.autograd.grad(*loss(*fit))).numpy()

    name = "torch under autocast"
    yield Arrangement("loss of the model", name, lambda *fit: loss(*fit)[0].detach().numpy(), DTYPES[1:])
    yield Arrangement("gradient", name, slope, DTYPES[1:])


def _jitted() -> Iterator[Arrangement]:
    """The loss and the gradient as JAX compiles them, where it is installed."""
    import jax

    jax.config.update("jax_enable_x64", True)

    def loss(u: Any, c: Any, w: Any, b: Any) -> Any:
        return ((w * u + b - c) ** 2).mean()

    slope = jax.jit(jax.grad(loss, argnums=(2, 3)))
    whole = jax.jit(loss)
    yield Arrangement("loss of the model", "jitted jax", lambda *x: np.asarray(whole(*x)), DTYPES[1:], flushes=True)
    yield Arrangement(
        "gradient", "jitted jax", lambda *x: np.stack([*map(np.asarray, slope(*x))]), DTYPES[1:], flushes=True
    )


_FIT = attrgetter("t_u", "t_c", "w", "b")
_LINE = attrgetter("t_u", "w", "b")
_PAIR = attrgetter("t_p", "t_c")


def _of_run(follow: Any = PYTORCH, name: str = "") -> Callable[..., Any]:
    return lambda hyperparameters, params, grads: exact.optimize(name, hyperparameters, params, grads, follow)


def _runs_of(name: str, **options: Any) -> Any:
    return Strategy(_optimization(name, **options), _OPTIMIZATION)


_WALK = attrgetter("n_epochs", "learning_rate", "params", "t_u", "t_c")
_RUN = attrgetter("hyperparameters", "params", "grads")
_PLAIN = {"amsgrad": (None,), "centered": (None,), "momentum": (None,)}

OPERATIONS: dict[str, Asked] = {
    "model": Asked(strategies.fits, _LINE, exact.model),
    "loss": Asked(strategies.residuals, _PAIR, exact.loss_fn),
    "loss of the model": Asked(strategies.fits, _FIT, lambda u, c, w, b: exact.loss_fn(exact.model(u, w, b), c)),
    "absolute_loss": Asked(strategies.residuals, _PAIR, exact.absolute_loss),
    "dloss": Asked(strategies.residuals, _PAIR, exact.dloss_fn),
    "gradient": Asked(strategies.fits, _FIT, exact.gradient),
    "finite_difference": Asked(strategies.probes, attrgetter("t_u", "t_c", "w", "b", "delta"), exact.finite_difference),
    "trajectory": Asked(strategies.descents, _WALK, lambda *walk: exact.trajectory(*walk)[0]),
    "closed_form": Asked(strategies.long_descents, _WALK, exact.closed_form),
    "accumulate": Asked(
        strategies.batched_fits,
        attrgetter("batches", "w", "b"),
        lambda batches, w, b: [[row] for row in exact.accumulate(batches, w, b)],
    ),
    "accumulated_grad": Asked(strategies.batched_fits, attrgetter("batches", "w", "b"), exact.accumulated_grad),
    "regularized_loss": Asked(
        strategies.penalized_fits, lambda x: (x.w * x.t_u + x.b, x.t_c, x.w, x.l1, x.l2), exact.regularized_loss
    ),
    "regularized_grad": Asked(
        strategies.penalized_fits, attrgetter("t_u", "t_c", "w", "b", "l1", "l2"), exact.regularized_grad
    ),
    **{
        name: Asked(
            _runs_of(name, **{key: x for key, x in _PLAIN.items() if key in strategies.HYPERPARAMETERS[name]}),
            _RUN,
            _of_run(name=name),
        )
        for name in AVERAGING
    },
    "look-ahead": Asked(
        _runs_of("sgd", only=("momentum", "nesterov"), momentum=(0.9, 0.5, 0.99), nesterov=(True,)),
        _RUN,
        _of_run(RIVER, "sgd"),
    ),
}


def arrangements() -> Iterator[Arrangement]:
    """All arrangements that can be evaluated here."""
    for name, way in PREDICTIONS.items():
        yield Arrangement("model", name, way)
    for operation, ways in (("loss", MEAN_SQUARES), ("absolute_loss", ABSOLUTE), ("dloss", DERIVATIVES)):
        for name, way in ways.items():
            yield Arrangement(operation, name, lambda p, c, way=way: way(p - c))
    for residual, way in RESIDUALS.items():
        for name in ("sum of squares, loop", "norm squared", "by the root's reciprocal"):
            loss = _of_model(way, MEAN_SQUARES[name])
            yield Arrangement("loss of the model", f"{residual}; {name}", loss)
            yield Arrangement("finite_difference", f"{residual}; {name}", _difference(loss))
        for name, then in GRADIENTS.items():
            yield Arrangement("gradient", f"{residual}; {name}", _slope(way, then))
        for name in ("twice, then divided", "gauss-newton", "dot"):
            slope = _slope(way, GRADIENTS[name])
            yield Arrangement("accumulate", f"{residual}; {name}", _accumulated(slope))
            yield Arrangement("accumulated_grad", f"{residual}; {name}", _weighted(slope))
    plain = RESIDUALS["prediction first"]
    for name, total in SUMS.items():
        yield Arrangement("gradient", f"sums first, {name}", _slope(plain, _sums_first(total)))
    for name in ("twice, then divided", "dot"):
        for operation in ("trajectory", "closed_form"):
            yield Arrangement(operation, name, _descended(_slope(plain, GRADIENTS[name])))
    for name, way in PENALIZED.items():
        yield Arrangement("regularized_loss", name, way)
    for name in ("added", "in the mean", "as a row"):
        yield Arrangement("regularized_grad", name, _penalized_slope(name))
    for name in AVERAGING:
        for form, mix in MIXES.items():
            yield Arrangement(name, form, _averaging(name, mix, wide=False))
        yield Arrangement(name, "float64 inside, master copies", _averaging(name, MIXES["two products"], wide=True))
    yield Arrangement("look-ahead", "there and back, as river", _river)
    if find_spec("torch"):
        yield from _of_torch()
        yield from _under_autocast()
        for name in ("adam", "adamw", "rmsprop"):
            for option, on in (("foreach", True), ("foreach", False), ("fused", True)):
                if (name, option) != ("rmsprop", "fused"):
                    run = _torch_optimizer(name, **{option: on})
                    yield Arrangement(name, f"torch, {option}={on}", run, DTYPES[1:])
    if find_spec("jax"):
        yield from _jitted()


def count_rejection(tally: Tally, rejection: Disagreement) -> None:
    """Count an answer that was rejected, with its error in units of its bound."""
    tally.rejected += 1
    tally.worst = max(tally.worst, rejection.measured.get("bounds", math.inf))


def tried(arrangement: Arrangement, dtype: str, cases: int, seed: int) -> tuple[Tally, str]:
    """Judge an arrangement on random examples of a dtype; the words tell of the first rejection."""
    asked, told = OPERATIONS[arrangement.operation], ""
    rng = np.random.default_rng([seed, [*FORMATS].index(dtype)])
    with tallying(Tally(flushes=arrangement.flushes)) as tally, np.errstate(all="ignore"):
        for i in range(cases):
            tally.examples += 1
            arguments = asked.drawn(dtype, rng)
            answer = arrangement.evaluate(*arguments)
            try:
                asked.judge(answer, arguments, dtype)
            except Disagreement as rejection:
                count_rejection(tally, rejection)
                place = f"{arrangement.operation}, {arrangement.name}, {dtype}, seed {seed}, case {i}"
                told = told or f"{place}: {rejection}; {rejection.measured}"
    return tally, told


def _of_one(index: int, dtype: str, cases: int, seed: int) -> tuple[dict[str, Any], str]:
    arrangement = next(itertools.islice(arrangements(), index, None))
    tally, told = tried(arrangement, dtype, cases, seed)
    row = {"operation": arrangement.operation, "arrangement": arrangement.name, "dtype": dtype, "cases": tally.examples}
    return row | {name: getattr(tally, name) for name in ("judged", "unjudged", "rejected", "worst")}, told


def measure(
    cases: int, seed: int, workers: int | None = None, operations: Container[str] = OPERATIONS
) -> dict[str, Any]:
    """Judge every arrangement of the operations in every dtype; a rejection is a bug of the judge, or of the arrangement."""
    tasks = [
        (i, dtype, cases, seed)
        for i, one in enumerate(arrangements())
        if one.operation in operations
        for dtype in one.dtypes
    ]
    found = [result for _, result in spread(_of_one, tasks, workers)]
    rows = sorted((row for row, _ in found), key=lambda row: (row["operation"], row["arrangement"], row["dtype"]))
    return {JUDGED: rows, REJECTED: [{"rejected": told} for _, told in sorted(found, key=lambda x: x[1]) if told]}

"""What calibrant claims of its judge, measured: how fast it is, that it raises no false alarm, and what it sees that others miss.

    python -m calibrant.benchmarks judge
    python -m calibrant.benchmarks soundness --cases 1000000
    python -m calibrant.benchmarks peers

torch takes part where it is installed. The same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from calibrant import exact, strategies
from calibrant.exact import FORMATS, Exact
from calibrant.judge import Disagreement, Tally, agree, tallying
from calibrant.measurements import T_C, T_U
from calibrant.target import TargetError, numpy_dtype

Array = NDArray[Any]
T = TypeVar("T")


def progress(text: str, last: bool = False) -> None:
    """Say on stderr how far it is; in one line, where that is a terminal."""
    end = "\n" if last or not sys.stderr.isatty() else ""
    print(f"\r{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their widest cell, numbers to the right."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


# judge: the time of one judgement


@dataclass
class Question:
    """A correct answer, and how it is judged."""

    answer: Array
    judge: Callable[[], Exact]


def questions(dtype: str, rng: np.random.Generator) -> dict[str, Question]:
    """One of each formula, on 20 samples."""
    t_u, t_c = (rng.uniform(-8, 8, 20).astype(dtype) for _ in range(2))
    w, b, delta = (np.asarray(x, dtype=dtype) for x in (*rng.uniform(-2, 2, 2), 0.1))
    params, rate = np.stack([w, b]), 1e-2
    of, style = exact.of, Style(np.sum, "sum-first", "plain")
    t_p = style.model(t_u, w, b)
    walked, many = style.trajectory(10, rate, params, t_u, t_c), style.trajectory(5000, rate, params, t_u, t_c)
    return {
        "model": Question(t_p, lambda: exact.model(of(t_u), of(w), of(b))),
        "loss": Question(style.loss(t_p, t_c), lambda: exact.loss_fn(of(t_p), of(t_c))),
        "absolute": Question(style.absolute(t_p, t_c), lambda: exact.absolute_loss(of(t_p), of(t_c))),
        "dloss": Question(style.dloss(t_p, t_c), lambda: exact.dloss_fn(of(t_p), of(t_c))),
        "grad": Question(style.grad(t_u, t_c, w, b), lambda: exact.gradient(of(t_u), of(t_c), of(w), of(b))),
        "finite_difference": Question(
            style.finite_difference(t_u, t_c, w, b, delta),
            lambda: exact.finite_difference(of(t_u), of(t_c), of(w), of(b), of(delta)),
        ),
        "step": Question(
            style.trajectory(1, rate, params, t_u, t_c),
            lambda: exact.trajectory(1, rate, of(params), of(t_u), of(t_c))[0],
        ),
        "trajectory, 10 steps": Question(walked, lambda: exact.trajectory(10, rate, of(params), of(t_u), of(t_c))[0]),
        "closed form, 5000 epochs": Question(many, lambda: exact.closed_form(5000, rate, of(params), of(t_u), of(t_c))),
    }


def judge(cases: int, seed: int) -> dict[str, Any]:
    """Median and quartiles of the time to find the truth, its bound, and to compare, in milliseconds."""
    rows = []
    for dtype in ("float32", "float64"):
        asked = questions(dtype, np.random.default_rng(seed))
        times: dict[str, list[float]] = {name: [] for name in asked}
        for i in range(cases):  # all formulas in turn, so that a disturbance of the machine falls on each
            for name, question in asked.items():
                if i % 10 and name == "closed form, 5000 epochs":
                    continue
                start = time.perf_counter()
                agree(question.answer, question.judge())
                times[name].append((time.perf_counter() - start) * 1e3)
        for name, taken in times.items():
            low, median, high = np.quantile(taken, [0.25, 0.5, 0.75]).tolist()
            rows.append({"formula": name, "dtype": dtype, "low": low, "median": median, "high": high})
    print(
        table(
            ("formula", "dtype", "lower quartile, ms", "median, ms", "upper quartile, ms"),
            [(r["formula"], r["dtype"], *(f"{r[q]:.3f}" for q in ("low", "median", "high"))) for r in rows],
        )
    )
    return {"judge": rows}


# soundness: correct evaluations, of many kinds, none of which may be rejected


@dataclass
class Style:
    """A way to evaluate the formulas in NumPy: how sums are taken, when a mean is divided, how products are formed."""

    total: Callable[[Array], Any]
    division: str
    products: str

    def mean(self, x: Array) -> Any:
        """The mean, divided before the sum, after it, or multiplied by a reciprocal."""
        n = x.dtype.type(x.size)
        if self.division == "divide-first":
            return self.total(x / n)
        if self.division == "reciprocal":
            return self.total(x) * (x.dtype.type(1) / n)
        return self.total(x) / n

    def inner(self, x: Array, y: Array) -> Any:
        """The sum of the products."""
        if self.products == "dot":
            return np.dot(x, y)
        if self.products == "einsum":
            return np.einsum("i,i->", x, y)
        return self.total(x * y)

    def model(self, t_u: Array, w: Array, b: Array) -> Array:
        """w t_u + b."""
        if self.products == "dot":
            return np.asarray(np.stack([t_u, np.ones_like(t_u)], axis=1) @ np.stack([w, b]))
        if self.products == "einsum":
            return np.asarray(np.einsum("ij,j->i", np.stack([np.ones_like(t_u), t_u], axis=1), np.stack([b, w])))
        return np.asarray(b + t_u * w)

    def loss(self, t_p: Array, t_c: Array) -> Any:
        """The mean square."""
        r = t_c - t_p
        if self.products == "plain" or self.division == "divide-first":
            return self.mean(r**2)
        return self.inner(r, r) / r.dtype.type(r.size)

    def absolute(self, t_p: Array, t_c: Array) -> Any:
        """The mean absolute error."""
        return self.mean(np.abs(t_p - t_c))

    def dloss(self, t_p: Array, t_c: Array) -> Array:
        """The derivative by each prediction."""
        n, two = t_p.dtype.type(t_p.size), t_p.dtype.type(2)
        if self.division == "divide-first":
            return np.asarray((t_p - t_c) / n * two)
        if self.division == "reciprocal":
            return np.asarray((two / n) * (t_p - t_c))
        return np.asarray(two * (t_p - t_c) / n)

    def grad(self, t_u: Array, t_c: Array, w: Array, b: Array) -> Array:
        """The gradient by hand; of the divided derivatives, or divided at the end."""
        t_p = self.model(t_u, w, b)
        if self.division == "sum-first":
            r, n, two = t_p - t_c, t_p.dtype.type(t_p.size), t_p.dtype.type(2)
            return np.stack([two * self.inner(r, t_u) / n, two * self.total(r) / n])
        dloss = self.dloss(t_p, t_c)
        return np.stack([self.inner(dloss, t_u), np.asarray(self.total(dloss))])

    def finite_difference(self, t_u: Array, t_c: Array, w: Array, b: Array, delta: Array) -> Array:
        """Central differences."""

        def loss(w: Any, b: Any) -> Any:
            return self.loss(self.model(t_u, w, b), t_c)

        rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
        return np.asarray(np.stack(rates) / (delta + delta))

    def trajectory(self, n_epochs: int, rate: float, params: Array, t_u: Array, t_c: Array) -> Array:
        """Descent."""
        lr = params.dtype.type(rate)
        for _ in range(n_epochs):
            params = params - lr * self.grad(t_u, t_c, *params)
        return params


def loop(x: Array) -> Any:
    """The sum, one number after another."""
    total = x.dtype.type(0)
    for value in x:
        total = total + value
    return total


def fsum(x: Array) -> Any:
    """The sum, rounded once."""
    return x.dtype.type(math.fsum(x.tolist()))


TOTALS: dict[str, Callable[[Array], Any]] = {
    "np.sum": np.sum,
    "loop": loop,
    "reversed": lambda x: loop(x[::-1]),
    "fsum": fsum,
    "np.dot": lambda x: np.dot(x, np.ones_like(x)),
    "np.matmul": lambda x: np.ones_like(x) @ x,
    "np.einsum": lambda x: np.einsum("i->", x),
}
DIVISIONS = ("sum-first", "divide-first", "reciprocal")
PRODUCTS = ("plain", "dot", "einsum")
STYLES = {
    f"{total}, {division}, {products}": Style(TOTALS[total], division, products)
    for total in TOTALS
    for division in DIVISIONS
    for products in PRODUCTS
}


class Torch:
    """A way to evaluate the formulas in PyTorch, with gradients by hand or by autograd."""

    def __init__(self, fused: bool, own_loss: bool, autograd: bool) -> None:
        self.fused, self.own_loss, self.autograd = fused, own_loss, autograd

    def model(self, t_u: Any, w: Any, b: Any) -> Any:
        """w t_u + b, with one rounding or two."""
        import torch

        return torch.addcmul(b, w, t_u) if self.fused else w * t_u + b

    def loss(self, t_p: Any, t_c: Any) -> Any:
        """The mean square: as in the book, or torch's own."""
        import torch

        return torch.nn.functional.mse_loss(t_p, t_c) if self.own_loss else ((t_p - t_c) ** 2).mean()

    def absolute(self, t_p: Any, t_c: Any) -> Any:
        """The mean absolute error: as in the book, or torch's own."""
        import torch

        return torch.nn.functional.l1_loss(t_p, t_c) if self.own_loss else (t_p - t_c).abs().mean()

    def dloss(self, t_p: Any, t_c: Any) -> Any:
        """The derivative by each prediction."""
        import torch

        if not self.autograd:
            return 2 * (t_p - t_c) / t_p.numel()
        leaf = t_p.detach().clone().requires_grad_()
        return torch.autograd.grad(self.loss(leaf, t_c), leaf)[0]

    def grad(self, t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
        """The gradient."""
        import torch

        if self.autograd:
            params = torch.stack([w, b]).detach().requires_grad_()
            return torch.autograd.grad(self.loss(self.model(t_u, *params), t_c), params)[0]
        dloss = self.dloss(self.model(t_u, w, b), t_c)
        return torch.stack([(dloss * t_u).sum(), dloss.sum()])

    def finite_difference(self, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
        """Central differences."""
        import torch

        def loss(w: Any, b: Any) -> Any:
            return self.loss(self.model(t_u, w, b), t_c)

        rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
        return torch.stack(rates) / (2 * delta)

    def trajectory(self, n_epochs: int, rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
        """Descent, by torch.optim.SGD where gradients are automatic."""
        import torch

        if self.autograd:
            leaf = params.clone().requires_grad_()
            optimizer = torch.optim.SGD([leaf], lr=rate)
            for _ in range(n_epochs):
                optimizer.zero_grad()
                self.loss(self.model(t_u, *leaf), t_c).backward()
                optimizer.step()
            return leaf
        for _ in range(n_epochs):
            grad = self.grad(t_u, t_c, *params)
            params = torch.sub(params, grad, alpha=rate) if self.fused else params - rate * grad
        return params


TORCHES = {
    f"torch, {'fused' if fused else 'plain'}, {'own loss' if own else 'the book'}, {'autograd' if auto else 'by hand'}": Torch(
        fused, own, auto
    )
    for fused in (False, True)
    for own in (False, True)
    for auto in (False, True)
}


def tensors(*arrays: Array) -> Iterator[Any]:
    """Tensors of the same numbers."""
    import torch

    for x in arrays:
        if x.dtype.name == "bfloat16":
            yield torch.from_numpy(x.view(np.uint16).copy()).view(torch.bfloat16)
        else:
            yield torch.from_numpy(np.array(x))


def in_torch(formula: Callable[..., Any], *arguments: Any) -> Array:
    """What a formula makes of the arguments, arrays as tensors; as float64, which holds every number of each dtype."""
    import torch

    converted = [next(tensors(x)) if isinstance(x, np.ndarray) else x for x in arguments]
    answer: torch.Tensor = formula(*converted)
    return np.asarray(answer.detach().to(torch.float64).numpy())


def _near(example: strategies.Fit) -> tuple[Array, Array, Array, Array]:
    return example.t_u, example.t_c, example.w, example.b


@dataclass(frozen=True)
class Formula:
    """A formula under test: its inputs, its evaluation in some style, and its truth."""

    name: str
    weight: int
    strategy: Callable[[], Any]
    arguments: Callable[[Any], tuple[Any, ...]]
    truth: Callable[..., Exact]
    method: str


def _walk(example: strategies.Descent) -> tuple[Any, ...]:
    return example.n_epochs, example.learning_rate, example.params, example.t_u, example.t_c


def _one_step(example: strategies.Descent) -> tuple[Any, ...]:
    return 1, *_walk(example)[1:]


def _path(k: int, rate: float, params: Exact, t_u: Exact, t_c: Exact) -> Exact:
    return exact.trajectory(k, rate, params, t_u, t_c)[0]


FORMULAS = (
    Formula("model", 22, strategies.fits, lambda x: (x.t_u, x.w, x.b), exact.model, "model"),
    Formula("loss", 22, strategies.residuals, lambda x: (x.t_p, x.t_c), exact.loss_fn, "loss"),
    Formula("absolute", 8, strategies.residuals, lambda x: (x.t_p, x.t_c), exact.absolute_loss, "absolute"),
    Formula("dloss", 13, strategies.residuals, lambda x: (x.t_p, x.t_c), exact.dloss_fn, "dloss"),
    Formula("grad", 24, strategies.fits, _near, exact.gradient, "grad"),
    Formula(
        "finite_difference",
        5,
        strategies.probes,
        lambda x: (*_near(x), x.delta),
        exact.finite_difference,
        "finite_difference",
    ),
    Formula("step", 4, strategies.descents, _one_step, _path, "trajectory"),
    Formula("trajectory", 2, strategies.descents, _walk, _path, "trajectory"),
    Formula("closed_form", 1, strategies.long_descents, _walk, exact.closed_form, "trajectory"),
)
_CHANCES = np.array([formula.weight for formula in FORMULAS]) / sum(formula.weight for formula in FORMULAS)


@dataclass
class Count:
    """What came of the cases of one formula in one dtype."""

    cases: int = 0
    judged: int = 0
    unjudged: int = 0
    worst: float = 0.0
    """The largest error, in units of its bound."""
    rejections: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Count the other's cases too."""
        self.cases += other.cases
        self.judged += other.judged
        self.unjudged += other.unjudged
        self.worst = max(self.worst, other.worst)
        self.rejections += other.rejections


Counts = dict[tuple[str, str], Count]
CHUNK = 2000


def dtypes() -> list[str]:
    """The dtypes that can be drawn and computed here; bfloat16 is left to torch."""
    found = ["float16", "float32", "float64"]
    try:
        numpy_dtype("bfloat16")
    except TargetError:
        return found
    return ["bfloat16", *found] if find_spec("torch") else found


def _strategy_parts(strategy: Callable[[], Any]) -> tuple[Any, int]:
    """What a strategy decodes its bytes with, and how many they are."""
    return _DECODERS[strategy.__name__]


_DECODERS: dict[str, tuple[Any, int]] = {
    "residuals": (strategies._residuals, strategies._PAIR),
    "fits": (strategies._fit, strategies._FIT),
    "probes": (strategies._probe, strategies._FIT + 1),
    "descents": (strategies._descent, strategies._FIT + 2),
    "long_descents": (strategies._long_descent, strategies._FIT + 2),
}


def evaluators(dtype: str) -> list[str]:
    """The names of the ways to evaluate in a dtype: half of the chances for torch, where it is."""
    ways = [] if dtype == "bfloat16" else list(STYLES)
    if find_spec("torch"):
        ways += list(TORCHES) * max(1, len(ways) // len(TORCHES))
    return ways


def evaluate(way: str, formula: Formula, arguments: tuple[Any, ...]) -> Array:
    """A correct answer."""
    with np.errstate(all="ignore"):
        if way in STYLES:
            return np.asarray(getattr(STYLES[way], formula.method)(*arguments))
        return in_torch(getattr(TORCHES[way], formula.method), *arguments)


def _as_exact(x: Any) -> Any:
    return exact.of(x) if isinstance(x, np.ndarray) else x


def judged_chunk(task: tuple[int, int, int]) -> Counts:
    """The cases of one chunk, from the generator that seed and chunk give."""
    seed, chunk, cases = task
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    rng = np.random.default_rng([seed, chunk])
    names, counts = dtypes(), Counts()
    ways = {name: evaluators(name) for name in names}
    for i in range(cases):
        dtype = names[rng.integers(len(names))]
        formula = FORMULAS[rng.choice(len(FORMULAS), p=_CHANCES)]
        way = ways[dtype][rng.integers(len(ways[dtype]))]
        decode, length = _strategy_parts(formula.strategy)
        data = rng.integers(0, 256, length, dtype=np.uint8)
        if rng.integers(4) == 0:  # byte 0 is the simplest of everything: as in shrinking, and as Hypothesis draws it
            data[rng.random(length) < 0.5] = 0
        example = strategies.Drawn(data.tobytes(), decode).at(FORMATS[dtype])
        arguments = formula.arguments(example)
        answer = evaluate(way, formula, arguments)
        count = counts.setdefault((formula.name, dtype), Count())
        tally = Tally()
        with tallying(tally):
            try:
                agree(answer, formula.truth(*map(_as_exact, arguments)))
            except Disagreement as rejection:
                count.rejections.append(
                    f"{formula.name} in {dtype} by {way}: {rejection}; seed {seed}, chunk {chunk}, case {i}, "
                    f"drawn from {data.tobytes().hex()}; {rejection.measured}"
                )
        count.add(Count(1, tally.judged, tally.unjudged, tally.worst))
    return counts


def soundness(cases: int, seed: int, processes: int | None = None) -> dict[str, Any]:
    """Correct evaluations against the judge; what it rejects is a bug of the judge, or of the evaluation."""
    tasks = [(seed, chunk, min(CHUNK, cases - at)) for chunk, at in enumerate(range(0, cases, CHUNK))]
    processes = min(processes or os.cpu_count() or 1, len(tasks))
    counts: Counts = {}
    start = time.monotonic()

    def collect(results: Iterator[Counts]) -> None:
        done = 0
        for result in results:
            for key, count in result.items():
                counts.setdefault(key, Count()).add(count)
                for rejection in count.rejections:
                    print(f"rejected: {rejection}", flush=True)
            done += sum(count.cases for count in result.values())
            progress(f"{done} of {cases} cases, {time.monotonic() - start:.0f} s", last=done == cases)

    if processes == 1:
        collect(map(judged_chunk, tasks))
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            collect(pool.imap_unordered(judged_chunk, tasks))
    rows = [
        {
            "formula": formula.name,
            "dtype": dtype,
            "cases": count.cases,
            "judged": count.judged,
            "unjudged": count.unjudged,
            "rejected": len(count.rejections),
            "worst": count.worst,
        }
        for formula in FORMULAS
        for dtype in FORMATS
        if (count := counts.get((formula.name, dtype)))
    ]
    header = ("formula", "dtype", "cases", "judged", "unjudged", "rejected", "worst")
    print(table(header, [[f"{r[h]:.3f}" if h == "worst" else r[h] for h in header] for r in rows]))
    rejections = sorted(rejection for count in counts.values() for rejection in count.rejections)
    total = {key: sum(int(str(row[key])) for row in rows) for key in ("cases", "judged", "unjudged", "rejected")}
    print(", ".join(f"{value} {key}" for key, value in total.items()))
    return {"soundness": rows, "total": total, "rejections": rejections}


# peers: what each checker sees of a wrong gradient, and how often it rejects a right one

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


def peers(cases: int, seed: int) -> dict[str, Any]:
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


# The command

COMMANDS: dict[str, tuple[Callable[[int, int], dict[str, Any]], int]] = {
    "judge": (judge, 200),
    "soundness": (soundness, 1_000_000),
    "peers": (peers, 2000),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; 1 if the judge rejected what is right."""
    parser = argparse.ArgumentParser(prog="python -m calibrant.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(COMMANDS), help="what to measure")
    parser.add_argument("--cases", type=int, metavar="N", help="timings, cases or data sets (200, 1000000, 2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="what to draw them from (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    command, default = COMMANDS[options.name]
    cases = default if options.cases is None else options.cases
    if cases < 1:
        parser.error(f"--cases is {cases}: there is nothing to measure")
    result = command(cases, options.seed)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if result.get("rejections") else 0


if __name__ == "__main__":
    sys.exit(main())

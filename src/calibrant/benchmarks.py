"""Measurements: `python -m calibrant.benchmarks NAME`.

- `judge`: the time that the judge takes for one formula on 20 samples, the drawing and the target's own work left out;
- `soundness`: very many correct evaluations, of every formula in every dtype, in many orders of operations, each held
  against its bound: none may be rejected;
- `peers`: the smallest error and the planted faults that the judge finds, beside other checkers.

What needs torch is left out where there is none, and said to be.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calibrant import exact, judge, strategies
from calibrant.exact import FORMATS, Exact, Format
from calibrant.target import TargetError, numpy_dtype

Sample = strategies.Descent
Evaluation = Callable[[Sample], Any]
Row = dict[str, Any]

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]  # without torch its evaluations are left out


# The truths


def _numbers(sample: Sample) -> tuple[Exact, Exact, Exact, Exact]:
    return exact.of(sample.t_u), exact.of(sample.t_c), exact.of(sample.w), exact.of(sample.b)


def _truths(sample: Sample, formula: str) -> Exact:
    t_u, t_c, w, b = _numbers(sample)
    match formula:
        case "model":
            return exact.model(t_u, w, b)
        case "loss_fn":
            return exact.loss_fn(exact.model(t_u, w, b), t_c)
        case "absolute_loss":
            return exact.absolute_loss(exact.model(t_u, w, b), t_c)
        case "dloss_fn":
            return exact.dloss_fn(exact.model(t_u, w, b), t_c)
        case "gradient":
            return exact.gradient(t_u, t_c, w, b)
        case "finite_difference":
            return exact.finite_difference(t_u, t_c, w, b, exact.of(_delta(sample)))
        case "trajectory":
            return exact.trajectory(sample.n_epochs, sample.learning_rate, exact.of(sample.params), t_u, t_c)[0]
        case "closed_form":
            return exact.closed_form(50 * sample.n_epochs, sample.learning_rate, exact.of(sample.params), t_u, t_c)
        case _:
            raise ValueError(f"formula is {formula!r}")


def _delta(sample: Sample) -> Any:
    """A step of a power of ten that comes with the sample."""
    return np.asarray(10.0 ** -(len(sample.t_u) % 4), dtype=sample.t_u.dtype)


# The evaluations, in NumPy


def _in_order(x: Any) -> Any:
    total = x.dtype.type(0)
    for value in x:
        total = total + value
    return total


def _pairwise(x: Any) -> Any:
    return x[0] if len(x) == 1 else _pairwise(x[: len(x) // 2]) + _pairwise(x[len(x) // 2 :])


_SUMS: dict[str, Callable[[Any], Any]] = {
    "np.sum": np.sum,
    "in order": _in_order,
    "backwards": lambda x: _in_order(x[::-1]),
    "pairwise": _pairwise,
    "np.add.reduce of columns": lambda x: np.add.reduce(np.asarray([x, x * 0]).T)[0],
    "np.dot with ones": lambda x: np.dot(x, np.ones_like(x)),
    "in float64": lambda x: np.sum(x.astype(np.float64)).astype(x.dtype),
}
"""Ways to sum a column."""


def _n(x: Any) -> Any:
    return x.dtype.type(len(x))


_MEANS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "divided after": lambda x, add: add(x) / _n(x),
    "divided before": lambda x, add: add(x / _n(x)),
    "times the reciprocal": lambda x, add: add(x) * (x.dtype.type(1) / _n(x)),
}
"""Ways to make a mean of a sum."""


def _numpy_evaluations(formula: str) -> Iterator[tuple[str, Evaluation]]:
    def predicted(s: Sample) -> Any:
        return s.w * s.t_u + s.b

    def residuals(s: Sample) -> Any:
        return predicted(s) - s.t_c

    match formula:
        case "model":
            yield "w * t_u + b", predicted
            yield "b + t_u * w", lambda s: s.b + s.t_u * s.w
            yield "matrix", lambda s: np.stack([s.t_u, np.ones_like(s.t_u)], axis=1) @ s.params
        case "loss_fn" | "absolute_loss":
            part: Callable[[Any], Any] = np.square if formula == "loss_fn" else np.abs
            for mean_name, mean in _MEANS.items():
                for sum_name, add in _SUMS.items():
                    yield f"{mean_name}, {sum_name}", lambda s, m=mean, a=add: m(part(residuals(s)), a)  # type: ignore[misc]
            yield "np.mean", lambda s: np.mean(part(residuals(s)))
            if formula == "loss_fn":
                yield "np.dot", lambda s: np.dot(residuals(s), residuals(s)) / _n(s.t_u)
        case "dloss_fn":
            yield "2 r / n", lambda s: 2 * residuals(s) / _n(s.t_u)
            yield "(2 / n) r", lambda s: (s.t_u.dtype.type(2) / _n(s.t_u)) * residuals(s)
            yield "r (1 / n) 2", lambda s: residuals(s) * (s.t_u.dtype.type(1) / _n(s.t_u)) * 2
        case "gradient":
            for name, gradient in _gradients():
                yield name, lambda s, g=gradient: g(s.params, s)  # type: ignore[misc]
        case "finite_difference":
            for name, add in _SUMS.items():
                yield name, lambda s, a=add: _differences(s, a)  # type: ignore[misc]
        case "trajectory" | "closed_form":
            for name, gradient in _gradients():
                yield name, lambda s, g=gradient: _walk(s, formula, g)  # type: ignore[misc]


def _gradients() -> Iterator[tuple[str, Callable[[Any, Sample], Any]]]:
    def residuals(params: Any, s: Sample) -> Any:
        return params[0] * s.t_u + params[1] - s.t_c

    def divided_first(params: Any, s: Sample, add: Callable[[Any], Any]) -> Any:
        dloss = 2 * residuals(params, s) / _n(s.t_u)
        return np.stack([add(dloss * s.t_u), add(dloss)])

    def summed_first(params: Any, s: Sample, add: Callable[[Any], Any]) -> Any:
        r = residuals(params, s)
        return np.stack([add(r * s.t_u), add(r)]) * (s.t_u.dtype.type(2) / _n(s.t_u))

    for name, add in _SUMS.items():
        yield f"divided first, {name}", lambda p, s, a=add: divided_first(p, s, a)
        yield f"summed first, {name}", lambda p, s, a=add: summed_first(p, s, a)
    yield (
        "matrix",
        lambda p, s: np.stack([s.t_u, np.ones_like(s.t_u)]) @ residuals(p, s) * (s.t_u.dtype.type(2) / _n(s.t_u)),
    )


def _differences(s: Sample, add: Callable[[Any], Any]) -> Any:
    delta = _delta(s)

    def loss(w: Any, b: Any) -> Any:
        return add(np.square(w * s.t_u + b - s.t_c)) / _n(s.t_u)

    rates = [loss(s.w + delta, s.b) - loss(s.w - delta, s.b), loss(s.w, s.b + delta) - loss(s.w, s.b - delta)]
    return np.stack(rates) / (2 * delta)


def _walk(s: Sample, formula: str, gradient: Callable[[Any, Sample], Any]) -> Any:
    params, rate = s.params, s.t_u.dtype.type(s.learning_rate)
    for _ in range(s.n_epochs if formula == "trajectory" else 50 * s.n_epochs):
        params = params - rate * gradient(params, s)
    return params


# The evaluations, in torch


def _torch_evaluations(formula: str) -> Iterator[tuple[str, Evaluation]]:
    from calibrant.targets import reference

    def tensors(s: Sample) -> tuple[Any, ...]:
        return tuple(reference.asarray(np.array(x)) for x in (s.t_u, s.t_c, s.w, s.b))

    def back(value: Callable[..., Any]) -> Evaluation:
        return lambda s: reference.to_numpy(value(*tensors(s)))

    functional = torch.nn.functional
    match formula:
        case "model":
            yield "torch", back(lambda u, c, w, b: w * u + b)
            yield "torch.addcmul", back(lambda u, c, w, b: torch.addcmul(b, w, u))
        case "loss_fn":
            yield "torch mean", back(lambda u, c, w, b: ((w * u + b - c) ** 2).mean())
            yield "torch mse_loss", back(lambda u, c, w, b: functional.mse_loss(w * u + b, c))
        case "absolute_loss":
            yield "torch l1_loss", back(lambda u, c, w, b: functional.l1_loss(w * u + b, c))
        case "dloss_fn":
            yield "torch", back(lambda u, c, w, b: 2 * (w * u + b - c) / u.numel())
        case "gradient":
            for name, loss in (
                ("mean", lambda t_p, c: ((t_p - c) ** 2).mean()),
                ("mse_loss", functional.mse_loss),
                ("divided first", lambda t_p, c: ((t_p - c) ** 2 / c.numel()).sum()),
            ):
                yield (
                    f"torch autograd, {name}",
                    back(lambda u, c, w, b, f=loss: _autograd(torch.stack([w, b]), u, c, f)),
                )
        case "finite_difference":
            yield (
                "torch",
                lambda s: reference.to_numpy(reference.finite_difference(*tensors(s), reference.asarray(_delta(s)))),
            )
        case "trajectory" | "closed_form":
            yield "torch.optim.SGD", lambda s: _torch_walk(s, formula, *tensors(s))


def _autograd(params: Any, u: Any, c: Any, loss: Callable[[Any, Any], Any]) -> Any:
    leaf = params.detach().clone().requires_grad_()
    loss(leaf[0] * u + leaf[1], c).backward()
    return leaf.grad


def _torch_walk(s: Sample, formula: str, u: Any, c: Any, w: Any, b: Any) -> Any:
    from calibrant.targets import reference

    params = torch.stack([w, b]).requires_grad_()
    optimizer = torch.optim.SGD([params], lr=s.learning_rate)
    for _ in range(s.n_epochs if formula == "trajectory" else 50 * s.n_epochs):
        optimizer.zero_grad()
        ((params[0] * u + params[1] - c) ** 2).mean().backward()
        optimizer.step()
    return reference.to_numpy(params)


FORMULAS = (
    "model", "loss_fn", "absolute_loss", "dloss_fn", "gradient", "finite_difference", "trajectory", "closed_form",
)  # fmt: skip


# soundness


@dataclass
class Found:
    """What a part of a soundness run found."""

    cases: Counter[tuple[str, str]] = field(default_factory=Counter)
    judged: Counter[tuple[str, str]] = field(default_factory=Counter)
    unjudged: Counter[tuple[str, str]] = field(default_factory=Counter)
    worst: dict[tuple[str, str], float] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take in what another part found."""
        for mine, theirs in ((self.cases, other.cases), (self.judged, other.judged), (self.unjudged, other.unjudged)):
            mine.update(theirs)
        for key, value in other.worst.items():
            self.worst[key] = max(value, self.worst.get(key, 0.0))
        self.rejected += other.rejected


def soundness(cases: int, seed: int, processes: int | None = None) -> Found:
    """Judge at least so many correct evaluations, drawn as the properties draw; the same ones for the same seed."""
    found = Found()
    part = min(2000, cases)
    seeds = (np.random.SeedSequence([seed, i]) for i in range(10**9))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for other in pool.imap(
            _sound_part, ((s, part) for s in _until(seeds, lambda: sum(found.cases.values()) < cases))
        ):
            found.add(other)
            if sys.stderr.isatty():
                print(f"\r{sum(found.cases.values()):,} cases, {len(found.rejected)} rejected", end="", file=sys.stderr)
            if sum(found.cases.values()) >= cases:
                break
    return found


def _until(items: Iterator[Any], wanted: Callable[[], bool]) -> Iterator[Any]:
    for item in items:
        if not wanted():
            return
        yield item
        time.sleep(0.01)  # the pool takes its tasks from here as fast as it can: not so far ahead of the results


def _sound_part(task: tuple[np.random.SeedSequence, int]) -> Found:
    seeds, cases = task
    rng = np.random.default_rng(seeds)
    if torch is not None:
        torch.set_num_threads(1)
    found = Found()
    formats = [form for form in FORMATS.values() if _available(form)]
    evaluations = {(formula, form.name): [*_evaluations(formula, form)] for formula in FORMULAS for form in formats}
    while sum(found.cases.values()) < cases:
        form = formats[rng.integers(len(formats))]
        data = rng.integers(0, 256, strategies.DESCENT_BYTES, dtype=np.uint8).tobytes()
        sample = strategies.descent_of(data, form)
        for formula in FORMULAS:
            if formula == "closed_form" and rng.random() > 0.02:
                continue  # a walk of hundreds of steps costs as much as hundreds of other cases
            _sound_case(found, formula, form, sample, data, evaluations[formula, form.name])
    return found


def _available(form: Format) -> bool:
    try:
        numpy_dtype(form.name)
    except TargetError:
        return False
    return True


def _evaluations(formula: str, form: Format) -> Iterator[tuple[str, Evaluation]]:
    if form.name != "bfloat16":  # NumPy's own functions do not know it
        yield from _numpy_evaluations(formula)
    if torch is not None:
        yield from _torch_evaluations(formula)


def _sound_case(
    found: Found, formula: str, form: Format, sample: Sample, data: bytes, evaluations: list[tuple[str, Evaluation]]
) -> None:
    key = formula, form.name
    with np.errstate(all="ignore"):
        truth = _truths(sample, formula)
        with judge.tallying(judge.Tally()) as tally:
            for name, evaluate in evaluations:
                found.cases[key] += 1
                try:
                    judge.agree(evaluate(sample), truth)
                except judge.Disagreement as wrong:
                    found.rejected.append(f"{formula}, {form.name}, {name}, {data.hex()}: {wrong.sentence[:300]}")
    found.judged[key] += tally.judged
    found.unjudged[key] += tally.unjudged
    found.worst[key] = max(tally.worst, found.worst.get(key, 0.0))


def _soundness_rows(found: Found) -> list[Row]:
    return [
        {
            "formula": formula,
            "dtype": dtype,
            "cases": found.cases[formula, dtype],
            "judged": found.judged[formula, dtype],
            "unjudged": found.unjudged[formula, dtype],
            "largest error / bound": round(found.worst.get((formula, dtype), 0.0), 4),
        }
        for formula in FORMULAS
        for dtype in FORMATS
        if found.cases[formula, dtype]
    ]


# judge


def judging_times(repeats: int) -> list[Row]:
    """Quartiles, in milliseconds, of computing a true value with its bound and comparing an answer with it."""
    rows = []
    for name in ("float32", "float64"):
        form = FORMATS[name]
        rng = np.random.default_rng(1)
        t_u, t_c = (rng.normal(size=20).astype(name) for _ in range(2))
        w, b = (np.asarray(x, dtype=name) for x in (0.5, -0.25))
        sample = strategies.Descent(t_u, t_c, w, b, strategies.rate_below(0.5, t_u), 10)
        for formula in FORMULAS:
            answer = _truths(sample, formula).nearest().astype(name)
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                judge.agree(answer, _truths(sample, formula))
                times.append((time.perf_counter() - start) * 1e3)
            low, median, high = statistics.quantiles(times, n=4)
            rows.append(
                {"formula": formula, "dtype": form.name, "quarter": round(low, 3), "median": round(median, 3),
                 "three quarters": round(high, 3)}
            )  # fmt: skip
    return rows


# peers


def _points() -> dict[str, Sample]:
    t_c = np.array([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])
    t_u = np.array([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])
    w, b = (np.asarray(exact.to_float(x)) for x in exact.optimum(exact.of(t_u), exact.of(t_c)))
    one, zero = np.asarray(1.0), np.asarray(0.0)
    return {
        "thermometer": Sample(t_u, t_c, one, zero, 0.0, 0),
        "readings times 1000": Sample(t_u * 1000, t_c, one, zero, 0.0, 0),
        "at the optimum": Sample(t_u, t_c, w, b, 0.0, 0),
    }


def _by_calibrant(sample: Sample, gradient: Any) -> bool:
    try:
        judge.agree(gradient, _truths(sample, "gradient"))
    except judge.Disagreement:
        return False
    return True


def _by_allclose(sample: Sample, gradient: Any) -> bool:
    return bool(np.allclose(gradient, _truths(sample, "gradient").nearest(), rtol=1e-7, atol=0))


def _by_gradcheck(sample: Sample, gradient: Any) -> bool:
    """torch.autograd.gradcheck, with its defaults, of a function whose backward pass returns the gradient."""

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Any, b: Any) -> Any:
            return ((w * u + b - c) ** 2).mean()

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            return upstream * planted[0], upstream * planted[1]

    planted = torch.tensor(np.asarray(gradient))
    u, c = torch.tensor(sample.t_u), torch.tensor(sample.t_c)
    leaves = [torch.tensor(np.asarray(x), requires_grad=True) for x in (sample.w, sample.b)]
    return bool(torch.autograd.gradcheck(Planted.apply, leaves, raise_exception=False))


def _checkers() -> dict[str, Callable[[Sample, Any], bool]]:
    checkers: dict[str, Callable[[Sample, Any], bool]] = {
        "calibrant": _by_calibrant,
        "allclose to the truth, 1e-7": _by_allclose,
    }
    if torch is not None:
        checkers["torch gradcheck"] = _by_gradcheck
    return checkers


def _gradient(sample: Sample) -> Any:
    """The gradient by hand, as the book has it, in the sample's dtype."""
    dloss = 2 * (sample.w * sample.t_u + sample.b - sample.t_c) / _n(sample.t_u)
    return np.stack([np.sum(dloss * sample.t_u), np.sum(dloss)])


def smallest_errors() -> list[Row]:
    """The smallest relative error e, a power of ten, for which a gradient times 1 + e is rejected, for each checker."""
    rows = []
    for name, sample in _points().items():
        row: Row = {"point": name}
        for checker, accepts in _checkers().items():
            errors = [10.0**k for k in range(-16, 9)]
            rejected = [e for e in errors if not accepts(sample, _gradient(sample) * (1 + e))]
            row[checker] = f"{rejected[0]:.0e}" if rejected else "never"
        rows.append(row)
    return rows


def _faults(sample: Sample) -> dict[str, Any]:
    """Ten wrong gradients of a sample."""
    g, n = _gradient(sample), len(sample.t_u)
    r = sample.w * sample.t_u + sample.b - sample.t_c
    return {
        "no factor 2": g / 2,
        "n - 1": g * n / (n - 1),
        "twice": g * 2,
        "sign": -g,
        "bias gradient 0": g * np.array([1, 0]),
        "bias gradient's sign": g * np.array([1, -1]),
        "bias gradient halved": g * np.array([1, 0.5]),
        "bias gradient over n - 1": g * np.array([1, n / (n - 1)]),
        "weight gradient from the mean reading": np.stack([np.mean(sample.t_u) * g[1], g[1]]),
        "last sample only": 2 * r[-1] * np.stack([sample.t_u[-1], np.ones_like(g[1])]),
    }


def planted_faults(seed: int) -> list[Row]:
    """How many of ten faults at twelve places each checker finds, in two dtypes."""
    rows = []
    for dtype in ("float64", "float32"):
        caught: Counter[str] = Counter()
        total = 0
        rng = np.random.default_rng(seed)
        for n in (2, 11, 100):
            for scale in (1.0, 1000.0):
                for near in (False, True):
                    t_u = rng.uniform(0.5, 1.5, n) * scale
                    t_c = 0.5 * t_u - 17 + rng.normal(size=n)
                    w, b = (0.5, -17.0) if near else (1.0, 0.0)
                    sample = Sample(*(np.asarray(x, dtype=dtype) for x in (t_u, t_c, w, b)), 0.0, 0)
                    for fault in _faults(sample).values():
                        total += 1
                        for checker, accepts in _checkers().items():
                            caught[checker] += not accepts(sample, fault.astype(dtype))
        rows.append({"dtype": dtype, "faults": total} | {checker: caught[checker] for checker in _checkers()})
    return rows


def false_alarms(count: int, seed: int) -> list[Row]:
    """How often each checker rejects a correct gradient."""
    rows = []
    for dtype in ("float64", "float32"):
        rng = np.random.default_rng(seed)
        rejected: Counter[str] = Counter()
        for _ in range(count):
            n = int(rng.integers(1, 51))
            columns = (rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-6, 6, n) for _ in range(2))
            sample = Sample(*(np.asarray(x, dtype=dtype) for x in (*columns, *rng.normal(size=2))), 0.0, 0)
            for checker, accepts in _checkers().items():
                rejected[checker] += not accepts(sample, _gradient(sample))
        rows.append({"dtype": dtype, "correct": count} | {f"{name} rejects": rejected[name] for name in _checkers()})
    return rows


# The command


def main(arguments: list[str] | None = None) -> int:
    """Run one measurement, print its table, and return 1 if a correct evaluation was rejected."""
    parser = argparse.ArgumentParser(prog="python -m calibrant.benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("name", choices=["judge", "soundness", "peers"])
    parser.add_argument("--cases", type=int, default=None, help="soundness: 1000000; judge: 300; peers: 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables to this file too")
    options = parser.parse_args(arguments)
    if options.cases is not None and options.cases < 2:
        parser.error(f"--cases is {options.cases}: at least 2 are needed")
    tables: dict[str, list[Row]] = {}
    rejected: list[str] = []
    match options.name:
        case "judge":
            tables["milliseconds on 20 samples"] = judging_times(options.cases or 300)
        case "soundness":
            found = soundness(options.cases or 1_000_000, options.seed)
            tables["soundness"] = _soundness_rows(found)
            rejected = found.rejected
        case "peers":
            tables["smallest relative error that is rejected"] = smallest_errors()
            tables["planted faults that are found"] = planted_faults(options.seed)
            tables["correct gradients that are rejected"] = false_alarms(options.cases or 2000, options.seed)
    for title, rows in tables.items():
        print(f"\n{title}")
        _print_table(rows)
    if options.name == "soundness":
        print(f"\n{sum(row['cases'] for row in tables['soundness']):,} cases, {len(rejected)} rejected")
        for line in rejected[:20]:
            print(f"rejected: {line}")
    if torch is None:
        print("\ntorch is not installed: its evaluations were left out")
    if options.json:
        options.json.write_text(json.dumps({"tables": tables, "rejected": rejected}, indent=1) + "\n", encoding="utf-8")
    return 1 if rejected else 0


def _print_table(rows: list[Row]) -> None:
    columns = list(rows[0])
    widths = {c: max(len(c), *(len(str(row[c])) for row in rows)) for c in columns}
    print("  ".join(c.ljust(widths[c]) for c in columns))
    for row in rows:
        print("  ".join(str(row[c]).ljust(widths[c]) for c in columns))


if __name__ == "__main__":
    sys.exit(main())

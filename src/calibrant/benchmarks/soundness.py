"""Correct evaluations, of many kinds, none of which the judge may reject."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant import exact, strategies
from calibrant.benchmarks.evaluations import STYLES, TORCHES, Array, in_torch
from calibrant.benchmarks.output import progress, table
from calibrant.checks.spread import spread
from calibrant.exact import FORMATS, Exact
from calibrant.impostors.correct import as_exact
from calibrant.judge import Disagreement, Tally, agree, tallying
from calibrant.protocol.dtypes import numpy_dtype
from calibrant.protocol.errors import TargetError


@dataclass(frozen=True)
class Formula:
    """A formula under test: how its inputs are drawn, its evaluation in some style, and its truth."""

    name: str
    weight: int
    strategy: strategies.Strategy[Any]
    arguments: Callable[[Any], tuple[Any, ...]]
    truth: Callable[..., Exact]
    method: str

    def drawn(self, data: bytes, dtype: str) -> tuple[Any, ...]:
        """Decode the arguments that bytes stand for in a dtype."""
        return self.arguments(strategies.Drawn(data, self.strategy.decode).at(FORMATS[dtype]))


def _errors(example: strategies.Residuals) -> tuple[Array, Array]:
    return example.t_p, example.t_c


def _fit(example: strategies.Fit) -> tuple[Array, Array, Array, Array]:
    return example.t_u, example.t_c, example.w, example.b


def _walk(example: strategies.Descent) -> tuple[Any, ...]:
    return example.n_epochs, example.learning_rate, example.params, example.t_u, example.t_c


def _path(*arguments: Any) -> Exact:
    return exact.trajectory(*arguments)[0]


FORMULAS = (
    Formula("model", 22, strategies.fits, lambda x: (x.t_u, x.w, x.b), exact.model, "model"),
    Formula("loss", 22, strategies.residuals, _errors, exact.loss_fn, "loss"),
    Formula("absolute", 8, strategies.residuals, _errors, exact.absolute_loss, "absolute"),
    Formula("dloss", 13, strategies.residuals, _errors, exact.dloss_fn, "dloss"),
    Formula("grad", 24, strategies.fits, _fit, exact.gradient, "grad"),
    Formula(
        "finite_difference",
        5,
        strategies.probes,
        lambda x: (*_fit(x), x.delta),
        exact.finite_difference,
        "finite_difference",
    ),
    Formula("step", 4, strategies.descents, lambda x: (1, *_walk(x)[1:]), _path, "trajectory"),
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


def evaluators(dtype: str) -> list[str]:
    """List the ways to evaluate in a dtype, so that PyTorch, where it is installed, is chosen half of the time."""
    ways = [] if dtype == "bfloat16" else list(STYLES)
    if find_spec("torch"):
        ways += list(TORCHES) * max(1, len(ways) // len(TORCHES))
    return ways


def evaluate(way: str, formula: Formula, arguments: tuple[Any, ...]) -> Array:
    """Compute a correct answer."""
    with np.errstate(all="ignore"):
        if way in STYLES:
            return np.asarray(getattr(STYLES[way], formula.method)(*arguments))
        return in_torch(getattr(TORCHES[way], formula.method), *arguments)


def judged_chunk(seed: int, chunk: int, cases: int) -> Counts:
    """Judge the cases of one chunk, drawn from the generator that seed and chunk give."""
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
        data = rng.integers(0, 256, formula.strategy.length, dtype=np.uint8)
        if rng.integers(4) == 0:  # byte 0 is the simplest of everything: as in shrinking, and as Hypothesis draws it
            data[rng.random(formula.strategy.length) < 0.5] = 0
        arguments = formula.drawn(data.tobytes(), dtype)
        answer = evaluate(way, formula, arguments)
        rejections = []
        with tallying(Tally()) as tally:
            try:
                agree(answer, formula.truth(*as_exact(arguments)))
            except Disagreement as rejection:
                rejections = [
                    f"{formula.name} in {dtype} by {way}: {rejection}; seed {seed}, chunk {chunk}, case {i}, "
                    f"drawn from {data.tobytes().hex()}; {rejection.measured}"
                ]
        count = Count(1, tally.judged, tally.unjudged, tally.worst, rejections)
        counts.setdefault((formula.name, dtype), Count()).add(count)
    return counts


def measure(cases: int, seed: int, workers: int | None = None) -> dict[str, Any]:
    """Judge correct evaluations; a rejection is a bug of the judge, or of the evaluation."""
    tasks = [(seed, chunk, min(CHUNK, cases - at)) for chunk, at in enumerate(range(0, cases, CHUNK))]
    counts: Counts = {}
    done, start = 0, time.monotonic()
    here = min(workers or os.cpu_count() or 1, len(tasks)) == 1
    for task, found in (
        ((task, judged_chunk(*task)) for task in tasks) if here else spread(judged_chunk, tasks, workers)
    ):
        for key, count in found.items():
            counts.setdefault(key, Count()).add(count)
            for rejection in count.rejections:
                print(f"rejected: {rejection}", flush=True)
        done += task[2]
        progress(f"{done} of {cases} cases, {time.monotonic() - start:.0f} s", last=done == cases)
    rows: list[dict[str, Any]] = [
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
    print(table(rows, dict.fromkeys(rows[0], "") | {"worst": ".3f"}))
    rejections = sorted(rejection for count in counts.values() for rejection in count.rejections)
    total = {key: sum(row[key] for row in rows) for key in ("cases", "judged", "unjudged", "rejected")}
    print(", ".join(f"{value} {key}" for key, value in total.items()))
    return {"soundness": rows, "total": total, "rejections": rejections}

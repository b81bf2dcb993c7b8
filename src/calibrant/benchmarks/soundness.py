"""Correct evaluations, of many kinds, none of which the judge may reject, and the time that it takes to judge them."""

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from operator import attrgetter
from typing import Any

import numpy as np

from calibrant import exact, strategies
from calibrant.benchmarks import evaluations
from calibrant.benchmarks.evaluations import STYLES, TORCHES, Array
from calibrant.checks.spread import spread
from calibrant.exact import FORMATS, Exact
from calibrant.impostors.correct import as_exact
from calibrant.judge import Disagreement, Tally, agree, tallying


@dataclass(frozen=True)
class Formula:
    """A formula under test: how its inputs are drawn, its evaluation in some style, and its truth."""

    name: str
    weight: int
    strategy: strategies.Strategy[Any]
    arguments: Callable[[Any], tuple[Any, ...]]
    truth: Callable[..., Exact]

    def drawn(self, data: bytes, dtype: str) -> tuple[Any, ...]:
        """Decode the arguments that bytes stand for in a dtype."""
        return self.arguments(strategies.Drawn(data, self.strategy.decode).at(FORMATS[dtype]))


_ERRORS = attrgetter("t_p", "t_c")
_FIT = ("t_u", "t_c", "w", "b")
_WALK = attrgetter("n_epochs", "learning_rate", "params", "t_u", "t_c")


def _path(*arguments: Any) -> Exact:
    return exact.trajectory(*arguments)[0]


FORMULAS = (
    Formula("model", 22, strategies.fits, attrgetter("t_u", "w", "b"), exact.model),
    Formula("loss", 22, strategies.residuals, _ERRORS, exact.loss_fn),
    Formula("absolute", 8, strategies.residuals, _ERRORS, exact.absolute_loss),
    Formula("dloss", 13, strategies.residuals, _ERRORS, exact.dloss_fn),
    Formula("grad", 24, strategies.fits, attrgetter(*_FIT), exact.gradient),
    Formula("finite_difference", 5, strategies.probes, attrgetter(*_FIT, "delta"), exact.finite_difference),
    Formula("step", 4, strategies.descents, lambda x: (1, *_WALK(x)[1:]), _path),
    Formula("trajectory", 2, strategies.descents, _WALK, _path),
    Formula("closed_form", 1, strategies.long_descents, _WALK, exact.closed_form),
)
_CHANCES = np.array([formula.weight for formula in FORMULAS]) / sum(formula.weight for formula in FORMULAS)

CHUNK = 2000
JUDGED = "Evaluations, and the largest error in units of its bound"
REJECTED = "Rejections"


def dtypes() -> list[str]:
    """The dtypes that can be drawn and computed here; bfloat16 is left to torch."""
    bfloat16 = ["bfloat16"] if find_spec("torch") and find_spec("ml_dtypes") else []
    return [*bfloat16, "float16", "float32", "float64"]


def evaluators(dtype: str) -> list[str]:
    """List the ways to evaluate in a dtype, so that PyTorch, where it is installed, is chosen half of the time."""
    ways = [] if dtype == "bfloat16" else list(STYLES)
    if find_spec("torch"):
        ways += list(TORCHES) * max(1, len(ways) // len(TORCHES))
    return ways


def evaluate(way: str, formula: Formula, arguments: tuple[Any, ...]) -> Array:
    """Compute a correct answer."""
    with np.errstate(all="ignore"):
        return np.asarray(evaluations.way(way)[formula.name](*arguments))


def random_bytes(strategy: strategies.Strategy[Any], rng: np.random.Generator) -> bytes:
    """Draw the bytes of an example. Byte 0 is the simplest of everything; a quarter has many, as Hypothesis draws them."""
    data = rng.integers(0, 256, strategy.length, dtype=np.uint8)
    if rng.integers(4) == 0:
        data[rng.random(strategy.length) < 0.5] = 0
    return data.tobytes()


Found = tuple[dict[tuple[str, str], Tally], list[dict[str, str]]]
"""The tally of each formula in each dtype, and what tells of each rejection."""


def judged_chunk(seed: int, chunk: int, cases: int) -> Found:
    """Judge the cases of one chunk, drawn from the generator that seed and chunk give."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    rng = np.random.default_rng([seed, chunk])
    ways = {name: evaluators(name) for name in dtypes()}
    tallies: dict[tuple[str, str], Tally] = {}
    rejections = []
    for i in range(cases):
        dtype = list(ways)[rng.integers(len(ways))]
        formula = FORMULAS[rng.choice(len(FORMULAS), p=_CHANCES)]
        way = ways[dtype][rng.integers(len(ways[dtype]))]
        data = random_bytes(formula.strategy, rng)
        arguments = formula.drawn(data, dtype)
        answer = evaluate(way, formula, arguments)
        with tallying(tallies.setdefault((formula.name, dtype), Tally())) as tally:
            tally.examples += 1
            try:
                agree(answer, formula.truth(*as_exact(arguments)))
            except Disagreement as rejection:
                tally.rejected += 1
                place = f"seed {seed}, chunk {chunk}, case {i}, drawn from {data.hex()}"
                told = f"{formula.name} in {dtype} by {way}: {rejection}; {place}; {rejection.measured}"
                rejections.append({"rejected": told})
    return tallies, rejections


def measure(cases: int, seed: int, workers: int | None = None) -> dict[str, Any]:
    """Judge correct evaluations; a rejection is a bug of the judge, or of the evaluation."""
    tasks = [(seed, chunk, min(CHUNK, cases - at)) for chunk, at in enumerate(range(0, cases, CHUNK))]
    found: list[Found] = []
    for _, of_chunk in spread(judged_chunk, tasks, workers):
        found.append(of_chunk)
        lines = [*(told["rejected"] for told in of_chunk[1]), f"{len(found)} of {len(tasks)} chunks"]
        print(*lines, sep="\n", file=sys.stderr)
    counted: dict[tuple[str, str], list[Tally]] = {}
    for key in (*itertools.product([formula.name for formula in FORMULAS], FORMATS), ("all", "")):
        counted[key] = [tally for tallies, _ in found for of, tally in tallies.items() if of == key or key[0] == "all"]
    rows = [
        {
            "formula": formula,
            "dtype": dtype,
            "cases": sum(tally.examples for tally in tallies),
            **{name: sum(getattr(tally, name) for tally in tallies) for name in ("judged", "unjudged", "rejected")},
            "worst": max(tally.worst for tally in tallies),
        }
        for (formula, dtype), tallies in counted.items()
        if tallies
    ]
    rejections = sorted((told for _, several in found for told in several), key=dict.__repr__)
    return {JUDGED: rows, REJECTED: rejections}


def judge_times(cases: int, seed: int) -> dict[str, Any]:
    """Measure the quartiles of the time to find the truth and its bound, and to compare, in milliseconds."""
    rng = np.random.default_rng(seed)
    times: dict[tuple[str, str], list[float]] = {}
    for i in range(cases):  # all formulas in turn, so that a disturbance of the machine falls on each
        for formula in FORMULAS if i % 10 == 0 else FORMULAS[:-1]:  # a long descent takes long to evaluate
            data = random_bytes(formula.strategy, rng)
            for dtype in ("float32", "float64"):
                arguments = formula.drawn(data, dtype)
                answer = evaluate("np.sum, sum-first, plain", formula, arguments)
                start = time.perf_counter()
                agree(answer, formula.truth(*as_exact(arguments)))
                times.setdefault((formula.name, dtype), []).append((time.perf_counter() - start) * 1e3)
    rows: list[dict[str, Any]] = []
    for (name, dtype), taken in times.items():
        low, median, high = np.quantile(taken, [0.25, 0.5, 0.75]).tolist()
        rows.append({"formula": name, "dtype": dtype, "low": low, "median": median, "high": high})
    return {"Quartiles of the time of one judgement, in milliseconds": rows}

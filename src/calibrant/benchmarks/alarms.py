"""Correct losses and layers of PyTorch and JAX, over the whole catalogue, none of which the judge of formulas may reject."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant.benchmarks.arrangements import count_rejection, random_bytes
from calibrant.benchmarks.versions import DRAWS, scale_of
from calibrant.checks.spread import spread
from calibrant.exact import FORMATS
from calibrant.formula.declaring import CATALOGUE, Declared, formulas_of
from calibrant.judge.comparing import Disagreement, Tally, tallying
from calibrant.judge.formulas import agree_with_formula
from calibrant.protocol.operations import GRADIENT
from calibrant.strategies.drawing import Bytes, cast
from calibrant.strategies.formulas import arguments
from calibrant.target.autodiff import Differentiated

LIBRARIES = {"torch": "calibrant.adapters.torch_layers", "jax": "calibrant.adapters.jax_layers"}
CHUNK = 250
DRAWN_BY_CHECK = {"torch": 0.3, "jax": 0.005}
"""The share of the runs whose arguments are those that `calibrant check --formulas` draws: JAX compiles for each new shape."""

Run = tuple[str, str, str]
"""A library, a formula and a dtype."""


def runs(wide: bool) -> list[Run]:
    """What can be judged here: all formulas in float32 and float64, or in 16 bits those that say what is stored."""
    made = []
    for library, module in LIBRARIES.items():
        if not find_spec(library):
            continue
        layers = importlib.import_module(module)
        for name, one in formulas_of(CATALOGUE).items():
            dtypes = ("float32", "float64") if wide else ("bfloat16", "float16")
            if hasattr(layers, name) and (wide or getattr(one.function, "accumulate", None)):
                made += [(library, name, dtype) for dtype in dtypes]
    return made


def _deviates(layers: Any, clause: str, dtype: str) -> bool:
    declared = getattr(layers, "deviations", {})
    return clause in declared or f"{clause}[{dtype}]" in declared


def _drawn(library: str, one: Declared, dtype: str, rng: np.random.Generator) -> tuple[tuple[Any, ...], Any]:
    """The arguments, and a generator of the upstream gradient for the shape of a result."""
    form = FORMATS[dtype]
    if rng.random() < DRAWN_BY_CHECK[library]:
        strategy = arguments(one)
        drawn = strategy.decode(Bytes(random_bytes(strategy, rng)), form)
        return drawn.inputs, drawn.upstream
    given = DRAWS[one.name](rng, *scale_of(rng))
    return tuple(cast(x, form) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in given), None


def judged_chunk(wide: bool, seed: int, chunk: int, cases: int) -> tuple[dict[Run, Tally], list[dict[str, str]]]:
    """Judge value and gradient of the calls of one chunk, drawn from the generator that seed and chunk give."""
    if find_spec("torch"):
        importlib.import_module("torch").set_num_threads(1)
    rng = np.random.default_rng([seed, chunk, wide])
    possible, tallies, rejections = runs(wide), dict[Run, Tally](), []
    for i in range(cases):
        library, name, dtype = possible[rng.integers(len(possible))]
        one = formulas_of(CATALOGUE)[name]
        layers = Differentiated(importlib.import_module(LIBRARIES[library]), library)
        inputs, upstream = _drawn(library, one, dtype, rng)
        with tallying(tallies.setdefault((library, name, dtype), Tally())) as tally:
            tally.examples += 1
            try:
                for wrong in _wrong(layers, one, inputs, upstream, dtype, rng):
                    place = f"seed {seed}, chunk {chunk}, case {i}"
                    rejections.append({"rejected": f"{library}, {name} in {dtype}: {wrong}; {place}"})
                    count_rejection(tally, wrong)
            except NotImplementedError:  # the adapter says of which shapes the library has no function
                tally.refused += 1
    return tallies, rejections


def _wrong(layers: Any, one: Declared, inputs: Any, upstream: Any, dtype: str, rng: Any) -> Iterator[Disagreement]:
    """What is wrong with the value and with the gradients."""
    given = [layers.asarray(x.copy()) if isinstance(x, np.ndarray) else x for x in inputs]
    value = layers.to_numpy(getattr(layers, one.name)(*given))
    if upstream is None:
        upstream = cast(rng.normal(size=value.shape), FORMATS[dtype])
    gradients = getattr(layers, one.name + GRADIENT)(*given, layers.asarray(upstream.copy()))
    due = [None if g is None else layers.to_numpy(g) for g in gradients]
    for answer, seed, clause in ((value, None, one.clause), (due, upstream, f"{one.clause}.gradient")):
        try:
            if not _deviates(layers, clause, dtype):
                agree_with_formula(answer, one, inputs, dtype, seed)
        except Disagreement as wrong:
            yield wrong


def measure(cases: int, seed: int, workers: int | None = None) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Judge so many calls in float32 and float64, and a tenth as many in bfloat16 and float16; the counts, and the rejections."""
    tasks = [
        (wide, seed, chunk, min(CHUNK, count - at))
        for wide, count in ((True, cases), (False, -(-cases // 10)))
        for chunk, at in enumerate(range(0, count, CHUNK))
    ]
    tallies: dict[tuple[str, str], list[Tally]] = {}
    rejections: list[dict[str, str]] = []
    for done, (_, found) in enumerate(spread(judged_chunk, tasks, workers), 1):
        for (library, _, dtype), tally in found[0].items():
            tallies.setdefault((library, dtype), []).append(tally)
        rejections += found[1]
        print(*(told["rejected"] for told in found[1]), f"{done} of {len(tasks)} chunks", sep="\n", file=sys.stderr)
    rows = [
        {
            "library": library,
            "dtype": dtype,
            "runs": sum(t.examples - t.refused for t in several),
            **{name: sum(getattr(t, name) for t in several) for name in ("judged", "unjudged", "rejected")},
            "worst": max(t.worst for t in several),
        }
        for (library, dtype), several in sorted(tallies.items())
    ]
    return rows, rejections

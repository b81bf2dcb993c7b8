"""The time of one judgement."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from calibrant.benchmarks.soundness import FORMULAS, evaluate, random_bytes
from calibrant.impostors.correct import as_exact
from calibrant.judge import agree


def measure(cases: int, seed: int) -> dict[str, Any]:
    """Measure the quartiles of the time to find the truth and its bound, and to compare, in milliseconds."""
    rng = np.random.default_rng(seed)
    times: dict[tuple[str, str], list[float]] = {}
    for i in range(cases):  # all formulas in turn, so that a disturbance of the machine falls on each
        for formula in FORMULAS if i % 10 == 0 else FORMULAS[:-1]:  # a long descent takes long to evaluate
            data = random_bytes(formula, rng)
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

"""The time of one judgement."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from calibrant.benchmarks.evaluations import STYLES, Array
from calibrant.benchmarks.output import table
from calibrant.benchmarks.soundness import FORMULAS, Formula
from calibrant.impostors.correct import as_exact
from calibrant.judge import agree

Question = tuple[Array, Formula, tuple[Any, ...]]
"""A correct answer, its formula, and the arguments."""


def questions(dtype: str, rng: np.random.Generator) -> dict[str, Question]:
    """Evaluate each formula on 20 samples."""
    t_u, t_c = (rng.uniform(-8, 8, 20).astype(dtype) for _ in range(2))
    w, b, delta = (np.asarray(x, dtype=dtype) for x in (*rng.uniform(-2, 2, 2), 0.1))
    style = STYLES["np.sum, sum-first, plain"]
    fit, errors, descent = (t_u, t_c, w, b), (style.model(t_u, w, b), t_c), (1e-2, np.stack([w, b]), t_u, t_c)
    arguments: dict[str, tuple[Any, ...]] = {
        "model": (t_u, w, b),
        "loss": errors,
        "absolute": errors,
        "dloss": errors,
        "grad": fit,
        "finite_difference": (*fit, delta),
        "step": (1, *descent),
        "trajectory, 10 steps": (10, *descent),
        "closed form, 5000 epochs": (5000, *descent),
    }
    return {
        name: (getattr(style, formula.method)(*given), formula, given)
        for (name, given), formula in zip(arguments.items(), FORMULAS, strict=True)
    }


def measure(cases: int, seed: int) -> dict[str, Any]:
    """Measure the quartiles of the time to find the truth and its bound, and to compare, in milliseconds."""
    rows: list[dict[str, Any]] = []
    for dtype in ("float32", "float64"):
        asked = questions(dtype, np.random.default_rng(seed))
        times: dict[str, list[float]] = {name: [] for name in asked}
        for i in range(cases):  # all formulas in turn, so that a disturbance of the machine falls on each
            for name, (answer, formula, given) in asked.items():
                if i % 10 and name == "closed form, 5000 epochs":
                    continue
                start = time.perf_counter()
                agree(answer, formula.truth(*as_exact(given)))
                times[name].append((time.perf_counter() - start) * 1e3)
        for name, of_formula in times.items():
            low, median, high = np.quantile(of_formula, [0.25, 0.5, 0.75]).tolist()
            rows.append({"formula": name, "dtype": dtype, "low": low, "median": median, "high": high})
    print("Lower quartile, median and upper quartile of the time of one judgement, in milliseconds")
    print(table(rows, {"formula": "", "dtype": "", "low": ".3f", "median": ".3f", "high": ".3f"}))
    return {"judge": rows}

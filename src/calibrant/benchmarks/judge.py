"""The time of one judgement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.benchmarks.evaluations import Array, Style
from calibrant.benchmarks.output import table
from calibrant.exact import Exact
from calibrant.judge import agree


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


def measure(cases: int, seed: int) -> dict[str, Any]:
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

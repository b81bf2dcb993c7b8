"""The formulas that ship against the versions of PyTorch and JAX, right and broken, beside other checkers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from calibrant.benchmarks import REJECTED
from calibrant.benchmarks.versions import Case, asked, cases
from calibrant.formula import gradient_bound
from calibrant.formula.catalogue import FORMULAS


def measure(calls: int, seed: int) -> dict[str, Any]:
    """False alarms on PyTorch's and JAX's own versions, faults seen beside other checkers, and the gradient error that would still be seen."""
    if find_spec("torch") is None:
        raise SystemExit("formulas: PyTorch is not installed here")
    from calibrant.benchmarks import alarms, checkers  # they import PyTorch

    versions, rejected = alarms.measure(calls, seed)
    tables = {
        "Correct versions of the whole catalogue, judged": versions,
        "Faults seen by each checker, and right answers that it rejects": checkers.measure(),
        "The median relative error that a gradient may have": sensitivities(),
    }
    return {**tables, **({REJECTED: rejected} if rejected else {})}


def sensitivities() -> list[dict[str, Any]]:
    """For each formula, and the median of them all."""
    rows = [_sensitivity(case) for case in cases()]
    middle = {dtype: float(np.median([row[dtype] for row in rows])) for dtype in ("float32", "float64")}
    return [*rows, {"formula": f"the median of {len(rows)}", **middle}]


def _sensitivity(case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {"formula": case.name}
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(0)
        inputs = case.draw(rng, 1.0, 0.0)
        tensors, _, _, seed = asked(case, inputs, dtype, lambda shape, rng=rng: rng.normal(size=tuple(shape)))
        found = gradient_bound(FORMULAS[case.name], tensors, dtype, seed)
        shares = [b.allowed[b.value != 0] / np.abs(b.value[b.value != 0]) for b in found]
        row[dtype] = float(np.median(np.concatenate(shares)))
    return row

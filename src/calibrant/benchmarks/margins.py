"""Long checks of right implementations in every dtype: what was judged, and the largest error of each clause in units of its bound."""

import math
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from calibrant.benchmarks.soundness import REJECTED
from calibrant.checks.check import check
from calibrant.checks.options import Options
from calibrant.checks.verdicts import Verdict
from calibrant.protocol.declarations import DTYPES

LOOSE = 0.05
"""A bound that no error comes nearer to, in no dtype, may be too wide: the table marks it."""


def measure(
    cases: int, seed: int, targets: Sequence[str] = (), dtypes: Sequence[str] = DTYPES, clauses: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Check the shipped targets, or those that are named, with so many examples of each property."""
    verdicts: list[tuple[str, Verdict]] = []
    if not find_spec("ml_dtypes"):
        dtypes = [dtype for dtype in dtypes if dtype != "bfloat16"]
    for target in targets or (("reference", "torch", "numpy") if find_spec("torch") else ("numpy",)):
        for dtype in dtypes:
            options = Options(clauses=clauses, dtypes=(dtype,), profile="dev", examples=cases, seed=seed, timeout=600.0)
            verdicts += [(target, verdict) for verdict in check(target, options).verdicts]
            print(f"{target} in {dtype}: checked", file=sys.stderr)
    counted = ("examples", "judged", "unjudged")
    runs = [
        {"target": target, "dtype": dtype}
        | {name: sum(getattr(verdict, name) for verdict in some) for name in counted}
        | {
            status: sum(verdict.status == status for verdict in some)
            for status in ("holds", "undecided", "deviates", "breaks")
        }
        for target, dtype in dict.fromkeys((target, verdict.dtype) for target, verdict in verdicts)
        if (some := [verdict for of, verdict in verdicts if (of, verdict.dtype) == (target, dtype)])
    ]
    rows = []
    for name in dict.fromkeys(verdict.clause for _, verdict in verdicts):
        worst = {
            dtype: max(
                (
                    verdict.worst
                    for _, verdict in verdicts
                    if (verdict.clause, verdict.dtype, verdict.status) == (name, dtype, "holds")
                ),
                default=math.nan,
            )
            for dtype in dtypes
        }
        largest = max((x for x in worst.values() if x == x), default=math.nan)
        rows.append({"clause": name, **worst, "": "loose?" if 0 < largest < LOOSE else ""})
    rejections = [
        {"rejected": f"{target} in {verdict.dtype}: {verdict.clause} {verdict.status}: {finding.text}"}
        for target, verdict in verdicts
        if verdict.failed
        for finding in verdict.failures
    ]
    return {
        "What was judged, and the clauses by their status": runs,
        "The largest error of a clause that holds, in units of its bound": rows,
        REJECTED: rejections,
    }

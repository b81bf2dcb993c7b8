"""How quickly the suite finds what is wrong, over many seeds."""

from __future__ import annotations

import statistics
from typing import Any

from calibrant.benchmarks.output import progress, table
from calibrant.checks.power import detections
from calibrant.impostors import catalog
from calibrant.suite.session import PROFILES


def measure(cases: int, seed: int, workers: int | None = None) -> dict[str, Any]:
    """For each impostor: after how many examples the clause that shows it best rejected it, over so many seeds of the default profile."""
    impostors, seeds = [one for one in catalog() if one.possible], range(seed, seed + cases)
    counts: dict[str, list[int | None]] = {f"{one.operation} as {one.name}": [] for one in impostors}
    runs = len(impostors) * cases
    for done, (one, examples) in enumerate(detections(impostors, seeds, workers=workers), start=1):
        counts[f"{one.operation} as {one.name}"].append(examples)
        if done % 100 == 0 or done == runs:
            progress(f"{done:,} of {runs:,} runs", last=done == runs)
    limit = PROFILES["dev"].examples
    rows: list[dict[str, Any]] = []
    for name, found in counts.items():
        caught = [examples for examples in found if examples is not None]
        rows.append(
            {
                "impostor": name,
                "runs": len(found),
                "caught": len(caught),
                "median": statistics.median(caught) if caught else None,
                "most": max(caught, default=None),
            }
        )
    rows.sort(key=lambda row: (row["caught"] / row["runs"], -(row["most"] or 0)))
    medians = [row["median"] for row in rows if row["median"] is not None]
    total = {
        "impostors": len(rows),
        "runs": sum(row["runs"] for row in rows),
        "caught": sum(row["caught"] for row in rows),
        "median": statistics.median(medians),
        "examples": limit,
    }
    print(table(("impostor", "caught", "median", "most"), [(r["impostor"], f"{r['caught']}/{r['runs']}", r["median"], r["most"]) for r in rows]))  # fmt: skip
    print(
        f"\n{total['caught']:,} of {total['runs']:,} runs of at most {limit} examples caught their impostor; "
        f"the median impostor fell after {total['median']:g} examples."
    )
    return {"detection": rows, "total": total}

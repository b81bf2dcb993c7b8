"""How quickly the suite finds what is wrong, over many seeds."""

from __future__ import annotations

import statistics
from typing import Any

from calibrant.benchmarks.output import progress, table
from calibrant.checks.power import detections
from calibrant.impostors import catalog
from calibrant.suite.session import PROFILES


def measure(cases: int, seed: int, workers: int | None = None) -> dict[str, Any]:
    """Count the default profile's examples until each impostor's main clause rejects it, over so many seeds."""
    impostors = [one for one in catalog() if one.possible]
    counts: dict[str, list[int | None]] = {f"{one.operation} as {one.name}": [] for one in impostors}
    runs = len(impostors) * cases
    for done, (one, examples) in enumerate(detections(impostors, range(seed, seed + cases), workers=workers), start=1):
        counts[f"{one.operation} as {one.name}"].append(examples)
        if done % 100 == 0 or done == runs:
            progress(f"{done:,} of {runs:,} runs", last=done == runs)
    rows: list[dict[str, Any]] = []
    for name, found in counts.items():
        caught = [examples for examples in found if examples is not None]
        median, most = (statistics.median(caught), max(caught)) if caught else (None, None)
        rows.append({"impostor": name, "runs": len(found), "caught": len(caught), "median": median, "most": most})
    rows.sort(key=lambda row: (row["caught"] / row["runs"], -(row["most"] or 0)))
    total = {
        "impostors": len(rows),
        "runs": runs,
        "caught": sum(row["caught"] for row in rows),
        "median": statistics.median(row["median"] for row in rows if row["caught"]),
        "examples": PROFILES["dev"].examples,
    }
    print(
        table(
            [row | {"median": str(row["median"]), "most": str(row["most"])} for row in rows], dict.fromkeys(rows[0], "")
        )
    )
    print(
        f"\n{total['caught']:,} of {total['runs']:,} runs of at most {total['examples']} examples caught their impostor; "
        f"the median impostor fell after {total['median']:g} examples."
    )
    return {"detection": rows, "total": total}

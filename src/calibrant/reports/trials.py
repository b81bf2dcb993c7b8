"""The power of the suite, as `calibrant power` measured it, for a terminal and for a machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibrant.checks.power import Trial, summary
from calibrant.impostors import Impostor


def lines(trials: Sequence[Trial], order: Sequence[Impostor]) -> list[str]:
    """A line for each impostor, what is wrong with any, and one line that says it all."""
    if not trials:
        return ["No impostor breaks it; nothing was tried."]
    place = {(one.operation, one.name): k for k, one in enumerate(order)}
    trials = sorted(trials, key=lambda trial: place[trial.operation, trial.name])
    width = max(len(f"{trial.operation} as {trial.name}") for trial in trials)
    told = []
    for trial in trials:
        quickest = trial.quickest
        by = f"{quickest.rejected_at:4}  {quickest.clause} in {quickest.dtype}" if quickest else "not caught"
        others = len({rejection.clause for rejection in trial.rejections}) - 1
        more = f", and {others} more" if others > 0 else ""
        told.append(f"{trial.operation + ' as ' + trial.name:{width}}  {by}{more}")
        told += [f"    names {clause}, and does not break it" for clause in trial.missed]
        told += [f"    breaks {clause}, and does not name it" for clause in trial.beyond]
    said = summary(trials)
    told.append("")
    told.append(
        f"{said['caught']} of {said['impostors']} impostors are caught"
        + (
            f", after {said['median_examples']:g} examples in the median and {said['most_examples']} at most"
            if said["caught"]
            else ""
        )
        + f"; {said['missed']} break less than they name, {said['beyond']} more."
    )
    return told


def document(trials: Sequence[Trial]) -> dict[str, Any]:
    """The trials as plain data."""
    return {"format": 1, "summary": summary(trials), "trials": [_plain(trial) for trial in trials]}


def _plain(trial: Trial) -> dict[str, Any]:
    rejections = [
        {"clause": r.clause, "dtype": r.dtype, "examples": r.rejected_at, "text": r.told(), "arguments": r.arguments()}
        for r in trial.rejections
    ]
    return {**vars(trial), "rejections": rejections, "caught": bool(rejections)}


def write(trials: Sequence[Trial], path: Path) -> None:
    """Write the document to a file. Raises OSError if it cannot be written."""
    path.write_text(json.dumps(document(trials), indent=1) + "\n", encoding="utf-8")

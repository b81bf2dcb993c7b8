"""The trials of `calibrant power`, for a terminal and for a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calibrant.checks.power import Trial, summary
from calibrant.impostors import Impostor


def lines(trials: Sequence[Trial], order: Sequence[Impostor]) -> list[str]:
    """A line for each impostor, a line for each fault in its clauses, and a summary."""
    if not trials:
        return ["No impostor breaks it; nothing was tried."]
    place = {(one.operation, one.name): k for k, one in enumerate(order)}
    trials = sorted(trials, key=lambda trial: place[trial.operation, trial.name])
    heads = [f"{trial.operation} as {trial.name}" for trial in trials]
    told = []
    for head, trial in zip(heads, trials, strict=True):
        quickest = trial.quickest
        by = f"{quickest.rejected_at:4}  {quickest.clause} in {quickest.dtype}" if quickest else "not caught"
        others = len({rejection.clause for rejection in trial.rejections}) - 1
        more = f", and {others} more" if others > 0 else ""
        told.append(f"{head:{max(map(len, heads))}}  {by}{more}")
        told += [f"    names {clause}, and does not break it" for clause in trial.missed]
        told += [f"    breaks {clause}, and does not name it" for clause in trial.beyond]
    said = summary(trials)
    after = ", after {median_examples:g} examples in the median and {most_examples} at most" if said["caught"] else ""
    closing = (
        "{caught} of {impostors} impostors are caught" + after + "; {missed} break less than they name, {beyond} more."
    )
    return [*told, "", closing.format_map(said)]


def document(trials: Sequence[Trial]) -> dict[str, Any]:
    """The trials as plain data."""
    return {"format": 1, "summary": summary(trials), "trials": [_plain(trial) for trial in trials]}


def _plain(trial: Trial) -> dict[str, Any]:
    rejections = [
        {"clause": r.clause, "dtype": r.dtype, "examples": r.rejected_at, "text": r.told(), "arguments": r.arguments()}
        for r in trial.rejections
    ]
    return {**vars(trial), "rejections": rejections, "caught": bool(rejections)}

"""The trials of `calibrant power`, for a terminal and for a machine, and the vectors of `calibrant vectors`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibrant.checks.power import Trial, summary
from calibrant.impostors import Impostor, catalog

if TYPE_CHECKING:
    from calibrant.vectors.cases import Case
    from calibrant.vectors.replaying import Replay


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
    caught = "{caught} of {impostors} impostors are caught" + after
    return [*told, "", (caught + "; {missed} break less than they name, {beyond} more.").format_map(said)]


def document(trials: Sequence[Trial]) -> dict[str, Any]:
    """The trials as plain data."""
    return {"format": 1, "summary": summary(trials), "trials": [_plain(trial) for trial in trials]}


def _plain(trial: Trial) -> dict[str, Any]:
    rejections = [
        {"clause": r.clause, "dtype": r.dtype, "examples": r.rejected_at, "text": r.told(), "arguments": r.arguments()}
        for r in trial.rejections
    ]
    return {**vars(trial), "rejections": rejections, "caught": bool(rejections)}


def written(cases: Sequence[Case], size: int, folder: Path) -> Iterator[str]:
    """The number and size of the cases, and the impostors that they reject."""
    named = {(case.operation, flag) for case in cases for flag in case.flags}
    rejected = [one for one in catalog() if (one.operation, one.name) in named]
    yield f"{len(cases)} cases, {size / 1000:.0f} kB, are in {folder}."
    yield f"They reject {len(rejected)} of {len(catalog())} impostors; the others show in no single answer that a file could hold."


def replayed(replay: Replay) -> Iterator[str]:
    """Each disagreement, a line for each file, and a summary."""
    for outcome in replay.outcomes:
        if outcome.status == "disagrees":
            yield from outcome.lines()
    for file, counts in replay.counts().items():
        yield f"{file:20} {', '.join(f'{count} {status}' for status, count in counts.items())}"
    statuses = [outcome.status for outcome in replay.outcomes]
    asked = sum(status in ("agrees", "disagrees", "deviates") for status in statuses)
    name = replay.name
    if not asked:
        yield f"{name} was asked nothing: it has none of the operations, or none of the dtypes."
    elif replay.exit_status:
        yield f"{name} does not agree with the vectors: {statuses.count('disagrees')} of {asked} answers are wrong."
    else:
        left = f"; {len(statuses) - asked} cases were not asked" if asked < len(statuses) else ""
        yield f"{name} agrees with the vectors in {asked} answers{left}."

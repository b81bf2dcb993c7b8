"""The reports on vectors: written, or replayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calibrant.impostors import catalog

if TYPE_CHECKING:
    from calibrant.vectors.cases import Case
    from calibrant.vectors.replaying import Replay


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

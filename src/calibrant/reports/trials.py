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
    """Each disagreement, a table of chapters by outcomes, and a summary."""
    for outcome in replay.outcomes:
        if outcome.status == "disagrees":
            yield from outcome.lines()
    total = replay.total()
    words = [word for word, count in total.items() if count]
    rows = [*replay.counts().items(), ("all", total)]
    yield f"{'chapter':14}  {'  '.join(words)}"
    for chapter, counts in rows:
        cells = (str(counts.get(word) or "").rjust(len(word)) for word in words)
        yield f"{chapter:14}  {'  '.join(cells)}".rstrip()
    asked = sum(total[word] for word in ("agrees", "disagrees", "warns", "deviates"))
    said = [f"{total['agrees']} of {asked} answers agree"]
    said += [f"{total[word]} {words}" for word, words in _SAID.items() if total[word]]
    if not asked:
        yield f"{replay.name} was asked nothing: it has none of the operations, or none of the dtypes."
    else:
        yield f"{replay.name} {'does not agree' if replay.exit_status else 'agrees'} with the vectors: {', '.join(said)}."


_SAID = {
    "disagrees": "are wrong",
    "warns": "are wrong where the clause is a SHOULD",
    "deviates": "are wrong as the target declares",
    "absent": "cases were not served",
    "passed over": "were not asked",
}


def replayed_document(replay: Replay, spec: str) -> dict[str, Any]:
    """The outcome of each case as plain data."""
    cases = [
        {
            **{name: getattr(outcome.case, name) for name in ("id", "operation", "clause", "level")},
            "dtype": outcome.case.dtype or None,
            "status": outcome.word,
            "sentence": outcome.sentence,
        }
        for outcome in replay.outcomes
    ]
    about = {"format": 1, "target": {"spec": spec, "name": replay.name}, "exit_status": replay.exit_status}
    return {**about, "counts": {**replay.counts(), "all": replay.total()}, "cases": cases}

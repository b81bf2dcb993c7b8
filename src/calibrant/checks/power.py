"""The power of the suite: which clauses reject each impostor, and after how many examples.

Impostors are calibrant's own code: they neither hang nor end their process. So a trial calls the properties directly, in its own
process, with the settings of a check.
"""

import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from calibrant.book.clauses import Property, book, properties
from calibrant.checks.here import Settings, parametrized, suite_of
from calibrant.checks.outcomes import Outcome, outcome_of
from calibrant.checks.spread import spread
from calibrant.exact import OPTIMIZERS
from calibrant.impostors import Impostor, catalog, select
from calibrant.impostors.planting import target_from_impostor
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.calling import Subject

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Trial:
    """The result of trying one impostor."""

    operation: str
    name: str
    missed: list[str] = field(default_factory=list)
    """The clauses that it names but does not break, each as `clause@dtype`."""
    beyond: list[str] = field(default_factory=list)
    """The clauses that it breaks but does not name."""
    rejections: list[Outcome] = field(default_factory=list)
    """The outcomes of the properties that it fails."""

    @property
    def quickest(self) -> Outcome | None:
        """The rejection that took the fewest examples."""
        return min(self.rejections, key=lambda rejection: rejection.rejected_at, default=None)


def due(one: Impostor) -> tuple[set[str], set[str]]:
    """The clauses that an impostor must break, and those that it may break, each as `clause@dtype`."""
    always: set[str] = set()
    perhaps: set[str] = set()
    for text in one.clauses:
        name, _, only = text.rstrip("?").partition("@")
        (perhaps if text.endswith("?") else always).update(f"{name}@{dtype}" for dtype in ([only] if only else DTYPES))
    return always, perhaps


_USUAL = Settings()
_FEW = 5
"""Examples of each clause of the quick trial's sample."""
_SAMPLE = 4
"""Clauses, each in one dtype, in the sample of an impostor."""


def tried(one: Impostor, settings: Settings = _USUAL, *, quick: bool = False) -> Trial:
    """Hold an impostor against every clause of its operation.

    A quick trial leaves a clause once it is broken. It tries the main clause in every dtype and each other clause that the impostor must
    break in one dtype. Of the clauses that the impostor need not break it tries a sample, on few examples.
    """
    always, perhaps = due(one)
    concerned = [f"{clause}@{dtype}" for clause in _concerning(one) for dtype in DTYPES]
    if quick:
        asked, few = _in_turn(one, always), replace(settings, examples=_FEW)
        others = sample(one, [name for name in concerned if name not in always | perhaps])
        found = [_first(one, name, few, settings) for name in asked] + [_first(one, name, few) for name in others]
        rejections = [*filter(None, found)]
    else:
        asked = [*always]
        rejections = [rejection for name in concerned for rejection in against(one, name, settings)]
    broken = {f"{rejection.clause}@{rejection.dtype}" for rejection in rejections}
    return Trial(one.operation, one.name, sorted({*asked} - broken), sorted(broken - always - perhaps), rejections)


def _first(one: Impostor, name: str, *settings: Settings) -> Outcome | None:
    """The first rejection, with the first settings that give one."""
    return next((found for some in settings for failed in _failed(one, name, some) for found in failed), None)


def _in_turn(one: Impostor, names: set[str]) -> list[str]:
    """The main clause in all its dtypes, and each other clause in one, which changes from clause to clause and from impostor to impostor."""
    asked = []
    for k, clause in enumerate(one.breaks, start=_place(one)):
        of_clause = [name for dtype in DTYPES if (name := f"{clause}@{dtype}") in names]
        asked += of_clause if clause == one.main or not of_clause else [of_clause[k % len(of_clause)]]
    return asked


def sample(one: Impostor, names: Sequence[str]) -> list[str]:
    """A few of the names; the samples of all impostors of an operation together cover the names."""
    first = _SAMPLE * _place(one)
    return [names[(first + k) % len(names)] for k in range(min(_SAMPLE, len(names)))]


def _place(one: Impostor) -> int:
    """The place of an impostor among the impostors of its operation."""
    return [other.name for other in catalog() if other.operation == one.operation].index(one.name)


def _concerning(one: Impostor) -> list[str]:
    """The clauses that concern an impostor's operation."""
    chapters = one.chapters or OPERATIONS[one.operation].chapters
    return [name for name, it in book().items() if it.chapter in chapters and _concerned(one, name.split(".")[1])]


def _concerned(one: Impostor, name: str) -> bool:
    """Whether an impostor can show under a name; an impostor of optimizers counts only for the first that it applies to."""
    return not one.applies_to or name not in OPTIMIZERS or name == one.applies_to[0]


def against(one: Impostor, name: str, settings: Settings) -> Iterator[Outcome]:
    """For each property of a clause, `clause@dtype`, that rejects an impostor: of all its parameters, the outcome with the shortest text."""
    for failed in _failed(one, name, settings):
        yield from sorted(failed, key=lambda outcome: len(outcome.told()))[:1]


def _failed(one: Impostor, name: str, settings: Settings) -> Iterator[Iterator[Outcome]]:
    """For each property of a clause, `clause@dtype`, the outcomes that reject an impostor, parameter by parameter."""
    clause, _, dtype = name.partition("@")
    for prop in properties():
        if prop.clause == clause:
            function = suite_of(prop.file, settings)[prop.function]
            outcomes = (
                _outcome(prop, function, arguments, Subject(target_from_impostor(one), dtype))
                for arguments in parametrized(function)
                if _concerned(one, arguments.get("name", ""))
            )
            yield (outcome for outcome in outcomes if outcome.failure)


def _outcome(prop: Property, function: Callable[..., None], arguments: dict[str, Any], subject: Subject) -> Outcome:
    """The outcome of a property of an impostor."""
    raised: BaseException | None = None
    with warnings.catch_warnings(action="ignore"):  # an impostor may warn
        try:
            function(target=subject, **arguments)
        except (Exception, pytest.skip.Exception) as error:  # the outcome tells it
            raised = error
    outcome = outcome_of(prop.clause, prop.function, subject.form.name, subject, raised)
    if outcome.status == "error":
        raise RuntimeError(outcome.told())
    return outcome


def measured(
    impostors: Iterable[Impostor], settings: Settings, *, quick: bool = False, workers: int | None = None
) -> Iterator[Trial]:
    """Try impostors in several processes, and yield each trial as it ends."""
    for _, trial in spread(_tried, [(f"{one.operation}.{one.name}", settings, quick) for one in impostors], workers):
        yield trial


def _tried(name: str, settings: Settings, quick: bool) -> Trial:
    return tried(select([name])[0], settings, quick=quick)


def summary(trials: Iterable[Trial]) -> dict[str, Any]:
    """How many impostors are caught, and after how many examples."""
    trials = list(trials)
    quickest = [trial.quickest.rejected_at for trial in trials if trial.quickest]
    return {
        "impostors": len(trials),
        "caught": len(quickest),
        "missed": sum(bool(trial.missed) for trial in trials),
        "beyond": sum(bool(trial.beyond) for trial in trials),
        "median_examples": statistics.median(quickest) if quickest else None,
        "most_examples": max(quickest, default=None),
    }

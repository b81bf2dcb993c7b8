"""The power of the suite: which clauses reject each impostor, and after how many examples.

Impostors are calibrant's own code: they neither hang nor end their process. So a trial calls the properties directly, in its own
process, with the settings of a check.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import statistics
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from calibrant.book.clauses import book
from calibrant.book.properties import Property, properties
from calibrant.checks.outcomes import Outcome, recording
from calibrant.checks.spread import spread
from calibrant.exact import OPTIMIZERS
from calibrant.impostors import Impostor, catalog, select
from calibrant.impostors.planting import target_from_impostor
from calibrant.protocol.operations import OPERATIONS
from calibrant.suite.session import Session, begin, end
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


@dataclass(frozen=True)
class Settings:
    """How the properties draw their examples."""

    profile: str = "ci"
    examples: int | None = None
    seed: int | None = None
    shrink: bool = False


_FEW = 5
"""Examples of each clause of the quick trial's sample."""
_SAMPLE = 4
"""Clauses, each in one dtype, in the sample of an impostor."""


def tried(one: Impostor, settings: Settings = Settings(), *, quick: bool = False) -> Trial:
    """Hold an impostor against every clause of its operation.

    A quick trial leaves a clause once it is broken. It tries the main clause in every dtype and each other clause that the impostor must
    break in one dtype. Of the clauses that the impostor need not break it tries a sample, on few examples.
    """
    always, perhaps = due(one)
    concerned = [f"{clause}@{dtype}" for clause in _concerning(one) for dtype in DTYPES]
    if quick:
        few = replace(settings, examples=_FEW)
        asked = _in_turn(one, always)
        others = sample(one, [name for name in concerned if name not in always | perhaps])
        first = [_first(one, name, few) or _first(one, name, settings) for name in asked]
        rejections = [found for found in (*first, *(_first(one, name, few) for name in others)) if found]
    else:
        asked = [*always]
        rejections = [rejection for name in concerned for rejection in against(one, name, settings)]
    found = {f"{rejection.clause}@{rejection.dtype}" for rejection in rejections}
    return Trial(one.operation, one.name, sorted({*asked} - found), sorted(found - always - perhaps), rejections)


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


def _first(one: Impostor, name: str, settings: Settings) -> Outcome | None:
    return next(against(one, name, settings), None)


def against(one: Impostor, name: str, settings: Settings) -> Iterator[Outcome]:
    """The outcomes of the properties of a clause, `clause@dtype`, that reject an impostor."""
    clause, _, dtype = name.partition("@")
    for prop in properties():
        if prop.clause == clause and prop.file.stem.removeprefix("test_") in _chapters(one):
            yield from _rejections(prop, one, dtype, settings)


def _chapters(one: Impostor) -> Sequence[str]:
    return one.chapters or OPERATIONS[one.operation].chapters


def _concerning(one: Impostor) -> list[str]:
    """The clauses that concern an impostor's operation."""
    return [name for name, it in book().items() if it.chapter in _chapters(one) and _concerned(one, name.split(".")[1])]


def measured(
    impostors: Iterable[Impostor], settings: Settings, *, quick: bool = False, workers: int | None = None
) -> Iterator[Trial]:
    """Try impostors in several processes, and yield each trial as it ends."""
    for _, trial in spread(_tried, [(one.operation, one.name, settings, quick) for one in impostors], workers):
        yield trial


def detections(
    impostors: Sequence[Impostor], seeds: Iterable[int], *, workers: int | None = None
) -> Iterator[tuple[Impostor, int | None]]:
    """For each impostor and seed: how many examples of the default profile its first clause drew until it failed; None if it held."""
    tasks = [(one.operation, one.name, Settings("dev", seed=seed)) for seed in seeds for one in impostors]
    for (operation, name, _), examples in spread(_detected, tasks, workers):
        yield _named(operation, name), examples


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


def _tried(operation: str, name: str, settings: Settings, quick: bool) -> Trial:
    return tried(_named(operation, name), settings, quick=quick)


def _detected(operation: str, name: str, settings: Settings) -> int | None:
    one = _named(operation, name)
    shows = [name for dtype in DTYPES if (name := f"{one.main}@{dtype}") in set.union(*due(one))]
    return min((found.rejected_at for name in shows for found in against(one, name, settings)), default=None)


def _named(operation: str, name: str) -> Impostor:
    (one,) = select([f"{operation}.{name}"])
    return one


def _concerned(one: Impostor, name: str) -> bool:
    """Whether an impostor can show under a name; an impostor of optimizers counts only for the first that it applies to."""
    return not one.applies_to or name not in OPTIMIZERS or name == one.applies_to[0]


def _rejections(prop: Property, one: Impostor, dtype: str, settings: Settings) -> Iterator[Outcome]:
    """The outcome with which a property rejects an impostor: of all its parameters, the one with the shortest text."""
    function = getattr(_suite(prop.file, settings), prop.function)
    found: list[Outcome] = []
    for arguments in _parametrized(function):
        if not _concerned(one, arguments.get("name", "")):
            continue
        subject = Subject(target_from_impostor(one), dtype)
        with (
            contextlib.suppress(Exception, pytest.skip.Exception),  # the record has it
            warnings.catch_warnings(),
            recording(prop.clause, prop.function, subject, explain=False) as record,
        ):
            warnings.simplefilter("ignore")  # an impostor may warn
            function(target=subject, **arguments)
        assert record.outcome is not None
        if record.outcome.status == "error":
            raise RuntimeError(record.outcome.told())
        if record.outcome.failure is not None:
            found.append(record.outcome)
    if found:
        yield min(found, key=lambda outcome: len(outcome.told()))


@functools.lru_cache(maxsize=64)
def _suite(file: Path, settings: Settings) -> ModuleType:
    """The properties of a chapter, prepared with these settings."""
    name = f"{file.stem}_with_impostors_{abs(hash(settings))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    begin(session := Session(**asdict(settings)))
    try:
        spec.loader.exec_module(module)
    finally:
        end(session)
    return module


def _parametrized(function: Any) -> Iterator[dict[str, Any]]:
    """The arguments with which pytest would call a property, beside the target."""
    axes = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names, values = mark.args[:2]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
            axes.append([dict(zip(names, value if len(names) > 1 else [value], strict=True)) for value in values])
    for combination in itertools.product(*axes):
        yield {name: value for arguments in combination for name, value in arguments.items()}

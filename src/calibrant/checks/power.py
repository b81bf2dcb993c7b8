"""The power of the suite: every impostor in the place of the right operation, and which clauses reject it, after how many examples.

Impostors are calibrant's own code, which neither hangs nor ends its process, and there are hundreds: so the properties are called here
as they are, with the same settings as in a check, and without pytest, whose bookkeeping of a test takes longer than most of them.
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
    """What became of one impostor."""

    operation: str
    name: str
    missed: list[str] = field(default_factory=list)
    """What it names and does not break: `clause@dtype`."""
    beyond: list[str] = field(default_factory=list)
    """What it breaks and does not name."""
    rejections: list[Outcome] = field(default_factory=list)
    """What became of the properties that it fails."""

    @property
    def quickest(self) -> Outcome | None:
        """The rejection that took the fewest examples."""
        return min(self.rejections, key=lambda rejection: rejection.rejected_at, default=None)


def due(one: Impostor) -> tuple[set[str], set[str]]:
    """What an impostor breaks, each as `clause@dtype`: what it must break, and what it may."""
    always: set[str] = set()
    perhaps: set[str] = set()
    for text in one.clauses:
        name, _, only = text.rstrip("?").partition("@")
        (perhaps if text.endswith("?") else always).update(f"{name}@{dtype}" for dtype in ([only] if only else DTYPES))
    return always, perhaps


@dataclass(frozen=True)
class Settings:
    """How the properties draw."""

    profile: str = "ci"
    examples: int | None = None
    seed: int | None = None
    shrink: bool = False


_FEW = 5
"""Examples of each clause of the quick trial's sample."""
_SAMPLE = 4
"""Clauses, each in one dtype, in the sample of an impostor."""


def tried(one: Impostor, settings: Settings = Settings(), *, quick: bool = False) -> Trial:
    """Hold an impostor against all clauses that have something to say of its operation.

    A quick trial leaves a clause once it is broken. It tries the main clause in every dtype, the others that the impostor must break in
    one dtype each, and those that it need not break in a sample and on few examples.
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
    """The main clause in all its dtypes, each other clause in one of its own: the next one for the next clause and impostor."""
    asked = []
    for k, clause in enumerate(one.breaks, start=_place(one)):
        of_clause = [name for dtype in DTYPES if (name := f"{clause}@{dtype}") in names]
        asked += of_clause if clause == one.main or not of_clause else [of_clause[k % len(of_clause)]]
    return asked


def sample(one: Impostor, names: Sequence[str]) -> list[str]:
    """A few of the names: those of an operation's other impostors are the next ones, so that together they are all."""
    first = _SAMPLE * _place(one)
    return [names[(first + k) % len(names)] for k in range(min(_SAMPLE, len(names)))]


def _place(one: Impostor) -> int:
    """Where an impostor stands among those of its operation."""
    return [other.name for other in catalog() if other.operation == one.operation].index(one.name)


def _first(one: Impostor, name: str, settings: Settings) -> Outcome | None:
    return next(against(one, name, settings), None)


def against(one: Impostor, name: str, settings: Settings) -> Iterator[Outcome]:
    """What the properties of a clause, `clause@dtype`, find of an impostor."""
    clause, _, dtype = name.partition("@")
    for prop in properties():
        if prop.clause == clause and prop.file.stem.removeprefix("test_") in (
            one.chapters or OPERATIONS[one.operation].chapters
        ):
            yield from _rejections(prop, one, dtype, settings)


def _concerning(one: Impostor) -> list[str]:
    """The clauses that have something to say of an impostor's operation."""
    chapters = one.chapters or OPERATIONS[one.operation].chapters
    return [
        name for name, clause in book().items() if clause.chapter in chapters and _concerned(one, name.split(".")[1])
    ]


def measured(
    impostors: Iterable[Impostor], settings: Settings, *, quick: bool = False, workers: int | None = None
) -> Iterator[Trial]:
    """Try impostors in several processes; each trial as it ends."""
    for _, trial in spread(_tried, [(one.operation, one.name, settings, quick) for one in impostors], workers):
        yield trial


def detections(
    impostors: Sequence[Impostor], seeds: Iterable[int], *, workers: int | None = None
) -> Iterator[tuple[Impostor, int | None]]:
    """Of each impostor and seed: how many examples of the default profile its first clause drew until it failed; None if it held."""
    tasks = [(one.operation, one.name, Settings("dev", seed=seed)) for seed in seeds for one in impostors]
    by_name = {(one.operation, one.name): one for one in impostors}
    for (operation, name, _), examples in spread(_detected, tasks, workers):
        yield by_name[operation, name], examples


def summary(trials: Iterable[Trial]) -> dict[str, Any]:
    """The share that is caught, and how many examples that took."""
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an impostor warns of is its own affair
        return tried(_named(operation, name), settings, quick=quick)


def _detected(operation: str, name: str, settings: Settings) -> int | None:
    one = _named(operation, name)
    shows = [f"{one.main}@{dtype}" for dtype in DTYPES if f"{one.main}@{dtype}" in set.union(*due(one))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [rejection.rejected_at for shown in shows for rejection in against(one, shown, settings)]
    return min(found, default=None)


def _named(operation: str, name: str) -> Impostor:
    (one,) = select([f"{operation}.{name}"])
    return one


def _concerned(one: Impostor, name: str) -> bool:
    """Whether an impostor can show in what is named: one of an optimizer in the first that it applies to."""
    return not one.applies_to or name not in OPTIMIZERS or name == one.applies_to[0]


def _rejections(prop: Property, one: Impostor, dtype: str, settings: Settings) -> Iterator[Outcome]:
    """What a property finds, the shortest of what its parameters find."""
    function = getattr(_suite(prop.file, settings), prop.function)
    found: list[Outcome] = []
    for arguments in _parametrized(function):
        if not _concerned(one, arguments.get("name", "")):
            continue
        subject = Subject(target_from_impostor(one), dtype)
        with (
            contextlib.suppress(Exception, pytest.skip.Exception),  # the record has it
            recording(prop.clause, prop.function, subject, explain=False) as record,
        ):
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
    """The properties of a chapter, as these settings prepare them."""
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
    """The arguments that pytest would call a property with, beside the target."""
    axes = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names, values = mark.args[:2]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
            axes.append([dict(zip(names, value if len(names) > 1 else [value], strict=True)) for value in values])
    for combination in itertools.product(*axes):
        yield {name: value for arguments in combination for name, value in arguments.items()}

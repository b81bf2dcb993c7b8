"""The power of the suite: every impostor in the place of the right operation, and which clauses reject it, after how many examples.

A check is several processes, and there are hundreds of impostors: so the properties are called here as they are, by the same names and
with the same settings as in a check.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import statistics
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from calibrant.book.properties import Property, properties
from calibrant.checks.outcomes import outcome_of
from calibrant.checks.spread import spread
from calibrant.exact import OPTIMIZERS
from calibrant.impostors import Impostor, chosen
from calibrant.impostors.planting import CHAPTERS, planted
from calibrant.suite.session import Session, begin, end
from calibrant.target.calling import Subject

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Rejection:
    """A clause that an impostor breaks in one dtype."""

    clause: str
    dtype: str
    examples: int
    """How many examples its property had drawn when the first failed."""
    text: str
    """What is told of the example that is told."""
    arguments: dict[str, Any]
    """The arguments of the last call of that example."""


@dataclass(frozen=True)
class Trial:
    """What became of one impostor."""

    operation: str
    name: str
    missed: list[str] = field(default_factory=list)
    """What it names and does not break: `clause@dtype`."""
    beyond: list[str] = field(default_factory=list)
    """What it breaks and does not name."""
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def quickest(self) -> Rejection | None:
        """The rejection that took the fewest examples."""
        return min(self.rejections, key=lambda rejection: rejection.examples, default=None)

    def described(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"caught": bool(self.rejections)}


def due(one: Impostor) -> tuple[set[str], set[str]]:
    """What an impostor breaks, each as `clause@dtype`: what it must break, and what it may."""
    always: set[str] = set()
    perhaps: set[str] = set()
    for text in one.clauses:
        name, _, only = text.rstrip("?").partition("@")
        (perhaps if text.endswith("?") else always).update(f"{name}@{dtype}" for dtype in ([only] if only else DTYPES))
    return always, perhaps


def tried(
    one: Impostor,
    *,
    profile: str = "ci",
    examples: int | None = None,
    seed: int | None = None,
    shrink: str | None = None,
    others: int | None = None,
) -> Trial:
    """Hold an impostor against all clauses that have something to say of its operation.

    The failing examples of the clause `shrink` are made simpler. Of clauses that it does not name, `others` examples are drawn.
    """
    always, perhaps = due(one)
    names = {clause.partition("@")[0] for clause in always | perhaps}
    rejections = [
        rejection
        for prop in properties()
        if prop.file.stem.removeprefix("test_") in (one.chapters or CHAPTERS[one.operation])
        and _concerned(one, prop.clause.split(".")[1])
        for dtype in DTYPES
        for rejection in _rejections(
            prop,
            one,
            dtype,
            (profile, examples if prop.clause in names else others or examples, seed, prop.clause == shrink),
        )
    ]
    found = {f"{rejection.clause}@{rejection.dtype}" for rejection in rejections}
    return Trial(one.operation, one.name, sorted(always - found), sorted(found - always - perhaps), rejections)


def measured(impostors: Iterable[Impostor], *, workers: int | None = None, **settings: Any) -> Iterator[Trial]:
    """Try impostors in several processes; each trial as it ends."""
    for _, trial in spread(_tried, [(one.operation, one.name, settings) for one in impostors], workers):
        yield trial


def detections(
    impostors: Sequence[Impostor], seeds: Iterable[int], *, workers: int | None = None
) -> Iterator[tuple[Impostor, int | None]]:
    """Of each impostor and seed: how many examples of the default profile its first clause drew until it failed; None if it held."""
    tasks = [(one.operation, one.name, {"seed": seed}) for seed in seeds for one in impostors]
    by_name = {(one.operation, one.name): one for one in impostors}
    for (operation, name, _), examples in spread(_detected, tasks, workers):
        yield by_name[operation, name], examples


def summary(trials: Iterable[Trial]) -> dict[str, Any]:
    """The share that is caught, and how many examples that took."""
    trials = list(trials)
    quickest = [trial.quickest.examples for trial in trials if trial.quickest]
    return {
        "impostors": len(trials),
        "caught": len(quickest),
        "missed": sum(bool(trial.missed) for trial in trials),
        "beyond": sum(bool(trial.beyond) for trial in trials),
        "median_examples": statistics.median(quickest) if quickest else None,
        "most_examples": max(quickest, default=None),
    }


def _tried(operation: str, name: str, settings: dict[str, Any]) -> Trial:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an impostor warns of is its own affair
        return tried(_named(operation, name), **settings)


def _detected(operation: str, name: str, settings: dict[str, Any]) -> int | None:
    one = _named(operation, name)
    shows = {dtype for dtype in DTYPES if f"{one.main}@{dtype}" in set.union(*due(one))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            rejection.examples
            for prop in properties()
            if prop.clause == one.main
            for dtype in sorted(shows)
            for rejection in _rejections(prop, one, dtype, ("dev", None, settings["seed"], False))
        ]
    return min(found, default=None)


def _named(operation: str, name: str) -> Impostor:
    (one,) = chosen([f"{operation}.{name}"])
    return one


def _concerned(one: Impostor, name: str) -> bool:
    """Whether an impostor can show in what is named: one of an optimizer in the first that it applies to."""
    return not one.applies_to or name not in OPTIMIZERS or name == one.applies_to[0]


Settings = tuple[str, int | None, int | None, bool]


def _rejections(prop: Property, one: Impostor, dtype: str, settings: Settings) -> Iterator[Rejection]:
    """What a property finds, the shortest of what its parameters find."""
    function = getattr(_suite(prop.file, settings), prop.function)
    found: list[Rejection] = []
    for arguments in _parametrized(function):
        if not _concerned(one, arguments.get("name", "")):
            continue
        subject = Subject(planted(one), dtype)
        try:
            function(target=subject, **arguments)
        except pytest.skip.Exception:  # it calls what the target does not offer
            continue
        except Exception as error:
            outcome = outcome_of(prop.clause, prop.function, dtype, subject, error)
            if outcome.failure is None or outcome.status not in ("breaks", "broken"):
                raise
            calls = outcome.failure.calls
            last = calls[-1]["arguments"] if calls else {}
            found.append(Rejection(prop.clause, dtype, max(outcome.rejected_at, 1), outcome.failure.text, last))
    if found:
        yield min(found, key=lambda rejection: len(rejection.text))


@functools.lru_cache(maxsize=64)
def _suite(file: Path, settings: Settings) -> ModuleType:
    """The properties of a chapter, as these settings prepare them."""
    profile, examples, seed, shrink = settings
    name = f"{file.stem}_with_impostors_{abs(hash(settings))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    begin(session := Session(profile=profile, examples=examples, seed=seed, shrink=shrink))
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

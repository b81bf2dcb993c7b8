"""A check in this process: the properties run on an object that this process holds, without pytest's runner and without workers."""

import functools
import itertools
import os
import runpy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calibrant.book.clauses import Property, properties
from calibrant.checks.check import absent_outcome
from calibrant.checks.judging import in_all_dtypes, judged
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome
from calibrant.checks.spread import stored_elsewhere
from calibrant.checks.verdicts import Result, gathered
from calibrant.protocol.declarations import numpy_dtype
from calibrant.protocol.operations import FORMULAS
from calibrant.suite.session import Session, begin, end
from calibrant.target.calling import Subject
from calibrant.target.description import Target


@dataclass(frozen=True)
class Settings:
    """How the properties draw their examples."""

    profile: str = "ci"
    examples: int | None = None
    seed: int | None = None
    shrink: bool = False


def check(target: Target, options: Options) -> Result:
    """Hold a target that is loaded here against the book. Only Python code of its own that hangs is ended."""
    options = options.validated()
    dtypes = options.dtypes or target.dtypes
    for dtype in dtypes:
        numpy_dtype(dtype)
    settings = Settings(options.profile, options.examples, options.seed, shrink=True)
    few = Session(dtypes=options.dtypes, profile=options.profile, examples=options.examples, loaded=target).few
    outcomes, described = list[Outcome](), target.describe()
    with warnings.catch_warnings(action="ignore"), stored_elsewhere():  # the warnings are the target's
        for prop in properties():
            if not options.selects(prop.clause):
                continue
            if prop.operations.isdisjoint(target.operations):
                outcomes += [absent_outcome(prop, dtype, described) for dtype in dtypes]
            else:
                outcomes += _outcomes(prop, settings, target, dtypes, few)
    return Result(described, options, gathered(outcomes))


def _outcomes(
    prop: Property, settings: Settings, target: Target, dtypes: Sequence[str], few: bool
) -> Iterator[Outcome]:
    """The outcomes of a property in each dtype, for each of its parameters."""
    function = suite_of(prop.file, settings, os.environ.get(FORMULAS, ""))[prop.function]
    for arguments in parametrized(function):
        subjects = tuple(Subject(target, dtype) for dtype in dtypes)
        held = in_all_dtypes(function, arguments, subjects)
        for subject in subjects:
            yield judged(function, arguments, prop.clause, prop.function, subject, held, few=few)[0]


@functools.lru_cache(maxsize=64)
def suite_of(file: Path, settings: Settings, formulas: str = "") -> dict[str, Any]:
    """The properties of a chapter, prepared with these settings; those of formulas depend on the formulas that are checked."""
    begin(session := Session(**asdict(settings)))
    try:
        return runpy.run_path(str(file))
    finally:
        end(session)


def parametrized(function: Any) -> Iterator[dict[str, Any]]:
    """The arguments with which pytest would call a property, beside the target."""
    axes = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names, values = mark.args[:2]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
            axes.append([dict(zip(names, value if len(names) > 1 else [value], strict=True)) for value in values])
    for combination in itertools.product(*axes):
        yield {name: value for arguments in combination for name, value in arguments.items()}

"""The time of a judgement; examples a second, chapter by chapter, beside the bare cost of drawing them and the target's own time."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from hypothesis.errors import Unsatisfiable

from calibrant.benchmarks.arrangements import OPERATIONS, Arrangement, arrangements
from calibrant.book.clauses import CHAPTERS, properties
from calibrant.checks.here import Settings, parametrized, suite_of
from calibrant.suite import property as suite
from calibrant.target.calling import Subject
from calibrant.target.loading import load


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """A function that also writes down the seconds of each call."""

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - start)

    return call


def measured(spec: str, chapter: str, settings: Settings) -> dict[str, float]:
    """Run the properties of a chapter on a target in this process: the examples, the seconds, and the target's among them."""
    whole, own, loaded, examples = list[float](), list[float](), load(spec), 0
    names = [name for name in (*loaded.operations, "asarray", "to_numpy") if hasattr(loaded.implementation, name)]
    clocked = SimpleNamespace(**{name: timed(getattr(loaded.implementation, name), own) for name in names})
    target = replace(loaded, implementation=clocked)
    for prop in properties():
        if prop.file.stem == f"test_{chapter}":
            function = suite_of(prop.file, settings)[prop.function]
            for arguments in parametrized(function):
                subjects = tuple(Subject(target, dtype) for dtype in target.dtypes)
                # A property that does not hold takes its time, too.
                with contextlib.suppress(suite.Apart, Unsatisfiable):
                    timed(function, whole)(target=subjects, **arguments)
                examples += sum(subject.tally.examples for subject in subjects)
    return {"examples": examples, "seconds": sum(whole), "target": sum(own)}


def measure(cases: int, seed: int, target: str = "", chapters: Iterable[str] = CHAPTERS) -> dict[str, Any]:
    """Measure how fast a target, else the reference, or NumPy's without PyTorch, is checked by one worker."""
    target = target or ("reference" if find_spec("torch") else "numpy")
    prepare = suite._one_example

    def only_draws(property_: Callable[..., None], **options: Any) -> Callable[..., None]:
        return prepare(functools.wraps(property_)(lambda *args, **kwargs: None), **options)

    rows = []
    for chapter in chapters:
        spent = measured(target, chapter, Settings("dev", cases, seed))
        with mock.patch.object(suite, "_one_example", only_draws):
            drawn = measured(
                target, chapter, Settings("dev", cases, seed, shrink=True)
            )  # nothing else has loaded these
        rate = round(spent["examples"] / spent["seconds"])
        rows.append({"chapter": chapter, "a second": rate, **spent, "drawing": drawn["seconds"]})
    title = "examples a second, and the seconds of each chapter, its target's functions, and drawing alone"
    return {f"{target}: {title}": rows}


def judge_times(cases: int, seed: int) -> dict[str, Any]:
    """Measure the quartiles of the time to find the truth and its bound, and to compare, in milliseconds."""
    rng, first, times = np.random.default_rng(seed), dict[str, Arrangement](), dict[tuple[str, str], list[float]]()
    for one in arrangements():
        first.setdefault(one.operation, one)
    for _ in range(cases):  # all operations in turn, so that a disturbance of the machine falls on each
        for name, asked in OPERATIONS.items():
            for dtype in ("float32", "float64"):
                arguments = asked.drawn(dtype, rng)
                with np.errstate(all="ignore"):
                    answer = first[name].evaluate(*arguments)
                timed(asked.judge, times.setdefault((name, dtype), []))(answer, arguments, dtype)
    rows: list[dict[str, Any]] = []
    for (name, dtype), taken in times.items():
        low, median, high = (1e3 * np.quantile(taken, [0.25, 0.5, 0.75])).tolist()
        rows.append({"operation": name, "dtype": dtype, "low": low, "median": median, "high": high})
    return {"Quartiles of the time of one judgement, in milliseconds": rows}

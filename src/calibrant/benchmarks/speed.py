"""Examples a second, chapter by chapter, beside the bare cost of drawing them and the target's own time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from calibrant.benchmarks.output import table
from calibrant.book.clauses import CHAPTERS, require
from calibrant.book.properties import conformance_folder
from calibrant.checks.engine import bare_pytest
from calibrant.checks.outcomes import carried
from calibrant.checks.spread import spread
from calibrant.suite import property as suite
from calibrant.suite.session import current


class Clock:
    """A pytest plugin that measures the properties of each chapter, and in them the functions of the target."""

    def __init__(self) -> None:
        self.chapters: dict[str, dict[str, float]] = {}
        """The examples of each chapter, its seconds, and those spent in the target."""
        self._called = 0.0

    def pytest_sessionstart(self) -> None:
        """Put the clock between the judge and the target."""
        target = current().load()
        names = [name for name in (*target.operations, "asarray", "to_numpy") if hasattr(target.implementation, name)]
        timed = {name: self._timed(getattr(target.implementation, name)) for name in names}
        current().loaded = replace(target, implementation=SimpleNamespace(**timed))

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self._called += time.perf_counter() - start

        return timed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Measure one property."""
        spent = self._of(next(item.iter_markers("clause")).args[0])
        before, start = self._called, time.perf_counter()
        try:
            return (yield)
        finally:
            spent["seconds"] += time.perf_counter() - start
            spent["target"] += self._called - before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the examples of one property."""
        for outcome in carried(report):
            self._of(outcome.clause)["examples"] += outcome.examples

    def _of(self, clause: str) -> dict[str, float]:
        return self.chapters.setdefault(require(clause).chapter, {"examples": 0, "seconds": 0.0, "target": 0.0})


def timed(arguments: list[str], judging: bool) -> dict[str, dict[str, float]]:
    """Run properties in this process, which must not have imported them; or only draw their examples."""
    prepare, clock = suite._one_example, Clock()

    def only_draws(property_: Callable[..., None], *, most: int | None) -> Callable[..., None]:
        return prepare(functools.wraps(property_)(lambda *args, **kwargs: None), most=most)

    with mock.patch.object(suite, "_one_example", prepare if judging else only_draws):
        status = bare_pytest(arguments, clock)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with status {status}")
    return clock.chapters


def measure(cases: int, seed: int, target: str = "", chapters: Iterable[str] = CHAPTERS) -> dict[str, Any]:
    """Measure how fast a target, else the reference, or NumPy's without PyTorch, is checked by one worker."""
    target = target or ("reference" if find_spec("torch") else "numpy")
    folder = conformance_folder()
    asked = [f"--target={target}", f"--target-examples={cases}", f"--target-seed={seed}", f"--rootdir={folder}"]
    arguments = [*asked, *(str(folder / f"test_{name}.py") for name in chapters)]
    ((_, judged),) = spread(timed, [(arguments, True)], 1)
    ((_, drawn),) = spread(timed, [(arguments, False)], 1)
    rows = [
        {
            "chapter": name,
            "a second": round(spent["examples"] / spent["seconds"]),
            **spent,
            "drawing": drawn[name]["seconds"],
        }
        for name, spent in judged.items()
    ]
    print(f"{target}: examples a second, and the seconds of each chapter, its target's functions, and drawing alone")
    print(table(rows))
    return {"speed": rows}

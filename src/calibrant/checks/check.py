"""One check: the properties run on a target by pytest, in processes of their own, and what they say of it.

pytest is the engine. Its workers (pytest-xdist) run the target's code; this process never does, so that nothing a target
does can end the check.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calibrant.book.clauses import book
from calibrant.book.properties import properties
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Gatherer, Outcome, died
from calibrant.checks.verdicts import Result, gathered
from calibrant.protocol.dtypes import numpy_dtype
from calibrant.protocol.errors import CheckError
from calibrant.target.forking import nursery
from calibrant.target.isolation import last_words
from calibrant.target.probing import probe
from calibrant.target.processes import REGISTER, end_all

_SHARED = ("numpy", "pytest", "calibrant.strategies", "calibrant.judge")
"""What every process of a check imports."""
_ALSO = {"reference": ["torch"], "torch": ["torch._dynamo"]}
"""What those of two targets of ours import besides; they leave nothing open, and end at once. Other targets may want to set
something before they import the same."""

_LOST = 4
"""Workers that may end before they have begun."""


class Observer:
    """Told how a check goes on: how many properties there are, and of each that is done."""

    def total(self, count: int) -> None:
        """So many properties will run."""

    def done(self, outcome: Outcome) -> None:
        """One has run."""


def check(spec: str, options: Options, observer: Observer | None = None) -> Result:
    """Hold a target against the book. Raises CheckError, in one sentence, if that cannot be done."""
    options = options.validated()
    threads = os.environ.get("OMP_NUM_THREADS", "1")  # the workers are the threads
    modules, ours = [*_SHARED, *_ALSO.get(spec, [])], spec in _ALSO
    with _environment(OMP_NUM_THREADS=threads), nursery(modules, at_once=ours) as python:
        return _checked(spec, options, observer or Observer(), python)


def _checked(spec: str, options: Options, observer: Observer, python: list[str]) -> Result:
    described = probe(spec, options.timeout, python)
    dtypes = options.dtypes or tuple(described["dtypes"])
    for dtype in dtypes:
        numpy_dtype(dtype)
    with tempfile.TemporaryDirectory(prefix="calibrant-") as name:
        folder = Path(name)
        engine = _Engine(folder, options, dtypes, described["deviations"], observer)
        complaints = io.StringIO()
        try:
            with contextlib.redirect_stderr(complaints), contextlib.redirect_stdout(complaints):
                code = _run_pytest(_arguments(spec, options, dtypes, folder, python), engine, folder / "programs")
        finally:
            end_all(folder / "programs")
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            said = [*engine.errors, *reversed(complaints.getvalue().split("\n")), f"pytest ended with status {code}"]
            raise CheckError(f"the check could not be run: {next(line for line in said if line.strip())}")
    verdicts = gathered(engine.outcomes)
    unfinished = sorted(engine.expected - engine.finished)
    if not engine.expected:
        lost = f"target {spec!r} ended its process while it was imported in a worker"
        raise CheckError(lost if engine.lost else "no property was selected")
    return Result(described, options, verdicts, unfinished)


def _arguments(spec: str, options: Options, dtypes: tuple[str, ...], folder: Path, python: list[str]) -> list[str]:
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    files = {prop.file for prop in properties() if options.selects(prop.clause)}
    arguments = [
        *(str(file) for file in sorted(files)),
        f"-c{folder / 'pytest.ini'}",
        f"--rootdir={folder}",
        "--noconftest",
        "--import-mode=importlib",
        "--assert=plain",
        "--capture=no",
        "-pno:cacheprovider",
        "-pno:terminal",
        "-pno:faulthandler",
        "-pxdist.plugin",
        "-pcalibrant.plugin",
        f"--tx={options.workers}*popen//python={re.sub('/+', '/', shlex.join(python))}",  # '//' would end it
        "--dist=worksteal",
        "--max-worker-restart=1000",
        f"--target={spec}",
        *(f"--target-dtype={dtype}" for dtype in dtypes),
        f"--target-timeout={options.timeout}",
        f"--target-profile={options.profile}",
        f"--target-seed={options.seed}",
        f"--target-run-folder={folder}",
    ]
    if options.examples is not None:
        arguments.append(f"--target-examples={options.examples}")
    for clause in [name for name in book() if options.selects(name)] if options.chapters or options.clauses else []:
        arguments.append(f"--target-clause={clause}")
    return arguments


def _run_pytest(arguments: list[str], engine: _Engine, register: Path) -> int:
    """pytest in this process, with nothing of the user's own configuration."""
    with _environment(
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        PYTEST_ADDOPTS="",
        PYTEST_PLUGINS="",
        **{REGISTER: str(register)},
    ):
        return int(pytest.main(arguments, plugins=[engine]))


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Engine(Gatherer):
    """A pytest plugin in the process that starts the workers: counts properties, and explains the workers' deaths."""

    def __init__(
        self, folder: Path, options: Options, dtypes: tuple[str, ...], deviations: dict[str, str], observer: Observer
    ) -> None:
        super().__init__()
        self.expected: set[str] = set()
        self.finished: set[str] = set()
        self.errors: list[str] = []
        self.lost = 0
        self._begun: set[str] = set()
        self._folder = folder
        self._options = options
        self._dtypes = dtypes
        self._deviations = deviations
        self._observer = observer

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker that ended while it loaded the target is replaced, but not for ever."""
        self.lost += error is not None and node.gateway.id not in self._begun
        if self.lost == _LOST:
            pytest.exit("the workers do not begin")

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._begun.add(node.gateway.id)
        if not self.expected:
            self.expected = set(ids)
            self._observer.total(len(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr).strip().splitlines()[-1])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = len(self.outcomes)
        super().pytest_runtest_logreport(report)
        if len(self.outcomes) == before and report.failed:
            self.outcomes.append(self._death(report))
        for outcome in self.outcomes[before:]:
            self.finished.add(report.nodeid)
            self._observer.done(outcome)

    def _death(self, report: pytest.TestReport) -> Outcome:
        """What became of a property whose process died, as far as it left word."""
        function, _, bracket = report.nodeid.rpartition("::")[2].partition("[")
        prop = next(prop for prop in properties() if prop.function == function)
        dtype = next((part for part in bracket.rstrip("]").split("-") if part in self._dtypes), self._dtypes[0])
        worker = report.node.gateway.id
        operation, sentence = last_words(self._folder, worker, self._options.timeout)
        return died(prop.clause, function, dtype, operation, sentence, self._deviations.get(prop.clause))

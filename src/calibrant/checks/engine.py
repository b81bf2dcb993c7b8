"""The engine: one pytest session whose workers run a target, and the outcome of each of its tests.

The workers (pytest-xdist) run the target's code. This process never does, so no target can end the session.
"""

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from calibrant.checks.outcomes import Outcome, carried
from calibrant.protocol.errors import CheckError
from calibrant.target.forking import nursery
from calibrant.target.isolation import hung, last_words
from calibrant.target.program import REGISTER, end_all

_SHARED = ("numpy", "pytest", "calibrant.strategies", "calibrant.judge")
"""The modules that every worker imports."""
_ALSO = {"reference": ["torch"], "torch": ["torch._dynamo"]}
"""The modules that the workers of two shipped targets also import. Other targets may need to set something before they import them."""

_LOST = 4
"""The number of workers that may end before they begin."""

Observer = Callable[[int, Outcome | None], None]
"""Takes the number of tests: once before the first begins, and then with the outcome of each that ends."""


@dataclass(frozen=True)
class Plan:
    """The plan of one pytest session on a target."""

    spec: str
    files: Sequence[Path]
    timeout: float
    workers: int
    options: Sequence[str]
    """Further options for the plugin."""
    died: Callable[[str, str, str], Outcome]
    """The outcome of a test whose worker died, from its node id, the operation and a sentence."""
    python: Sequence[str]
    """The command line that starts the interpreter of a worker."""
    again: bool = True
    """Whether the next worker calls an operation again in which one died, unless that one hung."""


@dataclass(frozen=True)
class Ran:
    """The results of a session."""

    outcomes: list[Outcome]
    unfinished: list[str]
    """The tests that did not run to an end."""
    interrupted: bool


@contextlib.contextmanager
def started(spec: str) -> Iterator[list[str]]:
    """Yield the command line for the interpreter of every process that loads the target; it works inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # the workers are the threads
        with nursery([*_SHARED, *_ALSO.get(spec, [])]) as python:
            yield python


def run(plan: Plan, observer: Observer | None = None) -> Ran:
    """Carry out a plan. Raises CheckError, in one sentence, where that is impossible."""
    with tempfile.TemporaryDirectory(prefix="calibrant-") as name:
        folder = Path(name)
        engine, complaints = _Engine(folder, plan, observer or (lambda count, outcome: None)), io.StringIO()
        quiet = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
        try:
            with (
                pytest.MonkeyPatch.context() as patch,
                contextlib.redirect_stderr(complaints),
                contextlib.redirect_stdout(complaints),
            ):
                for variable, value in (quiet | {REGISTER: str(folder / "programs")}).items():
                    patch.setenv(variable, value)
                code = pytest.main(_arguments(plan, folder), plugins=[engine])
        finally:
            end_all(folder / "programs")
    if engine.errors or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        said = [*engine.errors, *reversed(complaints.getvalue().split("\n")), f"pytest ended with status {code}"]
        raise CheckError(f"the check could not be run: {next(line for line in said if line.strip())}")
    if engine.interrupted and not engine.outcomes:
        raise KeyboardInterrupt
    if not engine.expected:
        raise CheckError(f"target {plan.spec!r} {engine.end} while it was imported in a worker")
    return Ran(engine.outcomes, sorted(engine.expected - engine.finished), engine.interrupted)


def _arguments(plan: Plan, folder: Path) -> list[str]:
    without = ("cacheprovider", "terminal", "faulthandler", "unraisableexception", "threadexception")
    return [
        *map(str, plan.files),
        f"-c{os.devnull}",  # without the user's own configuration
        f"--rootdir={folder}",
        "--noconftest",
        "--import-mode=importlib",
        "--assert=plain",
        "--capture=no",
        *(f"-pno:{name}" for name in without),
        "-pxdist.plugin",
        "-pcalibrant.plugin",
        f"--tx={plan.workers}*popen//python={re.sub('/+', '/', shlex.join(plan.python))}",  # '//' would end it
        "--dist=worksteal",
        "--max-worker-restart=1000",
        f"--target={plan.spec}",
        f"--target-timeout={plan.timeout}",
        f"--target-run-folder={folder}",
        *plan.options,
    ]


@dataclass(eq=False)
class _Engine:
    """The pytest plugin in the process that starts the workers: it collects outcomes, and explains the deaths of workers."""

    folder: Path
    plan: Plan
    observe: Observer
    outcomes: list[Outcome] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    lost: int = 0
    end: str = "ended its process"
    interrupted: bool = False

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Stop after a few workers that died while they loaded the target, or the first that hung."""
        if error is None or node.gateway.id in self.begun:
            return
        self.lost += 1
        if hung(self.folder, node.gateway.id):
            self.lost, self.end = _LOST, "hung"
        if self.lost >= _LOST:
            pytest.exit("the workers do not begin")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = isinstance(excinfo.value, KeyboardInterrupt)

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.begun.add(node.gateway.id)
        if not self.expected:
            self.expected = set(ids)
            self.observe(len(ids), None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr).strip().splitlines()[-1])

    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        """Record the outcome of a test in which a worker died, from the words that the worker left."""
        worker, plan = report.node.gateway.id, self.plan
        words = last_words(self.folder, worker, plan.timeout, again=plan.again)
        self._end(crashitem, plan.died(crashitem, *words))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for outcome in carried(report):
            self._end(report.nodeid, outcome)
        if report.failed and report.nodeid not in self.finished:
            self.errors.append(str(report.longrepr).strip().splitlines()[-1])

    def _end(self, nodeid: str, outcome: Outcome) -> None:
        if nodeid in self.finished:  # its worker died after the report
            return
        self.outcomes.append(outcome)
        self.finished.add(nodeid)
        self.observe(len(self.expected), outcome)

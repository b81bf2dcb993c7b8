"""The engine: one pytest session whose workers run a target, and the outcome of each of its tests.

The workers (pytest-xdist) run the target's code. This process never does, so no target can end the session.
"""

import contextlib
import functools
import io
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from calibrant.checks.outcomes import Outcome, carried
from calibrant.checks.spread import stored_elsewhere
from calibrant.protocol.errors import CheckError, named
from calibrant.target.forking import nursery
from calibrant.target.isolation import Watch
from calibrant.target.processes import end_all, in_order, no_process_left
from calibrant.target.program import REGISTER

_SHARED = (
    "numpy",
    "pytest",
    "xdist.plugin",
    "xdist.remote",
    "calibrant.plugin",
    "calibrant.strategies",
    "calibrant.checks.judging",
)
"""The modules that every worker imports."""
_ALSO = {"reference": ["torch"], "torch": ["torch._dynamo"]}
"""The modules that the workers of two shipped targets also import. Other targets may need to set something before they import them."""

_LOST = 4
"""The number of workers that may end before they begin."""

Observer = Callable[[Collection[str], Outcome | None], bool | None]
"""Takes the ids of all tests: once before the first begins, and then with the outcome of each that ends. True ends the run."""


@dataclass(frozen=True)
class Plan:
    """The plan of one pytest session on a target."""

    spec: str
    files: Sequence[Path | str]
    """Files of tests, or single tests of a file: `file::function`."""
    timeout: float
    workers: int
    options: Sequence[str]
    """Further options for the plugin."""
    died: Callable[[str, str, str, list[Any]], Outcome]
    """The outcome of a test whose worker died, from its node id, the operation, a sentence and the arguments."""
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
    """Whether somebody interrupted it; not where the observer ended it."""


@contextlib.contextmanager
def started(spec: str) -> Iterator[list[str]]:
    """Yield the command line for the interpreter of every process that loads the target; it works inside the block."""
    with in_order(), no_process_left(), pytest.MonkeyPatch.context() as patch, stored_elsewhere():
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # the workers are the threads
        with nursery([*_SHARED, *_ALSO.get(spec, [])]) as python:
            yield python


def run(plan: Plan, observer: Observer | None = None) -> Ran:
    """Carry out a plan. Raises CheckError, in one sentence, where that is impossible."""
    with tempfile.TemporaryDirectory(prefix="calibrant-") as name, no_process_left():
        folder = Path(name)
        watch = Watch(folder, plan.timeout)
        engine, complaints = _Engine(watch, plan, observer or (lambda ids, outcome: None)), io.StringIO()
        quiet = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
        try:
            with (
                pytest.MonkeyPatch.context() as patch,
                contextlib.redirect_stderr(complaints),
                contextlib.redirect_stdout(complaints),
            ):
                for variable, value in (quiet | {REGISTER: str(folder / "programs")}).items():
                    patch.setenv(variable, value)
                watch.start()
                code = pytest.main(_arguments(plan, folder), plugins=[engine])
        finally:
            watch.stop()
            end_all(folder / "programs")
    if engine.errors or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        said = [*engine.errors, *reversed(complaints.getvalue().split("\n")), f"pytest ended with status {code}"]
        raise CheckError(f"the check could not be run: {next(line for line in said if line.strip())}")
    if engine.interrupted and not engine.outcomes:
        raise KeyboardInterrupt
    if not engine.outcomes and (engine.lost or not engine.expected):
        remedy = "; --workers 1 imports it in one process only" if plan.workers > 1 else ""
        raise CheckError(
            f"{engine.end or f'target {plan.spec!r} ended its process while it was imported'} in a worker{remedy}"
        )
    return Ran(engine.outcomes, sorted(engine.expected - engine.finished), engine.interrupted)


def _arguments(plan: Plan, folder: Path) -> list[str]:
    without = (
        "cacheprovider",
        "terminal",
        "faulthandler",
        "logging",
        "unraisableexception",
        "threadexception",
        "warnings",
    )
    return [
        *map(str, plan.files),
        f"-c{os.devnull}",  # without the user's own configuration
        f"--rootdir={folder}",
        f"--basetemp={folder}/pytest",
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


class _Early(Exception):
    """The end of a worker that has tests left."""


@dataclass(eq=False)
class _Engine:
    """The pytest plugin in the process that starts the workers: it collects outcomes, and explains the deaths of workers."""

    watch: Watch
    plan: Plan
    observe: Observer
    outcomes: list[Outcome] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    """The tests that are run again, for their worker ended before they began."""
    lost: int = 0
    end: str = ""
    interrupted: bool = False
    enough: bool = False
    """Whether the observer has ended the run."""

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Take over what xdist does with each word of a worker: whatever a worker says or does, the run goes on."""
        distribution: Any = session.config.pluginmanager.getplugin("dsession")
        for name in dir(distribution):
            if name.startswith("worker_"):
                setattr(
                    distribution, name, functools.partial(self._take, distribution, name, getattr(distribution, name))
                )

    def _take(self, distribution: Any, name: str, take: Callable[..., None], node: Any = None, **said: Any) -> None:
        """Take a word of a worker. One that makes no sense, or ends a worker before its tests, is the word of a crashed worker."""
        if node not in distribution._active_nodes:  # it counts as crashed already; warnings come without a node
            return
        try:
            if name == "worker_collectionfinish":  # xdist calls no hook if it expects no further tests by now
                self.begun.add(node.gateway.id)
            if name == "worker_workerfinished":
                if distribution.sched.node2pending.get(node) or node.gateway.id not in self.begun:
                    raise _Early
                node.workeroutput = {"exitstatus": 0, "shouldfail": False, "shouldstop": False}
            if name != "worker_internal_error":  # its end comes next
                take(node=node, **said)
        except Exception as error:
            if self.enough or name == "worker_errordown":  # it ends the check on purpose
                raise
            if not isinstance(error, _Early):
                self.watch.reasons[node.gateway.id] = f"left its process unable to go on: {named(error)}"
            distribution.worker_errordown(node=node, error=error)

    def pytest_configure_node(self, node: Any) -> None:
        """Let what is sent to a worker that has just ended be lost: its tests go to another one when its end is known."""
        send = node.sendcommand

        def send_if_possible(name: str, **words: Any) -> None:
            with contextlib.suppress(OSError):
                send(name, **words)

        node.sendcommand = send_if_possible

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Stop after a few workers that died while they loaded the target, or the first that hung or could not load it."""
        worker = node.gateway.id
        if error is None:
            return
        self.watch.lost(worker)
        if worker in self.begun:
            return
        self.lost += 1
        if worker in self.watch.ended or self.watch.reason(worker):
            self.lost, self.end = (
                _LOST,
                self.watch.reason(worker) or f"target {self.plan.spec!r} did not finish importing",
            )
        if self.lost >= _LOST:
            self.watch.end_workers()  # they may wait for each other
            pytest.exit("the workers do not begin")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = isinstance(excinfo.value, KeyboardInterrupt)
        self.watch.end_workers()

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        if not self.expected:
            self.expected = set(ids)
            self.observe(self.expected, None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr).strip().splitlines()[-1])

    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Record the outcome of a test in which a worker died, from the words that the worker left."""
        worker = report.node.gateway.id
        if crashitem in self.finished:  # its worker died after the report
            return
        if self.watch.idle(worker) and crashitem not in self.again:
            self.again.add(crashitem)
            sched.mark_test_pending(crashitem)
            return
        words = self.watch.last_words(worker, again=self.plan.again)
        self._end(crashitem, self.plan.died(crashitem, *words))

    def pytest_runtest_logreport(self, report: Any) -> None:
        for outcome in carried(report):
            worker = report.node.gateway.id
            self.watch.received[worker] = self.watch.received.get(worker, 0) + 1
            self._end(report.nodeid, outcome)
        if report.failed and report.nodeid not in self.finished | self.again:
            self.errors.append(str(report.longrepr).strip().splitlines()[-1])

    def _end(self, nodeid: str, outcome: Outcome) -> None:
        if nodeid in self.finished:
            return
        self.outcomes.append(outcome)
        self.finished.add(nodeid)
        if self.observe(self.expected, outcome):
            self.enough = True
            pytest.exit("enough is known")

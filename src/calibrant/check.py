"""One check: the properties run on a target by pytest, in processes of their own, and what they say of it.

pytest is the engine. Its workers (pytest-xdist) run the target's code; this process never does, so that nothing a target
does can end the check.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from calibrant.clauses import CHAPTERS, book, properties
from calibrant.containment import apart, last_words
from calibrant.forking import nursery
from calibrant.plugin import PROFILES
from calibrant.program import REGISTER, end_all
from calibrant.target import DTYPES, IMPORT_PATIENCE, TargetError, nearest
from calibrant.verdicts import Gatherer, Verdict, exit_status, gathered

_SHARED = ("numpy", "pytest", "calibrant.strategies", "calibrant.judge")
"""What every process of a check imports."""
_ALSO = {"reference": ["torch"], "torch": ["torch._dynamo"]}
"""What those of two targets of ours import besides; they leave nothing open, and end at once. Other targets may want to set
something before they import the same."""

_LOST = 4
"""Workers that may end before they have begun."""


class CheckError(Exception):
    """A check that cannot be made, in one sentence."""


@dataclass(frozen=True)
class Options:
    """What is to be checked, and how thoroughly."""

    chapters: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    profile: str = "dev"
    examples: int | None = None
    seed: int | None = None
    timeout: float = 10.0
    workers: int | None = None

    def validated(self) -> Options:
        """These options, with every choice made. Raises CheckError for what does not exist, naming the nearest."""
        for kind, chosen, known in (
            ("chapter", self.chapters, list(CHAPTERS)),
            ("clause", self.clauses, list(book())),
            ("dtype", self.dtypes, list(DTYPES)),
            ("profile", (self.profile,), list(PROFILES)),
        ):
            for name in chosen:
                if name not in known:
                    raise CheckError(f"there is no {kind} {name!r}{nearest(name, known)}")
        for name, value, least in (
            ("examples", self.examples, 1),
            ("workers", self.workers, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise CheckError(f"{name} is {value}: it must be at least {least}")
        if not 0.05 <= self.timeout <= 86400:
            raise CheckError(f"timeout is {self.timeout:g}: it must be from 0.05 to 86400 seconds")
        same = PROFILES[self.profile].get("derandomize", False)
        if same and self.seed is not None:
            raise CheckError(f"the profile {self.profile} draws the same examples every time: it takes no seed")
        seed = 0 if same else self.seed if self.seed is not None else int.from_bytes(os.urandom(4), "big")
        return Options(
            self.chapters,
            self.clauses,
            self.dtypes,
            self.profile,
            self.examples,
            seed,
            self.timeout,
            self.workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else self.workers or 1,
        )

    def arguments(self) -> list[str]:
        """These options as the command line writes them."""
        repeated = (("chapter", self.chapters), ("clause", self.clauses), ("dtype", self.dtypes))
        written = [f"--{option}={value}" for option, values in repeated for value in values]
        single = ("profile", "examples", "seed", "timeout", "workers")
        return written + [f"--{name}={value}" for name in single if (value := getattr(self, name)) is not None]

    def selects(self, clause: str) -> bool:
        """Whether a clause is asked for."""
        if not self.chapters and not self.clauses:
            return True
        return clause in self.clauses or book()[clause].chapter in self.chapters


@dataclass
class Result:
    """What a check says: of which target, under which options, and which clauses."""

    target: dict[str, Any]
    options: Options
    verdicts: list[Verdict]
    unfinished: list[str] = field(default_factory=list)
    """Properties that were asked for and did not run to an end."""

    @property
    def partial(self) -> list[str]:
        """Why this is not the whole check; empty if it is."""
        reasons = []
        if self.options.chapters or self.options.clauses:
            asked = [name for name in book() if self.options.selects(name)]
            reasons.append(f"only {len(asked)} of {len(book())} clauses were asked for")
        left_out = [
            dtype for dtype in self.target["dtypes"] if self.options.dtypes and dtype not in self.options.dtypes
        ]
        if left_out:
            reasons.append(f"{', '.join(left_out)} left out")
        if self.unfinished:
            count = len(self.unfinished)
            reasons.append(f"{count} {'property' if count == 1 else 'properties'} did not run to an end")
        return reasons

    @property
    def exit_status(self) -> int:
        """0: conforms; 1: does not; 2: the check could not be made, or not to its end."""
        status = exit_status(self.verdicts)
        return 2 if self.unfinished and status == 0 else status


class Observer:
    """Told how a check goes on: how many properties there are, and of each that is done."""

    def total(self, count: int) -> None:
        """So many properties will run."""

    def done(self, outcome: dict[str, Any]) -> None:
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
    if "bfloat16" in dtypes:
        _require_bfloat16()
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


def probe(spec: str, timeout: float, python: Sequence[str] = (sys.executable,)) -> dict[str, Any]:
    """What a target says of itself, found out in a process of its own. Raises CheckError if it cannot be loaded."""
    patience = IMPORT_PATIENCE * timeout
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        answer, register = Path(folder) / "target.json", Path(folder) / "programs"
        with apart("calibrant.probing", spec, str(timeout), str(answer), register=register, python=python) as process:
            try:
                code = process.wait(patience)
            except subprocess.TimeoutExpired:
                raise CheckError(f"target {spec!r} did not finish importing within {patience:g} s") from None
        if not answer.exists():
            raise CheckError(f"target {spec!r} ended its process (status {code}) while it was imported")
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise CheckError(said["error"])
    return said


def _require_bfloat16() -> None:
    from calibrant.target import numpy_dtype

    try:
        numpy_dtype("bfloat16")
    except TargetError as error:
        raise CheckError(str(error)) from None


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

    def _death(self, report: pytest.TestReport) -> dict[str, Any]:
        """What became of a property whose process died, as far as it left word."""
        function, _, bracket = report.nodeid.rpartition("::")[2].partition("[")
        prop = next(prop for prop in properties() if prop.function == function)
        dtype = next((part for part in bracket.rstrip("]").split("-") if part in self._dtypes), self._dtypes[0])
        worker = report.node.gateway.id
        operation, sentence = last_words(self._folder, worker, self._options.timeout)
        text = f"  {operation or 'the target'} {sentence}"
        counts = {"examples": 0, "judged": 0, "unjudged": 0, "refused": 0, "worst": 0.0}
        failure = dict.fromkeys(("actual", "expected", "exactly", "error", "bound", "bounds", "ulps", "snippet")) | {
            "impostors": []
        }
        return counts | {
            "clause": prop.clause,
            "property": function,
            "dtype": dtype,
            "status": "broken",
            "reason": None,
            "deviation": self._deviations.get(prop.clause),
            "failure": failure | {"text": text, "calls": [{"operation": operation, "arguments": {}}]},
        }

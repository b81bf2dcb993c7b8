"""The pytest plugin: `--target`, one run of each property for each dtype, and what became of it.

It is loaded into every pytest run where calibrant is installed, so it imports nothing heavy until a property is collected.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from calibrant.subject import Subject
    from calibrant.target import Target
    from calibrant.verdicts import Gatherer

PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 50, "derandomize": False},
    "ci": {"max_examples": 100, "derandomize": True},
    "thorough": {"max_examples": 2000, "derandomize": False},
}
"""The Hypothesis settings of each profile; what they share is in `prepared`. Where a variable CI is set, Hypothesis has other
defaults: so nothing that a profile means is left to them."""

PROPERTY = "calibrant"
"""Under this name a test's report carries what became of its property."""


@dataclass
class Session:
    """What was asked of this pytest run."""

    target: str = "reference"
    dtypes: tuple[str, ...] = ()
    timeout: float = 10.0
    profile: str = "dev"
    examples: int | None = None
    seed: int | None = None
    run_folder: Path | None = None
    shrink: bool = True
    """Whether a failing example is made simpler before it is told: tests that only look whether there is one do without."""
    loaded: Target | None = None

    @property
    def few(self) -> bool:
        """Whether the properties are asked with fewer examples than their profile has."""
        return self.examples is not None and self.examples < PROFILES[self.profile]["max_examples"]

    def load(self) -> Target:
        """The target, loaded once."""
        from calibrant.target import load

        if self.loaded is None:
            self.loaded = load(self.target, self.timeout)
        return self.loaded


session = Session()
_OUTER = pytest.StashKey[Session]()
"""The session of the pytest run that this one was started in, if it was."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all of which begin with --target."""
    group = parser.getgroup("calibrant", "calibrant: hold an implementation against the book")
    group.addoption(
        "--target", metavar="TARGET", help="what to check: file.py, file.py:object, a module, or a registered name"
    )
    group.addoption(
        "--target-dtype", action="append", default=[], metavar="DTYPE", help="check in this dtype (may be repeated)"
    )
    group.addoption(
        "--target-timeout", type=float, default=10.0, metavar="SECONDS", help="the most that one call may take (10)"
    )
    group.addoption(
        "--target-profile", choices=list(PROFILES), default="dev", help="how many examples, and whether random (dev)"
    )
    group.addoption("--target-examples", type=int, metavar="N", help="examples for each property")
    group.addoption("--target-seed", type=int, metavar="N", help="draw the examples that this seed gives")
    group.addoption(
        "--target-clause", action="append", default=[], metavar="CLAUSE", help="only this clause (may be repeated)"
    )
    group.addoption(
        "--target-coverage", action="store_true", help="end with the examples of every clause; fail if one ran none"
    )
    group.addoption("--target-run-folder", help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Note what was asked; load a target that was named, so that a wrong name ends the run at once."""
    global session
    config.addinivalue_line("markers", "clause(name): the clause of calibrant's book that this property checks")
    option = config.option
    config.stash[_OUTER] = session
    session = Session(
        target=option.target or "reference",
        dtypes=tuple(option.target_dtype),
        timeout=option.target_timeout,
        profile=option.target_profile,
        examples=option.target_examples,
        seed=option.target_seed,
        run_folder=Path(option.target_run_folder) if option.target_run_folder else None,
    )
    _require_clauses(option.target_clause)
    worker = getattr(config, "workerinput", None)
    if worker is not None and session.run_folder is not None:
        from calibrant.containment import contain, not_called_again

        contain(session.run_folder, worker["workerid"])
        hung = not_called_again(session.run_folder)
        if hung:
            session.load().hung |= hung
    elif worker is None and session.run_folder is None:
        if option.target is not None:
            _load_or_stop()
        from calibrant.verdicts import Gatherer

        config.pluginmanager.register(Gatherer(), "calibrant-gatherer")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the session back to the run that this one was started in."""
    global session
    if session.loaded is not None and session.loaded.program is not None:
        session.loaded.program.close()
    session = config.stash[_OUTER]


def _require_clauses(names: list[str]) -> None:
    if names:
        from calibrant.clauses import require

        try:
            for name in names:
                require(name)
        except LookupError as error:
            raise pytest.UsageError(f"--target-clause: {error.args[0]}") from None


def _load_or_stop() -> Target:
    from calibrant.target import DTYPES, TargetError, nearest, numpy_dtype

    try:
        target = session.load()
        for dtype in session.dtypes:
            if dtype not in DTYPES:
                raise TargetError(f"--target-dtype: {dtype!r} is not judged{nearest(dtype, DTYPES)}")
        for dtype in session.dtypes or target.dtypes:
            numpy_dtype(dtype)
    except TargetError as error:
        raise pytest.UsageError(str(error)) from None
    return target


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the clauses that were asked for; of tests that check no clause, all. A target's warnings are its own affair."""
    for item in items:
        if item.get_closest_marker("clause"):
            item.add_marker(pytest.mark.filterwarnings("ignore"))
    chosen = config.option.target_clause
    if not chosen:
        return

    def asked(item: pytest.Item) -> bool:
        marker = item.get_closest_marker("clause")
        return marker is None or marker.args[0] in chosen

    config.hook.pytest_deselected(items=[item for item in items if not asked(item)])
    items[:] = [item for item in items if asked(item)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each property once for each dtype."""
    if metafunc.definition.get_closest_marker("clause") and "target" in metafunc.fixturenames:
        try:
            target = _load_or_stop()
        except pytest.UsageError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        metafunc.parametrize("target", session.dtypes or target.dtypes, indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Subject:
    """The implementation under test, in one dtype."""
    dtype: str = request.param
    return session.load().at(dtype)


def prepared(function: Any, share: float = 1.0) -> Any:
    """A property under the chosen profile, with its examples counted and in the dtype under test.

    The settings are the property's own: those of other Hypothesis tests in the same run stay as they are.
    """
    given = getattr(function, "hypothesis", None)
    if given is None:
        return _one_example(function, given=False)
    import zlib

    from hypothesis import HealthCheck, Phase, seed, settings

    given.inner_test = _one_example(given.inner_test, given=True)
    profile = dict(PROFILES[session.profile])
    if session.examples is not None:
        profile["max_examples"] = session.examples
    profile["max_examples"] = max(1, round(profile["max_examples"] * share))
    if session.seed is not None and not profile.get("derandomize"):
        function = seed(session.seed ^ zlib.crc32(function.__name__.encode()))(function)
    return settings(
        **profile,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if session.shrink else [])),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )(function)


_REFUSALS = 10
"""An operation that has served none of so many requests of a property is taken to serve none of them."""


def _one_example(property_: Callable[..., None], *, given: bool) -> Callable[..., None]:
    @functools.wraps(property_)
    def run(*args: Any, **kwargs: Any) -> None:
        import hypothesis

        from calibrant.judge import Disagreement, tallying
        from calibrant.subject import Absent, Failure, NotCalled, Refused

        def asked(subject: Subject) -> None:
            drawn = {name: x.at(subject.form) if hasattr(x, "at") else x for name, x in kwargs.items()}
            property_(*args, **drawn | {"target": subject})

        subject = kwargs["target"]
        subject.calls.clear()
        with tallying(subject.tally) as tally:
            tally.examples += 1
            try:
                asked(subject)
            except Refused as refused:
                tally.examples -= 1
                tally.refused += 1
                if not given or (not tally.answered and tally.refused >= _REFUSALS):
                    pytest.skip(str(refused))
                hypothesis.reject()
            except NotCalled:
                tally.examples -= 1
                hypothesis.reject()
            except Absent as absent:
                tally.examples -= 1
                pytest.skip(str(absent))
            except (Disagreement, Failure):
                tally.rejected = tally.rejected or tally.examples
                subject.asked = asked
                raise

    return run


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A property that runs out of requests before any of them is served is absent; few are possible where shapes are all that varies."""
    if pyfuncitem.get_closest_marker("clause") is None:
        return (yield)
    from hypothesis.errors import Unsatisfiable

    try:
        return (yield)
    except Unsatisfiable:
        subject: Any = pyfuncitem.funcargs["target"]
        tally = subject.tally
        if tally.answered or not tally.refused:
            raise
        pytest.skip(f"none of {tally.refused} requests is served")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what became of a property into its report, and excuse what is declared, or only a SHOULD."""
    report = yield
    marker = item.get_closest_marker("clause")
    if marker is None or not (call.when == "call" or (call.when == "setup" and call.excinfo is not None)):
        return report
    from calibrant.clauses import require
    from calibrant.wording import plain

    clause = require(marker.args[0])
    subject = getattr(item, "funcargs", {}).get("target")
    said = _outcome(subject, call.excinfo, clause.name)
    declared = subject.target.deviations.get(clause.name) if subject is not None else None
    said |= {
        "clause": clause.name,
        "property": getattr(item, "originalname", item.name),
        "dtype": item.callspec.params["target"],  # type: ignore[attr-defined]  # pytest_generate_tests gave it one
        "deviation": declared,
    }
    report.user_properties.append((PROPERTY, plain(said)))  # crosses processes
    if said["status"] in ("breaks", "broken"):
        report.longrepr = f"{clause.name}  {said['status']}  {clause.sentence}\n{said['failure']['text']}"
        excuse = f"deviates as declared: {declared}" if declared else "SHOULD" if clause.level == "SHOULD" else None
        if excuse:
            report.outcome = "skipped"
            report.wasxfail = excuse
    return report


def _outcome(
    subject: Subject | None, excinfo: pytest.ExceptionInfo[BaseException] | None, clause: str
) -> dict[str, Any]:
    """What became of a property, as plain data that crosses processes."""
    from calibrant.verdicts import failure_of

    tally = subject.tally if subject is not None else None
    said: dict[str, Any] = {
        "examples": tally.examples if tally else 0,
        "judged": tally.judged if tally else 0,
        "unjudged": tally.unjudged if tally else 0,
        "refused": tally.refused if tally else 0,
        "worst": tally.worst if tally and math.isfinite(tally.worst) else 0.0,
        "reason": None,
        "failure": None,
        "few": session.few,
    }
    if excinfo is None:
        asked = tally is not None and tally.asked  # what is true of the examples alone says nothing of the target
        return said | {"status": "holds" if said["judged"] and asked else "undecided"}
    error = excinfo.value
    if isinstance(error, pytest.skip.Exception):
        return said | {"status": "absent", "reason": str(error)}
    status, failure = failure_of(error, subject)
    if status in ("breaks", "broken") and subject is not None:
        from calibrant import variants
        from calibrant.impostors import naming

        failure["impostors"] = [one.told() for one in naming.explaining(subject, clause)]
        if status == "breaks" and not failure["impostors"] and variants.only_flushes(subject):
            failure["text"] += f"; {variants.FLUSHES}"
    if status == "error":
        failure["text"] = f"  the check itself failed: {excinfo.exconly()}\n  at {str(excinfo.traceback[-1]).strip()}"
    return said | {"status": status, "failure": failure}


def pytest_runtest_teardown() -> None:
    """Between properties, no call is watched."""
    if session.run_folder is not None:
        from calibrant.containment import at_ease

        at_ease()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """End somebody's own pytest run with a line for each chapter."""
    gatherer: Gatherer | None = config.pluginmanager.get_plugin("calibrant-gatherer")
    if gatherer is not None and gatherer.outcomes:
        from calibrant.reports.terminal import coverage_lines, summary_lines

        terminalreporter.section("calibrant")
        for line in summary_lines(gatherer.verdicts()):
            terminalreporter.write_line(line)
        for line in coverage_lines(gatherer.verdicts()) if config.option.target_coverage else ():
            terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A declared deviation that no longer deviates is a failure, though every property passed; so is a clause not covered."""
    gatherer: Gatherer | None = session.config.pluginmanager.get_plugin("calibrant-gatherer")
    if gatherer is None or exitstatus != 0 or not gatherer.outcomes:
        return
    from calibrant.verdicts import uncovered

    verdicts = gatherer.verdicts()
    stale = any(verdict.status == "stale" for verdict in verdicts)
    if stale or (session.config.option.target_coverage and uncovered(verdicts)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

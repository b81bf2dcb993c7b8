"""The pytest plugin: `--target`, a run of each property in each dtype, and its outcome.

Every pytest run where calibrant is installed loads it, so it imports nothing heavy until a property is collected.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

from calibrant.protocol.errors import CheckError, TargetError
from calibrant.suite.session import PROFILES, Session, begin, current, end

if TYPE_CHECKING:
    from calibrant.checks.outcomes import Outcome
    from calibrant.checks.verdicts import Verdict
    from calibrant.target.calling import Subject
    from calibrant.target.description import Target

_RECORD: pytest.StashKey[Outcome] = pytest.StashKey()
"""The outcome of a property."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of which begin with --target."""
    add = parser.getgroup("calibrant", "calibrant: hold an implementation against the book").addoption
    add("--target", metavar="TARGET", help="what to check: file.py, file.py:object, a module, or a registered name")
    several: dict[str, Any] = {"action": "append", "default": []}
    add("--target-dtype", **several, metavar="DTYPE", help="check in this dtype (may be repeated)")
    more = "commas and patterns such as 'loss.*' are understood (may be repeated)"
    add("--target-chapter", **several, metavar="CHAPTER", help=f"only this chapter; {more}")
    add("--target-clause", **several, metavar="CLAUSE", help=f"only this clause; {more}")
    add("--target-timeout", type=float, metavar="SECONDS", help="the most that one call may take (10)")
    add("--target-profile", choices=list(PROFILES), help="how many examples, and whether random (dev)")
    add("--target-examples", type=int, metavar="N", help="examples for each property")
    add("--target-seed", type=int, metavar="N", help="draw the examples that this seed gives")
    add(
        "--target-deviations",
        metavar="FILE",
        help="a TOML file with a reason for each clause that the target may break",
    )
    add("--target-coverage", action="store_true", help="end with the examples of every clause; fail if one ran none")
    for option in ("--target-run-folder", "--target-vectors", "--target-last"):
        add(option, type=Path, help=argparse.SUPPRESS)


class _Gatherer:
    """Collects the outcome of each property from pytest's reports, whichever process ran it, and ends the run with verdicts."""

    def __init__(self, coverage: bool) -> None:
        self.coverage = coverage
        self.outcomes: list[Outcome] = []
        self.verdicts: list[Verdict] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the outcome that a report carries."""
        if report.user_properties:
            from calibrant.checks.outcomes import carried

            self.outcomes += carried(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail the run where a declared deviation no longer deviates, or a clause is not covered."""
        if self.outcomes:
            from calibrant.checks.verdicts import gathered, uncovered

            self.verdicts = gathered(self.outcomes)
            stale = any(verdict.status == "stale" for verdict in self.verdicts)
            if exitstatus == 0 and (stale or (self.coverage and uncovered(self.verdicts))):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """End the run with a line for each chapter."""
        if self.verdicts:
            from calibrant.reports.closing import coverage_lines, summary_lines

            terminalreporter.section("calibrant")
            for line in summary_lines(self.verdicts) + (coverage_lines(self.verdicts) if self.coverage else []):
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Begin the session; load a named target at once, so that a wrong name ends the run."""
    config.addinivalue_line("markers", "clause(name): the clause of calibrant's book that this property checks")
    session = _session(config)
    begin(session)
    config.add_cleanup(lambda: end(session))
    worker = getattr(config, "workerinput", None)
    if worker is not None and session.run_folder is not None:
        from calibrant.target.isolation import contain, not_called_again

        # Every other style parses the sources along a traceback, of which only the last line is read.
        config.option.tbstyle = "native"
        contain(session.run_folder, worker["workerid"], worker["workercount"])
        if hung := not_called_again(session.run_folder):
            session.load().hung |= hung
            session.load().in_vain = len(hung)
    elif worker is None and session.run_folder is None:
        if config.option.target is not None:
            _load_or_stop()
        config.pluginmanager.register(_Gatherer(config.option.target_coverage))


_OPTIONS = {
    "target": "target",
    "profile": "target_profile",
    "timeout": "target_timeout",
    "examples": "target_examples",
    "deviations": "target_deviations",
    "dtypes": "target_dtype",
    "chapters": "target_chapter",
    "clauses": "target_clause",
}
"""The options of a check, with the options of pytest that give them."""


def _session(config: pytest.Config) -> Session:
    """The session that the options ask for, over the defaults of the project.

    What is wrong with the defaults is told once a property is collected: other people's tests do not use them.
    """
    option = config.option
    given = {name: value for name, own in _OPTIONS.items() if (value := getattr(option, own)) not in (None, [])}
    rest = {"seed": option.target_seed, "run_folder": option.target_run_folder, "vectors": option.target_vectors}
    rest |= {"last": option.target_last}
    try:
        settings = _over_the_project(config.rootpath, given) if option.target_run_folder is None else given
        return Session(**_validated(settings), **rest) if settings else Session(**rest)
    except CheckError as error:
        if given:
            raise pytest.UsageError(str(error)) from None
        return Session(problem=str(error), **rest)


def _over_the_project(root: Path, given: dict[str, Any]) -> dict[str, Any]:
    file = root / "pyproject.toml"
    if not file.is_file() or b"tool.calibrant" not in file.read_bytes():
        return given
    from calibrant.checks import project

    return project.under(project.defaults(root), given) | given


def _validated(settings: dict[str, Any]) -> dict[str, Any]:
    """The fields of a session. Raises CheckError for an unknown name."""
    from calibrant.book.clauses import book
    from calibrant.checks.options import Options

    target = {"target": settings.pop("target")} if "target" in settings else {}
    several = {name: tuple(value) for name, value in settings.items() if isinstance(value, (list, tuple))}
    options = Options(**settings | several).validated()
    chosen = {name: getattr(options, name) for name in ("dtypes", "profile", "examples", "timeout", "deviations")}
    if options.chapters or options.clauses:
        chosen["clauses"] = frozenset(filter(options.selects, book()))
    return chosen | target


def _load_or_stop() -> Target:
    from calibrant.protocol.declarations import numpy_dtype

    session = current()
    try:
        target = session.load()
        for dtype in session.dtypes or target.dtypes:
            numpy_dtype(dtype)
    except TargetError as error:
        raise pytest.UsageError(str(error)) from None
    return target


def pytest_collection(session: pytest.Session) -> None:
    """Load the target at once where the suite is named, so that what is wrong with it is told once."""
    if current().run_folder is None and any("calibrant.conformance" in word for word in session.config.args):
        _load_or_stop()


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Give properties outside the project ids that pytest takes, with --pyargs: `calibrant.conformance.test_loss::test_...`."""
    root = parent.config.rootpath
    if module_path.parent.name != "conformance" or module_path.is_relative_to(root) or current().run_folder is not None:
        return None
    from calibrant.book.clauses import conformance_folder

    if module_path.parent != conformance_folder():
        return None
    here = os.path.relpath(parent.config.invocation_params.dir, root)  # pytest shows ids relative to it
    name = f"calibrant.conformance.{module_path.stem}"
    named: pytest.Module = pytest.Module.from_parent(
        parent, path=module_path, nodeid=name if here == os.curdir else f"{here}/{name}"
    )
    return named


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the selected clauses, and every test that checks no clause. Ignore the warnings of targets. Sort by property."""
    session = current()
    marked = {item: marker.args[0] for item in items if (marker := item.get_closest_marker("clause"))}
    for item in marked if config.pluginmanager.hasplugin("warnings") else ():
        item.add_marker(pytest.mark.filterwarnings("ignore"))
    if session.clauses is not None:
        others = {item for item, clause in marked.items() if clause not in session.clauses}
        config.hook.pytest_deselected(items=[*others])
        items[:] = [item for item in items if item not in others]
    # The runs of a property in its dtypes come one after the other.
    first: dict[Any, int] = {}
    for item in filter(_is_property, items):
        session.dtypes_of.setdefault(_key(item), []).append(str(item.callspec.params["target"]))
    items.sort(key=lambda item: first.setdefault(_key(item) if _is_property(item) else item, len(first)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each property once for each dtype."""
    if metafunc.definition.get_closest_marker("clause") and "target" in metafunc.fixturenames:
        try:
            target = _load_or_stop()
        except pytest.UsageError as error:
            raise pytest.Collector.CollectError(str(error)) from None
        metafunc.parametrize("target", current().dtypes or target.dtypes, indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Subject:
    """The implementation under test, in one dtype."""
    from calibrant.target.calling import Subject

    return Subject(current().load(), request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a property, in all its dtypes at once if it holds in all of them, and record what becomes of it."""
    if not _is_property(pyfuncitem):
        return None
    from calibrant.checks.judging import judged
    from calibrant.target.calling import Subject

    session, run = current(), (_key(pyfuncitem), str(pyfuncitem.callspec.params["target"]))
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    _judge_together(pyfuncitem, arguments)
    subject, held = session.judged.pop(run, (arguments["target"], None))
    assert isinstance(subject, Subject)
    clause = next(pyfuncitem.iter_markers("clause")).args[0]
    outcome, error = judged(pyfuncitem.obj, arguments, clause, pyfuncitem.originalname, subject, held, few=session.few)
    pyfuncitem.stash[_RECORD] = outcome
    if error is not None:
        raise error
    return True


def _judge_together(item: pytest.Function, arguments: dict[str, Any]) -> None:
    """Judge a property in all its dtypes at once, and keep the subjects."""
    from calibrant.checks.judging import in_all_dtypes
    from calibrant.target.calling import Subject

    session, key = current(), _key(item)
    dtypes = session.dtypes_of.pop(key, [])
    subjects = tuple(Subject(session.load(), dtype) for dtype in dtypes)
    held = in_all_dtypes(item.obj, arguments, subjects)
    if held is not None:
        session.judged |= {(key, dtype): (one, held) for dtype, one in zip(dtypes, subjects, strict=True)}


def _is_property(item: pytest.Item) -> TypeGuard[pytest.Function]:
    """Whether an item checks a clause in a dtype."""
    marked = isinstance(item, pytest.Function) and item.get_closest_marker("clause") is not None
    return marked and "target" in getattr(getattr(item, "callspec", None), "params", ())


def _key(item: pytest.Function) -> Any:
    """What the runs of one property in several dtypes have in common."""
    others = sorted((name, repr(x)) for name, x in item.callspec.params.items() if name != "target")
    return item.nodeid.removesuffix(f"[{item.callspec.id}]"), tuple(others)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the outcome of a property into its report; a declared deviation and a SHOULD do not fail the run."""
    report = yield
    if not _is_property(item) or not (call.when == "call" or (call.when == "setup" and call.excinfo is not None)):
        return report
    from calibrant.book.clauses import require
    from calibrant.checks.outcomes import PROPERTY, outcome_of
    from calibrant.protocol.errors import first_line, printable
    from calibrant.target.isolation import contained, give_up

    clause = require(next(item.iter_markers("clause")).args[0])
    outcome = item.stash.get(_RECORD, None)
    if outcome is None:  # its set-up failed, or the target has left too little to tell its outcome
        assert call.excinfo is not None
        if contained() and call.when == "call":
            give_up(f"left its process unable to go on: {call.excinfo.typename}: {first_line(call.excinfo.value)}")
        dtype = str(item.callspec.params["target"])
        outcome = outcome_of(clause.name, item.originalname, dtype, None, call.excinfo.value, few=current().few)
    report.user_properties.append((PROPERTY, outcome.sent()))
    if outcome.failure is not None and outcome.status in ("breaks", "broken"):
        report.longrepr = outcome.told() if contained() else _told(outcome)
        should = "SHOULD" if clause.level == "SHOULD" else None
        excuse = f"deviates as declared: {outcome.deviation}" if outcome.deviation else should
        if excuse:
            report.outcome = "skipped"
            report.wasxfail = printable(excuse)
    if isinstance(report.longrepr, str) or (report.failed and contained()):
        report.longrepr = printable(str(report.longrepr))
    return report


def _told(outcome: Outcome) -> str:
    """The text on a failure, as `calibrant check` prints it."""
    from calibrant.checks.verdicts import gathered
    from calibrant.reports.telling import failure_lines

    return "\n".join(failure_lines(gathered([replace(outcome, deviation=None)])))


def pytest_runtest_setup() -> None:
    """Limit the time of a property that calls nothing."""
    if current().run_folder is not None:
        from calibrant.target.isolation import preparing

        preparing(current().timeout)


def pytest_runtest_teardown() -> None:
    """Watch no call between properties."""
    if current().run_folder is not None:
        from calibrant.target.isolation import over

        over()


@pytest.hookimpl(tryfirst=True)
def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """End a worker that cannot go on: one property is lost, and not all."""
    if current().run_folder is not None:
        from calibrant.protocol.errors import first_line
        from calibrant.target.isolation import contained, give_up

        if contained():
            give_up(f"left its process unable to go on: {excinfo.typename}: {first_line(excinfo.value)}")

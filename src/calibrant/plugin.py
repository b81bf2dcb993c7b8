"""The pytest plugin: `--target`, a run of each property in each dtype, and its outcome.

Every pytest run where calibrant is installed loads it, so it imports nothing heavy until a property is collected.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

from calibrant.suite.session import PROFILES, Session, begin, current, end

if TYPE_CHECKING:
    from calibrant.checks.outcomes import Outcome
    from calibrant.checks.verdicts import Verdict
    from calibrant.target.calling import Subject
    from calibrant.target.description import Target

_RECORD: pytest.StashKey[list[Outcome]] = pytest.StashKey()
"""The outcome of a property."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of which begin with --target."""
    add = parser.getgroup("calibrant", "calibrant: hold an implementation against the book").addoption
    add("--target", metavar="TARGET", help="what to check: file.py, file.py:object, a module, or a registered name")
    several: dict[str, Any] = {"action": "append", "default": []}
    add("--target-dtype", **several, metavar="DTYPE", help="check in this dtype (may be repeated)")
    add("--target-timeout", type=float, default=10.0, metavar="SECONDS", help="the most that one call may take (10)")
    add("--target-profile", choices=list(PROFILES), default="dev", help="how many examples, and whether random (dev)")
    add("--target-examples", type=int, metavar="N", help="examples for each property")
    add("--target-seed", type=int, metavar="N", help="draw the examples that this seed gives")
    add("--target-clause", **several, metavar="CLAUSE", help="only this clause (may be repeated)")
    add("--target-coverage", action="store_true", help="end with the examples of every clause; fail if one ran none")
    for option in ("--target-run-folder", "--target-vectors"):
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
            from calibrant.reports.terminal import coverage_lines, summary_lines

            terminalreporter.section("calibrant")
            for line in summary_lines(self.verdicts) + (coverage_lines(self.verdicts) if self.coverage else []):
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Begin the session; load a named target at once, so that a wrong name ends the run."""
    config.addinivalue_line("markers", "clause(name): the clause of calibrant's book that this property checks")
    option = config.option
    alike = ("timeout", "profile", "examples", "seed", "run_folder", "vectors")
    given = {name: getattr(option, f"target_{name}") for name in alike}
    session = Session("reference" if option.target is None else option.target, tuple(option.target_dtype), **given)
    begin(session)
    config.add_cleanup(lambda: end(session))
    if option.target_clause:
        from calibrant.book.clauses import require

        try:
            for name in option.target_clause:
                require(name)
        except LookupError as error:
            raise pytest.UsageError(f"--target-clause: {error.args[0]}") from None
    worker = getattr(config, "workerinput", None)
    if worker is not None and session.run_folder is not None:
        from calibrant.target.isolation import contain, not_called_again

        contain(session.run_folder, worker["workerid"], worker["workercount"])
        if hung := not_called_again(session.run_folder):
            session.load().hung |= hung
            session.load().in_vain = len(hung)
    elif worker is None and session.run_folder is None:
        if option.target is not None:
            _load_or_stop()
        config.pluginmanager.register(_Gatherer(option.target_coverage))


def _load_or_stop() -> Target:
    from calibrant.protocol.declarations import DTYPES, numpy_dtype
    from calibrant.protocol.errors import TargetError, nearest

    session = current()
    try:
        target = session.load()
        for dtype in session.dtypes or target.dtypes:
            if dtype not in DTYPES:
                raise TargetError(f"--target-dtype: {dtype!r} is not judged{nearest(dtype, DTYPES)}")
            numpy_dtype(dtype)
    except TargetError as error:
        raise pytest.UsageError(str(error)) from None
    return target


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the selected clauses, and every test that checks no clause. Ignore the warnings of targets. Sort by property."""
    marked = {item: marker.args[0] for item in items if (marker := item.get_closest_marker("clause"))}
    for item in marked if config.pluginmanager.hasplugin("warnings") else ():
        item.add_marker(pytest.mark.filterwarnings("ignore"))
    if selected := config.option.target_clause:
        others = {item for item, clause in marked.items() if clause not in selected}
        config.hook.pytest_deselected(items=[*others])
        items[:] = [item for item in items if item not in others]
    # The runs of a property in its dtypes come one after the other.
    first: dict[Any, int] = {}
    for item in filter(_is_property, items):
        current().dtypes_of.setdefault(_key(item), []).append(str(item.callspec.params["target"]))
    items.sort(key=lambda item: first.setdefault(_key(item) if _is_property(item) else item, len(first)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each property once for each dtype."""
    if metafunc.definition.get_closest_marker("clause") and "target" in metafunc.fixturenames:
        try:
            target = _load_or_stop()
        except pytest.UsageError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
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
    import numpy as np
    from hypothesis.errors import FlakyFailure

    from calibrant.checks.outcomes import recording
    from calibrant.judge import Disagreement
    from calibrant.target.calling import Failure

    session, run = current(), (_key(pyfuncitem), str(pyfuncitem.callspec.params["target"]))
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    _judge_together(pyfuncitem, arguments)
    together, held = session.judged.pop(run, (None, False))
    subject: Any = arguments["target"] if together is None else together if held else together.anew()

    def whole(other: Subject) -> None:
        with np.errstate(all="ignore"):
            pyfuncitem.obj(**arguments | {"target": other})

    def record(subject: Subject) -> contextlib.AbstractContextManager[list[Outcome]]:
        subject.property_ = whole
        clause = next(pyfuncitem.iter_markers("clause")).args[0]
        return recording(clause, pyfuncitem.originalname, subject, few=session.few)

    with record(subject) as pyfuncitem.stash[_RECORD]:
        if not held:
            whole(subject)
    if together is not None and isinstance(together.failed, (Disagreement, Failure)):
        with record(together) as pyfuncitem.stash[_RECORD]:
            raise FlakyFailure("it failed once, and not when it was asked the same again", [together.failed])
    return True


def _judge_together(item: pytest.Function, arguments: dict[str, Any]) -> None:
    """Judge a property in all its dtypes, so that each example is drawn once; keep the subjects, by whether all of them hold."""
    import numpy as np

    from calibrant.target.calling import Subject

    session, key = current(), _key(item)
    dtypes = session.dtypes_of.pop(key, [])
    if len(dtypes) < 2 or not hasattr(item.obj, "hypothesis"):
        return
    subjects, held = tuple(Subject(session.load(), one) for one in dtypes), False
    # Apart, or one of Hypothesis' own: each is judged by itself, and what it raises is told then.
    with contextlib.suppress(Exception), np.errstate(all="ignore"):
        item.obj(**arguments | {"target": subjects})
        held = True
    session.judged |= {(key, one): (subject, held) for one, subject in zip(dtypes, subjects, strict=True)}


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
    if record := item.stash.get(_RECORD, None):
        (outcome,) = record
    else:  # its set-up failed, or the target has left too little to tell its outcome
        assert call.excinfo is not None
        if contained() and call.when == "call":
            give_up(f"left its process unable to go on: {call.excinfo.typename}: {first_line(call.excinfo.value)}")
        dtype = str(item.callspec.params["target"])
        outcome = outcome_of(clause.name, item.originalname, dtype, None, call.excinfo.value, few=current().few)
    report.user_properties.append((PROPERTY, outcome.sent()))
    if outcome.failure is not None and outcome.status in ("breaks", "broken"):
        report.longrepr = f"{clause.name}  {outcome.status}  {clause.sentence}\n{outcome.failure.text}"
        should = "SHOULD" if clause.level == "SHOULD" else None
        excuse = f"deviates as declared: {outcome.deviation}" if outcome.deviation else should
        if excuse:
            report.outcome = "skipped"
            report.wasxfail = printable(excuse)
    if isinstance(report.longrepr, str) or (report.failed and contained()):
        report.longrepr = printable(str(report.longrepr))
    return report


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

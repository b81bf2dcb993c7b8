"""One check, which runs the properties on a target and gathers the verdicts; or several, one after the other."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from calibrant.book.clauses import Property, book, properties
from calibrant.checks.engine import Observer, Plan, Ran, run, started
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome, died
from calibrant.checks.verdicts import Result, Verdict, gathered
from calibrant.protocol.declarations import deviation, numpy_dtype
from calibrant.protocol.errors import CheckError, escaped
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.description import deviations_in
from calibrant.target.loading import ISOLATED, PROGRAM, probe

Settled = Callable[[list[Verdict]], None]
"""Takes the verdicts on a clause, in all dtypes, as soon as they are final."""


def check(spec: str, options: Options, observer: Observer | None = None, settled: Settled | None = None) -> Result:
    """Hold a target against the book. Raises CheckError, in one sentence, where that is impossible.

    A property of operations that the target lacks is absent, and is not run.
    """
    options = options.validated()
    assert options.workers is not None
    with started(spec) as python:
        described = probe(spec, options.timeout, python)
        described["deviations"] |= deviations_in(options.deviations)
        dtypes = options.dtypes or tuple(described["dtypes"])
        for dtype in dtypes:
            numpy_dtype(dtype)
        clauses = {prop.function: prop.clause for prop in properties() if options.selects(prop.clause)}
        absent = {prop for prop in properties() if prop.operations.isdisjoint(described["operations"])}

        def broken(nodeid: str, *words: Any) -> Outcome:
            function, bracket = _function(nodeid), nodeid.rpartition("::")[2].partition("[")[2]
            dtype = next((part for part in bracket.rstrip("]").split("-") if part in dtypes), dtypes[0])
            clause = clauses[function]
            return died(clause, function, dtype, deviation(described["deviations"], clause, dtype), *words)

        left_out = [
            absent_outcome(prop, dtype, described) for prop in absent for dtype in dtypes if prop.function in clauses
        ]
        following, ran = _Following(clauses, options, left_out, observer, settled), Ran([], [], interrupted=False)
        if places := _places(clauses, absent):
            held = ISOLATED + spec if options.isolated and not spec.startswith(PROGRAM) else spec
            arguments = _arguments(options, dtypes)
            plan = Plan(held, places, options.timeout, options.workers, arguments, broken, python)
            ran = run(plan, following.observe)
    verdicts = gathered(left_out + ran.outcomes)
    return Result(described, options, verdicts, ran.unfinished, ran.interrupted, following.enough)


def _function(nodeid: str) -> str:
    """The name of the property that a test runs."""
    return nodeid.rpartition("::")[2].partition("[")[0]


def absent_outcome(prop: Property, dtype: str, described: dict[str, Any]) -> Outcome:
    """The outcome of a property whose operations the target lacks."""
    lacking = [name for name in OPERATIONS if name in prop.operations]
    said = f"{described['name']} has no {' and no '.join(lacking)}"
    declared = deviation(described["deviations"], prop.clause, dtype)
    return Outcome(prop.clause, prop.function, dtype, "absent", escaped(said), *declared)


def _places(clauses: Collection[str], absent: Set[Property]) -> list[str]:
    """The files of the properties to run; single properties of a file where some of it are not run."""
    places: list[str] = []
    for file, several in itertools.groupby(properties(), key=lambda prop: prop.file):
        of_file = [*several]
        asked = [prop.function for prop in of_file if prop.function in clauses and prop not in absent]
        places += [str(file)] if len(asked) == len(of_file) else [f"{file}::{function}" for function in asked]
    return places


@dataclass
class _Following:
    """Follows a run: tells the verdicts on a clause as soon as all its tests have ended, and says when enough have failed."""

    clauses: dict[str, str]
    """The clause of each property."""
    options: Options
    absent: list[Outcome]
    observer: Observer | None
    settled: Settled | None
    left: Counter[str] = field(default_factory=Counter)
    """The number of tests of each clause that have not ended."""
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    failed: int = 0
    enough: bool = False

    def observe(self, ids: Collection[str], outcome: Outcome | None) -> bool:
        """Take an outcome; say whether the run may end."""
        if self.observer is not None:
            self.observer(ids, outcome)
        if outcome is None:
            self.left.update(self.clauses[_function(nodeid)] for nodeid in ids)
            for one in self.absent:
                self.outcomes.setdefault(one.clause, []).append(one)
            return False
        self.outcomes.setdefault(outcome.clause, []).append(outcome)
        self.left[outcome.clause] -= 1
        if self.left[outcome.clause] == 0:
            verdicts = gathered(self.outcomes[outcome.clause])
            self.failed += any(verdict.fails(strict=self.options.strict) for verdict in verdicts)
            if self.settled is not None:
                self.settled(verdicts)
        self.enough = self.enough or self.failed >= (self.options.fail_fast or math.inf)
        return self.enough


def _arguments(options: Options, dtypes: tuple[str, ...]) -> list[str]:
    """The options for the plugin."""
    given: dict[str, Iterable[Any]] = {"dtype": dtypes, "profile": [options.profile], "seed": [options.seed]}
    for name in ("examples", "deviations", "last"):
        if (value := getattr(options, name)) is not None:
            given[name] = [value]
    if options.chapters or options.clauses:
        given["clause"] = filter(options.selects, book())
    return [f"--target-{name}={value}" for name, values in given.items() for value in values]


@dataclass(frozen=True)
class Checked:
    """One target of a matrix: the result of its check, or why there is none."""

    spec: str
    result: Result | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The head of its column; a program gives its own name."""
        if self.result is not None and self.spec.startswith(PROGRAM):
            return str(self.result.target["name"])
        return self.spec.removeprefix(PROGRAM)

    @property
    def exit_status(self) -> int:
        """The exit status of its check."""
        return 2 if self.result is None else self.result.exit_status


def planned(specs: Sequence[str], options: Options, deviations: Iterable[str]) -> list[tuple[str, Options]]:
    """Each target with the options of its check: all draw with one seed, and `TARGET=FILE` declares deviations of one.

    Raises CheckError, in one sentence, where that is impossible.
    """
    plans = dict.fromkeys(specs, options.validated())
    for said in deviations:
        spec, _, file = said.rpartition("=")
        spec = spec if spec in plans else PROGRAM + spec
        if spec not in plans:
            raise CheckError(f"deviations is {said!r}, which is not TARGET=FILE for one of the targets")
        deviations_in(file)
        plans[spec] = replace(plans[spec], deviations=file)
    return [(spec, plans[spec]) for spec in specs]


def checked(plans: Sequence[tuple[str, Options]]) -> Iterator[Checked]:
    """Check one target after the other, each with all workers. An interrupted check is the last."""
    for spec, options in plans:
        try:
            result = check(spec, options)
        except CheckError as error:
            yield Checked(spec, None, str(error))
            continue
        yield Checked(spec, result)
        if result.interrupted:
            return


def exit_status(matrix: Sequence[Checked]) -> int:
    """1 if any target does not conform, else 2 if any check could not be made, else 0."""
    found = {one.exit_status for one in matrix}
    return 1 if 1 in found else max(found, default=2)

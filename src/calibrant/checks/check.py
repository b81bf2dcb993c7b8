"""One check, which runs the properties on a target and gathers the verdicts; or several, one after the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from calibrant.book.clauses import book, properties
from calibrant.checks.engine import Observer, Plan, run, started
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome, died
from calibrant.checks.verdicts import Result, gathered
from calibrant.protocol.declarations import deviation, numpy_dtype
from calibrant.protocol.errors import CheckError
from calibrant.target.loading import ISOLATED, PROGRAM, probe


def check(spec: str, options: Options, observer: Observer | None = None) -> Result:
    """Hold a target against the book. Raises CheckError, in one sentence, where that is impossible."""
    options = options.validated()
    assert options.workers is not None
    with started(spec) as python:
        described = probe(spec, options.timeout, python)
        dtypes = options.dtypes or tuple(described["dtypes"])
        for dtype in dtypes:
            numpy_dtype(dtype)

        def broken(nodeid: str, *words: Any) -> Outcome:
            function, _, bracket = nodeid.rpartition("::")[2].partition("[")
            clause = next(prop.clause for prop in properties() if prop.function == function)
            dtype = next((part for part in bracket.rstrip("]").split("-") if part in dtypes), dtypes[0])
            return died(clause, function, dtype, deviation(described["deviations"], clause, dtype), *words)

        files = sorted({prop.file for prop in properties() if options.selects(prop.clause)})
        arguments = _arguments(options, dtypes)
        held = ISOLATED + spec if options.isolated and not spec.startswith(PROGRAM) else spec
        ran = run(Plan(held, files, options.timeout, options.workers, arguments, broken, python), observer)
    return Result(described, options, gathered(ran.outcomes), ran.unfinished, ran.interrupted)


def _arguments(options: Options, dtypes: tuple[str, ...]) -> list[str]:
    """The options for the plugin."""
    given: dict[str, Iterable[Any]] = {"dtype": dtypes, "profile": [options.profile], "seed": [options.seed]}
    if options.examples is not None:
        given["examples"] = [options.examples]
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


def checked(specs: Sequence[str], options: Options) -> Iterator[Checked]:
    """Check one target after the other, each with all workers."""
    for spec in specs:
        try:
            result = check(spec, options)
        except CheckError as error:
            yield Checked(spec, None, str(error))
            continue
        if result.interrupted:
            raise KeyboardInterrupt
        yield Checked(spec, result)


def exit_status(matrix: Sequence[Checked]) -> int:
    """1 if any target does not conform, else 2 if any check could not be made, else 0."""
    found = {one.exit_status for one in matrix}
    return 1 if 1 in found else max(found, default=2)

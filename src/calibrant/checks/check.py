"""One check: run the properties on a target, and gather the verdicts."""

from __future__ import annotations

from calibrant.book.clauses import book
from calibrant.book.properties import properties
from calibrant.checks.engine import Observer, Plan, run, started
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome, died
from calibrant.checks.verdicts import Result, gathered
from calibrant.protocol.declarations import numpy_dtype
from calibrant.target.loading import probe


def check(spec: str, options: Options, observer: Observer | None = None) -> Result:
    """Hold a target against the book. Raises CheckError, in one sentence, where that is impossible."""
    options = options.validated()
    assert options.workers is not None
    with started(spec) as python:
        described = probe(spec, options.timeout, python)
        dtypes = options.dtypes or tuple(described["dtypes"])
        for dtype in dtypes:
            numpy_dtype(dtype)

        def broken(nodeid: str, operation: str, sentence: str) -> Outcome:
            function, _, bracket = nodeid.rpartition("::")[2].partition("[")
            clause = next(prop.clause for prop in properties() if prop.function == function)
            dtype = next((part for part in bracket.rstrip("]").split("-") if part in dtypes), dtypes[0])
            return died(clause, function, dtype, operation, sentence, described["deviations"].get(clause))

        files = sorted({prop.file for prop in properties() if options.selects(prop.clause)})
        arguments = _arguments(options, dtypes)
        ran = run(Plan(spec, files, options.timeout, options.workers, arguments, broken, python), observer)
    return Result(described, options, gathered(ran.outcomes), ran.unfinished, ran.interrupted)


def _arguments(options: Options, dtypes: tuple[str, ...]) -> list[str]:
    """The options for the plugin."""
    arguments = [
        *(f"--target-dtype={dtype}" for dtype in dtypes),
        f"--target-profile={options.profile}",
        f"--target-seed={options.seed}",
    ]
    if options.examples is not None:
        arguments.append(f"--target-examples={options.examples}")
    if options.chapters or options.clauses:
        arguments += [f"--target-clause={clause}" for clause in book() if options.selects(clause)]
    return arguments

"""The outcome of a check in words, and the lines that close a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from calibrant.book.clauses import book
from calibrant.checks.outcomes import COUNTS
from calibrant.checks.verdicts import Verdict, uncovered
from calibrant.protocol.errors import escaped
from calibrant.reports.findings import COLUMNS, by_clause, counted, counts, told, totals, unserved
from calibrant.reports.telling import failure_lines

if TYPE_CHECKING:
    from calibrant.checks.verdicts import Result

_UNSERVED = 3
"""The most clauses of which a report tells what was not served, without `-v`."""
_UNDECIDED = 6
"""The most undecided clauses whose reasons are told without `-v`."""


def closing_lines(result: Result, verbosity: int = 0) -> list[str]:
    """The lines after the table: deviations, reservations, and the verdict on the target."""
    target, verdicts, clauses = result.target, result.verdicts, told(result)
    name = target["name"] + (f" ({target['version']})" if target["version"] else "")
    lines = [f"{one.name} deviates as declared: {one.reason}" for one in clauses if one.status == "deviates"]
    undecided = by_clause(verdict for verdict in verdicts if verdict.status == "undecided" and verdict.reason)
    shown = len(undecided) if verbosity > 0 else _UNDECIDED
    for one in undecided[:shown]:
        dtypes = ", ".join(verdict.dtype for verdict in one.verdicts)
        lines.append(f"{one.name} is undecided in {dtypes}: {one.reason}.")
    if len(undecided) > shown:
        lines.append(f"Also undecided: {counted(len(undecided) - shown, 'more clause')} (`-v` lists them).")
    for one in clauses:
        if found := sum(verdict.another_arrangement for verdict in one.verdicts):
            lines.append(f"{one.name}: {counted(found, 'number')} needed the second tier, that of another arrangement.")
    if target["slack"] != 1:
        lines.append(f"Every bound was widened {target['slack']:g} times, as the target asks (slack).")
    lines += _unserved(unserved(clauses), verbosity)
    lines += [f"Warning: {warning}." for warning in target.get("warnings", ())]
    lines += [f"PARTIAL: {reason}." for reason in result.partial]
    dtypes = ", ".join(dict.fromkeys(verdict.dtype for verdict in verdicts))
    work = (
        f"{sum(v.examples for v in verdicts):,} examples and {sum(v.judged for v in verdicts):,} judged numbers in {dtypes}, "
        f"arrays of up to {max((v.largest for v in verdicts), default=0):,} numbers, "
        + ("the same in every run" if result.options.profile == "ci" else f"seed {result.options.seed}")
    )
    said = _counted(totals(clauses)) or "nothing ran"
    return [escaped(line, None) for line in (*lines, f"{name} {outcome(result)}: {said} ({work}).")]


def _unserved(rows: Sequence[tuple[int, str, str]], verbosity: int) -> list[str]:
    """How many requests the target did not serve, and of the clauses with most of them, each with the first reason."""
    if not rows:
        return []
    shown = len(rows) if verbosity > 0 else _UNSERVED
    lines = [f"{sum(row[0] for row in rows):,} requests were not served (NotImplementedError) and count for nothing:"]
    lines += [f"  {clause}: {count:,}{f' ({why})' if why else ''}" for count, clause, why in rows[:shown]]
    return lines + [f"  and of {counted(len(rows) - shown, 'more clause')} (`-v`)"] * (len(rows) > shown)


def outcome(result: Result) -> str:
    """The verdict on the target, in words."""
    status, options = result.exit_status, result.options
    strictly = " strictly, where a SHOULD counts" * options.strict
    deviations = f"{result.deviating} declared deviation{'s' * (result.deviating != 1)}"
    undecided = f"{result.undecided} undecided MUST{'s' * (result.undecided != 1)}"
    if status == 1:
        failed = any(verdict.fails(strict=options.strict) for verdict in result.verdicts)
        return f"does not conform{strictly}" + f" with {deviations}, where at most {options.max_deviations} may be" * (
            not failed
        )
    if status == 2:
        if all(verdict.status in ("absent", "undecided") for verdict in result.verdicts):
            return "was not checked: no clause could be decided"
        finished = not result.unfinished and all(verdict.status != "error" for verdict in result.verdicts)
        too_many = f"was left with {undecided}, where at most {options.max_undecided} may be"
        return too_many if finished else "could not be checked to the end"
    exceptions = " and ".join([deviations] * bool(result.deviating) + [undecided] * bool(result.undecided))
    partly = ", as far as it was checked" * bool(result.partial)
    return f"conforms{strictly}" + f" except for {exceptions}" * bool(exceptions) + partly


_WORDS = {
    "holds": ("clause holds", "clauses hold"),
    "breaks": ("breaks", "break"),
    "stale": ("declared but not deviating",) * 2,
    "deviates": ("deviates as declared", "deviate as declared"),
    "error": ("could not be checked",) * 2,
}


def _counted(row: Mapping[str, int]) -> str:
    """'12 clauses hold, 1 breaks'."""
    present = [(status, row[status]) for status in COLUMNS if row[status]]
    return ", ".join(f"{n} {_WORDS.get(status, (status,) * 2)[n > 1]}" for status, n in present)


def summary_lines(verdicts: list[Verdict]) -> list[str]:
    """A line for each chapter, for the end of a pytest run."""
    lines = [f"{chapter}: {_counted(row)}" for chapter, row in counts(by_clause(verdicts)).items()]
    return lines + [line for line in failure_lines(v for v in verdicts if v.status == "stale") if line]


def coverage_lines(verdicts: list[Verdict]) -> list[str]:
    """For each clause, the number of examples and of judged numbers, over all dtypes."""
    lines = ["", f"{'clause':32} {'examples':>9} {'judged':>9} {'unjudged':>9}"]
    for one in by_clause(verdicts):
        numbers = (sum(getattr(verdict, what) for verdict in one.verdicts) for what in COUNTS[:3])
        lines.append(f"{one.name:32} " + " ".join(f"{number:9,}" for number in numbers))
    missing = uncovered(verdicts)
    lines += [f"{name:32} not covered" for name in missing]
    return [*lines, f"{len(book()) - len(missing)} of {len(book())} clauses are covered."]

"""The verdicts for a notebook: a small table of HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from calibrant.checks.verdicts import gravest
from calibrant.protocol.errors import printable
from calibrant.reports.terminal import by_clause, closing_lines, impostor_lines, readable

if TYPE_CHECKING:
    from calibrant.checks.verdicts import Result, Verdict

_LISTED = ("error", "broken", "breaks", "stale")
"""The statuses of clauses that have a row."""


def table(result: Result) -> str:
    """The summary, and a row for each clause that does not hold. Everything that a target says is escaped."""
    rows = [
        f"<tr>{_cell(clause)}{_cell(gravest(of_clause))}{_cell(_dtypes(of_clause))}{_why(of_clause)}</tr>"
        for clause, of_clause in by_clause(result.verdicts).items()
        if gravest(of_clause) in _LISTED
    ]
    head = "".join(f"<th style='text-align:left'>{word}</th>" for word in ("clause", "status", "dtypes", "why"))
    listed = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    summary = "<br>".join(_html(line) for line in closing_lines(result))
    return f"<div><p>{summary}</p>{listed}</div>"


def _why(of_clause: list[Verdict]) -> str:
    """The sentence of a clause, its first failure, and what the target behaves as there."""
    first = next((verdict for verdict in of_clause if verdict.failures), of_clause[0])
    lines = [readable(first.sentence)]
    if first.failures:
        lines += [first.failures[0].text, *impostor_lines(first.failures[0].impostors)]
    elif first.reason:
        lines.append(f"It is declared as a deviation ({first.reason}), but it holds.")
    lines += ["It is a SHOULD: this is a warning."] * (first.level == "SHOULD")
    return f"<td style='text-align:left'>{'<br>'.join(_html(line.strip()) for line in lines)}</td>"


def _dtypes(of_clause: list[Verdict]) -> str:
    return ", ".join(verdict.dtype for verdict in of_clause if verdict.status in _LISTED)


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{_html(text)}</td>"


def _html(text: str) -> str:
    return escape(printable(text)).replace("\n", "<br>")

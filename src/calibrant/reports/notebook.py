"""The verdicts for a notebook: a small table of HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from calibrant.protocol.errors import printable
from calibrant.reports.closing import closing_lines
from calibrant.reports.findings import Told, impostor_lines, told

if TYPE_CHECKING:
    from calibrant.checks.verdicts import Result


def table(result: Result) -> str:
    """The summary, and a row for each clause that does not hold. Everything that a target says is escaped."""
    rows = [
        f"<tr>{_cell(clause.name)}{_cell(clause.status)}{_cell(clause.dtypes)}{_why(clause)}</tr>"
        for clause in told(result)
        if clause.failing
    ]
    head = "".join(f"<th style='text-align:left'>{word}</th>" for word in ("clause", "status", "dtypes", "why"))
    listed = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    summary = "<br>".join(_html(line) for line in closing_lines(result))
    return f"<div><p>{summary}</p>{listed}</div>"


def _why(clause: Told) -> str:
    """The sentence of a clause, its first failure, and what the target behaves as there."""
    lines = [clause.sentence]
    if clause.findings:
        _, (first, *_) = clause.findings[0]
        lines += [first.text, *impostor_lines(first.impostors)]
    elif clause.stale:
        lines.append(clause.stale)
    lines += ["It is a SHOULD: this is a warning."] * (clause.level == "SHOULD")
    return f"<td style='text-align:left'>{'<br>'.join(_html(line.strip()) for line in lines)}</td>"


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{_html(text)}</td>"


def _html(text: str) -> str:
    return escape(printable(text)).replace("\n", "<br>")

"""A matrix of verdicts: clauses by targets, for a person and for a machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibrant import __version__
from calibrant.checks.verdicts import GRAVEST
from calibrant.reports import machine
from calibrant.reports.terminal import by_clause, outcome, overall

if TYPE_CHECKING:
    from rich.console import Console

    from calibrant.checks.matrix import Checked

SIGNS = {
    "holds": ("holds", "green"),
    "breaks": ("BREAKS", "bold red"),
    "broken": ("BROKEN", "bold red"),
    "stale": ("STALE", "bold red"),
    "error": ("ERROR", "bold magenta"),
    "deviates": ("deviates", "yellow"),
    "undecided": ("undecided", ""),
    "absent": ("·", "dim"),
}
"""How a status is shown in a cell."""


def statuses(one: Checked) -> dict[str, str]:
    """The gravest status of each clause over the dtypes; nothing of a target that could not be checked."""
    return {} if one.result is None else {name: overall(of) for name, of in by_clause(one.result.verdicts).items()}


def clauses(matrix: Sequence[Checked]) -> list[str]:
    """The clauses that were checked, in the book's order."""
    return list(dict.fromkeys(clause for one in matrix for clause in statuses(one)))


def show(matrix: Sequence[Checked], console: Console) -> None:
    """Print one table, clauses by targets, how many clauses each holds, and what could not be checked."""
    from rich.table import Table
    from rich.text import Text

    columns = [(one.name, statuses(one)) for one in matrix if one.result is not None]
    if not console.is_terminal:
        console.width = 30 * (2 + len(columns))  # a file has no edge
    if columns:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("clause", no_wrap=True)
        for name, _ in columns:
            table.add_column(name)
        for clause in clauses(matrix):
            cells = [SIGNS[said[clause]] if clause in said else ("", "") for _, said in columns]
            table.add_row(clause, *(Text(*cell) for cell in cells))
        table.add_section()
        for status in GRAVEST:
            totals = [list(said.values()).count(status) for _, said in columns]
            if any(totals):
                table.add_row(Text(status, SIGNS[status][1]), *map(str, totals))
        console.print(table)
        console.print()
    for one in matrix:
        said = f"cannot be checked here: {one.problem}" if one.result is None else outcome(one.result)
        console.print(Text(f"{one.name} {said}."), soft_wrap=True)


def document(matrix: Sequence[Checked]) -> dict[str, Any]:
    """The matrix as plain data: a row for each clause, and the whole document of each target's check."""
    return {
        "format": machine.FORMAT,
        "calibrant": __version__,
        "targets": [
            {
                "spec": one.spec,
                "name": one.name,
                "problem": one.problem,
                "exit_status": one.exit_status,
                "check": one.result and machine.document(one.result),
            }
            for one in matrix
        ],
        "clauses": [
            {"clause": clause, "statuses": [statuses(one).get(clause) for one in matrix]} for clause in clauses(matrix)
        ],
    }


def write(matrix: Sequence[Checked], file: Path) -> None:
    """Write the document. Raises OSError if the file cannot be written."""
    file.write_text(json.dumps(document(matrix), indent=1, allow_nan=False) + "\n", encoding="utf-8")

"""A table of verdicts, clauses by targets, for a person and for a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calibrant.checks.verdicts import GRAVEST, gravest
from calibrant.protocol import VERSION
from calibrant.protocol.errors import escaped
from calibrant.reports import machine
from calibrant.reports.terminal import STYLES, blank, by_clause, outcome, put

if TYPE_CHECKING:
    from rich.console import Console

    from calibrant.checks.check import Checked

COLORS = {**STYLES, "deviates": "yellow", "undecided": "", "absent": "dim"}
SIGNS = {status: status.upper() for status in GRAVEST[:4]}
"""The words for statuses in a cell, where they are others: in capitals where the clause fails."""


def statuses(one: Checked) -> dict[str, str]:
    """The gravest status of each clause over the dtypes; empty for a target that could not be checked."""
    return {} if one.result is None else {name: gravest(of) for name, of in by_clause(one.result.verdicts).items()}


def clauses(matrix: Sequence[Checked]) -> list[str]:
    """The clauses that were checked, in the book's order."""
    return list(dict.fromkeys(clause for one in matrix for clause in statuses(one)))


def show(matrix: Sequence[Checked], console: Console) -> None:
    """Print the table, the number of clauses of each status, and the targets that could not be checked."""
    from rich.table import Table
    from rich.text import Text

    columns = [(one.name, statuses(one)) for one in matrix if one.result is not None]
    if not console.is_terminal:
        console.width = 30 * (2 + len(columns))  # a file has no edge
    if columns:
        signs = SIGNS | {"absent": blank(console)}
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("clause", no_wrap=True)
        for name, _ in columns:
            table.add_column(Text(escaped(name)))
        for clause in clauses(matrix):
            found = [said.get(clause, "") for _, said in columns]
            table.add_row(clause, *(Text(signs.get(status, status), COLORS.get(status, "")) for status in found))
        for status in GRAVEST:
            totals = [list(said.values()).count(status) for _, said in columns]
            if any(totals):
                table.add_row(Text(status, COLORS[status]), *map(str, totals))
        console.print(table)
        console.print()
    for one in matrix:
        said = f"cannot be checked here: {one.problem}" if one.result is None else outcome(one.result)
        put([escaped(f"{one.name} {said}.")], console)


def document(matrix: Sequence[Checked]) -> dict[str, Any]:
    """The matrix as plain data: a row for each clause, and the whole document of each check."""
    return {
        "format": machine.FORMAT,
        "calibrant": VERSION,
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

"""A table of verdicts, clauses by targets, for a person and for a machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calibrant.checks.verdicts import GRAVEST
from calibrant.protocol import VERSION
from calibrant.protocol.errors import escaped
from calibrant.reports import machine
from calibrant.reports.closing import outcome
from calibrant.reports.findings import told
from calibrant.reports.terminal import STYLES, blank, put

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from calibrant.checks.check import Checked

COLORS = {**STYLES, "deviates": "yellow", "undecided": "", "absent": "dim"}


def statuses(one: Checked) -> dict[str, str]:
    """The gravest status of each clause over the dtypes; empty for a target that could not be checked."""
    return {} if one.result is None else {clause.name: clause.status for clause in told(one.result)}


def clauses(matrix: Sequence[Checked]) -> list[str]:
    """The clauses that were checked, in the book's order."""
    return list(dict.fromkeys(clause for one in matrix for clause in statuses(one)))


def show(matrix: Sequence[Checked], console: Console) -> None:
    """Print the table, the number of clauses of each status, and the targets that could not be checked.

    Where the names of the targets leave no room, the columns have numbers. Where all columns have no room, they stand in several tables.
    """
    columns = [(escaped(one.name), _cells(one, console)) for one in matrix if one.result is not None]
    if not console.is_terminal:
        console.width = 10_000  # a file has no edge
    room = console.width - max((len(clause) for clause in clauses(matrix)), default=0)
    widest = max((len(cell.plain) for _, cells in columns for cell in cells.values()), default=0)
    if sum(max(len(name), widest) + _APART for name, _ in columns) > room:
        put([*(f"{k}: {name}" for k, (name, _) in enumerate(columns, start=1)), ""], console)
        columns = [(str(k), cells) for k, (_, cells) in enumerate(columns, start=1)]
    at_once = max(1, room // (max([widest, *(len(name) for name, _ in columns)], default=0) + _APART))
    for first in range(0, len(columns), at_once):
        _put_table(clauses(matrix), columns[first : first + at_once], console)
    for one in matrix:
        said = f"cannot be checked here: {one.problem}" if one.result is None else outcome(one.result)
        put([escaped(f"{one.name} {said}.")], console)


_APART = 2
"""The spaces between two columns."""


def _cells(one: Checked, console: Console) -> dict[str, Text]:
    """The status of each clause: in capitals where it makes the target nonconforming."""
    from rich.text import Text

    assert one.result is not None
    cells = {}
    for clause in told(one.result):
        status, warning = clause.status, clause.failing and not clause.fails
        sign = blank(console) if status == "absent" else status.upper() if clause.fails else status
        cells[clause.name] = Text(sign, "yellow" if warning else COLORS.get(status, ""))
    return cells


def _put_table(rows: Sequence[str], columns: Sequence[tuple[str, dict[str, Text]]], console: Console) -> None:
    """Print some columns of the table, and the number of cells of each status."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _APART, 0, 0))
    table.add_column("clause", no_wrap=True)
    for name, _ in columns:
        table.add_column(Text(name), no_wrap=True)
    for clause in rows:
        table.add_row(clause, *(cells.get(clause, Text("")) for _, cells in columns))
    signs = {blank(console): "absent"}
    counts = [Counter(signs.get(cell.plain, cell.plain.lower()) for cell in cells.values()) for _, cells in columns]
    for status in GRAVEST:
        if any(count[status] for count in counts):
            table.add_row(Text(status, COLORS[status]), *(str(count[status]) for count in counts))
    console.print(table)
    console.print()


def document(matrix: Sequence[Checked]) -> dict[str, Any]:
    """The matrix as plain data: a row for each clause, and the whole document of each check."""
    columns = [statuses(one) for one in matrix]
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
            {"clause": clause, "statuses": [column.get(clause) for column in columns]} for clause in clauses(matrix)
        ],
    }

"""Print tables of figures, and progress while they are measured."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def progress(text: str, last: bool = False) -> None:
    """Report progress on stderr, in one line where that is a terminal."""
    terminal = sys.stderr.isatty()
    print(f"\r{text}" if terminal else text, end="\n" if last or not terminal else "", file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows as columns of equal width, without lists."""
    columns = [name for name, value in rows[0].items() if not isinstance(value, list)]
    cells = [
        columns,
        *([f"{x:.3g}" if isinstance(x := row[name], float) else str(x) for name in columns] for row in rows),
    ]
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ([row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in cells)
    return "\n".join(map("  ".join, lines))

"""What the measurements print: tables, and how far they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def progress(text: str, last: bool = False) -> None:
    """Say on stderr how far it is; in one line, where that is a terminal."""
    end = "\n" if last or not sys.stderr.isatty() else ""
    print(f"\r{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their widest cell, numbers to the right."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )

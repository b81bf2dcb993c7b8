"""The verdicts for a person at a terminal."""

from __future__ import annotations

import contextlib
import io
import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from calibrant.checks.verdicts import Verdict
from calibrant.protocol.errors import printable
from calibrant.reports.closing import closing_lines
from calibrant.reports.findings import COLUMNS, Told, counts, told, totals
from calibrant.reports.telling import Telling, grouped, wrapped, wrapped_command
from calibrant.target.loading import OBJECT

if TYPE_CHECKING:
    from rich.console import Console

    from calibrant.checks.verdicts import Result

STYLES = {"holds": "green", "breaks": "bold red", "broken": "bold red", "stale": "bold red", "error": "bold magenta"}


def text(result: Result, *, width: int = 120, color: bool = False, verbosity: int = 0) -> str:
    """The whole report on a result, as `calibrant check` prints it; its verbosity is 1 for -v and -1 for -q."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False
    )
    show(result, console, verbosity)
    return file.getvalue()


def show(result: Result, console: Console, verbosity: int = 0) -> None:
    """Print the failing clauses with their reasons, the table of the chapters, and a summary."""
    Report(console, verbosity, strict=result.options.strict).end(result)


class Report:
    """A report that prints a clause as soon as its verdicts are final, in any order, and in the end all that is left."""

    def __init__(self, console: Console, verbosity: int = 0, *, strict: bool = False) -> None:
        self._console = console
        self._verbosity = verbosity
        self._strict = strict
        self._telling = Telling(console.width, verbosity)
        self._begun = False

    def tell(self, of_clause: list[Verdict]) -> None:
        """Print a clause in its final form, if it does not hold; it is not printed again."""
        self._put(Told(of_clause, self._strict))

    def _put(self, clause: Told) -> None:
        heading, body = self._telling.of(clause)
        with _uninterrupted():
            if body and self._begun:
                put([""], self._console)
            put(heading, self._console, STYLES.get(clause.status, ""))
            put(body, self._console)
        self._begun = self._begun or bool(heading)

    def end(self, result: Result) -> None:
        """Print the failing clauses that are not printed yet, what repeats their examples, the table of the chapters, a summary."""
        for clause in grouped(told(result)):
            self._put(clause)
        closing = closing_lines(result, self._verbosity)
        if self._verbosity < 0:
            put([*(line for line in closing[:-1] if line.startswith("PARTIAL")), closing[-1]], self._console)
            return
        if self._begun:
            put(["", *self._telling.snippets()], self._console)
        _put_chapters(result, self._console)
        closing = [*self._telling.explained(), *closing]
        for line in closing:
            put(wrapped(line, self._console.width), self._console)
        spec = result.target["spec"]
        if not spec.startswith(OBJECT):  # which no command can name
            put_command(result.options.command(spec), self._console)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended: what is half printed would be lost, or printed twice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[FrameType | None] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received and callable(before):
            before(signal.SIGINT, received[0])


def _put_chapters(result: Result, console: Console) -> None:
    """Print the number of clauses of each status, a row for each chapter."""
    from rich.table import Table

    clauses = told(result)
    total = totals(clauses)
    shown = [column for column in COLUMNS if column == "holds" or total[column]]
    none = blank(console)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column("chapter")
    for column in shown:
        drawn.add_column(column, justify="right", style=STYLES.get(column, ""))
    for chapter, row in {**counts(clauses), "all": total}.items():
        drawn.add_row(chapter, *(str(row[column] or none) for column in shown))
    console.print(drawn)
    console.print()


def put_command(command: str, console: Console) -> None:
    """Print the command that repeats a run."""
    put(wrapped_command(f"To repeat this run: {command}", console.width), console)


def blank(console: Console) -> str:
    """The sign for nothing in a table: one that every terminal shows, where it does not show all of Unicode."""
    return "·" if console.encoding.startswith("utf") else "-"


def put(texts: Iterable[str], console: Console, style: str = "") -> None:
    """Print texts as they are: nothing in them is markup, or moves the cursor."""
    from rich.text import Text

    for one in texts:
        console.print(Text(printable(one), style), soft_wrap=True)

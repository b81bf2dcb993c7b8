"""The terminal that a command prints on, and its progress bar."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from calibrant.protocol.errors import CheckError, escaped

if TYPE_CHECKING:
    from rich.console import Console

    from calibrant.checks.engine import Observer
    from calibrant.checks.outcomes import Outcome


def screen(files: Sequence[Path | None] = (), no_color: bool = False) -> Console:
    """The console of a report: standard output, unless one of these files is that. Raises CheckError if several are."""
    from rich.console import Console

    taken = [str(file) for file in files].count("-")
    if taken > 1:
        raise CheckError("only one report can go to standard output: `-` is the file of several options")
    file = sys.stderr if taken else sys.stdout
    edge = None if file.isatty() or "COLUMNS" in os.environ else 120
    return Console(file=file, width=edge, highlight=False, no_color=no_color or None)


@contextlib.contextmanager
def bar(console: Console, description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar at a terminal, and yield the function that updates it.

    The console writes to the file that it was made with: the engine redirects standard output while pytest runs.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    width = max(8, min(40, console.width - 52))  # room for the ^C that a terminal adds to the line
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(width),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown, redirect_stdout=False) as progress:
        yield partial(progress.update, progress.add_task(description, total=total))


@contextlib.contextmanager
def progress_of_check(console: Console) -> Iterator[Observer]:
    """Show a progress bar, and yield the observer of a check that updates it."""
    failed: set[str] = set()
    with bar(console, "loading the target") as update:

        def observe(ids: Collection[str], outcome: Outcome | None) -> None:
            if outcome and outcome.status in ("breaks", "broken", "error") and not outcome.deviation:
                failed.add(outcome.clause)
            said = f"{len(failed)} clause{'s' * (len(failed) > 1)} failed"
            description = f"checking, {said}" if failed else "checking"
            update(total=len(ids), advance=outcome is not None, description=description)

        yield observe


def checking(spec: str) -> str:
    """The description of a bar while a target is checked."""
    return f"checking {escaped(spec, 80)}"

"""The reports that `check` and `matrix` write into files: each option with its writer, a function from checks to text."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from calibrant.checks.check import Checked
from calibrant.reports import annotations, exchange, markdown
from calibrant.reports.files import put


def _html(checks: Sequence[Checked]) -> str:
    """The page. Jinja2 is loaded only here."""
    from calibrant.reports import page

    return page.text(checks)


WRITERS: Mapping[str, Callable[[Sequence[Checked]], str]] = {
    "html": _html,
    "markdown": markdown.text,
    "junit_xml": exchange.junit,
    "shield": exchange.shield,
}
"""The writer of each option that names a file. A check is written like a matrix of one target."""


def write(checks: Sequence[Checked], files: Mapping[str, Path | None], console: IO[str] | None = None) -> None:
    """Write each report into the file that was named for it, if one was, and annotations to a console, if there is one.

    Raises CheckError, in one sentence, if a file cannot be written.
    """
    for option, file in files.items():
        if file is not None:
            put(WRITERS[option](checks), file)
    if console is not None:
        console.write(annotations.text(checks))

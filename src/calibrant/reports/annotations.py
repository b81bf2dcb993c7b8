"""Annotations of GitHub's workflows, a line each: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calibrant.protocol.errors import printable
from calibrant.reports.closing import outcome
from calibrant.reports.findings import Told, counted, told, without_indent

if TYPE_CHECKING:
    from calibrant.checks.check import Checked

_MOST = 9
"""The most annotations of one kind that GitHub shows of a step, less one for those that are left out."""
_LONGEST = 2000


def text(checks: Sequence[Checked]) -> str:
    """An error for each clause that fails, a warning for each SHOULD, and a notice with the outcome."""
    return "".join(line + "\n" for one in checks for line in _lines(one))


def _lines(one: Checked) -> Iterator[str]:
    if one.result is None:
        yield _annotation("error", f"{one.name} cannot be checked here", one.problem or "")
        return
    target, clauses = one.result.target, told(one.result)
    file = _file(str(target["spec"]))
    for kind, failing in (
        ("error", [clause for clause in clauses if clause.failing and clause.fails]),
        ("warning", [clause for clause in clauses if clause.failing and not clause.fails]),
    ):
        for clause in failing[:_MOST]:
            yield _annotation(kind, f"{clause.name} {clause.status} in {clause.dtypes}", _message(clause), file)
        if failing[_MOST:]:
            names = ", ".join(clause.name for clause in failing[_MOST:])
            yield _annotation(kind, f"{counted(len(failing) - _MOST, 'more clause')} not told here", names, file)
    yield _annotation("notice", "calibrant", f"{target['name']} {outcome(one.result)}", file)


def _message(clause: Told) -> str:
    parts = [clause.sentence, clause.stale] if clause.stale else [clause.sentence]
    for _, several in clause.findings[:1]:
        first = several[0]
        parts.append(without_indent(first.text))
        parts += [f"{one['operation']} behaves as {one['name']}: {one['sentence']}." for one in first.impostors]
    return "\n".join(parts)


def _file(spec: str) -> str | None:
    """The file of a target, if it is one below this folder: GitHub shows an annotation beside it."""
    path = Path(spec.partition(":")[0])
    if path.suffix != ".py" or not path.is_file():
        return None
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return None


def _annotation(kind: str, title: str, message: str, file: str | None = None) -> str:
    """One workflow command. GitHub reads these escapes, and no others."""
    where = f"file={_property(file)}," if file else ""
    return f"::{kind} {where}title={_property(title)}::{_data(message)}"


def _data(said: str) -> str:
    shown = printable(said)
    shown = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(said: str) -> str:
    return _data(said).replace(":", "%3A").replace(",", "%2C")

"""The verdicts as Markdown, for a pull request or the summary of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from calibrant.checks.outcomes import Finding
from calibrant.checks.verdicts import GRAVEST
from calibrant.protocol.errors import escaped, printable
from calibrant.reports.closing import closing_lines, outcome
from calibrant.reports.findings import Told, place, told, totals, without_indent

if TYPE_CHECKING:
    from calibrant.checks.check import Checked
    from calibrant.checks.verdicts import Result

_MOST = 20
"""The most clauses that are told with their failure: a comment on GitHub holds 65,536 characters."""
_LONGEST = 1500
"""The most characters of one text or snippet."""
SIGNS = {
    "holds": "✅",
    "breaks": "❌",
    "broken": "❌",
    "stale": "❌",
    "error": "⚠️",
    "deviates": "📝",
    "undecided": "❔",
    "absent": "➖",
}


def text(checks: Sequence[Checked]) -> str:
    """A heading with the outcome, a table, each failing clause to unfold, and the lines that close a report. Several targets stand side by side first."""
    lines: list[str] = []
    if len(checks) > 1:
        lines += [*_matrix(checks), ""]
    for one in checks:
        if one.result is None:
            lines += [f"## {_plain(one.name)} cannot be checked here", "", _plain(one.problem or ""), ""]
        else:
            lines += _check(one.result)
    return "\n".join(lines).rstrip() + "\n"


def _check(result: Result) -> Iterator[str]:
    clauses = told(result)
    version = f" {_plain(result.target['version'])}" if result.target.get("version") else ""
    yield f"## {_plain(result.target['name'])}{version} {outcome(result)}"
    yield ""
    found = totals(clauses)
    yield ", ".join(f"{SIGNS[status]} {count} {status}" for status, count in found.items())
    yield ""
    yield f"| chapter | {' | '.join(found)} |"
    yield f"| --- |{' ---: |' * len(found)}"
    for chapter in dict.fromkeys(clause.chapter for clause in clauses):
        of_chapter = totals([clause for clause in clauses if clause.chapter == chapter])
        yield f"| {chapter} | {' | '.join(str(of_chapter[status] or '') for status in found)} |"
    yield ""
    failing = sorted((clause for clause in clauses if clause.failing), key=lambda clause: not clause.fails)
    for clause in failing[:_MOST]:
        yield from _failure(clause)
    if failing[_MOST:]:
        yield f"And {len(failing) - _MOST} more: {', '.join(f'`{clause.name}`' for clause in failing[_MOST:])}."
        yield ""
    for line in closing_lines(result):
        yield f"{'  ' * line.startswith(' ')}- {_plain(line.strip())}"
    yield ""


def _failure(clause: Told) -> Iterator[str]:
    """A failing clause: its name and sentence, and to unfold, its example, its impostor and the lines that show it."""
    warning = " (SHOULD: a warning)" if not clause.fails else ""
    yield f"<details><summary>{_sign(clause)} <code>{clause.name}</code> {clause.status} in {clause.dtypes}{warning}</summary>"
    yield ""
    yield _prose(clause.sentence)
    yield ""
    if clause.stale:
        yield _plain(clause.stale)
        yield ""
    for _, several in clause.findings[:1]:
        yield from _finding(several[0])
    yield "</details>"
    yield ""


def _finding(one: Finding) -> Iterator[str]:
    yield _fenced(without_indent(one.text), "text")
    yield ""
    for impostor in one.impostors:
        links = [
            f"[{place(link)}]({link})" for link in impostor["seen"] if re.fullmatch(r"https://[\w./#?=&%-]+", link)
        ]
        seen = f" Seen in {', '.join(links)}." if links else ""
        yield f"{_code(impostor['operation'])} behaves as **{_plain(impostor['name'])}**: {_prose(impostor['sentence'])}.{seen}"
        yield ""
    if one.snippet:
        yield _fenced(one.snippet, "python")
        yield ""


def _matrix(checks: Sequence[Checked]) -> Iterator[str]:
    """Targets by the number of clauses of each status, and the clauses that fail somewhere by targets."""
    found = [[] if one.result is None else told(one.result) for one in checks]
    every = [totals(clauses) for clauses in found]
    statuses = [status for status in GRAVEST if any(of[status] for of in every)]
    yield f"| target | outcome | {' | '.join(statuses)} |"
    yield f"| --- | --- |{' ---: |' * len(statuses)}"
    for one, of in zip(checks, every, strict=True):
        said = "cannot be checked here" if one.result is None else outcome(one.result)
        yield f"| {_plain(one.name)} | {said} | {' | '.join(str(of[status] or '') for status in statuses)} |"
    yield ""
    named = [{clause.name: _cell(clause) for clause in clauses} for clauses in found]
    failing = dict.fromkeys(clause.name for clauses in found for clause in clauses if clause.failing)
    if failing:
        yield f"| clause | {' | '.join(_plain(one.name) for one in checks)} |"
        yield f"| --- |{' --- |' * len(checks)}"
        for name in failing:
            yield f"| `{name}` | {' | '.join(of.get(name, '') for of in named)} |"


def _cell(clause: Told) -> str:
    return f"{_sign(clause)} {clause.status}" + " (SHOULD)" * (clause.level == "SHOULD" and bool(clause.failing))


def _sign(clause: Told) -> str:
    """The sign of a clause: a warning for a SHOULD that is broken."""
    return SIGNS["error" if clause.failing and not clause.fails else clause.status]


def _plain(said: str) -> str:
    """A text in one line in which neither Markdown nor GitHub finds anything: no markup, no mention, no link."""
    text = escaped(said, _LONGEST).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]|~$])|^([-+=])", r"\\\1\2", text)
    return re.sub(r"([@#]|:(?=//)|www(?=\.))", r"\1<!-- -->", text, flags=re.IGNORECASE)


def _code(word: str) -> str:
    return f"`{escaped(word, _LONGEST).replace('`', chr(39))}`"


def _prose(sentence: str) -> str:
    """A sentence whose words in backticks are code."""
    return "".join(_code(part) if k % 2 else _plain(part) for k, part in enumerate(sentence.split("`")))


def _fenced(said: str, language: str) -> str:
    """A block of code; its fence is longer than any in it."""
    said = printable(said)
    said = said if len(said) <= _LONGEST else said[:_LONGEST] + "\n..."
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", said)), default=0))
    return f"{fence}{language}\n{said}\n{fence}"

"""The lines about failing clauses, in a given width."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from calibrant.checks.outcomes import Finding
from calibrant.checks.verdicts import Verdict
from calibrant.reports.findings import Told, by_clause, explanations, impostor_lines, ulps_of

_MOST = 12
"""The most lines of a clause in a report that is not verbose."""
_LONG = 8
"""The most elements of a list that is shown whole, in such a report."""


def failure_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """The lines about every clause that does not hold, with all that is known, none of them wrapped."""
    telling = Telling(width=10**9, verbosity=1)
    return [line for clause in by_clause(verdicts) for part in telling.of(clause) for line in part]


class Telling:
    """The lines about failing clauses, one after the other.

    The first clause that an impostor explains is told at length, each further one in a line, unless the report is verbose.
    """

    def __init__(self, width: int, verbosity: int = 0) -> None:
        self._width = width
        self._verbosity = verbosity
        self._told: dict[str, Told] = {}
        self._snippets: dict[str, str] = {}
        self._defined: set[str] = set()

    def of(self, clause: Told) -> tuple[list[str], list[str]]:
        """The heading and the lines below it, of a clause; none if it holds or was told."""
        if clause.name in self._told or not clause.failing:
            return [], []
        before = {key for one in self._told.values() for key in one.explained_by}
        known = sorted(before & clause.explained_by.keys())
        self._told[clause.name] = clause
        if known and self._verbosity == 0:
            return wrapped(f"{_heading(clause)}   `{known[0][1]}` explains it.", self._width), []
        heading = wrapped(_heading(clause), self._width)
        if self._verbosity < 0:
            return heading, []
        sentence = wrapped(f"  {clause.sentence}", self._width)
        if clause.stale:
            return heading, [*sentence, *wrapped(f"  {clause.stale}", self._width)]
        if self._verbosity > 0:
            return heading, [*sentence, *self._all(clause)]
        return heading, self._short(sentence, clause, _MOST - len(heading))

    def _all(self, clause: Told) -> Iterator[str]:
        """Every failure in every dtype that is not like one in an earlier dtype."""
        for verdict, failure in _told_apart(clause):
            for line in [
                *failure.text.rstrip().split("\n"),
                *_measure(failure, verdict),
                *impostor_lines(failure.impostors),
            ]:
                yield from wrapped(line, self._width)
            if failure.snippet:
                yield "  To see it:"
                yield from (f"    {line}" for line in self._fresh(failure.snippet))

    def _short(self, sentence: list[str], clause: Told, most: int) -> list[str]:
        """The smallest example, and one of a dtype that fails otherwise."""
        (verdict, first), *more = _told_apart(clause)
        if first.snippet and first.snippet not in self._snippets.values():
            self._snippets[verdict.clause] = first.snippet
        shown = [first, *(failure for other, failure in more if other is not verdict)][:2]
        width = self._width
        parts = [_Part(sentence, width, usual=2)]
        for failure in shown:
            lines = [
                part for line in failure.text.rstrip().split("\n") for part in wrapped(shortened_lists(line), width)
            ]
            parts.append(_Part(lines, width, usual=5, middle=True))
        parts += [_Part(wrapped(line, width), width) for line in _measure(first, verdict)]
        parts += [_Part(wrapped(line, width), width, usual=2) for line in impostor_lines(first.impostors)[:2]]
        left = 1 + len(more) - len(shown)
        parts.append(_Part([f"  And {left} more (-v)."] * bool(left), width))
        while sum(part.most for part in parts) > most:
            max(parts, key=lambda part: (part.most > 1, part.most - part.usual)).most -= 1
        return [line for part in parts for line in part.cut()]

    def _fresh(self, snippet: str) -> list[str]:
        """The lines of a snippet, without imports and definitions that were shown before."""
        lines = [line for line in snippet.split("\n") if line not in self._defined]
        if not snippet.startswith("printf"):
            self._defined.update(line for line in lines if not line.startswith("print("))
        return [part for line in lines for part in _wrapped_code(line, self._width - 4)]

    def snippets(self) -> list[str]:
        """Lines that repeat the first examples that were shown, with one preamble for all of them, and an empty line."""
        lines, told = list[str](), 0
        for snippet in self._snippets.values():
            fresh = self._fresh(snippet)
            if lines and (len(lines) + len(fresh) > _MOST or snippet.startswith("printf")):
                break
            lines += [f"    {line}" for line in fresh]
            told += 1
        few = (
            "them"
            if told == len(self._snippets)
            else f"the first {told} (-v for all)"
            if told > 1
            else "the first (-v for all)"
        )
        them = "it" if len(self._snippets) == 1 else few
        return [f"To see {them}:", *lines, ""] if lines else []

    def explained(self) -> list[str]:
        """A line for each impostor that explains several clauses."""
        return [
            f"{one['operation']} as `{one['name']}` explains {len(names)} of the {len(self._told)} clauses above."
            for one, names in explanations(self._told.values())
            if len(names) > 1
        ]


_DOTS = " ..."


@dataclass
class _Part:
    """Some lines of a clause, which may be cut to fewer: at their end, or in the middle."""

    lines: list[str]
    width: int
    usual: int = 1
    """The number of lines to which it is cut before other parts are cut to less than theirs."""
    middle: bool = False

    def __post_init__(self) -> None:
        self.most = len(self.lines)

    def cut(self) -> list[str]:
        """The lines, or as many as there may be."""
        if self.most == len(self.lines):
            return self.lines
        after = self.most // 2 if self.middle else 0
        *before, last = self.lines[: self.most - after]
        while len(last) > self.width - len(_DOTS) and " " in last.strip():
            last = last.rpartition(" ")[0]
        return [*before, f"{last}{_DOTS}", *self.lines[len(self.lines) - after :]]


def grouped(clauses: Iterable[Told]) -> list[Told]:
    """The clauses in the book's order, but each that an impostor explains after the first such clause."""
    groups: dict[frozenset[tuple[str, str]], list[Told]] = {}
    for clause in clauses:
        names = frozenset(clause.explained_by) or frozenset({("", clause.name)})
        groups.setdefault(next((group for group in groups if group & names), names), []).append(clause)
    return [clause for group in groups.values() for clause in group]


def _heading(clause: Told) -> str:
    """'loss.mean-square  breaks in float32, float64'."""
    dtypes: dict[str, list[str]] = {}
    for verdict in clause.failing:
        dtypes.setdefault(verdict.status, []).append(verdict.dtype)
    how = ", ".join(f"{status} in {', '.join(several)}" for status, several in dtypes.items())
    should = "" if clause.level == "MUST" or clause.stale else " (SHOULD)" if clause.strict else " (SHOULD: a warning)"
    return f"{clause.name}  {how}{should}"


def _told_apart(clause: Told) -> list[tuple[Verdict, Finding]]:
    """The failures of the first dtype, without repetitions, and of further ones those of other operations or impostors."""
    told, texts, kinds = list[tuple[Verdict, Finding]](), set[str](), set[Any]()
    for verdict in clause.failing:
        of_dtype = set()
        for failure in verdict.failures:
            operation = failure.calls[-1]["operation"] if failure.calls else ""
            kind = (verdict.status, operation, *sorted(one["name"] for one in failure.impostors))
            if failure.text not in texts and kind not in kinds:
                told.append((verdict, failure))
            of_dtype.add(kind)
            texts.add(failure.text)
        kinds |= of_dtype
    return told


def _measure(failure: Finding, verdict: Verdict) -> list[str]:
    """'Error: 2 times its bound, 4 ulps of float32.', where an error was measured."""
    if not isinstance(failure.bounds, (int, float)) or failure.bounds <= 0:
        return []
    ulps = ulps_of(failure)
    in_ulps = "" if ulps is None else f", {ulps:.3g} ulps of {verdict.dtype}"
    return [f"  Error: {failure.bounds:.3g} times its bound{in_ulps}."]


def shortened_lists(said: str) -> str:
    """A text whose long lists are shortened in the middle: [1, 2, 3, ..., 99, 100]."""
    open_lists: list[list[str]] = [[""]]
    for piece in re.split(r"(\[|\]|, )", said):
        if piece == "[":
            open_lists.append([""])
        elif piece == "]" and len(open_lists) > 1:
            items = open_lists.pop()
            items = items if len(items) <= _LONG else [*items[:3], "...", *items[-2:]]
            open_lists[-1][-1] += f"[{', '.join(items)}]"
        elif piece == ", " and len(open_lists) > 1:
            open_lists[-1].append("")
        else:
            open_lists[-1][-1] += piece
    return open_lists[0][0] if len(open_lists) == 1 else said


def wrapped(line: str, width: int) -> list[str]:
    """A line in several of this width, which keep its indentation; no word is broken."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _wrapped_code(line: str, width: int) -> list[str]:
    """A line of Python in several that mean the same, all but the first indented; one without a call stays whole."""
    if len(line) <= width or not re.match(r"(print|target = [\w.]+)\(", line):
        return [line]
    if line.startswith("target"):
        line = line.replace("(", "( ", 1)
    return [part.rstrip() for part in _wrapped_words(line, width)]


def wrapped_command(line: str, width: int) -> list[str]:
    """A command line in several that a shell takes as one."""
    *first, last = _wrapped_words(line, width - 2)
    return [*(f"{part} \\" for part in first), last]


def _wrapped_words(line: str, width: int) -> list[str]:
    """Code in several lines, all but the first indented; quoted texts stay whole."""
    kept = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace(" ", "\0"), line)
    lines = textwrap.wrap(kept, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [part.replace("\0", " ") for part in lines]

"""The clauses of the book, read from its chapters, and `@clause`, which ties a property to one.

A clause in a chapter is a target line, a heading and its text:

    (loss.mean-square)=
    ### 3.1 The mean of the squares · `loss.mean-square` · MUST

    The loss of predictions ...
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from calibrant.protocol.errors import UnknownName
from calibrant.protocol.text import nearest

CHAPTERS = {
    "data": ("data",),
    "model": ("model",),
    "loss": ("loss",),
    "gradients": ("gradient",),
    "descent": ("descent",),
    "broadcasting": ("broadcast",),
    "autograd": ("autograd",),
    "accumulation": ("accumulation",),
    "optimizers": ("optimizer",),
    "validation": ("split", "validation", "regularization", "early-stopping", "overfitting"),
}
"""The chapters in reading order, each with the first words that its clauses' names may have."""

LEVELS = ("MUST", "SHOULD")

_TARGET = re.compile(r"^\(([^)\s]+)\)=$")
_HEADING = re.compile(r"^### (\d+)\.(\d+) (.+) · `([^`]+)` · ([A-Z]+)$")
_NAME = re.compile(r"^[a-z]+(-[a-z]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+$")


class BookError(Exception):
    """A chapter with a malformed clause."""


@dataclass(frozen=True)
class Clause:
    """One checkable statement of the book."""

    name: str
    chapter: str
    number: str
    title: str
    level: Literal["MUST", "SHOULD"]
    sentence: str
    """The statement itself: the first paragraph below the heading."""
    text: str
    """The whole text below the heading: the statement, its reason, its examples."""


def book_folder() -> Path:
    """The folder of the chapters."""
    return Path(str(resources.files("calibrant.spec")))


@functools.cache
def book() -> dict[str, Clause]:
    """Every clause by its name, in reading order. Raises BookError if a chapter is malformed."""
    clauses: dict[str, Clause] = {}
    for number, chapter in enumerate(CHAPTERS, start=1):
        text = (book_folder() / f"{chapter}.md").read_text(encoding="utf-8")
        for clause in parse(text, chapter, number):
            if clause.name in clauses:
                taken = f"the name {clause.name} is taken by clause {clauses[clause.name].number}"
                raise BookError(f"{chapter}.md: {taken}")
            clauses[clause.name] = clause
    return clauses


def parse(text: str, chapter: str, number: int) -> list[Clause]:
    """The clauses of one chapter. Raises BookError, with the line, if one is malformed or out of order."""
    clauses: list[Clause] = []
    lines = text.splitlines()
    fenced = _fenced(lines)
    starts = [i for i, line in enumerate(lines) if _TARGET.match(line) and i not in fenced]
    for i, line in enumerate(lines):
        if _HEADING.match(line) and i - 1 not in starts and i not in fenced:
            raise BookError(f"{chapter}.md, line {i + 1}: a clause without its target line: {line}")
    for start in starts:
        place = f"{chapter}.md, line {start + 1}"
        target = _TARGET.match(lines[start])
        heading = _HEADING.match(lines[start + 1]) if start + 1 < len(lines) else None
        if target is None or heading is None:
            raise BookError(f"{place}: the line after {lines[start]} is not a clause's heading")
        of_chapter, of_clause, title, name, level = heading.groups()
        expected = f"{number}.{len(clauses) + 1}"
        if target[1] != name:
            raise BookError(f"{place}: the target is {target[1]} but the heading says {name}")
        if f"{of_chapter}.{of_clause}" != expected:
            raise BookError(f"{place}: {name} has the number {of_chapter}.{of_clause}, where {expected} is due")
        if not _NAME.match(name) or name.split(".")[0] not in CHAPTERS.get(chapter, ()):
            raise BookError(f"{place}: {name} is not a name for a clause of the chapter {chapter}")
        if level not in LEVELS:
            raise BookError(f"{place}: {name} has the level {level}, not {' or '.join(LEVELS)}")
        end = start + 2
        while end < len(lines) and end not in starts and (end in fenced or not re.match(r"#{1,2} ", lines[end])):
            end += 1
        body = "\n".join(lines[start + 2 : end]).strip()
        if not body:
            raise BookError(f"{place}: {name} says nothing")
        sentence = " ".join(body.split("\n\n")[0].split())
        clauses.append(Clause(name, chapter, expected, title, level, sentence, body))  # type: ignore[arg-type]  # checked above
    return clauses


def _fenced(lines: list[str]) -> set[int]:
    """The numbers of the lines in code fences."""
    inside, fence = set(), ""
    for i, line in enumerate(lines):
        mark = re.match(r"(`{3,}|~{3,})", line)
        border = mark is not None and (not fence or line.startswith(fence))
        if border or fence:
            inside.add(i)
        if mark is not None and border:
            fence = "" if fence else mark[1]
    return inside


def require(name: str) -> Clause:
    """The clause of a name. Raises UnknownName if there is none."""
    if name not in book():
        raise UnknownName(f"there is no clause {name!r}{nearest(name, book())}")
    return book()[name]

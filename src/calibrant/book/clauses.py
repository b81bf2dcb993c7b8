"""The clauses of the book, read from its chapters, and the properties of the suite, read from their source without an import.

A clause in a chapter is an anchor, a heading and its text:

    <a id="loss.mean-square"></a>
    ### 3.1 The mean of the squares · `loss.mean-square` · MUST

    The loss of predictions ...
"""

import ast
import functools
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from calibrant.protocol.errors import UnknownName, nearest
from calibrant.protocol.operations import FORMULAS, GRADIENT, OPERATIONS, checked_formulas

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
    "training": ("training", "schedule", "clip", "average", "group", "resume", "window", "scale", "minibatch"),
}
"""The chapters in reading order, each with the first words that its clauses' names may have."""

LAYERS = "layers"
"""The chapter on formulas, which belongs to the book only where formulas are checked; and the first word of its clauses' names."""

LEVELS = ("MUST", "SHOULD")

_CLAUSE = re.compile(r"^(?:<a id=\"(\S+)\"></a>$\n?)?(?:### (\d+\.\d+) (.+) · `([^`]+)` · ([A-Z]+)$)?", re.MULTILINE)
"""The anchor and the heading of a clause; empty at any other line."""
_SECTION = re.compile(r"^#{1,2} ", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?(?:^\1|\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"[a-z]+(-[a-z]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+")


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
    """The statement itself: the first paragraph below the heading, without the targets of its links."""
    text: str
    """The whole text below the heading: the statement, its reason, its examples."""


def book_folder() -> Path:
    """The folder of the chapters."""
    return Path(str(resources.files("calibrant.spec")))


def book() -> dict[str, Clause]:
    """Every clause by its name, in reading order, and last those of the formulas that are checked. Raises BookError if a chapter is malformed."""
    return _book(os.environ.get(FORMULAS, ""))


@functools.cache
def _book(formulas: str) -> dict[str, Clause]:
    clauses: dict[str, Clause] = {}
    texts = [
        ((book_folder() / f"{chapter}.md").read_text(encoding="utf-8"), chapter, number)
        for number, chapter in enumerate(CHAPTERS, start=1)
    ]
    if said := checked_formulas():
        from calibrant.formula import chapter as layers

        texts.append((layers.chapter(said["source"], said["shapes"]), LAYERS, layers.NUMBER))
    for text, chapter, number in texts:
        for clause in parse(text, chapter, number):
            if clause.name in clauses:
                taken = f"the name {clause.name} is taken by clause {clauses[clause.name].number}"
                raise BookError(f"{chapter}.md: {taken}")
            clauses[clause.name] = clause
    return clauses


def parse(text: str, chapter: str, number: int) -> list[Clause]:
    """The clauses of one chapter. Raises BookError, with the line, if one is malformed or out of order."""
    clauses: list[Clause] = []
    prose = _FENCE.sub(lambda fence: re.sub(r".", " ", fence[0]), text)
    marks = [mark for mark in _CLAUSE.finditer(prose) if mark[0]]
    for mark, after in itertools.zip_longest(marks, marks[1:]):
        anchor, given, title, name, level = mark.groups()
        expected = f"{number}.{len(clauses) + 1}"
        limit = after.start() if after else len(text)
        section = _SECTION.search(prose, mark.end(), limit)
        body = text[mark.end() : section.start() if section else limit].strip()
        problem = None
        if anchor is None:
            problem = f"a clause without its anchor: {mark[0]}"
        elif name is None:
            problem = f"the line after the anchor {anchor} is not a clause's heading"
        elif anchor != name:
            problem = f"the anchor is {anchor} but the heading says {name}"
        elif given != expected:
            problem = f"{name} has the number {given}, where {expected} is due"
        elif not _NAME.fullmatch(name) or name.split(".")[0] not in CHAPTERS.get(chapter, (LAYERS,)):
            problem = f"{name} is not a name for a clause of the chapter {chapter}"
        elif level not in LEVELS:
            problem = f"{name} has the level {level}, not {' or '.join(LEVELS)}"
        elif not body:
            problem = f"{name} says nothing"
        if problem:
            line = text.count("\n", 0, mark.start()) + 1
            raise BookError(f"{chapter}.md, line {line}: {problem}")
        sentence = unlinked(" ".join(body.split("\n\n")[0].split()))
        clauses.append(Clause(name, chapter, expected, title, level, sentence, body))  # type: ignore[arg-type]  # checked above
    return clauses


def unlinked(text: str) -> str:
    """A text of the book without the targets of its links; of a figure, its description."""
    text = re.sub(r"!\[([^]]*)\]\([^()]*\)", r"(Figure: \1)", text)
    return re.sub(r"\[([^]]+)\]\([^()\s]*(?:\.md|#|://)[^()\s]*\)", r"\1", text)


def require(name: str) -> Clause:
    """The clause of a name. Raises UnknownName if there is none."""
    if name not in book():
        raise UnknownName(f"there is no clause {name!r}{nearest(name, book())}")
    return book()[name]


@dataclass(frozen=True)
class Property:
    """The test of a clause."""

    clause: str
    function: str
    file: Path
    source: str
    operations: frozenset[str]
    """The operations that it may call. It is absent on a target that provides none of them."""


def conformance_folder() -> Path:
    """The folder of the properties."""
    return Path(str(resources.files("calibrant.conformance")))


def properties() -> tuple[Property, ...]:
    """Every property of the suite, in the order of the files, and last those of the formulas that are checked."""
    return _properties(os.environ.get(FORMULAS, ""))


@functools.cache
def _properties(formulas: str) -> tuple[Property, ...]:
    found = []
    for file in sorted(conformance_folder().glob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        body, lines = ast.parse(text).body, text.splitlines()
        operations = _operations([*_imported(body), *body])
        for node in body:
            if isinstance(node, ast.FunctionDef):
                calls = [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
                clauses = [
                    str(ast.literal_eval(call.args[0])) for call in calls if getattr(call.func, "id", "") == "clause"
                ]
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                source = "\n".join(lines[first - 1 : node.end_lineno])
                found += [Property(clause, node.name, file, source, operations[node.name]) for clause in clauses]
    return (*found, *_of_formulas())


VALUE, OF_GRADIENT = "test_value_of_", "test_gradient_of_"
"""The beginnings of the names of the two properties of a formula."""


def _of_formulas() -> Iterator[Property]:
    """The properties of the formulas that are checked."""
    if said := checked_formulas():
        from calibrant.formula.declaring import formulas_of

        file = conformance_folder() / "formulas.py"
        text = file.read_text(encoding="utf-8")
        for name, one in formulas_of(said["source"], said["shapes"]).items():
            yield Property(one.clause, VALUE + name, file, text, frozenset({name}))
            yield Property(f"{one.clause}.gradient", OF_GRADIENT + name, file, text, frozenset({name + GRADIENT}))


def _imported(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The definitions of the modules of the suite from which a module imports."""
    for node in body:
        package, _, module = (getattr(node, "module", None) or "").rpartition(".")
        if package == "calibrant.conformance":
            yield from ast.parse((conformance_folder() / f"{module}.py").read_text(encoding="utf-8")).body


def _operations(body: list[ast.stmt]) -> dict[str, frozenset[str]]:
    """For each name that a module defines, the operations that stand in its definition, or in one that it leads to.

    An operation stands there as a text or as an attribute of anything but the exact operations.
    """
    words: dict[str, set[str]] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        else:
            names = [
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            ]
        for part in ast.walk(node):
            word = getattr(part, "id", getattr(part, "attr", getattr(part, "value", None)))
            of_exact = isinstance(part, ast.Attribute) and getattr(part.value, "id", "") == "exact"
            if isinstance(word, str) and not of_exact:
                for name in names:
                    words.setdefault(name, set()).add(word)
    found = {}
    for name in words:
        reached, left = {name}, [name]
        while left:
            new = words.get(left.pop(), set()) - reached
            reached |= new
            left += new
        found[name] = frozenset((reached - {name}) & OPERATIONS.keys())
    return found

"""The properties of the suite, read from their source without an import."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from calibrant.book.clauses import book


@dataclass(frozen=True)
class Property:
    """The test of a clause."""

    clause: str
    function: str
    file: Path
    source: str


def conformance_folder() -> Path:
    """The folder of the properties."""
    return Path(str(resources.files("calibrant.conformance")))


def _tests() -> Iterator[tuple[Path, str, ast.FunctionDef, list[str]]]:
    """The tests in order: the file, its text, the function, and the clauses that its decorators name."""
    for file in sorted(conformance_folder().glob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                calls = [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
                marks = [call for call in calls if getattr(call.func, "id", "") == "clause"]
                yield file, text, node, [str(ast.literal_eval(mark.args[0])) for mark in marks]


@functools.cache
def properties() -> tuple[Property, ...]:
    """Every property of the suite, in the order of the files."""
    found = []
    for file, text, node, clauses in _tests():
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        found += [Property(clause, node.name, file, source) for clause in clauses]
    return tuple(found)


def loose_ends() -> list[str]:
    """The clauses without a property and the properties without exactly one clause of the book, in words."""
    tied = {prop.clause for prop in properties()}
    return [
        *(f"{name}: no property checks it" for name in book() if name not in tied),
        *(f"{one.function}: there is no clause {one.clause}" for one in properties() if one.clause not in book()),
        *(
            f"{node.name} in {file.name}: names {len(clauses)} clauses, not one"
            for file, _, node, clauses in _tests()
            if len(clauses) != 1
        ),
    ]

"""The properties of the suite, read from their source without importing them."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from calibrant.book.clauses import book


@dataclass(frozen=True)
class Property:
    """A test that a clause is held to."""

    clause: str
    function: str
    file: Path
    source: str


def conformance_folder() -> Path:
    """Where the properties are."""
    return Path(str(resources.files("calibrant.conformance")))


@functools.cache
def properties() -> tuple[Property, ...]:
    """Every property of the suite, read from its source without importing it, in the order of the files."""
    found = []
    for file in sorted(conformance_folder().glob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
            found += [Property(name, node.name, file, source) for name in _clauses_of(node)]
    return tuple(found)


def _clauses_of(node: ast.FunctionDef) -> list[str]:
    return [
        str(ast.literal_eval(decorator.args[0]))
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "clause"
    ]


def loose_ends() -> list[str]:
    """What is wrong between the book and its properties: clauses without one, properties without a clause. Empty is good."""
    tied = {prop.clause for prop in properties()}
    problems = [f"{name}: no property checks it" for name in book() if name not in tied]
    problems += [
        f"{prop.function}: there is no clause {prop.clause}" for prop in properties() if prop.clause not in book()
    ]
    for file in sorted(conformance_folder().glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(_clauses_of(node)) != 1:
                problems.append(f"{node.name} in {file.name}: names {len(_clauses_of(node))} clauses, not one")
    return problems

"""The properties of the suite, read from their source without an import."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


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


@functools.cache
def properties() -> tuple[Property, ...]:
    """Every property of the suite, in the order of the files."""
    found = []
    for file in sorted(conformance_folder().glob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                calls = [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
                clauses = [str(ast.literal_eval(call.args[0])) for call in calls if ast.unparse(call.func) == "clause"]
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
                found += [Property(clause, node.name, file, source) for clause in clauses]
    return tuple(found)

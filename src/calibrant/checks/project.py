"""The defaults of a project: the table [tool.calibrant] of its pyproject.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from calibrant.checks.options import OPTIONS
from calibrant.protocol.errors import CheckError, brief, nearest
from calibrant.target.loading import PROGRAM, located

FILE = "pyproject.toml"
TABLE = b"tool.calibrant"
"""What stands in a file that has the table."""

_TEXT, _WHOLE, _NUMBER, _LIST = "a text", "a whole number", "a number", "a list of texts"
KEYS = {
    "target": _TEXT,
    "program": _TEXT,
    "profile": _TEXT,
    "examples": _WHOLE,
    "timeout": _NUMBER,
    "deviations": _TEXT,
    "chapters": _LIST,
    "clauses": _LIST,
    "dtypes": _LIST,
}
"""The keys of the table, each with the kind of its value."""

NAMES = {"target": "target", "program": "target"}
NAMES |= {OPTIONS[key].removeprefix("--"): key for key in KEYS if key in OPTIONS}
"""The parameters of the command, each with the option of a check that it gives."""


def defaults(folder: Path) -> dict[str, Any]:
    """The values of the table, by the names of a check's options; none where there is no such table.

    A target that is a file, and the file of deviations, lie relative to the folder. Raises CheckError, in one sentence, for a key or a value that cannot be.
    """
    file = folder / FILE
    if not file.is_file() or TABLE not in (text := file.read_bytes()):
        return {}
    try:
        table = tomllib.loads(text.decode()).get("tool", {}).get("calibrant", {})
    except ValueError as error:  # TOML's and Unicode's are such
        raise CheckError(f"{file} cannot be read: {error}") from None
    for key, value in table.items():
        if key not in KEYS:
            raise CheckError(f"{file}: [tool.calibrant] has no key {key!r}{nearest(key, KEYS)}")
        if not _is(value, KEYS[key]):
            raise CheckError(f"{file}: {key} of [tool.calibrant] is {brief(value)}, which is not {KEYS[key]}")
    found: dict[str, Any] = {key: tuple(value) if KEYS[key] == _LIST else value for key, value in table.items()}
    if "deviations" in found:
        found["deviations"] = os.path.relpath(folder / found["deviations"])
    if {"target", "program"} <= found.keys():
        raise CheckError(f"{file}: [tool.calibrant] has a target and a program: only one of them can be checked")
    if "program" in found:
        return found | {"target": PROGRAM + found.pop("program")}
    if "target" in found and located(found["target"])[0].endswith(".py"):
        found["target"] = os.path.relpath(folder / found["target"])
    return found


def _is(value: Any, kind: str) -> bool:
    types: dict[str, Any] = {_TEXT: str, _WHOLE: int, _NUMBER: (int, float), _LIST: list}
    if isinstance(value, bool) or not isinstance(value, types[kind]):
        return False
    return kind != _LIST or all(isinstance(part, str) for part in value)


def under(found: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The defaults of options that were not given. Chapters and clauses are one choice."""
    choice = {"chapters", "clauses"}
    taken = {*given} | (choice if choice & {*given} else set())
    return {key: value for key, value in found.items() if key not in taken}

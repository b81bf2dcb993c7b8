"""A folder of vectors: a file for each chapter, a schema, and a page that says how to judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from calibrant import __version__
from calibrant.book.clauses import CHAPTERS, book
from calibrant.impostors import catalog
from calibrant.impostors.correct import PYTORCH
from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.text import nearest
from calibrant.vectors.cases import DTYPES, Case
from calibrant.vectors.numbers import REFUSED

FORMAT = 1
"""The format of the files; a change that readers must know has the next number."""

BESIDE = ("schema.json", "README.md")
"""The files beside those of the chapters."""


class VectorsError(CheckError):
    """A folder that cannot be written or replayed, in one sentence."""


def write(cases: Sequence[Case], folder: Path) -> int:
    """Write a folder of vectors, over one that is there, and return its bytes. Raises VectorsError if that fails."""
    size = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for chapter in CHAPTERS:
            text = document(chapter, [case for case in cases if case.chapter == chapter])
            size += (folder / f"{chapter}.json").write_bytes(text.encode("ascii"))
        for name in BESIDE:
            size += (folder / name).write_bytes(resources.files("calibrant.vectors").joinpath(name).read_bytes())
    except OSError as error:
        raise VectorsError(f"{folder} cannot be written: {error.strerror or error}") from None
    return size


def document(chapter: str, cases: Sequence[Case]) -> str:
    """Write the file of a chapter, a case a line."""
    written = [case.written() for case in cases]
    head = {"calibrant": __version__, "format": FORMAT, "chapter": chapter}
    if chapter == "optimizers":
        head["conventions"] = PYTORCH
    head |= {"sha256": _digest(written), "notes": _notes(cases)}
    lines = ",\n".join(json.dumps(case) for case in written)
    return f'{json.dumps(head, indent=1)[:-2]},\n "cases": [\n{lines}\n ]\n}}\n'


def _digest(cases: Any) -> str:
    return hashlib.sha256(json.dumps(cases, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _notes(cases: Sequence[Case]) -> dict[str, dict[str, Any]]:
    """Describe the impostors that the flags name."""
    named = {(case.operation, flag) for case in cases for flag in case.flags}
    notes: dict[str, dict[str, Any]] = {}
    for one in (one for one in catalog() if (one.operation, one.name) in named):
        about = {"sentence": one.sentence, "kind": one.kind, "links": one.links}
        notes.setdefault(one.operation, {})[one.name] = about
    return notes


def read(folder: Path) -> dict[str, list[Case]]:
    """Read the cases of each file in a folder. Raises VectorsError for a folder that has changed since it was written."""
    if not folder.is_dir():
        raise VectorsError(f"there is no folder {folder}")
    missing = [f"{chapter}.json" for chapter in CHAPTERS if not (folder / f"{chapter}.json").is_file()]
    if missing:
        raise VectorsError(f"{folder} is no whole folder of vectors: {', '.join(missing)} is missing")
    return {f"{chapter}.json": _read(folder / f"{chapter}.json") for chapter in CHAPTERS}


def _read(file: Path) -> list[Case]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise VectorsError(f"{file} is not JSON, or not all of it is there: {' '.join(str(error).split())}") from None
    if not isinstance(held, dict) or "format" not in held:
        raise VectorsError(f"{file} is no file of vectors: it names no format")
    if held["format"] != FORMAT:
        raise VectorsError(f"{file} is of format {str(held['format'])[:20]}: this calibrant reads format {FORMAT}")
    cases = held.get("cases")
    if not isinstance(cases, list) or not cases:
        raise VectorsError(f"{file} holds no cases")
    if held.get("sha256") != _digest(cases):
        raise VectorsError(f"{file} has been edited: its cases do not match its sha256")
    return [_case(file, number, written) for number, written in enumerate(cases, start=1)]


def _case(file: Path, number: int, written: Any) -> Case:
    """Read a case, and require that it can be asked and judged."""
    try:
        expected = REFUSED if written.get("error") is True else written["expected"]
        call, flags = (str(written["operation"]), written["dtype"] or ""), [*map(str, written["flags"])]
        case = Case(*call, str(written["clause"]), dict(written["inputs"]), expected, flags)
        for kind, name, known in (
            ("operation", case.operation, list(OPERATIONS)),
            ("dtype", case.dtype, ["", *DTYPES]),
            ("clause", case.clause, list(book())),
        ):
            if name not in known:
                raise ValueError(f"there is no {kind} {name!r}{nearest(name, known)}")
        if list(case.inputs) != list(OPERATIONS[case.operation].named(tuple(case.inputs))):
            raise ValueError(f"its inputs are {', '.join(case.inputs)}")
        case.require()
        if case.id != written["id"]:
            raise ValueError(f"its id is {str(written['id'])[:80]!r}, not {case.id}")
    except KeyError as error:
        raise VectorsError(f"{file}, case {number} cannot be read: it has no {error}") from None
    except (AttributeError, TypeError, ValueError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise VectorsError(f"{file}, case {number} cannot be read: {error}") from None
    return case

"""A folder of vectors: a file for each chapter, a schema, and a page that says how to judge."""

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from calibrant.book.clauses import CHAPTERS, book
from calibrant.impostors import catalog
from calibrant.impostors.correct import PYTORCH
from calibrant.protocol import VERSION
from calibrant.protocol.errors import CheckError, NoAnswer, brief, nearest
from calibrant.protocol.operations import OPERATIONS
from calibrant.vectors.cases import DTYPES, REFUSED, Case, require_claim

FORMAT = 1
"""The format of the files; a change that readers must know has the next number."""


def released(name: str) -> Any:
    """A file of the folder that was computed for this version of calibrant, and lies in its package."""
    return resources.files("calibrant.vectors").joinpath("released", name)


def write(cases: Sequence[Case] | None, folder: Path, chapters: Sequence[str] = tuple(CHAPTERS)) -> int:
    """Write a folder of vectors, over one that is there, and return its bytes: these cases, or the released ones.

    Raises CheckError if that fails.
    """
    files = {name: released(name).read_bytes() for name in ("schema.json", "README.md")}
    for chapter in chapters:
        if cases is None:
            files[f"{chapter}.json"] = released(f"{chapter}.json").read_bytes()
        else:
            files[f"{chapter}.json"] = document(chapter, [case for case in cases if case.chapter == chapter]).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return sum((folder / name).write_bytes(content) for name, content in files.items())
    except OSError as error:
        raise CheckError(f"{folder} cannot be written: {error.strerror or error}") from None


def document(chapter: str, cases: Sequence[Case]) -> str:
    """Write the file of a chapter, a case a line, with notes on the impostors that the flags name."""
    written = [case.written() for case in cases]
    named = {(case.operation, flag) for case in cases for flag in case.flags}
    notes: dict[str, dict[str, Any]] = {}
    for one in catalog():
        if (one.operation, one.name) in named:
            about = {"sentence": one.sentence, "kind": one.kind, "links": one.links}
            notes.setdefault(one.operation, {})[one.name] = about
    meant = {"conventions": PYTORCH} if chapter == "optimizers" else {}
    head = {"calibrant": VERSION, "format": FORMAT, "chapter": chapter, **meant}
    head |= {"sha256": digest(written), "notes": notes}
    lines = ",\n".join(json.dumps(case) for case in written)
    return f'{json.dumps(head, indent=1)[:-2]},\n "cases": [\n{lines}\n ]\n}}\n'


def digest(cases: Any) -> str:
    """The SHA-256 of a file's cases."""
    return hashlib.sha256(json.dumps(cases, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(folder: Path, chapters: Sequence[str] = tuple(CHAPTERS)) -> list[Case]:
    """Read the cases of these chapters in a folder. Raises CheckError for a folder that has changed since it was written."""
    if not folder.is_dir():
        raise CheckError(f"there is no folder {folder}")
    files = [folder / f"{chapter}.json" for chapter in chapters]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckError(f"{folder} is no whole folder of vectors: {', '.join(missing)} is missing")
    return [case for file in files for case in _read(file)]


def _read(file: Path) -> list[Case]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckError(f"{file} is not JSON, or not all of it is there: {' '.join(str(error).split())}") from None
    if not isinstance(held, dict) or "format" not in held:
        raise CheckError(f"{file} is no file of vectors: it names no format")
    if held["format"] != FORMAT:
        raise CheckError(f"{file} is of format {str(held['format'])[:20]}: this calibrant reads format {FORMAT}")
    cases = held.get("cases")
    if not isinstance(cases, list) or not cases:
        raise CheckError(f"{file} holds no cases")
    if held.get("sha256") != digest(cases):
        raise CheckError(f"{file} has been edited: its cases do not match its sha256")
    return [_case(file, number, written) for number, written in enumerate(cases, start=1)]


def _case(file: Path, number: int, written: Any) -> Case:
    """Read a case; another version of calibrant may have written it."""
    try:
        for key, known in (("operation", OPERATIONS), ("dtype", {None, *DTYPES}), ("clause", book())):
            if written[key] not in known:
                raise ValueError(f"there is no {key} {written[key]!r}{nearest(str(written[key]), map(str, known))}")
        call = written["operation"], written["dtype"] or "", written["clause"], written["inputs"]
        case = Case(*call, REFUSED if "error" in written else written["expected"], written["flags"])
        names = [name.lstrip("*") for name in OPERATIONS[case.operation].parameters]
        if list(case.inputs) != names[: len(case.inputs)]:
            raise ValueError(f"its inputs are {brief(list(case.inputs))}, not {', '.join(names)}")
        optimizer = case.inputs.get("name", "") if "optimizer" not in case.inputs else case.inputs["optimizer"]["name"]
        if not isinstance(case.flags, list) or not all(isinstance(word, str) for word in (optimizer, *case.flags)):
            raise ValueError("its flags, or the name of its optimizer, are no words")
        require_claim(case.expected)
        _ = case.arguments, case.truths
    except (ArithmeticError, AttributeError, LookupError, NoAnswer, TypeError, ValueError) as error:
        raise CheckError(f"{file}, case {number} cannot be read: {error}") from None
    return case

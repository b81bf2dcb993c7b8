"""The last check of each target: which clauses failed, and the examples that failed. A small file for each, in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from calibrant.checks.options import Options
from calibrant.checks.verdicts import Result

_DRAWN = ("dtypes", "profile", "examples", "seed")
"""The options that decide which examples are drawn."""


def _file(spec: str) -> Path:
    """The file on a target, which is known by its name and by the folder that the name is looked up in."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    known_by = json.dumps([str(Path.cwd()), spec])
    return Path(caches, "calibrant", "last", f"{hashlib.sha256(known_by.encode()).hexdigest()[:16]}.json")


def remember(result: Result) -> None:
    """Keep what failed for `failed`, with what draws its examples again."""
    options = asdict(result.options)
    said = {name: options[name] for name in _DRAWN}
    said["drawn"] = drawn = dict[str, list[dict[str, str]]]()
    for verdict in result.verdicts:
        for name, several in verdict.drawn.items():
            known = drawn.setdefault(name, [])
            known += [one for one in several if one not in known]
    said["clauses"] = sorted({verdict.clause for verdict in result.verdicts if verdict.fails(strict=True)})
    file = _file(result.target["spec"])
    with contextlib.suppress(OSError):  # where nothing can be kept, nothing is
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(said), encoding="utf-8")


def failed(spec: str, options: Options) -> Options:
    """These options for the clauses alone that failed last time: the examples that failed, and then the same as last time.

    Unchanged if none failed.
    """
    said: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # there was no check from this folder, or nothing could be kept
        said = json.loads(_file(spec).read_text(encoding="utf-8"))
    if not said.get("clauses"):
        return options
    drawn: dict[str, Any] = {name: tuple(said[name]) if name == "dtypes" else said[name] for name in _DRAWN}
    return replace(options, chapters=(), clauses=tuple(said["clauses"]), last=str(_file(spec)), **drawn)

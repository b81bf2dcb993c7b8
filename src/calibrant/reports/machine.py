"""The verdicts for a machine, as JSON; `verdicts.schema.json` describes the format."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibrant.protocol import VERSION
from calibrant.reports.closing import outcome
from calibrant.reports.files import put
from calibrant.reports.findings import counts, told

if TYPE_CHECKING:
    from calibrant.checks.verdicts import Result

FORMAT = 1
"""The version of the format. It rises when a part of the format changes its meaning."""


def document(result: Result) -> dict[str, Any]:
    """The whole result as plain data."""
    return {
        "format": FORMAT,
        "calibrant": VERSION,
        "target": result.target,
        "options": asdict(result.options),
        "environment": environment(),
        "outcome": outcome(result),
        "exit_status": result.exit_status,
        "partial": result.partial,
        "unfinished": result.unfinished,
        "chapters": counts(told(result)),
        "verdicts": [asdict(verdict) for verdict in result.verdicts],
    }


def environment() -> dict[str, str]:
    """The interpreter, the platform, and the versions of the libraries that judge."""
    here = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
    }
    return here | {name: metadata.version(name) for name in ("numpy", "hypothesis", "pytest")}


def write(document: dict[str, Any], file: Path) -> None:
    """Write a document as JSON; `-` is standard output. Raises CheckError, in one sentence, if the file cannot be written."""
    put(json.dumps(document, indent=1, allow_nan=False) + "\n", file)

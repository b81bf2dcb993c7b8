"""Helpers of the tests of calibrant's own machinery: the formats, subjects, real processes, and targets written to files."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from referencing import Registry

from calibrant.book.clauses import properties
from calibrant.exact import FORMATS, Format
from calibrant.protocol.declarations import followed, numpy_dtype
from calibrant.protocol.errors import TargetError
from calibrant.reports import machine
from calibrant.target.calling import Subject
from calibrant.target.description import described
from calibrant.target.forking import nursery

PATIENCE = 300
"""Seconds after which a process that a test started is said to hang."""

PRELOADED = (
    *("numpy", "pytest", "xdist.plugin", "xdist.remote", "rich.console", "rich.progress", "rich.table", "rich.text"),
    *("calibrant.checks.check", "calibrant.judge", "calibrant.reports.machine", "calibrant.strategies"),
)
"""The modules of a nursery of the tests."""

PYTORCH = followed({})
"""PyTorch's conventions."""

_SCHEMAS = {
    file.name: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(Path(machine.__file__).parent.glob("*.schema.json"))
}
SCHEMA = _SCHEMAS["verdicts.schema.json"]
"""The JSON Schema of a check's document."""


def require_fit(document: Any, schema: str) -> None:
    """Raise ValidationError unless a document is as the schema of this name says, and the schema as JSON Schema says."""
    registry = Registry().with_contents(_SCHEMAS.items())
    jsonschema.Draft202012Validator.check_schema(_SCHEMAS[schema])
    jsonschema.Draft202012Validator(_SCHEMAS[schema], registry=registry).validate(document)


def _available(name: str) -> bool:
    try:
        numpy_dtype(name)
    except TargetError:
        return False
    return True


forms = pytest.mark.parametrize(
    "form",
    [
        pytest.param(
            form,
            id=name,
            marks=pytest.mark.skipif(not _available(name), reason=f"NumPy has no {name} without ml_dtypes"),
        )
        for name, form in FORMATS.items()
    ],
)
"""A test in each format that NumPy can compute in here."""


def each_case(
    strategy: SearchStrategy[Any], form: Format, examples: int = 30
) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Make a test of every case of some examples, in one format."""

    def decorated(check: Callable[[Any], None]) -> Callable[[], None]:
        @settings(derandomize=True, deadline=None, database=None, max_examples=examples)
        @given(strategy)
        def test(drawn: Any) -> None:
            for case in drawn.cases():
                check(case.at(form))

        test.__doc__ = check.__doc__
        return test

    return decorated


def f32(*numbers: float) -> Any:
    """A column in float32."""
    return np.array(numbers, dtype=np.float32)


def subject(dtype: str = "float64", timeout: float = 10.0, **attributes: Any) -> Subject:
    """An implementation of these attributes, in one dtype."""
    return Subject(described("planted", SimpleNamespace(**attributes), "planted", timeout), dtype)


def bare(name: str) -> Callable[..., None]:
    """A property of the suite as a function of a subject and a sample."""
    (prop,) = [prop for prop in properties() if prop.function == name]
    found = getattr(importlib.import_module(f"calibrant.conformance.{prop.file.stem}"), name)
    found = found.hypothesis.inner_test if hasattr(found, "hypothesis") else found
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    return cast(Callable[..., None], found)


def run(
    *arguments: str, cwd: Path | None = None, timeout: float = PATIENCE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@functools.cache
def warm() -> list[str]:
    """The command line that starts a child of this process's nursery, which has imported all that a check needs."""
    nurseries = contextlib.ExitStack()
    atexit.register(nurseries.close)
    heavy = ["torch"] if find_spec("torch") else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return nurseries.enter_context(nursery(["calibrant.cli", "calibrant.plugin", *PRELOADED, *heavy]))


BEGIN = """
import contextlib, sys
from calibrant import cli
from calibrant.checks import engine
sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
engine.nursery = lambda modules: contextlib.nullcontext({python!r})
cli.main()
"""
"""The command `calibrant` in a child of a nursery, which its workers share."""


def calibrant(
    *arguments: str, cwd: Path | None = None, cold: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command `calibrant`, which begins with all imported, or `cold` with nothing, as at a terminal.

    Only a command that is `cold` ends a worker that hangs: its workers are processes below it.
    """
    begin = ["-m", "calibrant"] if cold else [*warm()[1:], "-c", BEGIN.format(python=warm())]
    return run(*begin, *arguments, cwd=cwd, **environment)


@contextlib.contextmanager
def heeded(*numbers: signal.Signals) -> Iterator[None]:
    """Let these signals end the processes that start here, although a shell's background ignores some of them."""
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    try:
        for number in ignored:
            signal.signal(number, signal.SIG_DFL)
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def target(folder: Path, source: str, name: str = "planted.py") -> str:
    """A target in a file, as the commands take it."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(source), encoding="utf-8")
    return str(file)


def checked(
    folder: Path, *arguments: str, cwd: Path | None = None, cold: bool = False, **environment: str
) -> tuple[Any, str]:
    """The JSON that a check writes, and what it says. Its examples are the same in every run."""
    file = folder / "verdicts.json"
    chance = any(option.startswith(("--seed", "--profile")) for option in arguments)
    arguments += () if chance else ("--seed=0",)
    process = calibrant("check", *arguments, "--json", str(file), cwd=cwd, cold=cold, **environment)
    assert file.exists(), process.stdout + process.stderr
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["exit_status"] == process.returncode
    assert not process.stderr
    return document, process.stdout


def statuses(document: Any) -> dict[str, set[str]]:
    """The statuses of each clause over its dtypes."""
    found: dict[str, set[str]] = {}
    for verdict in document["verdicts"]:
        found.setdefault(verdict["clause"], set()).add(verdict["status"])
    return found


def one_sentence(process: subprocess.CompletedProcess[str], *parts: str) -> bool:
    """Whether a command said one sentence, with these parts in it, and ended with status 2."""
    lines = process.stderr.strip().splitlines()
    said = len(lines) == 1 and all(part in lines[0] for part in parts) and "Traceback" not in process.stdout
    return process.returncode == 2 and said and not process.stdout


def ends(number: int) -> bool:
    """Whether a process, and the group that it leads, ends in time; zombies have ended."""

    def lives() -> bool:
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                state, _, group = file.read_text().rpartition(")")[2].split()[:3]
                if number in (int(file.parent.name), int(group)) and state != "Z":
                    return True
        return False

    until = time.monotonic() + PATIENCE
    while lives() and time.monotonic() < until:
        time.sleep(0.02)
    return not lives()

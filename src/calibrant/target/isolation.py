"""What keeps a check alive when a target does what nothing inside its process can stop.

The properties run in worker processes. A call that hangs where no signal reaches it ends its worker; what a worker writes
past Python's own streams, however much, goes nowhere; and a worker leaves word of the call that it is in, so that its end can
be told.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from calibrant.protocol.operations import OPERATIONS
from calibrant.target import calling
from calibrant.target.processes import REGISTER, end_all, end_group

_GRACE = 3.0
"""Seconds after its time limit in which a call may still be stopped from inside."""
_REARM = 1.0
"""The watchdog costs a thread each time it is set, so calls in quick succession share one."""

_armed = 0.0
_word: mmap.mmap | None = None
_trace: IO[str] | None = None


def contain(folder: Path, worker: str) -> None:
    """Prepare this worker process: its output goes nowhere, its calls are watched, its last call is on record."""
    global _word, _trace
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    _trace = (folder / f"{worker}.trace").open("w")
    faulthandler.enable(file=_trace)
    record = folder / f"{worker}.call"
    record.write_bytes(b" " * 64)
    with record.open("r+b") as file:
        _word = mmap.mmap(file.fileno(), 64)
    calling.watch = watch


@contextlib.contextmanager
def apart(
    module: str, *arguments: str, register: Path, python: Sequence[str] = (sys.executable,)
) -> Iterator[subprocess.Popen[bytes]]:
    """A module of calibrant's run in a silent process of its own, which ends with the block, as does all that it started."""
    process = subprocess.Popen(
        [*python, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {REGISTER: str(register)},
    )
    try:
        yield process
    finally:
        end_group(process.pid)
        process.wait()
        end_all(register)


def not_called_again(folder: Path) -> dict[str, str]:
    """The operations that hung, or ended their process, in the workers before this one, each with what is said of it."""
    hung = folder / "hung.json"
    known: dict[str, str] = json.loads(hung.read_text()) if hung.exists() else {}
    return known


def watch(operation: str, seconds: float) -> None:
    """A call begins, or with no operation the import of the target: this worker ends if it hangs."""
    global _armed
    if _word is not None:
        _word[:] = operation.encode().ljust(64)[:64]
    now = time.monotonic()
    if now - _armed > _REARM and _trace is not None:
        faulthandler.dump_traceback_later(seconds + _GRACE, exit=True, file=_trace)
        _armed = now


def at_ease() -> None:
    """No call is under way: nothing is to be ended."""
    global _armed
    if _armed:
        faulthandler.cancel_dump_traceback_later()
        _armed = 0.0


def hung(folder: Path, worker: str) -> bool:
    """Whether the watchdog ended a worker."""
    return "Timeout" in _traced(folder, worker)


def last_words(folder: Path, worker: str, timeout: float, *, again: bool = True) -> tuple[str, str]:
    """The operation that a worker died in, and how. An operation that hung is put on record for the workers after it; so is every
    other, unless it is to be called `again`."""
    record = folder / f"{worker}.call"
    operation = record.read_text().strip() if record.exists() else ""
    if hung(folder, worker):
        limit = OPERATIONS[operation].patience(timeout) if operation else timeout
        sentence = f"did not return within {limit:g} s and its process had to be ended"
    else:
        fatal = [line for line in _traced(folder, worker).splitlines() if line.startswith("Fatal Python error")]
        sentence = "ended its process" + (f" ({fatal[0]})" if fatal else "")
        if again:
            return operation, sentence
    (folder / "hung.json").write_text(json.dumps(not_called_again(folder) | {operation: sentence}))
    return operation, f"{sentence}; it is not called again"


def _traced(folder: Path, worker: str) -> str:
    """What the interpreter of a worker wrote when it ended."""
    trace = folder / f"{worker}.trace"
    return trace.read_text() if trace.exists() else ""

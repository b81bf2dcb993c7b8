"""Worker processes that a target cannot take the check down with.

The properties run in worker processes. A watchdog ends a worker in a call that no signal can stop. The worker discards all
output, and records the current operation, so that its end can be explained.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import time
from pathlib import Path
from typing import IO

from calibrant.protocol.operations import OPERATIONS
from calibrant.target import calling

_GRACE = 3.0
"""Seconds between the time limit of a call and the end of its worker; in them, the call may still be stopped from inside."""
_REARM = 1.0
"""Seconds in which calls share one watchdog, since each one costs a thread."""

_armed = 0.0
_current: mmap.mmap | None = None
_trace: IO[str] | None = None


def contain(folder: Path, worker: str) -> None:
    """Prepare this worker process: discard its output, watch its calls, record its current operation."""
    global _current, _trace
    with open(os.devnull, "wb") as nowhere:
        for standard in (1, 2):
            os.dup2(nowhere.fileno(), standard)
    _trace = (folder / f"{worker}.trace").open("w")
    faulthandler.enable(file=_trace)
    record = folder / f"{worker}.call"
    record.write_bytes(b" " * 64)
    with record.open("r+b") as file:
        _current = mmap.mmap(file.fileno(), 64)
    calling.watch = watch


def not_called_again(folder: Path) -> dict[str, str]:
    """The operations in which earlier workers hung or ended, each with its sentence."""
    return dict(json.loads(_read(folder / "hung.json") or "{}"))


def watch(operation: str, seconds: float) -> None:
    """Record that a call begins, or the import of the target for an empty name, and end this worker if it hangs."""
    global _armed
    if _current is not None:
        _current[:] = operation.encode().ljust(64)[:64]
    now = time.monotonic()
    if now - _armed > _REARM and _trace is not None:
        faulthandler.dump_traceback_later(seconds + _GRACE, exit=True, file=_trace)
        _armed = now


def at_ease() -> None:
    """Stop the watchdog: no call is under way."""
    global _armed
    if _armed:
        faulthandler.cancel_dump_traceback_later()
        _armed = 0.0


def hung(folder: Path, worker: str) -> bool:
    """Whether the watchdog ended a worker."""
    return "Timeout" in _read(folder / f"{worker}.trace")


def last_words(folder: Path, worker: str, timeout: float, *, again: bool = True) -> tuple[str, str]:
    """The operation in which a worker ended, and a sentence that says how.

    Later workers do not call an operation that hung; other operations they call only if `again` is true.
    """
    operation = _read(folder / f"{worker}.call").strip()
    if hung(folder, worker):
        limit = OPERATIONS[operation].patience(timeout) if operation else timeout
        sentence = f"did not return within {limit:g} s and its process had to be ended"
    else:
        trace = _read(folder / f"{worker}.trace").splitlines()
        fatal = next((f" ({line})" for line in trace if line.startswith("Fatal Python error")), "")
        sentence = f"ended its process{fatal}"
        if again:
            return operation, sentence
    (folder / "hung.json").write_text(json.dumps(not_called_again(folder) | {operation: sentence}))
    return operation, f"{sentence}; it is not called again"


def _read(file: Path) -> str:
    """The text of a file, empty if there is none."""
    return file.read_text() if file.exists() else ""

"""The processes of a target, found and ended, and the signals that end a check.

On Linux, the process that makes a check adopts each process whose parent has ended, so that none escapes it. Elsewhere only the
process groups that calibrant has started are known.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path
from types import FrameType

_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37
"""Linux's numbers for the adoption of the processes whose parents have ended."""
_ENDING = 10.0
"""The most seconds in which the processes of a target are ended: it may start new ones all the while."""

_MUCH = 2**20
"""The most bytes that are kept of what a process writes to standard error."""


def end_group(group: int) -> None:
    """Kill a process group, if any process of it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it may have ended with all its children
        os.killpg(group, signal.SIGKILL)


def end_all(register: Path) -> None:
    """Kill the process groups that a register names. A target may have edited it: this process' own group stays."""
    for word in register.read_bytes().split() if register.exists() else ():
        if word.isdigit() and 1 < int(word) < 2**31 and int(word) != os.getpgrp():
            end_group(int(word))


def tail(file: Path, most: int = 2000) -> bytes:
    """The end of a file to which a process appends, which is emptied if it grows without end."""
    with contextlib.suppress(OSError), file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - most))
        said = opened.read(most)
        if size > _MUCH:
            opened.truncate(0)
        return said
    return b""


@contextlib.contextmanager
def no_process_left() -> Iterator[None]:
    """At the end of the block, end every process that this one, or a process below it, has started in the block.

    This works on Linux only. Processes below those that were there before the block are left alone.
    """
    if sys.platform != "linux":
        yield
        return
    system, adopts = ctypes.CDLL(None), ctypes.c_int()
    system.prctl(_GET_CHILD_SUBREAPER, ctypes.byref(adopts))
    system.prctl(_SET_CHILD_SUBREAPER, 1)
    before = below(frozenset())
    try:
        yield
    finally:
        until = time.monotonic() + _ENDING
        while (left := below(before)) and time.monotonic() < until:
            for number in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(number, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):  # another one's child
                    os.waitpid(number, os.WNOHANG)
        system.prctl(_SET_CHILD_SUBREAPER, adopts.value)


def below(without: Set[int]) -> set[int]:
    """The processes that descend from this one, without some of them and all that descend from those. Linux only."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile
            children.setdefault(int(_status(int(name))[1]), []).append(int(name))
    found, parents = set[int](), [os.getpid()]
    for parent in parents:
        known = [number for number in children.get(parent, ()) if number not in without]
        found.update(known)
        parents += known
    return found


def stopped(number: int) -> bool:
    """Whether a signal has stopped a process. On systems other than Linux nobody knows."""
    with contextlib.suppress(OSError):
        return _status(number)[0] in "Tt"
    return False


def _status(number: int) -> list[str]:
    """The state of a process, its parent and its group. Raises OSError if there is no such process."""
    return Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()[:3]


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """Leave the block as an interrupt does when a signal is to end this process, then exit with the status for that signal."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:  # the block is being left already
            raise KeyboardInterrupt

    ending = (
        [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT] if threading.current_thread() is threading.main_thread() else []
    )
    changed = [number for number in ending if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
        if received:
            raise SystemExit(128 + received[0])

"""Worker processes that a target cannot take the check down with.

The properties run in worker processes. Each discards all output, and records what it does: its operation, and how long that may
take. The process that started the workers holds the limits: its watch ends a worker that makes no progress, which no code in the
worker can prevent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from calibrant.exact.formats import name_of
from calibrant.protocol.declarations import numpy_dtype
from calibrant.protocol.errors import NoAnswer, last_words
from calibrant.protocol.operations import IMPORT_PATIENCE, OPERATIONS
from calibrant.protocol.wire import decoded, is_array, plain
from calibrant.target import calling
from calibrant.target.calling import LENIENCY, Call, written
from calibrant.target.description import Hung
from calibrant.target.processes import below, end_group, stopped, tail

_GRACE = 3.0
"""Seconds between the time limit of a call and the end of its worker; in them, the call may still be stopped from inside."""
_GLANCE = 0.1
"""Seconds between two looks at the workers."""
_PREPARING = 60.0
"""The least seconds that a property may take before its first call."""
_DELIVERING = 10.0
"""Seconds that a report may take from a worker to the process that started it."""
_MEMORY = 4 * 2**30
"""The least bytes of its own that a worker may use."""
_LONGEST = 2**14
"""The most bytes of a request that are kept for the case that its call ends the worker."""
_MOST_NUMBERS = 400
"""The most numbers of such a request."""
_MUCH = 0.75
"""The part of its files or its memory that a target may have used up when a test ends; beyond it, its worker is replaced."""

_STATE = struct.Struct("=qqd64s")
"""A worker's state: how often it changed, how many tests have ended, the seconds that this may take (0 for any), the operation."""

_NOTHING = b"-"
"""The line of a test without a call."""

_changes = 0
_ended = 0
_state: mmap.mmap | None = None
_request: mmap.mmap | None = None
_log: IO[bytes] | None = None
_reason: IO[bytes] | None = None
_memory = 0


# In a worker


def contain(folder: Path, worker: str, workers: int) -> None:
    """Prepare this worker process: discard its output, limit its memory, record what it does."""
    global _state, _request, _log, _reason, _memory
    with open(os.devnull, "wb") as nowhere, (folder / f"{worker}.errors").open("ab") as errors:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that started this one, which ends it
    faulthandler.enable(file=(folder / f"{worker}.trace").open("w"))
    (folder / f"{worker}.pid").write_text(str(os.getpid()))
    _log, _reason = ((folder / f"{worker}.{name}").open("wb", buffering=0) for name in ("log", "end"))
    _request, _state = _shared(folder / f"{worker}.request", _LONGEST), _shared(folder / f"{worker}.state", _STATE.size)
    if sys.platform == "linux":  # elsewhere the system counts other things, or nothing
        most = [limit for limit in resource.getrlimit(resource.RLIMIT_DATA) if limit != resource.RLIM_INFINITY]
        _memory = min([max(_MEMORY, os.sysconf("SC_PHYS_PAGES") * resource.getpagesize() // workers), *most])
        resource.setrlimit(resource.RLIMIT_DATA, (_memory, _memory))
    calling.watch = watch


def _shared(file: Path, size: int) -> mmap.mmap:
    """Memory that the process that started this one can read in a file."""
    file.write_bytes(bytes(size))
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), size)


def watch(operation: str, seconds: float, given: Sequence[Any] = ()) -> None:
    """Record that a call begins, or for an empty name an import or a property, and how long it may take."""
    global _changes
    if _state is not None and _request is not None:
        said = _written(given) if operation else b""
        _request[: len(said) + 1] = said + b"\0"
        _changes += 1
        _state[:] = _STATE.pack(_changes, _ended, seconds, operation.encode())


def _written(given: Sequence[Any]) -> bytes:
    """The arguments of a call as JSON; nothing if they are long."""
    if _count(given) > _MOST_NUMBERS:
        return b""
    said = json.dumps(_packed(given)).encode()
    return said if len(said) < _LONGEST else b""


def _packed(value: Any) -> Any:
    """A value as JSON can hold it, with the bytes of its arrays: to spell out their numbers before each call would take longer than the call."""
    if is_array(value):
        return {"dtype": name_of(value.dtype), "shape": value.shape, "bytes": value.tobytes().hex()}
    if isinstance(value, dict):
        return {str(key): _packed(x) for key, x in value.items()}
    return [*map(_packed, value)] if isinstance(value, (list, tuple)) else plain(value)


def _unpacked(said: Any) -> Any:
    """The value that was packed. Raises ValueError, TypeError, KeyError or NoAnswer if something else was."""
    if isinstance(said, dict):
        if "bytes" not in said:
            return {key: _unpacked(x) for key, x in said.items()}
        numbers = np.frombuffer(bytes.fromhex(said["bytes"]), numpy_dtype(said["dtype"]))
        return numbers.reshape(said["shape"])
    return [*map(_unpacked, said)] if isinstance(said, list) else decoded(said)


def _count(value: Any) -> int:
    """The numbers in a value, about."""
    if isinstance(value, (list, tuple)):
        return sum(map(_count, value))
    return value.size if is_array(value) else 1


def preparing(timeout: float) -> None:
    """Record that a property begins."""
    watch("", max(_PREPARING, IMPORT_PATIENCE * timeout))
    if contained():
        with contextlib.suppress(OSError):  # the target may have closed it
            os.ftruncate(2, 0)  # the last words of an earlier property explain nothing


def at_ease() -> None:
    """Record that no call is under way, so that nothing has a limit."""
    watch("", 0.0)


def over() -> None:
    """Record that a test has ended, and replace this worker if its target has left it too little to go on."""
    global _ended
    if _state is None or _log is None:
        return
    _log.write(b"\n" + (_state[_STATE.size - 64 :].rstrip(b"\0") or _NOTHING) + b"\n")
    _ended += 1
    at_ease()
    try:
        lowest = os.dup(_log.fileno())
    except OSError:
        os._exit(1)
    os.close(lowest)
    if lowest > _MUCH * resource.getrlimit(resource.RLIMIT_NOFILE)[0] or _own_memory() > _MUCH * _memory:
        os._exit(1)  # the report on the test is sent


def _own_memory() -> int:
    """The bytes that count against this worker's limit."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def give_up(sentence: str) -> NoReturn:
    """End this worker, which cannot go on, and say why."""
    if _reason is not None:
        with contextlib.suppress(OSError, MemoryError):
            _reason.write(b"\0" + sentence.encode(errors="backslashreplace"))
    os._exit(1)


def contained() -> bool:
    """Whether this process is a worker."""
    return _state is not None


def not_called_again(folder: Path) -> dict[str, Hung]:
    """The operations in which earlier workers hung or ended."""
    return {name: Hung(*said) for name, said in json.loads(_read(folder / "hung.json") or "{}").items()}


# In the process that started the workers


class Watch(threading.Thread):
    """Ends each worker that makes no progress for longer than it may."""

    def __init__(self, folder: Path, timeout: float) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.timeout = timeout
        self.received: dict[str, int] = {}
        """The number of tests of each worker whose reports have come."""
        self.ended: dict[str, str] = {}
        """The workers that were ended, each with a sentence that says why."""
        self.reasons: dict[str, str] = {}
        """The workers that cannot go on, likewise."""
        self._lost: set[str] = set()
        self._over = threading.Event()
        self._numbers: dict[str, int] = {}

    def run(self) -> None:
        """Look at all workers, again and again."""
        seen: dict[str, tuple[object, float, int]] = {}
        last = time.monotonic()
        while not self._over.wait(_GLANCE):
            last, passed = time.monotonic(), min(time.monotonic() - last, 1.0)  # this process may have been stopped
            for record in self.folder.glob("*.state"):
                worker = record.stem
                tail(self.folder / f"{worker}.errors")
                state = record.read_bytes()[: _STATE.size]  # a target may have written into all files of its process
                if (
                    worker in self._lost
                    or worker in self.ended
                    or len(state) != _STATE.size
                    or not (number := self._number(worker))
                ):
                    continue
                changes, ended, seconds, operation = _STATE.unpack(state)
                received = self.received.get(worker, 0)
                before, elapsed, looks = seen.get(worker, (None, 0.0, 0))
                elapsed = elapsed + passed if before == (changes, received) else 0.0
                looks = looks + 1 if stopped(number) else 0
                seen[worker] = (changes, received), elapsed, looks
                most = max(_PREPARING, (1 + LENIENCY) * self._limit(_name(operation)))
                limit = min(seconds, most) if math.isfinite(seconds) and seconds > 0 else math.inf
                if looks > 1:
                    self._end(worker, "stopped its process, which had to be ended")
                elif elapsed > limit + _GRACE:
                    known = _name(operation)
                    within = f"within {limit:g} s" if known else "while it was loaded or asked nothing"
                    self._end(worker, f"did not return {within} and its process had to be ended")
                elif ended > received and elapsed > _DELIVERING:
                    self._end(worker, "wrote into the files of its process, which had to be ended")

    def _limit(self, operation: str) -> float:
        return OPERATIONS[operation].patience(self.timeout) if operation else IMPORT_PATIENCE * self.timeout

    def _number(self, worker: str) -> int:
        """The number of a worker's process; 0 as long as it is not known."""
        if worker not in self._numbers:
            said = _read(self.folder / f"{worker}.pid")
            number = int(said) if said.isdigit() else 0
            if number and (sys.platform != "linux" or number in below(frozenset())):
                self._numbers[worker] = number
        return self._numbers.get(worker, 0)

    def _end(self, worker: str, sentence: str) -> None:
        self.ended[worker] = sentence
        end_group(self._numbers[worker])

    def end_workers(self) -> None:
        """End all workers, whatever they do."""
        for number in [*self._numbers.values()]:
            end_group(number)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()

    def idle(self, worker: str) -> bool:
        """Whether a worker ended between two tests, and all its reports have come."""
        state = _bytes(self.folder / f"{worker}.state")[: _STATE.size]
        if len(state) < _STATE.size or worker in self.ended:
            return False
        _, ended, seconds, _ = _STATE.unpack(state)
        return bool(seconds == 0.0 and ended == self.received.get(worker, 0))

    def lost(self, worker: str) -> None:
        """End a worker whose connection has ended: it may go on without. Look at it no more: its number may be another's."""
        self._lost.add(worker)
        if self._number(worker):
            end_group(self._numbers[worker])

    def reason(self, worker: str) -> str:
        """The reason for which a worker gave up, empty if it did not."""
        _, begun, sentence = _read(self.folder / f"{worker}.end").rpartition("\0")
        return sentence if begun else self.reasons.get(worker, "")

    def last_words(self, worker: str, *, again: bool = True) -> tuple[str, str, list[Any]]:
        """The operation in which a worker ended, a sentence that says how, and the arguments of the call, if they are known.

        Later workers do not call an operation that hung; other operations they call only if `again` is true.
        """
        operation = _name(_bytes(self.folder / f"{worker}.state")[_STATE.size - 64 : _STATE.size])
        # Reports may have been lost since the property that counts as not finished.
        lines = _bytes(self.folder / f"{worker}.log").split(b"\n")
        ended = [_name(line) for line in lines if line == _NOTHING or _name(line)]
        lost = ended[self.received.get(worker, 0) :]
        operation, given = next(iter(lost), operation), [] if lost else self._given(worker)
        if worker in self.ended:
            sentence = self.ended[worker]
        elif sentence := self.reason(worker):
            return operation, sentence, given
        else:
            trace = _read(self.folder / f"{worker}.trace").splitlines()
            fatal = next((f" ({line})" for line in trace if line.startswith("Fatal Python error")), "")
            sentence = f"ended its process{fatal}{last_words(tail(self.folder / f'{worker}.errors'))}"
            if again:
                return operation, sentence, given
        hung = json.loads(_read(self.folder / "hung.json") or "{}")
        hung[operation] = written(Call(operation, tuple(given))) if given else operation, sentence
        (self.folder / "hung.json").write_text(json.dumps(hung))
        return operation, f"{sentence}; it is not called again", given

    def _given(self, worker: str) -> list[Any]:
        """The arguments of the last call of a worker; none if they are not known, or the target has written over them."""
        said = _bytes(self.folder / f"{worker}.request").partition(b"\0")[0]
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, NoAnswer):
            given = _unpacked(json.loads(said))
            return given if isinstance(given, list) else []
        return []


def _name(operation: bytes) -> str:
    """The name of an operation, empty if it is none."""
    name = operation.rstrip(b"\0").decode(errors="replace")
    return name if name in OPERATIONS else ""


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


def _read(file: Path) -> str:
    """The text of a file, empty if there is none."""
    return _bytes(file).decode(errors="replace")

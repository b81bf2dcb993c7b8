"""Python processes that start with the libraries that one process has imported for all of them.

The processes of a check need the same libraries; torch alone takes seconds and 140 MB. A nursery is a process that has
imported the libraries and does nothing else. Its children are forked, and share its memory until they change it. `nursery`
yields a command line that starts a child in place of the interpreter:

    python -IS forking.py SOCKET [-u] -c CODE | -m MODULE [ARGUMENTS]

This process is a stand-in for the child. It asks the nursery at the socket for a child with its own arguments, streams, folder
and environment. It ends as the child does, and the child ends with it. If the nursery does not answer, the stand-in becomes the
interpreter. The child inherits ignored signals, and settings that the interpreter reads at its start, from the nursery.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from types import ModuleType

__all__ = ["nursery"]

_PATIENCE = 2.0
"""Seconds that a nursery and a stand-in wait for each other, until the child is granted."""
_IMPORTING = 60.0
"""Seconds that a nursery may take to import."""
_GRACE = 3.0
"""Seconds that a nursery may take to end."""
_SENT_TO_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals to whole groups of processes, which a nursery ignores: it outlives its children."""
_PR_SET_PDEATHSIG = 1
"""Linux's number for the signal that a process receives when its parent ends."""

_Request = tuple[list[bytes], bytes, dict[bytes, bytes], bool]
"""Arguments, folder, environment, and whether the child leads a session."""


@contextlib.contextmanager
def nursery(modules: Sequence[str], *, at_once: bool = False) -> Iterator[list[str]]:
    """Yield a command line for the interpreter that, during the block, forks a process which has imported the modules.

    It is the interpreter itself where the system allows no nursery. Children that end `at_once` do not close open files.
    """
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        path = f"{folder}/nursery"
        listener = _listener(path)
        if listener is None:
            yield [sys.executable]
            return
        with listener:
            ending = "at-once" if at_once else "in-full"
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", __name__, str(listener.fileno()), ending, *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        assert process.stdout is not None
        try:
            serves = select.select([process.stdout], [], [], _IMPORTING)[0] and process.stdout.read(1)
            yield [sys.executable, "-IS", __file__, path] if serves else [sys.executable]
        finally:
            process.send_signal(signal.SIGCONT)  # a child may have stopped it
            try:
                process.communicate(timeout=_GRACE)
            except subprocess.TimeoutExpired:  # it still imports
                process.kill()
                process.communicate()


def _listener(path: str) -> socket.socket | None:
    """A socket that listens at a path, or None where the system does not allow a nursery."""
    if not hasattr(os, "pidfd_open"):
        return None
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.close(os.pidfd_open(os.getpid()))
        listener.bind(path)
        listener.listen()
    except OSError:
        listener.close()
        return None
    return listener


# The stand-in


def _stand_for_child(path: str, arguments: list[str]) -> None:
    """Ask the nursery at `path` for a child, and end with it; without a nursery, become the interpreter."""
    leads = os.getsid(0) == os.getpid()
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child receives it as well
    nursery, granted = socket.socket(socket.AF_UNIX), b""
    nursery.settimeout(_PATIENCE)
    if nursery.fileno() > 2:  # or else a standard file is closed, and must be so in the interpreter
        with contextlib.suppress(OSError):
            request: _Request = ([*map(os.fsencode, arguments)], os.getcwdb(), {**os.environb}, leads)
            nursery.connect(path)
            nursery.sendall(marshal.dumps(request))
            granted = nursery.recv(1)
    if granted:
        _end_with_child(nursery, leads)
    signal.signal(signal.SIGINT, interrupted)
    os.execv(sys.executable, [sys.executable, *arguments])


def _end_with_child(nursery: socket.socket, leads: bool) -> None:
    """Send the standard files to the child, read its number and then its status, and end as it does.

    It returns if there is no child.
    """
    nursery.settimeout(None)
    child, status = 0, b""
    with contextlib.suppress(OSError), nursery.makefile("rb") as told:
        socket.send_fds(nursery, [b"y"], [0, 1, 2])
        if child := int(told.readline() or 0):
            os.closerange(0, 3)  # so that their readers see when the child closes them
            status = told.readline()
    if not child:
        return
    if not status:  # the child's parent has ended
        _end(child, leads)
    code = int(status or 1)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL has no other handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _end(child: int, leads: bool) -> None:
    """End a child and the session that it leads."""
    for kill in (os.kill, os.killpg) if leads else (os.kill,):
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


# The nursery


def _serve(listener: socket.socket, until: int) -> _Request:
    """Fork an attendant for each stand-in, until the file `until` ends. It returns in a child, with the request for it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while until not in select.select([until, listener.fileno()], [], [])[0]:
        asking = listener.accept()[0]
        try:
            attends = os.fork() == 0
        except OSError:  # the stand-in becomes the interpreter
            attends = False
        if attends:
            listener.close()
            return _attend(asking, until)
        asking.close()
    with contextlib.suppress(ChildProcessError):
        os.wait()  # SIGCHLD is ignored, so this waits for all attendants
    os._exit(0)


def _attend(asking: socket.socket, until: int) -> _Request:
    """Fork a child for a stand-in, and end with the first to end: the child, the stand-in or `until`. It returns in the child."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asking.settimeout(_PATIENCE)
    try:
        with asking.makefile("rb") as stream:
            request: _Request = marshal.load(stream)
        asking.sendall(b"y")
        files = socket.recv_fds(asking, 1, 3)[1]
        child = os.fork() if files else -1
    except (OSError, EOFError, ValueError, TypeError):  # the stand-in has ended, was stopped, or is something else
        child = -1
    if child < 0:
        os._exit(1)
    if not child:
        for standard, file in enumerate(files):
            os.dup2(file, standard)
        os.close(until)
        asking.close()
    for file in files:
        os.close(file)
    if not child:
        return request
    try:
        over = os.pidfd_open(child)
    except OSError:
        _end(child, False)
        os._exit(1)
    with contextlib.suppress(OSError):  # the stand-in may have ended
        asking.sendall(b"%d\n" % child)
        select.select([over, until, asking.fileno()], [], [])
    _end(child, request[3])
    with contextlib.suppress(OSError):
        asking.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def _be(arguments: list[bytes], folder: bytes, environment: dict[bytes, bytes], leads: bool) -> None:
    """Run these arguments as the interpreter does, in the child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if leads:
        os.setsid()
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environment)
    way, what, *rest = map(os.fsdecode, arguments[arguments[0] == b"-u" :])
    sys.argv[:] = [way, *rest]
    if not sys.flags.safe_path:
        sys.path[0] = "" if way == "-c" else os.fsdecode(folder)
    main = sys.modules["__main__"] = ModuleType("__main__")
    if way == "-c":
        exec(compile(what, "<string>", "exec", dont_inherit=True), vars(main))
    else:
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]  # as `python -m` does


def _main(listener: int, at_once: bool, modules: list[str]) -> None:
    """Import the modules, report that on standard output, and serve at a socket until standard input ends.

    The interpreter's end copies all shared memory, since it touches it. A child that ends `at_once` omits most of it.
    """
    inherited = {number: signal.signal(number, signal.SIG_IGN) for number in _SENT_TO_ALL}
    inherited[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    until = os.dup(0)
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    os.write(1, b"y")
    with open(os.devnull, "r+b") as nothing:
        for standard in (0, 1):
            os.dup2(nothing.fileno(), standard)
    request = _serve(socket.socket(fileno=listener), until)
    for number, handler in inherited.items():
        signal.signal(number, handler)
    _be(*request)
    if at_once:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


if __name__ == "__main__":
    if sys.flags.no_site:
        _stand_for_child(sys.argv[1], sys.argv[2:])
    else:
        _main(int(sys.argv[1]), sys.argv[2] == "at-once", sys.argv[3:])

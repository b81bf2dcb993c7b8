"""Python processes that begin with what one process has imported for all of them.

Several processes of a check need the same libraries; torch alone takes seconds and 140 MB. A nursery is a process that has
imported the libraries and done nothing else. Its children are forked, and share what it holds until they change it. `nursery`
yields a command line that starts a child in the place of the interpreter:

    python -IS forking.py SOCKET [-u] -c CODE | -m MODULE [ARGUMENTS]

This process stands for the child: it asks the nursery at the socket for a child with its own arguments, streams, folder and
environment, lives and ends as the child does, and takes the child along if it is ended itself. If the nursery does not answer,
it becomes the interpreter, only slower. Ignored signals, and what the interpreter reads when it starts, as PYTHONPATH, are the
nursery's.
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
"""Seconds for which a nursery and a process that asks it wait for each other, until the child is granted."""
_IMPORTING = 60.0
"""Seconds that a nursery may take to import."""
_GRACE = 3.0
"""Seconds that a nursery may take to end."""
_SENT_TO_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that whole groups of processes are sent: a nursery outlives its children."""
_PR_SET_PDEATHSIG = 1
"""Linux's number for the signal that a process is sent when its parent ends."""

_Request = tuple[list[bytes], bytes, dict[bytes, bytes], bool]
"""Arguments, folder, environment, and whether the child leads a session."""


@contextlib.contextmanager
def nursery(modules: Sequence[str], *, at_once: bool = False) -> Iterator[list[str]]:
    """The interpreter's command line; while the block lasts, it starts a child of a nursery that has imported the modules.

    Where the system can have no nursery, it starts the interpreter. Children that end `at_once` leave open files and modules
    as they are.
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
    """A socket that listens at a path, if the system gives one, and what else a nursery needs."""
    if not hasattr(os, "pidfd_open"):
        return None
    with contextlib.ExitStack() as stack:
        try:
            os.close(os.pidfd_open(os.getpid()))
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen()
        except OSError:
            return None
        stack.pop_all()
        return listener


# The process that stands for a child


def _stand_for_child(path: str, arguments: list[str]) -> None:
    """Ask the nursery at `path` for a child, and end with it; if there is no nursery, become the interpreter."""
    leads = os.getsid(0) == os.getpid()
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child is sent it as well
    nursery, granted = socket.socket(socket.AF_UNIX), b""
    nursery.settimeout(_PATIENCE)
    if nursery.fileno() > 2:  # or else a standard file is closed, and the interpreter is not to find another there
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
    """Give the child the standard files, and end as it does: the nursery tells its number, and later its status.

    It returns if the nursery cannot have one.
    """
    nursery.settimeout(None)
    child, said = 0, b""
    with contextlib.suppress(OSError), nursery.makefile("rb") as told:
        socket.send_fds(nursery, [b"y"], [0, 1, 2])
        if child := int(told.readline() or 0):
            os.closerange(0, 3)  # so that whoever reads them is told when the child closes them
            said = told.readline()
    if not child:
        return
    if not said:  # the nursery was ended, maybe by the child
        _end(child, leads)
    status = int(said or 1)
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # of SIGKILL there is only the default
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _end(child: int, leads: bool) -> None:
    """End a child, and with it the session that it leads."""
    for kill in (os.kill, os.killpg) if leads else (os.kill,):
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


# The nursery


class _Child:
    """A child of the nursery."""

    def __init__(self, number: int, leads: bool, asking: socket.socket) -> None:
        self.number = number
        self.leads = leads
        self.asking = asking
        try:
            self.over = os.pidfd_open(number)
        except OSError:
            _end(number, leads)
            os.waitpid(number, 0)
            raise
        self.tell(number)

    def files(self) -> set[int]:
        """Two files: one can be read when the child has ended, the other when who asked for it has."""
        return {self.over, self.asking.fileno()}

    def tell(self, number: int) -> None:
        """Tell a number to who asked."""
        with contextlib.suppress(OSError):  # nobody may be left
            self.asking.sendall(b"%d\n" % number)

    def bury(self) -> None:
        """End the child if it has not ended, and tell its status."""
        _end(self.number, self.leads)
        self.tell(os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1]))
        self.close()

    def close(self) -> None:
        """Close both files."""
        os.close(self.over)
        self.asking.close()


def _serve(listener: socket.socket, until: int) -> _Request:
    """Give a child to each who asks, until the end of the file `until`, when all end. It returns in a child, with what it is to be."""
    children: list[_Child] = []
    while True:
        watched = {until, listener.fileno()}.union(*(child.files() for child in children))
        ready = set(select.select(watched, [], [])[0])
        for child in [child for child in children if ready & {until, *child.files()}]:
            child.bury()
            children.remove(child)
        if until in ready:
            os._exit(0)
        if listener.fileno() not in ready or not (granted := _asked(listener)):
            continue
        request, asking, files = granted
        try:
            if number := os.fork():
                children.append(_Child(number, request[3], asking))
        except OSError:  # there are no more processes to be had: who asks will see
            asking.close()
        else:
            if not number:
                for child in children:
                    child.close()
                for standard, file in enumerate(files):
                    os.dup2(file, standard)
                for file in (until, listener.detach(), asking.detach(), *files):
                    os.close(file)
                return request
        for file in files:
            os.close(file)


def _asked(listener: socket.socket) -> tuple[_Request, socket.socket, list[int]] | None:
    """The next request, the socket of the process that asks, and the standard files for the child."""
    asking = listener.accept()[0]
    asking.settimeout(_PATIENCE)
    files: list[int] = []
    try:
        with asking.makefile("rb") as stream:
            request: _Request = marshal.load(stream)
        asking.sendall(b"y")
        _, files, _, _ = socket.recv_fds(asking, 1, 3)
        if not files:
            raise EOFError
    except (OSError, EOFError, ValueError, TypeError):  # who asks has ended, was stopped, or is not a stand-in
        for file in (asking.detach(), *files):
            os.close(file)
        return None
    return request, asking, files


def _be(arguments: list[bytes], folder: bytes, environment: dict[bytes, bytes], leads: bool) -> None:
    """In the child: do what the interpreter does with these arguments."""
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
    """Be the nursery: import the modules, say so, and serve at a socket until standard input ends.

    The interpreter's end touches, and so copies, all that is shared. A child may do without most of it, and end `at_once`.
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

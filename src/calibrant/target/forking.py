"""Python processes that begin with what one process has imported for all of them.

Several processes of a check need the same libraries; torch alone takes seconds and 140 MB. So they are forked from a nursery,
a process that has imported the libraries and done nothing else, and share what it holds until they change it. Whoever starts
Python with `command` has a child of the nursery:

    python -IS forking.py SOCKET [-u] -c CODE | -m MODULE [ARGUMENTS]

asks the nursery at the socket for a child with its own arguments, streams, directory and environment, lives and ends as the
child does, and takes the child along if it is ended itself. Without a nursery it becomes the interpreter, only slower. What the
interpreter reads when it starts, as PYTHONPATH, is as the nursery had it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import sys
from types import ModuleType

NURSERY = "CALIBRANT_NURSERY"
"""The environment variable that has the path of the nursery's socket."""

_PATIENCE = 2.0
"""Seconds for which a nursery and who asks it wait for each other, until the child is granted."""


def _signals(*names: str) -> list[int]:
    """Those that there are: Windows has no nursery, and not all of these signals."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


_SENT_TO_ALL = _signals("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
"""Signals that whole groups of processes are sent: a nursery outlives its children."""
_INHERITED = [*_SENT_TO_ALL, *_signals("SIGCHLD")]
"""Signals that a child ignores if who asked for it does, and that the nursery has its own way with."""
_PR_SET_PDEATHSIG = 1
"""The number of what makes Linux send a process a signal when its parent ends."""

Request = tuple[list[bytes], bytes, dict[bytes, bytes], bool, list[int]]
"""Arguments, folder, environment, whether the child leads a session, and which of the inherited signals it ignores."""


def command() -> list[str]:
    """The interpreter on a command line: a child of the nursery where there is one."""
    path = os.environ.get(NURSERY)
    return [sys.executable] if path is None else [sys.executable, "-IS", __file__, path]


def stand_for_child(path: str, arguments: list[str]) -> None:
    """Ask the nursery at `path` for a child, and end with it; if there is no nursery, become the interpreter."""
    ignored = [int(number) for number in _INHERITED if signal.getsignal(number) is signal.SIG_IGN]
    leads = os.getsid(0) == os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child is sent it as well
    nursery, granted = socket.socket(socket.AF_UNIX), b""
    nursery.settimeout(_PATIENCE)
    if nursery.fileno() > 2:  # or else a standard file is closed, and the interpreter is not to find another there
        with contextlib.suppress(OSError):
            request: Request = ([*map(os.fsencode, arguments)], os.getcwdb(), {**os.environb}, leads, ignored)
            nursery.connect(path)
            nursery.sendall(marshal.dumps(request))
            granted = nursery.recv(1)
    if granted:
        end_with_child(nursery, leads)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *arguments])


def end_with_child(nursery: socket.socket, leads: bool) -> None:
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
        end(child, leads)
    status = int(said or 1)
    if status < 0:
        import resource  # which Windows has not

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # of SIGKILL there is only the default
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def end(child: int, leads: bool) -> None:
    """End a child, and with it the session that it leads."""
    for kill in (os.kill, os.killpg) if leads else (os.kill,):
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


class Child:
    """A child of the nursery."""

    def __init__(self, number: int, leads: bool, asking: socket.socket) -> None:
        self.number = number
        self.leads = leads
        self.asking = asking
        try:
            self.over = os.pidfd_open(number)
        except OSError:
            end(number, leads)
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
        end(self.number, self.leads)
        self.tell(os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1]))
        self.close()

    def close(self) -> None:
        """Close both files."""
        os.close(self.over)
        self.asking.close()


def serve(listener: socket.socket, until: int) -> Request:
    """Give a child to each who asks, until the end of the file `until`, when all end. It returns in a child, with what it is to be."""
    children: list[Child] = []
    while True:
        watched = {until, listener.fileno()}.union(*(child.files() for child in children))
        ready = set(select.select(watched, [], [])[0])
        for child in [child for child in children if ready & {until, *child.files()}]:
            child.bury()
            children.remove(child)
        if until in ready:
            os._exit(0)
        if listener.fileno() not in ready or not (granted := asked(listener)):
            continue
        request, asking, files = granted
        try:
            if number := os.fork():
                children.append(Child(number, request[3], asking))
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


def asked(listener: socket.socket) -> tuple[Request, socket.socket, list[int]] | None:
    """What the next one asks for, who is told that it is granted, and the standard files of the child."""
    asking = listener.accept()[0]
    asking.settimeout(_PATIENCE)
    files: list[int] = []
    try:
        with asking.makefile("rb") as stream:
            request: Request = marshal.load(stream)
        asking.sendall(b"y")
        _, files, _, _ = socket.recv_fds(asking, 1, 3)
        if not files:
            raise EOFError
    except (OSError, EOFError, ValueError, TypeError):  # who asks has ended, was stopped, or is not a stand-in
        for file in (asking.detach(), *files):
            os.close(file)
        return None
    return request, asking, files


def be(arguments: list[bytes], folder: bytes, environment: dict[bytes, bytes], leads: bool, ignored: list[int]) -> None:
    """In the child: do what the interpreter does with these arguments."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in _INHERITED:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if leads:
        os.setsid()
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environment)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    way, what, *rest = map(os.fsdecode, arguments[arguments[0] == b"-u" :])
    sys.argv[:] = [way, *rest]
    if not sys.flags.safe_path:
        sys.path[0] = "" if way == "-c" else os.fsdecode(folder)
    main = sys.modules["__main__"] = ModuleType("__main__")
    if way == "-c":
        exec(compile(what, "<string>", "exec", dont_inherit=True), vars(main))
    else:
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]  # as `python -m` does


def main(listener: int, at_once: bool, modules: list[str]) -> None:
    """Be the nursery: import the modules, say so, and serve at a socket until standard input ends.

    The interpreter's end touches, and so copies, all that is shared. A child may do without most of it, and end `at_once`.
    """
    for number in _SENT_TO_ALL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    until = os.dup(0)
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    os.write(1, b"y")
    with open(os.devnull, "r+b") as nothing:
        for standard in (0, 1):
            os.dup2(nothing.fileno(), standard)
    be(*serve(socket.socket(fileno=listener), until))
    if at_once:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


if __name__ == "__main__":
    if sys.flags.no_site:
        stand_for_child(sys.argv[1], sys.argv[2:])
    else:
        main(int(sys.argv[1]), sys.argv[2] == "at-once", sys.argv[3:])

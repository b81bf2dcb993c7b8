"""Python processes that begin with what one process has imported for all of them.

The processes of a check need the same libraries; torch alone takes seconds and 140 MB. A nursery is a process that has imported
them and done nothing else. Its children are forked, and share what it holds until they change it. `nursery` yields a command
line that starts a child in the place of the interpreter:

    python -IS forking.py SOCKET [-u] -c CODE [ARGUMENTS]

This process stands for the child: it asks the nursery for a child with its own arguments, streams, environment and folder, and
ends as the child does. A child ends, with the session that it leads, when its nursery or its stand-in ends. If the nursery does not
answer, the stand-in starts the interpreter in a session of its own, only slower. Files in the working directory hide no module.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

_PATIENCE = 2.0
"""Seconds for which a nursery and a stand-in wait for each other, until the child is granted."""
_IMPORTING = 60.0
"""Seconds that a nursery may take to import."""
_PR_SET_PDEATHSIG = 1
"""Linux's number for the signal that a process is sent when its parent ends."""


@contextlib.contextmanager
def nursery(modules: Sequence[str]) -> Iterator[list[str]]:
    """The interpreter's command line; while the block lasts, it starts a child of a nursery that has imported the modules.

    Where the system can have no nursery, it starts the interpreter anew.
    """
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        path, begin = f"{folder}/nursery", f"from {__name__} import _main; _main()"
        with subprocess.Popen(
            [sys.executable, "-P", "-u", "-c", begin, path, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                serves = select.select([process.stdout], [], [], _IMPORTING)[0] and process.stdout.read(1)
                if not serves:
                    process.kill()
                yield [sys.executable, "-IS", __file__, path]
            finally:
                process.kill()


def _end(child: int) -> None:
    """End a child, and the session that it leads once it has begun."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


# The process that stands for a child


def _stand_for_child(path: str, *arguments: str) -> None:  # pragma: no cover  # without site, nothing is measured
    """Ask the nursery at `path` for a child, or start the interpreter without one; end as it does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until there is a child to pass it on to
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where ends of children are ignored, they have no status
    nursery = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nursery.settimeout(_PATIENCE)
    if nursery.fileno() > 2:  # or else a standard file is closed, and stays so in the interpreter alone
        with contextlib.suppress(OSError):
            nursery.connect(path)
            nursery.send(marshal.dumps((arguments, {**os.environ}, os.getcwd())))
            if nursery.recv(1):
                nursery.settimeout(None)
                socket.send_fds(nursery, [b"y"], [0, 1, 2])
                if child := int(nursery.recv(16) or 0):
                    _end_with_child(child, nursery)
    child = os.fork()
    if not child:
        os.setsid()
        _end_with_parent()
        # Python's own handler would raise here, before the interpreter begins.
        if callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.execv(sys.executable, [sys.executable, "-P", *arguments])
    _end_with_child(child)


def _end_with_child(child: int, nursery: socket.socket | None = None) -> None:  # pragma: no cover  # likewise
    """End as a child does, whose status the nursery tells if it is no child of this process."""
    signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGINT))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    os.closerange(0, 3)  # so that whoever reads them is told when the child closes them
    if nursery is None:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        _end(child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        said = b""
        with contextlib.suppress(OSError):
            said = nursery.recv(16)
        if not said:  # its keeper was ended, maybe by the child
            _end(child)
        status = int(said or 1)
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has only the default
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


# The nursery


def _end_with_parent() -> None:
    """Have Linux end this process with its parent, even if somebody has stopped it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _main() -> None:
    """Be the nursery: import the modules, say so, and serve at a socket until standard input ends; then be a child."""
    _end_with_parent()
    path, *modules = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(os.pidfd_open(os.getpid()))  # or end here, on a system that has none
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        for module in modules:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()
        listener.listen()
        os.write(1, b"y")
        arguments, environment, folder = _serve(listener)
    _end_with_parent()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _, code, *sys.argv[1:] = arguments[arguments[0] == "-u" :]
    exec(compile(code, "<string>", "exec", dont_inherit=True), vars(sys.modules["__main__"]))
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # the interpreter's own end touches, and so copies, all that is shared


def _serve(listener: socket.socket) -> tuple[list[str], dict[str, str], str]:
    """Give a keeper to each stand-in, until standard input ends. It returns in a child, with arguments, environment and folder."""
    while True:
        watched: list[int | socket.socket] = [0, listener]
        ready = select.select(watched, [], [])[0]
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if 0 in ready:
            os._exit(0)
        asking, files, number = listener.accept()[0], list[int](), -1
        # The stand-in ended or was stopped, or is none, or there are enough processes.
        with asking, contextlib.suppress(OSError, EOFError, ValueError, TypeError):
            asking.settimeout(_PATIENCE)
            arguments, environment, folder = marshal.loads(asking.recv(2**20))
            asking.send(b"y")
            files = socket.recv_fds(asking, 1, 3)[1]
            number = os.fork() if files else -1
            if number == 0:
                _keep(asking, files)
        for file in files:
            os.close(file)
        if number == 0:
            return arguments, environment, folder


def _keep(asking: socket.socket, files: list[int]) -> None:
    """Keep one child: end it with its stand-in, and tell how it ends. It returns in the child.

    The keeper is the parent that a child sees; a child that ends or stops its parent harms no other.
    """
    _end_with_parent()
    try:
        number = os.fork()
    except OSError:
        os._exit(1)
    if number == 0:
        os.setsid()
        for standard, file in enumerate(files):
            os.dup2(file, standard)
        return
    os.closerange(0, 3)
    for file in files:
        os.close(file)
    over = os.pidfd_open(number)
    with contextlib.suppress(OSError):  # the stand-in may have ended
        asking.send(b"%d" % number)
        asking.settimeout(None)
        select.select([over, asking.fileno()], [], [])
    _end(number)
    status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    with contextlib.suppress(OSError):
        asking.send(b"%d" % status)
    os._exit(0)


if __name__ == "__main__":
    _stand_for_child(*sys.argv[1:])

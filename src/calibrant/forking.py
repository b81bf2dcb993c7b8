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
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from types import ModuleType

NURSERY = "CALIBRANT_NURSERY"
"""The environment variable that has the path of the nursery's socket."""


def command() -> list[str]:
    """The interpreter on a command line: a child of the nursery where there is one."""
    path = os.environ.get(NURSERY)
    return [sys.executable] if path is None else [sys.executable, "-IS", __file__, path]


def stand_for_child(path: str, arguments: list[str]) -> None:
    """Ask the nursery at `path` for a child, and end with it; if there is no nursery, become the interpreter."""
    leads = os.getsid(0) == os.getpid()
    request = json.dumps(
        {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ), "leads": leads}
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child is sent it as well
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as nursery:
        nursery.connect(path)
        socket.send_fds(nursery, [b"\n"], [0, 1, 2])
        nursery.sendall(request.encode() + b"\n")
        if nursery.recv(1):
            os._exit(int(nursery.recv(3) or 1))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *arguments])


def serve(listener: socket.socket, until: int) -> None:
    """Give a child to each who asks; at the end of the file `until` all of them end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers need not be waited for
    while True:
        if until in select.select([listener.fileno(), until], [], [])[0]:
            with contextlib.suppress(ChildProcessError):  # which is raised when the last keeper has ended
                os.waitpid(-1, 0)
            os._exit(0)
        connection = listener.accept()[0]
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep(connection, until)
        connection.close()


def keep(connection: socket.socket, until: int) -> None:
    """In a process of its own: fork the child, and end it when whoever asked for it has ended, or when all end."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as lines:
        asked = json.loads(lines.readline() or "null")
    if asked is None:  # who asked did not live to say for what
        os._exit(1)
    child = os.fork()
    if not child:
        for number, file in enumerate(files):
            os.dup2(file, number)
        for file in (*files, until, connection.detach()):
            os.close(file)
        be(**asked)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):  # nobody may be left to be told
        connection.sendall(b"y")
    select.select([os.pidfd_open(child), connection.fileno(), until], [], [])
    os.kill(child, signal.SIGKILL)  # which is too late if it has ended
    if asked["leads"]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):  # nobody may be left to be told
        connection.sendall(str(status & 0xFF).encode())
    os._exit(0)


def be(arguments: list[str], folder: str, environment: dict[str, str], leads: bool) -> None:
    """In the child: do what the interpreter does with these arguments, and end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if leads:
        os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    way, what, *rest = arguments[arguments[0] == "-u" :]
    sys.argv[:] = [way, *rest]
    if not sys.flags.safe_path:
        sys.path[0] = "" if way == "-c" else folder
    status = 0
    try:
        if way == "-c":
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(what, vars(main))
        else:
            runpy.run_module(what, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int):
            status = end.code
        elif end.code is not None:
            print(end.code, file=sys.stderr)
            status = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status & 0xFF)  # the interpreter's own end would touch, and so copy, all that is shared


def main(listener: int, modules: list[str]) -> None:
    """Be the nursery: import the modules, and serve at a socket until standard input ends."""
    until = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=listener), until)


if __name__ == "__main__":
    if sys.flags.no_site:
        stand_for_child(sys.argv[1], sys.argv[2:])
    else:
        main(int(sys.argv[1]), sys.argv[2:])

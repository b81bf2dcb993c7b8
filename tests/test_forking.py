"""A process that is forked from a nursery behaves as the interpreter does."""

from __future__ import annotations

import contextlib
import errno
import json
import marshal
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from support import PATIENCE, checked, run, target

from calibrant.target import forking
from calibrant.target.forking import nursery

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system can have no nursery")

BOTH = pytest.mark.parametrize("python", [True, False], ids=["forked", "not forked"], indirect=True)

TELLS = """
import json, os, signal, sys

def told():
    print(json.dumps({
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),
        "first": sys.path[0],
        "variables": [os.environ.get("A"), os.environ.get("B")],
        "read": sys.stdin.read(),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "children": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        "main": vars(sys.modules["__main__"]) is globals() and __name__,
        "files": sorted(os.listdir("/proc/self/fd"), key=int)[:-1],  # the last is that of the listing
    }))
    print("a complaint", file=sys.stderr)
    sys.exit(json.loads(sys.argv[1]))

told()
"""

LEAVES = """
import atexit, sys, threading, time

def later():
    time.sleep(0.1)
    print("a thread has ended")

unwritten = open(sys.argv[1], "w")
unwritten.write("written in the end")
atexit.register(print, "the end has begun")
threading.Thread(target=later).start()
"""

STARTS = """
import os, subprocess, sys
other = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
print(os.getpid(), other.pid, flush=True)
sys.stdin.read()
"""


def stand_in(python: list[str], code: str, **options: Any) -> tuple[subprocess.Popen[str], IO[str]]:
    """A stand-in for a child that runs code, and the child's output."""
    piped = subprocess.PIPE
    process = subprocess.Popen([*python, "-c", code], stdin=piped, stdout=piped, text=True, **options)
    assert process.stdout is not None
    return process, process.stdout


@pytest.fixture
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command line for a child of a nursery, or of a nursery that is gone."""
    monkeypatch.setenv("B", "inherited")
    with nursery(["statistics"]) as command:
        yield command if request.param else [*command[:-1], f"{command[-1]} is gone"]


def ends(number: int) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
                continue
        return True
    return False


STATUSES = {
    "0": (0, "a complaint\n"),
    "3": (3, "a complaint\n"),
    "null": (0, "a complaint\n"),
    '"the reason"': (1, "a complaint\nthe reason\n"),
}


@BOTH
@pytest.mark.parametrize(("way", "status"), [("-m", "0"), ("-c", "3"), ("-c", "null"), ("-m", '"the reason"')])
def test_a_child_is_what_the_interpreter_would_be(python: list[str], way: str, status: str, tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TELLS)
    environment = {name: value for name, value in os.environ.items() if name != "B"} | {"A": "ü\n\udcff"}

    done = subprocess.run(
        [*python, way, "telling" if way == "-m" else TELLS, status, "ü \udcff"],
        input="what is read",
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == STATUSES[status]
    assert json.loads(done.stdout) == {
        "arguments": [status, "ü \udcff"],
        "folder": str(tmp_path),
        "first": str(tmp_path) if way == "-m" else "",
        "variables": ["ü\n\udcff", None],
        "read": "what is read",
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "children": True,
        "main": "__main__",
        "files": ["0", "1", "2"],
    }


KILLS = "import os, signal\nif {0} != 9: signal.signal({0}, signal.SIG_DFL)\nos.kill(os.getpid(), {0})"
ENDS = {
    "an error": ("import atexit; atexit.register(print, 'the end'); 1 / 0", 1, "the end\n"),
    "SIGABRT": (KILLS.format(6), -6, ""),
    "SIGKILL": (KILLS.format(9), -9, ""),
    "an interrupt": ("raise KeyboardInterrupt", -2, ""),
    "without our own __future__": ("def f(x: int): pass\nprint(f.__annotations__)", 0, "{'x': <class 'int'>}\n"),
    "a thread and an open file": (LEAVES, 0, "a thread has ended\nthe end has begun\n"),
}


@BOTH
@pytest.mark.parametrize(("code", "status", "printed"), ENDS.values(), ids=ENDS)
def test_a_child_ends_as_the_interpreter_does(
    python: list[str], code: str, status: int, printed: str, tmp_path: Path
) -> None:
    done = run(*python[1:], "-u", "-c", code, str(tmp_path / "file"))

    assert (done.returncode, done.stdout) == (status, printed)
    if status == 1:
        assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    if code == LEAVES:
        assert (tmp_path / "file").read_text() == "written in the end"


def test_a_child_may_end_at_once(tmp_path: Path) -> None:
    with nursery([], at_once=True) as python:
        done = run(*python[1:], "-c", LEAVES, str(tmp_path / "file"))

    assert (done.returncode, done.stdout) == (0, "the end has begun\n")


@pytest.mark.parametrize(("refused", "later"), [("fork", "True\n"), ("pidfd_open", "False\n")])
def test_where_a_nursery_can_have_no_child_the_interpreter_is_started(
    refused: str, later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may lack processes for a while, or open files. The attendant of each child asks for a file once."""
    (tmp_path / "refusing.py").write_text(f"""
import os
allowed = os.{refused}
def refused(*arguments):
    os.{refused} = allowed
    raise BlockingIOError
os.{refused} = refused
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tells = "import sys, time; time.sleep(0.5); print('refusing' in sys.modules)"
    with nursery(["refusing"]) as python:
        for printed in ("False\n", later):
            done = run(*python[1:], "-c", tells)
            assert (done.returncode, done.stdout) == (0, printed)


def test_where_there_can_be_no_nursery_the_interpreter_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSYS, "not here")

    long = tmp_path / ("x" * 100)  # too long for the path of a socket
    long.mkdir()
    changes: list[tuple[Any, str, Any]] = [(os, "pidfd_open", refused), (socket.socket, "bind", refused)]
    for owner, name, value in [*changes, (tempfile, "tempdir", str(long))]:
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, value)
            with nursery([]) as command:
                assert command == [sys.executable]
    with nursery(["nowhere_at_all"]) as command:
        assert command == [sys.executable]


def test_a_child_ends_with_its_attendant_even_if_nobody_is_left_to_end_it() -> None:
    with nursery([]) as python:
        process, printed = stand_in(python, f"import os; print(os.getppid())\n{STARTS}")
        attendant = int(printed.readline())
        child, other = map(int, printed.readline().split())
        try:
            os.kill(attendant, signal.SIGSTOP)
            process.kill()
            process.wait()
            os.kill(attendant, signal.SIGKILL)

            assert ends(child)
        finally:
            os.kill(other, signal.SIGKILL)
            process.communicate()


def test_children_have_no_files_of_each_other() -> None:
    lists = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1], flush=True); input()"
    with nursery([]) as python, contextlib.ExitStack() as stack:
        for _ in range(3):
            process, printed = stand_in(python, lists)
            stack.callback(process.communicate, timeout=PATIENCE)
            assert printed.readline() == "['0', '1', '2']\n"


@pytest.mark.parametrize("first", ["stand-in", "nursery", "child"])
@pytest.mark.parametrize("leads", [False, True], ids=["", "leading a session"])
def test_the_stand_in_the_nursery_and_the_child_end_together(first: str, leads: bool) -> None:
    """A child that leads a session ends with all processes that it started."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(nursery([]))
        process, printed = stand_in(python, STARTS, start_new_session=leads)
        child, other = map(int, printed.readline().split())
        try:
            assert os.getsid(child) == (child if leads else os.getsid(0))
            if first == "stand-in":
                process.kill()
            elif first == "nursery":
                stack.close()
            else:
                os.kill(child, signal.SIGTERM)

            assert process.wait(PATIENCE) == -(signal.SIGTERM if first == "child" else signal.SIGKILL)
            assert ends(child)
            if leads:
                assert ends(other)
        finally:
            process.communicate()
            if not leads:
                os.kill(other, signal.SIGKILL)


def test_a_nursery_ends_with_the_process_that_started_it() -> None:
    code = f"""
import os, signal, subprocess
from calibrant.target.forking import nursery
with nursery([]) as python:
    child = subprocess.Popen([*python, "-c", {STARTS!r}], stdin=subprocess.PIPE, start_new_session=True)
    signal.pause()
"""
    starting, printed = stand_in([sys.executable], code)
    numbers = [int(number) for number in printed.readline().split()]

    starting.kill()
    starting.communicate(timeout=PATIENCE)

    assert len(numbers) == 2
    assert all(map(ends, numbers))


def test_a_child_that_ends_its_attendant_ends_with_it() -> None:
    """Otherwise it would live on, unknown to every other process."""
    with nursery([]) as python:
        ending = f"import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n{STARTS}"
        process, printed = stand_in(python, ending, start_new_session=True)
        numbers = [int(number) for number in printed.readline().split()]

        assert process.wait(PATIENCE) == 1
        assert all(map(ends, numbers))
        process.communicate()


def test_without_an_answer_of_the_nursery_the_interpreter_is_started() -> None:
    """A child may have stopped the nursery."""
    hurried = """
import sys
from calibrant.target import forking
forking._PATIENCE = 0.1
forking._stand_for_child(sys.argv[1], ["-c", "import os; print(os.getpid())"])
"""
    stops = """
import os, pathlib, signal
attendant = pathlib.Path(f"/proc/{os.getppid()}/stat").read_text()
os.kill(int(attendant.rpartition(")")[2].split()[1]), signal.SIGSTOP)
print("stopped")
"""
    with nursery([]) as python:
        stopping, printed = stand_in(python, stops)
        assert printed.readline() == "stopped\n"
        done = subprocess.Popen([sys.executable, "-c", hurried, python[-1]], stdout=subprocess.PIPE, text=True)

        assert done.communicate(timeout=PATIENCE)[0] == f"{done.pid}\n"
    stopping.communicate(timeout=PATIENCE)
    assert stopping.returncode == 0


def test_a_reader_sees_that_a_child_closes_its_files() -> None:
    """By that alone xdist notices a worker that closes them and hangs."""
    closing = "import os, time; print('closes', flush=True); os.closerange(0, 3); time.sleep(600)"
    with nursery([]) as python:
        process, printed = stand_in(python, closing)
        try:
            reader = threading.Thread(target=printed.read, daemon=True)
            reader.start()
            reader.join(PATIENCE)

            assert not reader.is_alive()
            assert process.poll() is None
        finally:
            process.kill()
            process.communicate()


def test_signals_that_are_ignored_stay_so() -> None:
    """A nursery inherits them. Where SIGCHLD is ignored, the system reaps its children, and it serves nevertheless."""
    tells = """
import signal, sys
ignored = [int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]
print("statistics" in sys.modules, ignored)
"""
    code = f"""
import signal, subprocess, sys
from calibrant.target.forking import nursery
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
with nursery(["statistics"]) as python:
    for command in ([sys.executable], python):
        print(subprocess.check_output([*command, "-c", {tells!r}], text=True), end="")
"""
    for ignored in ([], ["SIGINT"], ["SIGTERM", "SIGHUP"], ["SIGQUIT", "SIGCHLD"]):
        plain, forked = run("-c", code, *ignored).stdout.splitlines()
        assert forked == plain.replace("False", "True")
        assert all(str(int(getattr(signal, name))) in plain for name in ignored)


@BOTH
@pytest.mark.parametrize(("number", "closed"), [(0, "<&-"), (1, ">&-"), (2, "2>&-")])
def test_standard_files_may_be_closed(python: list[str], number: int, closed: str, tmp_path: Path) -> None:
    file = tmp_path / "told"
    tells = f"import sys; open({str(file)!r}, 'w').write(str([sys.stdin, sys.stdout, sys.stderr].index(None)))"
    started = ["sh", "-c", f'exec "$@" {closed}', "sh", *python, "-c", tells]

    assert subprocess.run(started, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL).returncode == 0
    assert file.read_text() == str(number)


def test_a_nursery_outlives_the_signals_to_its_group() -> None:
    code = """
import os, signal, subprocess
from calibrant.target.forking import nursery
os.setsid()
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
for number in numbers:
    signal.signal(number, lambda *_: None)
with nursery(["statistics"]) as python:
    for number in numbers:
        os.killpg(0, number)
    print(subprocess.call([*python, "-c", "import sys; sys.exit('statistics' in sys.modules)"]))
"""
    done = run("-c", code)

    assert done.stdout == "1\n", done.stderr


def test_a_stand_in_that_ends_before_it_is_served_does_no_harm() -> None:
    with nursery(["statistics"]) as python:
        whole = marshal.dumps(([b"-c", b"print('never')"], b"/", {}, False, []))
        for said, answer in ((b"", b""), (whole[:-3], b""), (whole, b"y")):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(python[-1])
                asking.sendall(said)
                asking.shutdown(socket.SHUT_WR)
                assert asking.makefile("rb").read() == answer

        assert run(*python[1:], "-c", "import sys; print('statistics' in sys.modules)").stdout == "True\n"


def test_a_nursery_that_imports_for_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "number"
    sleeping = f"import pathlib, time, os\npathlib.Path({str(file)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    (tmp_path / "sleeping.py").write_text(sleeping)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(forking, "_IMPORTING", 1.0)
    monkeypatch.setattr(forking, "_GRACE", 0.1)
    with nursery(["sleeping"]) as command:
        assert command == [sys.executable]
        while not file.exists():
            time.sleep(0.01)

    assert ends(int(file.read_text()))


SOME = ("--seed=1", "--workers=1", "--clause=loss.mean-square")


def test_the_imports_of_a_nursery_do_not_count_as_imports_of_the_target(tmp_path: Path) -> None:
    """The least time limit is enough for a target that imports nothing."""
    told, _ = checked(tmp_path, target(tmp_path, "def loss_fn(t_p, t_c):\n    return 0.0"), "--timeout=0.05", *SOME)

    assert told["target"]["operations"] == ["loss_fn"]


def test_a_check_is_the_same_without_a_nursery(tmp_path: Path) -> None:
    """A temporary folder with a long name forbids the nursery. Neither check warns."""
    spec = target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()")
    long = tmp_path / ("x" * 100)
    long.mkdir()

    forked, _ = checked(tmp_path, spec, *SOME, PYTHONWARNINGS="error")
    plain, _ = checked(tmp_path, spec, *SOME, PYTHONWARNINGS="error", TMPDIR=str(long))

    assert forked == plain
    assert forked["exit_status"] == 1

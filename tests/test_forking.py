"""Processes that are forked from a nursery are what the interpreter would have been."""

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


def run_child(python: list[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The end of a process that runs code."""
    return run(*python[1:], "-c", code, *arguments)


def stand_in(python: list[str], code: str, **options: Any) -> tuple[subprocess.Popen[str], IO[str]]:
    """A process that stands for a child that runs code, and the child's output."""
    process = subprocess.Popen(
        [*python, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    return process, process.stdout


@pytest.fixture
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command line of a child of a nursery, or of a nursery that is not there."""
    monkeypatch.setenv("B", "inherited")
    with nursery(["statistics"]) as command:
        yield command if request.param else [*command[:-1], f"{command[-1]} is gone"]


def ends(number: int) -> bool:
    """Whether a process ends, in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
                continue
        return True
    return False


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

    assert (done.returncode, done.stderr) == {
        "0": (0, "a complaint\n"),
        "3": (3, "a complaint\n"),
        "null": (0, "a complaint\n"),
        '"the reason"': (1, "a complaint\nthe reason\n"),
    }[status]
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


@BOTH
def test_an_error_is_told(python: list[str]) -> None:
    done = subprocess.run(
        [*python, "-u", "-c", "import atexit; atexit.register(print, 'the end'); 1 / 0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "the end\n")
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


@BOTH
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL])
def test_a_signal_that_ends_a_child_is_told(python: list[str], number: int) -> None:
    ending = (
        f"import os, signal\nif {number} != 9: signal.signal({number}, signal.SIG_DFL)\nos.kill(os.getpid(), {number})"
    )

    assert run(*python[1:], "-c", ending).returncode == -number


@BOTH
def test_an_interrupt_is_told(python: list[str]) -> None:
    assert run(*python[1:], "-c", "raise KeyboardInterrupt").returncode == -signal.SIGINT


@BOTH
def test_code_is_compiled_as_it_is(python: list[str]) -> None:
    """And not with what this package imports from __future__."""
    done = run(*python[1:], "-c", "def f(x: int): pass\nprint(f.__annotations__)")

    assert done.stdout == "{'x': <class 'int'>}\n"


@pytest.mark.parametrize("refused", ["fork", "pidfd_open"])
def test_where_a_nursery_can_have_no_child_the_interpreter_is_started(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have enough of processes, or of open files, for a while."""
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
        first, second = (run_child(python, tells) for _ in range(2))

    assert (first.returncode, first.stdout) == (0, "False\n")
    assert (second.returncode, second.stdout) == (0, "True\n")


def test_where_the_kernel_refuses_what_a_nursery_needs_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSYS, "not here")

    for owner, name in ((os, "pidfd_open"), (socket.socket, "bind")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, refused)
            with nursery([]) as command:
                assert command == [sys.executable]


def test_a_child_ends_with_its_nursery_even_if_nobody_is_left_to_end_it() -> None:
    with nursery([]) as python:
        process, printed = stand_in(python, f"import os; print(os.getppid())\n{STARTS}")
        its_nursery = int(printed.readline())
        child, other = map(int, printed.readline().split())
        try:
            os.kill(its_nursery, signal.SIGSTOP)
            process.kill()
            process.wait()
            os.kill(its_nursery, signal.SIGKILL)

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


STARTS = """
import os, subprocess, sys
other = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
print(os.getpid(), other.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("first", ["who asked", "the nursery", "the child"])
@pytest.mark.parametrize("leads", [False, True], ids=["", "leading a session"])
def test_who_asked_the_nursery_and_the_child_end_together(first: str, leads: bool) -> None:
    """A child that leads a session is ended with all that it started."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(nursery([]))
        process, printed = stand_in(python, STARTS, start_new_session=leads)
        child, other = map(int, printed.readline().split())
        try:
            assert os.getsid(child) == (child if leads else os.getsid(0))
            if first == "who asked":
                process.kill()
            elif first == "the nursery":
                stack.close()
            else:
                os.kill(child, signal.SIGTERM)

            assert process.wait(PATIENCE) == -(signal.SIGTERM if first == "the child" else signal.SIGKILL)
            assert ends(child)
            if leads:
                assert ends(other)
        finally:
            process.communicate()
            if not leads:
                os.kill(other, signal.SIGKILL)


def test_a_nursery_ends_with_whoever_started_it() -> None:
    code = f"""
import os, signal, subprocess
from calibrant.target.forking import nursery
with nursery([]) as python:
    child = subprocess.Popen([*python, "-c", {STARTS!r}], stdin=subprocess.PIPE, start_new_session=True)
    signal.pause()
"""
    starting = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starting.stdout is not None
    numbers = [int(number) for number in starting.stdout.readline().split()]

    starting.kill()
    starting.communicate(timeout=PATIENCE)

    assert len(numbers) == 2
    assert all(ends(number) for number in numbers)


def test_a_child_that_ends_its_nursery_ends_with_it() -> None:
    """Or else it would live on with nobody who knows of it."""
    with nursery([]) as python:
        ending = f"import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n{STARTS}"
        process, printed = stand_in(python, ending, start_new_session=True)
        numbers = [int(number) for number in printed.readline().split()]

        assert process.wait(PATIENCE) == 1
        assert all(ends(number) for number in numbers)
        process.communicate()


def test_a_nursery_that_does_not_answer_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child may have stopped it."""
    monkeypatch.setattr(forking, "_GRACE", 0.1)
    hurried = """
import sys
from calibrant.target import forking
forking._PATIENCE = 0.1
forking._stand_for_child(sys.argv[1], ["-c", "import os; print(os.getpid())"])
"""
    stops = "import os, signal; os.kill(os.getppid(), signal.SIGSTOP); print('stopped')"
    with nursery([]) as python:
        stopping, printed = stand_in(python, stops)
        assert printed.readline() == "stopped\n"
        done = subprocess.Popen([sys.executable, "-c", hurried, python[-1]], stdout=subprocess.PIPE, text=True)

        assert done.communicate(timeout=PATIENCE)[0] == f"{done.pid}\n"
    stopping.communicate(timeout=PATIENCE)
    assert stopping.returncode == 0


def test_who_reads_from_a_child_is_told_when_it_closes_its_files() -> None:
    """xdist knows by that alone that a worker is lost which closes them and hangs."""
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
    tells = "import signal; print([int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN])"
    code = f"""
import signal, subprocess, sys
from calibrant.target.forking import nursery
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
with nursery([]) as python:
    for command in ([sys.executable], python):
        print(subprocess.check_output([*command, "-c", {tells!r}]))
"""
    for ignored in ([], ["SIGINT"], ["SIGTERM", "SIGHUP"], ["SIGQUIT", "SIGCHLD"]):
        plain, forked = run("-c", code, *ignored).stdout.splitlines()
        assert forked == plain
        assert all(str(int(getattr(signal, name))) in plain for name in ignored)


def test_a_nursery_serves_whoever_ignores_the_ends_of_children() -> None:
    """The system buries their children for them, and a nursery inherits that."""
    code = """
import os, signal, subprocess
from calibrant.target.forking import nursery
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with nursery(["statistics"]) as python:
    for _ in range(2):
        print(subprocess.check_output([*python, "-c", "import sys; print('statistics' in sys.modules)"]))
"""
    assert run("-c", code).stdout == "b'True\\n'\n" * 2


@BOTH
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_standard_files_may_be_closed(python: list[str], closed: str, tmp_path: Path) -> None:
    tells = (
        f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(str([sys.stdin, sys.stdout, sys.stderr].index(None)))"
    )
    started = ["sh", "-c", f'exec "$@" {closed}', "sh", *python, "-c", tells]

    assert subprocess.run(started, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL).returncode == 0
    assert (tmp_path / "told").read_text() == str(["<&-", ">&-", "2>&-"].index(closed))


def test_a_nursery_outlives_what_its_whole_group_is_sent() -> None:
    code = """
import os, signal, subprocess
from calibrant.target.forking import nursery
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, lambda *_: None)
with nursery(["statistics"]) as python:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.killpg(0, number)
    print(subprocess.call([*python, "-c", "import sys; sys.exit('statistics' in sys.modules)"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        start_new_session=True,
    )
    assert done.stdout == "1\n", done.stderr


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


@BOTH
def test_a_child_tidies_up_as_the_interpreter_does(python: list[str], tmp_path: Path) -> None:
    done = run(*python[1:], "-c", LEAVES, str(tmp_path / "file"))

    assert done.stdout == "a thread has ended\nthe end has begun\n"
    assert (tmp_path / "file").read_text() == "written in the end"


def test_a_child_may_end_at_once(tmp_path: Path) -> None:
    with nursery([], at_once=True) as python:
        done = run_child(python, LEAVES, str(tmp_path / "file"))

    assert (done.returncode, done.stdout) == (0, "the end has begun\n")


def test_who_ends_before_asking_is_not_served_and_the_next_one_is() -> None:
    with nursery([]) as python:
        whole = marshal.dumps(([b"-c", b"print('never')"], b"/", {}, False, []))
        for said, answer in ((b"", b""), (whole[:-3], b""), (whole, b"y")):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(python[-1])
                asking.sendall(said)
                asking.shutdown(socket.SHUT_WR)
                assert asking.makefile("rb").read() == answer

        assert run_child(python, "print('served')").stdout == "served\n"


def test_a_nursery_that_ends_while_it_imports_is_done_without() -> None:
    with nursery(["nowhere_at_all"]) as command:
        assert command == [sys.executable]


def test_a_nursery_that_imports_for_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeping.py").write_text(f"""
import pathlib, time, os
pathlib.Path({str(tmp_path / "number")!r}).write_text(str(os.getpid()))
time.sleep(600)
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(forking, "_IMPORTING", 1.0)
    monkeypatch.setattr(forking, "_GRACE", 0.1)
    with nursery(["sleeping"]) as command:
        assert command == [sys.executable]
        while not (tmp_path / "number").exists():
            time.sleep(0.01)

    assert ends(int((tmp_path / "number").read_text()))


SOME = ("--seed=1", "--workers=1", "--clause=loss.mean-square")


def test_imports_for_all_do_not_count_as_those_of_the_target(tmp_path: Path) -> None:
    """The least patience is enough for a target that is imported in no time."""
    told, _ = checked(tmp_path, target(tmp_path, "def loss_fn(t_p, t_c):\n    return 0.0"), "--timeout=0.05", *SOME)

    assert told["target"]["operations"] == ["loss_fn"]


def test_a_path_too_long_for_a_socket_means_no_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    with nursery([]) as command:
        assert command == [sys.executable]


def test_a_check_is_the_same_without_a_nursery(tmp_path: Path) -> None:
    """Its temporary folder may have a path that no socket can have. No warning is given in either."""
    source = "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()"
    spec = target(tmp_path, source)
    long = tmp_path / ("x" * 100)
    long.mkdir()

    with_it, _ = checked(tmp_path, spec, *SOME, PYTHONWARNINGS="error")
    without, _ = checked(tmp_path, spec, *SOME, PYTHONWARNINGS="error", TMPDIR=str(long))

    assert with_it == without
    assert with_it["exit_status"] == 1

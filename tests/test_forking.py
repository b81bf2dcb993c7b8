"""Processes that are forked from a nursery are what the interpreter would have been."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, checked, ends, heeded, run, target

from calibrant.target import forking
from calibrant.target.forking import nursery

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system can have no nursery")

BOTH = pytest.mark.parametrize("python", [True, False], ids=["forked", "not forked"], indirect=True)


@pytest.fixture
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command line of a child of a nursery, or of a nursery that is not there."""
    monkeypatch.setenv("B", "inherited")
    with nursery(["statistics"]) as command:
        yield command if getattr(request, "param", True) else [*command[:-1], f"{command[-1]} is gone"]


def child(python: list[str], code: str, **options: Any) -> subprocess.Popen[str]:
    """A process that stands for a child that runs code."""
    return subprocess.Popen([*python, "-c", code], stdin=-1, stdout=-1, text=True, **options)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


TELLS = """
import json, os, signal, sys
def told(x: int):
    print(json.dumps({
        "arguments": sys.argv,
        "annotations": str(told.__annotations__),
        "folder": os.getcwd(),
        "here": "" in sys.path or os.getcwd() in sys.path,
        "variables": [os.environ.get("A"), os.environ.get("B")],
        "read": sys.stdin.read(),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "main": vars(sys.modules["__main__"]) is globals() and __name__,
        "files": sorted(os.listdir("/proc/self/fd"), key=int)[:-1],  # the last is that of the listing
    }))
told(0)
"""


@BOTH
def test_a_child_is_what_the_interpreter_would_be(python: list[str]) -> None:
    with child(python, "input()"):  # of whose files the next child has none
        done = subprocess.run(
            [*python, "-u", "-c", TELLS, "ü \udcff"],
            input="what is read",
            env={name: value for name, value in os.environ.items() if name != "B"} | {"A": "ü\n\udcff"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )

    assert json.loads(done.stdout) == {
        "arguments": ["-c", "ü \udcff"],
        "annotations": "{'x': <class 'int'>}",
        "folder": str(Path.cwd()),
        "here": False,  # so that no file there hides a module
        "variables": ["ü\n\udcff", None],
        "read": "what is read",
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "main": "__main__",
        "files": ["0", "1", "2"],
    }


KILLS = "import os, signal\nif {0} != 9: signal.signal({0}, signal.SIG_DFL)\nos.kill(os.getpid(), {0})"
ENDS = {
    "in the end": ("pass", 0, ""),
    "exit": ("sys.exit(3)", 3, ""),
    "exit with a word": ("sys.exit('the reason')", 1, "the reason"),
    "error": ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    "interrupt": ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
    "abort": (KILLS.format(6), -signal.SIGABRT, ""),
    "kill": (KILLS.format(9), -signal.SIGKILL, ""),
}


@BOTH
def test_the_end_of_a_child_is_told(python: list[str]) -> None:
    for code, status, words in ENDS.values():
        done = run(*python[1:], "-c", f"import atexit, sys; atexit.register(print, 'the end')\n{code}")

        assert (done.returncode, done.stderr.strip().rpartition("\n")[2]) == (status, words)
        assert done.stdout == "the end\n" * (code not in (KILLS.format(6), KILLS.format(9)))


def test_a_standard_file_may_be_closed(python: list[str], tmp_path: Path) -> None:
    tells = f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(str(sys.stderr))"

    subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *python, "-c", tells], timeout=PATIENCE, check=True)

    assert (tmp_path / "told").read_text() == "None"


STARTS = """
import os, subprocess, sys
other = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
print(os.getpid(), other.pid, os.getppid(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("first", ["stand-in", "nursery", "nursery by its child", "child"])
def test_a_child_its_nursery_and_its_stand_in_end_together(first: str) -> None:
    """And with them all that the child started: nobody would be left who knows of it."""
    with contextlib.ExitStack() as stack:
        process = child(stack.enter_context(nursery([])), STARTS)
        number, other, its_nursery = map(int, first_line(process).split())
        if first == "stand-in":
            process.kill()
        elif first == "child":
            os.kill(number, signal.SIGTERM)
        elif first == "nursery":
            stack.close()
        else:
            os.kill(its_nursery, signal.SIGKILL)

        assert process.wait(PATIENCE) == {"stand-in": -signal.SIGKILL, "child": -signal.SIGTERM}.get(first, 1)
        assert ends(number)
        assert ends(other)
        process.communicate()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_nursery_and_its_children_end_with_whoever_started_it(stopped: bool) -> None:
    code = f"""
import signal, subprocess
from calibrant.target.forking import nursery
with nursery([]) as python:
    child = subprocess.Popen([*python, "-c", {STARTS!r}], stdin=subprocess.PIPE)
    signal.pause()
"""
    starting = child([sys.executable], code)
    numbers = [int(number) for number in first_line(starting).split()]
    if stopped:
        os.kill(numbers[-1], signal.SIGSTOP)

    starting.kill()
    starting.communicate(timeout=PATIENCE)

    assert len(numbers) == 3
    assert all(ends(number) for number in numbers)


def test_an_interrupt_of_the_whole_group_reaches_the_child_and_not_the_nursery() -> None:
    with heeded(signal.SIGINT), nursery(["statistics"]) as python:
        process = child(python, f"import time\n{STARTS}\ntime.sleep(600)", process_group=0)
        first_line(process)

        os.killpg(process.pid, signal.SIGINT)

        assert process.wait(PATIENCE) == -signal.SIGINT
        process.communicate()
        assert run(*python[1:], "-c", "import sys; sys.exit('statistics' in sys.modules)").returncode == 1


def test_an_interrupt_before_there_is_a_child_reaches_it(tmp_path: Path) -> None:
    """The stand-in has asked a nursery that does not answer, and will start the interpreter itself."""
    with heeded(signal.SIGINT), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(str(tmp_path / "nursery"))
        silent.listen()
        process = child(
            [sys.executable, "-IS", forking.__file__, str(tmp_path / "nursery")], "import time; time.sleep(600)"
        )
        asking = silent.accept()[0]

        process.send_signal(signal.SIGINT)

        with asking:
            assert process.wait(PATIENCE) == -signal.SIGINT
        process.communicate()


def test_xdist_learns_that_a_worker_closed_its_files_and_hangs(python: list[str]) -> None:
    process = child(python, "import os, time; print('closes', flush=True); os.closerange(0, 3); time.sleep(20)")
    assert process.stdout is not None

    assert process.stdout.read() == "closes\n"
    assert process.poll() is None
    process.kill()
    process.communicate()


PARENT = "os.getppid()"
NURSERY = "int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])"


@pytest.mark.parametrize("signal_name", ["SIGSTOP", "SIGKILL"])
@pytest.mark.parametrize(("first", "forked"), [(PARENT, 1), (NURSERY, 0)], ids=["parent", "nursery"])
def test_a_child_that_stops_or_ends_its_parent_harms_no_other(first: str, forked: int, signal_name: str) -> None:
    """Its parent is its keeper. Without the nursery itself, the next process is the interpreter."""
    with nursery(["statistics"]) as python:
        code = f"import os, signal; print('begun'); os.kill({first}, signal.{signal_name}); print('done')"
        harming = child(python, code)
        assert first_line(harming) == "begun\n"
        if signal_name == "SIGKILL":
            harming.communicate(timeout=PATIENCE)
        else:
            assert first_line(harming) == "done\n"  # or its end comes before its harm
            harming.kill()

        assert run(*python[1:], "-c", "import sys; sys.exit('statistics' in sys.modules)").returncode == forked
    harming.communicate(timeout=PATIENCE)


def test_where_a_nursery_can_have_no_child_the_interpreter_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have enough of processes, or of open files, for a while. A nursery begins when all is imported."""
    (tmp_path / "refusing.py").write_text("""
import os, time
allowed = os.fork
def refused():
    os.fork = allowed
    raise BlockingIOError
os.fork = refused
time.sleep(0.3)
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with nursery(["refusing"]) as python:
        statuses = [run(*python[1:], "-c", "import sys; sys.exit('refusing' in sys.modules)").returncode for _ in "ab"]

    assert statuses == [0, 1]


@pytest.mark.parametrize(
    "junk", [b"no request", marshal.dumps(1), marshal.dumps((1, 2, 3, 4))], ids=["bytes", "number", "four"]
)
def test_a_nursery_outlives_who_asks_for_no_child(python: list[str], junk: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(python[-1])
        asking.send(junk)
        assert asking.recv(1) == b""

    parent = subprocess.check_output([*python, "-c", "import os; print(os.getppid())"], timeout=PATIENCE)
    assert int(parent) != os.getpid()  # it is the nursery; that of an interpreter would be this process


def test_a_nursery_serves_whoever_ignores_the_ends_of_children() -> None:
    code = """
import signal, subprocess
from calibrant.target.forking import nursery
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with nursery(["statistics"]) as python:
    for _ in range(2):
        print(subprocess.check_output([*python, "-c", "import sys; print('statistics' in sys.modules)"]))
"""
    assert run("-c", code).stdout == "b'True\\n'\n" * 2


@pytest.mark.parametrize("module", ["nowhere_at_all", "sleeping", "lacking"])
def test_where_a_nursery_does_not_begin_there_is_none(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises, it imports for too long, or the kernel lacks something that it needs."""
    (tmp_path / "sleeping.py").write_text("import time; time.sleep(600)")
    (tmp_path / "sitecustomize.py").write_text("import os, sys\nif 'lacking' in sys.orig_argv:\n    del os.pidfd_open")
    (tmp_path / "lacking.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(forking, "_IMPORTING", 0.3 if module == "sleeping" else PATIENCE)

    with nursery([module]) as python:
        done = run(*python[1:], "-c", f"import os, sys; print(os.getsid(0) == os.getpid(), {module!r} in sys.modules)")
    assert done.stdout == "True False\n"


def test_a_check_is_the_same_without_a_nursery(tmp_path: Path) -> None:
    """Its temporary folder may have a path that no socket can have. No warning is given in either."""
    arguments = (
        target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()"),
        *("--seed=1", "--workers=1", "--clause=loss.mean-square"),
    )
    long = tmp_path / ("x" * 100)
    long.mkdir()

    with_it, _ = checked(tmp_path, *arguments, cold=True, PYTHONWARNINGS="error")
    without, _ = checked(tmp_path, *arguments, cold=True, PYTHONWARNINGS="error", TMPDIR=str(long))

    assert with_it == without
    assert with_it["exit_status"] == 1

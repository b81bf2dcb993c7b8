"""Processes that are forked from a nursery are what the interpreter would have been."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PATIENCE, checked, run, target

from calibrant import containment, forking
from calibrant.containment import nursery

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system can have no nursery")

BOTH = pytest.mark.parametrize("forked", [True, False], ids=["forked", "not forked"], indirect=True)

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


@contextlib.contextmanager
def nursed(*modules: str) -> Iterator[str]:
    """A nursery, by its socket."""
    with nursery(modules) as found:
        yield found[forking.NURSERY]


@pytest.fixture
def forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """`forking.command` is a child of a nursery, or of one that is not there."""
    with nursed("statistics") as path:
        monkeypatch.setenv("B", "inherited")
        monkeypatch.setenv(forking.NURSERY, path if request.param else f"{path} is gone")
        yield request.param


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
@pytest.mark.parametrize("status", ["0", "3", "null", '"the reason"'])
@pytest.mark.parametrize("way", ["-m", "-c"])
def test_a_child_is_what_the_interpreter_would_be(forked: bool, way: str, status: str, tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TELLS)
    environment = {name: value for name, value in os.environ.items() if name != "B"} | {"A": "ü\n\udcff"}

    done = subprocess.run(
        [*forking.command(), way, "telling" if way == "-m" else TELLS, status, "ü \udcff"],
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
        "interrupt": True,
        "children": True,
        "main": "__main__",
        "files": ["0", "1", "2"],
    }


@BOTH
def test_an_error_is_told(forked: bool) -> None:
    done = subprocess.run(
        [*forking.command(), "-u", "-c", "import atexit; atexit.register(print, 'the end'); 1 / 0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "the end\n")
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_children_share_what_the_nursery_has_imported() -> None:
    """With a stand-in that is the interpreter as it starts by default."""
    stands = "import sys; from calibrant.forking import stand_for_child; stand_for_child(sys.argv[1], sys.argv[2:])"
    tells = "import sys; print('statistics' in sys.modules)"
    with nursed("statistics") as path:
        forked, plain = (run("-c", stands, socket, "-c", tells) for socket in (path, f"{path} is gone"))

    assert (forked.stdout, plain.stdout) == ("True\n", "False\n"), forked.stderr + plain.stderr


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
        path = stack.enter_context(nursed())
        asking = subprocess.Popen(
            [sys.executable, "-IS", forking.__file__, path, "-c", STARTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=leads,
        )
        assert asking.stdout is not None
        child, other = map(int, asking.stdout.readline().split())
        try:
            assert os.getsid(child) == (child if leads else os.getsid(0))
            if first == "who asked":
                asking.kill()
            elif first == "the nursery":
                stack.close()
            else:
                os.kill(child, signal.SIGTERM)

            assert asking.wait(PATIENCE) == {"who asked": -signal.SIGKILL, "the nursery": 247, "the child": 241}[first]
            assert ends(child)
            if leads:
                assert ends(other)
        finally:
            asking.communicate()
            if not leads:
                os.kill(other, signal.SIGKILL)


def test_a_nursery_ends_with_whoever_started_it() -> None:
    code = f"""
import os, signal, subprocess
from calibrant import forking
from calibrant.containment import nursery
with nursery([]) as found:
    os.environ |= found
    child = subprocess.Popen([*forking.command(), "-c", {STARTS!r}], stdin=subprocess.PIPE, start_new_session=True)
    signal.pause()
"""
    starting = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starting.stdout is not None
    numbers = [int(number) for number in starting.stdout.readline().split()]

    starting.kill()
    starting.communicate(timeout=PATIENCE)

    assert len(numbers) == 2
    assert all(ends(number) for number in numbers)


def test_who_ends_before_asking_is_not_served_and_the_next_one_is() -> None:
    with nursed() as path:
        for said in (b"", b"\n", b'\n{"arguments": ['):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(path)
                asking.sendall(said)
                asking.shutdown(socket.SHUT_WR)
                assert asking.recv(1) == b""

        assert run("-IS", forking.__file__, path, "-c", "print('served')").stdout == "served\n"


def test_a_nursery_that_ends_while_it_imports_is_done_without() -> None:
    with nursed("nowhere_at_all") as path:
        done = run("-IS", forking.__file__, path, "-c", "print('here all the same')")

    assert (done.returncode, done.stdout, done.stderr) == (0, "here all the same\n", "")


def test_a_nursery_that_is_still_importing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeping.py").write_text(f"""
import pathlib, time, os
pathlib.Path({str(tmp_path / "number")!r}).write_text(str(os.getpid()))
time.sleep(600)
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(containment, "_GRACE", 0.1)
    with nursed("sleeping"):
        while not (tmp_path / "number").exists():
            time.sleep(0.01)

    assert ends(int((tmp_path / "number").read_text()))


def test_a_path_too_long_for_a_socket_means_no_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.delenv(forking.NURSERY, raising=False)

    with nursery([]) as found:
        assert found == {}
        assert forking.command() == [sys.executable]


def test_a_check_is_the_same_without_a_nursery(tmp_path: Path) -> None:
    """Its temporary folder may have a path that no socket can have. No warning is given in either."""
    source = "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()"
    spec = target(tmp_path, source)
    some = ("--seed=1", "--workers=1", "--clause=loss.mean-square")
    long = tmp_path / ("x" * 100)
    long.mkdir()

    with_it, _ = checked(tmp_path, spec, *some, PYTHONWARNINGS="error")
    without, _ = checked(tmp_path, spec, *some, PYTHONWARNINGS="error", TMPDIR=str(long))

    assert with_it == without
    assert with_it["exit_status"] == 1

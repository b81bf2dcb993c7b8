"""Targets that attack the processes of a check: each attack ends as a verdict, and nothing of it is left."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PATIENCE, calibrant, checked, heeded, one_sentence, statuses, target

from calibrant.protocol.declarations import numpy_dtype
from calibrant.target import isolation
from calibrant.target.calling import Absent, Subject, identical
from calibrant.target.loading import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt what a target leaves")


def of(*clauses: str) -> list[str]:
    """The options that choose these clauses."""
    return [f"--clause={clause}" for clause in clauses]


def texts(said: Any) -> dict[str, str]:
    """The text of the failures of each clause."""
    found: dict[str, str] = {}
    for verdict in said["verdicts"]:
        found[verdict["clause"]] = found.get(verdict["clause"], "") + "".join(f["text"] for f in verdict["failures"])
    return found


HOSTILE = """
    import faulthandler, os, signal, threading, time
    import numpy as np

    version = "\\udcff"

    def loss_fn(t_p, t_c):
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(600)

    def absolute_loss(t_p, t_c):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        faulthandler.cancel_dump_traceback_later()
        time.sleep(600)

    def model(t_u, w, b):
        for file in range(3, 64):
            try:
                os.write(file, b"junk" * 16)
            except OSError:
                pass
        return w * t_u + b

    def dmodel_dw(t_u, w, b):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)

    def dmodel_db(t_u, w, b):
        os.kill(os.getppid(), signal.SIGSTOP)
        return np.ones_like(t_u)

    def dloss_fn(t_p, t_c):
        raise ValueError("\\udcff")

    def grad_fn(t_u, t_c, t_p, w, b):
        raise KeyboardInterrupt

    def finite_difference(t_u, t_c, w, b, delta):
        return np.broadcast_to(np.float64(1), 10**9)

    def rings(number, frame):
        raise RuntimeError("the target's own timer")

    def least_squares(t_u, t_c):
        signal.signal(signal.SIGPROF, rings)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        signal.signal(signal.SIGALRM, rings)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        return np.nan  # or the timer rings first

    def split(n_samples, val_fraction, seed):
        os.killpg(0, signal.SIGTERM)
        time.sleep(600)

    def closed_form(n_epochs, learning_rate, params, t_u, t_c):
        kept.extend(bytes(2**20) for _ in range(2**20))

    kept = []
    files = []

    def ridge(t_u, t_c, l2):
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
"""
ENDS = {
    "loss.mean-square": "stopped its process",
    "loss.absolute": ") did not return within 16 s and its process had to be ended",
    "gradient.by-hand-w": ") ended its process",
    "gradient.by-hand-loss": "raised ValueError",
    "gradient.chain-rule": "raised KeyboardInterrupt",
    "gradient.central": "returned 1,000,000,000 numbers",
    "split.partition": "ended its process",
    "model.linear": "wrote into the files",
    "descent.closed-form": "MemoryError",
    "regularization.shrinks": ("Too many open files", "unable to go on"),  # by what needs a file first
}
"""A part of the text of each failing clause."""


def test_every_attack_on_a_worker_ends_as_a_verdict_and_the_check_goes_on(tmp_path: Path) -> None:
    arguments = (
        *of(*ENDS, "gradient.by-hand-b", "data.scaling"),
        "--dtype=float64",
        "--examples=3",
        "--workers=2",
        "--timeout=4",
    )

    said, _ = checked(
        tmp_path, target(tmp_path, HOSTILE), *arguments, cold=True, PYTHONIOENCODING="utf-8:backslashreplace"
    )

    found = statuses(said)
    assert found.pop("data.scaling") <= {"breaks", "broken"}
    assert found == {name: {"broken"} for name in ENDS} | {"gradient.by-hand-b": {"holds"}}
    found = texts(said)
    assert "returned shape ()" in found["data.scaling"] or "the target's own timer" in found["data.scaling"]
    for name, sentence in ENDS.items():
        assert any(part in found[name] for part in ([sentence] if isinstance(sentence, str) else sentence))
    assert said["unfinished"] == []


SAYS = """
    import gc

    def loss_fn(t_p, t_c):
        return ((t_p - t_c) ** 2).mean()
"""
SAYING = """
    def {operation}({arguments}):
        worker = next(found for found in gc.get_objects() if type(found).__name__ == "WorkerInteractor")
        {word}
        return {right}
"""
VICTIMS = {
    "loss.absolute": ("absolute_loss", "t_p, t_c", "abs(t_p - t_c).mean()"),
    "model.linear": ("model", "t_u, w, b", "w * t_u + b"),
    "gradient.by-hand-w": ("dmodel_dw", "t_u, w, b", "t_u"),
    "gradient.by-hand-loss": ("dloss_fn", "t_p, t_c", "2 * (t_p - t_c) / t_p.size"),
}
"""An operation that each clause asks, its arguments, and the right answer."""
FINISHED = "worker.sendevent('workerfinished', workeroutput={})"
WORDS = {
    "stops its session": "worker.session.shouldstop = 'enough'",
    "fails its session": "worker.session.shouldfail = 'enough'",
    "interrupts its session": "import _thread, threading; threading.Timer(0.01, _thread.interrupt_main).start()",
    "closes its input": "worker.channel.gateway._io.close_read()",
    "has finished": FINISHED.format({"exitstatus": 0, "shouldfail": False, "shouldstop": False}),
    "was interrupted": FINISHED.format({"exitstatus": 2, "shouldfail": False, "shouldstop": False}),
    "has finished somehow": FINISHED.format(None),
    "says junk": "worker.sendevent('junk')",
    "reports junk": "worker.sendevent('testreport', data={})",
    "has an error": "worker.sendevent('internal_error', formatted_error='no')",
    "was asked nothing": "worker.sendevent('runtest_protocol_complete', item_index=10**6, duration=0.0)",
    "gives back what it was not asked for": "worker.sendevent('unscheduled', indices=[10**6])",
}


@pytest.mark.parametrize("words", [[*WORDS][k::3] for k in range(3)], ids=", ".join)
def test_nothing_that_a_worker_says_ends_the_check(words: list[str], tmp_path: Path) -> None:
    """Its tests go to another worker, or are broken."""
    source = SAYS
    for word, (operation, arguments, right) in zip(words, VICTIMS.values(), strict=True):
        source += SAYING.format(operation=operation, arguments=arguments, word=WORDS[word], right=right)
    options = (*of("loss.mean-square", *VICTIMS), "--examples=2", "--workers=2")

    said, _ = checked(tmp_path, target(tmp_path, source), *options, cold=True)

    found = statuses(said)
    assert found.pop("loss.mean-square") == {"holds"}
    assert set(found) == {*VICTIMS}
    assert set().union(*found.values()) <= {"holds", "broken"}
    assert said["unfinished"] == []


LEAVES = """
    import os, subprocess, sys
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    subprocess.Popen(sleeps, start_new_session=True, env={})
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        os.execv(sleeps[0], sleeps)

    import atexit, threading, time
    threading.Thread(target=time.sleep, args=(600,)).start()
    atexit.register(time.sleep, 600)

    def absolute_loss(t_p, t_c):
        subprocess.Popen(sleeps, start_new_session=True, env={})
        return abs(t_p - t_c).mean()
"""


def sleeping(mark: str) -> list[int]:
    """The processes that have this folder as theirs."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [int(file.parent.name)] if os.readlink(file) == mark else []
        except OSError:  # it ended, or is another user's
            continue
    return found


def test_nothing_that_a_target_starts_outlives_the_check(tmp_path: Path) -> None:
    """Nor a folder of the check. A thread that goes on after the import, or a slow end, holds nothing up."""
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir(), temporary.mkdir()
    arguments = (target(tmp_path, LEAVES), *of("loss.absolute"), "--examples=3", "--workers=1", "--timeout=20")

    said, _ = checked(tmp_path, *arguments, cwd=work, cold=True, TMPDIR=str(temporary))

    assert statuses(said) == {"loss.absolute": {"holds"}}
    assert sleeping(str(work)) == []
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_signal_that_ends_a_check_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir(), temporary.mkdir()
    source = f"""
        import os, signal, time
        def absolute_loss(t_p, t_c):
            open({str(tmp_path / "begun")!r}, "w").close()
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            time.sleep(600)
    """
    arguments = [sys.executable, "-m", "calibrant", "check", target(tmp_path, source), *of("loss.absolute")]
    arguments += ["--workers=1", "--timeout=600"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    with heeded(number), subprocess.Popen(arguments, cwd=work, env=environment, stdout=-1) as process:
        until = time.monotonic() + PATIENCE
        while not (tmp_path / "begun").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + number
    assert sleeping(str(work)) == []
    assert [*temporary.iterdir()] == []


IMPORTS = {
    "takes a lock": (
        "import fcntl\nheld = open(__file__ + '.lock', 'w')\nfcntl.flock(held, fcntl.LOCK_EX)",
        "did not finish importing",
    ),
    "finds it taken": (
        "import fcntl\nheld = open(__file__ + '.lock', 'w')\nfcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "cannot be imported: BlockingIOError",
    ),
}


@pytest.mark.parametrize(("source", "sentence"), IMPORTS.values(), ids=IMPORTS)
def test_a_target_that_one_process_only_can_import_is_told_so(source: str, sentence: str, tmp_path: Path) -> None:
    spec = target(tmp_path, f"{source}\ndef absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).mean()\n")
    options = (*of("loss.absolute"), "--timeout=4", "--examples=2")

    process = calibrant("check", spec, *options, "--workers=2", cold=True)

    assert one_sentence(process, sentence, "--workers 1"), process.stderr
    assert statuses(checked(tmp_path, spec, *options, "--workers=1", cold=True)[0]) == {"loss.absolute": {"holds"}}


SWITCHES = """
    import ctypes, sys, warnings
    import numpy as np

    def switch(flush):
        np.seterr(all="raise")
        warnings.simplefilter("error")
        sys.setrecursionlimit(400)
        system, held = ctypes.CDLL(None), ctypes.create_string_buffer(256)
        system.fesetround(UPWARD)
        system.fegetenv(held)
        held[AT] = bytes([held[AT][0] | FLUSHED if flush else held[AT][0] & ~FLUSHED & 255])
        system.fesetenv(held)

    switch(False)

    def loss_fn(t_p, t_c):
        switch(True)
        return t_p.dtype.type(0)

    def absolute_loss(t_p, t_c):
        switch(False)
        return abs(t_p - t_c).mean()
"""
PROCESSORS = {"x86_64": ("0x800", "28", "0x40"), "aarch64": ("0x400000", "3", "1")}


@pytest.mark.skipif(os.uname().machine not in PROCESSORS, reason="nobody wrote down the flags of this processor")
def test_the_judge_keeps_its_own_surroundings(tmp_path: Path) -> None:
    """A right answer is right in the target's, and a failing target is told what it has switched."""
    source = SWITCHES
    for word, value in zip(("UPWARD", "AT", "FLUSHED"), PROCESSORS[os.uname().machine], strict=True):
        source = re.sub(rf"\b{word}\b", value, source)
    arguments = (*of("loss.absolute", "loss.scalar", "loss.mean-square"), "--examples=10", "--workers=1")

    said, shown = checked(tmp_path, target(tmp_path, source), *arguments)

    others = {"loss.scalar": {"holds"}, "loss.mean-square": {"breaks"}}
    assert statuses(said) == {"loss.absolute": {"holds"}} | others
    switched = "NumPy's error state, flush-to-zero, the recursion limit, the rounding mode"
    assert f"The target has switched {switched}." in shown


def test_the_arguments_of_a_call_are_read_as_they_were_written() -> None:
    """Every dtype, numbers that are not finite, and nesting; nothing else that a target writes there is an argument, or an error."""
    arrays = [np.array([1.5, np.nan, -np.inf]), np.float32([[0.1]]), np.array(7), np.array([True])]
    arrays += [np.array(2.0, dtype=numpy_dtype("bfloat16")), np.zeros((0, 2))]
    given = ["adam", {"betas": [0.9, math.inf]}, arrays, [[None, arrays[0]]]]

    said = isolation._written(given)

    read = isolation._unpacked(json.loads(said))
    assert read[:2] == given[:2]
    assert identical(read[2:], given[2:])
    for word in (
        '"bytes": "zz"',
        '"bytes": 7',
        '"bytes": "00", "dtype": "float64", "shape": [1]',
        '"bytes": "", "dtype": "?x"',
    ):
        with pytest.raises((ValueError, TypeError, KeyError)):
            isolation._unpacked(json.loads(f"{{{word}}}"))


ATTACKS = {
    "loss_fn": "os.kill(os.getppid(), signal.SIGSTOP)",
    "absolute_loss": 'print(\'{"jsonrpc": "2.0", "id": 1, "result": "\' + \'x\' * 10**7 + \'"}\', flush=True)',
    "model": 'print(\'{"jsonrpc": "2.0", "id": 1, "result": [\' + \'1,\' * 200_000 + \'1]}\', flush=True)',
}


def test_an_attack_by_a_program_ends_as_a_verdict(tmp_path: Path) -> None:
    about = {"jsonrpc": "2.0", "id": 0, "result": {"name": "x", "operations": [*ATTACKS]}}
    program = (
        f"import json, os, signal\ninput()\nprint({json.dumps(about)!r}, flush=True)\nasked = json.loads(input())\n"
    )
    program += "".join(f"if asked['method'] == {name!r}: {attack}\n" for name, attack in ATTACKS.items()) + "input()"
    line = shlex.join([sys.executable, "-c", program])
    options = ("--examples=3", "--workers=1", "--dtype=float64", "--timeout=30")

    clauses = of("loss.mean-square", "loss.absolute", "model.linear")

    said, _ = checked(tmp_path, "--program", line, *clauses, *options, cold=True)

    assert statuses(said) == {name: {"broken"} for name in ("loss.mean-square", "loss.absolute", "model.linear")}
    found = texts(said)
    assert ") stopped its process" in found["loss.mean-square"]
    assert "wrote more than" in found["loss.absolute"]
    assert "returned 200,001 numbers; at most 65,536 are read" in found["model.linear"]


OF_ITS_PROCESS = """
    import os
    import random

    {first}

    def split(n_samples, val_fraction, seed):
        rows = list(range(n_samples))
        random.Random(seed{more}).shuffle(rows)
        n_val = int(n_samples * val_fraction)
        return rows[n_val:], rows[:n_val]
"""


def test_a_split_is_asked_in_another_process_too(tmp_path: Path) -> None:
    source = OF_ITS_PROCESS.format(first="", more=" + hash('split')")
    options = (*of("split.seeded"), "--dtype=float64", "--examples=4", "--workers=1")

    said, shown = checked(tmp_path, target(tmp_path, source), *options)

    assert statuses(said) == {"split.seeded": {"breaks"}}
    assert "in another process" in shown


@pytest.mark.parametrize(
    ("first", "more", "alike"),
    [
        ("", "", True),
        ("", " + os.getpid()", False),
        # Nobody can ask another process of it.
        (IMPORTS["finds it taken"][0].replace("\n", "\n    "), "", None),
    ],
    ids=["one split", "by its number", "one process only"],
)
def test_another_process_loads_the_target_or_is_absent(
    first: str, more: str, alike: bool | None, tmp_path: Path
) -> None:
    mine = Subject(load(target(tmp_path, OF_ITS_PROCESS.format(first=first, more=more))), "float64")

    if alike is None:
        with pytest.raises(Absent, match="no other process can load planted"), mine.elsewhere():
            pass
    else:
        with mine.elsewhere() as other:
            assert np.array_equal(other.split(50, 0.5, 1), mine.split(50, 0.5, 1)) is alike

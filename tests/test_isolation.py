"""Targets that attack the processes of a check: each attack ends as a verdict, and nothing of it is left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, calibrant, checked, heeded, one_sentence, statuses, target

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
    "loss.absolute": ") did not return within 8 s and its process had to be ended",
    "gradient.by-hand-w": ") ended its process",
    "gradient.by-hand-loss": "raised ValueError",
    "gradient.chain-rule": "raised KeyboardInterrupt",
    "gradient.central": "returned 1,000,000,000 numbers",
    "split.partition": "ended its process",
    "model.linear": "wrote into the files",
    "descent.closed-form": "MemoryError",
    "regularization.shrinks": "Too many open files",
}
"""A part of the text of each failing clause."""


def test_every_attack_on_a_worker_ends_as_a_verdict_and_the_check_goes_on(tmp_path: Path) -> None:
    arguments = (
        *of(*ENDS, "gradient.by-hand-b", "data.scaling"),
        "--dtype=float64",
        "--examples=3",
        "--workers=2",
        "--timeout=2",
    )

    said, _ = checked(tmp_path, target(tmp_path, HOSTILE), *arguments, PYTHONIOENCODING="utf-8:backslashreplace")

    found = statuses(said)
    assert found.pop("data.scaling") <= {"breaks", "broken"}
    assert found == {name: {"broken"} for name in ENDS} | {"gradient.by-hand-b": {"holds"}}
    found = texts(said)
    assert "returned shape ()" in found["data.scaling"] or "the target's own timer" in found["data.scaling"]
    for name, sentence in ENDS.items():
        assert sentence in found[name]
    assert said["unfinished"] == []


SAYS = """
    import gc
    import numpy as np

    def loss_fn(t_p, t_c):
        if t_p.shape != t_c.shape or t_p.size == 0:
            raise ValueError
        return ((t_p - t_c) ** 2).mean()

    def absolute_loss(t_p, t_c):
        worker = next(found for found in gc.get_objects() if type(found).__name__ == "WorkerInteractor")
        WORD
        return abs(t_p - t_c).mean()
"""
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


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_nothing_that_a_worker_says_ends_the_check(word: str, tmp_path: Path) -> None:
    """Its tests go to another worker, or are broken."""
    source = SAYS.replace("WORD", word)
    arguments = (*of("loss.absolute", "loss.scalar", "loss.mean-square", "loss.zero"), "--examples=2", "--workers=2")

    said, _ = checked(tmp_path, target(tmp_path, source), *arguments)

    found = statuses(said)
    assert found.pop("loss.mean-square") == {"holds"}
    assert set(found) == {"loss.absolute", "loss.scalar", "loss.zero"}
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

    import threading, time
    threading.Thread(target=time.sleep, args=(600,)).start()

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
    """Nor a folder of the check. A thread that goes on after the import holds nothing up."""
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir(), temporary.mkdir()
    arguments = (target(tmp_path, LEAVES), *of("loss.absolute"), "--examples=3", "--workers=1", "--timeout=20")

    said, _ = checked(tmp_path, *arguments, cwd=work, TMPDIR=str(temporary))

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

    assert process.returncode == (2 if number == signal.SIGINT else 128 + number)
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

    process = calibrant("check", spec, *options, "--workers=2")

    assert one_sentence(process, sentence, "--workers 1"), process.stderr
    assert statuses(checked(tmp_path, spec, *options, "--workers=1")[0]) == {"loss.absolute": {"holds"}}


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


ANSWERS = {
    "stops its parent": ("os.kill(os.getppid(), signal.SIGSTOP)", "loss_fn stopped its process"),
    "a long word": (
        'print(\'{"jsonrpc": "2.0", "id": 1, "result": "\' + \'x\' * 10**7 + \'"}\', flush=True)',
        "wrote more than",
    ),
    "many numbers": (
        'print(\'{"jsonrpc": "2.0", "id": 1, "result": [\' + \'1,\' * 200_000 + \'1]}\', flush=True)',
        "returned 200,001 numbers; at most 65,536 are read",
    ),
}


@pytest.mark.parametrize(("code", "sentence"), ANSWERS.values(), ids=ANSWERS)
def test_an_attack_by_a_program_ends_as_a_verdict(code: str, sentence: str, tmp_path: Path) -> None:
    about = {"jsonrpc": "2.0", "id": 0, "result": {"name": "x", "operations": ["loss_fn"]}}
    program = f"import os, signal\ninput()\nprint({json.dumps(about)!r}, flush=True)\ninput()\n{code}\ninput()"
    line = shlex.join([sys.executable, "-c", program])

    said, _ = checked(
        tmp_path,
        "--program",
        line,
        *of("loss.mean-square"),
        "--examples=3",
        "--workers=1",
        "--dtype=float64",
        "--timeout=5",
    )

    assert statuses(said) == {"loss.mean-square": {"broken"}}
    assert sentence in texts(said)["loss.mean-square"]


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


@pytest.mark.parametrize(
    ("first", "more", "status"),
    [
        ("", "", "holds"),
        ("", " + os.getpid()", "breaks"),
        ("", " + hash('split')", "breaks"),
        # Nobody can ask another process of it.
        (IMPORTS["finds it taken"][0].replace("\n", "\n    "), " + os.getpid()", "holds"),
    ],
    ids=["one split", "by its number", "by its hashes", "one process only"],
)
def test_a_split_is_asked_in_another_process_too(first: str, more: str, status: str, tmp_path: Path) -> None:
    source = OF_ITS_PROCESS.format(first=first, more=more)
    options = (*of("split.seeded"), "--dtype=float64", "--examples=4", "--workers=1")

    said, shown = checked(tmp_path, target(tmp_path, source), *options)

    assert statuses(said) == {"split.seeded": {status}}
    assert ("in another process" in shown) == (status == "breaks")

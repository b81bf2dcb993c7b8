"""Data parallelism: shards of files, workers that train together, and the end of a run that cannot go on.

One process forks the workers of most runs (`FORKS`), because a worker that imports torch for itself takes seconds. This
process keeps the store through which they find each other, as torchrun does, on a port that the system chooses.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from support import PATIENCE, run

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402  # it needs torch

from calibrant.adapters import workers  # noqa: E402
from calibrant.mechanics import parallel, shards  # noqa: E402
from calibrant.mechanics.data import thermometer  # noqa: E402
from calibrant.mechanics.descent import training_loop  # noqa: E402
from calibrant.mechanics.shards import read_shard  # noqa: E402

PAIRS = [(35.7, 0.5), (-1e-3, 14.0), (7.0, -125.25), (81.9, 28.0), (0.0, 11.0), (48.875, 8.0), (1e4, 3.0)]
TEXT = "35.7,0.5\n-1e-3,14\n7,-125.25\n 81.9 , 28.0 \n0,11\n+48.875,8.\n1E4,3\n"
"""The same pairs, in lines of many lengths."""
T_U, T_C = thermometer(torch.float64)
CSV = "".join(f"{x},{y}\n" for x, y in zip(T_U.tolist(), T_C.tolist(), strict=True))
LOGGED = "Epoch 100, Loss 22.1487\nEpoch 200, Loss 16.6081\nw = 3.34335583, b = -5.84523032\n"


# Shards of files


def rows(path: Path, world: int, header: bool = False) -> list[tuple[float, float]]:
    """The pairs that all workers of a world read, in the order of the workers."""
    read = (read_shard(str(path), rank, world, header) for rank in range(world))
    return [pair for t_u, t_c in read for pair in zip(t_u.tolist(), t_c.tolist(), strict=True)]


@pytest.mark.parametrize("header", ["", "t_u,t_c\n", "a header that is longer than any line of the data\n"])
@pytest.mark.parametrize(
    "text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip(), TEXT + "\n\r\n", TEXT.replace("\n", "\n\n")]
)
def test_one_worker_reads_each_line(text: str, header: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes((header + text).encode())

    for world in (*range(1, 12), len(header + text), len(header + text) + 5):
        assert rows(tmp_path / "data.csv", world, bool(header)) == PAIRS


@pytest.mark.parametrize(("dtype", "version"), [("f8", (1, 0)), ("f8", (2, 0)), ("f8", (3, 0)), ("f4", (1, 0))])
def test_one_worker_reads_each_row(dtype: str, version: tuple[int, int], tmp_path: Path) -> None:
    array = np.array(PAIRS, dtype=dtype)
    with (tmp_path / "data.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)

    for world in range(1, len(PAIRS) + 3):
        assert rows(tmp_path / "data.npy", world) == [tuple(map(float, pair)) for pair in array]


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_a_worker_reads_no_more_than_its_shard(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apart from what a buffer holds before and after it: so a file may be larger than memory."""
    read = []

    class Counted(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            read.append(super().readinto(buffer) or 0)
            return read[-1]

    path = tmp_path / f"data.{kind}"
    array = np.arange(400_000.0).reshape(-1, 2)
    if kind == "npy":
        np.save(path, array)
    else:
        path.write_text("".join(f"{x:.1f},{y:.1f}\n" for x, y in array))
    monkeypatch.setattr(shards, "open", lambda path, mode: io.BufferedReader(Counted(path)), raising=False)

    t_u, _ = read_shard(str(path), 57, 100)

    assert abs(len(t_u) - 2000) < 300
    assert sum(read) < path.stat().st_size / 100 + 4 * io.DEFAULT_BUFFER_SIZE + 100


def npy(array: Any, old: bytes = b"", new: bytes = b"") -> bytes:
    """The .npy file of an array, with `new` in the place of `old` in its header and as many spaces fewer."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue().replace(old + b" " * (len(new) - len(old)), new)


def line(text: bytes) -> bytes:
    """A CSV file with this line, the fifth."""
    return b"1,2\r\n3,4\n\n5,6\n%b\n7,8\n9,10" % text


ONES = np.ones((3, 2))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("header.csv", line(b"t_u,t_c"), "line 5: 't_u,t_c' is no pair of finite numbers"),
        ("short.csv", line(b"3"), "line 5: '3' is no pair of finite numbers"),
        ("long.csv", line(b"3,4,5"), "line 5: '3,4,5' is no pair of finite numbers"),
        ("nan.csv", line(b"nan,1"), "line 5: 'nan,1' is no pair of finite numbers"),
        ("binary.csv", line(b"\xff\x00,1"), "line 5: '.*' is no pair of finite numbers"),
        ("groups.csv", line(b"1_000,1"), "line 5: '1_000,1' is no pair of finite numbers"),
        ("blank.csv", b"\n" + line(b"x"), "line 6: 'x' is no pair of finite numbers"),
        ("wide.csv", line(b"-" * 99), f"line 5: '{'-' * 40}' is no pair of finite numbers"),
        ("large.csv", b"1,2%b\n" % (b" " * 2**12) * 300 + line(b"x"), "line 305: 'x' is no pair of finite numbers"),
        ("none.csv", None, "cannot be read: No such file or directory"),
        ("text.npy", TEXT.encode(), "does not begin as a .npy file does"),
        ("half.npy", npy(ONES)[:40], "does not begin as a .npy file does"),
        ("cut.npy", npy(ONES)[:-9], "is cut short: its header promises 3 rows"),
        ("huge.npy", npy(ONES, b"(3, 2), }", b"(3" + b"0" * 19 + b", 2), }"), "is cut short: .*"),
        ("floats.npy", npy(ONES, b"(3, 2), }", b"(3.0, 2), }"), r"holds {.*\(3.0, 2\).*"),
        ("pickled.npy", npy(np.array([[None, 1]])), r"holds {.*\|O.*"),
        ("braces.npy", npy(ONES, b"(3, 2), }", b"(3, 2), }X"), "holds {.*}X.*"),
        ("fortran.npy", npy(ONES.T.copy().T), "holds {.* True.*, not .* in C order"),
        ("integers.npy", npy(ONES.astype("i8")), "holds {.*<i8.*"),
        ("big-endian.npy", npy(ONES.astype(">f8")), "holds {.*>f8.*"),
        ("inf.npy", npy(np.array([[1, 2]] * 8 + [[1, np.inf]])), r"row 8 \(from 0\): \[1.0, inf\] are not finite .*"),
    ],
)
def test_a_worker_that_cannot_read_its_shard_names_the_place(
    name: str, content: bytes | None, problem: str, tmp_path: Path
) -> None:
    """By its number in the file, though the worker has read only a part of the file."""
    if content is not None:
        (tmp_path / name).write_bytes(content)

    for world in (1, 2, 3, 8):
        said = set()
        for rank in range(world):
            try:
                read_shard(str(tmp_path / name), rank, world)
            except ValueError as error:
                said.add(str(error))
        assert len(said) == 1
        assert re.fullmatch(f"{re.escape(str(tmp_path / name))},? {problem}", *said)


def test_a_pipe_is_no_file_of_data(tmp_path: Path) -> None:
    """To open it would be to wait for somebody who writes."""
    for name in ("pipe.npy", "pipe.csv"):
        os.mkfifo(tmp_path / name)

        with pytest.raises(ValueError, match=f"{name} is no regular file"):
            read_shard(str(tmp_path / name), 0, 1)


@pytest.mark.parametrize("kind", ["csv", "npy"])
@pytest.mark.parametrize("left", [0, 1, 2, 3, 2047])
def test_rows_that_vanish_while_they_are_read_are_told(
    kind: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process cuts the file after its size was read, here: behind `left` of the last shard's rows."""

    class Cut(io.BufferedReader):
        def seek(self, offset: int, whence: int = 0) -> int:
            at = super().seek(offset, whence)
            if whence == 0:
                os.truncate(path, at + left * (16 if kind == "npy" else 8))
            return at

    path = tmp_path / f"data.{kind}"
    path.write_bytes(npy(np.ones((4096, 2))) if kind == "npy" else b"1.0,1.0\n" * 4096)
    monkeypatch.setattr(shards, "open", lambda path, mode: Cut(io.FileIO(path)), raising=False)

    with pytest.raises(ValueError, match="was cut short while it was read"):
        read_shard(str(path), 1, 2)


# The trainer


def test_a_lost_worker_is_told_in_the_words_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)

    with pytest.raises(parallel.WorkerLost, match=r"^connection closed$"):
        parallel.exchange(Mock(side_effect=RuntimeError("connection closed")))


def test_an_empty_shard_adds_zeros_of_the_dtype_of_the_parameters() -> None:
    loss, gradient = parallel.value_and_grad(torch.ones(2, dtype=torch.float64), U[:0], C[:0], 4)

    assert (loss.dtype, loss.item()) == (torch.float64, 0.0)
    assert (gradient.dtype, gradient.tolist()) == (torch.float64, [0.0, 0.0])


def test_the_lowest_worker_left_says_who_is_gone() -> None:
    """Or that the store is gone, which worker 0 kept."""

    def lost(left: list[int], rank: int, world: int) -> str:
        store = dist.HashStore()
        for other in left:
            store.set(f"left/{other}", "")
        return parallel.lost(store, rank, world, patience=0.1)

    assert lost([2, 3], 0, 4) == "worker 1 was lost"
    assert lost([0], 1, 2) == ""
    assert lost([], 2, 3) == "worker 0 and worker 1 were lost"
    assert lost([1], 0, 2) == "the workers lost touch"
    assert parallel.lost(Mock(set=Mock(side_effect=RuntimeError)), 1, 3) == "worker 0 was lost"


def test_a_worker_that_waits_too_long_for_the_others_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that has met them does not."""
    ended, timers = threading.Event(), list[Any]()

    class Timer(threading.Timer):
        def start(self) -> None:
            timers.append(self)
            super().start()

    monkeypatch.setattr(parallel.threading, "Timer", Timer)
    monkeypatch.setattr(parallel.os, "_exit", lambda status: ended.set() if status == 1 else None)
    monkeypatch.setenv("MASTER_ADDR", "far.example")
    monkeypatch.setenv("MASTER_PORT", "29500")

    with parallel.joined_within(PATIENCE):
        pass
    assert [(timer.daemon, timer.finished.is_set()) for timer in timers] == [(True, True)]
    with parallel.joined_within(0.05):
        assert ended.wait(PATIENCE)
    said = "this worker could not join the others: far.example:29500 gave no answer within 0.05 s\n"
    assert capsys.readouterr() == ("", said)


def test_sigterm_ends_a_worker_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = Mock()
    monkeypatch.setattr(parallel.threading, "Timer", timer)
    before = signal.signal(signal.SIGTERM, parallel.end_soon)
    try:
        os.kill(os.getpid(), signal.SIGTERM)

        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    timer.assert_called_once_with(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    assert timer.return_value.daemon
    timer.return_value.start.assert_called_once_with()


def test_nobody_waits_once_a_single_worker_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, waited = dist.HashStore(), Mock()
    store.set("left/1", "")
    monkeypatch.setattr(parallel.time, "sleep", waited)

    assert parallel.lost(store, 0, 3, patience=PATIENCE) == "worker 2 was lost"
    assert waited.call_count == 1


@pytest.mark.parametrize(
    ("rank", "world", "timeout", "sentence"),
    [
        ("x", "1", "1", "invalid literal"),
        ("2", "2", "1", "RANK is 2"),
        ("0", "-1", "1", "WORLD_SIZE is -1"),
        ("1", "2", "1", "MASTER_ADDR"),
        ("0", "2", "0", "timeout is 0.0"),
        ("0", "2", "inf", "timeout is inf"),
    ],
)
def test_a_worker_that_cannot_join_the_others_says_so(
    rank: str,
    world: str,
    timeout: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.delenv("MASTER_ADDR", raising=False)

    assert parallel.train(["data.csv", "--timeout", timeout]) == 1
    assert re.fullmatch(f"this worker could not join the others: .*{sentence}.*\n", capsys.readouterr().err)
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)  # or one would end this process, minutes later


def test_a_worker_waits_300_s_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(parallel, "rendezvous", lambda *arguments: iter([(None, 0, 2)]))
    monkeypatch.setattr(parallel.dist, "init_process_group", lambda *arguments, **options: None)
    monkeypatch.setattr(parallel, "joined_within", joining := Mock(side_effect=parallel.joined_within))
    monkeypatch.setattr(parallel.signal, "signal", heeding := Mock())

    assert parallel.train(["none.csv"]) == 2
    joining.assert_called_once_with(300.0)
    heeding.assert_called_once_with(signal.SIGTERM, parallel.end_soon)


@pytest.mark.parametrize(("rank", "sentence"), [("0", "address already in use"), ("1", "gave no answer within 2 s")])
def test_a_port_that_another_program_has_taken_keeps_nobody(rank: str, sentence: str, tmp_path: Path) -> None:
    """It accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}

        process = run(
            *("-m", "calibrant.mechanics.parallel", "data.npy", "--timeout", "2"),
            **place | {"RANK": rank, "WORLD_SIZE": "2"},
        )

    (said,) = (line for line in process.stderr.splitlines() if not line.startswith("["))  # the library's own log
    assert process.returncode == 1
    assert re.fullmatch(f"this worker could not join the others: .*{sentence}", said)


# The command, on many workers

FORKS = """
import itertools, json, os, signal, sys
import torch
from calibrant.mechanics import parallel

def killed_after(calls):
    evaluate, count = parallel.value_and_grad, itertools.count(1)
    def dying(*arguments):
        if next(count) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return evaluate(*arguments)
    return dying

lost = parallel.lost
parallel.lost = lambda *arguments: lost(*arguments, patience=1.0)
torch.set_num_threads(1)
ended = []
for run, (port, commands) in enumerate(json.loads(sys.argv[1])):
    pids = []
    for rank, command in enumerate(commands):
        calls, *arguments = command.split()
        pid = os.fork()
        if pid == 0:
            for fd, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{run}.{rank}.{name}", os.O_WRONLY | os.O_CREAT), fd)
            os.environ |= {"MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(len(commands))}
            parallel.value_and_grad = killed_after(int(calls))
            status = 70
            try:
                status = parallel.train(arguments)
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(status)
        pids.append(pid)
    ended.append([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
json.dump(ended, sys.stdout)
"""
"""Forks the workers of each run in turn. A worker dies in its evaluation of the number that leads its command."""

USUAL, REFUSED = "0 data.csv --scale 0.1 --epochs 250", [2, 2, 2]
RUNS = {
    "lines": ([USUAL] * 3, [0, 0, 0], LOGGED, ""),
    "rows": ([USUAL.replace("csv", "npy")] * 2, [0, 0], LOGGED, ""),
    "more workers than rows": (["0 two.csv --epochs 1"] * 3, [0, 0, 0], "w = -34.9885, b = -0.771\n", ""),
    "no rows": (["0 names.csv --header"] * 3, REFUSED, "", "no worker has a sample: there is no mean"),
    "a negative number": (["0 two.csv --epochs -1"] * 3, REFUSED, "", "n_epochs is -1: it cannot be negative"),
    "a line is cut": (["0 last.csv"] * 3, REFUSED, "", "last.csv, line 11: '68.4' is no pair of finite numbers"),
    "no file for one": ([*["0 two.csv"] * 2, "0 none.csv"], REFUSED, "", "none.csv cannot be read: No such file .*"),
    "a copy for one": (["0 two.csv --epochs 0", "0 copy.csv --epochs 0"], [0, 0], "w = 1, b = 0\n", ""),
    "another file for one": (["0 two.csv", "0 data.csv"], [2, 2], "", "worker 1 has another file or .*"),
    "other options for one": ([*["0 data.csv"] * 2, USUAL], REFUSED, "", "worker 2 has another file or .*"),
    "worker 1 dies": (
        [USUAL, "15" + USUAL, USUAL],
        [1, -signal.SIGKILL, 1],
        "Epoch 100, Loss 22.1487\n",
        "worker 1 was lost in epoch 150",
    ),
    "worker 0 of three dies": (
        ["15" + USUAL, USUAL, USUAL],
        [-signal.SIGKILL, 1, 1],
        "Epoch 100, Loss 22.1487\n",
        "worker 0 was lost in epoch 150",
    ),
    "worker 0 dies": (["1 two.csv", "0 two.csv"], [-signal.SIGKILL, 1], "", "worker 0 was lost in epoch 1"),
}
"""The command of each worker; then the expected statuses, output and complaint."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files of the runs."""
    two = "35.7,0.5\n55.9,14.0\n"
    texts = {"data": CSV, "last": CSV[:-6], "two": two, "copy": two, "names": "t_u,t_c\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    np.save(tmp_path / "data.npy", torch.stack([T_U, T_C], dim=1).numpy())
    return tmp_path


@pytest.mark.parametrize(
    ("options", "status", "printed", "said"),
    [
        ("data.csv --scale 0.1 --epochs 250", 0, LOGGED, ""),
        ("names.csv --header", 2, "", "no worker has a sample: there is no mean\n"),
        ("two.csv --scale nan", 2, "", "scale is nan: it must be finite\n"),
        ("two.csv --epochs 1", 0, "w = -34.9885, b = -0.771\n", ""),
    ],
)
def test_a_process_alone_trains(
    options: str,
    status: int,
    printed: str,
    said: str,
    files: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)

    assert parallel.train(options.split()) == status
    assert capsys.readouterr() == (printed, said)


def test_a_run_is_of_a_thousand_epochs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (w, b), _ = training_loop(1000, 1e-2, torch.tensor([1.0, 0.0], dtype=torch.float64), 0.1 * T_U, T_C)

    assert parallel.train([str(files / "data.csv"), "--scale", "0.1"]) == 0
    *epochs, last = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1][:-1]) for line in epochs] == [*range(100, 1001, 100)]
    assert last == f"w = {w:.9g}, b = {b:.9g}"


def test_every_run_ends_alike_on_all_its_workers(files: Path) -> None:
    """With one sentence if it fails, whichever worker found out."""
    stores = [dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) for _ in RUNS]
    commands_at = [(store.port, commands) for store, (commands, *_) in zip(stores, RUNS.values(), strict=True)]

    done = run(
        *("-c", FORKS, json.dumps(commands_at)),
        cwd=files,
        OMP_NUM_THREADS="1",
        MASTER_ADDR="127.0.0.1",
        TORCHELASTIC_USE_AGENT_STORE="True",
        PYTHONUNBUFFERED="",  # a worker prints at once, whatever Python is told
    )

    assert done.returncode == 0, done.stderr
    ended = dict(zip(RUNS, json.loads(done.stdout), strict=True))
    assert ended == {name: statuses for name, (_, statuses, _, _) in RUNS.items()}
    for number, (name, (commands, _, output, complaint)) in enumerate(RUNS.items()):
        printed, complained = (
            "".join((files / f"{number}.{rank}.{stream}").read_text() for rank in range(len(commands)))
            for stream in ("out", "err")
        )
        said = [line for line in complained.splitlines() if not line.startswith("[")]  # the library's own log
        assert (printed, len(said)) == (output, bool(complaint)), (name, said)
        assert re.fullmatch(complaint, "".join(said)), (name, said)


def test_torchrun_starts_workers_that_end_together(files: Path) -> None:
    """If they fail, torchrun adds its own report, and a status of its own."""
    done = run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "calibrant.mechanics.parallel", "last.csv"),
        cwd=files,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("last.csv, line 11: '68.4' is no pair of finite numbers\n") == 1
    assert "exitcode  : 2" in done.stderr


# The reference's workers

U, C = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
START = torch.tensor([1.0, 0.0])


UNEVEN = [(U[:1], C[:1]), (U[1:], C[1:]), (U[:0], C[:0])]


def test_a_worker_alone_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")

    gradient, params = workers.work(0, str(tmp_path / "meeting"), (START, [(U, C)], 1, 0.125))

    assert (gradient.tolist(), params.tolist()) == ([12.0, 4.0], [-0.5, -0.5])
    assert not dist.is_initialized()


def test_workers_answer_after_a_call_that_failed() -> None:
    """Because of the shards, an interruption, or the end of a worker."""

    def kill_one() -> None:
        while not (working := multiprocessing.active_children()):
            time.sleep(0.01)
        working[-1].kill()

    with pytest.raises(ValueError, match="not on 2 of the workers"):
        workers.ask((START, [(U[:, None], C[:, None]), (U, C), (U, C[:3])], 1, 0.125))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            workers.ask((START, UNEVEN, 1_000_000_000, 0.0))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    threading.Thread(target=kill_one).start()
    with pytest.raises(RuntimeError, match="a worker ended without an answer"):
        workers.ask((START, UNEVEN, 1_000_000_000, 0.0))
    gradient, params = workers.ask((START, UNEVEN, 1, 0.125))

    assert (gradient.tolist(), params.tolist()) == ([12.0, 4.0], [-0.5, -0.5])
    assert not multiprocessing.active_children()


def test_workers_end_with_the_process_that_asked() -> None:
    """Nothing that has its standard output is left."""
    code = """
import multiprocessing, threading, time, torch
from calibrant.adapters import workers

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    print("they work", flush=True)

threading.Thread(target=tell).start()
workers.ask((torch.ones(2), [(torch.ones(1), torch.ones(1))] * 2, 1_000_000_000, 0.0))
"""
    asking = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert asking.stdout is not None
        assert asking.stdout.readline() == b"they work\n"
        asking.kill()

        assert asking.communicate(timeout=PATIENCE) == (b"", None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(asking.pid, signal.SIGKILL)


def test_workers_that_differ_have_no_answer() -> None:
    nan = START * float("nan")

    assert workers.agreed([(START, nan), (START.clone(), nan.clone())]) == (START, nan)
    with pytest.raises(RuntimeError, match="do not agree"):
        workers.agreed([(START, START), (START, START + 1e-7)])

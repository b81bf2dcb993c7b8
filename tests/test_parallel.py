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
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PATIENCE, run

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402  # it needs torch

from calibrant import exact  # noqa: E402
from calibrant.adapters import workers  # noqa: E402
from calibrant.judge import agree  # noqa: E402
from calibrant.mechanics import gradients, parallel, shards  # noqa: E402
from calibrant.mechanics.data import thermometer  # noqa: E402
from calibrant.mechanics.shards import read_shard  # noqa: E402

PAIRS = [(35.7, 0.5), (-1e-3, 14.0), (7.0, -125.25), (81.9, 28.0), (0.0, 11.0), (48.875, 8.0), (1e4, 3.0)]
TEXT = "35.7,0.5\n-1e-3,14\n7,-125.25\n 81.9 , 28.0 \n0,11\n+48.875,8.\n1E4,3\n"
"""The same pairs, in lines of many lengths."""
T_U, T_C = thermometer(torch.float64)
CSV = "".join(f"{x},{y}\n" for x, y in zip(T_U.tolist(), T_C.tolist(), strict=True))
COLD = torch.tensor([1.0, 0.0], dtype=torch.float64)
LOGGED = "Epoch 100, Loss 22.1487\nEpoch 200, Loss 16.6081\nw = 3.34335583, b = -5.84523032\n"


# Shards of files


def rows(path: Path, world: int, header: bool = False) -> list[tuple[float, float]]:
    """The pairs that all workers of a world read, in the order of the workers."""
    read = (read_shard(str(path), rank, world, header) for rank in range(world))
    return [pair for t_u, t_c in read for pair in zip(t_u.tolist(), t_c.tolist(), strict=True)]


@pytest.mark.parametrize("n", [0, 1, 5, 12])
def test_shards_tile(n: int) -> None:
    for world in range(1, 15):
        parts = [range(*shards.shard(n, rank, world)) for rank in range(world)]

        assert list(chain(*parts)) == list(range(n))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


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
    read = 0

    class Counted(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            nonlocal read
            count = super().readinto(buffer)
            read += count or 0
            return count

    path = tmp_path / f"data.{kind}"
    array = np.arange(400_000.0).reshape(-1, 2)
    if kind == "npy":
        np.save(path, array)
    else:
        path.write_text("".join(f"{x:.1f},{y:.1f}\n" for x, y in array))
    monkeypatch.setattr(shards, "open", lambda path, mode: io.BufferedReader(Counted(path)), raising=False)

    t_u, _ = read_shard(str(path), 57, 100)

    assert abs(len(t_u) - 2000) < 300
    assert read < path.stat().st_size / 100 + 4 * io.DEFAULT_BUFFER_SIZE + 100


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("t_u,t_c", "'t_u' is not a finite number"),
        ("3", "1 field where 2 are due"),
        ("3,4,5", "3 fields where 2 are due"),
        ("3,", "'' is not a finite number"),
        ("nan,1", "'nan' is not a finite number"),
        ("1,1e309", "'1e309' is not a finite number"),
        ("\xff\x00,1", "'\ufffd\\x00' is not a finite number"),
        ("1_000,1", "'1_000' is not a finite number"),
    ],
)
def test_the_worker_that_has_a_bad_line_names_it(line: str, problem: str, tmp_path: Path) -> None:
    """By its number in the file, though the worker has read only a part of the file."""
    path = tmp_path / "data.csv"
    path.write_bytes(f"1,2\r\n3,4\n\n5,6\n{line}\n7,8\n9,10".encode("latin1"))

    for world in (1, 2, 3, 8):
        said = []
        for rank in range(world):
            try:
                read_shard(str(path), rank, world)
            except ValueError as error:
                said.append(str(error))
        assert said == [f"{path}, line 5: {problem}"]


def npy(array: Any, old: bytes = b"", new: bytes = b"") -> bytes:
    """The .npy file of an array, with `new` in the place of `old` in its header and as many spaces fewer."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue().replace(old + b" " * (len(new) - len(old)), new)


ONES = np.ones((3, 2))
FILES: dict[str, tuple[bytes | None, str]] = {
    "none.csv": (None, "cannot be read: No such file"),
    "text.npy": (TEXT.encode(), "does not begin as a .npy file does"),
    "header-cut.npy": (npy(ONES)[:40], "does not begin as"),
    "no-dict.npy": (b"\x93NUMPY\x01\x00\x04\x00[3]\n", r"holds \[3\], not <f4 or <f8"),
    "cut.npy": (npy(ONES)[:-9], "is cut short: its header promises 3 rows"),
    "huge.npy": (npy(ONES, b"(3, 2), }", b"(3" + b"0" * 19 + b", 2), }"), "is cut short"),
    "negative.npy": (npy(ONES, b"(3, 2), }", b"(-3, 2), }"), r"holds {.* \(-3, 2\), }, not"),
    "columns.npy": (npy(np.ones((3, 3))), r"holds {.* \(3, 3\), }, not"),
    "flat.npy": (npy(np.ones(6)), r"holds {.* \(6,\), }, not"),
    "fortran.npy": (npy(ONES.T.copy().T), "holds {.* True.*, not .* in C order"),
    "integers.npy": (npy(np.ones((3, 2), dtype="i8")), "holds {.*<i8"),
    "big-endian.npy": (npy(ONES.astype(">f8")), "holds {.*>f8"),
    "infinite.npy": (npy(np.array([[1, 2]] * 8 + [[1, np.inf]])), r"row 8 \(from 0\): \[1.0, inf\] are not finite"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_data_is_refused(name: str, tmp_path: Path) -> None:
    content, sentence = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError, match=f"{name},? {sentence}"):
        read_shard(str(tmp_path / name), 1, 2)


# One worker


def test_a_long_run_ends_where_the_closed_form_says() -> None:
    logged: list[float] = []

    params = parallel.training_loop(2000, 1e-2, COLD, 0.1 * T_U, T_C, lambda epoch, loss: logged.append(float(loss)))

    agree(params.numpy(), exact.closed_form(2000, 1e-2, *(exact.of(x.numpy()) for x in (COLD, 0.1 * T_U, T_C))))
    assert len(logged) == 2000
    assert f"{logged[0]:.4f} {logged[-1]:.4f}" == "80.3643 2.9577"
    assert torch.equal(parallel.data_parallel_gradient(COLD, T_U, T_C), gradients.value_and_grad(COLD, T_U, T_C)[1])


def test_columns_that_do_not_fit_are_refused() -> None:
    params, one, two = torch.ones(2), torch.ones(1), torch.ones(2)

    for t_u, t_c in ((one, two), (two.reshape(2, 1), two.reshape(2, 1)), (one[:0], one[:0])):
        with pytest.raises(ValueError, match=r"columns|sample"):
            parallel.data_parallel_gradient(params, t_u, t_c)


def test_the_lowest_worker_left_says_who_is_gone() -> None:
    def lost(left: list[int], rank: int, world: int) -> str:
        store = dist.HashStore()
        for other in left:
            store.set(f"left/{other}", "")
        return parallel.lost(store, rank, world, patience=0.1)

    assert lost([2, 3], 0, 4) == "worker 1 was lost"
    assert lost([0], 1, 2) == ""
    assert lost([], 2, 3) == "worker 0 and worker 1 was lost"
    assert lost([1], 0, 2) == "the workers lost touch"

    class Gone:
        def set(self, key: str, value: str) -> None:
            raise RuntimeError("Broken pipe")

    assert parallel.lost(Gone(), 1, 3) == "worker 0 was lost"


# The command, on one worker


@pytest.mark.parametrize(
    ("content", "options", "status", "output", "complaint"),
    [
        (CSV, ["--scale", "0.1", "--epochs", "250"], 0, LOGGED, ""),
        ("1,2\n3", [], 2, "", "{}, line 2: 1 field where 2 are due\n"),
        ("t_u,t_c\n", ["--header"], 2, "", "no worker has a sample: there is no mean\n"),
        ("1,2\n", ["--scale", "nan"], 2, "", "scale is nan: it must be finite\n"),
        ("1,2\n", ["--epochs", "-1"], 2, "", "n_epochs is -1: it cannot be negative\n"),
    ],
)
def test_the_command_trains_or_refuses(
    content: str,
    options: list[str],
    status: int,
    output: str,
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content)

    assert parallel.main([str(path), *options]) == status
    assert capsys.readouterr() == (output, complaint.format(path))


@pytest.mark.parametrize(
    ("rank", "world", "sentence"),
    [("x", "1", "invalid literal"), ("2", "2", "RANK is 2"), ("1", "2", "MASTER_ADDR")],
)
def test_a_worker_that_cannot_join_the_others_says_so(
    rank: str, world: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.delenv("MASTER_ADDR", raising=False)

    assert parallel.main(["data.csv"]) == 1
    assert re.fullmatch(f"this worker could not join the others: .*{sentence}.*\n", capsys.readouterr().err)


# The command, on many workers

FORKS = """
import io, json, os, signal, sys
import torch
from calibrant.mechanics import parallel

def killed_after(calls):
    evaluate, done = parallel.value_and_grad, []
    def dying(*arguments):
        done.append(1)
        if len(done) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return evaluate(*arguments)
    return dying

lost = parallel.lost
parallel.lost = lambda *arguments: lost(*arguments, patience=1.0)
torch.set_num_threads(1)
ended = []
for run, (place, commands) in enumerate(json.load(sys.stdin)):
    pids = []
    for rank, (arguments, calls) in enumerate(commands):
        pid = os.fork()
        if pid == 0:
            for fd, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{run}.{rank}.{name}", os.O_WRONLY | os.O_CREAT), fd)
            os.environ |= place | {"RANK": str(rank), "WORLD_SIZE": str(len(commands))}
            if calls:
                parallel.value_and_grad = killed_after(calls)
            status = 70
            try:
                status = parallel.main(arguments)
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(status)
        pids.append(pid)
    ended.append([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
json.dump(ended, sys.stdout)
"""
"""Forks the workers of each run in turn; those that have a number die in their evaluation of that number."""


def launched(*names: str, epochs: int = 250, dies: dict[int, int] | None = None) -> list[tuple[list[str], int]]:
    """The command of each worker on the file of that name, and in which of its evaluations it dies."""
    return [
        ([name, "--scale", "0.1", "--epochs", str(epochs)], (dies or {}).get(rank, 0))
        for rank, name in enumerate(names)
    ]


three, well, refused = ("data.csv",) * 3, [0, 0, 0], [2, 2, 2]
RUNS = {
    "lines": (launched(*three), well, LOGGED, ""),
    "rows": (launched("data.npy", "data.npy"), [0, 0], LOGGED, ""),
    "more workers than rows": (launched(*["two.csv"] * 3, epochs=0), well, "w = 1, b = 0\n", ""),
    "a line is cut": (launched(*["last.csv"] * 3), refused, "", "last.csv, line 11: 1 field where 2 are due"),
    "no file for one": (launched(*three[:2], "none.csv"), refused, "", "none.csv cannot be read: No such file .*"),
    "another file for one": (launched("data.csv", "copy.csv"), [2, 2], "", "worker 1 has another file or .*"),
    "other options for one": ([*launched(*three), (["data.csv"], 0)], [2] * 4, "", "worker 3 has another .*"),
    "no rows": (launched(*["empty.csv"] * 3), refused, "", "no worker has a sample: .*"),
    "worker 1 dies": (
        launched(*three, dies={1: 150}),
        [1, -signal.SIGKILL, 1],
        "Epoch 100, Loss 22.1487\n",
        "worker 1 was lost in epoch 150",
    ),
    "worker 0 dies": (launched(*three[:2], dies={0: 1}), [-signal.SIGKILL, 1], "", "worker 0 was lost in epoch 1"),
}
"""Each worker's command; then the expected statuses, output and complaint."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files of the runs."""
    texts = {"data": CSV, "copy": CSV + "\n", "last": CSV[:-6], "two": "35.7,0.5\n55.9,14.0\n", "empty": ""}
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    np.save(tmp_path / "data.npy", torch.stack([T_U, T_C], dim=1).numpy())
    return tmp_path


def test_every_run_ends_alike_on_all_its_workers(files: Path) -> None:
    """With one sentence if it fails, whichever worker found out."""
    stores = [dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) for _ in RUNS]
    places = [
        {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
        for store in stores
    ]

    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=json.dumps([(place, commands) for place, (commands, *_) in zip(places, RUNS.values(), strict=True)]),
        cwd=files,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
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
    assert done.stderr.count("last.csv, line 11: 1 field where 2 are due\n") == 1
    assert "exitcode  : 2" in done.stderr


# The reference's workers

U, C = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
START = torch.tensor([1.0, 0.0])


def test_a_worker_meets_the_others_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is alone."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")

    gradient, params = workers.work(0, str(tmp_path / "meeting"), (START, [(U, C)], 1, 0.125))

    assert gradient.tolist() == [12.0, 4.0]
    assert params.tolist() == [-0.5, -0.5]
    assert not dist.is_initialized()


class Bell(Exception):
    pass


UNEVEN = [(U[:1], C[:1]), (U[1:], C[1:]), (U[:0], C[:0])]


def test_workers_answer_after_a_call_that_failed() -> None:
    """Because of the shards, an interruption, or the end of a worker."""

    def ring(signum: int, frame: Any) -> None:
        raise Bell

    def kill_one() -> None:
        while not (working := multiprocessing.active_children()):
            time.sleep(0.01)
        working[-1].kill()

    with pytest.raises(ValueError, match="not on 1 of the workers"):
        workers.ask((START, [(U, C), (U, C[:3])], 1, 0.125))
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(Bell):
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

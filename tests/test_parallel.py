"""Data parallelism: shards of files, workers that train together, and the end of a run that cannot go on.

One process forks the workers of most runs (`FORKS`), because a worker that imports torch for itself takes seconds. The
store through which they find each other is kept here, on a port that the system chooses, as torchrun keeps it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
from calibrant.mechanics.shards import BadData, read_shard  # noqa: E402

PAIRS = [(35.7, 0.5), (-1e-3, 14.0), (7.0, -125.25), (81.9, 28.0), (0.0, 11.0), (48.875, 8.0), (1e4, 3.0)]
TEXT = "35.7,0.5\n-1e-3,14\n7,-125.25\n 81.9 , 28.0 \n0,11\n+48.875,8.\n1E4,3\n"
"""The same pairs, in lines of many lengths."""


# Shards of files


def rows(path: Path, rank: int, world: int, header: bool = False) -> list[tuple[float, float]]:
    t_u, t_c = read_shard(str(path), rank, world, header)
    return list(zip(t_u.tolist(), t_c.tolist(), strict=True))


@pytest.mark.parametrize("n", [0, 1, 5, 12])
def test_shards_tile(n: int) -> None:
    for world in range(1, 15):
        taken = [range(*shards.shard(n, rank, world)) for rank in range(world)]

        assert list(itertools.chain(*taken)) == list(range(n))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1


@pytest.mark.parametrize("header", ["", "t_u,t_c\n", "a header that is longer than any line of the data\n"])
@pytest.mark.parametrize(
    "text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip(), TEXT + "\n\r\n", TEXT.replace("\n", "\n\n")]
)
def test_every_line_is_read_by_one_worker(text: str, header: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes((header + text).encode())

    for world in (*range(1, 12), len(header + text), len(header + text) + 5):
        read = [rows(tmp_path / "data.csv", rank, world, bool(header)) for rank in range(world)]
        assert list(itertools.chain(*read)) == PAIRS


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("dtype", "version"), [("f8", (1, 0)), ("f8", (2, 0)), ("f8", (3, 0)), ("f4", (1, 0)), ("i8", (1, 0))]
)
def test_every_row_is_read_by_one_worker(dtype: str, version: tuple[int, int], order: Any, tmp_path: Path) -> None:
    array = np.array(PAIRS, dtype=dtype, order=order)
    with (tmp_path / "data.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)

    for world in range(1, len(PAIRS) + 3):
        read = [rows(tmp_path / "data.npy", rank, world) for rank in range(world)]
        assert list(itertools.chain(*read)) == [tuple(map(float, pair)) for pair in array]


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_a_worker_reads_no_more_than_its_shard(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what a buffer holds before and after it: so a file may be larger than memory."""
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


LINES = {
    "text": ("3,hello", "line 5: 'hello' is not a finite number"),
    "a header": ("t_u,t_c", "line 5: 't_u' is not a finite number"),
    "one field": ("3", "line 5: 1 field"),
    "three fields": ("3,4,5", "line 5: 3 field"),
    "an empty field": ("3,", "line 5: '' is not a finite number"),
    "not a number": ("nan,1", "line 5: 'nan' is not a finite number"),
    "infinity": ("1,-inf", "line 5: '-inf' is not a finite number"),
    "too large": ("1,1e309", "line 5: '1e309' is not a finite number"),
    "no text at all": ("\xff\x00,1", "line 5: '.*' is not a finite number"),
    "digits in groups": ("1_000,1", "line 5: '1_000' is not a finite number"),
}


@pytest.mark.parametrize("line", LINES)
def test_the_worker_that_has_a_bad_line_names_it(line: str, tmp_path: Path) -> None:
    """By its number in the file, though it has seen a part of the file alone."""
    text, sentence = LINES[line]
    path = tmp_path / "data.csv"
    path.write_bytes(f"1,2\r\n3,4\n\n5,6\n{text}\n7,8\n9,10".encode("latin1"))

    for world in (1, 2, 3, 8):
        said = []
        for rank in range(world):
            try:
                read_shard(str(path), rank, world)
            except BadData as error:
                said.append(str(error))
        assert len(said) == 1
        assert re.match(re.escape(str(path)) + ", " + sentence, said[0])


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


FILES: dict[str, tuple[bytes | None, str]] = {
    "none.csv": (None, "cannot be read: No such file"),
    "text.npy": (TEXT.encode(), "does not begin as a .npy file does"),
    "header-cut.npy": (npy(np.ones((3, 2)))[:40], "does not begin as"),
    "no-dict.npy": (b"\x93NUMPY\x01\x00\x04\x00[3]\n", r"holds \[3\], not <f2, "),
    "cut.npy": (npy(np.ones((3, 2)))[:-9], "is cut short: its header promises 3 rows"),
    "huge.npy": (
        npy(np.ones((1, 2))).replace(b"(1, 2), }" + b" " * 19, b"(1" + b"0" * 19 + b", 2), }"),
        "is cut short",
    ),
    "negative.npy": (npy(np.ones((1, 2))).replace(b"(1, 2), } ", b"(-1, 2), }"), r"holds {.* \(-1, 2\)}, not"),
    "columns.npy": (npy(np.ones((3, 3))), r"holds {.* \(3, 3\)}, not"),
    "flat.npy": (npy(np.ones(6)), r"holds {.* \(6,\)}, not"),
    "big-endian.npy": (npy(np.ones((3, 2), dtype=">f8")), "holds {.*>f8"),
    "records.npy": (npy(np.zeros((3, 2), dtype=[("x", "f4")])), "holds {"),
    "infinite.npy": (npy(np.array([[1, 2]] * 8 + [[1, np.inf]])), r"row 8 \(from 0\): \[1.0, inf\] are not finite"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_data_is_refused(name: str, tmp_path: Path) -> None:
    content, sentence = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(BadData, match=f"{name},? {sentence}"):
        read_shard(str(tmp_path / name), 1, 2)


# One worker


def test_a_worker_alone_has_the_gradient_of_all() -> None:
    t_u, t_c = thermometer(torch.float64)
    params = torch.tensor([1.0, 0.0], dtype=torch.float64)

    gradient = parallel.data_parallel_gradient(params, t_u, t_c)

    assert torch.equal(gradient, gradients.value_and_grad(params, t_u, t_c)[1])


def test_a_long_run_ends_where_the_closed_form_says() -> None:
    t_u, t_c = thermometer(torch.float64)
    logged: list[tuple[int, float]] = []

    params = parallel.training_loop(
        2000,
        1e-2,
        torch.tensor([1.0, 0.0], dtype=torch.float64),
        0.1 * t_u,
        t_c,
        lambda epoch, loss: logged.append((epoch, float(loss))),
    )

    numbers = [exact.of(x.numpy()) for x in (torch.tensor([1.0, 0.0], dtype=torch.float64), 0.1 * t_u, t_c)]
    agree(params.numpy(), exact.closed_form(2000, 1e-2, *numbers))
    assert [epoch for epoch, _ in logged] == list(range(1, 2001))
    assert f"{logged[0][1]:.4f} {logged[-1][1]:.4f}" == "80.3643 2.9577"


def test_columns_that_do_not_fit_are_refused() -> None:
    params, one, two = torch.ones(2), torch.ones(1), torch.ones(2)

    for t_u, t_c in ((one, two), (two.reshape(2, 1), two.reshape(2, 1)), (one[:0], one[:0])):
        with pytest.raises(ValueError, match=r"columns|sample"):
            parallel.data_parallel_gradient(params, t_u, t_c)
    with pytest.raises(ValueError, match="learning_rate"):
        parallel.training_loop(1, -1.0, params, one, one)


def test_the_lowest_worker_left_says_who_is_gone() -> None:
    def left(*ranks: int) -> Any:
        store = dist.HashStore()
        for rank in ranks:
            store.set(f"left/{rank}", "")
        return store

    assert parallel.lost(left(2, 3), 0, 4, patience=0.1) == "worker 1 was lost"
    assert parallel.lost(left(0), 1, 2, patience=0.1) == ""
    assert parallel.lost(left(), 2, 3, patience=0.1) == "worker 0 and worker 1 was lost"
    assert parallel.lost(left(1), 0, 2, patience=0.1) == "the workers lost touch"

    class Gone:
        def set(self, key: str, value: str) -> None:
            raise RuntimeError("Broken pipe")

    assert parallel.lost(Gone(), 1, 3) == "worker 0 was lost"


# The command, on one worker


@pytest.fixture
def data(tmp_path: Path) -> Path:
    t_u, t_c = thermometer(torch.float64)
    path = tmp_path / "data.csv"
    path.write_text("".join(f"{x},{y}\n" for x, y in zip(t_u.tolist(), t_c.tolist(), strict=True)))
    return path


LOGGED = "Epoch 100, Loss 22.1487\nEpoch 200, Loss 16.6081\nw = 3.34335583, b = -5.84523032\n"


def test_the_command_trains(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = parallel.main([str(data), "--scale", "0.1", "--epochs", "250"])

    assert (status, *capsys.readouterr()) == (0, LOGGED, "")


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        ("1,2\n3", [], "{}, line 2: 1 field where 2 are due\n"),
        ("t_u,t_c\n", ["--header"], "no worker has a sample: there is no mean\n"),
        ("1,2\n", ["--scale", "nan"], "scale is nan: it must be finite\n"),
        ("1,2\n", ["--lr", "-1"], "learning_rate is -1.0: it must be finite and not negative\n"),
        ("1,2\n", ["--epochs", "-1"], "n_epochs is -1: it cannot be negative\n"),
    ],
)
def test_the_command_refuses(
    content: str, options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.csv").write_text(content)

    status = parallel.main([str(tmp_path / "data.csv"), *options])

    assert (status, *capsys.readouterr()) == (2, "", sentence.format(tmp_path / "data.csv"))


def test_worker_0_alone_explains_an_option_that_there_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as ended:
            parallel.main(["data.csv", "--epochs", "x"])
        assert ended.value.code == 2
        assert bool(capsys.readouterr().err) == (rank == "0")


@pytest.mark.parametrize(
    ("rank", "world", "sentence"),
    [
        ("x", "1", "invalid literal"),
        ("0", "-1", "WORLD_SIZE is -1"),
        ("2", "2", "RANK is 2"),
        ("1", "2", "MASTER_ADDR"),
    ],
)
def test_a_worker_that_cannot_join_the_others_says_so(
    rank: str,
    world: str,
    sentence: str,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.delenv("MASTER_ADDR", raising=False)

    assert parallel.main([str(data)]) == 1
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

Run = tuple[list[tuple[list[str], int]], list[int], str, str]
"""Each worker's command and the evaluation that it dies in; the statuses, the output, and the complaint that are due."""


def prepare(folder: Path) -> dict[str, Run]:
    """The runs, and their files."""
    t_u, t_c = (column.numpy() for column in thermometer(torch.float64))
    text = "".join(f"{x},{y}\n" for x, y in zip(t_u, t_c, strict=True))
    (folder / "data.csv").write_text(text)
    (folder / "copy.csv").write_text(text + "\n")
    (folder / "last.csv").write_text(text[:-6])
    (folder / "two.csv").write_text("35.7,0.5\n55.9,14.0\n")
    (folder / "empty.csv").write_text("")
    np.save(folder / "data.npy", np.stack([t_u, t_c]).T)

    def one(name: str, *more: str, dies: int = 0) -> tuple[list[str], int]:
        return [name, "--scale", "0.1", "--epochs", "250", *more], dies

    well, refused, usual = [0, 0, 0], [2, 2, 2], one("data.csv")
    return {
        "lines": ([usual] * 3, well, LOGGED, ""),
        "rows": ([one("data.npy")] * 2, [0, 0], LOGGED, ""),
        "more workers than rows": ([one("two.csv", "--epochs", "0")] * 3, well, "w = 1, b = 0\n", ""),
        "a line is cut": ([one("last.csv")] * 3, refused, "", "last.csv, line 11: 1 field where 2 are due"),
        "no file for one": ([usual, usual, one("none.csv")], refused, "", "none.csv cannot be read: No such file .*"),
        "another file for one": ([usual, one("copy.csv"), usual], refused, "", "worker 1 has another file or .*"),
        "other options for one": ([usual, usual, one("data.csv", "--lr", "0.1")], refused, "", "worker 2 has .*"),
        "no rows": ([one("empty.csv")] * 3, refused, "", "no worker has a sample: .*"),
        "worker 1 dies": (
            [usual, one("data.csv", dies=150), usual],
            [1, -signal.SIGKILL, 1],
            "Epoch 100, Loss 22.1487\n",
            "worker 1 was lost in epoch 150",
        ),
        "worker 0 dies": ([one("data.csv", dies=1), usual], [-signal.SIGKILL, 1], "", "worker 0 was lost in epoch 1"),
    }


@pytest.fixture
def meet() -> Iterator[Callable[[], dict[str, str]]]:
    """Makes a store where the workers of one run find each other, as their environment tells them."""
    stores = []

    def made() -> dict[str, str]:
        stores.append(dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
        port = str(stores[-1].port)
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True"}

    yield made
    stores.clear()


def test_every_run_ends_alike_on_all_its_workers(tmp_path: Path, meet: Callable[[], dict[str, str]]) -> None:
    """With one sentence where it does not end well, whichever worker has found out."""
    runs = prepare(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=json.dumps([(meet(), commands) for commands, *_ in runs.values()]),
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    statuses = dict(zip(runs, json.loads(done.stdout), strict=True))
    assert statuses == {name: due for name, (_, due, _, _) in runs.items()}
    for number, (name, (commands, _, output, complaint)) in enumerate(runs.items()):
        ranks = range(len(commands))
        printed, complained = (
            ["".join((tmp_path / f"{number}.{rank}.{stream}").read_text() for rank in ranks)]
            for stream in ("out", "err")
        )
        assert printed == [output], name
        said = [line for line in complained[0].splitlines() if not line.startswith("[")]  # the library's own log
        assert len(said) == bool(complaint), (name, said)
        assert re.fullmatch(complaint, "".join(said)), (name, said)


def test_torchrun_starts_workers_that_end_together(tmp_path: Path) -> None:
    """It adds its own report where they fail, and a status of its own."""
    prepare(tmp_path)

    done = run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "calibrant.mechanics.parallel", "last.csv"),
        cwd=tmp_path,
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

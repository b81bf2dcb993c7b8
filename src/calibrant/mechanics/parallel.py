"""Data parallelism: one gradient from many workers, each of which has a shard of the samples.

    python -m calibrant.mechanics.parallel data.csv --scale 0.1 --epochs 5000
    torchrun --standalone --nproc-per-node 2 -m calibrant.mechanics.parallel data.csv --scale 0.1 --epochs 5000

n samples in all, m of them in this worker's shard; t_u (readings, unknown units) and t_c (°C) are (m,), and m may be 0;
params = [w, b] is (2,), the same on every worker. Alone, without a group of `torch.distributed`, a worker has them all.
"""

import argparse
import contextlib
import io
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from calibrant.mechanics import gradients
from calibrant.mechanics.descent import require_schedule
from calibrant.mechanics.shards import BadData, read_shard

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


class WorkerLost(ConnectionError):
    """Another worker does not take part any more: why, of what the library says, in its first sentence."""

    def __init__(self, error: object) -> None:
        super().__init__(re.sub(r"^\[[^]]*\] ", "", str(error)).split(". ")[0].splitlines()[0])


def summed(values: Tensor) -> Tensor:
    """The sum of every worker's values, on every worker. Raises WorkerLost if one of them is gone."""
    total = values.clone()
    if dist.is_initialized():
        try:
            dist.all_reduce(total)
        except RuntimeError as error:
            raise WorkerLost(error) from error
    return total


def samples(t_u: Tensor, t_c: Tensor) -> int:
    """How many samples all workers have together.

    Raises ValueError, and on every worker, unless each has columns (m,) of one length and one of them has a sample: a
    worker that gave up alone would leave the others waiting for its share.
    """
    misfit = t_u.ndim != 1 or t_u.shape != t_c.shape
    n, misfits = summed(torch.tensor([t_u.numel(), misfit])).tolist()
    if misfits:
        here = f"; here t_u is {tuple(t_u.shape)} and t_c is {tuple(t_c.shape)}" if misfit else ""
        raise ValueError(f"a shard is two columns of one length, but not on {misfits} of the workers{here}")
    if n == 0:
        raise ValueError("no worker has a sample: nothing has no mean")
    return int(n)


def value_and_grad(params: Tensor, t_u: Tensor, t_c: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The loss, a scalar, and the gradient, (2,), of all n samples.  [accumulation.data-parallel]

    Each worker's own, over its mean loss, weighted by its part m / n of the samples, and summed. An empty shard adds zero.
    """
    own = torch.zeros(3, dtype=params.dtype)
    if t_u.numel() > 0:
        loss, grad = gradients.value_and_grad(params, t_u, t_c)
        own = t_u.numel() / n * torch.cat([loss.reshape(1), grad])
    total = summed(own)
    return total[0], total[1:]


def data_parallel_gradient(params: Tensor, t_u: Tensor, t_c: Tensor) -> Tensor:
    """The gradient of the mean squared error over all workers' samples, (2,).  [accumulation.data-parallel]

    Every worker calls it, with its own shard. Raises ValueError as `samples` does, WorkerLost if a worker is gone.
    """
    return value_and_grad(params, t_u, t_c, samples(t_u, t_c))[1]


def training_loop(
    n_epochs: int,
    learning_rate: float,
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    report: Callable[[int, Tensor], None] = lambda epoch, loss: None,
) -> Tensor:
    """Gradient descent on all workers' samples: the parameters, the same on every worker.  [accumulation.data-parallel]

    All start where worker 0 does. `report` is told of every epoch, from 1, and its loss before the step. Raises ValueError
    for a schedule that `require_schedule` refuses and for shards that `samples` does, WorkerLost if a worker is gone.
    """
    require_schedule(n_epochs, learning_rate)
    n = samples(t_u, t_c)
    params = summed(params if not dist.is_initialized() or dist.get_rank() == 0 else torch.zeros_like(params))
    for epoch in range(1, n_epochs + 1):
        loss, grad = value_and_grad(params, t_u, t_c, n)
        params = params - learning_rate * grad
        report(epoch, loss)
    return params


# The command


def join(rank: int, world: int, timeout: timedelta) -> Any:
    """Join the group that the environment describes, as torchrun or a person with several machines sets it."""
    store, _, _ = next(rendezvous("env://", rank, world, timeout=timeout))
    store.set_timeout(timeout)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=timeout)
    return store


def told(word: Any) -> list[Any]:
    """The word of every worker, in their order. Raises WorkerLost if one of them is gone."""
    if not dist.is_initialized():
        return [word]
    words = [None] * dist.get_world_size()
    try:
        dist.all_gather_object(words, word)
    except RuntimeError as error:
        raise WorkerLost(error) from error
    return words


def gone(store: Any, rank: int, world: int, patience: float = 5.0) -> list[int] | None:
    """The workers that are gone, as far as can be known; None if a lower one is left, which then says so.

    Each leaves word in the store that it is still there. Where the worker that kept the store is gone, that is worker 0.
    """
    missing = []
    deadline = time.monotonic() + patience
    try:
        store.set(f"left/{rank}", "")
        for other in (k for k in range(world) if k != rank):
            while not (there := store.check([f"left/{other}"])) and time.monotonic() < deadline:
                time.sleep(0.05)
            if there and other < rank:
                return None
            missing += [] if there else [other]
    except RuntimeError:
        return [0]
    return missing


Word = tuple[str, int, int, dict[str, Any]]
"""What a worker tells the others: what is wrong with its file, its samples, the file's bytes, its other options."""


def objection(words: list[Word], path: str) -> str:
    """Why the workers cannot train together, the same on each: a file, or what they were told. Empty if they can."""
    _, _, size, options = words[0]
    for problem, _, _, _ in words:
        if problem:
            return problem
    for rank, (_, _, other_size, other_options) in enumerate(words):
        if other_options != options:
            return f"worker {rank} was started with other options than worker 0"
        if other_size != size:
            return f"{path} has {size} bytes for worker 0, but {other_size} for worker {rank}"
    return "" if any(m for _, m, _, _ in words) else f"{path} holds no rows"


def settings(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="calibrant.mechanics.parallel",
        description="Gradient descent on the samples of a file, on one worker or many.",
    )
    parser.add_argument("data", help="a CSV of pairs t_u,t_c, or a .npy file that holds an array (n, 2) of them")
    parser.add_argument("--header", action="store_true", help="the first line of the CSV names the columns")
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="multiply the readings t_u by this (1)")
    parser.add_argument("--start", type=float, nargs=2, default=(1.0, 0.0), metavar=("W", "B"), help="start here (1 0)")
    parser.add_argument("--epochs", type=int, default=1000, metavar="N", help="how many steps (1000)")
    parser.add_argument("--lr", type=float, default=1e-2, metavar="RATE", help="the learning rate (0.01)")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32", help="compute in this dtype (float32)")
    parser.add_argument("--every", type=int, default=100, metavar="N", help="print the loss every so many epochs (100)")
    parser.add_argument(
        "--timeout", type=float, default=1800.0, metavar="SECONDS", help="wait for a worker so long (1800)"
    )
    options = parser.parse_args(arguments)
    if options.every < 1 or not 0 < options.timeout < 1e9:
        parser.error("--every and --timeout must be positive")
    return options


def train(options: argparse.Namespace, rank: int, world: int, store: Any | None) -> int:
    """Read this worker's shard and train with the others: the exit status, and on one worker the sentence that goes with it."""
    stage = "while the shards were read"

    def report(epoch: int, loss: Tensor) -> None:
        nonlocal stage
        stage = f"in epoch {epoch + 1}"
        if rank == 0 and epoch % options.every == 0:
            print(f"Epoch {epoch}, Loss {loss.item():.4f}", flush=True)

    dtype = DTYPES[options.dtype]
    t_u = t_c = torch.empty(0, dtype=dtype)
    problem, size = "", 0
    try:
        try:
            t_u, t_c = read_shard(options.data, rank, world, dtype, options.header)
            size = os.path.getsize(options.data)
        except BadData as error:
            problem = str(error)
        word = problem, t_u.numel(), size, vars(options) | {"data": ""}
        problem = objection(told(word), options.data)
        if problem:
            raise BadData(problem)
        stage = "in epoch 1"
        params = torch.tensor(options.start, dtype=dtype)
        params = training_loop(options.epochs, options.lr, params, options.scale * t_u, t_c, report)
    except WorkerLost as error:
        # torchrun ends the others as soon as it sees that one is gone: not before they have said so.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        dist.destroy_process_group()  # those who wait for this worker need not wait longer
        missing = gone(store, rank, world)
        if missing is not None:
            who = f"worker {' and worker '.join(map(str, missing))} was lost" if missing else "the workers lost touch"
            print(f"{who} {stage}: {error}", file=sys.stderr, flush=True)
        return 1
    except (BadData, ValueError) as error:
        if rank == 0:
            print(error, file=sys.stderr, flush=True)
        return 2
    if rank == 0:
        w, b = params.tolist()
        print(f"w = {w:.9g}, b = {b:.9g}", flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says, alone or with the workers that torchrun started: 0, 1 if one is lost, 2 if refused.

    Every worker ends with the same status. Worker 0 alone prints, but for the loss of a worker: that the lowest one left says.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    quiet = io.StringIO()
    with (
        contextlib.redirect_stdout(quiet if rank else sys.stdout),
        contextlib.redirect_stderr(quiet if rank else sys.stderr),
    ):
        options = settings(arguments)
    if world == 1:
        return train(options, rank, world, None)
    try:
        store = join(rank, world, timedelta(seconds=options.timeout))
    except (RuntimeError, ValueError) as error:
        print(f"worker {rank} of {world} could not join the others: {error}", file=sys.stderr)
        return 1
    status = train(options, rank, world, store)
    if dist.is_initialized():
        dist.destroy_process_group()
    return status


if __name__ == "__main__":
    sys.exit(main())

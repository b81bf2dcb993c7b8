"""Data parallelism: one gradient from many workers, each with a shard of the samples.

n samples in all, m of them in this worker's shard; t_u (readings, unknown units) and t_c (°C) are (m,), and m may be 0;
params = [w, b] is (2,), the same on every worker. A process in no group of `torch.distributed` is one worker with all samples.
"""

import argparse
import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from calibrant.mechanics import gradients
from calibrant.mechanics.descent import require_descent
from calibrant.mechanics.shards import read_shard

ALONE = "this worker could not join the others"

Report = Callable[[int, Tensor], None]


class WorkerLost(ConnectionError):
    """Another worker does not take part any more."""


def exchange(collective: Callable[..., object], *arguments: object) -> None:
    """Take part in an operation of all workers, if there are others. Raises WorkerLost if it fails."""
    if not dist.is_initialized():
        return
    try:
        collective(*arguments)
        return
    except RuntimeError as error:
        said = str(error)
    # Outside of the block: the error's frames hold the group, and so its connections, after it was destroyed.
    raise WorkerLost(said)


def summed(values: Tensor) -> Tensor:
    """The sum of every worker's values, on every worker. Raises WorkerLost if one of them is gone."""
    total = values.clone()
    exchange(dist.all_reduce, total)
    return total


def samples(t_u: Tensor, t_c: Tensor) -> int:
    """The number of samples of all workers together.

    Raises ValueError on every worker, so that none waits for another, unless all have columns of one length and one a sample.
    """
    n, misfits = summed(torch.tensor([t_u.numel(), t_u.ndim != 1 or t_u.shape != t_c.shape])).tolist()
    if misfits:
        raise ValueError(f"a shard is two columns of one length, but not on {misfits} of the workers")
    if n == 0:
        raise ValueError("no worker has a sample: there is no mean")
    return int(n)


def value_and_grad(params: Tensor, t_u: Tensor, t_c: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The loss, a scalar, and the gradient, (2,), of all n samples.  [accumulation.data-parallel]

    The all-reduce sums each worker's mean loss and gradient, weighted by m / n. An empty shard adds zero.
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
    n_epochs: int, learning_rate: float, params: Tensor, t_u: Tensor, t_c: Tensor, report: Report = lambda *epoch: None
) -> Tensor:
    """Gradient descent on all workers' samples: the parameters, the same on every worker.  [accumulation.data-parallel]

    All start where worker 0 does. `report` gets the number of each epoch, from 1, and the loss before its step. Raises
    ValueError as `require_descent` and `samples` do, WorkerLost if a worker is gone.
    """
    require_descent(n_epochs, learning_rate)
    n = samples(t_u, t_c)
    params = summed(params if not dist.is_initialized() or dist.get_rank() == 0 else torch.zeros_like(params))
    for epoch in range(1, n_epochs + 1):
        loss, grad = value_and_grad(params, t_u, t_c, n)
        params = params - learning_rate * grad
        report(epoch, loss)
    return params


# The command


def read_agreed(options: argparse.Namespace, rank: int, world: int) -> tuple[Tensor, Tensor]:
    """This worker's shard; ValueError on every worker if one cannot read its own, or has another file or other options."""
    t_u = t_c = torch.empty(0)
    problem, size = "", 0
    try:
        t_u, t_c = read_shard(options.data, rank, world, options.header)
        size = os.path.getsize(options.data)
    except (OSError, ValueError) as error:
        problem = str(error)
    told = [(problem, vars(options) | {"data": size})] * world
    exchange(dist.all_gather_object, told, told[rank])
    for other, (said, setting) in enumerate(told):
        if said or setting != told[0][1]:
            raise ValueError(said or f"worker {other} has another file or other options than worker 0")
    return t_u, t_c


def lost(store: Any, rank: int, world: int, patience: float = 20.0) -> str:
    """The workers that are gone, in words, for the lowest worker left to print; empty for the others.

    Each worker left says so in the store; under load that takes it seconds. If the store is gone, so is worker 0, which kept it.
    """
    deadline = time.monotonic() + patience
    try:
        store.set(f"left/{rank}", "")
        missing = list(range(world))
        while len(missing) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
            missing = [other for other in range(world) if not store.check([f"left/{other}"])]
            if any(lower not in missing for lower in range(rank)):
                return ""
    except RuntimeError:
        missing = [0]
    said = " and ".join(f"worker {other}" for other in missing)
    return f"{said} {'was' if len(missing) == 1 else 'were'} lost" if missing else "the workers lost touch"


@contextlib.contextmanager
def joined_within(seconds: float) -> Iterator[None]:
    """End this process, with a sentence, if the block takes more seconds: a port may be silent for ever."""

    def leave() -> None:
        where = ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
        print(f"{ALONE}: {where} gave no answer within {seconds:g} s", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:  # the process may go on after a failure, too
        timer.cancel()


def end_soon(signum: int, frame: object) -> None:
    """End by SIGTERM, but in a second: torchrun sends it to the workers left before they have said who is lost."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def train(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says, alone or with the workers that torchrun started: 0, 1 if one is lost, 2 if refused.

    Every worker ends with the same status. Worker 0 alone prints; the lowest worker left reports the loss of another.
    """
    parser = argparse.ArgumentParser(
        prog="calibrant.mechanics.parallel",
        description="Gradient descent from w = 1, b = 0 at the rate 0.01 on the samples of a file, on one worker or many.",
    )
    parser.add_argument("data", help="a CSV of pairs t_u,t_c, or a .npy file of them, an array (n, 2) of floats")
    parser.add_argument("--header", action="store_true", help="the first line of the CSV names the columns")
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="multiply the readings t_u by this (1)")
    parser.add_argument("--epochs", type=int, default=1000, metavar="N", help="how many steps (1000)")
    parser.add_argument(
        "--timeout", type=float, default=300.0, metavar="S", help="how long to wait for the others (300)"
    )
    options = parser.parse_args(arguments)
    store, epoch = None, 1
    try:
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if not 0 <= rank < world:
            raise ValueError(f"RANK is {rank} and WORLD_SIZE is {world}")
        if world > 1:
            if not 0 < options.timeout < threading.TIMEOUT_MAX:
                raise ValueError(f"timeout is {options.timeout}")
            with joined_within(options.timeout):
                store, _, _ = next(rendezvous("env://"))
                dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
            signal.signal(signal.SIGTERM, end_soon)
    except (RuntimeError, ValueError) as error:
        print(f"{ALONE}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1

    def report(done: int, loss: Tensor) -> None:
        nonlocal epoch
        epoch = done + 1
        if rank == 0 and done % 100 == 0:
            print(f"Epoch {done}, Loss {loss.item():.4f}", flush=True)

    try:
        t_u, t_c = read_agreed(options, rank, world)
        if not math.isfinite(options.scale):
            raise ValueError(f"scale is {options.scale}: it must be finite")
        start = torch.tensor([1.0, 0.0], dtype=t_u.dtype)
        w, b = training_loop(options.epochs, 1e-2, start, options.scale * t_u, t_c, report).tolist()
        if rank == 0:
            print(f"w = {w:.9g}, b = {b:.9g}", flush=True)
    except WorkerLost:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun may end the workers left before they have said why
        dist.destroy_process_group()  # the others notice, and need not wait for this worker
        if said := lost(store, rank, world):
            print(said, f"in epoch {epoch}", file=sys.stderr, flush=True)
        return 1
    except ValueError as error:
        if rank == 0:
            print(error, file=sys.stderr, flush=True)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(train())

"""Workers for the reference's data parallelism: a group of real processes, one for each shard.

The standard library's fork server starts them anew for each call. It has imported torch and has no threads: a process with
threads cannot be forked safely, and one that imports torch for itself takes seconds.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from types import ModuleType

import torch
import torch.distributed as dist
from torch import Tensor

from calibrant.mechanics import parallel

Request = tuple[Tensor, list[tuple[Tensor, Tensor]], int, float]
"""The parameters, the shards, the number of epochs and the learning rate."""
Answer = tuple[Tensor, Tensor]
"""The gradient over all shards, and the parameters after the epochs, (2,) each."""

_PATIENCE = timedelta(seconds=60)
"""The time that a worker waits for the others: no longer than a caller waits for an answer."""


def ask(request: Request) -> Answer:
    """The answer of workers that hold a shard each. No worker outlives the call, or this process.

    Raises a worker's error, and RuntimeError if a worker ends without an answer or the workers do not agree.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder, contextlib.ExitStack() as stack:
        pipes = []
        for rank in range(len(request[1])):
            ours, theirs = context.Pipe(duplex=False)
            pipes.append(stack.enter_context(ours))
            # In bytes, because multiprocessing itself would move the caller's tensors to shared memory.
            arguments = (theirs, rank, f"{folder}/meeting", pickle.dumps(request))
            worker = context.Process(target=_serve, args=arguments)
            with theirs, _no_main():
                worker.start()
            stack.callback(worker.join)
            stack.callback(worker.kill)
        answers: dict[Connection, Answer | Exception] = {}
        while waiting := [pipe for pipe in pipes if pipe not in answers]:
            for pipe in wait(waiting):
                assert isinstance(pipe, Connection)
                try:
                    answers[pipe] = pickle.loads(pipe.recv_bytes())
                except (OSError, EOFError):
                    raise RuntimeError("a worker ended without an answer") from None
        return agreed([answers[pipe] for pipe in pipes])


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Hide the main module, which multiprocessing would import again in each worker."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def agreed(answers: list[Answer | Exception]) -> Answer:
    """The answer of all workers, equal to the last bit. Raises a worker's error: the cause rather than a WorkerLost."""
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, parallel.WorkerLost))
    right = [answer for answer in answers if not isinstance(answer, Exception)]
    for answer in right:
        for first, other in zip(right[0], answer, strict=True):
            if not torch.allclose(first, other, rtol=0, atol=0, equal_nan=True):
                raise RuntimeError(f"the workers do not agree with each other: {right}")
    return right[0]


def work(rank: int, meeting: str, request: Request) -> Answer:
    """The answer of worker `rank`, which meets the others through a file and trains with them on its shard."""
    params, shards, n_epochs, lr = request
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=len(shards), timeout=_PATIENCE
    )
    try:
        gradient = parallel.data_parallel_gradient(params, *shards[rank])
        return gradient, parallel.training_loop(n_epochs, lr, params, *shards[rank])
    finally:
        dist.destroy_process_group()


def _serve(pipe: Connection, rank: int, meeting: str, request: bytes) -> None:
    """In a worker: send the answer through the pipe, and end with the process that asked."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    answer: Answer | Exception
    try:
        answer = work(rank, meeting, pickle.loads(request))
    except Exception as error:
        answer = error
    pipe.send_bytes(pickle.dumps(answer))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

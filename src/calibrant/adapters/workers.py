"""Workers for the reference's data parallelism: real processes that form a group, one for each shard.

They are forked, for each call anew, by a server that has nothing but torch in it and that starts with the first call: a
process that has threads cannot be forked safely, and one that imports torch for itself takes seconds.

    Workers().ask(params, shards, n_epochs, lr)  ->  pickle over the server's standard input and output
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import Tensor

from calibrant.mechanics import parallel
from calibrant.target.forking import command

Shard = tuple[Tensor, Tensor]
Request = tuple[Tensor, list[Shard], int, float]
Answer = tuple[Tensor, Tensor]

_PATIENCE = timedelta(seconds=60)
"""How long a worker waits for the others: no longer than anybody waits for an answer."""


class Workers:
    """Asks for work to be done by workers, whose server it starts when it is first asked."""

    def __init__(self) -> None:
        self._server: Any = None
        atexit.register(self.stop, patience=2.0)

    def ask(self, params: Tensor, shards: list[Shard], n_epochs: int, lr: float) -> Answer:
        """The gradient over all shards at params, and the parameters after n_epochs, each (2,), as worker 0 has them.

        Raises what a worker raised, and RuntimeError if the workers do not answer.
        """
        if self._server is None:
            self._server = self._started()
        try:
            requests, answers = self._server.stdin, self._server.stdout
            pickle.dump((params, shards, n_epochs, lr), requests)
            requests.flush()
            answer = pickle.load(answers)
        except (OSError, EOFError) as error:
            self.stop()
            raise RuntimeError(f"the workers' server ended: {error or 'no answer'}") from None
        except (
            BaseException
        ):  # whoever interrupts this call gets no answer, and neither shall the next one get this one's
            self.stop()
            raise
        if isinstance(answer, BaseException):
            raise answer
        gradient, after = answer
        return gradient, after

    def stop(self, patience: float = 0.0) -> None:
        """End the server with all its workers; one that is at rest ends by itself if it is left time to."""
        server, self._server = self._server, None
        if server is not None:
            try:
                server.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.communicate()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command(), "-m", "calibrant.adapters.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def work(rank: int, meeting: str, request: Request) -> Answer:
    """What worker `rank` does: meet the others at a file, and work with them on its shard."""
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


def served(request: Request) -> Answer | BaseException:
    """What forked workers, one for each shard, make of a request."""
    world = len(request[1])
    with (
        tempfile.TemporaryDirectory(prefix="calibrant-") as folder,
        ProcessPoolExecutor(world, get_context("fork")) as pool,
    ):
        futures = [pool.submit(work, rank, f"{folder}/meeting", request) for rank in range(world)]
        failures = [error for error in (future.exception() for future in futures) if error is not None]
    if failures:
        return next((error for error in failures if not isinstance(error, parallel.WorkerLost)), failures[0])
    return agreed([future.result() for future in futures])


def agreed(answers: list[Answer]) -> Answer | Exception:
    """What all workers answer alike, to the last bit."""
    for answer in answers:
        for first, other in zip(answers[0], answer, strict=True):
            if not torch.allclose(first, other, rtol=0, atol=0, equal_nan=True):
                return RuntimeError(f"the workers do not agree with each other: {answers}")
    return answers[0]


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(served(request), answers)
        answers.flush()


if __name__ == "__main__":
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    serve(sys.stdin.buffer, private)

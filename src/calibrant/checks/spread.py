"""Work spread over several processes."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

Task = tuple[Any, ...]

_STORAGE = "HYPOTHESIS_STORAGE_DIRECTORY"


@contextlib.contextmanager
def stored_elsewhere() -> Iterator[None]:
    """Keep what Hypothesis stores in a folder that is gone after the block: without one it lies where the command runs."""
    before = os.environ.get(_STORAGE)
    with tempfile.TemporaryDirectory(prefix="calibrant-", ignore_cleanup_errors=True) as folder:
        os.environ[_STORAGE] = folder
        try:
            yield
        finally:
            del os.environ[_STORAGE]
            os.environ |= {} if before is None else {_STORAGE: before}


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that start in the block ignore Ctrl-C, which a terminal sends to all: the first process ends the others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def spread(work: Callable[..., Any], tasks: Sequence[Task], workers: int | None) -> Iterator[tuple[Task, Any]]:
    """Yield each task with the result of its work as it ends; other processes do the work, unless one is enough."""
    with stored_elsewhere():
        yield from _spread(work, tasks, workers)


def _spread(work: Callable[..., Any], tasks: Sequence[Task], workers: int | None) -> Iterator[tuple[Task, Any]]:
    if min(workers or os.cpu_count() or 1, len(tasks)) == 1:
        yield from ((task, work(*task)) for task in tasks)
        return
    # Threads that torch starts do not survive a fork. Each process does many tasks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        with _deaf_children():
            waiting = {pool.submit(work, *task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():  # after Ctrl-C they still work
                process.terminate()

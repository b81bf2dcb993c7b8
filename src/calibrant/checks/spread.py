"""Work spread over several processes."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import resource_tracker
from typing import Any

import pytest
from hypothesis import configuration

from calibrant.target.processes import in_order, no_process_left

Task = tuple[Any, ...]


@contextlib.contextmanager
def stored_elsewhere() -> Iterator[None]:
    """Keep what Hypothesis stores in a folder that is gone after the block: without one it lies where the command runs."""
    folder = tempfile.TemporaryDirectory(prefix="calibrant-", ignore_cleanup_errors=True)
    with folder as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", name)
        patch.setattr(configuration, "__hypothesis_home_directory", None, raising=False)  # the folder of a run before
        yield


def spread(work: Callable[..., Any], tasks: Sequence[Task], workers: int | None) -> Iterator[tuple[Task, Any]]:
    """Yield each task with the result of its work as it ends; other processes do the work, unless one is enough.

    An interrupt ends them at once, and whatever they have started.
    """
    with stored_elsewhere():
        yield from _spread(work, tasks, workers)


def _spread(work: Callable[..., Any], tasks: Sequence[Task], workers: int | None) -> Iterator[tuple[Task, Any]]:
    if min(workers or os.cpu_count() or 1, len(tasks)) == 1:
        yield from ((task, work(*task)) for task in tasks)
        return
    # Threads that torch starts do not survive a fork. Each process does many tasks.
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONSAFEPATH", "1")  # files in the working directory hide no module
        resource_tracker.ensure_running()  # it outlives the block
        with in_order(), no_process_left(), ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
            try:
                with _uninterrupted():
                    waiting = {pool.submit(work, *task): task for task in tasks}
                for done in as_completed(waiting):
                    yield waiting[done], done.result()
            except BaseException:
                for process in multiprocessing.active_children():
                    process.kill()
                pool.shutdown(cancel_futures=True)
                raise


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep an interrupt for the end of the block, and from the processes that start in it: this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

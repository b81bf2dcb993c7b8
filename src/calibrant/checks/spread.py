"""Work spread over several processes."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

Task = tuple[Any, ...]


def spread(work: Callable[..., Any], tasks: Sequence[Task], workers: int | None) -> Iterator[tuple[Task, Any]]:
    """Yield each task with the result of its work as it ends; other processes do the work, unless one is enough."""
    if min(workers or os.cpu_count() or 1, len(tasks)) == 1:
        yield from ((task, work(*task)) for task in tasks)
        return
    # Threads that torch starts do not survive a fork. Each process does many tasks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        waiting = {pool.submit(work, *task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():  # after Ctrl-C they still work
                process.terminate()

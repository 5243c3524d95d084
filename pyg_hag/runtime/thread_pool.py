"""A small thread pool for kernels that release the GIL.

Numba's parallel layers crash after a fork (as in a `DataLoader` with workers) and
when two Python threads enter them at once; plain threads survive both.
"""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import torch

_pool: ThreadPoolExecutor | None = None
_local = threading.local()  # `busy`: whether this thread runs a task


def _forget_pool() -> None:
    """Drops the pool in a forked child, where its threads do not exist."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def num_threads() -> int:
    """The number of threads that PyTorch uses."""
    return torch.get_num_threads()


def run(task: Callable[[int], object], num_tasks: int) -> None:
    """Calls `task(0) ... task(num_tasks - 1)` on at most `num_threads()` threads.

    The caller takes part. Calls with one task or one thread do not use the pool, nor do
    calls from within a task, which could wait for each other.
    """
    helpers = min(num_threads(), num_tasks) - 1
    if helpers < 1 or getattr(_local, "busy", False):
        for i in range(num_tasks):
            task(i)
        return

    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="hag")
    counter = itertools.count()  # `next(counter)` is atomic

    def work() -> None:
        _local.busy = True
        try:
            while (i := next(counter)) < num_tasks:
                task(i)
        finally:
            _local.busy = False

    futures = [_pool.submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        wait(futures)
    for future in futures:
        future.result()

"""Native code on PyTorch's own OpenMP threads.

PyTorch's threads keep spinning for a while after an operator. Other threads would
compete with them for the cores, and take ten times as long to wake up. So if PyTorch
uses GNU OpenMP, kernels run on the same team of threads; otherwise, and in a forked
child (where that runtime hangs), on the library's own pool.
"""

import ctypes
import functools
import os
import sys
from typing import Any, NamedTuple

import numba

from pyg_hag.runtime import thread_pool

_forked = False


def _forget_team() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)


class Team(NamedTuple):
    """The OpenMP runtime that PyTorch has loaded."""

    start: Any
    """`GOMP_parallel`, which calls a function on every thread."""
    number: int
    """Address of `omp_get_thread_num`, which returns the number of a thread."""


def team() -> Team | None:
    """PyTorch's team of threads, or None if kernels cannot run on it."""
    return None if _forked else _gnu_openmp()


def run(entry: Any, block: int, num_tasks: int, team: Team | None) -> None:
    """Calls a native function on every thread.

    Args:
        entry: A function from :func:`pyg_hag.runtime.jit.native`.
        block: Address of its parameters.
        num_tasks: Number of tasks that the threads share.
        team: The team of threads; the library's own pool if None.
    """
    # PyTorch's own number of threads: changing the size of its team is slow.
    threads = thread_pool.num_threads()
    if team is not None:
        team.start(entry.address, block, threads, 0)
    else:
        call = entry.ctypes
        thread_pool.run(lambda _: call(block), min(threads, num_tasks))


def checks_bounds() -> bool:
    """Whether NUMBA_BOUNDSCHECK is set."""
    return bool(numba.config.BOUNDSCHECK)


@functools.cache
def _gnu_openmp() -> Team | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "libgomp" in line}
        if len(paths) != 1:  # none, or several: unclear which one is PyTorch's
            return None
        runtime = ctypes.CDLL(paths.pop())
        start, number = runtime.GOMP_parallel, runtime.omp_get_thread_num
    except (OSError, AttributeError):
        return None
    start.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    start.restype = None
    return Team(start, ctypes.cast(number, ctypes.c_void_p).value or 0)

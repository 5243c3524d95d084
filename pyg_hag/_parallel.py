"""Native code on PyTorch's own OpenMP threads.

PyTorch's threads keep spinning for a while after an operator. Threads of our own
would fight them for the cores, and take ten times as long to wake up. So where
PyTorch runs on GNU OpenMP, kernels run in the same team; elsewhere, and in a forked
child (where that runtime hangs), on the library's thread pool.
"""

import ctypes
import functools
import os
import sys
from typing import Any, NamedTuple

import numba

from pyg_hag import _threads

_forked = False


def _forget_team() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)


class Team(NamedTuple):
    """The runtime that PyTorch has loaded."""

    start: Any
    """`GOMP_parallel`: calls a function on every thread."""
    number: int
    """Address of `omp_get_thread_num`, by which each thread knows its number."""


def team() -> Team | None:
    """PyTorch's threads, if kernels can run on them."""
    return None if _forked else _gnu_openmp()


def run(entry: Any, block: int, num_tasks: int, team: Team | None) -> None:
    """Calls a native function on every thread.

    Args:
        entry: What :func:`pyg_hag._jit.native` has made.
        block: Address of its parameters.
        num_tasks: Among how many tasks the threads can choose.
        team: Whose threads; the library's own if None.
    """
    threads = _threads.num_threads()  # as many as PyTorch: another number costs more
    if team is not None:
        team.start(entry.address, block, threads, 0)
    else:
        call = entry.ctypes
        _threads.run(lambda _: call(block), min(threads, num_tasks))


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
        if len(paths) != 1:  # none, or two: which one is PyTorch's?
            return None
        runtime = ctypes.CDLL(paths.pop())
        start, number = runtime.GOMP_parallel, runtime.omp_get_thread_num
    except (OSError, AttributeError):
        return None
    start.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    start.restype = None
    return Team(start, ctypes.cast(number, ctypes.c_void_p).value or 0)

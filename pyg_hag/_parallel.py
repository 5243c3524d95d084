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
from typing import Any

import numba

from pyg_hag import _threads

_forked = False


def _forget_team() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)


def run(entry: Any, block: int, num_tasks: int) -> None:
    """Calls a native function on every thread, or once, here, for a single task.

    Args:
        entry: What :func:`pyg_hag._jit.native` has made.
        block: Address of its parameters.
        num_tasks: Among how many tasks the threads can choose.
    """
    if num_tasks == 1:
        entry.ctypes(block)
        return
    threads = _threads.num_threads()  # as many as PyTorch: another number costs more
    team = None if _forked else _gnu_openmp()
    if team is not None:
        team(entry.address, block, threads, 0)
    else:
        call = entry.ctypes
        _threads.run(lambda _: call(block), min(threads, num_tasks))


def checks_bounds() -> bool:
    """Whether NUMBA_BOUNDSCHECK is set."""
    return bool(numba.config.BOUNDSCHECK)


@functools.cache
def _gnu_openmp() -> Any:
    """`GOMP_parallel` of the runtime that PyTorch has loaded, or None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "libgomp" in line}
        if len(paths) != 1:  # none, or two: which one is PyTorch's?
            return None
        team = ctypes.CDLL(paths.pop()).GOMP_parallel
    except (OSError, AttributeError):
        return None
    team.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    team.restype = None
    return team

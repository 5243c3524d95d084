"""Native tasks on PyTorch's own OpenMP threads.

PyTorch's threads keep spinning for a while after an operator. Threads of our own
would fight them for the cores, and take ten times as long to wake up. So where
PyTorch runs on GNU OpenMP, kernels run in the same team; elsewhere, and in a forked
child (where that runtime hangs), on the library's thread pool.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pyg_hag import _threads
from pyg_hag._jit import native

I64 = NDArray[np.int64]

COUNTER, NUM_TASKS, TASKS, FIRST = range(4)
"""Places in a parameter block: the next task, their number, the address of the
tasks, and where the kernel's own parameters begin."""

_compiled = functools.cache(native)
_forked = False


def _forget_team() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)


def run_tasks(entry: Callable[..., None], parameters: list[int], tasks: I64) -> None:
    """Runs `entry(address of the parameter block)` on every thread.

    The entry takes tasks with :func:`next_task` until none is left.

    Args:
        entry: A Python function of one `voidptr`, compiled here on first use.
        parameters: The kernel's parameters: sizes and addresses.
        tasks: One row of numbers per task.
    """
    block = np.array([0, len(tasks), tasks.ctypes.data, *parameters], np.int64)
    compiled = _compiled(entry)
    threads = _threads.num_threads()  # as many as PyTorch: another number costs more
    team = None if _forked else _gnu_openmp()
    if team is not None:
        team(compiled.address, block.ctypes.data, threads, 0)
    else:
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled.address)
        _threads.run(lambda _: call(block.ctypes.data), min(threads, len(tasks)))


def checks_bounds() -> bool:
    """Whether NUMBA_BOUNDSCHECK is set: native entries cannot raise its errors."""
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


@intrinsic
def next_task(_: Any, block: Any) -> Any:
    """Takes the next number from the counter of a parameter block (a `voidptr`)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        counter = builder.bitcast(args[0], i64.as_pointer())
        return builder.atomic_rmw("add", counter, i64(1), "monotonic")

    return types.int64(types.voidptr), codegen


@intrinsic
def pointer(_: Any, address: Any) -> Any:
    """The pointer to an address, as `carray` takes it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), codegen

"""Memory for large results, reused for the next ones.

The C library returns blocks above 32 MiB to the system as soon as they are freed. For
the next result, the system then has to map every page of 4 KiB again, which takes
longer than a sum over a HAG. Here, freed memory is kept for the next result of its
size, up to a limit, and new memory uses huge pages where the system has them.
"""

import os
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MIN_BYTES = 4 << 20  # bytes of a result; below, huge pages do not pay off
_SHARE = 16  # at most 1 / 16 of the machine's memory is kept
_LINE = 64  # bytes of a cache line
_WASTE = 1.25  # size of a buffer relative to what it may be used for


def _limit() -> int:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this platform
        return 0
    return total // _SHARE


LIMIT = _limit()
"""Bytes of freed memory that are kept at most."""


class _Pool:
    """Freed buffers, the latest last."""

    def __init__(self) -> None:
        self._buffers: deque[Any] = deque()
        self._lock = threading.Lock()

    def take(self, size: int) -> Any:
        """Removes and returns a buffer for `size` bytes, or None."""
        with self._lock:
            for i in range(len(self._buffers) - 1, -1, -1):
                buffer = self._buffers[i]
                if size <= buffer.nbytes <= _WASTE * size:
                    del self._buffers[i]
                    return buffer
        return None

    def put(self, buffer: Any) -> None:
        """Keeps a buffer; beyond the limit, the oldest ones are dropped."""
        if not self._lock.acquire(blocking=False):
            return  # freed by the garbage collector while this thread holds the lock
        try:
            self._buffers.append(buffer)
            while sum(b.nbytes for b in self._buffers) > LIMIT:
                self._buffers.popleft()
        finally:
            self._lock.release()

    def clear(self) -> None:
        """Returns all buffers to the system."""
        with self._lock:
            self._buffers.clear()


_pool = _Pool()


def _renew() -> None:
    """In a forked child, the lock may be held, and the pages are shared."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def empty(like: Tensor, rows: int, columns: int) -> Tensor:
    """An uninitialised matrix with the dtype of `like`, on the CPU."""
    size = rows * columns * like.element_size()
    if size < MIN_BYTES or LIMIT == 0:
        if like.shape == (rows, columns):
            return torch.empty_like(like)  # the fastest way
        return like.new_empty((rows, columns))
    view = scratch(size)
    return torch.from_numpy(view).view(like.dtype).view(rows, columns)


def scratch(size: int) -> NDArray[np.uint8]:
    """Uninitialised bytes; large ones start at a multiple of 64."""
    if size < MIN_BYTES or LIMIT == 0:
        return np.empty(size, np.uint8)
    buffer = _pool.take(size + _LINE)
    if buffer is None:  # NumPy asks for huge pages
        buffer = np.empty(size + _LINE, np.uint8)
    first = -buffer.ctypes.data % _LINE
    view: NDArray[np.uint8] = buffer[first : first + size].view()
    if size <= LIMIT:
        weakref.finalize(view, _keep, buffer).atexit = False
    return view


def _keep(buffer: Any) -> None:
    _pool.put(buffer)


def release_memory() -> None:
    """Returns memory that is kept for the next large results to the system.

    When results of 4 MiB or more are freed, their memory is kept for the next result
    of about the same size, up to 1 / 16 of the machine's memory: mapping new pages
    would take longer than most sums over a HAG.
    """
    _pool.clear()

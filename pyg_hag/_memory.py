"""Memory of large results, used again for the next ones.

The C library hands memory beyond 32 MiB back to the system as soon as it is free, and
the next result has all its pages made anew, one for every 4 KiB, which takes longer
than a sum over a HAG. Here freed memory waits for the next result of its size, up to a
limit, and new memory comes in large pages where the system has them.
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

LEAST = 4 << 20  # bytes: from here large pages pay
_SHARE = 16  # of the machine's memory may wait: one part in so many
_LINE = 64  # bytes of a cache line
_WASTE = 1.25  # a buffer may be so much larger than what it is used for


def _limit() -> int:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this platform
        return 0
    return total // _SHARE


LIMIT = _limit()
"""Bytes that may wait."""


class _Waiting:
    """Freed buffers, the latest last."""

    def __init__(self) -> None:
        self._buffers: deque[Any] = deque()
        self._lock = threading.Lock()

    def take(self, size: int) -> Any:
        """A buffer for so many bytes, or None."""
        with self._lock:
            for i in range(len(self._buffers) - 1, -1, -1):
                buffer = self._buffers[i]
                if size <= buffer.nbytes <= _WASTE * size:
                    del self._buffers[i]
                    return buffer
        return None

    def put(self, buffer: Any) -> None:
        """Keeps a buffer; those that wait longest go, beyond the limit."""
        if not self._lock.acquire(blocking=False):
            return  # freed by the garbage collector while this thread holds the lock
        try:
            self._buffers.append(buffer)
            while sum(b.nbytes for b in self._buffers) > LIMIT:
                self._buffers.popleft()
        finally:
            self._lock.release()

    def clear(self) -> None:
        """Gives all back to the system."""
        with self._lock:
            self._buffers.clear()


_waiting = _Waiting()


def _renew() -> None:
    """A forked child may have inherited a lock that is held; its pages are shared."""
    global _waiting
    _waiting = _Waiting()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def empty(like: Tensor, rows: int, columns: int) -> Tensor:
    """An uninitialised matrix with the dtype of another, on the CPU."""
    size = rows * columns * like.element_size()
    if size < LEAST or LIMIT == 0:
        if like.shape == (rows, columns):
            return torch.empty_like(like)  # the fastest way to ask
        return like.new_empty((rows, columns))
    view = scratch(size)
    return torch.from_numpy(view).view(like.dtype).view(rows, columns)


def scratch(size: int) -> NDArray[np.uint8]:
    """So many uninitialised bytes, from a multiple of 64 on if there are many."""
    if size < LEAST or LIMIT == 0:
        return np.empty(size, np.uint8)
    buffer = _waiting.take(size + _LINE)
    if buffer is None:  # NumPy asks the system for large pages
        buffer = np.empty(size + _LINE, np.uint8)
    first = -buffer.ctypes.data % _LINE
    view: NDArray[np.uint8] = buffer[first : first + size].view()
    if size <= LIMIT:
        weakref.finalize(view, _keep, buffer).atexit = False
    return view


def _keep(buffer: Any) -> None:
    _waiting.put(buffer)


def release_memory() -> None:
    """Gives memory that waits for the next large results back to the system.

    Results of 4 MiB and more lie in memory that is kept for the next one of about
    their size when they are freed, up to a sixteenth of the machine's memory: having
    the system make new pages would take longer than most sums over a HAG.
    """
    _waiting.clear()

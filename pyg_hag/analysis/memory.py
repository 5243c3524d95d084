"""Memory at its peak, as the operating system sees it."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyg_hag.runtime.memory import release_memory

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def can_measure() -> bool:
    """Whether the system tells (it is Linux that does)."""
    return _RESET.exists()


def peak(call: Callable[[], Any], warm: bool = True) -> float | None:
    """Megabytes by which the resident memory of the process grows during a call.

    None where the system does not tell.

    Args:
        call: What to call.
        warm: Whether to call it before, so that caches are filled and not counted.
    """
    if warm:
        call()
    release_memory()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # else the allocator keeps what was freed before
        trim(0)
    try:
        _RESET.write_text("5")
        before = _resident("VmRSS")
        call()
        return _resident("VmHWM") - before
    except OSError:
        return None


def _resident(field: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"'{_STATUS}' has no {field}")

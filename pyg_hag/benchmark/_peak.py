"""Peaks of the resident memory (Linux)."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyg_hag import release_memory

_STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(call: Callable[[], Any]) -> float | None:
    """Megabytes by which the resident memory of the process grows during a call.

    None where the system does not tell.
    """
    if not RESET.exists():
        return None
    call()  # caches are filled once and not counted
    release_memory()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # else the allocator keeps what was freed before
        trim(0)
    RESET.write_text("5")
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"'{_STATUS}' has no {field}")

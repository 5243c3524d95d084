"""The one place that compiles."""

from collections.abc import Callable
from typing import Any

import numba


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a leaf that takes and returns arrays, without the GIL.

    The machine code is cached on disk; where no folder can be written (a
    read-only installation), it is compiled anew in each process.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(**options)(function)

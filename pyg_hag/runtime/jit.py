"""Compilation by Numba."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
from numba import types

from pyg_hag.runtime.code_cache import alone, on_disk
from pyg_hag.runtime.first_use import Jitted


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of arrays that runs without the GIL.

    The machine code is cached on disk; before it is there, the function may run as
    Python: see :mod:`pyg_hag.runtime.first_use`.
    """
    compiled = on_disk(partial(numba.njit, nogil=True, error_model="numpy"), function)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:
        file.save = alone(file.save, file._cache_path)
    return _wrapped(compiled)


def jit_inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for small functions, which become part of the functions that call them.

    A call counts references to each array that it passes, which takes as long as a
    short loop.
    """
    options = {"nogil": True, "error_model": "numpy", "inline": "always"}
    return _wrapped(on_disk(partial(numba.njit, **options), function))


def _wrapped(compiled: Any) -> Any:
    return compiled if numba.config.DISABLE_JIT else Jitted(compiled)


def native(function: Callable[..., Any]) -> Any:
    """Compiles a function of one `voidptr` that can be called from C.

    Functions that differ only in what they close over need a `__qualname__` each: it
    names the file with their machine code.
    """
    return on_disk(partial(numba.cfunc, types.void(types.voidptr)), function)

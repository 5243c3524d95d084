"""The one place that compiles."""

import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import caching

PACKAGE = Path(__file__).parent


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a leaf that takes and returns arrays, without the GIL.

    The machine code is cached on disk; where no folder can be written (a
    read-only installation), it is compiled anew in each process, with one warning.
    """
    return _on_disk(partial(numba.njit, nogil=True, error_model="numpy"), function)


def native(function: Callable[..., Any]) -> Any:
    """Compiles a function of one `voidptr` that C code can call."""
    return _on_disk(partial(numba.cfunc, types.void(types.voidptr)), function)


def _on_disk(compiler: Callable[..., Any], function: Callable[..., Any]) -> Any:
    try:
        return compiler(cache=True)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        _warn_once()
        return compiler()(function)


@cache
def _warn_once() -> None:
    warnings.warn(
        "pyg_hag finds no folder to keep compiled code in, so that every process "
        "compiles anew: make its own folder writable, or name one in NUMBA_CACHE_DIR",
        RuntimeWarning,
        stacklevel=2,
    )


def source_stamp() -> tuple[int, int]:
    """Changes with any source file of the package."""
    files = [path.stat() for path in PACKAGE.rglob("*.py")]
    return max(file.st_mtime_ns for file in files), sum(file.st_size for file in files)


class _PackageLocator:
    """Dates cached machine code of this package by all of its files.

    Numba looks at the file of the function alone, and would go on using code into
    which an older version of another file was compiled.
    """

    stamp = source_stamp()

    @classmethod
    def from_function(cls, function: Any, path: str) -> Any:
        """The locator that Numba would choose, with our stamp; None for others."""
        if PACKAGE not in Path(path).parents:
            return None
        for other in caching.CompileResultCacheImpl._locator_classes:
            locator = None if other is cls else other.from_function(function, path)
            if locator is not None:
                locator.get_source_stamp = lambda: cls.stamp
                return locator
        return None


if hasattr(caching.CompileResultCacheImpl, "_locator_classes"):
    caching.CompileResultCacheImpl._locator_classes.insert(0, _PackageLocator)

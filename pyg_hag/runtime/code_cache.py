"""Where Numba keeps machine code, and when it must be made again."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from numba.core import caching

PACKAGE = Path(__file__).parent.parent
COMPILED = (
    *("utils", "runtime", "graph", "hag", "plan", "search", "ops/cpu"),
    *("ops/backend.py", "ops/qparams.py", "ops/reductions.py"),
    *("ops/attention/dropout.py", "ops/attention/rounding.py"),
    *("cost.py", "quantization/random"),
)
"""The folders and files with compiled code, and those that they depend on."""


def on_disk(compiler: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Compiles a function with a cache on disk, if there is a place for one.

    If not (a read-only installation), every process compiles it again, with one
    warning.

    Args:
        compiler: Takes Numba's option `cache`.
        function: The function.
    """
    try:
        return compiler(cache=True)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        _warn_once()
        return compiler()(function)


@cache
def _warn_once() -> None:
    warnings.warn(
        "pyg_hag has no writable folder for compiled code, so every process compiles "
        "it again: make the package folder writable, or set NUMBA_CACHE_DIR",
        RuntimeWarning,
        stacklevel=2,
    )


def alone(save: Callable[..., Any], folder: str) -> Callable[..., Any]:
    """A function that writes compiled code, so that one process does at a time.

    Numba numbers the files of a function's signatures. Two processes that compile two
    signatures at the same time would give both the same number, and later ones would
    call one signature's code for the other.
    """

    def saved(*args: Any) -> None:
        with locked_folder(folder):
            save(*args)

    return saved


@contextlib.contextmanager
def locked_folder(path: str) -> Iterator[None]:
    """Waits until no other process is in here; does nothing where files have no locks.

    Args:
        path: A folder, which is left as it is.
    """
    try:
        import fcntl  # not on Windows

        place = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def source_stamp() -> tuple[int, int]:
    """A value that changes with any source file that compiled code may come from."""
    files = [file.stat() for name in COMPILED for file in _sources(PACKAGE / name)]
    return max(file.st_mtime_ns for file in files), sum(file.st_size for file in files)


def _sources(path: Path) -> Iterable[Path]:
    return path.rglob("*.py") if path.is_dir() else [path]


class PackageLocator:
    """Invalidates cached machine code when another file of this package changes.

    Numba only compares the file of the function itself, and would keep using code
    that an older version of another file was compiled into.
    """

    stamp = source_stamp()
    chosen: ClassVar[dict[Path, Any]] = {}
    """The class of Numba's locator for each folder of sources.

    Numba writes a file to find it, which would double the time of an import.
    """

    @classmethod
    def from_function(cls, function: Any, path: str) -> Any:
        """Numba's own locator with our stamp; None outside this package."""
        if PACKAGE not in Path(path).parents:
            return None
        folder = Path(path).parent
        if folder in cls.chosen:
            return cls._with_stamp(cls.chosen[folder](function, path))
        for other in caching.CompileResultCacheImpl._locator_classes:
            locator = None if other is cls else other.from_function(function, path)
            if locator is not None:
                cls.chosen[folder] = type(locator)
                return cls._with_stamp(locator)
        return None

    @classmethod
    def _with_stamp(cls, locator: Any) -> Any:
        locator.get_source_stamp = lambda: cls.stamp
        return locator


if hasattr(caching.CompileResultCacheImpl, "_locator_classes"):
    caching.CompileResultCacheImpl._locator_classes.insert(0, PackageLocator)

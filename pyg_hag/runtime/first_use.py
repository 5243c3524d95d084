"""What happens before there is machine code: Python runs, a process compiles.

Compiling everything takes a minute, once per installation. The first process that needs
compiled code starts another one in the background that fills the cache on disk, and
meanwhile runs the same functions as Python on small arrays, which gives the same
results.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.registry import cpu_target

from pyg_hag.runtime import code_cache

VARIABLE = "PYG_HAG_COMPILE"
"""The environment variable with one of `MODES`."""
MODES = ("background", "now")

_MAX_SIZE = 1 << 18  # elements of an array that Python's loops run over in seconds
_INTERVAL = 0.2  # seconds between two looks at the other process
_FILL = """
import os
if os.fork():
    os._exit(0)
from pyg_hag._warmup import fill_cache
fill_cache("{first}")
"""  # in a process of its own, which outlives the one that has started it

_inside = threading.local()  # `python`: whether this thread runs a function as Python


class Readiness:
    """Whether compiled functions run as machine code, or as Python for now.

    Attributes:
        ready: Whether they run as machine code.
    """

    def __init__(self) -> None:
        self.ready = False
        self._is_decided = False
        self._next_look = 0.0
        self._lock = threading.Lock()

    def is_ready_now(self) -> bool:
        """Looks whether the process in the background is done."""
        with self._lock:
            if not self._is_decided:
                self._is_decided = True
                self.ready = is_complete() or not start_compiling()
                self._next_look = time.monotonic() + _INTERVAL
            elif not self.ready and time.monotonic() >= self._next_look:
                self.ready = is_complete() or not _is_compiling()
                self._next_look = time.monotonic() + _INTERVAL
            return self.ready

    def compile_now(self) -> None:
        """Has functions compiled where they are called from now on."""
        self._is_decided = self.ready = True


readiness = Readiness()


class Jitted:
    """A function with its machine code, which runs as Python until that is there.

    Attributes:
        dispatcher: Numba's compiled function.
        py_func: The function itself.
    """

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher
        self.py_func = dispatcher.py_func
        self.__module__ = self.py_func.__module__
        self.__name__ = self.py_func.__name__
        self.__qualname__ = self.py_func.__qualname__
        self.__doc__ = self.py_func.__doc__

    def __call__(self, *args: Any) -> Any:
        """Calls the machine code, or the function itself while there is none."""
        if readiness.ready:
            return self.dispatcher(*args)
        if getattr(_inside, "python", False):
            return self.py_func(*args)
        if readiness.is_ready_now() or not all(map(_is_small, args)):
            return self.dispatcher(*args)
        _inside.python = True
        try:
            with np.errstate(over="ignore"):  # hashes
                return self.py_func(*args)
        finally:
            _inside.python = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)

    def __reduce__(self) -> str:
        return self.__qualname__


def start_compiling(first: str = "search") -> bool:
    """Starts a process that compiles everything, unless one is at it already.

    Args:
        first: What it compiles first: the `"search"` or the `"kernels"`.

    Returns:
        Whether there is one; without, functions are compiled where they are called.
    """
    folder = _folder()
    if folder is None:
        return False
    _say_once(folder)
    mode = os.environ.get(VARIABLE, MODES[0])
    if mode not in MODES:
        raise ValueError(f"{VARIABLE} must be one of {MODES} (got {mode!r})")
    can_wait = hasattr(os, "fork") and int(np.__version__.split(".")[0]) >= 2
    if mode == "now" or not can_wait or not sys.executable:
        return False
    lock = _lock()
    if lock is None:
        return True
    environment = {
        **os.environ,
        VARIABLE: "now",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    if numba.config.CACHE_DIR:
        environment["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR
    try:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _FILL.format(first=first)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],  # which is free when that process has ended
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        os.close(lock)
    return True


def mark_complete() -> None:
    """Notes that the cache has what most programs need."""
    folder = _folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            _marker(folder).touch()


def is_complete() -> bool:
    """Whether the cache has what most programs need."""
    folder = _folder()
    return folder is not None and _marker(folder).exists()


def _is_compiling() -> bool:
    lock = _lock()
    if lock is None:
        return True
    os.close(lock)
    return False


def _lock() -> int | None:
    """An open file that no other process has locked; None if one has."""
    import fcntl  # not on Windows

    folder = _folder()
    assert folder is not None
    lock = os.open(_marker(folder).with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


@cache
def _folder() -> Path | None:
    """Where machine code is kept; None if it is not."""
    locator = code_cache.PackageLocator.from_function(start_compiling, __file__)
    if locator is None:
        return None
    locator.ensure_cache_path()
    return Path(locator.get_cache_path())


@cache
def _marker(folder: Path) -> Path:
    """The file that is there when the cache is complete, for this very processor."""
    key = (
        sys.implementation.cache_tag,
        numba.__version__,
        code_cache.PackageLocator.stamp,
        cpu_target.target_context.codegen().magic_tuple(),
    )
    return folder / f"complete-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"


@cache
def _say_once(folder: Path) -> None:
    print(
        f"pyg_hag compiles its search and kernels, once for this installation (kept in "
        f"{folder}); until then, what is small runs as Python",
        file=sys.stderr,
    )


def _is_small(argument: Any) -> bool:
    if isinstance(argument, np.ndarray):
        return argument.size <= _MAX_SIZE
    return not isinstance(argument, tuple) or all(map(_is_small, argument))

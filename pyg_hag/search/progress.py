"""Long searches: a progress bar, a time limit, and Ctrl-C."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

T = TypeVar("T")

STOP = 0  # positions in `control`
MERGED = 1


class Stopped(Exception):
    """Ends a search that cannot return a part of its result, and that nobody awaits."""


def go_on(control: NDArray[np.int64]) -> None:
    """Raises :class:`Stopped` if the search was stopped."""
    if control[STOP] != 0:
        raise Stopped


_MIN_WATCHED_EDGES = 1 << 12  # from which a search may take some 50 ms
_PERIOD = 0.05  # seconds between two updates of the progress bar
_DELAY = 2.0  # seconds before a progress bar appears that nobody asked for


def run(
    search: Callable[[NDArray[np.int64]], T],
    num_edges: int,
    time_limit: float | None,
    progress: bool | None,
) -> T:
    """Runs `search(control)`; :func:`watched` if it may take long, or has a limit."""
    if num_edges < _MIN_WATCHED_EDGES and time_limit is None and not progress:
        return search(np.zeros(2, np.int64))
    return watched(search, time_limit, progress)


def watched(
    search: Callable[[NDArray[np.int64]], T],
    time_limit: float | None,
    progress: bool | None,
) -> T:
    """Runs `search(control)` in its own thread and shows its progress.

    In the main thread, Ctrl-C would wait for the compiled code that runs, and come out
    of it as a `SystemError`.

    `control[STOP]` is set when the time is over, so that the search returns what it
    has found, and on Ctrl-C, which is raised here at once. `control[MERGED]` counts
    the merges of the search.

    Args:
        search: The search.
        time_limit: Seconds until it is stopped; None for no limit.
        progress: Whether to show a progress bar; if None, only once it takes long.

    Returns:
        What the search returns.
    """
    control = np.zeros(2, np.int64)
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(search(control))
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work, name="hag-search", daemon=True)
    end = float("inf") if time_limit is None else time.monotonic() + time_limit
    bar = tqdm(
        desc="HAG search",
        unit=" merges",
        unit_scale=True,
        delay=0 if progress else _DELAY,
        disable=progress is False,
        leave="ipykernel.zmqshell" in sys.modules,  # in a notebook
    )
    try:
        with bar:
            control[STOP] = time_limit == 0
            thread.start()
            while thread.is_alive():
                left = end - time.monotonic()
                thread.join(min(_PERIOD, left) if left > 0 else _PERIOD)
                bar.update(int(control[MERGED]) - bar.n)
                if time.monotonic() >= end:
                    control[STOP] = 1
    except BaseException:
        control[STOP] = 1
        raise
    if errors:
        raise errors[0]
    return results[0]

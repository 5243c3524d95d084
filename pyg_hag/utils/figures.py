"""Figures, if Matplotlib is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def new_figure(width: float, height: float) -> Any:
    """An empty Matplotlib figure; sizes are in inches.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    with _named():
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout="constrained")


def new_axes(width: float, height: float) -> Any:
    """The axes of a new figure that notebooks show; sizes are in inches.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    with _named():
        from matplotlib import pyplot
    return pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()


@contextmanager
def _named() -> Iterator[None]:
    """Turns the error of an import into one that says what to install."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"figures need Matplotlib: pip install matplotlib ({error})"
        ) from None

"""Figures, if Matplotlib is installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyg_hag.utils.files import replacing


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


def save_figure(figure: Any, path: str | os.PathLike[str], dpi: int) -> None:
    """Writes a figure to a file, in the format that its name ends with."""
    kind = Path(path).suffix.removeprefix(".") or "png"
    with replacing(path) as file:
        figure.savefig(file, format=kind, dpi=dpi)


@contextmanager
def _named() -> Iterator[None]:
    """Turns the error of an import into one that says what to install."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"figures need Matplotlib: pip install matplotlib ({error})"
        ) from None

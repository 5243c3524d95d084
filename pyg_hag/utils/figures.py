"""Figures, if Matplotlib is installed."""

from typing import Any


def new_figure(width: float, height: float) -> Any:
    """An empty Matplotlib figure; sizes are in inches.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise _missing(error) from None
    return Figure(figsize=(width, height), layout="constrained")


def new_axes(width: float, height: float) -> Any:
    """The axes of a new figure that notebooks show; sizes are in inches.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise _missing(error) from None
    return pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()


def _missing(error: ImportError) -> ImportError:
    return ImportError(f"figures need Matplotlib: pip install matplotlib ({error})")

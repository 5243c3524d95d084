"""Figures, if Matplotlib is installed."""

from typing import Any


def new_figure(width: float, height: float) -> Any:
    """An empty Matplotlib figure; sizes are in inches.

    Raises:
        ValueError: If Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("'--plot' needs Matplotlib: pip install matplotlib") from None
    return Figure(figsize=(width, height), layout="constrained")

"""Pictures of the benchmarks."""

from typing import Any


def figure(size: tuple[float, float]) -> Any:
    """An empty figure of so many inches.

    Raises:
        ValueError: If Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("'--plot' needs Matplotlib: pip install matplotlib") from None
    return Figure(figsize=size, layout="constrained")

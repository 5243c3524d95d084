"""What an analysis has found, as figures."""

from typing import Any

import torch

from pyg_hag.analysis.report import Analysis
from pyg_hag.utils.figures import new_axes

_SIZE = 5.0, 4.0  # of a figure, in inches


def plot_savings(analysis: Analysis, ax: Any = None) -> Any:
    """Draws the time of a sum by PyG, over the graph as it is, and over its HAG.

    Bars in milliseconds for each number of features of :func:`pyg_hag.analyze`, with
    how many times faster the last is than the first; "plain" says that the graph would
    be left as it is.

    Args:
        analysis (Analysis): What :func:`pyg_hag.analyze` has returned.
        ax (matplotlib.axes.Axes, optional): The axes to draw into. If None, those of a
            new figure.

    Returns:
        matplotlib.axes.Axes: The axes.

    Raises:
        TypeError: If `analysis` is not an :class:`Analysis`.
        ImportError: If Matplotlib is not installed.
    """
    if not isinstance(analysis, Analysis):
        raise TypeError(
            f"'analysis' must be what 'analyze' returns (got {type(analysis).__name__})"
        )
    if ax is None:
        ax = new_axes(*_SIZE)
    forecasts = analysis.forecasts
    places = torch.arange(len(forecasts)).tolist()
    for shift, label, color, seconds in (
        (-0.27, "PyG, edge_index", "0.8", [f.pyg_seconds for f in forecasts]),
        (0.0, "pyg_hag, plain", "0.55", [f.plain_seconds for f in forecasts]),
        (0.27, "pyg_hag, HAG", "tab:blue", [f.hag_seconds for f in forecasts]),
    ):
        bars = ax.bar(
            [place + shift for place in places],
            [1e3 * s for s in seconds],
            width=0.27,
            color=color,
            label=label,
        )
    labels = [f"{f.speedup_over_pyg:.0f}x" + " plain" * f.is_plain for f in forecasts]
    ax.bar_label(bars, labels, padding=2, fontsize=9)
    ax.set_yscale("log")
    ax.margins(y=0.12)
    ax.set_xticks(places, [str(f.width) for f in forecasts])
    how = "measured" if any(f.is_measured for f in forecasts) else "predicted"
    ax.set_title(f"one sum, {how}: times faster than PyG", fontsize=10)
    ax.set_xlabel("features per node")
    ax.set_ylabel("milliseconds")
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 3}
    ax.legend(frameon=False, fontsize=9, columnspacing=1.2, **below)
    return ax


def draw_degrees(analysis: Analysis, axes: Any) -> None:
    """Draws how many destinations have each in-degree.

    Args:
        analysis: The analysis to draw.
        axes: Matplotlib's axes.
    """
    degree, count = analysis.in_degree.unique(return_counts=True)
    seen = degree > 0  # 0 has no place on a logarithmic axis
    axes.scatter(degree[seen], count[seen], s=12, alpha=0.7, linewidths=0)
    if seen.any():
        axes.set(xscale="log", yscale="log")
    zero = analysis.size[1] - int(count[seen].sum())
    note = f" ({zero:,} without edges)" if zero else ""
    mean, largest = analysis.mean_in_degree, analysis.max_in_degree
    axes.axvline(max(mean, 1e-3), color="0.5", linestyle="--", linewidth=1)
    axes.set_title(f"in-degree: mean {mean:.1f}, largest {largest:,}", fontsize=10)
    axes.set_xlabel(f"in-degree{note}")
    axes.set_ylabel("nodes" if analysis.self_loops is not None else "destinations")
    axes.grid(alpha=0.2)

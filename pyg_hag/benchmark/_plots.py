"""Pictures of rows: a group of bars for each case."""

import math
from collections.abc import Callable
from typing import Any

from pyg_hag.benchmark._report import Row, Rows, grouped
from pyg_hag.utils.figures import new_figure, save_figure

BAR, GAP = 0.17, 0.13  # inches
MAX_CASES = 40
"""Cases below each other; more are shown in further columns."""
COLORS = (
    *("tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple", "tab:brown"),
    *("tab:pink", "tab:olive", "tab:cyan", "0.5"),
)
Span = tuple[float, float, float]
"""The lower end of a line, the end of its bar, and the upper end of the line."""


def plot_ratios(rows: Rows, path: str) -> None:
    """Shows how many times faster than its baseline each contender of a case is.

    Bars start at 1; the line at the end of each is from the 20 to the 80 % quantile.

    Args:
        rows: Rows of :class:`pyg_hag.benchmark.case.Case`.
        path: The PNG file to write.
    """
    shown = [row for row in rows if row["contender"] != row["baseline"]]
    baselines = list(dict.fromkeys(row["baseline"] for row in shown))
    if len(baselines) > 1:
        shown = [
            {**row, "case": f"{row['case']} (over {row['baseline']})"} for row in shown
        ]
    over = baselines[0] if len(baselines) == 1 else "the baseline"

    def span(row: Row) -> Span:
        return row["speedup_20"], row["speedup_50"], row["speedup_80"]

    _plot_bars(shown, span, 1.0, f"speedup over {over} (log scale)", path)


def plot_values(
    rows: Rows, column: str, title: str, path: str, start: float | None = None
) -> None:
    """Shows a value of each contender of a case.

    Args:
        rows: Rows with `case` and `contender`; those without the value are left out.
        column: The value.
        title: What it is, with its unit.
        path: The PNG file to write.
        start: Where bars start; left of the smallest if None. The scale is
            logarithmic, except from 0.
    """
    shown = [row for row in rows if row.get(column, 0) > 0]
    if start is None:
        start = min((row[column] for row in shown), default=1.0) / 2
    _plot_bars(shown, lambda row: (row[column],) * 3, start, title, path)


def _plot_bars(
    rows: Rows, span: Callable[[Row], Span], start: float, title: str, path: str
) -> None:
    cases = list(grouped(rows, "case").items())
    names = list(dict.fromkeys(row["contender"] for row in rows))
    columns = max(1, math.ceil(len(cases) / MAX_CASES))
    length = max(1, math.ceil(len(cases) / columns))
    parts = [cases[i * length : (i + 1) * length] for i in range(columns)]
    height = max(sum(BAR * len(group) + GAP for _, group in part) for part in parts)
    picture = new_figure(max(7.0, 6.5 * columns), 1.4 + height)
    panels = picture.subplots(1, columns, sharex=True, squeeze=False)[0]
    handles: dict[str, Any] = dict.fromkeys(names)
    for axes, part in zip(panels, parts, strict=True):
        _plot_part(axes, part, span, start, names, handles)
        axes.set_ylim(height - GAP / 2, -BAR)
    _set_scale(panels[0], [value for row in rows for value in span(row)], start)
    picture.supxlabel(title, fontsize=10)
    add_legend(picture, handles)
    save_figure(picture, path, dpi=110)


def add_legend(picture: Any, handles: dict[str, Any]) -> None:
    """Adds a legend above the panels, in as many columns as fit."""
    longest = max(map(len, handles), default=0)
    fitting = int(picture.get_figwidth() / (0.6 + 0.07 * longest))
    picture.legend(
        [*handles.values()],
        [*handles],
        loc="outside upper center",
        ncols=max(1, min(fitting, len(handles))),
        frameon=False,
        fontsize=8,
    )


def _plot_part(
    axes: Any,
    cases: list[tuple[tuple[Any, ...], Rows]],
    span: Callable[[Row], Span],
    start: float,
    names: list[str],
    handles: dict[str, Any],
) -> None:
    """Draws the bars of some cases, and adds one of each contender to `handles`."""
    place = 0.0
    ticks, labels = [], []
    bars: dict[str, list[tuple[float, Span]]] = {name: [] for name in names}
    for (case,), group in cases:
        ticks.append(place + BAR * (len(group) - 1) / 2)
        labels.append(case)
        for row in group:
            bars[row["contender"]].append((place, span(row)))
            place += BAR
        place += GAP
    for i, (name, found) in enumerate(bars.items()):
        if not found:
            continue
        places = [place for place, _ in found]
        lows, middles, highs = zip(*(values for _, values in found), strict=True)
        widths = [middle - start for middle in middles]
        color = COLORS[i % len(COLORS)]
        handles[name] = axes.barh(places, widths, 0.9 * BAR, start, color=color)
        axes.hlines(places, lows, highs, color="0.2", linewidth=0.9)
        for place, (_, middle, high) in found:
            axes.annotate(
                f"{middle:.3g}",
                (max(high, start), place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                in_layout=False,  # else the layout takes seconds
            )
    axes.axvline(start, color="0.3", linewidth=1)
    axes.set_yticks(ticks, labels, fontsize=8)


def _set_scale(axes: Any, values: list[float], start: float) -> None:
    """The scale that all panels share."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = min([*values, start]), max([*values, start])
    if start == 0:
        axes.set_xlim(0, 1.1 * high)
        return
    axes.set(xscale="log", xlim=(low / 1.15, high * (high / low) ** 0.12 * 1.05))
    subs = (1, 2, 5) if high < 50 * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())

"""Large HAGs as bars."""

from collections.abc import Sequence
from typing import Any

from pyg_hag.drawing.diagram import AGGREGATE
from pyg_hag.drawing.graph import COLORS
from pyg_hag.utils.figures import new_axes

_SIZE = 7.5, 2.8  # of a figure, in inches
_PLAIN, _HAG = "0.65", "#3b6ea8"


def draw_summary(
    name: str, before: int, after: int, per_level: Sequence[int], ax: Any = None
) -> Any:
    """Draws what the HAG saves, and where its aggregates are.

    Args:
        name: What is saved: `"reads"` or `"steps"`.
        before: So many in the plain graph.
        after: So many in the HAG.
        per_level: Number of aggregates of each level, starting with level 1.
        ax: Matplotlib's axes; a new figure if None.

    Returns:
        The axes, which hold two smaller ones.
    """
    if ax is None:
        ax = new_axes(*_SIZE)
    ax.set_axis_off()
    left, right = ax.inset_axes([0, 0, 0.4, 1]), ax.inset_axes([0.52, 0, 0.48, 1])
    bars = left.bar([0, 1], [before, after], color=[_PLAIN, _HAG])
    left.set_xticks([0, 1], ["plain graph", "HAG"])
    saved = f"\n{before / after:.2f}x fewer" if 0 < after < before else ""
    left.bar_label(bars, [f"{before:,}", f"{after:,}{saved}"], fontsize=9)
    left.margins(y=0.22)
    left.set_ylabel(name)
    if per_level:
        right.bar(range(1, len(per_level) + 1), per_level, color=COLORS[AGGREGATE])
        right.set(xlabel="level", ylabel="aggregates")
        for axis in (right.xaxis, right.yaxis):
            axis.get_major_locator().set_params(integer=True)
    else:
        right.set_axis_off()
        right.text(0.5, 0.5, "no aggregates", ha="center", transform=right.transAxes)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
    return ax

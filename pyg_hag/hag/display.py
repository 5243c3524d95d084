"""How a HAG is shown: as text, in notebooks, and as a picture."""

from typing import Any

import numpy as np

from pyg_hag.drawing.graph import MAX_ARROWS, MAX_NODES, draw_graph
from pyg_hag.drawing.summary import draw_summary
from pyg_hag.hag.listed import ListedHAG
from pyg_hag.hag.nodes import diagram_of


class DisplayedHAG(ListedHAG):
    """A HAG that can be printed and drawn."""

    def plot(self, ax: Any = None) -> Any:
        """Draws the HAG with Matplotlib.

        A HAG of up to 100 nodes and 1,000 inputs is drawn as a graph: sources on the
        left, aggregates by level, destinations on the right, and an arrow for each
        input. Those from aggregates are orange, subtracted ones red and dashed, and
        those that are read twice have "2x" on them. In a sequential HAG, what a row
        reads stands next to it, in order. Larger ones are drawn as two bar charts: the
        reads of the plain graph and of the HAG, and the aggregates of each level.

        Args:
            ax (matplotlib.axes.Axes, optional): The axes to draw into. If None, those
                of a new figure.

        Returns:
            matplotlib.axes.Axes: The axes.

        Raises:
            ImportError: If Matplotlib is not installed.
        """
        s = self.stats
        name, cost = self._cost
        num_nodes = self.num_src + self.num_aggregates + self.num_dst
        if num_nodes <= MAX_NODES and s.reads <= MAX_ARROWS:
            ax = draw_graph(diagram_of(self.host), ax)
        else:
            per_level = np.bincount(self.host.paths.level, minlength=1)[1:].tolist()
            ax = draw_summary(name, s.num_edges, cost, per_level, ax)
        ax.set_title(f"{cost:,} {name} for {s.num_edges:,} edges", fontsize=10)
        return ax

    @property
    def _cost(self) -> tuple[str, int]:
        """What is saved, and how much of it is left."""
        s = self.stats
        return ("reads", s.reads) if s.steps is None else ("steps", s.steps)

    def __repr__(self) -> str:
        s = self.stats
        name, cost = self._cost
        size = f"HAG(num_src={self.num_src}, num_dst={self.num_dst}, "
        size += f"paths={self.of_paths}, " if self.of_paths else ""
        if s.num_aggregates == 0 and s.steps is None:
            why = f", left {s.decision}" if s.decision.startswith("plain") else ""
            return f"{size}num_aggregates=0, reads={cost}{why})"
        saved = 1 - cost / s.num_edges if s.num_edges else 0.0
        return (
            f"{size}num_aggregates={s.num_aggregates}, {name}={cost}, "
            f"saved={saved:.0%})"
        )

    def _repr_html_(self) -> str:
        return self.stats.to_html(self.num_src, self.num_dst)

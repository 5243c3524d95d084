"""What an analysis has found, and how it is shown."""

import math
from dataclasses import dataclass, field

from torch import Tensor

from pyg_hag.hag.stats import HAGStats
from pyg_hag.utils.html import html_facts, html_table
from pyg_hag.utils.tables import markdown_table, text_table

_PASSES = 4  # aggregations of an epoch: two layers, forward and backward


@dataclass(frozen=True)
class Forecast:
    """The predicted effect of a HAG on layers of one width."""

    width: int
    """Features per node."""
    plain_seconds: float
    """Time of one aggregation over the plain graph, by our kernel."""
    hag_seconds: float
    """Time of one aggregation over what `build_hag` returns."""
    search_seconds: float
    """Measured time of the search for this HAG."""
    is_plain: bool
    """Whether the search returned the plain graph."""
    decision: str
    """What the search chose, and why."""
    pyg_seconds: float = math.nan
    """Time of one aggregation by PyG on `edge_index`."""
    pyg_bytes: int = 0
    """Memory of one aggregation by PyG: the messages of all edges, and the result."""
    hag_bytes: int = 0
    """Memory of one aggregation here: aggregates in use at a time, and the result."""
    is_measured: bool = False
    """Whether the three times were measured rather than predicted."""

    @property
    def speedup_over_pyg(self) -> float:
        """Time of PyG on `edge_index` over that of what `build_hag` returns."""
        return self.pyg_seconds / self.hag_seconds if self.hag_seconds else 1.0

    @property
    def verdict(self) -> str:
        """What was chosen, how it compares with PyG, and why, in a line."""
        ratio = f"{self.speedup_over_pyg:.1f}x PyG on edge_index"
        if self.is_plain:
            reason = self.reason.removeprefix("plain: ")
            return f"left plain, on our kernel: {ratio} ({reason})"
        return f"HAG: {ratio} ({self.reason.removeprefix('HAG: ')})"

    @property
    def reason(self) -> str:
        """The decision, without the width."""
        return self.decision.removesuffix(f" at {self.width} features")

    @property
    def speedup(self) -> float:
        """Time of the plain graph over that of the HAG."""
        same = self.plain_seconds == self.hag_seconds  # both may be 0
        return 1.0 if same else self.plain_seconds / self.hag_seconds

    @property
    def payback_epochs(self) -> int | None:
        """Epochs after which a two-layer model has saved the search's time.

        An epoch aggregates four times: in each layer forward, and backward at the
        same cost. None if the search never pays.
        """
        saved = _PASSES * (self.plain_seconds - self.hag_seconds)
        if self.is_plain or saved <= 0:
            return None
        return math.ceil(self.search_seconds / saved)


@dataclass(frozen=True)
class Analysis:
    """Properties of a graph, and what a HAG of it would save."""

    size: tuple[int, int]
    """Numbers of sources and destinations."""
    num_edges: int
    duplicate_edges: int
    """Edges that repeat an earlier one."""
    self_loops: int | None
    """Number of self-loops; None for a bipartite graph."""
    isolated: tuple[int, int]
    """Numbers of sources and destinations without edges; equal if not bipartite."""
    in_degree: Tensor = field(repr=False)
    """In-degree of each destination, `[num_dst]`."""
    stats: HAGStats
    """Statistics of the HAG of fewest aggregations."""
    search_seconds: float
    """Measured time of the search for that HAG."""
    forecasts: list[Forecast]
    """The prediction for each layer width."""

    @property
    def mean_in_degree(self) -> float:
        """Edges per destination."""
        return self.num_edges / self.size[1] if self.size[1] else 0.0

    @property
    def max_in_degree(self) -> int:
        """Largest number of edges into a destination."""
        return int(self.in_degree.max()) if self.size[1] else 0

    def to_table(self, name: str = "graph", markdown: bool = False) -> str:
        """Two tables: the graph and its redundancy, and the forecasts.

        Args:
            name (str): Name of the graph, for the header.
            markdown (bool): Whether to format the tables as Markdown.

        Returns:
            str: The tables, and how to read them.
        """
        table = markdown_table if markdown else text_table
        graph = table([["graph", name], *self._rows()])
        forecasts = table(self._forecast_rows())
        decisions = "\n".join(
            f"{'- ' if markdown else ''}{f.width} features: {f.verdict}"
            for f in self.forecasts
        )
        measured = any(f.is_measured for f in self.forecasts)
        how = "measured" if measured else "predicted (to measure it: --measure)"
        return (
            f"{graph}\n\n{forecasts}\n\n{decisions}\n\n"
            f"Aggregations, reads: of the HAG of fewest aggregations. Time: of one "
            f"sum, {how}:\nby PyG on edge_index, by pyg_hag on the graph as it is "
            f"(plain), and on the HAG that it builds.\nMemory: of the same, with the "
            f"result. Search: measured. Paid back: epochs of a two-layer model\nin "
            f"which the HAG saves, over plain, the time of the search."
        )

    def _repr_html_(self) -> str:
        head, *rows = self._forecast_rows()
        verdicts = [forecast.verdict for forecast in self.forecasts]
        table = [[*head, "decision"]]
        table += [[*row, verdict] for row, verdict in zip(rows, verdicts, strict=True)]
        return html_facts("graph", self._rows()) + html_table("one sum", table)

    def _rows(self) -> list[list[str]]:
        """The table of the graph and its redundancy."""
        s = self.stats
        if self.self_loops is None:
            sizes = [
                ["sources", f"{self.size[0]:,}"],
                ["destinations", f"{self.size[1]:,}"],
                ["isolated sources", f"{self.isolated[0]:,}"],
                ["isolated destinations", f"{self.isolated[1]:,}"],
            ]
        else:
            sizes = [
                ["nodes", f"{self.size[0]:,}"],
                ["isolated nodes", f"{self.isolated[0]:,}"],
                ["self-loops", f"{self.self_loops:,}"],
            ]
        return [
            *sizes,
            ["edges", f"{self.num_edges:,}"],
            ["duplicate edges", f"{self.duplicate_edges:,}"],
            ["mean in-degree", f"{self.mean_in_degree:.1f}"],
            ["largest in-degree", f"{self.max_in_degree:,}"],
            ["aggregations", _change(s.plain_aggregations, s.aggregations)],
            ["reads", _change(s.num_edges, s.reads)],
            ["aggregates", f"{s.num_aggregates:,}"],
            ["depth", f"{s.depth:,}"],
            ["search", f"{self.search_seconds:.2f} s"],
        ]

    def _forecast_rows(self) -> list[list[str]]:
        """The table of times and memory."""
        rows = [
            [
                *("width", "PyG", "plain", "HAG", "over PyG", "memory PyG", "here"),
                *("search", "paid back after"),
            ]
        ]
        for f in self.forecasts:
            epochs = f.payback_epochs
            rows.append(
                [
                    str(f.width),
                    f"{1e3 * f.pyg_seconds:.2f} ms",
                    f"{1e3 * f.plain_seconds:.2f} ms",
                    "plain" if f.is_plain else f"{1e3 * f.hag_seconds:.2f} ms",
                    f"{f.speedup_over_pyg:.1f}x",
                    f"{f.pyg_bytes / 1e6:,.1f} MB",
                    f"{f.hag_bytes / 1e6:,.1f} MB",
                    f"{f.search_seconds:.2f} s",
                    "never"
                    if epochs is None
                    else f"{epochs:,} epoch" + "s" * (epochs != 1),
                ]
            )
        return rows


def _change(before: int, after: int) -> str:
    """Two counts and their ratio, for a table."""
    ratio = before / after if after else 1.0
    return f"{before:,} -> {after:,} ({ratio:.2f}x fewer)"

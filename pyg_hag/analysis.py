"""Prediction of what a HAG would save on a graph, before anything is trained."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyg_hag.cost import DEFAULT_COST, CostModel
from pyg_hag.graph.checks import check_edge_index
from pyg_hag.hag import HAG
from pyg_hag.hag.stats import HAGStats
from pyg_hag.search import build_hag
from pyg_hag.utils.checks import check_count
from pyg_hag.utils.tables import markdown_table, text_table

WIDTHS = (16, 64, 128, 256)
_PASSES = 4  # aggregations of an epoch: two layers, forward and backward


@dataclass(frozen=True)
class Forecast:
    """The predicted effect of a HAG on layers of one width."""

    width: int
    """Features per node."""
    plain_seconds: float
    """Predicted time of one aggregation over the plain graph."""
    hag_seconds: float
    """Predicted time of one aggregation over the HAG that `build_hag` returns."""
    search_seconds: float
    """Measured time of the search for this HAG."""
    is_plain: bool
    """Whether the search returned the plain graph."""
    decision: str
    """What the search chose, and why."""

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
            f"{'- ' if markdown else ''}{f.width} features: {f.reason}"
            for f in self.forecasts
        )
        return (
            f"{graph}\n\n{forecasts}\n\n{decisions}\n\n"
            "Aggregations, reads: of the HAG of fewest aggregations. Time: of one "
            "aggregation, predicted by\nthe cost model. Search: measured. Paid back: "
            "epochs of a two-layer model that save the search's time."
        )

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
        """The table of the predictions."""
        rows = [["width", "plain", "HAG", "speed-up", "search", "paid back after"]]
        for f in self.forecasts:
            epochs = f.payback_epochs
            rows.append(
                [
                    str(f.width),
                    f"{1e3 * f.plain_seconds:.2f} ms",
                    "plain" if f.is_plain else f"{1e3 * f.hag_seconds:.2f} ms",
                    f"{f.speedup:.2f}x",
                    f"{f.search_seconds:.2f} s",
                    "never"
                    if epochs is None
                    else f"{epochs:,} epoch" + "s" * (epochs != 1),
                ]
            )
        return rows


def analyze(
    edge_index: Tensor,
    size: tuple[int, int],
    widths: tuple[int, ...] = WIDTHS,
    cost_model: CostModel | None = None,
) -> Analysis:
    """Measures the redundancy of a graph and predicts what a HAG would save.

    Args:
        edge_index (torch.Tensor): Integers of shape `[2, num_edges]`.
        size (tuple[int, int]): Numbers of sources and destinations; the graph is
            bipartite where they differ.
        widths (tuple[int, ...]): Features per node of the layers to predict for.
        cost_model (CostModel, optional): Cost model of the machine to predict for.

    Returns:
        Analysis: The properties of the graph and the predictions.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an invalid value.
    """
    for width in widths:
        check_count("widths", width, 1)
    edges = check_edge_index(edge_index, size).cpu()
    model = cost_model or DEFAULT_COST
    _warm_up(model)
    plain, _ = _search(edges, size, capacity=0)
    before = [model.seconds(plain, width) for width in widths]
    fewest, seconds = _search(edges, size, objective="aggregations")
    forecasts = []
    for width, plain_seconds in zip(widths, before, strict=True):
        hag, spent = _search(edges, size, num_features=width, cost_model=cost_model)
        forecasts.append(
            Forecast(
                width=width,
                plain_seconds=plain_seconds,
                hag_seconds=model.seconds(hag, width),
                search_seconds=spent,
                is_plain=hag.num_aggregates == 0,
                decision=hag.stats.decision,
            )
        )
    return Analysis(
        **_describe(edges, size),
        size=size,
        num_edges=edges.size(1),
        stats=fewest.stats,
        search_seconds=seconds,
        forecasts=forecasts,
    )


def _search(edges: Tensor, size: tuple[int, int], **options: Any) -> tuple[HAG, float]:
    """The HAG of a graph, and the seconds that the search took."""
    start = time.perf_counter()
    hag = build_hag(edges, size=size, **options)
    return hag, time.perf_counter() - start


def _warm_up(model: CostModel) -> None:
    """Compiles all that is timed."""
    edges = torch.cartesian_prod(torch.arange(16), torch.arange(16)).t()
    model.seconds(_search(edges, (16, 16), objective="aggregations")[0], 1024)
    _search(edges, (16, 16), num_features=1024)


def _describe(edges: Tensor, size: tuple[int, int]) -> dict[str, Any]:
    """The properties of a graph, as arguments of :class:`Analysis`."""
    src, dst = edges
    out_degree = torch.bincount(src, minlength=size[0])
    in_degree = torch.bincount(dst, minlength=size[1])
    square = size[0] == size[1]
    lonely_src, lonely_dst = out_degree == 0, in_degree == 0
    if square:
        lonely_src = lonely_dst = lonely_src & lonely_dst
    return {
        "duplicate_edges": dst.numel() - torch.unique(dst * size[0] + src).numel(),
        "self_loops": int((src == dst).sum()) if square else None,
        "isolated": (int(lonely_src.sum()), int(lonely_dst.sum())),
        "in_degree": in_degree,
    }


def _change(before: int, after: int) -> str:
    """Two counts and their ratio, for a table."""
    ratio = before / after if after else 1.0
    return f"{before:,} -> {after:,} ({ratio:.2f}x fewer)"

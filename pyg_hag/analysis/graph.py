"""The redundancy of a graph, and what a HAG would save, before anything is trained."""

import time
from typing import Any

import torch
from torch import Tensor

from pyg_hag.analysis.report import Analysis, Forecast
from pyg_hag.analysis.times import BYTES, measured, pyg_seconds, scratch
from pyg_hag.cost import DEFAULT_COST, CostModel
from pyg_hag.graph.checks import check_edge_index
from pyg_hag.hag import HAG
from pyg_hag.search import build_hag
from pyg_hag.utils.checks import check_count

WIDTHS = (16, 64, 128, 256)


def analyze(
    edge_index: Tensor,
    size: tuple[int, int],
    widths: tuple[int, ...] = WIDTHS,
    cost_model: CostModel | None = None,
    measure: bool = False,
) -> Analysis:
    """Measures the redundancy of a graph, and tells what a HAG would save.

    Compares three ways of one sum over all neighbours: PyG on `edge_index`, this
    package's kernel on the graph as it is, and the same on what `build_hag` returns.

    Args:
        edge_index (torch.Tensor): Integers of shape `[2, num_edges]`.
        size (tuple[int, int]): Numbers of sources and destinations; the graph is
            bipartite where they differ.
        widths (tuple[int, ...]): Features per node of the layers to predict for.
        cost_model (CostModel, optional): Cost model of the machine to predict for.
        measure (bool): Whether to run the three ways on this machine, for about a
            second each width, rather than to predict their times. Where the messages
            of all edges would take more than half a GiB, PyG gets a sample of the
            edges. (default: :obj:`False`)

    Returns:
        Analysis: The properties of the graph, and a forecast for each width.

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
        times = (
            measured(edges, plain, hag, width)
            if measure
            else (
                pyg_seconds(edges.size(1), size[0], width),
                plain_seconds,
                model.seconds(hag, width),
            )
        )
        result = BYTES * width * size[1]
        forecasts.append(
            Forecast(
                width=width,
                plain_seconds=times[1],
                hag_seconds=times[2],
                search_seconds=spent,
                is_plain=hag.num_aggregates == 0,
                decision=hag.stats.decision,
                pyg_seconds=times[0],
                pyg_bytes=BYTES * width * edges.size(1) + result,
                hag_bytes=scratch(hag, width, model.threads) + result,
                is_measured=measure,
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

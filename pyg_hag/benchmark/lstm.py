"""Time of an LSTM over neighbours: padded as in PyG, packed, and on a HAG."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.nn.aggr import LSTMAggregation
from torch_geometric.utils import degree
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._timing import measure, trained
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.hag import HAG
from pyg_hag.nn import HAGLSTMAggregation
from pyg_hag.search import build_hag

MAX_PADDED_BYTES = 3 << 28
"""Limit for PyG's padded input; a training step takes about 20 times as much."""
MAX_NEIGHBORS = 32
"""Neighbours that are sampled for each node where PyG could not pad all."""

HEADER = [
    *("graph", "nodes", "neighbours", "F", "order", "fewer steps", "ms"),
    *("over PyG", "over packed", "training ms", "over PyG", "over packed"),
]


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Times the last state of an LSTM over each node's neighbours.

    Data sets whose padded neighbours take more than 768 MiB are sampled: the first
    graphs that fit, with at most 32 neighbours for each node.

    Returns:
        list[list[str]]: A table: number of edges over steps of the sequential HAG;
        milliseconds of the forward pass and of forward and backward; and the speedups
        over PyG's `LSTMAggregation`, which pads all lists to the longest, and over
        `torch.nn.LSTM` on packed lists, sorted by length beforehand.
    """
    rows: list[dict[str, Any]] = []
    for name in tqdm(names, "lstm"):
        for width in widths:
            edge_index, num_nodes = _sampled(load_graphs(name, root), width)
            rows += _rows(name, edge_index, num_nodes, width)
    if out is not None:
        write_csv(out, rows)
    return [HEADER, *map(_cells, rows)]


def _sampled(graphs: list[Any], width: int) -> tuple[Tensor, int]:
    """The graph, sorted by destination, or the part of it that PyG can pad."""
    edge_index, num_nodes = as_one_graph(graphs)
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    longest = int(degree(edge_index[1], num_nodes).max())
    if num_nodes * longest * width * 4 <= MAX_PADDED_BYTES:
        return edge_index, num_nodes
    limit, fitting = MAX_PADDED_BYTES // (4 * width * MAX_NEIGHBORS), 0
    for graph in graphs:
        if fitting + graph.num_nodes > limit and len(graphs) > 1:
            break
        fitting += graph.num_nodes
    fitting = min(fitting, limit)
    edge_index = edge_index[:, (edge_index < fitting).all(0)]
    count = degree(edge_index[1], fitting, dtype=torch.long)
    place = torch.arange(edge_index.size(1)) - (count.cumsum(0) - count)[edge_index[1]]
    return edge_index[:, place < MAX_NEIGHBORS], fitting


def _rows(
    name: str, edge_index: Tensor, num_nodes: int, width: int
) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    x = torch.randn(num_nodes, width, requires_grad=True)
    theirs, ours = LSTMAggregation(width, width), HAGLSTMAggregation(width, width)
    ours.load_state_dict(theirs.state_dict())
    src, dst = edge_index
    ways: dict[str, Callable[[], Tensor]] = {
        "PyG": lambda: theirs(x[src], dst, dim_size=num_nodes),
        "packed": partial(_packed, x, *_order(edge_index, num_nodes), theirs.lstm),
    }
    hags: dict[str, HAG] = {}
    for order in ("given", "degree", "shared"):
        hags[order] = build_hag(
            edge_index, num_nodes, order="sequential", neighbor_order=order
        )
        ways[order] = partial(ours, x, hags[order])
    with torch.no_grad():
        forward = measure(ways, 7, 20.0)
    both = {key: partial(trained, way) for key, way in ways.items()}
    training = measure(both, 7, 20.0)
    rows = []
    for order, hag in hags.items():
        row = {
            "graph": name,
            "nodes": num_nodes,
            "neighbors": int(degree(dst, num_nodes).max()),
            "width": width,
            "order": order,
            "step_reduction": hag.num_edges / (hag.stats.steps or 1),
        }
        for mode, times in (("forward", forward), ("training", training)):
            row[f"milliseconds {mode}"] = 1e3 * times[order].median
            for rival in ("PyG", "packed"):
                row[f"{mode} over {rival}"] = times[order].speedup_over(times[rival])
        rows.append(row)
    return rows


def _order(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The sources and batch sizes of a `PackedSequence` of the neighbour lists."""
    count = degree(edge_index[1], num_nodes, dtype=torch.long)
    start = count.cumsum(0) - count
    longest = int(count.max())
    batch = (count > torch.arange(longest)[:, None]).sum(1)
    first = start[count.argsort(descending=True, stable=True)]
    parts = [edge_index[0, first[:size] + i] for i, size in enumerate(batch.tolist())]
    return torch.cat(parts), batch


def _packed(x: Tensor, src: Tensor, batch: Tensor, lstm: nn.LSTM) -> Tensor:
    hidden: Tensor = lstm(PackedSequence(x[src], batch))[1][0]
    return hidden[-1]


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [row["graph"], *(str(row[k]) for k in ("nodes", "neighbors", "width"))]
    cells += [row["order"], f"{row['step_reduction']:.2f}x"]
    for mode in ("forward", "training"):
        cells.append(f"{row[f'milliseconds {mode}']:.0f}")
        cells += [f"{row[f'{mode} over {rival}']:.1f}x" for rival in ("PyG", "packed")]
    return cells

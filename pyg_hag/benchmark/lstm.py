"""How long an LSTM over neighbours takes: padded as in PyG, packed, and shared."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.nn.aggr import LSTMAggregation
from torch_geometric.utils import degree
from tqdm import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._timing import measure, trained
from pyg_hag.datasets import as_one_graph, load_graphs
from pyg_hag.hag import HAG
from pyg_hag.nn import HAGLSTMAggregation
from pyg_hag.search import build_hag

MOST_PADDED_BYTES = 3 << 28
"""PyG takes about 20 times as much for a step of training."""
MOST_NEIGHBORS = 32
"""Of each node of a graph that is sampled, so that PyG can pad it."""

HEADER = [
    *("graph", "nodes", "neighbours", "F", "order", "fewer steps", "ms"),
    *("over PyG", "over packed", "training ms", "over PyG", "over packed"),
]


def run(
    names: list[str], root: str | None, out: str | None, widths: list[int]
) -> list[list[str]]:
    """Times the last state of an LSTM over each node's neighbours.

    Graphs whose padded neighbours take more than 768 MiB are sampled: as many graphs,
    in their order, as fit when no node has more than 32 neighbours.

    Returns:
        list[list[str]]: A table: how many times fewer steps a sequential HAG takes than
        there are edges; milliseconds forward and forward and backward; and how many
        times faster that is than PyG's `LSTMAggregation`, which pads all lists to the
        longest, and than `torch.nn.LSTM` on packed lists, sorted by length beforehand.
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
    """The graph, sorted by destination, or as much of it as PyG can pad."""
    edge_index, num_nodes = as_one_graph(graphs)
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    longest = int(degree(edge_index[1], num_nodes).max())
    if num_nodes * longest * width * 4 <= MOST_PADDED_BYTES:
        return edge_index, num_nodes
    most, fitting = MOST_PADDED_BYTES // (4 * width * MOST_NEIGHBORS), 0
    for graph in graphs:
        if fitting + graph.num_nodes > most and len(graphs) > 1:
            break
        fitting += graph.num_nodes
    fitting = min(fitting, most)
    edge_index = edge_index[:, (edge_index < fitting).all(0)]
    count = degree(edge_index[1], fitting, dtype=torch.long)
    place = torch.arange(edge_index.size(1)) - (count.cumsum(0) - count)[edge_index[1]]
    return edge_index[:, place < MOST_NEIGHBORS], fitting


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
        for kind, times in (("forward", forward), ("training", training)):
            row[f"milliseconds {kind}"] = 1e3 * times[order].median
            for rival in ("PyG", "packed"):
                row[f"{kind} over {rival}"] = times[order].speedup_over(times[rival])
        rows.append(row)
    return rows


def _order(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The sources as `PackedSequence` wants them, and how many lists go on."""
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
    for kind in ("forward", "training"):
        cells.append(f"{row[f'milliseconds {kind}']:.0f}")
        cells += [f"{row[f'{kind} over {rival}']:.1f}x" for rival in ("PyG", "packed")]
    return cells

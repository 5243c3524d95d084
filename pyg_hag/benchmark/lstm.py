"""Time of an LSTM over neighbours: padded as in PyG, packed, and on a HAG."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.nn.aggr import LSTMAggregation
from torch_geometric.utils import degree

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import WIDTHS, graph_names, load
from pyg_hag.benchmark._report import Rows, Table, by_contender, times
from pyg_hag.benchmark._timing import trained
from pyg_hag.benchmark.case import Case
from pyg_hag.datasets import as_one_graph
from pyg_hag.nn import HAGLSTMAggregation
from pyg_hag.search import build_hag

MAX_PADDED_BYTES = 3 << 28
"""Limit for PyG's padded input; a training step takes about 20 times as much."""
MAX_NEIGHBORS = 32
"""Neighbours that are sampled for each node where PyG could not pad all."""

ORDERS = ("given", "degree", "shared")
RIVALS = ("PyG", "packed")
MODES = ("forward", "training")
HEADER = [
    *("graph", "nodes", "neighbours", "F", "order", "fewer steps", "ms"),
    *("over PyG", "over packed", "training ms", "over PyG", "over packed"),
]


def cases(settings: Settings) -> Iterator[Case]:
    """The last state of an LSTM over each node's neighbours."""
    names = graph_names(settings)
    for name in names[:1] if settings.quick else names:  # PyG's takes seconds
        for width in settings.widths_or(WIDTHS):
            edge_index, num_nodes = _sampled(load(name, settings), width)
            yield from _of_graph(name, edge_index, num_nodes, width)


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


def _of_graph(
    name: str, edge_index: Tensor, num_nodes: int, width: int
) -> Iterator[Case]:
    torch.manual_seed(0)
    x = torch.randn(num_nodes, width, requires_grad=True)
    theirs, ours = LSTMAggregation(width, width), HAGLSTMAggregation(width, width)
    ours.load_state_dict(theirs.state_dict())
    src, dst = edge_index
    ways: dict[str, Callable[[], Any]] = {
        "PyG": lambda: theirs(x[src], dst, dim_size=num_nodes),
        "packed": partial(_packed, x, _order(edge_index, num_nodes), theirs.lstm),
    }
    steps = {}
    for order in ORDERS:
        hag = build_hag(edge_index, num_nodes, order="sequential", neighbor_order=order)
        ways[order] = partial(ours, x, hag)
        steps[order] = {"step_reduction": hag.num_edges / (hag.stats.steps or 1)}
    leaves = {way: [x, *theirs.parameters()] for way in RIVALS}
    leaves |= {way: [x, *ours.parameters()] for way in ORDERS}
    both: dict[str, Callable[[], Any]] = {
        way: partial(trained, call, leaves[way]) for way, call in ways.items()
    }
    for mode, contenders in zip(MODES, (ways, both), strict=True):
        yield Case(
            {"graph": name, "width": width, "mode": mode},
            contenders,
            "PyG",
            # PyG's runs on over the padding; others read in another order:
            wanted={"given": "packed", **dict.fromkeys(("packed", "degree", "shared"))},
            over=("packed",),
            tolerance=1e-3,
            gradients=mode == "training",
            rounds=7,
            budget=20.0,
            facts={"nodes": num_nodes, "neighbors": int(degree(dst, num_nodes).max())},
            facts_of=steps,
        )


def _order(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """The sources and batch sizes of a `PackedSequence` of the neighbour lists.

    And the node of each list, those with most neighbours first.
    """
    count = degree(edge_index[1], num_nodes, dtype=torch.long)
    start = count.cumsum(0) - count
    longest = int(count.max())
    batch = (count > torch.arange(longest)[:, None]).sum(1)
    nodes = count.argsort(descending=True, stable=True)
    first = start[nodes]
    parts = [edge_index[0, first[:size] + i] for i, size in enumerate(batch.tolist())]
    return torch.cat(parts), batch, nodes[: int(batch[0])]


def _packed(x: Tensor, order: tuple[Tensor, Tensor, Tensor], lstm: nn.LSTM) -> Tensor:
    src, batch, nodes = order
    hidden = lstm(PackedSequence(x[src], batch))[1][0][-1]
    return hidden.new_zeros(x.size(0), hidden.size(1)).index_copy(0, nodes, hidden)


def table(rows: Rows) -> Table:
    """One line for each order of the neighbours."""
    lines = [HEADER]
    modes = by_contender(rows, "graph", "width", "mode")
    for name, width in dict.fromkeys(key[:2] for key in modes):
        for order in ORDERS:
            row = modes[name, width, MODES[0]][order]
            cells = [name, str(row["nodes"]), str(row["neighbors"]), str(width)]
            cells += [order, times(row["step_reduction"])]
            for mode in MODES:
                row = modes[name, width, mode][order]
                cells.append(f"{row['milliseconds_50']:.0f}")
                cells += [times(row["speedup_50"], 1), times(row["over packed"], 1)]
            lines.append(cells)
    return lines


BENCHMARK = Benchmark(
    "lstm",
    "The last state of an LSTM over each node's neighbours: edges over steps of the "
    "sequential HAG; milliseconds of the forward pass and of forward and backward; and "
    "the speedups over PyG's `LSTMAggregation`, which pads all lists to the longest "
    "(and runs on over the padding), and over `torch.nn.LSTM` on packed lists, sorted "
    "by length beforehand. The order of the neighbours is the given one, the same for "
    "all nodes (`degree`), or the one in which most prefixes are shared. Data sets "
    "whose padded neighbours take more than 768 MiB are sampled: the first graphs that "
    "fit, with at most 32 neighbours for each node.",
    of_cases(cases),
    table,
)

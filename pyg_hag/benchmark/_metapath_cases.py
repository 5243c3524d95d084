"""Sums and layers over the HAG of a meta-path, and over its graph where that fits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import GCNConv, HANConv, SAGEConv
from torch_geometric.utils import to_torch_csr_tensor as to_csr

from pyg_hag.benchmark._bibliographies import ends, most_edges
from pyg_hag.benchmark._making import (
    OF_PRODUCT,
    OURS,
    WEIGHTED_PRODUCT,
    hag_of,
    transform,
)
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES, Rivals
from pyg_hag.benchmark._timing import trained
from pyg_hag.benchmark.case import Case
from pyg_hag.hag import HAG
from pyg_hag.nn import to_hag
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

MAX_EDGES = 40_000_000
"""Meta-paths with more edges are not listed."""
MAX_SEARCHED_EDGES = 20_000_000
"""The HAG of the edges of a meta-path is not searched for if there are more."""
PLAIN, MAX, WEIGHTED = "HAGMetaPaths", "max", "weighted"
EDGES, CSR, BAG = "edge_index", "CSR", "embedding_bag"
_NODE, _EDGE = "node", ("node", "to", "node")
_TOLERANCE = 1e-3

Calls = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Graph:
    """A meta-path in all forms that fit into memory.

    Attributes:
        num_nodes: Number of its nodes.
        most_edges: An upper bound of the number of its edges.
        hags: Its HAGs, by the way they were made.
        edge_index: Its edges, or None.
        counts: Their numbers of paths, or None.
    """

    num_nodes: int
    most_edges: int
    hags: dict[str, HAG] = field(default_factory=dict)
    edge_index: Tensor | None = None
    counts: Tensor | None = None

    def csr(self, weight: Tensor | None = None) -> Tensor:
        """The transposed adjacency matrix."""
        assert self.edge_index is not None
        size = self.num_nodes, self.num_nodes
        return to_csr(self.edge_index.flip(0), weight, size=size)


def read(data: HeteroData, path: str, width: int) -> Graph:
    """Makes a meta-path in all forms that fit."""
    num_nodes, most = data[ends(path)[0]].num_nodes, most_edges(data, path)
    hags = {way: hag_of(transform(way, path, width)(data), path) for way in OURS}
    if most > MAX_EDGES:
        return Graph(num_nodes, most, hags)
    store = transform(WEIGHTED_PRODUCT, path, width)(data)[ends(path)]
    edges = store.edge_index
    if most <= MAX_SEARCHED_EDGES:
        hags[OF_PRODUCT] = build_hag(
            edges, num_nodes, num_features=width, progress=False
        )
    return Graph(num_nodes, most, hags, edges, store.edge_weight)


def cases(labels: dict[str, Any], graph: Graph) -> Iterator[Case]:
    """Sums, and each layer forward and in training."""
    torch.manual_seed(0)
    width = labels["width"]
    x = torch.randn(graph.num_nodes, width)
    yield from _sums(labels, graph, x)
    x.requires_grad_()
    for name, module in _layers(width).items():
        yield from _of_layer({**labels, "what": name}, module, graph, x)


def _sums(labels: dict[str, Any], graph: Graph, x: Tensor) -> Iterator[Case]:
    sums: Calls = {
        way: partial(aggregate, x, graph.hags[way])
        for way in (PLAIN, "subtract", OF_PRODUCT)
        if way in graph.hags
    }
    weighted: Calls = {WEIGHTED: partial(aggregate, x, graph.hags[WEIGHTED])}
    largest: Calls = {
        way: partial(aggregate, x, graph.hags[way], "max")
        for way in (MAX, PLAIN, OF_PRODUCT)
        if way in graph.hags
    }
    if graph.edge_index is not None:
        rivals = Rivals(graph.edge_index, graph.num_nodes)
        sums |= {BAG: partial(rivals.embedding_bag, x), CSR: partial(rivals.csr, x)}
        weighted[CSR] = partial(torch.matmul, graph.csr(graph.counts), x)
        largest[CSR] = partial(rivals.sparse_reduce, x, "max")
    for what, ways in (("sum", sums), ("weighted sum", weighted), ("max", largest)):
        yield _case({**labels, "what": what}, ways, graph)


def _layers(width: int) -> dict[str, nn.Module]:
    heads = 8
    return {
        "GCN": GCNConv(width, width),
        "SAGE max": SAGEConv(width, width, aggr="max"),
        "HAN, 8 heads": HANConv(width, width, ([_NODE], [_EDGE]), heads=heads),
    }


def _of_layer(
    labels: dict[str, Any], module: nn.Module, graph: Graph, x: Tensor
) -> Iterator[Case]:
    fast = to_hag(module)
    used = [PLAIN, OF_PRODUCT, *([MAX] if labels["what"] == "SAGE max" else [])]
    ways: Calls = {
        way: partial(_run, fast, x, graph.hags[way])
        for way in used
        if way in graph.hags
    }
    edges = graph.edge_index
    if edges is not None and edges.size(1) * x[0].nbytes <= MAX_MESSAGE_BYTES:
        ways[EDGES] = partial(_run, module, x, edges)
        ways[CSR] = partial(_run, module, x, graph.csr())
    leaves = [x, *module.parameters()]
    steps: Calls = {way: partial(trained, call, leaves) for way, call in ways.items()}
    name = labels["what"]
    # On a sparse tensor, PyG's GCN adds a loop to nodes that have one, too:
    apart = {CSR: None} if name == "GCN" else {}
    yield _case({**labels, "what": f"{name}, forward"}, ways, graph, apart)
    yield _case({**labels, "what": f"{name}, training"}, steps, graph, apart, True)


def _run(module: nn.Module, x: Tensor, graph: Any) -> Tensor:
    if isinstance(module, HANConv):
        of_type: Tensor = module({_NODE: x}, {_EDGE: graph})[_NODE]
        return of_type
    out: Tensor = module(x, graph)
    return out


def _case(
    labels: dict[str, Any],
    ways: Calls,
    graph: Graph,
    apart: dict[str, None] | None = None,
    gradients: bool = False,
) -> Case:
    """The ways in turn; the baseline is PyG's or PyTorch's, if there is one."""
    baseline = next(way for way in (EDGES, BAG, CSR, PLAIN, *ways) if way in ways)
    edges = graph.edge_index
    number = graph.most_edges if edges is None else edges.size(1)
    return Case(
        labels,
        ways,
        baseline,
        wanted=apart or {},
        over=[way for way in (EDGES, BAG, CSR, OF_PRODUCT) if way in ways],
        tolerance=_TOLERANCE,
        gradients=gradients,
        memory=True,
        rounds=9,
        facts={"message_megabytes": number * 4 * labels["width"] / 1e6},
    )

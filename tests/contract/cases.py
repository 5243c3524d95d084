"""Graphs, tolerances and references of the contract."""

import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    near_cliques,
    noisy_copies,
    random_graph,
    skewed_graph,
)
from torch_geometric.nn import SimpleConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from pyg_hag import aggregate
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.dispatch import BACKENDS

GRAPHS = {
    **ODD_GRAPHS,
    "sparse": random_graph(0, 60, 60, 0.05),
    "dense": random_graph(1, 40, 40, 0.6),
    "dense bipartite": random_graph(2, 30, 50, 0.5),
    "multigraph": random_graph(3, 15, 15, 0.5, copies=3),
    "hubs": skewed_graph(4, 30, 90),
    "near-cliques": near_cliques(5),
    "similar rows": noisy_copies(6),
}
ALL_SQUARE = {name: g for name, g in GRAPHS.items() if g[1][0] == g[1][1]}
SQUARE = {name: g for name, g in ALL_SQUARE.items() if g[1][0] > 0}

TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}

ACCELERATOR = "cuda" if torch.cuda.is_available() else "cpu"
"""Where Triton's kernels are tested: on the CPU, its interpreter runs them."""
runs_triton = pytest.mark.skipif(
    bool(BACKENDS["triton"].why_not(torch.device(ACCELERATOR))),
    reason="no Triton, or neither a GPU nor TRITON_INTERPRET=1",
)
each_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
TELLING = (
    "near-cliques",
    "multigraph",
    "every self-loop three times",
    "one node without edges",
)
"""Square graphs for layers: what `aggregate` proves on all is not proved again."""
TELLING_BIPARTITE = (
    "dense bipartite",
    "hubs",
    "bipartite, more sources",
    "no destinations",
)
each_telling_square_graph = pytest.mark.parametrize(
    "graph", [*map(SQUARE.get, TELLING)], ids=TELLING
)
each_telling_graph = pytest.mark.parametrize(
    "graph", [*map(GRAPHS.get, TELLING_BIPARTITE)], ids=TELLING_BIPARTITE
)
each_square_graph = pytest.mark.parametrize("graph", SQUARE.values(), ids=SQUARE)


def assert_close(got, wanted, dtype=None):
    tolerance = TOLERANCE[dtype or got.dtype]
    scale = float(wanted.detach().abs().max()) if wanted.numel() else 1.0
    torch.testing.assert_close(
        got.double(), wanted.double(), rtol=tolerance, atol=tolerance * max(1.0, scale)
    )


def simple(x, edge_index, size, reduce):
    """PyG's layer without parameters; the weights of `symnorm` are those of GCN."""
    weight = None
    if reduce == "symnorm":
        reduce = "sum"
        _, weight = gcn_norm(edge_index, None, size[0], False, False, dtype=x.dtype)
    return SimpleConv(aggr=reduce)((x, None), edge_index, weight, size)


MOMENTS = ("var", "std")


def skewed(reduce):
    """A graph that is bipartite where the reduction knows such."""
    return "near-cliques" if reduce == "symnorm" else "hubs"


def features(reduce, *shape):
    """Random features; integers where what is measured is a difference of squares.

    A variance that is about 0 has no digits to compare, and a root less.
    """
    x = torch.randn(*shape)
    return x.mul(2).round() if reduce in MOMENTS else x


@once_per_hag
def moved(hag, device):
    return hag.to(device)


def on_device(device, backend, x, hag, reduce, *scales):
    """What `aggregate` makes of these there, brought back."""
    if device == "cpu":
        return aggregate(x, hag, reduce, *scales, backend=backend)
    there = moved(hag, device)
    scales = [s if s is None else s.to(device) for s in scales]
    out = aggregate(x.to(device), there, reduce, *scales, backend=backend)
    return out.to(x.device)


def is_undefined(reduce, graph):
    """Whether a list of reductions has one that this graph has not."""
    return (
        reduce is not None
        and graph is not None
        and ("symnorm" in reduce and graph[1][0] != graph[1][1])
    )

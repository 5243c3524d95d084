"""Sums before or after linear layers: the cheaper order, and PyG's numbers."""

from contextlib import nullcontext

import pytest
import torch
from graphs import edge_index_of, fewest_hag, random_graph
from torch import nn
from torch.nn.utils import prune
from torch_geometric.nn import (
    ClusterGCNConv,
    GCNConv,
    GINConv,
    GraphConv,
    Linear,
    SAGEConv,
    SGConv,
    SSGConv,
)

from pyg_hag.nn import to_hag
from pyg_hag.nn.mixins import message_passing

WIDE, NARROW = 12, 5
SIZES = {"square": (9, 9), "many sources": (30, 6), "many destinations": (6, 30)}


def gin(in_channels, out_channels):
    hidden = nn.Sequential(
        nn.Linear(in_channels, out_channels), nn.ReLU(), Linear(out_channels, 3)
    )
    return GINConv(hidden, eps=0.3, train_eps=True)


LAYERS = {
    "GCN": GCNConv,
    "GCN without bias": lambda i, o: GCNConv(i, o, bias=False),
    "GCN not normalised": lambda i, o: GCNConv(i, o, normalize=False, aggr="mean"),
    "SG": lambda i, o: SGConv(i, o, K=3),
    "SSG": lambda i, o: SSGConv(i, o, alpha=0.2, K=2),
    "SAGE": SAGEConv,
    "SAGE, sum": lambda i, o: SAGEConv(i, o, aggr="sum", normalize=True),
    "SAGE, projected": lambda i, o: SAGEConv(i, o, project=True, root_weight=False),
    "Graph": GraphConv,
    "Graph, mean": lambda i, o: GraphConv(i, o, aggr="mean", bias=False),
    "GIN": gin,
    "ClusterGCN": lambda i, o: ClusterGCNConv(i, o, diag_lambda=0.5),
}
BIPARTITE = [name for name in LAYERS if name.startswith(("SAGE", "Graph"))]


@pytest.fixture
def widths(monkeypatch):
    """The widths of the features that are summed, in order."""
    seen, run = [], message_passing.run_aggregation

    def spy(module, x, adjacency):
        seen.append(x.size(-1))
        return run(module, x, adjacency)

    monkeypatch.setattr(message_passing, "run_aggregation", spy)
    return seen


def edges(size, seed=0):
    return random_graph(seed, *size, 0.3, copies=2)[0]


def results(conv, x, graph, names):
    """Output and gradients."""
    conv.zero_grad()
    x = [t.detach().clone().requires_grad_(t.requires_grad) for t in x]
    out = conv(tuple(x) if len(x) > 1 else x[0], graph)
    if not out.requires_grad:
        return [out]
    out.sin().sum().backward()
    gradients = [t.grad for t in x if t.grad is not None]
    parameters = dict(conv.named_parameters())
    return [out, *gradients, *(parameters[name].grad for name in names)]


@pytest.mark.parametrize("mode", ["inference", "first layer", "later layer"])
@pytest.mark.parametrize("channels", [(WIDE, NARROW), (NARROW, WIDE)])
@pytest.mark.parametrize("name", LAYERS)
def test_same_numbers_and_gradients_as_pyg(name, channels, mode, widths):
    torch.manual_seed(0)
    theirs = LAYERS[name](*channels).double()
    ours = to_hag(theirs)
    for size in SIZES.values() if name in BIPARTITE else [SIZES["square"]]:
        edge_index = edges(size)
        hag = fewest_hag(edge_index, size=size)
        x = [torch.randn(n, channels[0], dtype=torch.float64) for n in size]
        x = x if size[0] != size[1] else x[:1]
        for t in x:
            t.requires_grad_(mode == "later layer")
        names = [n for n, _ in theirs.named_parameters()]
        with torch.no_grad() if mode == "inference" else nullcontext():
            wanted = results(theirs, x, edge_index, names)
            got = results(ours, x, hag, names)
        assert len(got) == len(wanted) > (mode != "inference")
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", LAYERS)
def test_sums_are_of_the_narrower_features(name, widths):
    size = SIZES["square"]
    hag = fewest_hag(edges(size), size=size)
    for channels in ((WIDE, NARROW), (NARROW, WIDE)):
        with torch.no_grad():
            to_hag(LAYERS[name](*channels))(torch.randn(9, channels[0]), hag)
    assert {*widths} == {NARROW}


def test_gradients_count(widths):
    """Without a gradient of x, summing first takes no sum in the backward pass."""
    hag = fewest_hag(edges((9, 9)), num_nodes=9)
    for x_learns in (False, True):
        to_hag(SAGEConv(8, 6))(torch.randn(9, 8, requires_grad=x_learns), hag)
    to_hag(GCNConv(6, 8))(torch.randn(9, 6), hag)
    assert widths == [8, 6, 6]


def test_products_count_where_sources_are_many(widths):
    """Few messages, from few of many sources: their product is not worth it."""
    size = (4000, 2)
    hag = fewest_hag(edge_index_of([(0, 0), (1, 0), (2, 1)]), size=size)
    x = torch.randn(4000, WIDE), torch.randn(2, WIDE)
    with torch.no_grad():
        to_hag(SAGEConv(WIDE, 8))(x, hag)
    assert widths == [WIDE]


def with_hook(register):
    def change(conv):
        getattr(conv.lin_l, register)(lambda *_: None)

    return change


def with_other_linear(conv):
    class Mine(Linear):
        pass

    conv.lin_l = Mine(WIDE, NARROW)


REASONS = {
    "hook": with_hook("register_forward_hook"),
    "hook before": with_hook("register_forward_pre_hook"),
    "hook of gradients": with_hook("register_full_backward_hook"),
    "another linear layer": with_other_linear,
    "pruned": lambda conv: prune.l1_unstructured(conv.lin_l, "weight", 0.5),
    "spectral norm": lambda conv: nn.utils.parametrizations.spectral_norm(conv.lin_l),
    "half precision": lambda conv: conv.bfloat16(),
}


@pytest.mark.parametrize("reason", REASONS)
def test_order_of_pyg_where_somebody_could_tell(reason, widths):
    conv = to_hag(SAGEConv(WIDE, NARROW))
    REASONS[reason](conv)
    x = torch.randn(9, WIDE, dtype=conv.lin_r.weight.dtype)
    conv(x, fewest_hag(edges((9, 9)), num_nodes=9))
    assert widths == [WIDE]


def test_order_of_pyg_with_other_reductions_and_autocast(widths):
    hag = fewest_hag(edges((9, 9)), num_nodes=9)
    x = torch.randn(9, WIDE)
    to_hag(SAGEConv(WIDE, NARROW, aggr="max"))(x, hag)
    to_hag(SGConv(WIDE, NARROW, cached=True))(x, hag)
    with torch.autocast("cpu"):
        to_hag(SAGEConv(WIDE, NARROW))(x, hag)
    assert widths == [WIDE] * 3


def test_lazy_layers_are_initialised_first(widths):
    conv = to_hag(SAGEConv(-1, NARROW))
    hag = fewest_hag(edges((9, 9)), num_nodes=9)
    with torch.no_grad():
        for _ in range(2):
            conv(torch.randn(9, WIDE), hag)
    assert widths == [WIDE, NARROW]


@pytest.mark.parametrize("conv", [SAGEConv(WIDE, NARROW), GCNConv(NARROW, WIDE)])
def test_compiled(conv, widths):
    edge_index = edges((9, 9))
    hag = fewest_hag(edge_index, num_nodes=9)
    x = torch.randn(9, conv.in_channels)
    compiled = torch.compile(to_hag(conv), backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x, hag), conv(x, edge_index))
    assert {*widths} <= {NARROW}

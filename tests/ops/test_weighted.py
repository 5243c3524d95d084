import pytest
import torch
from contract import GRAPHS, SQUARE, assert_close, each_graph
from graphs import fewest_hag, num_threads
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric import nn

from pyg_hag import HAGTransform, build_hag
from pyg_hag.data import Data
from pyg_hag.nn import to_hag
from pyg_hag.nn.mixins import adjacency as layer_adjacency
from pyg_hag.ops import weighted
from pyg_hag.ops.weighted import weighted_sum


def plain(graph):
    return build_hag(graph[0], size=graph[1], capacity=0)


def shuffled(graph):
    """Edges in no order, which the weights follow."""
    torch.manual_seed(0)
    return graph[0][:, torch.randperm(graph[0].size(1))], graph[1]


@each_graph
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_and_backward(graph, dtype):
    (src, dst), (num_src, num_dst) = graph = shuffled(graph)
    inputs = torch.randn(num_src, 9, dtype=dtype), torch.randn(src.numel(), dtype=dtype)
    results = []
    for ours in (True, False):
        x, w = (t.clone().requires_grad_() for t in inputs)
        if ours:
            out = weighted_sum(x, w, plain(graph))
        else:
            out = x.new_zeros(num_dst, 9).index_add(0, dst, w[:, None] * x[src])
        torch.manual_seed(1)
        out.backward(torch.randn_like(out))
        results.append((out, x.grad, w.grad))
    for got, wanted in zip(*results, strict=True):
        assert_close(got, wanted)


@pytest.mark.parametrize("width", [1, 3, 64, 200])
def test_all_threads(width, monkeypatch):
    monkeypatch.setattr("pyg_hag.plan.cpu.MIN_WORK", 0)
    graph = shuffled(GRAPHS["dense"])
    w, x = torch.randn(graph[0].size(1)), torch.randn(graph[1][0], width)
    results = []
    for threads in (1, 3):
        with num_threads(threads):
            leaf = w.clone().requires_grad_()
            out = weighted_sum(x, leaf, plain(graph))
            out.sum().backward()
            results.append((out, leaf.grad))
    assert all(map(torch.equal, *results))


def test_gradients_of_gradients():
    graph = shuffled(GRAPHS["similar rows"])
    hag = plain((graph[0][:, :40], graph[1]))
    x = torch.randn(graph[1][0], 2, dtype=torch.double, requires_grad=True)
    w = torch.randn(40, dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda x, w: weighted_sum(x, w, hag), (x, w))
    assert gradgradcheck(lambda x, w: weighted_sum(x, w, hag), (x, w))


def test_other_shapes_and_dtypes():
    graph = shuffled(GRAPHS["dense"])
    hag, w = plain(graph), torch.randn(graph[0].size(1))
    x = torch.randn(graph[1][0], 2, 3)
    out = weighted_sum(x, w, hag)
    assert_close(out[:, 1], weighted_sum(x[:, 1], w, hag))
    assert_close(out[:, 1, 2], weighted_sum(x[:, 1, 2], w, hag))
    half = weighted_sum(x.bfloat16(), w.bfloat16(), hag)
    assert half.dtype == torch.bfloat16
    assert_close(half, out.bfloat16())


def test_compiled():
    graph = shuffled(GRAPHS["dense"])
    hag, w = plain(graph), torch.randn(graph[0].size(1))
    x = torch.randn(graph[1][0], 5)
    compiled = torch.compile(
        lambda x, w: weighted_sum(x, w, hag), backend="aot_eager", fullgraph=True
    )
    assert_close(compiled(x, w), weighted_sum(x, w, hag))


def test_no_message_is_made(monkeypatch):
    seen = []
    kernel = weighted.aggregate_weighted
    monkeypatch.setattr(
        weighted, "aggregate_weighted", lambda *a: seen.append(a) or kernel(*a)
    )
    graph = shuffled(GRAPHS["dense"])
    weighted_sum(torch.randn(40, 3), torch.randn(graph[0].size(1)), plain(graph))
    assert len(seen) == 1


def test_what_does_not_fit():
    graph = GRAPHS["clique"]
    x, w = torch.randn(graph[1][0], 3), torch.randn(graph[0].size(1))
    with pytest.raises(ValueError, match="'hag' has aggregates"):
        weighted_sum(x, w, fewest_hag(graph[0], size=graph[1]))
    with pytest.raises(ValueError, match="one weight for each"):
        weighted_sum(x, w[1:], plain(graph))


LAYERS = {
    "GCN": lambda: nn.GCNConv(8, 4),
    "GCN, improved": lambda: nn.GCNConv(8, 4, improved=True),
    "GCN, no loops": lambda: nn.GCNConv(8, 4, add_self_loops=False),
    "GCN, turned": lambda: nn.GCNConv(8, 4, flow="target_to_source"),
    "Graph": lambda: nn.GraphConv(8, 4),
    "Graph, mean": lambda: nn.GraphConv(8, 4, aggr="mean"),
    "Cheb": lambda: nn.ChebConv(8, 4, 3),
    "Cheb, rw": lambda: nn.ChebConv(8, 4, 3, normalization="rw"),
    "Cheb, none": lambda: nn.ChebConv(8, 4, 2, normalization=None),
    "LE": lambda: nn.LEConv(8, 4),
    "WL": nn.WLConvContinuous,
    "TAG": lambda: nn.TAGConv(8, 4),
    "APPNP": lambda: nn.APPNP(2, 0.1),
    "ARMA": lambda: nn.ARMAConv(8, 4),
    "Simple": lambda: nn.SimpleConv("sum", "self_loop"),
}


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("factored", [True, False])
@pytest.mark.parametrize("name", ["dense", "sparse", "multigraph"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.unless(lambda factored, learned: factored and learned)
def test_layers_with_weights(layer, name, factored, learned):
    """On plain graphs all weights, on HAGs those that are products."""
    edge_index, size = shuffled(SQUARE[name])
    conv = LAYERS[layer]().double()
    if factored:
        a, b = (torch.rand(n, dtype=torch.double) + 0.1 for n in size)
        weight = a[edge_index[0]] * b[edge_index[1]]
        hag = fewest_hag(edge_index, size[0])
    else:
        weight = torch.rand(edge_index.size(1), dtype=torch.double) + 0.1
        hag = plain((edge_index, size))
    x = torch.randn(size[0], 8, dtype=torch.double)
    results = []
    for module, graph in ((conv, edge_index), (to_hag(conv), hag)):
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_(learned)
        out = module(leaves[0], graph, leaves[1])
        out.square().sum().backward()
        results.append([out, *(t.grad for t in leaves if t.requires_grad)])
    for wanted, got in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted)


def test_transform_for_any_weights():
    edge_index, (n, _) = shuffled(SQUARE["dense"])
    data = Data(torch.randn(n, 8), edge_index)
    data.edge_weight = torch.rand(edge_index.size(1))
    with pytest.raises(ValueError, match=r"HAGTransform\(weights=\"plain\"\)"):
        HAGTransform()(data)
    out = HAGTransform(weights="plain", objective="aggregations")(data)
    assert out.hag.num_aggregates == 0
    model = nn.GCN(8, 8, 2, 4)
    wanted = model(data.x, edge_index, data.edge_weight)
    got = to_hag(model)(out.x, out.hag, out.edge_weight)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    data.edge_weight = torch.ones(edge_index.size(1))
    out = HAGTransform(weights="plain", objective="aggregations")(data)
    assert out.hag.num_aggregates > 0
    with pytest.raises(ValueError, match="'weights' must be"):
        HAGTransform(weights="any")
    shared = fewest_hag(edge_index, n)
    layer_adjacency._warn_once.cache_clear()
    for weight, reason in (
        (torch.rand(edge_index.size(1)), "is not the product"),
        (torch.rand(edge_index.size(1)).requires_grad_(), "requires a gradient"),
    ):
        with pytest.warns(UserWarning, match=f"{reason}.*not shared"):
            got = to_hag(model)(out.x, shared, weight)
        wanted = model(data.x, edge_index, weight)
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_weights_that_change_in_place():
    edge_index, (n, _) = shuffled(SQUARE["dense"])
    conv, hag, x = nn.GraphConv(8, 4), fewest_hag(edge_index, n), torch.randn(n, 8)
    a, b = torch.rand(2, n) + 0.5
    weight, ours = a[edge_index[0]] * b[edge_index[1]], to_hag(conv)
    for _ in range(2):
        wanted = conv(x, edge_index, weight)
        torch.testing.assert_close(ours(x, hag, weight), wanted, rtol=1e-4, atol=1e-4)
        weight.mul_(b[edge_index[0]])

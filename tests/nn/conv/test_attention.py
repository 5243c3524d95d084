"""Layers of PyG that weigh messages by attention, against themselves on the edges."""

import warnings

import pytest
import torch
from contract import SQUARE, Converted, SignedConvContract, assert_close
from graphs import fewest_hag, random_graph
from torch_geometric import nn

from pyg_hag.nn import hag_support, to_hag
from pyg_hag.nn.layer_classes import hag_layer_class
from pyg_hag.ops.attention.choice import forced
from pyg_hag.ops.attention.dropout import Dropout, kept

TURNED = {"flow": "target_to_source"}
LAYERS = (nn.GATConv, nn.GATv2Conv, nn.TransformerConv)


class Attention(Converted):
    matrices_only = True


class TestGAT(Attention):
    reference = nn.GATConv
    bipartite = True
    variants = (
        {},
        {"heads": 3, "add_self_loops": False, "residual": True},
        {"heads": 8, "concat": False, "negative_slope": 0.0, "bias": False},
        {"heads": 2, "negative_slope": -0.3, **TURNED},
    )


class TestGATv2(Attention):
    reference = nn.GATv2Conv
    bipartite = True
    variants = (
        {},
        {"heads": 3, "add_self_loops": False, "residual": True},
        {"heads": 8, "concat": False, "share_weights": True},
        {"heads": 2, "bias": False, **TURNED},
    )


class TestTransformer(Attention):
    reference = nn.TransformerConv
    bipartite = True
    variants = (
        {},
        {"heads": 3, "beta": True},
        {"heads": 8, "concat": False, "root_weight": False},
        {"heads": 2, "bias": False, **TURNED},
    )


class TestHAN(Attention):
    reference = nn.HANConv
    variants = ({}, {"heads": 4, "negative_slope": 0.5})

    def make(self, cls, options):
        return cls(8, 8, (["a"], [("a", "to", "a"), ("a", "by", "a")]), **options)

    def call(self, layer, x, graph):
        turned = graph.flip(0) if torch.is_tensor(graph) else graph.t()
        edges = {("a", "to", "a"): graph, ("a", "by", "a"): turned}
        return layer({"a": x}, edges)["a"]


class Shared(Attention):
    """Over the aggregates of the HAG, wherever that is exact."""

    @pytest.fixture(autouse=True)
    def share(self):
        with forced(shares=True):
            yield

    def kernels(self, hag):
        return {"sweep"} if hag.num_aggregates else {"numba"}


class TestGATShared(Shared, TestGAT):
    variants = (
        {},
        {"heads": 3, "add_self_loops": False, "residual": True},
        {"heads": 8, "concat": False, "negative_slope": 0.0, "bias": False},
        {"heads": 2, "negative_slope": 1.0, **TURNED},
    )


class TestHANShared(Shared, TestHAN):
    pass


class TestGATOnSigned(SignedConvContract, TestGAT):
    pass


class TestTransformerOnSigned(SignedConvContract, TestTransformer):
    pass


def same(conv, x, edge_index, hag, *rest, close=assert_close):
    """Compares outputs and all gradients; returns the output on the edges."""
    results = []
    for layer, graph in ((conv, edge_index), (to_hag(conv), hag)):
        layer.zero_grad()
        leaves = [t.detach().clone().requires_grad_() for t in (x, *rest)]
        out = layer(leaves[0], graph, *leaves[1:])
        torch.manual_seed(5)
        out.backward(torch.randn_like(out))
        grads = [p.grad for p in layer.parameters()]
        results.append([out, *(t.grad for t in leaves), *grads])
    for wanted, got in zip(*results, strict=True):
        assert (wanted is None) == (got is None)
        if wanted is not None:
            close(got, wanted)
    return results[0][0]


@pytest.mark.parametrize("fill", ["mean", "add", "max", "mul", 0.3])
@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("cls", LAYERS)
def test_edge_features(cls, loops, flow, fill):
    edge_index, (n, _) = random_graph(3, 14, 14, 0.3)
    options = {"heads": 2, "edge_dim": 3, "flow": flow}
    if cls is not nn.TransformerConv:
        options |= {"add_self_loops": loops, "fill_value": fill}
    edge_attr = torch.randn(edge_index.size(1), 3)
    hag = fewest_hag(edge_index, n)
    same(cls(8, 5, **options), torch.randn(n, 8), edge_index, hag, edge_attr)


@pytest.mark.parametrize("cls", LAYERS)
def test_one_feature_for_each_edge(cls):
    edge_index, (n, _) = random_graph(3, 14, 14, 0.3)
    edge_attr = torch.randn(edge_index.size(1))
    if cls is nn.TransformerConv:
        edge_attr = edge_attr[:, None]
    hag = fewest_hag(edge_index, n)
    same(cls(8, 5, edge_dim=1), torch.randn(n, 8), edge_index, hag, edge_attr)


@pytest.mark.parametrize("cls", LAYERS)
def test_coefficients_come_with_the_edges_that_pyg_returns(cls):
    edge_index, (n, _) = random_graph(3, 14, 14, 0.3)
    conv, x = cls(8, 5, heads=2), torch.randn(n, 8)
    wanted, (edges, alpha) = conv(x, edge_index, return_attention_weights=True)
    hag = fewest_hag(edge_index, n)
    out, (got, beta) = to_hag(conv)(x, hag, return_attention_weights=True)
    assert torch.equal(edges, got)
    assert_close(out, wanted)
    assert_close(beta, alpha)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(cls, dtype):
    edge_index, (n, _) = random_graph(3, 14, 14, 0.3)
    conv, x = cls(8, 6, heads=2).to(dtype), torch.randn(n, 8, dtype=dtype)
    out = to_hag(conv)(x, fewest_hag(edge_index, n))
    assert out.dtype == dtype
    exact = conv.float()(x.float(), edge_index)
    tolerance = 0.06 if dtype == torch.bfloat16 else 0.01
    torch.testing.assert_close(out.float(), exact, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("cls", LAYERS)
def test_autocast(cls):
    edge_index, (n, _) = random_graph(3, 14, 14, 0.3)
    conv, x = cls(8, 6, heads=2), torch.randn(n, 8)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = conv(x, edge_index)
        got = to_hag(conv)(x, fewest_hag(edge_index, n))
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted, atol=0.06, rtol=0.06)


def masked(layer, x, edge_index, seed, p):
    """PyG's layer with the coefficients dropped that a hash of the seed drops."""
    count = 0

    def drop(alpha, **_):
        nonlocal count
        count += 1
        factors = kept(Dropout(p, seed), alpha.size(0), alpha.size(1))
        return alpha * factors.to(alpha)

    module = __import__(type(layer).__module__, fromlist=["F"])
    original = module.F.dropout
    module.F.dropout = lambda alpha, **options: drop(alpha)
    try:
        return layer(x, edge_index)
    finally:
        module.F.dropout = original
        assert count == 1


@pytest.mark.parametrize("p", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("cls", LAYERS)
def test_dropout_of_coefficients(cls, p):
    edge_index, (n, _) = random_graph(3, 14, 14, 0.3)
    conv = cls(8, 5, heads=3, dropout=p).train()
    hag, results = fewest_hag(edge_index, n), []
    for fast in (False, True):
        conv.zero_grad()
        torch.manual_seed(0)
        x = torch.linspace(-1, 1, n * 8).view(n, 8).requires_grad_()
        torch.manual_seed(1)
        if fast:
            out = to_hag(conv)(x, hag)
        else:
            seed = int(torch.randint(2**63 - 1, ()))
            out = masked(conv, x, edge_index, seed, p)
        out.backward(torch.linspace(0, 1, out.numel()).view_as(out))
        results.append([out, x.grad, *(w.grad for w in conv.parameters())])
    for wanted, got in zip(*results, strict=True):
        assert_close(got, wanted)


def test_dropout_is_reproducible_and_has_its_rate():
    edge_index, (n, _) = random_graph(1, 60, 60, 0.5)
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 8)
    conv = to_hag(nn.GATConv(8, 5, heads=3, dropout=0.5)).train()
    torch.manual_seed(3)
    first, second = conv(x, hag), conv(x, hag)
    torch.manual_seed(3)
    assert torch.equal(conv(x, hag), first)
    assert not torch.equal(first, second)
    assert torch.equal(conv.eval()(x, hag), conv(x, hag))
    rate = (kept(Dropout(0.3, 12345), 100_000, 8) == 0).double().mean()
    assert abs(rate - 0.3) < 0.003


@pytest.mark.parametrize("spread", [0.0, 1.0, 200.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_any_spread(dtype, spread):
    edge_index, (n, _) = random_graph(1, 40, 40, 0.3)
    conv = nn.GATConv(8, 5, heads=2).to(dtype)
    with torch.no_grad():
        conv.att_src.mul_(spread)
        conv.att_dst.mul_(spread)
    x = torch.randn(n, 8, dtype=dtype)

    def close(got, wanted):  # scores are rounded, and their differences are large
        tolerance = max(spread, 1) * 50 * torch.finfo(dtype).eps
        size = wanted.abs().max().clamp(min=1).item()
        torch.testing.assert_close(got, wanted, atol=tolerance * size, rtol=tolerance)

    out = same(conv, x, edge_index, fewest_hag(edge_index, n), close=close)
    assert out.isfinite().all()


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("cls", LAYERS)
def test_scores_that_are_not_finite(cls, value):
    edge_index, (n, _) = random_graph(1, 20, 20, 0.2)
    conv, x = cls(8, 5, heads=2), torch.randn(n, 8)
    x[3, 2] = value
    wanted = conv(x, edge_index)
    got = to_hag(conv)(x, fewest_hag(edge_index, n))
    torch.testing.assert_close(got, wanted, equal_nan=True, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls", LAYERS)
def test_gradients_of_gradients(cls):
    edge_index, (n, _) = random_graph(1, 9, 9, 0.3)
    conv = cls(4, 3, heads=2).double()
    fast, hag = to_hag(conv), fewest_hag(edge_index, n)
    x = torch.randn(n, 4, dtype=torch.double, requires_grad=True)
    found = []
    for layer, graph in ((conv, edge_index), (fast, hag)):
        out = layer(x, graph).sigmoid().sum()
        (grad,) = torch.autograd.grad(out, x, create_graph=True)
        found.append(torch.autograd.grad(grad.square().sum(), x)[0])
    assert_close(found[1], found[0])


@pytest.mark.parametrize("cls", LAYERS)
def test_transforms_of_functions(cls):
    edge_index, (n, _) = random_graph(1, 9, 9, 0.3)
    conv, hag = cls(4, 3, heads=2), fewest_hag(edge_index, n)
    fast, x = to_hag(conv), torch.randn(n, 4)
    tangent = torch.randn(n, 4)
    wanted = torch.func.jvp(lambda x: conv(x, edge_index), (x,), (tangent,))
    got = torch.func.jvp(lambda x: fast(x, hag), (x,), (tangent,))
    assert_close(got[1], wanted[1])


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("drops", [False, True])
def test_compiled_training(cls, drops):
    edge_index, (n, _) = random_graph(1, 20, 20, 0.3)
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 8)
    fast = to_hag(cls(8, 5, heads=2, dropout=0.4 if drops else 0.0)).train()
    torch._dynamo.reset()
    compiled = torch.compile(fast, backend="aot_eager", fullgraph=True)
    found = []
    for layer in (fast, compiled):
        fast.zero_grad()
        torch.manual_seed(2)
        layer(x, hag).square().sum().backward()
        found.append([p.grad.clone() for p in fast.parameters()])
    for wanted, got in zip(*found, strict=True):
        assert_close(got, wanted)


def test_only_what_is_asked_for_gets_a_gradient():
    edge_index, (n, _) = random_graph(1, 20, 20, 0.3)
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 8)
    for cls in LAYERS:
        conv = cls(8, 5, heads=2)
        for name, _ in conv.named_parameters():
            grads = []
            for layer, graph in ((conv, edge_index), (to_hag(conv), hag)):
                for other, p in layer.named_parameters():
                    p.requires_grad_(other == name)
                    p.grad = None
                layer(x, graph).square().sum().backward()
                grads.append(dict(layer.named_parameters())[name].grad)
            assert_close(grads[1], grads[0])


def test_support_tells_what_is_fused():
    others = nn.GCNConv(8, 8), nn.AGNNConv(), nn.GATv2Conv(8, 8)
    gats = [{}, {"edge_dim": 2}, {"negative_slope": 2.0}, {"aggr": "max"}]
    layers = [*others, *(nn.GATConv(8, 8, **options) for options in gats)]
    table = hag_support(torch.nn.ModuleList(layers))
    runs = ["shared", "edges", "fused", "shared", "fused", "fused", "edges"]
    assert [s.runs for s in table] == runs
    assert "weighted sum" in table[6].reason
    assert "edge features" in table[4].why
    assert "negative_slope" in table[5].why
    assert "dropped" in hag_support(nn.GATConv(8, 8, dropout=0.5))[0].why
    assert "fused" in repr(to_hag(nn.GATv2Conv(8, 8)))
    assert "sweeps" in repr(to_hag(nn.GATConv(8, 8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "2 of 2 layers share" in repr(to_hag(nn.GAT(8, 8, num_layers=2)))
        fused = repr(to_hag(nn.GAT(8, 8, num_layers=2, v2=True)))
        assert "0 of 2 layers share sums, 2 are fused" in fused


def test_wrong_edge_features_are_refused():
    edge_index, (n, _) = SQUARE["dense"]
    hag, x = fewest_hag(edge_index, n), torch.randn(n, 8)
    conv = to_hag(nn.GATConv(8, 5, edge_dim=2))
    with pytest.raises(ValueError, match=r"'edge_attr' must have one row for each"):
        conv(x, hag, torch.randn(edge_index.size(1) - 1, 2))
    with pytest.raises(AssertionError):  # PyG's own
        to_hag(nn.GATv2Conv(8, 5))(x, hag, torch.randn(edge_index.size(1), 2))


def test_hooks_of_edge_updates_are_refused():
    edge_index, (n, _) = SQUARE["dense"]
    layer = hag_layer_class(nn.GATConv)(8, 5)
    layer.register_edge_update_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="hooks"):
        layer(torch.randn(n, 8), fewest_hag(edge_index, n))

import pytest
import torch
import torch.nn.functional as F
from graphs import fewest_hag, random_graph
from torch_geometric import nn
from torch_geometric.data import Data

from pyg_hag import build_hag
from pyg_hag.ops.attention import quantized as attention_ops
from pyg_hag.quantization import (
    DegreeQuantConfig,
    DegreeQuantTransform,
    calibrate,
    convert,
    prepare_qat,
)
from pyg_hag.quantization.int8.attention import INT8GAT

CONVS = {
    "heads": lambda: nn.GATConv(8, 8, heads=8),
    "one head": lambda: nn.GATConv(8, 7),
    "odd": lambda: nn.GATConv(8, 5, heads=3, bias=False, add_self_loops=False),
    "mean": lambda: nn.GATConv(8, 9, heads=4, concat=False),
    "mean of many": lambda: nn.GATConv(8, 3, heads=17, concat=False),
    "many": lambda: nn.GATConv(8, 3, heads=18),
    "wide": lambda: nn.GATConv(8, 80, heads=4),
    "residual": lambda: nn.GATConv(8, 4, heads=2, residual=True, negative_slope=0.4),
    "turned": lambda: nn.GATConv(8, 4, heads=2, flow="target_to_source"),
    "two transformations": lambda: nn.GATConv((8, 8), 4, heads=2),
}


@pytest.fixture
def graph():
    edge_index, _ = random_graph(3, 60, 60, 0.2)
    edge_index = edge_index[:, (edge_index[0] != 5) & (edge_index[1] != 5)]
    return torch.randn(60, 8), edge_index, fewest_hag(edge_index, 60)


def calibrated(model, *inputs, bits=8):
    config = DegreeQuantConfig(bits=bits, protect=False, ranges="minmax")
    return calibrate(model.eval(), [inputs], config)


def agrees(got, wanted, step, share=0.02):
    """Equal but for few values, which were rounded the other way."""
    difference = (got - wanted).abs()
    assert got.shape == wanted.shape and got.dtype == torch.float32
    assert float(difference.max()) <= 1.01 * step
    assert float((difference > 1e-5 * wanted.abs().max()).float().mean()) <= share


def step_of(quantized):
    """The distance of neighboring values of the sums of the last layer."""
    steps = [
        float(m.calculate_qparams()[0])
        for name, m in quantized.named_modules()
        if name.endswith("quantizers.aggregate")
    ]
    return steps[-1]


@torch.no_grad()
def checked(model, *inputs, bits=8, **kwargs):
    """The converted model, which agrees with the one that was trained."""
    quantized = calibrated(model, *inputs, bits=bits, **kwargs)
    fast = convert(quantized, inputs)
    assert not fast.layers[0].reason
    agrees(fast(*inputs), quantized(*inputs), step_of(quantized))
    return fast


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", CONVS)
def test_agrees_with_what_was_trained(name, bits, graph):
    x, edge_index, hag = graph
    for inputs in ((x, hag), (x, edge_index)):
        fast = checked(CONVS[name](), *inputs, bits=bits)
    assert isinstance(fast.model, INT8GAT)
    assert torch.equal(fast(x, edge_index.clone()), fast(x, edge_index))


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_scores_of_all_sizes(scale, graph):
    """Their exponentials do and do not fit into float32."""
    x, _, hag = graph
    conv = nn.GATConv(8, 8, heads=8)
    with torch.no_grad():
        conv.att_src *= scale
        conv.att_dst *= scale
    checked(conv, x, hag)


def test_predictions_after_training(graph):
    x, edge_index, _ = graph
    torch.manual_seed(0)
    data = DegreeQuantTransform(0.0, 0.5)(Data(x, edge_index))
    model = nn.GAT(8, 16, 2, 4, heads=2, dropout=0.5, act="elu")
    quantized = prepare_qat(model)
    optimizer = torch.optim.Adam(quantized.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        out = quantized(x, edge_index, protect_prob=data.protect_prob)
        F.cross_entropy(out, torch.arange(60) % 4).backward()
        optimizer.step()
    quantized.eval()
    fast = convert(quantized, (x, edge_index))
    with torch.no_grad():
        wanted = quantized(x, edge_index)
    agrees(fast(x, edge_index), wanted, 2 * step_of(quantized), share=0.05)
    same = fast(x, edge_index).argmax(1) == wanted.argmax(1)
    assert float(same.float().mean()) >= 0.98


def test_between_layers_are_bytes(graph, monkeypatch):
    """ReLU, a norm and the quantization for the next layer are fused."""
    x, _, hag = graph
    dtypes, attend = [], attention_ops.attend

    def watched(*args):
        dtypes.append(attend(*args).dtype)
        return attend(*args)

    monkeypatch.setattr(attention_ops, "attend", watched)
    for norm in (None, "batch_norm"):
        dtypes.clear()
        model = nn.GAT(8, 16, 3, 4, heads=2, norm=norm)
        if norm is not None:
            model.train()
            model(3 * torch.randn(60, 8) + 1, hag.to_edge_index())
        fast = convert(calibrated(model, x, hag), (x, hag))
        dtypes.clear()
        fast(x, hag)
        assert dtypes == [torch.uint8, torch.uint8, torch.float32]
        checked(model, x, hag)


def test_before_layers_that_scale_rows(graph):
    x, edge_index, _ = graph
    gat, gcn = nn.GATConv(8, 8), nn.GCNConv(8, 4)
    model = nn.Sequential(
        "x, e", [(gat, "x, e -> x"), torch.nn.ReLU(), (gcn, "x, e -> x")]
    )
    quantized = calibrated(model, x, edge_index)
    fast = convert(quantized, (x, edge_index))
    with torch.no_grad():
        wanted = quantized(x, edge_index)
    agrees(fast(x, edge_index), wanted, 0.03 * float(wanted.abs().max()), 0.05)


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
def test_features_of_edges(loops, flow, graph):
    x, edge_index, _ = graph
    attr = torch.randn(edge_index.size(1), 3)
    conv = nn.GATConv(8, 4, heads=2, edge_dim=3, add_self_loops=loops, flow=flow)
    checked(conv, x, edge_index, attr)
    checked(conv, x, build_hag(edge_index, 60, capacity=0), attr)


def test_bipartite():
    edge_index, size = random_graph(2, 12, 7, 0.5)
    pair = torch.randn(12, 8), torch.randn(7, 6)
    hag = fewest_hag(edge_index, size=size)
    for graph in (hag, edge_index):
        checked(nn.GATConv((8, 6), 4, heads=2, residual=True), pair, graph)
        conv = nn.GATConv((8, 6), 4, heads=2, add_self_loops=False)
        fast = checked(conv, (pair[0], None), graph, None, size)
        with pytest.raises(RuntimeError, match="that were not observed"):
            fast(pair, graph)


def test_attention_weights(graph):
    x, edge_index, _ = graph
    for options in ({}, {"add_self_loops": False}, {"flow": "target_to_source"}):
        inputs = x, edge_index, None, None, True
        quantized = calibrated(nn.GATConv(8, 4, heads=3, **options), *inputs)
        out, (edges, weights) = convert(quantized, inputs)(*inputs)
        with torch.no_grad():
            wanted, (wanted_edges, wanted_weights) = quantized(*inputs)
        agrees(out, wanted, step_of(quantized))
        assert torch.equal(edges, wanted_edges)
        torch.testing.assert_close(weights, wanted_weights, rtol=1e-4, atol=1e-5)


def test_compiled(graph):
    x, _, hag = graph
    fast = convert(calibrated(nn.GAT(8, 12, 2, 4, heads=3), x, hag), (x, hag))
    run = torch.compile(fast, backend="aot_eager", fullgraph=True)
    agrees(run(x, hag), fast(x, hag), 0.03 * float(fast(x, hag).abs().max()))


def test_loaded_numbers_count(graph):
    x, _, hag = graph
    first, second = (
        convert(calibrated(CONVS["heads"](), k * x, hag), (x, hag)) for k in (1, 3)
    )
    wanted, other = first(x, hag), second(x, hag)
    assert not torch.equal(wanted, other)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x, hag), wanted)
    third = convert(calibrated(CONVS["heads"](), x, hag), (x, hag))
    third(x, hag)
    third.model.lin.load_state_dict(first.model.lin.state_dict())
    third.load_state_dict(first.state_dict())
    assert torch.equal(third(x, hag), wanted)


def test_what_is_refused(graph):
    x, edge_index, hag = graph
    with pytest.raises(ValueError, match=r"'aggr' must be a single one"):
        prepare_qat(nn.GATConv(8, 4, aggr=["add", "max"]))
    fast = convert(calibrated(nn.GATConv(8, 4, edge_dim=3), x, hag), (x, hag))
    with pytest.raises(RuntimeError, match="that were not observed"):
        fast(x, edge_index, torch.randn(edge_index.size(1), 3))
    with pytest.raises(TypeError, match="'edge_index' of quantized attention"):
        fast(x, torch.eye(60).to_sparse())
    with pytest.raises(ValueError, match="but the HAG has 60"):
        fast(torch.cat([x, x]), hag)
    with pytest.raises(ValueError, match="'x' must have 8 features"):
        fast(torch.randn(60, 7), hag)
    fast = convert(calibrated(nn.GATConv(8, 4, aggr="max"), x, hag), (x, hag))
    assert fast.layers[0].reason == "attention with 'aggr' 'max'"
    fast(x, hag)


def test_shown(graph):
    x, _, hag = graph
    fast = convert(calibrated(CONVS["heads"](), x, hag), (x, hag))
    assert "INT8GAT" in repr(fast) and "8, heads=8" in repr(fast)

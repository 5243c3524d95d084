import copy
import pickle

import pytest
import torch
from contract import SQUARE, TELLING, assert_close
from graphs import fewest_hag, random_graph, signed_hag
from torch_geometric import nn
from torch_geometric.data import Batch, Data

from pyg_hag import HAGTransform, to_hag
from pyg_hag.ops.launch import compute_many, compute_max, compute_sum
from pyg_hag.quantization import (
    DegreeQuantConfig,
    DegreeQuantTransform,
    FakeQuantize,
    QATLinear,
    prepare_qat,
)
from pyg_hag.quantization.qat import state as qat_state
from pyg_hag.quantization.qat.attention import QuantizedGAT
from pyg_hag.quantization.qat.features import reductions_of

MODELS = {
    "GCN": lambda: nn.GCN(8, 16, 2, 4),
    "GCN, improved": lambda: nn.GCNConv(8, 4, improved=True),
    "GCN, no loops": lambda: nn.GCNConv(8, 4, add_self_loops=False),
    "GCN, no norm": lambda: nn.GCNConv(8, 4, normalize=False, bias=False),
    "SAGE": lambda: nn.GraphSAGE(8, 16, 2, 4),
    "SAGE, max": lambda: nn.SAGEConv(8, 4, aggr="max", project=True, normalize=True),
    "SAGE, several": lambda: nn.SAGEConv(8, 4, aggr=["mean", "max"], root_weight=False),
    "GIN": lambda: nn.GIN(8, 16, 2, 4, train_eps=True),
    "Graph": lambda: nn.GraphConv(8, 4),
    "Graph, mean": lambda: nn.GraphConv(8, 4, aggr="mean"),
    "SGC": lambda: nn.SGConv(8, 4, K=2),
    "EGC": lambda: nn.EGConv(8, 16),
    "EGC, several": lambda: nn.EGConv(8, 16, ["symnorm", "max", "std", "mean"]),
    "EGC, no loops": lambda: nn.EGConv(8, 8, ["sum"], add_self_loops=False),
    "GAT": lambda: nn.GAT(8, 16, 2, 4, heads=2),
    "GAT, mean": lambda: nn.GATConv(8, 4, heads=2, concat=False, residual=True),
}
SAMPLES = {"max_samples": 50}
PLAIN = {"protect": False, "ranges": "minmax"}


def close_to(got, wanted, share):
    """Within a share of the largest value."""
    assert (got - wanted).abs().max() <= share * wanted.abs().max()


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]().eval()


@pytest.fixture
def graph():
    edge_index, _ = random_graph(3, 40, 40, 0.3)
    return torch.randn(40, 8), edge_index, fewest_hag(edge_index, 40)


@pytest.mark.parametrize("bits", [8, 4])
def test_is_near_the_model(model, graph, bits):
    x, edge_index, hag = graph
    quantized = prepare_qat(model, DegreeQuantConfig(bits=bits, **PLAIN))
    quantized(x, hag)
    quantized.eval()
    with torch.no_grad():
        out = quantized(x, hag)
        close_to(out, model(x, edge_index), 0.04 if bits == 8 else 0.8)
        assert not torch.equal(out, model(x, edge_index))
        assert torch.equal(quantized(x, hag), out)


@pytest.mark.parametrize("name", TELLING)
def test_edges_and_hags_are_the_same(model, name):
    edge_index, (n, _) = SQUARE[name]
    quantized = prepare_qat(model.double(), DegreeQuantConfig(**PLAIN)).double()
    x = torch.randn(n, 8, dtype=torch.double)
    results = []
    for form in (edge_index, fewest_hag(edge_index, n)):
        quantized.zero_grad()
        leaf = x.clone().requires_grad_()
        out = quantized(leaf, form)
        out.square().sum().backward()
        grads = [p.grad for p in quantized.parameters() if p.grad is not None]
        results.append([out, leaf.grad, *grads])
    for got, wanted in zip(*results, strict=True):
        assert_close(got, wanted)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["dense", "multigraph", "near-cliques", "clique"])
def test_same_bits_on_edges_hags_and_hags_that_subtract(model, name, bits):
    edge_index, (n, _) = SQUARE[name]
    quantized = prepare_qat(model, DegreeQuantConfig(bits=bits, protect=False))
    x, hag = torch.randn(n, 8), fewest_hag(edge_index, n)
    for _ in range(3):
        quantized(x, hag)
    quantized.eval()
    with torch.no_grad():
        wanted = quantized(x, edge_index)
        assert torch.equal(quantized(x, hag), wanted)
        layers = [m for m in model.modules() if isinstance(m, nn.MessagePassing)]
        reduces = {
            *(name for layer in layers for name in reductions_of(layer)),
            *(name for layer in layers for name in getattr(layer, "aggregators", ())),
        }
        if reduces <= {"sum", "mean", "symnorm"}:
            assert torch.equal(quantized(x, signed_hag(edge_index, n)), wanted)


def test_layers_on_one_hag_keep_their_own_loops():
    edge_index, (n, _) = SQUARE["multigraph"]
    x, hags = torch.randn(n, 8), [fewest_hag(edge_index, n) for _ in range(5)]
    layers = [
        nn.GCNConv(8, 4, **kwargs)
        for kwargs in (
            {},
            {"add_self_loops": False},
            {"improved": True},
            {"normalize": False},
        )
    ]
    for conv, hag in zip(layers, hags, strict=False):
        config = DegreeQuantConfig(**PLAIN)
        outs = [prepare_qat(conv, config)(x, h) for h in (hag, hags[-1])]
        assert torch.equal(*outs)


def test_after_to_hag(model, graph):
    x, _, hag = graph
    config = DegreeQuantConfig(**PLAIN)
    outs = [prepare_qat(m, config)(x, hag) for m in (model, to_hag(model))]
    assert torch.equal(*outs)


def test_messages_are_quantized(model, graph, monkeypatch):
    """What is summed has at most 16 values, whatever the factors of its sources."""
    hag, seen = graph[2], []
    quantized = prepare_qat(model, DegreeQuantConfig(bits=4, **PLAIN))
    for function in (compute_sum, compute_max, compute_many):

        def spy(x, *args, _function=function):
            seen.append((x, args[0]))
            return _function(x, *args)

        monkeypatch.setattr(f"pyg_hag.ops.autograd.{function.__name__}", spy)
    with torch.no_grad():
        quantized(torch.randn(40, 8) * 5, hag)
    assert seen or "GAT" in str(quantized)
    for messages, scales in seen:
        assert messages.unique().numel() <= 16
        if isinstance(scales, tuple):
            assert scales[0] is None  # no factor of a source is left


def test_protected_nodes_are_not_quantized(model, graph):
    """With all nodes protected, only weights are quantized."""
    x, edge_index, hag = graph
    if isinstance(model, nn.GIN):
        return  # see the next test
    config = DegreeQuantConfig(ranges="minmax")
    quantized = prepare_qat(model, config)
    out = quantized(x, hag, protect_prob=torch.ones(40))
    expected = copy.deepcopy(model)
    state = expected.state_dict()
    for name, module in quantized.model.named_modules():
        if isinstance(module, QATLinear):
            key = f"{name}.weight"
            state[key] = module.weight_fake_quant(module.weight).detach()
        if isinstance(module, QuantizedGAT):
            for vector in ("att_src", "att_dst"):
                value = module.quantizers[vector](getattr(module, vector))
                state[".".join(filter(None, (name, vector)))] = value.detach()
    expected.load_state_dict(state)
    assert_close(out, expected(x, edge_index))
    for module in quantized.modules():  # nobody was observed
        if isinstance(module, FakeQuantize) and not module.is_weight:
            assert module.low == module.high == 0


def test_messages_of_protected_nodes_are_not_quantized_in_gin(graph):
    """The input of its network is quantized."""
    x, edge_index, hag = graph
    config = DegreeQuantConfig(ranges="minmax")
    conv = nn.GINConv(torch.nn.Linear(8, 4), eps=0.5)
    quantized = prepare_qat(conv, config)
    out = quantized(x, hag, protect_prob=torch.ones(40))
    exact = nn.SimpleConv(aggr="sum")(x, edge_index) + 1.5 * x
    assert_close(out, quantized.model.nn(exact))
    assert quantized.model.quantizers["input"].high == 0


def test_nodes_are_drawn_anew_in_each_pass(graph):
    x, _, hag = graph
    quantized = prepare_qat(nn.GCNConv(8, 4), DegreeQuantConfig())
    p = torch.full((40,), 0.5)
    with torch.no_grad():
        outs = [quantized(x, hag, protect_prob=p) for _ in range(2)]
        assert not torch.equal(*outs)
        quantized.eval()
        assert torch.equal(quantized(x, hag, protect_prob=p), quantized(x, hag))


def step(quantized, optimizer, x, hag, p):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(
        quantized(x, hag, protect_prob=p), torch.arange(40) % 4
    )
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize(
    ("ranges", "options"), [("ema", {"momentum": 0.1}), ("percentile", SAMPLES)]
)
@pytest.mark.each_value
def test_training_goes_on_exactly_from_a_checkpoint(model, graph, ranges, options):
    x, edge_index, hag = graph
    data = DegreeQuantTransform(0.1, 0.5)(Data(x, edge_index))
    config = DegreeQuantConfig(ranges=ranges, **options)
    runs = []
    for stop in (False, True):
        quantized = prepare_qat(model, config)
        optimizer = torch.optim.Adam(quantized.parameters(), lr=0.01)
        losses = []
        for i in range(6):
            if stop and i == 3:
                saved = copy.deepcopy((quantized.state_dict(), optimizer.state_dict()))
                torch.manual_seed(99)
                quantized = prepare_qat(model, config)
                optimizer = torch.optim.Adam(quantized.parameters(), lr=0.01)
                quantized.load_state_dict(saved[0])
                optimizer.load_state_dict(saved[1])
            losses.append(step(quantized, optimizer, x, hag, data.protect_prob))
        runs.append(losses)
    assert runs[0] == runs[1]
    assert runs[0][-1] < runs[0][0]


@pytest.mark.at_most(2)
@pytest.mark.parametrize("name", ["GCN", "SAGE", "GIN", "SGC", "EGC", "GAT"])
def test_compiled(name, graph):
    x, _, hag = graph
    eager = prepare_qat(MODELS[name](), DegreeQuantConfig(ranges="minmax"))
    compiled, p = copy.deepcopy(eager), torch.full((40,), 0.5)
    torch._dynamo.reset()
    run = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    for module in (eager, compiled):
        module.double()
    x = x.double()
    for _ in range(2):
        assert_close(run(x, hag, protect_prob=p), eager(x, hag, protect_prob=p))


def test_the_model_is_left_alone(model, graph):
    x, edge_index, hag = graph
    before = copy.deepcopy(model.state_dict())
    wanted = model(x, edge_index)
    quantized = prepare_qat(model, DegreeQuantConfig(**PLAIN))
    quantized(x, hag).sum().backward()
    torch.optim.SGD(quantized.parameters(), lr=1.0).step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(model(x, edge_index), wanted)


def test_copies(model, graph):
    x, _, hag = graph
    quantized = prepare_qat(model, DegreeQuantConfig(**PLAIN))
    quantized(x, hag)
    quantized.eval()
    for other in (copy.deepcopy(quantized), pickle.loads(pickle.dumps(quantized))):
        assert torch.equal(other(x, hag), quantized(x, hag))
    other = prepare_qat(model, DegreeQuantConfig(**PLAIN)).eval()
    other.load_state_dict(quantized.state_dict())
    assert torch.equal(other(x, hag), quantized(x, hag))


def test_state_dicts_of_older_versions(graph):
    x, _, hag = graph
    model = nn.GIN(8, 16, 2, 4)
    quantized = prepare_qat(model, DegreeQuantConfig(**PLAIN))
    quantized(x, hag)
    quantized.eval()
    state = {
        key.replace("weight_fake_quant", "rounded_weight"): value
        for key, value in quantized.state_dict().items()
    }
    assert any("rounded_weight" in key for key in state)
    other = prepare_qat(model, DegreeQuantConfig(**PLAIN)).eval()
    other.load_state_dict(state)
    assert torch.equal(other(x, hag), quantized(x, hag))


def test_bipartite():
    edge_index, size = random_graph(2, 12, 7, 0.5)
    conv = nn.SAGEConv((8, 6), 4)
    x = torch.randn(12, 8), torch.randn(7, 6)
    quantized = prepare_qat(conv, DegreeQuantConfig(**PLAIN))
    hag = fewest_hag(edge_index, size=size)
    quantized(x, hag)
    close_to(quantized(x, hag), conv(x, edge_index), 0.05)
    protecting = prepare_qat(conv, DegreeQuantConfig())
    with pytest.raises(ValueError, match="has 12 nodes, but a layer reads 7"):
        protecting(x, hag, protect_prob=torch.ones(12))


def test_batches():
    graphs = [
        Data(torch.randn(10, 8), random_graph(seed, 10, 10, 0.5)[0])
        for seed in range(3)
    ]
    transforms = DegreeQuantTransform(0.2, 0.9), HAGTransform(objective="aggregations")
    for transform in transforms:
        graphs = [transform(graph) for graph in graphs]
    batch = Batch.from_data_list(graphs)
    quantized = prepare_qat(nn.GIN(8, 8, 2), DegreeQuantConfig())
    out = quantized(batch.x, batch.hag, protect_prob=batch.protect_prob)
    assert out.shape == (30, 8) and out.isfinite().all()


def test_edges_are_read_once(graph, monkeypatch):
    x, edge_index, _ = graph
    built = []
    build = qat_state.plain_hag
    monkeypatch.setattr(
        qat_state, "plain_hag", lambda *a, **k: built.append(1) or build(*a, **k)
    )
    quantized = prepare_qat(nn.GCN(8, 8, 3), DegreeQuantConfig(**PLAIN))
    for _ in range(2):
        quantized(x, edge_index)
    assert len(built) == 1
    edge_index[0, 0] = 1 - edge_index[0, 0].clamp(max=1)
    quantized(x, edge_index)
    assert len(built) == 2


def test_errors(graph):
    x, _, hag = graph
    with pytest.raises(TypeError, match=r"'model' must be a torch\.nn\.Module"):
        prepare_qat("GCN")
    with pytest.raises(TypeError, match="'config' must be a DegreeQuantConfig"):
        prepare_qat(nn.GCNConv(8, 4), {"bits": 8})
    wrong = torch.nn.ModuleDict({"a": nn.GCNConv(8, 4), "b": nn.TransformerConv(8, 4)})
    with pytest.raises(ValueError, match=r"cannot be quantized:\n  b \(Transformer"):
        prepare_qat(wrong)
    with pytest.raises(ValueError, match="'cached' must be False"):
        prepare_qat(nn.SGConv(8, 4, cached=True))
    with pytest.raises(ValueError, match="does not know its input size yet"):
        prepare_qat(nn.GCNConv(-1, 4))
    quantized = prepare_qat(nn.GCNConv(8, 4))
    with pytest.raises(ValueError, match="quantized already"):
        prepare_qat(quantized)
    with pytest.raises(ValueError, match="'protect_prob' is missing"):
        quantized(x, hag)
    with pytest.raises(ValueError, match="has 3 nodes, but a layer reads 40"):
        quantized(x, hag, protect_prob=torch.ones(3))
    with pytest.raises(RuntimeError, match="not observed any values yet"):
        quantized.eval()(x, hag)


@pytest.mark.parametrize(
    "name", ["GCN", "GCN, no loops", "Graph", "Graph, mean", "SGC"]
)
def test_edge_weights(name, graph):
    x, edge_index, hag = graph
    model = MODELS[name]().eval()
    a, b = torch.rand(2, 40) + 0.5
    weight = a[edge_index[0]] * b[edge_index[1]]
    quantized = prepare_qat(model, DegreeQuantConfig(**PLAIN))
    quantized(x, hag, weight)
    quantized.eval()
    with torch.no_grad():
        wanted = model(x, edge_index, weight)
        for form in (hag, edge_index):
            close_to(quantized(x, form, weight), wanted, 0.04)


def test_quantized_features_are_not_quantized_again():
    inputs = {"lin": False, "lin_l": True, "lin_r": False}
    quantized = prepare_qat(nn.SAGEConv(8, 4, project=True))
    for name, quantizes in inputs.items():
        assert (getattr(quantized.model, name).input is not None) == quantizes
    quantized = prepare_qat(nn.GraphConv(8, 4)).model
    assert quantized.lin_rel.input is not None and quantized.lin_root.input is None


def test_nodes_without_edges_and_weights(graph):
    x, edge_index, hag = graph
    quantized = prepare_qat(nn.GCNConv(8, 4), DegreeQuantConfig(**PLAIN))
    out = quantized(x, hag, torch.zeros(edge_index.size(1)))
    assert out.isfinite().all()


def test_reductions_that_do_not_keep_a_scale(graph):
    x, edge_index, hag = graph
    conv = nn.SAGEConv(8, 4, aggr=["var", "mean"])
    quantized = prepare_qat(conv, DegreeQuantConfig(**PLAIN))
    close_to(quantized(x, hag), conv(x, edge_index), 0.05)


def test_a_module_in_two_places_stays_one(graph):
    x, _, hag = graph
    linear = torch.nn.Linear(8, 8)
    conv = nn.GINConv(torch.nn.Sequential(linear, torch.nn.ReLU(), linear))

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.second = conv

        def forward(self, x, hag):
            return self.second(self.first(x, hag), hag)

    quantized = prepare_qat(Twice(), DegreeQuantConfig(**PLAIN))
    model = quantized.model
    assert model.first is model.second and model.first.nn[0] is model.first.nn[2]
    assert isinstance(model.first.nn[0], QATLinear)
    assert len([*quantized.parameters()]) == 2
    assert quantized(x, hag).isfinite().all()


def test_autocast(graph):
    x, _, hag = graph
    quantized = prepare_qat(nn.GCN(8, 16, 2, 4), DegreeQuantConfig(**PLAIN))
    wanted = quantized(x, hag)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantized(x, hag), wanted)
        assert quantized(x.bfloat16(), hag).dtype == torch.float32


def test_attention_takes_what_the_layer_of_pyg_takes():
    """Edge features, bipartite graphs, the other flow, attention weights."""
    edge_index, size = random_graph(2, 12, 7, 0.5)
    x, attr = (torch.randn(12, 8), torch.randn(7, 6)), torch.randn(edge_index.size(1))
    cases = [
        (nn.GATConv((8, 6), 4, heads=2, edge_dim=1), x, edge_index),
        (nn.GATConv((8, 6), 4, add_self_loops=False), (x[0], None), edge_index),
        (nn.GATConv(8, 4, flow="target_to_source"), x[0], edge_index),
        (nn.GATConv(8, 4, residual=True), x[0], edge_index),
    ]
    for conv, features, edges in cases:
        kwargs = {"edge_attr": attr} if conv.edge_dim else {}
        if isinstance(features, tuple) and features[1] is None:
            kwargs["size"] = size
        wanted, (pairs, alpha) = conv(
            features, edges, return_attention_weights=True, **kwargs
        )
        quantized = prepare_qat(conv, DegreeQuantConfig(**PLAIN))
        out, got = quantized(features, edges, return_attention_weights=True, **kwargs)
        close_to(out, wanted, 0.05)
        assert torch.equal(got[0], pairs)
        close_to(got[1], alpha, 0.05)
    with pytest.raises(TypeError, match="'edge_index' of quantized attention"):
        quantized(x[0], "edges")

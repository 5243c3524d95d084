import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from contract import SQUARE, TELLING
from graphs import fewest_hag, num_threads, random_graph, signed_hag
from test_prepare import MODELS as TRAINED
from torch_geometric import nn
from torch_geometric.data import Batch, Data

from pyg_hag import HAGTransform, to_hag
from pyg_hag.ops import quantized as quantized_ops
from pyg_hag.ops.attention import quantized as quantized_attention
from pyg_hag.ops.cpu.qlinear import products_are_exact
from pyg_hag.ops.cpu.quantized import cached_parameters
from pyg_hag.quantization import (
    Conversion,
    DegreeQuantConfig,
    DegreeQuantTransform,
    FakeQuantize,
    INT8Model,
    QATLinear,
    calibrate,
    convert,
    prepare_qat,
)
from pyg_hag.quantization.int8.modules import (
    Affine,
    INT8Linear,
    pack_weight,
    unpack_weight,
)

MODELS = {
    **TRAINED,
    "GCN, norm": lambda: nn.GCN(8, 16, 3, 4, norm="batch_norm", dropout=0.5),
    "GCN, jk": lambda: nn.GCN(8, 16, 3, 4, jk="cat"),
    "SAGE, max, norm": lambda: nn.GraphSAGE(
        8, 16, 3, 4, aggr="max", norm="batch_norm", act_first=True
    ),
    "SAGE, norm": lambda: nn.GraphSAGE(8, 16, 3, 4, norm="batch_norm"),
    "SAGE, wider": lambda: nn.SAGEConv(8, 32),
    "GIN, norm": lambda: nn.GIN(8, 16, 3, 4, norm="batch_norm"),
    "GIN, layer norm": lambda: nn.GIN(8, 16, 2, 4, norm="layer_norm"),
    "residual": lambda: Residual(),
    "with linear layers": lambda: Mixed(),
}
PLAIN = DegreeQuantConfig(protect=False, ranges="minmax")
FLOAT = ("SAGE, several", "EGC, several")


class Residual(torch.nn.Module):
    """Additions of all kinds, before and after norms."""

    def __init__(self):
        super().__init__()
        self.first = nn.GCNConv(8, 16)
        self.layers = torch.nn.ModuleList(nn.GCNConv(16, 16) for _ in range(3))
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm1d(16) for _ in range(3))
        self.last = nn.SAGEConv(16, 4)

    def forward(self, x, edge_index):
        x = self.first(x, edge_index).relu()
        x = F.relu(self.norms[0](self.layers[0](x, edge_index)) + x)
        x = torch.relu(self.norms[1](x + self.layers[1](x, edge_index)))
        x = F.elu(self.norms[2](self.layers[2](x, edge_index).relu()) * 0.5 - x)
        return self.last(x, edge_index)[:, :4] + x[:, :4]


class Mixed(torch.nn.Module):
    """Linear layers around a layer that is called twice."""

    def __init__(self):
        super().__init__()
        self.before = torch.nn.Linear(8, 16)
        self.conv = nn.GINConv(
            torch.nn.Sequential(
                torch.nn.Linear(16, 16),
                torch.nn.BatchNorm1d(16),
                torch.nn.Dropout(0.5),
                torch.nn.ReLU(),
                torch.nn.Linear(16, 16, bias=False),
                torch.nn.ReLU(),
                torch.nn.BatchNorm1d(16),
            ),
            eps=0.3,
        )
        self.after = torch.nn.Linear(16, 4)

    def forward(self, x, edge_index):
        x = self.before(x)
        for _ in range(2):
            x = self.conv(x, edge_index)
        return self.after(x).log_softmax(-1)


def quantized_of(model, x, graph, config=PLAIN):
    """A calibrated model whose norms have seen some batches."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(2 * torch.randn_like(x) + 1, graph)
    return calibrate(model.eval(), [(x, graph)], config)


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def graph():
    edge_index, _ = random_graph(3, 60, 60, 0.2)
    return torch.randn(60, 8), edge_index, fewest_hag(edge_index, 60)


def agrees(got, wanted, share=0.03):
    """Equal but for few values that were rounded the other way."""
    assert got.shape == wanted.shape and got.dtype == torch.float32
    scale = float(wanted.abs().max())
    differs = (got - wanted).abs() > 1e-4 * scale
    assert float((got - wanted).abs().max()) <= share * scale
    assert float(differs.float().mean()) <= 0.05


@pytest.mark.parametrize("bits", [8, 4])
def test_agrees_with_what_was_trained(name, graph, bits):
    x, edge_index, hag = graph
    config = DegreeQuantConfig(bits=bits, protect=False, ranges="minmax")
    quantized = quantized_of(MODELS[name](), x, edge_index, config)
    fast = convert(quantized, (x, hag))
    assert isinstance(fast, INT8Model)
    with torch.no_grad():
        agrees(fast(x, hag), quantized(x, hag), 0.03 if bits == 8 else 0.2)
    assert not fast(x, hag).requires_grad


@pytest.mark.parametrize("graph_name", TELLING)
@pytest.mark.each_value
def test_same_bits_on_edges_and_hags(name, graph_name):
    edge_index, (n, _) = SQUARE[graph_name]
    x = torch.randn(n, 8)
    fast = convert(
        calibrate(MODELS[name]().eval(), [(x, edge_index)], PLAIN), (x, edge_index)
    )
    wanted = fast(x, edge_index)
    assert wanted.isfinite().all()
    if name.startswith("GAT"):  # sums of float32 depend on the order of the edges
        agrees(fast(x, fewest_hag(edge_index, n)), wanted)
        return
    assert torch.equal(fast(x, fewest_hag(edge_index, n)), wanted)
    if not {"max", "several"} & {*name.replace(",", "").split()}:
        assert torch.equal(fast(x, signed_hag(edge_index, n)), wanted)


def test_same_bits_with_any_number_of_threads(name, graph):
    x, edge_index, hag = graph
    fast = convert(quantized_of(MODELS[name](), x, edge_index), (x, hag))
    outs = []
    for threads in (1, 2):
        with num_threads(threads):
            outs.append(fast(x, hag))
    if not name.startswith(("GIN, layer", "residual")):
        assert torch.equal(*outs)


@pytest.mark.parametrize("kind", ["GCN, norm", "SAGE, max, norm", "residual"])
def test_same_bits_whatever_the_default_dtype(kind, graph):
    x, edge_index, hag = graph
    fast = convert(quantized_of(MODELS[kind](), x, edge_index), (x, hag))
    wanted = fast(x, hag)
    cached_parameters.cache_clear()
    exact = products_are_exact()
    products_are_exact.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert products_are_exact() == exact
        assert torch.equal(fast(x, hag), wanted)
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_runs_is_int8(name, graph, monkeypatch):
    """Sums and products read uint8, and no linear layer is left."""
    x, edge_index, hag = graph
    fast = convert(quantized_of(MODELS[name](), x, edge_index), (x, hag))
    linears = [m for m in fast.modules() if isinstance(m, QATLinear | torch.nn.Linear)]
    assert not linears
    assert not any(isinstance(m, FakeQuantize) for m in fast.modules())
    counts = dict.fromkeys(("compute_aggregate", "compute_linear"), 0)
    for function in counts:
        original = getattr(quantized_ops, function)

        def counted(rows, *args, _original=original, _name=function):
            counts[_name] += 1
            assert rows.dtype == torch.uint8
            return _original(rows, *args)

        monkeypatch.setattr(quantized_ops, function, counted)
    original_attend = quantized_attention.attend

    def attend(how, rows, codes, *args):
        counts["compute_aggregate"] += 1
        assert codes.dtype == torch.uint8
        return original_attend(how, rows, codes, *args)

    monkeypatch.setattr(quantized_attention, "attend", attend)
    monkeypatch.setattr("pyg_hag.ops.autograd.compute_sum", None)
    monkeypatch.setattr("pyg_hag.ops.autograd.compute_max", None)
    if name.startswith(FLOAT):
        monkeypatch.undo()
        assert any(layer.reason for layer in fast.layers)
        return
    fast(x, hag)
    assert counts["compute_linear"] >= 1 and counts["compute_aggregate"] >= 1
    assert not any(layer.reason for layer in fast.layers)


@pytest.mark.parametrize("kind", ["GCN, norm", "SAGE", "GIN, norm", "SGC"])
def test_intermediate_results_are_quantized(kind, graph, monkeypatch):
    """Between the layers of these models nothing is float32."""
    x, edge_index, hag = graph
    fast = convert(quantized_of(MODELS[kind](), x, edge_index), (x, hag))
    quantized, outs = [], []

    def watch(function, results):
        original = getattr(quantized_ops, function)

        def watched(*args):
            results.append(original(*args))
            return results[-1]

        monkeypatch.setattr(quantized_ops, function, watched)

    watch("compute_quantized", quantized)
    watch("compute_aggregate", outs)
    watch("compute_linear", outs)
    fast(x, hag)
    assert len(quantized) == 1  # the input
    assert [out.dtype for out in outs[:-1]] == [torch.uint8] * (len(outs) - 1)
    assert outs[-1].dtype == torch.float32  # the output


def test_norms_are_folded(graph):
    x, edge_index, hag = graph
    kinds = {"GIN, norm": (0, 0), "GCN, norm": (0, 2), "with linear layers": (0, 2)}
    for name, (norms, affine) in kinds.items():
        fast = convert(quantized_of(MODELS[name](), x, edge_index), (x, hag))
        modules = [*fast.modules()]
        assert sum(isinstance(m, torch.nn.BatchNorm1d) for m in modules) == norms
        assert sum(isinstance(m, Affine) for m in modules) == affine


def test_norms_that_were_not_seen_stay(graph):
    x, edge_index, hag = graph

    class Sometimes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.GCNConv(8, 4)
            self.norm = torch.nn.BatchNorm1d(4)

        def forward(self, x, edge_index, normed=False):
            x = self.conv(x, edge_index)
            return self.norm(x) if normed else x

    model = Sometimes()
    model.train()
    model(x, edge_index, True)
    quantized = calibrate(model.eval(), [(x, hag, True)], PLAIN)
    fast = convert(quantized, (x, hag))
    assert isinstance(fast.model.norm, torch.nn.BatchNorm1d)
    with torch.no_grad():
        agrees(fast(x, hag, True), quantized(x, hag, True))


def test_norms_after_something_else_are_not_folded(graph):
    x, _, hag = graph

    class Between(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 4)
            self.more = torch.nn.Parameter(torch.randn(4))
            self.norm = torch.nn.BatchNorm1d(4)

        def forward(self, x, edge_index):
            return self.norm(self.linear(x) + self.more)

    quantized = quantized_of(Between(), x, hag)
    fast = convert(quantized, (x, hag))
    assert isinstance(fast.model.norm, Affine)
    agrees(fast(x, hag), quantized(x, hag).detach())


def test_linear_layers_on_more_dimensions():
    x, linear = torch.randn(5, 6, 8), torch.nn.Linear(8, 4)
    quantized = calibrate(linear, [(x,)], PLAIN)
    out = convert(quantized, (x,))(x)
    agrees(out, quantized(x).detach())
    assert out.shape == (5, 6, 4)


def test_after_training(graph):
    x, edge_index, hag = graph
    data = DegreeQuantTransform(0.0, 0.5)(Data(x, edge_index))
    quantized = prepare_qat(to_hag(nn.GCN(8, 16, 2, 4, norm="batch_norm")))
    optimizer = torch.optim.Adam(quantized.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        out = quantized(x, hag, protect_prob=data.protect_prob)
        F.cross_entropy(out, torch.arange(60) % 4).backward()
        optimizer.step()
    before = copy.deepcopy(quantized.state_dict())
    fast = convert(quantized, (x, hag))
    for key, value in quantized.state_dict().items():
        assert torch.equal(value, before[key])
    with torch.no_grad():
        agrees(fast(x, hag), quantized.eval()(x, hag))


def test_copies_and_files(name, graph):
    x, edge_index, hag = graph
    model = MODELS[name]()
    fast = convert(quantized_of(model, x, edge_index), (x, hag))
    wanted = fast(x, hag)
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert torch.equal(other(x, hag), wanted)
    file = io.BytesIO()
    torch.save(fast, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x, hag), wanted)
    file = io.BytesIO()
    torch.save(fast.state_dict(), file)
    file.seek(0)
    other = convert(quantized_of(MODELS[name](), 3 * x, edge_index), (x, hag))
    other(x, hag)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x, hag), wanted)


@pytest.mark.at_most(2)
def test_export(name, graph):
    x, edge_index, hag = graph
    fast = convert(quantized_of(MODELS[name](), x, edge_index), (x, hag))

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = fast

        def forward(self, x):
            return self.model(x, hag)

    program = torch.export.export(Fixed(), (x,))
    agrees(program.module()(x), fast(x, hag))


@pytest.mark.parametrize("bits", [8, 4])
def test_files_are_small(bits):
    model = nn.GCN(300, 256, 2, 64)
    x, (edge_index, _) = torch.randn(50, 300), random_graph(0, 50, 50, 0.2)
    fast = convert(
        calibrate(model, [(x, edge_index)], DegreeQuantConfig(bits=bits)),
        (x, edge_index),
    )
    sizes = []
    for module in (fast, model):
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        sizes.append(file.tell())
    assert sizes[0] <= (0.27 if bits == 8 else 0.15) * sizes[1]


@pytest.mark.parametrize("columns", [1, 2, 7, 8])
def test_packed_weights(columns):
    weight = torch.randint(-7, 8, (5, columns), dtype=torch.int8)
    data = pack_weight(weight)
    assert data.shape == (5, (columns + 1) // 2)
    assert torch.equal(unpack_weight(data, columns), weight)


def test_batches_of_graphs():
    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.GIN(8, 16, 2, norm="batch_norm")
            self.last = torch.nn.Linear(16, 2)

        def forward(self, x, edge_index, batch):
            return self.last(nn.global_mean_pool(self.layers(x, edge_index), batch))

    graphs = [
        Data(torch.randn(10, 8), random_graph(seed, 10, 10, 0.5)[0])
        for seed in range(6)
    ]
    transform = HAGTransform(objective="aggregations")
    batches = [
        Batch.from_data_list([transform(graph) for graph in part])
        for part in (graphs[:3], graphs[3:])
    ]
    quantized = calibrate(Classifier(), batches, PLAIN)
    fast = convert(quantized, batches[0])
    for batch in batches:
        agrees(
            fast(batch.x, batch.hag, batch.batch),
            quantized(batch.x, batch.hag, batch.batch).detach(),
        )


def test_bipartite():
    edge_index, size = random_graph(2, 12, 7, 0.5)
    x = torch.randn(12, 8), torch.randn(7, 6)
    hag = fewest_hag(edge_index, size=size)
    for aggr in ("mean", "max"):
        conv = nn.SAGEConv((8, 6), 4, aggr=aggr)
        quantized = calibrate(conv, [(x, hag)], PLAIN)
        fast = convert(quantized, (x, hag))
        agrees(fast(x, hag), quantized(x, hag).detach())
        assert torch.equal(fast(x, edge_index), fast(x, hag))


def test_edge_weights(graph):
    """Sums run in float32 then."""
    x, edge_index, hag = graph
    a, b = torch.rand(2, 60) + 0.5
    weight = a[edge_index[0]] * b[edge_index[1]]
    for conv in (nn.GCNConv(8, 4), nn.GraphConv(8, 4), nn.SGConv(8, 4, K=2)):
        quantized = calibrate(conv, [(x, hag, weight)], PLAIN)
        fast = convert(quantized, (x, hag, weight))
        agrees(fast(x, hag, weight), quantized(x, hag, weight).detach())


def test_table(graph):
    x, _, hag = graph

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gcn, self.gat = nn.GCNConv(8, 8), nn.GATConv(8, 4)
            self.largest = nn.GATConv(4, 4, aggr="max")

        def forward(self, x, edge_index):
            x = self.gat(self.gcn(x, edge_index).relu(), edge_index)
            return self.largest(x, edge_index)

    quantized = calibrate(Both(), [(x, hag)], PLAIN)
    fast = convert(quantized, (x, hag))
    assert fast.layers == [
        Conversion("gcn", "GCNConv", ""),
        Conversion("gcn.lin", "Linear", ""),
        Conversion("gat", "GATConv", ""),
        Conversion("gat.lin", "Linear", ""),
        Conversion("largest", "GATConv", "attention with 'aggr' 'max'"),
    ]
    assert "float32: attention with 'aggr' 'max'" in str(fast.layers)
    agrees(fast(x, hag), quantized(x, hag).detach())


def test_errors(graph, monkeypatch):
    x, _, hag = graph
    with pytest.raises(TypeError, match="'model' must be the result of 'prepare_qat'"):
        convert(nn.GCNConv(8, 4), (x, hag))
    with pytest.raises(ValueError, match="'model' has not observed any values yet"):
        convert(prepare_qat(nn.GCNConv(8, 4)), (x, hag))
    quantized = calibrate(nn.GCNConv(8, 4), [(x, hag)])
    fast = convert(quantized, (x, hag))
    with pytest.raises(RuntimeError, match="an INT8 model cannot be trained"):
        fast.train()
    assert fast.eval() is fast
    with pytest.raises(ValueError, match="must be on the CPU or on one"):
        convert(quantized.to("meta"), (x, hag))
    conv = nn.SAGEConv((8, 8), 4)
    fast = convert(calibrate(conv, [(x, hag)], PLAIN), (x, hag))
    with pytest.raises(RuntimeError, match="reads features that were not observed"):
        fast((x, x.clone()), hag)
    with pytest.raises(ValueError, match="but the HAG has 60"):
        fast(torch.cat([x, x]), hag)


def test_layers_are_their_own(graph):
    linear = INT8Linear(prepare_qat(nn.GCNConv(8, 4)).model.lin)
    assert "8, 4, bias=False, bits=8" in str(linear)

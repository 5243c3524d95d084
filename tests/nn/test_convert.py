import copy
import io
import pickle
import warnings

import pytest
import torch
from graphs import fewest_hag, random_graph
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric import transforms as T
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import models
from torch_geometric.nn.to_hetero_module import ToHeteroMessagePassing

from pyg_hag import HAG, HAGTransform, build_hag
from pyg_hag.nn import HAGGCNConv, from_hag, hag_support, to_hag
from pyg_hag.nn.support import SupportTable

SIZE = 40


@pytest.fixture
def graph():
    edge_index, _ = random_graph(3, SIZE, SIZE, 0.3)
    torch.manual_seed(0)
    edge_index = edge_index[:, torch.randperm(edge_index.size(1))]
    return edge_index, fewest_hag(edge_index, SIZE)


def same(model, edge_index, hag, *args, **kwargs):
    """Outputs and gradients of a model and of what it becomes."""

    def wide(value):
        is_float = torch.is_tensor(value) and value.is_floating_point()
        return value.double() if is_float else value

    converted = to_hag(model.double())
    args = [wide(value) for value in args]
    kwargs = {name: wide(value) for name, value in kwargs.items()}
    results = []
    for m, graph in ((model, edge_index), (converted, hag), (converted, edge_index)):
        m.zero_grad()
        x = torch.linspace(-1, 1, SIZE * 8, dtype=torch.double).view(SIZE, 8)
        x.requires_grad_()
        torch.manual_seed(1)  # of dropout
        out = m(x, graph, *args, **kwargs)
        out.square().sum().backward()
        results.append([out, x.grad, *(p.grad for p in model.parameters())])
    for wanted, *others in zip(*results, strict=True):
        for got in others:
            assert (wanted is None) == (got is None)
            if wanted is not None:
                torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
    return converted


READY = {
    "GCN": lambda: pyg.GCN(8, 16, 3, 4, norm="batch"),
    "GCN, jumping": lambda: pyg.GCN(8, 16, 3, 4, jk="lstm"),
    "GraphSAGE": lambda: pyg.GraphSAGE(8, 16, 2, 4, aggr=["mean", "max"]),
    "GIN": lambda: pyg.GIN(8, 16, 3, 4, jk="cat", dropout=0.5),
    "GAT": lambda: pyg.GAT(8, 16, 2, 4, heads=2),
    "EdgeCNN": lambda: pyg.EdgeCNN(8, 16, 2, 4),
}


@pytest.mark.parametrize("name", READY)
def test_ready_models(name, graph):
    same(READY[name](), *graph)


def test_sequential(graph):
    model = pyg.Sequential(
        "x, edge_index",
        [
            (pyg.SGConv(8, 16, K=2), "x, edge_index -> x1"),
            nn.ReLU(inplace=True),
            (pyg.AGNNConv(), "x1, edge_index -> x2"),
            (lambda x1, x2: [x1, x2], "x1, x2 -> xs"),
            (pyg.JumpingKnowledge("cat", 16, 2), "xs -> x"),
            nn.Linear(32, 3),
        ],
    )
    converted = same(model, *graph)
    assert [s.supported for s in hag_support(converted)] == [True, False]


class Own(nn.Module):
    """As people write them, with a layer in a list and one in two places."""

    def __init__(self):
        super().__init__()
        self.first = pyg.GraphConv(8, 8, aggr="max")
        self.again = self.first
        conv = pyg.GENConv(8, 8)
        self.deep = pyg.DeepGCNLayer(conv, nn.LayerNorm(8), nn.ReLU(), block="res+")
        self.other = pyg.DeepGCNLayer(pyg.GCNConv(8, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.propagation = pyg.APPNP(3, 0.1, dropout=0.3)
        self.both = pyg.DirGNNConv(pyg.SAGEConv(8, 8))

    def forward(self, x, edge_index):
        x = self.again(self.first(x, edge_index), edge_index)
        x = self.other(self.deep(x, edge_index), edge_index)
        return self.both(self.propagation(x, edge_index), edge_index)


@pytest.mark.parametrize("training", [True, False])
def test_models_of_people(graph, training):
    model = Own().train(training)
    converted = same(model, *graph)
    assert type(converted) is Own and converted.training == training
    assert converted.first is converted.again


def test_light_gcn():
    edge_index, _ = random_graph(1, 30, 30, 0.3)
    model = models.LightGCN(30, 8, 2)
    hag, converted = fewest_hag(edge_index, 30), to_hag(model)
    labels = edge_index[:, :20]
    wanted = model(edge_index, labels)
    torch.testing.assert_close(converted(hag, labels), wanted)
    wanted = model.recommend(edge_index, k=3)
    assert torch.equal(converted.recommend(hag, k=3), wanted)


def test_label_propagation(graph):
    edge_index, hag = graph
    labels = torch.arange(SIZE) % 4
    model = pyg.LabelPropagation(3, 0.7)
    mask = torch.arange(SIZE) < 20
    wanted = model(labels, edge_index, mask)
    torch.testing.assert_close(to_hag(model)(labels, hag, mask), wanted)


def hetero():
    data = HeteroData()
    data["user"].x, data["item"].x = torch.randn(20, 8), torch.randn(30, 8)
    for kind, size in (
        (("user", "rates", "item"), (20, 30)),
        (("item", "rev_rates", "user"), (30, 20)),
        (("user", "knows", "user"), (20, 20)),
    ):
        data[kind].edge_index = random_graph(len(kind[1]), *size, 0.3)[0]
    return data


def hags_of(data):
    return {
        kind: fewest_hag(
            edge_index, size=(data[kind[0]].num_nodes, data[kind[2]].num_nodes)
        )
        for kind, edge_index in data.edge_index_dict.items()
    }


def test_hetero_conv():
    data = hetero()
    model = pyg.HeteroConv(
        {
            ("user", "rates", "item"): pyg.SAGEConv((8, 8), 4),
            ("item", "rev_rates", "user"): pyg.GATConv((8, 8), 4, add_self_loops=False),
            ("user", "knows", "user"): pyg.GCNConv(8, 4),
        }
    )
    wanted = model(data.x_dict, data.edge_index_dict)
    got = to_hag(model)(data.x_dict, hags_of(data))
    torch.testing.assert_close(got, wanted)


def test_to_hetero():
    data = hetero()
    model = pyg.to_hetero(pyg.GraphSAGE(8, 8, 2, 4), data.metadata())
    wanted = model(data.x_dict, data.edge_index_dict)
    converted = to_hag(model)
    torch.testing.assert_close(converted(data.x_dict, hags_of(data)), wanted)
    assert len(hag_support(converted)) == 6


def test_edge_features_reach_layers_that_need_them(graph):
    edge_index, hag = graph
    model = pyg.GAT(8, 8, 2, 4, edge_dim=3)
    features = torch.randn(edge_index.size(1), 3)
    same(model, edge_index, hag, edge_attr=features)
    copied = copy.deepcopy(hag)
    assert copied == hag
    x = torch.randn(SIZE, 8, dtype=next(model.parameters()).dtype)
    with pytest.raises(ValueError, match="'edge_attr' is given edge by edge"):
        to_hag(model)(x, copied, edge_attr=features)
    to_hag(pyg.GAT(8, 8, 2, 4))(torch.randn(SIZE, 8), copied)


def test_parameters_are_the_same(graph):
    model = pyg.GCN(8, 16, 2, 4, norm="batch")
    converted = to_hag(model)
    assert all(
        a is b for a, b in zip(model.parameters(), converted.parameters(), strict=True)
    )
    assert list(model.state_dict()) == list(converted.state_dict())
    assert type(model.convs[0]) is pyg.GCNConv
    assert type(converted.convs[0]) is HAGGCNConv
    before = model.norms[0].module.running_mean.clone()
    converted(torch.randn(SIZE, 8), graph[1])
    assert not torch.equal(model.norms[0].module.running_mean, before)
    converted.double()  # what it moves, it moves for both
    assert next(model.parameters()).dtype == torch.double


def test_back_again(graph):
    model = Own()
    back = from_hag(to_hag(model))
    kinds = [type(m) for m in back.modules()]
    assert kinds == [type(m) for m in model.modules()]
    x = torch.randn(SIZE, 8)
    model.eval(), back.eval()
    assert torch.equal(back(x, graph[0]), model(x, graph[0]))
    twice = to_hag(to_hag(model))
    assert type(twice.first) is type(to_hag(model).first)


def test_one_layer(graph):
    same(pyg.ChebConv(8, 4, K=3), *graph)
    assert type(from_hag(HAGGCNConv(8, 4))) is pyg.GCNConv


def test_batches_of_chebyshev(graph):
    edge_index, hag = graph
    batch = torch.arange(SIZE) // 20
    conv = pyg.ChebConv(8, 4, K=3, normalization=None)
    same(conv, edge_index, hag, None, batch, torch.tensor([1.5, 2.5]))
    same(conv, edge_index, hag, None, None, 3.0)
    same(conv, edge_index, hag)


def test_strict(graph):
    to_hag(pyg.GCN(8, 8, 2), strict=True)
    model = Own()
    with pytest.raises(
        ValueError, match=r"(?s)deep.conv \(GENConv\): 'aggr' must be one of"
    ):
        to_hag(model, strict=True)


def test_a_model_that_cannot_share_says_so_with_the_reasons():
    with pytest.warns(UserWarning, match=r"(?s)no layer.*convs\.1 \(EdgeConv\): mes"):
        to_hag(pyg.EdgeCNN(8, 8, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        to_hag(Own())  # one layer can
        to_hag(pyg.GCN(8, 8, 2))
        to_hag(pyg.GAT(8, 8, 2))  # which is fused


def test_support_is_a_table():
    table = hag_support(Own())
    assert isinstance(table, SupportTable)
    assert [(s.name, s.supported) for s in table] == [
        ("first", True),
        ("deep.conv", False),
        ("other.conv", True),
        ("propagation", True),
        ("both.conv_in", True),
        ("both.conv_out", True),
    ]
    assert "GENConv" in str(table) and "softmax" in repr(table)
    assert [s.name for s in hag_support(pyg.GCNConv(3, 3))] == [""]
    assert "(model)" in str(hag_support(pyg.GCNConv(3, 3)))


class Loud(pyg.GCNConv):
    def message(self, x_j, edge_weight):
        return 2 * super().message(x_j, edge_weight)


class Quiet(pyg.SAGEConv):
    def __init__(self, channels):
        super().__init__(channels, channels)
        self.quiet = True


class Custom(pyg.MessagePassing):
    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_i, x_j):
        return x_i * x_j


def test_layers_of_people(graph):
    (support,) = hag_support(same(Loud(8, 4), *graph))
    assert support.reason == "it overrides 'message'"
    assert hag_support(same(Quiet(8), *graph))[0].supported
    assert not hag_support(same(Custom(), *graph))[0].supported
    median = pyg.SAGEConv(8, 4, aggr="median")
    assert "'aggr' must be one of" in hag_support(same(median, *graph))[0].reason


def test_pooling_gets_edges(graph):
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GraphConv(8, 8)
            self.pool = pyg.SAGPooling(8, ratio=0.5)
            self.last = pyg.GraphConv(8, 4)

        def forward(self, x, edge_index):
            x = self.conv(x, edge_index)
            x, edge_index, *_ = self.pool(x, edge_index)
            return self.last(x, edge_index)

    converted = same(Pooled(), *graph)
    rows = {s.name: s.reason for s in hag_support(converted)}
    assert rows["pool"] == "it changes the graph" and not rows["last"]
    same(models.GraphUNet(8, 8, 4, depth=2, pool_ratios=0.5).eval(), *graph)


def test_copies(graph):
    edge_index, hag = graph
    converted = to_hag(Own()).eval()
    x = torch.randn(SIZE, 8)
    wanted = converted(x, hag)
    saved = io.BytesIO()
    torch.save(converted, saved)
    saved.seek(0)
    for other in (
        copy.deepcopy(converted),
        pickle.loads(pickle.dumps(converted)),
        torch.load(saved, weights_only=False),
    ):
        assert torch.equal(other(x, hag), wanted)
        assert type(other.first) is type(converted.first)
        assert from_hag(other)(x, edge_index).shape == wanted.shape
    fresh = to_hag(Own()).eval()
    fresh.load_state_dict(converted.state_dict())
    assert torch.equal(fresh(x, hag), wanted)


@pytest.mark.parametrize("wrong", [None, 3, "GCN"])
def test_wrong_models(wrong):
    for function in (to_hag, from_hag, hag_support):
        with pytest.raises(TypeError, match=r"'model' must be a torch\.nn\.Module"):
            function(wrong)


def test_models_without_layers():
    with pytest.raises(ValueError, match="'model' contains no layer"):
        to_hag(nn.Linear(3, 3))
    assert hag_support(nn.Linear(3, 3)) == []
    linear = nn.Linear(3, 3)
    assert from_hag(linear) is linear


def test_explanations_are_for_the_original_model(graph):
    from torch_geometric.explain import Explainer, GNNExplainer

    edge_index, hag = graph
    config = {"mode": "regression", "task_level": "node", "return_type": "raw"}
    explainer = Explainer(
        to_hag(pyg.GCN(8, 8, 2, 4)),
        GNNExplainer(epochs=2),
        explanation_type="model",
        model_config=config,
        node_mask_type="attributes",
        edge_mask_type="object",
    )
    with pytest.raises((ValueError, AttributeError)):
        explainer(torch.randn(SIZE, 8), hag)
    explainer(torch.randn(SIZE, 8), edge_index)


def test_transform_of_normalised_graphs(graph):
    edge_index, _ = graph
    data = Data(torch.randn(SIZE, 8), edge_index)
    data = T.Compose([T.GCNNorm(), HAGTransform(objective="aggregations")])(data)
    assert isinstance(data.hag, HAG)
    model = pyg.GCN(8, 8, 2, 4, normalize=False)
    same(model, data.edge_index, data.hag, data.edge_weight)


def test_one_graph_of_several_types():
    """What `ToHeteroMessagePassing` takes besides dictionaries."""
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5, 9)).t()
    edge_index = torch.cat([pairs, pairs.flip(0)], 1)
    node_type = torch.tensor([0] * 5 + [1] * 4)
    edge_type = torch.tensor([0] * 20 + [1] * 20)
    kinds = [("a", "to", "b"), ("b", "to", "a")]
    model = ToHeteroMessagePassing(pyg.SAGEConv(8, 4), ["a", "b"], kinds)
    x = torch.randn(9, 8)
    wanted = model(x, edge_index, node_type, edge_type)
    fast = to_hag(model)
    for options in ({"objective": "aggregations"}, {"capacity": 0}):
        hag = build_hag(edge_index, **options)
        torch.testing.assert_close(fast(x, hag, node_type, edge_type), wanted)
    with pytest.raises(ValueError, match="order of its edges"):
        fast(x, pickle.loads(pickle.dumps(hag)), node_type, edge_type)
    hags = {
        kinds[0]: build_hag(torch.stack([pairs[0], pairs[1] - 5]), size=(5, 4)),
        kinds[1]: build_hag(torch.stack([pairs[1] - 5, pairs[0]]), size=(4, 5)),
    }
    out = fast({"a": x[:5], "b": x[5:]}, hags)
    torch.testing.assert_close(torch.cat([out["a"], out["b"]]), wanted)

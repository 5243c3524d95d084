"""What pipelines do to data: inference mode, batches that change, other attributes."""

import warnings

import numpy as np
import pytest
import torch
from graphs import explainer_of, near_cliques
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader, NeighborLoader
from torch_geometric.nn import GATConv, GCNConv, GraphConv, SAGEConv
from torch_geometric.nn.aggr import MultiAggregation
from torch_geometric.utils import coalesce, dropout_edge, to_undirected

from pyg_hag import HAGData, HAGTransform, aggregate, build_hag, to_hag
from pyg_hag.nn.mixins import checks as layer_checks
from pyg_hag.quantization import DegreeQuantTransform

EDGES, (NODES, _) = near_cliques(0, 2, 8)
SHARED = {"objective": "aggregations"}


def graph(seed=0, num_nodes=NODES, **attributes):
    edges, _ = near_cliques(seed, 2, num_nodes // 2)
    x = torch.randn(num_nodes, 8, generator=torch.Generator().manual_seed(seed))
    return Data(x=x, edge_index=edges, y=torch.tensor([seed]), **attributes)


def assert_same(layer, data, hag_data):
    out = to_hag(layer)(hag_data.x, hag_data.hag)
    expected = layer(data.x, data.edge_index)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


# Inference mode ################################################################


LAYERS = {
    "GCN": lambda: GCNConv(8, 4),
    "SG": lambda: pyg.SGConv(8, 4, 2),
    "TAG": lambda: pyg.TAGConv(8, 4),
    "APPNP": lambda: pyg.APPNP(2, 0.1),
    "ARMA": lambda: pyg.ARMAConv(8, 4),
    "LG": lambda: pyg.LGConv(),
    "EG": lambda: pyg.EGConv(8, 4, ["sum", "max", "symnorm"], 2, 2),
    "Cheb": lambda: pyg.ChebConv(8, 4, 2),
    "ClusterGCN": lambda: pyg.ClusterGCNConv(8, 4),
    "SAGE max": lambda: SAGEConv(8, 4, "max"),
    "SAGE many": lambda: SAGEConv(8, 4, ["mean", "std", "min"]),
    "MF": lambda: pyg.MFConv(8, 4),
    "LE": lambda: pyg.LEConv(8, 4),
    "GraphConv": lambda: GraphConv(8, 4),
    "DirGNN": lambda: pyg.DirGNNConv(SAGEConv(8, 4)),
    "GAT": lambda: GATConv(8, 4),
}


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_evaluating_first_does_not_disturb_training(layer, subtract):
    if subtract and layer in ("SAGE max", "SAGE many", "EG"):
        subtract = False  # these have no signed sums
    transform = HAGTransform(subtract=subtract, **SHARED)
    conv = LAYERS[layer]()
    fast = to_hag(conv)
    with torch.inference_mode():
        made = transform(graph(0))
        batch = Batch.from_data_list([made, transform(graph(1))])
        fast(batch.x, batch.hag)
        fast(made.x, made.hag)
    outside = transform(graph(0))
    with torch.inference_mode():
        fast(outside.x, outside.hag)
    for data in (made, outside):
        x = data.x.clone().requires_grad_()
        out = fast(x, data.hag)
        out.pow(2).sum().backward()
        y = graph(0).x.requires_grad_()
        expected = conv(y, graph(0).edge_index)
        expected.pow(2).sum().backward()
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-3, atol=1e-4)


def test_changes_in_inference_mode_are_noticed():
    with torch.inference_mode():
        data = HAGTransform(**SHARED)(graph())
        batch = Batch.from_data_list([data, data])
        assert batch.hag is batch.hag  # kept
        batch.edge_index[0, 0] = (batch.edge_index[0, 0] + 1) % NODES
        with pytest.raises(ValueError, match="its edges have changed"):
            _ = batch.hag


def test_a_model_is_evaluated_before_it_is_trained():
    graphs = [HAGTransform(**SHARED)(graph(seed)) for seed in range(4)]
    model = to_hag(pyg.GCN(8, 8, 2, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with torch.inference_mode():
        for batch in DataLoader(graphs, 2):
            model(batch.x, batch.hag)
    for batch in DataLoader(graphs, 2):
        optimizer.zero_grad()
        model(batch.x, batch.hag).sum().backward()
        optimizer.step()
    assert all(p.grad is not None for p in model.parameters())


# Batches that were changed ########################################################


def with_edge_between(batch):
    edge = torch.tensor([[0], [batch.num_nodes - 1]])
    batch.edge_index = torch.cat([batch.edge_index, edge], 1)
    return batch


def with_new_edge_index(change):
    def changed(batch):
        batch.edge_index = change(batch)
        return batch

    return changed


CHANGES = {
    "nothing": lambda batch: batch,
    "AddSelfLoops": T.AddSelfLoops(),
    "ToUndirected": T.ToUndirected(),
    "dropout_edge": with_new_edge_index(
        lambda batch: dropout_edge(batch.edge_index, 0.3)[0]
    ),
    "coalesce": with_new_edge_index(lambda batch: coalesce(batch.edge_index)),
    "undirected": with_new_edge_index(lambda batch: to_undirected(batch.edge_index)),
    "no edges": with_new_edge_index(lambda batch: batch.edge_index[:, :0]),
    "shuffled": with_new_edge_index(
        lambda batch: batch.edge_index[:, torch.randperm(batch.num_edges)]
    ),
    "an edge between graphs": with_edge_between,
    "VirtualNode": T.VirtualNode(),
    "KNNGraph": lambda batch: T.KNNGraph(3)(batch.update({"pos": batch.x[:, :3]})),
}


def is_there(name):
    try:
        CHANGES[name](Batch.from_data_list([graph(0), graph(1)]))
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in CHANGES if is_there(name)])
@pytest.mark.parametrize("num_graphs", [1, 3])
def test_a_batch_is_transformed_as_it_is(name, num_graphs):
    torch.manual_seed(0)
    graphs = [graph(seed, NODES + 2 * seed) for seed in range(num_graphs)]
    batch = Batch.from_data_list(graphs, follow_batch=["y"])
    batch = CHANGES[name](batch)
    batch.later = torch.arange(batch.num_nodes)
    before = {key: value for key, value in batch.to_dict().items()}
    out = HAGTransform(**SHARED)(batch)
    assert isinstance(out, Batch) and isinstance(out, HAGData)
    for key, value in before.items():
        assert torch.equal(out[key], value) if torch.is_tensor(value) else True, key
    assert "hag_packed" not in batch
    assert out.num_graphs == batch.num_graphs
    assert_same(SAGEConv(8, 4, "sum"), batch, out)
    again = HAGTransform(**SHARED)(T.AddSelfLoops()(out))
    assert again.hag.num_edges == out.num_edges + out.num_nodes
    prob = DegreeQuantTransform(p_max=0.2)(batch)
    assert prob.later is batch.later
    if name in ("nothing", "ToUndirected"):
        for one, data in zip(out.to_data_list(), graphs, strict=True):
            assert_same(SAGEConv(8, 4, "sum"), data, one)
        alone = [DegreeQuantTransform(p_max=0.2)(data).protect_prob for data in graphs]
        torch.testing.assert_close(prob.protect_prob, torch.cat(alone))
        assert torch.equal(prob.to_data_list()[-1].protect_prob, alone[-1])


@pytest.mark.parametrize("missing", ["batch", "ptr", "both", "unsorted"])
def test_batches_that_were_made_in_another_way(missing):
    graphs = [graph(seed) for seed in range(3)]
    full = Batch.from_data_list(graphs)
    kept = {"x": full.x, "edge_index": full.edge_index}
    if missing in ("ptr", "unsorted"):
        kept["batch"] = full.batch if missing == "ptr" else full.batch.flip(0)
    elif missing == "batch":
        kept["ptr"] = full.ptr
    batch = Batch(**kept)
    out = HAGTransform(**SHARED)(batch)
    assert_same(SAGEConv(8, 4), full, out)
    assert DegreeQuantTransform()(batch).protect_prob.shape == (3 * NODES,)


def hetero():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.randn(NODES, 8), torch.randn(NODES, 8)
    data["a", "to", "b"].edge_index = EDGES
    data["b", "back", "a"].edge_index = EDGES.flip(0)
    return data


def test_batches_of_hetero_data():
    batch = Batch.from_data_list([hetero(), hetero()])
    edges = batch["a", "to", "b"].edge_index
    batch["a", "to", "b"].edge_index = edges[:, 1:]
    out = HAGTransform(**SHARED)(batch)
    x = batch["a"].x
    for key, hag in out.hag_dict.items():
        plain = build_hag(batch[key].edge_index, 2 * NODES, capacity=0)
        torch.testing.assert_close(aggregate(x, hag), aggregate(x, plain))
    prob = DegreeQuantTransform()(Batch.from_data_list([hetero(), hetero()]))
    alone = DegreeQuantTransform()(prob.to_data_list()[0])
    assert torch.equal(prob["b"].protect_prob[:NODES], alone["b"].protect_prob)


# Attributes ######################################################################


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
@pytest.mark.parametrize("options", [SHARED, {"capacity": 0}])
def test_weights_that_are_whole_numbers(dtype, options):
    weight = torch.ones(EDGES.size(1), dtype=dtype)
    data = Data(x=torch.randn(NODES, 8), edge_index=EDGES, edge_weight=weight)
    out = HAGTransform(**options)(data)
    conv = GraphConv(8, 4)
    expected = conv(data.x, EDGES, weight)
    torch.testing.assert_close(
        to_hag(conv)(out.x, out.hag, out.edge_weight), expected, rtol=1e-4, atol=1e-5
    )
    assert_same(SAGEConv(8, 4), data, out)  # which reads no weights


@pytest.mark.parametrize("shape", [(EDGES.size(1), 2), (5,), (0,), ()])
def test_weights_of_the_wrong_shape_are_named(shape):
    data = Data(x=torch.randn(NODES, 8), edge_index=EDGES)
    weight = torch.rand(shape)
    data["edge_weight"] = weight
    with pytest.raises(ValueError, match=r"'edge_weight' of 'data' must.*\(got \["):
        HAGTransform()(data)
    hag = build_hag(EDGES, NODES, **SHARED)
    for graph_ in (hag, build_hag(EDGES, NODES, capacity=0)):
        with pytest.raises(ValueError, match="'edge_weight' of 'HAGGCNConv' must have"):
            to_hag(GCNConv(8, 4))(data.x, graph_, weight)


WEIGHTS = {
    "factored": lambda: torch.rand(NODES)[EDGES[0]] * (1 + torch.rand(NODES))[EDGES[1]],
    "with negative factors": lambda: (
        torch.randn(NODES)[EDGES[0]] * torch.randn(NODES)[EDGES[1]]
    ),
    "random": lambda: torch.rand(EDGES.size(1)),
    "learned": lambda: torch.rand(EDGES.size(1)).requires_grad_(),
    "ones": lambda: torch.ones(EDGES.size(1)),
}
HAGS = [{"capacity": 0}, {"objective": "time"}, SHARED, {"subtract": True, **SHARED}]
AGGRS = {
    **{name: name for name in ("sum", "mean", "max", "min", "var", "std")},
    "sum + max": MultiAggregation(["sum", "max"], mode="sum"),
    "mean + std": MultiAggregation(["mean", "std"], mode="sum"),
}


@pytest.mark.filterwarnings("ignore:'edge_weight' of")
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("aggr", AGGRS)
def test_what_a_layer_can_do_does_not_depend_on_the_hag(weight, aggr):
    torch.manual_seed(0)
    value, x = WEIGHTS[weight](), torch.randn(NODES, 8)
    conv = GraphConv(8, 4, aggr=AGGRS[aggr])
    expected = conv(x, EDGES, value)
    for options in HAGS:
        if "subtract" in options and aggr not in ("sum", "mean"):
            continue
        hag = build_hag(EDGES, NODES, **options)
        out = to_hag(conv)(x, hag, value)
        torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-4)
        if weight == "learned":
            grads = [
                torch.autograd.grad(y.pow(2).sum(), value, retain_graph=True)[0]
                for y in (out, expected)
            ]
            torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-3)


def test_weights_that_are_not_shared_are_told_once():
    from pyg_hag.nn.mixins import adjacency

    adjacency._warn_once.cache_clear()
    hag = build_hag(EDGES, NODES, **SHARED)
    conv, x = to_hag(GCNConv(8, 4)), torch.randn(NODES, 8)
    with pytest.warns(UserWarning, match=r"HAGGCNConv.*not shared.*capacity=0") as seen:
        for _ in range(2):
            conv(x, hag, torch.rand(EDGES.size(1)))
    assert len(seen) == 1


@pytest.mark.parametrize("layer", [GCNConv, pyg.SGConv, pyg.TAGConv])
@pytest.mark.filterwarnings("ignore:'edge_weight' of")
def test_an_infinite_loop_that_does_not_stay(layer):
    edges = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 0, 1]])
    weight = torch.tensor([torch.inf, 0.5, 1.0, 2.0, 1.0])
    x, conv = torch.randn(2, 8), layer(8, 4)
    for options in (SHARED, {"capacity": 0}):
        out = to_hag(conv)(x, build_hag(edges, 2, **options), weight)
        torch.testing.assert_close(out, conv(x, edges, weight), equal_nan=True)


@pytest.mark.filterwarnings("ignore:'edge_weight' of")
@pytest.mark.parametrize("normalization", [None, "sym", "rw"])
@pytest.mark.parametrize("loops", [1, 3, 1000])
@pytest.mark.parametrize("weight", [None, 1.0, 1e8, -0.5])
def test_loops_of_a_laplacian_do_not_cancel(weight, loops, normalization):
    ends = [0] * loops + [1, 2, 1, 0]
    edges = torch.tensor([ends, [0] * loops + [2, 1, 0, 2]])
    value = None
    if weight is not None:
        value = torch.tensor([weight] * loops + [0.5, 0.7, 1.1, 2.0])
    x, conv = torch.randn(3, 8), pyg.ChebConv(8, 4, 3, normalization=normalization)
    expected = conv(x, edges, value)
    for options in (SHARED, {"capacity": 0}):
        out = to_hag(conv)(x, build_hag(edges, 3, **options), value)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("options", HAGS)
def test_messages_that_nearly_cancel(options):
    x = torch.randn(NODES, 8) + 1000
    conv = pyg.LEConv(8, 4).double()
    exact = conv(x.double(), EDGES)
    conv = conv.float()
    error = (conv(x, EDGES) - exact).abs().max()
    ours = (to_hag(conv)(x, build_hag(EDGES, NODES, **options)) - exact).abs().max()
    assert ours <= 4 * error + 1e-3


def test_numbers_that_may_be_weights_are_told():
    layer_checks._warn_once.cache_clear()
    data = graph(edge_attr=torch.rand(near_cliques(0, 2, NODES // 2)[0].size(1), 1))
    out = HAGTransform(attr="edge_attr", weights="plain")(data)
    conv = to_hag(GCNConv(8, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        to_hag(SAGEConv(8, 4))(out.x, out.hag)  # takes no weights
        value = conv(out.x, out.hag, out.edge_attr)
    expected = GCNConv(8, 4)
    expected.load_state_dict(conv.state_dict())
    torch.testing.assert_close(
        value, expected(data.x, data.edge_index, data.edge_attr.view(-1))
    )
    with pytest.warns(UserWarning, match=r"HAGGCNConv.*edge_attr.*attr=") as seen:
        for _ in range(2):
            conv(out.x, out.hag)
    assert len(seen) == 1
    with pytest.raises(ValueError, match="'edge_attr' of 'data' is not the product"):
        HAGTransform(attr="edge_attr")(data)


def test_a_hag_that_was_built_elsewhere_is_taken():
    data = HAGTransform()(graph())
    edges = data.edge_index
    data.hag = build_hag(edges, NODES, subtract=True, **SHARED)
    assert data.hag == build_hag(edges, NODES, subtract=True, **SHARED)
    assert_same(SAGEConv(8, 4), data, data)
    assert_same(SAGEConv(8, 4), data, Batch.from_data_list([data, data])[1])
    for wrong, error in (
        (build_hag(edges[:, 1:], NODES), "not a HAG of the edges"),
        (build_hag(edges, NODES + 1), f"has {NODES + 1} sources"),
        (build_hag(torch.empty(2, 0, dtype=torch.long), NODES), "not a HAG of"),
    ):
        with pytest.raises(ValueError, match=error):
            data.hag = wrong
    with pytest.raises(TypeError, match=r"'data\.hag' must be a HAG"):
        data.hag = edges
    out = HAGTransform()(hetero())
    out.hag_dict = {("a", "to", "b"): build_hag(EDGES, NODES, **SHARED)}
    assert out.hag_dict["a", "to", "b"].num_aggregates > 0
    with pytest.raises(ValueError, match="edge type"):
        out.hag_dict = {("a", "no", "b"): build_hag(EDGES, NODES)}
    plain = graph()
    plain.hag = build_hag(plain.edge_index, NODES)  # an attribute like any other
    assert_same(SAGEConv(8, 4), plain, HAGTransform()(plain))


@pytest.mark.parametrize(
    "make",
    [int, np.int64, np.int32, np.uint8, torch.tensor, np.array],
    ids=["int", "int64", "int32", "uint8", "tensor", "array"],
)
def test_whole_numbers_of_any_type(make):
    assert build_hag(EDGES, num_nodes=make(NODES)).num_src == NODES
    size = make(NODES), make(NODES + 1)
    hag = build_hag(EDGES, size=size, capacity=make(0), num_features=make(8))
    assert (hag.num_src, hag.num_dst, type(hag.num_src)) == (NODES, NODES + 1, int)
    assert HAGTransform(capacity=make(0))(graph()).hag.num_aggregates == 0


# Models #########################################################################


def test_link_prediction_splits():
    torch.manual_seed(0)
    split = T.RandomLinkSplit(is_undirected=True)
    chain = T.Compose([T.ToUndirected(), split, HAGTransform(**SHARED)])
    for part in chain(graph()):
        assert_same(GCNConv(8, 4), part, part)
        assert part.edge_label_index.size(0) == 2
    split = T.RandomLinkSplit(edge_types=("a", "to", "b"))
    for part in T.Compose([split, HAGTransform(**SHARED)])(hetero()):
        assert part.hag_dict["a", "to", "b"].num_edges == part[
            "a", "to", "b"
        ].edge_index.size(1)


def test_light_gcn_ranks_the_edges():
    model = pyg.LightGCN(NODES, 8, 2)
    fast, hag = to_hag(model), build_hag(EDGES, NODES, **SHARED)
    torch.testing.assert_close(fast(hag), model(EDGES))
    pairs = EDGES[:, :3]
    torch.testing.assert_close(fast(hag, pairs), model(EDGES, pairs))
    torch.testing.assert_close(fast.predict_link(hag), model.predict_link(EDGES))


def test_inference_runs_on_the_hag():
    data = HAGTransform(**SHARED)(graph())
    model = pyg.GraphSAGE(8, 8, 2, 4).eval()
    expected = model(data.x, data.edge_index)
    fast = to_hag(model)
    without = HAGTransform(remove_edge_index=True, **SHARED)(graph())

    class Loader:  # a `NeighborLoader` needs a package to sample
        def __init__(self, data, size):
            self.data, self.dataset = data, range(size)

    for data_ in (data, without):
        out = fast.inference(Loader(data_, NODES))
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=f"'loader' has 3 nodes of {NODES}"):
        fast.inference(Loader(data, 3))
    assert isinstance(NeighborLoader, type)


def test_what_a_hag_cannot_do_in_a_model_is_said():
    hag, x = build_hag(EDGES, NODES, **SHARED), torch.randn(NODES, 8)
    model = to_hag(pyg.GCN(8, 8, 2, 4))
    for name in ("num_sampled_nodes_per_hop", "num_sampled_edges_per_hop"):
        with pytest.raises(ValueError, match=f"'{name}' trims.*pass 'edge_index'"):
            model(x, hag, **{name: [1, 1]})
    for look in (
        lambda: hag.size(1),
        lambda: hag.coo(),
        lambda: hag.shape,
        lambda: hag.narrow(1, 0, 1),
        lambda: hag.is_sparse,
    ):
        with pytest.raises(AttributeError, match=r"takes the place.*to_edge_index"):
            look()
    for look in (lambda: hag[0], lambda: [*hag]):
        with pytest.raises(TypeError, match=r"no rows.*to_edge_index"):
            look()
    assert not hasattr(hag, "__array__")
    with pytest.raises((AttributeError, TypeError, ValueError), match="HAG"):
        explainer_of(model)(x, hag)


BIPARTITE = {
    "GAT": lambda: GATConv((8, 8), 4, add_self_loops=False),
    "NN": lambda: pyg.NNConv(8, 4, nn.Linear(3, 32)),
    "GINE": lambda: pyg.GINEConv(nn.Linear(8, 4), edge_dim=3),
    "GMM": lambda: pyg.GMMConv((8, 8), 4, 3, 2),
    "GEN": lambda: pyg.GENConv(8, 8),
    "GEN with features": lambda: pyg.GENConv(8, 8, edge_dim=3, aggr="mean"),
    "SAGE median": lambda: SAGEConv(8, 4, "median"),
    "GraphConv median": lambda: GraphConv(8, 4, aggr="median"),
    "SAGE": lambda: SAGEConv(8, 4),
    "GraphConv": lambda: GraphConv(8, 4),
    "GIN": lambda: pyg.GINConv(nn.Linear(8, 4)),
    "MF": lambda: pyg.MFConv((8, 8), 4),
}


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("layer", BIPARTITE)
def test_bipartite_graphs_without_features_of_destinations(layer, shared):
    edges = torch.tensor([[0, 1, 2, 3, 0], [0, 0, 1, 1, 1]])
    conv, size = BIPARTITE[layer](), (4, 3)  # the last one has no edges
    hag = build_hag(edges, size=size, **(SHARED if shared else {"capacity": 0}))
    x = torch.randn(4, 8)
    attr = {}
    if layer in ("NN", "GINE", "GMM", "GEN with features"):
        attr["edge_attr"] = torch.rand(5, 3)
    expected = conv((x, None), edges, size=size, **attr)
    assert expected.size(0) == 3
    torch.testing.assert_close(to_hag(conv)((x, None), hag, **attr), expected)


def test_a_graph_without_nodes():
    hag = build_hag(torch.empty(2, 0, dtype=torch.long), 0)
    for name, make in LAYERS.items():
        if name != "Cheb":  # PyG looks for the largest entry
            conv = make()
            out = to_hag(conv)(torch.empty(0, 8), hag)
            assert out.shape == conv(torch.empty(0, 8), hag.to_edge_index()).shape


STATIC = ["GCN", "SG", "TAG", "LG", "SAGE max", "GraphConv", "LE", "APPNP", "ARMA"]


@pytest.mark.parametrize("layer", STATIC)
def test_static_graphs(layer):
    conv = LAYERS[layer]()
    for module in conv.modules():
        if isinstance(module, pyg.MessagePassing):
            module.node_dim = 0
    x = torch.randn(NODES, 3, 8)
    try:
        expected = conv(x, EDGES)
    except (RuntimeError, IndexError):
        return  # PyG's layer does not take them
    hag = build_hag(EDGES, NODES, **SHARED)
    torch.testing.assert_close(to_hag(conv)(x, hag), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_scales_are_applied_before_rounding(dtype):
    hag, x = build_hag(EDGES, NODES, **SHARED), (100 * torch.randn(NODES, 8)).to(dtype)
    a = torch.rand(NODES)
    for reduce in ("sum", "mean", "max", "min"):
        alone = aggregate(x, hag, reduce, a, a)
        several = aggregate(x, hag, [reduce], a, a)
        exact = 0 if dtype != torch.float32 else 1e-5
        torch.testing.assert_close(several, alone, rtol=exact, atol=exact)
        wide = aggregate(x.double(), hag, reduce, a.double(), a.double())
        torch.testing.assert_close(alone, wide.to(dtype), rtol=2**-7, atol=1e-5)


def test_data_classes_with_arguments():
    class Molecule(HAGData):
        def __init__(self, name=None, **kwargs):
            super().__init__(**kwargs)
            if name is not None:
                self.name = name

        def greeting(self):
            return f"I am {self.name}"

    data = graph()
    molecule = Molecule("water", x=data.x, edge_index=data.edge_index)
    out = HAGTransform(**SHARED)(molecule)
    assert out.greeting() == "I am water"
    assert_same(SAGEConv(8, 4), data, out)


def test_tensors_without_values_are_refused():
    edges = EDGES.to("meta")
    with pytest.raises(ValueError, match="'edge_index' is on the device 'meta'"):
        build_hag(edges, NODES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("layer", ["GCN", "SAGE max", "GAT", "SAGE many"])
def test_traced_models(layer, tmp_path):
    conv = LAYERS[layer]().eval()
    x, other = torch.randn(NODES, 8), torch.randn(NODES, 8)

    class Model(nn.Module):
        def __init__(self, hag):
            super().__init__()
            self.conv = to_hag(conv)
            self.hag = hag

        def forward(self, x):
            return self.conv(x, self.hag)

    for hag in (build_hag(EDGES, NODES, **SHARED), build_hag(EDGES, NODES)):
        model = Model(hag).requires_grad_(False)
        traced = torch.jit.trace(model, (x,))
        traced.save(tmp_path / "model.pt")
        del model
        for one in (traced, torch.jit.load(tmp_path / "model.pt")):
            expected = conv(other, EDGES)
            torch.testing.assert_close(one(other), expected, rtol=1e-4, atol=1e-5)

"""HAGs of meta-paths, against what PyG's `AddMetaPaths` makes of the same data."""

import copy
import io
import pickle
import random
import re
from functools import partial

import pytest
import torch
import torch_geometric.transforms as T
from contract.cases import assert_close
from graphs import edge_index_of, int64
from products import random_factor
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.data.datapipes import DatasetAdapter
from torch_geometric.utils import coalesce

from pyg_hag import (
    HAGHeteroData,
    HAGMetaPaths,
    HAGTransform,
    SearchOptions,
    aggregate,
    build_hag,
    to_hag,
)
from pyg_hag.quantization import DegreeQuantConfig, convert, prepare_qat

FewestMetaPaths = partial(HAGMetaPaths, objective="aggregations")
DROPS = "drop_orig_edge_types", "keep_same_node_type", "drop_unconnected_node_types"
TYPES = "a", "b", "c", "d"


def random_data(seed, num_types=None, double=True):
    """Data of two to four types of nodes, and edge types between most pairs of them."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    types = TYPES[: num_types or rng.randint(2, 4)]
    data = HeteroData()
    for name in types:
        dtype = torch.float64 if double else torch.float32
        data[name].x = torch.randn(rng.randint(1, 12), 4, dtype=dtype)
    pairs = [(one, other) for one in types for other in types]
    kept = [pair for pair in pairs if rng.random() < 0.7] or pairs
    for one, other in kept:
        for relation in ("to", "of")[: rng.choice([1, 1, 2])]:
            size = data[one].num_nodes, data[other].num_nodes
            data[one, relation, other].edge_index = random_factor(rng, *size)
    return data


def random_metapaths(seed, data):
    """Up to three walks of two to five steps over the edge types of data."""
    rng = random.Random(seed)
    out = []
    for _ in range(rng.randint(1, 3)):
        path = [rng.choice(data.edge_types)]
        for _ in range(rng.randint(1, 4)):
            following = [t for t in data.edge_types if t[0] == path[-1][-1]]
            path += [rng.choice(following)] if following else []
        out += [path] if len(path) > 1 else []
    return out


def cases(seeds):
    for seed in seeds:
        data = random_data(seed)
        yield seed, data, random_metapaths(seed, data)


def by_pyg(data, metapaths, **options):
    """What PyG makes of a copy: it changes the data that it is given.

    Products of matrices with edges that come twice are wrong in PyG, so that their
    copies are left out before, and put back after.
    """
    out = copy.copy(data)
    for kind in data.edge_types:
        if "edge_weight" not in data[kind]:
            out[kind].edge_index = coalesce(data[kind].edge_index)
    out = T.AddMetaPaths(metapaths, **options)(out)
    for kind in {*data.edge_types} & {*out.edge_types}:
        out[kind].edge_index = data[kind].edge_index
    return out


def assert_same_graphs(out, wanted):
    """The types, and of each the edges and their weights, in any order."""
    assert out.node_types == wanted.node_types
    assert out.edge_types == wanted.edge_types
    assert out.metadata() == wanted.metadata()
    assert out.metapath_dict == wanted.metapath_dict
    hags = out.hag_dict
    assert {*hags} == {*wanted.edge_types}
    for kind in wanted.edge_types:
        hag, edge_index = hags[kind], wanted[kind].edge_index
        assert (hag.num_src, hag.num_dst) == wanted[kind].size()
        if kind not in wanted.metapath_dict:
            hag.validate(edge_index)
            assert torch.equal(out[kind].edge_index, edge_index)
            continue
        edge_index = coalesce(edge_index, sort_by_row=False)
        hag.validate(edge_index)
        assert torch.equal(hag.to_edge_index(), edge_index)
        assert torch.equal(out[kind].edge_index, edge_index)
        assert out[kind].num_edges == edge_index.size(1)


# The graphs ###################################################################


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_edges_and_types_are_those_of_pyg(first):
    for seed, data, metapaths in cases(range(first, first + 20)):
        before = copy.deepcopy(data)
        options = {name: bool(seed >> i & 1) for i, name in enumerate(DROPS)}
        out = FewestMetaPaths(metapaths, **options)(data)
        assert type(out) is HAGHeteroData
        assert_same_graphs(out, by_pyg(data, metapaths, **options))
        for name in out.node_types:
            assert out[name].x is data[name].x
        assert (
            type(data) is HeteroData
            and data.to_dict().keys() == before.to_dict().keys()
        )
        for kind in before.edge_types:
            assert torch.equal(data[kind].edge_index, before[kind].edge_index)


@pytest.mark.parametrize("options", [{"subtract": True}, {"reduce": "max"}], ids=str)
def test_other_hags_of_the_same_edges(options):
    for _, data, metapaths in cases(range(15)):
        out = FewestMetaPaths(metapaths, **options)(data)
        assert_same_graphs(out, by_pyg(data, metapaths))
        for kind in out.metapath_dict:
            is_cover = options.get("reduce") == "max"
            assert out.hag_dict[kind].is_cover == is_cover


def test_weights_are_those_of_pyg():
    for seed, data, metapaths in cases(range(20)):
        for kind in data.edge_types:
            data[kind].edge_index = coalesce(data[kind].edge_index)
        if seed % 3 == 0:
            kind = data.edge_types[0]
            data[kind].edge_weight = torch.ones(data[kind].num_edges)
        out = FewestMetaPaths(metapaths, weighted=True)(data)
        wanted = by_pyg(data, metapaths, weighted=True)
        assert_same_graphs(out, wanted)
        for kind in out.metapath_dict:
            edge_index, weight = coalesce(
                wanted[kind].edge_index, wanted[kind].edge_weight, sort_by_row=False
            )
            got = out.hag_dict[kind].to_edge_weight(edge_index)
            assert torch.equal(got, weight)
            assert torch.equal(out[kind].edge_weight, weight)


def test_paths_by_types_of_their_ends():
    data = HeteroData()
    data["a"].num_nodes, data["b"].num_nodes = 4, 2
    data["a", "b"].edge_index = edge_index_of([(0, 0), (1, 0), (2, 1)])
    data["b", "a"].edge_index = data["a", "b"].edge_index.flip(0)
    metapaths = [[("a", "b"), ("b", "a")], [("b", "to", "a"), ("a", "b")]]
    out = HAGMetaPaths(metapaths)(data)
    assert out.metapath_dict == by_pyg(data, metapaths).metapath_dict
    assert_same_graphs(out, by_pyg(data, metapaths))
    lists = HAGMetaPaths([[["a", "b"], ["b", "a"]]])(data)
    assert lists.metapath_dict == {("a", "metapath_0", "a"): metapaths[0]}


# Layers #######################################################################


def layers():
    yield "SAGE mean", partial(pyg.SAGEConv, (4, 4), 3), False
    yield "SAGE max", partial(pyg.SAGEConv, (4, 4), 3, aggr="max"), False
    yield "GraphConv add", partial(pyg.GraphConv, (4, 4), 3), False
    yield "GraphConv mean", partial(pyg.GraphConv, (4, 4), 3, aggr="mean"), False
    yield "GraphConv max", partial(pyg.GraphConv, (4, 4), 3, aggr="max"), False
    yield "GIN", lambda: pyg.GINConv(torch.nn.Linear(4, 3)), False
    yield "GAT", partial(pyg.GATConv, (4, 4), 3, add_self_loops=False), False
    yield "GCN", partial(pyg.GCNConv, 4, 3), True


LAYERS = {name: (make, square) for name, make, square in layers()}
each_layer = pytest.mark.parametrize("name", LAYERS)


class OfMetaPaths(torch.nn.Module):
    """A layer for each meta-path whose ends allow it."""

    def __init__(self, name, metapath_dict):
        super().__init__()
        make, square = LAYERS[name]
        kinds = [k for k in metapath_dict if k[0] == k[-1] or not square]
        self.kinds = kinds
        torch.manual_seed(3)
        self.layers = torch.nn.ModuleList([make() for _ in kinds]).double()

    def forward(self, x_dict, graphs, weights=None):
        outs = []
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            known = {} if weights is None else {"edge_weight": weights[kind]}
            x = x_dict[kind[0]], x_dict[kind[-1]]
            x = x[0] if isinstance(layer, pyg.GCNConv) else x
            outs.append(layer(x, graphs[kind], **known))
        return outs


def results(model, x_dict, *graphs):
    """All outputs, and the gradients of all features and parameters."""
    leaves = {name: x.clone().requires_grad_() for name, x in x_dict.items()}
    outs = model(leaves, *graphs)
    outs = [
        o for o in (outs.values() if isinstance(outs, dict) else outs) if o is not None
    ]
    torch.manual_seed(5)
    total = sum((out * torch.randn_like(out)).sum() for out in outs)
    inputs = [*leaves.values(), *model.parameters()]
    grads = torch.autograd.grad(total, inputs, allow_unused=True)
    return [*outs, *grads]


def assert_same_results(ours, theirs):
    for got, wanted in zip(ours, theirs, strict=True):
        if wanted is None or got is None:  # unused, or used without an effect
            rest = got if wanted is None else wanted
            assert rest is None or not rest.any()
        else:
            assert_close(got, wanted)


def dense_cases(seeds):
    """Data with meta-paths from a type to itself and to another one."""
    for seed in seeds:
        rng = random.Random(seed)
        data = random_data(seed, 3)
        for one, other in (("a", "b"), ("b", "c")):
            size = data[one].num_nodes, data[other].num_nodes
            data[one, "by", other].edge_index = random_factor(rng, *size)
            flipped = data[one, "by", other].edge_index.flip(0)
            data[other, "by", one].edge_index = flipped
        steps = [("a", "by", "b"), ("b", "by", "c"), ("c", "by", "b"), ("b", "by", "a")]
        yield data, [[steps[0], steps[3]], steps[:2], steps]


@each_layer
@pytest.mark.parametrize("options", [{}, {"objective": "time"}], ids=str)
def test_layers_are_those_of_pyg(name, options):
    for data, metapaths in dense_cases(range(2)):
        out = FewestMetaPaths(metapaths, **options)(data)
        wanted = by_pyg(data, metapaths)
        model = OfMetaPaths(name, out.metapath_dict)
        ours = results(to_hag(model), out.x_dict, out.hag_dict)
        theirs = results(model, wanted.x_dict, wanted.edge_index_dict)
        assert_same_results(ours, theirs)


def rooks(n=7):
    """The cells and the lines of a board: cells of a common line are neighbours."""
    data = HeteroData()
    torch.manual_seed(0)
    for name, count in (("a", n * n), ("b", 2 * n)):
        data[name].x = torch.randn(count, 4, dtype=torch.float64)
    cells = torch.arange(n * n)
    lines = torch.cat([cells // n, n + cells % n])
    data["a", "by", "b"].edge_index = torch.stack([cells.repeat(2), lines])
    data["b", "by", "a"].edge_index = data["a", "by", "b"].edge_index.flip(0)
    return data, [[("a", "by", "b"), ("b", "by", "a")]]


@each_layer
def test_layers_on_hags_that_subtract(name):
    refused = 0
    for data, metapaths in [rooks(), *dense_cases(range(2))]:
        out = FewestMetaPaths(metapaths, subtract=True)(data)
        wanted = by_pyg(data, metapaths)
        model = OfMetaPaths(name, out.metapath_dict)
        signed = any(out.hag_dict[k].is_signed for k in model.kinds)
        if signed and name.endswith("max"):
            with pytest.raises(ValueError, match="without 'subtract'"):
                to_hag(model)(out.x_dict, out.hag_dict)
            refused += 1
            continue
        ours = results(to_hag(model), out.x_dict, out.hag_dict)
        theirs = results(model, wanted.x_dict, wanted.edge_index_dict)
        assert_same_results(ours, theirs)
    assert refused > 0 or not name.endswith("max")


@pytest.mark.parametrize("name", ["GCN", "GraphConv add", "GraphConv mean"])
def test_layers_use_the_numbers_of_paths(name):
    for data, metapaths in dense_cases(range(2)):
        for kind in data.edge_types:
            data[kind].edge_index = coalesce(data[kind].edge_index)
        out = FewestMetaPaths(metapaths, weighted=True)(data)
        wanted = by_pyg(data, metapaths, weighted=True)
        weights = {k: wanted[k].edge_weight.double() for k in out.metapath_dict}
        model = OfMetaPaths(name, out.metapath_dict)
        ours = results(to_hag(model), out.x_dict, out.hag_dict)
        theirs = results(model, wanted.x_dict, wanted.edge_index_dict, weights)
        assert_same_results(ours, theirs)


@pytest.mark.parametrize("name", ["SAGE max"])
def test_layers_of_maxima(name):
    for data, metapaths in dense_cases(range(2)):
        out = FewestMetaPaths(metapaths, reduce="max")(data)
        wanted = by_pyg(data, metapaths)
        model = OfMetaPaths(name, out.metapath_dict)
        ours = results(to_hag(model), out.x_dict, out.hag_dict)
        theirs = results(model, wanted.x_dict, wanted.edge_index_dict)
        assert_same_results(ours, theirs)
        with pytest.raises(ValueError, match="is a cover"):
            other = OfMetaPaths("SAGE mean", out.metapath_dict)
            to_hag(other)(out.x_dict, out.hag_dict)


@pytest.mark.parametrize("drop", [False, True])
def test_han(drop):
    options = {"drop_orig_edge_types": drop, "drop_unconnected_node_types": drop}
    for data, metapaths in dense_cases(range(2)):
        out = FewestMetaPaths(metapaths, **options)(data)
        wanted = by_pyg(data, metapaths, **options)
        torch.manual_seed(0)
        model = pyg.HANConv(4, 6, out.metadata(), heads=2).double()
        ours = results(to_hag(model), out.x_dict, out.hag_dict)
        theirs = results(model, wanted.x_dict, wanted.edge_index_dict)
        assert_same_results(ours, theirs)


@pytest.mark.parametrize("conv", [pyg.SAGEConv, pyg.GraphConv])
def test_to_hetero(conv):
    for data, metapaths in dense_cases(range(2)):
        for name in data.node_types:  # every type has edges that lead to it
            data[name, "own", name].edge_index = torch.arange(2).repeat(2, 1) % (
                data[name].num_nodes
            )
        out = FewestMetaPaths(metapaths)(data)
        wanted = by_pyg(data, metapaths)
        torch.manual_seed(0)
        inner = pyg.Sequential(
            "x, edge_index",
            [(conv(4, 4), "x, edge_index -> x"), torch.nn.ReLU(),
             (conv(4, 2), "x, edge_index -> x")],
        )  # fmt: skip
        model = pyg.to_hetero(inner, wanted.metadata()).double()
        ours = results(to_hag(model), out.x_dict, out.hag_dict)
        theirs = results(model, wanted.x_dict, wanted.edge_index_dict)
        assert_same_results(ours, theirs)


def small(seed=0, double=True):
    """Data with papers, authors and venues; the meta-paths of papers."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    data = HeteroData()
    dtype = torch.float64 if double else torch.float32
    sizes = {"paper": 20 + seed, "author": 9, "venue": 3}
    for name, count in sizes.items():
        data[name].x = torch.randn(count, 4, dtype=dtype)
    for name in ("author", "venue"):
        edges = {
            (paper, rng.randrange(sizes[name]))
            for paper in range(sizes["paper"])
            for _ in range(2)
        }
        data["paper", "to", name].edge_index = edge_index_of(sorted(edges))
        flipped = data["paper", "to", name].edge_index.flip(0)
        data[name, "to", "paper"].edge_index = flipped
    data["paper"].y = torch.arange(sizes["paper"])
    return data


METAPATHS = [
    [("paper", "author"), ("author", "paper")],
    [("paper", "venue"), ("venue", "paper")],
    [("author", "paper"), ("paper", "venue")],
]
KEY = "paper", "metapath_0", "paper"


def test_quantized_layers_and_sums_of_integers():
    data = small(double=False)
    hag = FewestMetaPaths(METAPATHS)(data).hag_dict[KEY]
    dense = torch.zeros(20, 20, dtype=torch.long)
    edge_index = by_pyg(data, METAPATHS)[KEY].edge_index
    dense[edge_index[1], edge_index[0]] = 1
    for dtype in (torch.int8, torch.int32, torch.int64):
        x = torch.randint(-9, 9, (20, 3)).to(dtype)
        assert torch.equal(
            aggregate(x, hag).long(), (dense @ x.long()).to(dtype).long()
        )
    model = prepare_qat(pyg.GCNConv(4, 4), DegreeQuantConfig(protect=False))
    x = data["paper"].x
    for _ in range(3):
        model(x, hag)
    model.eval()
    int8 = convert(model, (x, hag))
    assert torch.isfinite(int8(x, hag)).all()
    plain = build_hag(hag.to_edge_index(), 20, capacity=0)
    assert torch.equal(int8(x, hag), int8(x, plain))


# Data #########################################################################


def test_matrices_in_place_of_edges():
    """Those that `T.ToSparseTensor` makes, with and without weights."""
    for _, data, metapaths in cases(range(20)):
        for kind in data.edge_types:
            data[kind].edge_index = coalesce(data[kind].edge_index)
        wanted = by_pyg(data, metapaths)
        sparse = T.ToSparseTensor(layout=torch.sparse_csr)(copy.copy(data))
        assert all("edge_index" not in store for store in sparse.edge_stores)
        out = FewestMetaPaths(metapaths)(sparse)
        for kind in wanted.edge_types:
            out.hag_dict[kind].validate(
                coalesce(wanted[kind].edge_index, sort_by_row=False)
            )


@pytest.mark.parametrize("removed", [False, True])
def test_data_that_has_hags_already(removed):
    data = small()
    transform = HAGTransform(objective="aggregations", remove_edge_index=removed)
    once = transform(data)
    if removed:
        with pytest.raises(ValueError, match="has a HAG and no 'edge_index' any more"):
            FewestMetaPaths(METAPATHS)(once)
        return
    before = once.hag_dict
    out = FewestMetaPaths(METAPATHS)(once)
    assert_same_graphs(out, by_pyg(data, METAPATHS))
    assert all(out.hag_dict[kind] == hag for kind, hag in before.items())
    assert {*once.edge_types} == {*data.edge_types}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("first", [HAGMetaPaths, T.AddMetaPaths])
def test_those_of_before_are_replaced(first, weighted):
    data = small()
    once = first(METAPATHS, weighted=weighted)(copy.copy(data))
    again = FewestMetaPaths(METAPATHS[1:2])(once)
    wanted = by_pyg(data, METAPATHS[1:2])
    assert again.metapath_dict == wanted.metapath_dict
    edge_index = coalesce(wanted[KEY].edge_index, sort_by_row=False)
    assert torch.equal(again.hag_dict[KEY].to_edge_index(), edge_index)
    assert "edge_weight" not in again[KEY] and not again.hag_dict[KEY].of_paths
    for kind in data.edge_types:
        again.hag_dict[kind].validate(data[kind].edge_index)
    other = "paper", "metapath_1", "paper"
    again.hag_dict[other].validate(once[other].edge_index)


@pytest.mark.parametrize(
    "options", [{}, {"weighted": True}, {"reduce": "max"}], ids=str
)
def test_batches_before_and_after(options):
    graphs = [small(seed) for seed in range(3)]
    transform = FewestMetaPaths(METAPATHS, drop_orig_edge_types=True, **options)
    wanted = by_pyg(Batch.from_data_list(graphs), METAPATHS, drop_orig_edge_types=True)
    after = Batch.from_data_list([transform(graph) for graph in graphs])
    before = transform(Batch.from_data_list(graphs))
    for batch in (before, after):
        for kind in wanted.edge_types:
            edge_index = coalesce(wanted[kind].edge_index, sort_by_row=False)
            hag = batch.hag_dict[kind]
            assert torch.equal(hag.to_edge_index(), edge_index)
            hag.validate(edge_index)
    for graph, part in zip(graphs, after.to_data_list(), strict=True):
        assert part.hag_dict == transform(graph).hag_dict
    if not options:
        conv = pyg.HANConv(4, 6, before.metadata()).double()
        theirs = conv(wanted.x_dict, wanted.edge_index_dict)
        for batch in (before, after):
            ours = to_hag(conv)(batch.x_dict, batch.hag_dict)
            for name in ("paper", "venue"):
                assert_close(ours[name], theirs[name])


def copies_of(data):
    yield copy.copy(data)
    yield copy.deepcopy(data)
    yield data.clone()
    yield pickle.loads(pickle.dumps(data))
    yield data.to("cpu")
    buffer = io.BytesIO()
    torch.save(data, buffer)
    buffer.seek(0)
    yield torch.load(buffer, weights_only=False)


@pytest.mark.parametrize(
    "options", [{}, {"weighted": True}, {"reduce": "max"}], ids=str
)
def test_copies(options):
    data = FewestMetaPaths(METAPATHS, **options)(small())
    out = [*data.metapath_dict]
    for other in copies_of(data):
        assert other.hag_dict == data.hag_dict
        for kind, path in zip(out, METAPATHS, strict=True):  # PyG makes lists of tuples
            assert [*map(tuple, other.metapath_dict[kind])] == path
        for kind, hag in data.hag_dict.items():
            assert other.hag_dict[kind].of_paths == hag.of_paths
    buffer = io.BytesIO()
    torch.save(data.hag_dict, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True) == data.hag_dict


class Papers(InMemoryDataset):
    def __init__(self, root, **kwargs):
        super().__init__(root, **kwargs)
        self.load(self.processed_paths[0], data_cls=HAGHeteroData)

    @property
    def processed_file_names(self):
        return "data.pt"

    def process(self):
        graphs = [small(seed) for seed in range(3)]
        self.save(
            [self.pre_transform(graph) for graph in graphs], self.processed_paths[0]
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_before_data_is_stored(weighted, tmp_path):
    transform = FewestMetaPaths(METAPATHS, True, weighted=weighted)
    dataset = Papers(tmp_path, pre_transform=transform)
    again = Papers(tmp_path, pre_transform=transform)
    for seed in range(3):
        wanted = transform(small(seed)).hag_dict
        assert dataset[seed].hag_dict == again[seed].hag_dict == wanted


def test_other_transforms():
    data = small()
    del data["author", "paper"], data["venue", "paper"]
    composed = T.Compose(
        [T.ToUndirected(), FewestMetaPaths(
            [[("paper", "author"), ("author", "rev_to", "paper")]]
        )]
    )  # fmt: skip
    out = composed(data)
    wanted = by_pyg(small(), METAPATHS[:1])[KEY].edge_index
    assert torch.equal(out[KEY].edge_index, coalesce(wanted, sort_by_row=False))
    (out,) = DatasetAdapter([small()]).add_hag_metapaths(METAPATHS)
    assert_same_graphs(out, by_pyg(small(), METAPATHS))


def test_sampled_meta_paths_remain_edges():
    torch.manual_seed(0)
    data = T.AddRandomMetaPaths(METAPATHS, walks_per_node=5)(small())
    out = HAGTransform(objective="aggregations")(data)
    assert KEY in out.hag_dict and out.metapath_dict == data.metapath_dict
    for kind, hag in out.hag_dict.items():
        hag.validate(data[kind].edge_index)
    conv = pyg.SAGEConv((4, 4), 3).double()
    x = out["paper"].x, out["paper"].x
    assert_close(to_hag(conv)(x, out.hag_dict[KEY]), conv(x, data[KEY].edge_index))


# Options and errors ###########################################################


def test_options_reach_the_search():
    for options in ({"capacity": 0}, {"options": SearchOptions(capacity=0)}):
        out = HAGMetaPaths(METAPATHS, **options)(small())
        assert all(hag.num_aggregates == 0 for hag in out.hag_dict.values())
    out = FewestMetaPaths(METAPATHS, capacity=2)(small())
    assert {hag.num_aggregates for hag in out.hag_dict.values()} <= {0, 1, 2}


def test_repr_shows_every_parameter():
    path = [("a", "b"), ("b", "a")]
    assert repr(HAGMetaPaths([path], True, weighted=True, capacity=3)) == (
        "HAGMetaPaths(metapaths=[[('a', 'b'), ('b', 'a')]], "
        "drop_orig_edge_types=True, weighted=True, reduce='sum', objective='time', "
        "method='auto', num_features=64, capacity=3, min_redundancy=None, "
        "cost_model=None, time_limit=None, memory_limit=None, order='set', "
        "neighbor_order=None, subtract=False, num_passes=None)"
    )
    shown = repr(HAGMetaPaths([path], keep_same_node_type=True, reduce="max"))
    assert "keep_same_node_type=True, reduce='max'" in shown


PATH = METAPATHS[:1]
WRONG = {
    "one step": (
        {"metapaths": [[("a", "b")]]}, ValueError,
        "'metapaths' must be paths of two edge types or more (got [('a', 'b')]): for "
        "one edge type, use 'HAGTransform'",
    ),
    "a broken path": (
        {"metapaths": [[("a", "b"), ("a", "b")]]}, ValueError,
        "but ('a', 'b') ends in 'b', where ('a', 'b') does not start",
    ),
    "a path that is not in a list": (
        {"metapaths": [("a", "b"), ("b", "a")]}, TypeError,
        "'metapaths' must be lists of edge types such as ('paper', 'author') or",
    ),
    "a step of one name": (
        {"metapaths": [[("a",), ("a", "b")]]}, TypeError, "'metapaths' must be lists",
    ),
    "a path that is none": (
        {"metapaths": [3]}, TypeError, "'metapaths' must be lists",
    ),
    "no paths": (
        {"metapaths": 3}, TypeError,
        "'metapaths' must be a list of meta-paths (got 3)",
    ),
    "samples": (
        {"metapaths": PATH, "max_sample": 3}, ValueError,
        "'max_sample' needs the edges of a meta-path one by one, which a HAG does not "
        "have (got 3): use PyG's 'AddMetaPaths' or 'AddRandomMetaPaths', and then "
        "'HAGTransform'",
    ),
    "reduce": (
        {"metapaths": PATH, "reduce": "mean"}, ValueError,
        "'reduce' must be 'sum' or 'max' (got 'mean')",
    ),
    "an option": (
        {"metapaths": PATH, "capacity": -1}, ValueError, "'capacity'",
    ),
    "an unknown option": (
        {"metapaths": PATH, "wieghted": True}, TypeError, "did you mean 'weighted'?",
    ),
    **{
        name: (
            {"metapaths": PATH, name: 1}, TypeError, f"'{name}' must be a bool (got 1)",
        )
        for name in (*DROPS, "weighted")
    },
    "counts for a maximum": (
        {"metapaths": PATH, "weighted": True, "reduce": "max"}, ValueError,
        "'weighted' is True, which has no effect with reduce='max'",
    ),
    "a signed maximum": (
        {"metapaths": PATH, "subtract": True, "reduce": "max"}, ValueError,
        "'subtract' is True, which has no effect with reduce='max'",
    ),
    "signed counts": (
        {"metapaths": PATH, "subtract": True, "weighted": True}, ValueError,
        "'subtract' has no effect with weighted=True",
    ),
    "an order": (
        {"metapaths": PATH, "order": "sequential"}, ValueError,
        "'order' is 'sequential'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_at_once(name):
    keywords, error, message = WRONG[name]
    with pytest.raises(error, match=re.escape(message)):
        HAGMetaPaths(**keywords)


@pytest.mark.filterwarnings("ignore:Unable to accurately infer 'num_nodes'")
def test_wrong_data_is_refused():
    transform = FewestMetaPaths(PATH)
    for wrong in (Data(edge_index=edge_index_of([(0, 1)])), [small()], None):
        with pytest.raises(TypeError, match=r"must be a 'HeteroData'.*'build_hag_of_p"):
            transform(wrong)
    data = small()
    del data["paper", "author"]
    with pytest.raises(ValueError, match=r"edge type .*'metapaths\[0\]' is not in the"):
        transform(data)
    data = small()
    data["paper", "author"].edge_index = int64(99, 0).view(2, 1)
    with pytest.raises(ValueError, match="'edge_index'"):
        transform(data)
    data = HeteroData()
    data["paper", "to", "author"].edge_index = edge_index_of([(0, 1)])
    data["author", "to", "paper"].edge_index = edge_index_of([(1, 0)])
    with pytest.raises(ValueError, match="the number of nodes of type 'paper'"):
        FewestMetaPaths(PATH)(data)


def test_own_weights_cannot_be_shared():
    data = small()
    store = data["paper", "to", "author"]
    store.edge_weight = torch.rand(store.num_edges)
    message = r"edge type \('paper', 'to', 'author'\) has an 'edge_weight' of its own"
    with pytest.raises(ValueError, match=message):
        FewestMetaPaths(PATH, weighted=True)(data)
    out = FewestMetaPaths(PATH, True)(data)
    wanted = by_pyg(data, PATH, drop_orig_edge_types=True)
    assert_same_graphs(out, wanted)

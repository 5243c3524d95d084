"""HAGs of which several paths with the same ends are one edge: counts and covers."""

import copy
import inspect
import io
import pickle
import re
from functools import partial

import numpy as np
import pytest
import torch
from contract.cases import assert_close
from graphs import (
    edge_index_of,
    fewest_hag,
    int64,
    near_cliques,
    random_graph,
    signed_hag,
)
from random_models.layers import EDGE_LAYERS, REQUIRED, WIDTH
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import AddMetaPaths
from torch_geometric.utils import coalesce

from pyg_hag import (
    HAG,
    HAGData,
    HAGHeteroData,
    HAGTransform,
    aggregate,
    build_hag,
    to_hag,
)
from pyg_hag.data.store import attach
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.nn.layer_table import MIXINS
from pyg_hag.nn.mixins.checks import takes_edge_weight
from pyg_hag.ops.qparams import QParams
from pyg_hag.ops.quantized import aggregate_quantized
from pyg_hag.quantization import DegreeQuantConfig, convert, prepare_qat

DTYPES = torch.float32, torch.float64
BUILDS = {"plain": partial(build_hag, capacity=0), "set": fewest_hag}
ALL_BUILDS = {**BUILDS, "signed": signed_hag}
KINDS = {"count": EdgeWeights.counts(), "cover": EdgeWeights.cover()}
each_build = pytest.mark.parametrize("build", ALL_BUILDS.values(), ids=ALL_BUILDS)
each_unsigned = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
each_kind = pytest.mark.parametrize("weights", KINDS.values(), ids=KINDS)


def paths_between(seed, num_src, num_dst, density=0.4, copies=4):
    """The ends of paths, of which some are the same."""
    return random_graph(seed, num_src, num_dst, density, copies)


def similar_rows():
    """Paths of which HAGs subtract; of some nodes to themselves, once or twice."""
    edge_index, size = near_cliques(5, 2, 8)
    again = edge_index[:, edge_index[0] % 5 == 0]
    loops = edge_index_of([(0, 0), (0, 0), (1, 1)])
    return torch.cat([edge_index, again, loops], 1), size


GRAPHS = {
    "square": similar_rows(),
    "sparse": paths_between(1, 30, 30, 0.05),
    "more sources": paths_between(2, 20, 8),
    "more destinations": paths_between(3, 7, 16),
    "single edges": paths_between(4, 12, 12, 0.5, copies=1),
    "no paths": (edge_index_of([]), (4, 4)),
    "one loop": (edge_index_of([(0, 0)] * 3), (1, 1)),
    "unread sources": (edge_index_of([(90, 1), (90, 1), (7, 0)]), (100, 2)),
}
each_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
SQUARE = GRAPHS["square"]
N = SQUARE[1][0]


def counted(paths):
    """The edges as PyG sorts them for a HAG, and their numbers of paths."""
    ones = torch.ones(paths.size(1), dtype=torch.long)
    return coalesce(paths, ones, sort_by_row=False)


def hag_of(build, graph, weights=KINDS["count"]):
    paths, size = graph
    return build(paths, size=size).weighted_by(weights)


def matrix_of(graph):
    paths, (n, m) = graph
    out = torch.zeros(m, n, dtype=torch.float64)
    ones = torch.ones(paths.size(1), dtype=torch.float64)
    return out.index_put_((paths[1], paths[0]), ones, accumulate=True)


# The graph ####################################################################


@each_build
@each_graph
def test_the_graph_of_a_count(graph, build):
    edge_index, count = counted(graph[0])
    hag, (n, m) = hag_of(build, graph), graph[1]
    assert hag.is_count and not hag.is_cover and hag.of_paths == "count"
    assert torch.equal(hag.in_degree, edge_index[1].bincount(minlength=m))
    assert hag.num_edges == hag.stats.num_edges == edge_index.size(1)
    assert hag.stats.plain_aggregations == int((hag.in_degree - 1).clamp(min=0).sum())
    assert torch.equal(hag.to_edge_index(), edge_index)
    assert torch.equal(hag.edge_index_of_any_order(), edge_index)
    weight = hag.to_edge_weight(edge_index)
    assert weight.dtype == torch.float32 and torch.equal(weight, count.float())
    dense = hag.to_adj_t(torch.sparse_csr).to_dense()
    assert torch.equal(dense.double(), matrix_of(graph))
    assert hag.given_edge_index is None
    assert hag.unweighted.in_degree.sum() == graph[0].size(1)
    if n == m:
        loops = matrix_of(graph).diagonal() > 0
        assert torch.equal(hag.self_loops, loops.long())


@each_unsigned
@each_graph
def test_the_graph_of_a_cover(graph, build):
    edge_index, _ = counted(graph[0])
    hag = hag_of(build, graph, KINDS["cover"])
    assert hag.is_cover and not hag.is_count and hag.covered is hag
    assert torch.equal(hag.to_edge_index(), edge_index)
    assert hag.to_edge_weight(edge_index) is None
    dense = hag.to_adj_t(torch.sparse_csr).to_dense()
    assert torch.equal(dense.double(), (matrix_of(graph) > 0).double())
    assert hag_of(build, graph).covered == hag


def test_the_kinds_of_hags_that_are_tested():
    hags = {name: hag_of(build, SQUARE) for name, build in ALL_BUILDS.items()}
    assert hags["signed"].is_signed and not hags["set"].is_signed
    assert hags["set"].num_aggregates > 0 and hags["plain"].num_aggregates == 0


def test_counts_are_those_of_pyg():
    data = HeteroData()
    data["a"].num_nodes, data["b"].num_nodes = 9, 5
    data["a", "b"].edge_index, _ = random_graph(5, 9, 5, 0.5)
    data["b", "a"].edge_index = data["a", "b"].edge_index.flip(0)
    paths = [("a", "b"), ("b", "a")]
    found = AddMetaPaths([paths], weighted=True)(data)["a", "metapath_0", "a"]
    edge_index, weight = coalesce(
        found.edge_index, found.edge_weight, sort_by_row=False
    )
    repeated = edge_index.repeat_interleave(weight.long(), 1)
    hag = fewest_hag(repeated, num_nodes=9).weighted_by(EdgeWeights.counts())
    assert torch.equal(hag.to_edge_index(), edge_index)
    got = hag.to_edge_weight(edge_index)
    assert got.dtype == weight.dtype and torch.equal(got, weight)


@each_build
@each_kind
def test_validation(weights, build):
    if build is signed_hag and weights.of_paths == "cover":
        return
    edge_index, _ = counted(SQUARE[0])
    hag = hag_of(build, SQUARE, weights)
    hag.validate()
    hag.validate(edge_index.flip(1))
    for wrong in (edge_index[:, 1:], SQUARE[0]):
        with pytest.raises(ValueError, match=r"edges in 'edge_index', but \d+ edges"):
            hag.validate(wrong)
    other = edge_index.clone()
    missing = ({*range(N)} - {*edge_index[0, edge_index[1] == 3].tolist()}).pop()
    other[0, int((edge_index[1] == 3).nonzero()[0])] = missing
    with pytest.raises(ValueError, match="destination 3 are not its edges"):
        hag.validate(other)


def doubling(levels, minus=()):
    """A HAG of kilobytes with `2**levels` paths from source 0 to destination 0."""
    agg = [k for k in range(levels) for _ in range(2)]
    return {
        "num_src": 2, "src": int64(0, *minus), "agg": int64(*agg),
        "src_count": int64(1, *[0] * (levels - 1), len(minus)),
        "agg_count": int64(0, *[2] * levels), "dst": int64(0),
        "group_aggs": int64(levels), "group_dsts": int64(1),
    }  # fmt: skip


def test_more_paths_than_fit_into_a_number():
    hag = HAG(**doubling(70)).weighted_by(EdgeWeights.counts())
    assert hag.in_degree.tolist() == [1] and hag.num_edges == 1
    assert hag.to_edge_weight(hag.to_edge_index()).tolist() == [2.0**70]
    hag.validate(edge_index_of([(0, 0)]))


def test_hags_that_are_no_graph():
    minus = [0] * 4 + [1]
    nothing = [0] * 5
    known = {"src_minus": int64(*minus), "agg_minus": int64(*nothing)}
    hag = HAG(**doubling(4, [1]), **known).weighted_by(EdgeWeights.counts())
    with pytest.raises(ValueError, match="subtracts more paths from source 1"):
        hag.validate()
    known = {"src_minus": int64(*[0] * 60, 1), "agg_minus": int64(*[0] * 61)}
    hag = HAG(**doubling(60, [1]), **known).weighted_by(EdgeWeights.counts())
    with pytest.raises(ValueError, match="can be counted"):
        _ = hag.in_degree


def test_hags_that_cannot_have_such_paths():
    with pytest.raises(ValueError, match="no signed maximum"):
        hag_of(signed_hag, SQUARE, KINDS["cover"])
    sequential = build_hag(SQUARE[0], order="sequential")
    for weights in KINDS.values():
        with pytest.raises(ValueError, match="sequential"):
            sequential.weighted_by(weights)


def test_listing_is_limited_by_edges_and_not_by_paths():
    hag = hag_of(fewest_hag, SQUARE)
    hag.to_edge_index(max_edges=hag.num_edges)
    with pytest.raises(ValueError, match="max_edges"):
        hag.to_edge_index(max_edges=hag.num_edges - 1)


# Copies #######################################################################


def copies_of(hag, path):
    hag.save(path)
    yield HAG.load(path)
    yield pickle.loads(pickle.dumps(hag))
    yield copy.deepcopy(hag)
    buffer = io.BytesIO()
    torch.save(hag, buffer)
    buffer.seek(0)
    yield torch.load(buffer, weights_only=True)
    yield hag.to("cpu")
    yield hag.t().t()


@each_kind
@each_unsigned
def test_copies(build, weights, tmp_path):
    hag = hag_of(build, SQUARE, weights)
    others = hag.unweighted, hag.weighted_by(EdgeWeights.counts()), hag.covered
    for other in copies_of(hag, tmp_path / "hag"):
        assert other == hag and other.of_paths == hag.of_paths
        assert sum(other == one for one in others) == 1
        assert torch.equal(other.to_edge_index(), hag.to_edge_index())
    assert hag.weighted_by(None) is hag.unweighted and not hag.unweighted.of_paths
    assert f"paths={weights.of_paths}" in repr(hag)
    assert "paths" not in repr(hag.unweighted)


@each_kind
def test_hags_without_such_paths_are_stored_as_before(weights, tmp_path):
    hag = hag_of(fewest_hag, SQUARE, weights)
    hag.unweighted.save(tmp_path / "bare")
    hag.save(tmp_path / "hag")
    more = {*np.load(tmp_path / "hag")} - {*np.load(tmp_path / "bare")}
    assert more == {"paths"}
    factors = EdgeWeights(torch.ones(N), torch.ones(N), None, False)
    _, _, state = hag.weighted_by(factors).__reduce__()
    assert len(state["weights"]) == 5


def test_files_and_pickles_with_unknown_paths(tmp_path, monkeypatch):
    hag = hag_of(fewest_hag, SQUARE)
    monkeypatch.setattr("pyg_hag.hag.io._OF_PATHS", [None, None, hag.weights])
    hag.save(tmp_path / "hag")
    with pytest.raises(ValueError, match="'paths' must be 1 or 2"):
        HAG.load(tmp_path / "hag")
    factors = torch.ones(N)
    for weights in (
        (None, None, None, False, False, "guess"),
        (None, None, None, True, False, "count"),
        (factors, factors, None, False, False, "cover"),
    ):
        with pytest.raises(ValueError, match="a count or a cover"):
            copy.copy(hag.unweighted.t()).__setstate__({"weights": weights})


@each_build
def test_transposition(build):
    for graph in (SQUARE, GRAPHS["more sources"]):
        hag, wanted = hag_of(build, graph), matrix_of(graph).t()
        for other in (hag.t(), hag.transposed()):
            assert other.is_count
            assert torch.equal(other.in_degree, (wanted > 0).sum(1))
            dense = other.to_adj_t(torch.sparse_csr).to_dense().double()
            assert torch.equal(dense, wanted)
    both = torch.cat([SQUARE[0], SQUARE[0].flip(0)], 1)
    symmetric = hag_of(build, (both, SQUARE[1]))
    assert symmetric.transposed() is symmetric


@each_build
def test_self_loops(build):
    hag, wanted = hag_of(build, SQUARE), matrix_of(SQUARE)
    loops = torch.diag(wanted.diagonal())
    assert (wanted.diagonal() == 0).any() and (wanted.diagonal() > 1).any()
    missing = torch.diag((wanted.diagonal() == 0).double())
    for other, weights in (
        (hag.with_self_loops(), wanted + missing),
        (hag.without_self_loops(), wanted - loops),
    ):
        assert other.is_count
        got = other.to_adj_t(torch.sparse_csr).to_dense().double()
        assert torch.equal(got, weights)
    closed, added = hag.closed()
    assert closed.is_count
    x = torch.randn(N, 3, dtype=torch.float64)
    assert_close(aggregate(x, closed), wanted @ x + added[:, None] * x)
    if build is not signed_hag:
        cover = hag.covered.with_self_loops()
        got = cover.to_adj_t(torch.sparse_csr).to_dense().double()
        assert cover.is_cover and torch.equal(got, ((wanted + missing) > 0).double())


# Reductions ###################################################################


def reduced(graph, x, reduce):
    """The reduction of the weighted edges, by PyTorch."""
    matrix = matrix_of(graph).to(x.dtype)
    if reduce in ("sum", "mean"):
        degree = (matrix > 0).sum(1).clamp(min=1)[:, None]
        return matrix @ x if reduce == "sum" else matrix @ x / degree
    bound = -torch.inf if reduce == "max" else torch.inf
    masked = torch.where((matrix > 0)[..., None], x, bound)
    out = masked.amax(1) if reduce == "max" else masked.amin(1)
    return out.masked_fill(~(matrix > 0).any(1)[:, None], 0)


def assert_same_with_gradients(ours, theirs, *leaves):
    results = []
    for run in (ours, theirs):
        inputs = [leaf.clone().requires_grad_() for leaf in leaves]
        out = run(*inputs)
        torch.manual_seed(7)
        grads = torch.autograd.grad(out, inputs, torch.randn_like(out))
        results.append([out, *grads])
    for got, wanted in zip(*results, strict=True):
        assert_close(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@each_build
@each_graph
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_sums_over_counts(graph, build, reduce, dtype):
    hag, x = hag_of(build, graph), torch.randn(graph[1][0], 3, dtype=dtype)
    ours = partial(aggregate, hag=hag, reduce=reduce)
    assert_same_with_gradients(ours, partial(reduced, graph, reduce=reduce), x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@each_unsigned
@each_graph
@pytest.mark.parametrize("reduce", ["max", "min"])
def test_extremes_over_covers(graph, build, reduce, dtype):
    hag = hag_of(build, graph, KINDS["cover"])
    x = torch.randn(graph[1][0], 3, dtype=dtype)
    ours = partial(aggregate, hag=hag, reduce=reduce)
    assert_same_with_gradients(ours, partial(reduced, graph, reduce=reduce), x)


def test_shared_maxima_are_divided_in_proportion_to_paths():
    hag = hag_of(
        fewest_hag, (edge_index_of([(0, 0), (0, 0), (0, 0), (1, 0), (2, 0)]), (3, 1)),
        KINDS["cover"],
    )  # fmt: skip
    x = torch.tensor([[2.0], [2.0], [1.0]], requires_grad=True)
    aggregate(x, hag, "max").sum().backward()
    assert x.grad.flatten().tolist() == [0.75, 0.25, 0.0]


def test_scales_and_lists_of_reductions():
    hag, matrix = hag_of(fewest_hag, SQUARE), matrix_of(SQUARE)
    x, a, b, c = (torch.rand(N, k, dtype=torch.float64) for k in (3, 1, 1, 1))
    scales = a.flatten(), b.flatten(), c.flatten()
    degree = (matrix > 0).sum(1)[:, None].clamp(min=1)
    wanted = b * (matrix @ (a * x)), b * (matrix @ (a * x)) / degree
    for name, total in zip(("sum", "mean"), wanted, strict=True):
        assert_close(aggregate(x, hag, name, *scales), total + c * x)
    got = aggregate(x, hag, ["mean", "add"], *scales[:2])
    assert_close(got, torch.cat(wanted[::-1], 1))
    assert aggregate(x[:, 0], hag, ["sum", "mean"]).shape == (N, 2)
    cover = aggregate(x, hag.covered, ["min", "max"])
    lists = [reduced(SQUARE, x, name) for name in ("min", "max")]
    assert torch.equal(cover, torch.cat(lists, 1))


def test_integers_and_complex_numbers():
    hag, matrix = hag_of(fewest_hag, SQUARE), matrix_of(SQUARE)
    x = torch.randint(-9, 9, (N, 3))
    assert torch.equal(aggregate(x, hag), (matrix @ x.double()).long())
    assert_close(aggregate(x, hag, "mean"), reduced(SQUARE, x.float(), "mean"))
    wanted = reduced(SQUARE, x.double(), "max").long()
    assert torch.equal(aggregate(x, hag.covered, "max"), wanted)
    z = torch.randn(N, 3, dtype=torch.complex128)
    for reduce in ("sum", "mean"):
        got = torch.view_as_real(aggregate(z, hag, reduce))
        wanted = [reduced(SQUARE, part, reduce) for part in (z.real, z.imag)]
        assert_close(got, torch.stack(wanted, -1))


OVER_EDGES = "var", "std", "symnorm", ["max", "mean"]


@pytest.mark.parametrize("reduce", ["max", "min", *OVER_EDGES], ids=str)
def test_reductions_that_counts_refuse(reduce):
    with pytest.raises(ValueError, match=r"counts paths .*'hag.unweighted'"):
        aggregate(torch.randn(N, 3), hag_of(fewest_hag, SQUARE), reduce)


@pytest.mark.parametrize("reduce", ["sum", "add", "mean", *OVER_EDGES], ids=str)
def test_reductions_that_covers_refuse(reduce):
    hag = hag_of(fewest_hag, SQUARE, KINDS["cover"])
    with pytest.raises(ValueError, match=r"is a cover.*build it with reduce='sum'"):
        aggregate(torch.randn(N, 3), hag, reduce)


def test_integer_sums_of_int8():
    q, qparams = torch.randint(0, 99, (N, 8), dtype=torch.uint8), QParams(0.5, 7, 255)
    hag = hag_of(fewest_hag, SQUARE)
    x = 0.5 * (q.double() - 7)
    got = aggregate_quantized(q, qparams, hag)
    assert torch.equal(got.double(), reduced(SQUARE, x, "sum"))
    got = aggregate_quantized(q, qparams, hag.covered, "max")
    assert torch.equal(got.double(), reduced(SQUARE, x, "max"))
    with pytest.raises(ValueError, match="is a cover"):
        aggregate_quantized(q, qparams, hag.covered)
    with pytest.raises(ValueError, match="counts paths"):
        aggregate_quantized(q, qparams, hag, "min")


# Layers #######################################################################


def layer_of(cls, **options):
    """A layer of PyG in float64, with an argument for each that has no default."""
    required = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in REQUIRED and parameter.default is inspect.Parameter.empty:
            value = REQUIRED[name][0]
            required[name] = value() if callable(value) else value
    if cls is pyg.HANConv:
        required["metadata"] = ["a"], [("a", "to", "a")]
    if cls is pyg.EGConv:
        required |= {"num_heads": 2, "num_bases": 2}
    torch.manual_seed(3)
    layer = cls(**{**required, **options})
    for parameter in layer.parameters():
        parameter.data = parameter.data + 0.1 * torch.rand_like(parameter)
    return layer.double().eval()


def run(layer, graph, x, weight=None):
    """What a layer makes of a graph, whatever its other arguments are."""
    cls = getattr(layer, "pyg_class", type(layer))
    if issubclass(cls, pyg.HANConv):
        return layer({"a": x}, {("a", "to", "a"): graph})["a"]
    names = [*inspect.signature(cls.forward).parameters][1:]
    known = {}
    for name in names[1:]:
        if name.endswith("edge_index"):
            known[name] = graph
        elif name in ("x_0", "h"):
            known[name] = x
    if weight is not None:
        known["edge_weight"] = weight
    return layer(x, **known)


SUMMING = [cls for cls in [*MIXINS, *EDGE_LAYERS] if takes_edge_weight(cls)]
OTHERS = [cls for cls in [*MIXINS, *EDGE_LAYERS] if not takes_edge_weight(cls)]
VARIANTS = [
    *((cls, {}) for cls in SUMMING if cls is not pyg.FAConv),
    (pyg.FAConv, {"normalize": False}),  # PyG's takes no weights that it normalises
    (pyg.GCNConv, {"improved": True}),
    (pyg.GCNConv, {"add_self_loops": False}),
    (pyg.GCNConv, {"normalize": False}),
    (pyg.GCNConv, {"flow": "target_to_source"}),
    (pyg.TAGConv, {"normalize": False}),
    (pyg.SGConv, {"K": 3}),
    (pyg.GraphConv, {"aggr": "mean"}),
    (pyg.SimpleConv, {"aggr": ["mean", "sum"]}),
    (pyg.GraphConv, {"flow": "target_to_source"}),
    (pyg.SimpleConv, {"aggr": "mean"}),
    (pyg.SimpleConv, {"combine_root": "self_loop"}),
    (pyg.LEConv, {"flow": "target_to_source"}),
    (pyg.ChebConv, {"K": 3, "normalization": None}),
    (pyg.ChebConv, {"K": 3, "normalization": "rw"}),
    (pyg.ChebConv, {"K": 3, "normalization": "sym"}),
]


def name_of(value):
    return value.__name__ if isinstance(value, type) else str(value) if value else "-"


@each_build
@pytest.mark.parametrize(("cls", "options"), VARIANTS, ids=name_of)
def test_layers_with_weights_are_those_of_pyg(cls, options, build):
    if build is signed_hag and isinstance(options.get("aggr"), list):
        return  # HAGs that subtract take one reduction at a time
    layer = layer_of(cls, **options)
    edge_index, count = counted(SQUARE[0])
    hag, weight = hag_of(build, SQUARE), count.double()
    ours, x = to_hag(layer), torch.randn(N, WIDTH, dtype=torch.float64)
    known = [p for p in layer.parameters() if p.requires_grad]
    ours_too = [p for p in ours.parameters() if p.requires_grad]
    for leaf in (x, x.float()):
        if leaf.dtype == torch.float32:
            layer, ours = layer.float(), ours.float()
        grads = []
        for module, parameters, graph, given in (
            (layer, known, edge_index, weight.to(leaf.dtype)),
            (ours, ours_too, hag, None),
        ):
            x_in = leaf.clone().requires_grad_()
            out = run(module, graph, x_in, given)
            torch.manual_seed(1)
            if not out.requires_grad:  # that of `LabelPropagation`
                grads.append([out])
                continue
            inputs = [x_in, *parameters]
            asked = torch.randn_like(out)
            found = torch.autograd.grad(out, inputs, asked, allow_unused=True)
            grads.append([out, *found])
        for wanted, got in zip(*grads, strict=True):
            assert (wanted is None) == (got is None)
            if wanted is not None:
                assert_close(got, wanted)


@pytest.mark.parametrize("cls", OTHERS, ids=name_of)
def test_layers_without_weights_refuse_counts(cls):
    options = {"aggr": "add"} if cls is pyg.GENConv else {}
    layer = to_hag(layer_of(cls, **options))
    x, hag = torch.randn(N, WIDTH, dtype=torch.float64), hag_of(fewest_hag, SQUARE)
    inner = "SAGEConv" if cls is pyg.DirGNNConv else cls.__name__
    wanted = rf"{inner}' takes no 'edge_weight', but this HAG counts paths.*weighted=F"
    with pytest.raises(ValueError, match=wanted):
        run(layer, hag, x)


@pytest.mark.parametrize("cls", [*MIXINS], ids=name_of)
def test_layers_refuse_covers(cls):
    options = {"aggr": "add"} if cls is pyg.GENConv else {}
    layer = to_hag(layer_of(cls, **options))
    hag = hag_of(fewest_hag, SQUARE, KINDS["cover"])
    x = torch.randn(N, WIDTH, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"Conv|APPNP|LabelProp.*is a cover"):
        run(layer, hag, x)


EXTREME = [
    (pyg.SAGEConv, {"aggr": "max"}),
    (pyg.SAGEConv, {"aggr": ["max", "min"]}),
    (pyg.SAGEConv, {"aggr": "min", "flow": "target_to_source"}),
    (pyg.GINConv, {"aggr": "max"}),
    (pyg.GENConv, {"aggr": "max"}),
    (pyg.GeneralConv, {"aggr": "max"}),
    (pyg.MFConv, {"aggr": "max"}),
    (pyg.MFConv, {"aggr": "max", "flow": "target_to_source"}),
    (pyg.SignedConv, {"aggr": "max"}),
    (pyg.EGConv, {"aggregators": ["max"]}),
    (
        pyg.EGConv,
        {"aggregators": ["min", "max"],
         "add_self_loops": False},
    ),
    (pyg.CGConv, {"aggr": "max"}),
    (pyg.ResGatedGraphConv, {"aggr": "max"}),
]  # fmt: skip


@each_kind
@each_unsigned
@pytest.mark.parametrize(("cls", "options"), EXTREME, ids=name_of)
def test_layers_of_maxima(cls, options, build, weights):
    layer = layer_of(cls, **options)
    edge_index, _ = counted(SQUARE[0])
    hag, x = hag_of(build, SQUARE, weights), torch.randn(N, WIDTH).double()
    ours = to_hag(layer)
    theirs = partial(run, layer, edge_index)
    assert_same_with_gradients(partial(run, ours, hag), theirs, x)


def test_layers_on_edges_take_those_of_a_cover():
    edge_index, _ = counted(SQUARE[0])
    hag, x = hag_of(fewest_hag, SQUARE, KINDS["cover"]), torch.randn(N, WIDTH).double()
    for layer in (layer_of(pyg.FeaStConv), layer_of(pyg.CGConv)):
        assert_close(run(to_hag(layer), hag, x), run(layer, edge_index, x))


def test_maxima_of_weighted_messages_are_refused():
    for cls in (pyg.GraphConv, pyg.SimpleConv):
        layer = to_hag(layer_of(cls, aggr="max"))
        with pytest.raises(ValueError, match="counts paths"):
            run(layer, hag_of(fewest_hag, SQUARE), torch.randn(N, WIDTH).double())


@each_kind
@pytest.mark.parametrize("cls", [pyg.GCNConv, pyg.GraphConv, pyg.FAConv])
def test_weights_of_edges_are_refused(cls, weights):
    options = {"aggr": "max"} if weights.of_paths == "cover" else {}
    if cls is pyg.GCNConv and options:
        options["normalize"] = False
    layer = to_hag(layer_of(cls, **options))
    hag = hag_of(fewest_hag, SQUARE, weights)
    weight = torch.rand(hag.num_edges, dtype=torch.float64)
    wanted = (
        f"'edge_weight' is given edge by edge, but this HAG is a {weights.of_paths}"
    )
    with pytest.raises(ValueError, match=wanted):
        run(layer, hag, torch.randn(N, WIDTH).double(), weight)


def test_dropped_edges_are_those_of_the_graph():
    edge_index, count = counted(SQUARE[0])
    layer = pyg.APPNP(2, 0.1, dropout=0.5).train()
    x, ours = torch.randn(N, 3), to_hag(layer)
    outs = []
    for run_it in (
        lambda: layer(x, edge_index, count.float()),
        lambda: ours(x, hag_of(fewest_hag, SQUARE)),
    ):
        torch.manual_seed(2)
        outs.append(run_it())
    assert_close(*outs[::-1])


class Own(pyg.MessagePassing):
    """A layer of a user."""

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_j):
        return x_j


def test_layers_of_users():
    x, hag = torch.randn(N, 3), hag_of(fewest_hag, SQUARE)
    with pytest.raises(ValueError, match="'HAGOwn' takes no 'edge_weight'"):
        to_hag(Own(aggr="mean"))(x, hag)
    for graph in (hag, hag.covered):
        got = to_hag(Own(aggr="max"))(x, graph)
        assert torch.equal(got, reduced(SQUARE, x, "max"))


@each_unsigned
def test_torch_compile(build):
    edge_index, count = counted(SQUARE[0])
    hag, x = hag_of(build, SQUARE), torch.randn(N, WIDTH)
    weight = count.float()
    for layer, graph, given in (
        (pyg.GCNConv(WIDTH, 3, improved=True), hag, weight),
        (pyg.GCNConv(WIDTH, 3, flow="target_to_source"), hag, weight),
        (pyg.GraphConv(WIDTH, 3, aggr="mean"), hag, weight),
        (pyg.ChebConv(WIDTH, 3, 2), hag, weight),
        (pyg.SAGEConv(WIDTH, 3, aggr="max"), hag.covered, None),
        (pyg.GeneralConv(WIDTH, 3, aggr="max", flow="target_to_source"), hag, None),
        (pyg.EGConv(WIDTH, 4, ["min"], 2, 2), hag, None),
        (pyg.EGConv(WIDTH, 4, ["max"], 2, 2), hag.covered, None),
    ):
        torch._dynamo.reset()
        compiled = torch.compile(to_hag(layer), backend="aot_eager", fullgraph=True)
        assert_close(run(compiled, graph, x), run(layer, edge_index, x, given))


UNPROTECTED = DegreeQuantConfig(protect=False)


@pytest.mark.parametrize("cls", [pyg.GCNConv, pyg.SGConv, pyg.GraphConv])
def test_quantized_layers(cls):
    keep = SQUARE[0][0] != SQUARE[0][1]  # PyG keeps one of several loops
    graph = SQUARE[0][:, keep], SQUARE[1]
    hag, x = hag_of(fewest_hag, graph), torch.randn(N, 8)
    torch.manual_seed(0)
    model = prepare_qat(cls(8, 8), UNPROTECTED)
    for _ in range(3):
        model(x, hag.unweighted)
    model.eval()
    assert torch.equal(model(x, hag), model(x, hag.unweighted))
    int8 = convert(model, (x, hag.unweighted))
    assert torch.equal(int8(x, hag), int8(x, hag.unweighted))


@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_quantized_layers_that_refuse(aggr):
    hag, x = hag_of(fewest_hag, SQUARE), torch.randn(N, 8)
    for cls, options in ((pyg.SAGEConv, {"aggr": aggr}), (pyg.GATConv, {})):
        model = prepare_qat(cls(8, 8, **options), UNPROTECTED)
        model(x, hag.unweighted)
        for prepared in (model, convert(model.eval(), (x, hag.unweighted))):
            with pytest.raises(ValueError, match="takes no 'edge_weight'"):
                prepared(x, hag)
            with pytest.raises(ValueError, match="is a cover"):
                prepared(x, hag.covered)


# Data #########################################################################


def data_of(seed, weights, removed=False, build=fewest_hag):
    graph = paths_between(seed, 9, 9)
    edge_index, _ = counted(graph[0])
    order = torch.randperm(edge_index.size(1))
    data = HAGData(edge_index=edge_index[:, order], num_nodes=9)
    hag = hag_of(build, graph, weights)
    if removed:
        attach(data._store, [hag], remove_edge_index=True)
    else:
        data.hag = hag
    return data, matrix_of(graph), hag


def assert_stands_for(hag, matrix, weights):
    wanted = matrix if weights.of_paths == "count" else (matrix > 0).double()
    got = hag.to_adj_t(torch.sparse_csr).to_dense().double()
    assert hag.of_paths == weights.of_paths and torch.equal(got, wanted)


@each_kind
@pytest.mark.parametrize("removed", [False, True])
def test_data_and_batches(weights, removed, tmp_path):
    parts = [data_of(seed, weights, removed) for seed in range(3)]
    datas, matrices, hags = zip(*parts, strict=True)
    for data, matrix, hag in parts:
        torch.save(data, tmp_path / "data")
        loaded = torch.load(tmp_path / "data", weights_only=False)
        for other in (data, copy.copy(data), loaded, pickle.loads(pickle.dumps(data))):
            assert other.hag == hag
            assert_stands_for(other.hag, matrix, weights)
            assert other.num_edges == hag.num_edges
        assert ("edge_weight" in data._store._mapping) == (
            weights.of_paths == "count" and not removed
        )
        dense = torch.zeros(9, 9, dtype=torch.float64)
        values = torch.ones(hag.num_edges)
        if weights.of_paths == "count":
            values = data.edge_weight
        dense.index_put_(tuple(data.edge_index.flip(0)), values.double())
        assert torch.equal(dense, hag.to_adj_t(torch.sparse_csr).to_dense().double())
    batch = Batch.from_data_list([*datas])
    assert_stands_for(batch.hag, torch.block_diag(*matrices), weights)
    for part, hag in zip(batch.to_data_list(), hags, strict=True):
        assert part.hag == hag


@each_kind
def test_hetero_data(weights):
    graph = GRAPHS["more sources"]
    data = HAGHeteroData()
    data["a"].num_nodes, data["b"].num_nodes = graph[1]
    data["a", "to", "b"].edge_index, _ = counted(graph[0])
    data.hag_dict = {("a", "to", "b"): hag_of(fewest_hag, graph, weights)}
    assert_stands_for(data.hag_dict["a", "to", "b"], matrix_of(graph), weights)


def test_stores_without_edges():
    data = HAGHeteroData()
    graph = GRAPHS["more sources"]
    data["a"].num_nodes, data["b"].num_nodes = graph[1]
    store = data["a", "to", "b"]
    attach(store, [hag_of(fewest_hag, graph)], remove_edge_index=True)
    edge_index, count = counted(graph[0])
    assert (
        torch.equal(store.edge_index, edge_index) and store.num_edges == count.numel()
    )
    assert torch.equal(store.edge_weight, count.float()) and "edge_weight" in store
    assert_stands_for(data.hag_dict["a", "to", "b"], matrix_of(graph), KINDS["count"])


def test_hags_of_other_edges_or_counts_are_refused():
    data, _, hag = data_of(0, KINDS["count"])
    with pytest.raises(ValueError, match="not a HAG of the edges"):
        HAGData(edge_index=data.edge_index[:, 1:], num_nodes=9).hag = hag
    for change in (
        lambda w: w.mul_(2), lambda w: w.div_(w.sum()), lambda w: w.neg_(),
        lambda w: w.copy_(w.roll(1)),
    ):  # fmt: skip
        changed = data.clone()
        change(changed.edge_weight)
        if torch.equal(changed.edge_weight, data.edge_weight):
            continue
        with pytest.raises(ValueError, match="edge_weight"):
            _ = changed.hag
    changed = data.clone()
    del changed.edge_weight
    with pytest.raises(ValueError, match="'edge_weight' was removed"):
        _ = changed.hag


def test_batches_of_several_kinds():
    counts, _, _ = data_of(0, KINDS["count"], removed=True)
    covers, _, _ = data_of(1, KINDS["cover"], removed=True)
    single = random_graph(2, 9, 9, 0.4)
    transform = HAGTransform(objective="aggregations", remove_edge_index=True)
    plain = transform(Data(edge_index=single[0], num_nodes=9))
    doubled = single[0].repeat(1, 2)
    repeated = transform(Data(edge_index=doubled, num_nodes=9))
    for first, kind in ((counts, KINDS["count"]), (covers, KINDS["cover"])):
        batch = Batch.from_data_list([first, plain])
        blocks = matrix_of(paths_between(int(first is covers), 9, 9))
        both = torch.block_diag(blocks, matrix_of(single))
        assert_stands_for(batch.hag, both, kind)
        with pytest.raises(ValueError, match="duplicate edges"):
            _ = Batch.from_data_list([first, repeated]).hag
    with pytest.raises(ValueError, match="of one kind"):
        _ = Batch.from_data_list([counts, covers]).hag


def test_error_names_the_way_out():
    message = re.escape("HAGMetaPaths(weighted=False)")
    with pytest.raises(ValueError, match=message):
        to_hag(pyg.GINConv(torch.nn.Linear(3, 3)))(
            torch.randn(N, 3), hag_of(fewest_hag, SQUARE)
        )

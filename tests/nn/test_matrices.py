"""Layers on HAGs that were built from matrices with values: as PyG's on the matrix."""

import copy
import io
import pickle

import numpy as np
import pytest
import scipy.sparse
import torch
from graphs import near_cliques
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import WITH_TORCH_SPARSE
from torch_geometric.utils import add_self_loops

from pyg_hag import HAG, HAGTransform, aggregate, build_hag, to_hag

pytestmark = pytest.mark.filterwarnings("ignore:Converting sparse tensor")
EDGES, (NODES, _) = near_cliques(0, 2, 6)
WIDTH = 8
X = torch.randn(NODES, WIDTH, generator=torch.Generator().manual_seed(0))


def random_weights(edges):
    return torch.rand(edges.size(1), generator=torch.Generator().manual_seed(1)) + 0.1


LOOPED, _ = add_self_loops(EDGES, num_nodes=NODES)
GRAPHS = {
    "normalised": gcn_norm(EDGES, num_nodes=NODES),
    "normalised without self-loops": gcn_norm(
        EDGES, num_nodes=NODES, add_self_loops=False
    ),
    "random": (EDGES, random_weights(EDGES)),
    "random with self-loops": (LOOPED, random_weights(LOOPED)),
}


def coo(edges, weight):
    return torch.sparse_coo_tensor(edges.flip(0), weight, (NODES, NODES)).coalesce()


def sparse_tensor(edges, weight):
    from torch_sparse import SparseTensor

    src, dst = edges
    return SparseTensor(row=dst, col=src, value=weight, sparse_sizes=(NODES, NODES))


FORMATS = {
    "coo": coo,
    "csr": lambda *graph: coo(*graph).to_sparse_csr(),
    "csc": lambda *graph: coo(*graph).to_sparse_csc(),
}
if WITH_TORCH_SPARSE:
    FORMATS["SparseTensor"] = sparse_tensor

LAYERS = {
    "GCN": lambda: pyg.GCNConv(WIDTH, 4),
    "GCN improved": lambda: pyg.GCNConv(WIDTH, 4, improved=True),
    "GCN as it is": lambda: pyg.GCNConv(WIDTH, 4, normalize=False),
    "TAG": lambda: pyg.TAGConv(WIDTH, 4, 2),
    "SG": lambda: pyg.SGConv(WIDTH, 4, 2),
    "SSG": lambda: pyg.SSGConv(WIDTH, 4, 0.1),
    "LG": lambda: pyg.LGConv(),
    "LG as it is": lambda: pyg.LGConv(normalize=False),
    "ARMA": lambda: pyg.ARMAConv(WIDTH, 4),
    "APPNP": lambda: pyg.APPNP(3, 0.1),
    "MixHop": lambda: pyg.MixHopConv(WIDTH, 4, [0, 1]),
    "GraphConv": lambda: pyg.GraphConv(WIDTH, 4),
    "GraphConv mean": lambda: pyg.GraphConv(WIDTH, 4, aggr="mean"),
    "GraphConv max": lambda: pyg.GraphConv(WIDTH, 4, aggr="max"),
    "Gated": lambda: pyg.GatedGraphConv(WIDTH, 2),
    "SAGE": lambda: pyg.SAGEConv(WIDTH, 4),
    "SAGE max": lambda: pyg.SAGEConv(WIDTH, 4, "max"),
    "GIN": lambda: pyg.GINConv(nn.Linear(WIDTH, 4)),
    "MF": lambda: pyg.MFConv(WIDTH, 4),
    "LE": lambda: pyg.LEConv(WIDTH, 4),
    "WL": lambda: pyg.WLConvContinuous(),
    "Simple": lambda: pyg.SimpleConv(),
    "GAT": lambda: pyg.GATConv(WIDTH, 4),
    "EG": lambda: pyg.EGConv(WIDTH, 4, ["sum", "max"], 2, 2),
    "ClusterGCN": lambda: pyg.ClusterGCNConv(WIDTH, 4),
    "GEN": lambda: pyg.GENConv(WIDTH, 4, aggr="mean"),
    "General": lambda: pyg.GeneralConv(WIDTH, 4),
}
REFUSED = {"EG", "ClusterGCN"}
REFUSED_OF_TORCH = {*REFUSED, "GEN", "General"}


def hag_of(name, matrix, **options):
    options |= {"capacity": 0} if "random" in name else {"objective": "aggregations"}
    return build_hag(matrix, **options)


def outcome(run):
    """The outputs, or the error if PyG does not take such a matrix."""
    try:
        return run()
    except (
        NotImplementedError, RuntimeError, ValueError, AttributeError, IndexError
    ) as error:  # fmt: skip
        return error


@pytest.mark.each_value
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_use_the_values_as_pyg_does(layer, form, graph):
    torch.manual_seed(0)
    matrix = FORMATS[form](*GRAPHS[graph])
    hag = hag_of(graph, matrix)
    conv = LAYERS[layer]().eval()
    fast = to_hag(conv)
    if layer in (REFUSED if form == "SparseTensor" else REFUSED_OF_TORCH):
        with pytest.raises(ValueError, match=r"with weights of its edges.*unweighted"):
            fast(X, hag)
        return
    expected = outcome(lambda: conv(X, matrix))
    if isinstance(expected, Exception):  # PyG may not take CSC
        expected = outcome(lambda: conv(X, FORMATS["csr"](*GRAPHS[graph])))
    if isinstance(expected, Exception):  # nor any matrix of PyTorch
        assert layer in ("ARMA", "MF", "WL")
        return
    torch.testing.assert_close(fast(X, hag), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("form", [*FORMATS, "scipy"])
def test_a_sum_is_a_product_with_the_matrix(form, graph):
    edges, weight = GRAPHS[graph]
    dense = coo(edges, weight).to_dense().double()
    if form == "scipy":  # entry (u, v) is the edge from u to v
        matrix = scipy.sparse.csr_matrix(dense.t().numpy())
    else:
        matrix = FORMATS[form](edges, weight)
    hag = hag_of(graph, matrix)
    x = X.double()
    torch.testing.assert_close(aggregate(x, hag), dense @ x, rtol=1e-5, atol=1e-5)
    back = aggregate(x, hag.t())
    torch.testing.assert_close(back, dense.t() @ x, rtol=1e-5, atol=1e-5)
    degree = (dense != 0).sum(1, keepdim=True).clamp(min=1)
    mean = aggregate(x, hag, "mean")
    torch.testing.assert_close(mean, dense @ x / degree, rtol=1e-5, atol=1e-5)
    a, b = torch.rand(2, NODES, dtype=torch.double)
    scaled = aggregate(x, hag, "sum", a, b)
    expected = b[:, None] * (dense @ (a[:, None] * x))
    torch.testing.assert_close(scaled, expected, rtol=1e-5, atol=1e-5)
    unweighted = build_hag(edges, NODES)
    bare = aggregate(x, hag.unweighted)
    torch.testing.assert_close(bare, aggregate(x, unweighted))


def copies(hag, folder):
    hag.save(folder / "a.hag")
    yield HAG.load(folder / "a.hag")
    yield pickle.loads(pickle.dumps(hag))
    file = io.BytesIO()
    torch.save(hag, file)
    file.seek(0)
    yield torch.load(file, weights_only=True)
    yield copy.deepcopy(hag)
    yield hag.to("cpu")
    yield hag.t().t()


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("form", FORMATS)
def test_copies_keep_the_weights(form, graph, tmp_path):
    hag = hag_of(graph, FORMATS[form](*GRAPHS[graph]))
    expected = aggregate(X, hag)
    gat = to_hag(
        pyg.FAConv(WIDTH, normalize=False)
    )  # runs on edges, with their weights
    for other in copies(hag, tmp_path):
        torch.testing.assert_close(aggregate(X, other), expected)
        assert other.weights.is_optional == hag.weights.is_optional
        torch.testing.assert_close(gat(X, X, other), gat(X, X, hag), atol=1e-5, rtol=0)


@pytest.mark.parametrize("capacity", [None, 0])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16]
)
def test_copies_keep_the_dtype_of_weights(dtype, capacity, tmp_path):
    edges, weight = GRAPHS["random" if capacity == 0 else "normalised"]
    hag = build_hag(coo(edges, weight.to(dtype)), capacity=capacity)
    for other in copies(hag, tmp_path):
        for ours, theirs in zip(other.weights[:3], hag.weights[:3], strict=True):
            assert (ours is None) == (theirs is None)
            assert ours is None or (ours.dtype == theirs.dtype == dtype)


def test_weights_that_cannot_be_shared_are_refused_by_name():
    matrix = coo(*GRAPHS["random"])
    with pytest.raises(ValueError, match=r"values of 'edge_index'.*weighs.*capacity=0"):
        build_hag(matrix)
    learned = matrix.clone().requires_grad_()
    with pytest.raises(ValueError, match=r"requires a gradient.*capacity=0"):
        build_hag(learned)
    vectors = torch.sparse_coo_tensor(
        EDGES, torch.rand(EDGES.size(1), 3), (NODES, NODES, 3)
    )
    with pytest.raises(ValueError, match=r"several values per edge.*'edge_attr'"):
        build_hag(vectors)


def test_gradients_reach_values_that_are_learned():
    edges, weight = GRAPHS["random"]
    found = []
    for build in (lambda matrix: matrix, lambda matrix: build_hag(matrix, capacity=0)):
        value = weight.clone().requires_grad_()
        conv = to_hag(pyg.GCNConv(WIDTH, 4, normalize=False))
        conv.load_state_dict(
            {"bias": torch.zeros(4), "lin.weight": torch.ones(4, WIDTH)}
        )
        conv(X, build(coo(edges, value))).pow(2).sum().backward()
        found.append(value.grad)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"objective": "aggregations"}, {"capacity": 0}, {"subtract": True}]
)
@pytest.mark.parametrize("layer", ["GCN as it is", "GCN", "SAGE", "GAT"])
def test_transforms_that_leave_values_in_adj_t(layer, options):
    chain = T.Compose([T.GCNNorm(), T.ToSparseTensor()])
    theirs = chain(Data(x=X, edge_index=EDGES))
    ours = HAGTransform(**options)(theirs)
    conv = LAYERS[layer]()
    if not WITH_TORCH_SPARSE and layer == "GCN":  # PyG adds loops to a tensor's
        assert not ours.hag.weights.is_optional
    expected = conv(X, theirs.adj_t)
    fast = to_hag(conv)
    torch.testing.assert_close(fast(X, ours.hag), expected, rtol=1e-4, atol=1e-5)
    batch = Batch.from_data_list([ours, ours])
    out = fast(batch.x, batch.hag)
    torch.testing.assert_close(out, torch.cat([expected] * 2), rtol=1e-4, atol=1e-5)
    if WITH_TORCH_SPARSE:  # PyG does not take a batch of other matrices apart
        one = pickle.loads(pickle.dumps(batch))[1]
        torch.testing.assert_close(fast(one.x, one.hag), expected, rtol=1e-4, atol=1e-5)
    ours.edge_weight = None
    with pytest.raises(ValueError, match="'edge_weight' was removed"):
        _ = ours.hag


def test_reductions_over_weights_that_have_no_factors():
    hag = build_hag(coo(*GRAPHS["random"]), capacity=0)
    with pytest.raises(ValueError, match=r"sum or mean.*no factors.*\('max'|got 'max'"):
        aggregate(X, hag, "max")
    hag = hag_of("normalised", coo(*GRAPHS["normalised"]))
    with pytest.raises(ValueError, match=r"sum, mean, max or min.*got 'var'"):
        aggregate(X, hag, "var")
    dense = coo(*GRAPHS["normalised"]).to_dense()
    products = (dense[:, :, None] * X).masked_fill(dense[:, :, None] == 0, -np.inf)
    torch.testing.assert_close(aggregate(X, hag, "max"), products.amax(1))


ON_EDGES = {  # layers that cannot share, and what they do beyond reading edges
    "extremes, changed in place": lambda: pyg.GCN2Conv(WIDTH, 0.5, aggr="max"),
    "indices that are kept": lambda: pyg.CGConv(WIDTH, aggr="softmax"),
    "deviations": lambda: pyg.MixHopConv(WIDTH, 4, aggr="std"),
    "loops": lambda: pyg.SimpleConv(aggr="max", combine_root="self_loop"),
    "heads": lambda: pyg.GATConv(WIDTH, 4),
}


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("edges", ["random", "none"])
@pytest.mark.parametrize("layer", ON_EDGES)
def test_gradients_of_layers_on_edges(layer, edges, learned):
    edge_index, weight = GRAPHS["random"]
    if edges == "none":
        edge_index, weight = edge_index[:, :0], weight[:0]
    found = []
    conv = ON_EDGES[layer]()
    for model in (conv, to_hag(copy.deepcopy(conv))):
        x = X.clone().requires_grad_()
        value = weight.clone().requires_grad_(learned)
        graph = torch.sparse_coo_tensor(edge_index.flip(0), value, (NODES, NODES))
        graph = graph.coalesce().to_sparse_csr()
        if model is not conv:
            graph = build_hag(graph, capacity=0)
        again = (x,) if isinstance(conv, pyg.GCN2Conv) else ()
        out = model(x, *again, graph)
        out = model(out[:, :WIDTH], *again, graph) if out.size(1) == WIDTH else out
        leaves = [x, value] if learned else [x]
        found.append((out, torch.autograd.grad(
            out.square().sum(), leaves, materialize_grads=True, allow_unused=True
        )))  # fmt: skip
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)

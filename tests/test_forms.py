"""Graphs in all the forms in which people hold them."""

import pytest
import torch
from contract import GRAPHS, assert_close, each_graph
from graphs import fewest_hag
from torch_geometric import EdgeIndex
from torch_geometric import transforms as T
from torch_geometric.data import Data
from torch_geometric.nn import GCN, SAGEConv
from torch_geometric.typing import WITH_TORCH_SPARSE
from torch_geometric.utils import remove_self_loops

from pyg_hag import HAGTransform, aggregate, build_hag
from pyg_hag.nn import to_hag


def coo(edge_index, size):
    """The transposed adjacency matrix."""
    ones = torch.ones(edge_index.size(1))
    return torch.sparse_coo_tensor(edge_index.flip(0), ones, size[::-1])


def scipy(edge_index, size, form):
    from scipy import sparse

    matrix = sparse.coo_matrix(([1] * edge_index.size(1), edge_index.numpy()), size)
    return getattr(matrix, f"to{form}")()


def torch_sparse(edge_index, size):
    from torch_sparse import SparseTensor

    return SparseTensor(row=edge_index[1], col=edge_index[0], sparse_sizes=size[::-1])


FORMS = {
    "EdgeIndex": lambda e, size: EdgeIndex(e, sparse_size=size),
    "coo": coo,
    "csr": lambda e, size: coo(e, size).to_sparse_csr(),
    "csc": lambda e, size: coo(e, size).to_sparse_csc(),
    "scipy csr": lambda e, size: scipy(e, size, "csr"),
    "scipy csc": lambda e, size: scipy(e, size, "csc"),
    "scipy coo": lambda e, size: scipy(e, size, "coo"),
}
if WITH_TORCH_SPARSE:
    FORMS["SparseTensor"] = torch_sparse


@pytest.mark.filterwarnings("ignore:Sparse CS")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name", ["dense", "isolated nodes", "directed chain", "clique"]
)
def test_all_forms_are_the_same_graph(form, name):
    edge_index, size = GRAPHS[name]
    graph = FORMS[form](edge_index, size)
    hag = build_hag(graph, objective="aggregations")
    hag.validate(edge_index)
    assert (hag.num_src, hag.num_dst) == size
    edges = hag.edge_index_in_order("edge_weight")
    assert type(edges) is torch.Tensor and edges.shape == edge_index.shape
    assert build_hag(graph, size=size).num_dst == size[1]
    with pytest.raises(ValueError, match="'size' is"):
        build_hag(graph, size=(size[0] + 1, size[1]))
    with pytest.raises(ValueError, match="'num_nodes' is"):
        build_hag(graph, num_nodes=size[0] + 1)


def test_sizes_that_an_edge_index_does_not_know():
    edge_index, size = GRAPHS["dense"]
    for known in ((None, None), (size[0], None), (None, size[1])):
        graph = EdgeIndex(edge_index, sparse_size=known)
        assert build_hag(graph, num_nodes=size[0]).num_dst == size[1]


def test_bipartite_matrices_are_transposed():
    edge_index = torch.tensor([[0, 1, 2], [0, 1, 1]])
    hag = build_hag(coo(edge_index, (3, 2)))
    assert (hag.num_src, hag.num_dst) == (3, 2)
    hag.validate(edge_index)


def test_values_are_not_lost():
    x = torch.randn(2, 3)
    matrix = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2))
    torch.testing.assert_close(aggregate(x, build_hag(matrix)), matrix @ x)
    matrix = torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 1.0], (2, 2))
    torch.testing.assert_close(aggregate(x, build_hag(matrix)), matrix @ x)  # twice


@pytest.mark.filterwarnings("ignore:Sparse CS", "ignore:Converting sparse")
@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo, None])
@pytest.mark.parametrize("normalized", [True, False])
def test_pipelines_with_to_sparse_tensor(layout, remove, normalized):
    edge_index, (n, _) = GRAPHS["dense"]
    # Without self-loops, which PyG adds to a sparse matrix that has them already:
    data = Data(torch.randn(n, 8), remove_self_loops(edge_index)[0])
    steps = [T.GCNNorm()] if normalized else []
    sparse = T.ToSparseTensor(remove_edge_index=remove, layout=layout)
    out = T.Compose([*steps, sparse, HAGTransform(objective="aggregations")])(data)
    model = GCN(8, 8, 2, 4, normalize=not normalized)
    assert "adj_t" in out
    wanted = model(out.x, out.adj_t)
    got = to_hag(model)(out.x, out.hag, out.get("edge_weight"))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    if not normalized:
        assert "adj_t" not in HAGTransform(add_self_loops=True)(out)


@pytest.mark.filterwarnings("ignore:Sparse ")
@pytest.mark.parametrize(
    "layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, None], ids=str
)
@each_graph
def test_back_to_a_matrix(graph, layout):
    edge_index, size = graph
    hag = fewest_hag(edge_index, size=size)
    adj_t = hag.to_adj_t(layout)
    wanted = torch.zeros(size[::-1])
    wanted.index_put_((edge_index[1], edge_index[0]), torch.tensor(1.0), True)
    if layout is None and WITH_TORCH_SPARSE:
        assert type(adj_t).__name__ == "SparseTensor"
        assert list(adj_t.sparse_sizes()) == list(size[::-1])
        assert adj_t.nnz() == edge_index.size(1)
    else:
        assert adj_t.layout == (layout or torch.sparse_csr)
        assert adj_t.shape == size[::-1]
        assert torch.equal(adj_t.to_dense(), wanted)
    if layout != torch.sparse_coo or (wanted <= 1).all():  # which are summed there
        build_hag(adj_t).validate(edge_index)
    if size[0] == size[1] > 0 and layout in (torch.sparse_csr, None):
        x, conv = torch.randn(size[0], 4), SAGEConv(4, 3)
        assert_close(conv(x, adj_t), conv(x, edge_index))


def test_matrices_of_other_layouts_are_refused():
    hag = build_hag(GRAPHS["clique"][0])
    with pytest.raises(ValueError, match="'layout' must be one of"):
        hag.to_adj_t(torch.strided)

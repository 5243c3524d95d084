"""Next to torch_scatter and torch_sparse: what they compute is what we compute."""

import pytest
import torch
from contract import SQUARE, assert_close, each_square_graph
from torch_geometric.nn import GCNConv, GINConv, SAGEConv
from torch_geometric.typing import WITH_TORCH_SCATTER, WITH_TORCH_SPARSE

from pyg_hag import aggregate, build_hag
from pyg_hag.nn import HAGGCNConv, HAGGINConv, HAGSAGEConv

pytestmark = [
    pytest.mark.sparse,
    pytest.mark.skipif(
        not (WITH_TORCH_SCATTER and WITH_TORCH_SPARSE),
        reason="torch_scatter and torch_sparse are not installed",
    ),
]


@each_square_graph
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_torch_scatter(graph, reduce):
    import torch_scatter

    (src, dst), (n, _) = graph
    hag = build_hag(graph[0], n)
    x = torch.randn(n, 9)
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    wanted = torch_scatter.scatter(leaves[0][src], dst, 0, dim_size=n, reduce=reduce)
    got = aggregate(leaves[1], hag, reduce)
    assert_close(got, wanted)
    for out in (wanted, got):
        out.backward(x)
    assert_close(leaves[1].grad, leaves[0].grad)


# On a SparseTensor, PyG's GCN replaces self-loops differently.
@pytest.mark.unless(
    lambda graph, theirs: theirs is GCNConv and (graph[0][0] == graph[0][1]).any()
)
@each_square_graph
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(SAGEConv, HAGSAGEConv), (GCNConv, HAGGCNConv), (GINConv, HAGGINConv)],
    ids=["SAGE", "GCN", "GIN"],
)
def test_layers_on_a_sparse_tensor(graph, theirs, ours):
    from torch_sparse import SparseTensor

    edge_index, (n, _) = graph
    adj_t = SparseTensor.from_edge_index(edge_index, sparse_sizes=(n, n)).t()
    arguments = (torch.nn.Linear(8, 6),) if theirs is GINConv else (8, 6)
    a, b = theirs(*arguments), ours(*arguments)
    b.load_state_dict(a.state_dict())
    x = torch.randn(n, 8)
    wanted = a(x, adj_t)
    assert_close(b(x, build_hag(edge_index, n)), wanted)
    assert_close(b(x, adj_t), wanted)


def test_something_was_tested():
    assert len(SQUARE) > 10

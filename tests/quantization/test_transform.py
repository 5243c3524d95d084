import pytest
import torch
import torch_geometric.transforms as T
from graphs import random_graph
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.utils import degree

from pyg_hag import HAGTransform
from pyg_hag.quantization import DegreeQuantTransform


def data(seed=0, n=30):
    edge_index, _ = random_graph(seed, n, n, 0.2)
    return Data(torch.randn(n, 4), edge_index)


def wanted(edge_index, n, p_min, p_max):
    """The definition, node by node."""
    d = degree(edge_index[1], n).tolist()
    return [p_min + (p_max - p_min) * sum(a <= b for a in d) / n for b in d]


@pytest.mark.parametrize("limits", [(0.0, 0.1), (0.1, 0.2), (0.3, 0.3), (0, 1)])
def test_definition(limits):
    before = data()
    out = DegreeQuantTransform(*limits)(before)
    p = torch.tensor(wanted(before.edge_index, 30, *limits))
    torch.testing.assert_close(out.protect_prob, p)
    d = degree(before.edge_index[1], 30)
    assert (out.protect_prob[d == d.max()] == torch.tensor(float(limits[1]))).all()
    assert "protect_prob" not in before and torch.equal(out.x, before.x)


def test_graphs_of_a_batch_are_ranked_alone():
    graphs = [data(seed, 10 + 5 * seed) for seed in range(4)]
    batch = DegreeQuantTransform()(Batch.from_data_list(graphs))
    each = [DegreeQuantTransform()(graph).protect_prob for graph in graphs]
    assert torch.equal(batch.protect_prob, torch.cat(each))
    assert batch.num_graphs == 4
    later = Batch.from_data_list([DegreeQuantTransform()(graph) for graph in graphs])
    assert torch.equal(later.protect_prob, batch.protect_prob)


def test_goes_with_other_transforms():
    edges = data().edge_index
    for transforms in (
        [DegreeQuantTransform(), HAGTransform()],
        [HAGTransform(), DegreeQuantTransform()],
        [DegreeQuantTransform(), T.AddSelfLoops()],
        [T.ToSparseTensor(layout=torch.sparse_csr), DegreeQuantTransform()],
    ):
        out = T.Compose(transforms)(data())
        p = torch.tensor(wanted(edges, 30, 0, 0.1))
        torch.testing.assert_close(out.protect_prob, p)
        if "hag_packed" in out:
            out.hag.validate(edges)


def test_edges_of_all_types_count():
    hetero = HeteroData()
    hetero["a"].x, hetero["b"].x = torch.randn(4, 2), torch.randn(3, 2)
    hetero["a", "to", "b"].edge_index = torch.tensor([[0, 1, 2], [0, 0, 1]])
    hetero["b", "to", "b"].edge_index = torch.tensor([[0, 1], [1, 1]])
    out = DegreeQuantTransform(0.0, 0.6)(hetero)
    torch.testing.assert_close(out["b"].protect_prob, torch.tensor([0.4, 0.6, 0.2]))
    assert (out["a"].protect_prob == torch.tensor(0.6)).all()  # none has an edge


def test_odd_graphs():
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=0)
    assert DegreeQuantTransform()(empty).protect_prob.shape == (0,)
    alone = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=2)
    assert DegreeQuantTransform()(alone).protect_prob.tolist() == [
        pytest.approx(0.1),
        pytest.approx(0.1),
    ]


def test_errors_and_repr():
    with pytest.raises(ValueError, match="'p_max' must be at least 'p_min'"):
        DegreeQuantTransform(0.5, 0.1)
    with pytest.raises(ValueError, match="'p_min' must be in"):
        DegreeQuantTransform(-1)
    with pytest.raises(TypeError, match="'data' must be a 'Data' or 'HeteroData'"):
        DegreeQuantTransform()(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="neither 'edge_index' nor 'adj_t'"):
        DegreeQuantTransform()(Data(edge_index=None, adj_t=None, num_nodes=2))
    assert repr(DegreeQuantTransform()) == "DegreeQuantTransform(p_min=0.0, p_max=0.1)"

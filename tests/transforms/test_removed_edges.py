"""After `remove_edge_index=True`, PyG's transforms see the graph: none is skipped."""

import copy
import pickle

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric import seed_everything
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader

from pyg_hag import HAGTransform
from pyg_hag.data import HAGData, HAGHeteroData
from pyg_hag.data.storages import HAGEdgeStorage, HAGStorage

REMOVE = HAGTransform(remove_edge_index=True)
TRANSFORMS = {
    repr(transform): transform
    for transform in (
        T.AddSelfLoops(),
        T.AddRemainingSelfLoops(),
        T.RemoveSelfLoops(),
        T.RemoveDuplicatedEdges(),
        T.RemoveIsolatedNodes(),
        T.ToUndirected(),
        T.ToUndirected(merge=False),
        T.GCNNorm(),
        T.TwoHop(),
        T.LineGraph(),
        T.VirtualNode(),
        T.LocalDegreeProfile(),
        T.OneHotDegree(20),
        T.AddRandomWalkPE(3),
        T.FeaturePropagation(torch.zeros(9, 2, dtype=torch.bool)),
        T.SIGN(2),
        T.RandomNodeSplit(num_val=2, num_test=2),
        T.RandomLinkSplit(num_val=0.2, num_test=0.2),
        T.NormalizeFeatures(),
        T.Constant(),
    )
}


def _data():
    edges = [(0, 1), (0, 2), (1, 2), (2, 2), (1, 3), (4, 3), (4, 3), (0, 5), (6, 7)]
    edges.sort(key=lambda edge: edge[::-1])  # as in `hag.to_edge_index()`
    x = torch.arange(18.0).view(9, 2)
    return Data(x=x, edge_index=torch.tensor(edges).t().contiguous(), pos=x.sin())


def _numbers(value):
    if isinstance(value, tuple | list):
        return [*map(_numbers, value)]
    if not isinstance(value, Data):
        return value
    kept = {k: v for k, v in value.to_dict().items() if k != "hag_packed"}
    if "edge_index" in value and value.edge_index is not None:
        kept["edge_index"] = value.edge_index
    return {
        key: (v.to_dense() if v.layout != torch.strided else v).tolist()
        if isinstance(v, torch.Tensor)
        else v
        for key, v in kept.items()
    }


# PyTorch says it once in a process, to whichever test is the first:
@pytest.mark.filterwarnings("ignore:Sparse CSC tensor support:UserWarning")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_see_the_graph(name):
    transform = TRANSFORMS[name]
    seed_everything(0)
    wanted = transform(_data())
    seed_everything(0)
    got = transform(REMOVE(_data()))
    assert _numbers(got) == _numbers(wanted)
    before = _data().edge_index.tolist()
    for theirs, ours in zip(_listed(wanted), _listed(got), strict=True):
        index = theirs.edge_index
        if index is None or index.tolist() == before:
            continue
        with pytest.raises(ValueError, match="does not belong to this graph"):
            _ = ours.hag


def _listed(value):
    return value if isinstance(value, tuple | list) else [value]


@pytest.mark.parametrize(
    "transform", [T.LargestConnectedComponents(), T.Distance(), T.Cartesian()], ids=repr
)
def test_what_they_cannot_keep_raises(transform):
    """They choose nodes, or features of edges whose order is not kept."""
    data = transform(REMOVE(_data()))
    with pytest.raises(ValueError, match=r"not belong to this|order of the edges"):
        _ = data.edge_index


def test_matrices_are_made_of_them():
    to_matrix = T.ToSparseTensor(layout=torch.sparse_csr)
    data, wanted = to_matrix(REMOVE(_data())), to_matrix(_data())
    assert torch.equal(data.adj_t.to_dense(), wanted.adj_t.to_dense())
    assert data.hag.num_edges == 9


PROPERTIES = {
    "num_edges": lambda d: d.num_edges,
    "is_undirected": lambda d: d.is_undirected(),
    "is_directed": lambda d: d.is_directed(),
    "has_self_loops": lambda d: d.has_self_loops(),
    "has_isolated_nodes": lambda d: d.has_isolated_nodes(),
    "is_coalesced": lambda d: d.is_coalesced(),
    "is_sorted": lambda d: d.is_sorted(sort_by_row=False),
    "edge_index": lambda d: d.edge_index.tolist(),
    "in": lambda d: "edge_index" in d,
    "size": lambda d: d.size(),
    "num_nodes": lambda d: d.num_nodes,
}
COPIES = {
    "itself": lambda d: d,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "clone": lambda d: d.clone(),
    "pickle": lambda d: pickle.loads(pickle.dumps(d)),
    "to": lambda d: d.to("cpu"),
    "of a batch": lambda d: Batch.from_data_list([d, d])[1],
    "loader": lambda d: next(iter(DataLoader([d, d], batch_size=2)))[0],
}


@pytest.mark.parametrize("copied", COPIES)
def test_properties_see_the_graph(copied):
    data = COPIES[copied](REMOVE(_data()))
    for name, of in PROPERTIES.items():
        assert of(data) == of(_data()), name
    assert type(data._store) is HAGStorage
    assert "edge_index" not in data.keys()
    assert "edge_index" not in data.to_dict()
    data.validate()


def test_batches_see_the_graph():
    wanted = Batch.from_data_list([_data(), _data()])
    batch = Batch.from_data_list([REMOVE(_data()), REMOVE(_data())])
    assert batch.num_edges == wanted.num_edges
    assert batch.edge_index.tolist() == wanted.edge_index.tolist()
    assert "edge_index" not in batch._slice_dict
    for one in batch.to_data_list():
        assert one.edge_index.tolist() == _data().edge_index.tolist()


def _hetero():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.rand(4, 2), torch.rand(3, 2)
    data["a", "b"].edge_index = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]])
    data["b", "a"].edge_index = torch.tensor([[0, 1], [1, 2]])
    data["a", "a"].edge_index = torch.tensor([[0, 1], [1, 2]])
    return data


def _types(data):
    return {e: data[e].edge_index.tolist() for e in data.edge_types}


@pytest.mark.parametrize(
    "transform", [T.ToUndirected(), T.AddSelfLoops(), T.RemoveIsolatedNodes()], ids=repr
)
def test_heterogeneous_graphs(transform):
    data = REMOVE(_hetero())
    assert _types(data) == _types(_hetero())
    assert _types(pickle.loads(pickle.dumps(data))) == _types(_hetero())
    assert data.num_edges == _hetero().num_edges
    assert all(type(store) is HAGEdgeStorage for store in data.edge_stores)
    changed = transform(data)
    assert _types(changed) == _types(transform(_hetero()))
    if _types(changed) != _types(_hetero()):
        with pytest.raises(ValueError, match="does not belong to this graph"):
            _ = changed.hag_dict


def test_features_of_edges_have_lost_their_order():
    data = _data()
    data.edge_attr = torch.rand(data.num_edges, 3)
    data = REMOVE(data)
    assert data.num_edges == _data().num_edges
    assert data.hag.num_edges == _data().num_edges
    for use in (lambda: data.edge_index, lambda: T.AddSelfLoops()(data)):
        with pytest.raises(ValueError, match="order of the edges, which 'edge_attr'"):
            use()
    del data.edge_attr
    assert data.edge_index.tolist() == _data().edge_index.tolist()


def test_files_keep_it(tmp_path):
    data = REMOVE(_data())
    torch.save(data, tmp_path / "a.pt")
    again = torch.load(tmp_path / "a.pt", weights_only=False)
    assert again.edge_index.tolist() == _data().edge_index.tolist()
    torch.save(REMOVE(_hetero()), tmp_path / "b.pt")
    again = torch.load(tmp_path / "b.pt", weights_only=False)
    assert _types(again) == _types(_hetero())
    data = HAGData.from_dict(REMOVE(_data()).to_dict())  # as data sets keep them
    assert data.edge_index.tolist() == _data().edge_index.tolist()
    data = HAGHeteroData.from_dict(REMOVE(_hetero()).to_dict())
    assert _types(data) == _types(_hetero())


def test_edges_that_were_not_removed_are_no_longer_there():
    data = HAGTransform()(_data())
    del data.edge_index
    assert "edge_index" not in data
    assert data.edge_index is None
    assert data.num_edges == 0

import copy
import pickle
from functools import partial

import pytest
import torch
import torch_geometric.transforms as T
from graphs import (
    ODD_GRAPHS,
    FewestTransform,
    clique,
    edge_index_of,
    fewest_hag,
    near_cliques,
    random_graph,
)
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import SimpleConv

from pyg_hag import HAGData, HAGHeteroData, HAGTransform, aggregate
from pyg_hag.data import KEY
from pyg_hag.hag import packing
from pyg_hag.hag.packing import HAG_TYPE, HEADER, SEQUENTIAL


def graph(seed, n=None):
    n = n or 5 + seed
    edge_index, _ = random_graph(seed, n, n, 0.5)
    return Data(torch.randn(n, 4), edge_index, y=torch.tensor([seed]))


def hag_graphs(count=8, **options):
    odd = [
        Data(torch.randn(n, 4), edge_index)
        for edge_index, (n, m) in ODD_GRAPHS.values()
        if n == m > 0
    ]
    for i, data in enumerate(odd):
        data.y = torch.tensor([100 + i])
    graphs = [graph(seed) for seed in range(count)] + odd
    return [FewestTransform(**options)(data) for data in graphs]


class Graphs(InMemoryDataset):
    """A data set without files of its own."""

    def __init__(self, root, **kwargs):
        super().__init__(root, **kwargs)
        self.load(self.processed_paths[0], data_cls=HAGData)

    @property
    def processed_file_names(self):
        return "graphs.pt"

    def process(self):
        graphs = [graph(seed) for seed in range(8)]
        if self.pre_transform is not None:
            graphs = [self.pre_transform(data) for data in graphs]
        self.save(graphs, self.processed_paths[0])


def test_a_hag_in_place_of_edges():
    whole, alone = hag_graphs(), hag_graphs(remove_edge_index=True)
    for with_edges, without in zip(whole, alone, strict=True):
        assert "edge_index" not in without.to_dict()
        assert without.num_edges == with_edges.num_edges
        assert without.hag == with_edges.hag
        assert without.num_nodes == with_edges.num_nodes
    batch, wanted = Batch.from_data_list(alone), Batch.from_data_list(whole)
    assert batch.hag == wanted.hag and batch.hag is batch.hag
    assert all(a.hag == b.hag for a, b in zip(batch.to_data_list(), whole, strict=True))
    assert batch.clone().to("meta").hag.device.type == "meta"
    edges = batch.hag.edge_index_of_any_order()  # the same, in another order
    assert sorted(edges.t().tolist()) == sorted(wanted.edge_index.t().tolist())
    with pytest.raises(ValueError, match="does not know the order"):
        batch.hag.edge_index_in_order("edge_weight")
    batch.edge_index = wanted.edge_index[:, 1:]
    with pytest.raises(ValueError, match="its edges have changed"):
        _ = batch.hag
    lost = whole[0].clone()
    del lost.edge_index
    with pytest.raises(ValueError, match="has no 'edge_index'"):
        _ = lost.hag


def test_a_hag_is_made_without_reading_anything_back_from_a_device():
    batch = Batch.from_data_list(hag_graphs())
    wanted = copy.copy(batch).hag
    there = copy.copy(batch).to("meta")  # which has no values to read
    assert there.x.device.type == "meta"
    hag = there.hag
    assert hag.device.type == "meta" and hag is there.hag
    assert [t.shape for t in hag.tensors] == [t.shape for t in wanted.tensors]
    assert hag.stats == wanted.stats
    there.edge_index = there.edge_index.flip(1)  # which nobody knows on the host
    with pytest.raises(NotImplementedError):
        _ = there.hag
    changed = copy.copy(batch)
    changed.edge_index = batch.edge_index.clone()
    before = changed.edge_index
    changed.to("meta")
    before[0, 0] += 1
    with pytest.raises(NotImplementedError):
        _ = changed.hag


@pytest.mark.parametrize("options", [{}, {"capacity": 0}, {"add_self_loops": True}])
def test_batches_round_trip(options):
    graphs = hag_graphs(**options)
    batch = Batch.from_data_list(graphs)
    batch.hag.validate(batch.edge_index)
    assert batch.hag.num_dst == batch.num_nodes
    for before, after in zip(graphs, batch.to_data_list(), strict=True):
        assert type(after) is HAGData
        assert before.hag == after.hag
        for key in before.to_dict():
            assert torch.equal(
                torch.as_tensor(before[key]), torch.as_tensor(after[key])
            )
    subset = Batch.from_data_list(batch.index_select([5, 0, 2]))
    subset.hag.validate(subset.edge_index)


def test_a_batch_computes_what_its_graphs_compute():
    graphs = hag_graphs()
    batch = Batch.from_data_list(graphs)
    wanted = torch.cat([aggregate(data.x, data.hag) for data in graphs])
    assert torch.equal(aggregate(batch.x, batch.hag), wanted)
    assert torch.equal(
        aggregate(batch.x, batch.hag.t()),
        torch.cat([aggregate(data.x, data.hag.t()) for data in graphs]),
    )
    plain = SimpleConv("sum")(batch.x, batch.edge_index)
    torch.testing.assert_close(wanted, plain)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_data_loader_after_kernels_have_run_here(num_workers):
    big = FewestTransform()(graph(1, 200))
    aggregate(big.x.repeat(1, 32), big.hag)  # threads of this process
    graphs = [graph(seed) for seed in range(12)]
    transform = FewestTransform()
    seen = 0
    for source in (hag_graphs(12), OnTheFly(graphs, transform)):
        loader = DataLoader(source, batch_size=5, num_workers=num_workers)
        for batch in loader:
            batch.hag.validate(batch.edge_index)
            aggregate(batch.x, batch.hag)
            seen += batch.num_graphs
    assert seen == len(hag_graphs(12)) + 12


class OnTheFly(torch.utils.data.Dataset):
    """Transforms, and runs a kernel, in the worker."""

    def __init__(self, graphs, transform):
        self.graphs, self.transform = graphs, transform

    def __len__(self):
        return len(self.graphs)

    def __getitem__(self, i):
        data = self.transform(self.graphs[i])
        data.x = aggregate(data.x, data.hag, "mean")
        return data


def test_data_sets_keep_their_hags(tmp_path):
    for _ in range(2):  # processed, then loaded
        dataset = Graphs(tmp_path, pre_transform=FewestTransform())
        for seed, data in enumerate(dataset):
            assert data.hag == fewest_hag(graph(seed).edge_index, 5 + seed)
        batch = next(iter(DataLoader(dataset[2:6], batch_size=4)))
        batch.hag.validate(batch.edge_index)
    with pytest.warns(UserWarning, match="pre_transform"):
        Graphs(tmp_path, pre_transform=FewestTransform(capacity=1))


def test_as_transform_of_a_data_set(tmp_path):
    dataset = Graphs(
        tmp_path, transform=T.Compose([T.ToUndirected(), FewestTransform()])
    )
    dataset[3].hag.validate(dataset[3].edge_index)


def test_copies_and_files(tmp_path):
    data = FewestTransform()(graph(3))
    torch.save(data, tmp_path / "data.pt")
    for other in (
        copy.copy(data),
        copy.deepcopy(data),
        data.clone(),
        data.to("cpu"),
        data.contiguous(),
        pickle.loads(pickle.dumps(data)),
        torch.load(tmp_path / "data.pt", weights_only=False),
        HAGData.from_dict(data.to_dict()),
    ):
        assert type(other) is HAGData and other.hag == data.hag
    assert len(pickle.dumps(data)) == len(pickle.dumps(copy.deepcopy(data)))


def test_the_hag_is_made_once():
    data = FewestTransform()(graph(3))
    assert data.hag is data.hag
    assert copy.copy(data).hag is data.hag


def changed_edge(data):
    data.edge_index[0, 0] = (data.edge_index[0, 0] + 1) % data.num_nodes
    return data


def without_edge_index(data):
    del data.edge_index
    return data


CHANGES = {
    "subgraph": lambda data: data.subgraph(torch.arange(4)),
    "subgraph by mask": lambda data: data.subgraph(torch.arange(data.num_nodes) != 2),
    "edge_subgraph": lambda data: data.edge_subgraph(torch.arange(3)),
    "self-loops": T.AddSelfLoops(),
    "remaining self-loops": T.AddRemainingSelfLoops(),
    "virtual node": T.VirtualNode(),
    "split": lambda data: T.RandomLinkSplit()(data)[0],
    "undirected": T.ToUndirected(),
    "rooted": T.LargestConnectedComponents(),
    "one edge, in place": changed_edge,
    "more nodes": lambda data: setattr(data, "num_nodes", 30) or data,
    "no edge_index": without_edge_index,
    "flipped": lambda data: data.update({"edge_index": data.edge_index.flip(0)}),
}


@pytest.mark.parametrize("capacity", [None, 0])
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_graph_is_noticed(name, seen, capacity):
    edge_index, (n, _) = random_graph(5, 12, 12, 0.3)
    edge_index = edge_index[:, (edge_index < 11).all(0)]  # node 11 is isolated
    data = FewestTransform(capacity=capacity)(Data(torch.randn(n, 4), edge_index))
    if seen:
        data.hag.validate(edge_index)
    if "nodes" in name:
        del data.x
    changed = CHANGES[name](copy.deepcopy(data))
    with pytest.raises(ValueError, match="apply 'HAGTransform' last"):
        print(changed.hag)


def test_a_changed_batch_is_noticed():
    graphs = hag_graphs()
    batch = Batch.from_data_list(graphs)
    batch.edge_index = batch.edge_index.roll(1, 0)
    with pytest.raises(ValueError, match="apply 'HAGTransform' last"):
        print(batch.hag)
    graphs[2].edge_index = graphs[2].edge_index[:, :-1]
    with pytest.raises(ValueError, match="apply 'HAGTransform' last"):
        print(Batch.from_data_list(graphs).hag)


def test_batches_of_signed_and_other_hags():
    cliques = [Data(torch.randn(n, 4), edge_index_of(clique(range(n)))) for n in (8, 9)]
    for data in cliques:
        data.y = torch.tensor([len(data.x)])
    signs = FewestTransform(subtract=True)
    graphs = hag_graphs() + hag_graphs(subtract=True) + [signs(d) for d in cliques]
    signed = [data.hag.is_signed for data in graphs]
    assert 2 < sum(signed) < len(signed) / 2
    batch = Batch.from_data_list(graphs)
    assert batch.hag.is_signed
    batch.hag.validate(batch.edge_index)
    for before, after in zip(graphs, batch.to_data_list(), strict=True):
        assert before.hag == after.hag
    others = [data for data in graphs if not data.hag.is_signed]
    assert not Batch.from_data_list(others).hag.is_signed


@pytest.mark.parametrize("subtract", [False, True])
def test_what_is_stored_of_the_hag_cannot_change_unnoticed(subtract):
    edge_index, (n, _) = near_cliques(5)
    data = FewestTransform(subtract=subtract)(Data(edge_index=edge_index, num_nodes=n))
    assert data.hag.is_signed == subtract
    for change in (
        lambda t: t[:-1],
        lambda t: t[:5],
        lambda t: t.flip(0) + 1,
        lambda t: torch.cat([t, t]),
        lambda t: torch.cat([t, t[:9]]),
        lambda t: -t,
        lambda t: torch.cat([t[:-3], t[-3:] + 1]),
        lambda t: torch.cat([t[:9], t[9:10] + 1, t[10:]]),
        lambda t: t.int(),
        lambda t: t[None],
        lambda t: t[:0],
        partial(torch.zeros_like),
        *(partial(_one_more, place=place) for place in range(HEADER)),
    ):
        other = copy.copy(data)
        other[KEY] = change(data[KEY])
        with pytest.raises(ValueError, match="does not belong to this graph"):
            print(other.hag)
    other = copy.copy(data)
    del other[KEY]
    with pytest.raises(ValueError, match="the data has no HAG"):
        print(other.hag)


def _one_more(tensor, place):
    changed = tensor.clone()
    changed[place] += 1
    return changed


def test_a_batch_of_no_graphs(monkeypatch):
    """Run in Python, which checks every index."""
    edge_index, (n, _) = ODD_GRAPHS["no nodes"]
    data = FewestTransform()(Data(edge_index=edge_index, num_nodes=n))
    data[KEY] = data[KEY][:0]
    monkeypatch.setattr(packing, "fingerprint", packing.fingerprint.py_func)
    assert (data.hag.num_src, data.hag.num_dst, data.hag.num_edges) == (0, 0, 0)


def test_the_kind_of_hag_cannot_change_unnoticed():
    data = FewestTransform(capacity=0)(graph(6))
    data[KEY][HAG_TYPE] = SEQUENTIAL
    with pytest.raises(ValueError, match="does not belong to this graph"):
        print(data.hag)


def test_edges_may_change_their_order():
    data = FewestTransform()(graph(6))
    hag = data.hag
    data.edge_index = data.edge_index[:, torch.randperm(data.num_edges)]
    assert data.hag == hag
    assert data.sort(sort_by_row=False).hag == hag


def test_whether_data_have_a_hag():
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    hetero = HeteroData({"a": {"num_nodes": 2}})
    hetero["a", "to", "a"].edge_index = data.edge_index
    for key, plain in ("hag", data), ("hag_dict", hetero):
        assert key not in plain
        for remove in (False, True):
            given = HAGTransform(remove_edge_index=remove)(plain)
            assert key in given and "nothing" not in given
            assert key in Batch.from_data_list([given, given])
    assert "hag" not in HAGData() and "hag_dict" not in HAGHeteroData()

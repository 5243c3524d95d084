import pytest
import torch
from contract import GRAPHS, assert_close
from graphs import fewest_hag, random_graph, signed_hag
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData, ClusterLoader
from torch_geometric.nn import GCN, GraphConv

from pyg_hag import HAG, HAGTransform, build_hag
from pyg_hag.hag.edit import merged, with_edges
from pyg_hag.loader import HAGClusterLoader
from pyg_hag.nn import to_hag

SIZES = 60, 45, 50, 45


def extended(hag, src, dst):
    return HAG.from_arrays(hag.num_src, with_edges(hag.host, src, dst))


def union(hags):
    num_src = sum(hag.num_src for hag in hags)
    return HAG.from_arrays(num_src, merged([hag.host for hag in hags]))


@pytest.fixture
def clusters(monkeypatch):
    """Four clusters that need no library to be found."""
    edge_index, _ = random_graph(0, 200, 200, 0.15)
    data = Data(torch.randn(200, 8), edge_index)
    data.edge_weight = torch.rand(200)[edge_index].prod(0)
    found = torch.arange(4).repeat_interleave(torch.tensor(SIZES)).roll(7)
    monkeypatch.setattr(ClusterData, "_metis", lambda *_: found)
    return ClusterData(data, 4, log=False)


@pytest.fixture
def searches(monkeypatch):
    """The sizes of the graphs that are searched."""
    from pyg_hag.search.build import build_with

    sizes = []

    def spy(edge_index, size, options):
        sizes.append(size)
        return build_with(edge_index, size, options)

    monkeypatch.setattr("pyg_hag.loader.build_with", spy)
    return sizes


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"objective": "aggregations"},
        {"objective": "aggregations", "add_self_loops": True},
        {"objective": "aggregations", "subtract": True},
        {"capacity": 0},
        {"order": "sequential"},
    ],
    ids=str,
)
def test_batches_are_those_of_pyg(clusters, options, batch_size):
    transform = HAGTransform(**options)
    if transform.add_self_loops:
        del clusters.data.edge_weight  # which has none for them
    model = GCN(8, 8, 2, 4)
    arguments = {"batch_size": batch_size, "shuffle": True}
    for _ in range(2):
        torch.manual_seed(0)
        theirs = list(ClusterLoader(clusters, **arguments))
        torch.manual_seed(0)
        ours = list(HAGClusterLoader(clusters, transform, **arguments))
        for got, wanted in zip(ours, theirs, strict=True):
            if not transform.add_self_loops:
                assert torch.equal(got.edge_index, wanted.edge_index)
            got.hag.validate(got.edge_index)
            assert got.hag.is_sequential == (options.get("order") == "sequential")
            assert_close(
                to_hag(model)(got.x, got.hag), model(wanted.x, wanted.edge_index)
            )
            conv = GraphConv(8, 4)  # weights belong to edges in their order
            weights = got.edge_weight, wanted.edge_weight
            if not transform.add_self_loops:
                assert_close(
                    to_hag(conv)(got.x, got.hag, weights[0]),
                    conv(wanted.x, wanted.edge_index, weights[1]),
                )


def test_each_cluster_is_searched_once(clusters, searches):
    loader = HAGClusterLoader(clusters, batch_size=2, shuffle=True)
    for _ in range(3):
        assert len(list(loader)) == 2
    assert sorted(searches) == sorted((size, size) for size in SIZES)
    shared = HAGClusterLoader(clusters, HAGTransform(objective="aggregations"))
    assert all(batch.hag.num_aggregates > 10 for batch in shared)


def test_other_transforms_are_refused(clusters):
    with pytest.raises(TypeError, match="'transform' must be a HAGTransform"):
        HAGClusterLoader(clusters, torch.nn.Identity())


@pytest.mark.parametrize("build", [fewest_hag, signed_hag, build_hag])
def test_further_edges(build):
    torch.manual_seed(0)
    for edge_index, size in GRAPHS.values():
        for count in (0, 1, 5, 40):
            if min(size) == 0 and count > 0:
                continue
            hag = build(edge_index, size=size)
            extra = torch.stack([torch.randint(max(n, 1), (count,)) for n in size])
            both = torch.cat([edge_index, extra], 1)
            got = extended(hag, *extra.numpy())
            got.validate(both)
            type(got)(got.num_src, *got.tensors)  # checks the structure


@pytest.mark.parametrize("build", [fewest_hag, signed_hag])
def test_edges_join_some_groups(build):
    part = build(GRAPHS["near-cliques"][0])
    hag = union([part] * 6)
    assert hag.group_aggs.count_nonzero() >= 6
    n = part.num_src
    for first, last in ((0, 2), (1, 5), (4, 3), (5, 0)):
        src, dst = torch.tensor([first * n + 1, 2]), torch.tensor([last * n, 3])
        got = extended(hag, src.numpy(), dst.numpy())
        type(got)(got.num_src, *got.tensors)
        got.validate(torch.cat([hag.to_edge_index(), torch.stack([src, dst])], 1))
        assert got.group_aggs.numel() < hag.group_aggs.numel()


def test_union():
    hags = [fewest_hag(*GRAPHS["clique"][:1]), signed_hag(GRAPHS["clique"][0])]
    n = hags[0].num_src
    for first, second in (hags, hags[::-1], hags[:1] * 2):
        hag = union([first, second])
        type(hag)(hag.num_src, *hag.tensors)
        edge_index = GRAPHS["clique"][0]
        hag.validate(torch.cat([edge_index, edge_index + n], 1))
        assert hag.is_signed == (first.is_signed or second.is_signed)

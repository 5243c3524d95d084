import numpy as np
import pytest
import torch
from graphs import fewest_hag
from torch_geometric.data import Data

from pyg_hag.datasets import (
    GENERATED_SMALL,
    ROOT_VARIABLE,
    as_one_graph,
    find_root,
    generate_bibliography,
    generate_communities,
    generate_ego_networks,
    generate_products,
    generate_social_graph,
    load_graphs,
)


def test_root_is_the_argument_then_the_variable_then_a_cache(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    assert find_root(tmp_path / "a") == tmp_path / "a"
    assert find_root() == tmp_path
    monkeypatch.delenv(ROOT_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_root() == tmp_path / "pyg_hag"
    with pytest.raises(ValueError, match="'root' is not a folder"):
        find_root(tmp_path / "nowhere")


def test_loads_edge_lists(tmp_path):
    (tmp_path / "mine" / "raw").mkdir(parents=True)
    edges = np.array([[0, 1], [1, 4]], np.int32)
    np.savez(tmp_path / "mine" / "raw" / "mine.npz", edge_index=edges, num_nodes=7)
    (data,) = load_graphs("mine", tmp_path)
    assert data.num_nodes == 7 and data.edge_index.tolist() == edges.tolist()


def test_graphs_side_by_side():
    graphs = [
        Data(edge_index=torch.tensor([[0], [1]]), num_nodes=n, y=[n]) for n in (2, 3)
    ]
    edge_index, num_nodes = as_one_graph(graphs)
    assert edge_index.tolist() == [[0, 2], [1, 3]] and num_nodes == 5
    assert as_one_graph(graphs[:1])[1] == 2


def test_generated_graphs_are_redundant_and_reproducible():
    graphs = generate_ego_networks(20, seed=3)
    assert {data.y for data in graphs} == {0, 1}
    again = generate_ego_networks(20, seed=3)
    for a, b in zip(graphs, again, strict=True):
        assert torch.equal(a.edge_index, b.edge_index) and not a.has_self_loops()
        assert a.is_undirected()
    assert fewest_hag(*as_one_graph(graphs)).stats.aggregation_reduction > 2
    data = generate_social_graph(20)
    assert data.x.size(0) == data.y.numel() == data.num_nodes
    assert data.train_mask.sum() + data.test_mask.sum() == data.num_nodes


def test_generated_communities():
    data = generate_communities(900, 30_001, 5)
    assert (data.num_nodes, data.num_edges) == (900, 30_000)
    assert data.is_undirected() and not data.has_self_loops()
    assert data.edge_index.unique(dim=1).size(1) == 30_000
    degree = data.edge_index[1].bincount(minlength=900)
    assert degree.max() > 3 * degree.float().mean()
    again = generate_communities(900, 30_001, 5)
    assert torch.equal(data.edge_index, again.edge_index)
    other = generate_communities(900, 30_001, 5, seed=1)
    assert not torch.equal(data.edge_index, other.edge_index)
    # Nine tenths of the edges are in five communities, others anywhere:
    far = generate_communities(900, 30_001, 1)
    savings = [fewest_hag(d.edge_index, 900).stats.reads for d in (data, far)]
    assert savings[0] < savings[1]


def test_generated_products():
    data = generate_products(400, 60)
    assert data.num_nodes == 400 and not data.has_self_loops()
    assert data.is_undirected() and not data.has_isolated_nodes()
    assert data.edge_index.unique(dim=1).size(1) == data.num_edges
    assert torch.equal(generate_products(400, 60).edge_index, data.edge_index)
    assert not torch.equal(
        generate_products(400, 60, seed=1).edge_index, data.edge_index
    )
    # As many edges as pairs of papers with a common author, and a HAG that knows that:
    assert 0.8 < data.num_edges / (60 * (400 * 3 / 60) ** 2) < 1.1
    assert fewest_hag(data.edge_index, 400).stats.read_reduction > 2


def test_generated_bibliographies():
    data = generate_bibliography(2000, 500, 7, 90)
    assert data.validate() and data["term"].num_nodes == 90
    others = "author", "venue", "term"
    types = [[("paper", "to", name), (name, "to", "paper")] for name in others]
    assert data.edge_types == [*types[0], *types[1], *types[2]]
    for there, back in types:
        edge_index = data[there].edge_index
        assert edge_index.unique(dim=1).equal(edge_index)
        assert data[back].edge_index.equal(edge_index.flip(0))
    paper, author = data["paper", "author"].edge_index
    number = paper.bincount(minlength=2000)
    assert number.min() == 1 and number.max() == 5
    papers_of = author.bincount(minlength=500)
    assert papers_of.max() > 5 * papers_of.float().mean()
    assert data["paper"].y.equal(data["paper", "venue"].edge_index[1])
    at_home = data["paper"].y[paper] == data["author"].y[author]
    assert 0.8 < at_home.float().mean() < 0.95
    for name, count in (("paper", 2000), ("author", 500)):
        store = data[name]
        assert store.x.shape == (count, 16) and store.y.shape == (count,)
        assert (store.train_mask ^ store.test_mask).all() and store.train_mask.any()
        means = [store.x[store.y == y].mean(0) for y in store.y.unique()[:2]]
        assert (means[0] - means[1]).norm() > 0.5  # the class is in the features


def test_bibliographies_are_as_asked_for_and_reproducible():
    edges = [
        generate_bibliography(2000, 500, 7, seed=seed)["paper", "author"].edge_index
        for seed in (0, 0, 1)
    ]
    assert edges[0].equal(edges[1]) and not edges[0].equal(edges[2])
    data = generate_bibliography(
        5000, 900, 7, author_sigma=0, authors_each=(3, 3), loyalty=0
    )
    paper, author = data["paper", "author"].edge_index
    assert 14_900 < paper.numel() <= 15_000 and "term" not in data.node_types
    assert author.bincount().max() < 3 * 15_000 / 900
    at_home = data["paper"].y[paper] == data["author"].y[author]
    assert at_home.float().mean() < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_papers": 0}, r"'num_papers' must be at least 1 \(got 0\)"),
        ({"num_terms": -1}, r"'num_terms' must be at least 0 \(got -1\)"),
        ({"terms_each": -1}, r"'terms_each' must be at least 1 \(got -1\)"),
        ({"authors_each": (3, 2)}, r"'authors_each' must be .* \(got \(3, 2\)\)"),
    ],
)
def test_bibliographies_are_not_empty(arguments, message):
    counts = {"num_papers": 5, "num_authors": 5, "num_venues": 2}
    with pytest.raises(ValueError, match=message):
        generate_bibliography(**{**counts, **arguments})


def test_communities_must_be_sparse():
    with pytest.raises(ValueError, match=r"'num_edges' .* 900 nodes \(got 90000\)"):
        generate_communities(900, 90_000, 5)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "reduction"),
    [
        ("BZR_MD", 7.40),
        ("IMDB-BINARY", 3.46),
        ("ego-Facebook", 3.28),
        ("ca-AstroPh", 3.42),
    ],
)
def test_reductions_on_real_graphs(real_graph, name, reduction):
    edge_index, num_nodes = as_one_graph(real_graph(name))
    hag = fewest_hag(edge_index, num_nodes)
    hag.validate(edge_index)
    assert round(hag.stats.aggregation_reduction, 2) >= reduction


def test_sets_of_several_parts_and_of_one(tmp_path, monkeypatch):
    graph = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
    calls = []

    def made(*args):
        calls.append(args)
        return [graph]

    for name in ("PPI", "Reddit", "TUDataset"):
        monkeypatch.setattr(f"pyg_hag.datasets.load.{name}", made)
    assert len(load_graphs("PPI", tmp_path)) == 3
    assert len(load_graphs("Reddit", tmp_path)) == len(load_graphs("X", tmp_path)) == 1
    folder = str(tmp_path / "PPI")
    assert calls == [
        *((folder, part) for part in ("train", "val", "test")),
        (str(tmp_path / "Reddit"),),
        (str(tmp_path), "X"),
    ]


@pytest.mark.parametrize("name", GENERATED_SMALL)
def test_small_graphs_need_no_data(name):
    graphs = load_graphs(name, "/no/such/folder")
    assert sum(graph.num_edges for graph in graphs) > 1000

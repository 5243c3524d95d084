"""Whether a graph is worth a search, decided from a sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from graphs import edge_index_of, random_graph
from torch_geometric.data import Data

from pyg_hag import HAGTransform, build_hag
from pyg_hag.cost import DEFAULT_COST
from pyg_hag.datasets import (
    as_one_graph,
    generate_communities,
    generate_ego_networks,
    generate_products,
)
from pyg_hag.search import select, worth
from pyg_hag.search.emit.rules import Rules

N = 20_000


def sparse():
    return generate_communities(N, 150_000, 20).edge_index, N


def dense():
    return as_one_graph(generate_ego_networks(50, large=True))


def stars():
    """Eight nodes that all others read, and that read all others."""
    hubs = torch.arange(8).repeat_interleave(N)
    others = torch.arange(N).repeat(8)
    return torch.stack([torch.cat([hubs, others]), torch.cat([others, hubs])]), N


def twice(make):
    edge_index, n = make()
    return torch.cat([edge_index, edge_index], dim=1), n


def bipartite_cliques():
    """Every source of a group to every destination of the group."""
    group = np.arange(40)
    pairs = [(40 * g + u, 40 * g + v) for g in range(100) for u in group for v in group]
    return edge_index_of(pairs), 4000


GRAPHS = {
    "sparse": (sparse, False),
    "sparse, twice": (lambda: twice(sparse), True),
    "dense": (dense, True),
    "small": (lambda: as_one_graph(generate_ego_networks(300)), True),
    "stars": (stars, True),
    "cliques": (bipartite_cliques, True),
    "products": (lambda: as_one_graph([generate_products(6000, 1000)]), True),
}


def shuffled(edge_index, n, seed=0):
    """The same graph with other numbers of nodes, its edges in another order."""
    generator = torch.Generator().manual_seed(seed)
    number = torch.randperm(n, generator=generator)
    order = torch.randperm(edge_index.size(1), generator=generator)
    return number[edge_index[:, order]]


@pytest.fixture
def searched(monkeypatch):
    """The number of edges of each search of rows."""
    seen = []
    original = select.RowSearch.__call__

    def search(self, row_ptr, row, num_items):
        seen.append(row.size)
        return original(self, row_ptr, row, num_items)

    monkeypatch.setattr(select.RowSearch, "__call__", search)
    return seen


@pytest.mark.parametrize("turned", [False, True], ids=["", "transposed"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_sample_decides(name, turned, searched):
    make, pays = GRAPHS[name]
    edge_index, n = make()
    edge_index = shuffled(edge_index.flip(0) if turned else edge_index, n)
    assert edge_index.size(1) >= worth.MIN_EDGES
    hag = build_hag(edge_index, n)
    decision = hag.stats.decision
    assert ("from a sample of" in decision) != pays
    assert len(searched) == 1 + pays
    assert searched[0] < edge_index.size(1) / 2
    hag.validate(edge_index)
    if not pays:
        assert hag == build_hag(edge_index, n, capacity=0)
        assert "of plain's time at 64 features" in decision


def test_small_graphs_have_no_sample(searched):
    edge_index, n = sparse()
    edge_index = edge_index[:, : worth.MIN_EDGES - 1]
    assert "from a sample" not in build_hag(edge_index, n).stats.decision
    assert searched == [edge_index.size(1)]


@pytest.mark.parametrize("name", GRAPHS)
def test_no_hag_that_pays_is_missed(name, monkeypatch):
    edge_index, n = GRAPHS[name][0]()
    found = {}
    for decides in (True, False):
        least = worth.MIN_EDGES if decides else edge_index.size(1) + 1
        monkeypatch.setattr(select, "MIN_EDGES", least)
        for width in (16, 64, 512):
            found[decides, width] = build_hag(edge_index, n, num_features=width)
    for width in (16, 64, 512):
        assert found[True, width] == found[False, width]


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "aggregations"},
        {"subtract": True},
        {"method": "greedy"},
        {"capacity": 0},
    ],
    ids=str,
)
def test_other_options_are_searched_as_asked(options, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(select, "MIN_EDGES", 1)
    monkeypatch.setattr(select, "search_sample", refuse)
    edge_index, (n, _) = random_graph(0, 60, 60, 0.2)
    build_hag(edge_index, n, **options)


def test_a_sample_that_was_cut_short_decides_nothing():
    edge_index, n = sparse()
    assert "from a sample" not in build_hag(edge_index, n, time_limit=0).stats.decision


def test_options_apply_to_the_sample(searched):
    edge_index, n = as_one_graph([generate_products(6000, 1000)])
    dear = replace(DEFAULT_COST, row=(1e-6,) * 4)
    for options in ({"cost_model": dear}, {"min_redundancy": 10**6}):
        decision = build_hag(edge_index, n, **options).stats.decision
        assert "from a sample" in decision
    assert max(searched) < edge_index.size(1) / 2


@pytest.mark.parametrize("memory_limit", [2**21, 2**25])
def test_memory_of_samples(memory_limit):
    edge_index, n = sparse()
    decision = build_hag(edge_index, n, memory_limit=memory_limit).stats.decision
    assert ("from a sample of" in decision) == (memory_limit == 2**25)


def test_all_that_search_use_it(searched):
    edge_index, n = sparse()
    data = Data(edge_index=edge_index, num_nodes=n)
    assert "from a sample of" in HAGTransform()(data).hag.stats.decision
    few = HAGTransform(num_passes=10**6)(data)
    assert "from a sample of" in few.hag.stats.decision
    assert max(searched) < edge_index.size(1) / 2


def test_the_number_of_threads_changes_nothing():
    edge_index, n = sparse()
    threads = torch.get_num_threads()
    try:
        hags = []
        for count in (1, 2):
            torch.set_num_threads(count)
            hags.append(build_hag(edge_index, n))
    finally:
        torch.set_num_threads(threads)
    assert hags[0].stats.decision == hags[1].stats.decision


def test_reads_of_a_sample_are_counted():
    rng = np.random.default_rng(0)
    num_src, num_dst, num_edges = 3000, 5000, 400_000
    src = np.minimum(rng.zipf(1.3, num_edges), num_src) - 1
    dst = rng.integers(0, num_dst, num_edges)

    def search(row_ptr, row, num_items):
        empty = np.empty(0, np.int32)
        length = np.maximum(np.diff(row_ptr) // 2, 1)  # as if half of all was saved
        return Rules(num_items, empty, empty, row_ptr[:-1].copy(), length, row)

    sample = worth.search_sample(src, dst, num_src, num_dst, search)
    assert worth._FEWEST <= sample.edges < num_edges / 2
    assert sample.aggregates == 0 and 0.4 < sample.reads / sample.edges < 0.6

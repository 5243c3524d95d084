"""Which searches with subtraction are worth their time."""

import numpy as np
import pytest
from graphs import (
    clique,
    communities,
    disjoint_union,
    edge_index_of,
    near_cliques,
    noisy_copies,
    random_graph,
    signed_hag,
)

from pyg_hag.search.rows import RowSearch
from pyg_hag.search.signed import promise


@pytest.fixture
def searched(monkeypatch):
    """The sizes of the rows that are searched, with samples of small graphs."""
    monkeypatch.setattr(promise, "_MIN_EDGES", 1)
    monkeypatch.setattr(promise, "_FEWEST", 200)
    real, sizes = RowSearch.__call__, []

    def call(self, row_ptr, row, num_items):
        sizes.append(row.size)
        return real(self, row_ptr, row, num_items)

    monkeypatch.setattr(RowSearch, "__call__", call)
    return sizes


def signed(graph):
    hag = signed_hag(graph[0], size=graph[1])
    hag.validate(graph[0])
    return hag.stats.aggregations


def test_a_random_graph_is_searched_once(searched):
    edge_index, size = random_graph(0, 120, 120, 0.2)
    signed((edge_index, size))
    whole, *samples = searched
    assert len(samples) == 2
    assert max(samples) < whole / 2


@pytest.mark.parametrize(
    "graph", [near_cliques(0), communities(0, 80, 0.2), noisy_copies(0)]
)
def test_what_pays_is_found_as_without_a_sample(graph, searched, monkeypatch):
    found = signed(graph)
    monkeypatch.setattr(promise, "_MIN_EDGES", 1 << 30)
    assert found <= 1.01 * signed(graph)


def test_a_component_that_gains_is_enough(searched, monkeypatch):
    """Closed neighbourhoods cost more in the rest of the graph."""
    monkeypatch.setattr(promise, "_FEWEST", 1200)
    cliques = [(edge_index_of(clique(range(20))), (20, 20))] * 4
    graph = disjoint_union(random_graph(0, 60, 60, 0.3), *cliques)
    signed(graph)
    assert max(searched) > graph[0].size(1)


def test_a_sample_has_all_rows_of_its_items():
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(rng.random(50) < 0.3) for _ in range(40)]
    row = np.concatenate(rows).astype(np.int32)
    row_ptr = np.cumsum([0, *map(len, rows)])
    keep = np.arange(50) % 3 == 0
    ptr, out = promise.restricted(row_ptr, row, keep)
    for v, items in enumerate(rows):
        assert out[ptr[v] : ptr[v + 1]].tolist() == items[keep[items]].tolist()

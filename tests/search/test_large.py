"""The search in large components, whose rounds run on all threads."""

import numpy as np
import pytest
from graphs import (
    biclique,
    clique,
    communities,
    edge_index_of,
    fewest_hag,
    near_cliques,
    noisy_copies,
    num_threads,
    random_graph,
    signed_hag,
    skewed_graph,
)

from pyg_hag import build_hag
from pyg_hag.search import progress, select
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.pairs import large, rounds, search


def long_rows():
    """Rows of more items than a sample takes."""
    rng = np.random.default_rng(0)
    groups = np.arange(1500) // 10
    rows = [np.flatnonzero(rng.random(150)[groups] < 0.4) for _ in range(60)]
    edges = [(int(u), v) for v, row in enumerate(rows) for u in row]
    return edge_index_of(edges), (1500, 60)


def hub():
    """One source in all rows, in each with others that few rows share."""
    rng = np.random.default_rng(1)
    edges = {(0, v) for v in range(400)}
    edges |= {(1 + int(u), v) for v in range(400) for u in rng.integers(0, 150, 6)}
    return edge_index_of(sorted(edges)), (151, 400)


def mesh():
    edges = [
        (30 * i + j, 30 * (i + di) + j + dj)
        for i in range(1, 29)
        for j in range(1, 29)
        for di in (-1, 0, 1)
        for dj in (-1, 0, 1)
        if di or dj
    ]
    return edge_index_of(edges), (900, 900)


GRAPHS = {
    "random": random_graph(3, 150, 150, 0.3),
    "wide": random_graph(4, 40, 300, 0.2),
    "copies": random_graph(5, 60, 60, 0.3, copies=2),
    "skewed": skewed_graph(0, 100, 600),
    "cliques": near_cliques(0),
    "communities": communities(0, 200, 0.3),
    "noisy": noisy_copies(0),
    "long": long_rows(),
    "hub": hub(),
    "mesh": mesh(),
    "clique": (edge_index_of(clique(range(30))), (30, 30)),
    "biclique": (edge_index_of(biclique(range(20), range(20, 50))), (50, 50)),
    "edge": (edge_index_of([(0, 1)]), (2, 2)),
    "two": (edge_index_of([(0, 2), (1, 2), (0, 3), (1, 3), (4, 3)]), (5, 5)),
    "empty": (edge_index_of([]), (3, 3)),
}


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


@pytest.fixture
def every_component_is_large(monkeypatch):
    """Rounds of three items or more, too, run side by side, one item to a task."""
    monkeypatch.setattr(search, "_LARGE", 1)
    monkeypatch.setattr(large, "_ALONE", 2)
    monkeypatch.setattr(large, "_PER_TASK", 1)


def searches():
    yield lambda graph: fewest_hag(graph[0], size=graph[1])
    yield lambda graph: signed_hag(graph[0], size=graph[1])
    yield lambda graph: build_hag(graph[0], size=graph[1], min_redundancy=3)


@pytest.mark.usefixtures("every_component_is_large")
def test_the_same_on_any_number_of_threads(graph):
    for find in searches():
        expected = None
        for count in (1, 2, 3, 8):
            with num_threads(count):
                hag = find(graph)
            hag.validate(graph[0])
            expected = expected or hag
            assert hag == expected


def test_the_same_in_rounds_of_any_size(graph, monkeypatch):
    monkeypatch.setattr(search, "_LARGE", 1)
    expected = fewest_hag(graph[0], size=graph[1])
    for alone in (0, 5, rounds.MOST):
        monkeypatch.setattr(large, "_ALONE", alone)
        assert fewest_hag(graph[0], size=graph[1]) == expected


def test_about_as_few_operations_as_pair_by_pair(graph, monkeypatch):
    expected = fewest_hag(graph[0], size=graph[1]).stats.aggregations
    monkeypatch.setattr(search, "_LARGE", 1)
    found = fewest_hag(graph[0], size=graph[1]).stats.aggregations
    assert found <= 1.03 * expected


@pytest.mark.usefixtures("every_component_is_large")
@pytest.mark.parametrize("last", [1, 2, 5, 20])
def test_a_search_that_is_stopped_in_a_round_gives_a_valid_hag(last, monkeypatch):
    edge_index, size = GRAPHS["skewed"]
    full = fewest_hag(edge_index, size=size).stats.aggregations
    control = np.zeros(2, np.int64)
    calls = {"propose": 0, "merge_lists": 0}
    for step in calls:
        real = getattr(rounds, step)

        def wrapped(*args, step=step, real=real):
            calls[step] += 1
            control[progress.STOP] |= calls["merge_lists"] >= last
            return real(*args)

        monkeypatch.setattr(rounds, step, wrapped)
    options = SearchOptions(objective="aggregations")
    hag = select.find_hag(*edge_index.numpy(), *size, options, control)
    hag.validate(edge_index)
    assert calls["merge_lists"] >= last
    assert hag.stats.aggregations > full

"""The search with subtraction."""

import random

import numpy as np
import pytest
import torch
from graphs import (
    biclique,
    clique,
    communities,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    near_cliques,
    noisy_copies,
    num_threads,
    random_graph,
    signed_hag,
    skewed_graph,
    tiny_graph,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_hag import build_hag
from pyg_hag.graph.sort import to_rows
from pyg_hag.search import progress, select
from pyg_hag.search.emit.cancel import cancel
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.memory import Memory
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.signed import combine, similar_rows
from pyg_hag.search.twins.contraction import Contraction

# Valid (odd graphs and any graph: with the other searches) #####################


def test_thousands_of_tiny_graphs():
    signed = 0
    for seed in range(2000):
        edge_index, size = tiny_graph(seed)
        hag = signed_hag(edge_index, size=size)
        hag.validate(edge_index)
        signed += hag.is_signed
    assert signed > 50


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(4, 24), st.sampled_from([0.05, 0.2, 0.5]))
def test_planted_twins(seed, n, density):
    edge_index, size = communities(seed, n, density)
    hag = signed_hag(edge_index, size=size)
    hag.validate(edge_index)
    closed, added = hag.closed()
    loops = torch.arange(n).repeat_interleave(added).repeat(2, 1)
    closed.validate(torch.cat([edge_index, loops], dim=1))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.05, 0.2]))
def test_any_noise(seed, noise):
    edge_index, size = noisy_copies(seed, noise=noise)
    signed_hag(edge_index, size=size).validate(edge_index)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objective", ["aggregations", "time"])
def test_larger_graphs(seed, objective):
    for edge_index, size in (
        near_cliques(seed),
        skewed_graph(seed, 60, 300, copies=2),
        random_graph(seed, 90, 150, 0.1),
        disjoint_union(communities(seed, 40, 0.2), near_cliques(seed, 2)),
        disjoint_union(*(noisy_copies(seed + i) for i in range(4))),
    ):
        hag = signed_hag(edge_index, size=size, objective=objective)
        hag.validate(edge_index)
        hag.t().validate(edge_index.flip(0))


# Quality ######################################################################


@pytest.mark.parametrize("n", range(6, 30, 5))
def test_a_clique_is_one_sum_less_each_node(n):
    hag = signed_hag(edge_index_of(clique(range(n))))
    assert hag.num_aggregates == 1
    assert hag.stats.reads == 3 * n
    assert hag.stats.subtractions == n
    assert hag.closed()[0].stats.reads == 2 * n


def test_similar_rows_are_one_row_and_corrections():
    edge_index, size = noisy_copies(0)
    plain, signed = (f(edge_index, size=size) for f in (fewest_hag, signed_hag))
    assert signed.is_signed
    # Each row: the common one, two more, and the few of sixty that are missing.
    assert signed.stats.reads < 60 + 30 * (1 + 2 + 0.04 * 60 + 1)
    assert signed.stats.reads < 0.7 * plain.stats.reads


def test_it_is_never_more_to_add():
    for seed in range(5):
        for edge_index, size in (
            near_cliques(seed),
            communities(seed, 80, 0.1),
            random_graph(seed, 60, 60, 0.3),
            noisy_copies(seed),
        ):
            plain, signed = (f(edge_index, size=size) for f in (fewest_hag, signed_hag))
            assert signed.stats.aggregations <= plain.stats.aggregations


def test_each_component_takes_what_is_best_for_it():
    """A clique is closed; rows that are equal need no correction."""
    twins = edge_index_of(biclique(range(6), range(6, 12))), (12, 12)
    cliques = edge_index_of(clique(range(8))), (8, 8)
    edge_index, size = disjoint_union(twins, cliques)
    hag = signed_hag(edge_index, size=size)
    hag.validate(edge_index)
    assert hag.closed()[1].tolist() == [0] * 12 + [1] * 8
    assert hag.stats.reads == 6 + 6 + 3 * 8


def test_closed_rows_that_read_the_node_itself_subtract_nothing():
    """Both ends of an edge that hangs on a clique: the far one is not closed."""
    edges = [*clique(range(9)), (8, 9), (9, 8)]
    hag = signed_hag(edge_index_of(edges))
    hag.validate(edge_index_of(edges))
    row = hag.host.rows.target.tolist().index(9)
    assert int(hag.src_minus[row]) == 0


def test_edges_that_come_twice():
    edge_index = edge_index_of([*clique(range(15)), (0, 1), (0, 2), (0, 1)])
    hag = signed_hag(edge_index)
    hag.validate(edge_index)
    assert hag.is_signed


def test_a_graph_with_all_self_loops_needs_no_subtraction():
    assert not signed_hag(edge_index_of(clique(range(9), closed=True))).is_signed


# Options and limits ###########################################################


def test_time_objective_may_leave_the_graph_alone():
    hag = build_hag(edge_index_of([(0, 1), (1, 2)]), subtract=True)
    assert hag.num_aggregates == 0
    assert not hag.is_signed


def test_it_is_off_by_default():
    edge_index = edge_index_of(clique(range(40)))
    assert not build_hag(edge_index, objective="aggregations").is_signed


def test_subtract_must_be_a_bool():
    with pytest.raises(TypeError, match="'subtract' must be a bool"):
        build_hag(edge_index_of(clique(range(5))), subtract=1)


def test_same_hag_for_any_number_of_threads():
    graph = disjoint_union(near_cliques(0), noisy_copies(1), communities(2, 60, 0.2))
    results = []
    for count in (1, 2, 4):
        with num_threads(count):
            results.append(signed_hag(graph[0], size=graph[1]))
    assert results[0].is_signed
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("graph", [near_cliques(0), noisy_copies(1)])
def test_a_search_that_is_stopped(graph):
    options = SearchOptions(objective="aggregations", subtract=True)
    for stop in (0, 1):
        control = np.zeros(2, np.int64)
        control[progress.STOP] = stop
        hag = select.find_hag(*graph[0].numpy(), *graph[1], options, control)
        hag.validate(graph[0])
    signed_hag(graph[0], size=graph[1], time_limit=0).validate(graph[0])


def test_in_little_memory(monkeypatch):
    graph = near_cliques(0)
    monkeypatch.setattr(Memory, "count_parts", lambda *_: 5)
    hag = signed_hag(graph[0], size=graph[1])
    hag.validate(graph[0])
    assert hag.is_signed


def test_what_is_kept_for_a_comparison_takes_memory(monkeypatch):
    seen = []

    def count_parts(memory, *_):
        seen.append(memory.held)
        return 1

    monkeypatch.setattr(Memory, "count_parts", count_parts)
    monkeypatch.setattr(Contraction, "num_bytes", 0)
    graph = near_cliques(0)
    for subtract in (False, True):
        signed_hag(graph[0], size=graph[1], memory_limit=1 << 30, subtract=subtract)
    assert len(seen) >= 3 and seen[1:] == [2 * seen[0]] * (len(seen) - 1)


# Rows that read and subtract ##################################################


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-5, 4), unique=True, max_size=8), max_size=6))
def test_what_is_added_and_subtracted_cancels(rows):
    src = np.array([x for row in rows for x in sorted(row)], np.int64)
    count = np.array([len(row) for row in rows], np.int64)
    out, counts, minus = cancel(src, count)
    wanted = [
        (
            sorted(x for x in row if x >= 0 and -1 - x not in row),
            sorted(-1 - x for x in row if x < 0 and -1 - x not in row),
        )
        for row in rows
    ]
    assert out.tolist() == [x for pair in wanted for part in pair for x in part]
    assert counts.tolist() == [len(a) + len(b) for a, b in wanted]
    lost = [len(b) for _, b in wanted]
    assert minus.tolist() == (lost if any(lost) else [])


def test_closed_rows_without_the_node_itself():
    # Row 0 = {0, 3}, row 1 = {item 4} and row 2 = {2}; rows 0 and 1 are closed.
    rules = Rules(
        num_items=6,
        counts=np.array([2], np.int32),
        inputs=np.array([1, 2], np.int32),
        start=np.array([0, 2, 3]),
        length=np.array([2, 1, 1]),
        row=np.array([0, 3, 6, 2], np.int32),
    )
    out = combine.subtract_self(rules, np.array([True, True, False]), 3)
    rows = [
        out.row[a : a + n].tolist() for a, n in zip(out.start, out.length, strict=True)
    ]
    assert rows == [[3], [6, 3 + 1], [2]]


# Clusters #####################################################################


def rows_of(graph):
    edge_index, (num_src, num_dst) = graph
    return to_rows(*edge_index.numpy(), num_src, num_dst)


def test_clusters_find_the_common_row():
    graph = noisy_copies(3, num_copies=40, noise=0.02)
    row_ptr, row = rows_of(graph)
    cost = np.full(40, 60.0)
    clusters = similar_rows.find_clusters(row_ptr, row, 200, cost)
    assert clusters.row_ptr.size == 2
    assert (clusters.label == 0).all()
    base = random.Random(3).sample(range(200), 60)
    assert clusters.row.tolist() == sorted(base)
    for v in range(40):
        own = set(row[row_ptr[v] : row_ptr[v + 1]].tolist())
        assert clusters.difference[v] == len(own ^ set(base))


def test_rows_that_cost_little_stay_as_they_are():
    row_ptr, row = rows_of(noisy_copies(3))
    assert (
        similar_rows.find_clusters(row_ptr, row, 200, np.full(30, 3.0)).row_ptr.size
        == 1
    )


def test_equal_rows_are_no_cluster():
    row_ptr, row = rows_of((edge_index_of(biclique(range(20), range(9))), (20, 9)))
    clusters = similar_rows.find_clusters(row_ptr, row, 20, np.full(9, 20.0))
    assert clusters.row_ptr.size == 1

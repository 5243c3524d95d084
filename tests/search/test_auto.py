"""The default search: valid on every graph, and at least as good as greedy."""

import random
from itertools import combinations, product

import numpy as np
import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    biclique,
    clique,
    communities,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    graphs,
    near_cliques,
    random_graph,
    signed_hag,
    skewed_graph,
    tiny_graph,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_hag.graph.sort import to_rows
from pyg_hag.search.memory import Memory
from pyg_hag.search.pairs import candidates
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.state import new_state
from pyg_hag.search.pairs.tries import ties_of
from pyg_hag.search.select import is_cheaper_transposed
from pyg_hag.search.twins.contraction import Contraction
from pyg_hag.search.twins.find import _equal_when_closed

odd_graphs = pytest.mark.parametrize("graph", ODD_GRAPHS.values(), ids=ODD_GRAPHS)
with_and_without_subtraction = pytest.mark.parametrize(
    "build", [fewest_hag, signed_hag], ids=["fewest", "signed"]
)


def greedy(graph, **options):
    return fewest_hag(graph[0], size=graph[1], method="greedy", **options)


# Valid, on every kind of graph ################################################


@with_and_without_subtraction
@odd_graphs
@pytest.mark.parametrize("min_redundancy", [2, 3])
@pytest.mark.parametrize("objective", ["aggregations", "time"])
def test_odd_graphs(graph, min_redundancy, objective, build):
    edge_index, size = graph
    hag = build(
        edge_index, size=size, min_redundancy=min_redundancy, objective=objective
    )
    assert (hag.num_src, hag.num_dst) == size
    hag.validate(edge_index)
    hag.t().validate(edge_index.flip(0))


def test_thousands_of_tiny_graphs():
    aggregates = 0
    for seed in range(2000):
        edge_index, size = tiny_graph(seed)
        hag = fewest_hag(edge_index, size=size)
        hag.validate(edge_index)
        aggregates += hag.num_aggregates
    assert aggregates > 1000


@with_and_without_subtraction
@settings(deadline=None, max_examples=300)
@given(
    graph=graphs(),
    capacity=st.none() | st.integers(0, 9),
    min_redundancy=st.integers(2, 4),
)
@pytest.mark.at_most(1)
def test_any_graph(graph, capacity, min_redundancy, build):
    edge_index, size = graph
    hag = build(edge_index, size=size, capacity=capacity, min_redundancy=min_redundancy)
    hag.validate(edge_index)
    assert capacity is None or hag.num_aggregates <= capacity


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(4, 24), st.sampled_from([0.05, 0.2, 0.5]))
def test_planted_twins(seed, n, density):
    edge_index, size = communities(seed, n, density)
    fewest_hag(edge_index, size=size).validate(edge_index)


@pytest.mark.parametrize("seed", range(5))
def test_larger_graphs(seed):
    for edge_index, size in (
        near_cliques(seed),
        skewed_graph(seed, 60, 300, copies=2),
        random_graph(seed, 90, 150, 0.1),
        disjoint_union(communities(seed, 40, 0.2), near_cliques(seed, 2)),
    ):
        fewest_hag(edge_index, size=size).validate(edge_index)


# Quality ######################################################################


def few_more(ours, theirs, share=0.03):
    """Whether ours saves at least what theirs saves, less the share."""
    plain = theirs.stats.plain_aggregations
    saved = plain - theirs.stats.aggregations
    return plain - ours.stats.aggregations >= (1 - share) * saved


@pytest.mark.parametrize("seed", range(6))
def test_saves_what_greedy_saves(seed):
    for graph in (
        random_graph(seed, 120, 120, 0.2),
        skewed_graph(seed, 80, 400),
        communities(seed, 150, 0.1),
    ):
        assert few_more(fewest_hag(graph[0], size=graph[1]), greedy(graph))


def test_beats_greedy_on_near_cliques():
    graph = disjoint_union(*(near_cliques(seed, noise=0.01) for seed in range(20)))
    ours = fewest_hag(graph[0], size=graph[1]).stats
    theirs = greedy(graph).stats
    assert ours.aggregations < theirs.aggregations
    assert ours.reads <= theirs.reads


@pytest.mark.parametrize("n", range(2, 40, 3))
def test_clique_takes_three_aggregations_per_node(n):
    stats = fewest_hag(edge_index_of(clique(range(n)))).stats
    assert stats.aggregations == max(3 * n - 6, 0)


def test_cliques_of_one_graph_share_their_surrounding():
    # Two cliques of six; all twelve are joined to the same four nodes.
    edges = clique(range(6)) + clique(range(6, 12))
    joined = biclique(range(12), range(12, 16))
    edges += joined + [(v, u) for u, v in joined]
    hag = fewest_hag(edge_index_of(edges))
    hag.validate(edge_index_of(edges))
    # Per clique 5 for its sum and 10 downwards, 3 and 1 for the surroundings:
    assert hag.stats.aggregations == 2 * 15 + 3 + 1


def test_equal_rows_are_computed_once():
    edges = edge_index_of(biclique(range(9), range(9, 30)))
    hag = fewest_hag(edges)
    assert hag.num_aggregates == 1
    assert hag.stats.aggregations == 8


def test_the_cheaper_side_is_searched():
    """One destination reads everything, so that rows are long and columns short."""
    pairs = biclique([0, 1, 2], range(5)) + biclique([3, 4], range(5, 9))
    hub = [(u, 9) for u in range(400)]
    edge_index, size = edge_index_of(pairs + hub), (400, 10)
    assert is_cheaper_transposed(*edge_index.numpy(), *size)
    hag = fewest_hag(edge_index, size=size)
    hag.validate(edge_index)
    assert hag.num_aggregates == 2


# Sampling #####################################################################


def test_long_rows_and_many_rows_are_sampled():
    """Rows longer than the window, items in more rows than a sample."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 1500)
    wide = np.isin(groups, range(12))
    rows = [np.flatnonzero(wide | (groups == i % 40)) for i in range(60)]
    assert min(map(len, rows)) > candidates.WINDOW
    assert sum(map(len, rows)) > candidates.BUDGET
    edges = [(int(u), v) for v, row in enumerate(rows) for u in row]
    edge_index, size = edge_index_of(edges), (1500, 60)
    hag = fewest_hag(edge_index, size=size)
    hag.validate(edge_index)
    assert few_more(hag, greedy((edge_index, size)))


def test_the_window_of_a_long_row_is_around_the_item():
    """Eight items that are in the same rows are each other's first candidates."""
    rng = np.random.default_rng(0)
    groups = [np.sort(rng.permutation(300)[:100]) for _ in range(90)]
    rows = [(8 * group[:, None] + np.arange(8)).ravel() for group in groups]
    assert min(map(len, rows)) > candidates.WINDOW
    row_len = np.array([len(row) for row in rows], np.int64)
    row = np.concatenate(rows).astype(np.int32)
    row_ptr = np.concatenate([[0], np.cumsum(row_len)])
    state = new_state(Component(row_ptr, row, row_len, 2400), ties_of(0), 2)
    counter = candidates.new_counter(2400)
    for x in state.rank.argsort().tolist():  # in the order of the rows
        candidates.find_candidates(state, counter, x)
        others = {8 * (x // 8) + i for i in range(8)} - {x}
        assert {*state.candidate[x].tolist()} < others
        assert set(state.num_shared[x].tolist()) == {state.lists.size[x]}


# Twins ########################################################################


def contract(graph):
    edge_index, (num_src, num_dst) = graph
    row_ptr, row = to_rows(*edge_index.numpy(), num_src, num_dst)
    nodes = num_src if num_src == num_dst else 0
    return Contraction(
        row_ptr, row, num_src, nodes, 2, 16, np.zeros(2, np.int64), Memory(None)
    )


def test_a_cograph_contracts_to_nothing():
    """Joins and unions of single nodes, eight deep."""
    rng = random.Random(0)
    edges, next_node = [], 0

    def build(depth):
        nonlocal next_node
        if depth == 0:
            next_node += 1
            return [next_node - 1]
        left, right = build(depth - 1), build(depth - 1)
        if depth % 2 == rng.randrange(2):
            joined = biclique(left, right)
            edges.extend(joined + [(v, u) for u, v in joined])
        return left + right

    n = len(build(8))
    graph = edge_index_of(edges), (n, n)
    assert contract(graph).row.size == 0
    hag = fewest_hag(graph[0], size=graph[1])
    hag.validate(graph[0])
    assert hag.stats.aggregations < 4 * n


def test_directed_twins_need_equal_rows_and_equal_columns():
    """Nodes 0 and 1 read the same, closed, but only 0 is read by 4."""
    edges = [(0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (0, 4), (3, 4)]
    edge_index = edge_index_of(edges)
    fewest_hag(edge_index, num_nodes=5).validate(edge_index)
    assert contract((edge_index, (5, 5))).row.size > 0


def test_closed_rows_are_compared_to_their_ends():
    """As if the hashes of all rows were equal."""
    rows = [row for size in range(5) for row in combinations(range(4), size)]
    for first, second in product(rows, rows):
        ptr = np.cumsum([0, 0, len(first), len(second)])  # of nodes 1 and 2
        found = _equal_when_closed(ptr, np.array(first + second, np.int32), 1, 2)
        assert found == (sorted((*first, 1)) == sorted((*second, 2)))


def test_a_self_loop_is_not_the_neighbour_it_looks_like():
    edges = edge_index_of([*clique([0, 1, 2]), (1, 1), *clique([3, 4])])
    hag = fewest_hag(edges)
    hag.validate(edges)
    assert torch.equal(hag.self_loops, torch.tensor([0, 1, 0, 0, 0]))

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
import torch
from graphs import (
    ODD_GRAPHS,
    biclique,
    clique,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    forks,
    graphs,
    in_forked_child,
    num_threads,
    random_graph,
    skewed_graph,
    tiny_graph,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_hag import build_hag
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.greedy import merge_pairs

CAPACITIES = [None, 0, 1, 2, 3, 5, 100]

odd_graphs = pytest.mark.parametrize("graph", ODD_GRAPHS.values(), ids=ODD_GRAPHS)


def flat(hag):
    assert not hag.is_signed
    return oracle.FlatHAG(*(tensor.tolist() for tensor in hag.tensors[:-2]))


def check_against_oracle(graph, capacity=None, min_redundancy=2):
    edge_index, size = graph
    hag = fewest_hag(
        edge_index,
        size=size,
        method="greedy",
        capacity=capacity,
        min_redundancy=min_redundancy,
    )
    assert (hag.num_src, hag.num_dst) == size
    assert flat(hag) == oracle.flat_hag(edge_index, size, capacity, min_redundancy)
    hag.validate(edge_index)
    return hag


def many_components(seed=0):
    """Enough of them, of all sizes, for several chunks of work per thread."""
    return disjoint_union(
        *(tiny_graph(1000 * seed + i) for i in range(150)),
        skewed_graph(seed, 12, 80),
        random_graph(seed, 14, 14, 0.6),
    )


# Agreement ####################################################################


@odd_graphs
@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("min_redundancy", [2, 3, 4])
def test_odd_graphs(graph, capacity, min_redundancy):
    check_against_oracle(graph, capacity, min_redundancy)


def test_thousands_of_tiny_graphs():
    merged = 0
    for seed in range(3000):
        capacity = CAPACITIES[seed % len(CAPACITIES)]
        hag = check_against_oracle(tiny_graph(seed), capacity, 2 + seed // 7 % 3)
        merged += hag.num_aggregates
    assert merged > 2000  # there was something to agree on


@settings(deadline=None, max_examples=500)
@given(graphs(), st.none() | st.integers(0, 12), st.integers(2, 4))
def test_any_graph(graph, capacity, min_redundancy):
    check_against_oracle(graph, capacity, min_redundancy)


@pytest.mark.parametrize("capacity", [None, 7, 60])
def test_capacity_counts_over_all_components(capacity):
    check_against_oracle(many_components(), capacity)


# Both representations of items ################################################


def merge_rows(rows, num_items, dense, min_redundancy):
    """`merge_pairs` on rows given as sets: like `oracle.greedy`."""
    row_len = np.array([len(row) for row in rows], np.int64)
    row_ptr = np.concatenate([[0], np.cumsum(row_len)])
    row = np.array([x for row in rows for x in sorted(row)], np.int32)
    pairs = np.full((row.size // 2, 2), -1, np.int32)
    shared = np.full(row.size // 2, -1, np.int32)
    component = Component(row_ptr, row, row_len, num_items)
    control = np.zeros(2, np.int64)
    num_new = merge_pairs(component, dense, min_redundancy, pairs, shared, control)
    merged = [row[p : p + n] for p, n in zip(row_ptr[:-1], row_len, strict=True)]
    steps = zip(pairs[:num_new].tolist(), shared[:num_new].tolist(), strict=True)
    return [set(r.tolist()) for r in merged], [(tuple(xy), n) for xy, n in steps]


def check_representations(graph, min_redundancy=2):
    """Returns the merges of the graph as one component."""
    edge_index, (_, num_dst) = graph
    _, rows = oracle.number_items(oracle.rows_of_items(edge_index, num_dst))
    num_items = len(set().union(*rows))
    expected_rows = [set(row) for row in rows]
    expected = oracle.greedy(expected_rows, num_items, min_redundancy)
    for dense in (True, False):
        found_rows, found = merge_rows(rows, num_items, dense, min_redundancy)
        assert found == expected
        assert found_rows == expected_rows
    return expected


@pytest.mark.parametrize("min_redundancy", [2, 3, 4])
def test_representations_agree_on_tiny_graphs(min_redundancy):
    for seed in range(500):
        check_representations(tiny_graph(seed), min_redundancy)


@pytest.mark.parametrize("num_rows", [63, 64, 65, 128, 130, 200])
@pytest.mark.parametrize("density", [0.15, 0.6])
def test_representations_agree_over_several_words(num_rows, density):
    check_representations(random_graph(num_rows, 9, num_rows, density))


def test_representations_agree_when_arrays_grow():
    merges = check_representations(random_graph(0, 10, 200, 0.6))
    assert len(merges) > 2 * 10 + 16  # more than there was room for at first


@pytest.mark.parametrize("seed", range(4))
def test_representations_agree_on_skewed_rows(seed):
    check_representations(skewed_graph(seed, 25, 150, copies=2))


@pytest.mark.parametrize("seed", range(4))
def test_representations_agree_on_a_hub(seed):
    edge_index, _ = random_graph(seed, 60, 250, 0.02)
    hub = edge_index_of(biclique([60], range(250)))
    merges = check_representations((torch.cat([edge_index, hub], 1), (61, 250)))
    assert 16 * merges[0][1] < 250


@odd_graphs
def test_representations_agree_on_odd_graphs(graph):
    check_representations(graph)


# What the search promises #####################################################


@pytest.mark.parametrize("capacity", [None, 40])
def test_any_number_of_threads_gives_the_same(capacity):
    edge_index, size = many_components()
    found = []
    for count in (1, 2, 4):
        with num_threads(count):
            found.append(fewest_hag(edge_index, size=size, capacity=capacity))
    assert found[0].num_aggregates > 10
    assert found == 3 * found[:1]


def test_python_threads_may_search_at_once():
    batch = [many_components(seed) for seed in range(4)]

    def build(graph):
        return fewest_hag(graph[0], size=graph[1])

    with num_threads(2), ThreadPoolExecutor(4) as pool:
        expected = [build(graph) for graph in batch]
        assert list(pool.map(build, 5 * batch)) == 5 * expected


@forks
def test_search_in_a_forked_child():
    edge_index, size = many_components()
    with num_threads(2):
        expected = flat(fewest_hag(edge_index, size=size))  # starts threads
        found = in_forked_child(lambda: flat(fewest_hag(edge_index, size=size)))
    assert found == expected


@settings(deadline=None)
@given(graphs(), st.integers(0, 6))
def test_capacity_is_the_largest_number_of_aggregates(graph, capacity):
    edge_index, size = graph
    full = fewest_hag(edge_index, size=size)
    hag = fewest_hag(edge_index, size=size, capacity=capacity)
    assert hag.num_aggregates <= capacity
    assert hag.stats.aggregations >= full.stats.aggregations
    hag.validate(edge_index)


@odd_graphs
def test_without_capacity_it_is_plain(graph):
    edge_index, size = graph
    hag = fewest_hag(edge_index, size=size, capacity=0)
    assert hag.num_aggregates == hag.agg.numel() == 0
    assert hag.src.numel() == hag.stats.reads == edge_index.size(1)
    assert hag.stats.aggregations == hag.stats.plain_aggregations


@settings(deadline=None)
@given(graphs())
def test_an_aggregate_is_read_twice_and_has_two_inputs(graph):
    hag = fewest_hag(graph[0], size=graph[1])
    assert (hag.agg.bincount(minlength=hag.num_aggregates) >= 2).all()
    rows = torch.stack([hag.group_aggs, hag.group_dsts], dim=1).flatten()
    is_aggregate = torch.arange(rows.numel()).repeat_interleave(rows) % 2 == 0
    assert ((hag.src_count + hag.agg_count)[is_aggregate] >= 2).all()
    assert hag.stats.aggregations <= hag.stats.plain_aggregations


def test_doubled_edges_are_shared_with_their_multiplicity():
    edge_index = edge_index_of(2 * biclique([0, 1], [2, 3, 4]))
    hag = fewest_hag(edge_index, num_nodes=5)
    assert hag.num_aggregates == 1
    assert hag.src.tolist() == [0, 0, 1, 1]  # the aggregate reads each twice
    assert hag.agg.tolist() == [0, 0, 0]
    assert hag.in_degree.tolist() == [0, 0, 4, 4, 4]
    hag.validate(edge_index)


def test_an_edge_that_only_one_row_doubles_is_not_shared_twice():
    edge_index = edge_index_of([*biclique([0, 1], [2, 3]), (0, 3)])
    hag = fewest_hag(edge_index, num_nodes=4)
    assert hag.src.tolist() == [0, 1, 0]
    assert hag.in_degree.tolist() == [0, 0, 2, 3]
    hag.validate(edge_index)


def test_isolated_nodes_have_empty_rows():
    hag = fewest_hag(edge_index_of(biclique([1, 3], [2, 4])), num_nodes=6)
    empty = hag.src_count + hag.agg_count == 0
    assert empty.sum() == 4
    assert hag.in_degree.tolist() == [0, 0, 2, 0, 2, 0]


@pytest.mark.parametrize("n", range(2, 13))
def test_clique(n):
    hag = fewest_hag(edge_index_of(clique(range(n))))
    assert hag.stats.plain_aggregations == n * (n - 2)
    assert hag.stats.aggregations == 3 * (n - 2)
    closed = fewest_hag(edge_index_of(clique(range(n), closed=True)))
    assert closed.num_aggregates == 1
    assert closed.stats.aggregations == n - 1


# Arguments ####################################################################

EDGES = edge_index_of([(0, 1), (2, 1), (0, 2)])
SIGNS = torch.tensor([[1, 1, 1], [-1, 1, 1]])


@pytest.mark.parametrize("integer", [torch.int32, torch.int16, torch.uint8])
def test_edge_index_of_another_integer_dtype(integer):
    assert fewest_hag(EDGES.to(integer)) == fewest_hag(EDGES)


def test_edge_index_that_is_not_contiguous():
    edge_index, size = tiny_graph(8)
    expected = fewest_hag(edge_index, size=size)
    spread = torch.full((4, 2 * edge_index.size(1)), -7)
    spread[::2, ::2] = edge_index
    for view in (edge_index.t().contiguous().t(), spread[::2, ::2]):
        assert not view.is_contiguous()
        assert fewest_hag(view, size=size) == expected


def test_edge_index_stays_as_it_is():
    edge_index, size = tiny_graph(8)
    before = edge_index.clone()
    fewest_hag(edge_index, size=size)
    assert torch.equal(edge_index, before)


def test_num_nodes_defaults_to_the_largest():
    hag = fewest_hag(EDGES)
    assert hag == fewest_hag(EDGES, num_nodes=3) == fewest_hag(EDGES, size=(3, 3))
    assert fewest_hag(EDGES[:, :0]).num_src == 0


BAD_CALLS = [
    (TypeError, "'edge_index'", [[0], [1]], {}),
    (TypeError, "'edge_index'", None, {"num_nodes": 3}),
    (TypeError, "'edge_index'.*float32", EDGES.float(), {}),
    (TypeError, "'edge_index'.*bool", EDGES.bool(), {}),
    (ValueError, r"'edge_index'.*\[1, 3\]", EDGES[:1], {}),
    (ValueError, r"'edge_index'.*\[3, 2\]", EDGES.t(), {"num_nodes": 3}),
    (ValueError, r"'edge_index'.*\[3\]", EDGES[0], {}),
    (ValueError, r"'edge_index'.*\[1, 2, 3\]", EDGES[None], {}),
    (ValueError, "'edge_index' has source 2", EDGES, {"size": (2, 3)}),
    (ValueError, "'edge_index' has destination 2", EDGES, {"size": (3, 2)}),
    (ValueError, "'edge_index' has source 2", EDGES, {"num_nodes": 2}),
    (ValueError, "'edge_index' has source 2", EDGES, {"num_nodes": 0}),
    (ValueError, "'edge_index' has source -1", EDGES - 1, {"num_nodes": 3}),
    (ValueError, "'edge_index' has source -1", EDGES - 1, {}),
    (ValueError, "'edge_index' has destination -1", EDGES * SIGNS, {}),
    (ValueError, "'edge_index'", EDGES + 2**31, {}),
    (ValueError, "'num_nodes' or 'size'", EDGES, {"num_nodes": 3, "size": (3, 3)}),
    (TypeError, "'num_nodes'", EDGES, {"num_nodes": 3.0}),
    (TypeError, "'num_nodes'", EDGES[:, :0], {"num_nodes": True}),
    (ValueError, "'num_nodes'.*-1", EDGES, {"num_nodes": -1}),
    (ValueError, "'num_nodes'.*2147483648", EDGES, {"num_nodes": 2**31}),
    (TypeError, "'size'", EDGES, {"size": [3, 3]}),
    (TypeError, "'size'", EDGES, {"size": 3}),
    (TypeError, "'size'", EDGES, {"size": (3, 3, 3)}),
    (TypeError, "'size'.*3.0", EDGES, {"size": (3, 3.0)}),
    (TypeError, "'size'.*None", EDGES, {"size": (3, None)}),
    (ValueError, "'size'.*-3", EDGES, {"size": (3, -3)}),
    (ValueError, "'size'.*2147483648", EDGES, {"size": (2**31, 3)}),
    (ValueError, "'capacity'.*-1", EDGES, {"capacity": -1}),
    (TypeError, "'capacity'.*True", EDGES, {"capacity": True}),
    (TypeError, "'capacity'.*2.0", EDGES, {"capacity": 2.0}),
    (ValueError, "'min_redundancy'.*1", EDGES, {"min_redundancy": 1}),
    (TypeError, "'min_redundancy'.*2.0", EDGES, {"min_redundancy": 2.0}),
    (TypeError, "'min_redundancy'.*'2'", EDGES, {"min_redundancy": "2"}),
    (ValueError, "'objective'.*'speed'", EDGES, {"objective": "speed"}),
    (TypeError, "'objective'.*None", EDGES, {"objective": None}),
    (ValueError, "'method'.*'exact'", EDGES, {"method": "exact"}),
    (ValueError, "'num_features'.*0", EDGES, {"num_features": 0}),
    (TypeError, "'cost_model'.*'fast'", EDGES, {"cost_model": "fast"}),
    (TypeError, "'time_limit'.*'1 s'", EDGES, {"time_limit": "1 s"}),
    (ValueError, "'time_limit'.*-1", EDGES, {"time_limit": -1}),
    (ValueError, "'time_limit'.*nan", EDGES, {"time_limit": float("nan")}),
    (ValueError, "'memory_limit'.*-1", EDGES, {"memory_limit": -1}),
    (TypeError, "'memory_limit'.*2000000000.0", EDGES, {"memory_limit": 2e9}),
    (TypeError, "'progress'.*1", EDGES, {"progress": 1}),
]


@pytest.mark.parametrize(("error", "match", "edge_index", "arguments"), BAD_CALLS)
def test_bad_arguments(error, match, edge_index, arguments):
    with pytest.raises(error, match=match):
        fewest_hag(edge_index, **arguments)


def test_few_passes_do_not_pay_for_a_search(monkeypatch):
    edge_index = edge_index_of(clique(range(200)))

    def fail(*_):
        raise AssertionError("searched")

    many = build_hag(edge_index, num_passes=10**6)
    assert many.num_aggregates > 0 and many == build_hag(edge_index)
    monkeypatch.setattr("pyg_hag.search.select._search", fail)
    for few in (0, 4):
        hag = build_hag(edge_index, num_passes=few)
        assert hag == build_hag(edge_index, capacity=0)
        assert f"plain: {few} passes of" in hag.stats.decision
    with pytest.raises(ValueError, match="'num_passes' must be at least 0"):
        build_hag(edge_index, num_passes=-1)

import copy
import pickle
import random
from collections import Counter, defaultdict

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
    graphs,
    int64,
    neighbor_lists,
    num_threads,
    random_graph,
    skewed_graph,
    tiny_graph,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_hag import HAG, HAGTransform, aggregate, build_hag

ORDERS = ["given", "degree", "shared"]

odd_graphs = pytest.mark.parametrize("graph", ODD_GRAPHS.values(), ids=ODD_GRAPHS)
orders = pytest.mark.parametrize("order", ORDERS)


def sequential(graph, order="given", **options):
    edge_index, size = graph
    return build_hag(
        edge_index, size=size, order="sequential", neighbor_order=order, **options
    )


# The slow and obvious way #####################################################


def lists_of(graph, order):
    """Each destination's sources in the order, copies included."""
    edge_index, (_, num_dst) = graph
    edges = edge_index.t().tolist()
    lists = [[u for u, w in edges if w == v] for v in range(num_dst)]
    if order == "given":
        return lists
    degree = Counter(u for u, _ in set(map(tuple, edges)))
    return [sorted(sources, key=lambda u: (-degree[u], u)) for sources in lists]


def prefixes_of(lists):
    """How many lists begin with each prefix but the empty one."""
    return Counter(
        tuple(sources[:i]) for sources in lists for i in range(1, len(sources) + 1)
    )


def steps_of(lists, least=2):
    """Steps when the prefixes of at least `least` lists are taken once."""
    counts = prefixes_of(lists).values()
    return sum(1 if count >= least else count for count in counts)


def aggregates_of(lists, least=2):
    """The prefixes with two readers: longer prefixes, or lists."""
    counts = prefixes_of(lists)
    readers = defaultdict(int)
    for prefix, count in counts.items():
        readers[prefix[:-1]] += 1 if count >= least else count
    for sources in lists:
        readers[tuple(sources)] += 1
    return {p for p, count in counts.items() if count >= least and readers[p] > 1}


def expanded(hag):
    """The aggregates' and the destinations' sources, in the order of the rows."""
    assert hag.is_sequential
    flat = oracle.FlatHAG(*(tensor.tolist() for tensor in hag.tensors[:-2]))
    src, agg, dst = iter(flat.src), iter(flat.agg), iter(flat.dst)
    counts = iter(zip(flat.src_count, flat.agg_count, strict=True))
    aggregates, lists = [], {}

    def next_row():
        num_src, num_agg = next(counts)
        assert num_agg <= 1
        prefix = [u for _ in range(num_agg) for u in aggregates[next(agg)]]
        return prefix + [next(src) for _ in range(num_src)]

    for num_aggs, num_dsts in zip(flat.group_aggs, flat.group_dsts, strict=True):
        for i in range(num_aggs + num_dsts):
            row = next_row()
            if i < num_aggs:
                aggregates.append(row)
            else:
                lists[next(dst)] = row
    return aggregates, [lists[v] for v in range(hag.num_dst)]


def check(graph, order, least=2):
    """Compares the HAG with the oracle, and returns it."""
    edge_index, size = graph
    hag = sequential(graph, order, min_redundancy=least)
    assert (hag.num_src, hag.num_dst) == size
    HAG(hag.num_src, *hag.tensors, sequential=True)  # raises where it is none
    hag.validate(edge_index)
    aggregates, lists = expanded(hag)
    if order == "shared":
        wanted = lists_of(graph, "given")
        assert list(map(sorted, lists)) == list(map(sorted, wanted))
    else:
        assert lists == lists_of(graph, order)
    assert len(set(map(tuple, aggregates))) == len(aggregates)
    assert set(map(tuple, aggregates)) == aggregates_of(lists, least)
    assert hag.src.numel() == hag.stats.steps == steps_of(lists, least)
    assert (hag.agg.bincount(minlength=hag.num_aggregates) >= 2).all()
    check_groups(hag, graph)
    return hag


def check_groups(hag, graph):
    rows = oracle.rows_of_items(*(graph[0], graph[1][1]))
    parts = oracle.components(rows)
    empty = [v for v, row in enumerate(rows) if not row]
    parts += [empty] if empty else []
    assert hag.group_dsts.tolist() == [len(part) for part in parts]
    assert hag.dst.tolist() == [v for part in parts for v in part]


# Agreement ####################################################################


@odd_graphs
@orders
@pytest.mark.parametrize("least", [2, 3, 4])
def test_odd_graphs(graph, order, least):
    check(graph, order, least)


@pytest.mark.at_most(1)
@orders
def test_thousands_of_tiny_graphs(order):
    shared = 0
    for seed in range(1500):
        hag = check(tiny_graph(seed), order, 2 + seed // 7 % 3)
        shared += hag.num_aggregates
    assert shared > 500  # there was something to agree on


@settings(deadline=None, max_examples=300)
@given(graphs(), st.sampled_from(ORDERS), st.integers(2, 4))
def test_any_graph(graph, order, least):
    check(graph, order, least)


@orders
@pytest.mark.parametrize("seed", range(3))
def test_larger_graphs(order, seed):
    check(skewed_graph(seed, 20, 90, copies=2), order)
    check(random_graph(seed, 25, 60, 0.4), order)


@pytest.mark.full
def test_shared_is_never_worse():
    better = 0
    for seed in range(1000):
        parts = [tiny_graph(7 * seed + i) for i in range(1 + seed % 3)]
        graph = disjoint_union(*parts)
        least = 2 + seed % 2
        given, degree, shared = (
            sequential(graph, order, min_redundancy=least).stats.steps
            for order in ORDERS
        )
        assert shared <= min(given, degree) <= graph[0].size(1)
        better += shared < min(given, degree)
        if len(parts) == 3:  # each component has the order that is best for it
            alone = [sequential(part, "shared", min_redundancy=least) for part in parts]
            assert shared <= sum(hag.stats.steps for hag in alone)
    assert better > 200


def test_shared_finds_what_no_common_order_shares():
    # Sources 0 and 1 stand in six rows, each with a pair of its own in two more.
    rows = [[0, 1, 2], [0, 1, 2], [0, 1, 3], [3, 4, 5, 6], [3, 4, 5, 6], [3, 4, 5]]
    graph = edge_index_of([(u, v) for v, row in enumerate(rows) for u in row]), (7, 6)
    hag = check(graph, "shared")
    assert hag.stats.steps == 2 + 1 + 1 + 4


@pytest.mark.parametrize("n", range(2, 10))
def test_clique(n):
    graph = edge_index_of(clique(range(n))), (n, n)
    closed = edge_index_of(clique(range(n), closed=True)), (n, n)
    wanted = n * (n + 1) // 2 - 1  # row v leaves the common list at v
    assert [sequential(graph, order).stats.steps for order in ORDERS] == 3 * [wanted]
    assert [sequential(closed, order).stats.steps for order in ORDERS] == 3 * [n]


# What the search promises #####################################################


@settings(deadline=None)
@given(graphs(), st.sampled_from(ORDERS), st.integers(0, 6))
def test_capacity_is_the_largest_number_of_aggregates(graph, order, capacity):
    hag = sequential(graph, order, capacity=capacity)
    full = sequential(graph, order)
    assert hag.num_aggregates == min(capacity, full.num_aggregates) or order == "shared"
    assert hag.num_aggregates <= capacity
    assert full.stats.steps <= hag.stats.steps <= graph[0].size(1)
    assert hag.stats.steps == hag.src.numel()
    hag.validate(graph[0])
    if order != "shared":
        assert expanded(hag)[1] == lists_of(graph, order)
    else:
        for other in ("given", "degree"):
            other = sequential(graph, other, capacity=capacity)
            assert hag.stats.steps <= other.stats.steps


def test_capacity_keeps_what_saves_most():
    # Six rows share [3], two share [0, 1, 2], two [4, 5]: 5, 3 and 2 steps less.
    rows = 6 * [[3]] + 2 * [[0, 1, 2]] + 2 * [[4, 5]]
    graph = edge_index_of([(u, v) for v, row in enumerate(rows) for u in row]), (6, 10)
    steps = [sequential(graph, capacity=k).stats.steps for k in range(4)]
    assert steps == [16, 11, 8, 6]


@orders
@pytest.mark.parametrize("capacity", [None, 40])
def test_any_number_of_threads_gives_the_same(order, capacity):
    graph = disjoint_union(*map(tiny_graph, range(60)), skewed_graph(0, 12, 80))
    found = []
    for count in (1, 2, 4):
        with num_threads(count):
            found.append(sequential(graph, order, capacity=capacity))
    assert found[0].num_aggregates > 10
    assert found == 3 * found[:1]


@orders
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_it_computes_what_plain_computes(order, reduce):
    for graph in (skewed_graph(3, 12, 40, copies=2), ODD_GRAPHS["isolated nodes"]):
        edge_index, size = graph
        plain = build_hag(edge_index, size=size, capacity=0)
        x = torch.randn(size[0], 5, dtype=torch.double, requires_grad=True)
        found = aggregate(x, sequential(graph, order), reduce)
        wanted = aggregate(x, plain, reduce)
        torch.testing.assert_close(found, wanted)
        grads = [torch.autograd.grad(y.cos().sum(), x)[0] for y in (found, wanted)]
        torch.testing.assert_close(*grads)


def test_given_order_is_the_default():
    edge_index, size = graph = tiny_graph(8)
    assert build_hag(edge_index, size=size, order="sequential") == sequential(graph)


@orders
def test_no_capacity_gives_the_lists_as_they_are(order):
    graph = skewed_graph(1, 12, 40)
    plain = sequential(graph, order, capacity=0)
    assert plain.stats.decision == "plain: 'capacity' is 0"
    assert plain.num_aggregates == 0 and plain.is_sequential
    if order != "shared":
        assert neighbor_lists(plain) == lists_of(graph, order)
    plain.validate(graph[0])


def test_it_says_what_it_did():
    edge_index = edge_index_of(biclique([2, 0, 1], [3, 4, 5]))
    hag = build_hag(edge_index, 6, order="sequential", neighbor_order="degree")
    stats = hag.stats
    assert stats.decision == "sequential HAG: prefixes shared in 'degree' order"
    assert (stats.plain_steps, stats.steps, stats.step_reduction) == (9, 3, 3.0)
    assert repr(hag) == (
        "HAG(num_src=6, num_dst=6, num_aggregates=1, steps=3, saved=67%)"
    )
    assert "3.00x fewer" in hag._repr_html_() and "steps" in hag._repr_html_()
    stats = build_hag(edge_index, objective="aggregations").stats
    assert (stats.steps, stats.plain_steps, stats.step_reduction) == (None, 9, 1.0)
    one = edge_index_of([(0, 1)])
    hag = build_hag(one, order="sequential", neighbor_order="shared")
    assert hag.stats.decision.endswith("in 'shared' order")


def test_shared_says_which_orders_it_mixed():
    mixed = set()
    for seed in range(40):
        graph = disjoint_union(*(tiny_graph(9 * seed + i) for i in range(9)))
        mixed.add(sequential(graph, "shared").stats.decision)
    assert any("the best of 'shared', 'degree'" in decision for decision in mixed)


# The mark #####################################################################


@odd_graphs
@orders
def test_the_mark_survives(graph, order, tmp_path):
    hag = sequential(graph, order)
    hag.save(tmp_path / "a.hag")
    torch.save(hag, tmp_path / "b.hag")
    for other in (
        copy.copy(hag),
        copy.deepcopy(hag),
        pickle.loads(pickle.dumps(hag)),
        HAG.load(tmp_path / "a.hag"),
        torch.load(tmp_path / "b.hag", weights_only=True),
        hag.to("cpu"),
        HAG(hag.num_src, *hag.tensors, sequential=True),
    ):
        assert other.is_sequential is True
        assert other == hag and hash(other) == hash(hag)
    assert hag.to("meta").is_sequential is True
    assert not hag.t().is_sequential
    hag.t().validate(graph[0].flip(0))
    as_set = HAG(hag.num_src, *hag.tensors)
    assert as_set.is_sequential is False
    assert as_set != hag and hag != as_set
    assert pickle.loads(pickle.dumps(as_set)) == as_set
    as_set.save(tmp_path / "a.hag")
    assert HAG.load(tmp_path / "a.hag") == as_set


def test_the_mark_cannot_be_changed():
    hag = sequential(tiny_graph(8))
    with pytest.raises(AttributeError, match="immutable"):
        hag.is_sequential = False
    with pytest.raises(TypeError, match=r"'sequential' must be a bool \(got 1\)"):
        HAG(hag.num_src, *hag.tensors, sequential=1)


def test_a_row_of_two_aggregates_is_not_sequential():
    tensors = (
        int64(0, 1),
        int64(0, 1, 0, 1),
        int64(1, 1, 0, 0),
        int64(0, 0, 2, 2),
        int64(0, 1),
        int64(2),
        int64(2),
    )
    HAG(2, *tensors).validate()
    with pytest.raises(ValueError, match=r"row 2 reads 2 aggregates.*'sequential'"):
        HAG(2, *tensors, sequential=True)


def test_a_file_with_another_mark_is_refused(tmp_path):
    path = tmp_path / "a.hag"
    sequential(tiny_graph(8)).save(path)
    with np.load(path) as members:
        arrays = dict(members)
    arrays["format"] = np.array([1])  # without a checksum
    del arrays["checksum"]
    for mark in ([0], [2], [1, 1], []):
        arrays["sequential"] = np.array(mark, np.int64)
        with path.open("wb") as file:
            np.savez(file, **arrays)
        with pytest.raises(ValueError, match="'sequential' must be 1"):
            HAG.load(path)


# Data #########################################################################


def data_of(seed, **options):
    n = 4 + seed % 7
    edge_index, _ = random_graph(seed, n, n, 0.5)
    edge_index = edge_index[:, torch.randperm(edge_index.size(1))]
    data = Data(torch.randn(n, 3), edge_index)
    return HAGTransform(order="sequential", **options)(data)


@orders
def test_batches_keep_the_order(order, tmp_path):
    graphs = [data_of(seed, neighbor_order=order) for seed in range(12)]
    for data in graphs:
        wanted = sequential((data.edge_index, (data.num_nodes,) * 2), order)
        assert data.hag == wanted and data.hag.is_sequential
    batch = next(iter(DataLoader(graphs, batch_size=12)))
    assert batch.hag.is_sequential
    batch.hag.validate(batch.edge_index)
    starts = batch.ptr.tolist()
    assert expanded(batch.hag)[1] == [
        [u + start for u in sources]
        for data, start in zip(graphs, starts[:-1], strict=True)
        for sources in expanded(data.hag)[1]
    ]
    torch.save(batch, tmp_path / "batch.pt")
    batch = torch.load(tmp_path / "batch.pt", weights_only=False)
    for before, after in zip(graphs, batch.to_data_list(), strict=True):
        assert after.hag == before.hag and after.hag.is_sequential


def test_a_batch_of_both_kinds_has_no_order():
    graphs = [data_of(1), HAGTransform()(Data(edge_index=clique_edges(), x=ones(5)))]
    hag = Batch.from_data_list(graphs).hag
    assert not hag.is_sequential
    assert [data.hag.is_sequential for data in graphs] == [True, False]


def clique_edges():
    return edge_index_of(clique(range(5)))


def ones(n):
    return torch.ones(n, 3)


def test_self_loops_come_last():
    data = Data(ones(5), clique_edges())
    hag = HAGTransform(add_self_loops=True, order="sequential")(data).hag
    assert [sources[-1] for sources in expanded(hag)[1]] == list(range(5))


def test_a_changed_graph_is_noticed():
    data = data_of(5)
    data.edge_index = data.edge_index[:, 1:]
    with pytest.raises(ValueError, match="its edges have changed"):
        _ = data.hag


# Arguments ####################################################################


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ValueError, "'order' must be 'set' or 'sequential'", {"order": "list"}),
        (TypeError, "'order' must be a str", {"order": None}),
        (
            ValueError,
            "'neighbor_order' has no effect with order='set'",
            {"neighbor_order": "given"},
        ),
        (
            ValueError,
            "'neighbor_order' must be 'given' or 'degree' or 'shared'",
            {"order": "sequential", "neighbor_order": "random"},
        ),
        (
            TypeError,
            "'neighbor_order' must be a str",
            {"order": "sequential", "neighbor_order": 1},
        ),
        (ValueError, "'capacity'", {"order": "sequential", "capacity": -1}),
        (ValueError, "'min_redundancy'", {"order": "sequential", "min_redundancy": 1}),
        (ValueError, "'size' or|'edge_index'", {"order": "sequential", "num_nodes": 1}),
    ],
)
def test_bad_arguments(error, match, options):
    with pytest.raises(error, match=match):
        build_hag(clique_edges(), **options)
    if "num_nodes" not in options:
        with pytest.raises(error, match=match):
            HAGTransform(**options)


@orders
def test_edge_index_stays_as_it_is(order):
    edge_index, size = tiny_graph(8)
    before = edge_index.clone()
    assert sequential((edge_index.int(), size), order) == sequential(
        (edge_index, size), order
    )
    assert torch.equal(edge_index, before)


def test_the_order_of_edges_matters_only_where_it_is_given():
    rng = random.Random(0)
    edge_index, size = skewed_graph(1, 12, 40)
    mixed = edge_index[:, rng.sample(range(edge_index.size(1)), edge_index.size(1))]
    assert sequential((edge_index, size)) != sequential((mixed, size))
    assert sequential((edge_index, size), "degree") == sequential(
        (mixed, size), "degree"
    )

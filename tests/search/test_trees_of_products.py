"""Trees over lists, and rules of products, read item by item in plain Python."""

import random
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from graphs import (
    clique,
    disjoint_union,
    edge_index_of,
    fewest_hag,
    skewed_graph,
    tiny_graph,
)
from products import paths_of, random_chain

from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.product import trees
from pyg_hag.search.product.chain import chain
from pyg_hag.search.product.factors import fold, product, to_factor
from pyg_hag.search.product.find import _own_atoms
from pyg_hag.search.product.quotient import to_quotient
from pyg_hag.search.product.quotient_rules import split_rules
from pyg_hag.search.product.refine import refine, to_rows

SIZES = range(1, 71)


def forest_of(sizes, seed=0):
    """Trees over lists of these sizes, of leaves in any order."""
    rng = random.Random(seed)
    num_leaves = max(sizes, default=0)
    lists = [rng.sample(range(num_leaves), size) for size in sizes]
    ptr = np.cumsum([0, *sizes]).astype(np.int64)
    leaf = np.array([x for row in lists for x in row], np.int32)
    forest, end = trees.plant(ptr, leaf, num_leaves)
    return forest, lists, num_leaves, int(end)


def values_of(num_items, counts, inputs):
    """What each item is a sum of: itself, or all its inputs, which come before it."""
    values = [Counter([x]) for x in range(num_items)]
    n = 0
    for count in counts:
        used = inputs[n : n + count]
        n += count
        assert all(0 <= x < len(values) for x in used)
        values.append(sum((values[x] for x in used), Counter()))
    assert n == len(inputs)
    return values


def sums_of(forest, num_leaves, end):
    """The values of all items of trees, and the numbers of their inputs."""
    counts = np.empty(end - num_leaves, np.int32)
    inputs = np.empty(4 * counts.size, np.int32)
    used = trees.write_sums(forest, counts, inputs)
    return values_of(num_leaves, counts.tolist(), inputs[:used].tolist()), counts


def levels_of(size):
    sizes = np.empty(trees.MAX_LEVELS, np.int64)
    height = trees.levels(size, sizes)
    return sizes, height


def leaves_below(size):
    """For each level, the places of the leaves below each node."""
    sizes, height = levels_of(size)
    out = [[[i] for i in range(size)]]
    for level in range(1, height):
        below = [[] for _ in range(sizes[level])]
        for node, places in enumerate(out[-1]):
            up = trees.parent(node, sizes[level - 1], sizes[level])
            below[up] += places
        out.append(below)
    return out


@pytest.mark.parametrize("size", [*SIZES, 255, 256, 257, 1000])
def test_nodes_have_as_many_children_as_their_neighbours(size):
    sizes, height = levels_of(size)
    assert sizes[0] == size and sizes[height - 1] == 1
    for count, parents in pairwise(sizes[:height].tolist()):
        children = Counter(trees.parent(node, count, parents) for node in range(count))
        assert len(children) == parents
        assert 2 <= min(children.values())
        assert max(children.values()) <= trees.ARITY
        assert max(children.values()) - min(children.values()) <= 1
        for node in range(parents + 1):
            first = sum(children[p] for p in range(node))
            assert trees.first_child(node, count, parents) == first


def test_inner_and_outer_sums():
    forest, lists, num_leaves, end = forest_of([0, *SIZES, 0, 1])
    values, counts = sums_of(forest, num_leaves, end)
    assert counts.max() <= trees.ARITY
    for m, places in enumerate(lists):
        if not places:
            continue
        below = leaves_below(len(places))
        sizes, height = levels_of(len(places))
        everything = Counter(places)
        assert values[trees.root_item(forest, m)] == everything
        for level, nodes in enumerate(below):
            for node, leaves in enumerate(nodes):
                inside = Counter(places[i] for i in leaves)
                at = forest, m, sizes
                assert values[trees.inner_item(*at, level, node)] == inside
                if 0 < level < height - 1:
                    outside = trees.outer_item(*at, height, level, node)
                    assert values[outside] == everything - inside


def others_of(forest, m, left_out, room):
    """The items that are a list without some leaves; None if there is no room."""
    out = np.full(room, -1, np.int64)
    sizes = np.empty(trees.MAX_LEVELS, np.int64)
    places = np.array(left_out, np.int64)
    count = trees.write_others(forest, m, places, sizes, out)
    if count < 0:
        return None
    assert (out[count:] == -1).all()
    return out[:count].tolist()


def test_what_is_left_of_a_list():
    """Exactly the rest, in fewer items than leaves where these are few."""
    rng = random.Random(1)
    forest, lists, num_leaves, end = forest_of(SIZES)
    values, _ = sums_of(forest, num_leaves, end)
    for m, places in enumerate(lists):
        size = len(places)
        for k in {1, 2, 3, size // 2, size - 1, size} & {*range(1, size + 1)}:
            for _ in range(3):
                left_out = sorted(rng.sample(range(size), k))
                items = others_of(forest, m, left_out, size)
                rest = Counter(places) - Counter(places[i] for i in left_out)
                found = sum((values[x] for x in items), Counter())
                assert found == rest
                assert len(items) <= max(len(rest), 1)
                assert k > 1 or len(items) <= trees.ARITY  # siblings, and outside
                if items:
                    assert others_of(forest, m, left_out, len(items)) == items
                    assert others_of(forest, m, left_out, len(items) - 1) is None


def test_few_leaves_are_left_out_by_few_items():
    forest, lists, _, _ = forest_of([1000])
    _, height = levels_of(1000)
    assert len(lists[0]) == 1000
    for k in (1, 2, 3):
        most = k * (height - 1) * (trees.ARITY - 1)
        assert len(others_of(forest, 0, [*range(100, 100 + 200 * k, 200)], 999)) <= most


# Rules ########################################################################


def rows_of(rules):
    """What each row of rules is a sum of."""
    inputs = rules.inputs.tolist()
    values = values_of(rules.num_items, rules.counts.tolist(), inputs)
    out = []
    for start, length in zip(rules.start, rules.length, strict=True):
        items = rules.row[start : start + length].tolist()
        out.append(sum((values[x] for x in items), Counter()))
    return out


def columns(matrix):
    """The entries of each destination of a product."""
    return [
        Counter({u: int(n) for u, n in enumerate(column) if n}) for column in matrix.T
    ]


def factors_of(seed, distinct):
    graphs, sizes = random_chain(seed)
    read = [
        to_factor(*graph.numpy(), size, distinct)
        for graph, size in zip(graphs, pairwise(sizes), strict=True)
    ]
    return graphs, sizes, read


@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_factors_and_their_products(seed):
    for s in range(seed, seed + 10):
        graphs, sizes, factors = factors_of(s, True)
        wanted = columns(paths_of(graphs, sizes, weighted=False))
        for found in (product(factors), product(fold(factors))):
            rows = np.split(found.idx, found.ptr[1:-1])
            assert [Counter(row.tolist()) for row in rows][: len(wanted)] == wanted
            assert all((np.diff(row) > 0).all() for row in rows)
            assert (found.num_src, found.num_dst) == (sizes[0], sizes[-1])


@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_rules_of_chains_count_paths(seed):
    for s in range(seed, seed + 10):
        graphs, sizes, factors = factors_of(s, False)
        wanted = columns(paths_of(graphs, sizes))
        assert rows_of(chain(factors, distinct=False)) == wanted
        rules = chain(factors, distinct=True)
        assert [{*row} for row in rows_of(rules)] == [{*row} for row in wanted]
        ends = zip(rules.start, rules.start + rules.length, strict=True)
        lists = np.split(rules.inputs, np.cumsum(rules.counts)[:-1])
        for items in [*lists, *(rules.row[a:b] for a, b in ends)]:
            assert len({*items.tolist()}) == items.size


def test_a_row_of_two_destinations_is_one_item():
    every = [(u, v) for u in range(3) for v in range(2)]
    first = to_factor(*edge_index_of([(0, 0), (1, 1), (2, 2)]).numpy(), (3, 3), True)
    last = to_factor(*edge_index_of(every).numpy(), (3, 2), True)
    rules = chain([first, last], distinct=False)
    assert rules.counts.tolist() == [3] and rules.length.tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_rules_of_quotients_reach_each_source_once(seed):
    for s in range(seed, seed + 10):
        graphs, sizes, factors = factors_of(s, True)
        matrix = paths_of(graphs, sizes, weighted=False)
        none = np.empty(0, np.int32)
        quotient = to_quotient(*fold(factors))
        rules, origin = split_rules(quotient, sizes[0], False, none, False)
        assert rows_of(rules) == columns(matrix)
        assert origin.tolist() == [*range(sizes[0])]
        rules, origin = split_rules(quotient, sizes[0], True, none, False)
        for row, wanted in zip(rows_of(rules), columns(matrix), strict=True):
            total = Counter()
            for item, count in row.items():
                u = int(origin[item])
                total[u if u >= 0 else -1 - u] += count if u >= 0 else -count
            assert {u: n for u, n in total.items() if n} == wanted
        if sizes[0] == sizes[-1]:
            np.fill_diagonal(matrix, 0)
            apart = to_quotient(*fold(factors), merge=False)
            own = _own_atoms(apart)
            rules, _ = split_rules(apart, sizes[0], False, own, False)
            assert rows_of(rules) == columns(matrix)


def of_nothing(ptr, row, num_items):
    """A search that finds nothing."""
    none = np.empty(0, np.int32)
    return Rules(num_items, none, none, ptr[:-1], np.diff(ptr), row)


def of_pairs(ptr, row, num_items):
    """A search that merges pairs, each time the most shared one."""
    rows = [{*part.tolist()} for part in np.split(row, ptr[1:-1])][: ptr.size - 1]
    inputs = []
    while len(inputs) < 30:
        shared = Counter(xy for r in rows for xy in combinations(sorted(r), 2))
        pair, count = max(shared.items(), key=lambda one: one[1], default=(None, 0))
        if count < 2:
            break
        for r in rows:
            if {*pair} <= r:
                r -= {*pair}
                r.add(num_items + len(inputs))
        inputs.append(pair)
    length = np.array([len(r) for r in rows], np.int64)
    flat = np.array([x for r in rows for x in sorted(r)], np.int32)
    return Rules(
        num_items,
        np.full(len(inputs), 2, np.int32),
        np.array(inputs, np.int32).reshape(-1),
        np.cumsum(length) - length,
        length,
        flat,
    )


def hags_to_refine():
    for seed in range(150):
        edge_index, size = tiny_graph(seed)
        yield fewest_hag(edge_index, size=size, capacity=seed % 4), edge_index
    for edge_index, size in (
        skewed_graph(0, 20, 60, copies=2),
        disjoint_union(tiny_graph(3), skewed_graph(1, 12, 30), tiny_graph(8)),
        (edge_index_of(2 * clique(range(9))), (9, 9)),
        (edge_index_of([]), (3, 2)),
    ):
        for capacity in (0, 2, None):
            yield fewest_hag(edge_index, size=size, capacity=capacity), edge_index


@pytest.mark.parametrize("search", [of_nothing, of_pairs])
def test_refined_rules_keep_the_graph(search):
    added = 0
    for hag, edge_index in hags_to_refine():
        rules = refine(hag, *to_rows(hag), search)
        wanted = [Counter() for _ in range(hag.num_dst)]
        for u, v in edge_index.t().tolist():
            wanted[v][u] += 1
        assert rules.num_items == hag.num_src
        assert rows_of(rules) == wanted
        added += rules.counts.size - hag.num_aggregates
    assert (added > 100) == (search is of_pairs)

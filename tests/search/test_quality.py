"""The default search against a textbook greedy, the optimum, and itself."""

import random
from itertools import combinations, combinations_with_replacement, permutations

import numpy as np
import pytest
from graphs import edge_index_of, fewest_hag, graphs, signed_hag
from hypothesis import given, settings
from scipy.spatial import Delaunay, cKDTree

from pyg_hag import build_hag
from pyg_hag.cost import DEFAULT_COST

# Families of graphs, as symmetric matrices ####################################


def _lattice(rng, steps):
    rows, cols = int(rng.integers(2, 11)), int(rng.integers(4, 12))
    out = np.zeros((rows, cols, rows, cols), bool)
    for i, j in np.ndindex(rows, cols):
        for di, dj in steps:
            if 0 <= i + di < rows and 0 <= j + dj < cols:
                out[i, j, i + di, j + dj] = True
    return out.reshape(rows * cols, -1)


def grid(rng):
    return _lattice(rng, [(0, 1), (1, 0)])


def triangulated_grid(rng):
    return _lattice(rng, [(0, 1), (1, 0), (1, 1)])


def king(rng):
    return _lattice(rng, [(0, 1), (1, 0), (1, 1), (1, -1)])


def delaunay(rng):
    points = rng.random((rng.integers(8, 121), 2))
    out = np.zeros((len(points), len(points)), bool)
    for triangle in Delaunay(points).simplices:
        for i, j in combinations(triangle, 2):
            out[i, j] = True
    return out


def nearest(rng):
    n, k = int(rng.integers(12, 121)), int(rng.integers(3, 11))
    points = rng.random((n, int(rng.integers(2, 5))))
    out = np.zeros((n, n), bool)
    out[np.arange(n)[:, None], cKDTree(points).query(points, k + 1)[1]] = True
    return out


def power_law(rng):
    n, m = int(rng.integers(8, 121)), int(rng.integers(1, 6))
    out = np.zeros((n, n), bool)
    ends = list(range(m + 1))
    for v in range(m + 1, n):
        for u in rng.choice(ends, m):
            out[v, u] = True
            ends += [v, u]
    return out


def cliques(rng):
    n = int(rng.integers(8, 121))
    out = np.zeros((n, n), bool)
    for _ in range(rng.integers(1, 2 + n // 5)):
        members = rng.choice(n, int(rng.integers(2, min(n, 13))), replace=False)
        out[np.ix_(members, members)] = True
    return out


def bicliques(rng):
    n = int(rng.integers(8, 121))
    out = np.zeros((n, n), bool)
    for _ in range(rng.integers(1, 2 + n // 6)):
        a, b = rng.choice(n, (2, int(rng.integers(2, 8))))
        out[np.ix_(a, b)] = True
    return out


def product(rng):
    n, middle = int(rng.integers(8, 121)), int(rng.integers(4, 40))
    factor = (rng.random((n, middle)) < 2.5 / middle).astype(int)
    return factor @ factor.T > 0


def tree(rng):
    n = int(rng.integers(8, 121))
    out = np.zeros((n, n), bool)
    out[np.arange(1, n), [rng.integers(v) for v in range(1, n)]] = True
    return out


def uniform(rng):
    n = int(rng.integers(8, 61))
    return rng.random((n, n)) < rng.uniform(0.02, 0.6)


FAMILIES = [
    grid,
    triangulated_grid,
    king,
    delaunay,
    nearest,
    power_law,
    cliques,
    bicliques,
    product,
    tree,
    uniform,
]


def family_graph(family, seed):
    """A graph of a family as a matrix: row v has the sources of destination v."""
    rng = np.random.default_rng(seed)
    matrix = family(rng)
    matrix |= matrix.T
    np.fill_diagonal(matrix, False)
    order = rng.permutation(len(matrix))
    return matrix[np.ix_(order, order)]


def search(matrix, build=fewest_hag, **options):
    dst, src = matrix.nonzero()
    edge_index = edge_index_of(list(zip(src, dst, strict=True)))
    return build(edge_index, num_nodes=len(matrix), **options)


def textbook(matrix):
    """Additions after merging the most frequent pair until none occurs twice."""
    rows = matrix.astype(np.int64)
    lengths = rows.sum(1)
    plain = int((lengths - (lengths > 0)).sum())
    shared = rows.T @ rows
    np.fill_diagonal(shared, 0)
    saved = 0
    while shared.size and shared.max() >= 2:
        x, y = np.unravel_index(shared.argmax(), shared.shape)
        saved += int(shared[x, y]) - 1
        both = rows[:, x] * rows[:, y]
        rows[:, x] -= both
        rows[:, y] -= both
        rows = np.column_stack([rows, both])
        shared = np.pad(shared, (0, 1))
        for item in (x, y, -1):
            shared[item] = shared[:, item] = rows[:, item] @ rows
            shared[item, item] = 0
    return plain - saved


# Against the textbook #########################################################


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_not_worse_than_greedy(family):
    ours, theirs, worse = 0, 0, 0
    for seed in range(25):
        matrix = family_graph(family, seed)
        additions = search(matrix).stats.aggregations
        greedy = textbook(matrix)
        ours, theirs = ours + additions, theirs + greedy
        worse += additions > 1.03 * greedy
    assert ours <= 1.005 * theirs
    assert worse <= 1


def test_textbook_counts_what_the_published_search_does():
    matrices = [family_graph(cliques, seed) for seed in range(20)]
    exact = sum(search(m, method="greedy").stats.aggregations for m in matrices)
    assert sum(map(textbook, matrices)) == pytest.approx(exact, rel=0.02)


# Against the optimum ##########################################################


def fewest_additions(rows):
    """The fewest additions with which sets, as bit masks, are made: tries all."""
    wanted = frozenset(row for row in rows if row & (row - 1))
    singles = [1 << i for i in range(max(rows, default=0).bit_length())]
    limit = len(wanted)
    while not _can_make(singles, wanted, limit, set()):
        limit += 1
    return limit


def _can_make(made, wanted, limit, excluded):
    missing = [row for row in wanted if row not in made]
    if len(missing) > limit:
        return False
    if not missing:
        return True
    options = {
        a | b
        for a, b in combinations(made, 2)
        if not a & b and any((a | b) & ~row == 0 for row in missing)
    }
    excluded = set(excluded)
    for new in sorted(options - set(made) - excluded):
        if _can_make([*made, new], wanted, limit - 1, excluded):
            return True
        excluded.add(new)  # tried: whatever is made later does without it
    return False


def all_graphs(num_nodes):
    """All sets of rows over so many nodes, one of each kind, rows in all orders."""
    masks = range(1 << num_nodes)
    seen = set()
    for rows in combinations_with_replacement(masks, num_nodes):
        kind = min(_renamed(rows, order) for order in permutations(range(num_nodes)))
        if kind not in seen:
            seen.add(kind)
            yield kind


def _renamed(rows, order):
    return tuple(
        sorted(sum((row >> i & 1) << p for i, p in enumerate(order)) for row in rows)
    )


def as_matrix(rows):
    return np.array([[row >> u & 1 for u in range(len(rows))] for row in rows], bool)


@pytest.mark.parametrize("num_nodes", [1, 2, 3, 4])
def test_fewest_additions_on_all_small_graphs(num_nodes):
    for rows in all_graphs(num_nodes):
        rows = list(rows)
        random.Random(str(rows)).shuffle(rows)
        hag = search(as_matrix(rows))
        assert hag.stats.aggregations == fewest_additions(rows), rows


def test_close_to_the_fewest_additions():
    ours, best = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = [int(row) for row in rng.integers(0, 32, 5)]
        ours += search(as_matrix(rows)).stats.aggregations
        best += fewest_additions(rows)
    assert ours <= 1.01 * best


# Against itself ###############################################################


@settings(deadline=None)
@given(graphs())
def test_subtraction_never_takes_more(graph):
    edge_index, size = graph
    for capacity in (None, 2):
        plain, signed = (
            build(edge_index, size=size, capacity=capacity)
            for build in (fewest_hag, signed_hag)
        )
        assert signed.stats.aggregations <= plain.stats.aggregations


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_subtraction_never_takes_more_in_families(family):
    for seed in range(10):
        matrix = family_graph(family, seed)
        plain, signed = (search(matrix, build) for build in (fewest_hag, signed_hag))
        assert signed.stats.aggregations <= plain.stats.aggregations


def predicted(hag):
    """The predicted time, as a ratio to the plain graph's."""
    return DEFAULT_COST.ratio(hag, 64)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_subtraction_never_takes_longer(family):
    for seed in range(5):
        matrix = np.kron(family_graph(family, seed), np.ones((3, 3), bool))
        plain, signed = (
            search(matrix, build_hag, min_redundancy=2, subtract=subtract)
            for subtract in (False, True)
        )
        assert predicted(signed) <= 1.001 * predicted(plain)

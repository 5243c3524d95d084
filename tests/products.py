"""Chains of graphs, and their products by NumPy, that the tests share."""

import random
from itertools import pairwise

import numpy as np
import torch
from graphs import edge_index_of


def random_chain(seed, num_factors=None, most=7):
    """Random factors: edge_indices and the sizes between them.

    Some sizes are 0 or 1, some factors empty, some edges come several times, some
    nodes are hubs or twins, and some chains read the same backwards.
    """
    rng = random.Random(seed)
    num_factors = num_factors or rng.choice([2, 2, 2, 3, 4, 5])
    small = rng.choice([0, 1, 2, 2, 2])
    sizes = [rng.randint(small, most) for _ in range(num_factors + 1)]
    mirrored = num_factors % 2 == 0 and rng.random() < 0.5
    if mirrored:
        sizes[num_factors // 2 + 1 :] = sizes[: num_factors // 2][::-1]
    elif rng.random() < 0.5:
        sizes[-1] = sizes[0]
    factors = [random_factor(rng, *pair) for pair in pairwise(sizes)]
    if mirrored:
        half = factors[: num_factors // 2]
        factors = half + [factor.flip(0) for factor in half[::-1]]
    return factors, sizes


def random_factor(rng, num_src, num_dst):
    density = rng.choice([0.0, 0.15, 0.3, 0.3, 0.6, 0.6, 0.9])
    rows = [
        {u for u in range(num_src) if rng.random() < density} for _ in range(num_dst)
    ]
    if num_src and num_dst and density and rng.random() < 0.4:
        hub = rng.randrange(num_src)
        rows = [row | {hub} for row in rows]
    if num_src and num_dst and density and rng.random() < 0.3:
        rows[rng.randrange(num_dst)] = {*range(num_src)}
    for v in range(num_dst):
        if rng.random() < 0.25:
            rows[v] = rows[rng.randrange(num_dst)]
    edges = [(u, v) for v, row in enumerate(rows) for u in row]
    if edges and rng.random() < 0.3:
        edges += rng.choices(edges, k=4)
    rng.shuffle(edges)
    return edge_index_of(edges)


def matrix_of(edge_index, size):
    """Entry (u, v): how many edges lead from u to v."""
    out = np.zeros(size, np.int64)
    np.add.at(out, tuple(edge_index.numpy()), 1)
    return out


def paths_of(factors, sizes, weighted=True):
    """Entry (u, v): how many paths lead from u to v; if not weighted, whether one."""
    out = np.eye(sizes[0], dtype=np.int64)
    for factor, size in zip(factors, pairwise(sizes), strict=True):
        out = out @ matrix_of(factor, size)
    return out if weighted else (out > 0).astype(np.int64)


def edges_of(matrix):
    """The edges of a matrix, ordered by destination."""
    dst, src = matrix.T.nonzero()
    return torch.from_numpy(np.stack([src, dst]))


def assert_is_product(hag, matrix):
    """Whether a HAG is that of the entries of a matrix, and knows their numbers."""
    edge_index = edges_of(matrix)
    assert (hag.num_src, hag.num_dst) == matrix.shape
    hag.validate(edge_index)
    assert torch.equal(hag.to_edge_index(), edge_index)
    assert hag.in_degree.tolist() == (matrix > 0).sum(0).tolist()
    assert hag.num_edges == edge_index.size(1)
    if hag.is_count:
        counts = hag.to_edge_weight(edge_index)
        assert counts.tolist() == matrix[tuple(edge_index.numpy())].tolist()

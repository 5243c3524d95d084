"""Graphs that the tests share, and places to run a task in."""

import multiprocessing
import random
import warnings
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch_geometric.explain import Explainer, GNNExplainer

from pyg_hag import HAGTransform, build_hag

fewest_hag = partial(build_hag, objective="aggregations")
"""The HAG of fewest aggregations: it has aggregates on tiny graphs, too."""

signed_hag = partial(fewest_hag, subtract=True)

FewestTransform = partial(HAGTransform, objective="aggregations")


def int64(*values):
    """A one-dimensional int64 tensor, also of no values."""
    return torch.tensor(values, dtype=torch.int64)


def edge_index_of(edges):
    """The edge_index of a list of pairs (source, destination)."""
    return int64(*(u for u, _ in edges), *(v for _, v in edges)).reshape(2, -1)


def clique(nodes, closed=False):
    return [(u, v) for u in nodes for v in nodes if closed or u != v]


def biclique(sources, destinations):
    return [(u, v) for v in destinations for u in sources]


_RING = [(0, 1), (2, 1), (0, 3), (2, 3), (4, 3)]

ODD_GRAPHS = {
    name: (edge_index_of(edges), size)
    for name, edges, size in [
        ("no nodes", [], (0, 0)),
        ("one node without edges", [], (1, 1)),
        ("one node with a self-loop", [(0, 0)], (1, 1)),
        ("isolated nodes", [], (5, 5)),
        ("no sources", [], (0, 4)),
        ("no destinations", [], (4, 0)),
        ("self-loops", [(v, v) for v in range(4)], (4, 4)),
        ("duplicate edges", [*_RING, (0, 1), (0, 3), (0, 3), (2, 1)], (5, 5)),
        ("every edge twice", 2 * clique(range(5)), (5, 5)),
        ("every self-loop three times", 3 * clique(range(3), closed=True), (3, 3)),
        ("bipartite, more sources", biclique(range(1, 6), range(3)), (7, 3)),
        ("bipartite, more destinations", biclique(range(2), range(1, 7)), (2, 8)),
        ("directed chain", [(v, v + 1) for v in range(6)], (7, 7)),
        ("star in", [(v, 0) for v in range(1, 8)], (8, 8)),
        ("star out", [(0, v) for v in range(1, 8)], (8, 8)),
        ("two components", clique([0, 2, 4, 6]) + clique([1, 3, 7]), (9, 9)),
        ("clique", clique(range(7)), (7, 7)),
        ("closed clique", clique(range(6), closed=True), (6, 6)),
        ("equal rows", biclique([1, 3, 4], [0, 2, 5, 6]), (7, 7)),
    ]
}
"""Name: (edge_index, (num_src, num_dst))."""


def random_graph(seed, num_src, num_dst, density, copies=1):
    """Each of the `num_src * num_dst` edges up to `copies` times, in any order."""
    rng = random.Random(seed)
    edges = [
        (u, v)
        for u in range(num_src)
        for v in range(num_dst)
        for _ in range(copies)
        if rng.random() < density
    ]
    rng.shuffle(edges)
    return edge_index_of(edges), (num_src, num_dst)


def tiny_graph(seed):
    """A random graph of at most 9 x 9 nodes: square or not, thin or dense."""
    rng = random.Random(seed)
    num_src = rng.randint(1, 9)
    num_dst = num_src if rng.random() < 0.5 else rng.randint(1, 9)
    density = rng.choice([0.15, 0.3, 0.5, 0.7, 0.9])
    return random_graph(seed, num_src, num_dst, density, rng.choice([1, 1, 1, 2]))


def skewed_graph(seed, num_src, num_dst, copies=1):
    """A few sources in nearly every row, most in a handful."""
    rng = random.Random(seed)
    edges = []
    for u in range(num_src):
        degree = max(2, num_dst // (u + 1))
        edges += [(u, v) for v in rng.sample(range(num_dst), degree)] * (
            1 + (rng.random() < 0.2) * (copies - 1)
        )
    rng.shuffle(edges)
    return edge_index_of(edges), (num_src, num_dst)


def near_cliques(seed, num_cliques=6, size=12, noise=0.05):
    """Overlapping cliques, undirected, with a few edges missing and added."""
    rng = random.Random(seed)
    n = num_cliques * size
    edges = set()
    for _ in range(num_cliques):
        edges |= set(clique(rng.sample(range(n), size)))
    for _ in range(int(noise * len(edges))):
        u, v = rng.sample(range(n), 2)
        edges ^= {(u, v), (v, u)}
    return edge_index_of(sorted(edges)), (n, n)


def communities(seed, n, density):
    """An undirected random graph in which twins are planted, open and closed."""
    edge_index, _ = random_graph(seed, n, n, density)
    rng = random.Random(seed)
    rows = {v: set() for v in range(n)}
    for u, v in edge_index.t().tolist():
        if u != v:
            rows[u].add(v)
            rows[v].add(u)
    for v in rng.sample(range(n), n // 3):
        twin = rng.randrange(n)
        if twin == v:
            continue
        for w in rows[v]:
            rows[w].discard(v)
        rows[v] = set(rows[twin]) - {v}
        if rng.random() < 0.5:
            rows[v].add(twin)
        for w in rows[v]:
            rows[w].add(v)
    edges = [(u, v) for v, row in rows.items() for u in row]
    return edge_index_of(edges), (n, n)


def noisy_copies(seed, num_copies=30, length=60, num_src=200, noise=0.04):
    """Rows that are one row with a few items missing and a few more."""
    rng = random.Random(seed)
    base = rng.sample(range(num_src), length)
    edges = []
    for v in range(num_copies):
        row = {u for u in base if rng.random() >= noise}
        row |= set(rng.sample(range(num_src), 2))
        edges += [(u, v) for u in row]
    return edge_index_of(edges), (num_src, num_copies)


def disjoint_union(*graphs):
    """The graphs side by side, as in a batch."""
    edge_indices, num_src, num_dst = [], 0, 0
    for edge_index, (n, m) in graphs:
        edge_indices.append(edge_index + torch.tensor([[num_src], [num_dst]]))
        num_src, num_dst = num_src + n, num_dst + m
    return torch.cat(edge_indices, dim=1), (num_src, num_dst)


@st.composite
def _connected_or_not(draw, square):
    num_src = draw(st.integers(0, 7))
    num_dst = num_src if square else draw(st.integers(0, 7))
    rows = st.integers(0, 2**num_src - 1)  # a row as the bits of its sources
    edges = [
        (u, v)
        for v, row in enumerate(
            draw(st.lists(rows, min_size=num_dst, max_size=num_dst))
        )
        for u in range(num_src)
        if row >> u & 1
    ]
    if edges:
        edges += draw(st.lists(st.sampled_from(edges), max_size=8))
    return edge_index_of(edges), (num_src, num_dst)


@st.composite
def graphs(draw):
    """(edge_index, size): with duplicates, self-loops, isolated nodes, components."""
    square = draw(st.booleans())
    parts = draw(st.lists(_connected_or_not(square), min_size=1, max_size=3))
    edge_index, size = disjoint_union(*parts)
    if draw(st.booleans()):  # so that components and edges stand in any order
        rng = random.Random(draw(st.integers(0, 99)))
        src, dst = (rng.sample(range(n), n) for n in size)
        edges = [(src[u], dst[v]) for u, v in edge_index.t().tolist()]
        rng.shuffle(edges)
        edge_index = edge_index_of(edges)
    return edge_index, size


@contextmanager
def num_threads(count):
    """PyTorch's number of threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


forks = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork"
)


def in_forked_child(task):
    """What `task()` returns in a forked child of this process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(task()))
    with warnings.catch_warnings():  # it warns of the threads, which are the point
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    sender.close()
    try:
        assert receiver.poll(30), "the child hangs"
        return receiver.recv()
    finally:
        child.kill()
        child.join()


def neighbor_lists(hag):
    """The neighbours of each destination in the order of the HAG."""
    out = []
    rows, aggs = [], []
    s = a = 0
    for group in range(hag.group_aggs.numel()):
        count = int(hag.group_aggs[group]), int(hag.group_dsts[group])
        for k in range(sum(count)):
            r = len(rows)
            first = aggs[hag.agg[a]] if hag.agg_count[r] else []
            row = first + hag.src[s : s + hag.src_count[r]].tolist()
            s, a = s + int(hag.src_count[r]), a + int(hag.agg_count[r])
            rows.append(row)
            (aggs if k < count[0] else out).append(row)
    ordered = [None] * hag.num_dst
    for v, row in zip(hag.dst.tolist(), out, strict=True):
        ordered[v] = row
    return ordered


def explainer_of(model):
    """An explainer of the nodes' values that a model returns, with a mask per edge."""
    return Explainer(
        model,
        GNNExplainer(epochs=1),
        explanation_type="model",
        node_mask_type="object",
        edge_mask_type="object",
        model_config={
            "mode": "regression",
            "task_level": "node",
            "return_type": "raw",
        },
    )

"""Sparse graphs: of papers that share authors, and of communities."""

import numpy as np
import torch
from torch_geometric.data import Data


def generate_products(
    num_papers: int, num_authors: int, num_each: int = 3, seed: int = 0
) -> Data:
    """Generates a graph of papers that have an author in common.

    Its adjacency matrix is a product of two sparse ones, papers by authors and authors
    by papers, without its diagonal. A HAG can undo the product, but for the paper
    itself and for papers that have several authors in common. It fits into caches.

    Args:
        num_papers (int): Number of papers, the nodes.
        num_authors (int): Number of authors.
        num_each (int): Number of authors of a paper, of whom any are as likely.
        seed (int): Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    author = rng.integers(0, num_authors, (num_papers, num_each))
    paper = np.repeat(np.arange(num_papers), num_each)
    order = np.argsort(author.reshape(-1), kind="stable")
    papers_of = np.split(paper[order], np.bincount(author.reshape(-1))[:-1].cumsum())
    pairs = [np.stack([p.repeat(p.size), np.tile(p, p.size)]) for p in papers_of]
    src, dst = np.concatenate(pairs, axis=1)
    codes = np.unique(src[src != dst] * num_papers + dst[src != dst])
    edges = np.stack([codes // num_papers, codes % num_papers])
    return Data(edge_index=torch.from_numpy(edges), num_nodes=num_papers)


def generate_communities(
    num_nodes: int, num_edges: int, num_communities: int, seed: int = 0
) -> Data:
    """Generates an undirected graph of communities with skewed degrees.

    A degree-corrected stochastic block model: degrees follow a power law of exponent
    3.2, cut off at 60 times the mean; communities differ in size; the other end of an
    edge is any node with probability 0.1, else one of the same community.

    Args:
        num_nodes (int): Number of nodes.
        num_edges (int): Approximate number of edges, counting both directions.
        num_communities (int): Number of communities.
        seed (int): Seed of the random numbers.

    Returns:
        Data: The graph, without self-loops and duplicate edges.

    Raises:
        ValueError: If `num_edges` exceeds a tenth of all pairs of nodes.
    """
    if 10 * num_edges > num_nodes * (num_nodes - 1):
        raise ValueError(
            f"'num_edges' must be at most a tenth of all pairs of {num_nodes} nodes "
            f"(got {num_edges})"
        )
    rng = np.random.default_rng(seed)
    weight = (1 - rng.random(num_nodes)) ** (-1 / 2.2)
    weight = np.minimum(weight, 60 * weight.mean())
    community = np.sort((rng.random(num_nodes) ** 1.5 * num_communities).astype(int))
    first = np.searchsorted(community, np.arange(num_communities + 1))
    ends = np.concatenate([[0], np.cumsum(weight)])
    wanted = num_edges // 2
    codes = np.empty(0, np.int64)
    while codes.size < wanted:  # some edges are drawn twice
        count = min(int(1.1 * (wanted - codes.size)) + 1000, _MAX_AT_ONCE)
        u = np.searchsorted(ends, rng.random(count) * ends[-1], side="right") - 1
        low, high = ends[first[community[u]]], ends[first[community[u] + 1]]
        anywhere = rng.random(count) < 0.1
        low, high = np.where(anywhere, 0, low), np.where(anywhere, ends[-1], high)
        place = low + rng.random(count) * (high - low)
        v = np.minimum(np.searchsorted(ends, place, side="right") - 1, num_nodes - 1)
        pairs = np.minimum(u, v) * num_nodes + np.maximum(u, v)
        codes = np.concatenate([codes, np.unique(pairs[u != v])])
        codes.sort(kind="stable")  # a merge sort, fast on sorted runs
        codes = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    if codes.size > wanted:
        codes = np.delete(codes, rng.choice(codes.size, codes.size - wanted, False))
    number = rng.permutation(num_nodes)
    u, v = number[codes // num_nodes], number[codes % num_nodes]
    edges = np.stack([np.concatenate([u, v]), np.concatenate([v, u])])
    return Data(edge_index=torch.from_numpy(edges), num_nodes=num_nodes)


_MAX_AT_ONCE = 16_000_000  # edges that are drawn together, to limit memory

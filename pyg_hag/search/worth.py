"""Whether a graph is worth a search, known from a sample of it.

Sources that are read together are put side by side by the smallest hash of their
destinations (Broder, *On the resemblance and containment of documents*, SEQUENCES
1997). A few windows of them, with all edges that they send, are searched like a graph
of their own. What it saves is about what is saved in the whole graph: less, since some
sources that are read together with them are elsewhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyg_hag.graph.sort import to_rows
from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.choose import costs_of
from pyg_hag.search.emit.inlining import inline_unshared
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.pairs.copies import separate_copies
from pyg_hag.utils.arrays import I32, I64, U64

MIN_EDGES = 1 << 17
"""Edges from which a sample is taken: smaller graphs are searched in a moment."""
_SHARE = 0.05  # of the edges
_FEWEST, _MOST = 50_000, 400_000  # edges of a sample
_PER_WINDOW = 1 << 15  # edges
_FEWEST_WINDOWS, _MOST_WINDOWS = 4, 8


class Sample(NamedTuple):
    """What a search finds in a part of a graph."""

    edges: int
    reads: float
    """Of its HAG."""
    aggregates: int


def search_sample(
    src: I64,
    dst: I64,
    num_src: int,
    num_dst: int,
    search: Callable[[I64, I32, int], Rules],
) -> Sample:
    """Searches a sample of the edges.

    Args:
        src: The sources of the edges.
        dst: The destinations of the edges.
        num_src: Number of sources.
        num_dst: Number of destinations.
        search: Searches rows, given by pointers, items and the number of items.
    """
    least, degree = _least_hashes(src, dst, num_src)
    order = np.argsort(least, kind="stable").astype(np.int32)
    number, count = _number_sampled(order, degree, src.size)
    sampled_src, sampled_dst = _edges_of(src, dst, number)
    row_ptr, row = to_rows(sampled_src, sampled_dst, count, num_dst)
    row, origin = separate_copies(row_ptr, row, count)
    rules = search(row_ptr, row, origin.size)
    keep = np.ones(rules.counts.size, np.bool_)
    inline_unshared(rules.indexed(), keep)
    return Sample(row.size, float(costs_of(rules, 0).sum()), int(keep.sum()))


@jit
def _least_hashes(src: I64, dst: I64, num_src: int) -> tuple[U64, I64]:
    """The smallest hash of the destinations of each source, and its degree."""
    least = np.full(num_src, ~np.uint64(0))
    degree = np.zeros(num_src, np.int64)
    for e in range(src.size):
        u = src[e]
        least[u] = min(least[u], splitmix64(dst[e]))
        degree[u] += 1
    return least, degree


@jit
def _number_sampled(order: I32, degree: I64, num_edges: int) -> tuple[I32, int]:
    """The number of each source among those of the sample, else -1; their count.

    Args:
        order: The sources in the order of which windows are taken.
        degree: The number of edges that each source sends.
        num_edges: Number of edges.
    """
    wanted = min(max(int(_SHARE * num_edges), _FEWEST), _MOST)
    windows = min(max(wanted // _PER_WINDOW, _FEWEST_WINDOWS), _MOST_WINDOWS)
    number = np.full(degree.size, -1, np.int32)
    count, passed, window, taken = 0, 0, 0, 0
    for u in order:
        if window < windows and passed * windows >= window * num_edges:
            number[u] = count
            count += 1
            taken += degree[u]
            if taken * windows >= (window + 1) * wanted:
                window += 1
        passed += degree[u]
    return number, count


@jit
def _edges_of(src: I64, dst: I64, number: I32) -> tuple[I64, I64]:
    """The edges from the sources that have a number, which they get."""
    count = 0
    for e in range(src.size):
        count += number[src[e]] >= 0
    out_src, out_dst = np.empty(count, np.int64), np.empty(count, np.int64)
    i = 0
    for e in range(src.size):
        if number[src[e]] >= 0:
            out_src[i], out_dst[i] = number[src[e]], dst[e]
            i += 1
    return out_src, out_dst

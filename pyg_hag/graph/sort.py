"""Edges sorted into rows, on all threads."""

import numpy as np

from pyg_hag.runtime import thread_pool
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64

_PER_CHUNK = 1 << 18  # edges, at least; and more than a chunk has counts


def to_rows(src: I64, dst: I64, num_src: int, num_dst: int) -> tuple[I64, I32]:
    """The rows of an `edge_index`, each in ascending order.

    Returns:
        Pointers `[num_dst + 1]` and sources `[num_edges]`.
    """
    order = np.arange(num_dst, dtype=np.int32)
    by_src, row = np.empty(src.size, np.int32), np.empty(src.size, np.int32)
    return sort_edges(src, dst, num_src, order, by_src, row), row


def sort_edges(
    src: I64, dst: I64, num_src: int, order: I32, by_src: I32, out: I32
) -> I64:
    """Writes the sources of the destinations in this order, each's in ascending order.

    A counting sort by sources and then one by destinations, in chunks that each know
    where their edges go.

    Args:
        src: The sources of the edges, `[num_edges]`.
        dst: The destinations of the edges, `[num_edges]`.
        num_src: Number of sources.
        order: The destinations, `[num_dst]`.
        by_src: Scratch, `[num_edges]`.
        out: The result, `[num_edges]`.

    Returns:
        Where the sources of each destination start, in this order, `[num_dst + 1]`.
    """
    num_edges = src.size
    room = num_edges // max(_PER_CHUNK, num_src + order.size)
    chunks = max(1, min(thread_pool.num_threads(), room))
    cuts = np.linspace(0, num_edges, chunks + 1).astype(np.int64)
    place = np.zeros((chunks, num_src), np.int64)

    def count_sources(i: int) -> None:
        _count(src, cuts[i], cuts[i + 1], place[i])

    def sort_by_source(i: int) -> None:
        _move(src, dst, cuts[i], cuts[i + 1], place[i], by_src)

    thread_pool.run(count_sources, chunks)
    src_ptr = _to_places(place, np.arange(num_src, dtype=np.int32))
    thread_pool.run(sort_by_source, chunks)
    firsts = np.searchsorted(src_ptr, cuts)
    firsts[-1] = num_src
    place = np.zeros((chunks, order.size), np.int64)

    def count_destinations(i: int) -> None:
        begin, end = firsts[i], firsts[i + 1]
        _count(by_src, src_ptr[begin], src_ptr[end], place[i])

    def sort_by_destination(i: int) -> None:
        _move_sources(src_ptr, by_src, firsts[i], firsts[i + 1], place[i], out)

    thread_pool.run(count_destinations, chunks)
    ptr: I64 = _to_places(place, order)
    thread_pool.run(sort_by_destination, chunks)
    return ptr


@jit
def _count(key: I64, begin: int, end: int, count: I64) -> None:
    """Counts each key from `begin` to `end`."""
    for e in range(begin, end):
        count[key[e]] += 1


@jit
def _to_places(counts: I64, order: I32) -> I64:
    """Turns the counts of each chunk, `[num_chunks, num_keys]`, into first places.

    Returns:
        Where each key starts, in this order, `[num_keys + 1]`.
    """
    ptr = np.zeros(order.size + 1, np.int64)
    total = 0
    for i in range(order.size):
        for c in range(counts.shape[0]):
            count = counts[c, order[i]]
            counts[c, order[i]] = total
            total += count
        ptr[i + 1] = total
    return ptr


@jit
def _move(src: I64, dst: I64, begin: int, end: int, place: I64, out: I32) -> None:
    """Writes the destinations of edges to the places of their sources."""
    for e in range(begin, end):
        u = src[e]
        out[place[u]] = dst[e]
        place[u] += 1


@jit
def _move_sources(
    src_ptr: I64, by_src: I32, begin: int, end: int, place: I64, out: I32
) -> None:
    """Writes the sources from `begin` to `end` to the places of their destinations."""
    for u in range(begin, end):
        for e in range(src_ptr[u], src_ptr[u + 1]):
            v = by_src[e]
            out[place[v]] = u
            place[v] += 1

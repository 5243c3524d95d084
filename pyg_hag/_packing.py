"""Jitted leaves for a HAG that is stored with its graph: a hash, and unpacking."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I64 = NDArray[np.int64]

KIND, NUM_SRC = 5, 6  # columns of a header; the kinds of a HAG are:
SET, SEQUENTIAL, SIGNED = range(3)
HEADER = 8  # numbers: sizes and kind, and the hash
MAX_SRC = 2**31 - 1


@jit
def mixed(a: int, b: int, c: int) -> Any:
    """A hash of three numbers, 64 bits."""
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) + np.uint64(c) * np.uint64(0x165667B19E3779F9)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@jit
def _hash_part(values: I64, shift: int, begin: int, end: int, name: int) -> Any:
    h = np.uint64(0)
    for i in range(begin, end):
        h += mixed(name, i - begin, values[i] - shift)
    return h


@jit
def fingerprint(
    u: I64,
    v: I64,
    src: I64,
    agg: I64,
    src_count: I64,
    agg_count: I64,
    dst: I64,
    group_aggs: I64,
    group_dsts: I64,
    src_minus: I64,
    agg_minus: I64,
    sizes: I64,
) -> I64:
    """A 64-bit hash of each graph of a batch, and of its HAG.

    Row g of `sizes` holds the numbers of destinations, aggregates, groups, source
    inputs and aggregate inputs of graph g, its kind, and its number of sources; the
    arrays must have these totals.
    Ids are hashed relative to their graph, so a graph has the same hash alone and in
    any batch. Edges may come in any order; everything in the HAG has its place.
    """
    num_graphs = sizes.shape[0]
    out = np.zeros(num_graphs, np.uint64)
    starts = np.zeros((num_graphs + 1, 5), np.int64)
    sources = np.zeros(num_graphs + 1, np.int64)
    for g in range(num_graphs):
        starts[g + 1] = starts[g] + sizes[g, :5]
        sources[g + 1] = sources[g] + sizes[g, NUM_SRC]
        node, first, group, s, a = starts[g]
        node_end, last, group_end, s_end, a_end = starts[g + 1]
        row, row_end = node + first, node_end + last
        out[g] += _hash_part(src, sources[g], s, s_end, 1)
        out[g] += _hash_part(agg, first, a, a_end, 2)
        out[g] += _hash_part(src_count, 0, row, row_end, 3)
        out[g] += _hash_part(agg_count, 0, row, row_end, 4)
        out[g] += _hash_part(dst, node, node, node_end, 5)
        out[g] += _hash_part(group_aggs, 0, group, group_end, 6)
        out[g] += _hash_part(group_dsts, 0, group, group_end, 7)
        if sizes[g, KIND] == SIGNED:
            out[g] += _hash_part(src_minus, 0, row, row_end, 8)
            out[g] += _hash_part(agg_minus, 0, row, row_end, 9)
        out[g] += mixed(10, sizes[g, KIND], sizes[g, NUM_SRC])
    nodes = starts[:, 0].copy()
    g = 0
    for e in range(u.size if num_graphs > 0 else 0):
        if u[e] < sources[g] or u[e] >= sources[g + 1]:
            g = np.searchsorted(sources, u[e], "right") - 1
            g = min(max(g, 0), num_graphs - 1)
        out[g] += mixed(0, u[e] - sources[g], v[e] - nodes[g])
    return out.view(np.int64)


@jit
def headers(packed: I64) -> tuple[I64, bool]:
    """The headers of the records in `packed`, and whether these are whole.

    A header has the columns of `sizes` in :func:`fingerprint`, and the hash. Its
    record goes on with source inputs, destinations, aggregate inputs, and the counts:
    by row of source and of aggregate inputs, by group of aggregates and of
    destinations, and, if it is signed, by row of subtracted source and aggregate
    inputs. All ids are relative to their graph.
    """
    count = 0
    place = 0
    while place < packed.size:
        end = place + _record(packed, place)
        if end <= place or end > packed.size:
            return np.zeros((0, HEADER), np.int64), False
        count += 1
        place = end
    out = np.empty((count, HEADER), np.int64)
    place = 0
    for g in range(count):
        out[g] = packed[place : place + HEADER]
        place += _record(packed, place)
    return out, True


@jit
def _record(packed: I64, place: int) -> int:
    """The length of the record at a place, 0 if it is none."""
    if place + HEADER > packed.size:
        return 0
    for k in range(5):
        if packed[place + k] < 0 or packed[place + k] > packed.size:
            return 0
    if not (0 <= packed[place + NUM_SRC] <= MAX_SRC):
        return 0
    nodes, aggs, groups = packed[place], packed[place + 1], packed[place + 2]
    rows = nodes + aggs
    counts = 2 * (rows + groups)
    if packed[place + KIND] == SIGNED:
        counts += 2 * rows
    return HEADER + packed[place + 3] + nodes + packed[place + 4] + counts


@jit
def unpack(
    packed: I64, sizes: I64
) -> tuple[I64, I64, I64, I64, I64, I64, I64, I64, I64]:
    """The arrays of one HAG of all graphs, from their records and headers."""
    totals = sizes[:, :5].sum(0)
    num_rows = totals[0] + totals[1]
    num_minus = num_rows if (sizes[:, KIND] == SIGNED).any() else 0
    src = np.empty(totals[3], np.int64)
    agg = np.empty(totals[4], np.int64)
    src_count = np.empty(num_rows, np.int64)
    agg_count = np.empty(num_rows, np.int64)
    dst = np.empty(totals[0], np.int64)
    group_aggs = np.empty(totals[2], np.int64)
    group_dsts = np.empty(totals[2], np.int64)
    src_minus = np.zeros(num_minus, np.int64)
    agg_minus = np.zeros(num_minus, np.int64)
    p = 0
    source = 0
    node = 0
    first = 0
    group = 0
    s = 0
    a = 0
    for g in range(sizes.shape[0]):
        nodes, aggs, groups, num_src, num_agg = sizes[g, :5]
        row, rows = node + first, nodes + aggs
        p = _copied(packed, p + HEADER, src, s, num_src, source)
        p = _copied(packed, p, dst, node, nodes, node)
        p = _copied(packed, p, agg, a, num_agg, first)
        p = _copied(packed, p, src_count, row, rows, 0)
        p = _copied(packed, p, agg_count, row, rows, 0)
        p = _copied(packed, p, group_aggs, group, groups, 0)
        p = _copied(packed, p, group_dsts, group, groups, 0)
        if sizes[g, KIND] == SIGNED:
            p = _copied(packed, p, src_minus, row, rows, 0)
            p = _copied(packed, p, agg_minus, row, rows, 0)
        source += sizes[g, NUM_SRC]
        node += nodes
        first += aggs
        group += groups
        s += num_src
        a += num_agg
    return (
        src,
        agg,
        src_count,
        agg_count,
        dst,
        group_aggs,
        group_dsts,
        src_minus,
        agg_minus,
    )


@jit
def _copied(packed: I64, p: int, to: I64, first: int, count: int, shift: int) -> int:
    """Copies a part of a record to its place; returns where the next part begins."""
    for i in range(count):
        to[first + i] = packed[p + i] + shift
    return p + count

"""Jitted leaves for HAGs that are stored with their graphs: hashing and unpacking."""

from typing import Any

import numpy as np

from pyg_hag.hag.arrays import Flat
from pyg_hag.runtime.hashing import hash_of_three
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64

HAG_TYPE, NUM_SRC = 5, 6  # columns of a header, see `headers`
SET, SEQUENTIAL, SIGNED = range(3)  # the values of HAG_TYPE, plus flags:
WEIGHTED, OPTIONAL = 4, 8  # the edges have weights; see `EdgeWeights.is_optional`
KIND = 3  # the bits of HAG_TYPE that are not flags
REMOVED = 16  # the HAG takes the place of the edges
COUNT, COVER = 32, 64  # see `EdgeWeights.of_paths`
FLAGS = 127  # the bits of kinds and flags
DECISION = 8  # the first bit of the number of the decision, see `hag.decision`
HEADER = 8  # numbers of a header
MAX_SRC = 2**31 - 1


@jit
def _hash_part(values: I64, shift: int, begin: int, end: int, name: int) -> Any:
    h = np.uint64(0)
    for i in range(begin, end):
        h += hash_of_three(name, i - begin, values[i] - shift)
    return h


@jit
def fingerprint(u: I64, v: I64, paths: I64, flat: Flat, sizes: I64) -> I64:
    """A 64-bit hash of each graph of a batch and its HAG, `[num_graphs]`.

    Args:
        u: The sources of the edges, `[num_edges]`.
        v: Their destinations, `[num_edges]`.
        paths: How many paths each edge is, `[num_edges]`, for HAGs that count them;
            empty if none does.
        flat: The HAG of the batch.
        sizes: For each graph the numbers of destinations, aggregates, groups, source
            inputs and aggregate inputs, the type of its HAG, and the number of sources,
            `[num_graphs, 7]` or more columns. The arrays must have these totals.

    Numbers are hashed relative to their graph, so a graph has the same hash alone and
    in any batch. The order of the edges does not matter, that of the HAG does.
    """
    num_graphs = sizes.shape[0]
    out = np.zeros(num_graphs, np.uint64)
    starts = np.zeros((num_graphs + 1, 5), np.int64)
    sources = np.zeros(num_graphs + 1, np.int64)
    for g in range(num_graphs):
        for k in range(5):
            starts[g + 1, k] = starts[g, k] + sizes[g, k]
        sources[g + 1] = sources[g] + sizes[g, NUM_SRC]
        node, node_end = starts[g, 0], starts[g + 1, 0]
        first, last = starts[g, 1], starts[g + 1, 1]
        group, group_end = starts[g, 2], starts[g + 1, 2]
        s, s_end = starts[g, 3], starts[g + 1, 3]
        a, a_end = starts[g, 4], starts[g + 1, 4]
        row, row_end = node + first, node_end + last
        out[g] += _hash_part(flat.src, sources[g], s, s_end, 1)
        out[g] += _hash_part(flat.agg, first, a, a_end, 2)
        out[g] += _hash_part(flat.src_count, 0, row, row_end, 3)
        out[g] += _hash_part(flat.agg_count, 0, row, row_end, 4)
        out[g] += _hash_part(flat.dst, node, node, node_end, 5)
        out[g] += _hash_part(flat.group_aggs, 0, group, group_end, 6)
        out[g] += _hash_part(flat.group_dsts, 0, group, group_end, 7)
        if sizes[g, HAG_TYPE] & KIND == SIGNED:
            out[g] += _hash_part(flat.src_minus, 0, row, row_end, 8)
            out[g] += _hash_part(flat.agg_minus, 0, row, row_end, 9)
        out[g] += hash_of_three(10, sizes[g, HAG_TYPE], sizes[g, NUM_SRC])
    g = 0
    for e in range(u.size if num_graphs > 0 else 0):
        if u[e] < sources[g] or u[e] >= sources[g + 1]:
            g = _graph_of(sources, u[e])
        edge = hash_of_three(0, u[e] - sources[g], v[e] - starts[g, 0])
        if paths.size > 0 and sizes[g, HAG_TYPE] & COUNT:
            edge *= np.uint64(paths[e])
        out[g] += edge
    return out.view(np.int64)


@jit
def _graph_of(sources: I64, u: int) -> int:
    """The last graph whose sources start at u or before it, or the first of all."""
    first, end = 0, sources.size - 1
    while end - first > 1:
        middle = (first + end) >> 1
        if sources[middle] <= u:
            first = middle
        else:
            end = middle
    return first


@jit
def headers(packed: I64) -> tuple[I64, bool]:
    """The headers of the records in `packed`, and whether all records are complete.

    A header has the columns of `sizes` in :func:`fingerprint`, and the hash. Its record
    continues with source inputs, destinations and aggregate inputs, all relative to the
    graph; the numbers of source and of aggregate inputs of each row; the numbers of
    aggregates and of destinations of each group; and, if the HAG is signed, the numbers
    of subtracted source and aggregate inputs of each row.

    Returns:
        Shape `[num_graphs, 8]`, empty if a record is incomplete; and the flag.
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
        for k in range(HEADER):
            out[g, k] = packed[place + k]
        place += _record(packed, place)
    return out, True


@jit
def _record(packed: I64, place: int) -> int:
    """The length of the record at a place, 0 if there is no valid header."""
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
    if packed[place + HAG_TYPE] & KIND == SIGNED:
        counts += 2 * rows
    return HEADER + packed[place + 3] + nodes + packed[place + 4] + counts


@jit
def unpack(packed: I64, sizes: I64) -> Flat:
    """The arrays of the HAG of a batch, from the records and headers of its graphs.

    Args:
        packed: The records, one after the other.
        sizes: Their headers, `[num_graphs, 8]`.
    """
    totals = np.zeros(5, np.int64)
    is_signed = False
    for g in range(sizes.shape[0]):
        for k in range(5):
            totals[k] += sizes[g, k]
        is_signed |= sizes[g, HAG_TYPE] & KIND == SIGNED
    num_rows = totals[0] + totals[1]
    num_minus = num_rows if is_signed else 0
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
        nodes, aggs, groups = sizes[g, 0], sizes[g, 1], sizes[g, 2]
        num_src, num_agg = sizes[g, 3], sizes[g, 4]
        row, rows = node + first, nodes + aggs
        p = _copied(packed, p + HEADER, src, s, num_src, source)
        p = _copied(packed, p, dst, node, nodes, node)
        p = _copied(packed, p, agg, a, num_agg, first)
        p = _copied(packed, p, src_count, row, rows, 0)
        p = _copied(packed, p, agg_count, row, rows, 0)
        p = _copied(packed, p, group_aggs, group, groups, 0)
        p = _copied(packed, p, group_dsts, group, groups, 0)
        if sizes[g, HAG_TYPE] & KIND == SIGNED:
            p = _copied(packed, p, src_minus, row, rows, 0)
            p = _copied(packed, p, agg_minus, row, rows, 0)
        source += sizes[g, NUM_SRC]
        node += nodes
        first += aggs
        group += groups
        s += num_src
        a += num_agg
    return Flat(
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
    """Copies a part of a record, plus `shift`; returns where the next part starts."""
    for i in range(count):
        to[first + i] = packed[p + i] + shift
    return p + count

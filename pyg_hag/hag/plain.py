"""The flat arrays of plain HAGs, which have no aggregates."""

import numpy as np

from pyg_hag.graph.csr import bucket, label_groups, to_lists
from pyg_hag.hag.arrays import Flat
from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.union_find import find, union
from pyg_hag.utils.arrays import I32, I64

_AT_ONCE = 1 << 17  # numbers that are copied at once


def plain_flat(
    src: I64, dst: I64, size: tuple[int, int], sequential: bool = False
) -> Flat:
    """The flat arrays of the plain HAG of a graph.

    Args:
        src: The sources of the edges, `[num_edges]`.
        dst: The destinations of the edges, `[num_edges]`.
        size: The numbers of sources and destinations.
        sequential: Whether destinations read their sources in the order of the edges;
            if not, in ascending order.
    """
    num_src, num_dst = size
    if sequential:
        row_ptr, row = to_lists(src, dst, num_dst)
        return flat_of_rows(row_ptr, row, num_src)
    groups = bucket(*_label_groups_of_edges(src, dst, num_src, num_dst))
    out = np.empty(src.size, np.int64)
    halves = out.view(np.int32).reshape(2, -1)
    src_count = _sort_edges(src, dst, num_src, groups[1], halves[1], halves[0])
    for end in range(src.size, 0, -_AT_ONCE):  # numbers get twice as wide in place
        begin = max(0, end - _AT_ONCE)
        out[begin:end] = halves[0, begin:end].copy()
    return _flat_of_groups(out, src_count, *groups)


def flat_of_rows(row_ptr: I64, row: I32, num_src: int) -> Flat:
    """The same as :func:`plain_flat` for a graph in CSR form.

    Args:
        row_ptr: Where the sources of each destination start, `[num_dst + 1]`.
        row: The sources, `[num_edges]`.
        num_src: Number of sources.
    """
    num_groups, group = label_groups(row_ptr, row, num_src)
    groups = bucket(group, num_groups)
    return _flat_of_groups(*_in_order(row_ptr, row, groups[1]), *groups)


def _flat_of_groups(src: I64, src_count: I64, dsts_ptr: I64, order: I32) -> Flat:
    """The arrays of rows that are in the order of their groups."""
    group_dsts = np.diff(dsts_ptr)
    if group_dsts[-1] == 0:  # all destinations have inputs
        group_dsts = group_dsts[:-1]
    none = np.empty(0, np.int64)
    return Flat(
        src,
        none,
        src_count,
        np.zeros(order.size, np.int64),
        order.astype(np.int64),
        np.zeros(group_dsts.size, np.int64),
        group_dsts,
        none,
        none,
    )


@jit
def _label_groups_of_edges(
    src: I64, dst: I64, num_src: int, num_dst: int
) -> tuple[I32, int]:
    """The group of each destination, -1 where it has no sources, and their number.

    They are those of :func:`pyg_hag.graph.csr.label_groups`.
    """
    parent = np.arange(num_src).astype(np.int32)
    first = np.full(num_dst, -1, np.int32)
    for e in range(src.size):
        v = dst[e]
        if first[v] < 0:
            first[v] = src[e]
        else:
            union(parent, find(parent, first[v]), src[e])
    label = np.full(num_src, -1, np.int32)
    count = 0
    for v in range(num_dst):
        if first[v] >= 0:
            root = find(parent, first[v])
            if label[root] < 0:
                label[root] = count
                count += 1
            first[v] = label[root]
    return first, count


@jit
def _sort_edges(
    src: I64, dst: I64, num_src: int, order: I32, by_src: I32, out: I32
) -> I64:
    """Writes the sources of the destinations in this order, each's in ascending order.

    Args:
        src: The sources of the edges, `[num_edges]`.
        dst: The destinations of the edges, `[num_edges]`.
        num_src: Number of sources.
        order: The destinations, `[num_dst]`.
        by_src: Scratch, `[num_edges]`.
        out: The result, `[num_edges]`.

    Returns:
        The number of sources of each destination, in this order.
    """
    ptr = np.zeros(num_src + 1, np.int64)
    fill = np.zeros(order.size, np.int64)
    for e in range(src.size):
        ptr[src[e] + 1] += 1
        fill[dst[e]] += 1
    count = np.empty(order.size, np.int64)
    total = 0
    for i in range(order.size):
        v = order[i]
        count[i] = fill[v]
        fill[v] = total
        total += count[i]
    for u in range(num_src):
        ptr[u + 1] += ptr[u]
    for e in range(src.size):  # afterwards, the edges of u end at ptr[u]
        by_src[ptr[src[e]]] = dst[e]
        ptr[src[e]] += 1
    begin = 0
    for u in range(num_src):
        for e in range(begin, ptr[u]):
            v = by_src[e]
            out[fill[v]] = u
            fill[v] += 1
        begin = ptr[u]
    return count


@jit
def _in_order(row_ptr: I64, row: I32, order: I32) -> tuple[I64, I64]:
    """The sources of the rows in this order, and the lengths of the rows."""
    out = np.empty(row.size, np.int64)
    count = np.empty(order.size, np.int64)
    n = 0
    for i in range(order.size):
        v = order[i]
        count[i] = row_ptr[v + 1] - row_ptr[v]
        for e in range(row_ptr[v], row_ptr[v + 1]):
            out[n] = row[e]
            n += 1
    return out, count

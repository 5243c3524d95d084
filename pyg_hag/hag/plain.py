"""The flat arrays of plain HAGs, which have no aggregates."""

import numpy as np

from pyg_hag.graph.csr import (
    bucket,
    label_groups,
    label_groups_of_edges,
    to_lists,
)
from pyg_hag.graph.sort import sort_edges
from pyg_hag.hag.arrays import Flat
from pyg_hag.runtime.jit import jit
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
    num_groups, group = label_groups_of_edges(src, dst, num_src, num_dst)
    groups = bucket(group, num_groups)
    out = np.empty(src.size, np.int64)
    halves = out.view(np.int32).reshape(2, -1)
    ptr = sort_edges(src, dst, num_src, groups[1], halves[1], halves[0])
    for end in range(src.size, 0, -_AT_ONCE):  # numbers get twice as wide in place
        begin = max(0, end - _AT_ONCE)
        out[begin:end] = halves[0, begin:end].copy()
    return _flat_of_groups(out, np.diff(ptr), *groups)


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

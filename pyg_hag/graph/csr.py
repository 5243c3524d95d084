"""Graphs as compressed rows (CSR), one for each destination."""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.union_find import find, union
from pyg_hag.utils.arrays import I32, I64


@jit
def to_lists(src: I64, dst: I64, num_dst: int) -> tuple[I64, I32]:
    """The rows of an `edge_index`, each in the order of the edges.

    Returns:
        Pointers `[num_dst + 1]` and sources `[num_edges]`.
    """
    row_ptr = np.zeros(num_dst + 1, np.int64)
    for e in range(dst.size):
        row_ptr[dst[e] + 1] += 1
    for v in range(num_dst):
        row_ptr[v + 1] += row_ptr[v]
    fill = row_ptr[:num_dst].copy()
    row = np.empty(src.size, np.int32)
    for e in range(src.size):
        row[fill[dst[e]]] = src[e]
        fill[dst[e]] += 1
    return row_ptr, row


@jit
def transposed(ptr: I64, idx: I32, num_cols: int) -> tuple[I64, I32]:
    """The transposed matrix of `num_cols` columns, each row in ascending order.

    Args:
        ptr: Row pointers, `[num_rows + 1]`.
        idx: Columns, `[ptr[-1]]`.
        num_cols: Number of columns.

    Returns:
        Pointers `[num_cols + 1]` and rows `[ptr[-1]]`.
    """
    out_ptr = np.zeros(num_cols + 1, np.int64)
    for e in range(ptr[-1]):
        out_ptr[idx[e] + 1] += 1
    for x in range(num_cols):
        out_ptr[x + 1] += out_ptr[x]
    fill = out_ptr[:num_cols].copy()
    out = np.empty(ptr[-1], np.int32)
    for v in range(ptr.size - 1):
        for e in range(ptr[v], ptr[v + 1]):
            out[fill[idx[e]]] = v
            fill[idx[e]] += 1
    return out_ptr, out


@jit
def label_groups(row_ptr: I64, row: I32, num_src: int) -> tuple[int, I32]:
    """Groups of rows that share sources, directly or through other rows.

    Returns:
        The number of groups, and the group of each row, `[num_rows]`: -1 for empty
        rows. Groups are numbered in the order of their first rows.
    """
    parent = np.arange(num_src).astype(np.int32)
    first = np.full(row_ptr.size - 1, -1, np.int32)
    for v in range(first.size):
        if row_ptr[v + 1] > row_ptr[v]:
            first[v] = row[row_ptr[v]]
            root = find(parent, first[v])
            for e in range(row_ptr[v] + 1, row_ptr[v + 1]):
                root = union(parent, root, row[e])
    return _number_groups(parent, first), first


@jit
def label_groups_of_edges(
    src: I64, dst: I64, num_src: int, num_dst: int
) -> tuple[int, I32]:
    """The same as :func:`label_groups` for an `edge_index`."""
    parent = np.arange(num_src).astype(np.int32)
    first = np.full(num_dst, -1, np.int32)
    left = num_src  # groups of sources
    for e in range(src.size):
        v = dst[e]
        if first[v] < 0:
            first[v] = src[e]
        elif left > 1:
            root, other = find(parent, first[v]), find(parent, src[e])
            left -= root != other
            union(parent, root, other)
    return _number_groups(parent, first), first


@jit
def _number_groups(parent: I32, first: I32) -> int:
    """Writes the group of each row over one of its sources, and counts the groups."""
    label = np.full(parent.size, -1, np.int32)
    count = 0
    for v in range(first.size):
        if first[v] >= 0:
            root = find(parent, first[v])
            if label[root] < 0:
                label[root] = count
                count += 1
            first[v] = label[root]
    return count


@jit
def bucket(group: I32, num_groups: int) -> tuple[I64, I32]:
    """The members of each group in ascending order; those of group -1 come last.

    Returns:
        Pointers `[num_groups + 2]` and members `[group.size]`.
    """
    ptr = np.zeros(num_groups + 2, np.int64)
    for i in range(group.size):
        g = group[i] if group[i] >= 0 else num_groups
        ptr[g + 1] += 1
    for g in range(num_groups + 1):
        ptr[g + 1] += ptr[g]
    fill = ptr.copy()
    out = np.empty(group.size, np.int32)
    for i in range(group.size):
        g = group[i] if group[i] >= 0 else num_groups
        out[fill[g]] = i
        fill[g] += 1
    return ptr, out


@jit
def lengths(ptr: I64, count: int) -> I64:
    """The lengths of the first `count` rows of a CSR: `np.diff(ptr)[:count]`."""
    out = np.empty(count, np.int64)
    for v in range(count):
        out[v] = ptr[v + 1] - ptr[v]
    return out

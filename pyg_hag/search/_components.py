"""Rows in CSR form, and the components into which they fall apart."""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def to_rows(src: I64, dst: I64, num_src: int, num_dst: int) -> tuple[I64, I32]:
    """Row pointers and sources of the destinations' rows, each row ascending."""
    src_ptr = np.zeros(num_src + 1, np.int64)
    row_ptr = np.zeros(num_dst + 1, np.int64)
    for e in range(src.size):
        src_ptr[src[e] + 1] += 1
        row_ptr[dst[e] + 1] += 1
    for u in range(num_src):
        src_ptr[u + 1] += src_ptr[u]
    for v in range(num_dst):
        row_ptr[v + 1] += row_ptr[v]
    by_src = np.empty(src.size, np.int32)
    fill = src_ptr[:num_src].copy()
    for e in range(src.size):
        by_src[fill[src[e]]] = dst[e]
        fill[src[e]] += 1
    row = np.empty(src.size, np.int32)
    fill = row_ptr[:num_dst].copy()
    for u in range(num_src):
        for e in range(src_ptr[u], src_ptr[u + 1]):
            v = by_src[e]
            row[fill[v]] = u
            fill[v] += 1
    return row_ptr, row


@jit
def transposed(ptr: I64, idx: I32, num_cols: int) -> tuple[I64, I32]:
    """The other compressed form of a matrix, ascending."""
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
def is_cheaper_transposed(src: I64, dst: I64, num_src: int, num_dst: int) -> bool:
    """Whether reading all rows that contain an item costs far less transposed.

    For all items that is the sum of the rows' squared lengths.
    """
    row_len = np.zeros(num_dst, np.int64)
    col_len = np.zeros(num_src, np.int64)
    for e in range(src.size):
        row_len[dst[e]] += 1
        col_len[src[e]] += 1
    return 4 * (col_len * col_len).sum() < (row_len * row_len).sum()


@jit
def number_copies(row_ptr: I64, row: I32) -> I32:
    """For each entry of the ascending rows, how many equal ones stand before it."""
    copy = np.zeros(row.size, np.int32)
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v] + 1, row_ptr[v + 1]):
            if row[e] == row[e - 1]:
                copy[e] = copy[e - 1] + 1
    return copy


def separate_copies(row_ptr: I64, row: I32, num_src: int) -> tuple[I32, I32]:
    """Makes the k-th copy of an edge's source an item of its own.

    Rows are then sets, and what two rows share is shared with its multiplicity.
    Returns the rows' items, ascending, and the source that each item stands for.
    """
    origin = np.arange(num_src, dtype=np.int32)
    copy = number_copies(row_ptr, row)
    extra = copy.nonzero()[0]
    if extra.size == 0:
        return row, origin
    codes = copy[extra].astype(np.int64) * num_src + row[extra]
    distinct, numbers = np.unique(codes, return_inverse=True)
    row = row.copy()
    row[extra] = (num_src + numbers).astype(np.int32)
    origin = np.concatenate([origin, (distinct % num_src).astype(np.int32)])
    col = transposed(row_ptr, row, origin.size)
    return transposed(*col, row_ptr.size - 1)[1], origin  # ascending


@jit
def _find(parent: I32, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def components(
    row_ptr: I64, row: I32, num_items: int
) -> tuple[I64, I32, I64, I64, I32, I32]:
    """Splits rows into components, numbered by their first row.

    Returns:
        The pointers and the numbers of the rows of each component (empty rows are
        in none), the pointers of its items, the pointers and the entries of its
        rows, with items numbered from 0 in each component, and the item that each
        of these local numbers stands for.
    """
    num_rows = row_ptr.size - 1
    parent = np.arange(num_items).astype(np.int32)
    for v in range(num_rows):
        if row_ptr[v + 1] > row_ptr[v]:
            root = _find(parent, row[row_ptr[v]])
            for e in range(row_ptr[v] + 1, row_ptr[v + 1]):
                other = _find(parent, row[e])
                if other < root:
                    root, other = other, root
                parent[other] = root

    label = np.full(num_items, -1, np.int32)
    count = 0
    for v in range(num_rows):
        if row_ptr[v + 1] > row_ptr[v]:
            root = _find(parent, row[row_ptr[v]])
            if label[root] < 0:
                label[root] = count
                count += 1
    rows_ptr = np.zeros(count + 1, np.int64)
    for v in range(num_rows):
        if row_ptr[v + 1] > row_ptr[v]:
            rows_ptr[label[_find(parent, row[row_ptr[v]])] + 1] += 1
    items_ptr = np.zeros(count + 1, np.int64)
    for x in range(num_items):
        c = label[_find(parent, x)]
        if c >= 0:
            items_ptr[c + 1] += 1
    for c in range(count):
        rows_ptr[c + 1] += rows_ptr[c]
        items_ptr[c + 1] += items_ptr[c]

    local = np.empty(num_items, np.int32)
    items = np.empty(items_ptr[count], np.int32)
    fill = items_ptr[:count].copy()
    for x in range(num_items):
        c = label[_find(parent, x)]
        if c >= 0:
            items[fill[c]] = x
            local[x] = fill[c] - items_ptr[c]
            fill[c] += 1
    rows = np.empty(rows_ptr[count], np.int32)
    fill = rows_ptr[:count].copy()
    for v in range(num_rows):
        if row_ptr[v + 1] > row_ptr[v]:
            c = label[_find(parent, row[row_ptr[v]])]
            rows[fill[c]] = v
            fill[c] += 1
    entry_ptr = np.zeros(rows.size + 1, np.int64)
    entries = np.empty(row.size, np.int32)
    n = 0
    for i in range(rows.size):
        for e in range(row_ptr[rows[i]], row_ptr[rows[i] + 1]):
            entries[n] = local[row[e]]
            n += 1
        entry_ptr[i + 1] = n
    return rows_ptr, rows, items_ptr, entry_ptr, entries, items

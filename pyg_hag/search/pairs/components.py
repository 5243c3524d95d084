"""The connected components of rows and items, each numbered by itself."""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.csr import bucket, label_groups
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64


class Component(NamedTuple):
    """The rows of one component, which become shorter as pairs are merged.

    Attributes:
        row_ptr: Where each row starts in `row`, `[num_rows + 1]`.
        row: The items of the rows: `row[row_ptr[v] : row_ptr[v] + row_len[v]]`.
        row_len: Length of each row, `[num_rows]`.
        num_items: Number of given items: 0 to `num_items - 1`.
    """

    row_ptr: I64
    row: I32
    row_len: I64
    num_items: int


class Components(NamedTuple):
    """Rows split into components, which are numbered by their first row.

    Attributes:
        rows_ptr: The rows of component c are `rows[rows_ptr[c] : rows_ptr[c + 1]]`,
            `[num_components + 1]`.
        rows: Ascending in each component; empty rows are in none.
        items_ptr: The items of component c are
            `items[items_ptr[c] : items_ptr[c + 1]]`, `[num_components + 1]`.
        items: Ascending in each component; items in no row are in none.
        entry_ptr: Row `rows[i]` is `entries[entry_ptr[i] : entry_ptr[i + 1]]`,
            `[rows.size + 1]`.
        entries: The items of the rows, numbered from 0 in each component: x stands
            for `items[items_ptr[c] + x]`.
    """

    rows_ptr: I64
    rows: I32
    items_ptr: I64
    items: I32
    entry_ptr: I64
    entries: I32


@jit
def split_components(row_ptr: I64, row: I32, num_items: int) -> Components:
    """Splits rows into components.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows.
        num_items: Number of items.
    """
    count, of_row = label_groups(row_ptr, row, num_items)
    of_item = np.full(num_items, -1, np.int32)
    for v in range(of_row.size):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            of_item[row[e]] = of_row[v]
    rows_ptr, rows = bucket(of_row, count)
    items_ptr, items = bucket(of_item, count)
    rows = rows[: rows_ptr[count]].copy()
    items = items[: items_ptr[count]].copy()

    local = np.empty(num_items, np.int32)
    for c in range(count):
        for i in range(items_ptr[c], items_ptr[c + 1]):
            local[items[i]] = i - items_ptr[c]
    entry_ptr = np.zeros(rows.size + 1, np.int64)
    entries = np.empty(row.size, np.int32)
    n = 0
    for i in range(rows.size):
        for e in range(row_ptr[rows[i]], row_ptr[rows[i] + 1]):
            entries[n] = local[row[e]]
            n += 1
        entry_ptr[i + 1] = n
    return Components(
        rows_ptr[:-1].copy(), rows, items_ptr[:-1].copy(), items, entry_ptr, entries
    )

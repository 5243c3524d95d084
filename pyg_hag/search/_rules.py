"""What a search has found: how every item and every row is put together."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class Rules(NamedTuple):
    """New items as sums of items, and the rows as lists of items.

    Items are numbered: the given ones (sources and copies of sources) first, then
    the new ones, each after its inputs.
    """

    num_items: int
    """Number of given items."""
    counts: I32
    """Number of inputs of each new item."""
    inputs: I32
    """Inputs of the new items, one after the other."""
    start: I64
    """Row v is `row[start[v] : start[v] + length[v]]`."""
    length: I64
    row: I32


@jit
def from_pairs(
    rows: I32,
    rows_ptr: I64,
    items: I32,
    items_ptr: I64,
    entry_ptr: I64,
    entries: I32,
    row_len: I64,
    pairs: I32,
    num_new: I64,
    item_id: I32,
    first_id: int,
    num_rows: int,
) -> tuple[I32, I32, I64, I64]:
    """Turns pairs merged in the components into rules of the whole graph.

    `item_id` is the number of an item in the whole graph, `first_id` that of the
    first new item. `entries` are renumbered in place.

    Returns:
        Input counts and inputs of the new items, start and length of all rows.
    """
    total = num_new.sum()
    counts = np.full(total, 2, np.int32)
    inputs = np.empty(2 * total, np.int32)
    start = np.zeros(num_rows, np.int64)
    length = np.zeros(num_rows, np.int64)
    first = first_id
    for c in range(num_new.size):
        n = items_ptr[c + 1] - items_ptr[c]
        base = entry_ptr[rows_ptr[c]] // 2
        for k in range(num_new[c]):
            for j in range(2):
                x = pairs[base + k, j]
                number = first + x - n
                if x < n:
                    number = item_id[items[items_ptr[c] + x]]
                inputs[2 * (first - first_id + k) + j] = number
        for r in range(rows_ptr[c], rows_ptr[c + 1]):
            start[rows[r]] = entry_ptr[r]
            length[rows[r]] = row_len[r]
            for e in range(entry_ptr[r], entry_ptr[r] + row_len[r]):
                x = entries[e]
                if x < n:
                    entries[e] = item_id[items[items_ptr[c] + x]]
                else:
                    entries[e] = first + x - n
        first += num_new[c]
    return counts, inputs, start, length

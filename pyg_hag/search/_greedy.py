"""Exact greedy search: merge the pair of items that most rows share, and repeat.

The greedy search of Jia et al. (KDD 2020, Algorithm 3), without ever listing the
pairs. For every item the heap holds an upper bound on the rows that it shares with
any other; shared rows never grow (the rows of a new item are rows of both its
inputs), so a bound stays one. The item with the largest bound is looked at: if it
reaches the bound, that pair is the most frequent of all; if not, its bound drops.
Memory is linear in the number of edges.

Among pairs that share equally many rows the newest wins: the largest number of the
larger item, then of the smaller. Items are numbered sources first, then aggregates
in the order of their making.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit
from pyg_hag.search import _bitset, _heap, _lists

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_ITEM = np.int64(0x7FFFFFFF)


@jit
def _key(bound: int, item: int) -> Any:
    return (np.int64(bound) << 32) | np.int64(item)


@jit
def _grown(old: Any, size: int) -> Any:
    new = np.zeros((size, *old.shape[1:]), old.dtype)
    new[: old.shape[0]] = old
    return new


@jit
def merge_pairs(
    row_ptr: I64,
    row: I32,
    row_len: I64,
    num_items: int,
    dense: bool,
    least: int,
    pairs: I32,
    shared: I32,
    control: I64,
) -> int:
    """Merges pairs of items in the rows of one component.

    Args:
        row_ptr: Row v lies at `row[row_ptr[v] : row_ptr[v + 1]]`.
        row: The items of the rows, each at most once in a row. Changed in place:
            row v ends as `row[row_ptr[v] : row_ptr[v] + row_len[v]]`.
        row_len: Length of each row; changed in place.
        num_items: Number of items in the beginning: 0 to `num_items - 1`.
        dense: Whether to keep items as bit sets rather than as lists.
        least: Least number of rows that a pair must share.
        pairs: Output, shape [E / 2, 2]: the inputs of the new items.
        shared: Output, shape [E / 2]: the rows that shared the pair; descending.
        control: Stops when the first is not 0; the second counts merges.

    Returns:
        The number of new items.
    """
    num_rows = row_ptr.size - 1
    num_edges = row_ptr[num_rows] - row_ptr[0]
    capacity = 2 * num_items + 16
    size = np.zeros(capacity, np.int64)
    bound = np.zeros(capacity, np.int64)  # on all pairs but that with the partner
    partner = np.zeros(capacity, np.int32)
    heap = np.zeros(capacity, np.int64)
    # Of the two representations, one stays empty:
    bits = np.zeros((capacity if dense else 0, (num_rows + 63) // 64), np.uint64)
    active = np.zeros(capacity, np.int32)
    start = np.zeros(0 if dense else capacity, np.int64)
    count = np.zeros(0 if dense else capacity, np.int32)
    pool = np.empty(0 if dense else 2 * num_edges, np.int32)
    used = 0
    if dense:
        _bitset.fill(bits, size, row_ptr, row, num_items)
    else:
        used = _lists.fill(pool, start, size, row_ptr, row, num_items)

    in_heap = 0
    num_active = 0
    for x in range(num_items):
        partner[x] = -1
        if size[x] >= least:
            active[num_active] = x
            num_active += 1
            in_heap = _heap.push(heap, in_heap, _key(size[x], x))

    num_new = 0
    steps = 0
    while in_heap > 0:
        steps += 1
        if steps & 63 == 0 and control[0] != 0:
            break
        key = _heap.pop(heap, in_heap)
        in_heap -= 1
        top = key >> 32
        x = key & _ITEM
        if size[x] < top:  # merged away in part since: a tighter bound
            partner[x] = -1
            if size[x] >= least:
                in_heap = _heap.push(heap, in_heap, _key(size[x], x))
            continue
        y = partner[x]
        if y < 0 or size[y] < top:
            found = 0
        elif dense:
            found = _bitset.count_shared(bits, x, y)
        else:
            found = _lists.intersect(pool, start, size, x, y, -1)
        if found < top:
            if dense:
                found, y, bound[x], num_active = _bitset.scan(
                    bits, size, active, num_active, x, least
                )
            else:
                found, y, bound[x] = _lists.scan(
                    pool, start, size, row_ptr, row, row_len, count, active, x
                )
            partner[x] = y
            if found < least:
                continue
            if found < top:
                in_heap = _heap.push(heap, in_heap, _key(found, x))
                continue

        new = num_items + num_new
        if new == capacity:
            capacity *= 2
            size = _grown(size, capacity)
            bound = _grown(bound, capacity)
            partner = _grown(partner, capacity)
            heap = _grown(heap, capacity)
            active = _grown(active, capacity)
            if dense:
                bits = _grown(bits, capacity)
            else:
                start = _grown(start, capacity)
                count = _grown(count, capacity)
        pairs[num_new, 0] = min(x, y)
        pairs[num_new, 1] = max(x, y)
        if shared.size > 0:
            shared[num_new] = found
        num_new += 1
        control[1] += 1
        if dense:
            _bitset.merge(bits, size, x, y, new)
            active[num_active] = new
            num_active += 1
        else:
            used = _lists.merge(
                pool, used, start, size, row_ptr, row, row_len, x, y, new
            )
        # What x shared with others bounds what x and the new item share with them:
        for item in (x, new):
            partner[item] = -1
            limit = min(bound[x], size[item])
            if limit >= least:
                in_heap = _heap.push(heap, in_heap, _key(limit, item))

    if dense:
        _bitset.write_rows(bits, num_items + num_new, row_ptr, row, row_len)
    return num_new

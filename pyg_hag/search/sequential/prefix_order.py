"""An order of each row's items in which rows share long prefixes.

Where rows may be put in any order, what most rows contain comes first: the most
frequent item of a set of rows becomes the next item of those that contain it. Both
parts, these rows and the others, then go on by themselves. Only the items of the
smaller part are counted anew; its counts are subtracted from those of the larger part,
which goes on with the same arrays. So an entry is counted once for each halving:
O(entries * log(rows)).
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.csr import lengths
from pyg_hag.runtime.jit import jit
from pyg_hag.search.progress import STOP
from pyg_hag.utils.arrays import I32, I64, Bool


class _Rows(NamedTuple):
    """What is left of each row, and the order so far.

    Attributes:
        ptr: Row v has the entries from `ptr[v]` to `ptr[v + 1]`, `[num_rows + 1]`.
        length: Number of items left, `[num_rows]`.
        items: The items left, from `ptr[v]` on, `[num_entries]`.
        out: The items in order, from `ptr[v]` on, `[num_entries]`.
        fill: Where the next item goes, `[num_rows]`.
        order: The rows; a part is a range of it, `[num_rows]`.
        where: The position of each row in `order`, `[num_rows]`.
        is_holder: Whether each row contains the item at hand, `[num_rows]`.
    """

    ptr: I64
    length: I64
    items: I32
    out: I32
    fill: I64
    order: I32
    where: I64
    is_holder: Bool


class _Items(NamedTuple):
    """How often the items of a part occur in it.

    Attributes:
        frequency: Number of rows with each item, `[num_items]`; -1 once it is in
            order.
        col_ptr: Where the rows of each item start in `col`, `[num_items]`.
        col: The rows of each item, in the part and in parts that have left it,
            `[num_entries]`.
        queue: The items of the part, ascending by frequency, `[num_items]`.
        place: The position of each item in `queue`, `[num_items]`.
    """

    frequency: I32
    col_ptr: I64
    col: I32
    queue: I32
    place: I64


@jit
def order_rows(
    row_ptr: I64,
    row: I32,
    num_items: int,
    part_ptr: I64,
    part_rows: I32,
    control: I64,
) -> I32:
    """Orders the items of each row.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, without duplicates, `[num_entries]`; overwritten.
        num_items: Number of items.
        part_ptr: Part g is `part_rows[part_ptr[g] : part_ptr[g + 1]]`,
            `[num_parts + 1]`. Rows of different parts share no item.
        part_rows: All rows, part by part, `[num_rows]`.
        control: Stops when `control[STOP]` is not 0; rows are then incomplete.

    Returns:
        The items in order, `[num_entries]`.
    """
    num_rows = row_ptr.size - 1
    where = np.empty(num_rows, np.int64)
    where[part_rows] = np.arange(num_rows)
    rows = _Rows(
        row_ptr,
        lengths(row_ptr, num_rows),
        row,
        np.empty(row.size, np.int32),
        row_ptr[:num_rows].copy(),
        part_rows.copy(),
        where,
        np.zeros(num_rows, np.bool_),
    )
    items = _Items(
        np.zeros(num_items, np.int32),
        np.zeros(num_items, np.int64),
        np.empty(row.size, np.int32),
        np.empty(num_items, np.int32),
        np.zeros(num_items, np.int64),
    )
    parts = np.empty((num_rows + 1, 2), np.int64)  # disjoint ranges of `rows.order`
    num_parts = 0
    for g in range(part_ptr.size - 1):
        if part_ptr[g] < part_ptr[g + 1]:
            parts[num_parts] = part_ptr[g], part_ptr[g + 1]
            num_parts += 1
    while num_parts > 0 and control[STOP] == 0:
        num_parts = _order_part(rows, items, parts, num_parts - 1)
    return rows.out


@jit
def _order_part(rows: _Rows, items: _Items, parts: I64, num_parts: int) -> int:
    """Orders the rows of `parts[num_parts]` that stay together to the end.

    The parts that split off are added to `parts` from there on.

    Returns:
        The number of parts afterwards.
    """
    begin, end = parts[num_parts]
    num_left, start = _count_items(rows.order[begin:end].copy(), rows, items)
    counted = items.queue[:num_left].copy()
    while end > begin and num_left > 0:
        x = items.queue[num_left - 1]
        shared = items.frequency[x]
        if shared <= 1:
            break
        num_left -= 1
        first = items.col_ptr[x]
        last = _append_item(x, begin, end, rows, items)
        holders = items.col[first:last]
        cut = _split(begin, end, shared, holders, rows)
        for v in holders:
            rows.is_holder[v] = False
        for i in range(cut, end):
            _uncount_row(rows.order[i], start, rows, items)
        if end - cut > 1:
            parts[num_parts] = cut, end
            num_parts += 1
        elif end - cut == 1:
            _finish_row(rows.order[cut], False, rows, items)
        end = cut
    for i in range(begin, end):
        _finish_row(rows.order[i], True, rows, items)
    for x in counted:
        items.frequency[x] = 0
    return num_parts


@jit
def _count_items(members: I32, rows: _Rows, items: _Items) -> tuple[int, I64]:
    """Counts the items of some rows, lists the rows of each item, and sorts by count.

    Returns:
        The number of items, and where those of each count start in `items.queue`,
        `[max_count + 2]`.
    """
    count, col_ptr, queue = items.frequency, items.col_ptr, items.queue
    n = 0
    max_count = 0
    for v in members:
        for e in range(rows.ptr[v], rows.ptr[v] + rows.length[v]):
            x = rows.items[e]
            if count[x] == 0:
                queue[n] = x
                n += 1
            count[x] += 1
            max_count = max(max_count, count[x])
    start = np.zeros(max_count + 2, np.int64)
    end = 0
    for i in range(n):
        x = queue[i]
        start[count[x] + 1] += 1
        col_ptr[x] = end
        end += count[x]
    for v in members:
        for e in range(rows.ptr[v], rows.ptr[v] + rows.length[v]):
            x = rows.items[e]
            items.col[col_ptr[x]] = v
            col_ptr[x] += 1
    for c in range(max_count + 1):
        start[c + 1] += start[c]
    found = queue[:n].copy()
    found.sort()
    fill = start.copy()
    for i in range(n):
        x = found[n - 1 - i]  # of equal counts, the smaller number comes last
        col_ptr[x] -= count[x]
        items.place[x] = fill[count[x]]
        queue[items.place[x]] = x
        fill[count[x]] += 1
    return n, start


@jit
def _append_item(x: int, begin: int, end: int, rows: _Rows, items: _Items) -> int:
    """Makes item x the next one of the rows of a part that contain it.

    The rows are marked in `rows.is_holder`.

    Returns:
        Where the last of these rows ends in `items.col`.
    """
    left = items.frequency[x]
    items.frequency[x] = -1  # all rows that stay in the part contain it, or none does
    last = items.col_ptr[x]
    while left > 0:
        v = items.col[last]
        last += 1
        if begin <= rows.where[v] < end:
            rows.out[rows.fill[v]] = x
            rows.fill[v] += 1
            rows.is_holder[v] = True
            left -= 1
    return last


@jit
def _split(begin: int, end: int, shared: int, holders: I32, rows: _Rows) -> int:
    """Splits a part into the rows that contain an item and the others.

    The smaller part goes to the end of the range.

    Args:
        begin: Where the part begins in `rows.order`.
        end: Where the part ends.
        shared: How many of its rows contain the item.
        holders: These rows, among rows of other parts.
        rows: The rows; `order` and `where` are changed.

    Returns:
        Where the smaller part begins; `end` if all rows contain the item.
    """
    cut = end
    if shared == end - begin:
        return cut
    if 2 * shared <= end - begin:
        for v in holders:
            if rows.is_holder[v]:
                cut -= 1
                _swap(rows, rows.where[v], cut)
        return cut
    i = begin
    while i < cut:
        if rows.is_holder[rows.order[i]]:
            i += 1
        else:
            cut -= 1
            _swap(rows, i, cut)
    return cut


@jit
def _swap(rows: _Rows, i: int, k: int) -> None:
    """Swaps two rows in `rows.order`."""
    v, w = rows.order[i], rows.order[k]
    rows.order[i], rows.order[k] = w, v
    rows.where[w], rows.where[v] = i, k


@jit
def _uncount_row(v: int, start: I64, rows: _Rows, items: _Items) -> None:
    """Subtracts a row from the counts, and removes the items that are in order."""
    kept = rows.ptr[v]
    for e in range(rows.ptr[v], rows.ptr[v] + rows.length[v]):
        x = rows.items[e]
        if items.frequency[x] >= 0:
            _decrement(x, start, items)
            rows.items[kept] = x
            kept += 1
    rows.length[v] = kept - rows.ptr[v]


@jit
def _decrement(x: int, start: I64, items: _Items) -> None:
    """Subtracts one from the count of an item, and keeps `items.queue` sorted."""
    c = items.frequency[x]
    first = start[c]
    y = items.queue[first]
    items.queue[items.place[x]] = y
    items.place[y] = items.place[x]
    items.queue[first] = x
    items.place[x] = first
    start[c] = first + 1
    items.frequency[x] = c - 1


@jit
def _finish_row(v: int, stayed: bool, rows: _Rows, items: _Items) -> None:
    """Appends the items left in a row, which it shares with no other row.

    A row that has stayed in its part may contain items that are in order already.
    """
    for e in range(rows.ptr[v], rows.ptr[v] + rows.length[v]):
        x = rows.items[e]
        if not stayed or items.frequency[x] >= 0:
            rows.out[rows.fill[v]] = x
            rows.fill[v] += 1

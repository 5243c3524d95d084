"""Jitted leaf: an order of each row's items that makes rows share long prefixes.

Where rows may be put in any order, what the most rows hold comes first: the most
frequent item of a set of rows becomes the next one of those that hold it, and each
part, they and the others, goes on by itself. Only the smaller part is counted anew;
its counts are taken from those of the larger part, which goes on with the same
lists. So an entry is counted once for each halving: O(entries * log(rows)).
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def _index(
    rows: I32,
    row_ptr: I64,
    length: I64,
    row: I32,
    count: I32,
    col_ptr: I64,
    col: I32,
    queue: I32,
    place: I64,
) -> tuple[int, I64]:
    """Counts the items of some rows, lists the rows of each, and sorts by count.

    Returns the number of items, and where those of each count start in `queue`.
    """
    n = 0
    most = 0
    for v in rows:
        for e in range(row_ptr[v], row_ptr[v] + length[v]):
            x = row[e]
            if count[x] == 0:
                queue[n] = x
                n += 1
            count[x] += 1
            most = max(most, count[x])
    start = np.zeros(most + 2, np.int64)
    end = 0
    for i in range(n):
        x = queue[i]
        start[count[x] + 1] += 1
        col_ptr[x] = end
        end += count[x]
    for v in rows:
        for e in range(row_ptr[v], row_ptr[v] + length[v]):
            col[col_ptr[row[e]]] = v
            col_ptr[row[e]] += 1
    for c in range(most + 1):
        start[c + 1] += start[c]
    found = queue[:n].copy()
    found.sort()
    fill = start.copy()
    for i in range(n):
        x = found[n - 1 - i]  # of equal counts, the smaller number comes last
        col_ptr[x] -= count[x]
        place[x] = fill[count[x]]
        queue[place[x]] = x
        fill[count[x]] += 1
    return n, start


@jit
def _lower(x: int, count: I32, start: I64, queue: I32, place: I64) -> None:
    """Takes one from the count of an item."""
    c = count[x]
    first = start[c]
    y = queue[first]
    queue[place[x]] = y
    place[y] = place[x]
    queue[first] = x
    place[x] = first
    start[c] = first + 1
    count[x] = c - 1


@jit
def order_rows(
    row_ptr: I64, row: I32, num_items: int, part_ptr: I64, part_rows: I32
) -> I32:
    """The items of each row in such an order; `row` is used up.

    Rows in different parts share no item.
    """
    num_rows = row_ptr.size - 1
    out = np.empty(row.size, np.int32)
    fill = row_ptr[:num_rows].copy()
    length = np.diff(row_ptr)
    rows = part_rows.copy()
    where = np.empty(num_rows, np.int64)  # of each row in `rows`
    where[rows] = np.arange(num_rows)
    holds = np.zeros(num_rows, np.bool_)
    count = np.zeros(num_items, np.int32)
    col_ptr = np.zeros(num_items, np.int64)
    place = np.zeros(num_items, np.int64)
    col = np.empty(row.size, np.int32)
    queue = np.empty(num_items, np.int32)
    tasks = np.empty((num_rows + 1, 2), np.int64)  # parts of `rows`, disjoint
    top = 0
    for g in range(part_ptr.size - 1):
        if part_ptr[g] < part_ptr[g + 1]:
            tasks[top] = part_ptr[g], part_ptr[g + 1]
            top += 1
    while top > 0:
        top -= 1
        begin, end = tasks[top]
        all_rows = rows[begin:end].copy()
        n, start = _index(
            all_rows, row_ptr, length, row, count, col_ptr, col, queue, place
        )
        items = queue[:n].copy()
        while end > begin and n > 0:
            x = queue[n - 1]
            c = count[x]
            if c <= 1:
                break
            n -= 1
            count[x] = -1  # all rows that stay here have it, or none of them
            first = col_ptr[x]
            last = first
            while c > 0:
                v = col[last]
                last += 1
                if begin <= where[v] < end:
                    out[fill[v]] = x
                    fill[v] += 1
                    holds[v] = True
                    c -= 1
            shared = 0
            for i in range(first, last):
                shared += holds[col[i]]
            # The smaller part goes to the end of `rows`, and leaves:
            cut = end
            if shared < end - begin:
                if 2 * shared <= end - begin:
                    for i in range(first, last):
                        v = col[i]
                        if holds[v]:
                            cut -= 1
                            _swap(rows, where, where[v], cut)
                else:
                    i = begin
                    while i < cut:
                        if holds[rows[i]]:
                            i += 1
                        else:
                            cut -= 1
                            _swap(rows, where, i, cut)
            for i in range(first, last):
                holds[col[i]] = False
            for i in range(cut, end):
                v = rows[i]
                kept = row_ptr[v]
                for e in range(row_ptr[v], row_ptr[v] + length[v]):
                    y = row[e]
                    if count[y] >= 0:
                        _lower(y, count, start, queue, place)
                        row[kept] = y
                        kept += 1
                length[v] = kept - row_ptr[v]
            if end - cut > 1:
                tasks[top] = cut, end
                top += 1
            elif end - cut == 1:
                _finish(rows[cut], row_ptr, length, row, count, False, out, fill)
            end = cut
        for i in range(begin, end):
            _finish(rows[i], row_ptr, length, row, count, True, out, fill)
        for x in items:
            count[x] = 0
    return out


@jit
def _swap(rows: I32, where: I64, i: int, k: int) -> None:
    v, w = rows[i], rows[k]
    rows[i], rows[k] = w, v
    where[w], where[v] = i, k


@jit
def _finish(
    v: int,
    row_ptr: I64,
    length: I64,
    row: I32,
    count: I32,
    stayed: bool,
    out: I32,
    fill: I64,
) -> None:
    """Writes what is left of a row, which shares no more."""
    for e in range(row_ptr[v], row_ptr[v] + length[v]):
        if not stayed or count[row[e]] >= 0:
            out[fill[v]] = row[e]
            fill[v] += 1

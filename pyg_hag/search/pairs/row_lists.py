"""Items as sorted lists of the rows that contain them: for sparse components."""

from typing import NamedTuple

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs.components import Component
from pyg_hag.utils.arrays import I32, I64


class RowLists(NamedTuple):
    """The rows that contain each item.

    Attributes:
        pool: Item x is in the rows `pool[start[x] : start[x] + size[x]]`, ascending.
            The list of a new item is appended. `[2 * num_entries]` is always enough:
            a merge takes two entries out of the rows for each one that it puts in.
        start: Where the list of each item starts, `[capacity]`.
        size: Number of rows that contain each item, `[capacity]`.
        used: Number of entries of the pool that are in use, `[1]`.
    """

    pool: I32
    start: I64
    size: I64
    used: I64


class Scratch(NamedTuple):
    """Where the items of some rows are counted.

    Attributes:
        counts: Occurrences of each item, `[capacity]`; zero between uses.
        touched: The items that occur, `[capacity]`.
    """

    counts: I32
    touched: I32


@jit
def fill(lists: RowLists, component: Component) -> None:
    """Writes the lists of the given items, and their sizes; all were zero."""
    row_ptr, row = component.row_ptr, component.row
    pool, start, size = lists.pool, lists.start, lists.size
    for e in range(row_ptr[0], row_ptr[-1]):
        size[row[e]] += 1
    used = 0
    for x in range(component.num_items):
        start[x] = used
        used += size[x]
        size[x] = 0
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            x = row[e]
            pool[start[x] + size[x]] = v
            size[x] += 1
    lists.used[0] = used


@jit
def intersect(lists: RowLists, x: int, y: int, out: int) -> int:
    """Counts the rows that contain both items; writes them to `pool[out:]`.

    A negative `out` writes nothing.
    """
    pool, start, size = lists.pool, lists.start, lists.size
    if size[x] > size[y]:
        x, y = y, x
    a, a_end = start[x], start[x] + size[x]
    b, b_end = start[y], start[y] + size[y]
    gallop = size[y] > 16 * size[x]
    count = 0
    while a < a_end and b < b_end:
        v = pool[a]
        if gallop:
            step = 1
            while b + step < b_end and pool[b + step] < v:
                b += step
                step *= 2
            high = min(b_end, b + step + 1)
            while b < high:
                middle = (b + high) >> 1
                if pool[middle] < v:
                    b = middle + 1
                else:
                    high = middle
            if b == b_end:
                break
        w = pool[b]
        if v == w:
            if out >= 0:
                pool[out + count] = v
            count += 1
        a += v <= w
        b += w <= v
    return count


@jit
def find_best(
    lists: RowLists, component: Component, scratch: Scratch, x: int
) -> tuple[int, int, int]:
    """Finds the item that shares most rows with x, the newest among equals.

    Returns:
        The number of shared rows, the item, and an upper bound on the rows that x
        shares with any other item.
    """
    row_ptr, row, row_len = component.row_ptr, component.row, component.row_len
    counts, touched = scratch.counts, scratch.touched
    num_touched = 0
    for i in range(lists.start[x], lists.start[x] + lists.size[x]):
        v = lists.pool[i]
        for e in range(row_ptr[v], row_ptr[v] + row_len[v]):
            y = row[e]
            if counts[y] == 0:
                touched[num_touched] = y
                num_touched += 1
            counts[y] += 1
    counts[x] = 0
    best = 0
    second = 0
    partner = -1
    for i in range(num_touched):
        y = touched[i]
        num_shared = counts[y]
        counts[y] = 0
        if num_shared > best or (num_shared == best and y > partner and num_shared > 0):
            second = best
            best = num_shared
            partner = y
        elif num_shared > second:
            second = num_shared
    return best, partner, second


@jit
def merge(lists: RowLists, x: int, y: int, new: int) -> None:
    """Moves the rows that contain x and y over to the item `new`."""
    used = lists.used[0]
    lists.start[new] = used
    lists.size[new] = intersect(lists, x, y, used)
    _remove(lists, x, new)
    _remove(lists, y, new)
    lists.used[0] = used + lists.size[new]


@jit
def _remove(lists: RowLists, x: int, gone: int) -> None:
    """Removes the rows of the item `gone` from the list of item x."""
    pool, start, size = lists.pool, lists.start, lists.size
    g, g_end = start[gone], start[gone] + size[gone]
    kept = start[x]
    for a in range(start[x], start[x] + size[x]):
        if g < g_end and pool[g] == pool[a]:
            g += 1
        else:
            pool[kept] = pool[a]
            kept += 1
    size[x] = kept - start[x]


@jit
def intersect_into(lists: RowLists, x: int, y: int, out: I32) -> int:
    """Writes the rows that contain both items to `out`; returns their number."""
    pool, start, size = lists.pool, lists.start, lists.size
    a, a_end = start[x], start[x] + size[x]
    b, b_end = start[y], start[y] + size[y]
    count = 0
    while a < a_end and b < b_end:
        v, w = pool[a], pool[b]
        out[count] = v
        count += v == w
        a += v <= w
        b += w <= v
    return count


@jit
def remove(lists: RowLists, x: int, rows: I32) -> None:
    """Removes rows, ascending, from the list of item x, which contains them."""
    pool, begin, size = lists.pool, lists.start[x], lists.size[x]
    kept = begin
    g = 0
    for a in range(begin, begin + size):
        v = pool[a]
        pool[kept] = v
        if g < rows.size and rows[g] == v:
            g += 1
        else:
            kept += 1
    lists.size[x] = kept - begin


@jit
def replace(lists: RowLists, component: Component, x: int, y: int, new: int) -> None:
    """Replaces x and y by `new`, which has just been merged, in all of its rows."""
    row_ptr, row, row_len = component.row_ptr, component.row, component.row_len
    for i in range(lists.start[new], lists.used[0]):
        v = lists.pool[i]
        e = row_ptr[v]
        while row[e] != x and row[e] != y:
            e += 1
        other = y if row[e] == x else x
        row[e] = new
        e += 1
        while row[e] != other:
            e += 1
        row_len[v] -= 1
        row[e] = row[row_ptr[v] + row_len[v]]

"""Greedy search from sampled neighbourhoods: for large, sparse components.

The exact search looks through all rows of an item to find its best partner, which
costs sum(length^2) and more. Here a look reads at most about `BUDGET` entries:
some of the item's rows, and of a long row only the window around the item. Rows
are kept in an order in which items of similar rows stand together (min-hash), so
that the window holds what matters. What was seen are only candidates: how many rows
a pair shares is always counted exactly, by intersecting their lists, before it is
merged. Each item remembers its best candidates and what the others seem to share at
most, hands both down to what it is merged into, and is looked at again when its
candidates fall below the others.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit
from pyg_hag.search import _heap, _lists
from pyg_hag.search._twins import mixed

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

CANDIDATES = 8  # remembered per item
WINDOW = 256  # entries of a long row that a look reads
BUDGET = 4096  # entries that a look reads in all, about;
LEAST_BUDGET = 2048  # so many in the largest components

_ITEM = np.int64(0x7FFFFFFF)
_STOP = 0  # places in `control`
_MERGED = 1


@jit
def _grown(old: Any, size: int) -> Any:
    new = np.zeros((size, *old.shape[1:]), old.dtype)
    new[: old.shape[0]] = old
    return new


@jit
def order_rows(
    row_ptr: I64, row: I32, num_items: int, start: I64, size: I64, pool: I32, rank: I32
) -> None:
    """Ranks items by the min-hash of their rows and sorts the rows by rank."""
    num_rows = row_ptr.size - 1
    first = np.full(num_items, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64)
    second = first.copy()
    for v in range(num_rows):
        h = mixed(v + 1)
        g = mixed(h)
        for e in range(row_ptr[v], row_ptr[v + 1]):
            x = row[e]
            first[x] = min(first[x], h)
            second[x] = min(second[x], g)
    # Sort by the first hash and, among equals, by the second:
    order = np.argsort(second, kind="mergesort")
    order = order[np.argsort(first[order], kind="mergesort")]
    fill = row_ptr[:num_rows].copy()
    for r in range(num_items):
        x = order[r]
        rank[x] = r
        for i in range(start[x], start[x] + size[x]):
            v = pool[i]
            row[fill[v]] = x
            fill[v] += 1


@jit
def _place(row: I32, begin: int, end: int, rank: I32, wanted: int) -> int:
    """Where the item of the given rank stands in a row."""
    while begin < end:
        middle = (begin + end) >> 1
        if rank[row[middle]] < wanted:
            begin = middle + 1
        else:
            end = middle
    return begin


@jit
def _look(
    pool: I32,
    start: I64,
    size: I64,
    row_ptr: I64,
    row: I32,
    row_len: I64,
    rank: I32,
    count: I32,
    touched: I32,
    x: int,
    budget: int,
    candidate: I32,
    shared: I32,
) -> int:
    """Finds candidates for item x: the items seen most often in its rows.

    Writes `candidate[x]` and `shared[x]`, the latter an upper bound on the shared
    rows; returns what the items that are not among them seem to share with x.
    `count` is zero before and after.
    """
    work = 0
    for i in range(start[x], start[x] + size[x]):
        work += min(row_len[pool[i]], WINDOW)
    step = min(size[x], work // budget + 1)
    sampled = step > 1
    num = 0
    for i in range(start[x], start[x] + size[x], step):
        v = pool[i]
        begin = row_ptr[v]
        end = begin + row_len[v]
        if end - begin > WINDOW:
            sampled = True
            middle = _place(row, begin, end, rank, rank[x])
            end = min(end, max(begin, middle - WINDOW // 2) + WINDOW)
            begin = max(begin, end - WINDOW)
        for e in range(begin, end):
            y = row[e]
            if count[y] == 0:
                touched[num] = y
                num += 1
            count[y] += 1
    count[x] = 0

    k = candidate.shape[1]
    found = 0
    rest = 0
    for i in range(num):
        y = touched[i]
        seen = count[y]
        count[y] = 0
        if seen == 0:
            continue
        if found == k:
            if seen <= shared[x, k - 1]:
                rest = max(rest, seen)
                continue
            rest = max(rest, shared[x, k - 1])
            j = k - 1
        else:
            j = found
            found += 1
        # Fewest rows first among equals: what such an item shares, it shares most.
        while j > 0 and (
            shared[x, j - 1] < seen
            or (shared[x, j - 1] == seen and size[candidate[x, j - 1]] > size[y])
        ):
            shared[x, j] = shared[x, j - 1]
            candidate[x, j] = candidate[x, j - 1]
            j -= 1
        shared[x, j] = seen
        candidate[x, j] = y
    for j in range(found, k):
        shared[x, j] = 0
        candidate[x, j] = -1
    if sampled:
        rest = 0
        for j in range(found):
            y = candidate[x, j]
            shared[x, j] = _lists.intersect(pool, start, size, x, y, -1)
            rest = shared[x, j] if j == 0 else min(rest, shared[x, j])
        if found < k:
            rest = 0
    return rest


@jit
def first_looks(
    begin: int,
    end: int,
    pool: I32,
    start: I64,
    size: I64,
    row_ptr: I64,
    row: I32,
    row_len: I64,
    rank: I32,
    budget: int,
    least: int,
    candidate: I32,
    shared: I32,
    rest: I64,
    control: I64,
) -> None:
    """Finds the first candidates of the items from `begin` to `end`."""
    count = np.zeros(rank.size, np.int32)
    touched = np.empty(rank.size, np.int32)
    for x in range(begin, end):
        if x & 63 == 0 and control[_STOP] != 0:
            return
        if size[x] >= least:
            rest[x] = _look(
                pool,
                start,
                size,
                row_ptr,
                row,
                row_len,
                rank,
                count,
                touched,
                x,
                budget,
                candidate,
                shared,
            )


@jit
def _key(bound: int, item: int) -> Any:
    return (np.int64(bound) << 32) | np.int64(item)


@jit
def _hope(x: int, shared: I32, rest: I64, size: I64) -> int:
    """What item x can share with its best partner, as far as it is known."""
    most = rest[x]
    for j in range(shared.shape[1]):
        most = max(most, np.int64(shared[x, j]))
    return min(most, size[x])


@jit
def _merge(
    pool: I32,
    used: int,
    start: I64,
    size: I64,
    row_ptr: I64,
    row: I32,
    row_len: I64,
    rank: I32,
    x: int,
    y: int,
    new: int,
) -> int:
    """Puts `new` in the place of x in every row that contains x and y."""
    start[new] = used
    size[new] = _lists.intersect(pool, start, size, x, y, used)
    _lists.remove(pool, start, size, x, new)
    _lists.remove(pool, start, size, y, new)
    rank[new] = rank[x]
    for i in range(used, used + size[new]):
        v = pool[i]
        begin = row_ptr[v]
        end = begin + row_len[v]
        row[_place(row, begin, end, rank, rank[x])] = new
        for e in range(_place(row, begin, end, rank, rank[y]), end - 1):
            row[e] = row[e + 1]
        row_len[v] -= 1
    return used + size[new]


@jit
def merge_pairs(
    pool: I32,
    start: I64,
    size: I64,
    row_ptr: I64,
    row: I32,
    row_len: I64,
    rank: I32,
    num_items: int,
    budget: int,
    least: int,
    candidate: I32,
    shared: I32,
    rest: I64,
    pairs: I32,
    control: I64,
) -> int:
    """Merges pairs of items, about the most frequent first.

    Args:
        pool: The rows of item x are `pool[start[x] : start[x] + size[x]]`.
        start: Where they start.
        size: How many there are.
        row_ptr: Where the rows start.
        row: Their items, in the order of their ranks; changed.
        row_len: Their lengths; changed.
        rank: Of each item.
        num_items: Number of items.
        budget: Entries that one look may read.
        least: Least number of rows that a pair must share.
        candidate: The candidates that the first looks have found.
        shared: The rows that they seem to share.
        rest: The rows that others seem to share at most.
        pairs: Output: the inputs of the new items.
        control: Stops when the first is not 0; the second counts merges.

    Returns:
        The number of new items.
    """
    capacity = num_items
    count = np.zeros(capacity, np.int32)
    touched = np.zeros(capacity, np.int32)
    heap = np.zeros(capacity, np.int64)
    used = 0
    in_heap = 0
    for x in range(num_items):
        used += size[x]
        if size[x] >= least:
            hope = _hope(x, shared, rest, size)
            if hope >= least:
                in_heap = _heap.push(heap, in_heap, _key(hope, x))
    num_new = 0
    steps = 0
    while in_heap > 0:
        steps += 1
        if steps & 63 == 0 and control[_STOP] != 0:
            break
        key = _heap.pop(heap, in_heap)
        in_heap -= 1
        top = key >> 32
        x = key & _ITEM
        if size[x] < least:
            continue
        partner = -1
        found = 0
        while True:
            best = -1
            found = 0
            for j in range(candidate.shape[1]):
                if shared[x, j] > found or (
                    shared[x, j] == found
                    and found > 0
                    and size[candidate[x, j]] < size[candidate[x, best]]
                ):
                    found = np.int64(shared[x, j])
                    best = j
            if found < top and found < rest[x]:
                hope = _hope(x, shared, rest, size)
                if hope < top:
                    found = hope
                    break
                rest[x] = _look(
                    pool,
                    start,
                    size,
                    row_ptr,
                    row,
                    row_len,
                    rank,
                    count,
                    touched,
                    x,
                    budget,
                    candidate,
                    shared,
                )
                if _hope(x, shared, rest, size) < top:
                    found = _hope(x, shared, rest, size)
                    break
                continue
            if best < 0 or found < top:
                break
            y = candidate[x, best]
            exact = 0
            if size[y] >= found:
                exact = _lists.intersect(pool, start, size, x, y, -1)
            if exact >= found:
                partner = y
                break
            # The rows that y has lost may all have gone to one new item:
            rest[x] = max(rest[x], found - exact)
            shared[x, best] = exact
        if partner < 0:
            if found >= least:
                in_heap = _heap.push(heap, in_heap, _key(found, x))
            continue

        new = num_items + num_new
        if new == capacity:
            capacity = 3 * capacity // 2 + 16
            start = _grown(start, capacity)
            size = _grown(size, capacity)
            rank = _grown(rank, capacity)
            rest = _grown(rest, capacity)
            count = _grown(count, capacity)
            touched = _grown(touched, capacity)
            heap = _grown(heap, capacity)
            candidate = _grown(candidate, capacity)
            shared = _grown(shared, capacity)
        pairs[num_new, 0] = min(x, partner)
        pairs[num_new, 1] = max(x, partner)
        num_new += 1
        control[_MERGED] += 1
        used = _merge(
            pool, used, start, size, row_ptr, row, row_len, rank, x, partner, new
        )
        for j in range(candidate.shape[1]):
            candidate[new, j] = candidate[x, j]
            if candidate[x, j] == partner:
                shared[x, j] = 0
            shared[new, j] = min(np.int64(shared[x, j]), size[new])
        rest[new] = min(rest[x], size[new])
        for item in (x, new):
            hope = _hope(item, shared, rest, size)
            if hope >= least and size[item] >= least:
                in_heap = _heap.push(heap, in_heap, _key(hope, item))
    return num_new

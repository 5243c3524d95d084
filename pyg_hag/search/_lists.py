"""Items as sorted lists of the rows that contain them: for sparse components.

The list of item x is `pool[start[x] : start[x] + size[x]]`. A new item's list is
appended to the pool, which never needs more than twice the number of edges: each
merge takes two entries out of the rows for every one that it puts in.
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def fill(
    pool: I32, start: I64, size: I64, row_ptr: I64, row: I32, num_items: int
) -> int:
    """Writes the lists of the first `num_items` items; returns the entries used."""
    size[:num_items] = 0
    for e in range(row_ptr[0], row_ptr[-1]):
        size[row[e]] += 1
    used = 0
    for x in range(num_items):
        start[x] = used
        used += size[x]
        size[x] = 0
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            x = row[e]
            pool[start[x] + size[x]] = v
            size[x] += 1
    return used


@jit
def intersect(pool: I32, start: I64, size: I64, x: int, y: int, out: int) -> int:
    """Number of rows that contain both items; written to pool[out:] if out >= 0."""
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
def remove(pool: I32, start: I64, size: I64, x: int, gone: int) -> None:
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
def scan(
    pool: I32,
    start: I64,
    size: I64,
    row_ptr: I64,
    row: I32,
    row_len: I64,
    count: I32,
    touched: I32,
    x: int,
) -> tuple[int, int, int]:
    """The item that shares most rows with x (the newest of equals).

    Returns the number of shared rows, the item, and a bound on the shared rows of
    all other items. `count` is zero before and after.
    """
    num_touched = 0
    for i in range(start[x], start[x] + size[x]):
        v = pool[i]
        for e in range(row_ptr[v], row_ptr[v] + row_len[v]):
            y = row[e]
            if count[y] == 0:
                touched[num_touched] = y
                num_touched += 1
            count[y] += 1
    count[x] = 0
    best = 0
    second = 0
    partner = -1
    for i in range(num_touched):
        y = touched[i]
        shared = count[y]
        count[y] = 0
        if shared > best or (shared == best and y > partner and shared > 0):
            second = best
            best = shared
            partner = y
        elif shared > second:
            second = shared
    return best, partner, second


@jit
def merge(
    pool: I32,
    used: int,
    start: I64,
    size: I64,
    row_ptr: I64,
    row: I32,
    row_len: I64,
    x: int,
    y: int,
    new: int,
) -> int:
    """Puts `new` for x and y in every row that contains both; returns `used`."""
    start[new] = used
    size[new] = intersect(pool, start, size, x, y, used)
    remove(pool, start, size, x, new)
    remove(pool, start, size, y, new)
    for i in range(used, used + size[new]):
        v = pool[i]
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
    return used + size[new]

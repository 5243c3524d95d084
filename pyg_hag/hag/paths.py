"""Jitted leaves: paths of a HAG, counted and expanded to edges."""

import numpy as np

from pyg_hag.hag.arrays import PathCounts, Rows
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64, Bool

MAX_PATHS = np.int64(1) << np.int64(61)  # counts of paths saturate


@jit
def count_paths(rows: Rows, num_dst: int) -> PathCounts:
    """Counts the paths into each destination, less those that are subtracted.

    Counts saturate at 2^61.
    """
    target = rows.target
    num_aggs = target.size - num_dst
    paths = np.empty(num_aggs, np.int64)
    level = np.empty(num_aggs, np.int64)
    degree = np.zeros(num_dst, np.int64)
    deepest = 0
    for r in range(target.size):
        count = 2 * rows.src_mid[r] - rows.src_ptr[r] - rows.src_ptr[r + 1]
        depth = 0
        for e in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
            below = paths[rows.agg[e]]
            count += below if e < rows.agg_mid[r] else -below
            count = max(min(count, MAX_PATHS), -MAX_PATHS)
            depth = max(depth, level[rows.agg[e]])
        if target[r] < 0:
            paths[-1 - target[r]] = count
            level[-1 - target[r]] = depth + 1
        else:
            degree[target[r]] = count
            deepest = max(deepest, depth)
    return PathCounts(degree, deepest, level)


@jit
def aggregate_rows(target: I64, num_aggs: int) -> I64:
    """The row of each aggregate, `[num_aggs]`."""
    rows = np.empty(num_aggs, np.int64)
    for r in range(target.size):
        if target[r] < 0:
            rows[-1 - target[r]] = r
    return rows


@jit
def shortcuts(rows: Rows, num_aggs: int) -> tuple[I64, Bool]:
    """The row to read in place of each aggregate, and whether it is subtracted.

    An aggregate whose only input is another one stands for that, so that a walk takes
    no more steps than it finds paths, however long such chains are.
    """
    row = np.empty(num_aggs, np.int64)
    minus = np.zeros(num_aggs, np.bool_)
    for r in range(rows.target.size):
        if rows.target[r] >= 0:
            continue
        k = -1 - rows.target[r]
        row[k] = r
        first = rows.agg_ptr[r]
        is_alone = rows.agg_ptr[r + 1] - first == 1
        if is_alone and rows.src_ptr[r] == rows.src_ptr[r + 1]:
            below = rows.agg[first]
            row[k] = row[below]
            minus[k] = minus[below] != (first >= rows.agg_mid[r])
    return row, minus


@jit
def expand(
    rows: Rows, begin: int, end: int, row_of: I64, out_ptr: I64, out: I64
) -> None:
    """Writes the sources of every path into destination v to `out[out_ptr[v]:]`.

    Of the destinations whose rows are from `begin` to `end`; `row_of` has the
    shortcuts.
    """
    target = rows.target
    stack = np.empty(rows.agg.size + 1, np.int64)
    for r in range(begin, end):
        if target[r] < 0:
            continue
        n = out_ptr[target[r]]
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            for e in range(rows.src_ptr[q], rows.src_ptr[q + 1]):
                out[n] = rows.src[e]
                n += 1
            for e in range(rows.agg_ptr[q], rows.agg_ptr[q + 1]):
                stack[top] = row_of[rows.agg[e]]
                top += 1
        out[out_ptr[target[r]] : n].sort()


@jit
def expand_signed(
    rows: Rows,
    begin: int,
    end: int,
    row_of: I64,
    minus_of: Bool,
    max_paths: int,
    out_ptr: I64,
    out: I64,
) -> tuple[int, int]:
    """The same as :func:`expand` for signed HAGs.

    Returns (u, v) if more paths from u to v are subtracted than added, else (-1, -1).
    `max_paths` is the largest number of paths into a destination, of both signs.
    """
    target = rows.target
    stack = np.empty(rows.agg.size + 1, np.int64)
    minus = np.empty(rows.agg.size + 1, np.bool_)
    ends = np.empty(max_paths, np.int64)  # 2 * source, + 1 if it is subtracted
    for r in range(begin, end):
        v = target[r]
        if v < 0:
            continue
        n = 0
        stack[0] = r
        minus[0] = False
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            sign = minus[top]
            for e in range(rows.src_ptr[q], rows.src_ptr[q + 1]):
                ends[n] = 2 * rows.src[e] + (sign != (e >= rows.src_mid[q]))
                n += 1
            for e in range(rows.agg_ptr[q], rows.agg_ptr[q + 1]):
                below = rows.agg[e]
                stack[top] = row_of[below]
                minus[top] = (sign != minus_of[below]) != (e >= rows.agg_mid[q])
                top += 1
        ends[:n].sort()
        u = _write_differences(ends[:n], out[out_ptr[v] : out_ptr[v + 1]])
        if u >= 0:
            return u, v
    return -1, -1


@jit
def _write_differences(ends: I64, out: I64) -> int:
    """Writes each source as often as it is added, less as often as it is subtracted.

    Returns a source that is subtracted more often than added, or -1.
    """
    at = 0
    i = 0
    while i < ends.size:
        u = ends[i] // 2
        count = 0
        while i < ends.size and ends[i] // 2 == u:
            count += 1 - 2 * (ends[i] % 2)
            i += 1
        if count < 0:
            return u
        # There is room for more only if another source is subtracted too often.
        out[at : min(at + count, out.size)] = u
        at += count
    return -1


@jit
def first_repeated_path(
    rows: Rows, begin: int, end: int, row_of: I64, seen: I64
) -> tuple[int, int]:
    """Some (u, v) with two paths, or (-1, -1).

    Of the destinations whose rows are from `begin` to `end`; `row_of` has the
    shortcuts; `seen` is zeros of shape `[num_src]` in the first call.
    """
    target = rows.target
    stack = np.empty(rows.agg.size + 1, np.int64)
    for r in range(begin, end):
        if target[r] < 0:
            continue
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            for e in range(rows.src_ptr[q], rows.src_ptr[q + 1]):
                if seen[rows.src[e]] == r + 1:
                    return rows.src[e], target[r]
                seen[rows.src[e]] = r + 1
            for e in range(rows.agg_ptr[q], rows.agg_ptr[q + 1]):
                stack[top] = row_of[rows.agg[e]]
                top += 1
    return -1, -1


@jit
def count_self_loops(
    rows: Rows, begin: int, end: int, row_of: I64, minus_of: Bool, out: I64
) -> None:
    """Writes the number of paths from source v to destination v to `out[v]`.

    Less those that are subtracted, and of the destinations whose rows are from `begin`
    to `end`. The shortcuts `row_of` and `minus_of` are those of :func:`shortcuts`.
    """
    target = rows.target
    stack = np.empty(rows.agg.size + 1, np.int64)  # rows, or -1 - r if subtracted
    for r in range(begin, end):
        v = target[r]
        if v < 0:
            continue
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            sign = q < 0
            q = ~q if sign else q
            for e in range(rows.src_ptr[q], rows.src_ptr[q + 1]):
                if rows.src[e] == v:
                    out[v] += -1 if sign != (e >= rows.src_mid[q]) else 1
            for e in range(rows.agg_ptr[q], rows.agg_ptr[q + 1]):
                below = rows.agg[e]
                minus = (sign != minus_of[below]) != (e >= rows.agg_mid[q])
                stack[top] = ~row_of[below] if minus else row_of[below]
                top += 1


@jit
def keep_self(rows: Rows, num_dst: int) -> tuple[I64, I64, I64, I64]:
    """Removes source v from the sources that the row of destination v subtracts.

    Returns:
        The source inputs of all rows; their number for each row, `[num_rows]`; the
        number of those that are subtracted, `[num_rows]`; and how often v was removed,
        `[num_dst]`.
    """
    num_rows = rows.target.size
    added = np.zeros(num_dst, np.int64)
    out = np.empty(rows.src.size, np.int64)
    count = np.empty(num_rows, np.int64)
    minus = np.empty(num_rows, np.int64)
    n = 0
    for r in range(num_rows):
        begin, mid, end = rows.src_ptr[r], rows.src_mid[r], rows.src_ptr[r + 1]
        removed = 0
        for e in range(begin, end):
            if e >= mid and rows.src[e] == rows.target[r]:
                removed += 1
            else:
                out[n] = rows.src[e]
                n += 1
        count[r] = end - begin - removed
        minus[r] = end - mid - removed
        if rows.target[r] >= 0:
            added[rows.target[r]] = removed
    return out[:n].copy(), count, minus, added

"""Jitted leaves over the flat arrays of a HAG: check, count, expand.

The arrays are those of :class:`pyg_hag.HAG`: per row (aggregates and destinations
in the order in which they run) the number of its source and aggregate inputs, the
inputs themselves, and per group its number of aggregate and destination rows. Inputs
of row r are added up to `src_mid[r]` and `agg_mid[r]`, and subtracted from there on.
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I64 = NDArray[np.int64]

MANY = np.int64(1) << np.int64(61)  # where a count of paths saturates

OK = 0
NEGATIVE_COUNT = 1
WRONG_TOTAL = 2
SRC_RANGE = 3
DST_RANGE = 4
DST_TWICE = 5
AGG_ORDER = 6
SHARED_SRC = 7
EMPTY_AGG = 8
UNUSED_AGG = 9
MINUS_RANGE = 10


@jit
def check(
    num_src: int,
    src: I64,
    agg: I64,
    src_count: I64,
    agg_count: I64,
    dst: I64,
    group_aggs: I64,
    group_dsts: I64,
    src_minus: I64,
    agg_minus: I64,
    owner: NDArray[np.int32],
) -> tuple[int, int]:
    """Returns the first fault found and where; `owner` is zeros of `num_src`."""
    num_rows, num_dst = src_count.size, dst.size
    if agg_count.size != num_rows or group_dsts.size != group_aggs.size:
        return WRONG_TOTAL, 0
    if src_minus.size != agg_minus.size or src_minus.size not in (0, num_rows):
        return WRONG_TOTAL, 0
    num_aggs = 0
    dsts = 0
    for g in range(group_aggs.size):
        if group_aggs[g] < 0 or group_dsts[g] < 0:
            return NEGATIVE_COUNT, g
        if group_aggs[g] > num_rows or group_dsts[g] > num_dst:
            return WRONG_TOTAL, g
        num_aggs += group_aggs[g]
        dsts += group_dsts[g]
    if dsts != num_dst or num_aggs + dsts != num_rows:
        return WRONG_TOTAL, 0
    total = 0
    for r in range(num_rows):
        if src_count[r] < 0 or agg_count[r] < 0:
            return NEGATIVE_COUNT, r
        if src_count[r] > src.size or agg_count[r] > agg.size:
            return WRONG_TOTAL, r
        total += src_count[r]
    if total != src.size or agg_count.sum() != agg.size:
        return WRONG_TOTAL, 0
    for r in range(src_minus.size):
        if not (0 <= src_minus[r] <= src_count[r]):
            return MINUS_RANGE, r
        if not (0 <= agg_minus[r] <= agg_count[r]):
            return MINUS_RANGE, r

    seen = np.zeros(num_dst, np.bool_)
    used = np.zeros(num_aggs, np.bool_)
    r = 0
    s = 0
    a = 0
    d = 0
    first = 0  # the group's first aggregate
    for g in range(group_aggs.size):
        for i in range(group_aggs[g] + group_dsts[g]):
            limit = first + min(i, group_aggs[g])
            if i < group_aggs[g]:
                if src_count[r] + agg_count[r] == 0:
                    return EMPTY_AGG, first + i
            else:
                v = dst[d]
                if v < 0 or v >= num_dst:
                    return DST_RANGE, d
                if seen[v]:
                    return DST_TWICE, v
                seen[v] = True
                d += 1
            for _ in range(src_count[r]):
                u = src[s]
                if u < 0 or u >= num_src:
                    return SRC_RANGE, s
                if owner[u] != 0 and owner[u] != g + 1:
                    return SHARED_SRC, u
                owner[u] = g + 1
                s += 1
            for _ in range(agg_count[r]):
                w = agg[a]
                if w < first or w >= limit:
                    return AGG_ORDER, a
                used[w] = True
                a += 1
            r += 1
        first += group_aggs[g]
    for w in range(num_aggs):
        if not used[w]:
            return UNUSED_AGG, w
    return OK, 0


@jit
def row_kinds(group_aggs: I64, group_dsts: I64, dst: I64) -> I64:
    """Per row: its destination, or `-1 - k` for the aggregate k."""
    out = np.empty(group_aggs.sum() + dst.size, np.int64)
    r = 0
    k = 0
    d = 0
    for g in range(group_aggs.size):
        for _ in range(group_aggs[g]):
            out[r] = -1 - k
            k += 1
            r += 1
        for _ in range(group_dsts[g]):
            out[r] = dst[d]
            d += 1
            r += 1
    return out


@jit
def count_paths(
    kinds: I64,
    src_ptr: I64,
    src_mid: I64,
    agg_ptr: I64,
    agg_mid: I64,
    agg: I64,
    num_dst: int,
) -> tuple[I64, int, I64]:
    """Paths into each destination, the depth, and each aggregate's.

    Paths that are subtracted are taken off. Counts saturate.
    """
    num_aggs = kinds.size - num_dst
    paths = np.empty(num_aggs, np.int64)
    depth = np.empty(num_aggs, np.int64)
    degree = np.zeros(num_dst, np.int64)
    deepest = 0
    for r in range(kinds.size):
        count = 2 * src_mid[r] - src_ptr[r] - src_ptr[r + 1]
        level = 0
        for e in range(agg_ptr[r], agg_ptr[r + 1]):
            below = paths[agg[e]]
            count += below if e < agg_mid[r] else -below
            count = max(min(count, MANY), -MANY)
            level = max(level, depth[agg[e]])
        if kinds[r] < 0:
            paths[-1 - kinds[r]] = count
            depth[-1 - kinds[r]] = level + 1
        else:
            degree[kinds[r]] = count
            deepest = max(deepest, level)
    return degree, deepest, depth


@jit
def _aggregate_rows(kinds: I64, num_aggs: int) -> I64:
    rows = np.empty(num_aggs, np.int64)
    for r in range(kinds.size):
        if kinds[r] < 0:
            rows[-1 - kinds[r]] = r
    return rows


@jit
def expand(
    kinds: I64, src_ptr: I64, src: I64, agg_ptr: I64, agg: I64, out_ptr: I64, out: I64
) -> None:
    """Writes the sources of every path into destination v to out[out_ptr[v]:]."""
    rows = _aggregate_rows(kinds, kinds.size - out_ptr.size + 1)
    stack = np.empty(agg.size + 1, np.int64)
    for r in range(kinds.size):
        if kinds[r] < 0:
            continue
        n = out_ptr[kinds[r]]
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            for e in range(src_ptr[q], src_ptr[q + 1]):
                out[n] = src[e]
                n += 1
            for e in range(agg_ptr[q], agg_ptr[q + 1]):
                stack[top] = rows[agg[e]]
                top += 1
        out[out_ptr[kinds[r]] : n].sort()


@jit
def expand_signed(
    kinds: I64,
    src_ptr: I64,
    src_mid: I64,
    src: I64,
    agg_ptr: I64,
    agg_mid: I64,
    agg: I64,
    most_paths: int,
    out_ptr: I64,
    out: I64,
) -> tuple[int, int]:
    """As :func:`expand`, where some paths are subtracted.

    Returns (u, v) if more paths from u to v are subtracted than added, else (-1, -1).
    `most_paths` are the paths of either sign into any destination.
    """
    rows = _aggregate_rows(kinds, kinds.size - out_ptr.size + 1)
    stack = np.empty(agg.size + 1, np.int64)
    minus = np.empty(agg.size + 1, np.bool_)
    ends = np.empty(most_paths, np.int64)  # 2 * source, + 1 if it is subtracted
    for r in range(kinds.size):
        v = kinds[r]
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
            for e in range(src_ptr[q], src_ptr[q + 1]):
                ends[n] = 2 * src[e] + (sign != (e >= src_mid[q]))
                n += 1
            for e in range(agg_ptr[q], agg_ptr[q + 1]):
                stack[top] = rows[agg[e]]
                minus[top] = sign != (e >= agg_mid[q])
                top += 1
        ends[:n].sort()
        at = out_ptr[v]
        i = 0
        while i < n:
            u = ends[i] // 2
            count = 0
            while i < n and ends[i] // 2 == u:
                count += 1 - 2 * (ends[i] % 2)
                i += 1
            if count < 0:
                return u, v
            # More than the degree are only there if others are less than none.
            out[at : min(at + count, out_ptr[v + 1])] = u
            at += count
    return -1, -1


@jit
def first_repeated_path(
    kinds: I64, src_ptr: I64, src: I64, agg_ptr: I64, agg: I64, num_dst: int, seen: I64
) -> tuple[int, int]:
    """An (u, v) with two paths, or (-1, -1); `seen` is zeros of `num_src`."""
    rows = _aggregate_rows(kinds, kinds.size - num_dst)
    stack = np.empty(agg.size + 1, np.int64)
    for r in range(kinds.size):
        if kinds[r] < 0:
            continue
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            for e in range(src_ptr[q], src_ptr[q + 1]):
                if seen[src[e]] == r + 1:
                    return src[e], kinds[r]
                seen[src[e]] = r + 1
            for e in range(agg_ptr[q], agg_ptr[q + 1]):
                stack[top] = rows[agg[e]]
                top += 1
    return -1, -1


@jit
def count_self_loops(ptr: I64, col: I64) -> I64:
    """Number of entries equal to the row, for each row of a CSR matrix."""
    out = np.zeros(ptr.size - 1, np.int64)
    for v in range(ptr.size - 1):
        for e in range(ptr[v], ptr[v + 1]):
            out[v] += col[e] == v
    return out


@jit
def keep_self(
    kinds: I64, src_ptr: I64, src_mid: I64, src: I64, num_dst: int
) -> tuple[I64, I64, I64, I64]:
    """Drops the source v from what the row of destination v subtracts.

    Returns the sources, and per row how many there are and how many are subtracted;
    and how often v was dropped.
    """
    added = np.zeros(num_dst, np.int64)
    out = np.empty(src.size, np.int64)
    count = np.empty(kinds.size, np.int64)
    minus = np.empty(kinds.size, np.int64)
    n = 0
    for r in range(kinds.size):
        dropped = 0
        for e in range(src_ptr[r], src_ptr[r + 1]):
            if e >= src_mid[r] and src[e] == kinds[r]:
                dropped += 1
            else:
                out[n] = src[e]
                n += 1
        count[r] = src_ptr[r + 1] - src_ptr[r] - dropped
        minus[r] = src_ptr[r + 1] - src_mid[r] - dropped
        if kinds[r] >= 0:
            added[kinds[r]] = dropped
    return out[:n].copy(), count, minus, added

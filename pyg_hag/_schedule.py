"""Jitted leaf: the order in which a thread computes rows, and where it keeps them.

Each aggregate is computed just before the first row that reads it, and its place in
the scratch is free again after the last one: the scratch holds the aggregates that
are alive at once, which mostly fit in cache.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def _needed(
    rows: I64, row_of: I64, agg_ptr: I64, agg: I64, first: int, last: int, uses: I32
) -> int:
    """Counts how often destination rows read aggregates, directly or not.

    Aggregates `first` to `last` are those of the rows' group. Returns how many of them
    are read at all.
    """
    uses[first:last] = 0
    for r in rows:
        for e in range(agg_ptr[r], agg_ptr[r + 1]):
            uses[agg[e]] += 1
    count = 0
    for i in range(last - first):
        k = last - 1 - i
        if uses[k] > 0:
            count += 1
            for e in range(agg_ptr[row_of[k]], agg_ptr[row_of[k] + 1]):
                uses[agg[e]] += 1
    return count


@jit
def schedule(
    kinds: I64,
    src_ptr: I64,
    src_mid: I64,
    src: I64,
    agg_ptr: I64,
    agg_mid: I64,
    agg: I64,
    group_aggs: I64,
    group_dsts: I64,
    parts: I64,
    signed: bool,
    ahead: int,
) -> Any:
    """Cuts the destinations of group g into `parts[g]` parts and orders their rows.

    A part computes all aggregates that it reads itself. Behind the inputs lie `ahead`
    zeros.

    Returns:
        Per scheduled row its destination or -1 - slot; pointers to its inputs, the
        first subtracted one (empty if there are none in any row), and the inputs:
        sources, and -1 - slot for aggregates. The first row of each part; the
        aggregates of each part, and the slots that they need.
    """
    num_aggs = group_aggs.sum()
    row_of = np.empty(num_aggs, np.int64)
    uses = np.zeros(num_aggs, np.int32)
    slot = np.full(num_aggs, -1, np.int32)
    for r in range(kinds.size):
        if kinds[r] < 0:
            row_of[-1 - kinds[r]] = r

    # Cut the groups, and count what the parts hold:
    num_parts = parts.sum()
    part_rows = np.zeros(num_parts + 1, np.int64)  # pointers into destination rows
    dst_rows = np.empty(group_dsts.sum(), np.int64)
    part_group = np.empty(num_parts, np.int64)
    part_aggs = np.zeros(num_parts, np.int64)
    part_slots = np.zeros(num_parts, np.int64)
    total = src.size + agg.size
    longest = 0
    r = 0
    first = 0
    p = 0
    d = 0
    for g in range(group_aggs.size):
        r += group_aggs[g]
        last = first + group_aggs[g]
        begin = r
        end = r + group_dsts[g]
        work = (
            src_ptr[end] - src_ptr[begin] + agg_ptr[end] - agg_ptr[begin] + end - begin
        )
        for part in range(parts[g]):
            goal = work * (part + 1) // parts[g]
            d0 = d
            while r < end:
                done = src_ptr[r] - src_ptr[begin] + agg_ptr[r] - agg_ptr[begin]
                if part + 1 < parts[g] and done + r - begin >= goal:
                    break
                dst_rows[d] = r
                d += 1
                r += 1
            part_rows[p + 1] = d
            part_group[p] = g
            part_aggs[p] = group_aggs[g]
            if parts[g] > 1:
                part_aggs[p] = _needed(
                    dst_rows[d0:d], row_of, agg_ptr, agg, first, last, uses
                )
                for k in range(first, last):
                    if uses[k] > 0:
                        q = row_of[k]
                        total += src_ptr[q + 1] - src_ptr[q]
                        total += agg_ptr[q + 1] - agg_ptr[q]
            p += 1
        if parts[g] > 1:
            for k in range(first, last):
                q = row_of[k]
                total -= src_ptr[q + 1] - src_ptr[q]
                total -= agg_ptr[q + 1] - agg_ptr[q]
        longest = max(longest, group_aggs[g])
        first = last
    total_rows = dst_rows.size + part_aggs.sum()

    kind = np.empty(total_rows, np.int32)
    ptr = np.zeros(total_rows + 1, np.int64)
    mid = np.empty(total_rows if signed else 0, np.int64)
    inputs = np.zeros(total + ahead, np.int32)
    part_ptr = np.zeros(num_parts + 1, np.int64)
    free = np.empty(longest + 1, np.int32)
    stack = np.empty(longest + agg.size + 1, np.int64)
    n = 0
    i = 0
    group = -1
    first = 0
    last = 0
    for p in range(num_parts):
        while group < part_group[p]:
            group += 1
            first = last
            last = first + group_aggs[group]
        rows = dst_rows[part_rows[p] : part_rows[p + 1]]
        if last > first:
            _needed(rows, row_of, agg_ptr, agg, first, last, uses)
            slot[first:last] = -1
        num_free = 0
        slots = 0
        for row in rows:
            # Aggregates that this row needs first, then the row itself:
            stack[0] = row
            top = 1
            while top > 0:
                q = stack[top - 1]
                k = -1 - kinds[q]
                if k >= 0 and slot[k] >= 0:
                    top -= 1
                    continue
                ready = True
                for back in range(agg_ptr[q + 1] - agg_ptr[q]):
                    w = agg[agg_ptr[q + 1] - 1 - back]
                    if slot[w] < 0:
                        stack[top] = row_of[w]
                        top += 1
                        ready = False
                if not ready:
                    continue
                top -= 1
                s = src_mid[q] if signed else src_ptr[q + 1]
                t = agg_mid[q] if signed else agg_ptr[q + 1]
                i = _read(inputs, i, src, src_ptr[q], s, agg, agg_ptr[q], t, slot)
                if signed:
                    mid[n] = i
                    i = _read(
                        inputs, i, src, s, src_ptr[q + 1], agg, t, agg_ptr[q + 1], slot
                    )
                if k >= 0:
                    # A place of its own: it is written before its inputs are free.
                    if num_free > 0:
                        num_free -= 1
                        slot[k] = free[num_free]
                    else:
                        slot[k] = slots
                        slots += 1
                    kind[n] = -1 - slot[k]
                else:
                    kind[n] = kinds[q]
                for e in range(agg_ptr[q], agg_ptr[q + 1]):
                    uses[agg[e]] -= 1
                    if uses[agg[e]] == 0:
                        free[num_free] = slot[agg[e]]
                        num_free += 1
                n += 1
                ptr[n] = i
        part_ptr[p + 1] = n
        part_slots[p] = slots
    scheduled = kind, ptr, mid, inputs[:total]
    return scheduled, part_ptr, part_aggs, part_slots


@jit
def _read(
    inputs: I32,
    i: int,
    src: I64,
    s0: int,
    s1: int,
    agg: I64,
    a0: int,
    a1: int,
    slot: I32,
) -> int:
    """Writes inputs from place i on; returns the place behind them."""
    for e in range(s0, s1):
        inputs[i] = src[e]
        i += 1
    for e in range(a0, a1):
        inputs[i] = -1 - slot[agg[e]]
        i += 1
    return i


@jit
def joined_rows(
    kinds: I64,
    src_ptr: I64,
    src: I64,
    agg_ptr: I64,
    agg: I64,
    group_aggs: I64,
    group_dsts: I64,
    ahead: int,
) -> tuple[I32, I64, I32]:
    """Rows in their own order, each aggregate of a group in a slot of its own.

    Returns:
        Per row its destination or -1 - slot, pointers to its inputs, and these, as in
        :func:`schedule`.
    """
    num_rows = kinds.size
    kind = np.empty(num_rows, np.int32)
    ptr = np.empty(num_rows + 1, np.int64)
    inputs = np.zeros(src.size + agg.size + ahead, np.int32)
    r = 0
    first = 0
    ptr[0] = 0
    for g in range(group_aggs.size):
        for _ in range(group_aggs[g] + group_dsts[g]):
            kind[r] = kinds[r] if kinds[r] >= 0 else kinds[r] + first
            i = ptr[r]
            for e in range(src_ptr[r], src_ptr[r + 1]):
                inputs[i] = src[e]
                i += 1
            for e in range(agg_ptr[r], agg_ptr[r + 1]):
                inputs[i] = first - 1 - agg[e]
                i += 1
            r += 1
            ptr[r] = i
        first += group_aggs[g]
    return kind, ptr, inputs[: src.size + agg.size]

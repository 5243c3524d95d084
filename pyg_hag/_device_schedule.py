"""Jitted leaves: a HAG's rows as accelerators take them, hubs split, side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def _num_chunks(count: int, most: int, chunk: int) -> int:
    """How many rows are added so that a row reads `most` of these inputs at most."""
    added = 0
    while count > most:
        count = (count + chunk - 1) // chunk
        added += count
    return added


@jit
def split_hubs(
    kinds: I64,
    src_ptr: I64,
    src_mid: I64,
    src: I64,
    agg_ptr: I64,
    agg_mid: I64,
    agg: I64,
    group_aggs: I64,
    group_dsts: I64,
    signed: bool,
    most: int,
    chunk: int,
) -> Any:
    """Rows of few inputs: those of rows with more are first reduced in chunks.

    A row has segments of inputs: sources, aggregates, and, in a HAG that subtracts,
    the same once more. A segment of more than `most` inputs becomes rows of `chunk`
    inputs each, which are aggregates behind all others.

    Returns:
        Per row what it is (its destination, or -1 - aggregate), the destination or
        aggregate of the HAG to which it belongs, and its level: 0 if it reads sources
        alone, else one more than any aggregate that it reads. Pointers to its
        segments; the inputs; the first row of each group.
    """
    segments = 4 if signed else 2
    num_aggs = group_aggs.sum()
    added = 0
    for r in range(kinds.size):
        for s in range(segments):
            ptr, mid = (src_ptr, src_mid) if s % 2 == 0 else (agg_ptr, agg_mid)
            count = mid[r] - ptr[r] if s < 2 else ptr[r + 1] - mid[r]
            added += _num_chunks(count, most, chunk)
    num_rows = kinds.size + added
    row = np.empty(num_rows, np.int64)
    owner = np.empty(num_rows, np.int64)
    level = np.zeros(num_rows, np.int64)
    ptr = np.zeros(num_rows * segments + 1, np.int64)
    inputs = np.empty(src.size + agg.size + added, np.int64)
    agg_level = np.zeros(num_aggs + added, np.int64)
    group_ptr = np.zeros(group_aggs.size + 1, np.int64)
    made = np.empty((segments, 2), np.int64)
    n = 0
    i = 0
    slot = num_aggs
    g = 0
    left = group_aggs[0] + group_dsts[0] if group_aggs.size > 0 else 0
    for r in range(kinds.size):
        while left == 0:
            g += 1
            group_ptr[g] = n
            left = group_aggs[g] + group_dsts[g]
        left -= 1
        for s in range(segments):
            is_src = s % 2 == 0
            all_ptr, mid = (src_ptr, src_mid) if is_src else (agg_ptr, agg_mid)
            values = src if is_src else agg
            begin = all_ptr[r] if s < 2 else mid[r]
            end = mid[r] if s < 2 else all_ptr[r + 1]
            made[s] = slot
            whole = True
            while end - begin > most:
                first = slot
                for c0 in range(begin, end, chunk):
                    where = n * segments + (0 if whole and is_src else 1)
                    ptr[n * segments : where + 1] = i
                    for e in range(c0, min(c0 + chunk, end)):
                        inputs[i] = values[e] if whole else e
                        if where % segments == 1:
                            level[n] = max(level[n], agg_level[inputs[i]] + 1)
                        i += 1
                    ptr[where + 1 : (n + 1) * segments + 1] = i
                    row[n], owner[n] = -1 - slot, kinds[r]
                    agg_level[slot] = level[n]
                    slot += 1
                    n += 1
                begin, end, whole = first, slot, False
                made[s, 0], made[s, 1] = begin, end
        for s in range(segments):
            ptr[n * segments + s] = i
            is_src = s % 2 == 0
            all_ptr, mid = (src_ptr, src_mid) if is_src else (agg_ptr, agg_mid)
            values = src if is_src else agg
            begin = all_ptr[r] if s < 2 else mid[r]
            end = mid[r] if s < 2 else all_ptr[r + 1]
            if end - begin <= most:
                for e in range(begin, end):
                    inputs[i] = values[e]
                    i += 1
            if not is_src:  # chunks of sources are aggregates too
                for other in range(s - 1, s + 1):
                    for e in range(made[other, 0], made[other, 1]):
                        inputs[i] = e
                        i += 1
                for e in range(ptr[n * segments + s], i):
                    level[n] = max(level[n], agg_level[inputs[e]] + 1)
        ptr[(n + 1) * segments] = i
        row[n] = owner[n] = kinds[r]
        if kinds[r] < 0:
            agg_level[-1 - kinds[r]] = level[n]
        n += 1
    group_ptr[g + 1 :] = n
    return row, owner, level, ptr, inputs, group_ptr


@jit
def in_order(
    order: I64, ptr: I64, inputs: I64, segments: int
) -> tuple[NDArray[Any], I32]:
    """Pointers and inputs of the rows in this order, with none for rows of -1."""
    out_ptr = np.zeros(order.size * segments + 1, np.int64)
    out = np.empty(inputs.size, np.int32)
    i = 0
    for n in range(order.size):
        r = order[n]
        for s in range(segments):
            if r >= 0:
                for e in range(ptr[r * segments + s], ptr[r * segments + s + 1]):
                    out[i] = inputs[e]
                    i += 1
            out_ptr[n * segments + s + 1] = i
    return out_ptr, out

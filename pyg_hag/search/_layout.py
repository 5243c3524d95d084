"""From merged pairs to the rows of a HAG.

An aggregate that is read once, or that is over the capacity, is inlined: whoever
reads it reads its inputs instead. The paths stay what they are.
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def measure(
    rows_ptr: I64,
    items_ptr: I64,
    entry_ptr: I64,
    entries: I32,
    row_len: I64,
    pairs: I32,
    num_new: I64,
    allowed: I64,
    keep: NDArray[np.bool_],
) -> tuple[int, int, int]:
    """Decides which aggregates to keep.

    Args:
        rows_ptr: Rows of each component.
        items_ptr: Items of each component (sources and copies of sources).
        entry_ptr: Entries of each row, before the search.
        entries: Local items of the rows.
        row_len: Lengths of the rows, after the search.
        pairs: Inputs of the new items; those of component c start at half of its
            first entry.
        num_new: New items of each component.
        allowed: Of these, how many may be kept: the first ones.
        keep: Output, for each pair.

    Returns:
        The number of aggregates, of source inputs and of aggregate inputs.
    """
    total_aggs = 0
    total_src = 0
    total_agg = 0
    for c in range(num_new.size):
        base = entry_ptr[rows_ptr[c]] // 2
        n = items_ptr[c + 1] - items_ptr[c]
        uses = np.zeros(n + num_new[c], np.int64)
        for r in range(rows_ptr[c], rows_ptr[c + 1]):
            for e in range(entry_ptr[r], entry_ptr[r] + row_len[r]):
                uses[entries[e]] += 1
        for i in range(num_new[c]):
            k = num_new[c] - 1 - i
            kept = uses[n + k] > 1 and k < allowed[c]
            keep[base + k] = kept
            readers = 1 if kept else uses[n + k]
            uses[pairs[base + k, 0]] += readers
            uses[pairs[base + k, 1]] += readers
        # Inputs of each item once inlined aggregates are gone:
        num_src = np.zeros(n + num_new[c], np.int64)
        num_agg = np.zeros(n + num_new[c], np.int64)
        num_src[:n] = 1
        for k in range(num_new[c]):
            for j in range(2):
                num_src[n + k] += num_src[pairs[base + k, j]]
                num_agg[n + k] += num_agg[pairs[base + k, j]]
            if keep[base + k]:
                total_aggs += 1
                total_src += num_src[n + k]
                total_agg += num_agg[n + k]
                num_src[n + k] = 0
                num_agg[n + k] = 1
        for r in range(rows_ptr[c], rows_ptr[c + 1]):
            for e in range(entry_ptr[r], entry_ptr[r] + row_len[r]):
                total_src += num_src[entries[e]]
                total_agg += num_agg[entries[e]]
    return total_aggs, total_src, total_agg


@jit
def _flatten(
    stack: I64,
    top: int,
    n: int,
    base: int,
    pairs: I32,
    number: I64,
    origin: I32,
    items: I32,
    src: I64,
    s: int,
    agg: I64,
    a: int,
) -> tuple[int, int]:
    """Writes the inputs that the items on the stack stand for, ascending."""
    first_src = s
    first_agg = a
    while top > 0:
        top -= 1
        x = stack[top]
        if x < n:
            src[s] = origin[items[x]]
            s += 1
        elif number[x - n] >= 0:
            agg[a] = number[x - n]
            a += 1
        else:
            stack[top] = pairs[base + x - n, 0]
            stack[top + 1] = pairs[base + x - n, 1]
            top += 2
    src[first_src:s].sort()
    agg[first_agg:a].sort()
    return s, a


@jit
def write(
    rows: I32,
    rows_ptr: I64,
    items: I32,
    items_ptr: I64,
    origin: I32,
    entry_ptr: I64,
    entries: I32,
    row_len: I64,
    pairs: I32,
    num_new: I64,
    keep: NDArray[np.bool_],
    num_dst: int,
    totals: tuple[int, int, int],
) -> tuple[I64, I64, I64, I64, I64, I64, I64]:
    """Writes the flat arrays of the HAG: a group for each component.

    `origin` is the source that an item stands for. Destinations without inputs
    form the last group.
    """
    num_aggs, num_src_inputs, num_agg_inputs = totals
    src = np.empty(num_src_inputs, np.int64)
    agg = np.empty(num_agg_inputs, np.int64)
    src_count = np.zeros(num_aggs + num_dst, np.int64)
    agg_count = np.zeros(num_aggs + num_dst, np.int64)
    dst = np.empty(num_dst, np.int64)
    group_aggs = np.zeros(num_new.size + 1, np.int64)
    group_dsts = np.zeros(num_new.size + 1, np.int64)
    read = np.zeros(num_dst, np.bool_)
    s = 0
    a = 0
    q = 0  # row of the HAG
    num_done = 0
    d = 0
    for c in range(num_new.size):
        base = entry_ptr[rows_ptr[c]] // 2
        n = items_ptr[c + 1] - items_ptr[c]
        local = items[items_ptr[c] : items_ptr[c + 1]]
        number = np.full(num_new[c], -1, np.int64)
        longest = 0
        for r in range(rows_ptr[c], rows_ptr[c + 1]):
            longest = max(longest, row_len[r])
        stack = np.empty(longest + num_new[c] + 2, np.int64)
        for k in range(num_new[c]):
            if keep[base + k]:
                stack[0] = pairs[base + k, 0]
                stack[1] = pairs[base + k, 1]
                s0, a0 = s, a
                s, a = _flatten(
                    stack, 2, n, base, pairs, number, origin, local, src, s, agg, a
                )
                src_count[q], agg_count[q] = s - s0, a - a0
                q += 1
                number[k] = num_done
                num_done += 1
                group_aggs[c] += 1
        for r in range(rows_ptr[c], rows_ptr[c + 1]):
            top = 0
            for e in range(entry_ptr[r], entry_ptr[r] + row_len[r]):
                stack[top] = entries[e]
                top += 1
            s0, a0 = s, a
            s, a = _flatten(
                stack, top, n, base, pairs, number, origin, local, src, s, agg, a
            )
            src_count[q], agg_count[q] = s - s0, a - a0
            q += 1
            dst[d] = rows[r]
            read[rows[r]] = True
            d += 1
        group_dsts[c] = rows_ptr[c + 1] - rows_ptr[c]
    for v in range(num_dst):
        if not read[v]:
            dst[d] = v
            d += 1
            group_dsts[-1] += 1
    groups = num_new.size + (1 if group_dsts[-1] > 0 else 0)
    return (
        src,
        agg,
        src_count,
        agg_count,
        dst,
        group_aggs[:groups],
        group_dsts[:groups],
    )

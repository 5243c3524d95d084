"""Jitted leaves: the flat arrays of a HAG with every arrow turned round."""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit
from pyg_hag._packing import mixed

I64 = NDArray[np.int64]


@jit
def transpose(
    num_src: int,
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
) -> tuple[I64, I64, I64, I64, I64, I64, I64, I64, I64]:
    """The flat arrays of the HAG with every arrow turned round.

    A group keeps its place; its aggregates run in the opposite order, and its
    destination rows are the sources that it reads. Sources that nothing reads
    form one more group at the end. What was subtracted is subtracted.
    """
    num_groups = group_aggs.size
    num_aggs = group_aggs.sum()
    group_of = np.full(num_src, num_groups, np.int64)
    flipped = np.empty(num_aggs, np.int64)
    r = 0
    first = 0
    for g in range(num_groups):
        for k in range(group_aggs[g]):
            flipped[first + k] = first + group_aggs[g] - 1 - k
        first += group_aggs[g]
        for _ in range(group_aggs[g] + group_dsts[g]):
            for e in range(src_ptr[r], src_ptr[r + 1]):
                group_of[src[e]] = g
            r += 1

    # Place of every source's and aggregate's new row:
    new_dsts = np.zeros(num_groups + 1, np.int64)
    for u in range(num_src):
        new_dsts[group_of[u]] += 1
    start = np.zeros(num_groups + 1, np.int64)
    for g in range(num_groups):
        start[g + 1] = start[g] + group_aggs[g] + new_dsts[g]
    src_row = np.empty(num_src, np.int64)
    agg_row = np.empty(num_aggs, np.int64)
    new_dst = np.empty(num_src, np.int64)
    first = 0
    dst_start = np.zeros(num_groups + 1, np.int64)
    fill = np.zeros(num_groups + 1, np.int64)
    for g in range(num_groups):
        for k in range(group_aggs[g]):
            agg_row[first + k] = start[g] + group_aggs[g] - 1 - k
        first += group_aggs[g]
        dst_start[g + 1] = dst_start[g] + new_dsts[g]
        fill[g] = group_aggs[g]
    for u in range(num_src):
        g = group_of[u]
        src_row[u] = start[g] + fill[g]
        fill[g] += 1
        new_dst[dst_start[g]] = u
        dst_start[g] += 1

    num_rows = num_aggs + num_src
    src_count = np.zeros(num_rows, np.int64)
    agg_count = np.zeros(num_rows, np.int64)
    for r in range(kinds.size):
        counts = src_count if kinds[r] >= 0 else agg_count
        for e in range(src_ptr[r], src_ptr[r + 1]):
            counts[src_row[src[e]]] += 1
        for e in range(agg_ptr[r], agg_ptr[r + 1]):
            counts[agg_row[agg[e]]] += 1
    src_at = np.zeros(num_rows + 1, np.int64)
    agg_at = np.zeros(num_rows + 1, np.int64)
    for r in range(num_rows):
        src_at[r + 1] = src_at[r] + src_count[r]
        agg_at[r + 1] = agg_at[r] + agg_count[r]
    src_end, agg_end = src_at[1:].copy(), agg_at[1:].copy()
    src_minus = np.empty(num_rows if signed else 0, np.int64)
    agg_minus = np.empty(num_rows if signed else 0, np.int64)
    new_src = np.empty(src_at[num_rows], np.int64)
    new_agg = np.empty(agg_at[num_rows], np.int64)
    for minus in range(2 if signed else 1):  # first what is added
        if minus == 1:
            for r in range(num_rows):
                src_minus[r] = src_end[r] - src_at[r]
                agg_minus[r] = agg_end[r] - agg_at[r]
        for i in range(2 * kinds.size):
            # Destinations in order, then aggregates backwards: ascending inputs.
            r = i if i < kinds.size else 2 * kinds.size - 1 - i
            if (kinds[r] >= 0) != (i < kinds.size):
                continue
            s0 = src_mid[r] if minus else src_ptr[r]
            s1 = src_ptr[r + 1] if minus else src_mid[r]
            a0 = agg_mid[r] if minus else agg_ptr[r]
            a1 = agg_ptr[r + 1] if minus else agg_mid[r]
            for e in range(s0, s1 + a1 - a0):  # sources, then aggregates
                q = src_row[src[e]] if e < s1 else agg_row[agg[e - s1 + a0]]
                if kinds[r] >= 0:
                    new_src[src_at[q]] = kinds[r]
                    src_at[q] += 1
                else:
                    new_agg[agg_at[q]] = flipped[-1 - kinds[r]]
                    agg_at[q] += 1

    n = 0
    new_group_aggs = np.zeros(num_groups + 1, np.int64)
    new_group_dsts = np.zeros(num_groups + 1, np.int64)
    for g in range(num_groups + 1):
        aggs = group_aggs[g] if g < num_groups else 0
        if aggs + new_dsts[g] > 0:
            new_group_aggs[n] = aggs
            new_group_dsts[n] = new_dsts[g]
            n += 1
    return (
        new_src,
        new_agg,
        src_count,
        agg_count,
        new_dst,
        new_group_aggs[:n],
        new_group_dsts[:n],
        src_minus,
        agg_minus,
    )


@jit
def is_symmetric(
    num_nodes: int,
    kinds: I64,
    src_ptr: I64,
    src_mid: I64,
    src: I64,
    agg_ptr: I64,
    agg_mid: I64,
    agg: I64,
) -> bool:
    """Whether a graph has as many edges from u to v as from v to u, for all of them.

    Compares :math:`p^T A q` with :math:`q^T A p` for two vectors of pseudo-random
    numbers of 64 bits: one pass over the HAG. They are equal if A is symmetric, and
    otherwise by a chance of about 2 to the -63 (Freivalds, *Probabilistic Machines Can
    Use Less Running Time*, 1977).
    """
    numbers = np.empty((num_nodes, 2), np.uint64)
    for u in range(num_nodes):
        numbers[u, 0], numbers[u, 1] = mixed(1, u, 0), mixed(2, u, 0)
    kept = np.empty((kinds.size - num_nodes, 2), np.uint64)
    difference = np.uint64(0)
    for r in range(kinds.size):
        p, q = np.uint64(0), np.uint64(0)
        for e in range(src_ptr[r], src_ptr[r + 1]):
            if e < src_mid[r]:
                p += numbers[src[e], 0]
                q += numbers[src[e], 1]
            else:
                p -= numbers[src[e], 0]
                q -= numbers[src[e], 1]
        for e in range(agg_ptr[r], agg_ptr[r + 1]):
            if e < agg_mid[r]:
                p += kept[agg[e], 0]
                q += kept[agg[e], 1]
            else:
                p -= kept[agg[e], 0]
                q -= kept[agg[e], 1]
        v = kinds[r]
        if v < 0:
            kept[-1 - v, 0], kept[-1 - v, 1] = p, q
        else:
            difference += numbers[v, 0] * q - numbers[v, 1] * p
    return difference == 0

"""Jitted leaves: the HAG with every edge reversed, and whether a graph is symmetric."""

from typing import NamedTuple

import numpy as np

from pyg_hag.hag.arrays import Flat, Rows
from pyg_hag.runtime.hashing import hash_of_three
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64


class _Layout(NamedTuple):
    """The order of the rows of the transposed HAG.

    Attributes:
        src_row: The row that each source becomes, `[num_src]`.
        agg_row: The row that each aggregate becomes, `[num_aggregates]`.
        new_agg: The new number of each aggregate, `[num_aggregates]`.
        dst: The destinations (the sources) in the order of their rows, `[num_src]`.
        new_dsts: Number of destinations of each group, and of one more at the end,
            `[num_groups + 1]`.
    """

    src_row: I64
    agg_row: I64
    new_agg: I64
    dst: I64
    new_dsts: I64


@jit
def transpose(num_src: int, rows: Rows, flat: Flat, signed: bool) -> Flat:
    """The HAG with every edge reversed.

    A group keeps its place; its aggregates are in the opposite order, and its
    destinations are the sources that it reads. Sources that no row reads form one more
    group at the end. Inputs that were subtracted are subtracted.
    """
    layout = _new_layout(num_src, rows, flat.group_aggs, flat.group_dsts)
    num_rows = layout.agg_row.size + num_src
    src_count, agg_count = _new_counts(rows, layout, num_rows)
    src, agg, src_minus, agg_minus = _reversed(
        rows, layout, src_count, agg_count, signed
    )
    num_groups = flat.group_aggs.size
    group_aggs = np.zeros(num_groups + 1, np.int64)
    group_dsts = np.zeros(num_groups + 1, np.int64)
    n = 0
    for g in range(num_groups + 1):
        aggs = flat.group_aggs[g] if g < num_groups else 0
        if aggs + layout.new_dsts[g] > 0:
            group_aggs[n] = aggs
            group_dsts[n] = layout.new_dsts[g]
            n += 1
    return Flat(
        src,
        agg,
        src_count,
        agg_count,
        layout.dst,
        group_aggs[:n],
        group_dsts[:n],
        src_minus,
        agg_minus,
    )


@jit
def _new_layout(num_src: int, rows: Rows, group_aggs: I64, group_dsts: I64) -> _Layout:
    num_groups = group_aggs.size
    num_aggs = group_aggs.sum()
    group_of = np.full(num_src, num_groups, np.int64)
    new_agg = np.empty(num_aggs, np.int64)
    r = 0
    first = 0
    for g in range(num_groups):
        for k in range(group_aggs[g]):
            new_agg[first + k] = first + group_aggs[g] - 1 - k
        first += group_aggs[g]
        for _ in range(group_aggs[g] + group_dsts[g]):
            for e in range(rows.src_ptr[r], rows.src_ptr[r + 1]):
                group_of[rows.src[e]] = g
            r += 1
    new_dsts = np.zeros(num_groups + 1, np.int64)
    for u in range(num_src):
        new_dsts[group_of[u]] += 1
    src_row = np.empty(num_src, np.int64)
    agg_row = np.empty(num_aggs, np.int64)
    dst = np.empty(num_src, np.int64)
    fill = np.zeros(num_groups + 1, np.int64)  # the next row of a group
    dst_fill = np.zeros(num_groups + 1, np.int64)
    row = 0
    first = 0
    for g in range(num_groups + 1):
        aggs = group_aggs[g] if g < num_groups else 0
        for k in range(aggs):
            agg_row[first + k] = row + aggs - 1 - k
        first += aggs
        fill[g] = row + aggs
        row += aggs + new_dsts[g]
        if g < num_groups:
            dst_fill[g + 1] = dst_fill[g] + new_dsts[g]
    for u in range(num_src):
        g = group_of[u]
        src_row[u] = fill[g]
        fill[g] += 1
        dst[dst_fill[g]] = u
        dst_fill[g] += 1
    return _Layout(src_row, agg_row, new_agg, dst, new_dsts)


@jit
def _new_counts(rows: Rows, layout: _Layout, num_rows: int) -> tuple[I64, I64]:
    """Numbers of source and of aggregate inputs of each new row, `[num_rows]`."""
    src_count = np.zeros(num_rows, np.int64)
    agg_count = np.zeros(num_rows, np.int64)
    for r in range(rows.target.size):
        counts = src_count if rows.target[r] >= 0 else agg_count
        for e in range(rows.src_ptr[r], rows.src_ptr[r + 1]):
            counts[layout.src_row[rows.src[e]]] += 1
        for e in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
            counts[layout.agg_row[rows.agg[e]]] += 1
    return src_count, agg_count


@jit
def _reversed(
    rows: Rows, layout: _Layout, src_count: I64, agg_count: I64, signed: bool
) -> tuple[I64, I64, I64, I64]:
    """The inputs of the new rows, ascending, and how many of them are subtracted.

    Returns source inputs, aggregate inputs, and the numbers of subtracted source and
    aggregate inputs of each row, `[num_rows]` or empty.
    """
    num_rows = src_count.size
    target = rows.target
    src_at = np.cumsum(src_count) - src_count
    agg_at = np.cumsum(agg_count) - agg_count
    src_minus = np.empty(num_rows if signed else 0, np.int64)
    agg_minus = np.empty(num_rows if signed else 0, np.int64)
    new_src = np.empty(src_count.sum(), np.int64)
    new_agg = np.empty(agg_count.sum(), np.int64)
    src_end, agg_end = src_at + src_count, agg_at + agg_count
    for minus in range(2 if signed else 1):  # those that are added come first
        if minus == 1:
            src_minus[:] = src_end - src_at
            agg_minus[:] = agg_end - agg_at
        for i in range(2 * target.size):
            # Destinations forward, then aggregates backward, so inputs ascend.
            r = i if i < target.size else 2 * target.size - 1 - i
            if (target[r] >= 0) != (i < target.size):
                continue
            s0 = rows.src_mid[r] if minus else rows.src_ptr[r]
            s1 = rows.src_ptr[r + 1] if minus else rows.src_mid[r]
            a0 = rows.agg_mid[r] if minus else rows.agg_ptr[r]
            a1 = rows.agg_ptr[r + 1] if minus else rows.agg_mid[r]
            for e in range(s0, s1 + a1 - a0):  # sources, then aggregates
                if e < s1:
                    q = layout.src_row[rows.src[e]]
                else:
                    q = layout.agg_row[rows.agg[e - s1 + a0]]
                if target[r] >= 0:
                    new_src[src_at[q]] = target[r]
                    src_at[q] += 1
                else:
                    new_agg[agg_at[q]] = layout.new_agg[-1 - target[r]]
                    agg_at[q] += 1
    return new_src, new_agg, src_minus, agg_minus


@jit
def is_symmetric(num_nodes: int, rows: Rows) -> bool:
    """Whether a graph has as many edges from u to v as from v to u, for all u and v.

    Compares :math:`p^T A q` with :math:`q^T A p` for two vectors of pseudo-random
    64-bit integers, in one pass over the HAG. They are equal if A is symmetric, and
    otherwise with a probability of about :math:`2^{-63}` (Freivalds, *Probabilistic
    Machines Can Use Less Running Time*, 1977).
    """
    numbers = np.empty((num_nodes, 2), np.uint64)
    for u in range(num_nodes):
        numbers[u, 0], numbers[u, 1] = hash_of_three(1, u, 0), hash_of_three(2, u, 0)
    kept = np.empty((rows.target.size - num_nodes, 2), np.uint64)
    difference = np.uint64(0)
    for r in range(rows.target.size):
        p, q = np.uint64(0), np.uint64(0)
        for e in range(rows.src_ptr[r], rows.src_ptr[r + 1]):
            u = rows.src[e]
            if e < rows.src_mid[r]:
                p += numbers[u, 0]
                q += numbers[u, 1]
            else:
                p -= numbers[u, 0]
                q -= numbers[u, 1]
        for e in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
            k = rows.agg[e]
            if e < rows.agg_mid[r]:
                p += kept[k, 0]
                q += kept[k, 1]
            else:
                p -= kept[k, 0]
                q -= kept[k, 1]
        v = rows.target[r]
        if v < 0:
            kept[-1 - v, 0], kept[-1 - v, 1] = p, q
        else:
            difference += numbers[v, 0] * q - numbers[v, 1] * p
    return difference == 0

"""Jitted leaves: checks of the flat arrays of a HAG, and the targets of its rows."""

import numpy as np

from pyg_hag.hag.arrays import Flat
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64

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
def check(num_src: int, flat: Flat, owner: I32) -> tuple[int, int]:
    """The first fault and its place; `owner` is zeros of shape `[num_src]`."""
    fault, where = _check_counts(flat)
    if fault != OK:
        return fault, where
    return _check_rows(num_src, flat, owner)


@jit
def _check_counts(flat: Flat) -> tuple[int, int]:
    num_rows, num_dst = flat.src_count.size, flat.dst.size
    num_groups = flat.group_aggs.size
    if flat.agg_count.size != num_rows or flat.group_dsts.size != num_groups:
        return WRONG_TOTAL, 0
    num_minus = flat.src_minus.size
    if num_minus != flat.agg_minus.size or num_minus not in (0, num_rows):
        return WRONG_TOTAL, 0
    num_aggs = 0
    dsts = 0
    for g in range(num_groups):
        if flat.group_aggs[g] < 0 or flat.group_dsts[g] < 0:
            return NEGATIVE_COUNT, g
        if flat.group_aggs[g] > num_rows or flat.group_dsts[g] > num_dst:
            return WRONG_TOTAL, g
        num_aggs += flat.group_aggs[g]
        dsts += flat.group_dsts[g]
    if dsts != num_dst or num_aggs + dsts != num_rows:
        return WRONG_TOTAL, 0
    total = 0
    for r in range(num_rows):
        if flat.src_count[r] < 0 or flat.agg_count[r] < 0:
            return NEGATIVE_COUNT, r
        if flat.src_count[r] > flat.src.size or flat.agg_count[r] > flat.agg.size:
            return WRONG_TOTAL, r
        total += flat.src_count[r]
    if total != flat.src.size or flat.agg_count.sum() != flat.agg.size:
        return WRONG_TOTAL, 0
    for r in range(num_minus):
        if not (0 <= flat.src_minus[r] <= flat.src_count[r]):
            return MINUS_RANGE, r
        if not (0 <= flat.agg_minus[r] <= flat.agg_count[r]):
            return MINUS_RANGE, r
    return OK, 0


@jit
def _check_rows(num_src: int, flat: Flat, owner: I32) -> tuple[int, int]:
    num_dst = flat.dst.size
    num_aggs = flat.src_count.size - num_dst
    seen = np.zeros(num_dst, np.bool_)
    used = np.zeros(num_aggs, np.bool_)
    r = 0
    s = 0
    a = 0
    d = 0
    first = 0  # the group's first aggregate
    for g in range(flat.group_aggs.size):
        aggs = flat.group_aggs[g]
        for i in range(aggs + flat.group_dsts[g]):
            limit = first + min(i, aggs)
            if i < aggs:
                if flat.src_count[r] + flat.agg_count[r] == 0:
                    return EMPTY_AGG, first + i
            else:
                v = flat.dst[d]
                if v < 0 or v >= num_dst:
                    return DST_RANGE, d
                if seen[v]:
                    return DST_TWICE, v
                seen[v] = True
                d += 1
            for _ in range(flat.src_count[r]):
                u = flat.src[s]
                if u < 0 or u >= num_src:
                    return SRC_RANGE, s
                if owner[u] != 0 and owner[u] != g + 1:
                    return SHARED_SRC, u
                owner[u] = g + 1
                s += 1
            for _ in range(flat.agg_count[r]):
                w = flat.agg[a]
                if w < first or w >= limit:
                    return AGG_ORDER, a
                used[w] = True
                a += 1
            r += 1
        first += aggs
    for w in range(num_aggs):
        if not used[w]:
            return UNUSED_AGG, w
    return OK, 0


@jit
def row_targets(group_aggs: I64, group_dsts: I64, dst: I64) -> I64:
    """The destination of each row, or `-1 - k` for aggregate k, `[num_rows]`."""
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

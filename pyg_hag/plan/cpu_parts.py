"""Jitted leaves: the destinations of each group, cut into parts for threads.

A part computes all aggregates that it reads, so parts of one group may repeat some.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.hag.arrays import Rows
from pyg_hag.runtime.jit import jit, jit_inlined
from pyg_hag.utils.arrays import I32, I64


class Parts(NamedTuple):
    """Destination rows, cut into parts of one group each.

    Attributes:
        dst_rows: The destination rows, part by part, `[num_dst]`.
        ptr: Where the rows of each part start, `[num_parts + 1]`.
        group: The group of each part, `[num_parts]`.
        num_aggs: How many aggregates each part computes, `[num_parts]`.
        num_inputs: Inputs of all rows; those of aggregates count once per part.
    """

    dst_rows: I64
    ptr: I64
    group: I64
    num_aggs: I64
    num_inputs: int


class AggregateUses(NamedTuple):
    """The rows that read the aggregates.

    Attributes:
        row_of: The row of each aggregate, `[num_aggregates]`.
        readers: How many rows of the current part read each aggregate,
            `[num_aggregates]`.
    """

    row_of: I64
    readers: I32


@jit
def cut_groups(
    rows: Rows, group_aggs: I64, group_dsts: I64, num_parts: I64, uses: AggregateUses
) -> Parts:
    """Cuts the destinations of group g into `num_parts[g]` parts of equal work."""
    all_parts = num_parts.sum()
    out_ptr = np.zeros(all_parts + 1, np.int64)
    dst_rows = np.empty(group_dsts.sum(), np.int64)
    part_group = np.empty(all_parts, np.int64)
    part_aggs = np.zeros(all_parts, np.int64)
    num_inputs = rows.src.size + rows.agg.size
    src_ptr, agg_ptr = rows.src_ptr, rows.agg_ptr
    r = 0
    first = 0
    p = 0
    d = 0
    for g in range(group_aggs.size):
        r += group_aggs[g]
        last = first + group_aggs[g]
        end = r + group_dsts[g]
        ptr = out_ptr[p : p + num_parts[g] + 1]
        d = _cut_group(src_ptr, agg_ptr, r, end, dst_rows, d, ptr)
        r = end
        for part in range(p, p + num_parts[g]):
            part_group[part] = g
            part_aggs[part] = group_aggs[g]
            if num_parts[g] > 1:
                part_rows = dst_rows[out_ptr[part] : out_ptr[part + 1]]
                part_aggs[part] = count_uses(rows, part_rows, first, last, uses)
                for k in range(first, last):
                    if uses.readers[k] > 0:
                        num_inputs += _num_inputs(src_ptr, agg_ptr, uses.row_of[k])
        if num_parts[g] > 1:  # each part has counted those that it computes
            for k in range(first, last):
                num_inputs -= _num_inputs(src_ptr, agg_ptr, uses.row_of[k])
        p += num_parts[g]
        first = last
    return Parts(dst_rows, out_ptr, part_group, part_aggs, num_inputs)


@jit_inlined
def _cut_group(
    src_ptr: I64,
    agg_ptr: I64,
    begin: int,
    end: int,
    dst_rows: I64,
    d: int,
    out_ptr: I64,
) -> int:
    """Cuts rows `begin` to `end`, which are written to `dst_rows` from place d on.

    The first two arrays are those of `Rows`; `out_ptr` has the shape
    `[num_parts + 1]`. Returns the next place.
    """
    num_parts = out_ptr.size - 1
    work = _work(src_ptr, agg_ptr, begin, end)
    r = begin
    for part in range(num_parts):
        goal = work * (part + 1) // num_parts
        while r < end:
            if part + 1 < num_parts and _work(src_ptr, agg_ptr, begin, r) >= goal:
                break
            dst_rows[d] = r
            d += 1
            r += 1
        out_ptr[part + 1] = d
    return d


@jit
def count_uses(
    rows: Rows, dst_rows: I64, first: int, last: int, uses: AggregateUses
) -> int:
    """Counts the rows that destination rows need and that read each aggregate.

    Aggregates `first` to `last` are those of the rows' group. Returns how many of them
    are read at all.
    """
    agg_ptr, agg, row_of, readers = rows.agg_ptr, rows.agg, uses.row_of, uses.readers
    readers[first:last] = 0
    for r in dst_rows:
        for e in range(agg_ptr[r], agg_ptr[r + 1]):
            readers[agg[e]] += 1
    num_used = 0
    for k in range(last - 1, first - 1, -1):
        if readers[k] > 0:
            num_used += 1
            q = row_of[k]
            for e in range(agg_ptr[q], agg_ptr[q + 1]):
                readers[agg[e]] += 1
    return num_used


@jit_inlined
def _num_inputs(src_ptr: I64, agg_ptr: I64, r: int) -> int:
    return src_ptr[r + 1] - src_ptr[r] + agg_ptr[r + 1] - agg_ptr[r]


@jit_inlined
def _work(src_ptr: I64, agg_ptr: I64, begin: int, end: int) -> int:
    """Inputs and rows from row `begin` to row `end`."""
    count = src_ptr[end] - src_ptr[begin]
    return count + agg_ptr[end] - agg_ptr[begin] + end - begin

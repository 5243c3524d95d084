"""Jitted leaves: the order in which a thread computes rows, and their scratch slots.

Each aggregate is computed just before the first row that reads it, and its slot in the
scratch is free again after the last one: the scratch holds only the aggregates that are
alive at the same time, which usually fit in cache.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.hag.arrays import Rows
from pyg_hag.hag.paths import aggregate_rows
from pyg_hag.plan.cpu_parts import AggregateUses, count_uses, cut_groups
from pyg_hag.runtime.jit import jit, jit_inlined
from pyg_hag.utils.arrays import I32, I64


class Schedule(NamedTuple):
    """Rows in the order in which they are computed.

    Attributes:
        target: The destination of each row, or `-1 - slot`, `[num_rows]`.
        ptr: Row r reads `inputs[ptr[r] : ptr[r + 1]]`, `[num_rows + 1]`.
        mid: Row r subtracts its inputs from `mid[r]` on, `[num_rows]`; empty if no row
            subtracts.
        inputs: Sources, and `-1 - slot` for aggregates; more memory follows them.
        part_ptr: The first row of each part, `[num_parts + 1]`.
        part_aggs: The number of aggregates of each part, `[num_parts]`.
        part_slots: The number of slots that each part needs, `[num_parts]`.
    """

    target: I32
    ptr: I64
    mid: I64
    inputs: I32
    part_ptr: I64
    part_aggs: I64
    part_slots: I64


class _State(NamedTuple):
    """The state of the aggregates while a part is scheduled.

    Attributes:
        uses: The rows that will still read each aggregate.
        slot: The slot of each aggregate, -1 before it is computed, `[num_aggregates]`.
        free: A stack of the slots that are free again.
        stack: A stack of the rows that are needed, the next one on top.
    """

    uses: AggregateUses
    slot: I32
    free: I32
    stack: I64


@jit
def schedule(
    rows: Rows,
    group_aggs: I64,
    group_dsts: I64,
    num_parts: I64,
    signed: bool,
    ahead: int,
) -> Schedule:
    """Cuts the destinations of group g into `num_parts[g]` parts and orders their rows.

    A part computes all aggregates that it reads. The inputs are followed by `ahead`
    zeros.
    """
    num_aggs = group_aggs.sum()
    max_aggs = group_aggs.max() if group_aggs.size else 0
    state = _State(
        AggregateUses(
            aggregate_rows(rows.target, num_aggs), np.zeros(num_aggs, np.int32)
        ),
        np.full(num_aggs, -1, np.int32),
        np.empty(max_aggs + 1, np.int32),
        np.empty(max_aggs + rows.agg.size + 1, np.int64),
    )
    parts = cut_groups(rows, group_aggs, group_dsts, num_parts, state.uses)
    num_rows = parts.dst_rows.size + parts.num_aggs.sum()
    out = _empty_schedule(num_rows, parts.num_aggs, parts.num_inputs + ahead, signed)
    n = 0
    i = 0
    group = -1
    first = 0
    last = 0
    for p in range(parts.group.size):
        while group < parts.group[p]:
            group += 1
            first = last
            last = first + group_aggs[group]
        dst_rows = parts.dst_rows[parts.ptr[p] : parts.ptr[p + 1]]
        if last > first:
            count_uses(rows, dst_rows, first, last, state.uses)
            state.slot[first:last] = -1
        n, i, slots = _order_part(rows, dst_rows, signed, state, out, n, i)
        out.part_ptr[p + 1] = n
        out.part_slots[p] = slots
    return Schedule(
        out.target,
        out.ptr,
        out.mid,
        out.inputs[: parts.num_inputs],
        out.part_ptr,
        out.part_aggs,
        out.part_slots,
    )


@jit
def _empty_schedule(
    num_rows: int, part_aggs: I64, num_inputs: int, signed: bool
) -> Schedule:
    num_parts = part_aggs.size
    return Schedule(
        np.empty(num_rows, np.int32),
        np.zeros(num_rows + 1, np.int64),
        np.empty(num_rows if signed else 0, np.int64),
        np.zeros(num_inputs, np.int32),
        np.zeros(num_parts + 1, np.int64),
        part_aggs,
        np.zeros(num_parts, np.int64),
    )


@jit
def _order_part(
    rows: Rows,
    dst_rows: I64,
    signed: bool,
    state: _State,
    out: Schedule,
    n: int,
    i: int,
) -> tuple[int, int, int]:
    """Writes the rows of a part from row n and input i on.

    Returns the next row and input, and the number of slots that the part needs.
    """
    # Functions for single rows take arrays: a tuple of arrays costs as much as a row.
    dst, src_ptr, src_mid, src = rows.target, rows.src_ptr, rows.src_mid, rows.src
    agg_ptr, agg_mid, agg = rows.agg_ptr, rows.agg_mid, rows.agg
    row_of, readers = state.uses.row_of, state.uses.readers
    slot, free, stack = state.slot, state.free, state.stack
    target, ptr, mid, inputs = out.target, out.ptr, out.mid, out.inputs
    num_free = 0
    slots = 0
    for row in dst_rows:
        # Aggregates that this row needs first, then the row itself:
        stack[0] = row
        top = 1
        while top > 0:
            q = stack[top - 1]
            k = -1 - dst[q]
            if k >= 0 and slot[k] >= 0:
                top -= 1
                continue
            a, a_end = agg_ptr[q], agg_ptr[q + 1]
            missing = _push_missing(agg, a, a_end, row_of, slot, stack, top)
            if missing > 0:
                top += missing
                continue
            top -= 1
            s, s_end = src_ptr[q], src_ptr[q + 1]
            if signed:
                s_mid, a_mid = src_mid[q], agg_mid[q]
                i = _write_inputs(src, s, s_mid, agg, a, a_mid, slot, inputs, i)
                mid[n] = i
                s, a = s_mid, a_mid
            i = _write_inputs(src, s, s_end, agg, a, a_end, slot, inputs, i)
            if k >= 0:
                # A new slot: it is written before those of its inputs are free.
                if num_free > 0:
                    num_free -= 1
                    slot[k] = free[num_free]
                else:
                    slot[k] = slots
                    slots += 1
                target[n] = -1 - slot[k]
            else:
                target[n] = dst[q]
            a = agg_ptr[q]
            num_free = _release(agg, a, a_end, readers, slot, free, num_free)
            n += 1
            ptr[n] = i
    return n, i, slots


@jit_inlined
def _push_missing(
    agg: I64, begin: int, end: int, row_of: I64, slot: I32, stack: I64, top: int
) -> int:
    """Puts the aggregates of `agg[begin:end]` that are not computed on the stack.

    Returns how many there are. The arrays are those of `Rows` and `_State`.
    """
    missing = 0
    for e in range(end - 1, begin - 1, -1):
        if slot[agg[e]] < 0:
            stack[top + missing] = row_of[agg[e]]
            missing += 1
    return missing


@jit_inlined
def _release(
    agg: I64, begin: int, end: int, readers: I32, slot: I32, free: I32, num_free: int
) -> int:
    """Frees the slots of `agg[begin:end]` that nothing else reads.

    Returns how many are free. The arrays are those of `Rows` and `_State`.
    """
    for e in range(begin, end):
        k = agg[e]
        readers[k] -= 1
        if readers[k] == 0:
            free[num_free] = slot[k]
            num_free += 1
    return num_free


@jit_inlined
def _write_inputs(
    src: I64,
    s: int,
    s_end: int,
    agg: I64,
    a: int,
    a_end: int,
    slot: I32,
    inputs: I32,
    i: int,
) -> int:
    """Writes the sources `src[s:s_end]` and the slots of `agg[a:a_end]` from i on."""
    for e in range(s, s_end):
        inputs[i] = src[e]
        i += 1
    for e in range(a, a_end):
        inputs[i] = -1 - slot[agg[e]]
        i += 1
    return i


@jit
def grouped_rows(
    rows: Rows, group_aggs: I64, group_dsts: I64, ahead: int
) -> tuple[I32, I64, I32]:
    """Rows in their own order, each aggregate of a group in its own slot.

    Returns:
        Targets, pointers to inputs, and inputs, as in :class:`Schedule`.
    """
    num_rows = rows.target.size
    num_inputs = rows.src.size + rows.agg.size
    target = np.empty(num_rows, np.int32)
    ptr = np.empty(num_rows + 1, np.int64)
    inputs = np.zeros(num_inputs + ahead, np.int32)
    r = 0
    first = 0
    ptr[0] = 0
    for g in range(group_aggs.size):
        for _ in range(group_aggs[g] + group_dsts[g]):
            v = rows.target[r]
            target[r] = v if v >= 0 else v + first
            i = ptr[r]
            for e in range(rows.src_ptr[r], rows.src_ptr[r + 1]):
                inputs[i] = rows.src[e]
                i += 1
            for e in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
                inputs[i] = first - 1 - rows.agg[e]
                i += 1
            r += 1
            ptr[r] = i
        first += group_aggs[g]
    return target, ptr, inputs[:num_inputs]

"""From rules to the flat arrays of a HAG.

An item that is not kept as an aggregate is inlined: whatever reads it reads its
inputs instead. This leaves all paths from sources to destinations as they are.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.csr import bucket, lengths
from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.union_find import find, union
from pyg_hag.search.emit.rules import IndexedRules
from pyg_hag.utils.arrays import I32, I64, Bool

_INSERTION_SORT = 24  # largest number of values for which it is the faster sort


class Groups(NamedTuple):
    """Groups of rows and items: all that a row reads is in the group of the row.

    Attributes:
        num_groups: Number of groups, numbered by their first row.
        of_row: The group of each row, -1 where the row is empty, `[num_rows]`.
        of_item: The group of each given and new item, -1 where no row reads it,
            `[num_items + num_new]`.
    """

    num_groups: int
    of_row: I32
    of_item: I32


class _Widths(NamedTuple):
    """Sizes of the HAG once the items that are not kept are inlined.

    Attributes:
        num_src: Sources that reading each new item takes, `[num_new]`: none for an
            item that is kept.
        num_agg: Aggregates that reading it takes, `[num_new]`: one for an item that
            is kept.
        total_src: Sources read by all rows of the HAG.
        total_agg: Aggregates read by all rows of the HAG.
        widest: Inputs of the widest new item.
    """

    num_src: I64
    num_agg: I64
    total_src: int
    total_agg: int
    widest: int


class _Output(NamedTuple):
    """The flat arrays of the HAG, written row by row.

    Attributes:
        src: Source inputs of all rows.
        agg: Aggregate inputs of all rows.
        src_count: Source inputs of each row, `[num_aggregates + num_rows]`.
        agg_count: Aggregate inputs of each row, `[num_aggregates + num_rows]`.
        number: The number of each new item as an aggregate, or -1, `[num_new]`.
        stack: Scratch for the items that are being expanded.
        written: Entries of `src`, entries of `agg` and rows so far, `[3]`.
    """

    src: I64
    agg: I64
    src_count: I64
    agg_count: I64
    number: I32
    stack: I32
    written: I64


@jit
def find_groups(rules: IndexedRules) -> Groups:
    """Groups rows and items: rows that share an item are in one group."""
    num_items = rules.num_items
    num_new = rules.in_ptr.size - 1
    start, length, row = rules.start, rules.length, rules.row
    parent = np.arange(num_items + num_new).astype(np.int32)
    for k in range(num_new):
        root = num_items + k
        for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
            root = union(parent, root, rules.inputs[e])
    for v in range(start.size):
        if length[v] > 0:
            root = find(parent, row[start[v]])
            for e in range(start[v] + 1, start[v] + length[v]):
                root = union(parent, root, row[e])
    of_item = np.full(num_items + num_new, -1, np.int32)
    of_row = np.full(start.size, -1, np.int32)
    num_groups = 0
    for v in range(start.size):
        if length[v] > 0:
            root = find(parent, row[start[v]])
            if of_item[root] < 0:
                of_item[root] = num_groups
                num_groups += 1
            of_row[v] = of_item[root]
    for x in range(num_items + num_new):
        of_item[x] = of_item[find(parent, x)]
    return Groups(num_groups, of_row, of_item)


@jit
def write(
    rules: IndexedRules, keep: Bool, origin: I32, groups: Groups
) -> tuple[I64, I64, I64, I64, I64, I64, I64]:
    """Writes the flat arrays of the HAG, from `src` to `group_dsts`.

    Rows without inputs form an additional last group.

    Args:
        rules: The new items and the rows.
        keep: Which new items become aggregates, `[num_new]`.
        origin: The source that each given item stands for, `[num_items]`.
        groups: As :func:`find_groups` finds them.
    """
    of_new = np.full(keep.size, -1, np.int32)
    for k in range(keep.size):
        if keep[k]:
            of_new[k] = groups.of_item[rules.num_items + k]
    aggs_ptr, aggs = bucket(of_new, groups.num_groups)
    aggs = aggs[: aggs_ptr[-2]]
    dsts_ptr, dsts = bucket(groups.of_row, groups.num_groups)
    out = _new_output(rules, keep, aggs)
    in_start, in_count = rules.in_ptr[:-1], lengths(rules.in_ptr, rules.in_ptr.size - 1)
    for g in range(groups.num_groups + 1):
        members = aggs[aggs_ptr[g] : aggs_ptr[g + 1]]
        _write_rows(out, members, in_start, in_count, rules.inputs, rules, origin)
        members = dsts[dsts_ptr[g] : dsts_ptr[g + 1]]
        _write_rows(out, members, rules.start, rules.length, rules.row, rules, origin)
    num_groups = groups.num_groups + (1 if dsts_ptr[-1] > dsts_ptr[-2] else 0)
    group_aggs = np.zeros(num_groups, np.int64)
    for g in range(groups.num_groups):
        group_aggs[g] = aggs_ptr[g + 1] - aggs_ptr[g]
    return (
        out.src,
        out.agg,
        out.src_count,
        out.agg_count,
        dsts.astype(np.int64),
        group_aggs,
        lengths(dsts_ptr, num_groups),
    )


@jit
def _count_widths(rules: IndexedRules, keep: Bool) -> _Widths:
    num_src = np.zeros(keep.size, np.int64)
    num_agg = np.zeros(keep.size, np.int64)
    total_src = 0
    total_agg = 0
    widest = 0
    for k in range(keep.size):
        for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
            x = rules.inputs[e] - rules.num_items
            num_src[k] += 1 if x < 0 else num_src[x]
            num_agg[k] += 0 if x < 0 else num_agg[x]
        widest = max(widest, num_src[k] + num_agg[k])
        if keep[k]:
            total_src += num_src[k]
            total_agg += num_agg[k]
            num_src[k] = 0
            num_agg[k] = 1
    for v in range(rules.start.size):
        for e in range(rules.start[v], rules.start[v] + rules.length[v]):
            x = rules.row[e] - rules.num_items
            total_src += 1 if x < 0 else num_src[x]
            total_agg += 0 if x < 0 else num_agg[x]
    return _Widths(num_src, num_agg, total_src, total_agg, widest)


@jit
def _new_output(rules: IndexedRules, keep: Bool, aggs: I32) -> _Output:
    """Room for the HAG whose aggregates are the new items `aggs`, in this order."""
    widths = _count_widths(rules, keep)
    num_rows = aggs.size + rules.start.size
    number = np.full(keep.size, -1, np.int32)
    for i in range(aggs.size):
        number[aggs[i]] = i
    return _Output(
        np.empty(widths.total_src, np.int64),
        np.empty(widths.total_agg, np.int64),
        np.zeros(num_rows, np.int64),
        np.zeros(num_rows, np.int64),
        number,
        np.empty(widths.widest + 1, np.int32),
        np.zeros(3, np.int64),
    )


@jit
def _write_rows(
    out: _Output,
    members: I32,
    start: I64,
    length: I64,
    items: I32,
    rules: IndexedRules,
    origin: I32,
) -> None:
    """Appends a row for each of `members`, its inputs in ascending order.

    Row v reads `items[start[v] : start[v] + length[v]]`.
    """
    num_items, in_ptr, inputs = rules.num_items, rules.in_ptr, rules.inputs
    src, agg, number, stack = out.src, out.agg, out.number, out.stack
    s, a, q = out.written[0], out.written[1], out.written[2]
    for v in members:
        first_src, first_agg = s, a
        for i in range(start[v], start[v] + length[v]):
            top = 1
            stack[0] = items[i]
            while top > 0:
                top -= 1
                x = stack[top]
                if x < num_items:
                    src[s] = origin[x]
                    s += 1
                elif number[x - num_items] >= 0:
                    agg[a] = number[x - num_items]
                    a += 1
                else:
                    k = x - num_items
                    for e in range(in_ptr[k], in_ptr[k + 1]):
                        stack[top] = inputs[e]
                        top += 1
        _sort(src, first_src, s)
        _sort(agg, first_agg, a)
        out.src_count[q] = s - first_src
        out.agg_count[q] = a - first_agg
        q += 1
    out.written[0], out.written[1], out.written[2] = s, a, q


@jit
def _sort(values: I64, begin: int, end: int) -> None:
    """Sorts `values[begin:end]`, which is mostly short or already in order."""
    for i in range(begin + 1, end):
        value = values[i]
        if value < values[i - 1]:
            if end - begin > _INSERTION_SORT:
                values[begin:end].sort()
                return
            j = i
            while j > begin and values[j - 1] > value:
                values[j] = values[j - 1]
                j -= 1
            values[j] = value

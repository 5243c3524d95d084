"""From rules to the rows of a HAG.

An item that is not kept as an aggregate is inlined: whoever reads it reads its
inputs instead. The paths stay what they are.
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

_SHORT = 24  # values that are sorted one by one


@jit
def measure(
    num_items: int,
    in_ptr: I64,
    inputs: I32,
    start: I64,
    length: I64,
    row: I32,
    keep: Bool,
) -> tuple[I64, I64]:
    """Readers and inputs of each new item, with those not in `keep` inlined.

    For an item that is not kept, both are what they would be if it were.
    """
    num_new = keep.size
    uses = np.zeros(num_items + num_new, np.int64)
    for v in range(start.size):
        for e in range(start[v], start[v] + length[v]):
            uses[row[e]] += 1
    for i in range(num_new):
        k = num_new - 1 - i
        readers = uses[num_items + k]
        if keep[k] and readers > 0:
            readers = 1
        for e in range(in_ptr[k], in_ptr[k + 1]):
            uses[inputs[e]] += readers
    width = np.zeros(num_new, np.int64)
    for k in range(num_new):
        for e in range(in_ptr[k], in_ptr[k + 1]):
            x = inputs[e] - num_items
            width[k] += 1 if x < 0 or keep[x] else width[x]
    return uses[num_items:].copy(), width


@jit
def inline_unshared(
    num_items: int,
    in_ptr: I64,
    inputs: I32,
    start: I64,
    length: I64,
    row: I32,
    keep: Bool,
) -> None:
    """Takes the items that are read once or never out of `keep`."""
    num_new = keep.size
    uses = np.zeros(num_items + num_new, np.int64)
    for v in range(start.size):
        for e in range(start[v], start[v] + length[v]):
            uses[row[e]] += 1
    for i in range(num_new):
        k = num_new - 1 - i
        readers = uses[num_items + k]
        keep[k] = keep[k] and readers > 1
        if keep[k]:
            readers = 1
        for e in range(in_ptr[k], in_ptr[k + 1]):
            uses[inputs[e]] += readers


@jit
def _find(parent: I32, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def _union(parent: I32, a: int, b: int) -> int:
    """Joins the trees of root a and item b; returns the root."""
    b = _find(parent, b)
    if b < a:
        a, b = b, a
    parent[b] = a
    return a


@jit
def find_groups(
    num_items: int, in_ptr: I64, inputs: I32, start: I64, length: I64, row: I32
) -> tuple[int, I32, I32]:
    """The number of groups, and that of every row (-1 where empty) and every item.

    Rows that share an item are in one group; groups are numbered by their first row.
    """
    num_new = in_ptr.size - 1
    parent = np.arange(num_items + num_new).astype(np.int32)
    for k in range(num_new):
        root = num_items + k
        for e in range(in_ptr[k], in_ptr[k + 1]):
            root = _union(parent, root, inputs[e])
    for v in range(start.size):
        if length[v] > 0:
            root = _find(parent, row[start[v]])
            for e in range(start[v] + 1, start[v] + length[v]):
                root = _union(parent, root, row[e])
    label = np.full(num_items + num_new, -1, np.int32)
    group = np.full(start.size, -1, np.int32)
    count = 0
    for v in range(start.size):
        if length[v] > 0:
            root = _find(parent, row[start[v]])
            if label[root] < 0:
                label[root] = count
                count += 1
            group[v] = label[root]
    for x in range(num_items + num_new):
        label[x] = label[_find(parent, x)]
    return count, group, label


@jit
def bucket(group: I32, num_groups: int) -> tuple[I64, I32]:
    """Members of each group, ascending; those in group -1 come last."""
    ptr = np.zeros(num_groups + 2, np.int64)
    for i in range(group.size):
        g = group[i] if group[i] >= 0 else num_groups
        ptr[g + 1] += 1
    for g in range(num_groups + 1):
        ptr[g + 1] += ptr[g]
    fill = ptr.copy()
    out = np.empty(group.size, np.int32)
    for i in range(group.size):
        g = group[i] if group[i] >= 0 else num_groups
        out[fill[g]] = i
        fill[g] += 1
    return ptr, out


@jit
def _sort(values: I64, first: int, last: int) -> None:
    """Sorts a part of the array, which mostly is short or in order already."""
    for i in range(first + 1, last):
        value = values[i]
        if value < values[i - 1]:
            if last - first > _SHORT:
                values[first:last].sort()
                return
            j = i
            while j > first and values[j - 1] > value:
                values[j] = values[j - 1]
                j -= 1
            values[j] = value


@jit
def _flatten(
    first: int,
    last: int,
    pool: I32,
    stack: I32,
    num_items: int,
    in_ptr: I64,
    inputs: I32,
    number: I32,
    origin: I32,
    src: I64,
    s: int,
    agg: I64,
    a: int,
) -> tuple[int, int]:
    """Writes what the items `pool[first:last]` stand for, ascending."""
    first_src = s
    first_agg = a
    for i in range(first, last):
        top = 1
        stack[0] = pool[i]
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
    return s, a


@jit
def write(
    num_items: int,
    in_ptr: I64,
    inputs: I32,
    start: I64,
    length: I64,
    row: I32,
    keep: Bool,
    origin: I32,
    num_groups: int,
    group: I32,
    label: I32,
) -> tuple[I64, I64, I64, I64, I64, I64, I64]:
    """Writes the flat arrays of the HAG.

    `origin` is the source that an item stands for; groups are those of
    :func:`find_groups`. Destinations without inputs form the last group.
    """
    num_new = keep.size
    num_dst = start.size
    dsts_ptr, dst_order = bucket(group, num_groups)

    # Inputs of each new item once inlined ones are gone, and of it as an input:
    num_src = np.zeros(num_new, np.int64)
    num_agg = np.zeros(num_new, np.int64)
    aggs = np.full(num_new, -1, np.int32)
    total_src = 0
    total_agg = 0
    total_aggs = 0
    widest = 0
    for k in range(num_new):
        for e in range(in_ptr[k], in_ptr[k + 1]):
            x = inputs[e] - num_items
            num_src[k] += 1 if x < 0 else num_src[x]
            num_agg[k] += 0 if x < 0 else num_agg[x]
        widest = max(widest, num_src[k] + num_agg[k])
        if keep[k]:
            aggs[k] = label[num_items + k]
            total_aggs += 1
            total_src += num_src[k]
            total_agg += num_agg[k]
            num_src[k] = 0
            num_agg[k] = 1
    for v in range(num_dst):
        for e in range(start[v], start[v] + length[v]):
            x = row[e] - num_items
            total_src += 1 if x < 0 else num_src[x]
            total_agg += 0 if x < 0 else num_agg[x]
    aggs_ptr, agg_order = bucket(aggs, num_groups)

    src = np.empty(total_src, np.int64)
    agg = np.empty(total_agg, np.int64)
    src_count = np.zeros(total_aggs + num_dst, np.int64)
    agg_count = np.zeros(total_aggs + num_dst, np.int64)
    number = np.full(num_new, -1, np.int32)
    stack = np.empty(widest + 1, np.int32)
    s = 0
    a = 0
    q = 0  # row of the HAG
    for g in range(num_groups + 1):
        if g < num_groups:
            for i in range(aggs_ptr[g], aggs_ptr[g + 1]):
                k = agg_order[i]
                s0, a0 = s, a
                s, a = _flatten(
                    in_ptr[k],
                    in_ptr[k + 1],
                    inputs,
                    stack,
                    num_items,
                    in_ptr,
                    inputs,
                    number,
                    origin,
                    src,
                    s,
                    agg,
                    a,
                )
                src_count[q], agg_count[q] = s - s0, a - a0
                number[k] = i
                q += 1
        for i in range(dsts_ptr[g], dsts_ptr[g + 1]):
            v = dst_order[i]
            s0, a0 = s, a
            s, a = _flatten(
                start[v],
                start[v] + length[v],
                row,
                stack,
                num_items,
                in_ptr,
                inputs,
                number,
                origin,
                src,
                s,
                agg,
                a,
            )
            src_count[q], agg_count[q] = s - s0, a - a0
            q += 1
    groups = num_groups + (1 if dsts_ptr[-1] > dsts_ptr[-2] else 0)
    group_aggs = np.zeros(groups, np.int64)
    group_dsts = np.zeros(groups, np.int64)
    for g in range(groups):
        if g < num_groups:
            group_aggs[g] = aggs_ptr[g + 1] - aggs_ptr[g]
        group_dsts[g] = dsts_ptr[g + 1] - dsts_ptr[g]
    return (
        src,
        agg,
        src_count,
        agg_count,
        dst_order.astype(np.int64),
        group_aggs,
        group_dsts,
    )

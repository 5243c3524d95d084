"""Which aggregates of a HAG are swept, and what they and the destinations read then.

A swept aggregate has its leaves (all sources below it) on one side and its readers on
the other: it costs their sum. Others are replaced by their inputs, wherever they are
read; what a destination reads of single sources stays as direct edges.
"""

from typing import Any

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.union_find import find, union
from pyg_hag.utils.arrays import I32, I64, Bool

_PER_ROW = 8
"""What it costs to begin with the single sources of a row, in leaves of aggregates."""
Lists = tuple[I64, I32]
"""Pointers and entries, in CSR form."""


@jit
def choose(rows: Any, row_of: I64, first: int, factor: float) -> tuple[Bool, I64]:
    """Chooses the aggregates that are swept, from those that rows read down.

    Args:
        rows: The rows of the HAG.
        row_of: The row of each aggregate, and from `first` on of each destination.
        first: Number of aggregates.
        factor: What a leaf or a reader costs, in reads of an input.

    Returns:
        Whether each aggregate is swept, and its number of leaves.
    """
    leaves, readers = np.zeros(first, np.int64), np.zeros(first, np.int64)
    for w in range(first):
        r = row_of[w]
        leaves[w] = rows.src_ptr[r + 1] - rows.src_ptr[r]
        for k in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
            leaves[w] += leaves[rows.agg[k]]
    for r in row_of[first:]:
        for k in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
            readers[rows.agg[k]] += 1
    swept = np.zeros(first, np.bool_)
    for w in range(first - 1, -1, -1):
        r = row_of[w]
        begin, end = rows.agg_ptr[r], rows.agg_ptr[r + 1]
        inputs = rows.src_ptr[r + 1] - rows.src_ptr[r] + end - begin
        swept[w] = factor * (leaves[w] + readers[w]) < readers[w] * inputs
        if not swept[w]:
            for k in range(begin, end):
                readers[rows.agg[k]] += readers[w]
    return swept, leaves


@jit
def leaf_lists(rows: Any, row_of: I64, swept: Bool, leaves: I64) -> Lists:
    """The leaves of the swept aggregates, which are numbered anew."""
    chosen = swept.nonzero()[0]
    ptr = np.zeros(chosen.size + 1, np.int64)
    for k in range(chosen.size):
        ptr[k + 1] = ptr[k] + leaves[chosen[k]]
    out = np.empty(ptr[-1], np.int32)
    stack = np.empty(swept.size + rows.agg.size + 1, np.int64)
    n = 0
    for w in chosen:
        stack[0], top = w, 1
        while top:
            top -= 1
            r = row_of[stack[top]]
            for k in range(rows.src_ptr[r], rows.src_ptr[r + 1]):
                out[n] = rows.src[k]
                n += 1
            for k in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
                stack[top] = rows.agg[k]
                top += 1
    return ptr, out


@jit
def read_lists(rows: Any, row_of: I64, swept: Bool) -> tuple[Lists, Lists]:
    """The swept aggregates and the single sources that each destination reads."""
    first = swept.size
    num_dst = row_of.size - first
    number = np.cumsum(swept) - 1
    stack = np.empty(swept.size + rows.agg.size + 1, np.int64)
    agg_ptr = np.zeros(num_dst + 1, np.int64)
    src_ptr = np.zeros(num_dst + 1, np.int64)
    aggs, srcs = np.empty(0, np.int32), np.empty(0, np.int32)
    for is_filling in (False, True):
        num_aggs = num_srcs = 0
        for i in range(num_dst):
            stack[0], top = first + i, 1
            while top:
                top -= 1
                w = stack[top]
                if w < first and swept[w]:
                    if is_filling:
                        aggs[num_aggs] = number[w]
                    num_aggs += 1
                    continue
                r = row_of[w]
                for k in range(rows.src_ptr[r], rows.src_ptr[r + 1]):
                    if is_filling:
                        srcs[num_srcs] = rows.src[k]
                    num_srcs += 1
                for k in range(rows.agg_ptr[r], rows.agg_ptr[r + 1]):
                    stack[top] = rows.agg[k]
                    top += 1
            agg_ptr[i + 1], src_ptr[i + 1] = num_aggs, num_srcs
        if not is_filling:
            aggs, srcs = np.empty(num_aggs, np.int32), np.empty(num_srcs, np.int32)
    return (agg_ptr, aggs), (src_ptr, srcs)


@jit
def inverted(ptr: I64, entries: I32, num: int) -> Lists:
    """The rows in which each of `num` entries occurs."""
    out_ptr = np.zeros(num + 1, np.int64)
    for k in entries:
        out_ptr[k + 1] += 1
    for k in range(num):
        out_ptr[k + 1] += out_ptr[k]
    place, out = out_ptr[:-1].copy(), np.empty(entries.size, np.int32)
    for r in range(ptr.size - 1):
        for k in range(ptr[r], ptr[r + 1]):
            out[place[entries[k]]] = r
            place[entries[k]] += 1
    return out_ptr, out


@jit
def components(num_src: int, leaves: Lists, reads: Lists, direct: Lists) -> I64:
    """The component of each source, destination and swept aggregate, in this order.

    Components are numbered by their first node.
    """
    num_dst = reads[0].size - 1
    first = num_src + num_dst
    parent = np.arange(first + leaves[0].size - 1)
    for w in range(leaves[0].size - 1):
        root = find(parent, first + w)
        for k in range(leaves[0][w], leaves[0][w + 1]):
            root = union(parent, root, leaves[1][k])
    for i in range(num_dst):
        root = find(parent, num_src + i)
        for k in range(reads[0][i], reads[0][i + 1]):
            root = union(parent, root, first + reads[1][k])
        for k in range(direct[0][i], direct[0][i + 1]):
            root = union(parent, root, direct[1][k])
    number = np.full(parent.size, -1)
    count = 0
    for i in range(parent.size):
        root = find(parent, i)
        if number[root] < 0:
            number[root] = count
            count += 1
        number[i] = number[root]
    return number


@jit
def packed_parts(component: I64, work: I64, limit: int) -> I64:
    """The part of each component: as many in a row as do not exceed the limit.

    Args:
        component: The component of each node.
        work: The work at each node.
        limit: The work of a part of several components.
    """
    count = component.max() + 1 if component.size else 0
    total = np.zeros(count, np.int64)
    for i in range(component.size):
        total[component[i]] += work[i]
    part = np.zeros(count, np.int64)
    number, sum_ = 0, 0
    for c in range(count):
        if sum_ > 0 and sum_ + total[c] > limit:
            number, sum_ = number + 1, 0
        sum_ += total[c]
        part[c] = number
    return part


@jit
def rearranged(lists: Lists, order: I64, local: I32) -> Lists:
    """The lists in another order, with their entries numbered anew.

    Args:
        lists: Pointers and entries.
        order: The former numbers of the rows.
        local: The new number of each entry.
    """
    ptr = np.zeros(order.size + 1, np.int64)
    out = np.empty(lists[1].size, np.int32)
    n = 0
    for r in range(order.size):
        for k in range(lists[0][order[r]], lists[0][order[r] + 1]):
            out[n] = local[lists[1][k]]
            n += 1
        ptr[r + 1] = n
    return ptr, out


@jit
def by_node(lists: Lists, agg_ptr: I64, node_ptr: I64) -> tuple[I64, I32, I32]:
    """The aggregates in whose lists each node is, all in the order of their parts.

    Args:
        lists: The nodes of each aggregate, numbered in their part.
        agg_ptr: The first aggregate of each part.
        node_ptr: The first node of each part.

    Returns:
        Pointers, the aggregates, numbered in their part, and the places in `lists`,
        counted from the first of the part.
    """
    ptr = np.zeros(node_ptr[-1] + 1, np.int64)
    for part in range(agg_ptr.size - 1):
        for k in range(lists[0][agg_ptr[part]], lists[0][agg_ptr[part + 1]]):
            ptr[node_ptr[part] + lists[1][k] + 1] += 1
    for j in range(ptr.size - 1):
        ptr[j + 1] += ptr[j]
    fill = ptr[:-1].copy()
    aggs, slots = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.int32)
    for part in range(agg_ptr.size - 1):
        begin = lists[0][agg_ptr[part]]
        for w in range(agg_ptr[part], agg_ptr[part + 1]):
            for k in range(lists[0][w], lists[0][w + 1]):
                j = node_ptr[part] + lists[1][k]
                aggs[fill[j]], slots[fill[j]] = w - agg_ptr[part], k - begin
                fill[j] += 1
    return ptr, aggs, slots


@jit
def middles(
    agg_ptr: I64, reader_ptr: I64, direct_ptr: I64, out_ptr: I64, first: I64
) -> I64:
    """The first aggregate of the second half of each part, counted in the part.

    Both halves cost about as much, if what is read directly goes with the first.

    Args:
        agg_ptr: Pointers to what each aggregate takes in.
        reader_ptr: Pointers to the readers of each aggregate.
        direct_ptr: Pointers to what each node reads directly.
        out_ptr: The first of these nodes of each part.
        first: The first aggregate of each part.
    """
    out = np.empty(first.size - 1, np.int64)
    for part in range(first.size - 1):
        w0, w1 = first[part], first[part + 1]
        i0, i1 = out_ptr[part], out_ptr[part + 1]
        direct = 2 * (direct_ptr[i1] - direct_ptr[i0]) + _PER_ROW * (i1 - i0)
        begin, end = agg_ptr[w0] + reader_ptr[w0], agg_ptr[w1] + reader_ptr[w1]
        w = w0
        while w < w1 and 2 * (agg_ptr[w] + reader_ptr[w]) < begin + end - direct:
            w += 1
        out[part] = w - w0
    return out


@jit
def node_middles(ptr: I64, aggs: I32, node_ptr: I64, middle: I64) -> I64:
    """Where aggregates from the middle on start among those of each node.

    Args:
        ptr: Pointers to the aggregates of each node.
        aggs: The aggregates, in order.
        node_ptr: The first node of each part.
        middle: The first aggregate of the second half of each part.
    """
    out = ptr[1:].copy()
    for part in range(node_ptr.size - 1):
        for j in range(node_ptr[part], node_ptr[part + 1]):
            k = ptr[j]
            while k < ptr[j + 1] and aggs[k] < middle[part]:
                k += 1
            out[j] = k
    return out

"""Jitted leaves: the trie of the destinations' lists, and the HAG that it gives.

A node of the trie stands for a prefix of at least one list. Nodes are numbered by
depth; the root, the empty prefix, is 0.
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit
from pyg_hag.search._layout import bucket

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@jit
def given_rows(src: I64, dst: I64, num_dst: int) -> tuple[I64, I32]:
    """Row pointers and sources of the destinations, in the order of the edges."""
    row_ptr = np.zeros(num_dst + 1, np.int64)
    for e in range(dst.size):
        row_ptr[dst[e] + 1] += 1
    for v in range(num_dst):
        row_ptr[v + 1] += row_ptr[v]
    fill = row_ptr[:num_dst].copy()
    row = np.empty(src.size, np.int32)
    for e in range(src.size):
        row[fill[dst[e]]] = src[e]
        fill[dst[e]] += 1
    return row_ptr, row


@jit
def count_readers(row_ptr: I64, row: I32, num_src: int) -> I64:
    """The number of destinations that read each source; rows are ascending."""
    out = np.zeros(num_src, np.int64)
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            if e == row_ptr[v] or row[e] != row[e - 1]:
                out[row[e]] += 1
    return out


@jit
def _by_depth_and_source(row_ptr: I64, row: I32, num_src: int) -> tuple[I64, I32, I32]:
    """The entries sorted by their place in the list, then by source (radix sort).

    Returns where each place starts, and the list and the source of each entry.
    """
    longest = 0
    for v in range(row_ptr.size - 1):
        longest = max(longest, row_ptr[v + 1] - row_ptr[v])
    src_ptr = np.zeros(num_src + 1, np.int64)
    level_ptr = np.zeros(longest + 1, np.int64)
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            src_ptr[row[e] + 1] += 1
            level_ptr[e - row_ptr[v] + 1] += 1
    for u in range(num_src):
        src_ptr[u + 1] += src_ptr[u]
    for d in range(longest):
        level_ptr[d + 1] += level_ptr[d]
    by_src = np.empty(row.size, np.int32)
    place = np.empty(row.size, np.int32)
    fill = src_ptr[:num_src].copy()
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            i = fill[row[e]]
            by_src[i] = v
            place[i] = e - row_ptr[v]
            fill[row[e]] = i + 1
    lists = np.empty(row.size, np.int32)
    sources = np.empty(row.size, np.int32)
    fill = level_ptr[:longest].copy()
    for u in range(num_src):
        for i in range(src_ptr[u], src_ptr[u + 1]):
            k = fill[place[i]]
            lists[k] = by_src[i]
            sources[k] = u
            fill[place[i]] = k + 1
    return level_ptr, lists, sources


@jit
def grow(row_ptr: I64, row: I32, num_src: int) -> tuple[I64, I32, I32, I32, I64]:
    """The trie of the lists, in O(entries).

    Returns for each node its parent (the prefix without its last source), its depth
    (the length of the prefix), a list that begins with it, and how many do; and for
    each list the node where it ends.
    """
    level_ptr, lists, sources = _by_depth_and_source(row_ptr, row, num_src)
    parent = np.zeros(row.size + 1, np.int64)
    depth = np.zeros(row.size + 1, np.int32)
    reader = np.zeros(row.size + 1, np.int32)
    count = np.zeros(row.size + 1, np.int32)
    youngest = np.zeros(row.size + 1, np.int64)  # child of each node
    last = np.zeros(row_ptr.size - 1, np.int64)
    n = 1
    for d in range(level_ptr.size - 1):
        for i in range(level_ptr[d], level_ptr[d + 1]):
            v = lists[i]
            p = last[v]
            c = youngest[p]  # sources ascend: if any child has this one, it is that
            if c == 0 or row[row_ptr[reader[c]] + d] != sources[i]:
                c = n
                n += 1
                parent[c] = p
                depth[c] = d + 1
                reader[c] = v
                youngest[p] = c
            count[c] += 1
            last[v] = c
    return (
        parent[:n].copy(),
        depth[:n].copy(),
        reader[:n].copy(),
        count[:n].copy(),
        last,
    )


@jit
def find_forks(parent: I64, count: I32, last: I64, least: int) -> Bool:
    """The prefixes of at least `least` lists that two rows would read."""
    rows = np.zeros(parent.size, np.int64)
    for c in range(1, parent.size):
        rows[parent[c]] += 1  # or more, if it is no row; then there is another one
    for v in range(last.size):
        rows[last[v]] += 1
    keep = (rows >= 2) & (count >= least)
    keep[0] = False
    return keep


@jit
def measure(
    row_ptr: I64, parent: I64, depth: I32, last: I64, keep: Bool
) -> tuple[I64, int, I64]:
    """What each row reads first, the steps of all, and what dropping one costs.

    Returns for each node itself if it is kept, else the longest prefix of it that
    is (0 if none); the number of steps; and for each kept node the steps that come
    on top when its readers take its sources themselves.
    """
    nearest = np.zeros(parent.size, np.int64)
    rows = np.zeros(parent.size, np.int64)
    loss = np.zeros(parent.size, np.int64)
    steps = 0
    for c in range(1, parent.size):
        nearest[c] = nearest[parent[c]]
        if keep[c]:
            rows[nearest[c]] += 1
            loss[c] = depth[c] - depth[nearest[c]]
            steps += loss[c]
            nearest[c] = c
    for v in range(last.size):
        rows[nearest[last[v]]] += 1
        steps += row_ptr[v + 1] - row_ptr[v] - depth[nearest[last[v]]]
    return nearest, steps, loss * (rows - 1)


@jit
def count_steps(
    reader: I32, count: I32, least: int, group: I32, num_groups: int
) -> I64:
    """Steps of each group when prefixes of at least `least` lists are shared."""
    out = np.zeros(num_groups, np.int64)
    for c in range(1, count.size):
        out[group[reader[c]]] += 1 if count[c] >= least else count[c]
    return out


@jit
def write(
    row_ptr: I64,
    row: I32,
    parent: I64,
    depth: I32,
    reader: I32,
    last: I64,
    keep: Bool,
    nearest: I64,
    steps: int,
    num_groups: int,
    group: I32,
) -> tuple[I64, I64, I64, I64, I64, I64, I64]:
    """The flat arrays of the HAG, laid out as by :func:`_layout.write`.

    A row reads the longest kept prefix of it, then its other sources in order.
    """
    num_dst = last.size
    nodes = keep.nonzero()[0]
    aggs_ptr, agg_order = bucket(group[reader[nodes]], num_groups)
    dsts_ptr, dst_order = bucket(group, num_groups)
    number = np.zeros(parent.size, np.int64)
    src = np.empty(steps, np.int64)
    agg = np.empty(nodes.size + num_dst, np.int64)
    src_count = np.zeros(nodes.size + num_dst, np.int64)
    agg_count = np.zeros(nodes.size + num_dst, np.int64)
    s = 0
    a = 0
    r = 0
    for g in range(num_groups + 1):
        first, end = aggs_ptr[g], aggs_ptr[g + 1]
        size = end - first + dsts_ptr[g + 1] - dsts_ptr[g]
        for i in range(size):
            if i < end - first:
                c = nodes[agg_order[first + i]]
                v = reader[c]
                stop = row_ptr[v] + depth[c]
                prefix = nearest[parent[c]]
                number[c] = first + i
            else:
                v = dst_order[dsts_ptr[g] + i - (end - first)]
                stop = row_ptr[v + 1]
                prefix = nearest[last[v]]
            if prefix > 0:
                agg[a] = number[prefix]
                agg_count[r] = 1
                a += 1
            for e in range(row_ptr[v] + depth[prefix], stop):
                src[s] = row[e]
                s += 1
                src_count[r] += 1
            r += 1
    groups = num_groups + (1 if dsts_ptr[-1] > dsts_ptr[-2] else 0)
    return (
        src,
        agg[:a].copy(),
        src_count,
        agg_count,
        dst_order.astype(np.int64),
        np.diff(aggs_ptr)[:groups].copy(),
        np.diff(dsts_ptr)[:groups].copy(),
    )

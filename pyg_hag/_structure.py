"""Jitted leaves over the flat arrays of a HAG: check, count, expand, reverse.

The arrays are those of :class:`pyg_hag.HAG`: per row (aggregates and destinations
in the order in which they run) the number of its source and aggregate inputs, the
inputs themselves, and per group its number of aggregate and destination rows.
"""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I64 = NDArray[np.int64]

MANY = np.int64(1) << np.int64(61)  # where a count of paths saturates

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


@jit
def check(
    num_src: int,
    src: I64,
    agg: I64,
    src_count: I64,
    agg_count: I64,
    dst: I64,
    group_aggs: I64,
    group_dsts: I64,
    owner: NDArray[np.int32],
) -> tuple[int, int]:
    """Returns the first fault found and where; `owner` is zeros of `num_src`."""
    num_rows, num_dst = src_count.size, dst.size
    if agg_count.size != num_rows or group_dsts.size != group_aggs.size:
        return WRONG_TOTAL, 0
    num_aggs = 0
    dsts = 0
    for g in range(group_aggs.size):
        if group_aggs[g] < 0 or group_dsts[g] < 0:
            return NEGATIVE_COUNT, g
        if group_aggs[g] > num_rows or group_dsts[g] > num_dst:
            return WRONG_TOTAL, g
        num_aggs += group_aggs[g]
        dsts += group_dsts[g]
    if dsts != num_dst or num_aggs + dsts != num_rows:
        return WRONG_TOTAL, 0
    total = 0
    for r in range(num_rows):
        if src_count[r] < 0 or agg_count[r] < 0:
            return NEGATIVE_COUNT, r
        if src_count[r] > src.size or agg_count[r] > agg.size:
            return WRONG_TOTAL, r
        total += src_count[r]
    if total != src.size or agg_count.sum() != agg.size:
        return WRONG_TOTAL, 0

    seen = np.zeros(num_dst, np.bool_)
    used = np.zeros(num_aggs, np.bool_)
    r = 0
    s = 0
    a = 0
    d = 0
    first = 0  # the group's first aggregate
    for g in range(group_aggs.size):
        for i in range(group_aggs[g] + group_dsts[g]):
            limit = first + min(i, group_aggs[g])
            if i < group_aggs[g]:
                if src_count[r] + agg_count[r] == 0:
                    return EMPTY_AGG, first + i
            else:
                v = dst[d]
                if v < 0 or v >= num_dst:
                    return DST_RANGE, d
                if seen[v]:
                    return DST_TWICE, v
                seen[v] = True
                d += 1
            for _ in range(src_count[r]):
                u = src[s]
                if u < 0 or u >= num_src:
                    return SRC_RANGE, s
                if owner[u] != 0 and owner[u] != g + 1:
                    return SHARED_SRC, u
                owner[u] = g + 1
                s += 1
            for _ in range(agg_count[r]):
                w = agg[a]
                if w < first or w >= limit:
                    return AGG_ORDER, a
                used[w] = True
                a += 1
            r += 1
        first += group_aggs[g]
    for w in range(num_aggs):
        if not used[w]:
            return UNUSED_AGG, w
    return OK, 0


@jit
def row_kinds(group_aggs: I64, group_dsts: I64, dst: I64) -> I64:
    """Per row: its destination, or `-1 - k` for the aggregate k."""
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


@jit
def count_paths(
    kinds: I64, src_count: I64, agg_count: I64, agg: I64, num_dst: int, num_aggs: int
) -> tuple[I64, int, I64]:
    """Paths into each destination (saturating), the depth, and each aggregate's."""
    paths = np.empty(num_aggs, np.int64)
    depth = np.empty(num_aggs, np.int64)
    degree = np.zeros(num_dst, np.int64)
    deepest = 0
    a = 0
    for r in range(kinds.size):
        count = src_count[r]
        level = 0
        for _ in range(agg_count[r]):
            count = min(count + paths[agg[a]], MANY)
            level = max(level, depth[agg[a]])
            a += 1
        if kinds[r] < 0:
            paths[-1 - kinds[r]] = count
            depth[-1 - kinds[r]] = level + 1
        else:
            degree[kinds[r]] = count
            deepest = max(deepest, level)
    return degree, deepest, depth


@jit
def _aggregate_rows(kinds: I64, num_aggs: int) -> I64:
    rows = np.empty(num_aggs, np.int64)
    for r in range(kinds.size):
        if kinds[r] < 0:
            rows[-1 - kinds[r]] = r
    return rows


@jit
def expand(
    kinds: I64, src_ptr: I64, src: I64, agg_ptr: I64, agg: I64, out_ptr: I64, out: I64
) -> None:
    """Writes the sources of every path into destination v to out[out_ptr[v]:]."""
    rows = _aggregate_rows(kinds, kinds.size - out_ptr.size + 1)
    stack = np.empty(agg.size + 1, np.int64)
    for r in range(kinds.size):
        if kinds[r] < 0:
            continue
        n = out_ptr[kinds[r]]
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            for e in range(src_ptr[q], src_ptr[q + 1]):
                out[n] = src[e]
                n += 1
            for e in range(agg_ptr[q], agg_ptr[q + 1]):
                stack[top] = rows[agg[e]]
                top += 1
        out[out_ptr[kinds[r]] : n].sort()


@jit
def first_repeated_path(
    kinds: I64, src_ptr: I64, src: I64, agg_ptr: I64, agg: I64, num_dst: int, seen: I64
) -> tuple[int, int]:
    """An (u, v) with two paths, or (-1, -1); `seen` is zeros of `num_src`."""
    rows = _aggregate_rows(kinds, kinds.size - num_dst)
    stack = np.empty(agg.size + 1, np.int64)
    for r in range(kinds.size):
        if kinds[r] < 0:
            continue
        stack[0] = r
        top = 1
        while top > 0:
            top -= 1
            q = stack[top]
            for e in range(src_ptr[q], src_ptr[q + 1]):
                if seen[src[e]] == r + 1:
                    return src[e], kinds[r]
                seen[src[e]] = r + 1
            for e in range(agg_ptr[q], agg_ptr[q + 1]):
                stack[top] = rows[agg[e]]
                top += 1
    return -1, -1


@jit
def count_self_loops(ptr: I64, col: I64) -> I64:
    """Number of entries equal to the row, for each row of a CSR matrix."""
    out = np.zeros(ptr.size - 1, np.int64)
    for v in range(ptr.size - 1):
        for e in range(ptr[v], ptr[v + 1]):
            out[v] += col[e] == v
    return out


@jit
def transpose(
    num_src: int,
    kinds: I64,
    src_ptr: I64,
    src: I64,
    agg_ptr: I64,
    agg: I64,
    group_aggs: I64,
    group_dsts: I64,
) -> tuple[I64, I64, I64, I64, I64, I64, I64]:
    """The flat arrays of the HAG with every arrow turned round.

    A group keeps its place; its aggregates run in the opposite order, and its
    destination rows are the sources that it reads. Sources that nothing reads
    form one more group at the end.
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
    new_src = np.empty(src_at[num_rows], np.int64)
    new_agg = np.empty(agg_at[num_rows], np.int64)
    for r in range(kinds.size):  # destinations in order: ascending inputs
        if kinds[r] >= 0:
            for e in range(src_ptr[r], src_ptr[r + 1]):
                q = src_row[src[e]]
                new_src[src_at[q]] = kinds[r]
                src_at[q] += 1
            for e in range(agg_ptr[r], agg_ptr[r + 1]):
                q = agg_row[agg[e]]
                new_src[src_at[q]] = kinds[r]
                src_at[q] += 1
    for i in range(kinds.size):  # aggregates backwards: ascending new numbers
        r = kinds.size - 1 - i
        if kinds[r] < 0:
            k = flipped[-1 - kinds[r]]
            for e in range(src_ptr[r], src_ptr[r + 1]):
                q = src_row[src[e]]
                new_agg[agg_at[q]] = k
                agg_at[q] += 1
            for e in range(agg_ptr[r], agg_ptr[r + 1]):
                q = agg_row[agg[e]]
                new_agg[agg_at[q]] = k
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
    )


@jit
def _mixed(a: int, b: int, c: int) -> int:
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) + np.uint64(c) * np.uint64(0x165667B19E3779F9)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@jit
def _hash_part(values: I64, shift: int, begin: int, end: int, name: int) -> int:
    h = np.uint64(0)
    for i in range(begin, end):
        h += _mixed(name, i - begin, values[i] - shift)
    return h


@jit
def fingerprint(
    u: I64,
    v: I64,
    src: I64,
    agg: I64,
    src_count: I64,
    agg_count: I64,
    dst: I64,
    group_aggs: I64,
    group_dsts: I64,
    sizes: I64,
) -> I64:
    """A 64-bit hash of each graph of a batch, and of its HAG.

    Row g of `sizes` holds the numbers of nodes, aggregates, groups, source inputs
    and aggregate inputs of graph g; the arrays must have these totals. Ids are
    hashed relative to their graph, so a graph has the same hash alone and in any
    batch. Edges may come in any order; everything in the HAG has its place.
    """
    num_graphs = sizes.shape[0]
    out = np.zeros(num_graphs, np.uint64)
    starts = np.zeros((num_graphs + 1, 5), np.int64)
    for g in range(num_graphs):
        starts[g + 1] = starts[g] + sizes[g]
        node, first, group, s, a = starts[g]
        node_end, last, group_end, s_end, a_end = starts[g + 1]
        row, row_end = node + first, node_end + last
        out[g] += _hash_part(src, node, s, s_end, 1)
        out[g] += _hash_part(agg, first, a, a_end, 2)
        out[g] += _hash_part(src_count, 0, row, row_end, 3)
        out[g] += _hash_part(agg_count, 0, row, row_end, 4)
        out[g] += _hash_part(dst, node, node, node_end, 5)
        out[g] += _hash_part(group_aggs, 0, group, group_end, 6)
        out[g] += _hash_part(group_dsts, 0, group, group_end, 7)
    nodes = starts[:, 0].copy()
    g = 0
    for e in range(u.size if num_graphs > 0 else 0):
        if u[e] < nodes[g] or u[e] >= nodes[g + 1]:
            g = np.searchsorted(nodes, u[e], "right") - 1
            g = min(max(g, 0), num_graphs - 1)
        out[g] += _mixed(0, u[e] - nodes[g], v[e] - nodes[g])
    return out.view(np.int64)


@jit
def unpack(ids: I64, counts: I64, sizes: I64) -> tuple[I64, I64, I64, I64, I64, I64]:
    """Undoes the packing of :mod:`pyg_hag.data`, graph by graph.

    `ids` holds the source inputs and the destinations of each graph in turn, and
    `counts` its counts: by row of source and of aggregate inputs, by group of
    aggregates and of destinations. `sizes` is that of :func:`fingerprint`.
    """
    totals = sizes.sum(0)
    num_nodes, num_aggs, num_groups, num_src = (
        totals[0],
        totals[1],
        totals[2],
        totals[3],
    )
    src = np.empty(num_src, np.int64)
    dst = np.empty(num_nodes, np.int64)
    src_count = np.empty(num_nodes + num_aggs, np.int64)
    agg_count = np.empty(num_nodes + num_aggs, np.int64)
    group_aggs = np.empty(num_groups, np.int64)
    group_dsts = np.empty(num_groups, np.int64)
    i = 0
    c = 0
    node = 0
    row = 0
    group = 0
    s = 0
    for g in range(sizes.shape[0]):
        nodes, groups, inputs = sizes[g, 0], sizes[g, 2], sizes[g, 3]
        rows = nodes + sizes[g, 1]
        src[s : s + inputs] = ids[i : i + inputs]
        dst[node : node + nodes] = ids[i + inputs : i + inputs + nodes]
        src_count[row : row + rows] = counts[c : c + rows]
        agg_count[row : row + rows] = counts[c + rows : c + 2 * rows]
        c += 2 * rows
        group_aggs[group : group + groups] = counts[c : c + groups]
        group_dsts[group : group + groups] = counts[c + groups : c + 2 * groups]
        c += 2 * groups
        i += inputs + nodes
        s += inputs
        node += nodes
        row += rows
        group += groups
    return src, src_count, agg_count, dst, group_aggs, group_dsts

"""Jitted leaves: a HAG's rows as accelerators take them, hubs split, side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@jit
def _num_chunks(count: int, most: int, chunk: int) -> int:
    """How many rows are added so that a row reads `most` of these inputs at most."""
    added = 0
    while count > most:
        count = (count + chunk - 1) // chunk
        added += count
    return added


@jit
def split_hubs(
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
    most: int,
    chunk: int,
) -> Any:
    """Rows of few inputs: those of rows with more are first reduced in chunks.

    A row has segments of inputs: sources, aggregates, and, in a HAG that subtracts,
    the same once more. A segment of more than `most` inputs becomes rows of `chunk`
    inputs each, which are aggregates behind all others.

    Returns:
        Per row what it is (its destination, or -1 - aggregate), the destination or
        aggregate of the HAG to which it belongs, and its level: 0 if it reads sources
        alone, else one more than any aggregate that it reads. Pointers to its
        segments; the inputs; the first row of each group.
    """
    segments = 4 if signed else 2
    num_aggs = group_aggs.sum()
    added = 0
    for r in range(kinds.size):
        added += _num_chunks(src_mid[r] - src_ptr[r], most, chunk)
        added += _num_chunks(agg_mid[r] - agg_ptr[r], most, chunk)
        if signed:
            added += _num_chunks(src_ptr[r + 1] - src_mid[r], most, chunk)
            added += _num_chunks(agg_ptr[r + 1] - agg_mid[r], most, chunk)
    num_rows = kinds.size + added
    row = np.empty(num_rows, np.int64)
    owner = np.empty(num_rows, np.int64)
    level = np.zeros(num_rows, np.int64)
    ptr = np.zeros(num_rows * segments + 1, np.int64)
    inputs = np.empty(src.size + agg.size + added, np.int64)
    agg_level = np.zeros(num_aggs + added, np.int64)
    group_ptr = np.zeros(group_aggs.size + 1, np.int64)
    n = 0
    i = 0
    slot = num_aggs
    r = 0
    for g in range(group_aggs.size):
        group_ptr[g] = n
        for _ in range(group_aggs[g] + group_dsts[g]):
            kind = kinds[r]
            first_n, first_slot = n, slot
            firsts = (src_ptr[r], agg_ptr[r], src_mid[r], agg_mid[r])
            lasts = (src_mid[r], agg_mid[r], src_ptr[r + 1], agg_ptr[r + 1])
            # The rows of chunks, then the row itself, which reads them:
            for s in range(segments):
                begin, end = firsts[s], lasts[s]
                of_src = s % 2 == 0
                whole = True
                while end - begin > most:
                    start = slot
                    for c0 in range(begin, end, chunk):
                        kept = 0 if whole and of_src else 1
                        for k in range(segments):
                            ptr[n * segments + k] = i
                            if k == kept:
                                for e in range(c0, min(c0 + chunk, end)):
                                    u = e
                                    if whole:
                                        u = src[e] if of_src else agg[e]
                                    if kept == 1:
                                        level[n] = max(level[n], agg_level[u] + 1)
                                    inputs[i] = u
                                    i += 1
                        ptr[(n + 1) * segments] = i
                        row[n] = -1 - slot
                        owner[n] = kind
                        agg_level[slot] = level[n]
                        slot += 1
                        n += 1
                    begin, end, whole = start, slot, False
            has_chunks = n > first_n
            chunks = first_slot
            deepest = -1
            for s in range(segments):
                ptr[n * segments + s] = i
                begin, end = firsts[s], lasts[s]
                if s % 2 == 0:
                    if end - begin <= most:
                        for e in range(begin, end):
                            inputs[i] = src[e]
                            i += 1
                    continue
                if end - begin <= most:
                    for e in range(begin, end):
                        inputs[i] = agg[e]
                        deepest = max(deepest, agg_level[agg[e]])
                        i += 1
                if has_chunks:  # those of sources are aggregates too
                    for other in range(s - 1, s + 1):
                        size = lasts[other] - firsts[other]
                        while size > most:
                            size = (size + chunk - 1) // chunk
                            chunks += size
                            if size <= most:
                                for u in range(chunks - size, chunks):
                                    inputs[i] = u
                                    deepest = max(deepest, agg_level[u])
                                    i += 1
            level[n] = deepest + 1
            ptr[(n + 1) * segments] = i
            row[n] = owner[n] = kind
            if kind < 0:
                agg_level[-1 - kind] = level[n]
            n += 1
            r += 1
    group_ptr[group_aggs.size] = n
    return row, owner, level, ptr, inputs, group_ptr


@jit
def batched(
    level: I64,
    ptr: I64,
    group_aggs: I64,
    group_ptr: I64,
    segments: int,
    rows: int,
    local_work: int,
    window: int,
) -> tuple[I64, I64, I64]:
    """Orders rows in batches of so many, which read about as much.

    The rows of a group with aggregates and little work are one part, ordered by level.
    All other rows stand by level behind them, each batch a part of its own; their order
    is about the one they had.

    Returns:
        The rows, -1 where a batch is not full; the first batch of each part; the first
        part of each launch, and the end.
    """
    num_rows = level.size
    num_groups = group_aggs.size
    depth = 0
    most = 0
    count = np.empty(num_rows, np.int64)
    for r in range(num_rows):
        count[r] = ptr[(r + 1) * segments] - ptr[r * segments]
        most = max(most, count[r])
        depth = max(depth, level[r] + 1)

    # Groups that are computed as a whole, the largest first:
    work = np.zeros(num_groups, np.int64)
    num_local = 0
    for g in range(num_groups):
        first, last = group_ptr[g], group_ptr[g + 1]
        total = ptr[last * segments] - ptr[first * segments] + last - first
        if group_aggs[g] > 0 and total <= local_work:
            work[g] = total
            num_local += 1
    largest = np.argsort(-work)[:num_local]
    rank = np.full(num_groups, -1, np.int64)
    for k in range(num_local):
        rank[largest[k]] = k

    # What stands together: a level of a group; or a window of rows of a level.
    num_windows = num_rows // window + 1
    base = num_local * depth
    together = np.empty(num_rows, np.int64)
    for g in range(num_groups):
        for r in range(group_ptr[g], group_ptr[g + 1]):
            if rank[g] >= 0:
                together[r] = rank[g] * depth + level[r]
            else:
                together[r] = base + level[r] * num_windows + r // window
    order = _sorted_by(most - count, most + 1, np.arange(num_rows))
    order = _sorted_by(together, base + depth * num_windows, order)

    # Batches, which end with a level:
    place = np.empty(num_rows, np.int64)
    batch_ptr = np.zeros(num_local + num_rows // rows + depth + 2, np.int64)
    launch_ptr = np.zeros(depth + 1, np.int64)
    parts = 0
    num_launches = 0
    at = 0
    before = -1
    for k in range(num_rows):
        segment = together[order[k]]
        name = segment if segment < base else base + (segment - base) // num_windows
        if name != before:
            at = (at + rows - 1) // rows * rows
            if segment < base and (before < 0 or name // depth != before // depth):
                batch_ptr[parts] = at // rows
                parts += 1
            elif segment >= base and name > base and num_launches < name - base:
                while num_launches < name - base:
                    launch_ptr[num_launches + 1] = parts
                    num_launches += 1
            before = name
        if segment >= base and at % rows == 0:
            batch_ptr[parts] = at // rows
            parts += 1
        place[k] = at
        at += 1
    batches = (at + rows - 1) // rows
    batch_ptr[parts] = batches
    launch_ptr[num_launches + 1 if depth > 0 else 0] = parts
    out = np.full(batches * rows, -1, np.int64)
    for k in range(num_rows):
        out[place[k]] = order[k]
    ends = launch_ptr[: num_launches + 2 if depth > 0 else 1]
    return out, batch_ptr[: parts + 1], ends


@jit
def _sorted_by(key: I64, size: int, order: I64) -> I64:
    """A stable order by keys below `size`."""
    start = np.zeros(size + 1, np.int64)
    for r in order:
        start[key[r] + 1] += 1
    for k in range(size):
        start[k + 1] += start[k]
    out = np.empty_like(order)
    for r in order:
        out[start[key[r]]] = r
        start[key[r]] += 1
    return out


@jit
def in_order(
    order: I64,
    row: I64,
    owner: I64,
    ptr: I64,
    inputs: I64,
    segments: int,
    nothing: int,
) -> tuple[I32, I32, I64, I32]:
    """Rows, owners, pointers and inputs in this order, with none for rows of -1."""
    out_row = np.full(order.size, nothing, np.int32)
    out_owner = np.full(order.size, nothing, np.int32)
    out_ptr = np.zeros(order.size * segments + 1, np.int64)
    out = np.empty(inputs.size, np.int32)
    i = 0
    for n in range(order.size):
        r = order[n]
        if r >= 0:
            out_row[n] = row[r]
            out_owner[n] = owner[r]
        for s in range(segments):
            if r >= 0:
                for e in range(ptr[r * segments + s], ptr[r * segments + s + 1]):
                    out[i] = inputs[e]
                    i += 1
            out_ptr[n * segments + s + 1] = i
    return out_row, out_owner, out_ptr, out

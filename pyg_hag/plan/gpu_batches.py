"""Jitted leaves: rows ordered in batches, batches in parts, parts in launches."""

from typing import NamedTuple

import numpy as np

from pyg_hag.plan.gpu_split import SplitRows
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64


class Batches(NamedTuple):
    """The order of the rows, and where batches, parts and launches start.

    Attributes:
        order: The rows, -1 where a batch is not full, `[num_batches * batch_rows]`.
        part_ptr: The first batch of each part, `[num_parts + 1]`.
        launch_ptr: The first part of each launch, `[num_launches + 1]`.
    """

    order: I64
    part_ptr: I64
    launch_ptr: I64


class _Buckets(NamedTuple):
    """Rows that may share a batch: a level of a local group, or a window of a level.

    Attributes:
        bucket: The bucket of each row, `[num_rows]`. Those of local groups come first,
            group by group; then those of windows, level by level.
        num_local: The number of groups that one program computes.
        num_windows: The number of windows of a level.
        depth: The number of levels.
    """

    bucket: I64
    num_local: int
    num_windows: int
    depth: int


@jit
def make_batches(
    split: SplitRows,
    group_aggs: I64,
    segments: int,
    batch_rows: int,
    local_work: int,
    window: int,
) -> Batches:
    """Orders rows in batches of `batch_rows` that read about the same number of inputs.

    The rows of a group with aggregates and little work are one part, ordered by level.
    All other rows follow, ordered by level, each batch a part of its own; within a
    level, they move no further than a window.
    """
    num_rows = split.level.size
    count = np.empty(num_rows, np.int64)
    max_count = 0
    for r in range(num_rows):
        count[r] = split.ptr[(r + 1) * segments] - split.ptr[r * segments]
        max_count = max(max_count, count[r])
    buckets = _make_buckets(split, group_aggs, segments, local_work, window)
    num_buckets = (buckets.num_local + buckets.num_windows) * buckets.depth
    order = _sorted_by(max_count - count, max_count + 1, np.arange(num_rows))
    order = _sorted_by(buckets.bucket, num_buckets, order)
    return _fill_batches(order, buckets, batch_rows)


@jit
def _make_buckets(
    split: SplitRows, group_aggs: I64, segments: int, local_work: int, window: int
) -> _Buckets:
    level, group_ptr = split.level, split.group_ptr
    num_rows = level.size
    depth = 0
    for r in range(num_rows):
        depth = max(depth, level[r] + 1)
    rank, num_local = _local_groups(
        split.ptr, group_aggs, group_ptr, segments, local_work
    )
    num_windows = num_rows // window + 1
    bucket = np.empty(num_rows, np.int64)
    for g in range(group_aggs.size):
        for r in range(group_ptr[g], group_ptr[g + 1]):
            if rank[g] >= 0:
                bucket[r] = rank[g] * depth + level[r]
            else:
                bucket[r] = num_local * depth + level[r] * num_windows + r // window
    return _Buckets(bucket, num_local, num_windows, depth)


@jit
def _local_groups(
    ptr: I64, group_aggs: I64, group_ptr: I64, segments: int, local_work: int
) -> tuple[I64, int]:
    """The rank of each group that one program computes, the largest first; else -1.

    Also returns the number of these groups.
    """
    num_groups = group_aggs.size
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
    return rank, num_local


@jit
def _fill_batches(order: I64, buckets: _Buckets, batch_rows: int) -> Batches:
    """Cuts the ordered rows into batches; no batch holds rows of two levels."""
    num_rows = order.size
    num_local, num_windows, depth = (
        buckets.num_local, buckets.num_windows, buckets.depth,
    )  # fmt: skip
    first_window = num_local * depth
    place = np.empty(num_rows, np.int64)
    part_ptr = np.zeros(num_local + num_rows // batch_rows + depth + 2, np.int64)
    launch_ptr = np.zeros(depth + 1, np.int64)
    num_parts = 0
    num_launches = 0
    at = 0
    last_level = -1
    for k in range(num_rows):
        bucket = buckets.bucket[order[k]]
        is_local = bucket < first_window
        level = bucket  # of all rows, or of a local group
        if not is_local:
            level = first_window + (bucket - first_window) // num_windows
        if level != last_level:
            at = _round_up(at, batch_rows)
            if is_local and (last_level < 0 or level // depth != last_level // depth):
                part_ptr[num_parts] = at // batch_rows
                num_parts += 1
            elif not is_local:
                while num_launches < level - first_window:
                    launch_ptr[num_launches + 1] = num_parts
                    num_launches += 1
            last_level = level
        if not is_local and at % batch_rows == 0:
            part_ptr[num_parts] = at // batch_rows
            num_parts += 1
        place[k] = at
        at += 1
    size = _round_up(at, batch_rows)
    part_ptr[num_parts] = size // batch_rows
    launch_ptr[num_launches + 1 if depth > 0 else 0] = num_parts
    out = np.full(size, -1, np.int64)
    for k in range(num_rows):
        out[place[k]] = order[k]
    ends = launch_ptr[: num_launches + 2 if depth > 0 else 1]
    return Batches(out, part_ptr[: num_parts + 1], ends)


@jit
def _round_up(size: int, multiple: int) -> int:
    return (size + multiple - 1) // multiple * multiple


@jit
def _sorted_by(key: I64, size: int, order: I64) -> I64:
    """The order sorted stably by keys below `size`."""
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
def reorder(
    order: I64, split: SplitRows, segments: int, padding: int
) -> tuple[I32, I32, I64, I32]:
    """Targets, owners, pointers and inputs of the rows in this order.

    Rows of -1 have no inputs and `padding` as target and owner.
    """
    target = np.full(order.size, padding, np.int32)
    owner = np.full(order.size, padding, np.int32)
    out_ptr = np.zeros(order.size * segments + 1, np.int64)
    inputs = np.empty(split.inputs.size, np.int32)
    i = 0
    for n in range(order.size):
        r = order[n]
        if r >= 0:
            target[n] = split.target[r]
            owner[n] = split.owner[r]
        for s in range(segments):
            if r >= 0:
                first = r * segments + s
                for e in range(split.ptr[first], split.ptr[first + 1]):
                    inputs[i] = split.inputs[e]
                    i += 1
            out_ptr[n * segments + s + 1] = i
    return target, owner, out_ptr, inputs

"""How accelerators walk a HAG: rows in batches, batches in parts, parts in launches."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._device_schedule import in_order, split_hubs
from pyg_hag.hag import HAG

I64 = NDArray[np.int64]

ROWS = 16
"""Rows of a batch, which one program reduces side by side."""
MOST_INPUTS = 256
"""Rows with more inputs of one kind are split, ..."""
CHUNK = 128
"""... into rows of so many."""
LOCAL_WORK = 8192
"""Inputs and rows of a group up to which one program computes all of it."""
_ALIGNMENT = 16  # bytes
WINDOW = 16 * ROWS
"""Rows that are sorted by their number of inputs, for batches of even ones."""
NOTHING = -(2**31)
"""A row that fills a batch."""


@dataclass(frozen=True, eq=False)
class DevicePlan:
    """The arrays that a kernel takes, made once per HAG, on its device.

    Attributes:
        row: Per row its destination, -1 - slot of an aggregate, or :data:`NOTHING`.
            Batch b has the rows from `b * ROWS` on.
        owner: Per row the destination or aggregate of the HAG (-1 - aggregate) to
            which it belongs: itself, but for parts of split rows.
        ptr: Segment s of row r has the inputs `ptr[segments * r + s]` to the next one.
        inputs: Sources in the first segment of a row, slots of aggregates in the
            second; in the third and fourth the same, subtracted.
        part_ptr: The first batch of each part. One program computes a part, batch by
            batch: later ones may read what earlier ones have written.
        launches: Ranges of parts. Each may read what those before have written.
        num_slots: Aggregates, and behind them parts of split rows.
        segments: 2, or 4 where rows subtract.
    """

    row: Tensor
    owner: Tensor
    ptr: Tensor
    inputs: Tensor
    part_ptr: Tensor
    launches: list[tuple[int, int]]
    num_slots: int
    segments: int


def device_plan(hag: HAG) -> DevicePlan:
    """The plan for the device on which the HAG is."""
    return hag._cached("device plan", lambda: _made(hag))


def _made(hag: HAG) -> DevicePlan:
    a = hag._arrays()
    segments = 4 if hag.is_signed else 2
    row, owner, level, ptr, inputs, group_ptr = split_hubs(
        a["kinds"], a["src_ptr"], a["src_mid"], a["src"], a["agg_ptr"], a["agg_mid"],
        a["agg"], a["group_aggs"], a["group_dsts"], hag.is_signed, MOST_INPUTS, CHUNK,
    )  # fmt: skip
    count = np.diff(ptr[::segments])
    order, part_ptr, launches = _batched(level, count, a["group_aggs"], group_ptr)
    is_there = order >= 0
    new_row, new_owner = (
        np.where(is_there, values[order], NOTHING).astype(np.int32)
        if values.size
        else np.empty(0, np.int32)
        for values in (row, owner)
    )
    new_ptr, new_inputs = in_order(order, ptr, inputs, segments)
    if new_inputs.size < 2**31:
        new_ptr = new_ptr.astype(np.int32)
    arrays = {
        "row": new_row,
        "owner": new_owner,
        "ptr": new_ptr,
        "inputs": new_inputs,
        "part_ptr": part_ptr.astype(np.int32),
    }
    moved = dict(zip(arrays, _moved(arrays.values(), hag.device), strict=True))
    num_slots = int((row < 0).sum())
    return DevicePlan(
        **moved, launches=launches, num_slots=num_slots, segments=segments
    )


def _moved(arrays: Collection[Any], device: torch.device) -> Iterator[Tensor]:
    """The arrays as tensors on a device, moved at once, each aligned."""
    places, size = [], 0
    for array in arrays:
        places.append(size)
        size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    whole = np.zeros(size, np.uint8)
    for place, array in zip(places, arrays, strict=True):
        whole[place : place + array.nbytes] = array.view(np.uint8)
    there = torch.from_numpy(whole).to(device)
    for place, array in zip(places, arrays, strict=True):
        dtype = torch.from_numpy(array[:0]).dtype
        yield there[place : place + array.nbytes].view(dtype)


def _batched(
    level: I64, count: I64, group_aggs: I64, group_ptr: I64
) -> tuple[I64, I64, list[tuple[int, int]]]:
    """The rows in batches (-1 where one is not full), parts, and launches.

    The rows of a group with aggregates and few inputs are one part, ordered by level.
    All other rows are launched level by level, each batch a part of its own.
    """
    num_rows = level.size
    starts = group_ptr[:-1]
    sizes = np.diff(group_ptr)
    group = np.repeat(np.arange(sizes.size), sizes)
    work = np.bincount(group, count + 1, sizes.size)
    local = (group_aggs > 0) & (work <= LOCAL_WORK)
    rank = np.full(sizes.size, -1)
    largest_first = np.argsort(-work[local], kind="stable")
    rank[local.nonzero()[0][largest_first]] = np.arange(local.sum())

    # What stands together: a level of a local group, or of all others.
    depth = int(level.max(initial=-1)) + 1
    is_local = local[group]
    base = int(local.sum()) * depth
    together = np.where(is_local, rank[group] * depth, base) + level
    place = np.arange(num_rows) - starts[group]
    window = np.where(is_local, 0, np.arange(num_rows) // WINDOW)
    order = np.lexsort((place, -count, window, together))
    sizes = np.bincount(together, minlength=base + depth)
    batches = -(-sizes // ROWS)
    first_batch = np.concatenate([[0], np.cumsum(batches)])
    kept = together[order]
    within = np.arange(num_rows) - np.concatenate([[0], np.cumsum(sizes)])[kept]
    out = np.full(int(first_batch[-1]) * ROWS, -1)
    out[first_batch[kept] * ROWS + within] = order

    ends = first_batch[: base + 1 : depth] if depth else np.zeros(1, np.int64)
    singles = np.arange(ends[-1] + 1, first_batch[-1] + 1)
    part_ptr = np.concatenate([ends, singles])
    num_local = ends.size - 1
    level_ends = first_batch[base + 1 : base + depth + 1] - ends[-1] + num_local
    launches = []
    first = 0
    for end in level_ends.tolist():
        if end > first:
            launches.append((first, end))
            first = end
    return out, part_ptr, launches

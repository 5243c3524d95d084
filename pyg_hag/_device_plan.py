"""How accelerators walk a HAG: rows in batches, batches in parts, parts in launches."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._device_schedule import batched, in_order, split_hubs
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
    order, part_ptr, ends = batched(
        level, ptr, a["group_aggs"], group_ptr, segments, ROWS, LOCAL_WORK, WINDOW
    )
    new_row, new_owner, new_ptr, new_inputs = in_order(
        order, row, owner, ptr, inputs, segments, NOTHING
    )
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
    launches = [(first, end) for first, end in pairwise(ends.tolist()) if end > first]
    num_slots = row.size - hag.num_dst
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

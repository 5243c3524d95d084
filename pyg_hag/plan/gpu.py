"""How CUDA kernels walk a HAG: rows in batches, batches in parts, parts in launches."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.plan.gpu_batches import make_batches, reorder
from pyg_hag.plan.gpu_split import split_hubs

ROWS = 16
"""Rows of a batch, which one program reduces side by side."""
MAX_INPUTS = 256
"""The largest number of inputs of a segment; longer ones are split into chunks."""
CHUNK = 128
"""Inputs of a chunk."""
LOCAL_WORK = 8192
"""The largest number of inputs and rows of a group that one program computes."""
WINDOW = 16 * ROWS
"""Rows that are sorted by their number of inputs, so that those of a batch are even."""
PADDING = -(2**31)
"""The target of a row that only fills a batch."""
_ALIGNMENT = 16  # bytes


@dataclass(frozen=True, eq=False)
class DevicePlan:
    """The arrays that a kernel takes, made once per HAG, on its device.

    Attributes:
        target: The destination of each row, `-1 - slot` of an aggregate, or
            :data:`PADDING`, int32 `[num_rows]`. Batch b starts with row `b * ROWS`.
        owner: The destination, or `-1 - aggregate`, of the HAG that each row belongs
            to, int32 `[num_rows]`: its target, except for chunks of split rows.
        ptr: Segment s of row r starts at `ptr[segments * r + s]`, int32 or int64
            `[segments * num_rows + 1]`.
        inputs: Sources in the first segment of a row, slots of aggregates in the
            second; the same in the third and fourth, which are subtracted; int32.
        part_ptr: The first batch of each part, int32 `[num_parts + 1]`. One program
            computes a part, batch by batch: later batches may read what earlier ones
            have written.
        launches: Ranges of parts. Each launch may read what earlier ones have written.
        num_slots: Number of aggregates and chunks, which come after them.
        segments: Segments of a row: 2, or 4 if rows subtract.
    """

    target: Tensor
    owner: Tensor
    ptr: Tensor
    inputs: Tensor
    part_ptr: Tensor
    launches: list[tuple[int, int]]
    num_slots: int
    segments: int


@once_per_hag
def device_plan(hag: HAG) -> DevicePlan:
    """The plan, on the device of the HAG."""
    flat = hag.host.flat
    segments = 4 if hag.is_signed else 2
    groups = flat.group_aggs, flat.group_dsts
    split = split_hubs(hag.host.rows, *groups, hag.is_signed, MAX_INPUTS, CHUNK)
    batches = make_batches(split, flat.group_aggs, segments, ROWS, LOCAL_WORK, WINDOW)
    target, owner, ptr, inputs = reorder(batches.order, split, segments, PADDING)
    arrays = {
        "target": target,
        "owner": owner,
        "ptr": ptr.astype(np.int32) if inputs.size < 2**31 else ptr,
        "inputs": inputs,
        "part_ptr": batches.part_ptr.astype(np.int32),
    }
    tensors = dict(zip(arrays, _on_device(arrays.values(), hag.device), strict=True))
    ends = batches.launch_ptr.tolist()
    launches = [(first, end) for first, end in pairwise(ends) if end > first]
    num_slots = split.target.size - hag.num_dst
    return DevicePlan(
        **tensors, launches=launches, num_slots=num_slots, segments=segments
    )


def _on_device(arrays: Collection[Any], device: torch.device) -> Iterator[Tensor]:
    """The arrays as aligned tensors on a device, moved in one copy."""
    places, size = [], 0
    for array in arrays:
        places.append(size)
        size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    whole = np.zeros(size, np.uint8)
    for place, array in zip(places, arrays, strict=True):
        whole[place : place + array.nbytes] = array.view(np.uint8)
    moved = torch.from_numpy(whole).to(device)
    for place, array in zip(places, arrays, strict=True):
        dtype = torch.from_numpy(array[:0]).dtype
        yield moved[place : place + array.nbytes].view(dtype)

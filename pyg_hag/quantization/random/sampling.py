"""Random samples of a large tensor's values."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.quantization.random import random_bits
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64


def sample(
    seed: Tensor,
    step: Tensor,
    num_samples: int,
    num_rows: int,
    width: int,
    counts: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Samples values of a matrix.

    The values are cut into stretches of the same length, one for each sample. This is
    less random than independent samples, and faster: memory is read in order.

    Args:
        seed: int64 of shape `[]`.
        step: int64 of shape `[]`.
        num_samples: The number of samples, at most the number of values.
        num_rows: The number of rows.
        width: The number of columns.
        counts: How often each row counts, int64 `[num_rows]`; once if None.

    Returns:
        Places in the flattened matrix, and their rows, int64 `[num_samples]`.
    """
    drawn = random_bits.bits(seed, step, num_samples)
    ends = None if counts is None else counts.cumsum(0)
    if drawn.device.type == "cpu" and not torch.compiler.is_compiling():
        row_ends: Any = np.empty(0, np.int64) if ends is None else ends.numpy()
        place, row = _sample_ascending(drawn.numpy(), num_rows, width, row_ends)
        return torch.from_numpy(place), torch.from_numpy(row)
    stretch = torch.arange(num_samples, device=drawn.device)
    if ends is None:
        total = num_rows * width
        place = stretch * total // num_samples + drawn % (total // num_samples)
        return place, place // width
    weighted = ends[-1] * width
    length = (weighted // num_samples).clamp(min=1)
    place = stretch * weighted // num_samples + drawn % length
    row = torch.searchsorted(ends, place // width, right=True).clamp(max=num_rows - 1)
    return row * width + place % width, row


@jit
def _sample_ascending(
    drawn: I64, num_rows: int, width: int, row_ends: I64
) -> tuple[I64, I64]:
    """The samples of :func:`sample` in one pass: places ascend, and so do rows.

    Args:
        drawn: Random bits, `[num_samples]`.
        num_rows: The number of rows.
        width: The number of columns.
        row_ends: Cumulative counts, `[num_rows]`; empty if each row counts once.

    Returns:
        Places and rows, `[num_samples]`.
    """
    num_samples = drawn.size
    total = (row_ends[-1] if row_ends.size else num_rows) * width
    whole, rest = total // num_samples, total % num_samples
    length = max(1, whole)
    places, rows = np.empty(num_samples, np.int64), np.empty(num_samples, np.int64)
    row = begin = left = 0
    end = (row_ends[0] if row_ends.size else 1) * width
    for i in range(num_samples):
        place = begin + np.int64(np.uint64(drawn[i]) % np.uint64(length))
        while place >= end and row < num_rows - 1:
            row += 1
            end = (row_ends[row] if row_ends.size else row + 1) * width
        rows[i] = row
        places[i] = row * width + np.int64(np.uint64(place) % np.uint64(width))
        begin, left = begin + whole, left + rest
        if left >= num_samples:
            begin, left = begin + 1, left - num_samples
    return places, rows

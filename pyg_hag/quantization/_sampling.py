"""Which values of a tensor are looked at, where there are many."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._jit import jit
from pyg_hag.quantization import _random

I64 = NDArray[np.int64]


def sample(
    seed: Tensor,
    step: Tensor,
    most: int,
    num_rows: int,
    width: int,
    counts: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Places of `most` values of rows that count so often (or once); and their rows.

    One of each of as many stretches of the same length, which is less random, and
    quicker: memory is read in order.
    """
    drawn = _random.bits(seed, step, most)
    ends = None if counts is None else counts.cumsum(0)
    if drawn.device.type == "cpu" and not torch.compiler.is_compiling():
        every: Any = np.empty(0, np.int64) if ends is None else ends.numpy()
        place, row = _sampled(drawn.numpy(), num_rows, width, every)
        return torch.from_numpy(place), torch.from_numpy(row)
    stretch = torch.arange(most, device=drawn.device)
    if ends is None:
        total = num_rows * width
        place = stretch * total // most + drawn % (total // most)
        return place, place // width
    weighted = ends[-1] * width
    place = stretch * weighted // most + drawn % (weighted // most).clamp(min=1)
    row = torch.searchsorted(ends, place // width, right=True).clamp(max=num_rows - 1)
    return row * width + place % width, row


@jit
def _sampled(drawn: I64, num_rows: int, width: int, ends: I64) -> tuple[I64, I64]:
    """The same, in one pass: places ascend, and so do rows."""
    most = drawn.size
    total = (ends[-1] if ends.size else num_rows) * width
    whole, rest = total // most, total % most
    length = max(1, whole)
    places, rows = np.empty(most, np.int64), np.empty(most, np.int64)
    row = begin = left = 0
    end = (ends[0] if ends.size else 1) * width
    for i in range(most):
        place = begin + np.int64(np.uint64(drawn[i]) % np.uint64(length))
        while place >= end and row < num_rows - 1:
            row += 1
            end = (ends[row] if ends.size else row + 1) * width
        rows[i] = row
        places[i] = row * width + np.int64(np.uint64(place) % np.uint64(width))
        begin, left = begin + whole, left + rest
        if left >= most:
            begin, left = begin + 1, left - most
    return places, rows

"""Sums by `torch.segment_reduce`, level by level, on any device."""

import torch
from torch import Tensor

from pyg_hag.ops.torch.segments import SegmentBackend


class SegmentReduceBackend(SegmentBackend):
    """Sums by `torch.segment_reduce`."""

    name = "segment_reduce"

    def segment_sum(self, values: Tensor, ptr: Tensor) -> Tensor:
        """The sum of each segment."""
        out: Tensor = torch.segment_reduce(values, "sum", offsets=ptr, initial=0)
        return out

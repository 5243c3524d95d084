"""Sums by PyTorch's own segments, level by level, on any device."""

import torch
from torch import Tensor

from pyg_hag.ops import _torch
from pyg_hag.ops._composed import many_of
from pyg_hag.ops._segments import sum_by

DTYPES = _torch.DTYPES


def _summed(values: Tensor, ptr: Tensor) -> Tensor:
    out: Tensor = torch.segment_reduce(values, "sum", offsets=ptr, initial=0)
    return out


aggregate_sum = sum_by(_summed)
aggregate_max = _torch.aggregate_max
aggregate_max_backward = _torch.aggregate_max_backward
aggregate_many = many_of(aggregate_sum, aggregate_max)

"""Sums by torch_scatter, level by level, on any device it knows.

Maxima are those of `_torch.py`: torch_scatter passes over NaN and starts from the
lowest finite number.
"""

from torch import Tensor
from torch_geometric.typing import WITH_TORCH_SCATTER

from pyg_hag.ops import _torch
from pyg_hag.ops._composed import many_of
from pyg_hag.ops._segments import sum_by

IS_THERE: bool = WITH_TORCH_SCATTER
"""Whether torch_scatter is installed."""
DTYPES = _torch.DTYPES


def _summed(values: Tensor, ptr: Tensor) -> Tensor:
    import torch_scatter

    out: Tensor = torch_scatter.segment_csr(values, ptr, reduce="sum")
    return out


aggregate_sum = sum_by(_summed)
aggregate_max = _torch.aggregate_max
aggregate_max_backward = _torch.aggregate_max_backward
aggregate_many = many_of(aggregate_sum, aggregate_max)

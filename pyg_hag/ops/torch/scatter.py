"""Sums by torch_scatter, level by level, on any device that it supports.

Maxima are those of the reference: torch_scatter ignores NaN and starts from the lowest
finite number.
"""

from torch import Tensor
from torch_geometric.typing import WITH_TORCH_SCATTER

from pyg_hag.ops.torch.segments import SegmentBackend


class TorchScatterBackend(SegmentBackend):
    """Sums by `torch_scatter.segment_csr`."""

    name = "torch_scatter"
    package = "torch_scatter"

    def __init__(self) -> None:
        super().__init__()
        self.is_installed = WITH_TORCH_SCATTER  # installed, and it can be imported

    def segment_sum(self, values: Tensor, ptr: Tensor) -> Tensor:
        """The sum of each segment."""
        import torch_scatter

        out: Tensor = torch_scatter.segment_csr(values, ptr, reduce="sum")
        return out

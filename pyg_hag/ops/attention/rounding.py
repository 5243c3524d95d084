"""How attention over quantized features is computed and rounded."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.ops.qparams import QParams


class QuantizedAttention(NamedTuple):
    """The kind `gat` of attention, with rounding where training has it.

    Attributes:
        num_heads: Number of heads.
        num_channels: Channels of each head.
        value: The parameters of the features.
        score: Those of the scores before the leaky ReLU.
        total: Those of the sums.
        slope: Of the leaky ReLU.
        loops: Whether each node that is both source and destination has exactly one
            self-loop, instead of those of the graph.
        mean: Whether the result is the mean over the heads, and not all of them.
    """

    num_heads: int
    num_channels: int
    value: QParams
    score: QParams
    total: QParams
    slope: float = 0.2
    loops: bool = False
    mean: bool = False

    @property
    def layout(self) -> Layout:
        """The layout of features and scores."""
        return Layout("float32", self.num_heads, self.num_channels)

    @property
    def columns(self) -> int:
        """Features of a result."""
        return self.num_channels * (1 if self.mean else self.num_heads)


def order_of(layout: Layout) -> Tensor:
    """The number of the feature at each place of a layout; -1 where there is none."""
    places = layout.places
    order = places.new_full((layout.columns,), -1)
    order[places] = torch.arange(places.numel(), device="cpu")
    return order

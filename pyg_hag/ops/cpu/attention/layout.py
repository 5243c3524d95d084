"""How the features of several heads lie in vectors.

Heads lie side by side in the lanes of a vector, so that one instruction computes the
same channel of all heads: coefficients need not be spread, and inner products of all
heads are one sum of vectors. Features of shape `[N, H, C]` become `[N, G, C', W]`: `W`
heads in a vector (a power of two), `G` groups of them, and `C'` channels, padded with
zeros so that each group fills whole vectors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_hag.ops.cpu.formats import FORMATS


@dataclass(frozen=True)
class Layout:
    """The layout of features of some shape.

    Attributes:
        dtype: The dtype of the features, `"float32"` or `"float64"`.
        num_heads: Number of heads.
        num_channels: Channels of each head.
    """

    dtype: str
    num_heads: int
    num_channels: int

    @property
    def lanes(self) -> int:
        """Elements in a vector."""
        return FORMATS[self.dtype].lanes

    @property
    def width(self) -> int:
        """Heads in a vector."""
        return min(self.lanes, 1 << (max(1, self.num_heads) - 1).bit_length())

    @property
    def groups(self) -> int:
        """Groups of heads, of which each fills vectors of its own."""
        return -(-self.num_heads // self.width)

    @property
    def vectors(self) -> int:
        """Vectors of the features of one group."""
        return -(-self.num_channels * self.width // self.lanes)

    @property
    def heads(self) -> int:
        """Heads of all groups, with those that are padding."""
        return self.groups * self.width

    @property
    def columns(self) -> int:
        """Elements of the features of one node."""
        return self.groups * self.vectors * self.lanes

    @property
    def _padded(self) -> int:
        return self.vectors * self.lanes // self.width

    @property
    def _is_natural(self) -> bool:
        return self.width == 1 and self._padded == self.num_channels

    def features(self, x: Tensor) -> Tensor:
        """Features `[N, H, C]` in this layout, `[N, columns]`."""
        if self._is_natural:
            return x.reshape(x.size(0), self.columns).contiguous()
        missing = 0, self._padded - self.num_channels, 0, self.heads - self.num_heads
        padded = torch.nn.functional.pad(x, missing)
        by_group = padded.view(x.size(0), self.groups, self.width, self._padded)
        return by_group.transpose(2, 3).reshape(x.size(0), self.columns)

    def natural(self, x: Tensor) -> Tensor:
        """Features of this layout, `[N, columns]`, as `[N, H, C]`."""
        num_rows, heads, channels = x.size(0), self.num_heads, self.num_channels
        if self._is_natural:
            return x.view(num_rows, heads, channels)
        by_channel = x.view(num_rows, self.groups, self._padded, self.width)
        by_head = by_channel.transpose(2, 3).reshape(num_rows, self.heads, self._padded)
        return by_head[:, :heads, :channels].contiguous()

    def scores(self, s: Tensor) -> Tensor:
        """Scores `[N, H]`, padded to `[N, heads]`."""
        if s.size(1) == self.heads:
            return s.contiguous()
        return torch.nn.functional.pad(s, (0, self.heads - s.size(1)))

    def unpadded(self, s: Tensor) -> Tensor:
        """Scores `[N, heads]` without padding, `[N, H]`."""
        return s[:, : self.num_heads]

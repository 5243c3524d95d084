"""How the features of several heads lie in vectors.

Heads lie side by side in the lanes of a vector, so that one instruction computes the
same channel of all heads: coefficients need not be spread, and inner products of all
heads are one sum of vectors. Features of shape `[N, H, C]` become `[N, G, C', W]`: `W`
heads in a vector (a power of two), `G` groups of them, and `C'` channels, padded with
zeros so that each group fills whole vectors.
"""

import functools
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pyg_hag.ops.cpu.attention.nodes import Relayout
from pyg_hag.ops.cpu.attention.running import TASKS_PER_THREAD, run
from pyg_hag.ops.cpu.formats import FORMATS
from pyg_hag.plan.cpu import pays_threads
from pyg_hag.runtime import memory, thread_pool

_relayout = functools.cache(Relayout)


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
    def itemsize(self) -> int:
        """Bytes of an element."""
        return FORMATS[self.dtype].size

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

    @property
    def places(self) -> Tensor:
        """The place of each feature of `[H, C]` in this layout, `[H * C]`."""
        head = torch.arange(self.num_heads, device="cpu")[:, None]
        channel = torch.arange(self.num_channels, device="cpu")
        group, lane = head // self.width, head % self.width
        first = group * (self.vectors * self.lanes) + lane
        return (first + channel * self.width).flatten()

    def features(self, x: Tensor) -> Tensor:
        """Features `[N, H, C]` in this layout, `[N, columns]`."""
        if self._is_natural:
            return x.reshape(x.size(0), self.columns).contiguous()
        out = memory.empty(x, x.size(0), self.columns)
        self._copy(x.contiguous(), out, to_natural=False)
        return out

    def natural(self, x: Tensor) -> Tensor:
        """Features of this layout, `[N, columns]`, as `[N, H, C]`."""
        shape = x.size(0), self.num_heads, self.num_channels
        if self._is_natural:
            return x.view(shape)
        out = memory.empty(x, x.size(0), self.num_heads * self.num_channels)
        self._copy(out, x, to_natural=True)
        return out.view(shape)

    def _copy(self, natural: Tensor, vectors: Tensor, to_natural: bool) -> None:
        for tensor in (natural, vectors):
            if tensor.dtype is not getattr(torch, self.dtype) or not tensor.is_cpu:
                raise TypeError(
                    f"features must be of {self.dtype} on the CPU in this layout (got "
                    f"{tensor.dtype} on {tensor.device})"
                )
        num_rows, threads = natural.size(0), thread_pool.num_threads()
        shape = self.num_heads, self.num_channels, self._padded
        program = _relayout(self.dtype, self.width, *shape, to_natural)
        several = pays_threads(2 * num_rows, self.columns, threads)
        count = TASKS_PER_THREAD * threads if several else 1
        cuts = [num_rows * i // count for i in range(count + 1)]
        tasks = [(first, last, 0) for first, last in pairwise(cuts) if first < last]
        places = {"natural": natural.data_ptr(), "vectors": vectors.data_ptr()}
        run(program, tasks, places)

    def scores(self, s: Tensor) -> Tensor:
        """Scores `[N, H]`, padded to `[N, heads]`."""
        if s.size(1) == self.heads:
            return s.contiguous()
        return torch.nn.functional.pad(s, (0, self.heads - s.size(1)))

    def unpadded(self, s: Tensor) -> Tensor:
        """Scores `[N, heads]` without padding, `[N, H]`."""
        return s[:, : self.num_heads]

    def stats(self, stats: Tensor) -> Tensor:
        """Numbers of nodes and heads, `[N, H, K]`, padded to `[N, K, heads]`."""
        padding = self.heads - self.num_heads
        turned = stats.transpose(1, 2)
        if padding:
            return torch.nn.functional.pad(turned, (0, padding))
        return turned.contiguous()

    def natural_stats(self, stats: Tensor) -> Tensor:
        """Numbers of nodes and heads, `[N, K, heads]`, as `[N, H, K]`."""
        return stats[..., : self.num_heads].transpose(1, 2).contiguous()

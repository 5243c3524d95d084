"""Sums of sorted segments, level by level: the base of two backends.

Sorted segments need no atomics, so that accelerators give the same bits every time.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.torch.reference import TorchBackend, levels, scale_rows

Segments = tuple[Tensor, Tensor, Tensor]
"""Inputs (sources, then aggregates), pointers to those of each row, and the rows."""


class SegmentBackend(TorchBackend):
    """Sums of sorted segments; maxima are those of the reference."""

    @abstractmethod
    def segment_sum(self, values: Tensor, ptr: Tensor) -> Tensor:
        """The sums of values `[E, F]` from `ptr[i]` to `ptr[i + 1]`: `[N, F]`."""

    def aggregate_sum(
        self,
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
    ) -> Tensor:
        """`dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`."""
        features = x
        if src_scale is not None:
            x = x * src_scale[:, None]
        added, subtracted = _segments(hag, False), _segments(hag, True)
        aggs = x.new_zeros(hag.num_aggregates, x.size(1))
        out = x.new_zeros(hag.num_dst, x.size(1))
        for i, level in enumerate(added):
            into = out if i == len(added) - 1 else aggs
            signed = [(level, 1), *((s, -1) for s in subtracted[i : i + 1])]
            for (inputs, ptr, rows), sign in signed:
                total = self.segment_sum(_read(inputs, x, aggs), ptr)
                into.index_add_(0, rows, total, alpha=sign)  # each row once
        return scale_rows(out, features, dst_scale, self_scale)


def _read(inputs: Tensor, x: Tensor, aggs: Tensor) -> Tensor:
    if aggs.size(0) == 0:
        return x[inputs]
    return torch.cat([x, aggs])[inputs]


def _segments(hag: HAG, subtracted: bool) -> list[Segments]:
    """The levels of :func:`levels` with the inputs of each row side by side."""
    if subtracted and not hag.is_signed:
        return []
    return _make_segments(hag, subtracted)


@once_per_hag
def _make_segments(hag: HAG, subtracted: bool) -> list[Segments]:
    segments: list[Any] = []
    for src, src_row, agg, agg_row in levels(hag, subtracted):
        inputs = torch.cat([src, hag.num_src + agg])
        owner = torch.cat([src_row, agg_row])
        order = owner.argsort(stable=True)
        rows, count = owner[order].unique_consecutive(return_counts=True)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        segments.append((inputs[order], ptr, rows))
    return segments

"""Sums of sorted segments, level by level: what two backends are made of.

Segments of sorted inputs rather than atomics, so that accelerators give the same bits
every time.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops import _torch

Segments = tuple[Tensor, Tensor, Tensor]
"""Inputs, sources before aggregates; where those of each row begin; the rows."""


def sum_by(summed: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The `aggregate_sum` of a backend whose `summed(values, ptr)` sums segments."""

    def aggregate_sum(
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
    ) -> Tensor:
        """See :func:`pyg_hag.ops._torch.aggregate_sum`."""
        features = x
        if src_scale is not None:
            x = x * src_scale[:, None]
        added, subtracted = _segments(hag, False), _segments(hag, True)
        aggs = x.new_zeros(hag.num_aggregates, x.size(1))
        out = x.new_zeros(hag.num_dst, x.size(1))
        for i, level in enumerate(added):
            to = out if i == len(added) - 1 else aggs
            minus = [(segments, -1) for segments in subtracted[i : i + 1]]
            for segments, sign in ((level, 1), *minus):
                inputs, ptr, rows = segments
                total = summed(_read(inputs, x, aggs), ptr)
                to.index_add_(0, rows, total, alpha=sign)  # each row once
        return _torch.finished(out, features, dst_scale, self_scale)

    return aggregate_sum


def _read(inputs: Tensor, x: Tensor, aggs: Tensor) -> Tensor:
    if aggs.size(0) == 0:
        return x[inputs]
    return torch.cat([x, aggs])[inputs]


def _segments(hag: HAG, minus: bool) -> list[Segments]:
    """The levels of :func:`_torch.levels`, each row's inputs side by side."""
    if minus and not hag.is_signed:
        return []
    return hag._cached(("segments", minus), lambda: _make(hag, minus))


def _make(hag: HAG, minus: bool) -> list[Segments]:
    made: list[Any] = []
    for src, src_row, agg, agg_row in _torch.levels(hag, minus):
        inputs = torch.cat([src, hag.num_src + agg])
        owner = torch.cat([src_row, agg_row])
        order = owner.argsort(stable=True)
        rows, count = owner[order].unique_consecutive(return_counts=True)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        made.append((inputs[order], ptr, rows))
    return made

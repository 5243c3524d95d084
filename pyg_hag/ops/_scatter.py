"""Sums by torch_scatter, level by level, on any device it knows.

Segments of sorted inputs rather than atomics, so that accelerators give the same bits
every time. Maxima are those of `_torch.py`: torch_scatter passes over NaN and starts
from the lowest finite number.
"""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import WITH_TORCH_SCATTER

from pyg_hag.hag import HAG
from pyg_hag.ops import _torch
from pyg_hag.ops._composed import many_of

IS_THERE: bool = WITH_TORCH_SCATTER
"""Whether torch_scatter is installed."""
DTYPES = _torch.DTYPES
aggregate_max = _torch.aggregate_max
aggregate_max_backward = _torch.aggregate_max_backward

Segments = tuple[Tensor, Tensor, Tensor]
"""Inputs, sources before aggregates; where those of each row begin; the rows."""


def aggregate_sum(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    hag: HAG,
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`."""
    features = x
    if src_scale is not None:
        x = x * src_scale[:, None]
    added, subtracted = _segments(hag, False), _segments(hag, True)
    aggs = x.new_zeros(hag.num_aggregates, x.size(1))
    out = x.new_zeros(hag.num_dst, x.size(1))
    for i, level in enumerate(added):
        to = out if i == len(added) - 1 else aggs
        for segments, sign in ((level, 1), *((s, -1) for s in subtracted[i : i + 1])):
            inputs, ptr, rows = segments
            total = _summed(_read(inputs, x, aggs), ptr)
            to.index_add_(0, rows, total, alpha=sign)  # each row once
    return _torch.finished(out, features, dst_scale, self_scale)


aggregate_many = many_of(aggregate_sum, aggregate_max)


def _summed(values: Tensor, ptr: Tensor) -> Tensor:
    import torch_scatter

    out: Tensor = torch_scatter.segment_csr(values, ptr, reduce="sum")
    return out


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

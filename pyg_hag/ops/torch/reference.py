"""The reference: plain PyTorch operators, level by level, on any device."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.backend import Backend

Level = tuple[Tensor, Tensor, Tensor, Tensor]
"""Source inputs and the rows that read them; aggregate inputs and their rows; int64."""


class TorchBackend(Backend):
    """Plain PyTorch operators, on any device."""

    name = "torch"

    def aggregate_sum(
        self,
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
    ) -> Tensor:
        """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`.

        For x of shape `[N, F]`.
        """
        features = x
        if src_scale is not None:
            x = x * src_scale[:, None]
        aggs = x.new_zeros(hag.num_aggregates, x.size(1))
        out = x.new_zeros(hag.num_dst, x.size(1))
        added, subtracted = levels(hag), levels(hag, True)
        for i, level in enumerate(added):
            into = out if i == len(added) - 1 else aggs
            _add(into, x, aggs, level, 1)
            if subtracted:
                _add(into, x, aggs, subtracted[i], -1)
        return scale_rows(out, features, dst_scale, self_scale)

    def aggregate_max(self, x: Tensor, hag: HAG, minimum: bool) -> Tensor:
        """The largest (or smallest) `x[u]` per destination; 0 where there is none."""
        if minimum:  # of integers, `~x` is in order and in range where `-x` is not
            x = -x if x.is_floating_point() else ~x
        aggs = _aggregate_maxima(x, hag)
        src, src_row, agg, agg_row = levels(hag)[-1]
        out = x.new_full((hag.num_dst, x.size(1)), _lowest(x))
        _take_max(out, src_row, x[src])
        _take_max(out, agg_row, aggs[agg])
        if minimum:
            out = -out if x.is_floating_point() else ~out
        out[hag.in_degree == 0] = 0
        return out

    def aggregate_max_backward(
        self, grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
    ) -> Tensor:
        """Splits each gradient evenly among the sources that attain the maximum.

        Like PyTorch's `scatter_reduce`, which also counts the zero it starts from.
        """
        x, out = (-x, -out) if minimum else (x, out)
        aggs = _aggregate_maxima(x, hag)
        *inner, final = levels(hag)
        count = torch.zeros_like(aggs)
        for src, src_row, agg, agg_row in inner:
            count.index_add_(0, src_row, (x[src] == aggs[src_row]).to(x.dtype))
            count.index_add_(0, agg_row, (aggs[agg] == aggs[agg_row]) * count[agg])
        src, src_row, agg, agg_row = final
        out_count = torch.zeros_like(out)
        out_count.index_add_(0, src_row, (x[src] == out[src_row]).to(x.dtype))
        out_count.index_add_(0, agg_row, (aggs[agg] == out[agg_row]) * count[agg])
        out_share = grad / (out_count + (out == 0))

        grad_x = torch.zeros_like(x)
        share = torch.zeros_like(aggs)
        grad_x.index_add_(0, src, (x[src] == out[src_row]) * out_share[src_row])
        share.index_add_(0, agg, (aggs[agg] == out[agg_row]) * out_share[agg_row])
        for src, src_row, agg, agg_row in reversed(inner):
            grad_x.index_add_(0, src, (x[src] == aggs[src_row]) * share[src_row])
            share.index_add_(0, agg, (aggs[agg] == aggs[agg_row]) * share[agg_row])
        return grad_x


def scale_rows(
    out: Tensor, x: Tensor, dst_scale: Tensor | None, self_scale: Tensor | None
) -> Tensor:
    """`dst_scale[v] * out[v] + self_scale[v] * x[v]`."""
    if dst_scale is not None:
        out = out * dst_scale[:, None]
    if self_scale is not None:
        self_scale = self_scale[:, None]
        out = out + torch.where(self_scale == 0, 0, self_scale * x)
    return out


def _add(out: Tensor, x: Tensor, aggs: Tensor, level: Level, sign: int) -> None:
    src, src_row, agg, agg_row = level
    for rows, values in ((src_row, x[src]), (agg_row, aggs[agg])):
        out.index_add_(0, rows, values if sign > 0 else -values)


def _aggregate_maxima(x: Tensor, hag: HAG) -> Tensor:
    aggs = x.new_full((hag.num_aggregates, x.size(1)), _lowest(x))
    for src, src_row, agg, agg_row in levels(hag)[:-1]:
        _take_max(aggs, src_row, x[src])
        _take_max(aggs, agg_row, aggs[agg])
    return aggs


def _lowest(x: Tensor) -> float:
    """The number from which a maximum starts."""
    return -torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).min


def _take_max(out: Tensor, row: Tensor, values: Tensor) -> None:
    out.scatter_reduce_(0, row[:, None].expand_as(values), values, "amax")


def levels(hag: HAG, subtracted: bool = False) -> list[Level]:
    """The inputs of aggregates, level by level; those of destinations come last.

    Args:
        hag: The graph; each level reads only aggregates of earlier ones.
        subtracted: Whether to return the inputs that are subtracted instead of those
            that are added; an empty list if there are none.
    """
    if subtracted and not hag.is_signed:
        return []
    return _levels(hag, subtracted)


@once_per_hag
def _levels(hag: HAG, subtracted: bool) -> list[Level]:
    rows = hag.host.rows
    target = rows.target
    depth: Any = np.zeros(target.size, np.int64)
    depth[target < 0] = hag.host.paths.level
    depth[target >= 0] = hag.stats.depth + 1
    number = np.where(target < 0, -1 - target, target)
    edges = []
    for inputs, ptr, mid in (
        (rows.src, rows.src_ptr, rows.src_mid),
        (rows.agg, rows.agg_ptr, rows.agg_mid),
    ):
        row = np.repeat(np.arange(target.size), np.diff(ptr))
        wanted = (np.arange(row.size) >= mid[row]) == subtracted
        edges.append((inputs[wanted], row[wanted]))
    levels = []
    for level in range(1, hag.stats.depth + 2):
        parts: list[Tensor] = []
        for inputs, row in edges:
            selected = depth[row] == level
            both = inputs[selected], number[row[selected]]
            parts += [torch.from_numpy(values).to(hag.device) for values in both]
        src, src_row, agg, agg_row = parts
        levels.append((src, src_row, agg, agg_row))
    return levels

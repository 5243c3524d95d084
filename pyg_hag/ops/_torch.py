"""The reference: plain PyTorch operators, level by level, on any device."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops._composed import many_of

Level = tuple[Tensor, Tensor, Tensor, Tensor]
"""Source inputs and the rows that read them; aggregate inputs and their rows."""


DTYPES = (torch.float32, torch.float64)
"""The dtypes that are summed as they are."""


def aggregate_sum(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    hag: HAG,
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`.

    For x of shape [N, F].
    """
    features = x
    if src_scale is not None:
        x = x * src_scale[:, None]
    aggs = x.new_zeros(hag.num_aggregates, x.size(1))
    out = x.new_zeros(hag.num_dst, x.size(1))
    added, subtracted = levels(hag), levels(hag, True)
    for i, level in enumerate(added):
        to = out if i == len(added) - 1 else aggs
        _add(to, x, aggs, level, 1)
        if subtracted:
            _add(to, x, aggs, subtracted[i], -1)
    return finished(out, features, dst_scale, self_scale)


def finished(
    out: Tensor, x: Tensor, dst_scale: Tensor | None, self_scale: Tensor | None
) -> Tensor:
    """`dst_scale[v] * out[v] + self_scale[v] * x[v]`."""
    if dst_scale is not None:
        out = out * dst_scale[:, None]
    if self_scale is not None:
        own = self_scale[:, None]
        out = out + torch.where(own == 0, 0, own * x)
    return out


def _add(to: Tensor, x: Tensor, aggs: Tensor, level: Level, sign: int) -> None:
    src, src_row, agg, agg_row = level
    to.index_add_(0, src_row, x[src], alpha=sign)
    to.index_add_(0, agg_row, aggs[agg], alpha=sign)


def aggregate_max(x: Tensor, hag: HAG, minimum: bool) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    x = -x if minimum else x
    aggs = _max_of_aggregates(x, hag)
    src, src_row, agg, agg_row = levels(hag)[-1]
    out = x.new_full((hag.num_dst, x.size(1)), -torch.inf)
    _raise(out, src_row, x[src])
    _raise(out, agg_row, aggs[agg])
    out = -out if minimum else out
    out[hag.in_degree == 0] = 0
    return out


aggregate_many = many_of(aggregate_sum, aggregate_max)


def aggregate_max_backward(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
) -> Tensor:
    """Splits each gradient evenly among the sources that reach the maximum.

    As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
    """
    x, out = (-x, -out) if minimum else (x, out)
    aggs = _max_of_aggregates(x, hag)
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


def _max_of_aggregates(x: Tensor, hag: HAG) -> Tensor:
    aggs = x.new_full((hag.num_aggregates, x.size(1)), -torch.inf)
    for src, src_row, agg, agg_row in levels(hag)[:-1]:
        _raise(aggs, src_row, x[src])
        _raise(aggs, agg_row, aggs[agg])
    return aggs


def _raise(to: Tensor, row: Tensor, values: Tensor) -> None:
    to.scatter_reduce_(0, row[:, None].expand_as(values), values, "amax")


def levels(hag: HAG, minus: bool = False) -> list[Level]:
    """The aggregates by level, each reading only earlier ones; destinations last.

    Without what is subtracted, or that alone: nothing where the HAG does not.
    """
    if minus and not hag.is_signed:
        return []
    return hag._cached(("levels", minus), lambda: _make_levels(hag, minus))


def _make_levels(hag: HAG, minus: bool) -> list[Level]:
    a = hag._arrays()
    kinds = a["kinds"]
    depth: Any = np.zeros(kinds.size, np.int64)
    depth[kinds < 0] = hag._paths()[2]
    depth[kinds >= 0] = hag.stats.depth + 1
    number = np.where(kinds < 0, -1 - kinds, kinds)
    ends = []
    for name in ("src", "agg"):
        row = np.repeat(np.arange(kinds.size), a[f"{name}_count"])
        wanted = (np.arange(row.size) >= a[f"{name}_mid"][row]) == minus
        ends.append((a[name][wanted], row[wanted]))
    levels = []
    for level in range(1, hag.stats.depth + 2):
        parts: list[Tensor] = []
        for inputs, row in ends:
            chosen = depth[row] == level
            both = inputs[chosen], number[row[chosen]]
            parts += [torch.from_numpy(values).to(hag.device) for values in both]
        src, src_row, agg, agg_row = parts
        levels.append((src, src_row, agg, agg_row))
    return levels

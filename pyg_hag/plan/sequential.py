"""The steps of a sequential HAG by level, for kernels that run a level at once."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64


class SequentialPlan(NamedTuple):
    """All steps of a sequential HAG, sorted by level: the number of steps before them.

    Attributes:
        src: The source that each step reads, int64 `[num_steps]`.
        before: The step before each, as its place in the previous level, int64
            `[num_steps]`; 0 in the first level.
        sizes: Number of steps of each level.
        last: The last step of each destination, or `num_steps` if it reads nothing,
            int64 `[num_dst]`.
    """

    src: Tensor
    before: Tensor
    sizes: list[int]
    last: Tensor


class NeighborSteps(NamedTuple):
    """All neighbours of all destinations: all first ones, then all second ones, etc.

    Attributes:
        dst: The destination of each neighbour, int64 `[num_edges]`.
        step: The step that reads it, as its place in its level, int64 `[num_edges]`.
        sizes: How many destinations have a first, a second, etc. neighbour.
    """

    dst: Tensor
    step: Tensor
    sizes: list[int]


def sequential_plan(hag: AbstractHAG) -> SequentialPlan:
    """The steps of a sequential HAG, computed once per HAG.

    Raises:
        ValueError: If the HAG is not sequential.
    """
    if not hag.is_sequential:
        raise ValueError(
            "'hag' is a set HAG, in which neighbours have no order: build it with "
            "'build_hag(order=\"sequential\")' or 'HAGTransform(order=\"sequential\")'"
        )
    assert isinstance(hag, HAG)
    return _make_plan(hag)


@once_per_hag
def neighbor_steps(hag: AbstractHAG) -> NeighborSteps:
    """The steps to each destination of a sequential HAG, computed once per HAG."""
    plan = sequential_plan(hag)
    sizes = np.array([0, *plan.sizes], np.int64)
    before, last = plan.before.cpu().numpy(), plan.last.cpu().numpy()
    dst, step, lengths = _trace_back(before, last, np.cumsum(sizes), hag.num_edges)
    device = hag.device
    return NeighborSteps(
        torch.from_numpy(dst).to(device),
        torch.from_numpy(step).to(device),
        lengths.tolist(),
    )


@once_per_hag
def _make_plan(hag: HAG) -> SequentialPlan:
    rows = hag.host.rows
    depth, before, last = _walk(rows.target, rows.src_ptr, rows.agg_ptr, rows.agg)
    order = np.argsort(depth, kind="stable")
    sizes = np.bincount(depth) if depth.size else np.zeros(0, np.int64)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(depth.size + 1, np.int64)  # of each step in `order`
    place[order] = np.arange(depth.size)
    place[-1] = depth.size
    inside = place[:-1] - starts[depth]
    previous = np.where(before >= 0, inside[before], 0) if depth.size else before
    device = hag.device
    return SequentialPlan(
        torch.from_numpy(rows.src[order]).to(device),
        torch.from_numpy(previous[order]).to(device),
        sizes.tolist(),
        torch.from_numpy(place[last]).to(device),
    )


@jit
def _walk(target: I64, src_ptr: I64, agg_ptr: I64, agg: I64) -> tuple[I64, I64, I64]:
    """The level of each source input, and the input before it, -1 in the first level.

    Both of shape `[num_inputs]`; also returns the last input of each destination,
    `[num_dst]`, -1 if it has none.
    """
    num_rows = target.size
    depth = np.empty(src_ptr[num_rows], np.int64)
    before = np.empty(src_ptr[num_rows], np.int64)
    end = np.empty(num_rows, np.int64)  # the last step of each aggregate
    num_dst = 0
    for r in range(num_rows):
        if target[r] >= 0:
            num_dst += 1
    last = np.empty(num_dst, np.int64)
    num_aggs = 0
    for r in range(num_rows):
        at = -1
        if agg_ptr[r + 1] > agg_ptr[r]:
            at = end[agg[agg_ptr[r]]]
        for e in range(src_ptr[r], src_ptr[r + 1]):
            before[e] = at
            depth[e] = 0 if at < 0 else depth[at] + 1
            at = e
        if target[r] >= 0:
            last[target[r]] = at
        else:
            end[num_aggs] = at
            num_aggs += 1
    return depth, before, last


@jit
def _trace_back(
    before: I64, last: I64, starts: I64, num_edges: int
) -> tuple[I64, I64, I64]:
    """The destination and the step of each neighbour, `[num_edges]`, sorted by level.

    Also returns the number of neighbours in each level, `[num_levels]`.
    """
    num_levels = starts.size - 1
    sizes = np.zeros(num_levels, np.int64)
    for d in range(last.size):
        if last[d] < before.size:
            sizes[np.searchsorted(starts, last[d], side="right") - 1] += 1
    for t in range(
        num_levels - 2, -1, -1
    ):  # a destination with a next neighbour has this one
        sizes[t] += sizes[t + 1]
    place = np.zeros(num_levels + 1, np.int64)
    for t in range(num_levels):
        place[t + 1] = place[t] + sizes[t]
    dst = np.empty(num_edges, np.int64)
    step = np.empty(num_edges, np.int64)
    for d in range(last.size):
        if last[d] == before.size:
            continue
        level = np.searchsorted(starts, last[d], side="right") - 1
        at = last[d] - starts[level]
        while level >= 0:
            dst[place[level]] = d
            step[place[level]] = at
            place[level] += 1
            at = before[starts[level] + at]
            level -= 1
    return dst, step, sizes

"""The steps of a sequential HAG, level by level: what each reads, and from where."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hag._jit import jit
from pyg_hag.hag import HAG


class Steps(NamedTuple):
    """All steps, sorted by how many steps stand before them."""

    src: Tensor
    """The source that each step reads, int64 of shape `[num_steps]`."""
    before: Tensor
    """The step before it, as its place in the level before; 0 in the first level."""
    sizes: list[int]
    """How many steps each level has."""
    last: Tensor
    """The last step of each destination, or `num_steps` where it reads nothing."""


class Paths(NamedTuple):
    """All neighbours of all destinations, sorted by their place in the lists."""

    dst: Tensor
    """The destination that each is a neighbour of, int64 of shape `[num_edges]`."""
    step: Tensor
    """The step that reads it, as its place in its level."""
    sizes: list[int]
    """How many destinations have a first, a second, ... neighbour."""


def steps(hag: HAG) -> Steps:
    """The steps of a sequential HAG; computed once.

    Raises:
        ValueError: If the HAG is not sequential.
    """
    if not hag.is_sequential:
        raise ValueError(
            "'hag' is a set HAG, in which neighbours have no order: build it with "
            "'build_hag(order=\"sequential\")' or 'HAGTransform(order=\"sequential\")'"
        )
    return hag._cached("steps", lambda: _make(hag))


def paths(hag: HAG) -> Paths:
    """The steps that lead to each destination of a sequential HAG; computed once."""
    return hag._cached("lists", lambda: _trace(hag))


def _trace(hag: HAG) -> Paths:
    plan = steps(hag)
    sizes = np.array([0, *plan.sizes], np.int64)
    before, last = plan.before.cpu().numpy(), plan.last.cpu().numpy()
    dst, step, lengths = _backwards(before, last, np.cumsum(sizes), hag.num_edges)
    device = hag.device
    return Paths(
        torch.from_numpy(dst).to(device),
        torch.from_numpy(step).to(device),
        lengths.tolist(),
    )


def _make(hag: HAG) -> Steps:
    a = hag._arrays()
    depth, before, last = _walk(a["kinds"], a["src_ptr"], a["agg_ptr"], a["agg"])
    order = np.argsort(depth, kind="stable")
    sizes = np.bincount(depth) if depth.size else np.zeros(0, np.int64)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(depth.size + 1, np.int64)  # of each step, in the order of levels
    place[order] = np.arange(depth.size)
    place[-1] = depth.size
    inside = place[:-1] - starts[depth]
    previous = np.where(before >= 0, inside[before], 0) if depth.size else before
    device = hag.device
    return Steps(
        torch.from_numpy(a["src"][order]).to(device),
        torch.from_numpy(previous[order]).to(device),
        sizes.tolist(),
        torch.from_numpy(place[last]).to(device),
    )


@jit
def _walk(kinds, src_ptr, agg_ptr, agg):  # type: ignore[no-untyped-def]
    """Depth of each source input, the one before it, and the last of destinations."""
    num_rows = kinds.size
    depth = np.empty(src_ptr[num_rows], np.int64)
    before = np.empty(src_ptr[num_rows], np.int64)
    end = np.empty(num_rows, np.int64)  # the last step of each aggregate
    num_dst = 0
    for r in range(num_rows):
        if kinds[r] >= 0:
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
        if kinds[r] >= 0:
            last[kinds[r]] = at
        else:
            end[num_aggs] = at
            num_aggs += 1
    return depth, before, last


@jit
def _backwards(before, last, starts, num_edges):  # type: ignore[no-untyped-def]
    """Each destination's steps from the last to the first, sorted by level."""
    num_levels = starts.size - 1
    sizes = np.zeros(num_levels, np.int64)
    for d in range(last.size):
        if last[d] < before.size:
            sizes[np.searchsorted(starts, last[d], side="right") - 1] += 1
    for t in range(num_levels - 2, -1, -1):  # who has a next neighbour has this one
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

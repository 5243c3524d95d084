"""Time and memory of a sum: by PyG, over the graph as it is, and over its HAG."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch_geometric.nn import SimpleConv

from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.plan.cpu import CACHE_LINE, MAX_VECTORS, forward_plan, max_tile

BYTES = 4  # of a feature, float32
_NEAR = 2 << 20  # bytes of features that stay in the cache
_PYG = 2.5e-4, 8e-9, 0.35e-9, 1.1e-9
"""Seconds of PyG on `edge_index`: a call, an edge, and a feature of an edge where the
features are in the cache, or are not. Messages of all edges are written and read again.
Fitted to `benchmark aggregate` on two cores, within a factor of 2."""
_MESSAGES = 512 << 20  # bytes of messages that are measured; of others a sample
_SECONDS = 1.0  # for which a width is measured


def pyg_seconds(num_edges: int, num_src: int, width: int) -> float:
    """Predicted seconds of a sum by PyG on `edge_index`."""
    call, edge, near, far = _PYG
    is_near = BYTES * width * num_src <= _NEAR
    return call + num_edges * (edge + width * (near if is_near else far))


def scratch(hag: HAG, width: int, threads: int) -> int:
    """Bytes of the aggregates that are in use at a time."""
    plan = forward_plan(hag, width, threads)
    tasks = plan.row_tasks(width, threads)
    used = min(threads, len(tasks))
    widest = max_tile(plan.num_slots * CACHE_LINE * used, MAX_VECTORS)
    tile = int((tasks[:, 3] - tasks[:, 2]).max(initial=0))
    tile = min(tile, widest * CACHE_LINE // BYTES)
    return BYTES * plan.num_slots * tile * used


def measured(
    edges: Tensor, plain: HAG, hag: HAG, width: int
) -> tuple[float, float, float]:
    """Median seconds of a sum by PyG, over the plain graph, and over the HAG."""
    rng = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(hag.num_src, width, device="cpu", generator=rng)
    conv, size = SimpleConv(), (hag.num_src, hag.num_dst)
    share = min(1.0, _MESSAGES / max(1, BYTES * width * edges.size(1)))
    chosen = edges
    if share < 1:
        order = torch.randperm(edges.size(1), device="cpu", generator=rng)
        kept = order[: int(share * edges.size(1))]
        chosen = edges[:, kept.sort().values]
    ways: list[Callable[[], Tensor]] = [
        lambda: conv((x, None), chosen, size=size),
        lambda: aggregate(x, plain),
    ]
    if hag.num_aggregates > 0:
        ways.append(lambda: aggregate(x, hag))
    seconds: list[list[float]] = [[] for _ in ways]
    with torch.no_grad():
        for way in ways:
            way()
        begin = time.perf_counter()
        while not seconds[0] or time.perf_counter() - begin < _SECONDS:
            for way, times in zip(ways, seconds, strict=True):
                start = time.perf_counter()
                way()
                times.append(time.perf_counter() - start)
    medians = [median(times) for times in seconds]
    return medians[0] / share, medians[1], medians[-1]

"""Compilation ahead of the first call."""

import time

import torch

from pyg_hag.ops.aggregate import aggregate
from pyg_hag.ops.cpu.backend import compile_ahead
from pyg_hag.ops.reductions import DTYPES
from pyg_hag.plan.cpu import MIN_WORK
from pyg_hag.runtime.thread_pool import num_threads
from pyg_hag.search import build_hag

_CLIQUE = 8  # nodes, enough for aggregates


def warmup(dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> float:
    """Compiles the search and the kernels, so that few later calls have to wait.

    Only lists of reductions are compiled on their first use.

    The machine code is kept on disk: this takes up to a minute in a fresh installation,
    and a moment in later processes. Call it when an image is built, or before the
    workers of a `DataLoader` start.

    Args:
        dtypes (tuple[torch.dtype, ...]): The dtypes of the features.

    Returns:
        float: The time that it took, in seconds.

    Raises:
        TypeError: If :func:`pyg_hag.aggregate` does not support one of the dtypes.
    """
    if not isinstance(dtypes, tuple | list) or any(d not in DTYPES for d in dtypes):
        raise TypeError(f"'dtypes' must be some of {DTYPES} (got {dtypes!r})")
    begin = time.perf_counter()
    nodes = torch.arange(_CLIQUE, device="cpu")
    pairs = torch.cartesian_prod(nodes, nodes).t()
    edge_index = pairs[:, pairs[0] != pairs[1]]
    signed = build_hag(edge_index, objective="aggregations", subtract=True)
    hag = build_hag(edge_index, objective="aggregations")
    plain = build_hag(edge_index, capacity=0)
    build_hag(edge_index)
    build_hag(edge_index, method="greedy")
    build_hag(edge_index, order="sequential", neighbor_order="shared")
    for graph in (hag, signed):
        graph.validate(edge_index)
        graph.closed()
        graph.t()
    # Features for one thread, and enough for all threads:
    widths = [1] if num_threads() == 1 else [1, MIN_WORK // signed.stats.reads + 1]
    for graph in (hag, signed, plain):
        for width in widths:
            x = torch.ones(_CLIQUE, width, device="cpu", requires_grad=True)
            aggregate(x, graph).sum().backward()
    aggregate(x[:, :1], hag, "max").sum().backward()
    for dtype in dtypes:
        compile_ahead(dtype)
    return time.perf_counter() - begin

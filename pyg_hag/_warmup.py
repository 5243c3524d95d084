"""Compiling ahead of the first call."""

import time

import torch

from pyg_hag._plan import LEAST_WORK
from pyg_hag._threads import num_threads
from pyg_hag.ops._numba import compile_ahead
from pyg_hag.ops.aggregate import DTYPES, aggregate
from pyg_hag.search import build_hag

_CLIQUE = 8  # nodes: enough for aggregates


def warmup(dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> float:
    """Compiles the search and the kernels, so that hardly a later call has to wait.

    Only lists of reductions are compiled when they are asked for.

    What is compiled is kept on disk: in a fresh installation this takes the better part
    of a minute, in later processes a moment. Call it when an image is built, or before
    workers of a `DataLoader` start.

    Args:
        dtypes (tuple[torch.dtype, ...]): Those of the features.

    Returns:
        float: Seconds that it took.

    Raises:
        TypeError: If a dtype is none that :func:`pyg_hag.aggregate` takes.
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
    # Features for one thread, and so many that all take part:
    widths = [1] if num_threads() == 1 else [1, LEAST_WORK // signed.stats.reads + 1]
    for graph in (hag, signed, plain):
        for width in widths:
            x = torch.ones(_CLIQUE, width, device="cpu", requires_grad=True)
            aggregate(x, graph).sum().backward()
    aggregate(x[:, :1], hag, "max").sum().backward()
    for dtype in dtypes:
        compile_ahead(dtype)
    return time.perf_counter() - begin

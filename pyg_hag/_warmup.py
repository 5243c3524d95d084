"""Compilation ahead of the first call."""

import os
import time
from collections.abc import Iterable

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hag.hag import HAG
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.ops.aggregate import aggregate
from pyg_hag.ops.cpu.backend import compile_ahead
from pyg_hag.ops.cpu.sweep.calls import compile_sweeps
from pyg_hag.ops.reductions import DTYPES
from pyg_hag.plan.cpu import MIN_WORK
from pyg_hag.runtime import first_use
from pyg_hag.runtime.thread_pool import num_threads
from pyg_hag.search import build_hag, build_hag_of_product
from pyg_hag.search.pairs.search import compile_ahead as compile_ahead_large
from pyg_hag.search.worth import MIN_EDGES
from pyg_hag.transforms import HAGTransform

_NODES = 24  # of a graph, enough for aggregates


def warmup(dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> float:
    """Compiles the search and the kernels, so that few later calls have to wait.

    Only lists of reductions are compiled on their first use.

    The machine code is kept on disk: this takes about a minute in a fresh installation,
    and a moment in later processes. Call it when an image is built, or before the
    workers of a `DataLoader` start. Without it, the first call starts a process that
    does the same in the background.

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
    if not first_use.is_complete():
        first_use.start_compiling(first="kernels")
    first_use.readiness.compile_now()
    _compile_default()
    _compile_options()
    _compile_kernels(dtypes)
    first_use.mark_complete()
    return time.perf_counter() - begin


def fill_cache(first: str) -> None:
    """Compiles everything, in the process in the background.

    Args:
        first: `"search"` or `"kernels"`.
    """
    first_use.readiness.compile_now()
    os.nice(5)
    if first == "kernels":
        _compile_kernels((torch.float32,))
        _compile_options()
        _compile_default()
    else:
        _compile_default()
        first_use.mark_complete()
        _compile_kernels((torch.float32,))
        _compile_options()
    first_use.mark_complete()


def _compile_default() -> None:
    """What a HAG without options needs, and layers forward and backward on it."""
    for edge_index in (_clique(), _mixed()):
        data = Data(edge_index=edge_index, num_nodes=_NODES)
        _ = HAGTransform()(data).hag
        hag = HAGTransform(objective="aggregations")(data).hag
        _use(edge_index, hag)
    _use(edge_index, build_hag(edge_index, capacity=0))
    build_hag(_long(), _NODES)
    compile_ahead_large()
    aggregate(_features(hag, 1), hag, "max").sum().backward()


def _compile_options() -> None:
    """What the options of a search need."""
    edge_index = _clique()
    build_hag(edge_index, order="sequential", neighbor_order="shared")
    _use(edge_index, build_hag(edge_index, objective="aggregations", subtract=True))
    build_hag(edge_index, method="greedy")
    products = [edge_index, *2 * [_mixed()]]
    build_hag_of_product(*products, sizes=[_NODES] * 4, objective="aggregations")
    build_hag_of_product(*products, sizes=[_NODES] * 4, weighted=True)


def _compile_kernels(dtypes: Iterable[torch.dtype]) -> None:
    for dtype in dtypes:
        compile_ahead(dtype)
        compile_sweeps(dtype)


def _clique() -> Tensor:
    nodes = torch.arange(8, device="cpu")
    pairs = torch.cartesian_prod(nodes, nodes).t()
    return pairs[:, pairs[0] != pairs[1]]


def _mixed() -> Tensor:
    """Edges between nodes that share neighbours, but no two of them all."""
    u, v = torch.cartesian_prod(*2 * [torch.arange(_NODES, device="cpu")]).t()
    kept = (u * v + 7 * (u + v)) % 5 < 2
    return torch.stack([u[kept], v[kept]])


def _long() -> Tensor:
    """So many edges that a sample of them is searched first."""
    edges = _mixed()
    return edges.repeat(1, MIN_EDGES // edges.size(1) + 1)


def _features(hag: HAG, width: int) -> Tensor:
    return torch.ones(hag.num_src, width, device="cpu", requires_grad=True)


def _use(edge_index: Tensor, hag: HAG) -> None:
    hag.validate(edge_index)
    hag.closed()
    hag.t()
    _ = hag.weighted_by(EdgeWeights.counts()).to_edge_index()
    # Features for one thread, and enough for all threads:
    widths = [1] if num_threads() == 1 else [1, MIN_WORK // hag.stats.reads + 1]
    for width in widths:
        aggregate(_features(hag, width), hag).sum().backward()

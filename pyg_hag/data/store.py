"""Stores HAGs next to the edges of their graphs, as a tensor that batches collate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.data.graphs import slices_of
from pyg_hag.hag import HAG, packing
from pyg_hag.hag.arrays import Flat

KEY = "hag_packed"
"""The attribute that stores the HAG: a record of numbers for each graph, in which nodes
and aggregates are numbered from 0. It is a single tensor without increments, since each
attribute, and each increment, costs time whenever a batch is collated."""


def stored_in(store: Any) -> list[Any]:
    """The stored HAG, the edges and their weights; None for what is missing."""
    return [store.get(key) for key in (KEY, "edge_index", "edge_weight")]


def attach(store: Any, hags: Sequence[HAG], remove_edge_index: bool = False) -> None:
    """Stores the HAGs of the graphs of a batch, or of one graph, next to its edges.

    Args:
        store: The storage of the edges.
        hags: The HAG of each graph, in the order of their nodes; each knows the edges
            of its graph.
        remove_edge_index: Whether the edges are removed.
    """
    device = store["edge_index"].device
    decisions = {hag.decision for hag in hags}
    records = [_record(hag, not remove_edge_index) for hag in hags]
    store[KEY] = torch.cat(
        [torch.empty(0, dtype=torch.long, device="cpu"), *records]
    ).to(device)
    slices = slices_of(store, "_slice_dict")
    if slices is not None:
        lengths = [0, *(record.numel() for record in records)]
        sizes = torch.tensor(lengths, device="cpu")
        slices[KEY] = sizes.cumsum(0)
        slices_of(store, "_inc_dict")[KEY] = None  # type: ignore[index]
    if len(decisions) == 1:  # the cache keeps it: a batch has no place for texts
        known = cache_of(store).setdefault("decisions", {})
        known[tuple(int(record[packing.HASH]) for record in records)] = decisions.pop()
    if remove_edge_index:
        del store["edge_index"]


def cache_of(store: Any) -> dict[str, Any]:
    """What a data object keeps of the HAG in one of its storages of edges.

    Copies share it; stored data and batches do not have it.
    """
    caches: dict[Any, Any] = store._parent().__dict__.setdefault("_hag_cache", {})
    return caches if store._key is None else caches.setdefault(store._key, {})


def _record(hag: HAG, has_edges: bool) -> Tensor:
    """The numbers that describe a HAG and its edges; see :func:`packing.headers`."""
    kind = packing.SEQUENTIAL if hag.is_sequential else packing.SET
    kind = packing.SIGNED if hag.is_signed else kind
    if hag.weights is not None:
        kind |= packing.WEIGHTED | packing.OPTIONAL * hag.weights.is_optional
    sizes = [
        hag.num_dst,
        hag.num_aggregates,
        hag.group_aggs.numel(),
        hag.src.numel(),
        hag.agg.numel(),
        kind,
        hag.num_src,
    ]
    header = torch.tensor([[*sizes, 0]], device="cpu")
    edge_index = hag.given_edge_index if has_edges else None
    header[:, -1] = hashes(hag.host.flat, header, edge_index)
    counts = hag.src_count, hag.agg_count, hag.group_aggs, hag.group_dsts
    ids = hag.src, hag.dst, hag.agg
    parts = header[0], *ids, *counts, hag.src_minus, hag.agg_minus
    return torch.cat([part.cpu() for part in parts])


def hashes(flat: Flat, sizes: Tensor, edge_index: Tensor | None) -> Tensor:
    """A hash of the HAG and the edges of each graph, `[num_graphs]`."""
    edges: Any = np.empty((2, 0), np.int64)
    if edge_index is not None:
        edges = edge_index.cpu().long().contiguous().numpy()
    return torch.from_numpy(packing.fingerprint(*edges, flat, sizes.numpy()))


def take(store: Any, hag: Any, name: str) -> None:
    """Stores a HAG that was made elsewhere, after checking that it is of this graph."""
    if not isinstance(hag, HAG):
        raise TypeError(
            f"'{name}' must be a HAG (got {type(hag).__name__}): build it with "
            f"'build_hag(edge_index)'"
        )
    edge_index = store.get("edge_index")
    if edge_index is None:
        raise ValueError(f"'{name}' needs 'edge_index', which it stands for")
    size = store.size()
    if size != (hag.num_src, hag.num_dst):
        raise ValueError(
            f"'{name}' has {hag.num_src} sources and {hag.num_dst} destinations, but "
            f"the data has {size[0]} and {size[1]}: pass 'num_nodes' to 'build_hag'"
        )
    try:
        hag.validate(edge_index)
    except ValueError as error:
        raise ValueError(
            f"'{name}' is not a HAG of the edges of the data: {error}"
        ) from None
    if hag.weights is not None:
        given = hag.given_edge_index
        if given is None or not torch.equal(given, edge_index):
            raise ValueError(
                f"'{name}' has weights of edges in another order than 'edge_index'"
            )
        store["edge_weight"] = hag.weights.of_edges(edge_index)
    kept = hag.weights
    hag = hag.unweighted.to("cpu").in_order_of(edge_index)
    attach(store, [hag if kept is None else hag.weighted_by(kept.to("cpu"))])
    for which in ("_slice_dict", "_inc_dict"):  # it is one HAG for a whole batch
        (slices_of(store, which) or {}).pop(KEY, None)

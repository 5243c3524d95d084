"""Stores HAGs next to the edges of their graphs, as a tensor that batches collate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.data.graphs import slices_of
from pyg_hag.hag import HAG, packing
from pyg_hag.hag.arrays import Flat
from pyg_hag.utils.tensors import as_int64, equal

KEY = "hag_packed"
"""The attribute that stores the HAG: a record of numbers for each graph, in which nodes
and aggregates are numbered from 0. It is a single tensor without increments, since each
attribute, and each increment, costs time whenever a batch is collated."""


def stored_in(store: Any) -> list[Any]:
    """The stored HAG, the edges and their weights; None for what is missing."""
    return [given(store, key) for key in (KEY, "edge_index", "edge_weight")]


def given(store: Any, key: str) -> Any:
    """What is stored under a key, not what a HAG stands for; None if nothing is."""
    return store._mapping.get(key)


def attach(store: Any, hags: Sequence[HAG], remove_edge_index: bool = False) -> None:
    """Stores the HAGs of the graphs of a batch, or of one graph, next to its edges.

    Args:
        store: The storage of the edges.
        hags: The HAG of each graph, in the order of their nodes; each knows the edges
            of its graph, but for one of which several paths are one edge: its edges are
            those in the storage, with their `edge_weight` if it counts paths.
        remove_edge_index: Whether the edges are removed, if there are any.
    """
    edge_index = given(store, "edge_index")
    device = hags[0].device if edge_index is None else edge_index.device
    if remove_edge_index:
        records = [_record(hag, None) for hag in hags]
        store._mapping.pop("edge_index", None)
    else:
        records = [_record(hag, _edges_of(hag, store)) for hag in hags]
    packed = np.concatenate([np.empty(0, np.int64), *(r.numpy() for r in records)])
    store[KEY] = torch.from_numpy(packed).to(device)
    slices = slices_of(store, "_slice_dict")
    if slices is not None:
        lengths = [0, *(record.numel() for record in records)]
        sizes = torch.tensor(lengths, device="cpu")
        slices[KEY] = sizes.cumsum(0)
        slices_of(store, "_inc_dict")[KEY] = None  # type: ignore[index]


def attach_to_whole(store: Any, hag: HAG, remove_edge_index: bool = False) -> None:
    """Stores the HAG of one graph, or a single one for a whole batch."""
    attach(store, [hag], remove_edge_index)
    for which in ("_slice_dict", "_inc_dict"):
        (slices_of(store, which) or {}).pop(KEY, None)


def _edges_of(hag: HAG, store: Any) -> tuple[Tensor | None, Tensor | None]:
    """The edges that a HAG stands for, and how many paths each is if it counts them."""
    if not hag.of_paths:
        return hag.given_edge_index, None
    edge_index, weight = store["edge_index"], given(store, "edge_weight")
    return edge_index, paths_of(weight) if hag.is_count else None


def paths_of(weight: Tensor) -> Tensor:
    """Weights that are numbers of paths, as integers; -1 for what is none."""
    numbers = weight.detach().cpu().double().view(-1)
    paths = numbers.clamp(-1, 2**62).long()
    return torch.where(paths.double() == numbers.clamp(max=2**62), paths, -1)


def _record(hag: HAG, edges: tuple[Tensor | None, Tensor | None] | None) -> Tensor:
    """The numbers that describe a HAG and its edges; see :func:`packing.headers`."""
    kind = packing.SEQUENTIAL if hag.is_sequential else packing.SET
    kind = packing.SIGNED if hag.is_signed else kind
    if hag.of_paths:
        kind |= packing.COUNT if hag.is_count else packing.COVER
    elif hag.weights is not None:
        kind |= packing.WEIGHTED | packing.OPTIONAL * hag.weights.is_optional
    kind |= packing.REMOVED if edges is None else 0
    code = hag.decisions[0] if len(hag.decisions) == 1 else 0
    sizes = [
        hag.num_dst,
        hag.num_aggregates,
        hag.group_aggs.numel(),
        hag.src.numel(),
        hag.agg.numel(),
        kind | code << packing.DECISION,
        hag.num_src,
    ]
    header = torch.tensor([[*sizes, 0]], device="cpu")
    edge_index, paths = edges or (None, None)
    header[:, -1] = hashes(hag.host.flat, header, edge_index, paths)
    counts = hag.src_count, hag.agg_count, hag.group_aggs, hag.group_dsts
    ids = hag.src, hag.dst, hag.agg
    parts = header[0], *ids, *counts, hag.src_minus, hag.agg_minus
    return torch.from_numpy(np.concatenate([part.cpu().numpy() for part in parts]))


def hashes(
    flat: Flat, sizes: Tensor, edge_index: Tensor | None, paths: Tensor | None = None
) -> Tensor:
    """A hash of the HAG and the edges of each graph, `[num_graphs]`.

    Args:
        flat: The HAG.
        sizes: The headers of its graphs.
        edge_index: Their edges.
        paths: How many paths each edge is in HAGs that count them.
    """
    edges: Any = np.empty((2, 0), np.int64)
    if edge_index is not None:
        edges = as_int64(edge_index.detach().cpu()).contiguous().numpy()
    counts = np.empty(0, np.int64) if paths is None else paths.numpy()
    return torch.from_numpy(packing.fingerprint(*edges, counts, flat, sizes.numpy()))


def take(store: Any, hag: Any, name: str) -> None:
    """Stores a HAG that was made elsewhere, after checking that it is of this graph."""
    if not isinstance(hag, HAG):
        raise TypeError(
            f"'{name}' must be a HAG (got {type(hag).__name__}): build it with "
            f"'build_hag(edge_index)'"
        )
    edge_index = given(store, "edge_index")
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
    if hag.of_paths:
        if hag.is_count:
            store["edge_weight"] = _weight_of_edges(hag, edge_index)
    elif hag.weights is not None:
        known = hag.given_edge_index
        if known is None or not equal(known, edge_index):
            raise ValueError(
                f"'{name}' has weights of edges in another order than 'edge_index'"
            )
        store["edge_weight"] = hag.weights.of_edges(edge_index)
    kept = hag.weights
    hag = hag.unweighted.to("cpu")
    if kept is None or not kept.of_paths:
        hag.in_order_of(edge_index)
    attach_to_whole(store, hag if kept is None else hag.weighted_by(kept.to("cpu")))


def _weight_of_edges(hag: HAG, edge_index: Tensor) -> Tensor:
    """The number of paths of each edge, in the order in which the edges are given."""
    weight = hag.to_edge_weight(hag.edge_index_of_any_order())
    assert weight is not None
    src, dst = edge_index.detach().cpu().numpy()
    order = torch.from_numpy(np.lexsort((src, dst))).to(weight.device)
    return torch.empty_like(weight).index_copy(0, order, weight).to(edge_index.device)

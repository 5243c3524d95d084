"""Data objects of PyG that carry the HAGs of their graphs, and their collation."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hag.hag import HAG, packing
from pyg_hag.hag.arrays import Flat

KEY = "hag_packed"
"""The attribute that stores the HAG: a record of numbers for each graph, in which nodes
and aggregates are numbered from 0. It is a single tensor without increments, since each
attribute, and each increment, costs time whenever a batch is collated."""


class HAGData(Data):
    r"""A :class:`torch_geometric.data.Data` object with the HAG of its graph.

    :class:`pyg_hag.HAGTransform` returns it. The HAG is stored as a flat tensor,
    so batches, datasets, :meth:`to` and pickling work as for any other attribute;
    :attr:`hag` builds the :class:`pyg_hag.HAG` on first use.

    To combine it with your own data class, derive that class from `HAGData` and pass
    its objects to the transform.
    """

    @property
    def hag(self) -> HAG:
        """The HAG of the graph.

        Raises:
            ValueError: If the graph or the stored HAG has been changed since the HAG
                was built.
        """
        cache = self.__dict__.setdefault("_hag_cache", {})
        num_nodes = self.num_nodes
        return _restored(self._store, (num_nodes, num_nodes), cache, "data.hag")

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 0 if key == KEY else super().__inc__(key, value, *args, **kwargs)

    def apply(self, func: Any, *args: str) -> "HAGData":
        """Applies a function to all tensors, or to the named ones."""
        before = _stored(self._store)
        super().apply(func, *args)
        _remember(self.__dict__.setdefault("_hag_cache", {}), before, self._store)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(self)


class HAGHeteroData(HeteroData):
    r"""A :class:`torch_geometric.data.HeteroData` object with a HAG per edge type.

    :class:`pyg_hag.HAGTransform` returns it for such data. Models take :attr:`hag_dict`
    in place of `edge_index_dict`: `model(data.x_dict, data.hag_dict)`.
    """

    @property
    def hag_dict(self) -> dict[Any, HAG]:
        """The HAG of each edge type.

        Raises:
            ValueError: If a graph or its stored HAG has been changed since the HAG was
                built.
        """
        caches = self.__dict__.setdefault("_hag_cache", {})
        hags = {}
        for edge_type in self.edge_types:
            size = self[edge_type[0]].num_nodes, self[edge_type[-1]].num_nodes
            cache = caches.setdefault(edge_type, {})
            name = f"data.hag_dict[{edge_type!r}]"
            hags[edge_type] = _restored(self[edge_type], size, cache, name)
        return hags

    def apply(self, func: Any, *args: str) -> "HAGHeteroData":
        """Applies a function to all tensors, or to the named ones."""
        before = {key: _stored(self[key]) for key in self.edge_types}
        super().apply(func, *args)
        caches = self.__dict__.setdefault("_hag_cache", {})
        for edge_type, stored in before.items():
            _remember(caches.setdefault(edge_type, {}), stored, self[edge_type])
        return self

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(self)


def _without_cache(data: Any) -> dict[str, Any]:
    """The state of a data object without the HAGs that are built on first use."""
    state: dict[str, Any] = data.__dict__.copy()
    state.pop("_hag_cache", None)
    return state


def attach(store: Any, hag: HAG, remove_edge_index: bool = False) -> None:
    """Stores the HAG of a graph next to its edges, or in place of them."""
    edge_index = store["edge_index"]
    if remove_edge_index:
        del store["edge_index"]
    kind = packing.SEQUENTIAL if hag.is_sequential else packing.SET
    kind = packing.SIGNED if hag.is_signed else kind
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
    header[:, -1] = _hashes(
        hag.host.flat, header, None if remove_edge_index else edge_index
    )
    counts = hag.src_count, hag.agg_count, hag.group_aggs, hag.group_dsts
    ids = hag.src, hag.dst, hag.agg
    parts = header[0], *ids, *counts, hag.src_minus, hag.agg_minus
    store[KEY] = torch.cat([part.cpu() for part in parts]).to(edge_index.device)


def _hashes(flat: Flat, sizes: Tensor, edge_index: Tensor | None) -> Tensor:
    """A hash of the HAG and the edges of each graph, `[num_graphs]`."""
    edges: Any = np.empty((2, 0), np.int64)
    if edge_index is not None:
        edges = edge_index.cpu().long().contiguous().numpy()
    return torch.from_numpy(packing.fingerprint(*edges, flat, sizes.numpy()))


def _restored(
    store: Any, size: tuple[int, int], cache: dict[str, Any], name: str
) -> HAG:
    """The HAG in a store: that in the cache as long as nothing has changed."""
    stored = _stored(store)
    if not isinstance(stored[0], Tensor):
        raise ValueError(_stale(name, "the data has no HAG"))
    # The cache is valid as long as the tensors are the same and unchanged:
    state = *size, _state(stored)
    if cache.get("state") != state:
        hag = _restore(_on_host(cache, stored), size, name)
        packed, edge_index = stored
        hag = hag.to(packed.device)
        if edge_index is not None:
            hag.in_order_of(edge_index)
        cache.update(hag=hag, stored=stored, state=state)
    hag = cache["hag"]
    return hag


def _stored(store: Any) -> list[Any]:
    """The stored HAG and the edges; None for what is missing."""
    return [store.get(key) for key in (KEY, "edge_index")]


def _state(stored: list[Tensor | None]) -> list[tuple[int, int]]:
    """Changes when a tensor is replaced or written to."""
    return [(id(t), 0 if t is None else t._version) for t in stored]


def _remember(cache: dict[str, Any], before: list[Any], store: Any) -> None:
    """Keeps the tensors on the host, so that nothing is read back from a device."""
    after = _stored(store)
    here, there = (
        {None if t is None else t.device.type for t in stored} - {None}
        for stored in (before, after)
    )
    if here == {"cpu"} and there != here:
        cache["left"] = before, _state(before), after, _state(after)


def _on_host(cache: dict[str, Any], stored: list[Tensor | None]) -> list[Tensor | None]:
    """The same tensors on the host: those kept there, or copies."""
    if "left" in cache:
        before, were, _, are = cache["left"]
        if _state(before) == were and _state(stored) == are:
            return list(before)
    return [None if t is None else t.cpu() for t in stored]


def _restore(stored: list[Any], size: tuple[int, int], name: str) -> HAG:
    """Unpacks a HAG after checking that it belongs to the graph."""
    packed, edge_index = stored
    changed = _stale(name, "the stored HAG has changed")
    if packed.dim() != 1 or packed.dtype != torch.long:
        raise ValueError(changed)
    numbers = packed.contiguous().numpy()
    headers, are_whole = packing.headers(numbers)
    if not are_whole:
        raise ValueError(changed)
    had = int(headers[:, packing.NUM_SRC].sum()), int(headers[:, 0].sum())
    for before, now in zip(had, size, strict=True):
        if before != now:
            raise ValueError(_stale(name, f"it had {before} nodes and has {now}"))
    flat = packing.unpack(numbers, headers)
    sizes = torch.from_numpy(headers)
    if not torch.equal(sizes[:, -1], _hashes(flat, sizes, edge_index)):
        lost = edge_index is None
        reason = "the data has no 'edge_index'" if lost else "its edges have changed"
        raise ValueError(_stale(name, reason))
    # A batch of HAGs of several kinds has no order:
    sequential = bool((headers[:, packing.HAG_TYPE] == packing.SEQUENTIAL).all())
    return HAG(size[0], *map(torch.from_numpy, flat), sequential=sequential)


def _stale(name: str, reason: str) -> str:
    """The error message for a HAG that does not belong to its graph."""
    return (
        f"'{name}' does not belong to this graph: {reason}; apply 'HAGTransform' "
        f"last, after everything that changes nodes or edges"
    )


# Datasets load their cached files with `weights_only=True`:
torch.serialization.add_safe_globals([HAGData, HAGHeteroData, HAG])

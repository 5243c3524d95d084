"""HAGData and HAGHeteroData: graphs that carry their HAGs. The only collation code."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hag import _packing
from pyg_hag.hag import HAG

KEY = "hag_packed"
"""Where the HAG is stored: one record of numbers for each graph, which names its nodes
and aggregates from 0 on. One tensor that does not change in a batch, because each one,
and each that does, costs time whenever a batch is made."""


class HAGData(Data):
    r"""A :class:`torch_geometric.data.Data` object with the HAG of its graph.

    What :class:`pyg_hag.HAGTransform` returns. The HAG is stored as a flat tensor,
    so batches, datasets, :meth:`to` and pickling work as for any other attribute;
    :attr:`hag` makes the container of them on first use.

    To combine it with a data class of your own, derive that class from `HAGData`
    and pass its objects to the transform.
    """

    @property
    def hag(self) -> HAG:
        """The HAG of the graph.

        Raises:
            ValueError: If the graph, or what is stored of the HAG, was changed
                since the HAG was built.
        """
        cache = self.__dict__.setdefault("_hag_cache", {})
        num_nodes = self.num_nodes
        return _restored(self._store, (num_nodes, num_nodes), cache, "data.hag")

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 0 if key == KEY else super().__inc__(key, value, *args, **kwargs)

    def apply(self, func: Any, *args: str) -> "HAGData":
        """Applies a function to all tensors, or those of these names."""
        before = _stored(self._store)
        super().apply(func, *args)
        _remember(self.__dict__.setdefault("_hag_cache", {}), before, self._store)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(self)


class HAGHeteroData(HeteroData):
    r"""A :class:`torch_geometric.data.HeteroData` object with a HAG per edge type.

    What :class:`pyg_hag.HAGTransform` returns of such data. :attr:`hag_dict` goes where
    `edge_index_dict` went: `model(data.x_dict, data.hag_dict)`.
    """

    @property
    def hag_dict(self) -> dict[Any, HAG]:
        """The HAG of each edge type.

        Raises:
            ValueError: If a graph, or what is stored of its HAG, was changed since the
                HAG was built.
        """
        caches = self.__dict__.setdefault("_hag_cache", {})
        hags = {}
        for kind in self.edge_types:
            size = self[kind[0]].num_nodes, self[kind[-1]].num_nodes
            cache = caches.setdefault(kind, {})
            name = f"data.hag_dict[{kind!r}]"
            hags[kind] = _restored(self[kind], size, cache, name)
        return hags

    def apply(self, func: Any, *args: str) -> "HAGHeteroData":
        """Applies a function to all tensors, or those of these names."""
        before = {kind: _stored(self[kind]) for kind in self.edge_types}
        super().apply(func, *args)
        caches = self.__dict__.setdefault("_hag_cache", {})
        for kind, stored in before.items():
            _remember(caches.setdefault(kind, {}), stored, self[kind])
        return self

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(self)


def _without_cache(data: Any) -> dict[str, Any]:
    state: dict[str, Any] = data.__dict__.copy()
    state.pop("_hag_cache", None)
    return state


def attach(store: Any, hag: HAG, alone: bool = False) -> None:
    """Stores the HAG of a graph with its edges, or instead of them."""
    edge_index = store["edge_index"]
    if alone:
        del store["edge_index"]
    kind = _packing.SEQUENTIAL if hag.is_sequential else _packing.SET
    kind = _packing.SIGNED if hag.is_signed else kind
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
    header[:, -1] = _hashes(hag.tensors, header, None if alone else edge_index)
    counts = hag.src_count, hag.agg_count, hag.group_aggs, hag.group_dsts
    ids = hag.src, hag.dst, hag.agg
    parts = header[0], *ids, *counts, hag.src_minus, hag.agg_minus
    store[KEY] = torch.cat([part.cpu() for part in parts]).to(edge_index.device)


def _hashes(
    tensors: Sequence[Tensor], sizes: Tensor, edge_index: Tensor | None
) -> Tensor:
    arrays = [tensor.cpu().numpy() for tensor in tensors]
    edges: Any = np.empty((2, 0), np.int64)
    if edge_index is not None:
        edges = edge_index.cpu().long().contiguous().numpy()
    return torch.from_numpy(_packing.fingerprint(*edges, *arrays, sizes.numpy()))


def _restored(
    store: Any, size: tuple[int, int], cache: dict[str, Any], name: str
) -> HAG:
    """The HAG in a store, from the cache as long as nothing has changed."""
    stored = _stored(store)
    if not isinstance(stored[0], Tensor):
        raise ValueError(_stale(name, "the data has no HAG"))
    # Valid as long as the tensors are the same, and as they were:
    state = *size, _state(stored)
    if cache.get("state") != state:
        hag = _restore(_on_host(cache, stored), size, name)
        packed, edge_index = stored
        hag = hag.to(packed.device)
        if edge_index is not None:
            hag._knows(edge_index)
        cache.update(hag=hag, stored=stored, state=state)
    hag = cache["hag"]
    return hag


def _stored(store: Any) -> list[Any]:
    return [store.get(key) for key in (KEY, "edge_index")]


def _state(stored: list[Tensor | None]) -> list[tuple[int, int]]:
    return [(id(t), 0 if t is None else t._version) for t in stored]


def _remember(cache: dict[str, Any], before: list[Any], store: Any) -> None:
    """Keeps what was on the host, so that nothing is read back from a device."""
    after = _stored(store)
    here, there = (
        {None if t is None else t.device.type for t in stored} - {None}
        for stored in (before, after)
    )
    if here == {"cpu"} and there != here:
        cache["left"] = before, _state(before), after, _state(after)


def _on_host(cache: dict[str, Any], stored: list[Tensor | None]) -> list[Tensor | None]:
    """The same tensors on the host."""
    if "left" in cache:
        before, were, _, are = cache["left"]
        if _state(before) == were and _state(stored) == are:
            return list(before)
    return [None if t is None else t.cpu() for t in stored]


def _restore(stored: list[Any], size: tuple[int, int], name: str) -> HAG:
    packed, edge_index = stored
    changed = _stale(name, "what is stored of the HAG has changed")
    if packed.dim() != 1 or packed.dtype != torch.long:
        raise ValueError(changed)
    numbers = packed.contiguous().numpy()
    headers, are_whole = _packing.headers(numbers)
    if not are_whole:
        raise ValueError(changed)
    had = int(headers[:, _packing.NUM_SRC].sum()), int(headers[:, 0].sum())
    for before, now in zip(had, size, strict=True):
        if before != now:
            raise ValueError(_stale(name, f"it had {before} nodes and has {now}"))
    tensors = [torch.from_numpy(a) for a in _packing.unpack(numbers, headers)]
    sizes = torch.from_numpy(headers)
    if not torch.equal(sizes[:, -1], _hashes(tensors, sizes, edge_index)):
        lost = edge_index is None
        reason = "the data has no 'edge_index'" if lost else "its edges have changed"
        raise ValueError(_stale(name, reason))
    # Graphs of several kinds together have no order:
    sequential = bool((headers[:, _packing.KIND] == _packing.SEQUENTIAL).all())
    return HAG(size[0], *tensors, sequential=sequential)


def _stale(name: str, reason: str) -> str:
    return (
        f"'{name}' does not belong to this graph: {reason}; apply 'HAGTransform' "
        f"last, after everything that changes nodes or edges"
    )


# Datasets load what they have cached with `weights_only=True`:
torch.serialization.add_safe_globals([HAGData, HAGHeteroData, HAG])

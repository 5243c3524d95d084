"""PyG's storages, in which a HAG that took the place of the edges still shows them."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data.storage import BaseStorage, EdgeStorage, GlobalStorage

from pyg_hag.data.store import KEY
from pyg_hag.hag import packing


class _RemovedEdges(BaseStorage):
    """Answers for `edge_index` where :class:`pyg_hag.HAGTransform` has removed it.

    And for `edge_weight` where the HAG counts paths.
    The edges are made from the HAG whenever they are asked for, so that transforms and
    properties of PyG see the graph. They are no attribute: batches, copies and files
    do without them. What a transform writes is one, and no longer the HAG's graph.
    """

    def __contains__(self, key: object) -> bool:
        return key in self._mapping or self._answers(key)

    def __getitem__(self, key: str) -> Any:
        if key not in self._mapping and self._answers(key):
            edges = self._edges()
            return edges if key == "edge_index" else self._hag().to_edge_weight(edges)
        return super().__getitem__(key)

    @property
    def num_edges(self) -> int:
        """The number of edges, also where they were removed."""
        if "edge_index" not in self._mapping and self._has(packing.REMOVED):
            return int(self._hag().num_edges)
        return super().num_edges

    def _answers(self, key: object) -> bool:
        if key == "edge_weight":
            return "edge_index" not in self._mapping and self._has(packing.COUNT)
        return key == "edge_index" and self._has(packing.REMOVED)

    def _has(self, flag: int) -> bool:
        packed = self._mapping.get(KEY)
        if not isinstance(packed, Tensor) or packed.numel() < packing.HEADER:
            return False
        return bool(packed[packing.HAG_TYPE] & flag)

    def _edges(self) -> Tensor:
        hag = self._hag()
        for key, value in self._mapping.items():
            if not isinstance(value, Tensor) or value.dim() == 0 or "edge" not in key:
                continue
            if value.size(0) == hag.num_edges:
                raise ValueError(
                    f"'edge_index' was removed by HAGTransform(remove_edge_index=True) "
                    f"and with it the order of the edges, which {key!r} needs: use "
                    f"HAGTransform() without it, or remove {key!r}"
                )
        return hag.to_edge_index()

    def _hag(self) -> Any:
        data: Any = self._parent()
        return data.hag if self._key is None else data.hag_of(self._key)


class HAGStorage(_RemovedEdges, GlobalStorage):
    """The storage of :class:`pyg_hag.HAGData`."""


class HAGEdgeStorage(_RemovedEdges, EdgeStorage):
    """The storage of an edge type of :class:`pyg_hag.HAGHeteroData`."""


_OURS = {GlobalStorage: HAGStorage, EdgeStorage: HAGEdgeStorage}


def adopt(store: Any) -> None:
    """Makes a storage of PyG one of ours, in place; leaves others as they are."""
    ours = _OURS.get(type(store))
    if ours is not None:
        object.__setattr__(store, "__class__", ours)  # PyG would store it


# Datasets load their cached files with `weights_only=True`:
torch.serialization.add_safe_globals([HAGStorage, HAGEdgeStorage])

"""HAGData: a graph that carries its HAG. The only collation code."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

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
        stored = [self._store.get(key) for key in (KEY, "edge_index")]
        if any(not isinstance(value, Tensor) for value in stored):
            missing = "HAG" if stored[-1] is not None else "'edge_index'"
            raise ValueError(_stale(f"the data has no {missing}"))
        # Valid as long as the tensors are the same, and as they were:
        state = [(id(value), value._version) for value in stored]
        num_nodes = self.num_nodes
        cached = self.__dict__.get("_hag_cache")
        if cached is not None and cached[0] == state and cached[3] == num_nodes:
            return cached[2]
        hag = _restore(stored, num_nodes)
        self.__dict__["_hag_cache"] = (state, stored, hag, num_nodes)
        return hag

    def _attach(self, hag: HAG) -> None:
        """Stores the HAG of the graph."""
        device = self.edge_index.device
        kind = _packing.SEQUENTIAL if hag.is_sequential else _packing.SET
        kind = _packing.SIGNED if hag.is_signed else kind
        sizes = [
            hag.num_dst,
            hag.num_aggregates,
            hag.group_aggs.numel(),
            hag.src.numel(),
            hag.agg.numel(),
            kind,
        ]
        header = torch.tensor([[*sizes, 0]])
        header[:, -1] = _hashes(hag.tensors, header, self.edge_index)
        counts = hag.src_count, hag.agg_count, hag.group_aggs, hag.group_dsts
        ids = hag.src, hag.dst, hag.agg
        parts = header[0], *ids, *counts, hag.src_minus, hag.agg_minus
        self[KEY] = torch.cat([part.cpu() for part in parts]).to(device)

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 0 if key == KEY else super().__inc__(key, value, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_hag_cache", None)
        return state


def _hashes(tensors: Sequence[Tensor], sizes: Tensor, edge_index: Tensor) -> Tensor:
    arrays = [tensor.cpu().numpy() for tensor in tensors]
    edges = edge_index.cpu().long().contiguous().numpy()
    return torch.from_numpy(_packing.fingerprint(*edges, *arrays, sizes.numpy()))


def _restore(stored: list[Tensor], num_nodes: int) -> HAG:
    packed, edge_index = stored
    if packed.dim() != 1 or packed.dtype != torch.long:
        raise ValueError(_stale("what is stored of the HAG has changed"))
    numbers = packed.cpu().contiguous().numpy()
    headers, are_whole = _packing.headers(numbers)
    if not are_whole:
        raise ValueError(_stale("what is stored of the HAG has changed"))
    nodes = int(headers[:, 0].sum())
    if nodes != num_nodes:
        raise ValueError(_stale(f"it had {nodes} nodes and has {num_nodes}"))
    tensors = [torch.from_numpy(a) for a in _packing.unpack(numbers, headers)]
    sizes = torch.from_numpy(headers)
    if not torch.equal(sizes[:, -1], _hashes(tensors, sizes, edge_index)):
        raise ValueError(_stale("its edges have changed"))
    # Graphs of several kinds together have no order:
    sequential = bool((headers[:, _packing.KIND] == _packing.SEQUENTIAL).all())
    hag = HAG(num_nodes, *tensors, sequential=sequential)
    return hag.to(packed.device)._knows(edge_index)


def _stale(reason: str) -> str:
    return (
        f"'data.hag' does not belong to this graph: {reason}; apply 'HAGTransform' "
        f"last, after everything that changes nodes or edges"
    )


# Datasets load what they have cached with `weights_only=True`:
torch.serialization.add_safe_globals([HAGData, HAG])

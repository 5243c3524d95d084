"""HAGData: a graph that carries its HAG. The only collation code."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hag import _packing
from pyg_hag.hag import HAG

KEYS = ("hag_ids", "hag_aggs", "hag_counts", "hag_sizes")
"""Where the HAG is stored: its source inputs and destinations (which shift with the
nodes), its aggregate inputs (which shift with the aggregates), all counts, and per
graph the numbers of nodes, aggregates, groups, source inputs and aggregate inputs,
the kind of HAG, and a hash. Few tensors, because each one costs time whenever a batch
is made."""


class HAGData(Data):
    r"""A :class:`torch_geometric.data.Data` object with the HAG of its graph.

    What :class:`pyg_hag.HAGTransform` returns. The HAG is stored as flat tensors,
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
        stored = [self._store.get(key) for key in (*KEYS, "edge_index")]
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
        table = torch.tensor([[*sizes, 0]])
        table[:, -1] = _hashes(hag.tensors, table, self.edge_index)
        counts = [hag.src_count, hag.agg_count, hag.group_aggs, hag.group_dsts]
        values = (
            torch.cat([hag.src, hag.dst]),
            hag.agg,
            torch.cat([*counts, hag.src_minus, hag.agg_minus]),
            table,
        )
        for key, value in zip(KEYS, values, strict=True):
            self[key] = value.to(device)

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key not in KEYS:
            return super().__inc__(key, value, *args, **kwargs)
        if key in ("hag_counts", "hag_sizes"):
            return 0
        return self._hag_size(0 if key == "hag_ids" else 1)

    def _hag_size(self, column: int) -> int:
        return sum(row[column] for row in self._store["hag_sizes"].tolist())

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_hag_cache", None)
        return state


def _hashes(tensors: list[Tensor], sizes: Tensor, edge_index: Tensor) -> Tensor:
    arrays = [tensor.cpu().numpy() for tensor in tensors]
    edges = edge_index.cpu().long().contiguous().numpy()
    table = sizes.cpu().contiguous().numpy()
    return torch.from_numpy(_packing.fingerprint(*edges, *arrays, table))


def _restore(stored: list[Tensor], num_nodes: int) -> HAG:
    ids, agg, counts, sizes, edge_index = (value.cpu() for value in stored)
    if sizes.dim() != 2 or sizes.size(1) != 7 or bool((sizes[:, :-1] < 0).any()):
        raise ValueError(_stale("what is stored of the HAG has changed"))
    kind = sizes[:, _packing.KIND]
    nodes, aggregates, groups, num_src, num_agg, *_ = sizes.sum(0).tolist()
    if nodes != num_nodes:
        raise ValueError(_stale(f"it had {nodes} nodes and has {num_nodes}"))
    minus = int(sizes[kind == _packing.SIGNED, :2].sum())
    wanted = [num_src + nodes, num_agg, 2 * (nodes + aggregates + groups + minus)]
    if [list(value.shape) for value in (ids, agg, counts)] != [[n] for n in wanted]:
        raise ValueError(_stale("what is stored of the HAG has changed"))
    arrays = [value.contiguous().numpy() for value in (ids, counts, sizes)]
    src, *rest = map(torch.from_numpy, _packing.unpack(*arrays))
    tensors = [src, agg, *rest]
    if not torch.equal(sizes[:, -1], _hashes(tensors, sizes, edge_index)):
        raise ValueError(_stale("its edges have changed"))
    # Graphs of several kinds together have no order:
    sequential = bool((kind == _packing.SEQUENTIAL).all())
    hag = HAG(num_nodes, *tensors, sequential=sequential)
    return hag.to(stored[0].device)


def _stale(reason: str) -> str:
    return (
        f"'data.hag' does not belong to this graph: {reason}; apply 'HAGTransform' "
        f"last, after everything that changes nodes or edges"
    )


# Datasets load what they have cached with `weights_only=True`:
torch.serialization.add_safe_globals([HAGData, HAG])

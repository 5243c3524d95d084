"""HAGData: a graph that carries its HAG. The only collation code."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hag import _structure
from pyg_hag.hag import FIELDS, HAG

KEYS = tuple(f"hag_{name}" for name in FIELDS)
"""Where the HAG's tensors are stored."""

SIZES = "hag_sizes"
"""Per graph: nodes, aggregates, groups, source inputs, aggregate inputs, hash."""


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
        stored = [self._store.get(key) for key in (*KEYS, SIZES, "edge_index")]
        if any(not isinstance(value, Tensor) for value in stored):
            missing = "HAG" if stored[-1] is not None else "'edge_index'"
            raise ValueError(_stale(f"the data has no {missing}"))
        # Valid as long as the tensors are the same, and as they were:
        state = [(id(value), value._version) for value in stored]
        cached = self.__dict__.get("_hag_cache")
        if cached is not None and cached[0] == state and cached[3] == self.num_nodes:
            return cached[2]
        hag = _restore(stored, self.num_nodes)
        self.__dict__["_hag_cache"] = (state, stored, hag, self.num_nodes)
        return hag

    def _attach(self, hag: HAG) -> None:
        """Stores the HAG of the graph."""
        device = self.edge_index.device
        for key, tensor in zip(KEYS, hag.tensors, strict=True):
            self[key] = tensor.to(device)
        sizes = [
            hag.num_dst,
            hag.num_aggregates,
            hag.group_aggs.numel(),
            hag.src.numel(),
            hag.agg.numel(),
        ]
        table = torch.tensor([[*sizes, 0]], device=device)
        stored = [*(self[key] for key in KEYS), table, self.edge_index]
        table[:, 5] = _hashes(stored).to(device)
        self[SIZES] = table

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key in ("hag_src", "hag_dst"):
            return self.num_nodes
        if key == "hag_agg":
            return int(self.hag_group_aggs.sum())
        return super().__inc__(key, value, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_hag_cache", None)
        return state


def _hashes(stored: list[Tensor]) -> Tensor:
    *tensors, table, edge_index = (value.cpu() for value in stored)
    arrays = [tensor.numpy() for tensor in tensors]
    edges = edge_index.long().contiguous().numpy()
    sizes = table[:, :5].contiguous().numpy()
    return torch.from_numpy(_structure.fingerprint(*edges, *arrays, sizes))


def _restore(stored: list[Tensor], num_nodes: int) -> HAG:
    *tensors, table, _ = stored
    if table.dim() != 2 or table.size(1) != 6:
        raise ValueError(_stale(f"'{SIZES}' has shape {list(table.shape)}"))
    nodes, aggregates, groups, src, agg, _ = table.sum(0).tolist()
    if nodes != num_nodes:
        raise ValueError(_stale(f"it had {nodes} nodes and has {num_nodes}"))
    rows = nodes + aggregates
    wanted = [src, agg, rows, rows, nodes, groups, groups]
    if [tensor.numel() for tensor in tensors] != wanted:
        raise ValueError(_stale("what is stored of the HAG has changed"))
    if not torch.equal(_hashes(stored), table[:, 5].cpu()):
        raise ValueError(_stale("its edges have changed"))
    return HAG(num_nodes, *tensors)


def _stale(reason: str) -> str:
    return (
        f"'data.hag' does not belong to this graph: {reason}; apply 'HAGTransform' "
        f"last, after everything that changes nodes or edges"
    )


# Datasets load what they have cached with `weights_only=True`:
torch.serialization.add_safe_globals([HAGData, HAG])

"""The graphs of a batch as it is now, whatever was done to it since it was made."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_hag.utils.tensors import equal


class Part(NamedTuple):
    """The edges of one graph of a batch."""

    edges: Tensor | None
    """Their numbers in the batch, ascending; None for all."""
    first: tuple[int, int]
    """The first source and the first destination of the graph."""
    size: tuple[int, int]
    """`(num_src, num_dst)`."""

    def of(self, values: Tensor) -> Tensor:
        """What these edges have, of values of all edges in the last dimension."""
        edges, values = self.edges, values.as_subclass(Tensor)
        return values if edges is None else values[..., edges.to(values.device)]

    def local(self, edge_index: Tensor) -> Tensor:
        """These edges, of all, with the nodes of the graph numbered from 0."""
        edges = self.of(edge_index)
        if self.first == (0, 0):
            return edges
        return edges - edges.new_tensor(self.first)[:, None]


def parts_of(data: Any, store: Any) -> list[Part]:
    """The graphs in a storage of edges, in the order of their nodes.

    A batch is one graph if its nodes are not those of one graph after the other, or if
    an edge leads from one graph to another.

    Args:
        data: The data or batch.
        store: One of its edge storages, with `edge_index`.
    """
    edge_index, size = store["edge_index"], store.size()
    whole = [Part(None, (0, 0), size)]
    if not isinstance(data, Batch):
        return whole
    src_start, dst_start = (_starts(nodes) for nodes in _ends(data, store))
    if src_start is None or dst_start is None or len(src_start) != len(dst_start):
        return whole
    src, dst = edge_index.detach().cpu().long().contiguous()
    group = torch.searchsorted(src_start, src, right=True) - 1
    if not equal(group, torch.searchsorted(dst_start, dst, right=True) - 1):
        return whole
    counts = group.bincount(minlength=len(src_start) - 1).tolist()
    edges = group.argsort(stable=True).split(counts)
    firsts = zip(src_start.tolist(), dst_start.tolist(), strict=True)
    sizes = zip(src_start.diff().tolist(), dst_start.diff().tolist(), strict=True)
    return [Part(*part) for part in zip(edges, firsts, sizes, strict=False)]


def shallow_copy(data: Any) -> Any:
    """A copy of the data, or of the batch, that shares its tensors."""
    out = copy.copy(data)
    out.__dict__.pop("_hag_cache", None)
    known = _known_to_batch(out)
    for name in ("_slice_dict", "_inc_dict"):
        values = known.get(name)
        if values is not None:
            known[name] = {
                key: dict(value) if isinstance(value, dict) else value
                for key, value in values.items()
            }
    return out


def slices_of(store: Any, name: str) -> dict[str, Any] | None:
    """What PyG knows of the attributes of each graph of a batch, or None."""
    found: Any = _known_to_batch(store._parent()).get(name)
    if found is None or store._key is None:
        return found
    attributes: dict[str, Any] = found.setdefault(store._key, {})
    return attributes


def _known_to_batch(data: Any) -> dict[str, Any]:
    """Where a batch keeps what PyG knows of its graphs."""
    store = data._store if "_store" in data.__dict__ else data._global_store
    attributes: dict[str, Any] = store.__dict__
    return attributes


def set_per_node(store: Any, name: str, value: Tensor) -> None:
    """Sets an attribute of the nodes, which the graphs of a batch then have as well."""
    store[name] = value
    slices, increments = (slices_of(store, n) for n in ("_slice_dict", "_inc_dict"))
    start = None if slices is None else _starts(store)
    if slices is not None and increments is not None and start is not None:
        slices[name], increments[name] = start, None


def nodes_per_graph(data: Any, store: Any) -> list[int]:
    """The number of nodes of each graph in a storage of nodes, one after the other."""
    start = _starts(store) if isinstance(data, Batch) else None
    return [store.num_nodes] if start is None else start.diff().tolist()


def _ends(data: Any, store: Any) -> tuple[Any, Any]:
    """The storages of the nodes at both ends of the edges."""
    if store._key is None:
        return store, store
    return data[store._key[0]], data[store._key[-1]]


def _starts(store: Any) -> Tensor | None:
    """Where the nodes of each graph start, `[num_graphs + 1]`, or None if unknown."""
    num_nodes, batch, ptr = store.num_nodes, store.get("batch"), store.get("ptr")
    if not isinstance(batch, Tensor) or batch.shape != (num_nodes,):
        return None
    batch = batch.detach().cpu()
    if batch.numel() and (bool((batch.diff() < 0).any()) or int(batch[0]) < 0):
        return None
    num_graphs = int(batch[-1]) + 1 if batch.numel() else 0
    if isinstance(ptr, Tensor):  # it counts graphs without nodes at the end as well
        num_graphs = max(num_graphs, ptr.numel() - 1)
    counts = batch.bincount(minlength=num_graphs)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

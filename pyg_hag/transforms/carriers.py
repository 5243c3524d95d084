"""Data that can carry HAGs, and the edges of its storages."""

from typing import Any, cast

from torch_geometric.data import Batch, Data, HeteroData

from pyg_hag.data import HAGData, HAGHeteroData
from pyg_hag.data.graphs import shallow_copy
from pyg_hag.data.storages import adopt
from pyg_hag.data.store import KEY, given
from pyg_hag.graph.formats import Edges, edges_of, is_unweighted
from pyg_hag.hag import HAG

_HETERO = HeteroData, HAGHeteroData


def able_to_carry(data: Any) -> Any:
    """A shallow copy of the data that can carry HAGs."""
    base: Any = type(data)
    if isinstance(data, Batch):  # its class has that of its graphs as the last base
        base = base.__bases__[-1]
    if not issubclass(base, Data | HeteroData):
        raise TypeError(
            f"'data' must be a 'Data' or 'HeteroData' object (got "
            f"{type(data).__name__})"
        )
    plain, ours = (Data, HAGData) if issubclass(base, Data) else _HETERO
    if base is not plain and not issubclass(base, ours):
        raise TypeError(
            f"'data' is a {type(data).__name__}, whose own methods would be lost: "
            f"derive that class from 'pyg_hag.{ours.__name__}'"
        )
    num_nodes = data.num_nodes
    out = shallow_copy(data)
    if base is plain:
        is_batch, make_batch = base is not type(data), cast("Any", Batch)
        cls = type(make_batch(_base_cls=ours)) if is_batch else ours
        object.__setattr__(out, "__class__", cls)  # `Data` would store it
    for store in out.stores:
        adopt(store)
        if isinstance(store.get("hag"), HAG):  # set on data that did not know HAGs
            del store["hag"]
    if isinstance(data, Data) and out.x is None and "num_nodes" not in out:
        out.num_nodes = num_nodes  # otherwise a batch would have to guess it
    return out


def size_of(store: Any) -> tuple[int, int]:
    """The numbers of nodes at both ends of the edges in a storage."""
    src, dst = store.size()
    if src is None or dst is None:
        node_type = store._key[0] if src is None else store._key[-1]
        raise ValueError(
            f"the number of nodes of type {node_type!r} is unknown: set "
            f"'data[{node_type!r}].num_nodes', or its 'x'"
        )
    return src, dst


def has_hag_alone(store: Any) -> bool:
    """Whether a storage has a HAG in place of its edges."""
    return KEY in store and given(store, "edge_index") is None and "adj_t" not in store


def ensure_edges(store: Any) -> Edges:
    """Puts the edges into a storage that has only their adjacency matrix.

    Returns:
        The edges, with the weights if the matrix has any.
    """
    where = "" if store._key is None else f" (edge type {store._key!r})"
    if has_hag_alone(store):
        raise ValueError(
            f"'data' has a HAG and no 'edge_index' any more{where}: apply "
            f"'HAGTransform(remove_edge_index=True)' once, as the last transform"
        )
    edges = edges_of(store, f"a HAG needs a graph{where}")
    store["edge_index"] = edges.edge_index
    if is_unweighted(edges.weight):
        return edges._replace(weight=None)
    store["edge_weight"] = edges.weight
    return edges

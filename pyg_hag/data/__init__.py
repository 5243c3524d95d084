"""Data objects of PyG that carry the HAGs of their graphs, and their collation."""

from typing import Any

import torch
from torch_geometric.data import Data, HeteroData

from pyg_hag.data.display import data_html, hetero_data_html
from pyg_hag.data.restore import remember, restored
from pyg_hag.data.storages import adopt
from pyg_hag.data.store import KEY, stored_in, take
from pyg_hag.hag import HAG


class HAGData(Data):
    r"""A :class:`torch_geometric.data.Data` object with the HAG of its graph.

    :class:`pyg_hag.HAGTransform` returns it. The HAG is stored as a flat tensor,
    so batches, datasets, :meth:`to` and pickling work as for any other attribute;
    :attr:`hag` builds the :class:`pyg_hag.HAG` on first use.

    To combine it with your own data class, derive that class from `HAGData` and pass
    its objects to the transform.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adopt(self._store)

    @property
    def hag(self) -> HAG:
        """The HAG of the graph.

        A HAG that was built elsewhere can be assigned, if it stands for the edges.

        Raises:
            ValueError: If the graph or the stored HAG has been changed since the HAG
                was built.
        """
        cache = self.__dict__.setdefault("_hag_cache", {})
        num_nodes = self.num_nodes
        return restored(self._store, (num_nodes, num_nodes), cache, "data.hag")

    @hag.setter
    def hag(self, hag: HAG) -> None:
        take(self._store, hag, "data.hag")

    def __contains__(self, key: str) -> bool:
        if key == "hag":
            return KEY in self._store
        return key in self._store or super().__contains__(key)

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 0 if key == KEY else super().__inc__(key, value, *args, **kwargs)

    def apply(self, func: Any, *args: str) -> "HAGData":
        """Applies a function to all tensors, or to the named ones."""
        before = stored_in(self._store)
        super().apply(func, *args)
        remember(self.__dict__.setdefault("_hag_cache", {}), before, self._store)
        return self

    def _repr_html_(self) -> str:
        return data_html(self)

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(self.__dict__)

    def __setstate__(self, mapping: dict[str, Any]) -> None:
        super().__setstate__(_without_cache(mapping))


class HAGHeteroData(HeteroData):
    r"""A :class:`torch_geometric.data.HeteroData` object with a HAG per edge type.

    :class:`pyg_hag.HAGTransform` returns it for such data. Models take :attr:`hag_dict`
    in place of `edge_index_dict`: `model(data.x_dict, data.hag_dict)`.
    """

    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> "HAGHeteroData":
        """Makes data of the result of `to_dict`."""
        data = super().from_dict(mapping)
        for store in data.edge_stores:
            adopt(store)
        return data

    def hag_of(self, edge_type: Any) -> HAG:
        """The HAG of one edge type; see :attr:`hag_dict`."""
        caches = self.__dict__.setdefault("_hag_cache", {})
        size = self[edge_type[0]].num_nodes, self[edge_type[-1]].num_nodes
        cache = caches.setdefault(edge_type, {})
        name = f"data.hag_dict[{edge_type!r}]"
        return restored(self[edge_type], size, cache, name)

    def get_edge_store(self, src: str, rel: str, dst: str) -> Any:
        """The storage of an edge type, which is made if it is new."""
        store = super().get_edge_store(src, rel, dst)
        adopt(store)
        return store

    @property
    def hag_dict(self) -> dict[Any, HAG]:
        """The HAG of each edge type.

        Raises:
            ValueError: If a graph or its stored HAG has been changed since the HAG was
                built.
        """
        return {edge_type: self.hag_of(edge_type) for edge_type in self.edge_types}

    @hag_dict.setter
    def hag_dict(self, hags: dict[Any, HAG]) -> None:
        for edge_type, hag in hags.items():
            if edge_type not in self.edge_types:
                raise ValueError(
                    f"'data.hag_dict' has edge type {edge_type!r}, but the data has "
                    f"{self.edge_types}"
                )
            take(self[edge_type], hag, f"data.hag_dict[{edge_type!r}]")

    def __contains__(self, key: str) -> bool:
        if key == "hag_dict":
            return any(KEY in store for store in self.edge_stores)
        found: bool = super().__contains__(key)
        return found

    def __setattr__(self, key: str, value: Any) -> None:
        if key == "hag_dict":  # `HeteroData` would store it as an attribute
            object.__setattr__(self, key, value)
        else:
            super().__setattr__(key, value)

    def apply(self, func: Any, *args: str) -> "HAGHeteroData":
        """Applies a function to all tensors, or to the named ones."""
        before = {key: stored_in(self[key]) for key in self.edge_types}
        super().apply(func, *args)
        caches = self.__dict__.setdefault("_hag_cache", {})
        for edge_type, stored in before.items():
            remember(caches.setdefault(edge_type, {}), stored, self[edge_type])
        return self

    def _repr_html_(self) -> str:
        return hetero_data_html(self)

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(self.__dict__)

    def __setstate__(self, mapping: dict[str, Any]) -> None:
        super().__setstate__(_without_cache(mapping))


def _without_cache(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a data object without the HAGs that are built on first use.

    A pickle of another one's making may have some, too.
    """
    return {key: value for key, value in state.items() if key != "_hag_cache"}


# Datasets load their cached files with `weights_only=True`:
torch.serialization.add_safe_globals([HAGData, HAGHeteroData, HAG])

"""The transform that makes HAGs of meta-paths."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.transforms.add_metapaths import postprocess

from pyg_hag.data.store import KEY, attach_to_whole
from pyg_hag.graph.checks import check_edge_index
from pyg_hag.graph.formats import is_unweighted
from pyg_hag.hag import HAG
from pyg_hag.search.options import (
    SearchOptions,
    collect_options,
    takes_search_options,
)
from pyg_hag.search.product.build import (
    REDUCES,
    build_hag_of_product,
    check_effects,
)
from pyg_hag.transforms.carriers import (
    able_to_carry,
    ensure_edges,
    has_hag_alone,
    size_of,
)
from pyg_hag.transforms.hag_transform import HAGTransform
from pyg_hag.utils.checks import check_choice

_BOOLS = (
    *("drop_orig_edge_types", "keep_same_node_type", "drop_unconnected_node_types"),
    "weighted",
)


@functional_transform("add_hag_metapaths")
class HAGMetaPaths(BaseTransform):
    r"""Adds the HAGs of meta-paths (functional name: :obj:`add_hag_metapaths`).

    Stands in for :class:`torch_geometric.transforms.AddMetaPaths`, without the product
    of the adjacency matrices along a path, which may have thousands of times more
    edges than they have: the middle nodes of the path are the aggregates of its HAG
    (:func:`pyg_hag.build_hag_of_product`). Returns a
    :class:`pyg_hag.HAGHeteroData` whose `hag_dict` has a HAG for each meta-path, under
    the edge type that PyG gives it, `(src, "metapath_0", dst)` and so on, and one for
    each edge type that is kept. The data gets a `metapath_dict` as in PyG. Models take
    `data.hag_dict` in place of `data.edge_index_dict`:

    .. code-block:: python

        metapaths = [[("paper", "author"), ("author", "paper")],
                     [("paper", "venue"), ("venue", "paper")]]
        data = HAGMetaPaths(metapaths, drop_orig_edge_types=True,
                            drop_unconnected_node_types=True)(data)
        conv = to_hag(HANConv(-1, 64, data.metadata(), heads=8))
        out = conv(data.x_dict, data.hag_dict)

    Meta-paths that are sampled, as in
    :class:`torch_geometric.transforms.AddRandomMetaPaths`, remain edges: apply
    :class:`pyg_hag.HAGTransform` after it.

    Args:
        metapaths (list[list[tuple]]): The meta-paths, each a list of edge types.
        drop_orig_edge_types (bool): Whether to drop the edge types that the data had.
            (default: :obj:`False`)
        keep_same_node_type (bool): Whether edge types between nodes of one type are
            kept even so. (default: :obj:`False`)
        drop_unconnected_node_types (bool): Whether to drop node types that no edge
            type connects. (default: :obj:`False`)
        max_sample (int, optional): Must be None: sampling needs the edges of the
            product one by one. (default: :obj:`None`)
        weighted (bool): Whether edges weigh the number of their paths, which layers
            then use as the `edge_weight`. (default: :obj:`False`)
        reduce (str): `"sum"`, or `"max"` for smaller HAGs over which layers can take
            the maximum and the minimum alone. (default: :obj:`"sum"`)
        options (SearchOptions, optional): How to search.
        **search_options: The fields of :class:`pyg_hag.search.SearchOptions`, which
            documents each, as keywords in place of `options`.

    Raises:
        TypeError: If an argument has the wrong type, or the data is no `HeteroData`.
        ValueError: If a meta-path does not fit together or has edge types that the
            data does not have, if `max_sample` is given, or if `weighted` is True and
            an edge type has weights of its own.
    """

    @takes_search_options
    def __init__(
        self,
        metapaths: Sequence[Sequence[Any]],
        drop_orig_edge_types: bool = False,
        keep_same_node_type: bool = False,
        drop_unconnected_node_types: bool = False,
        max_sample: int | None = None,
        weighted: bool = False,
        *,
        reduce: str = "sum",
        options: SearchOptions | None = None,
        **search_options: Any,
    ) -> None:
        if not isinstance(metapaths, list | tuple):
            raise TypeError(
                f"'metapaths' must be a list of meta-paths (got {metapaths!r})"
            )
        self.metapaths = [_checked(path) for path in metapaths]
        self.drop_orig_edge_types = drop_orig_edge_types
        self.keep_same_node_type = keep_same_node_type
        self.drop_unconnected_node_types = drop_unconnected_node_types
        self.weighted = weighted
        for name in _BOOLS:
            if not isinstance(getattr(self, name), bool):
                raise TypeError(
                    f"'{name}' must be a bool (got {getattr(self, name)!r})"
                )
        if max_sample is not None:
            raise ValueError(
                f"'max_sample' needs the edges of a meta-path one by one, which a HAG "
                f"does not have (got {max_sample!r}): use PyG's 'AddMetaPaths' or "
                f"'AddRandomMetaPaths', and then 'HAGTransform'"
            )
        self.reduce = check_choice("reduce", reduce, REDUCES)
        self.options = collect_options(HAGMetaPaths.__init__, options, search_options)
        for path in self.metapaths:
            check_effects(self.options, len(path), weighted, reduce)

    def forward(self, data: Any) -> Any:
        """Returns the data with the HAGs of the meta-paths."""
        if not isinstance(data, HeteroData):
            raise TypeError(
                f"'data' must be a 'HeteroData' object (got {type(data).__name__}): "
                f"for products of other graphs, use 'build_hag_of_product'"
            )
        out = able_to_carry(data)
        before = out.edge_types
        read = {
            store._key: ensure_edges(store)
            for store in out.edge_stores
            if not has_hag_alone(store)
        }
        made, named = {}, {}
        for j, metapath in enumerate(self.metapaths):
            path = [_known(out, edge_type, j) for edge_type in metapath]
            key = path[0][0], f"metapath_{j}", path[-1][-1]
            made[key] = self._hag_of(out, path)
            named[key] = metapath
        for key, hag in made.items():
            for name in ("edge_weight", "adj_t"):  # of edges that the HAG replaces
                out[key]._mapping.pop(name, None)
            attach_to_whole(out[key], hag, remove_edge_index=True)
        out.metapath_dict = named
        postprocess(
            out,
            before,
            self.drop_orig_edge_types,
            self.keep_same_node_type,
            self.drop_unconnected_node_types,
        )
        others = HAGTransform(weights="plain", options=self.options)
        for store in out.edge_stores:
            if store._key not in made and KEY not in store:
                others.attach_to(out, store, read[store._key])
        return out

    def _hag_of(self, data: Any, path: list[tuple[str, str, str]]) -> HAG:
        """The HAG of a meta-path."""
        edges, sizes = [], [size_of(data[path[0]])[0]]
        for edge_type in path:
            store = data[edge_type]
            if has_hag_alone(store):
                raise ValueError(
                    f"edge type {edge_type!r} has a HAG and no 'edge_index' any more: "
                    f"make the meta-paths before its edges are removed"
                )
            check_edge_index(store["edge_index"], size_of(store))
            weight = store.get("edge_weight") if self.weighted else None
            if isinstance(weight, Tensor) and not is_unweighted(weight):
                raise ValueError(
                    f"'weighted' is True and counts paths, but edge type {edge_type!r} "
                    f"has an 'edge_weight' of its own, and sums over middle nodes "
                    f"cannot share weights: remove it, or use PyG's 'AddMetaPaths'"
                )
            edges.append(store["edge_index"])
            sizes.append(size_of(store)[1])
        return build_hag_of_product(
            *edges,
            sizes=sizes,
            weighted=self.weighted,
            reduce=self.reduce,
            options=self.options,
        )

    def __repr__(self) -> str:
        shown: dict[str, Any] = {"metapaths": self.metapaths}
        shown |= {name: True for name in _BOOLS if getattr(self, name)}
        shown |= {"reduce": self.reduce, **self.options.for_repr()}
        arguments = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.__class__.__name__}({arguments})"


def _checked(path: Any) -> list[Any]:
    """A meta-path of two edge types or more that fit together."""
    if not isinstance(path, list | tuple) or not all(
        isinstance(step, list | tuple) and len(step) in (2, 3) for step in path
    ):
        raise TypeError(
            f"'metapaths' must be lists of edge types such as ('paper', 'author') or "
            f"('paper', 'to', 'author') (got {path!r})"
        )
    path = [tuple(step) for step in path]
    if len(path) < 2:
        raise ValueError(
            f"'metapaths' must be paths of two edge types or more (got {path!r}): for "
            f"one edge type, use 'HAGTransform'"
        )
    for one, other in pairwise(path):
        if one[-1] != other[0]:
            raise ValueError(
                f"'metapaths' must lead from edge type to edge type, but {one!r} ends "
                f"in {one[-1]!r}, where {other!r} does not start"
            )
    return path


def _known(data: Any, edge_type: Any, j: int) -> tuple[str, str, str]:
    """The full name of an edge type of the data."""
    found = data._to_canonical(edge_type)
    if found not in data.edge_types:
        raise ValueError(
            f"edge type {edge_type!r} of 'metapaths[{j}]' is not in the data, which "
            f"has {data.edge_types}"
        )
    name: tuple[str, str, str] = found
    return name

"""The transform that builds the HAG of a graph."""

from dataclasses import replace
from typing import Any

from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import AddSelfLoops, BaseTransform

from pyg_hag.data import HAGData, HAGHeteroData, attach
from pyg_hag.graph.formats import edges_of, is_unweighted
from pyg_hag.graph.weights import factors_of
from pyg_hag.hag import HAG
from pyg_hag.search.build import build_with
from pyg_hag.search.options import (
    SearchOptions,
    collect_options,
    takes_search_options,
)
from pyg_hag.utils.checks import check_choice

WEIGHTS = "factored", "plain"
HETERO = HeteroData, HAGHeteroData


@functional_transform("to_hag")
class HAGTransform(BaseTransform):
    r"""Builds the HAG of a graph (functional name: :obj:`to_hag`).

    Returns a :class:`pyg_hag.HAGData` with everything that the graph had, whose `hag`
    attribute layers take in place of `edge_index`; for a
    :class:`torch_geometric.data.HeteroData`, a :class:`pyg_hag.HAGHeteroData` whose
    `hag_dict` has one for each edge type. The graph is `edge_index`, or `adj_t` where
    :class:`torch_geometric.transforms.ToSparseTensor` has left nothing else. Apply it
    last: if the graph is changed afterwards, `data.hag` raises. The search and its
    source are described at :func:`pyg_hag.build_hag`.

    As a `pre_transform` of a dataset, it builds the HAGs once, and they are stored
    with the dataset.

    Args:
        add_self_loops (bool): Whether to add a self-loop to every node first, as
            :class:`torch_geometric.transforms.AddSelfLoops` does: the graph becomes
            that of closed neighbourhoods. (default: :obj:`False`)
        weights (str): What to do with an `edge_weight` that is not the product of a
            source factor and a destination factor: `"factored"` raises, `"plain"`
            leaves the graph without aggregates, and layers sum with the weight of each
            edge, which may be learned. (default: :obj:`"factored"`)
        remove_edge_index (bool): Whether the HAG takes the place of `edge_index`, so
            that batches are made and moved without it. Layers that need edges get them
            from the HAG, in another order: attributes of single edges, such as
            `edge_weight`, cannot be used then. (default: :obj:`False`)
        options (SearchOptions, optional): How to search.
        **search_options: The fields of :class:`pyg_hag.search.SearchOptions`, which
            documents each, as keywords in place of `options`. A sequential HAG keeps
            the order of neighbours at this point, also when the edges of the data are
            sorted later.

    Raises:
        TypeError: If the data is neither `Data` nor `HeteroData`, or of another
            subclass.
        ValueError: If the data has no graph, or an `edge_weight` that is not the
            product of a source factor and a destination factor. Weights that are, such
            as those of :class:`torch_geometric.transforms.GCNNorm`, go to the layer as
            before: `conv(data.x, data.hag, data.edge_weight)`.
    """

    @takes_search_options
    def __init__(
        self,
        add_self_loops: bool = False,
        weights: str = "factored",
        *,
        remove_edge_index: bool = False,
        options: SearchOptions | None = None,
        **search_options: Any,
    ) -> None:
        if not isinstance(add_self_loops, bool):
            raise TypeError(f"'add_self_loops' must be a bool (got {add_self_loops!r})")
        if not isinstance(remove_edge_index, bool):
            raise TypeError(
                f"'remove_edge_index' must be a bool (got {remove_edge_index!r})"
            )
        self.add_self_loops = add_self_loops
        self.remove_edge_index = remove_edge_index
        self.weights = check_choice("weights", weights, WEIGHTS)
        self.options = collect_options(HAGTransform.__init__, options, search_options)

    def forward(self, data: Any) -> Any:
        """Returns the data with the HAG of its graph, or of each graph of a batch."""
        if isinstance(data, Batch):
            return Batch.from_data_list([self(graph) for graph in data.to_data_list()])
        out = _copy(data)
        for store in out.edge_stores:
            _ensure_edges(store)
        if self.add_self_loops:
            out = AddSelfLoops()(out)
            for store in out.edge_stores:
                store.pop("adj_t", None)  # it lacks the self-loops
        for store in out.edge_stores:
            self._attach(store)
        return out

    def _attach(self, store: Any) -> None:
        """Builds the HAG of the edges in a store, and puts it there."""
        size = store.size()
        edge_index, weight = store["edge_index"], store.get("edge_weight")
        options = self.options
        if weight is not None:
            if self.remove_edge_index:
                raise ValueError(
                    "'edge_weight' of 'data' has a value per edge: use 'HAGTransform' "
                    "without 'remove_edge_index', or remove the weights"
                )
            *_, wrong = factors_of(edge_index, weight, size)
            if wrong and self.weights == "factored":
                raise ValueError(
                    f"'edge_weight' of 'data' {wrong}, so that sums cannot be shared: "
                    f"use 'HAGTransform(weights=\"plain\")', or remove the weights"
                )
            if wrong:
                options = replace(self.options, capacity=0)
        hag = self._search(edge_index, size, options)
        attach(store, hag, self.remove_edge_index)

    @staticmethod
    def _search(
        edge_index: Tensor, size: tuple[int, int], options: SearchOptions
    ) -> HAG:
        return build_with(edge_index, size, options)

    def __repr__(self) -> str:
        shown = {"add_self_loops": self.add_self_loops, "weights": self.weights}
        if self.remove_edge_index:
            shown["remove_edge_index"] = True
        shown |= self.options.for_repr()
        arguments = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.__class__.__name__}({arguments})"


def _copy(data: Any) -> Any:
    """A shallow copy of the data that can carry HAGs."""
    if isinstance(data, Data | HeteroData):
        plain, ours = (Data, HAGData) if isinstance(data, Data) else HETERO
        if type(data) is not plain and not isinstance(data, ours):
            raise TypeError(
                f"'data' is a {type(data).__name__}, whose own methods would be lost: "
                f"derive that class from 'pyg_hag.{ours.__name__}'"
            )
        num_nodes = data.num_nodes
        out = (type(data) if isinstance(data, ours) else ours).from_dict(data.to_dict())
        if isinstance(data, Data) and out.x is None and "num_nodes" not in out:
            out.num_nodes = num_nodes  # otherwise a batch would have to guess it
        return out
    raise TypeError(
        f"'data' must be a 'Data' or 'HeteroData' object (got {type(data).__name__})"
    )


def _ensure_edges(store: Any) -> None:
    """Puts the edges into a store that has only their adjacency matrix."""
    edges = edges_of(store, "a HAG needs a graph")
    store["edge_index"] = edges.edge_index
    if not is_unweighted(edges.weight):
        store["edge_weight"] = edges.weight

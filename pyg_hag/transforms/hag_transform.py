"""The transform that builds the HAG of a graph."""

from dataclasses import replace
from typing import Any

from torch import Tensor
from torch_geometric.data.data import BaseData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import AddSelfLoops, BaseTransform

from pyg_hag.data.graphs import Part, parts_of
from pyg_hag.data.store import attach
from pyg_hag.graph.checks import check_edge_index
from pyg_hag.graph.formats import Edges
from pyg_hag.hag import HAG
from pyg_hag.hag.edge_weights import EdgeWeights, read_weights
from pyg_hag.search.build import build_with
from pyg_hag.search.options import (
    SearchOptions,
    collect_options,
    takes_search_options,
)
from pyg_hag.transforms.carriers import able_to_carry, ensure_edges, size_of
from pyg_hag.utils.checks import check_choice

WEIGHTS = "factored", "plain"


@functional_transform("to_hag")
class HAGTransform(BaseTransform):
    r"""Builds the HAG of a graph (functional name: :obj:`to_hag`).

    Returns a :class:`pyg_hag.HAGData` with everything that the graph had, whose `hag`
    attribute layers take in place of `edge_index`; for a
    :class:`torch_geometric.data.HeteroData`, a :class:`pyg_hag.HAGHeteroData` whose
    `hag_dict` has one for each edge type. The graph is `edge_index`, or `adj_t` where
    :class:`torch_geometric.transforms.ToSparseTensor` has left nothing else; if that
    has values, `data.hag` carries them as the weights of its edges, and layers use
    them. Apply it last: if the graph is changed afterwards, `data.hag` raises. The
    search and its source are described at :func:`pyg_hag.build_hag`.

    A batch is transformed as it is: each graph that its `batch` vector names is
    searched by itself, or the whole if edges lead from one graph to another.

    As a `pre_transform` of a dataset, it builds the HAGs once, and they are stored
    with the dataset.

    Args:
        add_self_loops (bool): Whether to add a self-loop to every node first, as
            :class:`torch_geometric.transforms.AddSelfLoops` does: the graph becomes
            that of closed neighbourhoods. (default: :obj:`False`)
        weights (str): What to do with an `edge_weight` that is not the product of a
            source factor and a destination factor: `"factored"` raises, `"plain"`
            leaves the graph without aggregates, and layers sum with the weight of each
            edge. For weights that are learned and not in the data, use `capacity=0`.
            (default: :obj:`"factored"`)
        attr (str): The attribute that holds the weights of edges, which layers get as
            before: `conv(data.x, data.hag, data.edge_attr)`.
            (default: :obj:`"edge_weight"`)
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
        attr: str = "edge_weight",
        remove_edge_index: bool = False,
        options: SearchOptions | None = None,
        **search_options: Any,
    ) -> None:
        if isinstance(add_self_loops, BaseData):
            raise TypeError(
                f"'HAGTransform' is a class, which got data "
                f"({type(add_self_loops).__name__}): write 'HAGTransform()', with "
                f"parentheses, and 'HAGTransform()(data)'"
            )
        if not isinstance(add_self_loops, bool):
            raise TypeError(f"'add_self_loops' must be a bool (got {add_self_loops!r})")
        if not isinstance(remove_edge_index, bool):
            raise TypeError(
                f"'remove_edge_index' must be a bool (got {remove_edge_index!r})"
            )
        self.add_self_loops = add_self_loops
        self.remove_edge_index = remove_edge_index
        self.weights = check_choice("weights", weights, WEIGHTS)
        if not isinstance(attr, str):
            raise TypeError(f"'attr' must be a str (got {attr!r})")
        self.attr = attr
        self.options = collect_options(HAGTransform.__init__, options, search_options)

    def forward(self, data: Any) -> Any:
        """Returns the data with the HAG of its graph, or of each graph of a batch."""
        out = able_to_carry(data)
        read = [ensure_edges(store) for store in out.edge_stores]
        if self.add_self_loops:
            out = AddSelfLoops()(out)
            for store in out.edge_stores:
                store.pop("adj_t", None)  # it lacks the self-loops
        for store, edges in zip(out.edge_stores, read, strict=True):
            self.attach_to(out, store, edges)
        return out

    def attach_to(self, data: Any, store: Any, edges: Edges) -> None:
        """Builds the HAGs of the edges in a storage, and puts them there."""
        edge_index, options = store["edge_index"], self.options
        check_edge_index(edge_index, size_of(store))
        carried = edges.weight is not None
        weight = store.get("edge_weight" if carried else self.attr)
        if weight is not None:
            weight = self._checked_weight(weight, edge_index, store)
        hags = []
        for part in parts_of(data, store):
            local = part.local(edge_index)
            chosen, weights = options, None
            if weight is not None:
                weights, wrong = self._weights(local, weight, part, edges.is_optional)
                chosen = replace(options, capacity=0) if wrong else options
            hag = self._search(local, part.size, chosen).in_order_of(local)
            hags.append(hag.weighted_by(weights) if carried else hag)
        attach(store, hags, self.remove_edge_index)

    def _checked_weight(self, weight: Any, edge_index: Tensor, store: Any) -> Tensor:
        name = f"'{self.attr}' of 'data'"
        if self.remove_edge_index:
            raise ValueError(
                f"{name} has a value per edge: use 'HAGTransform' without "
                f"'remove_edge_index', or remove the weights"
            )
        num_edges = edge_index.size(1)
        if not isinstance(weight, Tensor) or weight.numel() != num_edges:
            got = list(weight.shape) if isinstance(weight, Tensor) else type(weight)
            raise ValueError(
                f"{name} must hold one weight for each of the {num_edges} edges (got "
                f"{got}): rename features of edges to 'edge_attr'"
            )
        return weight.view(-1)

    def _weights(
        self, edge_index: Tensor, weight: Tensor, part: Part, is_optional: bool
    ) -> tuple[EdgeWeights, str]:
        """The weights of a graph, and why sums with them cannot be shared."""
        own, size = part.of(weight), part.size
        weights, wrong = read_weights(edge_index, own, size, is_optional)
        if wrong and self.weights == "factored":
            raise ValueError(
                f"'{self.attr}' of 'data' {wrong}, so that sums cannot be shared: use "
                f"'HAGTransform(weights=\"plain\")', or remove the weights"
            )
        return weights, wrong

    @staticmethod
    def _search(
        edge_index: Tensor, size: tuple[int, int], options: SearchOptions
    ) -> HAG:
        return build_with(edge_index, size, options)

    def __repr__(self) -> str:
        shown = {"add_self_loops": self.add_self_loops, "weights": self.weights}
        if self.attr != "edge_weight":
            shown["attr"] = self.attr
        if self.remove_edge_index:
            shown["remove_edge_index"] = True
        shown |= self.options.for_repr()
        arguments = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.__class__.__name__}({arguments})"

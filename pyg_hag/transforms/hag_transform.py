"""HAGTransform: builds the HAG of a graph."""

from dataclasses import replace
from typing import Any

from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import AddSelfLoops, BaseTransform

from pyg_hag._factor import factors_of
from pyg_hag._forms import edges_of, is_unweighted
from pyg_hag._validation import check_choice
from pyg_hag.cost import CostModel
from pyg_hag.data import HAGData, HAGHeteroData, attach
from pyg_hag.hag import HAG
from pyg_hag.search.build import Options, build_with

WEIGHTS = "factored", "plain"
HETERO = HeteroData, HAGHeteroData


@functional_transform("to_hag")
class HAGTransform(BaseTransform):
    r"""Builds the HAG of a graph (functional name: :obj:`to_hag`).

    Returns a :class:`pyg_hag.HAGData` with all that the graph had, whose `hag`
    attribute layers take in place of `edge_index`; of a
    :class:`torch_geometric.data.HeteroData`, a :class:`pyg_hag.HAGHeteroData` whose
    `hag_dict` has one for each edge type. The graph is `edge_index`, or `adj_t` where
    :class:`torch_geometric.transforms.ToSparseTensor` has left that alone. Apply it
    last: when the graph is changed afterwards, `data.hag` raises. The search and its
    source are described at :func:`pyg_hag.build_hag`.

    As a `pre_transform` of a dataset the HAGs are built once and stored with it.

    Args:
        add_self_loops (bool): Whether to add a self-loop to every node first, as
            :class:`torch_geometric.transforms.AddSelfLoops` does: the graph becomes
            that of closed neighbourhoods. (default: :obj:`False`)
        weights (str): What becomes of an `edge_weight` that is no product of a factor
            of the source and one of the destination: `"factored"` raises, `"plain"`
            leaves the graph without aggregates, and layers sum with the weight of each
            edge, which may be learned. (default: :obj:`"factored"`)
        remove_edge_index (bool): Whether the HAG takes the place of `edge_index`, so
            that batches are made and moved without it. Layers that need edges get them
            from the HAG, in another order: what is given edge by edge, such as
            `edge_weight`, cannot be used then. (default: :obj:`False`)
        objective, method, num_features, capacity, min_redundancy, cost_model, \
        time_limit, memory_limit, progress, order, neighbor_order, subtract, \
        num_passes: As in :func:`pyg_hag.build_hag`. A sequential HAG keeps the order
            that the neighbours had here, also when the edges of the data are sorted
            later.

    Raises:
        TypeError: If the data is neither `Data` nor `HeteroData`, or of another
            subclass.
        ValueError: If the data has no graph, or has an `edge_weight` that is no
            product of a factor of the source and one of the destination. Weights
            that are, such as those of :class:`torch_geometric.transforms.GCNNorm`, go
            to the layer as before: `conv(data.x, data.hag, data.edge_weight)`.
    """

    def __init__(
        self,
        add_self_loops: bool = False,
        weights: str = "factored",
        *,
        remove_edge_index: bool = False,
        objective: str = "time",
        method: str = "auto",
        num_features: int = 64,
        capacity: int | None = None,
        min_redundancy: int | None = None,
        cost_model: CostModel | None = None,
        time_limit: float | None = None,
        memory_limit: int | None = None,
        progress: bool | None = None,
        order: str = "set",
        neighbor_order: str | None = None,
        subtract: bool = False,
        num_passes: int | None = None,
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
        self.options = Options(
            objective=objective,
            method=method,
            num_features=num_features,
            capacity=capacity,
            min_redundancy=min_redundancy,
            cost_model=cost_model,
            time_limit=time_limit,
            memory_limit=memory_limit,
            progress=progress,
            order=order,
            neighbor_order=neighbor_order,
            subtract=subtract,
            num_passes=num_passes,
        )

    def forward(self, data: Any) -> Any:
        """Returns the data with the HAG of its graph (of each graph of a batch)."""
        if isinstance(data, Batch):
            return Batch.from_data_list([self(graph) for graph in data.to_data_list()])
        out = _copied(data)
        for store in out.edge_stores:
            _give_edges(store)
        if self.add_self_loops:
            out = AddSelfLoops()(out)
            for store in out.edge_stores:
                store.pop("adj_t", None)  # which lacks them
        for store in out.edge_stores:
            self._attach(store)
        return out

    def _attach(self, store: Any) -> None:
        size = store.size()
        edge_index, weight = store["edge_index"], store.get("edge_weight")
        options = self.options
        if weight is not None:
            if self.remove_edge_index:
                raise ValueError(
                    "'edge_weight' of 'data' is given edge by edge: use 'HAGTransform' "
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
    def _search(edge_index: Tensor, size: tuple[int, int], options: Options) -> HAG:
        return build_with(edge_index, size, options)

    def __repr__(self) -> str:
        shown = {"add_self_loops": self.add_self_loops, "weights": self.weights}
        if self.remove_edge_index:
            shown["remove_edge_index"] = True
        shown |= self.options.shown()
        arguments = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.__class__.__name__}({arguments})"


def _copied(data: Any) -> Any:
    """The data as one that can carry HAGs."""
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
            out.num_nodes = num_nodes  # else a batch would have to guess it
        return out
    raise TypeError(
        f"'data' must be a 'Data' or 'HeteroData' object (got {type(data).__name__})"
    )


def _give_edges(store: Any) -> None:
    """Has the store hold its edges, if it has only their adjacency matrix."""
    edges = edges_of(store, "a HAG needs a graph")
    store["edge_index"] = edges.edge_index
    if not is_unweighted(edges.weight):
        store["edge_weight"] = edges.weight

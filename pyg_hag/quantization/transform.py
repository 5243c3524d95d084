"""DegreeQuantTransform: how likely each node is protected in training."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_hag.data.graphs import nodes_per_graph, set_per_node, shallow_copy
from pyg_hag.graph.formats import edges_of
from pyg_hag.utils.checks import check_probabilities


@functional_transform("degree_quant")
class DegreeQuantTransform(BaseTransform):
    r"""Adds the probability with which each node is protected from quantization.

    .. math::
        p_v = p_{\min} + (p_{\max} - p_{\min}) \cdot
        \frac{|\{u : d_u \leq d_v\}|}{|\mathcal{V}|}

    with in-degrees :math:`d`, from `Degree-Quant: Quantization-Aware Training for Graph
    Neural Networks <https://arxiv.org/abs/2008.05000>`_ (Section 3.1) (functional name:
    :obj:`degree_quant`). Nodes of the same in-degree have the same probability, and
    those of the largest in-degree exactly `p_max`. Apply it before self-loops are
    added. A batch is transformed graph by graph. In a
    :class:`torch_geometric.data.HeteroData`, edges of all types count toward the
    in-degree, and nodes are ranked within their type.

    Adds `protect_prob`, float32 of shape `[num_nodes]`, to the data.

    Args:
        p_min (float): The lower bound of the probabilities, in [0, 1].
        p_max (float): The probability for the largest in-degree, at least `p_min`.

    Raises:
        TypeError: If the data is neither `Data` nor `HeteroData`.
        ValueError: If a probability is invalid, or the data has no graph.
    """

    def __init__(self, p_min: float = 0.0, p_max: float = 0.1) -> None:
        check_probabilities(p_min, p_max)
        self.p_min, self.p_max = p_min, p_max

    def forward(self, data: Any) -> Any:
        """Returns a shallow copy of the data with `protect_prob`."""
        if not isinstance(data, Data | HeteroData):
            raise TypeError(
                f"'data' must be a 'Data' or 'HeteroData' object (got "
                f"{type(data).__name__})"
            )
        data = shallow_copy(data)
        degrees: dict[Any, Tensor] = {}
        for store in data.edge_stores:
            num_dst = store.size()[1]
            dst_type = store._key[-1] if store._key is not None else None
            degree = _in_degree(store, num_dst)
            if dst_type in degrees:
                degree = degrees[dst_type] + degree
            degrees[dst_type] = degree
        for store in data.node_stores:
            if store._key not in degrees:  # no edge type leads to it
                device = next((d.device for d in degrees.values()), "cpu")
                zeros = torch.zeros(store.num_nodes, dtype=torch.long, device=device)
                degrees[store._key] = zeros
            sizes = nodes_per_graph(data, store)
            parts = map(self._probability, degrees[store._key].split(sizes))
            set_per_node(store, "protect_prob", torch.cat([*parts]))
        return data

    def _probability(self, degree: Tensor) -> Tensor:
        _, index, count = degree.unique(return_inverse=True, return_counts=True)
        share = count.cumsum(0).double() / max(degree.numel(), 1)
        p = self.p_min + (self.p_max - self.p_min) * share
        p[-1:] = self.p_max  # without rounding errors
        return p.float()[index]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(p_min={self.p_min}, p_max={self.p_max})"


def _in_degree(store: Any, num_dst: int) -> Tensor:
    edge_index = edges_of(store, "degrees need a graph").edge_index
    return torch.bincount(edge_index[1].as_subclass(Tensor), minlength=num_dst)

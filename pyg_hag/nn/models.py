"""Models of PyG that look into the graph themselves, and how they do so on a HAG."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import LightGCN
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.nn.to_hetero_module import ToHeteroMessagePassing

from pyg_hag.data import HAGData
from pyg_hag.data.store import KEY
from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.display import noted
from pyg_hag.nn.support import hag_support


class _OneLine(torch.nn.Module):
    """A model whose text does not list its layers."""

    def __repr__(self) -> str:
        table = hag_support(self)
        runs = [support.runs for support in table]
        note = f"{runs.count('shared')} of {len(table)} layers share sums"
        if "fused" in runs:
            note += f", {runs.count('fused')} are fused"
        return noted(super().__repr__(), note)


class LightGCNMixin(_OneLine):
    """`LightGCN`, which ranks the edges themselves if it gets no pairs of nodes."""

    def forward(
        self, edge_index: Any, edge_label_index: Any = None, edge_weight: Any = None
    ) -> Tensor:
        """See :class:`torch_geometric.nn.LightGCN`."""
        if edge_label_index is None and isinstance(edge_index, AbstractHAG):
            edge_label_index = edge_index.edge_index_of_any_order()
        out: Tensor = super().forward(edge_index, edge_label_index, edge_weight)
        return out


class ToHeteroMixin(torch.nn.Module):
    """`ToHeteroMessagePassing`, which splits one graph by the types of its edges."""

    def forward(
        self,
        x: Any,
        edge_index: Any,
        node_type: Tensor | None = None,
        edge_type: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """See `torch_geometric.nn.to_hetero_module.ToHeteroMessagePassing`."""
        if isinstance(edge_index, AbstractHAG):
            edge_index = edge_index.edge_index_in_order("edge_type")
        return super().forward(x, edge_index, node_type, edge_type, **kwargs)


class BasicGNNMixin(_OneLine):
    """The models of :class:`torch_geometric.nn.models.basic_gnn.BasicGNN`."""

    def forward(self, x: Tensor, edge_index: Any, *args: Any, **kwargs: Any) -> Tensor:
        """See :class:`torch_geometric.nn.GCN`."""
        if isinstance(edge_index, AbstractHAG):
            for name in ("num_sampled_nodes_per_hop", "num_sampled_edges_per_hop"):
                if kwargs.get(name) is not None:
                    raise ValueError(
                        f"'{name}' trims the edges of a sampled graph, which a HAG "
                        f"cannot: leave it out, or pass 'edge_index'"
                    )
        out: Tensor = super().forward(x, edge_index, *args, **kwargs)
        return out

    def inference(
        self,
        loader: Any,
        device: Any = None,
        embedding_device: Any = "cpu",
        progress_bar: bool = False,
        cache: bool = False,
    ) -> Tensor:
        """See :class:`torch_geometric.nn.models.basic_gnn.BasicGNN`.

        If the data of the loader has a HAG, all nodes run over it, layer by layer: the
        loader takes all neighbours of each node anyway.
        """
        data = loader.data
        if not isinstance(data, HAGData) or KEY not in data:
            options = device, embedding_device, progress_bar, cache
            out: Tensor = super().inference(loader, *options)  # type: ignore[misc]
            return out
        if len(loader.dataset) != data.num_nodes:
            raise ValueError(
                f"'loader' has {len(loader.dataset)} nodes of {data.num_nodes}: "
                f"'inference' computes the outputs of all nodes"
            )
        x, hag = data.x.to(device), data.hag
        hag = hag.to(x.device)
        with torch.no_grad():
            for i in range(self.num_layers):  # type: ignore[arg-type]
                x = self.inference_per_layer(i, x, hag, data.num_nodes)  # type: ignore[operator]
        return x.to(embedding_device)


MODELS: dict[type, type] = {
    LightGCN: LightGCNMixin,
    BasicGNN: BasicGNNMixin,
    ToHeteroMessagePassing: ToHeteroMixin,
}
"""The mix-ins of models, which contain the layers."""

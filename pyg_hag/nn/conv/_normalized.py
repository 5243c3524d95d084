"""Layers of PyG that normalise the graph: by its degrees, or as a Laplacian."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.nn.conv._adjacency import (
    Adjacency,
    gcn_normalized,
    laplacian,
    weighted,
)
from pyg_hag.nn.conv._message_passing import (
    HAGMessagePassing,
    check_square,
    propagate_hag,
    unshared_aggregation,
    unshared_sum,
)
from pyg_hag.ops.degrees import degrees


class Normalized(HAGMessagePassing):
    """Layers that normalise the graph as GCN does."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        if getattr(conv, "normalize", True):
            return unshared_sum(conv)
        return unshared_aggregation(conv)

    def _adjacency(self, hag: HAG, x: Tensor, edge_weight: Tensor | None) -> Adjacency:
        name = type(self).__name__
        if not getattr(self, "normalize", True):
            return weighted(hag, edge_weight, name)
        check_square(self, hag)
        loops = bool(getattr(self, "add_self_loops", False))
        if loops and edge_weight is None:  # those that the HAG has need not be added
            hag, _ = hag.closed()
        fill = 2.0 if getattr(self, "improved", False) else 1.0
        return gcn_normalized(weighted(hag, edge_weight, name), loops, fill, x.dtype)


class Propagated(Normalized):
    """APPNP, which drops edges while it trains."""

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        if isinstance(edge_index, HAG) and self.dropout > 0 and self.training:
            if edge_weight is not None:
                edge_index.edge_index_in_order("edge_weight")
            edge_index = edge_index.edge_index
        out: Tensor = super().forward(x, edge_index, edge_weight)
        return out


class Labels(Normalized):
    """Label propagation, which does not normalise a graph with weights."""

    def _adjacency(self, hag: HAG, x: Tensor, edge_weight: Tensor | None) -> Adjacency:
        if edge_weight is not None:
            return weighted(hag, edge_weight, type(self).__name__)
        return super()._adjacency(hag, x, None)


class Chebyshev(HAGMessagePassing):
    """Polynomials of the Laplacian."""

    _unshared = staticmethod(unshared_sum)

    def __norm__(
        self,
        edge_index: Any,
        num_nodes: int | None,
        edge_weight: Tensor | None,
        normalization: str | None,
        lambda_max: Any = None,
        dtype: Any = None,
        batch: Tensor | None = None,
    ) -> Any:
        hag = edge_index
        if not isinstance(hag, HAG):
            rest = normalization, lambda_max, dtype, batch
            return super().__norm__(hag, num_nodes, edge_weight, *rest)
        check_square(self, hag)
        graph = weighted(hag, edge_weight, type(self).__name__)
        if edge_weight is not None and bool((edge_weight < 0).any()):
            raise ValueError(
                f"'edge_weight' of '{type(self).__name__}' must not be negative on a "
                f"HAG: pass 'edge_index' instead"
            )
        a, b, diagonal, loops = laplacian(graph, normalization, dtype)
        if lambda_max is None:
            lambda_max = 2.0 * diagonal.max()
        elif not isinstance(lambda_max, Tensor):
            lambda_max = torch.tensor(lambda_max, dtype=dtype, device=a.device)
        if batch is not None and lambda_max.numel() > 1:
            lambda_max = lambda_max[batch]
        scale = 2.0 / lambda_max
        own = (diagonal + loops) * scale - 1
        a = -a * scale
        if self.flow == "target_to_source":
            a, b = b, a
        return Adjacency(self._walked(hag), a, b, own, graph.edge_weight), None


class Cluster(HAGMessagePassing):
    """ClusterGCN, which weighs self-loops differently."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        if not conv.add_self_loops:
            return "'add_self_loops' must be True on a HAG (got False)"
        return unshared_sum(conv)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        hag = edge_index
        if not isinstance(hag, HAG):
            out: Tensor = super().forward(x, edge_index)
            return out
        check_square(self, hag)
        degree, loops = degrees(hag)
        inverse = 1.0 / (degree - loops + 1).to(x.dtype)
        own = (1.0 + self.diag_lambda - loops) * inverse
        graph = Adjacency(hag, None, inverse, own)
        if self.flow == "target_to_source":
            graph = Adjacency(hag.t(), inverse, None, own)
        return self.lin_out(propagate_hag(self, graph, x)) + self.lin_root(x)

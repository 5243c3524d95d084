"""Layers of PyG that normalise the graph, by its degrees or as a Laplacian."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.adjacency import Adjacency, edges_of, weighted_adjacency
from pyg_hag.nn.mixins.aggregation import (
    unsupported_aggregation_reason,
    unsupported_sum_reason,
)
from pyg_hag.nn.mixins.checks import (
    check_square,
    checked_paths,
    refuse_weights,
)
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing, propagate_hag
from pyg_hag.nn.mixins.normalization import gcn_normalized, laplacian, loop_rule
from pyg_hag.nn.mixins.order import add_bias, product, takes_other_order


class GCNMixin(HAGMessagePassing):
    """`GCNConv` and other layers with its normalisation."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if getattr(conv, "normalize", True):
            return unsupported_sum_reason(conv)
        return unsupported_aggregation_reason(conv)

    def adjacency_of(
        self, hag: AbstractHAG, x: Tensor, edge_weight: Tensor | None
    ) -> Adjacency:
        """The normalised graph; see :meth:`HAGMessagePassing.adjacency_of`."""
        hag = checked_paths(self, hag)
        name = type(self).__name__
        always = self.factors_weights
        if not getattr(self, "normalize", True):
            return weighted_adjacency(hag, edge_weight, name, always)
        check_square(self, hag)
        loops = bool(getattr(self, "add_self_loops", False))
        rule = loop_rule(hag, edge_weight)
        if loops and edge_weight is None and hag.weights is None:
            hag, _ = hag.closed()  # those in the HAG need not be added
        fill = 2.0 if getattr(self, "improved", False) else 1.0
        adjacency = weighted_adjacency(hag, edge_weight, name, always)
        return gcn_normalized(adjacency, loops, fill, x.dtype, rule)


class GCNConvMixin(GCNMixin):
    """`GCNConv`, which sums first where that is narrower."""

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.GCNConv`."""
        if not takes_other_order(self, self.lin, x, edge_index, sums_first=False):
            out: Tensor = super().forward(x, edge_index, edge_weight)
            return out
        out = self.propagate(edge_index, x=x, edge_weight=edge_weight)
        out = self.lin(out)
        return out if self.bias is None else out + self.bias


class SGMixin(GCNMixin):
    """`SGConv`, which passes through its linear layer first where that is narrower."""

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.SGConv`."""
        order = {"sums_first": True, "num_sums": self.K}
        if self.cached or not takes_other_order(self, self.lin, x, edge_index, **order):
            out: Tensor = super().forward(x, edge_index, edge_weight)
            return out
        out = product(self.lin, x)
        for _ in range(self.K):
            out = self.propagate(edge_index, x=out, edge_weight=edge_weight)
        return add_bias(out, self.lin)


class SSGMixin(GCNMixin):
    """`SSGConv`, likewise."""

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.SSGConv`."""
        order = {"sums_first": True, "num_sums": self.K}
        if self.cached or not takes_other_order(self, self.lin, x, edge_index, **order):
            out: Tensor = super().forward(x, edge_index, edge_weight)
            return out
        x = product(self.lin, x)
        out = x * self.alpha
        for _ in range(self.K):
            x = self.propagate(edge_index, x=x, edge_weight=edge_weight)
            out = out + (1 - self.alpha) / self.K * x
        return add_bias(out, self.lin)


class GCN2Mixin(GCNMixin):
    """`GCN2Conv`, which changes the result of `propagate` in place."""

    def _propagate_hag(self, *args: Any, **kwargs: Any) -> Tensor:
        out = super()._propagate_hag(*args, **kwargs)
        is_linear = self.aggr in ("add", "sum", "mean")  # else gradients need it
        return out if is_linear else out.clone()


class APPNPMixin(GCNMixin):
    """`APPNP`, which gets edges when it drops some of them in training."""

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.APPNP`."""
        if isinstance(edge_index, AbstractHAG) and self.dropout > 0 and self.training:
            edge_index, edge_weight = edges_of(edge_index, edge_weight)
        out: Tensor = super().forward(x, edge_index, edge_weight)
        return out


class LabelPropagationMixin(GCNMixin):
    """`LabelPropagation`, which normalises no weights but those of sparse tensors.

    That is, of sparse tensors of PyTorch.
    """

    def forward(
        self, y: Tensor, edge_index: Any, mask: Any = None, edge_weight: Any = None,
        post_step: Any = None,
    ) -> Tensor:  # fmt: skip
        """See :class:`torch_geometric.nn.LabelPropagation`."""
        if isinstance(edge_index, AbstractHAG) and y.is_floating_point():
            # Its factors have the default dtype, and half precision gives way to it.
            normalizes = edge_weight is None and edge_index.weights is None
            factor = torch.get_default_dtype() if normalizes else y.dtype
            factor = torch.float32 if edge_index.is_count else factor
            y = y.to(torch.promote_types(y.dtype, factor))
        out: Tensor = super().forward(y, edge_index, mask, edge_weight, post_step)
        return out

    def adjacency_of(
        self, hag: AbstractHAG, x: Tensor, edge_weight: Tensor | None
    ) -> Adjacency:
        """See :meth:`HAGMessagePassing.adjacency_of`."""
        weights, hag = hag.weights, checked_paths(self, hag)
        is_optional = weights is not None and weights.is_optional
        if edge_weight is not None or is_optional or hag.is_count:
            return weighted_adjacency(hag, edge_weight, type(self).__name__)
        return super().adjacency_of(hag, x, None)


class ChebMixin(HAGMessagePassing):
    """`ChebConv`: polynomials of the Laplacian."""

    unsupported_reason = staticmethod(unsupported_sum_reason)

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
        if not isinstance(hag, AbstractHAG):
            options = normalization, lambda_max, dtype, batch
            return super().__norm__(hag, num_nodes, edge_weight, *options)
        check_square(self, hag)
        hag = checked_paths(self, hag)
        adjacency = weighted_adjacency(hag, edge_weight, type(self).__name__)
        entries = laplacian(adjacency, normalization, dtype)
        (hag, a, b, _, weight), diagonal, loops, _ = entries
        assert a is not None
        if lambda_max is None:
            lambda_max = 2.0 * entries.max()
        elif not isinstance(lambda_max, Tensor):
            lambda_max = torch.tensor(lambda_max, dtype=dtype, device=a.device)
        if batch is not None and lambda_max.numel() > 1:
            lambda_max = lambda_max[batch]
        scale = 2.0 / lambda_max
        if loops is not None:
            diagonal = diagonal + loops
        self_scale = diagonal * scale - 1
        a = -a * scale
        if self.flow == "target_to_source":
            a, b = b, a
        return Adjacency(self.oriented(hag), a, b, self_scale, weight), None


class ClusterGCNMixin(HAGMessagePassing):
    """`ClusterGCNConv`, which amplifies the diagonal of the normalised graph."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if not conv.add_self_loops:
            return "'add_self_loops' must be True on a HAG (got False)"
        return unsupported_sum_reason(conv)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """See :class:`torch_geometric.nn.ClusterGCNConv`."""
        hag = edge_index
        if not isinstance(hag, AbstractHAG):
            out: Tensor = super().forward(x, edge_index)
            return out
        check_square(self, hag)
        hag = refuse_weights(self, hag)
        if not torch.compiler.is_compiling() and bool((hag.self_loops > 1).any()):
            hag = hag.without_self_loops()  # which would cancel with rounding errors
        degree, loops = hag.in_degree, hag.self_loops
        inverse = 1.0 / (degree - loops + 1).to(x.dtype)
        self_scale = (1.0 + self.diag_lambda - loops) * inverse
        adjacency = Adjacency(hag, None, inverse, self_scale)
        if self.flow == "target_to_source":
            adjacency = Adjacency(hag.t(), inverse, None, self_scale)
        if takes_other_order(self, self.lin_out, x, hag, sums_first=True):
            out = propagate_hag(self, adjacency, product(self.lin_out, x))
            out = add_bias(out, self.lin_out)
        else:
            out = self.lin_out(propagate_hag(self, adjacency, x))
        return out + self.lin_root(x)

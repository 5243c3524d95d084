"""Layers of PyG that combine the sum over neighbours with the node itself."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.adjacency import Adjacency, total_weight
from pyg_hag.nn.mixins.aggregation import (
    unsupported_aggregation_reason,
    unsupported_sum_reason,
)
from pyg_hag.nn.mixins.checks import check_square, refuse_weights, used_weights
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing, propagate_hag
from pyg_hag.nn.mixins.order import (
    add_bias,
    first_linear,
    product,
    takes_other_order,
)
from pyg_hag.utils.tensors import reciprocal


class SAGEMixin(HAGMessagePassing):
    """`SAGEConv`, which passes through `lin_l` first where that is narrower."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.SAGEConv`."""
        source, target = x if isinstance(x, (tuple, list)) else (x, x)
        if not takes_other_order(self, self.lin_l, source, edge_index, sums_first=True):
            out: Tensor = super().forward(x, edge_index, size)
            return out
        if self.project:
            source = self.lin(source).relu()
        messages = product(self.lin_l, source)
        out = self.propagate(edge_index, x=(messages, target), size=size)
        out = add_bias(out, self.lin_l)
        if self.root_weight and target is not None:
            out = out + self.lin_r(target)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out


class GraphConvMixin(HAGMessagePassing):
    """`GraphConv`, which passes through `lin_rel` first where that is narrower."""

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        """See :class:`torch_geometric.nn.GraphConv`."""
        source, target = x if isinstance(x, (tuple, list)) else (x, x)
        order = {"sums_first": True}
        if not takes_other_order(self, self.lin_rel, source, edge_index, **order):
            out: Tensor = super().forward(x, edge_index, edge_weight, size)
            return out
        messages = product(self.lin_rel, source)
        graph = {"edge_weight": edge_weight, "size": size}
        out = self.propagate(edge_index, x=(messages, target), **graph)
        out = add_bias(out, self.lin_rel)
        return out if target is None else out + self.lin_root(target)


class GINMixin(HAGMessagePassing):
    """`GINConv`, whose root term is added in the same pass."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.GINConv`."""
        hag = edge_index
        if isinstance(hag, AbstractHAG):
            hag = used_weights(self, hag)
        if (
            not isinstance(hag, AbstractHAG)
            or hag.weights is not None
            or isinstance(x, (tuple, list))
            or unsupported_sum_reason(self) is not None
        ):
            out: Tensor = super().forward(x, hag, size)
            return out
        check_square(self, hag)
        weight = (1 + self.eps).to(x.dtype).expand(hag.num_dst)
        if hag.is_signed:  # it may add the nodes already
            hag, added = hag.closed()
            weight = weight - added.to(x.dtype)
        adjacency = Adjacency(self.oriented(hag), self_scale=weight)
        first = first_linear(self.nn)
        if not takes_other_order(self, first, x, hag, sums_first=True):
            return self.nn(propagate_hag(self, adjacency, (x, x), size=size))
        messages = product(first, x)
        out = propagate_hag(self, adjacency, (messages, messages), size=size)
        out = add_bias(out, first)
        for module in [*self.nn][1:]:
            out = module(out)
        return out


class SimpleMixin(HAGMessagePassing):
    """`SimpleConv`, which has no parameters and may add self-loops."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if conv.combine_root == "self_loop":
            return unsupported_sum_reason(conv)
        return unsupported_aggregation_reason(conv)

    def adjacency_of(
        self, hag: AbstractHAG, x: Tensor, edge_weight: Tensor | None
    ) -> Adjacency:
        """See :meth:`HAGMessagePassing.adjacency_of`."""
        adjacency = super().adjacency_of(hag, x, edge_weight)
        if self.combine_root != "self_loop":
            return adjacency
        check_square(self, hag)
        if edge_weight is None and hag.weights is not None and hag.weights.is_optional:
            refuse_weights(self, hag)  # PyG replaces the loops of a `SparseTensor`
        hag, src_scale, dst_scale, _, weight = adjacency
        return Adjacency(hag, src_scale, dst_scale, x.new_ones(hag.num_dst), weight)


class MFMixin(HAGMessagePassing):
    """`MFConv`, which has parameters for each in-degree."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.MFConv`."""
        hag = edge_index
        if not isinstance(hag, AbstractHAG):
            out: Tensor = super().forward(x, edge_index, size)
            return out
        hag = used_weights(self, hag)
        x = (x, x) if isinstance(x, Tensor) else x
        h = propagate_hag(self, hag, x, size=size)
        degree = self.num_messages(hag).clamp(max=self.max_degree)
        out = h.new_empty([*h.shape[:-1], self.out_channels])
        for i, (left, right) in enumerate(zip(self.lins_l, self.lins_r, strict=True)):
            nodes = (degree == i).nonzero().view(-1)
            rows = left(h.index_select(self.node_dim, nodes))
            if x[1] is not None:
                rows = rows + right(x[1].index_select(self.node_dim, nodes))
            out.index_copy_(self.node_dim, nodes, rows)
        return out


class LEMixin(HAGMessagePassing):
    r"""`LEConv`: :math:`\sum_u w_{uv} (\mathbf{a}_u - \mathbf{b}_v)`."""

    unsupported_reason = staticmethod(unsupported_sum_reason)

    def _propagate_hag(  # type: ignore[override]
        self,
        hag: AbstractHAG,
        a: Tensor,
        b: Tensor,
        edge_weight: Any = None,
        size: Any = None,
    ) -> Tensor:
        center = b.detach().mean(self.node_dim, keepdim=True)  # a and b may be close
        center = center.masked_fill(~center.isfinite(), 0.0)
        a, b = a - center, b - center
        total = propagate_hag(self, hag, (a, b), edge_weight, size)
        shape = [1] * b.dim()
        shape[self.node_dim] = -1
        return total - _message_weight(self, hag, a, edge_weight).view(shape) * b


def _message_weight(
    conv: HAGMessagePassing, hag: AbstractHAG, x: Tensor, edge_weight: Tensor | None
) -> Tensor:
    """The weight of all messages that each node receives, `[num_nodes]`."""
    if edge_weight is None and hag.weights is None:
        return conv.num_messages(hag).to(x.dtype)
    return total_weight(conv.adjacency_of(conv.oriented(hag), x, edge_weight), x.dtype)


class WLContinuousMixin(HAGMessagePassing):
    """`WLConvContinuous`: half the node, half the mean of its neighbours."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if conv.flow != "source_to_target":
            return "'flow' must be 'source_to_target' on a HAG"
        return unsupported_sum_reason(conv)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        """See :class:`torch_geometric.nn.WLConvContinuous`."""
        hag = edge_index
        if not isinstance(hag, AbstractHAG):
            out: Tensor = super().forward(x, edge_index, edge_weight, size)
            return out
        x = (x, x) if isinstance(x, Tensor) else x
        out = propagate_hag(self, hag, x, edge_weight, size)
        degree = _message_weight(self, hag, out, edge_weight)
        out = reciprocal(degree).view(-1, 1) * out
        return out if x[1] is None else 0.5 * (x[1] + out)

"""Layers of PyG that aggregate several times: over bases, hyperedges, directions."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import add_remaining_self_loops, is_sparse

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.adjacency import Adjacency
from pyg_hag.nn.mixins.aggregation import unsupported_sum_reason
from pyg_hag.nn.mixins.checks import (
    check_shareable,
    check_sources,
    check_square,
    refuse_weights,
)
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing, propagate_hag
from pyg_hag.ops import aggregate
from pyg_hag.utils.tensors import reciprocal


class EGMixin(HAGMessagePassing):
    """`EGConv`: several reductions of a few bases, combined with weights per node."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """None: the layer has its own aggregators, all of which are supported."""
        return None

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """See :class:`torch_geometric.nn.EGConv`."""
        hag = edge_index
        if not isinstance(hag, AbstractHAG):
            if self.add_self_loops and isinstance(hag, Tensor) and not is_sparse(hag):
                # PyG omits the self-loops of nodes after the last one with an edge.
                hag, _ = add_remaining_self_loops(hag, num_nodes=x.size(self.node_dim))
            out: Tensor = super().forward(x, hag)
            return out
        check_shareable(self)
        check_square(self, hag)
        hag = refuse_weights(self, hag)
        check_sources(hag, x.shape[self.node_dim])
        oriented = self.oriented(hag)
        if self.add_self_loops:
            oriented = oriented.with_self_loops()
        bases = self.bases_lin(x)
        weights = self.comb_lin(x)
        reduced = self._reduce_bases(bases, oriented)
        heads, width = self.num_heads, self.out_channels // self.num_heads
        inner = len(self.aggregators) * self.num_bases
        reduced = reduced.view(x.size(0), inner, width)
        out = weights.view(x.size(0), heads, inner) @ reduced
        out = out.view(x.size(0), self.out_channels)
        return out if self.bias is None else out + self.bias

    def _reduce_bases(self, bases: Tensor, hag: AbstractHAG) -> Tensor:
        """All reductions of the bases, `[N, aggregators, bases]`."""
        names = ["var" if name == "std" else name for name in self.aggregators]
        distinct = list(dict.fromkeys(names))
        if len(distinct) == 1 or hag.is_signed:  # signed HAGs take one at a time
            reduced = {name: aggregate(bases, hag, name) for name in distinct}
        else:
            together = aggregate(bases, hag, distinct)
            if distinct == self.aggregators:
                return together
            parts = together.chunk(len(distinct), -1)
            reduced = dict(zip(distinct, parts, strict=True))
        if "std" in self.aggregators:  # as in this layer of PyG: at least sqrt(1e-5)
            reduced["std"] = reduced["var"].clamp(min=1e-5).sqrt()
        return torch.stack([reduced[name] for name in self.aggregators], 1)


class HypergraphMixin(HAGMessagePassing):
    """`HypergraphConv`: from nodes to hyperedges and back, over one bipartite HAG."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if conv.use_attention:
            return "its messages have weights of their own ('use_attention')"
        return unsupported_sum_reason(conv)

    def forward(
        self,
        x: Tensor,
        hyperedge_index: Any,
        hyperedge_weight: Tensor | None = None,
        hyperedge_attr: Tensor | None = None,
        num_edges: int | None = None,
    ) -> Tensor:
        """See :class:`torch_geometric.nn.HypergraphConv`."""
        hag = hyperedge_index
        if not isinstance(hag, AbstractHAG):
            others = hyperedge_weight, hyperedge_attr, num_edges
            out: Tensor = super().forward(x, hag, *others)
            return out
        if num_edges is not None and num_edges != hag.num_dst:
            raise ValueError(
                f"'num_edges' is {num_edges}, but the HAG has {hag.num_dst} hyperedges"
            )
        hag = refuse_weights(self, hag)
        x = self.lin(x)
        if hyperedge_weight is None:
            hyperedge_weight = x.new_ones(hag.num_dst)
        edge_scale = reciprocal(hag.in_degree.to(x.dtype))
        out = propagate_hag(self, Adjacency(hag, dst_scale=edge_scale), x)
        node_scale = reciprocal(aggregate(hyperedge_weight, hag.transposed()))
        out = aggregate(out, hag.transposed(), dst_scale=node_scale)
        return out if self.bias is None else out + self.bias


class DirGNNMixin(torch.nn.Module):
    """`DirGNNConv`: a convolution in each direction."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """See :class:`torch_geometric.nn.DirGNNConv`."""
        if not isinstance(edge_index, AbstractHAG):
            out: Tensor = super().forward(x, edge_index)
            return out
        out = self.alpha * self.conv_out(x, edge_index.t())  # type: ignore[operator]
        out = out + (1 - self.alpha) * self.conv_in(x, edge_index)  # type: ignore[operator]
        return out + self.lin(x) if self.root_weight else out  # type: ignore[operator]

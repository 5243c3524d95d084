"""What PyG's layers need on a HAG beyond `propagate`: one mix-in for each kind."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn
from torch_geometric.utils import add_remaining_self_loops, is_sparse

from pyg_hag._loops import looped
from pyg_hag.hag import HAG
from pyg_hag.nn.conv._adjacency import (
    Adjacency,
    total_weight,
)
from pyg_hag.nn.conv._message_passing import (
    HAGMessagePassing,
    check_shareable,
    check_sources,
    check_square,
    propagate_hag,
    unshared_aggregation,
    unshared_sum,
)
from pyg_hag.nn.conv._normalized import (
    Chebyshev,
    Cluster,
    Labels,
    Normalized,
    Propagated,
)
from pyg_hag.ops import aggregate
from pyg_hag.ops.degrees import in_degree, sum_back


class Isomorphism(HAGMessagePassing):
    """GIN, which adds each node in the same pass."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        hag = edge_index
        if (
            not isinstance(hag, HAG)
            or isinstance(x, tuple | list)
            or unshared_sum(self) is not None
        ):
            out: Tensor = super().forward(x, edge_index, size)
            return out
        check_square(self, hag)
        weight = (1 + self.eps).to(x.dtype).expand(hag.num_dst)
        if hag.is_signed:  # which may have added the nodes already
            hag, added = hag.closed()
            weight = weight - added.to(x.dtype)
        # The node itself is a source and a destination:
        graph = Adjacency(self._walked(hag), self_scale=weight)
        out = propagate_hag(self, graph, (x, x), size=size)
        return self.nn(out)


class Basis(HAGMessagePassing):
    """EGConv, which reduces a few bases in several ways and weighs them by node."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        return None  # it aggregates by itself

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        hag = edge_index
        if not isinstance(hag, HAG):
            if self.add_self_loops and isinstance(hag, Tensor) and not is_sparse(hag):
                # PyG forgets those of the last nodes where they have no edges.
                hag, _ = add_remaining_self_loops(hag, num_nodes=x.size(self.node_dim))
            out: Tensor = super().forward(x, hag)
            return out
        check_shareable(self)
        check_square(self, hag)
        check_sources(hag, x.shape[self.node_dim])
        walked = self._walked(hag)
        if self.add_self_loops:
            walked = looped(walked)
        bases = self.bases_lin(x)
        weights = self.comb_lin(x)
        reduced = self._reduced(bases, walked)
        heads, width = self.num_heads, self.out_channels // self.num_heads
        reduced = reduced.view(-1, len(self.aggregators) * self.num_bases, width)
        out = (weights.view(x.size(0), heads, -1) @ reduced).view(-1, self.out_channels)
        return out if self.bias is None else out + self.bias

    def _reduced(self, bases: Tensor, hag: HAG) -> Tensor:
        """All reductions of the bases, `[N, aggregators, bases]`."""
        names = ["var" if name == "std" else name for name in self.aggregators]
        distinct = list(dict.fromkeys(names))
        if len(distinct) == 1 or hag.is_signed:  # which takes one at a time
            known = {name: aggregate(bases, hag, name) for name in distinct}
        else:
            together = aggregate(bases, hag, distinct)
            if distinct == self.aggregators:
                return together
            parts = together.chunk(len(distinct), -1)
            known = dict(zip(distinct, parts, strict=True))
        if "std" in self.aggregators:  # never below the root of 1e-5 here
            known["std"] = known["var"].clamp(min=1e-5).sqrt()
        return torch.stack([known[name] for name in self.aggregators], 1)


class Simple(HAGMessagePassing):
    """A layer without parameters that may add self-loops."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        if conv.combine_root == "self_loop":
            return unshared_sum(conv)
        return unshared_aggregation(conv)

    def _adjacency(self, hag: HAG, x: Tensor, edge_weight: Tensor | None) -> Adjacency:
        graph = super()._adjacency(hag, x, edge_weight)
        if self.combine_root != "self_loop":
            return graph
        check_square(self, hag)
        return graph._replace(self_scale=x.new_ones(hag.num_dst))


class ByDegree(HAGMessagePassing):
    """The molecular fingerprint layer, with parameters for each in-degree."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        hag = edge_index
        if not isinstance(hag, HAG):
            out: Tensor = super().forward(x, edge_index, size)
            return out
        x = (x, x) if isinstance(x, Tensor) else x
        h = propagate_hag(self, hag, x, size=size)
        turned = self.flow == "target_to_source"
        degree = in_degree(hag, turned).clamp(max=self.max_degree)
        out = h.new_empty([*h.shape[:-1], self.out_channels])
        for i, (left, right) in enumerate(zip(self.lins_l, self.lins_r, strict=True)):
            nodes = (degree == i).nonzero().view(-1)
            rows = left(h.index_select(self.node_dim, nodes))
            if x[1] is not None:
                rows = rows + right(x[1].index_select(self.node_dim, nodes))
            out.index_copy_(self.node_dim, nodes, rows)
        return out


class Differences(HAGMessagePassing):
    r"""LEConv: :math:`\sum_u w_{uv} (\mathbf{a}_u - \mathbf{b}_v)`."""

    _unshared = staticmethod(unshared_sum)

    def _propagate_hag(  # type: ignore[override]
        self, hag: HAG, a: Tensor, b: Tensor, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        turned = self.flow == "target_to_source"
        pair = (b, a) if turned else (a, b)
        total = propagate_hag(self, hag, pair, edge_weight, size)
        if edge_weight is None:
            weight = in_degree(hag, turned).to(a.dtype)
        else:
            graph = self._adjacency(self._walked(hag), a, edge_weight)
            weight = total_weight(graph, a.dtype)
        return total - weight.view(-1, 1) * b


class Hypergraph(HAGMessagePassing):
    """Two sums: nodes to hyperedges and back, over one bipartite HAG."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        if conv.use_attention:
            return "its messages have weights of their own ('use_attention')"
        return unshared_sum(conv)

    def forward(
        self,
        x: Tensor,
        hyperedge_index: Any,
        hyperedge_weight: Tensor | None = None,
        hyperedge_attr: Tensor | None = None,
        num_edges: int | None = None,
    ) -> Tensor:
        hag = hyperedge_index
        if not isinstance(hag, HAG):
            rest = hyperedge_weight, hyperedge_attr, num_edges
            out: Tensor = super().forward(x, hag, *rest)
            return out
        if num_edges is not None and num_edges != hag.num_dst:
            raise ValueError(
                f"'num_edges' is {num_edges}, but the HAG has {hag.num_dst} hyperedges"
            )
        x = self.lin(x)
        if hyperedge_weight is None:
            hyperedge_weight = x.new_ones(hag.num_dst)
        edges = _inverse(in_degree(hag).to(x.dtype))
        out = propagate_hag(self, Adjacency(hag, dst_scale=edges), x)
        nodes = _inverse(sum_back(hyperedge_weight, hag))
        out = sum_back(out, hag, nodes)
        return out if self.bias is None else out + self.bias


class Continuous(HAGMessagePassing):
    """The continuous Weisfeiler-Lehman layer: half a node, half its neighbours."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        if conv.flow != "source_to_target":
            return "'flow' must be 'source_to_target' on a HAG"
        return unshared_sum(conv)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        hag = edge_index
        if not isinstance(hag, HAG):
            out: Tensor = super().forward(x, edge_index, edge_weight, size)
            return out
        x = (x, x) if isinstance(x, Tensor) else x
        out = propagate_hag(self, hag, x, edge_weight, size)
        if edge_weight is None:
            degree = in_degree(hag).to(out.dtype)
        else:
            graph = self._adjacency(hag, x[0], edge_weight)
            degree = total_weight(graph, out.dtype)
        out = _inverse(degree).view(-1, 1) * out
        return out if x[1] is None else 0.5 * (x[1] + out)


class OfSources(HAGMessagePassing):
    """Layers whose messages are functions of the source, but for edge features."""

    def _propagate_hag(  # type: ignore[override]
        self, hag: HAG, x: Any, size: Any = None, edge_attr: Tensor | None = None
    ) -> Tensor:
        if edge_attr is not None:
            edges = hag.edge_index_in_order("edge_attr")
            out: Tensor = self._edge_propagate(
                edges, x=x, size=size, edge_attr=edge_attr
            )
            return out
        source = 1 if self.flow == "target_to_source" else 0
        pair = list(x)
        pair[source] = self._message_of(pair[source])
        return propagate_hag(self, hag, tuple(pair), None, size)

    def _message_of(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class General(OfSources):
    """GeneralConv without attention and edge features."""

    @staticmethod
    def _unshared(conv: Any) -> str | None:
        if conv.attention:
            return "attention"
        if conv.in_edge_channels is not None:
            return "edge features"
        if not conv.directed_msg:
            return "messages depend on both nodes ('directed_msg')"
        return unshared_aggregation(conv)

    def _message_of(self, x: Tensor) -> Tensor:
        return self.lin_msg(x).view(x.size(0), self.heads, self.out_channels)


class Generalized(OfSources):
    """GENConv with a plain aggregation."""

    def _message_of(self, x: Tensor) -> Tensor:
        return x.relu() + self.eps


def _inverse(value: Tensor) -> Tensor:
    inverse = 1.0 / value
    return inverse.masked_fill(inverse == torch.inf, 0.0)


class BothWays(torch.nn.Module):
    """DirGNN, which also convolves on the transposed graph."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        if not isinstance(edge_index, HAG):
            out: Tensor = super().forward(x, edge_index)
            return out
        out = self.alpha * self.conv_out(x, edge_index.t())  # type: ignore[operator]
        out = out + (1 - self.alpha) * self.conv_in(x, edge_index)  # type: ignore[operator]
        return out + self.lin(x) if self.root_weight else out  # type: ignore[operator]


SHARED: dict[type, type] = {
    nn.GCNConv: Normalized,
    nn.TAGConv: Normalized,
    nn.SGConv: Normalized,
    nn.SSGConv: Normalized,
    nn.APPNP: Propagated,
    nn.LGConv: Normalized,
    nn.GCN2Conv: Normalized,
    nn.ARMAConv: Normalized,
    nn.MixHopConv: Normalized,
    nn.LabelPropagation: Labels,
    nn.SAGEConv: HAGMessagePassing,
    nn.GraphConv: HAGMessagePassing,
    nn.GatedGraphConv: HAGMessagePassing,
    nn.SignedConv: HAGMessagePassing,
    nn.GINConv: Isomorphism,
    nn.EGConv: Basis,
    nn.GeneralConv: General,
    nn.GENConv: Generalized,
    nn.SimpleConv: Simple,
    nn.ChebConv: Chebyshev,
    nn.ClusterGCNConv: Cluster,
    nn.MFConv: ByDegree,
    nn.LEConv: Differences,
    nn.HypergraphConv: Hypergraph,
    nn.WLConvContinuous: Continuous,
    nn.DirGNNConv: BothWays,
}
"""The mix-in that makes each of PyG's layers accept a HAG."""

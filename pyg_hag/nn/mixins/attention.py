"""Layers whose messages are weighted by attention, by fused kernels.

PyG's `forward` runs as it is: what it hands to `edge_updater` and `propagate` is kept
until both are known, and then computed row by row instead of edge by edge.
"""

import math
from typing import Any, NamedTuple

from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.checks import check_shareable, check_size, checked_paths
from pyg_hag.nn.mixins.edges import dtype_of, features_with_loops, to_edges
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing
from pyg_hag.ops.attention import Scores, attention


class PendingScores(NamedTuple):
    """What `edge_updater` was given: scores are computed with the sums.

    Attributes:
        ends: What belongs to the sources and to the destinations.
        edge_attr: The features of the edges.
    """

    ends: tuple[Tensor, Tensor | None]
    edge_attr: Tensor | None


class AttentionMixin(HAGMessagePassing):
    """A layer that weighs messages by a softmax of scores."""

    shared_methods = ("message", "edge_update")

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if type(conv).__name__ == "FusedGATConv":
            return "a kernel of dgNN: use 'GATConv'"
        if conv.aggr not in ("add", "sum"):
            return f"'aggr={conv.aggr!r}': attention is a weighted sum"
        return None

    @staticmethod
    def runs_of(conv: Any) -> tuple[str, str]:
        """See :meth:`HAGMessagePassing.runs_of`."""
        return "fused", "scores belong to edges: one visit of each row"

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        super()._set_jittable_templates(raise_on_error)
        cls: Any = type(self)
        given = cls.__dict__.get("edge_updater")
        if given is not None and given is not _edge_updater:
            cls._updater_of_edges = given
            cls.edge_updater = _edge_updater

    def _graph(self, graph: Any, x: Any, edge_attr: Any, returns_weights: Any) -> Any:
        """The graph, or the edges of a HAG where the layer needs these.

        Where it returns coefficients of edges, or reads weights of edges as features.
        """
        if not isinstance(graph, AbstractHAG):
            return graph
        graph = checked_paths(self, graph)
        has_features = graph.weights is not None and self.edge_dim is not None
        if returns_weights is None and not has_features:
            return graph
        return self._edges_of(graph, x, edge_attr)

    def _edges_of(self, hag: AbstractHAG, x: Any, edge_attr: Any) -> Any:
        ordered = None if edge_attr is None else "edge_attr"
        return to_edges(hag, ordered, False, dtype_of({"x": x}))

    def edge_updater(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
        """Keeps what scores are computed from, on a HAG."""
        return _edge_updater(self, edge_index, size=size, **kwargs)

    def _sharing(self) -> str:
        reason = self.unsupported_reason(self)
        if reason is not None:
            return f"on edges: {reason}"
        runs, _ = self.runs_of(self)
        return "shares by sweeps, or fused" if runs == "shared" else "fused attention"

    def _checked(self, hag: AbstractHAG, sizes: Any, size: Any) -> AbstractHAG:
        """The graph in the direction of the messages, if it fits."""
        check_shareable(self)
        reason = self.unsupported_reason(self)
        if reason is not None:
            raise ValueError(
                f"'{type(self).__name__}': {reason}: pass 'edge_index' instead"
            )
        hag = self.oriented(checked_paths(self, hag).unweighted)
        check_size(hag, *sizes)
        if size is not None:
            given = list(size)
            turned = self.flow == "target_to_source"
            check_size(hag, *(given[::-1] if turned else given))
        return hag

    def _dropout(self) -> float:
        return float(self.dropout) if self.training else 0.0

    def _terms(
        self, hag: AbstractHAG, edge_attr: Tensor | None, loops: bool
    ) -> Tensor | None:
        """The edges' features after `lin_edge`, `[E, H, C]`, with added self-loops."""
        if edge_attr is None or self.lin_edge is None:
            return None
        edges = hag.edge_index_in_order("edge_attr")
        if edge_attr.size(0) != edges.size(1):
            raise ValueError(
                f"'edge_attr' must have one row for each of the {edges.size(1)} edges "
                f"(got shape {list(edge_attr.shape)})"
            )
        if loops:
            edge_attr = features_with_loops(self, hag, edge_attr)
        if edge_attr.dim() == 1:
            edge_attr = edge_attr.view(-1, 1)
        return self.lin_edge(edge_attr).view(-1, self.heads, self.out_channels)


def _edge_updater(self: Any, edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
    if not isinstance(edge_index, AbstractHAG):
        cls = type(self)
        updater = getattr(cls, "_updater_of_edges", None) or cls.pyg_class.edge_updater
        return updater(self, edge_index, size=size, **kwargs)
    ends = kwargs["alpha"] if "alpha" in kwargs else kwargs["x"]
    return PendingScores(ends, kwargs.get("edge_attr"))


_edge_updater.__name__ = "edge_updater"


def _runs_of_gat(conv: Any, has_terms: bool) -> tuple[str, str]:
    """See :meth:`HAGMessagePassing.runs_of`, for GAT's scores."""
    if has_terms:
        return "fused", "edge features: one visit of each row"
    if not 0 <= conv.negative_slope <= 1:
        return "fused", f"'negative_slope={conv.negative_slope}' is not in [0, 1]"
    rest = " and no coefficients are dropped" if conv.dropout else ""
    return "shared", f"by sweeps of aggregates, where that pays{rest}; else fused"


class GATMixin(AttentionMixin):
    """`GATConv`."""

    @staticmethod
    def runs_of(conv: Any) -> tuple[str, str]:
        """See :meth:`HAGMessagePassing.runs_of`."""
        return _runs_of_gat(conv, has_terms=conv.edge_dim is not None)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Any = None,
        size: Any = None,
        return_attention_weights: Any = None,
    ) -> Any:
        """See :class:`torch_geometric.nn.GATConv`."""
        wanted = return_attention_weights
        graph = self._graph(edge_index, x, edge_attr, wanted)
        return super().forward(x, graph, edge_attr, size, wanted)

    def _propagate_hag(  # type: ignore[override]
        self, hag: AbstractHAG, x: Any, alpha: PendingScores, size: Any = None
    ) -> Tensor:
        value, target = x
        key, query = alpha.ends
        sizes = value.size(0), None if target is None else target.size(0)
        loops = self.add_self_loops
        graph = self._checked(hag, sizes, size)
        term = self._terms(graph, alpha.edge_attr, loops)
        if term is not None:
            term = (term * self.att_edge).sum(-1)
        if query is None:
            query = key.new_zeros(graph.num_dst, key.size(1))
        scores = Scores("gat", self.negative_slope, 1.0, loops, self._dropout())
        return attention(scores, key, value, query, graph, edge_term=term)


class _FeatureScores(AttentionMixin):
    """A layer whose scores are inner products of features."""

    def _refuses(self, edge_attr: Any) -> bool:
        """Whether PyG's code has an answer of its own to the edges' features."""
        raise NotImplementedError

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Any = None,
        return_attention_weights: Any = None,
    ) -> Any:
        """See :class:`torch_geometric.nn.GATv2Conv` and `TransformerConv`."""
        wanted = return_attention_weights
        graph = self._graph(edge_index, x, edge_attr, wanted)
        if isinstance(graph, AbstractHAG) and self._refuses(edge_attr):
            graph = self._edges_of(graph, x, edge_attr)
        return super().forward(x, graph, edge_attr, wanted)


class GATv2Mixin(_FeatureScores):
    """`GATv2Conv`."""

    def _refuses(self, edge_attr: Any) -> bool:
        return edge_attr is not None and self.lin_edge is None

    def _propagate_hag(  # type: ignore[override]
        self, hag: AbstractHAG, x: Any, alpha: PendingScores, size: Any = None
    ) -> Tensor:
        key, query = x
        loops = self.add_self_loops
        graph = self._checked(hag, (key.size(0), query.size(0)), size)
        term = self._terms(graph, alpha.edge_attr, loops)
        scores = Scores("gatv2", self.negative_slope, 1.0, loops, self._dropout())
        att = self.att.view(self.heads, self.out_channels)
        return attention(scores, key, key, query, graph, att, term)


class TransformerMixin(_FeatureScores):
    """`TransformerConv`."""

    def _refuses(self, edge_attr: Any) -> bool:
        return (edge_attr is None) != (self.lin_edge is None)

    def _propagate_hag(  # type: ignore[override]
        self,
        hag: AbstractHAG,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        edge_attr: Tensor | None = None,
        size: Any = None,
    ) -> Tensor:
        graph = self._checked(hag, (key.size(0), query.size(0)), size)
        term = self._terms(graph, edge_attr, loops=False)
        scale = 1 / math.sqrt(self.out_channels)
        scores = Scores("dot", 0.0, scale, False, self._dropout())
        return attention(scores, key, value, query, graph, edge_term=term)


class HANMixin(AttentionMixin):
    """`HANConv`: one attention for each meta-path, then one over meta-paths."""

    @staticmethod
    def runs_of(conv: Any) -> tuple[str, str]:
        """See :meth:`HAGMessagePassing.runs_of`."""
        return _runs_of_gat(conv, has_terms=False)

    def _propagate_hag(  # type: ignore[override]
        self, hag: AbstractHAG, x: Any, alpha: Any, size: Any = None
    ) -> Tensor:
        value, target = x
        graph = self._checked(hag, (value.size(0), target.size(0)), size)
        scores = Scores("gat", self.negative_slope, 1.0, False, self._dropout())
        key, query = alpha
        out = attention(scores, key, value, query, graph)
        return out.view(-1, self.out_channels)

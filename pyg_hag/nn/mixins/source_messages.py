"""Layers of PyG whose messages are functions of the source alone."""

from typing import Any

from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.aggregation import unsupported_aggregation_reason
from pyg_hag.nn.mixins.checks import refuse_weights, used_weights
from pyg_hag.nn.mixins.message_passing import HAGMessagePassing, propagate_hag


class SourceMessageMixin(HAGMessagePassing):
    """Computes messages once per source instead of once per edge.

    With edge features, PyG's own code runs on the edges.
    """

    def _propagate_hag(  # type: ignore[override]
        self,
        hag: AbstractHAG,
        x: Any,
        size: Any = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        if edge_attr is not None:
            edges = hag.edge_index_in_order("edge_attr")
            size = (hag.num_src, hag.num_dst) if size is None else size
            out: Tensor = self._edge_propagate(
                edges, x=x, size=size, edge_attr=edge_attr
            )
            return out
        hag = refuse_weights(self, used_weights(self, hag))
        return propagate_hag(self, hag, (self._source_message(x[0]), x[1]), None, size)

    def _source_message(self, x: Tensor) -> Tensor:
        """The message of each source."""
        raise NotImplementedError


class GeneralMixin(SourceMessageMixin):
    """`GeneralConv` without attention and edge features."""

    @staticmethod
    def unsupported_reason(conv: Any) -> str | None:
        """See :meth:`HAGMessagePassing.unsupported_reason`."""
        if conv.attention:
            return "attention"
        if conv.in_edge_channels is not None:
            return "edge features"
        if not conv.directed_msg:
            return "messages depend on both nodes ('directed_msg')"
        return unsupported_aggregation_reason(conv)

    def _source_message(self, x: Tensor) -> Tensor:
        return self.lin_msg(x).view(x.size(0), self.heads, self.out_channels)


class GENMixin(SourceMessageMixin):
    """`GENConv` with an aggregation other than softmax and power mean."""

    def _source_message(self, x: Tensor) -> Tensor:
        return x.relu() + self.eps

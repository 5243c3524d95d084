"""QuantizedGAT: attention on quantized features, in training."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.aggr import MultiAggregation
from torch_geometric.utils import (
    add_self_loops,
    degree,
    remove_self_loops,
    scatter,
    softmax,
)

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.checks import (
    checked_paths,
    overridden_method,
    replaced_method,
)
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.base import QuantizedLayer
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize
from pyg_hag.quantization.qat.state import QATState


class QuantizedGAT(QuantizedLayer):
    """GATConv, whose weights of edges differ from edge to edge.

    Linear layers, messages, attention vectors, logits (protected by source) and sums
    are quantized; leaky ReLU, softmax and dropout are not (Tailor et al.,
    *Degree-Quant*, ICLR 2021, Section 3).
    """

    vectors = ("att_src", "att_dst", "att_edge")

    def _sharing(self) -> str:
        return "on edges: attention"

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        return "message", "logits", "aggregate"

    @staticmethod
    def unquantizable_reason(conv: Any) -> str | None:
        """See :meth:`QuantizedLayer.unquantizable_reason`."""
        method = overridden_method(type(conv)) or replaced_method(conv)
        if method is not None:
            return f"it overrides '{method}'"
        if isinstance(conv.aggr_module, MultiAggregation):
            return f"'aggr' must be a single one (got {conv.aggr!r})"
        if conv.node_dim != 0:
            return f"'node_dim' must be 0 (got {conv.node_dim})"
        return None

    def add_quantizers(self, config: DegreeQuantConfig, state: QATState) -> None:
        """See :meth:`QuantizedLayer.add_quantizers`."""
        super().add_quantizers(config, state)
        for name in self.vectors:
            if getattr(self, name) is not None:
                self.quantizers[name] = FakeQuantize(config, num_channels=1)

    def float_reason(self) -> str | None:
        """See :meth:`QuantizedLayer.float_reason`."""
        if self.aggr in ("add", "sum"):
            return None
        return f"attention with 'aggr' {self.aggr!r}"

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: Any = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """See :class:`torch_geometric.nn.GATConv`."""
        source, target = x if isinstance(x, (tuple, list)) else (x, x)
        forward = self.flow == "source_to_target"
        rows = self._messages(source, self.lin_src, edge_index, sends=forward)
        target_rows: Tensor | None = rows
        if target is None:
            target_rows = None
        elif target is not source or self.lin is None:
            target_rows = self._messages(
                target, self.lin_dst, edge_index, sends=not forward
            )
        edges, edge_attr = self._edges(edge_index, edge_attr, rows, target_rows, size)
        src, dst = edges if forward else edges.flip(0)
        num_dst = _num_dst(edge_index, rows, target_rows, size, self.flow)

        protected = self._state.protected_rows(source)
        logits = self._logits(rows, target_rows, edge_attr, src, dst)
        protected_edges = None if protected is None else protected[src]
        logits = self.quantizers["logits"](logits, protected_edges)
        alpha = softmax(F.leaky_relu(logits, self.negative_slope), dst, None, num_dst)
        alpha = F.dropout(alpha, p=self.dropout, training=self.training)

        messages = alpha.unsqueeze(-1) * rows[src]
        if self.aggr == "add":
            out = scatter(messages, dst, 0, num_dst, "sum")
        else:
            out = self.aggr_module(messages, dst, dim_size=num_dst, dim=0)
        out = self.quantizers["aggregate"](out, protected)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.res is not None and target is not None:
            out = out + self.res(target)
        out = out if self.bias is None else out + self.bias
        return (out, (edges, alpha)) if return_attention_weights is not None else out

    def _logits(
        self,
        rows: Tensor,
        target_rows: Tensor | None,
        edge_attr: Tensor | None,
        src: Tensor,
        dst: Tensor,
    ) -> Tensor:
        """The logits of the edges before they are quantized, `[E, heads]`."""
        logits = self._attention(rows, "att_src")[src]
        if target_rows is not None:
            logits = logits + self._attention(target_rows, "att_dst")[dst]
        if edge_attr is not None and self.lin_edge is not None and src.numel() > 0:
            features = self.lin_edge(edge_attr.view(src.numel(), -1))
            logits = logits + self._attention(self._heads(features), "att_edge")
        return logits

    def _heads(self, x: Tensor) -> Tensor:
        """Features by head, `[N, heads, out_channels]`."""
        return x.view(-1, self.heads, self.out_channels)

    def _messages(self, x: Tensor, linear: Any, graph: Any, sends: bool) -> Tensor:
        """Transformed and quantized features, of the nodes that send or receive."""
        out = (linear if self.lin is None else self.lin)(x)
        quantizer: Any = self.quantizers["message"]
        counts = None
        if quantizer.needs_counts:
            counts = _degree(graph, x.size(0), sends) + 1
        return self._heads(quantizer(out, self._state.protected_rows(x), counts))

    def _attention(self, rows: Tensor, name: str) -> Tensor:
        """The product of each node's heads and an attention vector, `[N, heads]`."""
        vectors = getattr(self, name)
        return (rows * self.quantizers[name](vectors)).sum(dim=-1)

    def _edges(
        self,
        graph: Any,
        edge_attr: Tensor | None,
        rows: Tensor,
        target_rows: Tensor | None,
        size: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The edges and their features, with self-loops if the layer adds them."""
        edges = graph
        if isinstance(graph, AbstractHAG):
            graph = checked_paths(self, graph)
            edges = graph.edge_index_of_any_order()
            if edge_attr is not None:
                edges = graph.edge_index_in_order("edge_attr")
        elif not isinstance(graph, Tensor) or graph.layout != torch.strided:
            raise TypeError(
                f"'edge_index' of quantized attention must be a tensor of edges or a "
                f"HAG (got {type(graph).__name__})"
            )
        if not self.add_self_loops:
            return edges, edge_attr
        num_nodes = rows.size(0)
        if target_rows is not None:
            num_nodes = min(num_nodes, target_rows.size(0))
        num_nodes = min(size) if size is not None else num_nodes
        edges, edge_attr = remove_self_loops(edges, edge_attr)
        fill = self.fill_value
        return add_self_loops(edges, edge_attr, fill_value=fill, num_nodes=num_nodes)


def _degree(graph: Any, num_nodes: int, out: bool) -> Tensor:
    """The out-degrees or in-degrees of the nodes."""
    if isinstance(graph, AbstractHAG):
        return (graph.transposed() if out else graph).in_degree
    return degree(graph[0 if out else 1], num_nodes, torch.long)


def _num_dst(
    graph: Any, rows: Tensor, target_rows: Tensor | None, size: Any, flow: str
) -> int:
    if target_rows is not None:
        return target_rows.size(0)
    target = 1 if flow == "source_to_target" else 0
    if size is not None and size[target] is not None:
        return int(size[target])
    if isinstance(graph, AbstractHAG):
        return graph.num_dst if flow == "source_to_target" else graph.num_src
    return rows.size(0)

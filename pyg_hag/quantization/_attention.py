"""GAT on rounded features."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.utils import (
    add_self_loops,
    degree,
    remove_self_loops,
    scatter,
    softmax,
)

from pyg_hag.hag import HAG
from pyg_hag.ops.degrees import in_degree
from pyg_hag.quantization._quantized import Quantized
from pyg_hag.quantization._state import Forward
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.fake_quantize import FakeQuantize


class Attention(Quantized):
    """GATConv, in which each edge has a weight of its own.

    Linear layers, messages, attention vectors, logits (by source) and sums are rounded;
    leaky ReLU, softmax and dropout are not (Tailor et al., *Degree-Quant*, ICLR 2021,
    Section 3).
    """

    has_codes = False
    vectors = ("att_src", "att_dst", "att_edge")

    def names_of_rounded(self) -> tuple[str, ...]:
        return "message", "logits", "aggregate"

    def set_up(self, config: DegreeQuantConfig, state: Forward) -> None:
        super().set_up(config, state)
        for name in self.vectors:
            if getattr(self, name) is not None:
                self.quantizers[name] = FakeQuantize(config, num_channels=1)

    def why_float(self) -> str | None:
        return "attention"

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: Any = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        source, target = x if isinstance(x, tuple | list) else (x, x)
        by_source = self.flow == "source_to_target"
        rows = self._messages(source, self.lin_src, edge_index, by_source)
        own: Tensor | None = rows
        if target is None:
            own = None
        elif target is not source or self.lin is None:
            own = self._messages(target, self.lin_dst, edge_index, not by_source)
        edges, edge_attr = self._edges(edge_index, edge_attr, rows, own, size)
        src, dst = edges if by_source else edges.flip(0)
        num_dst = _num_dst(edge_index, rows, own, size, self.flow)

        logits = self._attention(rows, "att_src")[src]
        if own is not None:
            logits = logits + self._attention(own, "att_dst")[dst]
        if edge_attr is not None and self.lin_edge is not None and src.numel() > 0:
            features = self.lin_edge(edge_attr.view(src.numel(), -1))
            logits = logits + self._attention(self._heads(features), "att_edge")
        protected = self._state.protected(source)
        of_edges = None if protected is None else protected[src]
        logits = self.quantizers["logits"](logits, of_edges)
        alpha = softmax(F.leaky_relu(logits, self.negative_slope), dst, None, num_dst)
        alpha = F.dropout(alpha, p=self.dropout, training=self.training)

        out = scatter(alpha.unsqueeze(-1) * rows[src], dst, 0, num_dst, "sum")
        out = self.quantizers["aggregate"](out, protected)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if self.res is not None and target is not None:
            out = out + self.res(target)
        out = out if self.bias is None else out + self.bias
        return (out, (edges, alpha)) if return_attention_weights is not None else out

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(-1, self.heads, self.out_channels)

    def _messages(self, x: Tensor, linear: Any, graph: Any, sends: bool) -> Tensor:
        out = (linear if self.lin is None else self.lin)(x)
        quantizer: Any = self.quantizers["message"]
        counts = _degree(graph, x.size(0), sends) + 1 if quantizer.weighs else None
        return self._heads(quantizer(out, self._state.protected(x), counts))

    def _attention(self, rows: Tensor, name: str) -> Tensor:
        vectors = getattr(self, name)
        return (rows * self.quantizers[name](vectors)).sum(dim=-1)

    def _edges(
        self,
        graph: Any,
        edge_attr: Tensor | None,
        rows: Tensor,
        own: Tensor | None,
        size: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The edges, with a self-loop on each node if the layer adds them."""
        edges = graph
        if isinstance(graph, HAG):
            edges = graph.edge_index
            if edge_attr is not None:
                edges = graph.edge_index_in_order("edge_attr")
        elif not isinstance(graph, Tensor) or graph.layout != torch.strided:
            raise TypeError(
                f"'edge_index' of quantized attention must be a tensor of edges or a "
                f"HAG (got {type(graph).__name__})"
            )
        if not self.add_self_loops:
            return edges, edge_attr
        num_nodes = rows.size(0) if own is None else min(rows.size(0), own.size(0))
        num_nodes = min(size) if size is not None else num_nodes
        edges, edge_attr = remove_self_loops(edges, edge_attr)
        fill = self.fill_value
        return add_self_loops(edges, edge_attr, fill_value=fill, num_nodes=num_nodes)


def _degree(graph: Any, num_nodes: int, out: bool) -> Tensor:
    if isinstance(graph, HAG):
        return in_degree(graph, turned=out)
    return degree(graph[0 if out else 1], num_nodes, torch.long)


def _num_dst(graph: Any, rows: Tensor, own: Tensor | None, size: Any, flow: str) -> int:
    if own is not None:
        return own.size(0)
    if size is not None and size[1 if flow == "source_to_target" else 0] is not None:
        return int(size[1 if flow == "source_to_target" else 0])
    if isinstance(graph, HAG):
        return graph.num_dst if flow == "source_to_target" else graph.num_src
    return rows.size(0)

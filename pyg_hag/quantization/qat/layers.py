"""The layers of PyG on quantized features: one mix-in for each.

The same code runs in training and evaluation, where features are a
:class:`~pyg_hag.quantization.qat.features.FakeQTensor`, and in INT8, where they are a
`QTensor`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.nn.aggr import SumAggregation

from pyg_hag.hag import AbstractHAG
from pyg_hag.hag.degrees import symmetric_norm
from pyg_hag.nn.mixins.adjacency import Adjacency
from pyg_hag.nn.mixins.checks import check_square, refuse_weights
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.qat.attention import QuantizedGAT
from pyg_hag.quantization.qat.base import QuantizedLayer
from pyg_hag.quantization.qat.features import (
    SCALED_REDUCTIONS,
    QuantizedFeatures,
    add_bias,
    as_tensor,
    reductions_of,
)
from pyg_hag.quantization.qat.state import QATState
from pyg_hag.utils.tensors import computed_dtype


class QuantizedGCN(QuantizedLayer):
    """GCNConv: features pass through `lin`, then they are summed.

    The factor of the source is applied to the input of `lin`, so that its output can be
    summed without factors.
    """

    reads_quantized = ("lin",)

    @staticmethod
    def unquantizable_reason(conv: Any) -> str | None:
        """See :meth:`QuantizedLayer.unquantizable_reason`."""
        if len(names := reductions_of(conv)) > 1 or names[0] not in SCALED_REDUCTIONS:
            known = [*SCALED_REDUCTIONS]
            return f"'aggr' must be one of {known} (got {conv.aggr!r})"
        return QuantizedLayer.unquantizable_reason(conv)

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        return "input", "message"

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        """See :class:`torch_geometric.nn.GCNConv`."""
        graph, src_scale = self._normalized_graph(x, edge_index, edge_weight)
        rows = self.quantize_features("input", x, src_scale, single_use=True)
        messages = self.quantize_features("message", self.lin(rows), graph=graph.hag)
        out = messages.sum_over(self, graph)
        return as_tensor(add_bias(out, self.bias))


class QuantizedSGC(QuantizedLayer):
    """SGConv: features are summed K times, then they pass through `lin`."""

    @staticmethod
    def unquantizable_reason(conv: Any) -> str | None:
        """See :meth:`QuantizedLayer.unquantizable_reason`."""
        if conv.cached:  # PyG keeps the sums of its first features
            return "'cached' must be False (got True)"
        return QuantizedLayer.unquantizable_reason(conv)

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        return tuple(f"message_{k}" for k in range(self.K))

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        """See :class:`torch_geometric.nn.SGConv`."""
        graph, src_scale = self._normalized_graph(x, edge_index, edge_weight)
        for name in self.quantizer_names():
            rows = self.quantize_features(name, x, src_scale, graph=graph.hag)
            x = rows.sum_over(self, graph)
        return as_tensor(self.lin(x))


class QuantizedRootLayer(QuantizedLayer):
    """A layer that sends the features it reads, and adds those of the node itself."""

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        return "input", "target"

    def float_reason(self) -> str | None:
        """See :meth:`QuantizedLayer.float_reason`."""
        names = reductions_of(self)
        if len(names) == 1 and names[0] in SCALED_REDUCTIONS:
            return None
        return f"'aggr' {self.aggr!r} has no integer form"

    def _quantize_inputs(
        self, x: Any, edge_index: Any
    ) -> tuple[QuantizedFeatures, QuantizedFeatures, AbstractHAG]:
        """Quantized features of sources and destinations, and the graph."""
        source, target = x if isinstance(x, (tuple, list)) else (x, x)
        if source is None or target is None:
            raise ValueError(
                "'x' is missing the features of the destinations (got None), which "
                "quantized layers need: pass a pair of tensors"
            )
        size = source.size(self.node_dim), target.size(self.node_dim)
        hag = self._state.hag_of(edge_index, size)
        rows = self.quantize_features("input", source, graph=self.oriented(hag))
        if target is source:
            return rows, rows, hag
        return rows, self.quantize_features("target", target), hag

    def _transforms_first(self, linear: Any) -> bool:
        """Whether to transform messages before summing them: if that narrows them."""
        narrower: bool = linear.out_channels <= linear.in_channels
        return narrower and reductions_of(self) in (["sum"], ["mean"])

    def _aggregate(
        self, linear: Any, rows: QuantizedFeatures, hag: AbstractHAG, **kwargs: Any
    ) -> Any:
        """The aggregated messages, transformed by a linear layer."""
        if not self._transforms_first(linear):
            return linear(rows.propagate(self, hag, **kwargs))
        product, graph = linear.product(rows), self.oriented(hag)
        messages = self.quantize_features("message", product, graph=graph)
        out = messages.propagate(self, hag, **kwargs)
        return add_bias(out, linear.bias)


class QuantizedSAGE(QuantizedRootLayer):
    """SAGEConv: `lin_l` transforms the aggregate and `lin_r` the node itself."""

    reads_quantized = ("lin", "lin_r")

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        names = [*super().quantizer_names()]
        if self.project:
            names.append("projected")
        if self._transforms_first(self.lin_l):
            names.append("message")
        if self.root_weight:
            names.append("root")
        return tuple(names)

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.SAGEConv`."""
        rows, target_rows, hag = self._quantize_inputs(x, edge_index)
        if self.project:
            projected, graph = self.lin(rows).relu(), self.oriented(hag)
            rows = self.quantize_features("projected", projected, graph=graph)
        out = self._aggregate(self.lin_l, rows, hag, size=size)
        if self.root_weight:
            root = self.quantize_features("root", self.lin_r(target_rows))
            out = root.add_to(out)
        out = as_tensor(out)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out


class QuantizedGraphConv(QuantizedRootLayer):
    """GraphConv: `lin_rel` transforms the aggregate and `lin_root` the node itself."""

    reads_quantized = ("lin_root",)

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        first = ("message",) if self._transforms_first(self.lin_rel) else ()
        return (*super().quantizer_names(), "root", *first)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        """See :class:`torch_geometric.nn.GraphConv`."""
        rows, target_rows, hag = self._quantize_inputs(x, edge_index)
        kwargs = {"edge_weight": edge_weight, "size": size}
        out = self._aggregate(self.lin_rel, rows, hag, **kwargs)
        root = self.quantize_features("root", self.lin_root(target_rows))
        return as_tensor(root.add_to(out))


class QuantizedGIN(QuantizedRootLayer):
    """GINConv: its network transforms the sum, always quantized.

    Degree-Quant only protects messages here: sums of nodes with many neighbors, exact
    in some passes and clipped in others, would destabilize the norms after them.
    """

    protects_linear = False

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        """See :class:`torch_geometric.nn.GINConv`."""
        rows, target_rows, hag = self._quantize_inputs(x, edge_index)
        out = rows.propagate(self, hag, size=size)
        out = self.nn(as_tensor(target_rows.add_to(out, 1 + self.eps)))
        return as_tensor(out)


class QuantizedEGC(QuantizedLayer):
    """EGConv: bases are aggregated, and each node combines them with its weights."""

    reads_quantized = ("bases_lin", "comb_lin")

    def quantizer_names(self) -> tuple[str, ...]:
        """See :meth:`QuantizedLayer.quantizer_names`."""
        names = {
            "norm" if name == "symnorm" else "message" for name in self.aggregators
        }
        return ("input", *sorted(names))

    def add_quantizers(self, config: DegreeQuantConfig, state: QATState) -> None:
        """See :meth:`QuantizedLayer.add_quantizers`."""
        super().add_quantizers(config, state)
        self.aggr_module = SumAggregation()  # PyG's layer does not use that of `aggr`

    def float_reason(self) -> str | None:
        """See :meth:`QuantizedLayer.float_reason`."""
        moments = [name for name in self.aggregators if name in ("var", "std")]
        return f"{moments} have no integer form" if moments else None

    def forward(self, x: Any, edge_index: Any) -> Tensor:
        """See :class:`torch_geometric.nn.EGConv`."""
        hag = self._state.hag_of(edge_index, (x.size(0), x.size(0)))
        check_square(self, hag)
        hag = self.oriented(refuse_weights(self, hag))
        if self.add_self_loops:
            hag = hag.with_self_loops()
        rows = self.quantize_features("input", x)
        bases, weights = self.bases_lin(rows), self.comb_lin(rows)
        heads, width = self.num_heads, self.out_channels // self.num_heads
        weights = as_tensor(weights)
        aggregated = torch.stack(
            [*map(as_tensor, self._aggregate_bases(bases, hag))], 1
        )
        aggregated = aggregated.view(-1, len(self.aggregators) * self.num_bases, width)
        out = weights.view(x.size(0), heads, aggregated.size(1)) @ aggregated
        out = out.view(-1, self.out_channels)
        return out if self.bias is None else out + self.bias

    def _aggregate_bases(self, bases: Any, hag: AbstractHAG) -> list[Any]:
        """The bases, aggregated by each of the aggregators."""
        if {*self.aggregators} != {"symnorm"}:
            messages = self.quantize_features("message", bases, graph=hag)
        outs: dict[str, Any] = {}
        for name in self.aggregators:
            if name == "symnorm":
                norm = symmetric_norm(hag, computed_dtype(bases))
                scaled = self.quantize_features("norm", bases, norm, graph=hag)
                outs[name] = scaled.sum_over(self, Adjacency(hag, dst_scale=norm))
            elif name == "std":  # by the formula of PyG
                var = messages.aggregate(hag, "var")
                outs[name] = var.clamp(min=1e-5).sqrt()
            else:
                outs[name] = messages.aggregate(hag, name)
        return [outs[name] for name in self.aggregators]


LAYERS: dict[type, type] = {
    pyg.GCNConv: QuantizedGCN,
    pyg.SAGEConv: QuantizedSAGE,
    pyg.GraphConv: QuantizedGraphConv,
    pyg.GINConv: QuantizedGIN,
    pyg.SGConv: QuantizedSGC,
    pyg.EGConv: QuantizedEGC,
    pyg.GATConv: QuantizedGAT,
}
"""The mix-in that makes each layer of PyG run on quantized features."""

"""How each layer of PyG runs on rounded features: one mix-in for each kind.

The same lines run in training and evaluation, where features are
:class:`~pyg_hag.quantization._rounded.Rounded`, and in INT8, where they are codes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import nn as pyg

from pyg_hag._loops import looped
from pyg_hag.hag import HAG
from pyg_hag.nn.conv._adjacency import Adjacency
from pyg_hag.nn.conv._message_passing import check_square
from pyg_hag.ops._operators import symmetric_scale
from pyg_hag.quantization._attention import Attention
from pyg_hag.quantization._pending import computed
from pyg_hag.quantization._quantized import Quantized
from pyg_hag.quantization._rounded import LINEAR, reductions_of


class Convolution(Quantized):
    """GCNConv: features go through `lin`, then they are summed.

    The factor of the source belongs to what `lin` reads, so that its output can be
    summed as it is.
    """

    exact = ("lin",)

    def names_of_rounded(self) -> tuple[str, ...]:
        return "input", "message"

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        graph, factor = self._normalized(x, edge_index, edge_weight)
        rows = self.rounded("input", x, factor, once=True)
        messages = self.rounded("message", self.lin(rows), sent=graph.hag)
        out: Tensor = messages.summed(self, graph)
        return out if self.bias is None else out + self.bias


class Simplified(Quantized):
    """SGConv: features are summed K times, then they go through `lin`."""

    def names_of_rounded(self) -> tuple[str, ...]:
        return tuple(f"message_{k}" for k in range(self.K))

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        graph, factor = self._normalized(x, edge_index, edge_weight)
        for name in self.names_of_rounded():
            x = self.rounded(name, x, factor, sent=graph.hag).summed(self, graph)
        out: Tensor = self.lin(x)
        return out


class WithRoot(Quantized):
    """Layers whose messages are the features that they read, with a root of its own."""

    def names_of_rounded(self) -> tuple[str, ...]:
        return "input", "target"

    def why_float(self) -> str | None:
        names = reductions_of(self)
        if len(names) == 1 and names[0] in LINEAR:
            return None
        return f"no sums of codes for 'aggr' {self.aggr!r}"

    def _read(self, x: Any, edge_index: Any) -> tuple[Any, Any, HAG]:
        """Rounded features of sources and destinations, and the graph."""
        source, target = x if isinstance(x, tuple | list) else (x, x)
        if target is None:
            raise ValueError(
                "'x' has no features of the destinations, which quantized layers need"
            )
        size = source.size(self.node_dim), target.size(self.node_dim)
        hag = self._state.hag_of(edge_index, size)
        rows = self.rounded("input", source, sent=self._walked(hag))
        own = rows if target is source else self.rounded("target", target)
        return rows, own, hag

    def _transforms_first(self, linear: Any) -> bool:
        """Whether messages go through their linear layer: if it makes them narrower."""
        narrower: bool = linear.out_channels <= linear.in_channels
        return narrower and reductions_of(self) in (["sum"], ["mean"])

    def _mixed(
        self, linear: Any, rows: Any, hag: HAG, num_dst: int, **kwargs: Any
    ) -> Any:
        """The aggregate, through its linear layer."""
        if not self._transforms_first(linear):
            return linear(rows.reduced(self, hag, num_dst, **kwargs))
        product = linear.product(rows)
        messages = self.rounded("message", product, sent=self._walked(hag))
        out = messages.reduced(self, hag, num_dst, **kwargs)
        return out if linear.bias is None else out + linear.bias


class Sage(WithRoot):
    """SAGEConv: the aggregate goes through `lin_l`, the node through `lin_r`."""

    exact = ("lin", "lin_r")

    def names_of_rounded(self) -> tuple[str, ...]:
        names = [*super().names_of_rounded()]
        if self.project:
            names.append("projected")
        if self._transforms_first(self.lin_l):
            names.append("message")
        if self.root_weight:
            names.append("root")
        return tuple(names)

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        rows, own, hag = self._read(x, edge_index)
        if self.project:
            projected = self.lin(rows).relu()
            rows = self.rounded("projected", projected, sent=self._walked(hag))
        out = self._mixed(self.lin_l, rows, hag, hag.num_dst, size=size)
        if self.root_weight:
            out = self.rounded("root", self.lin_r(own)).added_to(out)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out


class Graph(WithRoot):
    """GraphConv: the aggregate goes through `lin_rel`, the node through `lin_root`."""

    exact = ("lin_root",)

    def names_of_rounded(self) -> tuple[str, ...]:
        first = ("message",) if self._transforms_first(self.lin_rel) else ()
        return (*super().names_of_rounded(), "root", *first)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        rows, own, hag = self._read(x, edge_index)
        kwargs = {"edge_weight": edge_weight, "size": size}
        out = self._mixed(self.lin_rel, rows, hag, hag.num_dst, **kwargs)
        root = self.rounded("root", self.lin_root(own))
        total: Tensor = root.added_to(out)
        return total


class Isomorphism(WithRoot):
    """GINConv: the sum with the node goes through its network, always rounded.

    What Degree-Quant protects there is messages: sums of nodes with many neighbours,
    exact in some passes and cut off in others, would unsettle the norms behind.
    """

    protects_inside = False

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        rows, own, hag = self._read(x, edge_index)
        out = rows.reduced(self, hag, hag.num_dst, size=size)
        out = self.nn(own.added_to(out, 1 + self.eps))
        return out


class Basis(Quantized):
    """EGConv: bases are reduced, and each node weighs what comes out."""

    exact = ("bases_lin", "comb_lin")

    def names_of_rounded(self) -> tuple[str, ...]:
        own = {"norm" if name == "symnorm" else "message" for name in self.aggregators}
        return ("input", *sorted(own))

    def why_float(self) -> str | None:
        moments = [name for name in self.aggregators if name in ("var", "std")]
        return f"no sums of codes for {moments}" if moments else None

    def forward(self, x: Any, edge_index: Any) -> Tensor:
        hag = self._state.hag_of(edge_index, (x.size(0), x.size(0)))
        check_square(self, hag)
        hag = self._walked(hag)
        if self.add_self_loops:
            hag = looped(hag)
        rows = self.rounded("input", x)
        bases, weights = self.bases_lin(rows), self.comb_lin(rows)
        heads, width = self.num_heads, self.out_channels // self.num_heads
        reduced = torch.stack(self._reduced(bases, hag), 1)
        reduced = reduced.view(-1, len(self.aggregators) * self.num_bases, width)
        out = weights.view(x.size(0), heads, -1) @ reduced
        out = out.view(-1, self.out_channels)
        return out if self.bias is None else out + self.bias

    def _reduced(self, bases: Any, hag: HAG) -> list[Tensor]:
        """One reduction after the other."""
        reduced: dict[str, Any] = {}
        if {*self.aggregators} != {"symnorm"}:
            messages = self.rounded("message", bases, sent=hag)
        for name in self.aggregators:
            if name == "symnorm":
                norm = symmetric_scale(hag, bases)
                scaled = self.rounded("norm", bases, norm, sent=hag)
                out = scaled.summed(self, Adjacency(hag, dst_scale=norm))
            else:
                out = messages.aggregated(hag, "var" if name == "std" else name)
            reduced[name] = computed(out)
            if name == "std":  # as PyG does
                reduced[name] = reduced[name].clamp(min=1e-5).sqrt()
        return [reduced[name] for name in self.aggregators]


LAYERS: dict[type, type] = {
    pyg.GCNConv: Convolution,
    pyg.SAGEConv: Sage,
    pyg.GraphConv: Graph,
    pyg.GINConv: Isomorphism,
    pyg.SGConv: Simplified,
    pyg.EGConv: Basis,
    pyg.GATConv: Attention,
}
"""The mix-in that makes each of PyG's layers run on rounded features."""

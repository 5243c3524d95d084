"""How each layer of PyG trains quantized: one mix-in for each kind."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import nn as pyg

from pyg_hag.hag import HAG
from pyg_hag.nn.conv._adjacency import Adjacency
from pyg_hag.nn.conv._message_passing import (
    HAGMessagePassing,
    propagate_hag,
    reduction_of,
)
from pyg_hag.ops._compute import per_row
from pyg_hag.quantization._state import Forward
from pyg_hag.quantization.config import DegreeQuantConfig
from pyg_hag.quantization.fake_quantize import FakeQuantize

LINEAR = ("sum", "mean", "max", "min")
"""Reductions that keep a scale."""


class Quantized(HAGMessagePassing):
    """A layer that rounds what it reads and sums, on a HAG.

    Comes before a class of layers that take HAGs. An `edge_index` becomes a HAG without
    aggregates.
    """

    rounded: tuple[str, ...] = ("input",)
    """What is rounded beside the inputs and weights of linear layers."""
    exact: tuple[str, ...] = ()
    """The linear layers whose inputs are rounded already."""

    def set_up(self, config: DegreeQuantConfig, state: Forward) -> None:
        """Adds the quantizers, as modules."""
        names = self.names_of_rounded()
        self.quantizers = nn.ModuleDict({name: FakeQuantize(config) for name in names})
        self._state = state

    def names_of_rounded(self) -> tuple[str, ...]:
        """See `rounded`."""
        return self.rounded

    def steps_of(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of nodes in steps of a scale: whole, unless nodes are protected."""
        quantizer: Any = self.quantizers[name]
        steps: tuple[Tensor, Tensor] = quantizer.steps(x, self._state.protected(x))
        return steps

    def _normalized_sum(
        self, x: Tensor, graph: Adjacency, name: str, unweighted: bool
    ) -> Tensor:
        """Sums messages that are rounded after the source's factor.

        So that they have one scale, and sums of their codes are sums of messages. The
        node's own message counts as often as it has self-loops too many or too few.
        """
        hag, a, b, own, weight = graph
        if a is not None:
            x = x * per_row(a, x)
        if own is not None and a is not None and b is not None:
            own = torch.where(a * b == 0, 0, own / (a * b))
            own = own.round() if unweighted else own
        steps, scale = self.steps_of(name, x)
        total = propagate_hag(self, Adjacency(hag, None, None, own, weight), steps)
        return total * scale if b is None else total * (per_row(b, total) * scale)


class Read(NamedTuple):
    """What a layer reads: features in steps of their scales, and the graph."""

    source: Tensor
    scale: Tensor
    target: Tensor
    """The rounded features of the destinations."""
    hag: HAG


class RoundedInput(Quantized):
    """Layers whose messages are the features that they read."""

    rounded = ("input", "target")

    def _read(self, x: Any, edge_index: Any) -> Read:
        source, target = (x, x) if isinstance(x, Tensor) else x
        if target is None:
            raise ValueError(
                "'x' has no features of the destinations, which quantized layers need"
            )
        size: Any = source.size(self.node_dim), target.size(self.node_dim)
        hag = self._state.hag_of(edge_index, size)
        steps, scale = self.steps_of("input", source)
        if target is source:
            return Read(steps, scale, steps * scale, hag)
        own, own_scale = self.steps_of("target", target)
        return Read(steps, scale, own * own_scale, hag)

    def _reduced(self, read: Read, **kwargs: Any) -> Tensor:
        """What `propagate` gives, in whole numbers where that is the same."""
        modules = getattr(self.aggr_module, "aggrs", [self.aggr_module])
        whole = {reduction_of(module) for module in modules} <= {*LINEAR}
        source = read.source if whole else read.source * read.scale
        out: Tensor = self.propagate(read.hag, x=(source, read.target), **kwargs)
        return out * read.scale if whole else out


class Sage(RoundedInput):
    """SAGEConv: the aggregate goes through `lin_l`, the node through `lin_r`."""

    exact = ("lin", "lin_r")

    def names_of_rounded(self) -> tuple[str, ...]:
        return (*self.rounded, "projected") if self.project else self.rounded

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        read = self._read(x, edge_index)
        if self.project:
            projected = self.lin(read.source * read.scale).relu()
            source, scale = self.steps_of("projected", projected)
            read = read._replace(source=source, scale=scale)
        out = self.lin_l(self._reduced(read, size=size))
        if self.root_weight:
            out = out + self.lin_r(read.target)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out


class Graph(RoundedInput):
    """GraphConv: the aggregate goes through `lin_rel`, the node through `lin_root`."""

    exact = ("lin_root",)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Any = None, size: Any = None
    ) -> Tensor:
        read = self._read(x, edge_index)
        out = self._reduced(read, edge_weight=edge_weight, size=size)
        total: Tensor = self.lin_rel(out) + self.lin_root(read.target)
        return total


class Isomorphism(RoundedInput):
    """GINConv: the sum with the node goes through its network."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        read = self._read(x, edge_index)
        out = self._reduced(read, size=size) + (1 + self.eps) * read.target
        out = self.nn(out)
        return out


class Convolution(Quantized):
    """GCNConv: features go through `lin`, then they are summed."""

    rounded = ("message",)

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        x = self.lin(x)
        hag = self._state.hag_of(edge_index, (x.size(0), x.size(0)))
        graph = self._adjacency(self._walked(hag), x, edge_weight)
        out = self._normalized_sum(x, graph, "message", edge_weight is None)
        return out if self.bias is None else out + self.bias


class Simplified(Quantized):
    """SGConv: features are summed K times, then they go through `lin`."""

    def names_of_rounded(self) -> tuple[str, ...]:
        return tuple(f"message_{k}" for k in range(self.K))

    def forward(
        self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None
    ) -> Tensor:
        hag = self._state.hag_of(edge_index, (x.size(0), x.size(0)))
        graph = self._adjacency(self._walked(hag), x, edge_weight)
        for name in self.names_of_rounded():
            x = self._normalized_sum(x, graph, name, edge_weight is None)
        out: Tensor = self.lin(x)
        return out


LAYERS: dict[type, type] = {
    pyg.GCNConv: Convolution,
    pyg.SAGEConv: Sage,
    pyg.GraphConv: Graph,
    pyg.GINConv: Isomorphism,
    pyg.SGConv: Simplified,
}
"""The mix-in that makes each of PyG's layers train quantized."""

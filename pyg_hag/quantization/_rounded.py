"""Rounded features as they are simulated: floating point, in steps of a scale."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag.nn.conv._adjacency import Adjacency
from pyg_hag.nn.conv._message_passing import propagate_hag, reduction_of
from pyg_hag.ops import aggregate
from pyg_hag.ops._compute import per_row

LINEAR = ("sum", "mean", "max", "min")
"""Reductions that keep a scale."""


class Rounded(NamedTuple):
    """Features of nodes in steps of a scale: whole numbers, unless one is protected.

    Their sums are exact, so that edges and HAGs give the same bits.
    """

    steps: Tensor
    scale: Tensor

    def values(self) -> Tensor:
        """What the steps stand for."""
        return self.steps * self.scale

    def summed(self, conv: Any, graph: Adjacency) -> Tensor:
        """Sums over the edges of a graph, which has no factors of sources left.

        The node's own messages count as often as the graph says.
        """
        hag, _, b, own, weight = graph
        own = own if own is None else own.to(self.steps.dtype)
        counted = Adjacency(hag, None, None, own, weight)
        total = propagate_hag(conv, counted, self.steps)
        scale = self.scale if b is None else per_row(b, total) * self.scale
        return total * scale

    def reduced(self, conv: Any, hag: Any, num_dst: int, **kwargs: Any) -> Tensor:
        """What `propagate` of the layer gives."""
        whole = {*reductions_of(conv)} <= {*LINEAR}
        x = self.steps if whole else self.values()
        target = x.new_empty(0).expand(num_dst, 0)  # of which the size is read alone
        out: Tensor = conv.propagate(hag, x=(x, target), **kwargs)
        return out * self.scale if whole else out

    def aggregated(self, hag: Any, reduce: str) -> Tensor:
        """One of the reductions, or `"var"`."""
        out = aggregate(self.steps, hag, reduce)
        return out * (self.scale.square() if reduce == "var" else self.scale)

    def added_to(self, out: Tensor, factor: Any = None) -> Tensor:
        """These features, times a factor, and others."""
        return out + (self.values() if factor is None else factor * self.values())


def reductions_of(conv: Any) -> list[str | None]:
    """The reductions of a layer."""
    modules = getattr(conv.aggr_module, "aggrs", [conv.aggr_module])
    return [reduction_of(module) for module in modules]


def counts_of(graph: Adjacency, unweighted: bool) -> Tensor | None:
    """How often each node's own message counts, beside those of its edges.

    In a graph without weights that is a whole number, of int32.
    """
    _, a, b, own, _ = graph
    if own is None or a is None or b is None:
        return own
    own = torch.where(a * b == 0, 0, own / (a * b))
    return own.round().int() if unweighted else own

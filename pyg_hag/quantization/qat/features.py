"""Quantized features: what layers do with them, and their simulation in training."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.nn.mixins.adjacency import Adjacency
from pyg_hag.nn.mixins.aggregation import reduction_of
from pyg_hag.nn.mixins.message_passing import propagate_hag
from pyg_hag.ops import aggregate
from pyg_hag.utils.tensors import per_row

SCALED_REDUCTIONS = ("sum", "mean", "max", "min")
"""Reductions that commute with a positive scale."""


class QuantizedFeatures(Protocol):
    """What layers do with quantized features of nodes.

    Results are features: tensors, or objects that stand in for them.
    """

    def dequantize(self) -> Tensor:
        """The features in floating point."""

    def sum_over(self, conv: Any, graph: Adjacency) -> Any:
        """Sums (or what the layer's `aggr` is) over a graph without source factors.

        Args:
            conv: The layer.
            graph (Adjacency): The graph. Its `self_scale` counts each node's own
                features relative to those of its in-neighbors.
        """

    def propagate(self, conv: Any, hag: AbstractHAG, **kwargs: Any) -> Any:
        """The result of the layer's `propagate`."""

    def aggregate(self, hag: AbstractHAG, reduce: str) -> Any:
        """Reduces over a HAG, by one of :data:`SCALED_REDUCTIONS` or `"var"`."""

    def add_to(self, out: Any, scale: Any = None) -> Any:
        """Adds these features, times an optional scale, to others."""


class FeatureQuantizer(Protocol):
    """Makes :class:`QuantizedFeatures` of features."""

    @property
    def needs_counts(self) -> bool:
        """Whether :meth:`quantize` makes use of `counts`."""

    def quantize(
        self,
        x: Any,
        protected: Tensor | None = None,
        row_scale: Tensor | None = None,
        single_use: bool = False,
        counts: Tensor | None = None,
    ) -> QuantizedFeatures:
        """Quantizes features.

        Args:
            x: The features.
            protected (torch.Tensor, optional): Which rows are protected.
            row_scale (torch.Tensor, optional): Factors of the rows, applied before.
            single_use (bool): Whether a single linear layer reads the result.
            counts (torch.Tensor, optional): How often each row counts in the
                percentiles of the range, int64 `[num_rows]`.
        """


class FakeQTensor(NamedTuple):
    """Fake-quantized features: they are worth `steps * scale`.

    The steps are integers in floating point, except in protected rows. Their sums are
    exact, so edges and HAGs give bitwise the same results. See
    :class:`QuantizedFeatures`.

    Attributes:
        steps: Quantized values minus the zero point, `[N, F]`.
        scale: Their scale, of one element, or of one for each row of a weight.
    """

    steps: Tensor
    scale: Tensor

    def dequantize(self) -> Tensor:
        """See :meth:`QuantizedFeatures.dequantize`."""
        return self.steps * self.scale

    def sum_over(self, conv: Any, graph: Adjacency) -> Tensor:
        """See :meth:`QuantizedFeatures.sum_over`."""
        hag, _, dst_scale, self_scale, weight = graph
        if self_scale is not None:
            self_scale = self_scale.to(self.steps.dtype)
        # The sign of a factor decides which of the values is the largest:
        last = not {*reductions_of(conv)} & {"max", "min"}
        before = None if last else dst_scale
        unscaled = Adjacency(hag, None, before, self_scale, weight)
        out = propagate_hag(conv, unscaled, self.steps)
        scale = self.scale
        if dst_scale is not None and last:
            scale = per_row(dst_scale, out) * self.scale
        return out * scale

    def propagate(self, conv: Any, hag: AbstractHAG, **kwargs: Any) -> Tensor:
        """See :meth:`QuantizedFeatures.propagate`."""
        by_steps = {*reductions_of(conv)} <= {*SCALED_REDUCTIONS}
        x = self.steps if by_steps else self.dequantize()
        num_dst = conv.oriented(hag).num_dst
        target = x.new_empty(0).expand(num_dst, 0)  # only its size is read
        out: Tensor = conv.propagate(hag, x=(x, target), **kwargs)
        return out * self.scale if by_steps else out

    def aggregate(self, hag: AbstractHAG, reduce: str) -> Tensor:
        """See :meth:`QuantizedFeatures.aggregate`."""
        out = aggregate(self.steps, hag, reduce)
        return out * (self.scale.square() if reduce == "var" else self.scale)

    def add_to(self, out: Tensor, scale: Any = None) -> Tensor:
        """See :meth:`QuantizedFeatures.add_to`."""
        x = self.dequantize()
        return out + (x if scale is None else scale * x)


def add_bias(x: Any, bias: Tensor | None) -> Any:
    """A tensor, or what stands in for one, plus a bias for all rows."""
    if bias is None:
        return x
    return x + bias if isinstance(x, Tensor) else x.affine(None, bias)


def as_tensor(x: Any) -> Tensor:
    """A tensor for code outside of quantized layers, of what stands in for one."""
    return x if isinstance(x, Tensor) else x.as_tensor()


def reductions_of(conv: Any) -> list[str | None]:
    """The reductions of a layer, None for those that HAGs do not share."""
    modules = getattr(conv.aggr_module, "aggrs", [conv.aggr_module])
    return [reduction_of(module) for module in modules]


def self_counts(graph: Adjacency, unweighted: bool) -> Tensor | None:
    """How often each node's own features count, relative to its incoming messages.

    Args:
        graph (Adjacency): The graph, whose edges weigh `src_scale * dst_scale`.
        unweighted (bool): Whether the graph came without weights, so that these are
            whole numbers.

    Returns:
        torch.Tensor, optional: `self_scale / (src_scale * dst_scale)`, `[N]`, in int32
        if unweighted. None if the graph adds no node's own features.
    """
    _, src_scale, dst_scale, self_scale, _ = graph
    if self_scale is None or src_scale is None or dst_scale is None:
        return self_scale
    scale = src_scale * dst_scale
    counts = torch.where(scale == 0, 0, self_scale / scale)
    return counts.round().int() if unweighted else counts

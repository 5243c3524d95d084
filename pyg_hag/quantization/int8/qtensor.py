"""Quantized features in INT8."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.hag.degrees import inverse_degree
from pyg_hag.nn.mixins.adjacency import Adjacency
from pyg_hag.nn.mixins.checks import (
    check_shareable,
    check_sources,
    used_weights,
)
from pyg_hag.ops.qparams import changed
from pyg_hag.ops.quantized import Epilogue, QParams, Residual, aggregate_quantized
from pyg_hag.ops.quantized_launch import float32
from pyg_hag.quantization.int8.deferred import Deferred
from pyg_hag.quantization.qat.features import (
    SCALED_REDUCTIONS,
    FakeQTensor,
    reductions_of,
)


class QTensor(NamedTuple):
    """Quantized features of nodes.

    Sums are deferred. What has no integer form runs in float32, on the dequantized
    features. See :class:`pyg_hag.quantization.qat.features.QuantizedFeatures`.

    Attributes:
        values: Quantized values, uint8 `[N, F]`.
        qparams: Their parameters.
    """

    values: Tensor
    qparams: QParams

    def size(self, dim: int) -> int:
        """The size of the features along a dimension."""
        return self.values.size(dim)

    @property
    def device(self) -> torch.device:
        """The device of the features."""
        return self.values.device

    def dequantize(self) -> Tensor:
        """See :meth:`QuantizedFeatures.dequantize`."""
        return self._simulated().dequantize()

    def _simulated(self) -> FakeQTensor:
        """The same features in floating point."""
        scale = torch.tensor(self.qparams.scale, dtype=torch.float32, device="cpu")
        return FakeQTensor(self.values.float() - self.qparams.zero_point, scale)

    def sum_over(self, conv: Any, graph: Adjacency) -> Any:
        """See :meth:`QuantizedFeatures.sum_over`."""
        hag, _, dst_scale, self_scale, weight = graph
        counted = self_scale is None or self_scale.dtype == torch.int32
        (reduce,) = reductions_of(conv)
        scaled = reduce != "sum" and dst_scale is not None
        if weight is not None or not counted or scaled:
            return self._simulated().sum_over(conv, graph)
        check_shareable(conv)
        if reduce != "sum" and self_scale is None:
            return self.aggregate(hag, str(reduce))
        return self._reduce(hag, "sum", self_scale, dst_scale)

    def propagate(self, conv: Any, hag: AbstractHAG, **kwargs: Any) -> Any:
        """See :meth:`QuantizedFeatures.propagate`."""
        names = reductions_of(conv)
        graph = used_weights(conv, conv.oriented(hag))
        given = any(value is not None for value in kwargs.values())
        given = given or (graph.weights is not None and not graph.of_paths)
        if given or len(names) > 1 or names[0] not in SCALED_REDUCTIONS:
            return self._simulated().propagate(conv, hag, **kwargs)
        check_shareable(conv)
        return self.aggregate(graph, names[0])

    def aggregate(self, hag: AbstractHAG, reduce: str) -> Any:
        """See :meth:`QuantizedFeatures.aggregate`."""
        if reduce not in SCALED_REDUCTIONS:
            return self._simulated().aggregate(hag, reduce)
        if reduce != "mean":
            return self._reduce(hag, reduce, None, None)
        return self._reduce(hag, "sum", None, inverse_degree(hag, torch.float32))

    def _reduce(
        self,
        hag: AbstractHAG,
        reduce: str,
        self_scale: Tensor | None,
        dst_scale: Tensor | None,
    ) -> Deferred:
        check_sources(hag, self.values.size(0))
        dst_scale = float32(dst_scale)

        def compute(epilogue: Epilogue) -> Tensor:
            epilogue = changed(epilogue, dst_scale=dst_scale)
            return aggregate_quantized(*self, hag, reduce, self_scale, epilogue)

        shape = hag.num_dst, self.values.size(1)
        return Deferred(compute, shape, self.values.device)

    def add_to(self, out: Any, scale: Any = None) -> Any:
        """See :meth:`QuantizedFeatures.add_to`."""
        if not isinstance(out, Deferred):
            return self._simulated().add_to(out, scale)
        residual = Residual(self.values, self.qparams.scale, self.qparams.zero_point)
        if scale is not None:
            scale = scale.float().expand(self.values.size(1)).contiguous()
        return out.add_residual(residual, scale)


class LazyQTensor:
    """Features that are quantized when a linear layer reads them, a chunk at a time.

    Args:
        features: The features, `[N, F]`.
        qparams: The parameters of the quantized values.
        row_scale: Factors of the rows, applied before, float32 `[N]`.
    """

    def __init__(
        self, features: Tensor, qparams: QParams, row_scale: Tensor | None
    ) -> None:
        self.features, self.qparams, self.row_scale = features, qparams, row_scale

    def size(self, dim: int) -> int:
        """The size of the features along a dimension."""
        return self.features.size(dim)

    @property
    def device(self) -> torch.device:
        """The device of the features."""
        return self.features.device

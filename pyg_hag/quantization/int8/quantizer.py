"""Quantizers of an INT8 model."""

from typing import Any

import torch
from torch import Tensor, nn

from pyg_hag.ops.quantized import QParams, quantize
from pyg_hag.quantization.int8.deferred import Deferred
from pyg_hag.quantization.int8.qtensor import LazyQTensor, QTensor
from pyg_hag.quantization.int8.tensor import DeferredTensor
from pyg_hag.quantization.qat.fake_quantize import FakeQuantize

NOT_OBSERVED = (
    "the INT8 model reads features that were not observed before it was converted: "
    "train or calibrate it with such inputs"
)


class Quantizer(nn.Module):
    """Quantizes features, with the range that was observed in training.

    Args:
        observer (FakeQuantize): The module that observed the range.
    """

    needs_counts = False

    def __init__(self, observer: FakeQuantize) -> None:
        super().__init__()
        self.qparams: QParams | None = None
        if int(observer.num_observed) > 0:
            scale, zero_point = observer.calculate_qparams()
            _, qmax = observer.quant_range
            self.qparams = QParams(float(scale), int(zero_point), qmax)

    def quantize(
        self,
        x: Any,
        protected: None = None,
        row_scale: Tensor | None = None,
        single_use: bool = False,
        counts: None = None,
    ) -> QTensor | LazyQTensor:
        """The quantized features, after factors of the rows.

        If a single linear layer reads them at once, it may quantize them itself, in
        chunks.

        Raises:
            RuntimeError: If no such features were observed.
        """
        qparams = self.known_qparams()
        if isinstance(x, QTensor):
            x = x.dequantize()
        x = x.deferred if isinstance(x, DeferredTensor) else x
        if isinstance(x, Deferred):
            return QTensor(x.quantize(qparams, row_scale), qparams)
        if single_use:
            return LazyQTensor(x, qparams, row_scale)
        return QTensor(quantize(x, qparams, row_scale), qparams)

    def known_qparams(self) -> QParams:
        """The parameters of its quantized values.

        Raises:
            RuntimeError: If no such features were observed.
        """
        if self.qparams is None:
            raise RuntimeError(NOT_OBSERVED)
        return self.qparams

    def dtype_of(self, x: Tensor) -> torch.dtype:
        """The dtype in which it quantizes features."""
        return torch.float32

    def get_extra_state(self) -> tuple[float, ...]:
        """Scale, zero point and largest quantized value; empty if never observed."""
        return () if self.qparams is None else tuple(self.qparams)

    def set_extra_state(self, state: Any) -> None:
        """Restores the result of :meth:`get_extra_state`.

        Raises:
            ValueError: If it is not one.
        """
        self.qparams = QParams.checked(*state) if state else None

    def extra_repr(self) -> str:
        """The parameters of its quantized values."""
        if self.qparams is None:
            return "never observed"
        scale, zero_point, qmax = self.qparams
        return f"scale={scale:.4g}, zero_point={zero_point}, qmax={qmax}"

"""Deferred: a result that is computed once it is known what follows.

What follows an INT8 layer, such as a bias, an addition, a norm or ReLU, and the
quantization for the next layer, is fused into the layer's own kernel. So a layer makes
a result that is not computed yet; these operators extend its epilogue, and the next
layer asks for its quantized values. Code outside of layers gets it as a
:class:`~pyg_hag.quantization.int8.tensor.DeferredTensor`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_hag.ops.qparams import changed
from pyg_hag.ops.quantized import Epilogue, QParams, Residual, quantize
from pyg_hag.ops.quantized_launch import float32
from pyg_hag.quantization.int8.tensor import DeferredTensor


class Deferred:
    """A float32 matrix that is not computed yet.

    Args:
        compute: Computes it, followed by an epilogue.
        shape: Its shape.
        device: Its device.
        source: The layer whose result it is.
        epilogue: What follows so far.

    Attributes:
        value: Its values, once some code has asked for them. From then on they are
            what counts: that code may change them in place.
    """

    dtype = torch.float32

    def __init__(
        self,
        compute: Callable[[Epilogue], Tensor],
        shape: tuple[int, int],
        device: torch.device,
        source: Any = None,
        epilogue: Epilogue | None = None,
    ) -> None:
        self.compute, self.source, self.device = compute, source, device
        self.shape = torch.Size(shape)
        self.epilogue = epilogue or Epilogue()
        self.value: Tensor | None = None
        self._computed: list[tuple[QParams, Tensor | None, Tensor]] = []

    def size(self, dim: int) -> int:
        """Its size along a dimension."""
        return self.shape[dim]

    def as_tensor(self) -> Tensor:
        """A tensor for code outside of layers, still deferred except while tracing."""
        return self.float() if torch.compiler.is_compiling() else DeferredTensor(self)

    def float(self) -> Tensor:
        """Its values in float32."""
        if self.value is None:
            self.value = self.compute(self.epilogue)
            self._computed.clear()
        return self.value

    def quantize(self, qparams: QParams, row_scale: Tensor | None = None) -> Tensor:
        """Its quantized values, uint8, after factors of the rows."""
        if self.value is not None:
            return quantize(self.value, qparams, row_scale)
        for known_qparams, known_row_scale, out in self._computed:
            if known_qparams == qparams and known_row_scale is row_scale:
                return out
        end = changed(self.epilogue, out_qparams=qparams, next_scale=row_scale)
        out = self.compute(end)
        self._computed.append((qparams, row_scale, out))
        return out

    # Operators that extend the epilogue:

    def _extended(self, **changes: Any) -> "Deferred":
        rows, columns = self.shape
        epilogue = changed(self.epilogue, **changes)
        return Deferred(
            self.compute, (rows, columns), self.device, self.source, epilogue
        )

    def relu(self) -> "Deferred":
        """ReLU of it."""
        return self._extended(relu=True)

    def affine(self, channel_scale: Tensor | None, shift: Tensor) -> "Deferred":
        """Its features times a scale, plus a shift, each `[F]`."""
        shift, channel_scale = float32(shift), float32(channel_scale)
        epilogue = self.epilogue
        if epilogue.relu:
            return self._affine_after_relu(channel_scale, shift)
        if channel_scale is None:
            bias = shift if epilogue.bias is None else epilogue.bias + shift
            return self._extended(bias=bias)
        bias = shift
        if epilogue.bias is not None:
            bias = torch.addcmul(shift, epilogue.bias, channel_scale)
        scale = _times(epilogue.channel_scale, channel_scale)
        changes = {"bias": bias, "channel_scale": scale}
        if epilogue.residual is not None:
            scale = _times(epilogue.residual_channel_scale, channel_scale)
            changes["residual_channel_scale"] = scale
        return self._extended(**changes)

    def _affine_after_relu(
        self, channel_scale: Tensor | None, shift: Tensor
    ) -> "Deferred":
        """The affine map in float32, fused with the quantization that follows."""
        before = self._extended()  # whose values no other code sees

        def compute(epilogue: Epilogue) -> Tensor:
            values, channel_scale = before.float(), epilogue.channel_scale
            bias, qparams = epilogue.bias, epilogue.out_qparams
            fusible = not epilogue.relu and epilogue.residual is None
            if qparams is not None and fusible:
                scales = epilogue.next_scale, channel_scale
                return quantize(values, qparams, *scales, bias)
            values = values if channel_scale is None else values * channel_scale
            values = values if bias is None else values + bias
            return apply_epilogue(values, epilogue)

        epilogue = Epilogue(channel_scale=channel_scale, bias=shift)
        rows, columns = self.shape
        return Deferred(compute, (rows, columns), self.device, None, epilogue)

    def add_residual(
        self, residual: Residual, channel_scale: Tensor | None = None
    ) -> Any:
        """Adds quantized features, times a scale of the features, float32 `[F]`."""
        if self.epilogue.relu or self.epilogue.residual is not None:
            values = residual.dequantize()
            if channel_scale is not None:
                values = values * channel_scale
            return self.float() + values
        return self._extended(residual=residual, residual_channel_scale=channel_scale)

    def plus(self, other: Any) -> "Deferred | None":
        """The sum with a vector for all rows; None for other sums, which are not fused.

        Not even those with another deferred result: its quantized values, which kernels
        can add, are not what it is worth.
        """
        is_bias = isinstance(other, Tensor) and other.shape == self.shape[1:]
        return self.affine(None, other) if is_bias else None


def apply_epilogue(values: Tensor, epilogue: Epilogue) -> Tensor:
    """Applies an epilogue to float32 values that are scaled and have their bias."""
    if epilogue.residual is not None:
        residual = epilogue.residual.dequantize()
        if epilogue.residual_channel_scale is not None:
            residual = residual * epilogue.residual_channel_scale
        values = values + residual
    values = values.relu() if epilogue.relu else values
    if epilogue.out_qparams is None:
        return values
    return quantize(values, epilogue.out_qparams, epilogue.next_scale)


def _times(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a * b

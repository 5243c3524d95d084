"""The modules of an INT8 model."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_hag.ops.quantized import (
    MAX_AT_ONCE,
    Epilogue,
    QParams,
    prepack_weight,
    qlinear,
    quantize_linear,
)
from pyg_hag.quantization.int8.deferred import Deferred, apply_epilogue
from pyg_hag.quantization.int8.qtensor import LazyQTensor, QTensor
from pyg_hag.quantization.int8.quantizer import Quantizer
from pyg_hag.quantization.int8.tensor import DeferredTensor
from pyg_hag.quantization.qat.linear import QATLinear

Prepared = tuple[Tensor, Tensor, Tensor | None]
"""A weight, the scales of its rows, and a bias."""


class INT8Linear(nn.Module):
    r"""A linear layer on uint8 features, with an int8 weight.

    Its weight (two values to a byte in INT4), the scales of its output channels and its
    bias are stored in one buffer.

    Args:
        linear (QATLinear): The trained layer.
    """

    data: Tensor
    _ready: Prepared | None
    _ordered: tuple[Tensor, Prepared] | None

    def __init__(self, linear: QATLinear) -> None:
        super().__init__()
        observer = linear.weight_fake_quant
        self.in_channels, self.out_channels = linear.in_channels, linear.out_channels
        self.bits = observer.config.bits
        self.input = None if linear.input is None else Quantizer(linear.input)
        with torch.no_grad():
            steps, scale = observer.quantize(linear.weight.float())
            scale = scale.flatten().expand(self.out_channels)
            bias = None if linear.bias is None else linear.bias.float()
            self._store(steps.to(torch.int8), scale, bias)

    def _store(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        values = (pack_weight(weight) if self.bits == 4 else weight).flatten()
        values = F.pad(values.view(torch.uint8), (0, -values.numel() % 4))
        floats = [scale] if bias is None else [scale, bias]
        parts = [values, *(part.contiguous().view(torch.uint8) for part in floats)]
        self.register_buffer("data", torch.cat(parts))
        self.has_bias = bias is not None
        self._forget()

    def _read(self) -> Prepared:
        """Weight (int8 `[M, K]`), scales and bias (float32 `[M]`)."""
        rows, columns = self.out_channels, self.in_channels
        width = columns if self.bits == 8 else (columns + 1) // 2
        num_bytes = rows * width
        values = self.data[:num_bytes].view(rows, width)
        floats = self.data[-(-num_bytes // 4) * 4 :].view(torch.float32)
        weight = values.view(torch.int8)
        if self.bits == 4:
            weight = unpack_weight(values, columns)
        return weight, floats[:rows], floats[rows:] if self.has_bias else None

    def fold(self, channel_scale: Tensor, shift: Tensor) -> None:
        """Folds a norm that follows into the layer, as a scale and shift `[M]`."""
        weight, scale, bias = self._read()
        bias = shift if bias is None else bias * channel_scale + shift
        self._store(weight, scale * channel_scale, bias)

    @property
    def bias(self) -> Tensor | None:
        """The bias, float32 `[M]`."""
        return self._prepared()[2]

    def forward(self, x: Any) -> Any:
        """The linear layer on a tensor, or within a layer on quantized features."""
        self._check_width(x)
        if not isinstance(x, Tensor):
            return self._deferred(x if self.input is None else self._quantized(x))
        if x.dim() != 2:
            out = self.forward(x.reshape(-1, self.in_channels))
            return out.view(*x.shape[:-1], self.out_channels)
        rows = self._quantized(x)
        if isinstance(rows, LazyQTensor):  # whose features may change in place later
            return self._compute(rows, Epilogue(bias=self.bias))
        return self._deferred(rows).as_tensor()

    def codes(self, x: Any, order: Tensor, qparams: QParams) -> Tensor:
        """Quantized results in another order of the output channels, uint8.

        Args:
            x: What the layer reads.
            order: The numbers of the channels, int64; -1 for zeros.
            qparams: The parameters of the results.
        """
        self._check_width(x)
        rows = x if self.input is None else self._quantized(x)
        prepared = self._prepared_in(order)
        epilogue = Epilogue(bias=prepared[2], out_qparams=qparams)
        return self._compute(rows, epilogue, prepared)

    def _check_width(self, x: Any) -> None:
        if x.size(-1) != self.in_channels:
            raise ValueError(
                f"'x' must have {self.in_channels} features, those that the model was "
                f"trained with (got {x.size(-1)})"
            )

    def _quantized(self, x: Any) -> QTensor | LazyQTensor:
        assert self.input is not None
        return self.input.quantize(x, single_use=x.size(0) * x.size(1) > MAX_AT_ONCE)

    def product(self, x: QTensor) -> Deferred:
        """The product of quantized features and the weight, without the bias."""
        return self._deferred(x, with_bias=False)

    def _deferred(self, x: QTensor | LazyQTensor, with_bias: bool = True) -> Deferred:
        bias = self.bias if with_bias else None

        def compute(epilogue: Epilogue) -> Tensor:
            return self._compute(x, epilogue)

        shape = x.size(0), self.out_channels
        return Deferred(compute, shape, x.device, self, Epilogue(bias=bias))

    def _compute(
        self,
        x: QTensor | LazyQTensor,
        epilogue: Epilogue,
        prepared: Prepared | None = None,
    ) -> Tensor:
        weight, scale, _ = prepared or self._prepared()
        relu, out_qparams = epilogue.relu, epilogue.out_qparams
        residual = epilogue.residual
        if epilogue.channel_scale is not None:
            scale = scale * epilogue.channel_scale
        known = weight, scale, epilogue.bias
        if isinstance(x, LazyQTensor):
            features = x.features, x.qparams, x.row_scale
            if epilogue.next_scale is None and residual is None:
                return quantize_linear(*features, *known, relu, out_qparams)
            return apply_epilogue(quantize_linear(*features, *known), epilogue)
        if epilogue.next_scale is None and epilogue.residual_channel_scale is None:
            return qlinear(x.values, x.qparams, *known, relu, residual, out_qparams)
        return apply_epilogue(qlinear(x.values, x.qparams, *known), epilogue)

    def _prepared(self) -> Prepared:
        """The weight in the layout of its operator, scales and bias."""
        if torch.compiler.is_compiling():
            return self._read()
        if self._ready is None:
            weight, scale, bias = self._read()
            self._ready = prepack_weight(weight), scale, bias
        return self._ready

    def _prepared_in(self, order: Tensor) -> Prepared:
        """The same in an order of the output channels, kept for the latest order."""
        if torch.compiler.is_compiling():
            return _reordered(self._read(), order)
        if self._ordered is None or self._ordered[0] is not order:
            weight, scale, bias = _reordered(self._read(), order)
            self._ordered = order, (prepack_weight(weight), scale, bias)
        return self._ordered[1]

    def _forget(self) -> None:
        self._ready = None
        self._ordered = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._forget()

    def _apply(self, *args: Any, **kwargs: Any) -> "INT8Linear":
        self._forget()
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None, "_ordered": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def extra_repr(self) -> str:
        """The sizes of the layer, and the bits of its weight."""
        sizes = f"{self.in_channels}, {self.out_channels}"
        return f"{sizes}, bias={self.has_bias}, bits={self.bits}"


def _reordered(known: Prepared, order: Tensor) -> Prepared:
    """Rows of a weight, scales and bias in an order, in which -1 stands for zeros."""
    weight, scale, bias = known
    place, exists = order.clamp(min=0), order >= 0
    bias = None if bias is None else bias[place] * exists
    return weight[place] * exists[:, None], scale[place], bias


def pack_weight(weight: Tensor) -> Tensor:
    """Packs values from -8 to 7, int8 `[M, K]`, two to a byte: uint8 `[M, K / 2]`."""
    nibbles = F.pad(weight + 8, (0, weight.size(1) % 2)).view(torch.uint8)
    return nibbles[:, ::2] | (nibbles[:, 1::2] << 4)


def unpack_weight(data: Tensor, columns: int) -> Tensor:
    """The inverse of :func:`pack_weight`, for K columns: int8 `[M, K]`."""
    pairs = torch.stack([data & 15, data >> 4], -1).flatten(1)
    return pairs[:, :columns].view(torch.int8) - 8


class Affine(nn.Module):
    """A batch norm in evaluation mode: a scale and a shift of the features.

    Args:
        channel_scale (torch.Tensor): The scale, float32 `[F]`.
        shift (torch.Tensor): The shift, float32 `[F]`.
    """

    channel_scale: Tensor
    shift: Tensor

    def __init__(self, channel_scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("channel_scale", channel_scale.clone())
        self.register_buffer("shift", shift.clone())

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        if f"{prefix}gain" in state_dict:  # its name up to version 0.1
            state_dict[f"{prefix}channel_scale"] = state_dict.pop(f"{prefix}gain")
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Any) -> Any:
        """The scaled and shifted features, deferred if they were."""
        if isinstance(x, DeferredTensor) and x.deferred.value is None:
            return x.deferred.affine(self.channel_scale, self.shift).as_tensor()
        return x * self.channel_scale + self.shift

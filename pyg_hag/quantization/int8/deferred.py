"""DeferredTensor: a result that is computed once it is known what follows.

What follows an INT8 layer, such as a bias, an addition, a norm or ReLU, and the
quantization for the next layer, is fused into the layer's own kernel. So a layer
returns a result that is not computed yet; these operators extend its epilogue, and the
next layer asks for its quantized values. Any other operator gets float32.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from pyg_hag.ops.quantized import Epilogue, QParams, Residual, quantize


class DeferredTensor:
    """A float32 matrix that is not computed yet.

    Args:
        compute: Computes it, followed by an epilogue.
        shape: Its shape.
        device: Its device.
        source: The layer whose result it is.
        epilogue: What follows so far.
    """

    dtype = torch.float32
    requires_grad = False

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
        self._computed: list[tuple[QParams | None, Tensor | None, Tensor]] = []

    @property
    def is_cuda(self) -> bool:
        """Whether it is on a CUDA device."""
        return self.device.type == "cuda"

    def size(self, dim: int | None = None) -> Any:
        """Its shape, or its size along a dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of dimensions, which is 2."""
        return 2

    def float(self) -> Tensor:
        """Its values in float32."""
        return self._compute(None, None)

    def quantize(self, qparams: QParams, row_scale: Tensor | None = None) -> Tensor:
        """Its quantized values, uint8, after factors of the rows."""
        return self._compute(qparams, row_scale)

    def _compute(self, qparams: QParams | None, row_scale: Tensor | None) -> Tensor:
        for known_qparams, known_row_scale, out in self._computed:
            if known_qparams == qparams and known_row_scale is row_scale:
                return out
        end = self.epilogue._replace(out_qparams=qparams, next_scale=row_scale)
        out = self.compute(end)
        self._computed.append((qparams, row_scale, out))
        return out

    # Operators that extend the epilogue:

    def _extended(self, **changes: Any) -> "DeferredTensor":
        rows, columns = self.shape
        epilogue = self.epilogue._replace(**changes)
        return DeferredTensor(
            self.compute, (rows, columns), self.device, self.source, epilogue
        )

    def relu(self) -> "DeferredTensor":
        """ReLU of it."""
        return self._extended(relu=True)

    def affine(self, channel_scale: Tensor | None, shift: Tensor) -> "DeferredTensor":
        """Its features times a scale, plus a shift, each float32 `[F]`."""
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
    ) -> "DeferredTensor":
        """The affine map in float32, fused with the quantization that follows."""

        def compute(epilogue: Epilogue) -> Tensor:
            values, channel_scale = self.float(), epilogue.channel_scale
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
        return DeferredTensor(compute, (rows, columns), self.device, None, epilogue)

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

    def __add__(self, other: Any) -> Any:
        if isinstance(other, DeferredTensor):
            first, second = (other, self) if other._takes_residual() else (self, other)
            residual = second._as_residual() if first._takes_residual() else None
            if residual is not None:
                return first.add_residual(residual)
            return self.float() + other.float()
        if isinstance(other, Tensor) and other.shape == self.shape[1:]:
            return self.affine(None, other)
        return self.float() + other

    __radd__ = __add__

    def _takes_residual(self) -> bool:
        """Whether a residual can be added, and nothing is computed yet."""
        epilogue = self.epilogue
        return not (self._computed or epilogue.relu or epilogue.residual is not None)

    def _as_residual(self) -> Residual | None:
        """Its quantized values, if they are computed already."""
        for qparams, row_scale, out in self._computed:
            if qparams is not None and row_scale is None:
                return Residual(out, qparams.scale, qparams.zero_point)
        return None

    # All other operators get float32:

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.float(), name)

    def __getitem__(self, index: Any) -> Tensor:
        return self.float()[index]

    def __len__(self) -> int:
        return self.shape[0]

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        handler = _HANDLERS.get(function)
        if handler is not None:
            out = handler(*args, **kwargs)
            if out is not NotImplemented:
                return out
        args, kwargs = tree_map(materialize, (args, kwargs))
        return function(*args, **kwargs)


def _operator(name: str) -> Callable[..., Any]:
    def apply(self: DeferredTensor, *args: Any) -> Any:
        return getattr(torch.Tensor, name)(self.float(), *map(materialize, args))

    return apply


for _name in ("sub", "rsub", "mul", "rmul", "truediv", "matmul", "rmatmul", "neg"):
    setattr(DeferredTensor, f"__{_name}__", _operator(f"__{_name}__"))


def materialize(x: Any) -> Any:
    """The values of a deferred tensor; anything else unchanged."""
    return x.float() if isinstance(x, DeferredTensor) else x


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


# Functions that extend the epilogue ###########################################

_records: list[list[tuple[DeferredTensor, Tensor]]] = []


@contextmanager
def record_norms() -> Iterator[list[tuple[DeferredTensor, Tensor]]]:
    """Lists the batch norms of deferred tensors: each input, and its running mean."""
    record: list[tuple[DeferredTensor, Tensor]] = []
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


def norm_as_affine(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """The scale and shift of a norm with these statistics, float32 `[F]`."""
    channel_scale = (var + eps).rsqrt()
    channel_scale = channel_scale if weight is None else channel_scale * weight
    shift = -mean * channel_scale
    return channel_scale, shift if bias is None else shift + bias


def _relu(x: Any, inplace: bool = False) -> Any:
    return x.relu()


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: Any = 0) -> Any:
    return NotImplemented if training else x


def _batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training or running_mean is None or running_var is None:
        return NotImplemented
    for record in _records:
        record.append((x, running_mean))
    return x.affine(*norm_as_affine(running_mean, running_var, weight, bias, eps))


def _add(x: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    if alpha != 1 or out is not None:
        return NotImplemented
    return x + other if isinstance(x, DeferredTensor) else other + x


_HANDLERS: dict[Any, Callable[..., Any]] = {
    F.relu: _relu,
    torch.relu: _relu,
    F.dropout: _dropout,
    F.batch_norm: _batch_norm,
    torch.add: _add,
    torch.Tensor.add: _add,
    torch.Tensor.__add__: _add,
    torch.Tensor.__radd__: _add,
}

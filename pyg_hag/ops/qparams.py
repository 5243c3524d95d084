"""Parameters of quantized tensors, and the epilogue of a reduction or product."""

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

QMAX = 255
"""The largest value of eight bits."""


class QParams(NamedTuple):
    """The affine map of quantized values: q stands for `scale * (q - zero_point)`.

    Attributes:
        scale: The distance of neighboring quantized values.
        zero_point: The quantized value of zero.
        qmax: The largest quantized value, 255 or 15; the smallest is 0.
    """

    scale: float
    zero_point: int
    qmax: int = QMAX

    @classmethod
    def checked(cls, *values: object) -> "QParams":
        """Parameters that come from a file.

        Raises:
            ValueError: If they are none.
        """
        if len(values) == 3:
            scale, zero_point, qmax = values
            is_scale = type(scale) is float and 0 < scale < float("inf")
            are_whole = type(zero_point) is int and type(qmax) is int
            if is_scale and are_whole and qmax in (15, QMAX):
                if 0 <= zero_point <= qmax:  # type: ignore[operator]
                    return cls(scale, zero_point, qmax)  # type: ignore[arg-type]
        raise ValueError(
            f"the state of a quantizer must be a positive scale, a zero point from 0 "
            f"to the largest value, and that: 15 or {QMAX} (got {values})"
        )

    @property
    def inverse_scale(self) -> float:
        """The reciprocal of the scale in float32."""
        return _inverse(self.scale)


@functools.lru_cache(1000)
def _inverse(scale: float) -> float:
    return torch.tensor(scale, dtype=torch.float32, device="cpu").reciprocal().item()


class Residual(NamedTuple):
    """Quantized features that are added to a result.

    Attributes:
        values: uint8 `[N, F]`.
        scale: See :class:`QParams`.
        zero_point: See :class:`QParams`.
    """

    values: Tensor
    scale: float
    zero_point: int

    def dequantize(self) -> Tensor:
        """The features in float32, `[N, F]`."""
        return (self.values.float() - self.zero_point) * self.scale


class Epilogue(NamedTuple):
    """The operations on a result before it is stored, in this order.

    Attributes:
        dst_scale: Factors of the rows, float32 `[N]`.
        channel_scale: Factors of the features, float32 `[F]`.
        bias: Added to the features, float32 `[F]`.
        residual: Quantized features to add.
        residual_channel_scale: Factors of the residual's features, float32 `[F]`.
        relu: Whether to apply ReLU.
        next_scale: Factors of the rows, applied before quantization, float32 `[N]`.
        out_qparams: The parameters of the quantized result. If None, the result is
            float32.
    """

    dst_scale: Tensor | None = None
    channel_scale: Tensor | None = None
    bias: Tensor | None = None
    residual: Residual | None = None
    residual_channel_scale: Tensor | None = None
    relu: bool = False
    next_scale: Tensor | None = None
    out_qparams: QParams | None = None


def changed(epilogue: Epilogue, **changes: Any) -> Epilogue:
    """The epilogue with other values of some fields.

    PyTorch 2.8 does not compile code with :meth:`Epilogue._replace`.
    """
    return Epilogue(**{**dict(zip(Epilogue._fields, epilogue, strict=True)), **changes})

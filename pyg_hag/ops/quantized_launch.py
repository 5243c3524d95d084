"""Dispatches the INT8 operators to the implementation for their device."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops.cpu import qlinear as onednn
from pyg_hag.ops.cpu import quantized as cpu
from pyg_hag.ops.qparams import Epilogue, QParams, Residual
from pyg_hag.ops.triton import quantized as triton


def compute_aggregate(
    x: Tensor,
    qparams: QParams,
    hag: HAG,
    reduce: str,
    self_scale: Tensor | None,
    epilogue: Epilogue,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.aggregate_quantized`."""
    device = triton if x.is_cuda else cpu
    return device.compute_aggregate(x, qparams, hag, reduce, self_scale, epilogue)


def compute_quantized(
    x: Tensor,
    qparams: QParams,
    row_scale: Tensor | None,
    channel_scale: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.quantize`."""
    device = triton if x.is_cuda else cpu
    known = float32(row_scale), float32(channel_scale), float32(bias)
    return device.compute_quantized(float32(x), qparams, *known)


def compute_linear(
    x: Tensor,
    qparams: QParams,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    residual: Residual | None,
    out_qparams: QParams | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.qlinear`."""
    device: Any = triton if x.is_cuda else onednn
    # One combined scale: given two, oneDNN multiplies them in an order that depends on
    # the processor and on the number of rows.
    scale = float32(weight_scale) * qparams.scale
    bias = float32(bias)
    out: Tensor = device.compute_linear(
        x, qparams.zero_point, weight, scale, bias, relu, residual, out_qparams
    )
    return out


def prepack_weight(weight: Tensor) -> Tensor:
    """A quantized weight, int8 `[M, K]`, in the layout that its device prefers."""
    device: Any = triton if weight.is_cuda else onednn
    out: Tensor = device.prepack_weight(weight)
    return out


def float32(x: Any) -> Any:
    """The contiguous float32 tensor that kernels read; None stays None."""
    if x is None or (
        x.dtype is torch.float32 and x.is_contiguous() and not x.requires_grad
    ):
        return x
    return x.detach().float().contiguous()

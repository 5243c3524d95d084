"""Quantized linear layers, by oneDNN."""

import functools
from typing import Any

import torch
from torch import Tensor

from pyg_hag.ops.qparams import QMAX, QParams, Residual
from pyg_hag.runtime import memory


def compute_linear(
    x: Tensor,
    zero_point: int,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    residual: Residual | None,
    out_qparams: QParams | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.qlinear`.

    Args:
        x: uint8 `[N, K]`.
        zero_point: The zero point of x.
        weight: int8 `[M, K]`, or the result of :func:`prepack_weight`.
        scale: The scale of x times those of the weight's rows, float32 `[M]`.
        bias: float32 `[M]`.
        relu: Whether to apply ReLU.
        residual: Quantized features to add.
        out_qparams: The parameters of the result; None if it is float32.

    Returns:
        Shape `[N, M]`; uint8 with `out_qparams`, else float32.
    """
    if not weight.is_mkldnn:
        weight = prepack_weight(weight)
    multiply = _by_onednn if products_are_exact() else _by_halves
    return multiply(x, zero_point, weight, scale, bias, relu, residual, out_qparams)


def _by_onednn(
    x: Tensor,
    zero_point: int,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    residual: Residual | None,
    out_qparams: QParams | None,
) -> Tensor:
    """One call of oneDNN, with all that follows the product."""
    rows, columns = x.size(0), scale.numel()
    dtype = torch.float32 if out_qparams is None else torch.uint8
    out_scale, out_zero_point = (1.0, 0) if out_qparams is None else out_qparams[:2]
    after: tuple[Any, ...] = ("relu" if relu else "none", [], "")
    known = x, 1.0, zero_point, weight, scale, _zeros(columns)
    end = bias, out_scale, out_zero_point, dtype
    product = torch.ops.onednn.qlinear_pointwise.binary
    if residual is not None and out_qparams is None:
        values = residual.dequantize()
        added: Tensor = product(*known, values, *end, 1.0, 0, "add", 1.0, *after)
        return added
    if residual is not None:
        residual = residual._replace(values=residual.values.clone())
    elif out_qparams is not None and rows * columns >= memory.MIN_BYTES:
        residual = Residual(memory.empty(x, rows, columns), 0.0, 0)
    if residual is None:
        alone = torch.ops.onednn.qlinear_pointwise
        out: Tensor = alone(*known, *end, *after)
    else:  # oneDNN adds in place; with scale 0, it only writes to memory that exists
        other = residual.scale, residual.zero_point, "sum", 1.0
        out = product(*known, residual.values, *end, *other, *after)
    if out_qparams is not None and out_qparams.qmax < QMAX:  # oneDNN clamps to QMAX
        out.clamp_(max=out_qparams.qmax)
    return out


def _by_halves(
    x: Tensor,
    zero_point: int,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    residual: Residual | None,
    out_qparams: QParams | None,
) -> Tensor:
    """Two products, of the upper seven bits and of the lowest.

    For processors that accumulate pairs of 8-bit products in 16 bits with saturation:
    values up to 127 fit, values up to 255 do not.
    """
    high, low = _product(x >> 1, weight, scale), _product(x & 1, weight, scale)
    out = high.mul_(2).add_(low)
    if zero_point != 0:
        ones = torch.ones_like(x[:1])
        out -= zero_point * _product(ones, weight, scale)
    out *= scale
    if bias is not None:
        out += bias
    if residual is not None:
        out += residual.dequantize()
    if relu:
        out.relu_()
    if out_qparams is None:
        return out
    out = out.mul_(out_qparams.inverse_scale).round_().add_(out_qparams.zero_point)
    return out.clamp_(0, out_qparams.qmax).to(torch.uint8)


def _product(x: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """The product of integers without scales, float32 `[N, M]`."""
    known = x, 1.0, 0, weight, torch.ones_like(like), _zeros(like.numel())
    end: tuple[Any, ...] = None, 1.0, 0, torch.float32, "none", [], ""
    out: Tensor = torch.ops.onednn.qlinear_pointwise(*known, *end)
    return out


@functools.lru_cache(100)
def _zeros(columns: int) -> Tensor:
    """The zero points of a weight's rows, int64 `[columns]`."""
    return torch.zeros(columns, dtype=torch.int64, device="cpu")


@functools.cache
def products_are_exact() -> bool:
    """Whether the processor accumulates 8-bit products without saturation.

    Those that accumulate pairs in 16 bits do not (x86 before VNNI).
    """
    x, weight = (torch.full((1, 64), v, device="cpu") for v in (255, 127))
    one = torch.ones(1, dtype=torch.float32, device="cpu")
    out = _product(x.to(torch.uint8), prepack_weight(weight.to(torch.int8)), one)
    return float(out) == float((x * weight).sum())


def prepack_weight(weight: Tensor) -> Tensor:
    """A quantized weight, int8 `[M, K]`, in the layout that oneDNN prefers."""
    out: Tensor = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
    return out

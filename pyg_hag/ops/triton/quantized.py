"""Reductions, products and quantization on CUDA: launches of the Triton kernels."""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops.cpu.quantize import NAN_MESSAGE
from pyg_hag.ops.cpu.quantized import accumulator, quantized_counts
from pyg_hag.ops.qparams import Epilogue, QParams, Residual
from pyg_hag.ops.triton.backend import arrays_of, launch, start
from pyg_hag.plan.gpu import device_plan

_ROWS, _COLUMNS, _DEPTH = 64, 64, 64  # of a tile of a matrix product
_DTYPES = {32: torch.int32, 64: torch.int64}


@functools.cache
def _kernels() -> ModuleType:
    """Imports Triton, when a kernel first runs."""
    from pyg_hag.ops.triton import quantized_kernels

    return quantized_kernels


def compute_aggregate(
    x: Tensor,
    qparams: QParams,
    hag: HAG,
    reduce: str,
    self_scale: Tensor | None,
    epilogue: Epilogue,
) -> Tensor:
    """The same as :func:`pyg_hag.ops.cpu.quantized.compute_aggregate`."""
    plan, x, columns = device_plan(hag), x.contiguous(), x.size(1)
    counts, dtype = None, torch.uint8
    if reduce == "sum":
        counts, max_count = quantized_counts(hag, self_scale)
        dtype = _DTYPES[max(32, accumulator(max_count, qparams.qmax))]
    quantizes = epilogue.out_qparams is not None
    scratch = x.new_empty(plan.num_slots, columns, dtype=dtype)
    out = _empty_result(x, hag.num_dst, columns, quantizes)
    residual, residual_scale, residual_zero_point = _parts_of(epilogue.residual)
    features = (
        epilogue.dst_scale,
        epilogue.channel_scale,
        epilogue.bias,
        residual,
        epilogue.residual_channel_scale,
        epilogue.next_scale,
    )
    numbers = (
        qparams.scale,
        qparams.zero_point,
        0.0 if epilogue.relu else float("-inf"),
        residual_scale,
        residual_zero_point,
        *_output_numbers(epilogue.out_qparams),
    )
    launch(
        _kernels().reduce_quantized,
        plan,
        x,
        (x, out, scratch, self_scale, counts, *features, *arrays_of(plan)),
        numbers,
        REDUCE=reduce,
        QUANTIZES=quantizes,
        SEGMENTS=plan.segments,
    )
    return out


def compute_quantized(
    x: Tensor,
    qparams: QParams,
    row_scale: Tensor | None,
    channel_scale: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """The same as :func:`pyg_hag.ops.cpu.quantized.compute_quantized`."""
    x = x.detach().float().contiguous()
    rows, columns = x.shape
    out = torch.empty_like(x, dtype=torch.uint8)
    if out.numel() > 0:
        _refuse_nan(x, row_scale, channel_scale, bias)
        start(
            _kernels().quantize_rows, (-(-rows // 16), -(-columns // 128)), x,
            x, out, channel_scale, bias, row_scale, rows, columns,
            *_output_numbers(qparams), ROWS=16, TILE=128,
        )  # fmt: skip
    return out


def _refuse_nan(*tensors: Tensor | None) -> None:
    """Waits for the device; not in a CUDA graph, where nothing may wait."""
    if tensors[0].is_cuda and torch.cuda.is_current_stream_capturing():  # type: ignore[union-attr]
        return
    given = [tensor for tensor in tensors if tensor is not None]
    if torch.stack([tensor.isnan().any() for tensor in given]).any():
        raise ValueError(NAN_MESSAGE)


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
    """The same as :func:`pyg_hag.ops.cpu.qlinear.compute_linear`."""
    rows, columns = x.size(0), weight.size(0)
    quantizes = out_qparams is not None
    out = _empty_result(x, rows, columns, quantizes)
    if out.numel() == 0:
        return out
    values, *residual_numbers = _parts_of(residual)
    arrays = x.contiguous(), weight, scale.contiguous(), bias, values, out
    start(
        _kernels().multiply_quantized, (-(-rows // _ROWS), -(-columns // _COLUMNS)), x,
        *arrays, rows, x.size(1), columns, zero_point, *residual_numbers,
        *_output_numbers(out_qparams), RELU=relu, QUANTIZES=quantizes,
        ROWS=_ROWS, COLUMNS=_COLUMNS, DEPTH=_DEPTH,
    )  # fmt: skip
    return out


def prepack_weight(weight: Tensor) -> Tensor:
    """A weight in the layout that :func:`compute_linear` reads: contiguous."""
    return weight.contiguous()


def _empty_result(like: Tensor, rows: int, columns: int, quantizes: bool) -> Tensor:
    dtype = torch.uint8 if quantizes else torch.float32
    return torch.empty(rows, columns, dtype=dtype, device=like.device)


def _parts_of(residual: Residual | None) -> tuple[Any, float, int]:
    """Values, scale and zero point of a residual, also where there is none."""
    if residual is None:
        return None, 0.0, 0
    return residual.values.contiguous(), residual.scale, residual.zero_point


def _output_numbers(qparams: QParams | None) -> tuple[float, int, float]:
    """One over the scale of results, their zero point, and their largest value."""
    if qparams is None:
        return 1.0, 0, 0.0
    return qparams.inverse_scale, qparams.zero_point, float(qparams.qmax)

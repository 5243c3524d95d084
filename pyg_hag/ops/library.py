"""What compilers and tracers see: the operators of `torch.library` that reduce.

They take a :data:`~pyg_hag.hag.abstract.Handle`, from which the HAG and what is kept on
it are found again, and numbers and tensors in place of named tuples. What is known of a
HAG itself has its operators in :mod:`pyg_hag.hag.library`.
"""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag.abstract import TensorList
from pyg_hag.hag.library import resolve, sizes
from pyg_hag.ops.gradients import sum_grads
from pyg_hag.ops.launch import compute_max, compute_max_grad, compute_sum
from pyg_hag.ops.qparams import Epilogue, QParams, Residual
from pyg_hag.ops.quantized_launch import (
    compute_aggregate,
    compute_linear,
    compute_quantized,
)


@torch.library.custom_op("pyg_hag::aggregate_sum", mutates_args=())
def sum_operator(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    tensors: TensorList,
    num_src: int,
    views: str,
    transposed: bool,
    backend: str,
) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_sum`."""
    scales = src_scale, dst_scale, self_scale
    hag = resolve(tensors, num_src, views)
    return compute_sum(x, scales, hag, transposed, backend)


@sum_operator.register_fake
def _(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    tensors: TensorList,
    num_src: int,
    views: str,
    transposed: bool,
    backend: str,
) -> Tensor:
    num_src, num_dst = sizes(tensors, num_src, views)
    return x.new_empty(num_src if transposed else num_dst, *x.shape[1:])


def _sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *scales, tensors, num_src, views, transposed, backend = inputs
    ctx.rest = num_src, views, transposed, backend
    scaled = any(ctx.needs_input_grad[1:4])
    ctx.save_for_backward(x if scaled else None, *scales, *tensors)


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, *rest = ctx.saved_tensors
    scales, tensors = rest[:3], rest[3:]
    num_src, views, transposed, backend = ctx.rest

    def over(x: Tensor, before: Any, after: Any, self_scale: Any, back: bool) -> Tensor:
        back = transposed != back
        return sum_operator(
            x, before, after, self_scale, tensors, num_src, views, back, backend
        )

    grads = sum_grads(grad, x, scales, ctx.needs_input_grad, over)
    return *grads, [None] * len(tensors), None, None, None, None


sum_operator.register_autograd(_sum_backward, setup_context=_sum_setup)


@torch.library.custom_op("pyg_hag::aggregate_max", mutates_args=())
def max_operator(
    x: Tensor,
    tensors: TensorList,
    num_src: int,
    views: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_max`."""
    return compute_max(x, resolve(tensors, num_src, views), minimum, backend)


@max_operator.register_fake
def _(
    x: Tensor,
    tensors: TensorList,
    num_src: int,
    views: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    return x.new_empty(sizes(tensors, num_src, views)[1], *x.shape[1:])


@torch.library.custom_op("pyg_hag::aggregate_max_backward", mutates_args=())
def max_grad_operator(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: TensorList,
    num_src: int,
    views: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_max_grad`."""
    hag = resolve(tensors, num_src, views)
    return compute_max_grad(grad, x, out, hag, minimum, backend)


@max_grad_operator.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: TensorList,
    num_src: int,
    views: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    return x.new_empty(x.shape)


def _max_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, tensors, *ctx.rest = inputs
    ctx.save_for_backward(x, output, *tensors)


def _max_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, out, *tensors = ctx.saved_tensors
    grad_x = max_grad_operator(grad, x, out, tensors, *ctx.rest)
    return grad_x, [None] * len(tensors), None, None, None, None


max_operator.register_autograd(_max_backward, setup_context=_max_setup)


# INT8 ##########################################################################


def flat(epilogue: Epilogue) -> tuple[Any, ...]:
    """An epilogue as arguments of an operator."""
    e = epilogue
    residual = e.residual or (None, 0.0, 0)
    scales = e.dst_scale, e.channel_scale, e.bias
    last = e.residual_channel_scale, e.relu, e.next_scale
    return *scales, *residual, *last, *flat_qparams(e.out_qparams)


def flat_qparams(qparams: QParams | None) -> tuple[float, int, int]:
    """Optional parameters of a result as arguments of an operator."""
    return qparams or (0.0, 0, 0)


def _residual(values: Tensor | None, scale: float, zero_point: int) -> Residual | None:
    return None if values is None else Residual(values, scale, zero_point)


def _out_qparams(scale: float, zero_point: int, qmax: int) -> QParams | None:
    return QParams(scale, zero_point, qmax) if qmax else None


@torch.library.custom_op("pyg_hag::aggregate_quantized", mutates_args=())
def aggregate_quantized_operator(
    x: Tensor,
    x_scale: float,
    x_zero_point: int,
    x_qmax: int,
    tensors: TensorList,
    num_src: int,
    views: str,
    reduce: str,
    self_scale: Tensor | None,
    dst_scale: Tensor | None,
    channel_scale: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    residual_scale: float,
    residual_zero_point: int,
    residual_channel_scale: Tensor | None,
    relu: bool,
    next_scale: Tensor | None,
    scale: float,
    zero_point: int,
    qmax: int,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.aggregate_quantized`."""
    epilogue = Epilogue(
        dst_scale,
        channel_scale,
        bias,
        _residual(residual, residual_scale, residual_zero_point),
        residual_channel_scale,
        relu,
        next_scale,
        _out_qparams(scale, zero_point, qmax),
    )
    qparams, hag = (
        QParams(x_scale, x_zero_point, x_qmax),
        resolve(tensors, num_src, views),
    )
    return compute_aggregate(x, qparams, hag, reduce, self_scale, epilogue)


@aggregate_quantized_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    tensors, num_src, views, qmax = *args[3:6], args[-1]
    dtype = torch.uint8 if qmax else torch.float32
    return x.new_empty(sizes(tensors, num_src, views)[1], x.size(1), dtype=dtype)


@torch.library.custom_op("pyg_hag::quantize", mutates_args=())
def quantize_operator(
    x: Tensor,
    scale: float,
    zero_point: int,
    qmax: int,
    row_scale: Tensor | None,
    channel_scale: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.quantize`."""
    qparams = QParams(scale, zero_point, qmax)
    return compute_quantized(x, qparams, row_scale, channel_scale, bias)


@quantize_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    return x.new_empty(x.shape, dtype=torch.uint8)


@torch.library.custom_op("pyg_hag::qlinear", mutates_args=())
def qlinear_operator(
    x: Tensor,
    x_scale: float,
    x_zero_point: int,
    x_qmax: int,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    residual: Tensor | None,
    residual_scale: float,
    residual_zero_point: int,
    scale: float,
    zero_point: int,
    qmax: int,
) -> Tensor:
    """See :func:`pyg_hag.ops.quantized.qlinear`."""
    qparams = QParams(x_scale, x_zero_point, x_qmax)
    added = _residual(residual, residual_scale, residual_zero_point)
    out_qparams = _out_qparams(scale, zero_point, qmax)
    known = weight, weight_scale, bias, relu, added, out_qparams
    return compute_linear(x, qparams, *known)


@qlinear_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    weight, qmax = args[3], args[-1]
    dtype = torch.uint8 if qmax else torch.float32
    return x.new_empty(x.size(0), weight.size(0), dtype=dtype)

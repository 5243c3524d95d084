"""What compilers and tracers see: operators of `torch.library`.

They take the HAG's flat tensors; the HAG and what is cached on it are found again
from them.
"""

from typing import Any

import torch
from torch import Tensor

from pyg_hag._plan import symmetric_norm
from pyg_hag._views import resolved, sizes
from pyg_hag.ops._compute import (
    compute_max,
    compute_max_grad,
    compute_sum,
    sum_grads,
)


@torch.library.custom_op("pyg_hag::aggregate_sum", mutates_args=())
def sum_operator(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    mean: bool,
    transpose: bool,
    backend: str,
) -> Tensor:
    scales = src_scale, dst_scale, self_scale
    hag = resolved(tensors, num_src, view)
    return compute_sum(x, scales, hag, mean, transpose, backend)


@sum_operator.register_fake
def _(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    mean: bool,
    transpose: bool,
    backend: str,
) -> Tensor:
    num_src, num_dst = sizes(tensors, num_src, view)
    return x.new_empty(num_src if transpose else num_dst, *x.shape[1:])


def _sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *scales, tensors, num_src, view, mean, transpose, backend = inputs
    ctx.rest = num_src, view, mean, transpose, backend
    scaled = any(ctx.needs_input_grad[1:4])
    ctx.save_for_backward(x if scaled else None, *scales, *tensors)


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, *rest = ctx.saved_tensors
    scales, tensors = rest[:3], rest[3:]
    num_src, view, mean, transpose, backend = ctx.rest

    def over(x: Tensor, before: Any, after: Any, own: Any, turned: bool) -> Tensor:
        turned = transpose != turned
        return sum_operator(
            x, before, after, own, tensors, num_src, view, mean, turned, backend
        )

    grads = sum_grads(grad, x, scales, ctx.needs_input_grad, over)
    return *grads, [None] * len(tensors), None, None, None, None, None


sum_operator.register_autograd(_sum_backward, setup_context=_sum_setup)


@torch.library.custom_op("pyg_hag::aggregate_max", mutates_args=())
def max_operator(
    x: Tensor,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    return compute_max(x, resolved(tensors, num_src, view), minimum, backend)


@max_operator.register_fake
def _(
    x: Tensor,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    return x.new_empty(sizes(tensors, num_src, view)[1], *x.shape[1:])


@torch.library.custom_op("pyg_hag::aggregate_max_backward", mutates_args=())
def max_grad_operator(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    minimum: bool,
    backend: str,
) -> Tensor:
    hag = resolved(tensors, num_src, view)
    return compute_max_grad(grad, x, out, hag, minimum, backend)


@max_grad_operator.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: list[Tensor],
    num_src: int,
    view: str,
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


@torch.library.custom_op("pyg_hag::symmetric_norm", mutates_args=())
def norm_operator(
    tensors: list[Tensor], num_src: int, view: str, dtype: torch.dtype
) -> Tensor:
    return symmetric_norm(resolved(tensors, num_src, view), dtype).clone()


@norm_operator.register_fake
def _(tensors: list[Tensor], num_src: int, view: str, dtype: torch.dtype) -> Tensor:
    return tensors[0].new_empty(sizes(tensors, num_src, view)[1], dtype=dtype)

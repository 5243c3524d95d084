"""Operators on codes for compilers and tracers; see :mod:`pyg_hag.ops._library`."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag._views import resolved, sizes
from pyg_hag.ops._codes import Epilogue, Rest, Scale
from pyg_hag.ops._codes_compute import (
    compute_codes,
    compute_product,
    compute_reduction,
)


def flat(after: Epilogue) -> tuple[Any, ...]:
    rest, rest_scale, rest_zero = after.rest or (None, 0.0, 0)
    scale, zero, most = after.to or (0.0, 0, 0)
    return (
        after.dst_scale, after.gain, after.bias, rest, rest_scale, rest_zero,
        after.rest_gain, after.relu, after.next_scale, scale, zero, most,
    )  # fmt: skip


@torch.library.custom_op("pyg_hag::aggregate_codes", mutates_args=())
def reduction_operator(
    x: Tensor,
    of_scale: float,
    of_zero: int,
    of_most: int,
    tensors: list[Tensor],
    num_src: int,
    view: str,
    reduce: str,
    own: Tensor | None,
    dst_scale: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
    rest: Tensor | None,
    rest_scale: float,
    rest_zero: int,
    rest_gain: Tensor | None,
    relu: bool,
    next_scale: Tensor | None,
    scale: float,
    zero: int,
    most: int,
) -> Tensor:
    added = None if rest is None else Rest(rest, rest_scale, rest_zero)
    to = Scale(scale, zero, most) if most else None
    after = Epilogue(dst_scale, gain, bias, added, rest_gain, relu, next_scale, to)
    of = Scale(of_scale, of_zero, of_most)
    return compute_reduction(
        x, of, resolved(tensors, num_src, view), reduce, own, after
    )


@reduction_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    tensors, num_src, view, most = *args[3:6], args[-1]
    dtype = torch.uint8 if most else torch.float32
    return x.new_empty(sizes(tensors, num_src, view)[1], x.size(1), dtype=dtype)


@torch.library.custom_op("pyg_hag::round_to_codes", mutates_args=())
def rounding_operator(
    x: Tensor,
    scale: float,
    zero: int,
    most: int,
    factor: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    return compute_codes(x, Scale(scale, zero, most), factor, gain, bias)


@rounding_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    return x.new_empty(x.shape, dtype=torch.uint8)


@torch.library.custom_op("pyg_hag::linear_codes", mutates_args=())
def product_operator(
    x: Tensor,
    of_scale: float,
    of_zero: int,
    of_most: int,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    rest: Tensor | None,
    rest_scale: float,
    rest_zero: int,
    scale: float,
    zero: int,
    most: int,
) -> Tensor:
    added = None if rest is None else Rest(rest, rest_scale, rest_zero)
    to = Scale(scale, zero, most) if most else None
    of = Scale(of_scale, of_zero, of_most)
    return compute_product(x, of, weight, weight_scale, bias, relu, added, to)


@product_operator.register_fake
def _(x: Tensor, *args: Any) -> Tensor:
    weight, most = args[3], args[-1]
    dtype = torch.uint8 if most else torch.float32
    return x.new_empty(x.size(0), weight.size(0), dtype=dtype)

"""What computes on codes, by device."""

from typing import Any

from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops import _codes_native, _codes_triton, _products
from pyg_hag.ops._codes import Epilogue, Rest, Scale


def compute_reduction(
    x: Tensor, of: Scale, hag: HAG, reduce: str, own: Tensor | None, after: Epilogue
) -> Tensor:
    """See :func:`pyg_hag.ops.codes.aggregate_codes`."""
    device = _codes_triton if x.is_cuda else _codes_native
    return device.compute_reduction(x, of, hag, reduce, own, after)


def compute_codes(
    x: Tensor,
    to: Scale,
    factor: Tensor | None,
    gain: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.codes.round_to_codes`."""
    device = _codes_triton if x.is_cuda else _codes_native
    return device.compute_codes(x, to, factor, gain, bias)


def compute_product(
    x: Tensor,
    of: Scale,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    relu: bool,
    rest: Rest | None,
    to: Scale | None,
) -> Tensor:
    """See :func:`pyg_hag.ops.codes.linear_codes`."""
    device: Any = _codes_triton if x.is_cuda else _products
    # As one factor: with two, what oneDNN multiplies first depends on the processor and
    # on the number of rows.
    scale = weight_scale * of.scale
    out: Tensor = device.compute_product(
        x, of.zero, weight, scale, bias, relu, rest, to
    )
    return out


def packed(weight: Tensor) -> Tensor:
    """Codes of a weight, int8 `[M, K]`, as products of the device want them."""
    device: Any = _codes_triton if weight.is_cuda else _products
    out: Tensor = device.packed(weight)
    return out

"""Rounding to quantized values, with a gradient."""

from typing import Any

import torch
from torch import Tensor


def quantize_steps(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    qmin: int,
    qmax: int,
    clipped: bool,
) -> Tensor:
    r"""Quantized values minus their zero point, in floating point.

    .. math::
        \mathrm{clamp}(\lfloor x / s \rceil + z, q_{\min}, q_{\max}) - z

    Args:
        x (torch.Tensor): The values.
        scale (torch.Tensor): The scale s, which broadcasts to `x`.
        zero_point (torch.Tensor): The zero point z, alike.
        qmin (int): The smallest quantized value.
        qmax (int): The largest quantized value.
        clipped (bool): Whether the gradient of rounding is 0 at and beyond the ends of
            the range; it is 1 elsewhere.

    Returns:
        torch.Tensor: Shaped like `x`.
    """
    if torch.compiler.is_compiling():  # which only differentiates its own operators
        return _traced(x, scale, zero_point, qmin, qmax, clipped)
    out: Tensor = _QuantizeSteps.apply(x, scale, zero_point, qmin, qmax, clipped)
    return out


def _unclamped(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Quantized values before they are clamped."""
    return (x * scale.reciprocal()).round_().add_(zero_point)


class _QuantizeSteps(torch.autograd.Function):
    """See :func:`quantize_steps`."""

    @staticmethod
    def forward(
        x: Tensor,
        scale: Tensor,
        zero_point: Tensor,
        qmin: int,
        qmax: int,
        clipped: bool,
    ) -> Tensor:
        return _unclamped(x, scale, zero_point).clamp_(qmin, qmax).sub_(zero_point)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, scale, zero_point, ctx.qmin, ctx.qmax, ctx.clipped = inputs
        ctx.save_for_backward(*((x, scale, zero_point) if ctx.clipped else (scale,)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if ctx.clipped:
            x, scale, zero_point = ctx.saved_tensors
        else:
            (scale,) = ctx.saved_tensors
        grad = grad * scale.reciprocal()
        if ctx.clipped:
            values = _unclamped(x, scale, zero_point)
            inside = (values > ctx.qmin).logical_and_(values < ctx.qmax)
            grad = grad.masked_fill_(inside.logical_not_(), 0)
        return grad, None, None, None, None, None


def _traced(
    x: Tensor, scale: Tensor, zero_point: Tensor, qmin: int, qmax: int, clipped: bool
) -> Tensor:
    """:func:`quantize_steps` of operators that can be differentiated."""
    values = _unclamped(x.detach(), scale, zero_point)
    zero = (x - x.detach()) * scale.reciprocal()  # with the gradient of x
    if clipped:
        zero = torch.where((values > qmin) & (values < qmax), zero, 0)
    return values.clamp(qmin, qmax) - zero_point + zero

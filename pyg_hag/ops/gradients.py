"""The formulas of the gradients, made of sums over the same graph and its transpose."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_hag.utils.tensors import computed_dtype, per_row


def sum_grads(
    grad: Tensor,
    x: Any,
    scales: Sequence[Any],
    needed: Sequence[bool],
    sum_over: Callable[[Tensor, Any, Any, Any, bool], Tensor],
) -> tuple[Tensor | None, ...]:
    """Gradients of x and of the three scales of a sum.

    Args:
        grad: The gradient of the sum.
        x: The features; not used unless a gradient of a scale is needed.
        scales: Factors of sources, destinations, and of each node for itself.
        needed: Which of the four gradients are.
        sum_over: `sum_over(x, src_scale, dst_scale, self_scale, back)` sums over the
            graph, or back along its edges.
    """
    before, after, self_scale = scales
    grad_x = grad_before = grad_after = grad_own = None
    if needed[1]:
        back = sum_over(grad, after, None, None, True)
        grad_before = _row_products(x, back).to(before.dtype)
    if needed[0] and needed[1] and self_scale is None:
        grad_x = (back * per_row(before, back)).to(x.dtype)
    elif needed[0]:
        grad_x = sum_over(grad, after, before, self_scale, True)
    if needed[2]:
        out = sum_over(x, before, None, None, False)
        grad_after = _row_products(grad, out).to(after.dtype)
    if needed[3]:
        grad_own = _row_products(grad, x).to(self_scale.dtype)
    return grad_x, grad_before, grad_after, grad_own


def _row_products(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1) if a.dim() > 1 else a * b


def many_grads(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    reduces: tuple[str, ...],
    inverse_degree: Tensor,
    norm: Tensor | None,
    mean_of: Callable[[Tensor], Tensor],
    sum_back: Callable[[Tensor], Tensor],
    max_grad: Callable[[Tensor, Tensor, bool], Tensor],
) -> Tensor:
    r"""The gradient of :func:`compute_many` with respect to x.

    Moments give each source :math:`A_v + C_v x_u`, and `symnorm` :math:`s_u S_v`,
    summed over its destinations v in one pass.

    Args:
        grad: The gradient of the results, `[num_dst, len(reduces) * F]`.
        x: The features, `[num_src, F]`.
        out: The results.
        reduces: Which.
        inverse_degree: The weights of means, `[num_dst]`.
        norm: The factors of `symnorm`, if it is among them.
        mean_of: The mean over the graph.
        sum_back: Sums back along the edges.
        max_grad: `max_grad(grad, out, minimum)`, the gradient of an extreme.
    """
    dtype = x.dtype
    grad, x, out = (t.to(computed_dtype(x)) for t in (grad, x, out))
    parts, outs = (
        dict(zip(reduces, t.tensor_split(len(reduces), 1), strict=True))
        for t in (grad, out)
    )
    weight = inverse_degree[:, None]
    linear: list[Tensor] = []  # A
    square: list[Tensor] = []  # C
    scaled: list[Tensor] = []  # S
    for name, part in parts.items():
        if name == "sum":
            linear.append(part)
        elif name == "mean":
            linear.append(weight * part)
        elif name == "symnorm":
            assert norm is not None
            scaled.append(norm[:, None] * part)
        elif name == "var":
            square.append(2 * weight * part)
        elif name == "std":
            std = outs[name]
            inner = torch.where(std > 0, std, 1)
            square.append(torch.where(std == 0, 0, weight * part / inner))
    factors: list[Tensor | None] = []  # of the sources, for each sum
    sums: list[Tensor] = []
    if square:
        by_square = torch.stack(square).sum(0)
        mean = outs["mean"] if "mean" in outs else mean_of(x)
        linear.append(-by_square * mean)
        factors, sums = [x], [by_square]
    if linear:
        factors, sums = [*factors, None], [*sums, torch.stack(linear).sum(0)]
    if scaled:
        assert norm is not None
        factors.append(norm[:, None])
        sums += scaled
    result = torch.zeros_like(x)
    if sums:
        back = sum_back(torch.cat(sums, 1)).tensor_split(len(sums), 1)
        for factor, part in zip(factors, back, strict=True):
            result = result + (part if factor is None else factor * part)
    for name in ("max", "min"):
        if name in parts:
            result = result + max_grad(parts[name], outs[name], name == "min")
    return result.to(dtype)

"""The gradient of several reductions at once."""

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_hag._plan import inverse_degree, symmetric_norm
from pyg_hag.hag import HAG
from pyg_hag.ops._compute import computed_dtype


def many_grads(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    hag: HAG,
    reduces: tuple[str, ...],
    over: Callable[[Tensor, bool, bool], Tensor],
    max_grad: Callable[[Tensor, Tensor, bool], Tensor],
) -> Tensor:
    r"""The gradient of :func:`compute_many` with respect to x.

    Moments give each source :math:`A_v + C_v x_u`, and `symnorm` :math:`s_u S_v`,
    summed over its destinations v in one pass. `over(x, mean, turned)` sums over the
    HAG, `max_grad(grad, out, minimum)` is the gradient of an extreme.
    """
    dtype = x.dtype
    grad, x, out = (t.to(computed_dtype(x)) for t in (grad, x, out))
    parts, outs = (
        dict(zip(reduces, t.tensor_split(len(reduces), 1), strict=True))
        for t in (grad, out)
    )
    weight = inverse_degree(hag, x.dtype)[:, None]
    linear: list[Tensor] = []  # A
    square: list[Tensor] = []  # C
    scaled: list[Tensor] = []  # S
    for name, part in parts.items():
        if name == "sum":
            linear.append(part)
        elif name == "mean":
            linear.append(weight * part)
        elif name == "symnorm":
            scaled.append(symmetric_norm(hag, x.dtype)[:, None] * part)
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
        mean = outs["mean"] if "mean" in outs else over(x, True, False)
        linear.append(-by_square * mean)
        factors, sums = [x], [by_square]
    if linear:
        factors, sums = [*factors, None], [*sums, torch.stack(linear).sum(0)]
    if scaled:
        factors.append(symmetric_norm(hag, x.dtype)[:, None])
        sums += scaled
    result = torch.zeros_like(x)
    if sums:
        back = over(torch.cat(sums, 1), False, True).tensor_split(len(sums), 1)
        for factor, part in zip(factors, back, strict=True):
            result = result + (part if factor is None else factor * part)
    for name in ("max", "min"):
        if name in parts:
            result = result + max_grad(parts[name], outs[name], name == "min")
    return result.to(dtype)

"""The gradient of several reductions at once."""

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_hag._plan import inverse_degree
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

    Moments give each source :math:`A_v + C_v x_u`, summed over its destinations v;
    `over(x, mean, turned)` sums over the HAG, `max_grad(grad, out, minimum)` is the
    gradient of an extreme.
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
    for name, part in parts.items():
        if name == "sum":
            linear.append(part)
        elif name == "mean":
            linear.append(weight * part)
        elif name == "var":
            square.append(2 * weight * part)
        elif name == "std":
            std = outs[name]
            inner = torch.where(std > 0, std, 1)
            square.append(torch.where(std == 0, 0, weight * part / inner))
    result = torch.zeros_like(x)
    if square:
        by_square = torch.stack(square).sum(0)
        mean = outs["mean"] if "mean" in outs else over(x, True, False)
        linear.append(-by_square * mean)
        both = torch.cat([torch.stack(linear).sum(0), by_square], 1)
        by_linear, by_square = over(both, False, True).chunk(2, 1)
        result = by_linear + x * by_square
    elif linear:
        result = over(torch.stack(linear).sum(0), False, True)
    for name in ("max", "min"):
        if name in parts:
            result = result + max_grad(parts[name], outs[name], name == "min")
    return result.to(dtype)

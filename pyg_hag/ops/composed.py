"""Several reductions made of single ones, where no kernel makes them in one pass."""

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_hag.ops.reductions import MIN_VARIANCE


def composed(
    x: Tensor,
    reduces: tuple[str, ...],
    sum_of: Callable[[Tensor, Tensor | None], Tensor],
    max_of: Callable[[Tensor, bool], Tensor],
    inverse_degree: Tensor,
    norm: Tensor | None,
) -> Tensor:
    """The reductions of x `[N, F]` one by one, side by side.

    Args:
        x: Features.
        reduces: Which.
        sum_of: `sum_of(x, weight)` sums over the graph, with a weight per destination.
        max_of: `max_of(x, minimum)` is the largest or smallest.
        inverse_degree: The weights of means, `[num_dst]`.
        norm: The factors of `symnorm`, `[num_dst]`, if it is among them.
    """
    known = []
    for name in reduces:
        if name in ("max", "min"):
            known.append(max_of(x, name == "min"))
        elif name in ("sum", "mean"):
            known.append(sum_of(x, inverse_degree if name == "mean" else None))
        elif name == "symnorm":
            assert norm is not None
            factor = norm[:, None].to(x.dtype)
            known.append(factor * sum_of(factor * x, None))
        else:
            mean = sum_of(x, inverse_degree)
            var = sum_of(x * x, inverse_degree) - mean * mean
            known.append(var if name == "var" else _deviation(var))
    return torch.cat(known, 1)


def _deviation(var: Tensor) -> Tensor:
    std = var.clamp(min=MIN_VARIANCE).sqrt()
    return std.masked_fill(std <= MIN_VARIANCE**0.5, 0.0)

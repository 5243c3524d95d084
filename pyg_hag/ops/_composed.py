"""Several reductions made of single ones, where no kernel makes them in one pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LEAST_VARIANCE = 1e-5
"""Up to which the standard deviation is 0, as in PyG."""


def composed(
    x: Tensor,
    reduces: tuple[str, ...],
    sum_of: Callable[[Tensor, bool], Tensor],
    max_of: Callable[[Tensor, bool], Tensor],
    norm: Tensor | None,
) -> Tensor:
    """The reductions one by one, side by side.

    `sum_of(x, mean)` and `max_of(x, minimum)` reduce over the graph; `norm` has the
    factors of `symnorm`.
    """
    known = []
    for name in reduces:
        if name in ("max", "min"):
            known.append(max_of(x, name == "min"))
        elif name in ("sum", "mean"):
            known.append(sum_of(x, name == "mean"))
        elif name == "symnorm":
            assert norm is not None
            factor = norm[:, None].to(x.dtype)
            known.append(factor * sum_of(factor * x, False))
        else:
            mean = sum_of(x, True)
            var = sum_of(x * x, True) - mean * mean
            known.append(var if name == "var" else _deviation(var))
    return torch.cat(known, 1)


def many_of(
    aggregate_sum: Callable[..., Tensor], aggregate_max: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    """The `aggregate_many` of a backend that reduces one way at a time."""

    def aggregate_many(
        x: Tensor,
        inverse_degree: Tensor,
        norm: Tensor | None,
        hag: Any,
        results: tuple[str, ...],
    ) -> Tensor:
        """Several reductions of x of shape [N, F], side by side."""

        def sum_of(x: Tensor, mean: bool) -> Tensor:
            return aggregate_sum(x, None, inverse_degree if mean else None, None, hag)

        def max_of(x: Tensor, minimum: bool) -> Tensor:
            return aggregate_max(x, hag, minimum)

        return composed(x, results, sum_of, max_of, norm)

    return aggregate_many


def _deviation(var: Tensor) -> Tensor:
    std = var.clamp(min=LEAST_VARIANCE).sqrt()
    return std.masked_fill(std <= LEAST_VARIANCE**0.5, 0.0)

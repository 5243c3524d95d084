"""Reductions of features that are no real numbers in floating point.

Integers are summed as integers, exactly; what PyG makes a float of them is one here,
too.
Complex numbers are pairs of real ones.
"""

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.ops.autograd import max_over, sum_over
from pyg_hag.ops.reductions import MIN_VARIANCE


def aggregate_integers(
    x: Tensor, hag: AbstractHAG, reduce: str, backend: str
) -> Tensor:
    """One reduction of integers or truth values, in the dtypes of PyG.

    Sums, maxima and minima keep the dtype of `x`, and sums wrap around where they do
    not fit into it; others are floats, of sums that are made in the dtype of `x`. The
    sum of truth values is whether one of them is true.

    Args:
        x: Shape `[num_src, *]`.
        hag: The graph.
        reduce: A reduction but `"symnorm"`.
        backend: Runs maxima and minima of truth values, and is checked.
    """
    if reduce in ("max", "min") and x.dtype == torch.bool:
        return max_over(x.byte(), hag, reduce == "min", backend).bool()
    if reduce in ("max", "min"):
        return max_over(x, hag, reduce == "min", backend)
    if reduce == "sum":
        return _sum(x, hag, backend)
    mean = _mean(x, hag, backend)
    if reduce == "mean":
        return mean
    squares = x if x.dtype == torch.bool else x * x
    variance = _mean(squares, hag, backend) - mean * mean
    if reduce == "var":
        return variance
    deviation = variance.clamp(min=MIN_VARIANCE).sqrt()
    return deviation.masked_fill(deviation <= MIN_VARIANCE**0.5, 0.0)


def _sum(x: Tensor, hag: AbstractHAG, backend: str) -> Tensor:
    none = None, None, None
    if x.dtype != torch.bool:
        return sum_over(x, none, hag, False, backend)
    return sum_over(x.int(), none, hag, False, backend) != 0


def _mean(x: Tensor, hag: AbstractHAG, backend: str) -> Tensor:
    total = _sum(x, hag, backend)
    if x.dtype == torch.bool:
        return total / torch.ones_like(total)
    count = hag.in_degree.to(x.dtype).clamp(min=1)
    return total / count.view(-1, *[1] * (x.dim() - 1))


def to_reals(x: Tensor) -> Tensor:
    """Complex numbers as pairs of real ones: `[num_src, *]` to `[num_src, *, 2]`."""
    return torch.view_as_real(x.resolve_conj())


def to_complex(x: Tensor) -> Tensor:
    """The inverse of :func:`to_reals`."""
    return torch.view_as_complex(x.contiguous())

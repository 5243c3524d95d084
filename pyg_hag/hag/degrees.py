"""Factors of means and of symmetric norms, computed once per HAG.

In compiled code they are computed from the output of an operator.
"""

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.hag.memo import once_per_hag


def inverse_degree(hag: AbstractHAG, dtype: torch.dtype) -> Tensor:
    """The factors of a mean: one over the in-degree, or 1 for isolated destinations.

    Args:
        hag: The graph.
        dtype: The dtype of the factors.

    Returns:
        Shape `[num_dst]`.
    """
    if torch.compiler.is_compiling():
        return _inverse(hag.in_degree, dtype)
    return _kept_inverse(hag, dtype)


def symmetric_norm(hag: AbstractHAG, dtype: torch.dtype) -> Tensor:
    """One over the square root of the in-degree; 0 for isolated destinations.

    Args:
        hag: The graph.
        dtype: The dtype of the factors.

    Returns:
        Shape `[num_dst]`.
    """
    if torch.compiler.is_compiling():
        return _norm(hag.in_degree, dtype)
    return _kept_norm(hag, dtype)


def _inverse(degree: Tensor, dtype: torch.dtype) -> Tensor:
    return degree.clamp(min=1).to(dtype).reciprocal()


def _norm(degree: Tensor, dtype: torch.dtype) -> Tensor:
    return _inverse(degree, dtype).sqrt().masked_fill(degree == 0, 0)


@once_per_hag
def _kept_inverse(hag: AbstractHAG, dtype: torch.dtype) -> Tensor:
    return _inverse(hag.in_degree, dtype)


@once_per_hag
def _kept_norm(hag: AbstractHAG, dtype: torch.dtype) -> Tensor:
    return _norm(hag.in_degree, dtype)

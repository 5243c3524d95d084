"""Reductions over HAGs of which several paths are one edge."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.hag.degrees import inverse_degree
from pyg_hag.utils.tensors import computed_dtype

EXTREMES = frozenset(("max", "min"))
"""The reductions over a cover: in which it makes no difference how often one is met."""
SUMS = frozenset(("sum", "mean"))
"""The reductions over a HAG that counts paths."""
NOT_OVER_COVERS = (
    "is a cover, in which several paths may lead from one source to a destination: "
    "only max and min are the same; build it with reduce='sum'"
)


def check_paths(names: Any, hag: AbstractHAG) -> None:
    """Checks that reductions over the paths of a HAG are those of its graph.

    Args:
        names: The reductions.
        hag: The graph.

    Raises:
        ValueError: If one of them is not.
    """
    if hag.is_cover and not {*names} <= EXTREMES:
        raise ValueError(f"'hag' {NOT_OVER_COVERS} (got 'reduce' {[*names]})")
    if hag.is_count and not {*names} <= SUMS:
        raise ValueError(
            f"'reduce' must be sum or mean over a HAG that counts paths (got "
            f"{[*names]}): use 'hag.unweighted', in which each path is an edge, or "
            f"build it without weights"
        )


def over_paths(
    x: Tensor, hag: AbstractHAG, reduce: str, dst_scale: Tensor | None
) -> tuple[AbstractHAG, str, Tensor | None]:
    """The same reduction over the HAG in which each path is an edge.

    Args:
        x: The features.
        hag: A graph that :func:`check_paths` allows.
        reduce: The reduction.
        dst_scale: The factors of the destinations.

    Returns:
        The HAG, the reduction over it, and the factors of the destinations.
    """
    if reduce != "mean":
        return hag.unweighted, reduce, dst_scale
    inverse = inverse_degree(hag, _dtype_of_factors(x))
    scale = inverse if dst_scale is None else inverse * dst_scale
    return hag.unweighted, "sum", scale


def _dtype_of_factors(x: Tensor) -> torch.dtype:
    if x.is_complex():
        return x.real.dtype
    return computed_dtype(x) if x.is_floating_point() else torch.get_default_dtype()

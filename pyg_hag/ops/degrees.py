"""Degrees of a HAG's graph, also inside compiled code."""

import torch
from torch import Tensor

from pyg_hag.hag import HAG


def degrees(hag: HAG) -> tuple[Tensor, Tensor]:
    """Number of edges into each destination, and how many of them are self-loops.

    Args:
        hag (HAG): The graph, with as many sources as destinations.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Two int64 tensors of shape `[num_dst]`.
    """
    if torch.compiler.is_compiling():
        return _degrees(hag.tensors, hag.num_src)
    return hag.in_degree, hag.self_loops


@torch.library.custom_op("pyg_hag::degrees", mutates_args=())
def _degrees(tensors: list[Tensor], num_src: int) -> tuple[Tensor, Tensor]:
    hag = HAG._of(num_src, tensors)
    return hag.in_degree.clone(), hag.self_loops.clone()


@_degrees.register_fake
def _(tensors: list[Tensor], num_src: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(tensors[4]), torch.empty_like(tensors[4])

"""Degrees of a HAG's graph, and sums against its arrows, also in compiled code."""

import torch
from torch import Tensor

from pyg_hag._views import resolved, sizes
from pyg_hag.hag import HAG
from pyg_hag.ops._compute import fastest
from pyg_hag.ops._operators import sum_over


def degrees(hag: HAG) -> tuple[Tensor, Tensor]:
    """Number of edges into each destination, and how many of them are self-loops.

    Args:
        hag (HAG): The graph, with as many sources as destinations.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Two int64 tensors of shape `[num_dst]`.
    """
    if torch.compiler.is_compiling():
        return _degrees(*hag._handle)
    return hag.in_degree, hag.self_loops


def in_degree(hag: HAG, turned: bool = False) -> Tensor:
    """Number of edges into each destination, or out of each source.

    Args:
        hag (HAG): The graph.
        turned (bool): Whether sources are asked for.

    Returns:
        torch.Tensor: int64 of shape `[num_dst]`, or `[num_src]`.
    """
    if torch.compiler.is_compiling():
        return _in_degree(*hag._handle, turned)
    return (hag._turned() if turned else hag).in_degree


def sum_back(x: Tensor, hag: HAG, src_scale: Tensor | None = None) -> Tensor:
    """Sums over the edges out of each source: `aggregate(x, hag.t())`.

    Args:
        x (torch.Tensor): Features of the destinations, `[num_dst, *]`.
        hag (HAG): The graph.
        src_scale (torch.Tensor, optional): Factors of the sums, `[num_src]`.
    """
    none = None, src_scale, None
    return sum_over(x, none, hag, False, True, fastest(x.device.type))


@torch.library.custom_op("pyg_hag::degrees", mutates_args=())
def _degrees(tensors: list[Tensor], num_src: int, view: str) -> tuple[Tensor, Tensor]:
    hag = resolved(tensors, num_src, view)
    return hag.in_degree.clone(), hag.self_loops.clone()


@_degrees.register_fake
def _(tensors: list[Tensor], num_src: int, view: str) -> tuple[Tensor, Tensor]:
    size = sizes(tensors, num_src, view)[1]
    return tensors[0].new_empty(size), tensors[0].new_empty(size)


@torch.library.custom_op("pyg_hag::in_degree", mutates_args=())
def _in_degree(tensors: list[Tensor], num_src: int, view: str, turned: bool) -> Tensor:
    hag = resolved(tensors, num_src, view)
    return (hag._turned() if turned else hag).in_degree.clone()


@_in_degree.register_fake
def _(tensors: list[Tensor], num_src: int, view: str, turned: bool) -> Tensor:
    num_src, num_dst = sizes(tensors, num_src, view)
    return tensors[0].new_empty(num_src if turned else num_dst)


@torch.library.custom_op("pyg_hag::added_loops", mutates_args=())
def added_loops(tensors: list[Tensor], num_src: int, view: str) -> Tensor:
    """The self-loops that :meth:`pyg_hag.HAG.closed` adds."""
    return resolved(tensors, num_src, view).closed()[1].clone()


@added_loops.register_fake
def _(tensors: list[Tensor], num_src: int, view: str) -> Tensor:
    return tensors[0].new_empty(sizes(tensors, num_src, view)[1])

"""`torch.library` operators for the properties of a HAG, which compiled code calls.

They take a :data:`~pyg_hag.hag.abstract.Handle`: flat tensors, by which the HAG that
owns them is found with the results kept on it, and the views to take of it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_hag.hag.abstract import TensorList
from pyg_hag.hag.container import HAG
from pyg_hag.hag.edge_weights import EdgeWeights
from pyg_hag.hag.symbolic import REVERSING

_DST = 4
"""The index of `dst` among the tensors of a HAG."""


def resolve(tensors: Sequence[Tensor], num_src: int, views: str) -> HAG:
    """The HAG of a handle, for the implementation of operators."""
    hag = HAG.from_tensors(num_src, tensors)
    for view in views.split(".")[:-1]:
        hag = hag.closed()[0] if view == "closed" else getattr(hag, view)()
    return hag


def sizes(tensors: Sequence[Tensor], num_src: int, views: str) -> tuple[int, int]:
    """The numbers of sources and destinations of a handle, for fake operators."""
    num_dst = tensors[_DST].size(0)
    reversals = sum(view in REVERSING for view in views.split("."))
    return (num_dst, num_src) if reversals % 2 else (num_src, num_dst)


def _per_destination(tensors: TensorList, num_src: int, views: str) -> Tensor:
    return tensors[0].new_empty(sizes(tensors, num_src, views)[1])


@torch.library.custom_op("pyg_hag::in_degree", mutates_args=())
def in_degree(tensors: TensorList, num_src: int, views: str) -> Tensor:
    """Number of edges into each destination."""
    return resolve(tensors, num_src, views).in_degree.clone()


@torch.library.custom_op("pyg_hag::self_loops", mutates_args=())
def self_loops(tensors: TensorList, num_src: int, views: str) -> Tensor:
    """Number of self-loops of each node."""
    return resolve(tensors, num_src, views).self_loops.clone()


@torch.library.custom_op("pyg_hag::edge_degree", mutates_args=())
def edge_degree(tensors: TensorList, num_src: int, views: str) -> Tensor:
    """Number of edges into each destination if all paths with the same ends are one."""
    return (
        resolve(tensors, num_src, views)
        .weighted_by(EdgeWeights.counts())
        .in_degree.clone()
    )


@torch.library.custom_op("pyg_hag::edge_loops", mutates_args=())
def edge_loops(tensors: TensorList, num_src: int, views: str) -> Tensor:
    """Number of self-loops of each node, likewise: 0 or 1."""
    return (
        resolve(tensors, num_src, views)
        .weighted_by(EdgeWeights.counts())
        .self_loops.clone()
    )


@torch.library.custom_op("pyg_hag::added_loops", mutates_args=())
def added_loops(tensors: TensorList, num_src: int, views: str) -> Tensor:
    """Number of self-loops that :meth:`pyg_hag.HAG.closed` adds to each node."""
    return resolve(tensors, num_src, views).closed()[1].clone()


for _operator in (in_degree, self_loops, edge_degree, edge_loops, added_loops):
    _operator.register_fake(_per_destination)

"""Checks of edges."""

import torch
from torch import Tensor

from pyg_hag.utils.tensors import as_int64, ends

MAX_NODES = 2**31 - 1  # kernels and the search use 32-bit node numbers

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_edge_index(edge_index: object, size: tuple[int, int]) -> Tensor:
    """Checks an `edge_index` of a graph of `(num_src, num_dst)` nodes.

    Returns:
        The edges as int64, `[2, num_edges]`.
    """
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"'edge_index' must be an integer tensor of shape [2, num_edges] (got "
            f"{type(edge_index).__name__})"
        )
    if edge_index.dtype not in _INTEGERS:
        raise TypeError(f"'edge_index' must hold integers (got {edge_index.dtype})")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        turned = edge_index.dim() == 2 and edge_index.size(1) == 2
        advice = ": pass 'edge_index.t()'" if turned else ""
        raise ValueError(
            f"'edge_index' must have shape [2, num_edges] (got "
            f"{list(edge_index.shape)}){advice}"
        )
    if edge_index.is_meta:
        raise ValueError(
            "'edge_index' is on the device 'meta', which holds no values: load it onto "
            "a real device first"
        )
    edge_index = as_int64(edge_index.detach())
    if edge_index.numel() == 0:
        return edge_index
    for row, name in enumerate(("source", "destination")):
        limit = size[row]
        low, high = ends(edge_index[row])
        if low < 0:
            raise ValueError(
                f"'edge_index' has {name} {low}, but nodes are numbered from 0: remove "
                f"the edges that are only padding"
            )
        if high >= limit:
            raise ValueError(
                f"'edge_index' has {name} {high}, but there are "
                f"{limit} {name}s (0 to {limit - 1}): pass 'num_nodes' or 'size'"
            )
    return edge_index

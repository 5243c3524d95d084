"""The normalisations of PyG's layers: that of GCN, and Laplacians."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag.hag import AbstractHAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.nn.mixins.adjacency import Adjacency, total_weight
from pyg_hag.ops import aggregate

KEPT, REPLACED, ADDED = "kept", "replaced", "added"


def loop_rule(hag: AbstractHAG, edge_weight: Tensor | None) -> str:
    """What PyG's `gcn_norm` does with the self-loops of a weighted graph.

    A node keeps its last one; those of a `torch_sparse.SparseTensor` are replaced, and
    to those of a sparse tensor of PyTorch another one is added. All paths from a node
    to itself are one self-loop if the HAG counts paths.
    """
    if edge_weight is not None or hag.weights is None or hag.of_paths:
        return KEPT
    return REPLACED if hag.weights.is_optional else ADDED


def gcn_normalized(
    adjacency: Adjacency,
    add_self_loops: bool,
    fill: float,
    dtype: torch.dtype,
    rule: str = KEPT,
) -> Adjacency:
    r"""The normalisation of GCN: :math:`\hat D^{-1/2} \hat A \hat D^{-1/2}`.

    Args:
        adjacency (Adjacency): A graph with equally many sources and destinations.
        add_self_loops (bool): Whether to add missing self-loops. If a node has several,
            only the last one is kept, as in PyG.
        fill (float): Weight of an added self-loop in a weighted graph.
        dtype (torch.dtype): Dtype of the factors.
        rule (str): See :func:`loop_rule`.
    """
    hag, a, *_, weight = adjacency
    if a is None and weight is None and not torch.compiler.is_compiling():
        scale, self_scale = _unweighted_gcn_scales(hag, add_self_loops, fill, dtype)
        return Adjacency(hag, scale, scale, self_scale)
    if weight is not None and add_self_loops and rule != ADDED:
        weight = _with_loops(adjacency, rule)
        adjacency = Adjacency(*adjacency[:-1], weight)
    scales = _gcn_scales(adjacency, add_self_loops, fill, dtype, rule)
    return Adjacency(hag, *scales, weight)


@once_per_hag
def _unweighted_gcn_scales(
    hag: AbstractHAG, add_self_loops: bool, fill: float, dtype: torch.dtype
) -> Any:
    scale, _, self_scale = _gcn_scales(Adjacency(hag), add_self_loops, fill, dtype)
    if self_scale is not None and not bool(self_scale.any()):
        self_scale = None
    return scale, self_scale


def _gcn_scales(
    adjacency: Adjacency,
    add_self_loops: bool,
    fill: float,
    dtype: torch.dtype,
    rule: str = KEPT,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scales of the sources, of the destinations, and of each node itself."""
    hag, a, b, _, weight = adjacency
    if a is None and weight is None and not hag.is_count:
        fill = 1.0  # all edges have the weight 1, including added ones
    total = total_weight(adjacency, dtype)
    missing = None
    if add_self_loops:  # every node then has exactly one
        missing = _missing_loops(adjacency, fill, dtype, rule)
        total = total + missing
    scale = total.pow(-0.5)
    scale = scale.masked_fill(scale == torch.inf, 0.0)
    loop = None if missing is None else missing * scale * scale
    if a is None or b is None:
        return scale, scale, loop
    return scale * a, scale * b, loop


def _with_loops(adjacency: Adjacency, rule: str) -> Tensor:
    """The weight of each edge, 0 for the self-loops that do not stay."""
    hag, *_, weight = adjacency
    assert weight is not None
    loop, number, dst, last = _last_loops(hag)
    if rule != KEPT:
        return torch.where(loop, 0, weight)
    kept = loop & (last[dst] == number)
    out = torch.where(loop & ~kept, 0, weight)
    if not (weight.requires_grad and torch.is_grad_enabled()):
        return out
    # In PyG, gradients reach all loops of a node, of which the last one is kept.
    none = weight.new_zeros(hag.num_dst + 1)
    loops = none.index_put((torch.where(loop, dst, hag.num_dst),), weight)
    return torch.where(kept, loops[dst], out)


def _last_loops(hag: AbstractHAG) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which edges are self-loops, their numbers and ends, and each node's last loop.

    That of a node without self-loops is -1.
    """
    src, dst = hag.edge_index_in_order("edge_weight")
    number = torch.arange(src.numel(), device=src.device)
    loop, dst = src == dst, dst.long()
    none = torch.full((hag.num_dst,), -1, device=src.device)
    last = none.scatter_reduce(0, dst, torch.where(loop, number, -1), "amax")
    return loop, number, dst, last


def _missing_loops(
    adjacency: Adjacency, fill: float, dtype: torch.dtype, rule: str
) -> Tensor:
    """What the self-loops of each node must weigh more, after :func:`_with_loops`."""
    hag, a, b, _, weight = adjacency
    if rule == ADDED:
        return torch.full((hag.num_dst,), fill, dtype=dtype, device=hag.device)
    if weight is not None:
        stays = _last_loops(hag)[-1] >= 0 if rule == KEPT else False
        ones = torch.ones(hag.num_dst, dtype=dtype, device=hag.device)
        return torch.where(torch.as_tensor(stays, device=hag.device), 0, fill * ones)
    count = hag.self_loops
    each = torch.ones_like(count, dtype=dtype)
    # In a HAG that counts paths, there is at most one loop, which keeps its weight.
    if a is not None and b is not None:  # all loops of a node weigh the same
        each = (a * b).to(dtype)
    if rule == REPLACED:
        return fill - count * each
    return torch.where(count > 0, (1 - count) * each, fill)


class Laplacian(NamedTuple):
    """A Laplacian without the self-loops of the graph."""

    adjacency: Adjacency
    """The entries off the diagonal, with the opposite sign."""
    diagonal: Tensor
    """The entries of the diagonal, `[num_nodes]`."""
    loops: Tensor | None
    """What the self-loops that are still in the graph add to each node."""

    is_weighted: bool
    """Whether entries off the diagonal may be positive."""

    def max(self) -> Tensor:
        """The largest entry."""
        largest = self.diagonal.max()
        hag, a, b, _, weight = self.adjacency
        if a is None or b is None or not self.is_weighted or hag.num_edges == 0:
            return largest
        src, dst = hag.edge_index_of_any_order()
        entries = -a[src] * b[dst]
        if weight is not None:
            entries = entries * weight
        return torch.maximum(largest, entries.max())


def laplacian(
    adjacency: Adjacency, normalization: str | None, dtype: torch.dtype
) -> Laplacian:
    r"""The Laplacian of the graph without its self-loops.

    :math:`\mathbf{D} - \mathbf{A}`, :math:`\mathbf{I} - \mathbf{D}^{-1/2} \mathbf{A}
    \mathbf{D}^{-1/2}` (`"sym"`) or :math:`\mathbf{I} - \mathbf{D}^{-1} \mathbf{A}`
    (`"rw"`).

    Args:
        adjacency (Adjacency): A graph with equally many sources and destinations.
        normalization (str, optional): None, `"sym"` or `"rw"`.
        dtype (torch.dtype): Dtype of the result.
    """
    hag, a, b, _, weight = adjacency
    if hag.is_count:
        hag = hag.unweighted  # a Laplacian adds the weights of edges with the same ends
    loops = None
    if weight is not None:
        src, dst = hag.edge_index_in_order("edge_weight")
        weight = torch.where(src == dst, 0, weight)
        degree = total_weight(Adjacency(hag.t(), edge_weight=weight), dtype)
    elif a is not None and b is not None:  # a loop may outweigh all other edges
        hag = hag.without_self_loops()
        degree = aggregate(b.to(dtype), hag.t(), dst_scale=a)
    else:
        if not torch.compiler.is_compiling() and bool((hag.self_loops > 1).any()):
            hag = hag.without_self_loops()
        degree = (hag.transposed().in_degree - hag.self_loops).to(dtype)
        loops = hag.self_loops.to(dtype)
    one = torch.ones_like(degree)
    src_scale, dst_scale, diagonal = one, one, degree
    if normalization is not None:
        scale = degree.pow(-0.5 if normalization == "sym" else -1.0)
        src_scale = scale.masked_fill(scale == torch.inf, 0.0)
        dst_scale = src_scale if normalization == "sym" else one
        diagonal = one
    if loops is not None:
        loops = loops * src_scale * dst_scale
    if a is not None and b is not None:
        src_scale, dst_scale = src_scale * a, dst_scale * b
    entries = Adjacency(hag, src_scale, dst_scale, None, weight)
    return Laplacian(entries, diagonal, loops, loops is None)

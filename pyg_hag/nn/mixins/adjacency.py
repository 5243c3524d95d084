"""Weighted graphs whose sums can be shared, and the normalisations of PyG's layers."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag.graph import weights
from pyg_hag.hag import AbstractHAG
from pyg_hag.hag.memo import Latest, once_per_hag
from pyg_hag.ops import aggregate
from pyg_hag.ops.weighted import check_weights, weighted_sum


class Adjacency(NamedTuple):
    r"""A graph whose edge from u to v has the weight :math:`a_u b_v`.

    The matrix :math:`\mathrm{diag}(b) \mathbf{A} \mathrm{diag}(a) + \mathrm{diag}(c)`;
    missing factors are 1, a missing :math:`c` is 0. In a graph without aggregates, each
    edge may have another factor of its own.

    Attributes:
        hag (HAG): The graph, in the direction of the messages.
        src_scale (torch.Tensor, optional): The factors a, `[num_src]`.
        dst_scale (torch.Tensor, optional): The factors b, `[num_dst]`.
        self_scale (torch.Tensor, optional): The weights c of each node itself.
        edge_weight (torch.Tensor, optional): A factor for each edge, `[num_edges]`.
    """

    hag: AbstractHAG
    src_scale: Tensor | None = None
    dst_scale: Tensor | None = None
    self_scale: Tensor | None = None
    edge_weight: Tensor | None = None


_PLAIN = (
    "use a graph without aggregates, by 'HAGTransform(weights=\"plain\")' or "
    "'build_hag(capacity=0)', or pass 'edge_index'"
)


def weighted_adjacency(
    hag: AbstractHAG, edge_weight: Tensor | None, name: str
) -> Adjacency:
    """The graph with weights of its edges.

    They must be products of a source factor and a destination factor, unless the graph
    has no aggregates.

    Args:
        hag (HAG): The graph, which must know the order of its edges.
        edge_weight (torch.Tensor, optional): A weight for each of its edges.
        name (str): Name of the layer, for errors.

    Raises:
        ValueError: If the weights do not match the edges, or if sums with them cannot
            be shared.
    """
    if edge_weight is None:
        return Adjacency(hag)
    if hag.num_aggregates == 0 and not hag.is_signed:
        check_weights(edge_weight, hag)
        return Adjacency(hag, edge_weight=edge_weight.flatten())
    if edge_weight.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"'edge_weight' of '{name}' requires a gradient for each edge, which "
            f"shared sums do not provide: {_PLAIN}"
        )
    edge_index = hag.edge_index_in_order("edge_weight")
    if edge_weight.numel() != edge_index.size(1):
        raise ValueError(
            f"'edge_weight' of '{name}' must have one weight for each of the "
            f"{edge_index.size(1)} edges (got shape {list(edge_weight.shape)})"
        )
    given = edge_weight, edge_index, hag.num_src, hag.num_dst, name
    if torch.compiler.is_compiling():  # factors are computed in every call
        return Adjacency(hag, *_factors_operator(*given))
    scales = _latest_factors(hag).of(edge_weight, lambda: _factors(*given))
    return Adjacency(hag, *scales)


@once_per_hag
def _latest_factors(hag: AbstractHAG) -> Latest:
    """The factors of the latest weights."""
    return Latest()


def _factors(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int, name: str
) -> tuple[Tensor, Tensor]:
    size = num_src, num_dst
    a, b, error = weights.factors_of(edge_index, edge_weight, size)
    if error:
        raise ValueError(
            f"'edge_weight' of '{name}' {error}, so sums cannot be shared: {_PLAIN}"
        )
    return a, b


@torch.library.custom_op("pyg_hag::edge_factors", mutates_args=())
def _factors_operator(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int, name: str
) -> tuple[Tensor, Tensor]:
    return _factors(edge_weight, edge_index, num_src, num_dst, name)


@_factors_operator.register_fake
def _(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int, name: str
) -> tuple[Tensor, Tensor]:
    return edge_weight.new_empty(num_src), edge_weight.new_empty(num_dst)


def gcn_normalized(
    adjacency: Adjacency, add_self_loops: bool, fill: float, dtype: torch.dtype
) -> Adjacency:
    r"""The normalisation of GCN: :math:`\hat D^{-1/2} \hat A \hat D^{-1/2}`.

    Args:
        adjacency (Adjacency): A graph with equally many sources and destinations.
        add_self_loops (bool): Whether to add missing self-loops. If a node has several,
            only the last one is kept, as in PyG.
        fill (float): Weight of an added self-loop in a weighted graph.
        dtype (torch.dtype): Dtype of the factors.
    """
    hag, a, *_, weight = adjacency
    if a is None and weight is None and not torch.compiler.is_compiling():
        scale, self_scale = _unweighted_gcn_scales(hag, add_self_loops, fill, dtype)
        return Adjacency(hag, scale, scale, self_scale)
    return Adjacency(hag, *_gcn_scales(adjacency, add_self_loops, fill, dtype), weight)


@once_per_hag
def _unweighted_gcn_scales(
    hag: AbstractHAG, add_self_loops: bool, fill: float, dtype: torch.dtype
) -> Any:
    scale, _, self_scale = _gcn_scales(Adjacency(hag), add_self_loops, fill, dtype)
    if self_scale is not None and not bool(self_scale.any()):
        self_scale = None
    return scale, self_scale


def _gcn_scales(
    adjacency: Adjacency, add_self_loops: bool, fill: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scales of the sources, of the destinations, and of each node itself."""
    _, a, b, _, weight = adjacency
    if a is None and weight is None:
        fill = 1.0  # all edges have the weight 1, including added ones
    total = total_weight(adjacency, dtype)
    missing = None
    if add_self_loops:  # every node then has exactly one
        loop_weight, last, has_loop = _self_loops(adjacency, dtype)
        missing = torch.where(has_loop, last, fill) - loop_weight
        total = total + missing
    scale = total.pow(-0.5)
    scale = scale.masked_fill(scale == torch.inf, 0.0)
    loop = None if missing is None else missing * scale * scale
    if a is None or b is None:
        return scale, scale, loop
    return scale * a, scale * b, loop


def total_weight(adjacency: Adjacency, dtype: torch.dtype) -> Tensor:
    """The sum of the weights of the edges into each destination, `[num_dst]`."""
    hag, a, b, _, weight = adjacency
    if weight is not None:
        return weighted_sum(weight.new_ones(hag.num_src), weight, hag).to(dtype)
    if a is None or b is None:
        return hag.in_degree.to(dtype)
    return aggregate(a.to(dtype), hag, dst_scale=b)


def _self_loops(
    adjacency: Adjacency, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Self-loops of each node: their total weight, that of the last, and if any."""
    hag, a, b, _, weight = adjacency
    if weight is not None:
        src, dst = hag.edge_index_in_order("edge_weight")
        loop = src == dst
        none = weight.new_zeros(hag.num_dst)
        total = none.index_add(0, dst[loop], weight[loop])
        last = none.index_put((dst[loop],), weight[loop])
        has_loop = torch.zeros_like(none, dtype=torch.bool)
        has_loop = has_loop.index_fill(0, dst[loop], True)
        return total.to(dtype), last.to(dtype), has_loop
    count = hag.self_loops
    last = torch.ones_like(count, dtype=dtype)
    if a is not None and b is not None:
        last = (a * b).to(dtype)
    return count * last, last, count > 0


def laplacian(
    adjacency: Adjacency, normalization: str | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The Laplacian of the graph without its self-loops.

    :math:`\mathbf{D} - \mathbf{A}`, :math:`\mathbf{I} - \mathbf{D}^{-1/2} \mathbf{A}
    \mathbf{D}^{-1/2}` (`"sym"`) or :math:`\mathbf{I} - \mathbf{D}^{-1} \mathbf{A}`
    (`"rw"`).

    Args:
        adjacency (Adjacency): A graph with equally many sources and destinations.
        normalization (str, optional): None, `"sym"` or `"rw"`.
        dtype (torch.dtype): Dtype of the result.

    Returns:
        tuple: Factors a of the sources and b of the destinations: an entry off the
        diagonal is :math:`-a_u b_v`, times the edge's own weight if it has one; the
        diagonal; and the correction of the diagonal for self-loops, which a sum over
        the graph includes.
    """
    hag, a, b, _, weight = adjacency
    loops, _, _ = _self_loops(adjacency, dtype)
    if weight is not None:
        degree = total_weight(Adjacency(hag.t(), edge_weight=weight), dtype)
    elif a is None or b is None:
        degree = hag.transposed().in_degree.to(dtype)
    else:
        degree = aggregate(b.to(dtype), hag.transposed(), dst_scale=a)
    degree = degree - loops
    one = torch.ones_like(degree)
    src_scale, dst_scale, diagonal = one, one, degree
    if normalization is not None:
        scale = degree.pow(-0.5 if normalization == "sym" else -1.0)
        src_scale = scale.masked_fill(scale == torch.inf, 0.0)
        dst_scale = src_scale if normalization == "sym" else one
        diagonal = one
    loops = loops * src_scale * dst_scale
    if a is not None and b is not None:
        src_scale, dst_scale = src_scale * a, dst_scale * b
    return src_scale, dst_scale, diagonal, loops

"""Weighted graphs whose sums stay shareable, and the normalisations of PyG's layers."""

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag import _factor
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.ops.degrees import degrees, in_degree, sum_back
from pyg_hag.ops.weighted import check_weights, weighted_sum


class Adjacency(NamedTuple):
    r"""A graph whose edge from u to v weighs :math:`a_u b_v`.

    The matrix :math:`\mathrm{diag}(b) \mathbf{A} \mathrm{diag}(a) + \mathrm{diag}(c)`,
    with missing factors 1 and missing :math:`c` 0. The edges of a graph without
    aggregates may have weights of their own besides.
    """

    hag: HAG
    src_scale: Tensor | None = None
    dst_scale: Tensor | None = None
    self_scale: Tensor | None = None
    edge_weight: Tensor | None = None


_PLAIN = (
    "use a graph without aggregates, by 'HAGTransform(weights=\"plain\")' or "
    "'build_hag(capacity=0)', or pass 'edge_index'"
)


def weighted(hag: HAG, edge_weight: Tensor | None, name: str) -> Adjacency:
    """The graph with the weights of its edges.

    They must be products, unless the graph has no aggregates.

    Args:
        hag (HAG): The graph, which must know the order of its edges.
        edge_weight (torch.Tensor, optional): One weight for each of its edges.
        name (str): The layer, for errors.
    """
    if edge_weight is None:
        return Adjacency(hag)
    if hag.num_aggregates == 0 and not hag.is_signed:
        check_weights(edge_weight, hag)
        return Adjacency(hag, edge_weight=edge_weight.flatten())
    if edge_weight.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"'edge_weight' of '{name}' requires a gradient for each edge, which sums "
            f"that are shared do not have: {_PLAIN}"
        )
    edge_index = hag.edge_index_in_order("edge_weight")
    if edge_weight.numel() != edge_index.size(1):
        raise ValueError(
            f"'edge_weight' of '{name}' must have one weight for each of the "
            f"{edge_index.size(1)} edges (got shape {list(edge_weight.shape)})"
        )
    given = edge_weight, edge_index, hag.num_src, hag.num_dst, name
    if torch.compiler.is_compiling():  # which finds them anew in every call
        return Adjacency(hag, *_factors_operator(*given))
    cache: Any = hag._cache  # type: ignore[attr-defined]
    known = cache.get("weights")
    if known is not None and known[0]() is edge_weight:
        if known[1] == edge_weight._version:
            return Adjacency(hag, *known[2])
    scales = _factors(*given)
    cache["weights"] = weakref.ref(edge_weight), edge_weight._version, scales
    return Adjacency(hag, *scales)


def _factors(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int, name: str
) -> tuple[Tensor, Tensor]:
    size = num_src, num_dst
    a, b, wrong = _factor.factors_of(edge_index, edge_weight, size)
    if wrong:
        raise ValueError(
            f"'edge_weight' of '{name}' {wrong}, so that sums cannot be shared: "
            f"{_PLAIN}"
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
    adjacency: Adjacency, loops: bool, fill: float, dtype: torch.dtype
) -> Adjacency:
    r"""The normalisation of GCN: :math:`\hat D^{-1/2} \hat A \hat D^{-1/2}`.

    Args:
        adjacency (Adjacency): The graph, with as many sources as destinations.
        loops (bool): Whether a self-loop is added where there is none. Of several, one
            stays then.
        fill (float): Weight of such a self-loop.
        dtype (torch.dtype): That of the factors.
    """
    hag, a, *_, weight = adjacency
    if a is None and weight is None and not torch.compiler.is_compiling():
        key = f"gcn {loops} {fill} {dtype}"
        scale, own = hag._cached(key, lambda: _known(hag, loops, fill, dtype))
        return Adjacency(hag, scale, scale, own)
    return Adjacency(hag, *_gcn(adjacency, loops, fill, dtype), weight)


def _known(hag: HAG, loops: bool, fill: float, dtype: torch.dtype) -> Any:
    scale, _, own = _gcn(Adjacency(hag), loops, fill, dtype)
    return scale, own if own is not None and bool(own.any()) else None


def _gcn(
    graph: Adjacency, loops: bool, fill: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor | None]:
    _, a, b, _, weight = graph
    if a is None and weight is None:
        fill = 1.0  # all edges weigh 1, those that are added as well
    total = total_weight(graph, dtype)
    missing = None
    if loops:  # every node then has exactly one, however many there are
        together, last, present = _self_loops(graph, dtype)
        missing = torch.where(present, last, fill) - together
        total = total + missing
    scale = total.pow(-0.5)
    scale = scale.masked_fill(scale == torch.inf, 0.0)
    loop = None if missing is None else missing * scale * scale
    if a is None or b is None:
        return scale, scale, loop
    return scale * a, scale * b, loop


def total_weight(graph: Adjacency, dtype: torch.dtype) -> Tensor:
    """Sum of the weights of the edges into each destination."""
    hag, a, b, _, weight = graph
    if weight is not None:
        return weighted_sum(weight.new_ones(hag.num_src), weight, hag).to(dtype)
    if a is None or b is None:
        return in_degree(hag).to(dtype)
    return aggregate(a.to(dtype), hag, dst_scale=b)


def _self_loops(graph: Adjacency, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Weight of the self-loops of each node, of the last one, and if there is one."""
    hag, a, b, _, weight = graph
    if weight is not None:
        src, dst = hag.edge_index_in_order("edge_weight")
        loop = src == dst
        none = weight.new_zeros(hag.num_dst)
        together = none.index_add(0, dst[loop], weight[loop])
        last = none.index_put((dst[loop],), weight[loop])
        present = torch.zeros_like(none, dtype=torch.bool)
        present = present.index_fill(0, dst[loop], True)
        return together.to(dtype), last.to(dtype), present
    _, count = degrees(hag)
    last = torch.ones_like(count, dtype=dtype)
    if a is not None and b is not None:
        last = (a * b).to(dtype)
    return count * last, last, count > 0


def laplacian(
    graph: Adjacency, normalization: str | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The Laplacian of the graph without its self-loops.

    Returns:
        tuple: Factors of sources and destinations, of which minus the product (times
        the weight of an edge that has its own) is the weight of an edge; the diagonal;
        and how much of it makes up for the self-loops.
    """
    hag, a, b, _, weight = graph
    loops, _, _ = _self_loops(graph, dtype)
    if weight is not None:
        degree = total_weight(Adjacency(hag.t(), edge_weight=weight), dtype)
    elif a is None or b is None:
        degree = in_degree(hag, turned=True).to(dtype)
    else:
        degree = sum_back(b.to(dtype), hag, a)
    degree = degree - loops
    one = torch.ones_like(degree)
    before, after, diagonal = one, one, degree
    if normalization is not None:
        scale = degree.pow(-0.5 if normalization == "sym" else -1.0)
        before = scale.masked_fill(scale == torch.inf, 0.0)
        after = before if normalization == "sym" else one
        diagonal = one
    loops = loops * before * after
    if a is not None and b is not None:
        before, after = before * a, after * b
    return before, after, diagonal, loops

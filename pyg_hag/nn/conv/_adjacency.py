"""Weighted graphs whose sums stay shareable, and the normalisations of PyG's layers."""

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag import _factor
from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.ops.degrees import degrees, in_degree, sum_back


class Adjacency(NamedTuple):
    r"""A graph whose edge from u to v weighs :math:`a_u b_v`.

    The matrix :math:`\mathrm{diag}(b) \mathbf{A} \mathrm{diag}(a) + \mathrm{diag}(c)`,
    with missing factors 1 and missing :math:`c` 0.
    """

    hag: HAG
    src_scale: Tensor | None = None
    dst_scale: Tensor | None = None
    self_scale: Tensor | None = None


def weighted(hag: HAG, edge_weight: Tensor | None, name: str) -> Adjacency:
    """The graph with the weights of its edges, which must be products.

    Args:
        hag (HAG): The graph, which must know the order of its edges.
        edge_weight (torch.Tensor, optional): One weight for each of its edges.
        name (str): The layer, for errors.
    """
    if edge_weight is None:
        return Adjacency(hag)
    if edge_weight.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"'edge_weight' of '{name}' requires a gradient for each edge, which sums "
            f"that are shared do not have: pass 'edge_index' instead of the HAG, or "
            f"'edge_weight.detach()'"
        )
    edge_index = hag.edge_index_in_order("edge_weight")
    if edge_weight.numel() != edge_index.size(1):
        raise ValueError(
            f"'edge_weight' of '{name}' must have one weight for each of the "
            f"{edge_index.size(1)} edges (got shape {list(edge_weight.shape)})"
        )
    cache: Any = hag._cache  # type: ignore[attr-defined]
    known = cache.get("weights")
    if known is not None and known[0]() is edge_weight:
        if known[1] == edge_weight._version:
            return Adjacency(hag, *known[2])
    scales = _factors(hag, edge_index, edge_weight, name)
    cache["weights"] = weakref.ref(edge_weight), edge_weight._version, scales
    return Adjacency(hag, *scales)


def _factors(
    hag: HAG, edge_index: Tensor, edge_weight: Tensor, name: str
) -> tuple[Tensor, Tensor]:
    size = hag.num_src, hag.num_dst
    a, b, wrong = _factor.factors_of(edge_index, edge_weight, size)
    if wrong:
        raise ValueError(
            f"'edge_weight' of '{name}' {wrong}, so that sums cannot be shared: pass "
            f"'edge_index' instead of the HAG"
        )
    return a, b


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
    hag, a, b, _ = adjacency
    if a is None and not torch.compiler.is_compiling():
        key = f"gcn {loops} {fill} {dtype}"
        scale, own = hag._cached(key, lambda: _known(hag, loops, fill, dtype))
        return Adjacency(hag, scale, scale, own)
    return Adjacency(hag, *_gcn(hag, a, b, loops, fill, dtype))


def _known(hag: HAG, loops: bool, fill: float, dtype: torch.dtype) -> Any:
    scale, _, own = _gcn(hag, None, None, loops, fill, dtype)
    return scale, own if own is not None and bool(own.any()) else None


def _gcn(
    hag: HAG,
    a: Tensor | None,
    b: Tensor | None,
    loops: bool,
    fill: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor | None]:
    degree, present = degrees(hag)
    if a is None or b is None:
        total, own = degree.to(dtype), torch.ones_like(degree, dtype=dtype)
        fill = 1.0  # all edges weigh 1, those that are added as well
    else:
        total, own = aggregate(a.to(dtype), hag, dst_scale=b), (a * b).to(dtype)
    missing = None
    if loops:  # every node then has exactly one, however many there are
        missing = torch.where(present > 0, (1 - present) * own, fill)
        total = total + missing
    scale = total.pow(-0.5)
    scale = scale.masked_fill(scale == torch.inf, 0.0)
    loop = None if missing is None else missing * scale * scale
    if a is None or b is None:
        return scale, scale, loop
    return scale * a, scale * b, loop


def laplacian(
    adjacency: Adjacency, normalization: str | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The Laplacian of the graph without its self-loops.

    Returns:
        tuple: Factors of sources and destinations, of which minus the product is the
        weight of an edge; the diagonal; and how much of it makes up for the self-loops.
    """
    hag, a, b, _ = adjacency
    _, present = degrees(hag)
    out_degree = in_degree(hag, turned=True)
    loops = present.to(dtype)
    if a is None or b is None:
        degree = out_degree.to(dtype) - loops
        a = b = torch.ones_like(degree)
    else:
        degree = sum_back(b.to(dtype), hag, a) - loops * a * b
    if normalization is None:
        diagonal = degree
    else:
        power = -0.5 if normalization == "sym" else -1.0
        scale = degree.pow(power)
        scale = scale.masked_fill(scale == torch.inf, 0.0)
        a, b = a * scale, b * scale if normalization == "sym" else b
        diagonal = torch.ones_like(degree)
    return a, b, diagonal, loops * a * b

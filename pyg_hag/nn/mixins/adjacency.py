"""Weighted graphs whose sums can be shared."""

import functools
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hag.graph import weights
from pyg_hag.hag import AbstractHAG
from pyg_hag.hag.memo import Latest, once_per_hag
from pyg_hag.ops import aggregate
from pyg_hag.ops.edges import is_variable
from pyg_hag.ops.weighted import weighted_sum
from pyg_hag.utils.tensors import ordinary_tensors


class Adjacency(NamedTuple):
    r"""A graph whose edge from u to v has the weight :math:`a_u b_v`.

    The matrix :math:`\mathrm{diag}(b) \mathbf{A} \mathrm{diag}(a) + \mathrm{diag}(c)`;
    missing factors are 1, a missing :math:`c` is 0. In a graph without aggregates, each
    edge may have another factor of its own.

    Attributes:
        hag (HAG): The graph, in the direction of the messages. Without other weights
            it may count paths, or be a cover; `aggregate` knows what its edges are.
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


def weighted_adjacency(
    hag: AbstractHAG, edge_weight: Tensor | None, name: str, always: bool = False
) -> Adjacency:
    """The graph with weights of its edges, or with those that the HAG carries.

    Sums are shared if the weights are products of a source factor and a destination
    factor, and require no gradient. Otherwise the graph is used as it is, with one
    warning.

    Args:
        hag (HAG): The graph, which must know the order of its edges.
        edge_weight (torch.Tensor, optional): A weight for each of its edges.
        name (str): Name of the layer, for errors.
        always (bool): Whether to use factors where nothing is shared, too.

    Raises:
        ValueError: If the weights do not match the edges.
    """
    if edge_weight is None:
        carried = hag.weights
        if carried is None or carried.of_paths:
            return Adjacency(hag)
        a, b, edge_weight = carried[:3]
        if edge_weight is None:
            return Adjacency(hag.unweighted, a, b)
    if not hag.of_paths:  # whose edges have no order: else it is refused
        hag = hag.unweighted
    edge_weight = check_edge_weight(hag, edge_weight, name)
    is_plain = hag.num_aggregates == 0 and not hag.is_signed
    if is_plain and (not always or torch.compiler.is_compiling()):
        return Adjacency(hag, edge_weight=_floating(edge_weight))
    is_learned = edge_weight.requires_grad and torch.is_grad_enabled()
    if is_learned or is_variable(edge_weight):
        if not is_plain:
            _warn_of_unshared(name, "requires a gradient")
        return Adjacency(hag.without_aggregates(), edge_weight=_floating(edge_weight))
    edge_index = hag.edge_index_in_order("edge_weight")
    given = edge_weight, edge_index, hag.num_src, hag.num_dst
    if torch.compiler.is_compiling():  # factors are computed in every call
        return Adjacency(hag, *_factors_operator(*given, name))
    a, b, error = _latest_factors(hag).of(edge_weight, lambda: _factors(*given))
    if error:
        if not is_plain:
            _warn_of_unshared(name, error)
        return Adjacency(hag.without_aggregates(), edge_weight=_floating(edge_weight))
    return Adjacency(hag, a, b)


def _floating(weight: Tensor) -> Tensor:
    """Weights that are whole numbers or booleans in the default dtype."""
    return weight.to(weights.floating_dtype(weight))


def edges_of(hag: AbstractHAG, edge_weight: Any = None) -> tuple[Tensor, Any]:
    """The edges of a graph, and their weights: those given, or those it carries."""
    if edge_weight is not None:
        return hag.edge_index_in_order("edge_weight"), edge_weight
    return hag.edge_index_of_any_order(), hag.edge_weight_of_any_order()


def check_edge_weight(hag: AbstractHAG, edge_weight: Tensor, name: str) -> Tensor:
    """The weights as a vector, after checking that there is one for each edge."""
    num_edges = hag.edge_index_in_order("edge_weight").size(1)
    if edge_weight.numel() != num_edges or edge_weight.dim() not in (1, 2):
        raise ValueError(
            f"'edge_weight' of '{name}' must have one weight for each of the "
            f"{num_edges} edges (got shape {list(edge_weight.shape)})"
        )
    return edge_weight if edge_weight.dim() == 1 else edge_weight.view(-1)


def total_weight(adjacency: Adjacency, dtype: torch.dtype) -> Tensor:
    """The sum of the weights of the edges into each destination, `[num_dst]`."""
    hag, a, b, _, weight = adjacency
    if weight is not None:
        return weighted_sum(weight.new_ones(hag.num_src), weight, hag).to(dtype)
    if a is None or b is None:
        return hag.unweighted.in_degree.to(dtype)  # of paths, if it counts them
    return aggregate(a.to(dtype), hag, dst_scale=b)


@torch.compiler.assume_constant_result  # so that it also warns where this is compiled
def _warn_of_unshared(name: str, reason: str) -> None:
    _warn_once(name, reason.split(" (")[0])


@functools.cache
def _warn_once(name: str, reason: str) -> None:
    warnings.warn(
        f"'edge_weight' of '{name}' {reason}, so sums over this HAG are not shared: "
        f"'HAGTransform(capacity=0)' saves the search",
        stacklevel=2,
    )


@once_per_hag
def _latest_factors(hag: AbstractHAG) -> Latest:
    """The factors of the latest weights."""
    return Latest()


def _factors(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int
) -> tuple[Tensor, Tensor, str]:
    with ordinary_tensors():
        return weights.factors_of(edge_index, edge_weight, (num_src, num_dst))


@torch.library.custom_op("pyg_hag::edge_factors", mutates_args=())
def _factors_operator(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int, name: str
) -> tuple[Tensor, Tensor]:
    a, b, error = _factors(edge_weight, edge_index, num_src, num_dst)
    if error:
        raise ValueError(
            f"'edge_weight' of '{name}' {error}, so sums cannot be shared in compiled "
            f"code: use a HAG without aggregates, by 'HAGTransform(capacity=0)' or "
            f"'build_hag(capacity=0)'"
        )
    return a, b


@_factors_operator.register_fake
def _(
    edge_weight: Tensor, edge_index: Tensor, num_src: int, num_dst: int, name: str
) -> tuple[Tensor, Tensor]:
    dtype = weights.floating_dtype(edge_weight)
    sizes = num_src, num_dst
    a, b = (edge_weight.new_empty(size, dtype=dtype) for size in sizes)
    return a, b

"""PyG's aggregation modules over a HAG."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import aggr

from pyg_hag.nn.aggr import HAGLSTMAggregation
from pyg_hag.nn.mixins.adjacency import Adjacency
from pyg_hag.ops import aggregate
from pyg_hag.ops.weighted import weighted_sum
from pyg_hag.utils.tensors import per_row

_REDUCTIONS: dict[type, str] = {
    aggr.SumAggregation: "sum",
    aggr.MeanAggregation: "mean",
    aggr.MaxAggregation: "max",
    aggr.MinAggregation: "min",
    aggr.VarAggregation: "var",
    aggr.StdAggregation: "std",
}


def reduction_of(module: Any) -> str | None:
    """The reduction that an aggregation module of PyG computes, or None if unknown."""
    for base in type(module).__mro__:  # tracers derive classes
        if base in _REDUCTIONS:
            overridden = type(module).forward is not base.forward  # type: ignore[attr-defined]
            return None if overridden else _REDUCTIONS[base]
    return None


def unsupported_aggregation_reason(conv: Any) -> str | None:
    """Why the aggregation of a layer cannot use a HAG, or None if it can."""
    module = conv.aggr_module
    if isinstance(module, HAGLSTMAggregation):
        return None
    is_multi = isinstance(module, aggr.MultiAggregation)
    for part in module.aggrs if is_multi else [module]:
        name = reduction_of(part)
        if name is None:
            return (
                f"'aggr' must be one of {list(_REDUCTIONS.values())} on a HAG, or a "
                f"list of them (got {conv.aggr!r})"
            )
        moments = part.var_aggr if name == "std" else part
        if getattr(moments, "semi_grad", False):
            return f"'aggr' {name!r} with 'semi_grad' has a gradient of its own"
    return None


def unsupported_sum_reason(conv: Any) -> str | None:
    """Why a layer that needs a sum cannot use a HAG, or None if it can."""
    if reduction_of(conv.aggr_module) == "sum":
        return None
    return f"'aggr' must be 'add' on a HAG (got {conv.aggr!r})"


def run_aggregation(module: Any, x: Tensor, adjacency: Adjacency) -> Tensor:
    """Aggregates the weighted features of the sources.

    Args:
        module (Aggregation): One that :func:`unsupported_aggregation_reason` allows.
        x (torch.Tensor): Features of the sources, `[num_src, ...]`.
        adjacency (Adjacency): The graph and its weights.

    Returns:
        torch.Tensor: Features of the destinations, `[num_dst, ...]`.

    Raises:
        ValueError: If the aggregation cannot be combined with weights.
    """
    hag, a, b, self_scale, weight = adjacency
    if isinstance(module, HAGLSTMAggregation):
        if adjacency[1:] != (None, None, None, None):
            raise ValueError(
                "'edge_weight' cannot be used with an LSTM over neighbours: leave it "
                "out"
            )
        return module(x, hag)
    reduce = reduction_of(module)
    if weight is not None and reduce in ("sum", "mean"):
        return _sum_with_edge_weights(reduce, x, adjacency)
    parts = [module] if reduce is not None else module.aggrs
    reduces = [str(reduction_of(part)) for part in parts]
    if weight is not None or not _factors_out(b, reduces):
        return _on_edges(module, x, adjacency)
    if reduce is not None:
        return aggregate(x, hag, reduce, a, b, self_scale)
    out = aggregate(x, hag, reduces, a, b)
    return out if module.mode == "cat" else module.combine(out.chunk(len(reduces), -1))


def _sum_with_edge_weights(reduce: str, x: Tensor, adjacency: Adjacency) -> Tensor:
    """A sum or mean with a weight for each edge, on a graph without aggregates."""
    hag, a, b, self_scale, weight = adjacency
    assert weight is not None
    out = weighted_sum(x if a is None else x * per_row(a, x), weight, hag)
    if reduce == "mean":
        degree = hag.in_degree.clamp(min=1).to(out.dtype)
        out = out / per_row(degree, out)
    if b is not None:
        out = out * per_row(b, out)
    return out if self_scale is None else out + x * per_row(self_scale, x)


def _factors_out(b: Tensor | None, reduces: list[str]) -> bool:
    """Whether factors b of the destinations factor out of all these reductions."""
    if b is None or not {"max", "min", "var", "std"} & {*reduces}:
        return True
    if {"var", "std"} & {*reduces}:
        return False
    if torch.compiler.is_compiling():
        torch._assert_async(
            (b >= 0).all(),
            "'edge_weight' is negative for some destinations, which 'aggr' max and min "
            "do not support in compiled code: pass 'edge_index' instead",
        )
        return True
    return bool((b >= 0).all())


def _on_edges(module: Any, x: Tensor, adjacency: Adjacency) -> Tensor:
    """The aggregation with a message per edge, by PyG's own module."""
    hag, a, b, _, weight = adjacency
    src, dst = hag.edge_index_of_any_order()
    messages = x[src]
    for factor in (a if a is None else a[src], b if b is None else b[dst], weight):
        if factor is not None:
            messages = messages * per_row(factor, messages)
    out: Tensor = module(messages, dst, dim_size=hag.num_dst, dim=0)
    return out

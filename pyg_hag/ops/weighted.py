"""Sums with a weight for each edge, over graphs without aggregates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.autograd import is_traced
from pyg_hag.ops.cpu.backend import aggregate_weighted
from pyg_hag.ops.cpu.edge_products import dot
from pyg_hag.ops.edges import is_transformed
from pyg_hag.plan.cpu import uses_threads
from pyg_hag.runtime import thread_pool
from pyg_hag.utils.tensors import computed_dtype


def weighted_sum(x: Tensor, edge_weight: Tensor, hag: AbstractHAG) -> Tensor:
    r"""Sums the neighbours' features with a weight for each edge.

    .. math::
        \mathbf{y}_v = \sum_{e = (u, v)} w_e \, \mathbf{x}_u

    Such sums are not shared, so the HAG must be a graph as it is. Gradients flow to
    `x` and to the weights, any number of times.

    Args:
        x (torch.Tensor): Source features of shape `[num_src, *]`.
        edge_weight (torch.Tensor): One weight per edge, `[num_edges]`, in the order in
            which the edges were given.
        hag (HAG): The graph: without aggregates, and it knows the order of its edges.

    Returns:
        torch.Tensor: Shape `[num_dst, *]`, with the dtype of `x`.

    Raises:
        ValueError: If the HAG has aggregates or does not know the order of its edges,
            or the number of weights is wrong.
    """
    check_weights(edge_weight, hag)
    wide = computed_dtype(x)
    flat = x.to(wide)
    flat = flat.flatten(1) if x.dim() > 1 else flat[:, None]
    weight = edge_weight.flatten().to(wide)
    if x.device.type != "cpu" or is_traced(x) or is_transformed(x):
        out = _sum_on_edges(flat, weight, hag)
    else:
        out = _Sum.apply(flat, weight, hag)
    return out.to(x.dtype).view(hag.num_dst, *x.shape[1:])


def _sum(x: Tensor, weight: Tensor, hag: HAG) -> Tensor:
    if is_transformed(x) or is_transformed(weight):
        return _sum_on_edges(x, weight, hag)
    out: Tensor = _Sum.apply(x, weight, hag)
    return out


def _sum_on_edges(x: Tensor, weight: Tensor, hag: AbstractHAG) -> Tensor:
    src, dst = hag.edge_index_of_any_order()
    messages = x[src] * weight[:, None]
    return x.new_zeros(hag.num_dst, x.size(1)).index_add(0, dst, messages)


def _inner_products(at_dst: Tensor, at_src: Tensor, hag: HAG) -> Tensor:
    if is_transformed(at_dst) or is_transformed(at_src):
        src, dst = hag.edge_index_of_any_order()
        return (at_dst[dst] * at_src[src]).sum(1)
    out: Tensor = _Products.apply(at_dst, at_src, hag)
    return out


def check_weights(edge_weight: Tensor, hag: AbstractHAG) -> Tensor:
    """The edges to which the weights belong."""
    if hag.num_aggregates > 0 or hag.is_signed:
        raise ValueError(
            "'hag' has aggregates, which weights of single edges cannot share: build "
            "it with 'capacity=0'"
        )
    edge_index = hag.edge_index_in_order("edge_weight")
    if edge_weight.numel() != edge_index.size(1):
        raise ValueError(
            f"'edge_weight' must have one weight for each of the "
            f"{edge_index.size(1)} edges (got shape {list(edge_weight.shape)})"
        )
    return edge_index


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, hag: HAG) -> Tensor:
        ordered = weight.detach()[_order(hag)].contiguous()
        return aggregate_weighted(x.detach().contiguous(), ordered, hag)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.hag = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _sum(grad, weight, ctx.hag.t())
        if ctx.needs_input_grad[1]:
            grad_weight = _inner_products(grad, x, ctx.hag)
        return grad_x, grad_weight, None


class _Products(torch.autograd.Function):
    """The inner products of the features at both ends of each edge."""

    @staticmethod
    def forward(at_dst: Tensor, at_src: Tensor, hag: HAG) -> Tensor:
        return _products(at_dst.detach(), at_src.detach(), hag)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        at_dst, at_src, ctx.hag = inputs
        ctx.save_for_backward(at_dst, at_src)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        at_dst, at_src = ctx.saved_tensors
        grad_dst = grad_src = None
        if ctx.needs_input_grad[0]:
            grad_dst = _sum(at_src, grad, ctx.hag)
        if ctx.needs_input_grad[1]:
            grad_src = _sum(at_dst, grad, ctx.hag.t())
        return grad_dst, grad_src, None


def _products(at_dst: Tensor, at_src: Tensor, hag: HAG) -> Tensor:
    edge_index = hag.edge_index_of_any_order()
    u, v = (row.contiguous().numpy() for row in edge_index.long())
    a, b = at_dst.contiguous().numpy(), at_src.contiguous().numpy()
    out = np.empty(u.size, a.dtype)
    threads = thread_pool.num_threads() if uses_threads(hag, a.shape[1], 2) else 1
    cuts = np.linspace(0, u.size, threads + 1).astype(np.int64)
    run: Callable[[int], None] = lambda i: dot(a, b, u, v, cuts[i], cuts[i + 1], out)  # noqa: E731
    thread_pool.run(run, threads)
    return torch.from_numpy(out)


@once_per_hag
def _order(hag: HAG) -> Tensor:
    """For each input of the rows, in their order, the number of its edge."""
    src, dst = hag.edge_index_of_any_order().cpu().long().numpy()
    row = np.repeat(hag.dst.cpu().numpy(), hag.src_count.cpu().numpy())
    order = np.empty(src.size, np.int64)
    order[np.lexsort((hag.src.cpu().numpy(), row))] = np.lexsort((src, dst))
    return torch.from_numpy(order)

"""Attention edge by edge, by PyTorch's own differentiable operators.

The formula as PyG's layers compute it: for transforms of `torch.func`, gradients of
gradients, and devices without a kernel.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.ops.attention.dropout import Dropout, kept
from pyg_hag.ops.attention.scores import Scores


def attention_on_edges(
    scores: Scores,
    hag: AbstractHAG,
    dropout: Dropout | None,
    inputs: Sequence[Tensor | None],
) -> Tensor:
    """See :func:`pyg_hag.ops.attention.attention`, whose tensors `inputs` are."""
    key, value, query, att, term = inputs
    assert key is not None and value is not None and query is not None
    src, dst = ends_with_loops(hag, scores.loops)
    message = (key if scores.kind == "gatv2" else value)[src]
    if scores.kind == "dot":
        keys = key[src]
        if term is not None:
            keys, message = keys + term, message + term
        score = (query[dst] * keys).sum(-1) * scores.scale
    else:
        score = key[src] + query[dst]
        if term is not None:
            score = score + term
        score = F.leaky_relu(score, scores.slope)
        if att is not None:
            score = (score * att).sum(-1)
    coefficient = softmax_by_destination(score, dst, hag.num_dst)
    if dropout is not None:
        factors = kept(dropout, src.numel(), value.size(1))
        coefficient = coefficient * factors.to(coefficient)
    messages = coefficient[..., None] * message
    zeros = messages.new_zeros(hag.num_dst, *messages.shape[1:])
    return zeros.index_add(0, dst, messages)


def grads_on_edges(
    scores: Scores,
    hag: AbstractHAG,
    dropout: Dropout | None,
    inputs: Sequence[Tensor | None],
    grad: Tensor,
    needed: Sequence[bool],
    again: bool = False,
) -> list[Tensor | None]:
    """The gradients of the inputs that need one.

    Args:
        scores: See :func:`attention_on_edges`.
        hag: See :func:`attention_on_edges`.
        dropout: See :func:`attention_on_edges`.
        inputs: See :func:`attention_on_edges`.
        grad: The gradient of the result.
        needed: Which of the inputs need a gradient.
        again: Whether gradients can be differentiated again.
    """
    with torch.enable_grad():
        inputs = [  # views: one input may be computed from another one
            t if t is None else t.view_as(t) if again else t.detach().requires_grad_()
            for t in inputs
        ]
        out = attention_on_edges(scores, hag, dropout, inputs)
        leaves = [
            t for t, need in zip(inputs, needed, strict=True) if need and t is not None
        ]
        found = iter(torch.autograd.grad(out, leaves, grad, create_graph=again))
    return [next(found) if need else None for need in needed]


def ends_with_loops(hag: AbstractHAG, loops: bool) -> tuple[Tensor, Tensor]:
    """Sources and destinations of the edges.

    Args:
        hag: The graph.
        loops: Whether each node has exactly one self-loop instead of the graph's; they
            come last.
    """
    src, dst = hag.edge_index_of_any_order()
    if not loops:
        return src, dst
    keep = src != dst
    nodes = torch.arange(min(hag.num_src, hag.num_dst), device=src.device)
    return torch.cat([src[keep], nodes]), torch.cat([dst[keep], nodes])


def softmax_by_destination(score: Tensor, dst: Tensor, num_dst: int) -> Tensor:
    """The softmax over the edges of each destination, as PyG's."""
    index = dst[:, None].expand_as(score)
    top = score.detach().new_zeros(num_dst, score.size(1))
    top = top.scatter_reduce(0, index, score.detach(), "amax", include_self=False)
    power = (score - top[dst]).exp()
    total = power.new_zeros(num_dst, score.size(1)).index_add(0, dst, power)
    return power / (total + 1e-16)[dst]

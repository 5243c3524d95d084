"""Attention over the edges of a graph as a differentiable operator.

For scores e_ij of the edges from j to i, the result of destination i is

    out_i = sum_j softmax_j(e_ij) v_j

for each head, where j runs over the sources of its edges. What an edge needs is
computed when its row is, forward and backward, and kept for no edge.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.hag.abstract import TensorList
from pyg_hag.hag.library import resolve, sizes
from pyg_hag.ops.attention.dropout import Dropout
from pyg_hag.ops.attention.edges import attention_on_edges, grads_on_edges
from pyg_hag.ops.attention.launch import compute, compute_grads, select
from pyg_hag.ops.attention.scores import Scores
from pyg_hag.ops.autograd import applied, is_traced, needs_grad
from pyg_hag.ops.edges import is_transformed

_COUNT = 5  # tensors with gradients: key, value, query, att, edge_term
_VALUE = 1


def attention(
    scores: Scores,
    key: Tensor,
    value: Tensor,
    query: Tensor,
    hag: AbstractHAG,
    att: Tensor | None = None,
    edge_term: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Sums values with the softmax of scores over the edges of each destination.

    Args:
        scores: How scores are computed.
        key: Of the sources, `[num_src, H]` for `gat`, else `[num_src, H, C]`.
        value: Of the sources, `[num_src, H, C]`.
        query: Of the destinations, of the shape of `key`.
        hag: The graph.
        att: `[H, C]`, for `gatv2` alone.
        edge_term: Of the edges in the order in which they were given, with self-loops
            that are added behind: `[E, H]` for `gat`, else `[E, H, C]`. For `dot`, it
            is added to values, too.
        backend: `"numba"` (CPU), `"triton"` (CUDA) or `"torch"` (edge by edge, any
            device). By default the first of them that there is for `value`.

    Returns:
        `[num_dst, H, C]`, 0 for destinations without edges.

    Raises:
        ValueError: If there is no such backend, or it cannot run there.
    """
    backend = select(value.device, backend)
    tensors = key, value, query, att, edge_term
    dtype = value.dtype
    for tensor in tensors:
        if tensor is not None:
            dtype = torch.promote_types(dtype, tensor.dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    inputs: list[Any] = [t if t is None else t.to(wide) for t in tensors]
    if scores.kind == "gatv2":  # whose gradient goes to the key
        inputs[1] = inputs[0].detach()
    seed = None
    if scores.dropout > 0:
        seed = torch.randint(2**63 - 1, ())
    if is_traced(value):
        call = *inputs, seed, *hag.handle, *scores, backend
        out: Tensor = attention_operator(*call)[0]
        return out.to(dtype)
    dropout = scores.with_seed(seed)
    if is_transformed(value):
        return attention_on_edges(scores, hag, dropout, inputs).to(dtype)
    assert isinstance(hag, HAG)
    if needs_grad(*inputs):
        out = applied(_Attention, *inputs, scores, hag, dropout, backend)[0]
    else:
        out = compute(scores, hag, dropout, inputs, False, backend)[0]
    return out.to(dtype)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        key: Tensor,
        value: Tensor,
        query: Tensor,
        att: Tensor | None,
        edge_term: Tensor | None,
        scores: Scores,
        hag: HAG,
        dropout: Dropout | None,
        backend: str,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = key, value, query, att, edge_term
        return compute(scores, hag, dropout, inputs, True, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.scores, ctx.hag, ctx.dropout, ctx.backend = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*tensors, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        known = ctx.scores, ctx.hag, ctx.dropout
        saved = ctx.saved_tensors
        inputs, outputs = saved[:_COUNT], saved[_COUNT:]
        needed = ctx.needs_input_grad[:_COUNT]
        if torch.is_grad_enabled() or is_transformed(grads[0]):  # of higher order
            found = grads_on_edges(*known, inputs, grads[0], needed, again=True)
        else:
            call = *known, inputs, outputs, grads[0], needed, ctx.backend
            found = compute_grads(*call)
        return *found, None, None, None, None


@torch.library.custom_op("pyg_hag::attention", mutates_args=())
def attention_operator(
    key: Tensor,
    value: Tensor,
    query: Tensor,
    att: Tensor | None,
    edge_term: Tensor | None,
    seed: Tensor | None,
    tensors: TensorList,
    num_src: int,
    views: str,
    kind: str,
    slope: float,
    scale: float,
    loops: bool,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`attention`; also returns what the backward pass needs."""
    scores = Scores(kind, slope, scale, loops, dropout)
    hag = resolve(tensors, num_src, views)
    inputs = key, value, query, att, edge_term
    return compute(scores, hag, scores.with_seed(seed), inputs, True, backend)


@attention_operator.register_fake
def _(
    key: Tensor, value: Tensor, query: Tensor, *args: Any
) -> tuple[Tensor, Tensor, Tensor]:
    tensors, num_src, views, kind = args[3:7]
    shape = sizes(tensors, num_src, views)[1], *value.shape[1:]
    out = value.new_empty(shape)
    positive = value.new_empty(shape if kind == "gat" else (0,))
    return out, positive, value.new_empty(*shape[:2], 3)


@torch.library.custom_op("pyg_hag::attention_backward", mutates_args=())
def attention_grad_operator(
    grad: Tensor,
    out: Tensor,
    positive: Tensor,
    stats: Tensor,
    key: Tensor,
    value: Tensor,
    query: Tensor,
    att: Tensor | None,
    edge_term: Tensor | None,
    seed: Tensor | None,
    tensors: TensorList,
    num_src: int,
    views: str,
    kind: str,
    slope: float,
    scale: float,
    loops: bool,
    dropout: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of :func:`attention`; empty where there is none."""
    scores = Scores(kind, slope, scale, loops, dropout)
    hag = resolve(tensors, num_src, views)
    inputs = key, value, query, att, edge_term
    needed = _with_gradient(kind, inputs)
    known = scores, hag, scores.with_seed(seed), inputs, (out, positive, stats)
    found = compute_grads(*known, grad, needed, backend)
    a, b, c, d, e = (grad.new_empty(0) if t is None else t for t in found)
    return a, b, c, d, e


@attention_grad_operator.register_fake
def _(
    grad: Tensor, out: Tensor, positive: Tensor, stats: Tensor, *args: Any
) -> tuple[Tensor, ...]:
    inputs, kind = args[:_COUNT], args[_COUNT + 4]
    return tuple(
        grad.new_empty(t.shape if need else 0)
        for t, need in zip(inputs, _with_gradient(kind, inputs), strict=True)
    )


def _with_gradient(kind: str, inputs: Sequence[Tensor | None]) -> list[bool]:
    """Which inputs have a gradient: that of the value of `gatv2` is the key's."""
    return [
        t is not None and not (kind == "gatv2" and i == _VALUE)
        for i, t in enumerate(inputs)
    ]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    known, (seed, tensors, *ctx.rest) = inputs[:_COUNT], inputs[_COUNT:]
    ctx.save_for_backward(*output, *known, seed, *tensors)


def _backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    first = 3 + _COUNT + 1
    tensors = list(saved[first:])
    found = attention_grad_operator(grad, *saved[:first], tensors, *ctx.rest)
    given = _with_gradient(ctx.rest[2], saved[3 : 3 + _COUNT])
    grads = [g if need else None for g, need in zip(found, given, strict=True)]
    return *grads, None, [None] * len(tensors), *[None] * len(ctx.rest)


attention_operator.register_autograd(_backward, setup_context=_setup)

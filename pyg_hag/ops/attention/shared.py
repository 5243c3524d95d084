"""Attention over a HAG, by sweeps of its aggregates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops.attention.choice import swept
from pyg_hag.ops.attention.scores import Scores
from pyg_hag.ops.cpu.attention.program import LAST
from pyg_hag.ops.cpu.sweep.calls import sweep_backward, sweep_forward

Inputs = Sequence[Tensor | None]


def shared_forward(
    scores: Scores, hag: HAG, inputs: Inputs, for_grad: bool
) -> tuple[Tensor, Tensor, Tensor] | None:
    """See :func:`pyg_hag.ops.attention.launch.compute`; None for infinite scores."""
    s, x, t = _contiguous(inputs)
    found = sweep_forward(x, s, t, scores.slope, swept(hag, scores.loops), for_grad)
    if found is None:
        return None
    if found.positive is None or found.share is None:
        nothing = x.new_empty(0)
        return found.out, nothing, nothing
    stats = torch.stack([found.top, found.inverse, found.share], 2)
    return found.out, found.positive, stats


def shared_grads(
    scores: Scores,
    hag: HAG,
    inputs: Inputs,
    outputs: Sequence[Tensor],
    grad: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None] | None:
    """See :func:`pyg_hag.ops.attention.launch.compute_grads`."""
    out, positive, stats = outputs
    s, x, t = _contiguous(inputs)
    product = (grad * out).sum(-1)
    found: list[Tensor | None] = [None] * len(inputs)
    if needed[0] or needed[1]:
        top, inverse = stats[..., 0].contiguous(), stats[..., 1].contiguous()
        numbers = x, s, t, top, inverse, scores.slope
        grads = sweep_backward(grad, product, *numbers, swept(hag, scores.loops))
        if grads is None:
            return None
        found[1], found[0] = grads
    if needed[2]:
        part = (grad * positive).sum(-1)
        found[2] = (1 - scores.slope) * (part - product * stats[..., LAST])
    return [g if need else None for g, need in zip(found, needed, strict=True)]


def _contiguous(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Key, value and query."""
    key, value, query = (t.detach().contiguous() for t in inputs[:3] if t is not None)
    return key, value, query

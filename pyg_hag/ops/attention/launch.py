"""One call of the kernels of attention, without autograd."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops.attention.choice import is_shared
from pyg_hag.ops.attention.dropout import Dropout
from pyg_hag.ops.attention.edges import attention_on_edges, grads_on_edges
from pyg_hag.ops.attention.scores import Scores
from pyg_hag.ops.attention.shared import shared_forward, shared_grads
from pyg_hag.ops.cpu.attention.calls import Attention
from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.ops.dispatch import BACKENDS
from pyg_hag.ops.triton import attention as triton
from pyg_hag.plan.attention import edge_rows

Inputs = Sequence[Tensor | None]
_NAMES = ("key", "value", "query", "att", "edge_term")
_BACKENDS = ("numba", "triton", "torch")


def select(device: torch.device, name: str | None = None) -> str:
    """The backend for tensors on a device: kernels, or edge by edge with `"torch"`.

    Args:
        device: Where the tensors are.
        name: The one that was asked for; by default the first that can run there.
    """
    if name is None:
        return next(n for n in _BACKENDS if not BACKENDS[n].why_not(device))
    if name not in _BACKENDS:
        raise ValueError(
            f"'backend' of attention must be one of {[*_BACKENDS]} (got {name!r})"
        )
    reason = BACKENDS[name].why_not(device)
    if reason:
        raise ValueError(f"backend {name!r} {reason}")
    return name


def compute(
    scores: Scores,
    hag: HAG,
    dropout: Dropout | None,
    inputs: Inputs,
    for_grad: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The forward pass.

    Args:
        scores: How scores are computed.
        hag: The graph.
        dropout: Which coefficients are dropped.
        inputs: Key, value, query, attention vector and the edges' terms.
        for_grad: Whether a backward pass follows.
        backend: The result of :func:`select`.

    Returns:
        The result `[num_dst, H, C]`; its part of positive scores, for `gat`; and the
        numbers of each destination and head, `[num_dst, H, 3]`: the largest score, one
        over the sum of exponentials, and the share of positive scores. The latter two
        are empty if nothing needs them, and 0 where they are not known.
    """
    if backend == "triton":
        return triton.compute(scores, hag, dropout, inputs, for_grad)
    value = inputs[1]
    assert value is not None
    nothing = value.new_empty(0)
    if backend == "torch":
        out = attention_on_edges(scores, hag, dropout, inputs)
        if not for_grad:
            return out, nothing, nothing
        positive = torch.zeros_like(out) if scores.kind == "gat" else nothing
        return out, positive, out.new_zeros(*out.shape[:2], 3)
    step = "forward" if for_grad else "inference"
    if is_shared(scores, hag, dropout, inputs, step):
        found = shared_forward(scores, hag, inputs, for_grad)
        if found is not None:
            return found
    kernels, known = _prepared(scores, inputs, dropout)
    layout = kernels.layout
    with_positive = for_grad and scores.kind == "gat"
    rows = edge_rows(hag, scores.loops, False)
    results = kernels.forward(rows, known, with_positive)
    out = layout.natural(results["out"])
    if not for_grad:
        return out, nothing, nothing
    positive = layout.natural(results["positive"]) if with_positive else nothing
    return out, positive, layout.natural_stats(results["out_stats"])


def compute_grads(
    scores: Scores,
    hag: HAG,
    dropout: Dropout | None,
    inputs: Inputs,
    outputs: Sequence[Tensor],
    grad: Tensor,
    needed: Sequence[bool],
    backend: str,
) -> list[Tensor | None]:
    """The backward pass.

    Args:
        scores: See :func:`compute`.
        hag: See :func:`compute`.
        dropout: See :func:`compute`.
        inputs: See :func:`compute`.
        outputs: The results of :func:`compute`.
        grad: The gradient of the first one.
        needed: Which of the inputs need a gradient.
        backend: See :func:`compute`.

    Returns:
        The gradients of the inputs, or None.
    """
    if backend == "triton":
        call = scores, hag, dropout, inputs, outputs, grad, needed
        return triton.compute_grads(*call)
    if backend == "torch":
        with _autograd():
            return grads_on_edges(scores, hag, dropout, inputs, grad, needed)
    out, positive, stats = outputs
    grad = grad.contiguous()
    if is_shared(scores, hag, dropout, inputs, "backward"):
        grads = shared_grads(scores, hag, inputs, outputs, grad, needed)
        if grads is not None:
            return grads
    kernels, known = _prepared(scores, inputs, dropout)
    layout = kernels.layout
    lanes = {"grad": layout.features(grad), "value": layout.features(out)}
    lanes["stats"] = layout.stats(stats)
    with_query = scores.kind == "gat" and needed[2]
    if with_query:
        lanes["key"] = layout.features(positive)
    rows = edge_rows(hag, scores.loops, False)
    found = kernels.products(rows, lanes, with_query)
    known["grad"], known["stats"] = lanes["grad"], found["out_stats"]
    if any(needed[i] for i in (0, 1, 4)):
        by_source = edge_rows(hag, scores.loops, True)
        found |= kernels.backward(by_source, known, by_source=True)
    if scores.kind != "gat" and (needed[2] or needed[3]):
        found |= kernels.backward(rows, known, by_source=False)
    return [
        _natural(name, found, inputs[i], layout) if needed[i] else None
        for i, name in enumerate(_NAMES)
    ]


@contextlib.contextmanager
def _autograd() -> Iterator[None]:
    """Records gradients also within an operator of `torch.library`, which does not."""
    included = torch._C._dispatch_tls_local_include_set()
    excluded = torch._C._dispatch_tls_local_exclude_set()
    kept = excluded & torch._C._after_autograd_keyset
    with torch._C._ForceDispatchKeyGuard(included, kept):
        yield


def _natural(
    name: str,
    found: dict[str, Tensor],
    like: Tensor | None,
    layout: Layout,
) -> Tensor:
    """A gradient in the shape of its tensor."""
    assert like is not None
    values = found["grad_edge" if name == "edge_term" else f"grad_{name}"]
    if name == "att":
        return layout.natural(values.sum(0, keepdim=True)).view_as(like)
    if like.dim() == 2:
        return layout.unpadded(values).contiguous()
    return layout.natural(values)


def _prepared(
    scores: Scores, inputs: Inputs, dropout: Dropout | None
) -> tuple[Attention, dict[str, Tensor]]:
    """The kernels, and the tensors in their layout."""
    key, value, query, att, term = inputs
    assert key is not None and value is not None and query is not None
    name = str(value.dtype).removeprefix("torch.")
    layout = Layout(name, value.size(1), value.size(2))

    def laid_out(tensor: Tensor) -> Tensor:
        known = tensor.detach()
        return layout.scores(known) if known.dim() == 2 else layout.features(known)

    known = {"key": laid_out(key), "query": laid_out(query)}
    is_same = value is key or (
        value.data_ptr() == key.data_ptr() and value.shape == key.shape
    )
    known["value"] = known["key"] if is_same else laid_out(value)
    if att is not None:
        known["att"] = layout.features(att.detach()[None])
    if term is not None:
        known["edge_term"] = laid_out(term)
    slope, scale = scores.slope, scores.scale
    return Attention(scores.kind, layout, slope, scale, dropout), known

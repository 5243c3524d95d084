"""Attention on CUDA: launches of the Triton kernels."""

import functools
import struct
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.attention.dropout import Dropout
from pyg_hag.ops.attention.scores import Scores
from pyg_hag.plan.attention import edge_rows

Inputs = Sequence[Tensor | None]
_HEADS_SIZE = 64
"""Features of a block of heads, unless one head has more."""
_BLOCK_SIZE = 1024
"""Features of a block of edges."""
_MAX_EDGES = 32
_LONG = 256
"""Rows with more edges start first, so that none of them is left in the end."""


@functools.cache
def _kernels() -> ModuleType:
    """Imports Triton, when a kernel first runs."""
    from pyg_hag.ops.triton import attention_kernels

    return attention_kernels


@functools.cache
def _grad_kernels() -> ModuleType:
    from pyg_hag.ops.triton import attention_grad_kernels

    return attention_grad_kernels


class DeviceRows(NamedTuple):
    """Edges in rows, on the device of the HAG.

    Attributes:
        order: The rows, those with many edges first, int32.
        ptr: Row r is `col[ptr[r] : ptr[r + 1]]`.
        col: The other ends of the edges, int32.
        number: The number of each edge in the order of the graph.
    """

    order: Tensor
    ptr: Tensor
    col: Tensor
    number: Tensor


@once_per_hag
def device_rows(hag: HAG, loops: bool, by_source: bool) -> DeviceRows:
    """The edges of a graph, in rows; see :func:`pyg_hag.plan.attention.edge_rows`."""
    rows = edge_rows(hag, loops, by_source)
    kind = np.int32 if rows.num_edges < 2**31 else np.int64
    order = np.argsort(np.diff(rows.ptr) <= _LONG, kind="stable").astype(np.int32)
    arrays = order, rows.ptr.astype(kind), rows.col, rows.number.astype(kind)
    return DeviceRows(*(torch.from_numpy(array).to(hag.device) for array in arrays))


def compute(
    scores: Scores, hag: HAG, dropout: Dropout | None, inputs: Inputs, for_grad: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`pyg_hag.ops.attention.launch.compute`."""
    key, value, query, att, term = _contiguous(inputs)
    out = value.new_empty(hag.num_dst, *value.shape[1:])
    positive = stats = None
    if for_grad:
        stats = value.new_empty(*out.shape[:2], 3)
        if scores.kind == "gat":
            positive = torch.empty_like(out)
    arrays = key, value, query, att, term, out, positive, stats
    rows = device_rows(hag, scores.loops, False)
    _start(_kernels().attend, rows, scores, dropout, value, arrays)
    nothing = value.new_empty(0)
    return (
        out,
        nothing if positive is None else positive,
        nothing if stats is None else stats,
    )


def compute_grads(
    scores: Scores,
    hag: HAG,
    dropout: Dropout | None,
    inputs: Inputs,
    outputs: Sequence[Tensor],
    grad: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """See :func:`pyg_hag.ops.attention.launch.compute_grads`."""
    out, positive, stats = outputs
    tensors = _contiguous(inputs)
    grad = grad.contiguous()
    product = (grad * out).sum(-1)
    top, inverse, share = stats.unbind(-1)
    known = *tensors, grad, torch.stack([top, inverse, product], 1)
    found: list[Tensor | None] = [None] * len(tensors)
    if needed[0] or needed[1] or needed[4]:
        found[0], found[1], found[4] = _by_source(scores, hag, dropout, known)
    if scores.kind == "gat":
        if needed[2]:
            part = (grad * positive).sum(-1)
            found[2] = (1 - scores.slope) * (part - product * share)
    elif needed[2] or needed[3]:
        found[2], found[3] = _by_destination(scores, hag, dropout, known)
    return [t if need else None for t, need in zip(found, needed, strict=True)]


def _by_source(
    scores: Scores, hag: HAG, dropout: Dropout | None, known: Sequence[Any]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradients of keys, values and the edges' terms."""
    key, value, query, att, term, *rest = known
    grad_key = torch.empty_like(key)
    grad_value = None if scores.kind == "gatv2" else torch.empty_like(value)
    grad_term = None if term is None else torch.empty_like(term)
    results = grad_key, grad_value, grad_term
    rows = device_rows(hag, scores.loops, True)
    if scores.kind == "gat":
        arrays = key, value, query, term, *rest, *results
        kernel = _grad_kernels().grad_gat_sources
    else:
        arrays = key, value, query, att, term, *rest, *results
        kernel = _grad_kernels().grad_sources
    _start(kernel, rows, scores, dropout, value, arrays)
    return results


def _by_destination(
    scores: Scores, hag: HAG, dropout: Dropout | None, known: Sequence[Any]
) -> tuple[Tensor, Tensor | None]:
    """The gradients of queries and of `att`."""
    value, query, att = known[1:4]
    grad_query = torch.empty_like(query)
    parts = None if att is None else torch.empty_like(query)
    rows = device_rows(hag, scores.loops, False)
    kernel = _grad_kernels().grad_destinations
    _start(kernel, rows, scores, dropout, value, (*known, grad_query, parts))
    return grad_query, None if parts is None else parts.sum(0)


def _contiguous(inputs: Inputs) -> list[Any]:
    return [None if t is None else t.detach().contiguous() for t in inputs]


def _start(
    kernel: Any,
    rows: DeviceRows,
    scores: Scores,
    dropout: Dropout | None,
    value: Tensor,
    arrays: Sequence[Tensor | None],
) -> None:
    """Runs a kernel on all rows and heads, on the device of the values.

    Args:
        kernel: The kernel.
        rows: The edges.
        scores: How scores are computed.
        dropout: Which coefficients are dropped.
        value: Values, for their shape and dtype.
        arrays: The first arguments of the kernel, None for those that are missing.
    """
    num_rows, (num_heads, channels) = rows.order.numel(), value.shape[1:]
    if num_rows == 0 or num_heads == 0:
        return
    mean_edges = rows.number.numel() // num_rows
    edges, heads, width, warps = _block(num_heads, channels, mean_edges)
    largest = max(t.numel() for t in arrays if t is not None)
    numbers = {"slope": _bits(scores.slope), "scale": _bits(scores.scale)}
    constants: dict[str, Any] = {"KIND": scores.kind}
    known = {
        name: v for name, v in (numbers | constants).items() if name in kernel.arg_names
    }
    known |= {"seed": None, "threshold": 0, "kept": 0}
    if dropout is not None:
        known |= {"seed": dropout.seed, "threshold": dropout.threshold}
        known["kept"] = _bits(dropout.scale)
    with torch.cuda.device_of(value):
        kernel[num_rows, -(-num_heads // heads)](
            *arrays,
            *rows,
            num_heads=num_heads,
            channels=channels,
            **known,
            WIDE=largest >= 2**31,
            EDGES=edges,
            HEADS=heads,
            CHANNELS=width,
            num_warps=warps,
        )


def _block(num_heads: int, channels: int, mean_edges: int) -> tuple[int, int, int, int]:
    """Edges, heads and channels of a program's block, and its number of warps."""
    width, heads, edges = 1, 1, 1
    while width < channels:
        width *= 2
    while heads < num_heads and 2 * heads * width <= _HEADS_SIZE:
        heads *= 2
    most = min(_MAX_EDGES, _BLOCK_SIZE // (heads * width))
    while edges < mean_edges and 2 * edges <= most:
        edges *= 2
    return edges, heads, width, min(8, max(1, edges * heads * width // 256))


def _bits(number: float) -> int:
    """The bits of a number in float64, as a kernel takes it."""
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    return int(bits)

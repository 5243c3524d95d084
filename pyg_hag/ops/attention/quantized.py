"""Attention over quantized features: what INT8 layers call."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.hag.abstract import TensorList
from pyg_hag.hag.library import resolve, sizes
from pyg_hag.ops.attention.edges import ends_with_loops, softmax_by_destination
from pyg_hag.ops.attention.rounding import QuantizedAttention
from pyg_hag.ops.autograd import is_traced
from pyg_hag.ops.cpu.attention.quantized_calls import attend
from pyg_hag.ops.library import flat_qparams
from pyg_hag.ops.qparams import Epilogue, QParams, changed
from pyg_hag.ops.quantized import quantize
from pyg_hag.plan.attention import edge_rows

Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Codes, the parts of sources and of destinations in scores, and that of edges."""


def attention_quantized(
    how: QuantizedAttention,
    codes: Tensor,
    source_scores: Tensor,
    target_scores: Tensor,
    hag: AbstractHAG,
    edge_term: Tensor | None = None,
    epilogue: Epilogue | None = None,
) -> Tensor:
    """Sums quantized features with the softmax of rounded scores, and rounds the sums.

    Args:
        how: How it is computed and rounded.
        codes: Quantized features of the sources in the layout of `how`, uint8
            `[num_src, layout.columns]`.
        source_scores: The sources' part of the scores in its first half, float32
            `[num_src, 2 * layout.heads]`.
        target_scores: The destinations' part in its second half, float32
            `[num_dst, 2 * layout.heads]`.
        hag: The graph.
        edge_term: The edges' part, float32 `[E, heads]`, in the order in which they
            were given, with self-loops that are added behind.
        epilogue: What follows; without a residual and factors of rows.

    Returns:
        `[num_dst, heads * channels]`, or `[num_dst, channels]` of means; uint8 if the
        epilogue quantizes, else float32.
    """
    epilogue = epilogue or Epilogue()
    if is_traced(codes):
        rounding = *how.value, *how.score, *how.total
        shape = how.num_heads, how.num_channels, *rounding, *how[5:]
        end = epilogue.channel_scale, epilogue.bias, epilogue.relu
        last = *end, *flat_qparams(epilogue.out_qparams)
        tensors = codes, source_scores, target_scores, edge_term
        return attention_quantized_operator(*tensors, *hag.handle, *shape, *last)
    assert isinstance(hag, HAG)
    inputs = codes, source_scores, target_scores, edge_term
    return _compute(how, hag, inputs, epilogue)


def _compute(
    how: QuantizedAttention, hag: HAG, inputs: Inputs, epilogue: Epilogue
) -> Tensor:
    if inputs[0].is_cuda:
        return _finish(quantized_on_edges(how, hag, *inputs)[0], how, epilogue)
    if how.mean and how.layout.groups > 1:
        return _mean_of_groups(how, hag, inputs, epilogue)
    return attend(how, edge_rows(hag, how.loops, False), *inputs, epilogue)


def _mean_of_groups(
    how: QuantizedAttention, hag: HAG, inputs: Inputs, epilogue: Epilogue
) -> Tensor:
    """Means over more heads than fit into a vector."""
    all_heads = how._replace(mean=False)
    out = _compute(all_heads, hag, inputs, Epilogue())
    heads = out.view(-1, how.num_heads, how.num_channels)
    return _finish(heads, how, epilogue)


def _finish(out: Tensor, how: QuantizedAttention, epilogue: Epilogue) -> Tensor:
    """The epilogue of rounded sums `[num_dst, heads, channels]`."""
    out = out.mean(1) if how.mean else out.flatten(1)
    if epilogue.channel_scale is not None:
        out = out * epilogue.channel_scale
    out = out if epilogue.bias is None else out + epilogue.bias
    out = out.relu() if epilogue.relu else out
    return out if epilogue.out_qparams is None else quantize(out, epilogue.out_qparams)


def quantized_on_edges(
    how: QuantizedAttention,
    hag: AbstractHAG,
    codes: Tensor,
    source_scores: Tensor,
    target_scores: Tensor,
    edge_term: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The same edge by edge, by PyTorch's operators.

    Returns:
        The rounded sums, `[num_dst, heads, channels]`, and the coefficients of the
        edges, `[E, heads]`.
    """
    layout, heads = how.layout, how.num_heads
    src, dst = ends_with_loops(hag, how.loops)
    key = source_scores[:, :heads]
    query = target_scores[:, layout.heads : layout.heads + heads]
    scores = key[src] + query[dst]
    scores = scores if edge_term is None else scores + edge_term
    scores = F.leaky_relu(_rounded(scores, how.score), how.slope)
    coefficients = softmax_by_destination(scores, dst, hag.num_dst)
    natural = codes[:, layout.places.to(codes.device)].view(-1, heads, how.num_channels)
    values = (natural.float() - how.value.zero_point) * how.value.scale
    messages = coefficients[..., None] * values[src]
    zeros = messages.new_zeros(hag.num_dst, *messages.shape[1:])
    return _rounded(zeros.index_add(0, dst, messages), how.total), coefficients


def _rounded(x: Tensor, qparams: QParams) -> Tensor:
    """Values rounded to those that codes stand for."""
    code = (x * qparams.inverse_scale).round() + qparams.zero_point
    return (code.clamp(0, qparams.qmax) - qparams.zero_point) * qparams.scale


@torch.library.custom_op("pyg_hag::attention_quantized", mutates_args=())
def attention_quantized_operator(
    codes: Tensor,
    source_scores: Tensor,
    target_scores: Tensor,
    edge_term: Tensor | None,
    tensors: TensorList,
    num_src: int,
    views: str,
    num_heads: int,
    num_channels: int,
    value_scale: float,
    value_zero_point: int,
    value_qmax: int,
    score_scale: float,
    score_zero_point: int,
    score_qmax: int,
    total_scale: float,
    total_zero_point: int,
    total_qmax: int,
    slope: float,
    loops: bool,
    mean: bool,
    channel_scale: Tensor | None,
    bias: Tensor | None,
    relu: bool,
    scale: float,
    zero_point: int,
    qmax: int,
) -> Tensor:
    """See :func:`attention_quantized`."""
    value = QParams(value_scale, value_zero_point, value_qmax)
    score = QParams(score_scale, score_zero_point, score_qmax)
    total = QParams(total_scale, total_zero_point, total_qmax)
    shape = num_heads, num_channels
    how = QuantizedAttention(*shape, value, score, total, slope, loops, mean)
    out_qparams = QParams(scale, zero_point, qmax) if qmax else None
    epilogue = changed(Epilogue(), channel_scale=channel_scale, bias=bias, relu=relu)
    epilogue = changed(epilogue, out_qparams=out_qparams)
    hag = resolve(tensors, num_src, views)
    inputs = codes, source_scores, target_scores, edge_term
    return _compute(how, hag, inputs, epilogue)


@attention_quantized_operator.register_fake
def _(codes: Tensor, *args: Any) -> Tensor:
    tensors, num_src, views, heads, channels = args[3:8]
    mean, qmax = args[19], args[-1]
    dtype = torch.uint8 if qmax else torch.float32
    num_dst = sizes(tensors, num_src, views)[1]
    return codes.new_empty(num_dst, channels * (1 if mean else heads), dtype=dtype)

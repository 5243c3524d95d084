"""INT8 operators: reductions over a HAG, linear layers and quantization.

A quantized value q stands for :math:`s (q - z)` with scale s and zero point z.
"""

import torch
from torch import Tensor

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.ops.autograd import is_traced
from pyg_hag.ops.library import (
    aggregate_quantized_operator,
    flat,
    flat_qparams,
    qlinear_operator,
    quantize_operator,
)
from pyg_hag.ops.paths import check_paths
from pyg_hag.ops.qparams import Epilogue, QParams, Residual
from pyg_hag.ops.quantized_launch import (
    compute_aggregate,
    compute_linear,
    compute_quantized,
    prepack_weight,
)
from pyg_hag.runtime import memory

__all__ = [
    "Epilogue",
    "QParams",
    "Residual",
    "aggregate_quantized",
    "prepack_weight",
    "qlinear",
    "quantize",
    "quantize_linear",
]

REDUCES = ("sum", "max", "min")
_CHUNK_BYTES = 32 << 20  # of quantized values that are in memory at once
MAX_AT_ONCE = 2 * _CHUNK_BYTES
"""Features up to this number are quantized before a linear layer, not in chunks."""


def aggregate_quantized(
    x: Tensor,
    qparams: QParams,
    hag: AbstractHAG,
    reduce: str = "sum",
    self_scale: Tensor | None = None,
    epilogue: Epilogue | None = None,
) -> Tensor:
    r"""Reduces quantized features over a HAG.

    .. math::
        \mathbf{y}_v = \mathrm{epilogue}\Big( s \Big( \sum_{u \in \mathcal{N}(v)}
        (\mathbf{q}_u - z) + c_v (\mathbf{q}_v - z) \Big) \Big)

    Sums are integers, as wide as the largest degree requires, so the result is bitwise
    the same on every HAG of a graph and for any number of threads.

    Four-bit values are packed two to a byte first if the number of features is even,
    which halves the bytes that are read.

    Args:
        x (torch.Tensor): Quantized features of the sources, uint8 `[num_src, F]`.
        qparams (QParams): The parameters of `x`.
        hag (HAG): The graph.
        reduce (str): `"sum"`, `"max"` or `"min"`.
        self_scale (torch.Tensor, optional): How often each node's own features are
            added to its sum, int32 `[num_dst]`. Negative counts subtract.
        epilogue (Epilogue, optional): The operations on the result.

    Returns:
        torch.Tensor: uint8 `[num_dst, F]` if the epilogue quantizes, else float32.

    Raises:
        TypeError: If `x` is not uint8.
        ValueError: If the shape of `x` or `reduce` is invalid, or the HAG has weights.
    """
    epilogue = epilogue or Epilogue()
    if x.dtype != torch.uint8:
        raise TypeError(f"'x' must have dtype torch.uint8 (got {x.dtype})")
    if reduce not in REDUCES:
        raise ValueError(f"'reduce' must be one of {list(REDUCES)} (got {reduce!r})")
    if x.dim() != 2 or x.size(0) != hag.num_src:
        raise ValueError(
            f"'x' must have shape [{hag.num_src}, F], one row for each source (got "
            f"{list(x.shape)})"
        )
    if hag.of_paths:
        check_paths([reduce], hag)
        hag = hag.unweighted
    if hag.weights is not None:
        raise ValueError(
            "'hag' has weights of its edges, which sums of integers leave out: pass "
            "'hag.unweighted', and the weights as scales if they have factors"
        )
    if is_traced(x):
        graph = *hag.handle, reduce, self_scale
        return aggregate_quantized_operator(x, *qparams, *graph, *flat(epilogue))
    assert isinstance(hag, HAG)
    return compute_aggregate(x, qparams, hag, reduce, self_scale, epilogue)


def quantize(
    x: Tensor,
    qparams: QParams,
    row_scale: Tensor | None = None,
    channel_scale: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    r"""Quantizes features.

    .. math::
        \mathrm{clamp}(\lfloor a_v (\mathbf{g} \odot \mathbf{x}_v + \mathbf{b})
        / s \rceil + z, 0, q_{\max})

    Args:
        x (torch.Tensor): Features, `[N, F]`.
        qparams (QParams): The parameters of the result.
        row_scale (torch.Tensor, optional): Factors of the rows, float32 `[N]`.
        channel_scale (torch.Tensor, optional): Factors of the features, float32 `[F]`.
        bias (torch.Tensor, optional): Added to the features, float32 `[F]`.

    Returns:
        torch.Tensor: uint8 `[N, F]`.

    Raises:
        ValueError: If `x` is not a matrix, or a result would be NaN.
    """
    if x.dim() != 2:
        raise ValueError(
            f"'x' must have shape [N, F] in INT8 (got {list(x.shape)}): run the model "
            f"of 'prepare_qat', in float32, on features with more dimensions"
        )
    if is_traced(x):
        return quantize_operator(x, *qparams, row_scale, channel_scale, bias)
    return compute_quantized(x, qparams, row_scale, channel_scale, bias)


def qlinear(
    x: Tensor,
    qparams: QParams,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    residual: Residual | None = None,
    out_qparams: QParams | None = None,
) -> Tensor:
    r"""A linear layer on quantized features, by oneDNN on the CPU.

    .. math::
        \mathbf{y} = s \, (\mathbf{q} - z) \, \mathbf{Q}^\top \mathrm{diag}(\mathbf{w})
        + \mathbf{b} + s' (\mathbf{q}' - z')

    Args:
        x (torch.Tensor): Quantized features, uint8 `[N, K]`. oneDNN has no fast code
            for other dtypes.
        qparams (QParams): The parameters of `x`.
        weight (torch.Tensor): The quantized weight, int8 `[M, K]`, or the result of
            :func:`prepack_weight`.
        weight_scale (torch.Tensor): The scales of the weight's rows, float32 `[M]`.
        bias (torch.Tensor, optional): float32 `[M]`.
        relu (bool): Whether to apply ReLU.
        residual (Residual, optional): Quantized features to add.
        out_qparams (QParams, optional): The parameters of a quantized result. If None,
            the result is float32.

    Returns:
        torch.Tensor: uint8 `[N, M]` with `out_qparams`, else float32.

    Raises:
        TypeError: If `x` is not uint8.
    """
    if x.dtype != torch.uint8:
        raise TypeError(f"'x' must have dtype torch.uint8 (got {x.dtype})")
    known = weight, weight_scale, bias, relu
    if is_traced(x):
        added = residual or (None, 0.0, 0)
        end = *added, *flat_qparams(out_qparams)
        return qlinear_operator(x, *qparams, *known, *end)
    return compute_linear(x, qparams, *known, residual, out_qparams)


def quantize_linear(
    x: Tensor,
    qparams: QParams,
    row_scale: Tensor | None,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    out_qparams: QParams | None = None,
) -> Tensor:
    """Quantizes features and applies a linear layer, a chunk of rows at a time.

    The quantized features of a large input are never in memory all at once. See
    :func:`quantize` and :func:`qlinear`.
    """
    known = weight, weight_scale, bias, relu, None, out_qparams
    rows, columns = x.size(0), x.size(-1)
    step = max(1, _CHUNK_BYTES // max(1, columns))
    if rows * columns <= MAX_AT_ONCE or is_traced(x):
        return qlinear(quantize(x, qparams, row_scale), qparams, *known)
    out = None
    for i in range(0, rows, step):
        scale = None if row_scale is None else row_scale[i : i + step]
        chunk = quantize(x[i : i + step], qparams, scale)
        part = qlinear(chunk, qparams, *known)
        if out is None:
            out = memory.empty(part, rows, part.size(1))
        out[i : i + step] = part
    assert out is not None
    return out

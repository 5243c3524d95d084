"""INT8: sums of codes over a HAG, products of codes, and rounding to codes.

A code q stands for :math:`s (q - z)`, with a scale s and a zero point z.
"""

import torch
from torch import Tensor

from pyg_hag import _memory
from pyg_hag.hag import HAG
from pyg_hag.ops._codes import Epilogue, Rest, Scale
from pyg_hag.ops._codes_compute import (
    compute_codes,
    compute_product,
    compute_reduction,
    packed,
)
from pyg_hag.ops._codes_library import (
    flat,
    product_operator,
    reduction_operator,
    rounding_operator,
)
from pyg_hag.ops._operators import _is_traced
from pyg_hag.ops._products import products_are_exact

__all__ = [
    "Epilogue",
    "Rest",
    "Scale",
    "aggregate_codes",
    "linear_codes",
    "linear_rounded",
    "packed",
    "products_are_exact",
    "round_to_codes",
]

REDUCES = ("sum", "max", "min")
_PART = 32 << 20  # bytes of codes that lie in memory at once


def aggregate_codes(
    x: Tensor,
    of: Scale,
    hag: HAG,
    reduce: str = "sum",
    own: Tensor | None = None,
    epilogue: Epilogue | None = None,
) -> Tensor:
    r"""Reduces codes over a HAG.

    .. math::
        \mathbf{y}_v = \mathrm{epilogue}\Big( s \Big( \sum_{u \in \mathcal{N}(v)}
        (\mathbf{q}_u - z) + c_v (\mathbf{q}_v - z) \Big) \Big)

    The sum is one of whole numbers and so has the same bits on every HAG of a graph,
    with any number of threads. They are as wide as the largest degree needs.

    Codes of four bits are put two to a byte first, if there is an even number of
    features, so that sums read half of the bytes.

    Args:
        x (torch.Tensor): Codes of the sources, uint8 `[num_src, F]`.
        of (Scale): What they stand for.
        hag (HAG): The graph.
        reduce (str): `"sum"`, `"max"` or `"min"`.
        own (torch.Tensor, optional): How often each node's own codes count besides
            (for sums), int32 `[num_dst]`; below 0 where they are subtracted.
        epilogue (Epilogue, optional): What becomes of the result.

    Returns:
        torch.Tensor: uint8 (or float32) `[num_dst, F]`.

    Raises:
        TypeError: If codes are not uint8.
        ValueError: If shapes or `reduce` are wrong.
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
    if _is_traced(x):
        return reduction_operator(x, *of, *hag._handle, reduce, own, *flat(epilogue))
    return compute_reduction(x, of, hag, reduce, own, epilogue)


def round_to_codes(
    x: Tensor,
    to: Scale,
    factor: Tensor | None = None,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    r"""Rounds values to codes.

    .. math::
        \mathrm{clamp}(\lfloor a_v (\mathbf{g} \odot \mathbf{x}_v + \mathbf{b})
        / s \rceil + z)

    Args:
        x (torch.Tensor): Values, `[N, F]`.
        to (Scale): What codes stand for.
        factor (torch.Tensor, optional): Factors of the rows, float32 `[N]`.
        gain (torch.Tensor, optional): Factors of the features, float32 `[F]`.
        bias (torch.Tensor, optional): What is added to them, float32 `[F]`.

    Returns:
        torch.Tensor: uint8 `[N, F]`.

    Raises:
        ValueError: If x has another shape.
    """
    if x.dim() != 2:
        raise ValueError(
            f"'x' must have shape [N, F] in INT8 (got {list(x.shape)}): run the "
            f"quantized model in float32 on features of more dimensions"
        )
    if _is_traced(x):
        return rounding_operator(x, *to, factor, gain, bias)
    return compute_codes(x, to, factor, gain, bias)


def linear_codes(
    x: Tensor,
    of: Scale,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    rest: Rest | None = None,
    to: Scale | None = None,
) -> Tensor:
    r"""A linear layer on codes, by oneDNN.

    .. math::
        \mathbf{y} = s \, (\mathbf{q} - z) \, \mathrm{diag}(\mathbf{w})
        \mathbf{Q}^\top + \mathbf{b} + s' (\mathbf{q}' - z')

    Args:
        x (torch.Tensor): Codes, uint8 `[N, K]`: for others oneDNN has no fast code.
        of (Scale): What they stand for.
        weight (torch.Tensor): Codes of the weight, int8 `[M, K]`, or what
            :func:`packed` makes of them.
        weight_scale (torch.Tensor): Their scales, float32 `[M]`.
        bias (torch.Tensor, optional): float32 `[M]`.
        relu (bool): Whether what is negative becomes 0.
        rest (Rest, optional): Codes that are added.
        to (Scale, optional): What codes of the result stand for; else it is float32.

    Returns:
        torch.Tensor: uint8 (or float32) `[N, M]`.
    """
    if x.dtype != torch.uint8:
        raise TypeError(f"'x' must have dtype torch.uint8 (got {x.dtype})")
    if _is_traced(x):
        other = rest or (None, 0.0, 0)
        end = to or (0.0, 0, 0)
        known = *of, weight, weight_scale, bias
        return product_operator(x, *known, relu, *other, *end)
    return compute_product(x, of, weight, weight_scale, bias, relu, rest, to)


def linear_rounded(
    x: Tensor,
    to_codes: Scale,
    factor: Tensor | None,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    to: Scale | None = None,
) -> Tensor:
    """Rounds values to codes and multiplies them, some rows at a time.

    So that all codes never lie in memory at once. See :func:`round_to_codes` and
    :func:`linear_codes`.
    """
    known = weight, weight_scale, bias, relu, None, to
    rows, columns = x.size(0), x.size(-1)
    step = max(1, _PART // max(1, columns))
    if rows * columns <= 2 * _PART or _is_traced(x):
        return linear_codes(round_to_codes(x, to_codes, factor), to_codes, *known)
    out = None
    for i in range(0, rows, step):
        some = None if factor is None else factor[i : i + step]
        codes = round_to_codes(x[i : i + step], to_codes, some)
        part = linear_codes(codes, to_codes, *known)
        if out is None:
            out = _memory.empty(part, rows, part.size(1))
        out[i : i + step] = part
    assert out is not None
    return out

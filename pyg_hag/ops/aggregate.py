"""The one door to the kernels, and what it checks."""

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops._operators import BACKENDS, max_over, sum_over

REDUCES = ("sum", "mean", "max", "min")
SIGNED_REDUCES = ("sum", "mean")
"""Those that can be taken back: the ones over a HAG that subtracts."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def aggregate(
    x: Tensor,
    hag: HAG,
    reduce: str = "sum",
    src_scale: Tensor | None = None,
    dst_scale: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    r"""Aggregates the features of every destination's neighbours over a HAG.

    .. math::
        \mathbf{y}_v = b_v \cdot \bigoplus_{u \in \mathcal{N}(v)}
        a_u \, \mathbf{x}_u

    with `src_scale` :math:`a`, `dst_scale` :math:`b` (both 1 by default) and the
    reduction :math:`\bigoplus`. The result is that of the graph which the HAG
    stands for; shared groups of neighbours are computed once (Jia et al., KDD 2020,
    Algorithm 2). Destinations without neighbours get 0. Gradients flow to `x` and
    to the scales; that of max and min is split evenly among the neighbours that
    attain it, as in PyTorch's `scatter_reduce`.

    Over a HAG that subtracts (`build_hag(subtract=True)`), sums and means round
    differently, by about the precision of the dtype times the largest value that is
    added and subtracted: a row with one huge entry disturbs the sums that pass
    through it, and an infinity or NaN turns those into NaN.

    Args:
        x (torch.Tensor): Source features of shape `[num_src, *]`, in float32,
            float64, float16 or bfloat16. The latter two are summed in float32.
        hag (HAG): The graph.
        reduce (str): `"sum"`, `"mean"`, `"max"` or `"min"`.
        src_scale (torch.Tensor, optional): Factors of the sources, `[num_src]`.
        dst_scale (torch.Tensor, optional): Factors of the destinations,
            `[num_dst]`.
        backend (str, optional): `"numba"` (CPU) or `"torch"` (the reference, any
            device). By default the fastest for the device of `x`.

    Returns:
        torch.Tensor: Shape `[num_dst, *]`, with the dtype of `x`.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes, devices or names do not fit, or `reduce` is max or min
            and the HAG subtracts.
    """
    backend = _check(x, hag, reduce, src_scale, dst_scale, backend)
    if hag.is_signed and reduce not in SIGNED_REDUCES:
        raise ValueError(
            f"'reduce' must be one of {SIGNED_REDUCES} over a HAG that subtracts (got "
            f"{reduce!r}): build it without 'subtract'"
        )
    if reduce in SIGNED_REDUCES:
        mean = reduce == "mean"
        return sum_over(x, src_scale, dst_scale, hag, mean, False, backend)
    if src_scale is not None:
        x = x * _per_row(src_scale, x)
    out = max_over(x, hag, reduce == "min", backend)
    if dst_scale is not None:
        out = out * _per_row(dst_scale, out)
    return out


def _per_row(scale: Tensor, x: Tensor) -> Tensor:
    return scale.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


def _check(
    x: object,
    hag: object,
    reduce: object,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    backend: str | None,
) -> str:
    if not isinstance(hag, HAG):
        raise TypeError(
            f"'hag' must be a HAG (got {type(hag).__name__}); build it with "
            f"'build_hag(edge_index)'"
        )
    if not isinstance(x, Tensor):
        raise TypeError(f"'x' must be a torch.Tensor (got {type(x).__name__})")
    if x.dtype not in DTYPES:
        raise TypeError(
            f"'x' must be float32, float64, float16 or bfloat16 (got {x.dtype}); "
            f"convert it with 'x.float()'"
        )
    if x.dim() == 0 or x.size(0) != hag.num_src:
        raise ValueError(
            f"'x' must have shape [num_src, *] with num_src={hag.num_src} (got "
            f"{list(x.shape)})"
        )
    if x.device != hag.device:
        raise ValueError(
            f"'x' is on {x.device}, but 'hag' is on {hag.device}: move one with '.to()'"
        )
    if reduce not in REDUCES:
        raise ValueError(f"'reduce' must be one of {REDUCES} (got {reduce!r})")
    for name, scale, size in (
        ("src_scale", src_scale, hag.num_src),
        ("dst_scale", dst_scale, hag.num_dst),
    ):
        if scale is None:
            continue
        if not isinstance(scale, Tensor) or not scale.is_floating_point():
            kind = scale.dtype if isinstance(scale, Tensor) else type(scale).__name__
            raise TypeError(f"'{name}' must be a floating-point tensor (got {kind})")
        if scale.shape != (size,):
            raise ValueError(
                f"'{name}' must have shape [{size}] (got {list(scale.shape)})"
            )
        if scale.device != x.device:
            raise ValueError(f"'{name}' is on {scale.device}, but 'x' is on {x.device}")
    if backend is None:
        return "numba" if x.device.type == "cpu" else "torch"
    if backend not in BACKENDS:
        raise ValueError(f"'backend' must be one of {list(BACKENDS)} (got {backend!r})")
    if backend == "numba" and x.device.type != "cpu":
        raise ValueError(
            f"backend 'numba' runs on the CPU, but 'x' is on {x.device}: leave "
            f"'backend' out"
        )
    return backend

"""The one door to the kernels, and what it checks."""

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops import _scatter, _triton
from pyg_hag.ops._compute import BACKENDS, Scales, fastest, per_row
from pyg_hag.ops._operators import many_over, max_over, sum_over, symmetric_scale

REDUCES = ("sum", "mean", "symnorm", "max", "min", "var", "std")
SIGNED_REDUCES = ("sum", "mean", "symnorm")
"""Those that can be taken back: the ones over a HAG that subtracts."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def aggregate(
    x: Tensor,
    hag: HAG,
    reduce: str | list[str] | tuple[str, ...] = "sum",
    src_scale: Tensor | None = None,
    dst_scale: Tensor | None = None,
    self_scale: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    r"""Aggregates the features of every destination's neighbours over a HAG.

    .. math::
        \mathbf{y}_v = b_v \cdot \bigoplus_{u \in \mathcal{N}(v)}
        a_u \, \mathbf{x}_u + c_v \cdot \mathbf{x}_v

    with `src_scale` :math:`a`, `dst_scale` :math:`b` (both 1 by default),
    `self_scale` :math:`c` (0 by default) and the reduction :math:`\bigoplus`. The
    result is that of the graph which the HAG stands for; shared groups of neighbours
    are computed once (Jia et al., KDD 2020, Algorithm 2). Destinations without
    neighbours get 0. Gradients flow to `x` and to the scales; that of max and min is
    split evenly among the neighbours that attain it, as in PyTorch's
    `scatter_reduce`. Variance and standard deviation are those of PyG's aggregations:
    the mean of the squares less the square of the mean, and its root, which is 0 up
    to a variance of 1e-5.

    Several reductions share one pass: `reduce=["sum", "max", "std"]` reads every
    input once.

    Over a HAG that subtracts (`build_hag(subtract=True)`), sums and means round
    differently, by about the precision of the dtype times the largest value that is
    added and subtracted: a row with one huge entry disturbs the sums that pass
    through it, and an infinity or NaN turns those into NaN.

    Args:
        x (torch.Tensor): Source features of shape `[num_src, *]`, in float32,
            float64, float16 or bfloat16. The latter two are summed in float32.
        hag (HAG): The graph.
        reduce (str or list[str]): `"sum"`, `"mean"`, `"max"`, `"min"`, `"var"`,
            `"std"` or, with as many sources as destinations, `"symnorm"`: the sum of
            :math:`\mathbf{x}_u / \sqrt{d_u d_v}` with in-degrees :math:`d`. Or several
            of them.
        src_scale (torch.Tensor, optional): Factors of the sources, `[num_src]`.
        dst_scale (torch.Tensor, optional): Factors of the destinations,
            `[num_dst]`.
        self_scale (torch.Tensor, optional): Factors of the nodes themselves, which
            are added, `[num_dst]`. Only for sum and mean, and as many sources as
            destinations. Where it is 0, nothing is added, whatever `x` is.
        backend (str, optional): `"numba"` (CPU), `"triton"` (CUDA), `"torch_scatter"`
            (any device that this package knows, if it is installed),
            `"segment_reduce"` (PyTorch's own, any device) or `"torch"` (the reference,
            any device). By default the first of them that there is for `x`.

    Returns:
        torch.Tensor: Shape `[num_dst, *]`, with the dtype of `x`. For a list of k
        reductions, their results side by side in the last dimension: `[num_dst, *, k
        * F]` for x of shape `[num_src, *, F]`, and `[num_dst, k]` for `[num_src]`.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes, devices or names do not fit, or the HAG subtracts and
            `reduce` is neither sum, mean nor symnorm.
    """
    backend = _check(x, hag, reduce, src_scale, dst_scale, self_scale, backend)
    if reduce == "sum" or reduce == "mean":
        scales: Scales = src_scale, dst_scale, self_scale
        return sum_over(x, scales, hag, reduce == "mean", False, backend)
    if reduce == "symnorm":
        norm = symmetric_scale(hag, x)
        both = [norm if s is None else norm * s for s in (src_scale, dst_scale)]
        scales = both[0], both[1], self_scale
        return sum_over(x, scales, hag, False, False, backend)
    if src_scale is not None:
        x = x * per_row(src_scale, x)
    if reduce == "max" or reduce == "min":
        out = max_over(x, hag, reduce == "min", backend)
    else:
        reduces = (reduce,) if isinstance(reduce, str) else tuple(reduce)
        out = _side_by_side(x, hag, reduces, backend)
        if isinstance(reduce, str):
            out = out.view(out.size(0), *x.shape[1:])
    if dst_scale is not None:
        out = out * per_row(dst_scale, out)
    return out


def _side_by_side(
    x: Tensor, hag: HAG, reduces: tuple[str, ...], backend: str
) -> Tensor:
    distinct = tuple(dict.fromkeys(reduces))
    out = many_over(x.flatten(1) if x.dim() > 1 else x[:, None], hag, distinct, backend)
    if x.dim() <= 2 and len(distinct) == len(reduces):
        return out
    inner = x.shape[1:] if x.dim() > 1 else (1,)
    out = out.view(out.size(0), len(distinct), *inner)
    if len(distinct) < len(reduces):
        out = out[:, [distinct.index(name) for name in reduces]]
    return out.movedim(1, -2).flatten(-2)


def _check(
    x: object,
    hag: object,
    reduce: object,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
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
    _check_reduce(reduce, hag)
    if src_scale is not None or dst_scale is not None or self_scale is not None:
        _check_scales(x, hag, reduce, src_scale, dst_scale, self_scale)
    if backend is None:
        return fastest(x.device.type)
    if backend not in BACKENDS:
        raise ValueError(f"'backend' must be one of {list(BACKENDS)} (got {backend!r})")
    if backend == "numba" and x.device.type != "cpu":
        raise ValueError(
            f"backend 'numba' runs on the CPU, but 'x' is on {x.device}: leave "
            f"'backend' out"
        )
    if backend == "triton" and not _triton.IS_THERE:
        raise ValueError(
            "backend 'triton' needs that package, which is not installed: leave "
            "'backend' out, or 'pip install triton'"
        )
    if backend == "triton" and x.device.type != "cuda" and not _triton.is_interpreted():
        raise ValueError(
            f"backend 'triton' runs on CUDA, but 'x' is on {x.device}: leave 'backend' "
            f"out, or set TRITON_INTERPRET=1 before Triton is imported, to test"
        )
    if backend == "torch_scatter" and not _scatter.IS_THERE:
        raise ValueError(
            "backend 'torch_scatter' needs that package, which is not installed: leave "
            "'backend' out, or 'pip install torch_scatter'"
        )
    return backend


def _check_scales(
    x: Tensor,
    hag: HAG,
    reduce: object,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
) -> None:
    if self_scale is not None:
        if reduce not in SIGNED_REDUCES:
            raise ValueError(
                f"'self_scale' goes with 'reduce' in {SIGNED_REDUCES} (got {reduce!r}):"
                f" add the nodes themselves behind 'aggregate'"
            )
        if hag.num_src != hag.num_dst:
            raise ValueError(
                f"'self_scale' needs as many sources as destinations (got "
                f"{hag.num_src} and {hag.num_dst})"
            )
    for name, scale, size in (
        ("src_scale", src_scale, hag.num_src),
        ("dst_scale", dst_scale, hag.num_dst),
        ("self_scale", self_scale, hag.num_dst),
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


def _check_reduce(reduce: object, hag: HAG) -> None:
    if isinstance(reduce, str) and reduce in ("sum", "mean"):
        return
    names = reduce if isinstance(reduce, list | tuple) else [reduce]
    if not names or any(name not in REDUCES for name in names):
        raise ValueError(
            f"'reduce' must be one of {REDUCES}, or a list of them (got {reduce!r})"
        )
    if "symnorm" in names and hag.num_src != hag.num_dst:
        raise ValueError(
            f"'reduce' is 'symnorm', which needs as many sources as destinations (got "
            f"{hag.num_src} and {hag.num_dst})"
        )
    if hag.is_signed and reduce not in SIGNED_REDUCES:
        raise ValueError(
            f"'reduce' must be one of {SIGNED_REDUCES} over a HAG that subtracts (got "
            f"{reduce!r}): build it without 'subtract'"
        )

"""The one door to the kernels: checks, operators and their gradients."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_hag._plan import inverse_degree
from pyg_hag.hag import HAG
from pyg_hag.ops import _numba, _torch

BACKENDS: dict[str, ModuleType] = {"numba": _numba, "torch": _torch}
"""The backends of :func:`aggregate`, by name."""

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
    if reduce in ("sum", "mean"):
        return _sum(
            x, src_scale, dst_scale, hag.tensors, hag.num_src, reduce == "mean", False,
            backend,
        )  # fmt: skip
    if src_scale is not None:
        x = x * _per_row(src_scale, x)
    out = _max(x, hag.tensors, hag.num_src, reduce == "min", backend)
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


# Operators ####################################################################
#
# They take the HAG's flat tensors, so that torch.compile sees tensors only; the HAG
# and what is cached on it are found again from them.


@torch.library.custom_op("pyg_hag::aggregate_sum", mutates_args=())
def _sum(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    tensors: list[Tensor],
    num_src: int,
    mean: bool,
    transpose: bool,
    backend: str,
) -> Tensor:
    hag = HAG._of(num_src, tensors)
    flat = _flat(x)
    before = None if src_scale is None else src_scale.detach().to(flat.dtype)
    after = None if dst_scale is None else dst_scale.detach().to(flat.dtype)
    if mean:  # a weight of the destinations, which the transpose reads as sources
        weight = inverse_degree(hag, flat.dtype)
        if transpose:
            before = weight if before is None else before * weight
        else:
            after = weight if after is None else after * weight
    before = None if before is None else before.contiguous()
    after = None if after is None else after.contiguous()
    walked = hag.t() if transpose else hag
    out = BACKENDS[backend].aggregate_sum(flat, before, after, walked)
    return out.to(x.dtype).view(out.size(0), *x.shape[1:])


@_sum.register_fake
def _(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    tensors: list[Tensor],
    num_src: int,
    mean: bool,
    transpose: bool,
    backend: str,
) -> Tensor:
    rows = num_src if transpose else tensors[4].size(0)
    return x.new_empty(rows, *x.shape[1:])


def _sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, src_scale, dst_scale, tensors, *ctx.rest = inputs
    scaled = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
    ctx.save_for_backward(x if scaled else None, src_scale, dst_scale, *tensors)


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, src_scale, dst_scale, *tensors = ctx.saved_tensors
    num_src, mean, transpose, backend = ctx.rest
    grad_x = grad_src = grad_dst = None
    if ctx.needs_input_grad[0]:
        grad_x = _sum(
            grad, dst_scale, src_scale, tensors, num_src, mean, not transpose, backend
        )
    if ctx.needs_input_grad[1]:
        back = _sum(
            grad, dst_scale, None, tensors, num_src, mean, not transpose, backend
        )
        grad_src = _row_products(x, back).to(src_scale.dtype)
    if ctx.needs_input_grad[2]:
        out = _sum(x, src_scale, None, tensors, num_src, mean, transpose, backend)
        grad_dst = _row_products(grad, out).to(dst_scale.dtype)
    return grad_x, grad_src, grad_dst, [None] * len(tensors), None, None, None, None


def _row_products(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1) if a.dim() > 1 else a * b


_sum.register_autograd(_sum_backward, setup_context=_sum_setup)


@torch.library.custom_op("pyg_hag::aggregate_max", mutates_args=())
def _max(
    x: Tensor, tensors: list[Tensor], num_src: int, minimum: bool, backend: str
) -> Tensor:
    hag = HAG._of(num_src, tensors)
    out = BACKENDS[backend].aggregate_max(_flat(x), hag, minimum)
    return out.to(x.dtype).view(out.size(0), *x.shape[1:])


@_max.register_fake
def _(
    x: Tensor, tensors: list[Tensor], num_src: int, minimum: bool, backend: str
) -> Tensor:
    return x.new_empty(tensors[4].size(0), *x.shape[1:])


@torch.library.custom_op("pyg_hag::aggregate_max_backward", mutates_args=())
def _max_grad(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: list[Tensor],
    num_src: int,
    minimum: bool,
    backend: str,
) -> Tensor:
    hag = HAG._of(num_src, tensors)
    grad_x = BACKENDS[backend].aggregate_max_backward(
        _flat(grad), _flat(x), _flat(out), hag, minimum
    )
    return grad_x.to(x.dtype).view(x.shape)


@_max_grad.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: list[Tensor],
    num_src: int,
    minimum: bool,
    backend: str,
) -> Tensor:
    return x.new_empty(x.shape)


def _max_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, tensors, *ctx.rest = inputs
    ctx.save_for_backward(x, output, *tensors)


def _max_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, out, *tensors = ctx.saved_tensors
    grad_x = _max_grad(grad, x, out, tensors, *ctx.rest)
    return grad_x, [None] * len(tensors), None, None, None


_max.register_autograd(_max_backward, setup_context=_max_setup)


def _flat(x: Tensor) -> Tensor:
    """Contiguous `[N, F]`, widened to float32 where the dtype is narrower."""
    x = x.detach()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return x.reshape(x.size(0), x.shape[1:].numel()).contiguous()

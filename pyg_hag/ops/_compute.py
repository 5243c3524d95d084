"""What runs for one call, without autograd: features of any shape to a backend.

And the formulas of the gradients, made of such calls.
"""

import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_hag._plan import inverse_degree, symmetric_norm
from pyg_hag.hag import HAG
from pyg_hag.ops import _numba, _scatter, _segment_reduce, _torch, _triton

BACKENDS: dict[str, ModuleType] = {
    "numba": _numba,
    "triton": _triton,
    "torch_scatter": _scatter,
    "segment_reduce": _segment_reduce,
    "torch": _torch,
}
"""The backends of :func:`pyg_hag.aggregate`, by name."""

Scales = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Factors of the sources, of the destinations, and of each node for itself."""


def fastest(device: str) -> str:
    """The backend for a type of device."""
    if device == "cpu":
        return "numba"
    if device == "cuda" and _triton.IS_THERE:
        return "triton"
    if not _scatter.IS_THERE:
        _warn(device)
        return "segment_reduce"
    return "torch_scatter"


@torch.compiler.assume_constant_result  # so that it also warns where this is compiled
def _warn(device: str) -> None:
    _warn_of_segment_reduce(device)


@functools.cache
def _warn_of_segment_reduce(device: str) -> None:
    better = "'pip install triton'" if device == "cuda" else "install torch_scatter"
    warnings.warn(
        f"no kernels of pyg_hag run on {device!r} here: sums are those of "
        f"'torch.segment_reduce', level by level, which is slower; {better}",
        stacklevel=2,
    )


def compute_sum(
    x: Tensor, scales: Scales, hag: HAG, mean: bool, transpose: bool, backend: str
) -> Tensor:
    """`y[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`.

    Or the mean instead of the sum. Over the transposed graph, the mean's weights are
    those of its sources.
    """
    kernels = BACKENDS[backend]
    flat = _flat(x, kernels)
    dtype = computed_dtype(x)
    before, after, own = [s if s is None else _factors(s, dtype) for s in scales]
    if mean:  # a weight of the destinations, which the transpose reads as sources
        weight = inverse_degree(hag, dtype)
        if transpose:
            before = weight if before is None else before * weight
        else:
            after = weight if after is None else after * weight
    walked = hag._turned() if transpose else hag
    return _shaped(kernels.aggregate_sum(flat, before, after, own, walked), x)


def compute_max(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    kernels = BACKENDS[backend]
    return _shaped(kernels.aggregate_max(_flat(x, kernels), hag, minimum), x)


def compute_max_grad(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool, backend: str
) -> Tensor:
    """The gradient of :func:`compute_max`."""
    wide = (_flat(t, _torch) for t in (grad, x, out))
    return _shaped(BACKENDS[backend].aggregate_max_backward(*wide, hag, minimum), x)


def compute_many(x: Tensor, hag: HAG, reduces: tuple[str, ...], backend: str) -> Tensor:
    """Several reductions of x `[N, F]`, side by side: `[num_dst, len(reduces) * F]`."""
    kernels = BACKENDS[backend]
    flat = _flat(x, kernels)
    dtype = computed_dtype(x)
    weight = inverse_degree(hag, dtype)
    norm = symmetric_norm(hag, dtype) if "symnorm" in reduces else None
    out: Tensor = kernels.aggregate_many(flat, weight, norm, hag, reduces)
    return out.to(x.dtype)


def computed_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which features are summed."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _flat(x: Tensor, kernels: ModuleType) -> Tensor:
    """Contiguous `[N, F]`, widened where the backend does not read the dtype."""
    if x.dtype not in kernels.DTYPES:
        x = x.float()
    if x.dim() != 2:
        x = x.reshape(x.size(0), x.shape[1:].numel())
    return x.contiguous()


def _shaped(out: Tensor, like: Tensor) -> Tensor:
    if out.dtype != like.dtype:
        out = out.to(like.dtype)
    return out if like.dim() == 2 else out.view(out.size(0), *like.shape[1:])


def _factors(scale: Tensor, dtype: torch.dtype) -> Tensor:
    return scale.detach().to(dtype).contiguous()


# Gradients ####################################################################


def sum_grads(
    grad: Tensor,
    x: Any,
    scales: Any,
    needed: tuple[bool, ...],
    over: Callable[[Tensor, Any, Any, Any, bool], Tensor],
) -> tuple[Tensor | None, ...]:
    """Gradients of x and the scales; `over(x, a, b, c, turned)` sums over the HAG.

    Those that are not needed may lack what they are made of.
    """
    before, after, own = scales
    grad_x = grad_before = grad_after = grad_own = None
    if needed[1]:
        back = over(grad, after, None, None, True)
        grad_before = _row_products(x, back).to(before.dtype)
    if needed[0] and needed[1] and own is None:
        grad_x = (back * per_row(before, back)).to(x.dtype)
    elif needed[0]:
        grad_x = over(grad, after, before, own, True)
    if needed[2]:
        out = over(x, before, None, None, False)
        grad_after = _row_products(grad, out).to(after.dtype)
    if needed[3]:
        grad_own = _row_products(grad, x).to(own.dtype)
    return grad_x, grad_before, grad_after, grad_own


def _row_products(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1) if a.dim() > 1 else a * b


def per_row(scale: Tensor, x: Tensor) -> Tensor:
    """Factors of the rows of x, in its dtype, to multiply it with."""
    return scale.to(x.dtype).view(-1, *[1] * (x.dim() - 1))

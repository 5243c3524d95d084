"""One call of a backend's kernel, without autograd, for features of any shape."""

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.ops.backend import Backend
from pyg_hag.ops.composed import composed
from pyg_hag.ops.dispatch import BACKENDS
from pyg_hag.utils.tensors import computed_dtype

Scales = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Factors of the sources, of the destinations, and of each node for itself."""


def compute_sum(
    x: Tensor, scales: Scales, hag: HAG, transposed: bool, backend: str
) -> Tensor:
    """`y[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`.

    Over the graph or its transpose.
    """
    kernels = _kernels(x, backend)
    before, after, own = scales
    if not before is after is own is None:
        dtype = computed_dtype(x)
        before, after, own = [s if s is None else _factors(s, dtype) for s in scales]
    hag = hag.transposed() if transposed else hag
    flat = _flat(x, kernels.dtypes)
    out = kernels.aggregate_sum(flat, before, after, own, hag)
    return out if flat is x else _shaped(out, x)


def compute_max(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    kernels = _kernels(x, backend)
    return _shaped(kernels.aggregate_max(_flat(x, kernels.dtypes), hag, minimum), x)


def compute_max_grad(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool, backend: str
) -> Tensor:
    """The gradient of :func:`compute_max`."""
    flat, wide, best = (_flat(t, Backend.dtypes) for t in (grad, x, out))
    kernels = BACKENDS[backend]
    return _shaped(kernels.aggregate_max_backward(flat, wide, best, hag, minimum), x)


def compute_many(
    x: Tensor,
    inverse_degree: Tensor,
    norm: Tensor | None,
    hag: HAG,
    reduces: tuple[str, ...],
    backend: str,
) -> Tensor:
    """Several reductions of x `[N, F]`, side by side: `[num_dst, len(reduces) * F]`."""
    kernels = BACKENDS[backend]
    flat = _flat(x, kernels.dtypes)
    if kernels.reductions:
        out = kernels.aggregate_many(flat, inverse_degree, norm, hag, reduces)
        return out.to(x.dtype)

    def sum_of(x: Tensor, weight: Tensor | None) -> Tensor:
        return kernels.aggregate_sum(x, None, weight, None, hag)

    def max_of(x: Tensor, minimum: bool) -> Tensor:
        return kernels.aggregate_max(x, hag, minimum)

    return composed(flat, reduces, sum_of, max_of, inverse_degree, norm).to(x.dtype)


def _kernels(x: Tensor, backend: str) -> Backend:
    """The backend, or the reference for integers, which the others do not read."""
    return BACKENDS[backend if x.dtype.is_floating_point else "torch"]


def _flat(x: Tensor, dtypes: tuple[torch.dtype, ...]) -> Tensor:
    """Contiguous `[N, F]`; floats are widened where their dtype is none of these."""
    if x.dtype not in dtypes and x.dtype.is_floating_point:
        x = x.float()
    if x.dim() != 2:
        x = x.reshape(x.size(0), x.shape[1:].numel())
    return x if x.is_contiguous() else x.contiguous()


def _shaped(out: Tensor, like: Tensor) -> Tensor:
    if out.dtype != like.dtype:
        out = out.to(like.dtype)
    return out if like.dim() == 2 else out.view(out.size(0), *like.shape[1:])


def _factors(scale: Tensor, dtype: torch.dtype) -> Tensor:
    if scale.dtype is dtype and scale.is_contiguous() and not scale.requires_grad:
        return scale
    return scale.detach().to(dtype).contiguous()

"""Reductions edge by edge, by PyTorch's own differentiable operators.

They can be differentiated any number of times, forward and backward, and mapped by
`torch.func`. They take the place of kernels under such transforms.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.utils.tensors import computed_dtype, per_row

_functorch_is_active = getattr(torch._C, "_are_functorch_transforms_active", None)
_is_batch = torch._C._functorch.is_legacy_batchedtensor


def functorch_is_active() -> bool:
    """Whether this is called under a transform of `torch.func`, or may be."""
    return _functorch_is_active is None or bool(_functorch_is_active())


def transforms_are_active() -> bool:
    """Whether this is called under a transform of `torch.func`, or in forward mode."""
    return forward_ad._current_level >= 0 or functorch_is_active()


def is_transformed(x: Tensor) -> bool:
    """Whether kernels would see wrapped tensors, or lose a tangent.

    Args:
        x: What they would read: features, or a gradient in a backward pass, which may
            be a batch of gradients (`is_grads_batched`).
    """
    return transforms_are_active() or _is_batch(x)


def is_variable(x: Tensor) -> bool:
    """Whether x itself is what a transform maps or differentiates by."""
    if torch.compiler.is_compiling():
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        return True
    is_forward = forward_ad._current_level >= 0
    return is_forward and forward_ad.unpack_dual(x).tangent is not None


def sum_on_edges(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    hag: AbstractHAG,
    transposed: bool,
) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_sum`."""
    src, dst, num_dst = _ends(hag, transposed)
    wide = x.to(computed_dtype(x))
    scaled = wide if src_scale is None else wide * per_row(src_scale, wide)
    out = wide.new_zeros(num_dst, *x.shape[1:]).index_add(0, dst, scaled[src])
    if dst_scale is not None:
        out = out * per_row(dst_scale, out)
    if self_scale is not None:
        factor = per_row(self_scale, wide)
        out = out + torch.where(factor == 0, 0.0, factor * wide)
    return out.to(x.dtype)


def max_on_edges(x: Tensor, hag: AbstractHAG, minimum: bool) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_max`."""
    src, dst, num_dst = _ends(hag)
    values = x[src]
    index = dst.view(-1, *[1] * (x.dim() - 1)).expand_as(values)
    out = x.new_zeros(num_dst, *x.shape[1:])
    reduce = "amin" if minimum else "amax"
    return out.scatter_reduce(0, index, values, reduce, include_self=False)


def max_grad_on_edges(grad: Tensor, x: Tensor, out: Tensor, hag: AbstractHAG) -> Tensor:
    """The gradient of :func:`max_on_edges` with respect to x, linear in `grad`."""
    src, dst, _ = _ends(hag)
    hit, count = _hits(x, out, src, dst)
    shares = hit * (grad / count)[dst]
    return torch.zeros_like(x).index_add(0, src, shares.to(x.dtype))


def max_tangent_on_edges(
    tangent: Tensor, x: Tensor, out: Tensor, hag: AbstractHAG
) -> Tensor:
    """The derivative of :func:`max_on_edges` along a tangent of x, linear in it."""
    src, dst, _ = _ends(hag)
    hit, count = _hits(x, out, src, dst)
    values = hit * tangent[src]
    return torch.zeros_like(out).index_add(0, dst, values.to(out.dtype)) / count


def _hits(x: Tensor, out: Tensor, src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor]:
    """Which edges attain the extreme, and how many per destination.

    The zero that a reduction starts from counts as well, as in PyTorch.
    """
    hit = (x[src] == out[dst]).to(out.dtype)
    zero = (out == 0).to(out.dtype)
    return hit, zero.index_add(0, dst, hit).clamp(min=1)


def _ends(hag: AbstractHAG, transposed: bool = False) -> tuple[Tensor, Tensor, int]:
    """Both ends of each edge, and the number of nodes where the edges end."""
    src, dst = hag.edge_index_of_any_order()
    return (dst, src, hag.num_src) if transposed else (src, dst, hag.num_dst)

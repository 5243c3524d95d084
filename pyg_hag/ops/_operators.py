"""The kernels as differentiable operators.

Two doors to the same functions. Eager calls go through `torch.autograd.Function`, or
straight where no gradient is asked for: a fraction of the time that an operator of
`torch.library` takes. Compilers and tracers see such operators.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from pyg_hag._plan import symmetric_norm
from pyg_hag.hag import HAG
from pyg_hag.ops._composed import composed
from pyg_hag.ops._compute import (
    Scales,
    compute_many,
    compute_max,
    compute_max_grad,
    compute_sum,
    computed_dtype,
    sum_grads,
)
from pyg_hag.ops._library import max_operator, norm_operator, sum_operator
from pyg_hag.ops._many import many_grads

_functorch_is_active = getattr(torch._C, "_are_functorch_transforms_active", None)


def sum_over(
    x: Tensor, scales: Scales, hag: HAG, mean: bool, transpose: bool, backend: str
) -> Tensor:
    """See :func:`pyg_hag.ops._compute.compute_sum`."""
    if _is_traced(x):
        return sum_operator(x, *scales, *hag._handle, mean, transpose, backend)
    if not _needs_grad(x, *scales):
        return compute_sum(x, scales, hag, mean, transpose, backend)
    return _applied(_Sum, x, *scales, hag, mean, transpose, backend)


def symmetric_scale(hag: HAG, x: Tensor) -> Tensor:
    """The factors of `symnorm`, also in compiled code."""
    if torch.compiler.is_compiling():
        return norm_operator(*hag._handle, computed_dtype(x))
    return symmetric_norm(hag, computed_dtype(x))


def max_over(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
    """See :func:`pyg_hag.ops._compute.compute_max`."""
    if _is_traced(x):
        return max_operator(x, *hag._handle, minimum, backend)
    if not _needs_grad(x):
        return compute_max(x, hag, minimum, backend)
    return _applied(_Max, x, hag, minimum, backend)


def many_over(x: Tensor, hag: HAG, reduces: tuple[str, ...], backend: str) -> Tensor:
    """See :func:`pyg_hag.ops._compute.compute_many`."""
    if _is_traced(x):
        none = None, None, None

        def sum_of(x: Tensor, mean: bool) -> Tensor:
            return sum_over(x, none, hag, mean, False, backend)

        def max_of(x: Tensor, minimum: bool) -> Tensor:
            return max_over(x, hag, minimum, backend)

        norm = symmetric_scale(hag, x) if "symnorm" in reduces else None
        return composed(x, reduces, sum_of, max_of, norm)
    if not _needs_grad(x):
        return compute_many(x, hag, reduces, backend)
    return _applied(_Many, x, hag, reduces, backend)


def _is_traced(x: Tensor) -> bool:
    """Whether something other than a plain tensor must see an operator."""
    return (
        torch.compiler.is_compiling()
        or type(x) not in (Tensor, torch.nn.Parameter)
        or _get_current_dispatch_mode() is not None
    )


def _needs_grad(*tensors: Tensor | None) -> bool:
    if forward_ad._current_level >= 0:  # which the function refuses
        return True
    return torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in tensors
    )


def _applied(function: Any, *args: Any) -> Tensor:
    """`function.apply(*args)`, less what that does for transforms of `torch.func`."""
    if _functorch_is_active is None or _functorch_is_active():
        out: Tensor = function.apply(*args)
    else:
        out = super(torch.autograd.Function, function).apply(*args)
    return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
        mean: bool,
        transpose: bool,
        backend: str,
    ) -> Tensor:
        scales = src_scale, dst_scale, self_scale
        return compute_sum(x, scales, hag, mean, transpose, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, src_scale, dst_scale, self_scale, *ctx.rest = inputs
        scaled = any(ctx.needs_input_grad[1:4])
        ctx.save_for_backward(x if scaled else None, src_scale, dst_scale, self_scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, *scales = ctx.saved_tensors
        hag, mean, transpose, backend = ctx.rest

        def over(x: Tensor, a: Any, b: Any, c: Any, turned: bool) -> Tensor:
            return sum_over(x, (a, b, c), hag, mean, transpose != turned, backend)

        grads = sum_grads(grad, x, scales, ctx.needs_input_grad, over)
        return *grads, None, None, None, None


class _Max(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
        return compute_max(x, hag, minimum, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, *ctx.rest = inputs
        ctx.save_for_backward(x, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, out = ctx.saved_tensors
        return _MaxGrad.apply(grad, x, out, *ctx.rest), None, None, None


class _MaxGrad(torch.autograd.Function):
    @staticmethod
    def forward(
        grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool, backend: str
    ) -> Tensor:
        return compute_max_grad(grad, x, out, hag, minimum, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> NoReturn:
        raise NotImplementedError(
            "'reduce' max and min can be differentiated once: the gradient of their "
            "gradient is not implemented"
        )


class _Many(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, hag: HAG, reduces: tuple[str, ...], backend: str) -> Tensor:
        return compute_many(x, hag, reduces, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, *ctx.rest = inputs
        ctx.save_for_backward(x, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, out = ctx.saved_tensors
        hag, reduces, backend = ctx.rest

        def over(x: Tensor, mean: bool, turned: bool) -> Tensor:
            return sum_over(x, (None, None, None), hag, mean, turned, backend)

        def max_grad(grad: Tensor, out: Tensor, minimum: bool) -> Tensor:
            return _MaxGrad.apply(grad, x.to(grad.dtype), out, hag, minimum, backend)

        grad_x = many_grads(grad, x, out, hag, reduces, over, max_grad)
        return grad_x, None, None, None

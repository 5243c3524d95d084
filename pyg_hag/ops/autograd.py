"""The kernels as differentiable operators.

Three doors to the same functions. Eager calls go through `torch.autograd.Function`, or
straight where no gradient is asked for: a fraction of the time that an operator of
`torch.library` takes. Compilers and tracers see such operators. Transforms of
`torch.func` and forward-mode differentiation get PyTorch's own operators, edge by edge.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from pyg_hag.hag import HAG
from pyg_hag.hag.abstract import AbstractHAG
from pyg_hag.ops.composed import composed
from pyg_hag.ops.edges import (
    functorch_is_active,
    is_transformed,
    max_grad_on_edges,
    max_on_edges,
    max_tangent_on_edges,
    sum_on_edges,
)
from pyg_hag.ops.gradients import many_grads, sum_grads
from pyg_hag.ops.launch import (
    Scales,
    compute_many,
    compute_max,
    compute_max_grad,
    compute_sum,
)
from pyg_hag.ops.library import max_operator, sum_operator

_Factors = Tensor | None  # made here: compilers of PyTorch 2.8 make no such types


def sum_over(
    x: Tensor, scales: Scales, hag: AbstractHAG, transposed: bool, backend: str
) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_sum`."""
    if is_traced(x):
        return sum_operator(x, *scales, *hag.handle, transposed, backend)
    if is_transformed(x):
        return sum_on_edges(x, *scales, hag, transposed)
    assert isinstance(hag, HAG)
    if not needs_grad(x, *scales):
        return compute_sum(x, scales, hag, transposed, backend)
    return applied(_Sum, x, *scales, hag, transposed, backend)


def max_over(x: Tensor, hag: AbstractHAG, minimum: bool, backend: str) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_max`."""
    if is_traced(x):
        return max_operator(x, *hag.handle, minimum, backend)
    if is_transformed(x):
        return max_on_edges(x, hag, minimum)
    assert isinstance(hag, HAG)
    if not needs_grad(x):
        return compute_max(x, hag, minimum, backend)
    return applied(_Max, x, hag, minimum, backend)


def many_over(
    x: Tensor,
    inverse_degree: Tensor,
    norm: Tensor | None,
    hag: AbstractHAG,
    reduces: tuple[str, ...],
    backend: str,
) -> Tensor:
    """See :func:`pyg_hag.ops.launch.compute_many`."""
    if is_traced(x) or is_transformed(x):

        def sum_of(x: Tensor, weight: _Factors) -> Tensor:
            return sum_over(x, (None, weight, None), hag, False, backend)

        def max_of(x: Tensor, minimum: bool) -> Tensor:
            return max_over(x, hag, minimum, backend)

        return composed(x, reduces, sum_of, max_of, inverse_degree, norm)
    assert isinstance(hag, HAG)
    arguments = x, inverse_degree, norm, hag, reduces, backend
    if not needs_grad(x):
        return compute_many(*arguments)
    return applied(_Many, *arguments)


def is_traced(x: Tensor) -> bool:
    """Whether something other than a plain tensor must see an operator."""
    kind = type(x)
    return (
        (kind is not Tensor and kind is not torch.nn.Parameter)
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or _get_current_dispatch_mode() is not None
    )


def needs_grad(*tensors: Tensor | None) -> bool:
    """Whether a gradient may be asked for by one of the tensors."""
    return torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in tensors
    )


def applied(function: Any, *args: Any) -> Any:
    """`function.apply(*args)`, less what that does for transforms of `torch.func`."""
    if functorch_is_active():
        return function.apply(*args)
    return super(torch.autograd.Function, function).apply(*args)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
        transposed: bool,
        backend: str,
    ) -> Tensor:
        scales = src_scale, dst_scale, self_scale
        return compute_sum(x, scales, hag, transposed, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, src_scale, dst_scale, self_scale, *ctx.rest = inputs
        scaled = any(ctx.needs_input_grad[1:4])
        ctx.save_for_backward(x if scaled else None, src_scale, dst_scale, self_scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, *scales = ctx.saved_tensors
        hag, transposed, backend = ctx.rest

        def over(x: Tensor, a: Any, b: Any, c: Any, back: bool) -> Tensor:
            return sum_over(x, (a, b, c), hag, transposed != back, backend)

        grads = sum_grads(grad, x, scales, ctx.needs_input_grad, over)
        return *grads, None, None, None


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
        return _max_grad(grad, x, out, *ctx.rest), None, None, None


def _max_grad(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool, backend: str
) -> Tensor:
    if is_transformed(grad):
        return max_grad_on_edges(grad, x, out, hag)
    grad_x: Tensor = _MaxGrad.apply(grad, x, out, hag, minimum, backend)
    return grad_x


class _MaxGrad(torch.autograd.Function):
    @staticmethod
    def forward(
        grad: Tensor,
        x: Tensor,
        out: Tensor,
        hag: HAG,
        minimum: bool,
        backend: str,
    ) -> Tensor:
        return compute_max_grad(grad, x, out, hag, minimum, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, x, out, ctx.hag, *_ = inputs
        ctx.save_for_backward(x, out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, out = ctx.saved_tensors  # the gradient is linear in the first argument
        tangent = max_tangent_on_edges(grad, x.detach(), out.detach(), ctx.hag)
        return tangent, None, None, None, None, None


class _Many(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor,
        inverse_degree: Tensor,
        norm: Tensor | None,
        hag: HAG,
        reduces: tuple[str, ...],
        backend: str,
    ) -> Tensor:
        return compute_many(x, inverse_degree, norm, hag, reduces, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, inverse_degree, norm, *ctx.rest = inputs
        ctx.save_for_backward(x, output, inverse_degree, norm)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, out, inverse_degree, norm = ctx.saved_tensors
        hag, reduces, backend = ctx.rest

        def mean_of(x: Tensor) -> Tensor:
            return sum_over(x, (None, inverse_degree, None), hag, False, backend)

        def sum_back(x: Tensor) -> Tensor:
            return sum_over(x, (None, None, None), hag, True, backend)

        def max_grad(grad: Tensor, out: Tensor, minimum: bool) -> Tensor:
            return _max_grad(grad, x.to(grad.dtype), out, hag, minimum, backend)

        factors = inverse_degree, norm
        grad_x = many_grads(
            grad, x, out, reduces, *factors, mean_of, sum_back, max_grad
        )
        return grad_x, None, None, None, None, None

"""What runs for one call: the kernels as differentiable operators.

Two doors to the same functions. Eager calls go through `torch.autograd.Function`, or
straight where no gradient is asked for: a fraction of the time that an operator of
`torch.library` takes. Compilers see such operators, which take the HAG's flat tensors;
the HAG and what is cached on it are found again from them.
"""

from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from pyg_hag._plan import inverse_degree
from pyg_hag.hag import HAG
from pyg_hag.ops import _numba, _torch

BACKENDS: dict[str, ModuleType] = {"numba": _numba, "torch": _torch}
"""The backends of :func:`pyg_hag.aggregate`, by name."""


def sum_over(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    hag: HAG,
    mean: bool,
    transpose: bool,
    backend: str,
) -> Tensor:
    """`y[v] = dst_scale[v] * sum_u(src_scale[u] * x[u])`, or the mean.

    Over the transposed graph, the mean's weights are those of its sources.
    """
    if _is_traced(x):
        return sum_operator(
            x, src_scale, dst_scale, hag.tensors, hag.num_src, mean, transpose, backend
        )
    if not _needs_grad(x, src_scale, dst_scale):
        return _sum(x, src_scale, dst_scale, hag, mean, transpose, backend)
    out: Tensor = _Sum.apply(x, src_scale, dst_scale, hag, mean, transpose, backend)
    return out


def max_over(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    if _is_traced(x):
        return max_operator(x, hag.tensors, hag.num_src, minimum, backend)
    if not _needs_grad(x):
        return _max(x, hag, minimum, backend)
    out: Tensor = _Max.apply(x, hag, minimum, backend)
    return out


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


# Computation ##################################################################


def _sum(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    hag: HAG,
    mean: bool,
    transpose: bool,
    backend: str,
) -> Tensor:
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
    out: Tensor = BACKENDS[backend].aggregate_sum(flat, before, after, walked)
    return out.to(x.dtype).view(out.size(0), *x.shape[1:])


def _max(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
    out: Tensor = BACKENDS[backend].aggregate_max(_flat(x), hag, minimum)
    return out.to(x.dtype).view(out.size(0), *x.shape[1:])


def _max_grad(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool, backend: str
) -> Tensor:
    grad_x: Tensor = BACKENDS[backend].aggregate_max_backward(
        _flat(grad), _flat(x), _flat(out), hag, minimum
    )
    return grad_x.to(x.dtype).view(x.shape)


def _flat(x: Tensor) -> Tensor:
    """Contiguous `[N, F]`, widened to float32 where the dtype is narrower."""
    x = x.detach()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return x.reshape(x.size(0), x.shape[1:].numel()).contiguous()


def _row_products(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1) if a.dim() > 1 else a * b


def _sum_grads(
    grad: Tensor,
    x: Any,
    src_scale: Any,
    dst_scale: Any,
    needed: tuple[bool, ...],
    over: Any,
) -> tuple[Tensor | None, ...]:
    """Gradients of x and the scales; `over(x, a, b, turned)` sums over the HAG.

    Those that are not needed may lack what they are made of.
    """
    grad_x = grad_src = grad_dst = None
    if needed[0]:
        grad_x = over(grad, dst_scale, src_scale, True)
    if needed[1]:
        back = over(grad, dst_scale, None, True)
        grad_src = _row_products(x, back).to(src_scale.dtype)
    if needed[2]:
        out = over(x, src_scale, None, False)
        grad_dst = _row_products(grad, out).to(dst_scale.dtype)
    return grad_x, grad_src, grad_dst


# Eager ########################################################################


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        hag: HAG,
        mean: bool,
        transpose: bool,
        backend: str,
    ) -> Tensor:
        return _sum(x, src_scale, dst_scale, hag, mean, transpose, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, src_scale, dst_scale, *ctx.rest = inputs
        scaled = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        ctx.save_for_backward(x if scaled else None, src_scale, dst_scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, src_scale, dst_scale = ctx.saved_tensors
        hag, mean, transpose, backend = ctx.rest

        def over(x: Tensor, before: Any, after: Any, turned: bool) -> Tensor:
            return sum_over(x, before, after, hag, mean, transpose != turned, backend)

        needed = ctx.needs_input_grad
        grads = _sum_grads(grad, x, src_scale, dst_scale, needed, over)
        return *grads, None, None, None, None


class _Max(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, hag: HAG, minimum: bool, backend: str) -> Tensor:
        return _max(x, hag, minimum, backend)

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
        return _max_grad(grad, x, out, hag, minimum, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> NoReturn:
        raise NotImplementedError(
            "'reduce' max and min can be differentiated once: the gradient of their "
            "gradient is not implemented"
        )


# Compiled #####################################################################


@torch.library.custom_op("pyg_hag::aggregate_sum", mutates_args=())
def sum_operator(
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
    return _sum(x, src_scale, dst_scale, hag, mean, transpose, backend)


@sum_operator.register_fake
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

    def over(x: Tensor, before: Any, after: Any, turned: bool) -> Tensor:
        return sum_operator(
            x, before, after, tensors, num_src, mean, transpose != turned, backend
        )

    needed = ctx.needs_input_grad
    grads = _sum_grads(grad, x, src_scale, dst_scale, needed, over)
    return *grads, [None] * len(tensors), None, None, None, None


sum_operator.register_autograd(_sum_backward, setup_context=_sum_setup)


@torch.library.custom_op("pyg_hag::aggregate_max", mutates_args=())
def max_operator(
    x: Tensor, tensors: list[Tensor], num_src: int, minimum: bool, backend: str
) -> Tensor:
    return _max(x, HAG._of(num_src, tensors), minimum, backend)


@max_operator.register_fake
def _(
    x: Tensor, tensors: list[Tensor], num_src: int, minimum: bool, backend: str
) -> Tensor:
    return x.new_empty(tensors[4].size(0), *x.shape[1:])


@torch.library.custom_op("pyg_hag::aggregate_max_backward", mutates_args=())
def max_grad_operator(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    tensors: list[Tensor],
    num_src: int,
    minimum: bool,
    backend: str,
) -> Tensor:
    return _max_grad(grad, x, out, HAG._of(num_src, tensors), minimum, backend)


@max_grad_operator.register_fake
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
    grad_x = max_grad_operator(grad, x, out, tensors, *ctx.rest)
    return grad_x, [None] * len(tensors), None, None, None


max_operator.register_autograd(_max_backward, setup_context=_max_setup)

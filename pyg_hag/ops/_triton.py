"""The backend of CUDA: launches of the Triton kernels."""

import functools
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_hag._device_plan import ROWS, DevicePlan, device_plan
from pyg_hag.hag import HAG

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""The dtypes that kernels read; narrow ones are summed in float32."""

_STATISTICS = {"mean": ("sum",), "var": ("sum", "square"), "std": ("sum", "square")}
"""What results are made of, if not of the statistic of the same name."""


IS_THERE: bool = find_spec("triton") is not None
"""Whether Triton is installed. It is imported when a kernel first runs."""


@functools.cache
def _kernels() -> ModuleType:
    from pyg_hag.ops import _triton_kernels

    return _triton_kernels


@torch.compiler.assume_constant_result
def is_interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU, to test them."""
    if not IS_THERE:
        return False
    from triton.runtime.interpreter import InterpretedFunction

    return isinstance(_kernels().reduce_rows, InterpretedFunction)


def aggregate_sum(
    x: Tensor,
    src_scale: Tensor | None,
    dst_scale: Tensor | None,
    self_scale: Tensor | None,
    hag: HAG,
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`."""
    scales = src_scale, dst_scale, self_scale
    return _reduced(x, hag, ("sum",), *scales)


def aggregate_max(x: Tensor, hag: HAG, minimum: bool) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    return _reduced(x, hag, ("min" if minimum else "max",))


def aggregate_many(
    x: Tensor,
    inverse_degree: Tensor,
    norm: Tensor | None,
    hag: HAG,
    results: tuple[str, ...],
) -> Tensor:
    """Several reductions of x of shape [N, F], side by side."""
    return _reduced(x, hag, results, weight=inverse_degree, norm=norm)


def aggregate_max_backward(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
) -> Tensor:
    """Splits each gradient evenly among the sources that reach the maximum.

    As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
    """
    kernels, columns = _kernels(), x.size(1)
    plan, back = device_plan(hag), device_plan(hag.t())
    values, counts = (x.new_empty(plan.num_slots, columns) for _ in range(2))
    shares, grad_x = torch.empty_like(grad), torch.empty_like(x)
    given = x, grad, values, counts, shares, *arrays_of(plan)
    launch(kernels.extremes, plan, x, given, MINIMUM=minimum)
    scratch = x.new_empty(back.num_slots, columns)
    aggs = _flipped(hag)
    given = x, out, values, aggs, shares, scratch, grad_x, *arrays_of(back, True)
    rest = (aggs.numel(),)
    launch(kernels.share_gradient, back, x, given, rest, MINIMUM=minimum)
    return grad_x


def _reduced(
    x: Tensor,
    hag: HAG,
    results: tuple[str, ...],
    before: Tensor | None = None,
    after: Tensor | None = None,
    own: Tensor | None = None,
    *,
    weight: Tensor | None = None,
    norm: Tensor | None = None,
) -> Tensor:
    plan, columns = device_plan(hag), x.size(1)
    statistics = tuple(
        dict.fromkeys(s for name in results for s in _STATISTICS.get(name, (name,)))
    )
    computed = torch.float64 if x.dtype == torch.float64 else torch.float32
    size = plan.num_slots, len(statistics) * columns
    scratch = x.new_empty(size, dtype=computed)
    out = x.new_empty(hag.num_dst, len(results) * columns)
    given = x, out, scratch, before, after, own, weight, norm, *arrays_of(plan)
    launch(
        _kernels().reduce_rows,
        plan,
        x,
        given,
        largest=max(x.numel(), scratch.numel(), out.numel()),
        RESULTS=results,
        STATISTICS=statistics,
        SEGMENTS=plan.segments,
    )
    return out


def arrays_of(plan: DevicePlan, owned: bool = False) -> tuple[Tensor, ...]:
    """The arrays that a kernel takes, with those of owners if it asks."""
    rows = (plan.row, plan.owner) if owned else (plan.row,)
    return *rows, plan.ptr, plan.inputs, plan.part_ptr


def launch(
    kernel: Any,
    plan: DevicePlan,
    x: Tensor,
    given: tuple[Any, ...],
    rest: tuple[float, ...] = (),
    largest: int | None = None,
    **constants: Any,
) -> None:
    """Runs a kernel on all parts of a plan.

    Args:
        kernel: The kernel.
        plan: The rows.
        x: The features.
        given: Arrays, and None for those that are not there.
        rest: Numbers, behind the first part and the number of columns.
        largest: The elements of the largest array, if not of those that are given.
        **constants: What the kernel is compiled for.
    """
    columns = x.size(1)
    if columns == 0:
        return
    if largest is None:
        largest = max(t.numel() for t in given if t is not None)
    tile, warps = _tile(columns, x.element_size())
    for first, last in plan.launches:
        start(
            kernel,
            (last - first, -(-columns // tile)),
            x,
            *given,
            first,
            columns,
            *rest,
            **constants,
            WIDE=largest >= 2**31,
            ROWS=ROWS,
            TILE=tile,
            num_warps=warps,
        )


def start(
    kernel: Any, programs: tuple[int, int], x: Tensor, *arguments: Any, **constants: Any
) -> None:
    """Starts programs of a kernel where x is, which need not be the current device.

    Products are rounded before they are added, as they are on the CPU.
    """
    with torch.cuda.device_of(x):
        kernel[programs](*arguments, **constants, enable_fp_fusion=False)


def _tile(columns: int, size: int) -> tuple[int, int]:
    """Features of a program, 128 bytes of a row if there are, and its warps."""
    tile = 16
    while tile < min(columns, 128 // size):
        tile *= 2
    return tile, max(1, ROWS * tile // 128)


def _flipped(hag: HAG) -> Tensor:
    """The number in the HAG of each aggregate of the transposed one."""
    return hag._cached("flipped", lambda: _make_flipped(hag))


def _make_flipped(hag: HAG) -> Tensor:
    count = hag.group_aggs
    first = count.cumsum(0) - count
    turned = (2 * first + count - 1).repeat_interleave(count)
    return (turned - torch.arange(turned.numel(), device=hag.device)).int()

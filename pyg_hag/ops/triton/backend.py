"""The backend for CUDA: launches of the Triton kernels."""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.backend import Backend
from pyg_hag.ops.reductions import REDUCES
from pyg_hag.plan.gpu import ROWS, DevicePlan, device_plan
from pyg_hag.utils.tensors import computed_dtype

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""The dtypes that kernels read; float16 and bfloat16 are summed in float32."""

_STATISTICS = {"mean": ("sum",), "var": ("sum", "square"), "std": ("sum", "square")}
"""The statistics of results that are not themselves a statistic."""


@functools.cache
def _kernels() -> ModuleType:
    """Imports Triton, when a kernel first runs."""
    from pyg_hag.ops.triton import kernels

    return kernels


@functools.cache
def _extreme_kernels() -> ModuleType:
    from pyg_hag.ops.triton import extreme_kernels

    return extreme_kernels


@torch.compiler.assume_constant_result
def is_interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU, to test them."""
    from triton.runtime.interpreter import InterpretedFunction

    return isinstance(_kernels().reduce_rows, InterpretedFunction)


class TritonBackend(Backend):
    """Triton kernels for CUDA; in tests also on the CPU, in Triton's interpreter."""

    name = "triton"
    package = "triton"
    devices = ("cuda",)
    dtypes = DTYPES
    reductions = REDUCES

    def why_not(self, device: torch.device) -> str:
        """Why it cannot run on a device and what to do about it; empty if it can."""
        if device.type != "cuda" and self.is_installed and is_interpreted():
            return ""
        reason = super().why_not(device)
        if reason and self.is_installed:
            reason += ", or set TRITON_INTERPRET=1 before Triton is imported, to test"
        return reason

    def aggregate_sum(
        self,
        x: Tensor,
        src_scale: Tensor | None,
        dst_scale: Tensor | None,
        self_scale: Tensor | None,
        hag: HAG,
    ) -> Tensor:
        """`dst_scale[v] * sum_u(src_scale[u] * x[u]) + self_scale[v] * x[v]`."""
        return _reduce(x, hag, ("sum",), src_scale, dst_scale, self_scale)

    def aggregate_max(self, x: Tensor, hag: HAG, minimum: bool) -> Tensor:
        """The largest (or smallest) `x[u]` per destination; 0 where there is none."""
        return _reduce(x, hag, ("min" if minimum else "max",))

    def aggregate_max_backward(
        self, grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
    ) -> Tensor:
        """Splits each gradient evenly among the sources that attain the maximum.

        Like PyTorch's `scatter_reduce`, which also counts the zero it starts from.
        """
        kernels, columns = _extreme_kernels(), x.size(1)
        plan, back = device_plan(hag), device_plan(hag.t())
        values, counts = (x.new_empty(plan.num_slots, columns) for _ in range(2))
        shares, grad_x = torch.empty_like(grad), torch.empty_like(x)
        arrays = x, grad, values, counts, shares, *arrays_of(plan)
        launch(kernels.reduce_extremes, plan, x, arrays, MINIMUM=minimum)
        scratch = x.new_empty(back.num_slots, columns)
        agg_map = _transposed_aggregates(hag)
        arrays = x, out, values, agg_map, shares, scratch, grad_x
        arrays = *arrays, *arrays_of(back, with_owner=True)
        numbers = (agg_map.numel(),)
        launch(kernels.share_gradient, back, x, arrays, numbers, MINIMUM=minimum)
        return grad_x

    def aggregate_many(
        self,
        x: Tensor,
        inverse_degree: Tensor,
        norm: Tensor | None,
        hag: HAG,
        reduces: tuple[str, ...],
    ) -> Tensor:
        """Several reductions of x of shape `[N, F]`, side by side."""
        return _reduce(x, hag, reduces, weight=inverse_degree, norm=norm)


def _reduce(
    x: Tensor,
    hag: HAG,
    results: tuple[str, ...],
    src_scale: Tensor | None = None,
    dst_scale: Tensor | None = None,
    self_scale: Tensor | None = None,
    *,
    weight: Tensor | None = None,
    norm: Tensor | None = None,
) -> Tensor:
    plan, columns = device_plan(hag), x.size(1)
    statistics = tuple(
        dict.fromkeys(s for name in results for s in _STATISTICS.get(name, (name,)))
    )
    size = plan.num_slots, len(statistics) * columns
    scratch = x.new_empty(size, dtype=computed_dtype(x))
    out = x.new_empty(hag.num_dst, len(results) * columns)
    scales = src_scale, dst_scale, self_scale, weight, norm
    launch(
        _kernels().reduce_rows,
        plan,
        x,
        (x, out, scratch, *scales, *arrays_of(plan)),
        largest=max(x.numel(), scratch.numel(), out.numel()),
        RESULTS=results,
        STATISTICS=statistics,
        SEGMENTS=plan.segments,
    )
    return out


def arrays_of(plan: DevicePlan, with_owner: bool = False) -> tuple[Tensor, ...]:
    """The arrays of a plan that kernels take; some also take the owners of rows."""
    rows = (plan.target, plan.owner) if with_owner else (plan.target,)
    return *rows, plan.ptr, plan.inputs, plan.part_ptr


def launch(
    kernel: Any,
    plan: DevicePlan,
    x: Tensor,
    arrays: tuple[Any, ...],
    numbers: tuple[float, ...] = (),
    largest: int | None = None,
    **constants: Any,
) -> None:
    """Runs a kernel on all parts of a plan.

    Args:
        kernel: The kernel.
        plan: The plan.
        x: The features.
        arrays: The arrays that the kernel takes, None for those that are missing.
        numbers: The numbers it takes after the first part and the number of columns.
        largest: The number of elements of the largest array; by default that of
            `arrays`.
        **constants: The constants that the kernel is compiled for.
    """
    columns = x.size(1)
    if columns == 0:
        return
    if largest is None:
        largest = max(t.numel() for t in arrays if t is not None)
    tile, warps = _tile(columns, x.element_size())
    for first, last in plan.launches:
        start(
            kernel,
            (last - first, -(-columns // tile)),
            x,
            *arrays,
            first,
            columns,
            *numbers,
            **constants,
            WIDE=largest >= 2**31,
            ROWS=ROWS,
            TILE=tile,
            num_warps=warps,
        )


def start(
    kernel: Any, programs: tuple[int, int], x: Tensor, *arguments: Any, **constants: Any
) -> None:
    """Starts programs of a kernel on the device of x, whatever the current device is.

    Products are rounded before they are added, as on the CPU.
    """
    with torch.cuda.device_of(x):
        kernel[programs](*arguments, **constants, enable_fp_fusion=False)


def _tile(columns: int, size: int) -> tuple[int, int]:
    """The features of a program, up to 128 bytes of a row, and its number of warps."""
    tile = 16
    while tile < min(columns, 128 // size):
        tile *= 2
    return tile, max(1, ROWS * tile // 128)


@once_per_hag
def _transposed_aggregates(hag: HAG) -> Tensor:
    """The number in the HAG of each aggregate of the transposed one, int32."""
    count = hag.group_aggs
    first = count.cumsum(0) - count
    reversed_ = (2 * first + count - 1).repeat_interleave(count)
    return (reversed_ - torch.arange(reversed_.numel(), device=hag.device)).int()

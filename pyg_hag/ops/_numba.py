"""CPU kernels: the rows of a group back to back on one thread.

The aggregates of a group live in a scratch that stays in cache; groups and tiles of
features go to different threads. Each element is computed by one thread in a fixed
order, so the result has the same bits for any number of threads.
"""

from typing import Any

import numpy as np
import torch
from numba import carray
from torch import Tensor

from pyg_hag import _parallel, _threads
from pyg_hag._jit import jit
from pyg_hag.hag import HAG
from pyg_hag.ops._plan import I64, Plan, plan_of
from pyg_hag.ops._vector import (
    MAX,
    SCALED_SUM,
    SUM,
    reduce_row,
)


def aggregate_sum(
    x: Tensor, src_scale: Tensor | None, dst_scale: Tensor | None, hag: HAG
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u])` for x of shape [N, F]."""
    plan = plan_of(hag)
    out = x.new_empty(hag.num_dst, x.size(1))
    none = x.new_empty(0)
    before = none if src_scale is None else src_scale
    after = none if dst_scale is None else dst_scale
    tasks = plan.row_tasks(x.size(1), _threads.num_threads())
    _run("sum", _sum_rows, plan, tasks, [x, before, after, out])
    return out


def aggregate_max(x: Tensor, hag: HAG, minimum: bool) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    plan = plan_of(hag)
    out = x.new_empty(hag.num_dst, x.size(1))
    tasks = plan.row_tasks(x.size(1), _threads.num_threads())
    _run("max", _max_rows, plan, tasks, [x, _sign(x, minimum), out])
    return out


def aggregate_max_backward(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
) -> Tensor:
    """Splits each gradient evenly among the sources that reach the maximum.

    As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
    """
    plan = plan_of(hag)
    grad_x = torch.zeros_like(x)
    tasks = plan.group_tasks(x.size(1), _threads.num_threads())
    tensors = [x, out, grad, _sign(x, minimum), grad_x]
    _run("max_backward", _max_backward_groups, plan, tasks, tensors)
    return grad_x


def _sign(x: Tensor, minimum: bool) -> Tensor:
    return x.new_full((1,), -1.0 if minimum else 1.0)


def _run(name: str, kernel: Any, plan: Plan, tasks: I64, tensors: list[Tensor]) -> None:
    """Runs a kernel here, or, where there are several tasks, on all threads."""
    if len(tasks) == 1 or _parallel.checks_bounds():
        arrays = [tensor.numpy() for tensor in tensors]
        for first, last, f0, f1 in tasks.tolist():
            kernel(first, last, f0, f1, *plan.rows(), *arrays)
        return
    parameters = plan.addresses()
    for tensor in tensors:
        rows, columns = tensor.shape if tensor.dim() == 2 else (tensor.numel(), 1)
        parameters += [tensor.data_ptr(), rows, columns]
    entry = _ENTRIES[name, tensors[0].dtype]
    _parallel.run_tasks(entry, parameters, tasks)


@jit
def _address(array: Any) -> int:
    """Where the array starts, as a signed number (unsigned ones turn into floats)."""
    return np.int64(array.ctypes.data)


@jit
def _scratch(rows: int, width: int, like: Any) -> Any:
    """An empty matrix that starts at a cache line."""
    pad = 64 // like.itemsize
    memory = np.empty(rows * width + pad, like.dtype)
    skip = (-(_address(memory) // like.itemsize)) % pad
    return memory[skip : skip + rows * width].reshape((rows, width))


@jit
def _sum_rows(
    first: int,
    last: int,
    f0: int,
    f1: int,
    kind: Any,
    src_ptr: Any,
    src: Any,
    agg_ptr: Any,
    agg: Any,
    group_ptr: Any,
    num_slots: int,
    x: Any,
    src_scale: Any,
    dst_scale: Any,
    out: Any,
) -> None:
    size = x.itemsize
    width = f1 - f0
    scratch = _scratch(num_slots, width, x)
    scratch_at, out_at = _address(scratch), _address(out) + f0 * size
    x_at, src_at, agg_at = _address(x) + f0 * size, _address(src), _address(agg)
    scale_at = _address(src_scale) if src_scale.size > 0 else 0
    one = x.dtype.type(1)
    for r in range(first, last):
        i = np.int64(kind[r])
        factor = one
        if i < 0:
            to = scratch_at + (-1 - i) * width * size
        else:
            to = out_at + i * out.shape[1] * size
            if dst_scale.size > 0:
                factor = dst_scale[i]
        _sum_row(
            to, width, x_at, x.shape[1] * size, src_at, src_ptr[r], src_ptr[r + 1],
            src.size, scale_at, scratch_at, width * size, agg_at, agg_ptr[r],
            agg_ptr[r + 1], factor,
        )  # fmt: skip


@jit
def _sum_row(
    to: int,
    width: int,
    x: int,
    x_stride: int,
    src: int,
    s0: int,
    s1: int,
    num_src: int,
    scale: int,
    scratch: int,
    scratch_stride: int,
    agg: int,
    a0: int,
    a1: int,
    factor: Any,
) -> None:
    """See `reduce_row`; without scales if their address is 0."""
    if scale != 0:
        reduce_row(
            SCALED_SUM, to, width, x, x_stride, src, s0, s1, num_src, scale, scratch,
            scratch_stride, agg, a0, a1, factor,
        )  # fmt: skip
    else:
        reduce_row(
            SUM, to, width, x, x_stride, src, s0, s1, num_src, scale, scratch,
            scratch_stride, agg, a0, a1, factor,
        )  # fmt: skip


@jit
def _max_row(
    to: int,
    width: int,
    x: int,
    x_stride: int,
    src: int,
    s0: int,
    s1: int,
    num_src: int,
    sign: int,
    scratch: int,
    scratch_stride: int,
    agg: int,
    a0: int,
    a1: int,
    factor: Any,
) -> None:
    """See `reduce_row`."""
    reduce_row(
        MAX, to, width, x, x_stride, src, s0, s1, num_src, sign, scratch,
        scratch_stride, agg, a0, a1, factor,
    )  # fmt: skip


@jit
def _max_rows(
    first: int,
    last: int,
    f0: int,
    f1: int,
    kind: Any,
    src_ptr: Any,
    src: Any,
    agg_ptr: Any,
    agg: Any,
    group_ptr: Any,
    num_slots: int,
    x: Any,
    sign: Any,
    out: Any,
) -> None:
    size = x.itemsize
    width = f1 - f0
    scratch = _scratch(num_slots, width, x)
    scratch_at, out_at = _address(scratch), _address(out) + f0 * size
    x_at, src_at, agg_at = _address(x) + f0 * size, _address(src), _address(agg)
    sign_at = _address(sign)
    for r in range(first, last):
        i = np.int64(kind[r])
        factor = x.dtype.type(1)
        if i < 0:
            to = scratch_at + (-1 - i) * width * size
        elif src_ptr[r] < src_ptr[r + 1] or agg_ptr[r] < agg_ptr[r + 1]:
            to = out_at + i * out.shape[1] * size
            factor = sign[0]
        else:
            out[i, f0:f1] = 0
            continue
        _max_row(
            to, width, x_at, x.shape[1] * size, src_at, src_ptr[r], src_ptr[r + 1],
            src.size, sign_at, scratch_at, width * size, agg_at, agg_ptr[r],
            agg_ptr[r + 1], factor,
        )  # fmt: skip


@jit
def _max_backward_groups(
    first: int,
    last: int,
    f0: int,
    f1: int,
    kind: Any,
    src_ptr: Any,
    src: Any,
    agg_ptr: Any,
    agg: Any,
    group_ptr: Any,
    num_slots: int,
    x: Any,
    out: Any,
    grad: Any,
    sign: Any,
    grad_x: Any,
) -> None:
    """Recomputes the aggregates of a group, then walks its rows backwards.

    Only this thread reads the sources of a group, so it may add to their gradients.
    A NaN or a count of 0 spreads as in PyTorch's `scatter_reduce`.
    """
    size = x.itemsize
    width = f1 - f0
    one = x.dtype.type(1)
    value = _scratch(num_slots, width, x)  # of sign * x
    value_at, x_at = _address(value), _address(x) + f0 * size
    count = _scratch(num_slots, width, x)  # sources that reach the value
    share = _scratch(num_slots, width, x)  # gradient of each of them
    best = np.empty(width, x.dtype)  # value of a destination
    part = np.empty(width, x.dtype)  # its share
    for g in range(first, last):
        begin, end = group_ptr[g], group_ptr[g + 1]
        for r in range(begin, end):
            if kind[r] >= 0:
                break
            i = -1 - np.int64(kind[r])
            _max_row(
                value_at + i * width * size, width, x_at, x.shape[1] * size,
                _address(src), src_ptr[r], src_ptr[r + 1], src.size, _address(sign),
                value_at, width * size, _address(agg), agg_ptr[r], agg_ptr[r + 1], one,
            )  # fmt: skip
            share[i] = 0
            _count(
                count[i], value[i], x, f0, f1, src, src_ptr[r], src_ptr[r + 1], value,
                count, agg, agg_ptr[r], agg_ptr[r + 1], sign[0],
            )  # fmt: skip
        for back in range(end - begin):
            r = end - 1 - back
            i = kind[r]
            if i < 0:
                _spread(
                    value[-1 - i], share[-1 - i], grad_x, x, f0, f1, src, src_ptr[r],
                    src_ptr[r + 1], value, share, agg, agg_ptr[r], agg_ptr[r + 1],
                    sign[0],
                )  # fmt: skip
                continue
            for j in range(width):
                best[j] = sign[0] * out[i, f0 + j]
            _count(
                part, best, x, f0, f1, src, src_ptr[r], src_ptr[r + 1], value, count,
                agg, agg_ptr[r], agg_ptr[r + 1], sign[0],
            )  # fmt: skip
            for j in range(width):
                # The zero that `scatter_reduce` starts from takes its part:
                part[j] = grad[i, f0 + j] / (part[j] + (best[j] == 0))
            _spread(
                best, part, grad_x, x, f0, f1, src, src_ptr[r], src_ptr[r + 1], value,
                share, agg, agg_ptr[r], agg_ptr[r + 1], sign[0],
            )  # fmt: skip


@jit
def _count(
    to: Any,
    best: Any,
    x: Any,
    f0: int,
    f1: int,
    src: Any,
    s0: int,
    s1: int,
    value: Any,
    count: Any,
    agg: Any,
    a0: int,
    a1: int,
    sign: Any,
) -> None:
    """Counts the sources below a row that equal its maximum."""
    to[:] = 0
    for e in range(s0, s1):
        row = x[src[e], f0:f1]
        for j in range(to.size):
            to[j] += sign * row[j] == best[j]
    for e in range(a0, a1):
        row = value[agg[e]]
        below = count[agg[e]]
        for j in range(to.size):
            to[j] += (row[j] == best[j]) * below[j]


@jit
def _spread(
    best: Any,
    part: Any,
    grad_x: Any,
    x: Any,
    f0: int,
    f1: int,
    src: Any,
    s0: int,
    s1: int,
    value: Any,
    share: Any,
    agg: Any,
    a0: int,
    a1: int,
    sign: Any,
) -> None:
    """Adds a row's share to those of its inputs that equal its maximum."""
    for e in range(s0, s1):
        row = x[src[e], f0:f1]
        to = grad_x[src[e], f0:f1]
        for j in range(best.size):
            to[j] += (sign * row[j] == best[j]) * part[j]
    for e in range(a0, a1):
        row = value[agg[e]]
        to = share[agg[e]]
        for j in range(best.size):
            to[j] += (row[j] == best[j]) * part[j]


# Entries for several threads ##################################################
#
# What `_run` packs into a parameter block, unpacked: the arrays of the plan, then
# address, rows and columns of each tensor.


@jit
def _vector(block: Any, place: int, dtype: Any) -> Any:
    return carray(_parallel.pointer(block[place]), (block[place + 1],), dtype)


@jit
def _matrix(block: Any, place: int, dtype: Any) -> Any:
    shape = (block[place + 1], block[place + 2])
    return carray(_parallel.pointer(block[place]), shape, dtype)


@jit
def _unpacked(block: Any) -> Any:
    p = _parallel.FIRST
    tasks = carray(
        _parallel.pointer(block[_parallel.TASKS]), (block[_parallel.NUM_TASKS], 4),
        np.int64,
    )  # fmt: skip
    return (
        tasks,
        _vector(block, p, np.int32),
        _vector(block, p + 2, np.int64),
        _vector(block, p + 4, np.int32),
        _vector(block, p + 6, np.int64),
        _vector(block, p + 8, np.int32),
        _vector(block, p + 10, np.int64),
        block[p + 12],
    )


_OWN = _parallel.FIRST + 13  # the first tensor


@jit
def _sum_tasks(at: Any, dtype: Any) -> None:
    block = carray(at, (64,), np.int64)
    tasks, kind, src_ptr, src, agg_ptr, agg, group_ptr, num_slots = _unpacked(block)
    x = _matrix(block, _OWN, dtype)
    before = _vector(block, _OWN + 3, dtype)
    after = _vector(block, _OWN + 6, dtype)
    out = _matrix(block, _OWN + 9, dtype)
    while True:
        i = _parallel.next_task(at)
        if i >= tasks.shape[0]:
            return
        _sum_rows(
            tasks[i, 0], tasks[i, 1], tasks[i, 2], tasks[i, 3], kind, src_ptr, src,
            agg_ptr, agg, group_ptr, num_slots, x, before, after, out,
        )  # fmt: skip


@jit
def _max_tasks(at: Any, dtype: Any) -> None:
    block = carray(at, (64,), np.int64)
    tasks, kind, src_ptr, src, agg_ptr, agg, group_ptr, num_slots = _unpacked(block)
    x = _matrix(block, _OWN, dtype)
    sign = _vector(block, _OWN + 3, dtype)
    out = _matrix(block, _OWN + 6, dtype)
    while True:
        i = _parallel.next_task(at)
        if i >= tasks.shape[0]:
            return
        _max_rows(
            tasks[i, 0], tasks[i, 1], tasks[i, 2], tasks[i, 3], kind, src_ptr, src,
            agg_ptr, agg, group_ptr, num_slots, x, sign, out,
        )  # fmt: skip


@jit
def _max_backward_tasks(at: Any, dtype: Any) -> None:
    block = carray(at, (64,), np.int64)
    tasks, kind, src_ptr, src, agg_ptr, agg, group_ptr, num_slots = _unpacked(block)
    x = _matrix(block, _OWN, dtype)
    out = _matrix(block, _OWN + 3, dtype)
    grad = _matrix(block, _OWN + 6, dtype)
    sign = _vector(block, _OWN + 9, dtype)
    grad_x = _matrix(block, _OWN + 12, dtype)
    while True:
        i = _parallel.next_task(at)
        if i >= tasks.shape[0]:
            return
        _max_backward_groups(
            tasks[i, 0], tasks[i, 1], tasks[i, 2], tasks[i, 3], kind, src_ptr, src,
            agg_ptr, agg, group_ptr, num_slots, x, out, grad, sign, grad_x,
        )  # fmt: skip


def _sum_float32(at: Any) -> None:
    _sum_tasks(at, np.float32)


def _sum_float64(at: Any) -> None:
    _sum_tasks(at, np.float64)


def _max_float32(at: Any) -> None:
    _max_tasks(at, np.float32)


def _max_float64(at: Any) -> None:
    _max_tasks(at, np.float64)


def _max_backward_float32(at: Any) -> None:
    _max_backward_tasks(at, np.float32)


def _max_backward_float64(at: Any) -> None:
    _max_backward_tasks(at, np.float64)


_ENTRIES = {
    ("sum", torch.float32): _sum_float32,
    ("sum", torch.float64): _sum_float64,
    ("max", torch.float32): _max_float32,
    ("max", torch.float64): _max_float64,
    ("max_backward", torch.float32): _max_backward_float32,
    ("max_backward", torch.float64): _max_backward_float64,
}

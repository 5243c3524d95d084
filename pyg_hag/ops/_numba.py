"""The CPU backend: Numba kernels over the rows of a HAG, on all threads."""

from typing import Any

import numpy as np
import torch
from numba import carray
from torch import Tensor

from pyg_hag import _memory, _parallel, _threads
from pyg_hag._jit import jit
from pyg_hag._plan import I64, Plan, forward_plan, group_plan
from pyg_hag.hag import HAG
from pyg_hag.ops._rows import max_backward_groups, max_rows, sum_rows


def aggregate_sum(
    x: Tensor, src_scale: Tensor | None, dst_scale: Tensor | None, hag: HAG
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u])` for x of shape [N, F]."""
    threads = _threads.num_threads()
    plan = forward_plan(hag, x.size(1), threads)
    out = _memory.empty(x, hag.num_dst)
    none = x.new_empty(0)
    before = none if src_scale is None else src_scale
    after = none if dst_scale is None else dst_scale
    tasks = plan.row_tasks(x.size(1), threads)
    _run("sum", sum_rows, plan, tasks, [x, before, after, out])
    return out


def aggregate_max(x: Tensor, hag: HAG, minimum: bool) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    threads = _threads.num_threads()
    plan = forward_plan(hag, x.size(1), threads)
    out = _memory.empty(x, hag.num_dst)
    tasks = plan.row_tasks(x.size(1), threads)
    _run("max", max_rows, plan, tasks, [x, _sign(x, minimum), out])
    return out


def aggregate_max_backward(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
) -> Tensor:
    """Splits each gradient evenly among the sources that reach the maximum.

    As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
    """
    plan = group_plan(hag)
    grad_x = torch.zeros_like(x)
    tasks = plan.part_tasks(x.size(1), _threads.num_threads())
    tensors = [x, out, grad, _sign(x, minimum), grad_x]
    _run("max_backward", max_backward_groups, plan, tasks, tensors)
    return grad_x


def _sign(x: Tensor, minimum: bool) -> Tensor:
    return x.new_full((1,), -1.0 if minimum else 1.0)


def _run(name: str, kernel: Any, plan: Plan, tasks: I64, tensors: list[Tensor]) -> None:
    """Runs a kernel here, or, where there are several tasks, on all threads."""
    if len(tasks) == 1 or _parallel.checks_bounds():
        arrays = [tensor.numpy() for tensor in tensors]
        for first, last, f0, f1 in tasks.tolist():
            kernel(first, last, f0, f1, *plan.rows, *arrays)
        return
    parameters = list(plan.addresses)
    for tensor in tensors:
        rows, columns = tensor.shape if tensor.dim() == 2 else (tensor.numel(), 1)
        parameters += [tensor.data_ptr(), rows, columns]
    entry = _ENTRIES[name, tensors[0].dtype]
    _parallel.run_tasks(entry, parameters, tasks)


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
        (
            _vector(block, p, np.int32),
            _vector(block, p + 2, np.int64),
            _vector(block, p + 4, np.int64),
            _vector(block, p + 6, np.int32),
            _vector(block, p + 8, np.int64),
            _vector(block, p + 10, np.int64),
            _vector(block, p + 12, np.int32),
            _vector(block, p + 14, np.int64),
            block[p + 16],
        ),
    )


_OWN = _parallel.FIRST + 17  # the first tensor


@jit
def _sum_tasks(at: Any, dtype: Any) -> None:
    block = carray(at, (64,), np.int64)
    tasks, rows = _unpacked(block)
    x = _matrix(block, _OWN, dtype)
    before = _vector(block, _OWN + 3, dtype)
    after = _vector(block, _OWN + 6, dtype)
    out = _matrix(block, _OWN + 9, dtype)
    while True:
        i = _parallel.next_task(at)
        if i >= tasks.shape[0]:
            return
        sum_rows(
            tasks[i, 0], tasks[i, 1], tasks[i, 2], tasks[i, 3], *rows, x, before, after,
            out,
        )  # fmt: skip


@jit
def _max_tasks(at: Any, dtype: Any) -> None:
    block = carray(at, (64,), np.int64)
    tasks, rows = _unpacked(block)
    x = _matrix(block, _OWN, dtype)
    sign = _vector(block, _OWN + 3, dtype)
    out = _matrix(block, _OWN + 6, dtype)
    while True:
        i = _parallel.next_task(at)
        if i >= tasks.shape[0]:
            return
        max_rows(
            tasks[i, 0], tasks[i, 1], tasks[i, 2], tasks[i, 3], *rows, x, sign, out,
        )  # fmt: skip


@jit
def _max_backward_tasks(at: Any, dtype: Any) -> None:
    block = carray(at, (64,), np.int64)
    tasks, rows = _unpacked(block)
    x = _matrix(block, _OWN, dtype)
    out = _matrix(block, _OWN + 3, dtype)
    grad = _matrix(block, _OWN + 6, dtype)
    sign = _vector(block, _OWN + 9, dtype)
    grad_x = _matrix(block, _OWN + 12, dtype)
    while True:
        i = _parallel.next_task(at)
        if i >= tasks.shape[0]:
            return
        max_backward_groups(
            tasks[i, 0], tasks[i, 1], tasks[i, 2], tasks[i, 3], *rows, x, out, grad,
            sign, grad_x,
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

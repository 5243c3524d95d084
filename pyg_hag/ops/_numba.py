"""CPU kernels: the rows of a group back to back on one thread.

The aggregates of a group live in a scratch that stays in cache; groups and tiles of
features go to different threads. Each element is computed by one thread in a fixed
order, so the result has the same bits for any number of threads.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hag import _threads
from pyg_hag._jit import jit
from pyg_hag.hag import HAG
from pyg_hag.ops._plan import plan_of


def aggregate_sum(
    x: Tensor, src_scale: Tensor | None, dst_scale: Tensor | None, hag: HAG
) -> Tensor:
    """`out[v] = dst_scale[v] * sum_u(src_scale[u] * x[u])` for x of shape [N, F]."""
    plan = plan_of(hag)
    out = torch.empty(hag.num_dst, x.size(1), dtype=x.dtype)
    none = np.empty(0, out.numpy().dtype)
    a, b = x.numpy(), out.numpy()
    before = none if src_scale is None else src_scale.numpy()
    after = none if dst_scale is None else dst_scale.numpy()
    tasks = plan.row_tasks(x.size(1), _threads.num_threads())
    _threads.run(
        lambda i: _sum_rows(*tasks[i], *plan.rows(), a, before, after, b), len(tasks)
    )
    return out


def aggregate_max(x: Tensor, hag: HAG, minimum: bool) -> Tensor:
    """Largest (or smallest) x[u] per destination, 0 where there is none."""
    plan = plan_of(hag)
    out = torch.empty(hag.num_dst, x.size(1), dtype=x.dtype)
    a, b = x.numpy(), out.numpy()
    sign = a.dtype.type(-1 if minimum else 1)
    tasks = plan.row_tasks(x.size(1), _threads.num_threads())
    _threads.run(lambda i: _max_rows(*tasks[i], *plan.rows(), a, sign, b), len(tasks))
    return out


def aggregate_max_backward(
    grad: Tensor, x: Tensor, out: Tensor, hag: HAG, minimum: bool
) -> Tensor:
    """Splits each gradient evenly among the sources that reach the maximum.

    As PyTorch's `scatter_reduce` does, which also counts the zero it starts from.
    """
    plan = plan_of(hag)
    grad_x = torch.zeros_like(x)
    a, b, c, d = x.numpy(), out.numpy(), grad.numpy(), grad_x.numpy()
    sign = a.dtype.type(-1 if minimum else 1)
    tasks = plan.group_tasks(x.size(1), _threads.num_threads())
    _threads.run(
        lambda i: _max_backward_groups(
            *tasks[i], plan.group_ptr, *plan.rows(), a, b, c, sign, d
        ),
        len(tasks),
    )
    return grad_x


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
    num_slots: int,
    x: Any,
    src_scale: Any,
    dst_scale: Any,
    out: Any,
) -> None:
    scratch = np.empty((num_slots, f1 - f0), x.dtype)
    for r in range(first, last):
        s0, s1, a0, a1 = src_ptr[r], src_ptr[r + 1], agg_ptr[r], agg_ptr[r + 1]
        if kind[r] < 0:
            to, i, f = scratch, -1 - kind[r], 0
        else:
            to, i, f = out, kind[r], f0
        width = f1 - f0
        for j in range(width):
            to[i, f + j] = 0
        if src_scale.size > 0:
            _add_scaled(to, i, f, x, f0, width, src, s0, s1, src_scale)
        else:
            _add(to, i, f, x, f0, width, src, s0, s1)
        _add(to, i, f, scratch, 0, width, agg, a0, a1)
        if kind[r] >= 0 and dst_scale.size > 0:
            for j in range(width):
                to[i, f + j] *= dst_scale[i]


@jit
def _add(
    to: Any, i: int, f: int, x: Any, f0: int, width: int, col: Any, e: int, end: int
) -> None:
    """Adds rows of x, four in each pass over the target."""
    while e + 4 <= end:
        a, b, c, d = col[e], col[e + 1], col[e + 2], col[e + 3]
        for j in range(width):
            pair = x[a, f0 + j] + x[b, f0 + j]
            to[i, f + j] += pair + (x[c, f0 + j] + x[d, f0 + j])
        e += 4
    while e < end:
        a = col[e]
        for j in range(width):
            to[i, f + j] += x[a, f0 + j]
        e += 1


@jit
def _add_scaled(
    to: Any,
    i: int,
    f: int,
    x: Any,
    f0: int,
    width: int,
    col: Any,
    e: int,
    end: int,
    scale: Any,
) -> None:
    while e + 4 <= end:
        a, b, c, d = col[e], col[e + 1], col[e + 2], col[e + 3]
        p, q, r, s = scale[a], scale[b], scale[c], scale[d]
        for j in range(width):
            pair = p * x[a, f0 + j] + q * x[b, f0 + j]
            to[i, f + j] += pair + (r * x[c, f0 + j] + s * x[d, f0 + j])
        e += 4
    while e < end:
        a = col[e]
        p = scale[a]
        for j in range(width):
            to[i, f + j] += p * x[a, f0 + j]
        e += 1


@jit
def _raise(
    to: Any,
    i: int,
    f: int,
    x: Any,
    f0: int,
    width: int,
    col: Any,
    e: int,
    end: int,
    sign: Any,
) -> None:
    """Raises the target to the rows of sign * x; a NaN stays."""
    while e < end:
        a = col[e]
        for j in range(width):
            value = sign * x[a, f0 + j]
            old = to[i, f + j]
            to[i, f + j] = value if value > old or value != value else old
        e += 1


@jit
def _max_row(
    to: Any,
    i: int,
    f: int,
    x: Any,
    f0: int,
    width: int,
    src: Any,
    s0: int,
    s1: int,
    scratch: Any,
    agg: Any,
    a0: int,
    a1: int,
    sign: Any,
) -> None:
    one = sign * sign
    if s0 < s1:
        for j in range(width):
            to[i, f + j] = sign * x[src[s0], f0 + j]
        s0 += 1
    elif a0 < a1:
        for j in range(width):
            to[i, f + j] = scratch[agg[a0], j]
        a0 += 1
    else:
        for j in range(width):
            to[i, f + j] = 0
    _raise(to, i, f, x, f0, width, src, s0, s1, sign)
    _raise(to, i, f, scratch, 0, width, agg, a0, a1, one)


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
    num_slots: int,
    x: Any,
    sign: Any,
    out: Any,
) -> None:
    width = f1 - f0
    scratch = np.empty((num_slots, width), x.dtype)
    for r in range(first, last):
        s0, s1, a0, a1 = src_ptr[r], src_ptr[r + 1], agg_ptr[r], agg_ptr[r + 1]
        i = kind[r]
        if i < 0:
            _max_row(
                scratch, -1 - i, 0, x, f0, width, src, s0, s1, scratch, agg, a0, a1, sign
            )
        else:
            _max_row(
                out, i, f0, x, f0, width, src, s0, s1, scratch, agg, a0, a1, sign
            )
            if s0 < s1 or a0 < a1:  # an empty row stays at 0, not -0
                for j in range(f0, f1):
                    out[i, j] *= sign


@jit
def _max_backward_groups(
    first: int,
    last: int,
    f0: int,
    f1: int,
    group_ptr: Any,
    kind: Any,
    src_ptr: Any,
    src: Any,
    agg_ptr: Any,
    agg: Any,
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
    width = f1 - f0
    value = np.empty((num_slots, width), x.dtype)
    count = np.empty((num_slots, width), x.dtype)  # sources that reach the maximum
    share = np.empty((num_slots, width), x.dtype)  # gradient of each of them
    best = np.empty((1, width), x.dtype)
    number = np.empty((1, width), x.dtype)
    part = np.empty((1, width), x.dtype)
    for g in range(first, last):
        for r in range(group_ptr[g], group_ptr[g + 1]):
            if kind[r] >= 0:
                break
            s0, s1, a0, a1 = src_ptr[r], src_ptr[r + 1], agg_ptr[r], agg_ptr[r + 1]
            i = -1 - kind[r]
            _max_row(
                value, i, 0, x, f0, width, src, s0, s1, value, agg, a0, a1, sign
            )
            share[i] = 0
            _count(
                count, i, value, i, x, f0, src, s0, s1, value, count, agg, a0, a1, sign
            )
        for back in range(group_ptr[g + 1] - group_ptr[g]):
            r = group_ptr[g + 1] - 1 - back
            s0, s1, a0, a1 = src_ptr[r], src_ptr[r + 1], agg_ptr[r], agg_ptr[r + 1]
            i = kind[r]
            if i >= 0:
                for j in range(width):
                    best[0, j] = sign * out[i, f0 + j]
                _count(
                    number, 0, best, 0, x, f0, src, s0, s1, value, count, agg, a0, a1, sign
                )
                for j in range(width):
                    # The zero that `scatter_reduce` starts from takes its part:
                    part[0, j] = grad[i, f0 + j] / (number[0, j] + (best[0, j] == 0))
            else:
                for j in range(width):
                    best[0, j] = value[-1 - i, j]
                    part[0, j] = share[-1 - i, j]
            for e in range(s0, s1):
                u = src[e]
                for j in range(width):
                    hit = sign * x[u, f0 + j] == best[0, j]
                    grad_x[u, f0 + j] += hit * part[0, j]
            for e in range(a0, a1):
                w = agg[e]
                for j in range(width):
                    share[w, j] += (value[w, j] == best[0, j]) * part[0, j]


@jit
def _count(
    to: Any,
    i: int,
    best: Any,
    b: int,
    x: Any,
    f0: int,
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
    width = best.shape[1]
    for j in range(width):
        to[i, j] = 0
    for e in range(s0, s1):
        u = src[e]
        for j in range(width):
            to[i, j] += sign * x[u, f0 + j] == best[b, j]
    for e in range(a0, a1):
        w = agg[e]
        for j in range(width):
            to[i, j] += (value[w, j] == best[b, j]) * count[w, j]

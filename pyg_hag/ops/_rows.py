"""CPU kernels: the rows of a group back to back on one thread.

The aggregates of a group live in a scratch that stays in cache; groups and tiles of
features go to different threads. Each element is computed by one thread in a fixed
order, so the result has the same bits for any number of threads.
"""

from typing import Any

import numpy as np

from pyg_hag._jit import jit
from pyg_hag.ops._vector import (
    MAX,
    SCALED_SIGNED_SUM,
    SCALED_SUM,
    SIGNED_SUM,
    SUM,
    reduce_row,
)


@jit
def _address(array: Any) -> Any:
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
def sum_rows(
    first: int,
    last: int,
    f0: int,
    f1: int,
    kind: Any,
    src_ptr: Any,
    src_mid: Any,
    src: Any,
    agg_ptr: Any,
    agg_mid: Any,
    agg: Any,
    group_ptr: Any,
    num_slots: int,
    x: Any,
    src_scale: Any,
    dst_scale: Any,
    out: Any,
) -> int:
    """Returns the elements of the scratch: what is used here lives until here."""
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
        if src_mid.size > 0:
            _signed_row(
                to, width, x_at, x.shape[1] * size, src_at, src_ptr[r], src_mid[r],
                src_ptr[r + 1], src.size, scale_at, scratch_at, width * size, agg_at,
                agg_ptr[r], agg_mid[r], agg_ptr[r + 1], factor,
            )  # fmt: skip
        else:
            _sum_row(
                to, width, x_at, x.shape[1] * size, src_at, src_ptr[r],
                src_ptr[r + 1], src.size, scale_at, scratch_at, width * size, agg_at,
                agg_ptr[r], agg_ptr[r + 1], factor,
            )  # fmt: skip
    return scratch.size


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
            SCALED_SUM, to, width, x, x_stride, src, s0, s1, s1, num_src, scale,
            scratch, scratch_stride, agg, a0, a1, a1, factor,
        )  # fmt: skip
    else:
        reduce_row(
            SUM, to, width, x, x_stride, src, s0, s1, s1, num_src, scale, scratch,
            scratch_stride, agg, a0, a1, a1, factor,
        )  # fmt: skip


@jit
def _signed_row(
    to: int,
    width: int,
    x: int,
    x_stride: int,
    src: int,
    s0: int,
    sm: int,
    s1: int,
    num_src: int,
    scale: int,
    scratch: int,
    scratch_stride: int,
    agg: int,
    a0: int,
    am: int,
    a1: int,
    factor: Any,
) -> None:
    """See `reduce_row`; without scales if their address is 0."""
    if scale != 0:
        reduce_row(
            SCALED_SIGNED_SUM, to, width, x, x_stride, src, s0, sm, s1, num_src, scale,
            scratch, scratch_stride, agg, a0, am, a1, factor,
        )  # fmt: skip
    else:
        reduce_row(
            SIGNED_SUM, to, width, x, x_stride, src, s0, sm, s1, num_src, scale,
            scratch, scratch_stride, agg, a0, am, a1, factor,
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
        MAX, to, width, x, x_stride, src, s0, s1, s1, num_src, sign, scratch,
        scratch_stride, agg, a0, a1, a1, factor,
    )  # fmt: skip


@jit
def max_rows(
    first: int,
    last: int,
    f0: int,
    f1: int,
    kind: Any,
    src_ptr: Any,
    src_mid: Any,
    src: Any,
    agg_ptr: Any,
    agg_mid: Any,
    agg: Any,
    group_ptr: Any,
    num_slots: int,
    x: Any,
    sign: Any,
    out: Any,
) -> int:
    """Returns the elements of the scratch: what is used here lives until here."""
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
    return scratch.size


@jit
def max_backward_groups(
    first: int,
    last: int,
    f0: int,
    f1: int,
    kind: Any,
    src_ptr: Any,
    src_mid: Any,
    src: Any,
    agg_ptr: Any,
    agg_mid: Any,
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

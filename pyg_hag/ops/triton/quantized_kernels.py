"""The Triton kernels for quantized features. Importing this module imports Triton.

They round in the same places as the kernels of the CPU, so that results have the same
bits: products and sums are fused only where this is spelled out.
"""

import triton
import triton.language as tl

from pyg_hag.ops.triton.kernels import PADDING, UNROLL, offsets, segment

LIMIT: tl.constexpr = tl.constexpr(2097152.0)  # beyond any quantized value, yet exact
NEAREST: tl.constexpr = tl.constexpr(12582912.0)  # floats above have no fraction


@triton.jit
def _round(v):
    """Integers, ties to even; NaN and values beyond `LIMIT` become +-`LIMIT`."""
    v = tl.where(v > -LIMIT, v, -LIMIT)
    v = tl.where(v < LIMIT, v, LIMIT)
    return (v + NEAREST) - NEAREST


@triton.jit
def _clamp(q, qmax):
    """Quantized values in `[0, qmax]`, as uint8."""
    q = tl.where(q > 0, q, 0.0)
    return tl.where(q < qmax, q, qmax).to(tl.uint8)


@triton.jit
def _scale_and_shift(y, channel_scale, bias, cols, is_column):
    """`y * channel_scale + bias`; either may be None."""
    if channel_scale is not None:
        y *= tl.load(channel_scale + cols, mask=is_column, other=0.0)[None, :]
    if bias is not None:
        y += tl.load(bias + cols, mask=is_column, other=0.0)[None, :]
    return y


@triton.jit
def _load_residual(residual, at, both, zero_point):
    """The steps of a residual: without its zero point."""
    return tl.load(residual + at, mask=both, other=0).to(tl.float32) - zero_point


@triton.jit
def _store_quantized(
    y, out, at, both, row_scale, r, is_row, inverse_out_scale, out_zero_point, out_qmax
):
    """Quantizes features, after factors of the rows or None, and writes them."""
    if row_scale is not None:
        y *= tl.load(row_scale + r, mask=is_row, other=0.0)[:, None]
    q = _round(y * inverse_out_scale) + out_zero_point
    tl.store(out + at, _clamp(q, out_qmax), mask=both)


@triton.jit
def _reduce(total, v, REDUCE: tl.constexpr, SUBTRACT: tl.constexpr):
    if REDUCE == "max":
        total = tl.maximum(total, v)
    elif REDUCE == "min":
        total = tl.minimum(total, v)
    elif SUBTRACT:
        total -= v
    else:
        total += v
    return total


@triton.jit
def _steps(
    total, degree, x, self_scale, counts, r, at, is_dst, both, zero_point,
    REDUCE: tl.constexpr,
):  # fmt: skip
    """Results as float32 multiples of the scale, with the nodes' own features added."""
    computed: tl.constexpr = total.dtype
    if self_scale is not None:
        times = tl.load(self_scale + r, mask=is_dst, other=0).to(computed)
        own = tl.load(x + at, mask=both, other=0).to(computed)
        total += times[:, None] * own
    if REDUCE == "sum":
        number = tl.load(counts + r, mask=is_dst, other=0).to(computed)
        steps = (total - number[:, None] * zero_point).to(tl.float32)
    else:
        steps = (total.to(tl.int32) - zero_point).to(tl.float32)
        steps = tl.where(degree[:, None] > 0, steps, 0.0)
    return steps


@triton.jit
def _apply_epilogue(
    steps, dst_scale, channel_scale, bias, residual, residual_channel_scale, r, at,
    cols, is_dst, is_column, both, scale, lower_bound, residual_scale,
    residual_zero_point,
):  # fmt: skip
    """Results in float32: scaled, with bias and residual, and bounded from below."""
    factor = tl.zeros(r.shape, tl.float32) + scale
    if dst_scale is not None:
        factor = tl.load(dst_scale + r, mask=is_dst, other=0.0) * factor
    y = steps * factor[:, None]
    y = _scale_and_shift(y, channel_scale, bias, cols, is_column)
    if residual is not None:
        added = residual_scale * _load_residual(residual, at, both, residual_zero_point)
        y += _scale_and_shift(added, residual_channel_scale, None, cols, is_column)
    return tl.where(y > lower_bound, y, lower_bound)


@triton.jit(do_not_specialize=[
    "first_part", "zero_point", "residual_zero_point", "out_zero_point", "out_qmax",
])  # fmt: skip
def reduce_quantized(
    x, out, scratch, self_scale, counts, dst_scale, channel_scale, bias, residual,
    residual_channel_scale, next_scale, row, ptr, inputs, part_ptr, first_part,
    columns, scale, zero_point, lower_bound, residual_scale, residual_zero_point,
    inverse_out_scale, out_zero_point, out_qmax,
    REDUCE: tl.constexpr, QUANTIZES: tl.constexpr, SEGMENTS: tl.constexpr,
    WIDE: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Reduces quantized features; sums are integers of the type of the scratch."""
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    is_column = cols < columns
    inside = is_column[None, :]
    start: tl.constexpr = 255 if REDUCE == "min" else 0
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + tl.arange(0, ROWS)
        r = tl.load(row + place)
        total = tl.full([ROWS, TILE], start, scratch.dtype.element_ty)
        degree = tl.zeros([ROWS], tl.int32)
        for s in tl.static_range(SEGMENTS):
            begin, count = segment(ptr, place, s, SEGMENTS)
            degree += count
            for first in range(0, tl.max(count, 0), UNROLL):
                for j in tl.static_range(UNROLL):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    at = offsets(i, columns, cols, WIDE)
                    if s % 2 == 0:
                        v = tl.load(x + at, mask=both, other=start).to(total.dtype)
                    else:
                        v = tl.load(scratch + at, mask=both, other=start)
                    total = _reduce(total, v, REDUCE, s >= 2)
        is_agg = (r < 0) & (r > PADDING)
        at = offsets(-1 - r, columns, cols, WIDE)
        tl.store(scratch + at, total, mask=is_agg[:, None] & inside)
        is_dst = r >= 0
        both = is_dst[:, None] & inside
        at = offsets(r, columns, cols, WIDE)
        steps = _steps(
            total, degree, x, self_scale, counts, r, at, is_dst, both, zero_point,
            REDUCE,
        )  # fmt: skip
        y = _apply_epilogue(
            steps, dst_scale, channel_scale, bias, residual, residual_channel_scale, r,
            at, cols, is_dst, is_column, both, scale, lower_bound, residual_scale,
            residual_zero_point,
        )  # fmt: skip
        if QUANTIZES:
            _store_quantized(
                y, out, at, both, next_scale, r, is_dst, inverse_out_scale,
                out_zero_point, out_qmax,
            )  # fmt: skip
        else:
            tl.store(out + at, y, mask=both)
        tl.debug_barrier()  # later batches read what this one has written


@triton.jit(do_not_specialize=["num_rows", "out_zero_point", "out_qmax"])
def quantize_rows(
    x, out, channel_scale, bias, row_scale, num_rows, columns,
    inverse_out_scale, out_zero_point, out_qmax,
    ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Quantizes features, after factors of features and rows and a bias."""
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    is_row, is_column = r < num_rows, cols < columns
    both = is_row[:, None] & is_column[None, :]
    at = offsets(r, columns, cols, True)
    y = tl.load(x + at, mask=both, other=0.0)
    y = _scale_and_shift(y, channel_scale, bias, cols, is_column)
    _store_quantized(
        y, out, at, both, row_scale, r, is_row, inverse_out_scale, out_zero_point,
        out_qmax,
    )  # fmt: skip


@triton.jit
def _multiply(
    x, weight, r, cols, is_row, is_column, depth, zero_point,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Integer products of rows of x, without their zero point, and rows of the weight.

    Products are of signed values: those of x are multiplied less 128.
    """
    x_row = r.to(tl.int64)[:, None] * depth
    w_row = cols[None, :] * depth
    total = tl.zeros([ROWS, COLUMNS], tl.int32)
    weights = tl.zeros([COLUMNS], tl.int32)
    for first in range(0, depth, DEPTH):
        k = first + tl.arange(0, DEPTH)
        known = k < depth
        both = is_row[:, None] & known[None, :]
        a = tl.load(x + x_row + k[None, :], mask=both, other=128)
        a = (a.to(tl.int16) - 128).to(tl.int8)
        both = known[:, None] & is_column[None, :]
        w = tl.load(weight + w_row + k[:, None], mask=both, other=0)
        total = tl.dot(a, w, total, out_dtype=tl.int32)
        weights += tl.sum(w.to(tl.int32), 0)
    return total + ((128 - zero_point) * weights)[None, :]


@triton.jit(do_not_specialize=[
    "num_rows", "zero_point", "residual_zero_point", "out_zero_point", "out_qmax",
])  # fmt: skip
def multiply_quantized(
    x, weight, scale, bias, residual, out, num_rows, depth, columns, zero_point,
    residual_scale, residual_zero_point, inverse_out_scale, out_zero_point, out_qmax,
    RELU: tl.constexpr, QUANTIZES: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """A product of uint8 `[N, K]` and int8 `[M, K]`, with the epilogue of oneDNN."""
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_row, is_column = r < num_rows, cols < columns
    total = _multiply(
        x, weight, r, cols, is_row, is_column, depth, zero_point, ROWS, COLUMNS, DEPTH
    )
    each = tl.load(scale + cols, mask=is_column, other=0.0)
    y = total.to(tl.float32) * each[None, :]
    y = _scale_and_shift(y, None, bias, cols, is_column)
    both = is_row[:, None] & is_column[None, :]
    at = offsets(r, columns, cols, True)
    if residual is not None:
        added = _load_residual(residual, at, both, residual_zero_point)
        if QUANTIZES:
            y = tl.fma(added, tl.zeros_like(added) + residual_scale, y)
        else:
            y += added * residual_scale
    if RELU:
        y = tl.where(y > 0, y, 0.0)
    if QUANTIZES:
        q = _round(y * inverse_out_scale + out_zero_point)
        tl.store(out + at, _clamp(q, out_qmax), mask=both)
    else:
        tl.store(out + at, y, mask=both)

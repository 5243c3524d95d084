"""The Triton kernels on codes. Importing this imports Triton.

They round in the same places as those of the CPU, so that results have the same bits;
no product may be fused with a sum but where this says so.
"""

import triton
import triton.language as tl

from pyg_hag.ops._triton_kernels import AT_ONCE, NOTHING, _offsets

LIMIT: tl.constexpr = tl.constexpr(2097152.0)  # beyond any code, within what is exact
NEAREST: tl.constexpr = tl.constexpr(12582912.0)  # above which floats are whole


@triton.jit
def _nearest(v):
    """Whole numbers, ties to even; what is NaN or far away becomes far away."""
    v = tl.where(v > -LIMIT, v, -LIMIT)
    v = tl.where(v < LIMIT, v, LIMIT)
    return (v + NEAREST) - NEAREST


@triton.jit
def _codes(v, zero, most):
    """Codes of values in steps."""
    v = _nearest(v) + zero
    v = tl.where(v > 0, v, 0.0)
    return tl.where(v < most, v, most).to(tl.uint8)


@triton.jit(do_not_specialize=["first_part", "zero", "rest_zero", "to_zero", "most"])
def reduce_codes(
    x,
    out,
    scratch,
    own,
    counts,
    after,
    gain,
    bias,
    rest,
    rest_gain,
    following,
    row,
    ptr,
    inputs,
    part_ptr,
    first_part,
    columns,
    scale,
    zero,
    lowest,
    rest_scale,
    rest_zero,
    inverse,
    to_zero,
    most,
    REDUCE: tl.constexpr,
    ROUNDS: tl.constexpr,
    SEGMENTS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Reduces codes; sums are whole numbers of the scratch's type."""
    computed: tl.constexpr = scratch.dtype.element_ty
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    is_column = cols < columns
    inside = is_column[None, :]
    lanes = tl.arange(0, ROWS)
    start: tl.constexpr = 255 if REDUCE == "min" else 0
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + lanes
        r = tl.load(row + place)
        total = tl.full([ROWS, TILE], start, computed)
        degree = tl.zeros([ROWS], tl.int32)
        for s in tl.static_range(SEGMENTS):
            begin = tl.load(ptr + place * SEGMENTS + s)
            count = (tl.load(ptr + place * SEGMENTS + s + 1) - begin).to(tl.int32)
            degree += count
            for first in range(0, tl.max(count, 0), AT_ONCE):
                for j in tl.static_range(AT_ONCE):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    at = _offsets(i, columns, cols, WIDE)
                    if s % 2 == 0:
                        v = tl.load(x + at, mask=both, other=start).to(computed)
                    else:
                        v = tl.load(scratch + at, mask=both, other=start)
                    if REDUCE == "max":
                        total = tl.maximum(total, v)
                    elif REDUCE == "min":
                        total = tl.minimum(total, v)
                    elif s < 2:
                        total += v
                    else:
                        total -= v

        is_agg = (r < 0) & (r > NOTHING)
        at = _offsets(-1 - r, columns, cols, WIDE)
        tl.store(scratch + at, total, mask=is_agg[:, None] & inside)
        is_dst = r >= 0
        both = is_dst[:, None] & inside
        at = _offsets(r, columns, cols, WIDE)
        if own is not None:
            times = tl.load(own + r, mask=is_dst, other=0).to(computed)
            mine = tl.load(x + at, mask=both, other=0).to(computed)
            total += times[:, None] * mine
        if REDUCE == "sum":
            number = tl.load(counts + r, mask=is_dst, other=0).to(computed)
            steps = (total - number[:, None] * zero).to(tl.float32)
        else:
            steps = (total.to(tl.int32) - zero).to(tl.float32)
            steps = tl.where(degree[:, None] > 0, steps, 0.0)
        factor = tl.zeros([ROWS], tl.float32) + scale
        if after is not None:
            factor = tl.load(after + r, mask=is_dst, other=0.0) * factor
        y = steps * factor[:, None]
        if gain is not None:
            y *= tl.load(gain + cols, mask=is_column, other=0.0)[None, :]
        if bias is not None:
            y += tl.load(bias + cols, mask=is_column, other=0.0)[None, :]
        if rest is not None:
            more = tl.load(rest + at, mask=both, other=0).to(tl.float32) - rest_zero
            more = rest_scale * more
            if rest_gain is not None:
                more *= tl.load(rest_gain + cols, mask=is_column, other=0.0)[None, :]
            y += more
        y = tl.where(y > lowest, y, lowest)
        if ROUNDS:
            if following is not None:
                y *= tl.load(following + r, mask=is_dst, other=0.0)[:, None]
            tl.store(out + at, _codes(y * inverse, to_zero, most), mask=both)
        else:
            tl.store(out + at, y, mask=both)
        tl.debug_barrier()  # later batches read what this one has written


@triton.jit(do_not_specialize=["num_rows", "to_zero", "most"])
def round_codes(
    x,
    out,
    gain,
    bias,
    following,
    num_rows,
    columns,
    inverse,
    to_zero,
    most,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Rounds values to codes, with factors of features and rows, and a bias."""
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    is_row, is_column = r < num_rows, cols < columns
    both = is_row[:, None] & is_column[None, :]
    at = _offsets(r, columns, cols, True)
    y = tl.load(x + at, mask=both, other=0.0)
    if gain is not None:
        y *= tl.load(gain + cols, mask=is_column, other=0.0)[None, :]
    if bias is not None:
        y += tl.load(bias + cols, mask=is_column, other=0.0)[None, :]
    if following is not None:
        y *= tl.load(following + r, mask=is_row, other=0.0)[:, None]
    tl.store(out + at, _codes(y * inverse, to_zero, most), mask=both)


@triton.jit(do_not_specialize=["num_rows", "zero", "rest_zero", "to_zero", "most"])
def multiply_codes(
    x,
    weight,
    scale,
    bias,
    rest,
    out,
    num_rows,
    depth,
    columns,
    zero,
    rest_scale,
    rest_zero,
    inverse,
    to_zero,
    most,
    RELU: tl.constexpr,
    ROUNDS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """A product of uint8 codes `[N, K]` and int8 codes `[M, K]`, as oneDNN finishes it.

    Codes are taken less 128, which signed products need.
    """
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_row, is_column = r < num_rows, cols < columns
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
    total += ((128 - zero) * weights)[None, :]
    each = tl.load(scale + cols, mask=is_column, other=0.0)
    y = total.to(tl.float32) * each[None, :]
    if bias is not None:
        y += tl.load(bias + cols, mask=is_column, other=0.0)[None, :]
    both = is_row[:, None] & is_column[None, :]
    at = _offsets(r, columns, cols, True)
    if rest is not None:
        more = tl.load(rest + at, mask=both, other=0).to(tl.float32) - rest_zero
        if ROUNDS:
            y = tl.fma(more, tl.zeros_like(more) + rest_scale, y)
        else:
            y += more * rest_scale
    if RELU:
        y = tl.where(y > 0, y, 0.0)
    if ROUNDS:
        y = _nearest(y * inverse + to_zero)
        y = tl.where(y > 0, y, 0.0)
        tl.store(out + at, tl.where(y < most, y, most).to(tl.uint8), mask=both)
    else:
        tl.store(out + at, y, mask=both)

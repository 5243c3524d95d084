"""The Triton kernel of all reductions. Importing this module imports Triton.

A program computes one part of a plan (see :mod:`pyg_hag.plan.gpu`) for one tile of
features. It reduces the rows of a batch side by side, and the inputs of each row in
their order: results do not depend on how the work is cut, and there are no atomics.

A batch has `ROWS` rows and a tile `TILE` features: blocks of features have the shape
`[ROWS, TILE]`.
"""

import triton
import triton.language as tl

PADDING: tl.constexpr = tl.constexpr(-(2**31))  # as in `plan/gpu.py`
MIN_VARIANCE: tl.constexpr = tl.constexpr(1e-5)  # as in `ops/composed.py`
NAN: tl.constexpr = tl.constexpr(tl.PropagateNan.ALL)
UNROLL: tl.constexpr = tl.constexpr(4)  # inputs of a row that are loaded at a time


@triton.jit
def offsets(i, columns, cols, WIDE: tl.constexpr):
    """Offsets of features `cols` of rows i, in 64 bits if `WIDE`."""
    if WIDE:
        i = i.to(tl.int64)
    return i[:, None] * columns + cols[None, :]


@triton.jit
def segment(ptr, place, s, SEGMENTS: tl.constexpr):
    """Where segment s of the rows at `place` starts, and how many inputs it has."""
    begin = tl.load(ptr + place * SEGMENTS + s)
    count = (tl.load(ptr + place * SEGMENTS + s + 1) - begin).to(tl.int32)
    return begin, count


@triton.jit
def _accumulate(
    total, square, normed, highest, lowest, v, both,
    STATISTICS: tl.constexpr, K: tl.constexpr, SUBTRACT: tl.constexpr,
):  # fmt: skip
    """The statistics of rows, with one of them updated by the inputs v."""
    if STATISTICS[K] == "sum":
        total = total - v if SUBTRACT else total + v
    elif STATISTICS[K] == "square":
        square += v
    elif STATISTICS[K] == "symnorm":
        normed += v
    elif STATISTICS[K] == "max":
        shown = tl.where(both, v, -float("inf"))
        highest = tl.maximum(highest, shown, propagate_nan=NAN)
    else:
        shown = tl.where(both, v, float("inf"))
        lowest = tl.minimum(lowest, shown, propagate_nan=NAN)
    return total, square, normed, highest, lowest


@triton.jit
def _statistic_of(v, i, norm, live, STATISTICS: tl.constexpr, K: tl.constexpr):
    """A statistic of the features v of sources i alone."""
    if STATISTICS[K] == "square":
        v = v * v
    elif STATISTICS[K] == "symnorm":
        factor = tl.load(norm + i, mask=live, other=0.0)
        v = v * factor[:, None]
    return v


@triton.jit
def _scale_sum(
    total, x, r, dst_scale, self_scale, columns, cols, is_dst, both, WIDE: tl.constexpr
):
    """`dst_scale[r] * total + self_scale[r] * x[r]`."""
    if dst_scale is not None:
        total *= tl.load(dst_scale + r, mask=is_dst, other=0.0)[:, None]
    if self_scale is not None:
        factor = tl.load(self_scale + r, mask=is_dst, other=0.0)[:, None]
        at = x + offsets(r, columns, cols, WIDE)
        v = tl.load(at, mask=both, other=0.0).to(total.dtype)
        total += tl.where(factor == 0, 0.0, factor * v)
    return total


@triton.jit
def _moment(total, square, share, RESULTS: tl.constexpr, K: tl.constexpr):
    """Mean, variance or standard deviation; `share` is one over the degree."""
    result = total * share
    if RESULTS[K] != "mean":
        result = square * share - result * result
    if RESULTS[K] == "std":
        result = tl.maximum(result, MIN_VARIANCE, propagate_nan=NAN)
        if result.dtype == tl.float64:
            root = tl.sqrt(result)
        else:
            root = tl.sqrt_rn(result)
        result = tl.where(result <= MIN_VARIANCE, 0.0, root)
    return result


@triton.jit
def _store_statistics(
    total, square, normed, highest, lowest, scratch, r, columns, cols, inside,
    STATISTICS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Writes the statistics of those rows that are aggregates to their slots."""
    num_stats: tl.constexpr = len(STATISTICS)
    is_agg = (r < 0) & (r > PADDING)
    if tl.sum(is_agg.to(tl.int32), 0) > 0:
        at = scratch + offsets(-1 - r, num_stats * columns, cols, WIDE)
        both = is_agg[:, None] & inside
        for k in tl.static_range(num_stats):
            if STATISTICS[k] == "sum":
                kept = total
            elif STATISTICS[k] == "square":
                kept = square
            elif STATISTICS[k] == "symnorm":
                kept = normed
            elif STATISTICS[k] == "max":
                kept = highest
            else:
                kept = lowest
            tl.store(at + k * columns, kept, mask=both)


@triton.jit
def _store_results(
    total, square, normed, highest, lowest, degree, x, out, dst_scale, self_scale,
    weight, norm, r, columns, cols, inside, RESULTS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Computes and writes the results of those rows that are destinations."""
    num_results: tl.constexpr = len(RESULTS)
    is_dst = r >= 0
    both = is_dst[:, None] & inside
    at = out + offsets(r, num_results * columns, cols, WIDE)
    for k in tl.static_range(num_results):
        if RESULTS[k] == "sum":
            result = _scale_sum(
                total, x, r, dst_scale, self_scale, columns, cols, is_dst, both, WIDE
            )
        elif RESULTS[k] == "symnorm":
            result = normed * tl.load(norm + r, mask=is_dst, other=0.0)[:, None]
        elif RESULTS[k] == "max":
            result = tl.where(degree[:, None] > 0, highest, 0.0)
        elif RESULTS[k] == "min":
            result = tl.where(degree[:, None] > 0, lowest, 0.0)
        else:
            share = tl.load(weight + r, mask=is_dst, other=0.0)[:, None]
            result = _moment(total, square, share, RESULTS, k)
        tl.store(at + k * columns, result, mask=both)


@triton.jit(do_not_specialize=["first_part"])
def reduce_rows(
    x, out, scratch, src_scale, dst_scale, self_scale, weight, norm,
    row, ptr, inputs, part_ptr, first_part, columns,
    RESULTS: tl.constexpr, STATISTICS: tl.constexpr, SEGMENTS: tl.constexpr,
    WIDE: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Reduces rows to results, computed from statistics that aggregates keep.

    `src_scale`, `dst_scale` and `self_scale` are the scales of a sum, `weight` is one
    over the degree, and `norm` has the factors of `symnorm`; any may be None.
    """
    num_stats: tl.constexpr = len(STATISTICS)
    computed: tl.constexpr = scratch.dtype.element_ty
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (cols < columns)[None, :]
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + tl.arange(0, ROWS)
        r = tl.load(row + place)
        zero = tl.zeros([ROWS, TILE], computed)
        total, square, normed = zero, zero, zero
        highest, lowest = zero - float("inf"), zero + float("inf")
        degree = tl.zeros([ROWS], tl.int32)
        for s in tl.static_range(SEGMENTS):
            begin, count = segment(ptr, place, s, SEGMENTS)
            degree += count
            for first in range(0, tl.max(count, 0), UNROLL):
                for j in tl.static_range(UNROLL):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    if s % 2 == 0:
                        at = x + offsets(i, columns, cols, WIDE)
                        v = tl.load(at, mask=both, other=0.0).to(computed)
                        if src_scale is not None:
                            v *= tl.load(src_scale + i, mask=live, other=0.0)[:, None]
                    else:
                        at = scratch + offsets(i, num_stats * columns, cols, WIDE)
                    for k in tl.static_range(num_stats):
                        if s % 2 == 0:
                            new = _statistic_of(v, i, norm, live, STATISTICS, k)
                        else:
                            new = tl.load(at + k * columns, mask=both, other=0.0)
                        total, square, normed, highest, lowest = _accumulate(
                            total, square, normed, highest, lowest, new, both,
                            STATISTICS, k, s >= 2,
                        )  # fmt: skip
        _store_statistics(
            total, square, normed, highest, lowest, scratch, r, columns, cols, inside,
            STATISTICS, WIDE,
        )  # fmt: skip
        _store_results(
            total, square, normed, highest, lowest, degree, x, out, dst_scale,
            self_scale, weight, norm, r, columns, cols, inside, RESULTS, WIDE,
        )  # fmt: skip
        tl.debug_barrier()  # later batches read what this one has written

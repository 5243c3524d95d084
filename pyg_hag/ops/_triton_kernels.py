"""The Triton kernels. Importing this imports Triton.

A program has one part of a plan (see `_device_plan.py`) and one tile of features. It
reduces the rows of a batch side by side, each one's inputs in their order: the results
do not depend on how the work is cut, and there are no atomics.
"""

import triton
import triton.language as tl

NOTHING: tl.constexpr = tl.constexpr(-(2**31))
LEAST_VARIANCE: tl.constexpr = tl.constexpr(1e-5)  # as in `_composed.py`
NAN: tl.constexpr = tl.constexpr(tl.PropagateNan.ALL)
AT_ONCE: tl.constexpr = tl.constexpr(4)  # inputs of a row that are on their way


@triton.jit
def _offsets(i, columns, cols, WIDE: tl.constexpr):
    """Where the features of rows i lie, counted in 64 bits where they must be."""
    if WIDE:
        i = i.to(tl.int64)
    return i[:, None] * columns + cols[None, :]


@triton.jit(do_not_specialize=["first_part"])
def reduce_rows(
    x,
    out,
    scratch,
    before,
    after,
    own,
    weight,
    norm,
    row,
    ptr,
    inputs,
    part_ptr,
    first_part,
    columns,
    RESULTS: tl.constexpr,
    STATISTICS: tl.constexpr,
    SEGMENTS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Reduces rows to results, by statistics that aggregates keep in the scratch.

    `before`, `after` and `own` are the scales of a sum, or None.
    """
    num_stats: tl.constexpr = len(STATISTICS)
    num_results: tl.constexpr = len(RESULTS)
    computed: tl.constexpr = scratch.dtype.element_ty
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (cols < columns)[None, :]
    lanes = tl.arange(0, ROWS)
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + lanes
        r = tl.load(row + place)
        zero = tl.zeros([ROWS, TILE], computed)
        total, square, normed = zero, zero, zero
        highest, lowest = zero - float("inf"), zero + float("inf")
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
                    if s % 2 == 0:
                        at = x + _offsets(i, columns, cols, WIDE)
                        v = tl.load(at, mask=both, other=0.0).to(computed)
                        if before is not None:
                            v *= tl.load(before + i, mask=live, other=0.0)[:, None]
                        for k in tl.static_range(num_stats):
                            if STATISTICS[k] == "sum":
                                total = total + v if s < 2 else total - v
                            elif STATISTICS[k] == "square":
                                square += v * v
                            elif STATISTICS[k] == "symnorm":
                                factor = tl.load(norm + i, mask=live, other=0.0)
                                normed += v * factor[:, None]
                            elif STATISTICS[k] == "max":
                                shown = tl.where(both, v, -float("inf"))
                                highest = tl.maximum(highest, shown, propagate_nan=NAN)
                            else:
                                shown = tl.where(both, v, float("inf"))
                                lowest = tl.minimum(lowest, shown, propagate_nan=NAN)
                    else:
                        at = scratch + _offsets(i, num_stats * columns, cols, WIDE)
                        for k in tl.static_range(num_stats):
                            v = tl.load(at + k * columns, mask=both, other=0.0)
                            if STATISTICS[k] == "sum":
                                total = total + v if s < 2 else total - v
                            elif STATISTICS[k] == "square":
                                square += v
                            elif STATISTICS[k] == "symnorm":
                                normed += v
                            elif STATISTICS[k] == "max":
                                shown = tl.where(both, v, -float("inf"))
                                highest = tl.maximum(highest, shown, propagate_nan=NAN)
                            else:
                                shown = tl.where(both, v, float("inf"))
                                lowest = tl.minimum(lowest, shown, propagate_nan=NAN)

        is_agg = (r < 0) & (r > NOTHING)
        if tl.sum(is_agg.to(tl.int32), 0) > 0:
            at = scratch + _offsets(-1 - r, num_stats * columns, cols, WIDE)
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
        is_dst = r >= 0
        both = is_dst[:, None] & inside
        at = out + _offsets(r, num_results * columns, cols, WIDE)
        for k in tl.static_range(num_results):
            if RESULTS[k] == "sum":
                result = total
                if after is not None:
                    result *= tl.load(after + r, mask=is_dst, other=0.0)[:, None]
                if own is not None:
                    factor = tl.load(own + r, mask=is_dst, other=0.0)[:, None]
                    given = x + _offsets(r, columns, cols, WIDE)
                    v = tl.load(given, mask=both, other=0.0).to(computed)
                    result += tl.where(factor == 0, 0.0, factor * v)
            elif RESULTS[k] == "symnorm":
                result = normed * tl.load(norm + r, mask=is_dst, other=0.0)[:, None]
            elif RESULTS[k] == "max":
                result = tl.where(degree[:, None] > 0, highest, 0.0)
            elif RESULTS[k] == "min":
                result = tl.where(degree[:, None] > 0, lowest, 0.0)
            else:
                share = tl.load(weight + r, mask=is_dst, other=0.0)[:, None]
                result = total * share
                if RESULTS[k] != "mean":
                    result = square * share - result * result
                if RESULTS[k] == "std":
                    result = tl.maximum(result, LEAST_VARIANCE, propagate_nan=NAN)
                    if computed == tl.float64:
                        root = tl.sqrt(result)
                    else:
                        root = tl.sqrt_rn(result)
                    result = tl.where(result <= LEAST_VARIANCE, 0.0, root)
            tl.store(at + k * columns, result, mask=both)
        tl.debug_barrier()  # later batches read what this one has written


@triton.jit(do_not_specialize=["first_part"])
def extremes(
    x,
    grad,
    values,
    counts,
    shares,
    row,
    ptr,
    inputs,
    part_ptr,
    first_part,
    columns,
    MINIMUM: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Largest (or smallest) inputs, how many sources reach them, and their shares.

    Aggregates keep the first two; destinations the share of the gradient for each
    source that reaches theirs.
    """
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (cols < columns)[None, :]
    lanes = tl.arange(0, ROWS)
    sign: tl.constexpr = -1.0 if MINIMUM else 1.0
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + lanes
        r = tl.load(row + place)
        reached = tl.zeros([ROWS, TILE], x.dtype.element_ty)
        highest = reached - float("inf")
        degree = tl.zeros([ROWS], tl.int32)
        for s in tl.static_range(2):
            begin = tl.load(ptr + place * 2 + s)
            count = (tl.load(ptr + place * 2 + s + 1) - begin).to(tl.int32)
            degree += count
            for first in range(0, tl.max(count, 0), AT_ONCE):
                for j in tl.static_range(AT_ONCE):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    at = _offsets(i, columns, cols, WIDE)
                    if s == 0:
                        v = tl.load(x + at, mask=both, other=0.0) * sign
                        n = tl.where(both, 1.0, 0.0).to(v.dtype)
                    else:
                        v = tl.load(values + at, mask=both, other=0.0)
                        n = tl.load(counts + at, mask=both, other=0.0)
                    v = tl.where(both, v, -float("inf"))
                    reached = tl.where(
                        v > highest, n, tl.where(v == highest, reached + n, reached)
                    )
                    highest = tl.maximum(highest, v, propagate_nan=NAN)
        is_agg = (r < 0) & (r > NOTHING)
        at = _offsets(-1 - r, columns, cols, WIDE)
        tl.store(values + at, highest, mask=is_agg[:, None] & inside)
        tl.store(counts + at, reached, mask=is_agg[:, None] & inside)
        both = (r >= 0)[:, None] & inside
        at = _offsets(r, columns, cols, WIDE)
        g = tl.load(grad + at, mask=both, other=0.0)
        of_zero = tl.where((highest == 0) | (degree == 0)[:, None], 1.0, 0.0)
        parts = reached + of_zero.to(g.dtype)
        parts = tl.where(parts > 0, parts, 1.0)  # nobody reaches a NaN
        tl.store(shares + at, g / parts, mask=both)
        tl.debug_barrier()  # later batches read what this one has written


@triton.jit(do_not_specialize=["first_part", "num_aggs"])
def share_gradient(
    x,
    out,
    values,
    flipped,
    shares,
    scratch,
    grad_x,
    row,
    owner,
    ptr,
    inputs,
    part_ptr,
    first_part,
    columns,
    num_aggs,
    MINIMUM: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    """Sums over the transposed HAG what readers of the same value pass back.

    `flipped` has the number that each of its aggregates has in the HAG itself.
    """
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (cols < columns)[None, :]
    lanes = tl.arange(0, ROWS)
    sign: tl.constexpr = -1.0 if MINIMUM else 1.0
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + lanes
        r = tl.load(row + place)
        o = tl.load(owner + place)
        is_src = o >= 0
        is_agg = (o < 0) & (o > NOTHING)
        at = _offsets(o, columns, cols, WIDE)
        mine = tl.load(x + at, mask=is_src[:, None] & inside, other=0.0) * sign
        f = tl.load(flipped - 1 - o, mask=is_agg, other=0)
        at = _offsets(f, columns, cols, WIDE)
        kept = tl.load(values + at, mask=is_agg[:, None] & inside, other=0.0)
        mine = tl.where(is_src[:, None], mine, kept)
        total = tl.zeros([ROWS, TILE], x.dtype.element_ty)
        for s in tl.static_range(2):
            begin = tl.load(ptr + place * 2 + s)
            count = (tl.load(ptr + place * 2 + s + 1) - begin).to(tl.int32)
            for first in range(0, tl.max(count, 0), AT_ONCE):
                for j in tl.static_range(AT_ONCE):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    at = _offsets(i, columns, cols, WIDE)
                    if s == 0:
                        theirs = tl.load(out + at, mask=both, other=0.0) * sign
                        share = tl.load(shares + at, mask=both, other=0.0)
                        total += tl.where(both & (theirs == mine), share, 0.0)
                    else:
                        share = tl.load(scratch + at, mask=both, other=0.0)
                        of_hag = live & (i < num_aggs)
                        f = tl.load(flipped + i, mask=of_hag, other=0)
                        seen = of_hag[:, None] & inside
                        at = _offsets(f, columns, cols, WIDE)
                        theirs = tl.load(values + at, mask=seen, other=0.0)
                        passes = (theirs == mine) | (i >= num_aggs)[:, None]
                        total += tl.where(both & passes, share, 0.0)
        is_agg = (r < 0) & (r > NOTHING)
        at = _offsets(-1 - r, columns, cols, WIDE)
        tl.store(scratch + at, total, mask=is_agg[:, None] & inside)
        at = _offsets(r, columns, cols, WIDE)
        tl.store(grad_x + at, total, mask=(r >= 0)[:, None] & inside)
        tl.debug_barrier()  # later batches read what this one has written

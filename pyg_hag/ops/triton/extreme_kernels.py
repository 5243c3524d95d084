"""The Triton kernels of the gradients of max and min. Importing this imports Triton.

Parts, batches and tiles are those of :mod:`pyg_hag.ops.triton.kernels`.
"""
# mypy: ignore-errors

import triton
import triton.language as tl

from pyg_hag.ops.triton.kernels import NAN, PADDING, UNROLL, offsets, segment


@triton.jit
def _count_attaining(highest, number, v, new_number):
    """The larger of two values, and how many sources attain it."""
    number = tl.where(
        v > highest, new_number, tl.where(v == highest, number + new_number, number)
    )
    return tl.maximum(highest, v, propagate_nan=NAN), number


@triton.jit(do_not_specialize=["first_part"])
def reduce_extremes(
    x, grad, values, counts, shares, row, ptr, inputs, part_ptr, first_part, columns,
    MINIMUM: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Computes extremes, how many sources attain them, and shares of gradients.

    Writes the `values` and `counts` of aggregates, and the `shares` of destinations:
    the part of their gradient for each source that attains their extreme.
    """
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (cols < columns)[None, :]
    sign: tl.constexpr = -1.0 if MINIMUM else 1.0
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + tl.arange(0, ROWS)
        r = tl.load(row + place)
        number = tl.zeros([ROWS, TILE], x.dtype.element_ty)
        highest = number - float("inf")
        degree = tl.zeros([ROWS], tl.int32)
        for s in tl.static_range(2):
            begin, count = segment(ptr, place, s, 2)
            degree += count
            for first in range(0, tl.max(count, 0), UNROLL):
                for j in tl.static_range(UNROLL):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    at = offsets(i, columns, cols, WIDE)
                    if s == 0:
                        v = tl.load(x + at, mask=both, other=0.0) * sign
                        n = tl.where(both, 1.0, 0.0).to(v.dtype)
                    else:
                        v = tl.load(values + at, mask=both, other=0.0)
                        n = tl.load(counts + at, mask=both, other=0.0)
                    v = tl.where(both, v, -float("inf"))
                    highest, number = _count_attaining(highest, number, v, n)
        is_agg = (r < 0) & (r > PADDING)
        at = offsets(-1 - r, columns, cols, WIDE)
        tl.store(values + at, highest, mask=is_agg[:, None] & inside)
        tl.store(counts + at, number, mask=is_agg[:, None] & inside)
        both = (r >= 0)[:, None] & inside
        at = offsets(r, columns, cols, WIDE)
        g = tl.load(grad + at, mask=both, other=0.0)
        of_zero = tl.where((highest == 0) | (degree == 0)[:, None], 1.0, 0.0)
        parts = number + of_zero.to(g.dtype)
        parts = tl.where(parts > 0, parts, 1.0)  # no source equals NaN
        tl.store(shares + at, g / parts, mask=both)
        tl.debug_barrier()  # later batches read what this one has written


@triton.jit
def _value_of_owner(
    x, values, agg_map, owner, columns, cols, inside, sign: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """The features of sources, or the values of aggregates, that rows belong to."""
    is_src = owner >= 0
    is_agg = (owner < 0) & (owner > PADDING)
    at = offsets(owner, columns, cols, WIDE)
    value = tl.load(x + at, mask=is_src[:, None] & inside, other=0.0) * sign
    k = tl.load(agg_map - 1 - owner, mask=is_agg, other=0)
    at = offsets(k, columns, cols, WIDE)
    kept = tl.load(values + at, mask=is_agg[:, None] & inside, other=0.0)
    return tl.where(is_src[:, None], value, kept)


@triton.jit
def _share_of_aggregates(
    value, values, agg_map, scratch, i, at, live, both, columns, cols, inside, num_aggs,
    WIDE: tl.constexpr,
):  # fmt: skip
    """The shares that rows get from aggregates i of the transposed HAG.

    Those of chunks, from `num_aggs` on, belong to the same row: they pass all on.
    """
    share = tl.load(scratch + at, mask=both, other=0.0)
    of_hag = live & (i < num_aggs)
    k = tl.load(agg_map + i, mask=of_hag, other=0)
    seen = of_hag[:, None] & inside
    at = offsets(k, columns, cols, WIDE)
    extreme = tl.load(values + at, mask=seen, other=0.0)
    passes = (extreme == value) | (i >= num_aggs)[:, None]
    return tl.where(both & passes, share, 0.0)


@triton.jit(do_not_specialize=["first_part", "num_aggs"])
def share_gradient(
    x, out, values, agg_map, shares, scratch, grad_x, row, owner, ptr, inputs,
    part_ptr, first_part, columns, num_aggs,
    MINIMUM: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Sums the shares of the readers that have the same value, over the transposed HAG.

    `agg_map` has the number in the HAG of each aggregate of the transposed HAG.
    """
    part = first_part + tl.program_id(0)
    cols = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (cols < columns)[None, :]
    sign: tl.constexpr = -1.0 if MINIMUM else 1.0
    for batch in range(tl.load(part_ptr + part), tl.load(part_ptr + part + 1)):
        place = batch * ROWS + tl.arange(0, ROWS)
        r = tl.load(row + place)
        value = _value_of_owner(
            x, values, agg_map, tl.load(owner + place), columns, cols, inside, sign,
            WIDE,
        )  # fmt: skip
        total = tl.zeros([ROWS, TILE], x.dtype.element_ty)
        for s in tl.static_range(2):
            begin, count = segment(ptr, place, s, 2)
            for first in range(0, tl.max(count, 0), UNROLL):
                for j in tl.static_range(UNROLL):
                    live = first + j < count
                    i = tl.load(inputs + begin + first + j, mask=live, other=0)
                    both = live[:, None] & inside
                    at = offsets(i, columns, cols, WIDE)
                    if s == 0:
                        extreme = tl.load(out + at, mask=both, other=0.0) * sign
                        share = tl.load(shares + at, mask=both, other=0.0)
                        total += tl.where(both & (extreme == value), share, 0.0)
                    else:
                        total += _share_of_aggregates(
                            value, values, agg_map, scratch, i, at, live, both,
                            columns, cols, inside, num_aggs, WIDE,
                        )  # fmt: skip
        is_agg = (r < 0) & (r > PADDING)
        at = offsets(-1 - r, columns, cols, WIDE)
        tl.store(scratch + at, total, mask=is_agg[:, None] & inside)
        at = offsets(r, columns, cols, WIDE)
        tl.store(grad_x + at, total, mask=(r >= 0)[:, None] & inside)
        tl.debug_barrier()  # later batches read what this one has written

"""The last stages of a sweep forward: what destinations make of their sums."""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep_block import ENTRY_BYTES, F, exp, view
from pyg_hag.ops.cpu.sweep_order import part_of
from pyg_hag.ops.cpu.sweep_sums import edges_of, find_sides, read_scalars
from pyg_hag.ops.cpu.sweep_vectors import read_sums
from pyg_hag.runtime.jit import jit, jit_inlined

FAR = 40.0, 400.0
"""How far, in float32 and in float64, the exponent of a row's factor may be above 0.

Beyond that, the largest scores of the row are so far below those of its component that
its terms have lost digits: it is computed edge by edge.
"""


@jit_inlined
def far(itemsize: int) -> float:
    """The limit of :data:`FAR` for elements of this size."""
    return FAR[0] if itemsize == 4 else FAR[1]


@jit
def row_maxima(p: Any, slot: int, part: int, begin: int, end: int, real: Any) -> None:
    """Writes the largest score that each destination reads; -inf if it reads none."""
    (in0, out0, w0, _), (in1, out1, w1, _) = part_of(p, part)
    out = out1 - out0
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    best = view(slot + p[F.best], w1 - w0, np.int32)
    out_ptr = view(p[F.out_ptr] + 8 * out0, out + 1, np.int64)
    out_aggs = view(p[F.out_aggs], out_ptr[out], np.int32)
    direct_ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    direct = view(p[F.direct], direct_ptr[out], np.int32)
    largest = view(slot + p[F.out_scales], 2 * out, real)
    for i in range(begin, end):
        least = np.inf
        for q in range(out_ptr[i], out_ptr[i + 1]):
            j = best[out_aggs[q]]
            if j >= 0:
                least = min(least, keys[out + j])
        for q in range(direct_ptr[i], direct_ptr[i + 1]):
            least = min(least, keys[out + direct[q]])
        largest[2 * i] = -least


@jit
def normalize(
    p: Any, slot: int, part: int, head: int, begin: int, end: int, real: Any
) -> None:
    """Writes the maximum and the denominator of rows, and the factors of their sums."""
    find_sides(p, slot, part, begin, end, real)
    read_scalars(p, slot, part, begin, end, real)
    row_maxima(p, slot, part, begin, end, real)
    (in0, out0, _, c0), (in1, out1, _, c1) = part_of(p, part)
    out, heads, slope = out1 - out0, p[F.heads], view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    largest = view(slot + p[F.reference], c1 - c0, real)
    component = view(p[F.out_component] + 4 * out0, out, np.int32)
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    sums = view(slot + p[F.sums], 2 * out, real)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    is_far = view(slot + p[F.is_far], out, np.uint8)
    tops = view(p[F.top], p[F.num_out] * heads, real)
    inverses = view(p[F.inverse], p[F.num_out] * heads, real)
    limit = far(keys.itemsize)
    for i in range(begin, end):
        t, m = keys[i], scales[2 * i]
        top = real(0)
        if m > -np.inf:
            top = m + t
            top = top if top > 0 else real(real(slope) * top)
        shifted = np.float64(t) + np.float64(largest[component[i]])
        positive, negative = shifted - top, slope * shifted - top
        is_far[i] = m > -np.inf and max(positive, negative) > limit
        scales[2 * i] = exp(min(positive, limit))
        scales[2 * i + 1] = exp(min(negative, limit))
        at = np.int64(nodes[i]) * heads + head
        tops[at] = top
        if is_far[i]:
            sum_far_row(p, slot, part, head, i, real)
        upper = scales[2 * i] * sums[2 * i]
        total = upper + scales[2 * i + 1] * sums[2 * i + 1]
        inverse = real(1) / (total + real(1e-16))
        inverses[at] = inverse
        scales[2 * i] *= inverse
        scales[2 * i + 1] *= inverse
        if p[F.share]:
            view(p[F.share], p[F.num_out] * heads, real)[at] = upper * inverse


@jit_inlined
def weight(s: Any, t: Any, top: Any, slope: float) -> Any:
    """The side of an edge, and its weight before it is divided by the sum of them."""
    score = np.float64(s) + np.float64(t)
    is_positive = score > 0
    return is_positive, exp((score if is_positive else slope * score) - top)


@jit
def sum_far_row(p: Any, slot: int, part: int, head: int, i: int, real: Any) -> None:
    """Writes the sums of weights of one row, edge by edge, with factors of 1."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, slope = out1 - out0, view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    node = np.int64(view(p[F.out_nodes], p[F.num_out], np.int32)[out0 + i])
    top = view(p[F.top], p[F.num_out] * p[F.heads], real)[node * p[F.heads] + head]
    upper = lower = 0.0
    for j in edges_of(p, part, i):
        is_positive, w = weight(-keys[out + j], keys[i], top, slope)
        if is_positive:
            upper += w
        else:
            lower += w
    view(slot + p[F.sums], 2 * out, real)[2 * i] = upper
    view(slot + p[F.sums], 2 * out, real)[2 * i + 1] = lower
    view(slot + p[F.out_scales], 2 * out, real)[2 * i] = 1
    view(slot + p[F.out_scales], 2 * out, real)[2 * i + 1] = 1


@jit
def write_channels(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Writes some channels of all destinations of a part."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, num_in, heads, channels = out1 - out0, in1 - in0, p[F.heads], p[F.channels]
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    out_ptr = view(p[F.out_ptr] + 8 * out0, out + 1, np.int64)
    direct_ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    places, sides = slot + p[F.places], slot + p[F.sides]
    scales = view(slot + p[F.out_scales], 2 * out, real)
    is_far = view(slot + p[F.is_far], out, np.uint8)
    both = table + num_in * ENTRY_BYTES
    lanes = ENTRY_BYTES // (2 * scales.itemsize)
    begin = chunk * lanes
    width = min(lanes, channels - begin)
    sums = view(both, 2 * lanes, real)
    for i in range(out):
        if is_far[i]:
            write_far_row(p, slot, part, head, chunk, i, both, real)
        else:
            read_sums(
                real,
                0,
                both,
                both + ENTRY_BYTES,
                places + 4 * (out_ptr[i] - out_ptr[0]),
                out_ptr[i + 1] - out_ptr[i],
                table,
                sides + 4 * (direct_ptr[i] - direct_ptr[0]),
                direct_ptr[i + 1] - direct_ptr[i],
            )
        row = (np.int64(nodes[i]) * heads + head) * channels + begin
        upper, lower = scales[2 * i], scales[2 * i + 1]
        features = view(p[F.out] + row * scales.itemsize, width, real)
        if p[F.positive] == 0:
            for c in range(width):
                features[c] = upper * sums[c] + lower * sums[lanes + c]
            continue
        positive = view(p[F.positive] + row * scales.itemsize, width, real)
        for c in range(width):
            positive[c] = upper * sums[c]
            features[c] = positive[c] + lower * sums[lanes + c]


@jit
def write_far_row(
    p: Any, slot: int, part: int, head: int, chunk: int, i: int, both: int, real: Any
) -> None:
    """Writes the sums of one row on both sides, edge by edge."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, heads, channels = out1 - out0, p[F.heads], p[F.channels]
    slope = view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    lanes = ENTRY_BYTES // (2 * keys.itemsize)
    width = min(lanes, channels - chunk * lanes)
    sums = view(both, 2 * lanes, real)
    node = np.int64(view(p[F.out_nodes], p[F.num_out], np.int32)[out0 + i])
    top = view(p[F.top], p[F.num_out] * heads, real)[node * heads + head]
    sources = view(p[F.in_nodes], p[F.num_in], np.int32)
    x = view(p[F.x], p[F.num_in] * heads * channels, real)
    sums[:] = 0
    for j in edges_of(p, part, i):
        is_positive, w = weight(-keys[out + j], keys[i], top, slope)
        first = 0 if is_positive else lanes
        row = (np.int64(sources[in0 + j]) * heads + head) * channels + chunk * lanes
        for c in range(width):
            sums[first + c] += real(w) * x[row + c]

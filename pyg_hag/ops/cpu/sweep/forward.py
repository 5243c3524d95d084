"""The last stages of a sweep forward: what destinations make of their sums."""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep.block import F, exp, exp_all, view
from pyg_hag.ops.cpu.sweep.order import part_of
from pyg_hag.ops.cpu.sweep.sums import chunk_of, edges_of
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
def read_maxima(
    p: Any, slot: int, part: int, head: int, begin: int, end: int, real: Any
) -> None:
    """Writes the largest score of rows, and the exponents of the factors of sums."""
    (in0, out0, _, c0), (in1, out1, _, c1) = part_of(p, part)
    out, heads, slope = out1 - out0, p[F.heads], view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    reference = view(slot + p[F.reference], c1 - c0, real)
    component = view(p[F.out_component] + 4 * out0, out, np.uint32)
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    largest = view(slot + p[F.largest], 2 * out, real)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    is_far = view(slot + p[F.is_far], out, np.uint8)
    tops = view(p[F.top], p[F.num_out] * heads, real)
    limit = far(keys.itemsize)
    for i in range(begin, end):
        m = largest[i] if largest[i] > largest[out + i] else largest[out + i]
        top = m + keys[i]
        top = top if top > 0 else real(real(slope) * top)
        top = top if m > -np.inf else real(0)
        shifted = np.float64(keys[i]) + np.float64(reference[component[i]])
        positive, negative = shifted - top, slope * shifted - top
        is_far[i] = m > -np.inf and max(positive, negative) > limit
        scales[2 * i] = min(positive, limit)
        scales[2 * i + 1] = min(negative, limit)
        tops[np.int64(nodes[i]) * heads + head] = top


@jit
def normalize(
    p: Any, slot: int, part: int, head: int, begin: int, end: int, real: Any
) -> None:
    """Writes the maximum and the denominator of rows, and the factors of their sums."""
    read_maxima(p, slot, part, head, begin, end, real)
    (_, out0, _, _), (_, out1, _, _) = part_of(p, part)
    out, heads = out1 - out0, p[F.heads]
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    sums = view(slot + p[F.sums], 4 * out, real)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    is_far = view(slot + p[F.is_far], out, np.uint8)
    exp_all(scales, 2 * begin, 2 * end)
    for k in range(2 * begin, 2 * end):
        sums[k] += sums[2 * out + k]
    inverses = view(p[F.inverse], p[F.num_out] * heads, real)
    shares = view(p[F.share], p[F.num_out] * heads, real)
    for i in range(begin, end):
        at = np.int64(nodes[i]) * heads + head
        if is_far[i]:
            sum_far_row(p, slot, part, head, i, real)
        upper = scales[2 * i] * sums[2 * i]
        total = upper + scales[2 * i + 1] * sums[2 * i + 1]
        inverse = real(1) / (total + real(1e-16))
        inverses[at] = inverse
        scales[2 * i] *= inverse
        scales[2 * i + 1] *= inverse
        if p[F.share]:
            shares[at] = upper * inverse


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
    sums = view(slot + p[F.sums], 2 * out, real)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    sums[2 * i], sums[2 * i + 1] = upper, lower
    scales[2 * i] = scales[2 * i + 1] = 1


@jit
def write_channels(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Writes some channels of all destinations of a part."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, heads, channels = out1 - out0, p[F.heads], p[F.channels]
    table += (in1 - in0) * p[F.entry_bytes]
    nodes = view(p[F.out_nodes] + 4 * out0, out, np.int32)
    scales = view(slot + p[F.out_scales], 2 * out, real)
    is_far = view(slot + p[F.is_far], out, np.uint8)
    begin, width, lanes = chunk_of(p, chunk, scales.itemsize)
    for i in range(out):
        at = table + i * p[F.entry_bytes]
        if is_far[i]:
            sum_far_channels(p, slot, part, head, chunk, i, at, real)
        sums = view(at, 2 * lanes, real)
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
def sum_far_channels(
    p: Any, slot: int, part: int, head: int, chunk: int, i: int, at: int, real: Any
) -> None:
    """Writes the sums of one row on both sides, edge by edge."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out, heads, channels = out1 - out0, p[F.heads], p[F.channels]
    slope = view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    begin, width, lanes = chunk_of(p, chunk, keys.itemsize)
    sums = view(at, 2 * lanes, real)
    node = np.int64(view(p[F.out_nodes], p[F.num_out], np.int32)[out0 + i])
    top = view(p[F.top], p[F.num_out] * heads, real)[node * heads + head]
    sources = view(p[F.in_nodes], p[F.num_in], np.int32)
    x = view(p[F.x], p[F.num_in] * heads * channels, real)
    sums[:] = 0
    for j in edges_of(p, part, i):
        is_positive, w = weight(-keys[out + j], keys[i], top, slope)
        first = 0 if is_positive else lanes
        row = (np.int64(sources[in0 + j]) * heads + head) * channels + begin
        for c in range(width):
            sums[first + c] += real(w) * x[row + c]

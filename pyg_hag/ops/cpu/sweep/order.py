"""The first stages of a sweep: scores in order, and what each aggregate takes in.

Node j goes in on the positive side of node i if its key is less than that of i. Both
keys are scores: that of the node itself for nodes that sums go out to, and its negative
for those that go in.
"""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep.block import BINS, DIGIT, F, exp, view
from pyg_hag.runtime.jit import jit


@jit
def part_of(p: Any, part: int) -> Any:
    """First in-node, out-node, aggregate and component of a part, and their ends."""
    bounds = view(p[F.parts], 5 * (part + 2), np.int64)
    k = 5 * part
    return (
        (bounds[k], bounds[k + 1], bounds[k + 2], bounds[k + 3]),
        (bounds[k + 5], bounds[k + 6], bounds[k + 7], bounds[k + 8]),
    )


@jit
def read_scores(p: Any, slot: int, part: int, head: int, real: Any) -> bool:
    """Writes the keys of a part, those that go out first; False if one is infinite."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    heads, out = p[F.heads], out1 - out0
    is_backward = p[F.is_backward] != 0
    num_s = p[F.num_out] if is_backward else p[F.num_in]
    num_t = p[F.num_in] if is_backward else p[F.num_out]
    s, t = view(p[F.s], num_s * heads, real), view(p[F.t], num_t * heads, real)
    ins, outs = (t, s) if is_backward else (s, t)
    in_nodes = view(p[F.in_nodes], p[F.num_in], np.int32)
    out_nodes = view(p[F.out_nodes], p[F.num_out], np.int32)
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    for i in range(out0, out1):
        keys[i - out0] = outs[out_nodes[i] * heads + head] + real(0)
    for j in range(in0, in1):
        keys[out + j - in0] = real(0) - ins[in_nodes[j] * heads + head]
    wrong = 0
    for key in keys:
        wrong += not abs(key) < np.inf
    return wrong == 0


@jit
def find_references(p: Any, slot: int, part: int, real: Any) -> None:
    """Writes the largest score of a source in each component."""
    (in0, out0, _, c0), (in1, out1, _, c1) = part_of(p, part)
    is_backward = p[F.is_backward] != 0
    out, size = out1 - out0, out1 - out0 + in1 - in0
    keys = view(slot + p[F.scores], size, real)
    largest = view(slot + p[F.reference], c1 - c0, real)
    largest[:] = -np.inf
    if is_backward:
        component = view(p[F.out_component], p[F.num_out], np.int32)
        for j in range(out):
            c = component[out0 + j]
            largest[c] = max(largest[c], keys[j])
    else:
        component = view(p[F.in_component], p[F.num_in], np.int32)
        for j in range(in1 - in0):
            c = component[in0 + j]
            largest[c] = max(largest[c], -keys[out + j])
    for c in range(c1 - c0):
        if largest[c] == -np.inf:  # no sources
            largest[c] = 0


@jit
def scale_sources(p: Any, slot: int, part: int, real: Any) -> None:
    """Writes the factors of sources on both sides, relative to their reference."""
    (in0, out0, _, c0), (in1, out1, _, c1) = part_of(p, part)
    is_backward = p[F.is_backward] != 0
    out, size = out1 - out0, out1 - out0 + in1 - in0
    slope = view(p[F.slope], 1, np.float64)[0]
    keys = view(slot + p[F.scores], size, real)
    largest = view(slot + p[F.reference], c1 - c0, real)
    field = F.out_component if is_backward else F.in_component
    first, count = (out0, out) if is_backward else (in0, in1 - in0)
    component = view(p[field] + 4 * first, count, np.int32)
    place = slot + (p[F.out_scales] if is_backward else p[F.in_scales])
    scales = view(place, 2 * count, real)
    shift = 0 if is_backward else out
    sign = 1.0 if is_backward else -1.0
    for j in range(count):
        scales[2 * j] = sign * keys[shift + j] - np.float64(largest[component[j]])
    for j in range(count):
        distance = np.float64(scales[2 * j])
        scales[2 * j] = exp(distance)
        scales[2 * j + 1] = exp(slope * distance)


@jit
def sort_scores(p: Any, slot: int, part: int, word: Any) -> None:
    """Writes the nodes in the order of their keys; of equal ones, those that go out.

    A radix sort of the bits of the keys, which are flipped so that their order is that
    of the numbers.
    """
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    n = out1 - out0 + in1 - in0
    scores = view(slot + p[F.scores], n, word)
    keys = view(slot + p[F.keys], n, word)
    new_keys = view(slot + p[F.new_keys], n, word)
    ids = view(slot + p[F.ids], n, np.int32)
    new_ids = view(slot + p[F.new_ids], n, np.int32)
    sign, digit = word(8 * scores.itemsize - 1), word(BINS - 1)
    passes = (8 * scores.itemsize + DIGIT - 1) // DIGIT
    bins = view(slot + p[F.bins], passes * BINS, np.int32)
    bins[:] = 0
    for i in range(n):
        key = scores[i]
        key = word(~key) if key >> sign else word(key | word(word(1) << sign))
        keys[i] = key
        ids[i] = i
        for k in range(passes):
            bins[k * BINS + np.int64((key >> word(k * DIGIT)) & digit)] += 1
    for k in range(passes):
        counts = bins[k * BINS : (k + 1) * BINS]
        shift = word(k * DIGIT)
        if n == 0 or counts[np.int64((keys[0] >> shift) & digit)] == n:
            continue
        before = 0
        for d in range(BINS):
            count = counts[d]
            counts[d] = before
            before += count
        for i in range(n):
            d = np.int64((keys[i] >> shift) & digit)
            new_keys[counts[d]], new_ids[counts[d]] = keys[i], ids[i]
            counts[d] += 1
        keys, new_keys, ids, new_ids = new_keys, keys, new_ids, ids
    sorted_ids = view(slot + p[F.ids], n, np.int32)
    if n > 0 and ids.ctypes.data != sorted_ids.ctypes.data:
        sorted_ids[:] = ids


@jit
def half_of(p: Any, part: int, half: int) -> Any:
    """The first aggregate of a half of a part and its end, counted in the part."""
    (_, _, w0, _), (_, _, w1, _) = part_of(p, part)
    middle = view(p[F.parts], 5 * (part + 1), np.int64)[5 * part + 4] - w0
    return (0 if half != 1 else middle), (middle if half == 0 else w1 - w0)


FIRST, SECOND, BOTH = range(3)
"""Halves of the aggregates of a part."""


@jit
def list_nodes(p: Any, slot: int, part: int, half: int) -> None:
    """Lists the nodes of each aggregate in order, and where readers find their sums.

    Args:
        p: The parameters.
        slot: The address of the scratch.
        part: The part.
        half: Which aggregates.
    """
    (in0, out0, w0, _), (in1, out1, w1, _) = part_of(p, part)
    ins, out, num = in1 - in0, out1 - out0, w1 - w0
    agg_ptr = view(p[F.agg_ptr] + 8 * w0, num + 1, np.int64)
    in_ptr = view(p[F.in_ptr] + 8 * in0, ins + 1, np.int64)
    out_ptr = view(p[F.out_ptr] + 8 * out0, out + 1, np.int64)
    in_middle = view(p[F.in_middle] + 8 * in0, ins, np.int64)
    out_middle = view(p[F.out_middle] + 8 * out0, out, np.int64)
    in_begin = in_middle if half == SECOND else in_ptr[:-1]
    in_end = in_middle if half == FIRST else in_ptr[1:]
    out_begin = out_middle if half == SECOND else out_ptr[:-1]
    out_end = out_middle if half == FIRST else out_ptr[1:]
    in_aggs = view(p[F.in_aggs], in_ptr[ins], np.uint32)
    out_aggs = view(p[F.out_aggs], out_ptr[out], np.uint32)
    out_slots = view(p[F.out_slots], out_ptr[out], np.uint32)
    ids = view(slot + p[F.ids], ins + out, np.int32)
    listed = view(slot + p[F.listed], agg_ptr[num] - agg_ptr[0], np.int32)
    places = view(slot + p[F.places], out_ptr[out] - out_ptr[0], np.int32)
    at = view(slot + p[F.cursors], num, np.uint32)
    begin, end = half_of(p, part, half)
    for w in range(begin, end):
        at[w] = agg_ptr[w] - agg_ptr[0]
    for i in ids:
        if i < out:
            for q in range(out_begin[i], out_end[i]):
                places[out_slots[q]] = at[out_aggs[q]]
        else:
            j = i - out
            for q in range(in_begin[j], in_end[j]):
                w = in_aggs[q]
                listed[at[w]] = j
                at[w] += np.uint32(1)

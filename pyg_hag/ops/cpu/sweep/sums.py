"""The sums of a sweep: those of each aggregate, and of what goes out to each node."""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep.block import F, view
from pyg_hag.ops.cpu.sweep.order import SECOND, half_of, part_of
from pyg_hag.ops.cpu.sweep.vectors import (
    NARROW,
    SCALAR,
    WIDE,
    running_sums,
    spread_sums,
    sum_terms,
    write_terms,
)
from pyg_hag.runtime.jit import jit


@jit
def find_sides(p: Any, slot: int, part: int, real: Any) -> None:
    """Writes the side of each node that goes out without an aggregate.

    Also writes the largest negative key of such nodes, for each that they go out to.
    """
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out = out1 - out0
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    first = ptr[0]
    direct = view(p[F.direct], ptr[out], np.uint32)
    sides = view(slot + p[F.sides], ptr[out] - first, np.int32)
    largest = view(slot + p[F.largest], out, real)
    for i in range(out):
        key, least = keys[i], real(np.inf)
        for q in range(ptr[i], ptr[i + 1]):
            j = direct[q]
            other = keys[out + j]
            sides[q - first] = 2 * j + (1 if other < key else 0)
            least = other if other < least else least
        largest[i] = -least


@jit
def start_scalars(p: Any, slot: int, part: int, half: int, real: Any) -> None:
    """Writes what goes out without an aggregate, or nothing for the second half."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out = out1 - out0
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    size = 2 * keys.itemsize
    if half == SECOND:
        view(slot + p[F.sums] + out * size, 2 * out, real)[:] = 0
        view(slot + p[F.largest] + out * keys.itemsize, out, real)[:] = -np.inf
        return
    find_sides(p, slot, part, real)
    ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    sums, values, sides = slot + p[F.sums], slot + p[F.values], slot + p[F.sides]
    for i in range(out):
        at, count = sides + 4 * (ptr[i] - ptr[0]), ptr[i + 1] - ptr[i]
        sum_terms(real, SCALAR, sums + size * i, values, at, count)


@jit
def sum_scalars(p: Any, slot: int, table: int, part: int, half: int, real: Any) -> None:
    """Sums up one value per node, over half of the aggregates.

    Also writes the largest negative key that goes out to each node.
    """
    start_scalars(p, slot, part, half, real)
    (in0, out0, w0, _), (in1, out1, w1, _) = part_of(p, part)
    out, num = out1 - out0, w1 - w0
    begin, end = half_of(p, part, half)
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    largest = view(slot + p[F.largest] + half * out * keys.itemsize, out, real)
    agg_ptr = view(p[F.agg_ptr] + 8 * w0, num + 1, np.int64)
    reader_ptr = view(p[F.reader_ptr] + 8 * w0, num + 1, np.int64)
    readers = view(p[F.readers], reader_ptr[num], np.uint32)
    listed = view(slot + p[F.listed], agg_ptr[num] - agg_ptr[0], np.uint32)
    size = 2 * keys.itemsize
    sums = slot + p[F.sums] + half * out * size
    for w in range(begin, end):
        first, count = agg_ptr[w] - agg_ptr[0], agg_ptr[w + 1] - agg_ptr[w]
        reader, readings = reader_ptr[w], reader_ptr[w + 1] - reader_ptr[w]
        nodes = slot + p[F.listed] + 4 * first
        places = slot + p[F.places] + 4 * (reader - reader_ptr[0])
        running_sums(real, SCALAR, table, slot + p[F.values], nodes, count)
        shifted, outs = table - size * first, p[F.readers] + 4 * reader
        spread_sums(real, SCALAR, sums, shifted, places, outs, readings)
        if p[F.is_backward] or count == 0:
            continue
        best = -keys[out + listed[first]]
        for q in range(reader, reader + readings):
            i = readers[q]
            largest[i] = best if best > largest[i] else largest[i]


@jit
def sum_channels(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Sums up some channels: writes what goes out to each node into the table.

    The table has entries of the nodes that go in, then of those that go out, and then
    those of one aggregate.
    """
    write_all_terms(p, slot, table, part, head, chunk, real)
    (in0, out0, w0, _), (in1, out1, w1, _) = part_of(p, part)
    out, num, size = out1 - out0, w1 - w0, p[F.entry_bytes]
    sums = table + (in1 - in0) * size
    entries = sums + out * size
    direct_ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    for i in range(out):
        count = direct_ptr[i + 1] - direct_ptr[i]
        at = slot + p[F.sides] + 4 * (direct_ptr[i] - direct_ptr[0])
        if p[F.is_wide]:
            sum_terms(real, WIDE, sums + i * size, table, at, count)
        else:
            sum_terms(real, NARROW, sums + i * size, table, at, count)
    agg_ptr = view(p[F.agg_ptr] + 8 * w0, num + 1, np.int64)
    reader_ptr = view(p[F.reader_ptr] + 8 * w0, num + 1, np.int64)
    for w in range(num):
        first, count = agg_ptr[w] - agg_ptr[0], agg_ptr[w + 1] - agg_ptr[w]
        reader, readings = reader_ptr[w], reader_ptr[w + 1] - reader_ptr[w]
        nodes = slot + p[F.listed] + 4 * first
        places = slot + p[F.places] + 4 * (reader - reader_ptr[0])
        shifted, outs = entries - size * first, p[F.readers] + 4 * reader
        if p[F.is_wide]:
            running_sums(real, WIDE, entries, table, nodes, count)
            spread_sums(real, WIDE, sums, shifted, places, outs, readings)
        else:
            running_sums(real, NARROW, entries, table, nodes, count)
            spread_sums(real, NARROW, sums, shifted, places, outs, readings)


@jit
def chunk_of(p: Any, chunk: int, itemsize: int) -> Any:
    """The first channel of a chunk, its number of channels, and those of a full one."""
    lanes = p[F.entry_bytes] // (2 * itemsize)
    return chunk * lanes, min(lanes, p[F.channels] - chunk * lanes), lanes


@jit
def write_all_terms(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Writes some channels of each node that goes in, times its two factors."""
    (in0, _, _, _), (in1, _, _, _) = part_of(p, part)
    num_in, heads, channels = in1 - in0, p[F.heads], p[F.channels]
    scales = view(slot + p[F.in_scales], 2 * num_in, real)
    begin, width, lanes = chunk_of(p, chunk, scales.itemsize)
    in_nodes = view(p[F.in_nodes] + 4 * in0, num_in, np.int32)
    x = p[F.grad] if p[F.is_backward] else p[F.x]
    for j in range(num_in):
        row = (np.int64(in_nodes[j]) * heads + head) * channels + begin
        row = x + row * scales.itemsize
        at = table + j * p[F.entry_bytes]
        upper, lower = scales[2 * j], scales[2 * j + 1]
        if width < lanes:
            terms, features = view(at, 2 * lanes, real), view(row, width, real)
            terms[:] = 0
            for c in range(width):
                terms[c] = upper * features[c]
                terms[lanes + c] = lower * features[c]
        elif p[F.is_wide]:
            write_terms(real, WIDE, at, row, upper, lower)
        else:
            write_terms(real, NARROW, at, row, upper, lower)


@jit
def edges_of(p: Any, part: int, i: int) -> Any:
    """The sources of a destination, all of them: both are numbered in the part."""
    (in0, out0, w0, _), _ = part_of(p, part)
    dst0 = in0 if p[F.is_backward] else out0
    read_ptr = view(p[F.read_ptr] + 8 * (dst0 + i), 2, np.int64)
    direct_ptr = view(p[F.row_direct_ptr] + 8 * (dst0 + i), 2, np.int64)
    reads = view(p[F.reads], read_ptr[1], np.int32)
    direct = view(p[F.row_direct], direct_ptr[1], np.int32)
    leaf_ptr = view(p[F.leaf_ptr] + 8 * w0, p[F.num_aggs] - w0 + 1, np.int64)
    leaves = view(p[F.leaves], leaf_ptr[-1], np.int32)
    count = direct_ptr[1] - direct_ptr[0]
    for q in range(read_ptr[0], read_ptr[1]):
        count += leaf_ptr[reads[q] + 1] - leaf_ptr[reads[q]]
    out, n = np.empty(count, np.int32), 0
    for q in range(direct_ptr[0], direct_ptr[1]):
        out[n] = direct[q]
        n += 1
    for q in range(read_ptr[0], read_ptr[1]):
        for k in range(leaf_ptr[reads[q]], leaf_ptr[reads[q] + 1]):
            out[n] = leaves[k]
            n += 1
    return out

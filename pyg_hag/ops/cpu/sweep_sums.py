"""The sums of a sweep: those of each aggregate, and of what goes out to each node."""

from typing import Any

import numpy as np

from pyg_hag.ops.cpu.sweep_block import ENTRY_BYTES, F, view
from pyg_hag.ops.cpu.sweep_order import part_of
from pyg_hag.ops.cpu.sweep_vectors import read_sums, running_sums, write_terms
from pyg_hag.runtime.jit import jit


@jit
def sum_scalars(p: Any, slot: int, part: int, piece: int, real: Any) -> None:
    """Writes the running sums of one value per node, of a piece of the aggregates.

    Also writes the first node of each aggregate, which has the least key.
    """
    (_, _, w0, _), (_, _, w1, _) = part_of(p, part)
    pieces, num = p[F.pieces], w1 - w0
    begin, end = num * piece // pieces, num * (piece + 1) // pieces
    agg_ptr = view(p[F.agg_ptr] + 8 * w0, num + 1, np.int64)
    first = agg_ptr[0]
    listed = view(slot + p[F.listed], agg_ptr[num] - first, np.int32)
    best = view(slot + p[F.best], num, np.int32)
    values, nodes = slot + p[F.values], slot + p[F.listed]
    table = slot + p[F.scalar_table]
    size = 2 * view(slot, 1, real).itemsize
    for w in range(begin, end):
        place = agg_ptr[w] - first
        count = agg_ptr[w + 1] - agg_ptr[w]
        best[w] = listed[place] if count else -1
        at = table + (place + w) * size
        running_sums(real, 1, at, values, nodes + 4 * place, count)


@jit
def find_sides(p: Any, slot: int, part: int, begin: int, end: int, real: Any) -> None:
    """Writes the side of each node that goes out without an aggregate."""
    (in0, out0, _, _), (in1, out1, _, _) = part_of(p, part)
    out = out1 - out0
    keys = view(slot + p[F.scores], out + in1 - in0, real)
    ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    first = ptr[0]
    direct = view(p[F.direct], ptr[out], np.int32)
    sides = view(slot + p[F.sides], ptr[out] - first, np.int32)
    for i in range(begin, end):
        key = keys[i]
        for q in range(ptr[i], ptr[i + 1]):
            j = direct[q]
            sides[q - first] = 2 * j + (1 if keys[out + j] < key else 0)


@jit
def read_scalars(p: Any, slot: int, part: int, begin: int, end: int, real: Any) -> None:
    """Writes what goes out to the nodes from `begin` to `end`: one value per side."""
    (_, out0, _, _), (_, out1, _, _) = part_of(p, part)
    out = out1 - out0
    direct_ptr = view(p[F.direct_ptr] + 8 * out0, out + 1, np.int64)
    out_ptr = view(p[F.out_ptr] + 8 * out0, out + 1, np.int64)
    places, sides = slot + p[F.places], slot + p[F.sides]
    values, table = slot + p[F.values], slot + p[F.scalar_table]
    sums = slot + p[F.sums]
    size = 2 * view(slot, 1, real).itemsize
    for i in range(begin, end):
        read_sums(
            real,
            1,
            sums + size * i,
            table,
            places + 4 * (out_ptr[i] - out_ptr[0]),
            out_ptr[i + 1] - out_ptr[i],
            values,
            sides + 4 * (direct_ptr[i] - direct_ptr[0]),
            direct_ptr[i + 1] - direct_ptr[i],
        )


@jit
def sum_channels(
    p: Any, slot: int, table: int, part: int, head: int, chunk: int, real: Any
) -> None:
    """Writes the terms of some channels into the table, and their running sums."""
    (in0, _, w0, _), (in1, _, w1, _) = part_of(p, part)
    num_in, num = in1 - in0, w1 - w0
    scales = view(slot + p[F.in_scales], 2 * num_in, real)
    lanes = ENTRY_BYTES // (2 * scales.itemsize)
    heads, channels = p[F.heads], p[F.channels]
    begin = chunk * lanes
    width = min(lanes, channels - begin)
    in_nodes = view(p[F.in_nodes] + 4 * in0, num_in, np.int32)
    x = p[F.grad] if p[F.is_backward] else p[F.x]
    for j in range(num_in):
        row = (np.int64(in_nodes[j]) * heads + head) * channels + begin
        row = x + row * scales.itemsize
        at = table + j * ENTRY_BYTES
        if width == lanes:
            write_terms(real, 0, at, row, scales[2 * j], scales[2 * j + 1])
        else:
            terms, features = view(at, 2 * lanes, real), view(row, width, real)
            terms[:] = 0
            for c in range(width):
                terms[c] = scales[2 * j] * features[c]
                terms[lanes + c] = scales[2 * j + 1] * features[c]
    agg_ptr = view(p[F.agg_ptr] + 8 * w0, num + 1, np.int64)
    nodes, sums = slot + p[F.listed], table + (num_in + 1) * ENTRY_BYTES
    for w in range(num):
        place = agg_ptr[w] - agg_ptr[0]
        at = sums + (place + w) * ENTRY_BYTES
        count = agg_ptr[w + 1] - agg_ptr[w]
        running_sums(real, 0, at, table, nodes + 4 * place, count)


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

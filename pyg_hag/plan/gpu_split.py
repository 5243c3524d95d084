"""Jitted leaves: the rows of a HAG with those of hubs split into chunks."""

from typing import NamedTuple

import numpy as np

from pyg_hag.hag.arrays import Rows
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64


class SplitRows(NamedTuple):
    """Rows of few inputs: the row of a hub follows the rows of its chunks.

    Attributes:
        target: The destination of each row, or `-1 - aggregate`, `[num_rows]`. The
            aggregates of chunks come after those of the HAG.
        owner: The destination or aggregate of the HAG that each row belongs to,
            `[num_rows]`.
        level: 0 if a row reads only sources, else one more than the highest level of
            the aggregates that it reads, `[num_rows]`.
        ptr: Where segment s of row r starts at `segments * r + s`,
            `[segments * num_rows + 1]`.
        inputs: Sources or aggregates.
        group_ptr: The first row of each group, `[num_groups + 1]`.
    """

    target: I64
    owner: I64
    level: I64
    ptr: I64
    inputs: I64
    group_ptr: I64


class _Split(NamedTuple):
    """What is split, and how.

    Attributes:
        rows: The rows of the HAG.
        segments: Segments of inputs in a row, 2 or 4.
        max_inputs: Segments with more inputs are split.
        chunk: Inputs of a chunk.
        agg_level: The level of each aggregate that has been written.
    """

    rows: Rows
    segments: int
    max_inputs: int
    chunk: int
    agg_level: I64


@jit
def split_hubs(
    rows: Rows,
    group_aggs: I64,
    group_dsts: I64,
    signed: bool,
    max_inputs: int,
    chunk: int,
) -> SplitRows:
    """Splits rows of many inputs, which are first reduced in chunks.

    A row has segments of inputs: sources, aggregates, and, in a signed HAG, the sources
    and aggregates that it subtracts. A segment of more than `max_inputs` inputs becomes
    rows of `chunk` inputs each, which are new aggregates.
    """
    segments = 4 if signed else 2
    num_aggs = group_aggs.sum()
    added = _count_added(rows, segments, max_inputs, chunk)
    num_rows = rows.target.size + added
    agg_level = np.zeros(num_aggs + added, np.int64)
    split = _Split(rows, segments, max_inputs, chunk, agg_level)
    out = SplitRows(
        np.empty(num_rows, np.int64),
        np.empty(num_rows, np.int64),
        np.zeros(num_rows, np.int64),
        np.zeros(num_rows * segments + 1, np.int64),
        np.empty(rows.src.size + rows.agg.size + added, np.int64),
        np.zeros(group_aggs.size + 1, np.int64),
    )
    n = 0
    i = 0
    next_agg = num_aggs
    r = 0
    for g in range(group_aggs.size):
        out.group_ptr[g] = n
        for _ in range(group_aggs[g] + group_dsts[g]):
            first_chunk = next_agg
            for s in range(segments):
                n, i, next_agg = _write_chunks(split, r, s, out, n, i, next_agg)
            i = _write_row(split, r, out, n, i, first_chunk, next_agg > first_chunk)
            n += 1
            r += 1
    out.group_ptr[group_aggs.size] = n
    return out


@jit
def _count_added(rows: Rows, segments: int, max_inputs: int, chunk: int) -> int:
    """How many rows of chunks there will be."""
    added = 0
    for r in range(rows.target.size):
        for s in range(segments):
            begin, end = _segment(rows, r, s)
            count = end - begin
            while count > max_inputs:
                count = (count + chunk - 1) // chunk
                added += count
    return added


@jit
def _segment(rows: Rows, r: int, s: int) -> tuple[int, int]:
    """The range of the inputs in segment s of row r: of sources if s is even."""
    if s == 0:
        return rows.src_ptr[r], rows.src_mid[r]
    if s == 1:
        return rows.agg_ptr[r], rows.agg_mid[r]
    if s == 2:
        return rows.src_mid[r], rows.src_ptr[r + 1]
    return rows.agg_mid[r], rows.agg_ptr[r + 1]


@jit
def _write_chunks(
    split: _Split, r: int, s: int, out: SplitRows, n: int, i: int, next_agg: int
) -> tuple[int, int, int]:
    """Writes the rows of the chunks of a segment.

    Returns the next row, input and aggregate.
    """
    rows, segments, chunk = split.rows, split.segments, split.chunk
    begin, end = _segment(rows, r, s)
    of_hag = True  # first the inputs of the segment, then the aggregates of its chunks
    while end - begin > split.max_inputs:
        first_chunk = next_agg
        for c0 in range(begin, end, chunk):
            of_src = of_hag and s % 2 == 0
            for k in range(segments):
                out.ptr[n * segments + k] = i
                if k == (0 if of_src else 1):
                    for e in range(c0, min(c0 + chunk, end)):
                        u = e
                        if of_hag:
                            u = rows.src[e] if of_src else rows.agg[e]
                        if not of_src:
                            out.level[n] = max(out.level[n], split.agg_level[u] + 1)
                        out.inputs[i] = u
                        i += 1
            out.ptr[(n + 1) * segments] = i
            out.target[n] = -1 - next_agg
            out.owner[n] = rows.target[r]
            split.agg_level[next_agg] = out.level[n]
            next_agg += 1
            n += 1
        begin, end, of_hag = first_chunk, next_agg, False
    return n, i, next_agg


@jit
def _write_row(
    split: _Split,
    r: int,
    out: SplitRows,
    n: int,
    i: int,
    first_chunk: int,
    has_chunks: bool,
) -> int:
    """Writes row r of the HAG, which reads its chunks; returns the next input.

    `first_chunk` is the first aggregate of its chunks.
    """
    rows, segments, agg_level = split.rows, split.segments, split.agg_level
    deepest = -1
    chunks = first_chunk
    for s in range(segments):
        out.ptr[n * segments + s] = i
        begin, end = _segment(rows, r, s)
        if end - begin <= split.max_inputs:
            for e in range(begin, end):
                if s % 2 == 0:
                    out.inputs[i] = rows.src[e]
                else:
                    out.inputs[i] = rows.agg[e]
                    deepest = max(deepest, agg_level[rows.agg[e]])
                i += 1
        if s % 2 == 1 and has_chunks:  # chunks of sources are aggregates, too
            for other in range(s - 1, s + 1):
                begin, end = _segment(rows, r, other)
                size = end - begin
                while size > split.max_inputs:
                    size = (size + split.chunk - 1) // split.chunk
                    chunks += size
                    if size <= split.max_inputs:
                        for u in range(chunks - size, chunks):
                            out.inputs[i] = u
                            deepest = max(deepest, agg_level[u])
                            i += 1
    target = rows.target[r]
    out.level[n] = deepest + 1
    out.ptr[(n + 1) * segments] = i
    out.target[n] = out.owner[n] = target
    if target < 0:
        agg_level[-1 - target] = out.level[n]
    return i

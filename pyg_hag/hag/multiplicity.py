"""Jitted leaves: how many paths lead from each source to a destination."""

from typing import NamedTuple

import numpy as np

from pyg_hag.hag.arrays import Rows
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import F32, F64, I64


class Scratch(NamedTuple):
    """What a walk over the rows keeps of the row where it is.

    Attributes:
        reached: The rows of the paths into it, `[num_aggregates + 1]`.
        row_seen: The last row, plus 1, whose paths lead through each, `[num_rows]`.
        row_paths: The paths from each of these to it, `[num_rows]`.
        found: The sources of its paths, `[num_src]`.
        src_seen: The last row, plus 1, that each source leads to, `[num_src]`.
        src_paths: The paths from each of these to it, `[num_src]`.
    """

    reached: I64
    row_seen: I64
    row_paths: F64
    found: I64
    src_seen: I64
    src_paths: F64


@jit
def new_scratch(num_rows: int, num_aggs: int, num_src: int) -> Scratch:
    """Scratch for a HAG of these sizes, before the first row."""
    return Scratch(
        np.empty(num_aggs + 1, np.int64),
        np.zeros(num_rows, np.int64),
        np.empty(num_rows, np.float64),
        np.empty(num_src, np.int64),
        np.zeros(num_src, np.int64),
        np.empty(num_src, np.float64),
    )


@jit
def _count_paths(rows: Rows, r: int, row_of: I64, s: Scratch) -> int:
    """Counts the paths from each source to row r, less those that are subtracted.

    Every aggregate is visited once, however many paths lead through it. Returns the
    number of sources, which are in `s.found`; counts are exact up to 2^53.
    """
    s.reached[0] = r
    s.row_seen[r] = r + 1
    s.row_paths[r] = 1
    n = 1
    i = 0
    while i < n:
        q = s.reached[i]
        i += 1
        for e in range(rows.agg_ptr[q], rows.agg_ptr[q + 1]):
            below = row_of[rows.agg[e]]
            if s.row_seen[below] != r + 1:
                s.row_seen[below] = r + 1
                s.row_paths[below] = 0
                s.reached[n] = below
                n += 1
    s.reached[:n].sort()  # a row reads earlier rows only
    num_found = 0
    for i in range(n - 1, -1, -1):
        q = s.reached[i]
        paths = s.row_paths[q]
        for e in range(rows.agg_ptr[q], rows.agg_ptr[q + 1]):
            s.row_paths[row_of[rows.agg[e]]] += paths if e < rows.agg_mid[q] else -paths
        for e in range(rows.src_ptr[q], rows.src_ptr[q + 1]):
            u = rows.src[e]
            if s.src_seen[u] != r + 1:
                s.src_seen[u] = r + 1
                s.src_paths[u] = 0
                s.found[num_found] = u
                num_found += 1
            s.src_paths[u] += paths if e < rows.src_mid[q] else -paths
    return num_found


@jit
def count_sources(
    rows: Rows,
    begin: int,
    end: int,
    row_of: I64,
    names: I64,
    s: Scratch,
    degree: I64,
    loops: I64,
) -> tuple[int, int]:
    """Counts the sources from which a path leads to each destination.

    Of the destinations whose rows are from `begin` to `end`. Writes their number to
    `degree`, and to `loops` whether the destination itself is one of them. Returns
    (u, v) if more paths from u to v are subtracted than added, else (-1, -1).

    Args:
        rows: The rows of a HAG.
        begin: The first row.
        end: The row behind the last one.
        row_of: The row of each aggregate.
        names: The number of each source.
        s: See :class:`Scratch`.
        degree: Written to, `[num_dst]`.
        loops: Written to, `[num_dst]`.
    """
    for r in range(begin, end):
        v = rows.target[r]
        if v < 0:
            continue
        for i in range(_count_paths(rows, r, row_of, s)):
            u = s.found[i]
            if s.src_paths[u] < 0:
                return names[u], v
            if s.src_paths[u] > 0:
                degree[v] += 1
                loops[v] += names[u] == v
    return -1, -1


@jit
def list_sources(
    rows: Rows,
    begin: int,
    end: int,
    row_of: I64,
    names: I64,
    s: Scratch,
    out_ptr: I64,
    out: I64,
    paths: F32,
) -> None:
    """Writes these sources, in ascending order, to `out[out_ptr[v]:]`.

    And the numbers of their paths to `paths`. See :func:`count_sources`.
    """
    for r in range(begin, end):
        v = rows.target[r]
        if v < 0:
            continue
        found = s.found[: _count_paths(rows, r, row_of, s)]
        found.sort()
        at = out_ptr[v]
        for i in range(found.size):
            if s.src_paths[found[i]] > 0:
                out[at] = names[found[i]]
                paths[at] = s.src_paths[found[i]]
                at += 1

"""The search item range by item range, where memory does not allow it at once.

A part is the rows restricted to a range of items; a pair is found if both of its
items are in one part.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pyg_hag._derived import pointers
from pyg_hag._jit import jit
from pyg_hag.search._contract import Contraction
from pyg_hag.search._rules import from_pairs
from pyg_hag.search._search import Found, merge_pairs

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_MOST_PARTS = 256
# Bytes, as measured on large graphs:
_PER_ENTRY = 28  # of a part that is searched
_PER_ITEM = 160  # given or new, of a part
_PER_EDGE = 20  # for reading the graph, its twins, and writing the HAG
_PER_NODE = 60


def count_parts(memory_limit: int | None, num_edges: int, num_nodes: int) -> int:
    """Into how many parts the search must be cut; 0 if no number of them fits."""
    if memory_limit is None:
        return 1
    left = memory_limit - _PER_EDGE * num_edges - _PER_NODE * num_nodes
    # At worst every second entry becomes an item; a sixteenth is common:
    wanted = (_PER_ENTRY + _PER_ITEM // 16) * num_edges + _PER_ITEM * num_nodes
    if left <= 0:
        return 0
    parts = -(-wanted // left)
    return parts if parts <= _MOST_PARTS else 0


def search(
    parts: Contraction, num_parts: int, exact: bool, least: int, control: I64
) -> tuple[tuple[I32, I32, I64, I64, I32], Found]:
    """Merges pairs of what a contraction has left.

    Returns:
        What :meth:`Contraction.expand` takes, and the pairs of the last part.
    """
    if num_parts == 1:
        found = merge_pairs(
            parts.row_ptr, parts.row, parts.item_id.size, exact, least, control
        )
        return (*_numbered(found, parts, parts.num_ids), found.entries), found
    counts: list[I32] = []
    inputs: list[I32] = []
    rows: list[tuple[I64, I32]] = []
    next_id = parts.num_ids
    uses = np.bincount(parts.row, minlength=parts.item_id.size)
    ends = np.cumsum(uses)
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], num_parts + 1)[1:-1])
    bounds = [0, *(cuts + 1).tolist(), ends.size]
    for lo, hi in pairwise(bounds):
        row_ptr, row = _restrict(parts.row_ptr, parts.row, lo, hi)
        found = merge_pairs(row_ptr, row, parts.item_id.size, exact, least, control)
        part_counts, part_inputs, start, length = _numbered(found, parts, next_id)
        counts.append(part_counts)
        inputs.append(part_inputs)
        rows.append(_compact(start, length, found.entries))
        next_id += part_counts.size
    total = np.sum([np.diff(ptr) for ptr, _ in rows], axis=0)
    ptr = pointers(total)
    joined = np.empty(int(ptr[-1]), np.int32)
    fill = ptr[:-1].copy()
    for part_ptr, part_row in rows:
        _append(part_ptr, part_row, fill, joined)
    lists = np.concatenate(counts), np.concatenate(inputs), ptr[:-1].copy(), total
    return (*lists, joined), found


def _numbered(
    found: Found, parts: Contraction, first_id: int
) -> tuple[I32, I32, I64, I64]:
    counts, inputs, start, length = from_pairs(
        found.rows,
        found.rows_ptr,
        found.items,
        found.items_ptr,
        found.entry_ptr,
        found.entries,
        found.row_len,
        found.pairs,
        found.num_new,
        parts.item_id,
        first_id,
        parts.row_ptr.size - 1,
    )
    return counts, inputs, start, length


@jit
def _restrict(row_ptr: I64, row: I32, lo: int, hi: int) -> tuple[I64, I32]:
    """The rows with the items from `lo` to `hi` only."""
    out_ptr = np.zeros(row_ptr.size, np.int64)
    n = 0
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            n += lo <= row[e] < hi
        out_ptr[v + 1] = n
    out = np.empty(n, np.int32)
    n = 0
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            if lo <= row[e] < hi:
                out[n] = row[e]
                n += 1
    return out_ptr, out


@jit
def _compact(start: I64, length: I64, row: I32) -> tuple[I64, I32]:
    """Rows without gaps."""
    ptr = np.zeros(start.size + 1, np.int64)
    for v in range(start.size):
        ptr[v + 1] = ptr[v] + length[v]
    out = np.empty(ptr[-1], np.int32)
    for v in range(start.size):
        out[ptr[v] : ptr[v + 1]] = row[start[v] : start[v] + length[v]]
    return ptr, out


@jit
def _append(ptr: I64, row: I32, fill: I64, out: I32) -> None:
    for v in range(fill.size):
        for e in range(ptr[v], ptr[v + 1]):
            out[fill[v]] = row[e]
            fill[v] += 1

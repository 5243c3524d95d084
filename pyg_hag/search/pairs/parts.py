"""The search in parts, where memory does not allow the whole graph at once.

A part consists of the rows restricted to a range of items; a pair is found if both of
its items are in one part.
"""

from itertools import pairwise

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs.search import MergedPairs, merge_pairs
from pyg_hag.search.twins.contraction import Contraction
from pyg_hag.utils.arrays import I32, I64, pointers


def merge_in_parts(
    contraction: Contraction,
    num_parts: int,
    exact: bool,
    min_redundancy: int,
    control: I64,
) -> tuple[tuple[I32, I32, I64, I64, I32], MergedPairs]:
    """Merges pairs of items in the rows that a contraction has left.

    Args:
        contraction: The rows, and the items that stand for theirs.
        num_parts: Number of item ranges that are searched one after the other.
        exact: Whether to look through all rows of an item rather than a sample.
        min_redundancy: Smallest number of rows that must share a pair.
        control: Stops the search when `control[STOP]` is not 0; `control[MERGED]`
            counts merges.

    Returns:
        The arguments of :meth:`Contraction.expand`, and the pairs of the last part.
    """
    row_ptr, row, item_id = contraction.row_ptr, contraction.row, contraction.item_id
    num_rows = row_ptr.size - 1
    next_id = contraction.num_ids
    if num_parts == 1:
        merged = merge_pairs(row_ptr, row, item_id.size, exact, min_redundancy, control)
        lists = _to_rules(merged, item_id, next_id, num_rows)
        return (*lists, merged.components.entries), merged
    counts: list[I32] = []
    inputs: list[I32] = []
    rows: list[tuple[I32, I32, I32]] = []
    for lo, hi in pairwise(_cut_items(row, item_id.size, num_parts)):
        part_ptr, part_row = _restrict(row_ptr, row, lo, hi)
        merged = merge_pairs(
            part_ptr, part_row, item_id.size, exact, min_redundancy, control
        )
        part_counts, part_inputs, start, length = _to_rules(
            merged, item_id, next_id, num_rows
        )
        counts.append(part_counts)
        inputs.append(part_inputs)
        rows.append(_compact(start, length, merged.components.entries))
        next_id += part_counts.size
    start, length, joined = _join(rows, num_rows)
    lists = np.concatenate(counts), np.concatenate(inputs), start, length
    return (*lists, joined), merged


def _cut_items(row: I32, num_items: int, num_parts: int) -> list[int]:
    """Bounds of item ranges that occur about equally often in the rows."""
    ends = np.cumsum(np.bincount(row, minlength=num_items))
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], num_parts + 1)[1:-1])
    return [0, *(cuts + 1).tolist(), ends.size]


def _join(rows: list[tuple[I32, I32, I32]], num_rows: int) -> tuple[I64, I64, I32]:
    """The rows of all parts, each joined from its pieces: start, length and items."""
    length = np.zeros(num_rows, np.int64)
    for numbers, lengths, _ in rows:
        length[numbers] += lengths  # each row once
    ptr = pointers(length)
    joined = np.empty(int(ptr[-1]), np.int32)
    fill = ptr[:-1].copy()
    while rows:
        _append(*rows.pop(0), fill, joined)
    return ptr[:-1].copy(), length, joined


@jit
def _to_rules(
    merged: MergedPairs, item_id: I32, first_id: int, num_rows: int
) -> tuple[I32, I32, I64, I64]:
    """Turns the pairs merged in the components into rules of the whole graph.

    The entries of the components are renumbered in place.

    Args:
        merged: The pairs and the rows that are left.
        item_id: The number of each item in the whole graph, `[num_items]`.
        first_id: The number of the first new item.
        num_rows: Number of rows, with the empty ones.

    Returns:
        Input counts and inputs of the new items, `[num_new]` and `[2 * num_new]`;
        start and length of all rows, `[num_rows]` each.
    """
    rows_ptr, rows, items_ptr, items, entry_ptr, entries = merged.components
    num_new = merged.num_new
    total = num_new.sum()
    counts = np.full(total, 2, np.int32)
    inputs = np.empty(2 * total, np.int32)
    start = np.zeros(num_rows, np.int64)
    length = np.zeros(num_rows, np.int64)
    first = first_id
    for c in range(num_new.size):
        n = items_ptr[c + 1] - items_ptr[c]
        base = entry_ptr[rows_ptr[c]] // 2
        for k in range(num_new[c]):
            for j in range(2):
                x = merged.pairs[base + k, j]
                number = first + x - n
                if x < n:
                    number = item_id[items[items_ptr[c] + x]]
                inputs[2 * (first - first_id + k) + j] = number
        for r in range(rows_ptr[c], rows_ptr[c + 1]):
            start[rows[r]] = entry_ptr[r]
            length[rows[r]] = merged.row_len[r]
            for e in range(entry_ptr[r], entry_ptr[r] + merged.row_len[r]):
                x = entries[e]
                if x < n:
                    entries[e] = item_id[items[items_ptr[c] + x]]
                else:
                    entries[e] = first + x - n
        first += num_new[c]
    return counts, inputs, start, length


@jit
def _restrict(row_ptr: I64, row: I32, lo: int, hi: int) -> tuple[I64, I32]:
    """The rows restricted to the items from `lo` to `hi`."""
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
def _compact(start: I64, length: I64, row: I32) -> tuple[I32, I32, I32]:
    """Copies the rows that are not empty: their numbers, lengths and items."""
    count = 0
    entries = 0
    for v in range(start.size):
        count += length[v] > 0
        entries += length[v]
    numbers = np.empty(count, np.int32)
    lengths = np.empty(count, np.int32)
    out = np.empty(entries, np.int32)
    i = 0
    n = 0
    for v in range(start.size):
        if length[v] > 0:
            numbers[i] = v
            lengths[i] = length[v]
            i += 1
            for e in range(start[v], start[v] + length[v]):
                out[n] = row[e]
                n += 1
    return numbers, lengths, out


@jit
def _append(numbers: I32, lengths: I32, row: I32, fill: I64, out: I32) -> None:
    """Appends pieces to rows, of which row v ends at `fill[v]`."""
    e = 0
    for i in range(numbers.size):
        v = numbers[i]
        for _ in range(lengths[i]):
            out[fill[v]] = row[e]
            fill[v] += 1
            e += 1

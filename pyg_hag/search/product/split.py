"""Rows of a product as disjoint sums: each atom that a row reaches is added once.

A row reads several middle nodes, whose lists of atoms overlap: always in the atom of
the node itself. The list of the first middle node is taken as a whole. Of each further
one, what was reached before is left out, in one of three ways, whichever takes fewest
reads: what is left is listed; or taken from a tree over the list (:mod:`.trees`); or,
where rows may subtract, the whole list is added and what was reached before subtracted.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.product.trees import (
    MAX_LEVELS,
    Forest,
    root_item,
    write_others,
)
from pyg_hag.utils.arrays import I32, I64

_MOST = 256  # items of a tree for one list


class Lists(NamedTuple):
    """Rows of items.

    Attributes:
        ptr: Row r is `item[ptr[r] : ptr[r + 1]]`, `[num_rows + 1]`.
        item: The items of the rows.
    """

    ptr: I64
    item: I32


class Split(NamedTuple):
    """What rows are made of.

    Attributes:
        rows: The rows, of items.
        reached: How many atoms each row reaches, `[num_rows]`.
    """

    rows: Lists
    reached: I64


@jit
def split_rows(
    row_ptr: I64,
    middle: I32,
    forest: Forest,
    atom: I32,
    minus: I32,
    own: I32,
    counts: bool,
) -> tuple[I64, I32]:
    """Makes the rows of a product of disjoint sums.

    Args:
        row_ptr: Where the middle nodes of each row start, `[num_rows + 1]`.
        middle: The middle nodes.
        forest: Trees over their lists of atoms; leaves are the atoms' items.
        atom: The atoms of the lists, as the leaves are.
        minus: The item that subtracts each atom, `[num_atoms]`; empty if rows may not
            subtract.
        own: The atom that each row must not reach, `[num_rows]`, or -1; empty if there
            are no such atoms.
        counts: Whether atoms that several middle nodes reach are added as often.

    Returns:
        Pointers `[num_rows + 1]` and items of the rows.
    """
    num_rows = row_ptr.size - 1
    reached = np.full(atom.max() + 1 if atom.size else 0, -1, np.int32)
    left_out = np.empty(np.diff(forest.ptr).max() if forest.ptr.size > 1 else 0, np.int64)
    others = np.empty(_MOST, np.int64)
    sizes = np.empty(MAX_LEVELS, np.int64)
    ptr = np.zeros(num_rows + 1, np.int64)
    out = np.empty(4 * middle.size + 16, np.int32)
    n = 0
    for r in range(num_rows):
        single = row_ptr[r + 1] - row_ptr[r] == 1 or counts
        if own.size > 0 and own[r] >= 0:
            reached[own[r]] = r
        for e in range(row_ptr[r], row_ptr[r + 1]):
            m = middle[e]
            begin, end = forest.ptr[m], forest.ptr[m + 1]
            k = 0
            if own.size > 0 or not single:
                for i in range(begin, end):
                    if reached[atom[i]] == r:
                        left_out[k] = i - begin
                        k += 1
                    elif not counts:
                        reached[atom[i]] = r
            rest = end - begin - k
            if n + max(rest, 1 + k, _MOST) > out.size:
                out = _enlarged(out, n + max(rest, 1 + k, _MOST))
            if k == 0:
                out[n] = root_item(forest, m)
                n += 1
            elif rest > 0:
                n = _write_rest(forest, m, atom, minus, left_out[:k], sizes, others, n, out)
        ptr[r + 1] = n
    return ptr, out[:n].copy()


@jit
def _write_rest(
    forest: Forest,
    m: int,
    atom: I32,
    minus: I32,
    left_out: I64,
    sizes: I64,
    others: I64,
    n: int,
    out: I32,
) -> int:
    """Appends list m without some leaves to `out[:n]`, and returns the new length."""
    begin, end = forest.ptr[m], forest.ptr[m + 1]
    rest = end - begin - left_out.size
    if minus.size > 0 and 1 + left_out.size < rest:
        out[n] = root_item(forest, m)
        n += 1
        for i in left_out:
            out[n] = minus[atom[begin + i]]
            n += 1
        return n
    if minus.size == 0 and rest > 2:
        limit = min(rest - 1, others.size)
        count = write_others(forest, m, left_out.copy(), sizes, others[:limit])
        if count >= 0:
            for i in range(count):
                out[n] = others[i]
                n += 1
            return n
    k = 0
    for i in range(end - begin):
        if k < left_out.size and left_out[k] == i:
            k += 1
        else:
            out[n] = forest.leaf[begin + i]
            n += 1
    return n


@jit
def _enlarged(array: I32, size: int) -> I32:
    """A copy with room for more."""
    out = np.empty(max(2 * array.size, size), array.dtype)
    out[: array.size] = array
    return out


@jit
def distinct_atoms(row_ptr: I64, middle: I32, list_ptr: I64, atom: I32, limit: int) -> tuple[I64, I32]:
    """The atoms that each row reaches, ascending: the product itself.

    Returns:
        Pointers and atoms; both are cut short, with a last pointer of -1, where there
        are more than `limit`.
    """
    reached = np.full(atom.max() + 1 if atom.size else 0, -1, np.int32)
    ptr = np.zeros(row_ptr.size, np.int64)
    out = np.empty(min(limit, 4 * middle.size + 16), np.int32)
    n = 0
    for r in range(row_ptr.size - 1):
        begin = n
        for e in range(row_ptr[r], row_ptr[r + 1]):
            for i in range(list_ptr[middle[e]], list_ptr[middle[e] + 1]):
                if reached[atom[i]] != r:
                    reached[atom[i]] = r
                    if n == limit:
                        ptr[row_ptr.size - 1] = -1
                        return ptr, out
                    if n == out.size:
                        out = _enlarged(out, min(limit, 2 * n + 16))[:limit]
                    out[n] = atom[i]
                    n += 1
        out[begin:n].sort()
        ptr[r + 1] = n
    return ptr, out[:n].copy()

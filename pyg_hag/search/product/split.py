"""Rows of a product as disjoint sums: each atom that a row reaches is added once.

A row reads several middle nodes, whose lists of atoms overlap: always in the atom of
the node itself. The list of the first middle node is taken as a whole. Of each further
one, what was reached before is left out, in one of three ways, whichever takes fewest
reads: what is left is listed; or taken from a tree over the list (:mod:`.trees`); or,
where rows may subtract, the whole list is added and what was reached before subtracted.

Rows are in lexicographic order, and what the first middle nodes of a row reach together
is a sum of its own, a *prefix*, which the next rows read if they start with the same.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime import thread_pool
from pyg_hag.runtime.jit import jit
from pyg_hag.search.product.trees import MAX_LEVELS, Forest, root_item, write_others
from pyg_hag.utils.arrays import I32, I64, Bool, pointers

_MOST = 256  # items of a tree for one list
_PER_RANGE = 1 << 22  # atoms that the rows of a range read, about
_MOST_RANGES = 32


class Prefixes(NamedTuple):
    """Rows of items, some of which are sums of what first middle nodes reach.

    Attributes:
        counts: Number of inputs of each of these prefixes, `[num_prefixes]`.
        inputs: The inputs, one prefix after the other.
        lengths: Number of items of each row, `[num_rows]`.
        items: The items, one row after the other.
    """

    counts: I32
    inputs: I32
    lengths: I32
    items: I32


class Leaves(NamedTuple):
    """The lists of the middle nodes, and what else rows are made of.

    Attributes:
        forest: Trees over the lists of atoms; leaves are the atoms' items.
        atom: The atoms of the lists, as the leaves are.
        minus: The item that subtracts each atom, `[num_atoms]`; empty if rows may not
            subtract.
        num_atoms: Number of atoms.
    """

    forest: Forest
    atom: I32
    minus: I32
    num_atoms: int


def split_rows(
    row_ptr: I64, middle: I32, leaves: Leaves, own: I32, counts: bool, first_item: int
) -> Prefixes:
    """Makes the rows of a product of disjoint sums, on all threads.

    Args:
        row_ptr: Where the middle nodes of each row start, `[num_rows + 1]`.
        middle: The middle nodes; rows are in lexicographic order.
        leaves: What they reach.
        own: The atom that each row must not reach, `[num_rows]`, or -1; empty if there
            are no such atoms.
        counts: Whether atoms that several middle nodes reach are added as often.
        first_item: The number of the first prefix.
    """
    cuts = _cut(row_ptr, np.diff(leaves.forest.ptr)[middle])
    found: list[Prefixes | None] = [None] * (cuts.size - 1)

    def split(i: int) -> None:
        begin, end = cuts[i], cuts[i + 1]
        rows = row_ptr[begin : end + 1], middle, leaves
        found[i] = _split(*rows, own[begin:end], counts, first_item)

    thread_pool.run(split, len(found))
    parts = [part for part in found if part is not None]
    made = 0
    for part in parts:  # each has numbered its prefixes from the first number on
        for items in (part.inputs, part.items):
            items[items >= first_item] += made
        made += part.counts.size
    none = np.empty(0, np.int32)
    return Prefixes(
        np.concatenate([none, *(part.counts for part in parts)]),
        np.concatenate([none, *(part.inputs for part in parts)]),
        np.concatenate([none, *(part.lengths for part in parts)]),
        np.concatenate([none, *(part.items for part in parts)]),
    )


def _cut(row_ptr: I64, reads: I64) -> I64:
    """Bounds of ranges of rows that read about as much, however many threads there are.

    Args:
        row_ptr: Where the middle nodes of each row start.
        reads: How many atoms each middle node reaches, `[row_ptr[-1]]`.
    """
    work = pointers(reads)[row_ptr]
    count = min(max(1, int(work[-1]) // _PER_RANGE), _MOST_RANGES)
    wanted = np.linspace(0, work[-1], count + 1)[1:-1]
    inner = np.searchsorted(work, wanted)
    return np.unique(np.concatenate([[0], inner, [row_ptr.size - 1]]))


@jit
def _split(
    row_ptr: I64, middle: I32, leaves: Leaves, own: I32, counts: bool, first_item: int
) -> Prefixes:
    """The same for a range of rows."""
    num_rows = row_ptr.size - 1
    deepest, longest = 0, 1
    for r in range(num_rows):
        deepest = max(deepest, row_ptr[r + 1] - row_ptr[r])
    forest = leaves.forest
    for m in range(forest.ptr.size - 1):
        longest = max(longest, forest.ptr[m + 1] - forest.ptr[m])
    reached = np.zeros(leaves.num_atoms, np.bool_)
    stack = np.empty(leaves.num_atoms, np.int32)  # the atoms that are reached
    height = np.zeros(deepest + 1, np.int64)  # how many, by the first middle nodes
    item_at = np.full(deepest + 1, -1, np.int64)  # the prefix of that many
    left_out, sizes = np.empty(longest, np.int64), np.empty(MAX_LEVELS, np.int64)
    counts_of = np.empty(row_ptr[num_rows] - row_ptr[0], np.int32)
    inputs = np.empty(counts_of.size + 16, np.int32)
    lengths = np.empty(num_rows, np.int32)
    items = np.empty(4 * counts_of.size + 16, np.int32)
    i, k, n = 0, 0, 0  # inputs, prefixes and items
    depth = 0  # middle nodes that the row before starts with as well
    for r in range(num_rows):
        begin, length = row_ptr[r], row_ptr[r + 1] - row_ptr[r]
        shared = 0  # the same for the row behind
        if r + 1 < num_rows and own.size == 0:
            limit = min(length, row_ptr[r + 2] - row_ptr[r + 1])
            while shared < limit and (
                middle[begin + shared] == middle[row_ptr[r + 1] + shared]
            ):
                shared += 1
        own_atom = own[r] if own.size > 0 else -1
        if own_atom >= 0:
            reached[own_atom] = True
        start, top = n, height[depth]
        if item_at[depth] >= 0 and depth > 0:
            items[n] = item_at[depth]
            n += 1
        for j in range(depth, length):
            m = middle[begin + j]
            if n + longest + _MOST + 2 > items.size:
                items = _enlarged(items, n + longest + _MOST + 2)
            found, top = _reach(leaves, m, reached, stack, top, left_out, counts)
            n = _write_rest(leaves, m, left_out[:found], sizes, n, items)
            height[j + 1] = top
            if j < shared:  # the row behind reads it, too
                if n - start > 1:
                    if i + n - start > inputs.size:
                        inputs = _enlarged(inputs, i + n - start)
                    inputs[i : i + n - start] = items[start:n]
                    i += n - start
                    counts_of[k] = n - start
                    items[start] = first_item + k
                    k += 1
                n = min(n, start + 1)
                item_at[j + 1] = items[start] if n > start else -1
        if own_atom >= 0:
            reached[own_atom] = False
        lengths[r] = n - start
        for a in range(height[shared], top):
            reached[stack[a]] = False
        depth = shared
    return Prefixes(counts_of[:k].copy(), inputs[:i].copy(), lengths, items[:n].copy())


@jit
def _reach(
    leaves: Leaves, m: int, reached: Bool, stack: I32, top: int, out: I64, counts: bool
) -> tuple[int, int]:
    """Reaches the atoms of a list, and writes the places of those reached before.

    Returns:
        Their number, and how many atoms are on the stack then.
    """
    begin = leaves.forest.ptr[m]
    found = 0
    for i in range(begin, leaves.forest.ptr[m + 1]):
        a = leaves.atom[i]
        if reached[a]:
            out[found] = i - begin
            found += 1
        elif not counts:
            reached[a] = True
            stack[top] = a
            top += 1
    return found, top


@jit
def _write_rest(
    leaves: Leaves, m: int, left_out: I64, sizes: I64, n: int, out: I32
) -> int:
    """Appends list m without some leaves to `out[:n]`, and returns the new length."""
    forest, minus = leaves.forest, leaves.minus
    begin, end = forest.ptr[m], forest.ptr[m + 1]
    rest = end - begin - left_out.size
    if left_out.size == 0:
        out[n] = root_item(forest, m)
        return n + 1
    if minus.size > 0 and 1 + left_out.size < rest:
        out[n] = root_item(forest, m)
        n += 1
        for i in left_out:
            out[n] = minus[leaves.atom[begin + i]]
            n += 1
        return n
    if minus.size == 0 and rest > 2:
        room = out[n : n + min(rest - 1, _MOST)]
        count = write_others(forest, m, left_out.copy(), sizes, room)
        if count >= 0:
            return n + count
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

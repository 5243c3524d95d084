"""Expanding twins: every member of a group gets its row, from the row of the group."""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.twins.sums import Groups
from pyg_hag.utils.arrays import I32, I64

ENTRIES = 0  # places in `Expansion.used`
ITEMS = 1
INPUTS = 2

_MAX_LEVELS = 66  # of a tree over fewer than 2**64 twins


class Round(NamedTuple):
    """The groups of one round of contraction.

    Attributes:
        rows: Groups of equal rows.
        twins: Groups of nodes that are twins.
        tree_nodes: The items in the trees over twins, see
            :class:`~pyg_hag.search.twins.sums.Sums`.
    """

    rows: Groups
    twins: Groups
    tree_nodes: I32


class Expansion(NamedTuple):
    """The rows and the new items so far, in arrays that have space for the others.

    Attributes:
        start: Row v is `row[start[v] : start[v] + length[v]]`, `[num_rows]`.
        length: Length of each row, `[num_rows]`.
        row: The items of the rows.
        counts: Number of inputs of each new item.
        inputs: Inputs of the new items, one item after the other.
        used: How many entries of `row`, `counts` and `inputs` are in use, `[3]`.
        first_id: Number of the first new item.
    """

    start: I64
    length: I64
    row: I32
    counts: I32
    inputs: I32
    used: I64
    first_id: int


@jit
def expand(groups: Round, arity: int, out: Expansion) -> None:
    """Undoes a round of contraction in `out`.

    Args:
        groups: What was contracted.
        arity: Inputs of a node of the trees over twins.
        out: The rows and new items of the contracted graph; those of the graph
            before the round are written into it.
    """
    above = np.empty(groups.tree_nodes.size, np.int32)
    begin = 0
    for g in range(groups.twins.ptr.size - 1):
        size = groups.twins.ptr[g + 1] - groups.twins.ptr[g]
        level_ptr = _tree_levels(begin, size, arity)
        begin = level_ptr[-1]
        above[begin - 1] = _sum_row(groups.twins.members[groups.twins.ptr[g]], out)
        for level in range(level_ptr.size - 3, -1, -1):
            _pass_down(level, level_ptr, groups, g, arity, above, out)
    for g in range(groups.rows.ptr.size - 1):
        _copy_row(groups.rows, g, out)


@jit
def _tree_levels(begin: int, size: int, arity: int) -> I64:
    """Where each level of a tree starts, from the leaves on, and where the root ends.

    Returns:
        int64 of shape `[num_levels + 1]`.
    """
    ptr = np.empty(_MAX_LEVELS, np.int64)
    ptr[0] = begin
    ptr[1] = begin + size
    num_levels = 1
    while ptr[num_levels] - ptr[num_levels - 1] > 1:
        width = ptr[num_levels] - ptr[num_levels - 1]
        ptr[num_levels + 1] = ptr[num_levels] + (width + arity - 1) // arity
        num_levels += 1
    return ptr[: num_levels + 1]


@jit
def _pass_down(
    level: int,
    level_ptr: I64,
    groups: Round,
    g: int,
    arity: int,
    above: I32,
    out: Expansion,
) -> None:
    """What each node of one level of tree g reads beside the twins below it.

    That is what its parent reads beside those below the parent, and its siblings. For
    a leaf it is the row of the twin; for others a new item, whose number goes to
    `above`.

    Args:
        level: The level, 0 for the leaves.
        level_ptr: Where each level starts in `tree_nodes`, `[num_levels + 1]`.
        groups: What was contracted.
        g: The group of twins.
        arity: Inputs of a node of the tree.
        above: The item that each node reads, `[num_tree_nodes]`; -1 for none.
        out: What is written.
    """
    first, end = level_ptr[level], level_ptr[level + 1]
    for q in range(first, end):
        begin = out.used[INPUTS]
        n = begin
        parent = end + (q - first) // arity
        if above[parent] >= 0:
            out.inputs[n] = above[parent]
            n += 1
        sibling = first + (q - first) // arity * arity
        for s in range(sibling, min(sibling + arity, end)):
            if s != q:
                out.inputs[n] = groups.tree_nodes[s]
                n += 1
        if level == 0:
            v = groups.twins.members[groups.twins.ptr[g] + q - first]
            _write_row(v, out.inputs[begin:n], out)
        elif n - begin > 1:
            above[q] = _add_item(n - begin, out)
        else:
            above[q] = out.inputs[begin] if n > begin else -1


@jit
def _copy_row(rows: Groups, g: int, out: Expansion) -> None:
    """Gives all rows of a group of equal rows the sum that the first one reads."""
    head = rows.members[rows.ptr[g]]
    if out.length[head] > 1:
        n = out.used[ENTRIES]
        out.row[n] = _sum_row(head, out)
        out.start[head], out.length[head] = n, 1
        out.used[ENTRIES] = n + 1
    for i in range(rows.ptr[g] + 1, rows.ptr[g + 1]):
        out.start[rows.members[i]] = out.start[head]
        out.length[rows.members[i]] = out.length[head]


@jit
def _write_row(v: int, items: I32, out: Expansion) -> None:
    """Row v becomes these items."""
    n = out.used[ENTRIES]
    out.start[v] = n
    out.length[v] = items.size
    for i in range(items.size):
        out.row[n + i] = items[i]
    out.used[ENTRIES] = n + items.size


@jit
def _sum_row(v: int, out: Expansion) -> int:
    """One item that is the sum of row v: a new one unless one exists; -1 for none."""
    start, length = out.start[v], out.length[v]
    if length == 0:
        return -1
    if length == 1:
        return np.int64(out.row[start])
    for i in range(length):
        out.inputs[out.used[INPUTS] + i] = out.row[start + i]
    return _add_item(length, out)


@jit
def _add_item(count: int, out: Expansion) -> int:
    """Makes a new item of the next `count` inputs and returns its number."""
    k = out.used[ITEMS]
    out.counts[k] = count
    out.used[ITEMS] = k + 1
    out.used[INPUTS] += count
    return out.first_id + k

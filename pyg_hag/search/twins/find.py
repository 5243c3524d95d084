"""Finding twins: rows, items and nodes that the search need not tell apart.

- Equal rows are computed once.
- Items that are in the same rows are summed once.
- Nodes with equal closed neighbourhoods (a clique whose nodes share all their other
  neighbours) become one node. The sums of a tree over the clique serve twice: what each
  of its nodes reads, all the others and the shared neighbours, is passed down the same
  tree, with about three aggregations per node.

What is left is a smaller graph of the same kind, which may contain twins again. Twins
are found by hashing rows, in linear time; rows with equal hashes are then compared.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64, U64


class Twins(NamedTuple):
    """The first member of the group to which each row, item and node belongs.

    Attributes:
        row_leader: The first of the rows that equal each row, `[num_rows]`.
        item_leader: The first of the items that are in the same rows as each item,
            `[num_items]`.
        node_leader: The first of each node's twins, `[num_nodes]`; -1 for nodes
            without twins.
        num_merged: How many rows, items and nodes are not the first of their group.
    """

    row_leader: I32
    item_leader: I32
    node_leader: I32
    num_merged: int


@jit
def find_twins(row_ptr: I64, row: I32, col_ptr: I64, col: I32, num_nodes: int) -> Twins:
    """Finds equal rows, equal items and nodes with equal closed neighbourhoods.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending, `[num_entries]`.
        col_ptr: Item x is in the rows `col[col_ptr[x] : col_ptr[x + 1]]`,
            `[num_items + 1]`.
        col: The rows of the items, ascending, `[num_entries]`.
        num_nodes: Row v and item v belong to the same node for `v < num_nodes`.
    """
    row_signature = _signatures(row_ptr, row, col_ptr.size - 1)
    col_signature = _signatures(col_ptr, col, row_ptr.size - 1)
    row_leader, num_rows = _label_equal(row_ptr, row, row_signature)
    item_leader, num_items = _label_equal(col_ptr, col, col_signature)
    node_leader = np.full(num_nodes, -1, np.int32)
    num_twins = 0
    slots = _empty_slots(num_nodes)
    mask = np.uint64(slots.size - 1)
    for v in range(num_nodes):
        if row_ptr[v] == row_ptr[v + 1]:
            continue
        by_row = row_signature[v] + splitmix64(v + 1)
        by_col = col_signature[v] + splitmix64(v + 1)
        slot = np.int64(splitmix64(by_row ^ splitmix64(by_col)) & mask)
        while slots[slot] >= 0:
            other = slots[slot]
            if (
                row_signature[other] + splitmix64(other + 1) == by_row
                and col_signature[other] + splitmix64(other + 1) == by_col
                and _equal_when_closed(row_ptr, row, other, v)
                and _equal_when_closed(col_ptr, col, other, v)
            ):
                break
            slot = (slot + 1) & np.int64(mask)
        if slots[slot] < 0:
            slots[slot] = v
        else:
            node_leader[v] = slots[slot]
            node_leader[slots[slot]] = slots[slot]
            num_twins += 1
    return Twins(row_leader, item_leader, node_leader, num_rows + num_items + num_twins)


@jit
def label_equal(ptr: I64, idx: I32, num_cols: int) -> I32:
    """The first of the rows that equal each row, `[num_rows]`.

    Empty rows equal no other.

    Args:
        ptr: Row v is `idx[ptr[v] : ptr[v + 1]]`, `[num_rows + 1]`.
        idx: The entries of the rows, ascending.
        num_cols: Entries are less than this.
    """
    return _label_equal(ptr, idx, _signatures(ptr, idx, num_cols))[0]


@jit
def _signatures(ptr: I64, idx: I32, num_cols: int) -> U64:
    """The sum of the hashes of each row's entries, `[num_rows]`."""
    hashes = np.empty(num_cols, np.uint64)
    for x in range(num_cols):
        hashes[x] = splitmix64(x + 1)
    out = np.zeros(ptr.size - 1, np.uint64)
    for v in range(ptr.size - 1):
        total = np.uint64(0)
        for e in range(ptr[v], ptr[v + 1]):
            total += hashes[idx[e]]
        out[v] = total
    return out


@jit
def _empty_slots(count: int) -> I32:
    """An empty hash table for `count` entries; its size is a power of two."""
    size = 16
    while size < 2 * count:
        size *= 2
    return np.full(size, -1, np.int32)


@jit
def _label_equal(ptr: I64, idx: I32, signature: U64) -> tuple[I32, int]:
    """The first row that equals each row, and how many rows are not the first.

    Empty rows equal no other.

    Args:
        ptr: Row v is `idx[ptr[v] : ptr[v + 1]]`, `[num_rows + 1]`.
        idx: The entries of the rows, ascending.
        signature: A hash of each row, `[num_rows]`.
    """
    num_rows = ptr.size - 1
    leader = np.arange(num_rows).astype(np.int32)
    slots = _empty_slots(num_rows)
    mask = np.uint64(slots.size - 1)
    num_merged = 0
    for v in range(num_rows):
        if ptr[v] == ptr[v + 1]:
            continue
        slot = np.int64(splitmix64(signature[v]) & mask)
        while slots[slot] >= 0:
            other = slots[slot]
            if signature[other] == signature[v] and _equal(ptr, idx, other, v):
                break
            slot = (slot + 1) & np.int64(mask)
        if slots[slot] < 0:
            slots[slot] = v
        else:
            leader[v] = slots[slot]
            num_merged += 1
    return leader, num_merged


@jit
def _equal(ptr: I64, idx: I32, a: int, b: int) -> bool:
    """Whether rows a and b are equal."""
    length = ptr[a + 1] - ptr[a]
    if length != ptr[b + 1] - ptr[b]:
        return False
    for e in range(length):
        if idx[ptr[a] + e] != idx[ptr[b] + e]:
            return False
    return True


@jit
def _equal_when_closed(ptr: I64, idx: I32, a: int, b: int) -> bool:
    """Whether rows a and b are equal once each contains itself (once more).

    Rows have no duplicates. So a row that contains itself equals no other row: nodes
    with self-loops are not twins, and neither are nodes whose rows are equal as they
    are.
    """
    length = ptr[a + 1] - ptr[a]
    if length != ptr[b + 1] - ptr[b]:
        return False
    i = ptr[a]
    j = ptr[b]
    a_read = False
    b_read = False
    for _ in range(length + 1):
        if not a_read and (i == ptr[a + 1] or a < idx[i]):
            x = np.int64(a)
            a_read = True
        else:
            x = np.int64(idx[i])
            i += 1
        if not b_read and (j == ptr[b + 1] or b < idx[j]):
            y = np.int64(b)
            b_read = True
        else:
            y = np.int64(idx[j])
            j += 1
        if x != y:
            return False
    return True

"""Groups of twins: their sums, and the graph in which each group is one node."""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.twins.find import Twins
from pyg_hag.utils.arrays import I32, I64


class Groups(NamedTuple):
    """Groups of two or more members; the first member stands for its group.

    Attributes:
        ptr: Group g is `members[ptr[g] : ptr[g + 1]]`, `[num_groups + 1]`.
        members: The members of each group, ascending.
    """

    ptr: I64
    members: I32


class Sums(NamedTuple):
    """New items that are the sums of groups.

    Attributes:
        counts: Number of inputs of each new item, `[num_new]`.
        inputs: Inputs of the new items, one item after the other.
        tree_nodes: The items in the trees over twins, tree by tree: the leaves first,
            then level by level, the root last.
    """

    counts: I32
    inputs: I32
    tree_nodes: I32


@jit
def group_by_leader(leader: I32) -> Groups:
    """The groups of two or more members that have the same leader.

    Args:
        leader: The first member of each member's group, `[num_members]`; -1 for what
            is in no group.
    """
    size = np.zeros(leader.size, np.int64)
    for v in range(leader.size):
        if leader[v] >= 0:
            size[leader[v]] += 1
    num_groups = 0
    num_members = 0
    for v in range(leader.size):
        if size[v] > 1:
            num_groups += 1
            num_members += size[v]
    ptr = np.zeros(num_groups + 1, np.int64)
    members = np.empty(num_members, np.int32)
    fill = np.empty(leader.size, np.int64)
    g = 0
    for v in range(leader.size):
        if size[v] > 1:
            fill[v] = ptr[g]
            ptr[g + 1] = ptr[g] + size[v]
            g += 1
    for v in range(leader.size):
        if leader[v] >= 0 and size[leader[v]] > 1:
            members[fill[leader[v]]] = v
            fill[leader[v]] += 1
    return Groups(ptr, members)


@jit
def sum_groups(
    items: Groups, twins: Groups, arity: int, item_id: I32, next_id: int
) -> Sums:
    """Sums equal items, and twins along trees.

    Args:
        items: Groups of equal items.
        twins: Groups of nodes that are twins.
        arity: Inputs of a node of the trees.
        item_id: The number of each item's sum so far, `[num_items]`; afterwards the
            first member of each group has that of the group's sum.
        next_id: Number of the first new item.
    """
    capacity = items.members.size + twins.members.size
    counts = np.empty(capacity, np.int32)
    inputs = np.empty(2 * capacity, np.int32)
    nodes = np.empty(3 * twins.members.size, np.int32)
    num_new = 0
    num_inputs = 0
    for g in range(items.ptr.size - 1):
        for i in range(items.ptr[g], items.ptr[g + 1]):
            inputs[num_inputs] = item_id[items.members[i]]
            num_inputs += 1
        counts[num_new] = items.ptr[g + 1] - items.ptr[g]
        item_id[items.members[items.ptr[g]]] = next_id + num_new
        num_new += 1
    n = 0
    for g in range(twins.ptr.size - 1):
        level = n
        for i in range(twins.ptr[g], twins.ptr[g + 1]):
            nodes[n] = item_id[twins.members[i]]
            n += 1
        while n - level > 1:
            end = n
            for first in range(level, end, arity):
                last = min(first + arity, end)
                if last - first == 1:
                    nodes[n] = nodes[first]
                else:
                    for q in range(first, last):
                        inputs[num_inputs] = nodes[q]
                        num_inputs += 1
                    counts[num_new] = last - first
                    nodes[n] = next_id + num_new
                    num_new += 1
                n += 1
            level = end
        item_id[twins.members[twins.ptr[g]]] = nodes[n - 1]
    return Sums(counts[:num_new].copy(), inputs[:num_inputs].copy(), nodes[:n].copy())


@jit
def contract(row_ptr: I64, row: I32, twins: Twins) -> tuple[I64, I32]:
    """The rows with only the first row and the first item of each group.

    The other rows are empty.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows.
        twins: The groups.

    Returns:
        The same two arrays of the smaller graph.
    """
    leader = twins.node_leader
    out_ptr = np.zeros(row_ptr.size, np.int64)
    out = np.empty(row_ptr[-1], np.int32)
    n = 0
    for v in range(row_ptr.size - 1):
        node = leader[v] if v < leader.size else -1
        if twins.row_leader[v] == v and (node < 0 or node == v):
            for e in range(row_ptr[v], row_ptr[v + 1]):
                x = row[e]
                node_of_item = leader[x] if x < leader.size else -1
                if twins.item_leader[x] == x and (
                    node_of_item < 0 or node_of_item == x
                ):
                    out[n] = x
                    n += 1
        out_ptr[v + 1] = n
    return out_ptr, out[:n].copy()

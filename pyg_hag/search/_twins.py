"""Twins: rows, items and nodes that the search need not tell apart.

- Rows that are equal are computed once.
- Items that are in the same rows are summed once.
- Nodes whose closed neighbourhoods are equal (a clique, with a common surrounding)
  become one node. With the sums of a tree over the clique, what each of its nodes
  reads, all others and the surrounding, is passed down the same tree: about three
  aggregations per node.

What is left is a smaller graph of the same kind, which may hold twins again. Twins
are found by hashing rows in linear time, and compared before they are believed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]


@jit
def mixed(number: int) -> Any:
    """A hash of a number (splitmix64)."""
    z = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _signatures(ptr: I64, idx: I32, num_cols: int) -> U64:
    """Of each row, the sum of its entries' hashes."""
    hashes = np.empty(num_cols, np.uint64)
    for x in range(num_cols):
        hashes[x] = mixed(x + 1)
    out = np.zeros(ptr.size - 1, np.uint64)
    for v in range(ptr.size - 1):
        total = np.uint64(0)
        for e in range(ptr[v], ptr[v + 1]):
            total += hashes[idx[e]]
        out[v] = total
    return out


@jit
def _slots(count: int) -> I32:
    size = 16
    while size < 2 * count:
        size *= 2
    return np.full(size, -1, np.int32)


@jit
def _equal(ptr: I64, idx: I32, a: int, b: int) -> bool:
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

    Rows are sets, so that one that contains itself equals no other: nodes with
    self-loops are no twins, nor those whose rows equal another's as they are.
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


@jit
def _label_equal(ptr: I64, idx: I32, signature: U64) -> tuple[I32, int]:
    """For each row the first one that equals it, and how many are not the first."""
    num_rows = ptr.size - 1
    leader = np.arange(num_rows).astype(np.int32)
    slots = _slots(num_rows)
    mask = np.uint64(slots.size - 1)
    merged = 0
    for v in range(num_rows):
        if ptr[v] == ptr[v + 1]:
            continue
        slot = np.int64(mixed(signature[v]) & mask)
        while slots[slot] >= 0:
            other = slots[slot]
            if signature[other] == signature[v] and _equal(ptr, idx, other, v):
                break
            slot = (slot + 1) & np.int64(mask)
        if slots[slot] < 0:
            slots[slot] = v
        else:
            leader[v] = slots[slot]
            merged += 1
    return leader, merged


@jit
def find_twins(
    row_ptr: I64, row: I32, col_ptr: I64, col: I32, num_nodes: int
) -> tuple[I32, I32, I32, int]:
    """Finds equal rows, equal items and nodes with equal closed neighbourhoods.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`.
        row: The items of the rows, ascending.
        col_ptr: Item x is in the rows `col[col_ptr[x] : col_ptr[x + 1]]`.
        col: The rows of the items, ascending.
        num_nodes: Row v and item v belong to one node for `v < num_nodes`.

    Returns:
        For each row and for each item the number of the first one of its group; for
        each node that of its twins, -1 for others; and how many were merged.
    """
    row_signature = _signatures(row_ptr, row, col_ptr.size - 1)
    col_signature = _signatures(col_ptr, col, row_ptr.size - 1)
    row_leader, merged = _label_equal(row_ptr, row, row_signature)
    item_leader, more = _label_equal(col_ptr, col, col_signature)
    merged += more
    twin = np.full(num_nodes, -1, np.int32)
    slots = _slots(num_nodes)
    mask = np.uint64(slots.size - 1)
    for v in range(num_nodes):
        if row_ptr[v] == row_ptr[v + 1]:
            continue
        by_row = row_signature[v] + mixed(v + 1)
        by_col = col_signature[v] + mixed(v + 1)
        slot = np.int64(mixed(by_row ^ mixed(by_col)) & mask)
        while slots[slot] >= 0:
            other = slots[slot]
            if (
                row_signature[other] + mixed(other + 1) == by_row
                and col_signature[other] + mixed(other + 1) == by_col
                and _equal_when_closed(row_ptr, row, other, v)
                and _equal_when_closed(col_ptr, col, other, v)
            ):
                break
            slot = (slot + 1) & np.int64(mask)
        if slots[slot] < 0:
            slots[slot] = v
        else:
            twin[v] = slots[slot]
            twin[slots[slot]] = slots[slot]
            merged += 1
    return row_leader, item_leader, twin, merged


@jit
def merged(
    row_ptr: I64, row: I32, row_leader: I32, item_leader: I32, twin: I32
) -> tuple[I64, I32]:
    """The rows with one row and one item left of each group."""
    out_ptr = np.zeros(row_ptr.size, np.int64)
    out = np.empty(row_ptr[-1], np.int32)
    n = 0
    for v in range(row_ptr.size - 1):
        group = twin[v] if v < twin.size else -1
        if row_leader[v] == v and (group < 0 or group == v):
            for e in range(row_ptr[v], row_ptr[v + 1]):
                x = row[e]
                of = twin[x] if x < twin.size else -1
                if item_leader[x] == x and (of < 0 or of == x):
                    out[n] = x
                    n += 1
        out_ptr[v + 1] = n
    return out_ptr, out[:n].copy()


@jit
def groups(leader: I32) -> tuple[I64, I32]:
    """Groups of two and more by their first member; -1 is in none.

    Group g is `members[ptr[g] : ptr[g + 1]]`, ascending; its first member stands
    for it.
    """
    size = np.zeros(leader.size, np.int64)
    for v in range(leader.size):
        if leader[v] >= 0:
            size[leader[v]] += 1
    count = 0
    total = 0
    for v in range(leader.size):
        if size[v] > 1:
            count += 1
            total += size[v]
    ptr = np.zeros(count + 1, np.int64)
    members = np.empty(total, np.int32)
    at = np.empty(leader.size, np.int64)
    g = 0
    for v in range(leader.size):
        if size[v] > 1:
            at[v] = ptr[g]
            ptr[g + 1] = ptr[g] + size[v]
            g += 1
    for v in range(leader.size):
        if leader[v] >= 0 and size[leader[v]] > 1:
            members[at[leader[v]]] = v
            at[leader[v]] += 1
    return ptr, members


@jit
def sum_groups(
    item_ptr: I64,
    item_members: I32,
    twin_ptr: I64,
    twin_members: I32,
    arity: int,
    item_id: I32,
    next_id: int,
) -> tuple[I32, I32, I32]:
    """Sums equal items, and twins along trees of the given arity.

    Afterwards `item_id` holds each group's sum as its first member's. Returns the
    input counts and the inputs of the new items, and the items at the nodes of the
    trees, leaves first and then level by level.
    """
    room = item_members.size + twin_members.size
    counts = np.empty(room, np.int32)
    inputs = np.empty(2 * room, np.int32)
    nodes = np.empty(3 * twin_members.size, np.int32)
    num = 0
    used = 0
    for g in range(item_ptr.size - 1):
        for i in range(item_ptr[g], item_ptr[g + 1]):
            inputs[used] = item_id[item_members[i]]
            used += 1
        counts[num] = item_ptr[g + 1] - item_ptr[g]
        item_id[item_members[item_ptr[g]]] = next_id + num
        num += 1
    n = 0
    for g in range(twin_ptr.size - 1):
        level = n
        for i in range(twin_ptr[g], twin_ptr[g + 1]):
            nodes[n] = item_id[twin_members[i]]
            n += 1
        while n - level > 1:
            end = n
            for first in range(level, end, arity):
                last = min(first + arity, end)
                if last - first == 1:
                    nodes[n] = nodes[first]
                else:
                    for q in range(first, last):
                        inputs[used] = nodes[q]
                        used += 1
                    counts[num] = last - first
                    nodes[n] = next_id + num
                    num += 1
                n += 1
            level = end
        item_id[twin_members[twin_ptr[g]]] = nodes[n - 1]
    return counts[:num].copy(), inputs[:used].copy(), nodes[:n].copy()


@jit
def expand(
    row_ptr: I64,
    row_members: I32,
    twin_ptr: I64,
    twin_members: I32,
    nodes: I32,
    arity: int,
    start: I64,
    length: I64,
    pool: I32,
    pool_used: int,
    counts: I32,
    inputs: I32,
    num: int,
    used: int,
    first_id: int,
) -> tuple[int, int, int]:
    """Gives every member of a group its row, from the row of the group.

    Row v is `pool[start[v] : start[v] + length[v]]`. New items are appended to
    `counts` and `inputs`. Returns `pool_used`, `num` and `used`.
    """
    above = np.empty(nodes.size, np.int32)
    n = 0
    for g in range(twin_ptr.size - 1):
        size = twin_ptr[g + 1] - twin_ptr[g]
        head = twin_members[twin_ptr[g]]
        # The levels of the tree: leaves from n, the root at the end.
        first = np.empty(66, np.int64)
        first[0] = n
        first[1] = n + size
        levels = 1
        while first[levels] - first[levels - 1] > 1:
            width = first[levels] - first[levels - 1]
            first[levels + 1] = first[levels] + (width + arity - 1) // arity
            levels += 1
        n = first[levels]
        above[n - 1] = -1
        if length[head] == 1:
            above[n - 1] = pool[start[head]]
        elif length[head] > 1:
            for e in range(start[head], start[head] + length[head]):
                inputs[used] = pool[e]
                used += 1
            counts[num] = length[head]
            above[n - 1] = first_id + num
            num += 1
        for level in range(levels - 2, -1, -1):
            for q in range(first[level], first[level + 1]):
                begin = used
                up = first[level + 1] + (q - first[level]) // arity
                if above[up] >= 0:
                    inputs[used] = above[up]
                    used += 1
                left = first[level] + (q - first[level]) // arity * arity
                for s in range(left, min(left + arity, first[level + 1])):
                    if s != q:
                        inputs[used] = nodes[s]
                        used += 1
                if level == 0:
                    v = twin_members[twin_ptr[g] + q - first[0]]
                    start[v] = pool_used
                    length[v] = used - begin
                    for e in range(begin, used):
                        pool[pool_used] = inputs[e]
                        pool_used += 1
                    used = begin
                elif used - begin > 1:
                    counts[num] = used - begin
                    above[q] = first_id + num
                    num += 1
                else:
                    above[q] = inputs[begin] if used > begin else -1
                    used = begin
    for g in range(row_ptr.size - 1):
        head = row_members[row_ptr[g]]
        if length[head] > 1:
            for e in range(start[head], start[head] + length[head]):
                inputs[used] = pool[e]
                used += 1
            counts[num] = length[head]
            start[head] = pool_used
            length[head] = 1
            pool[pool_used] = first_id + num
            pool_used += 1
            num += 1
        for i in range(row_ptr[g] + 1, row_ptr[g + 1]):
            start[row_members[i]] = start[head]
            length[row_members[i]] = length[head]
    return pool_used, num, used

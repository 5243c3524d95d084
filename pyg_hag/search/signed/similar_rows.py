"""Similar rows: clusters of them, and the row on which most rows of a cluster agree.

Rows with the same smallest hash (MinHash; Broder, *On the Resemblance and Containment
of Documents*, 1997) are compared. Those that differ in fewer than half of their items
form a cluster, which is represented by its mean: the items in more than half of its
rows. Clusters with similar means are merged in the next round, with other hashes.
"""

from typing import Any, NamedTuple

import numpy as np

from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import F64, I32, I64, U64

_ROUNDS = 4
_WINDOW = 64  # rows with the same hash with which a row is compared
_PRICE = 0.5  # reads per item of a cluster's mean, which other rows share
_MIN_LENGTH = 6  # items of a row from which a correction may pay


class Clusters(NamedTuple):
    """Clusters of rows.

    Attributes:
        row_ptr: The mean of cluster c is `row[row_ptr[c] : row_ptr[c + 1]]`,
            `[num_clusters + 1]`.
        row: The items of the means, ascending.
        label: The cluster of each row, `[num_rows]`; -1 for none.
        difference: In how many items each row differs from its cluster's mean,
            `[num_rows]`.
    """

    row_ptr: I64
    row: I32
    label: I32
    difference: I32


def find_clusters(row_ptr: I64, row: I32, num_items: int, cost: F64) -> Clusters:
    """Finds clusters whose rows are cheaper as their mean and corrections.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending.
        num_items: Number of items.
        cost: What each row costs otherwise, in reads, `[num_rows]`.
    """
    label = np.arange(row_ptr.size - 1, dtype=np.int32)
    label[np.diff(row_ptr) < _MIN_LENGTH] = -1
    means_ptr, means = row_ptr, row
    for seed in range(_ROUNDS):
        hashes = _smallest_hashes(means_ptr, means, seed)
        order = np.argsort(hashes, kind="stable")
        leader = _match(means_ptr, means, hashes, order)
        label[label >= 0] = leader[label[label >= 0]]
        means_ptr, means, label = _average(row_ptr, row, num_items, label)
    difference = _differences(row_ptr, row, means_ptr, means, label)
    pays = _find_paying(label, difference, cost, np.diff(means_ptr))
    label = np.where(pays, label, -1).astype(np.int32)
    means_ptr, means, label = _compact(means_ptr, means, label)
    return Clusters(means_ptr, means, label, difference)


@jit
def _smallest_hashes(ptr: I64, idx: I32, seed: int) -> U64:
    """The smallest hash of each row's items, `[num_rows]`; 0 for an empty row."""
    out = np.zeros(ptr.size - 1, np.uint64)
    for v in range(ptr.size - 1):
        for e in range(ptr[v], ptr[v + 1]):
            h = splitmix64(splitmix64(idx[e] + 1) + np.uint64(seed))
            if e == ptr[v] or h < out[v]:
                out[v] = h
    return out


@jit
def _difference(
    a_ptr: I64, a: I32, i: int, b_ptr: I64, b: I32, j: int, max_difference: int
) -> int:
    """In how many items row i of `a` and row j of `b` differ.

    Where they differ in more than `max_difference`, any number above that.
    """
    e, f = a_ptr[i], b_ptr[j]
    count = 0
    while e < a_ptr[i + 1] and f < b_ptr[j + 1] and count <= max_difference:
        if a[e] == b[f]:
            e += 1
            f += 1
            continue
        count += 1
        if a[e] < b[f]:
            e += 1
        else:
            f += 1
    return count + a_ptr[i + 1] - e + b_ptr[j + 1] - f


@jit
def _match(ptr: I64, idx: I32, hashes: U64, order: I64) -> I32:
    """The first similar row with the same hash as each row, or the row itself.

    Args:
        ptr: Row v is `idx[ptr[v] : ptr[v + 1]]`, `[num_rows + 1]`.
        idx: The items of the rows, ascending.
        hashes: The smallest hash of each row, `[num_rows]`.
        order: The rows, sorted by their hashes, `[num_rows]`.

    Returns:
        int32 of shape `[num_rows]`.
    """
    leader = np.arange(order.size).astype(np.int32)
    taken = np.zeros(order.size, np.bool_)
    for i in range(order.size):
        v = order[i]
        length = ptr[v + 1] - ptr[v]
        if taken[v] or length == 0:
            continue
        last = min(order.size, i + 1 + _WINDOW)
        for j in range(i + 1, last):
            w = order[j]
            if hashes[w] != hashes[v]:
                break
            longer = max(length, ptr[w + 1] - ptr[w])
            limit = (longer - 1) // 2
            if not taken[w] and ptr[w] < ptr[w + 1]:
                if _difference(ptr, idx, v, ptr, idx, w, limit) <= limit:
                    leader[w] = v
                    taken[w] = True
    return leader


@jit
def _average(
    row_ptr: I64, row: I32, num_items: int, label: I32
) -> tuple[I64, I32, I32]:
    """The mean of each cluster: the items in more than half of its rows.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows.
        num_items: Number of items.
        label: The cluster of each row, `[num_rows]`; -1 for none.

    Returns:
        Pointers and items of the means, and the labels with the clusters renumbered.
    """
    label, ptr, members, capacity = _list_members(row_ptr, label)
    uses = np.zeros(num_items, np.int32)
    out_ptr = np.zeros(ptr.size, np.int64)
    out = np.empty(capacity, np.int32)
    n = 0
    for c in range(ptr.size - 1):
        begin = n
        size = ptr[c + 1] - ptr[c]
        for i in range(ptr[c], ptr[c + 1]):
            for e in range(row_ptr[members[i]], row_ptr[members[i] + 1]):
                uses[row[e]] += 1
                if 2 * uses[row[e]] > size and 2 * (uses[row[e]] - 1) <= size:
                    out[n] = row[e]
                    n += 1
        out[begin:n].sort()
        out_ptr[c + 1] = n
        for i in range(ptr[c], ptr[c + 1]):
            for e in range(row_ptr[members[i]], row_ptr[members[i] + 1]):
                uses[row[e]] = 0
    return out_ptr, out[:n].copy(), label


@jit
def _list_members(row_ptr: I64, label: I32) -> tuple[I32, I64, I32, int]:
    """The rows of each cluster, ascending.

    Args:
        row_ptr: Pointers of the rows, `[num_rows + 1]`.
        label: The cluster of each row, `[num_rows]`; -1 for none.

    Returns:
        The labels with the clusters renumbered, `[num_rows]`; pointers of the
        clusters, `[num_clusters + 1]`, and their rows; and how many items the means
        have at most.
    """
    size = np.zeros(label.size, np.int64)
    entries = np.zeros(label.size, np.int64)
    for v in range(label.size):
        if label[v] >= 0:
            size[label[v]] += 1
            entries[label[v]] += row_ptr[v + 1] - row_ptr[v]
    number = np.full(label.size, -1, np.int32)
    count = 0
    capacity = np.int64(0)
    for c in range(label.size):
        if size[c] > 0:
            number[c] = count
            capacity += 2 * entries[c] // size[c]
            size[count] = size[c]
            count += 1
    label = np.array([number[c] if c >= 0 else -1 for c in label], np.int32)
    ptr = np.zeros(count + 1, np.int64)
    for c in range(count):
        ptr[c + 1] = ptr[c] + size[c]
    fill = ptr.copy()
    members = np.empty(ptr[count], np.int32)
    for v in range(label.size):
        if label[v] >= 0:
            members[fill[label[v]]] = v
            fill[label[v]] += 1
    return label, ptr, members, capacity


@jit
def _differences(row_ptr: I64, row: I32, means_ptr: I64, means: I32, label: I32) -> I32:
    """In how many items each row differs from its cluster's mean, `[num_rows]`."""
    out = np.zeros(label.size, np.int32)
    for v in range(label.size):
        if label[v] >= 0:
            out[v] = _difference(
                row_ptr, row, v, means_ptr, means, label[v], np.int64(1) << 31
            )
    return out


def _find_paying(label: I32, difference: I32, cost: F64, length: I64) -> Any:
    """The rows that are cheaper corrected, in clusters that pay for their mean.

    Args:
        label: The cluster of each row, `[num_rows]`; -1 for none.
        difference: In how many items each row differs from the mean, `[num_rows]`.
        cost: What each row costs otherwise, in reads, `[num_rows]`.
        length: Number of items of each mean, `[num_clusters]`.

    Returns:
        bool of shape `[num_rows]`.
    """
    saved: Any = np.where(label >= 0, cost - difference - 1, 0)
    pays = saved > 0
    if not pays.any():
        return pays
    total = np.bincount(label[pays], saved[pays], length.size)
    num_corrected = np.bincount(label[pays & (difference > 0)], minlength=length.size)
    return pays & ((total > _PRICE * length) & (num_corrected > 0))[label]


@jit
def _compact(ptr: I64, idx: I32, label: I32) -> tuple[I64, I32, I32]:
    """The means of the clusters that still have rows, and the labels renumbered."""
    used = np.zeros(ptr.size - 1, np.bool_)
    for c in label:
        if c >= 0:
            used[c] = True
    number = np.full(ptr.size - 1, -1, np.int32)
    out_ptr = np.zeros(used.sum() + 1, np.int64)
    out = np.empty(idx.size, np.int32)
    count = 0
    n = 0
    for c in range(used.size):
        if used[c]:
            number[c] = count
            count += 1
            for e in range(ptr[c], ptr[c + 1]):
                out[n] = idx[e]
                n += 1
            out_ptr[count] = n
    label = np.array([number[c] if c >= 0 else -1 for c in label], np.int32)
    return out_ptr, out[:n].copy(), label

"""Similar rows: clusters of them, and the row that most of a cluster's agree on.

Rows that share their smallest hash are compared; those that differ in less than half
of their items form a cluster, which the items in more than half of its rows stand
for. Clusters whose representatives are similar become one in the next round, under
other hashes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit
from pyg_hag.search._twins import mixed

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]

_ROUNDS = 4
_WINDOW = 64  # rows with the same hash that one row is compared with
_PRICE = 0.5  # reads per item of a cluster's own row, which other rows share
_SHORTEST = 6  # items of a row from which a correction may pay


class Clusters(NamedTuple):
    """Clusters of rows; cluster c stands for `row[row_ptr[c] : row_ptr[c + 1]]`."""

    row_ptr: I64
    row: I32
    label: I32
    """The cluster of each row, or -1."""
    difference: I32
    """Items in which each row differs from its cluster's."""


def find_clusters(row_ptr: I64, row: I32, num_items: int, cost: F64) -> Clusters:
    """Finds clusters where rows are cheaper as their cluster's row and corrections.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`.
        row: The items of the rows, ascending.
        num_items: Number of items.
        cost: What each row costs otherwise, in reads.
    """
    label = np.arange(row_ptr.size - 1, dtype=np.int32)
    label[np.diff(row_ptr) < _SHORTEST] = -1
    means_ptr, means = row_ptr, row
    for seed in range(_ROUNDS):
        hashes = _smallest_hashes(means_ptr, means, seed)
        order = np.argsort(hashes, kind="stable")
        leader = _match(means_ptr, means, hashes, order)
        label[label >= 0] = leader[label[label >= 0]]
        means_ptr, means, label = _average(row_ptr, row, num_items, label)
    difference = _differences(row_ptr, row, means_ptr, means, label)
    keep = _paying(label, difference, cost, np.diff(means_ptr))
    label = np.where(keep, label, -1).astype(np.int32)
    means_ptr, means, label = _compact(means_ptr, means, label)
    return Clusters(means_ptr, means, label, difference)


@jit
def _smallest_hashes(ptr: I64, idx: I32, seed: int) -> U64:
    """The smallest hash of each row's items; 0 of an empty row."""
    out = np.zeros(ptr.size - 1, np.uint64)
    for v in range(ptr.size - 1):
        for e in range(ptr[v], ptr[v + 1]):
            h = mixed(mixed(idx[e] + 1) + np.uint64(seed))
            if e == ptr[v] or h < out[v]:
                out[v] = h
    return out


@jit
def _difference(
    a_ptr: I64, a: I32, i: int, b_ptr: I64, b: I32, j: int, most: int
) -> int:
    """Items in which row i of `a` and row j of `b` differ, or more than `most`."""
    e, f = a_ptr[i], b_ptr[j]
    count = 0
    while e < a_ptr[i + 1] and f < b_ptr[j + 1] and count <= most:
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
    """For each row the first similar one with the same hash, or itself."""
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
            longest = max(length, ptr[w + 1] - ptr[w])
            most = (longest - 1) // 2
            if not taken[w] and ptr[w] < ptr[w + 1]:
                if _difference(ptr, idx, v, ptr, idx, w, most) <= most:
                    leader[w] = v
                    taken[w] = True
    return leader


@jit
def _average(
    row_ptr: I64, row: I32, num_items: int, label: I32
) -> tuple[I64, I32, I32]:
    """The items in more than half of each cluster's rows; renumbers the clusters."""
    size = np.zeros(label.size, np.int64)
    entries = np.zeros(label.size, np.int64)
    for v in range(label.size):
        if label[v] >= 0:
            size[label[v]] += 1
            entries[label[v]] += row_ptr[v + 1] - row_ptr[v]
    number = np.full(label.size, -1, np.int32)
    count = 0
    for c in range(label.size):
        if size[c] > 0:
            number[c] = count
            size[count], entries[count] = size[c], entries[c]
            count += 1
    label = np.array([number[c] if c >= 0 else -1 for c in label], np.int32)
    ptr = np.zeros(count + 1, np.int64)  # members of each cluster
    room = np.int64(0)
    for c in range(count):
        ptr[c + 1] = ptr[c] + size[c]
        room += 2 * entries[c] // size[c]
    fill = ptr.copy()
    members = np.empty(ptr[count], np.int32)
    for v in range(label.size):
        if label[v] >= 0:
            members[fill[label[v]]] = v
            fill[label[v]] += 1
    uses = np.zeros(num_items, np.int32)
    out_ptr = np.zeros(count + 1, np.int64)
    out = np.empty(room, np.int32)
    n = 0
    for c in range(count):
        begin = n
        for i in range(ptr[c], ptr[c + 1]):
            for e in range(row_ptr[members[i]], row_ptr[members[i] + 1]):
                uses[row[e]] += 1
                if 2 * uses[row[e]] > size[c] and 2 * (uses[row[e]] - 1) <= size[c]:
                    out[n] = row[e]
                    n += 1
        out[begin:n].sort()
        out_ptr[c + 1] = n
        for i in range(ptr[c], ptr[c + 1]):
            for e in range(row_ptr[members[i]], row_ptr[members[i] + 1]):
                uses[row[e]] = 0
    return out_ptr, out[:n].copy(), label


@jit
def _differences(row_ptr: I64, row: I32, means_ptr: I64, means: I32, label: I32) -> I32:
    out = np.zeros(label.size, np.int32)
    for v in range(label.size):
        if label[v] >= 0:
            out[v] = _difference(
                row_ptr, row, v, means_ptr, means, label[v], np.int64(1) << 31
            )
    return out


def _paying(label: I32, difference: I32, cost: F64, length: I64) -> Any:
    """Rows that are cheaper corrected, in clusters that pay for their own row."""
    saves: Any = np.where(label >= 0, cost - difference - 1, 0)
    chosen = saves > 0
    if not chosen.any():
        return chosen
    total = np.bincount(label[chosen], saves[chosen], length.size)
    corrected = np.bincount(label[chosen & (difference > 0)], minlength=length.size)
    return chosen & ((total > _PRICE * length) & (corrected > 0))[label]


@jit
def _compact(ptr: I64, idx: I32, label: I32) -> tuple[I64, I32, I32]:
    """The clusters that still have members, renumbered."""
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


@jit
def corrected(
    row_ptr: I64,
    row: I32,
    means_ptr: I64,
    means: I32,
    label: I32,
    num_items: int,
) -> tuple[I64, I32]:
    """The rows with clusters as items and corrections, then the clusters' own rows.

    Item `num_items + x` subtracts item x; item `2 * num_items + c` is cluster c.
    """
    num_rows = label.size
    num_means = means_ptr.size - 1
    room = np.int64(means.size)
    for v in range(num_rows):
        room += row_ptr[v + 1] - row_ptr[v]
        if label[v] >= 0:
            room += means_ptr[label[v] + 1] - means_ptr[label[v]] + 1
    out_ptr = np.zeros(num_rows + num_means + 1, np.int64)
    out = np.empty(room, np.int32)
    n = 0
    for v in range(num_rows):
        c = label[v]
        if c < 0:
            for e in range(row_ptr[v], row_ptr[v + 1]):
                out[n] = row[e]
                n += 1
            out_ptr[v + 1] = n
            continue
        for minus in range(2):
            e, f = row_ptr[v], means_ptr[c]
            while e < row_ptr[v + 1] or f < means_ptr[c + 1]:
                if f == means_ptr[c + 1] or (e < row_ptr[v + 1] and row[e] < means[f]):
                    if minus == 0:
                        out[n] = row[e]
                        n += 1
                    e += 1
                elif e == row_ptr[v + 1] or means[f] < row[e]:
                    if minus == 1:
                        out[n] = num_items + means[f]
                        n += 1
                    f += 1
                else:
                    e += 1
                    f += 1
        out[n] = 2 * num_items + c
        n += 1
        out_ptr[v + 1] = n
    for c in range(num_means):
        for e in range(means_ptr[c], means_ptr[c + 1]):
            out[n] = means[e]
            n += 1
        out_ptr[num_rows + c + 1] = n
    return out_ptr, out[:n].copy()

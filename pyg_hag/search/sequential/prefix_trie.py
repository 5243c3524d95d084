"""The trie of the destinations' lists of sources.

A node of the trie stands for a prefix of at least one list. Nodes are numbered by
depth; node 0 is the root, the empty prefix.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64, Bool


class Trie(NamedTuple):
    """The prefixes of lists.

    Attributes:
        parent: The prefix without its last source, `[num_nodes]`.
        depth: The length of each prefix, `[num_nodes]`.
        reader: A list that begins with each prefix, `[num_nodes]`.
        num_lists: How many lists begin with each prefix, `[num_nodes]`; 0 for the root.
        last: The node of each whole list, `[num_lists]`.
    """

    parent: I64
    depth: I32
    reader: I32
    num_lists: I32
    last: I64


class Steps(NamedTuple):
    """The steps of an aggregator over the HAG of some prefixes.

    Attributes:
        nearest: The longest kept prefix of each prefix, itself included,
            `[num_nodes]`; 0 for none.
        total: The number of steps.
        loss: The additional steps without each kept prefix, when its readers read its
            sources themselves, `[num_nodes]`.
    """

    nearest: I64
    total: int
    loss: I64


@jit
def count_readers(row_ptr: I64, row: I32, num_src: int) -> I64:
    """The number of destinations that read each source, `[num_src]`.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_dst + 1]`.
        row: The sources of the rows, ascending.
        num_src: Number of sources.
    """
    out = np.zeros(num_src, np.int64)
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            if e == row_ptr[v] or row[e] != row[e - 1]:
                out[row[e]] += 1
    return out


@jit
def _by_depth_and_source(row_ptr: I64, row: I32, num_src: int) -> tuple[I64, I32, I32]:
    """The entries sorted by their place in the list, then by source (radix sort).

    Returns:
        Where each place starts, `[max_length + 1]`, and the list and the source of
        each entry, `[num_entries]`.
    """
    max_length = 0
    for v in range(row_ptr.size - 1):
        max_length = max(max_length, row_ptr[v + 1] - row_ptr[v])
    src_ptr = np.zeros(num_src + 1, np.int64)
    level_ptr = np.zeros(max_length + 1, np.int64)
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            src_ptr[row[e] + 1] += 1
            level_ptr[e - row_ptr[v] + 1] += 1
    for u in range(num_src):
        src_ptr[u + 1] += src_ptr[u]
    for d in range(max_length):
        level_ptr[d + 1] += level_ptr[d]
    by_src = np.empty(row.size, np.int32)
    place = np.empty(row.size, np.int32)
    fill = src_ptr[:num_src].copy()
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            i = fill[row[e]]
            by_src[i] = v
            place[i] = e - row_ptr[v]
            fill[row[e]] = i + 1
    lists = np.empty(row.size, np.int32)
    sources = np.empty(row.size, np.int32)
    fill = level_ptr[:max_length].copy()
    for u in range(num_src):
        for i in range(src_ptr[u], src_ptr[u + 1]):
            k = fill[place[i]]
            lists[k] = by_src[i]
            sources[k] = u
            fill[place[i]] = k + 1
    return level_ptr, lists, sources


@jit
def build_trie(row_ptr: I64, row: I32, num_src: int) -> Trie:
    """The trie of lists, in O(entries).

    Args:
        row_ptr: List v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_lists + 1]`.
        row: The sources of the lists, `[num_entries]`.
        num_src: Number of sources.
    """
    level_ptr, lists, sources = _by_depth_and_source(row_ptr, row, num_src)
    parent = np.zeros(row.size + 1, np.int64)
    depth = np.zeros(row.size + 1, np.int32)
    reader = np.zeros(row.size + 1, np.int32)
    count = np.zeros(row.size + 1, np.int32)
    newest = np.zeros(row.size + 1, np.int64)  # child of each node
    last = np.zeros(row_ptr.size - 1, np.int64)
    n = 1
    for d in range(level_ptr.size - 1):
        for i in range(level_ptr[d], level_ptr[d + 1]):
            v = lists[i]
            p = last[v]
            c = newest[p]  # sources ascend: only the newest child can have this one
            if c == 0 or row[row_ptr[reader[c]] + d] != sources[i]:
                c = n
                n += 1
                parent[c] = p
                depth[c] = d + 1
                reader[c] = v
                newest[p] = c
            count[c] += 1
            last[v] = c
    return Trie(
        parent[:n].copy(),
        depth[:n].copy(),
        reader[:n].copy(),
        count[:n].copy(),
        last,
    )


@jit
def find_forks(trie: Trie, min_count: int) -> Bool:
    """The prefixes of at least `min_count` lists that two rows would read.

    Returns:
        bool of shape `[num_nodes]`.
    """
    num_readers = np.zeros(trie.parent.size, np.int64)
    for c in range(1, trie.parent.size):
        # Or several, if too few lists begin with the child for it to be shared; then a
        # prefix of enough lists has yet another reader, which is counted.
        num_readers[trie.parent[c]] += 1
    for v in range(trie.last.size):
        num_readers[trie.last[v]] += 1
    keep = (num_readers >= 2) & (trie.num_lists >= min_count)
    keep[0] = False
    return keep


@jit
def count_steps(row_ptr: I64, trie: Trie, keep: Bool) -> Steps:
    """The steps when some prefixes are aggregates.

    Args:
        row_ptr: Pointers of the lists, `[num_lists + 1]`.
        trie: Their trie.
        keep: The prefixes that are aggregates, `[num_nodes]`.
    """
    parent, depth, last = trie.parent, trie.depth, trie.last
    nearest = np.zeros(parent.size, np.int64)
    num_readers = np.zeros(parent.size, np.int64)
    loss = np.zeros(parent.size, np.int64)
    total = 0
    for c in range(1, parent.size):
        nearest[c] = nearest[parent[c]]
        if keep[c]:
            num_readers[nearest[c]] += 1
            loss[c] = depth[c] - depth[nearest[c]]
            total += loss[c]
            nearest[c] = c
    for v in range(last.size):
        num_readers[nearest[last[v]]] += 1
        total += row_ptr[v + 1] - row_ptr[v] - depth[nearest[last[v]]]
    return Steps(nearest, total, loss * (num_readers - 1))


@jit
def count_group_steps(trie: Trie, min_count: int, group: I32, num_groups: int) -> I64:
    """The steps of each group when prefixes of at least `min_count` lists are shared.

    Args:
        trie: The trie of the lists.
        min_count: Smallest number of lists that share a prefix.
        group: The group of each list, `[num_lists]`.
        num_groups: Number of groups.

    Returns:
        int64 of shape `[num_groups]`.
    """
    out = np.zeros(num_groups, np.int64)
    for c in range(1, trie.num_lists.size):
        count = trie.num_lists[c]
        out[group[trie.reader[c]]] += 1 if count >= min_count else count
    return out

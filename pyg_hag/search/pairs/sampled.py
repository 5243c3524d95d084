"""Greedy search from sampled neighbourhoods: for large, sparse components.

What a sample shows are only candidates: how many rows a pair shares is always counted
exactly, by intersecting their lists, before it is merged. Each item remembers its best
candidates and how many rows it seems to share at most with all others, and hands both
down to the item that it is merged into. It takes a new sample when its candidates fall
below the others.
"""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import max_heap, row_lists
from pyg_hag.search.pairs.candidates import Counter, find_candidates, new_counter
from pyg_hag.search.pairs.capacity import grown
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.row_lists import RowLists
from pyg_hag.search.pairs.state import (
    State,
    Ties,
    comes_first,
    find_place,
    grown_state,
    upper_bound,
)
from pyg_hag.search.progress import MERGED, STOP
from pyg_hag.utils.arrays import I32, I64


@jit
def merge_pairs(
    state: State, counter: Counter, min_redundancy: int, pairs: I32, control: I64
) -> int:
    """Merges pairs of items in one component, approximately the most frequent first.

    Args:
        state: The state after the first candidates were found; changed in place.
        counter: Counts the items of samples.
        min_redundancy: Smallest number of rows that must share a pair.
        pairs: Output: the inputs of the new items, `[num_entries / 2, 2]`.
        control: Stops the search when `control[STOP]` is not 0; `control[MERGED]`
            counts merges.

    Returns:
        The number of new items.
    """
    capacity = state.component.num_items
    heap = np.zeros(1 + capacity, np.int64)
    for x in range(capacity):
        bound = upper_bound(state.lists.size, state.num_shared, state.others, x)
        if bound >= min_redundancy:
            max_heap.push(heap, bound, x ^ state.ties.mask)
    num_new = 0
    while True:
        num_new = _merge_while_room(
            state, counter, heap, num_new, min_redundancy, pairs, control
        )
        if heap[0] == 0 or control[STOP] != 0:
            return num_new
        capacity = 3 * capacity // 2 + 16
        state = grown_state(state, capacity)
        counter, heap = new_counter(capacity), grown(heap, 1 + capacity)


@jit
def _merge_while_room(
    state: State,
    counter: Counter,
    heap: I64,
    num_new: int,
    min_redundancy: int,
    pairs: I32,
    control: I64,
) -> int:
    """Merges pairs until the arrays are full; returns the number of new items."""
    component, lists, rank, candidate, num_shared, others, ties = state
    size = lists.size
    steps = 0
    while heap[0] > 0:
        steps += 1
        if steps & 63 == 0 and control[STOP] != 0:
            break
        new = component.num_items + num_new
        if new == size.size:
            break
        bound, x = max_heap.pop(heap)
        x ^= ties.mask
        if size[x] < min_redundancy:
            continue
        y = -1
        while y < 0:
            best, shared = best_candidate(size, candidate, num_shared, ties, x)
            if shared < bound:  # only items that are no candidates may reach it
                if shared >= others[x]:
                    break
                limit = upper_bound(size, num_shared, others, x)
                if limit < bound:
                    shared = limit
                    break
                find_candidates(state, counter, x)
                continue
            other = candidate[x, best]
            exact = 0
            if size[other] >= shared:
                exact = row_lists.intersect(lists, x, other, -1)
            if exact >= shared:
                y = np.int64(other)
            else:  # the rows that it has lost may all have gone to one new item
                others[x] = max(others[x], shared - exact)
                num_shared[x, best] = exact
        if y < 0:
            if shared >= min_redundancy:
                max_heap.push(heap, shared, x ^ ties.mask)
            continue
        pairs[num_new, 0] = min(x, y)
        pairs[num_new, 1] = max(x, y)
        num_new += 1
        control[MERGED] += 1
        row_lists.merge(lists, x, y, new)
        _replace(lists, component, rank, x, y, new)
        inherit(size, candidate, num_shared, others, x, y, new)
        for item in (x, new):
            limit = upper_bound(size, num_shared, others, item)
            if limit >= min_redundancy:
                max_heap.push(heap, limit, item ^ ties.mask)
    return num_new


@jit
def best_candidate(
    size: I64, candidate: I32, num_shared: I32, ties: Ties, x: int
) -> tuple[int, int]:
    """The candidate that may share most rows with item x, and how many.

    -1 if no candidate shares any.
    """
    best = -1
    shared = np.int64(0)
    for j in range(candidate.shape[1]):
        if num_shared[x, j] > shared or (
            num_shared[x, j] == shared
            and shared > 0
            and comes_first(ties, size, candidate[x, j], candidate[x, best])
        ):
            shared = np.int64(num_shared[x, j])
            best = j
    return best, shared


@jit
def _replace(
    lists: RowLists, component: Component, rank: I32, x: int, y: int, new: int
) -> None:
    """Puts `new`, which has just been merged, in the place of x in all of its rows."""
    row_ptr, row, row_len = component.row_ptr, component.row, component.row_len
    rank[new] = rank[x]
    for i in range(lists.start[new], lists.used[0]):
        v = lists.pool[i]
        begin = row_ptr[v]
        end = begin + row_len[v]
        row[find_place(row, begin, end, rank, rank[x])] = new
        for e in range(find_place(row, begin, end, rank, rank[y]), end - 1):
            row[e] = row[e + 1]
        row_len[v] -= 1


@jit
def inherit(
    size: I64, candidate: I32, num_shared: I32, others: I64, x: int, y: int, new: int
) -> None:
    """Hands the candidates of x down to `new`, except y, with which it was merged."""
    for j in range(candidate.shape[1]):
        candidate[new, j] = candidate[x, j]
        if candidate[x, j] == y:
            num_shared[x, j] = 0
        num_shared[new, j] = min(np.int64(num_shared[x, j]), size[new])
    others[new] = min(others[x], size[new])

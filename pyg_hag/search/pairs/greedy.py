"""Exact greedy search: merge the pair of items that most rows share, and repeat.

The greedy search of Jia et al. (KDD 2020, Algorithm 3), without ever listing the
pairs. For every item, a heap holds an upper bound on the number of rows that it shares
with any other. Numbers of shared rows never grow (the rows of a new item are rows of
both its inputs), so the bounds stay valid. The item with the largest bound is
examined: if it reaches the bound, its pair is the most frequent of all; if not, its
bound drops. Memory is linear in the number of edges.

Among pairs that share equally many rows the newest wins: the one with the largest
larger item, then with the largest smaller item. Items are numbered sources first,
then aggregates in the order in which they are made.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import bit_sets, max_heap, row_lists
from pyg_hag.search.pairs.bit_sets import BitSets
from pyg_hag.search.pairs.capacity import grown, grown_rows
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.row_lists import RowLists, Scratch
from pyg_hag.search.progress import MERGED, STOP
from pyg_hag.utils.arrays import I32, I64


class _State(NamedTuple):
    """The state of the search; all arrays have a place for each item.

    Attributes:
        size: Number of rows that contain each item; the same array in `sets` and
            `lists`.
        partner: The item that shared most rows with each item, -1 if unknown.
        others: Upper bound on the rows that each item shares with any item but its
            partner.
        heap: Upper bound on the rows that each item shares with any other.
        sets: The items as bit sets; empty if they are kept as lists.
        lists: The items as lists of rows; empty if they are kept as bit sets.
        scratch: Where a search among the lists counts items.
    """

    size: I64
    partner: I32
    others: I64
    heap: I64
    sets: BitSets
    lists: RowLists
    scratch: Scratch


@jit
def merge_pairs(
    component: Component,
    dense: bool,
    min_redundancy: int,
    pairs: I32,
    num_shared: I32,
    control: I64,
) -> int:
    """Merges pairs of items in the rows of one component.

    Args:
        component: The rows; no item occurs twice in a row. Changed in place.
        dense: Whether to keep items as bit sets rather than as lists.
        min_redundancy: Smallest number of rows that must share a pair.
        pairs: Output: the inputs of the new items, `[num_entries / 2, 2]`.
        num_shared: Output: how many rows shared each pair, descending,
            `[num_entries / 2]`.
        control: Stops the search when `control[STOP]` is not 0; `control[MERGED]`
            counts merges.

    Returns:
        The number of new items.
    """
    state = _new_state(component, dense, min_redundancy)
    num_new = 0
    while True:
        num_new = _merge_while_room(
            state, component, dense, num_new, min_redundancy, pairs, num_shared, control
        )
        if state.heap[0] == 0 or control[STOP] != 0:
            break
        state = _grown(state, dense)
    if dense:
        bit_sets.write_rows(state.sets, component, component.num_items + num_new)
    return num_new


@jit
def _merge_while_room(
    state: _State,
    component: Component,
    dense: bool,
    num_new: int,
    min_redundancy: int,
    pairs: I32,
    num_shared: I32,
    control: I64,
) -> int:
    """Merges pairs until the arrays are full; returns the number of new items."""
    size, partner, others, heap, sets, lists, scratch = state
    bits = sets.bits
    while heap[0] > 0 and control[STOP] == 0:
        new = component.num_items + num_new
        if new == size.size:
            break
        bound, x = max_heap.pop(heap)
        if size[x] < bound:  # other merges have taken some of its rows
            partner[x] = -1
            _push(heap, size[x], x, min_redundancy)
            continue
        y = np.int64(partner[x])
        shared = 0
        if y >= 0 and size[y] >= bound:
            if dense:
                shared = bit_sets.count_shared(bits, x, y)
            else:
                shared = row_lists.intersect(lists, x, y, -1)
        if shared < bound:
            if dense:
                best = bit_sets.find_best(sets, x, min_redundancy)
            else:
                best = row_lists.find_best(lists, component, scratch, x)
            shared, y, others[x] = best
            partner[x] = y
            if shared < bound:
                _push(heap, shared, x, min_redundancy)
                continue
        pairs[num_new, 0] = min(x, y)
        pairs[num_new, 1] = max(x, y)
        num_shared[num_new] = shared
        num_new += 1
        control[MERGED] += 1
        if dense:
            bit_sets.merge(sets, x, y, new)
        else:
            row_lists.merge(lists, x, y, new)
            row_lists.replace(lists, component, x, y, new)
        # What x shares with others bounds what x and the new item share with them:
        for item in (x, new):
            partner[item] = -1
            _push(heap, min(others[x], size[item]), item, min_redundancy)
    return num_new


@jit
def _push(heap: I64, bound: int, item: int, min_redundancy: int) -> None:
    """Pushes an item unless it cannot share enough rows with any other."""
    if bound >= min_redundancy:
        max_heap.push(heap, bound, item)


@jit
def _new_state(component: Component, dense: bool, min_redundancy: int) -> _State:
    num_rows = component.row_ptr.size - 1
    num_entries = component.row_ptr[num_rows] - component.row_ptr[0]
    capacity = 2 * component.num_items + 16
    as_sets = capacity if dense else 0
    as_lists = 0 if dense else capacity
    size = np.zeros(capacity, np.int64)
    sets = BitSets(
        np.zeros((as_sets, (num_rows + 63) // 64), np.uint64),
        size,
        np.zeros(as_sets, np.int32),
        np.zeros(1, np.int64),
    )
    lists = RowLists(
        np.empty(0 if dense else 2 * num_entries, np.int32),
        np.zeros(as_lists, np.int64),
        size,
        np.zeros(1, np.int64),
    )
    scratch = Scratch(np.zeros(as_lists, np.int32), np.zeros(as_lists, np.int32))
    if dense:
        bit_sets.fill(sets, component)
    else:
        row_lists.fill(lists, component)
    partner = np.full(capacity, -1, np.int32)
    others = np.zeros(capacity, np.int64)
    heap = np.zeros(1 + capacity, np.int64)
    for x in range(component.num_items):
        if size[x] >= min_redundancy:
            max_heap.push(heap, size[x], x)
            if dense:
                bit_sets.activate(sets, x)
    return _State(size, partner, others, heap, sets, lists, scratch)


@jit
def _grown(state: _State, dense: bool) -> _State:
    """The state with room for twice as many items."""
    capacity = 2 * state.size.size
    as_sets = capacity if dense else 0
    as_lists = 0 if dense else capacity
    size = grown(state.size, capacity)
    sets = BitSets(
        grown_rows(state.sets.bits, as_sets),
        size,
        grown(state.sets.active, as_sets),
        state.sets.num_active,
    )
    lists = RowLists(
        state.lists.pool, grown(state.lists.start, as_lists), size, state.lists.used
    )
    scratch = Scratch(
        grown(state.scratch.counts, as_lists), grown(state.scratch.touched, as_lists)
    )
    return _State(
        size,
        grown(state.partner, capacity),
        grown(state.others, capacity),
        grown(state.heap, 1 + capacity),
        sets,
        lists,
        scratch,
    )

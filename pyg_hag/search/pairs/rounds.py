"""Rounds of the search in a large component, whose parts run side by side.

In each round, the items that may share most rows with another, within a few percent,
look for a partner; of the pairs, those that have no item in common are merged at once,
as are pairs of one item with several others, one after the other. What the pairs of a
round share does not depend on each other, so that the result is that of merging them in
any order, on any number of threads.

A round takes several steps, of which `propose` runs on ranges of items, `merge_lists`
on ranges of groups and `replace` on ranges of rows; the others are short.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import row_lists
from pyg_hag.search.pairs.bound_queue import Queue, open_bucket, push
from pyg_hag.search.pairs.candidates import Counter, find_candidates
from pyg_hag.search.pairs.sampled import best_candidate, inherit
from pyg_hag.search.pairs.state import State, find_place, upper_bound
from pyg_hag.search.progress import MERGED, STOP
from pyg_hag.utils.arrays import I32, I64

MOST = 1 << 13
"""Items that look for a partner in one round, at most."""
_BAND = 16  # a round takes pairs that share up to 1 / _BAND less than the most


class Round(NamedTuple):
    """The items and pairs of a round.

    Attributes:
        item: The items that look for a partner, `[MOST]`.
        partner: What they have found, -1 for none, `[MOST]`.
        shared: The rows that they share with it, `[MOST]`.
        floor: The fewest rows that pairs of this round share, `[1]`.
        role: Whether each item is in a pair, `[capacity]`; all free between rounds.
        pair: The pairs, as indices into `item`, those of one item with several others
            side by side, `[MOST]`.
        group_ptr: The pairs of group g are `pair[group_ptr[g] : group_ptr[g + 1]]`,
            `[MOST + 1]`.
        center: The item that all pairs of a group have in common, `[MOST]`.
        start: Where the list of the rows of each pair starts, `[MOST]`.
        size: Its length; 0 if the pair is not merged, `[MOST]`.
    """

    item: I32
    partner: I32
    shared: I32
    floor: I64
    role: I32
    pair: I32
    group_ptr: I64
    center: I32
    start: I64
    size: I64


@jit
def new_round(capacity: int) -> Round:
    """Room for a round."""
    return Round(
        np.empty(MOST, np.int32),
        np.empty(MOST, np.int32),
        np.empty(MOST, np.int32),
        np.zeros(1, np.int64),
        np.zeros(capacity, np.int32),
        np.empty(MOST, np.int32),
        np.zeros(MOST + 1, np.int64),
        np.empty(MOST, np.int32),
        np.empty(MOST, np.int64),
        np.empty(MOST, np.int64),
    )


@jit
def grown_round(this: Round, capacity: int) -> Round:
    """The same with room for `capacity` items."""
    return Round(
        this.item,
        this.partner,
        this.shared,
        this.floor,
        np.zeros(capacity, np.int32),
        this.pair,
        this.group_ptr,
        this.center,
        this.start,
        this.size,
    )


# The steps of a round #########################################################


@jit
def take(queue: Queue, this: Round) -> int:
    """Takes items that look for a partner out of the queue; returns their number."""
    top = queue.top[0]
    while top > 0 and queue.first[top] < 0:
        top -= 1
    queue.top[0] = top
    this.floor[0] = top - top // _BAND
    count = 0
    for bound in range(top, this.floor[0] - 1, -1):
        if bound < queue.opened[0]:
            open_bucket(queue, bound)
        x = queue.first[bound]
        while x >= 0 and count < MOST:
            this.item[count] = x
            this.partner[count] = -1
            count += 1
            x = queue.following[x]
        queue.first[bound] = x
    return count if top > 0 else 0


@jit
def propose(
    state: State, this: Round, counter: Counter, begin: int, end: int, control: I64
) -> None:
    """Finds partners of the items from `begin` to `end` of the round."""
    for i in range(begin, end):
        if i & 63 == 0 and control[STOP] != 0:
            return
        _find_partner(state, this, counter, i)


@jit
def _find_partner(state: State, this: Round, counter: Counter, i: int) -> None:
    """Finds a partner of item i of the round, if one shares enough rows."""
    lists, candidate, num_shared, others = (
        state.lists,
        state.candidate,
        state.num_shared,
        state.others,
    )
    x, floor = np.int64(this.item[i]), this.floor[0]
    is_fresh = False
    while upper_bound(lists.size, num_shared, others, x) >= floor:
        best, shared = best_candidate(lists.size, candidate, num_shared, state.ties, x)
        if shared < min(others[x], lists.size[x]):
            find_candidates(state, counter, x)
            is_fresh = True
            continue
        y = np.int64(candidate[x, best])
        exact = shared
        if not is_fresh:
            exact = row_lists.intersect(lists, x, y, -1)
        if exact >= shared:
            this.partner[i] = y
            this.shared[i] = exact
            return
        # The rows that it has lost may all have gone to one new item:
        others[x] = max(others[x], shared - exact)
        num_shared[x, best] = exact


@jit
def merge_lists(
    state: State, this: Round, buffer: I32, begin: int, end: int, control: I64
) -> None:
    """Moves the rows of the pairs of the groups from `begin` to `end` to new lists.

    Args:
        state: The lists are changed.
        this: The round; `start` and `size` are written.
        buffer: Scratch, as long as the longest list.
        begin: The first group.
        end: The group after the last one.
        control: Leaves pairs as they are when `control[STOP]` is not 0.
    """
    lists = state.lists
    for g in range(begin, end):
        center = this.center[g]
        for k in range(this.group_ptr[g], this.group_ptr[g + 1]):
            this.size[k] = 0
            if control[STOP] != 0:
                continue
            x, y = this.item[this.pair[k]], this.partner[this.pair[k]]
            leaf = x if y == center else y
            count = row_lists.intersect_into(lists, leaf, center, buffer)
            if count >= this.floor[0]:
                rows = buffer[:count]
                row_lists.remove(lists, center, rows)
                row_lists.remove(lists, leaf, rows)
                # The new list is where that of the leaf has ended:
                first = lists.start[leaf] + lists.size[leaf]
                lists.pool[first : first + count] = rows
                this.start[k], this.size[k] = first, count


@jit
def number(
    state: State, this: Round, num_groups: int, num_new: int, pairs: I32, control: I64
) -> int:
    """Numbers the items of the merged pairs; returns the number of new items."""
    lists = state.lists
    for k in range(this.group_ptr[num_groups]):
        new = state.component.num_items + num_new
        if this.size[k] == 0:
            continue
        x, y = this.item[this.pair[k]], this.partner[this.pair[k]]
        pairs[num_new, 0] = min(x, y)
        pairs[num_new, 1] = max(x, y)
        lists.start[new], lists.size[new] = this.start[k], this.size[k]
        state.rank[new] = state.rank[x]
        inherit(lists.size, state.candidate, state.num_shared, state.others, x, y, new)
        num_new += 1
        control[MERGED] += 1
    return num_new


@jit
def replace(
    state: State, pairs: I32, before: int, num_new: int, first: int, last: int
) -> None:
    """Puts the new items of a round into the rows from `first` to before `last`.

    Args:
        state: The rows are changed.
        pairs: The inputs of all new items.
        before: How many of them were there before the round.
        num_new: How many there are now.
        first: The first row.
        last: The row after the last one.
    """
    lists, rank = state.lists, state.rank
    row_ptr, row, row_len, num_items = state.component
    for k in range(before, num_new):
        new = num_items + k
        rank_x = rank[new]
        x, y = pairs[k]
        rank_y = rank[y] if rank[x] == rank_x else rank[x]
        begin = lists.start[new]
        end = begin + lists.size[new]
        for i in range(_lower_bound(lists.pool, begin, end, first), end):
            v = lists.pool[i]
            if v >= last:
                break
            e = row_ptr[v]
            row[find_place(row, e, e + row_len[v], rank, rank_x)] = new
            gap = find_place(row, e, e + row_len[v], rank, rank_y)
            for e in range(gap, row_ptr[v] + row_len[v] - 1):
                row[e] = row[e + 1]
            row_len[v] -= 1


@jit
def _lower_bound(values: I32, begin: int, end: int, wanted: int) -> int:
    """The index of the first of the ascending values that is not below `wanted`."""
    while begin < end:
        middle = (begin + end) >> 1
        if values[middle] < wanted:
            begin = middle + 1
        else:
            end = middle
    return begin


@jit
def put_back(
    queue: Queue,
    state: State,
    this: Round,
    count: int,
    before: int,
    num_new: int,
    min_redundancy: int,
) -> None:
    """Puts the items of a round, and the new ones, into the queue."""
    for i in range(count - 1, -1, -1):
        push(queue, state, np.int64(this.item[i]), min_redundancy)
    for k in range(before, num_new):
        push(queue, state, state.component.num_items + k, min_redundancy)

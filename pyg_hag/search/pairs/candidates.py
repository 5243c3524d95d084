"""Candidates for merging with an item, from a sample of its neighbourhood.

Finding an item's best partner exactly takes reading all of its rows, for all items
sum(length^2) entries and more. A sample here is about `BUDGET` entries: some of the
item's rows and, of a long row, only a window around the item. Rows are kept in an order
in which items that occur in similar rows are close to each other (min-hash), so that
the window holds the items that matter.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.sorting import stable_order
from pyg_hag.search.pairs import row_lists
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.row_lists import RowLists, Scratch
from pyg_hag.search.progress import STOP
from pyg_hag.utils.arrays import I32, I64

CANDIDATES = 8  # remembered per item
WINDOW = 256  # entries of a long row in a sample
BUDGET = 4096  # entries of a sample, approximately,
MIN_BUDGET = 2048  # but this many in the largest components
_LARGE = 1 << 23  # entries of a component from which samples become smaller


class Ties(NamedTuple):
    """What comes first among equals; on meshes, ties decide everything.

    Attributes:
        by_size: Whether, of candidates that share equally many rows with an item, the
            one in the fewest rows comes first: it shares most of these.
        mask: Otherwise the largest number comes first, after an exclusive or with
            this: 0 prefers the newest items, :data:`OLDEST` those that were given.
    """

    by_size: bool
    mask: int


OLDEST = 0x7FFFFFFF
"""The mask of ties that prefers the smallest number."""


class State(NamedTuple):
    """The state of a sampled search.

    Attributes:
        component: The rows, each in the order of its items' ranks.
        lists: The rows that contain each item.
        rank: The rank of each item, `[capacity]`. A new item inherits the rank of
            one of its inputs, which it replaces.
        candidate: The candidates of each item, -1 if there are fewer,
            `[capacity, CANDIDATES]`.
        num_shared: How many rows each item may share with each candidate,
            `[capacity, CANDIDATES]`.
        others: How many rows each item seems to share at most with any item that is
            not a candidate, `[capacity]`.
        ties: What comes first among equals.
    """

    component: Component
    lists: RowLists
    rank: I32
    candidate: I32
    num_shared: I32
    others: I64
    ties: Ties


@jit
def new_state(component: Component, ties: Ties) -> State:
    """The state before the search; sorts the rows by rank if some are long."""
    row_ptr, num_items = component.row_ptr, component.num_items
    lists = RowLists(
        np.empty(2 * (row_ptr[-1] - row_ptr[0]), np.int32),
        np.zeros(num_items, np.int64),
        np.zeros(num_items, np.int64),
        np.zeros(1, np.int64),
    )
    row_lists.fill(lists, component)
    state = State(
        component,
        lists,
        np.arange(num_items).astype(np.int32),
        np.full((num_items, CANDIDATES), -1, np.int32),
        np.zeros((num_items, CANDIDATES), np.int32),
        np.zeros(num_items, np.int64),
        ties,
    )
    for v in range(row_ptr.size - 1):
        if row_ptr[v + 1] - row_ptr[v] > WINDOW:
            _order_rows(state)
            break
    return state


@jit
def find_first_candidates(
    state: State, begin: int, end: int, min_redundancy: int, control: I64
) -> None:
    """Finds the first candidates of the items from `begin` to `end`."""
    num_items = state.component.num_items
    scratch = Scratch(np.zeros(num_items, np.int32), np.empty(num_items, np.int32))
    for x in range(begin, end):
        if x & 63 == 0 and control[STOP] != 0:
            return
        if state.lists.size[x] >= min_redundancy:
            find_candidates(state, scratch, x)


@jit
def find_candidates(state: State, scratch: Scratch, x: int) -> None:
    """Finds the candidates of item x: the items that occur most often in its rows.

    Writes `candidate[x]`, `num_shared[x]` and `others[x]`.
    """
    num_touched, is_sample = _count_neighbors(state, scratch, x)
    found = _choose(state, scratch, x, num_touched)
    if is_sample:
        _count_exactly(state, x, found)


@jit
def upper_bound(size: I64, num_shared: I32, others: I64, x: int) -> int:
    """The most rows that item x can share with another, as far as is known.

    The arrays are those of :class:`State`.
    """
    bound = others[x]
    for j in range(num_shared.shape[1]):
        bound = max(bound, np.int64(num_shared[x, j]))
    return min(bound, size[x])


@jit
def comes_first(ties: Ties, size: I64, x: int, other: int) -> bool:
    """Whether candidate x comes before another that shares as many rows."""
    if ties.by_size and size[x] != size[other]:
        return size[x] < size[other]
    return (x ^ ties.mask) > (other ^ ties.mask)


@jit
def find_place(row: I32, begin: int, end: int, rank: I32, wanted: int) -> int:
    """The index in `row[begin:end]`, ordered by rank, of the item of a given rank."""
    while begin < end:
        middle = (begin + end) >> 1
        if rank[row[middle]] < wanted:
            begin = middle + 1
        else:
            end = middle
    return begin


@jit
def _order_rows(state: State) -> None:
    """Ranks items by the min-hash of their rows and sorts the rows by rank."""
    row_ptr, row, lists = state.component.row_ptr, state.component.row, state.lists
    num_rows, num_items = row_ptr.size - 1, state.component.num_items
    first = np.full(num_items, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64)
    second = first.copy()
    for v in range(num_rows):
        h = splitmix64(v + 1)
        g = splitmix64(h)
        for e in range(row_ptr[v], row_ptr[v + 1]):
            x = row[e]
            first[x] = min(first[x], h)
            second[x] = min(second[x], g)
    # Sort by the first hash and, among equals, by the second:
    order = stable_order(stable_order(np.arange(num_items), second), first)
    fill = row_ptr[:num_rows].copy()
    for r in range(num_items):
        x = order[r]
        state.rank[x] = r
        for i in range(lists.start[x], lists.start[x] + lists.size[x]):
            v = lists.pool[i]
            row[fill[v]] = x
            fill[v] += 1


@jit
def _budget(num_entries: int) -> int:
    """Entries of a sample, such that huge components take minutes, not hours."""
    return max(MIN_BUDGET, min(BUDGET, BUDGET * _LARGE // num_entries))


@jit
def _count_neighbors(state: State, scratch: Scratch, x: int) -> tuple[int, bool]:
    """Counts the items of a sample from the rows of item x.

    Returns:
        The number of items, which are in `scratch`, and whether some entries were
        left out.
    """
    pool, rank = state.lists.pool, state.rank
    begin_x, size_x = state.lists.start[x], state.lists.size[x]
    row_ptr, row, row_len = (
        state.component.row_ptr,
        state.component.row,
        state.component.row_len,
    )
    counts, touched = scratch.counts, scratch.touched
    work = 0
    for i in range(begin_x, begin_x + size_x):
        work += min(row_len[pool[i]], WINDOW)
    step = min(size_x, work // _budget(row_ptr[-1] - row_ptr[0]) + 1)
    is_sample = step > 1
    num_touched = 0
    for i in range(begin_x, begin_x + size_x, step):
        v = pool[i]
        begin = row_ptr[v]
        end = begin + row_len[v]
        if end - begin > WINDOW:
            is_sample = True
            middle = find_place(row, begin, end, rank, rank[x])
            end = min(end, max(begin, middle - WINDOW // 2) + WINDOW)
            begin = max(begin, end - WINDOW)
        for e in range(begin, end):
            y = row[e]
            if counts[y] == 0:
                touched[num_touched] = y
                num_touched += 1
            counts[y] += 1
    counts[x] = 0
    return num_touched, is_sample


@jit
def _choose(state: State, scratch: Scratch, x: int, num_touched: int) -> int:
    """Makes the most frequent items the candidates of x; clears the counts.

    Returns:
        The number of candidates.
    """
    size, candidate, num_shared = state.lists.size, state.candidate, state.num_shared
    k = candidate.shape[1]
    found = 0
    others = 0
    for i in range(num_touched):
        y = scratch.touched[i]
        count = scratch.counts[y]
        scratch.counts[y] = 0
        if count == 0:
            continue
        if found == k:
            if count <= num_shared[x, k - 1]:
                others = max(others, count)
                continue
            others = max(others, num_shared[x, k - 1])
            j = k - 1
        else:
            j = found
            found += 1
        while j > 0 and (
            num_shared[x, j - 1] < count
            or (
                num_shared[x, j - 1] == count
                and comes_first(state.ties, size, y, candidate[x, j - 1])
            )
        ):
            num_shared[x, j] = num_shared[x, j - 1]
            candidate[x, j] = candidate[x, j - 1]
            j -= 1
        num_shared[x, j] = count
        candidate[x, j] = y
    for j in range(found, k):
        num_shared[x, j] = 0
        candidate[x, j] = -1
    state.others[x] = others
    return found


@jit
def _count_exactly(state: State, x: int, found: int) -> None:
    """Counts in all rows what item x shares with its first `found` candidates.

    Others are taken to share no more than the worst of the candidates, and nothing
    where there are fewer candidates than there is room for.
    """
    others = 0
    for j in range(found):
        shared = row_lists.intersect(state.lists, x, state.candidate[x, j], -1)
        state.num_shared[x, j] = shared
        others = shared if j == 0 else min(others, shared)
    state.others[x] = others if found == state.candidate.shape[1] else 0

"""The state of a search from samples: rows, items as lists of them, and candidates."""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.sorting import stable_order
from pyg_hag.search.pairs import row_lists
from pyg_hag.search.pairs.capacity import grown, grown_rows
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.row_lists import RowLists
from pyg_hag.utils.arrays import I32, I64

CANDIDATES = 6  # remembered per item
WINDOW = 256  # entries of a long row in a sample


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
def new_state(component: Component, ties: Ties, space: int) -> State:
    """The state before the search; sorts the rows by rank if some are long.

    Args:
        component: The rows.
        ties: What comes first among equals.
        space: Room in the pool of lists for so many times the entries.
    """
    row_ptr, num_items = component.row_ptr, component.num_items
    lists = RowLists(
        np.empty(space * (row_ptr[-1] - row_ptr[0]), np.int32),
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
def grown_state(state: State, capacity: int) -> State:
    """The same with room for `capacity` items."""
    lists = state.lists
    return State(
        state.component,
        RowLists(
            lists.pool,
            grown(lists.start, capacity),
            grown(lists.size, capacity),
            lists.used,
        ),
        grown(state.rank, capacity),
        grown_rows(state.candidate, capacity),
        grown_rows(state.num_shared, capacity),
        grown(state.others, capacity),
        state.ties,
    )


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

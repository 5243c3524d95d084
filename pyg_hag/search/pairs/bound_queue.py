"""Items by the number of rows that each may share with another: in buckets."""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs.state import State, upper_bound
from pyg_hag.utils.arrays import I32, I64


class Queue(NamedTuple):
    """Items by the number of rows that each may share with another.

    Attributes:
        first: The last item that was put in with each bound, -1 for none,
            `[largest bound + 1]`.
        following: The item that was put in before each, -1 for none, `[capacity]`.
        top: No item has a larger bound, `[1]`.
        opened: Items of this bound were taken, and of no smaller one, `[1]`.
    """

    first: I32
    following: I32
    top: I64
    opened: I64


@jit
def new_queue(state: State, min_redundancy: int) -> Queue:
    """All items that may share enough rows with another."""
    size, num_items = state.lists.size, state.component.num_items
    queue = Queue(
        np.full(size[:num_items].max() + 1, -1, np.int32),
        np.empty(size.size, np.int32),
        np.zeros(1, np.int64),
        np.full(1, size.max() + 1),
    )
    for x in range(num_items):
        push(queue, state, x, min_redundancy)
    return queue


@jit
def push(queue: Queue, state: State, x: int, min_redundancy: int) -> None:
    """Puts an item in, unless it shares too few rows with any other."""
    bound = upper_bound(state.lists.size, state.num_shared, state.others, x)
    if bound >= min_redundancy:
        queue.following[x] = queue.first[bound]
        queue.first[bound] = x
        queue.top[0] = max(queue.top[0], bound)


@jit
def open_bucket(queue: Queue, bound: int) -> None:
    """Puts the newest item of a bound first, and so on.

    Those that come later stay in this order: they come from the last round, newest
    last, and the new ones after them.
    """
    count = 0
    x = queue.first[bound]
    while x >= 0:
        count += 1
        x = queue.following[x]
    items = np.empty(count, np.int32)
    x = queue.first[bound]
    for i in range(count):
        items[i] = x
        x = queue.following[x]
    items.sort()
    queue.first[bound] = -1
    for x in items:
        queue.following[x] = queue.first[bound]
        queue.first[bound] = x
    queue.opened[0] = bound

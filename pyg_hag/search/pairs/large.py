"""The search in a large component, on all threads from its first step to its last."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pyg_hag.runtime import thread_pool
from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import candidates, rounds
from pyg_hag.search.pairs.bound_queue import Queue, new_queue
from pyg_hag.search.pairs.candidates import Counter
from pyg_hag.search.pairs.capacity import grown
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.matching import match
from pyg_hag.search.pairs.rounds import Round
from pyg_hag.search.pairs.state import State, Ties, grown_state, new_state
from pyg_hag.search.progress import STOP
from pyg_hag.utils.arrays import I32, I64

_ALONE = 256  # items up to which one thread makes a round
_PER_TASK = 64  # items or groups
_TASKS_PER_THREAD = 8


class _Workspace:
    """What one thread needs for itself.

    Attributes:
        counter: Counts the items of samples.
        buffer: Rows of a new item, `[num_rows]`.
    """

    def __init__(self, capacity: int, num_rows: int) -> None:
        self.counter: Counter = candidates.new_counter(capacity)
        self.buffer = np.empty(num_rows, np.int32)


class LargeSearch:
    """The search in one component.

    Args:
        component: The rows; changed in place.
        ties: What comes first among equals.
        min_redundancy: Smallest number of rows that must share a pair.
        pairs: Output: the inputs of the new items, `[num_entries / 2, 2]`.
        control: Stops the search when `control[STOP]` is not 0; `control[MERGED]`
            counts merges.
    """

    def __init__(
        self,
        component: Component,
        ties: Ties,
        min_redundancy: int,
        pairs: I32,
        control: I64,
    ) -> None:
        self._state: State = new_state(component, ties, 1)
        self._min_redundancy = min_redundancy
        self._pairs = pairs
        self._control = control
        self._rows = _cut_rows(component)
        self._num_threads = thread_pool.num_threads()
        self._make_workspaces()

    def run(self) -> int:
        """Merges pairs; returns the number of new items."""
        self._find_first_candidates()
        state, control = self._state, self._control
        queue: Queue = new_queue(state, self._min_redundancy)
        this: Round = rounds.new_round(state.rank.size)
        num_new = 0
        while control[STOP] == 0:
            capacity = state.component.num_items + num_new + rounds.MOST
            if capacity > state.rank.size:
                capacity = max(capacity, 3 * state.rank.size // 2)
                state, queue, this = _grown(state, queue, this, capacity)
                self._state = state
                self._make_workspaces()
            count, num_new = self._run_alone(queue, this, num_new)
            if count == 0:
                break
            if count > 0:
                num_new = self._run_side_by_side(queue, this, count, num_new)
        return num_new

    def _make_workspaces(self) -> None:
        """Makes as many as there are threads, for all items."""
        state = self._state
        self._workspaces: list[_Workspace] = []  # before new ones are there
        self._workspaces = [
            _Workspace(state.rank.size, state.component.row_len.size)
            for _ in range(self._num_threads)
        ]

    def _run(self, task: Callable[[_Workspace, int, int], Any], size: int) -> None:
        """Runs a task on ranges of `size` items, with a workspace for each."""
        most = _TASKS_PER_THREAD * self._num_threads if self._num_threads > 1 else 1
        num_tasks = min(most, -(-size // _PER_TASK))

        def run(i: int) -> None:
            workspace = self._workspaces.pop()
            try:
                begin, end = i * size // num_tasks, (i + 1) * size // num_tasks
                task(workspace, begin, end)
            finally:
                self._workspaces.append(workspace)

        thread_pool.run(run, num_tasks)

    def _find_first_candidates(self) -> None:
        state, least, control = self._state, self._min_redundancy, self._control
        self._run(
            lambda own, begin, end: candidates.find_first_candidates(
                state, own.counter, begin, end, least, control
            ),
            state.component.num_items,
        )

    def _run_alone(self, queue: Queue, this: Round, num_new: int) -> tuple[int, int]:
        """Makes small rounds on this thread: see :func:`_small_rounds`."""
        own = self._workspaces[0]
        result: tuple[int, int] = _small_rounds(
            self._state,
            queue,
            this,
            own.counter,
            own.buffer,
            self._min_redundancy,
            num_new,
            self._pairs,
            _ALONE,
            self._control,
        )
        return result

    def _run_side_by_side(
        self, queue: Queue, this: Round, count: int, before: int
    ) -> int:
        """Makes a round of `count` items on all threads; returns all new items."""
        state, control, pairs = self._state, self._control, self._pairs
        self._run(
            lambda own, begin, end: rounds.propose(
                state, this, own.counter, begin, end, control
            ),
            count,
        )
        num_groups = match(this, count)
        self._run(
            lambda own, begin, end: rounds.merge_lists(
                state, this, own.buffer, begin, end, control
            ),
            num_groups,
        )
        num_new: int = rounds.number(state, this, num_groups, before, pairs, control)
        bounds = self._rows
        thread_pool.run(
            lambda i: rounds.replace(
                state, pairs, before, num_new, bounds[i], bounds[i + 1]
            ),
            len(bounds) - 1,
        )
        rounds.put_back(
            queue, state, this, count, before, num_new, self._min_redundancy
        )
        return num_new


def _cut_rows(component: Component) -> list[int]:
    """Bounds of ranges of rows with about equally many entries, for all threads."""
    row_ptr, num_rows = component.row_ptr, component.row_len.size
    num_threads = thread_pool.num_threads()
    if num_threads == 1:
        return [0, num_rows]
    targets = np.linspace(row_ptr[0], row_ptr[-1], 2 * num_threads + 1)
    cuts = np.searchsorted(row_ptr, targets[1:-1]).tolist()
    return [0, *cuts, num_rows]


@jit
def _small_rounds(
    state: State,
    queue: Queue,
    this: Round,
    counter: Counter,
    buffer: I32,
    min_redundancy: int,
    num_new: int,
    pairs: I32,
    most: int,
    control: I64,
) -> tuple[int, int]:
    """Makes rounds of up to `most` items, while there is room for new items.

    Returns:
        The number of items that were taken for a larger round, 0 if there are none
        left, -1 if there is no room or the search is stopped; and that of new items.
    """
    num_items = state.component.num_items
    while num_items + num_new + rounds.MOST <= state.rank.size and control[STOP] == 0:
        count = rounds.take(queue, this)
        if count == 0 or count > most:
            return count, num_new
        rounds.propose(state, this, counter, 0, count, control)
        num_groups = match(this, count)
        rounds.merge_lists(state, this, buffer, 0, num_groups, control)
        before = num_new
        num_new = rounds.number(state, this, num_groups, before, pairs, control)
        num_rows = state.component.row_len.size
        rounds.replace(state, pairs, before, num_new, 0, num_rows)
        rounds.put_back(queue, state, this, count, before, num_new, min_redundancy)
    return -1, num_new


@jit
def _grown(
    state: State, queue: Queue, this: Round, capacity: int
) -> tuple[State, Queue, Round]:
    """The same with room for `capacity` items."""
    state = grown_state(state, capacity)
    queue = Queue(
        queue.first, grown(queue.following, capacity), queue.top, queue.opened
    )
    return state, queue, rounds.grown_round(this, capacity)

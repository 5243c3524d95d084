"""Candidates for merging with an item, from a sample of its neighbourhood.

Finding an item's best partner exactly takes reading all of its rows, for all items
sum(length^2) entries and more. A sample here is about `BUDGET` entries: some of the
item's rows and, of a long row, only a window around the item. Rows are kept in an order
in which items that occur in similar rows are close to each other (min-hash), so that
the window holds the items that matter.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import row_lists
from pyg_hag.search.pairs.state import WINDOW, State, comes_first, find_place
from pyg_hag.search.progress import STOP
from pyg_hag.utils.arrays import I32, I64

BUDGET = 4096  # entries of a sample, approximately,
MIN_BUDGET = 2048  # but this many in the largest components
_MAX_COUNT = 0x7FFFFFFF
_LARGE = 1 << 23  # entries of a component from which samples become smaller


class Counter(NamedTuple):
    """Where the items of a sample are counted, without clearing it in between.

    Attributes:
        counts: Item x was counted `counts[x] - base[0]` times, if that is more than
            0, `[capacity]`.
        base: What counts start from, `[1]`: at least all counts of earlier samples.
        touched: The items that were counted often enough, `[capacity + 1]`.
    """

    counts: I32
    base: I64
    touched: I32


@jit
def new_counter(capacity: int) -> Counter:
    """A counter of so many items."""
    return Counter(
        np.zeros(capacity, np.int32),
        np.zeros(1, np.int64),
        np.empty(capacity + 1, np.int32),
    )


@jit
def find_first_candidates(
    state: State,
    counter: Counter,
    begin: int,
    end: int,
    min_redundancy: int,
    control: I64,
) -> None:
    """Finds the first candidates of the items from `begin` to `end`."""
    for x in range(begin, end):
        if x & 63 == 0 and control[STOP] != 0:
            return
        if state.lists.size[x] >= min_redundancy:
            find_candidates(state, counter, x)


@jit
def find_candidates(state: State, counter: Counter, x: int) -> None:
    """Finds the candidates of item x: the items that occur most often in its rows.

    Writes `candidate[x]`, `num_shared[x]` and `others[x]`.
    """
    step, is_sample = _sampling(state, x)
    num_sampled = (state.lists.size[x] + step - 1) // step
    _start_counting(counter, num_sampled)
    # Once is not enough where all rows are read: two must share a pair.
    least = 1 if step > 1 else 2
    num_touched = _count_neighbors(state, counter, x, step, least)
    found = _choose(state, counter, x, num_touched)
    counter.base[0] += num_sampled
    if is_sample:
        _count_exactly(state, x, found)


@jit
def _budget(num_entries: int) -> int:
    """Entries of a sample, such that huge components take minutes, not hours."""
    return max(MIN_BUDGET, min(BUDGET, BUDGET * _LARGE // num_entries))


@jit
def _sampling(state: State, x: int) -> tuple[int, bool]:
    """Of how many rows of item x one is read, and whether some entries are left out."""
    begin, size = state.lists.start[x], state.lists.size[x]
    row_ptr, row_len = state.component.row_ptr, state.component.row_len
    work = 0
    longest = np.int64(0)
    for v in state.lists.pool[begin : begin + size]:
        work += min(row_len[v], WINDOW)
        longest = max(longest, row_len[v])
    step = min(size, work // _budget(row_ptr[-1] - row_ptr[0]) + 1)
    return step, step > 1 or longest > WINDOW


@jit
def _start_counting(counter: Counter, most: int) -> None:
    """Makes room for counts up to `most`."""
    if counter.base[0] + most > _MAX_COUNT:
        counter.counts[:] = 0
        counter.base[0] = 0


@jit
def _count_neighbors(
    state: State, counter: Counter, x: int, step: int, least: int
) -> int:
    """Counts the items of every `step`-th row of item x, in windows of long ones.

    Returns:
        The number of items that occur `least` times, which are in `counter.touched`.
    """
    begin_x, size_x = state.lists.start[x], state.lists.size[x]
    row_ptr, row, row_len, _ = state.component
    counts, touched, rank = counter.counts, counter.touched, state.rank
    base = np.int32(counter.base[0])
    wanted = np.int32(base + least)
    num_touched = np.uint64(0)
    for v in state.lists.pool[begin_x : begin_x + size_x : step]:
        begin = row_ptr[v]
        end = begin + row_len[v]
        if end - begin > WINDOW:
            middle = find_place(row, begin, end, rank, rank[x])
            end = min(end, max(begin, middle - WINDOW // 2) + WINDOW)
            begin = max(begin, end - WINDOW)
        for e in range(np.uint64(begin), np.uint64(end)):  # without branches
            y = np.uint32(row[e])
            count = np.int32(max(counts[y], base) + np.int32(1))
            counts[y] = count
            touched[num_touched] = np.int32(y)
            num_touched += np.uint64(count == wanted)
    return np.int64(num_touched)


@jit
def _choose(state: State, counter: Counter, x: int, num_touched: int) -> int:
    """Makes the most frequent items the candidates of x.

    Returns:
        The number of candidates.
    """
    size, candidate, num_shared = state.lists.size, state.candidate, state.num_shared
    base = counter.base[0]
    k = candidate.shape[1]
    found = 0
    others = 0
    for y in counter.touched[:num_touched]:
        if y == x:
            continue
        count = counter.counts[y] - base
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

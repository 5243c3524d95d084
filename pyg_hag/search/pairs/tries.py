"""Several searches of one component, of which the best is kept.

Where few rows share each pair, as in meshes and small graphs, most pairs are equally
frequent, and which of them is merged first decides the result. Such components are
searched several times, each time with other ties; they are small, or their rows are
short, so that a search takes little.
"""

import numpy as np

from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import sampled
from pyg_hag.search.pairs.candidates import find_first_candidates, new_counter
from pyg_hag.search.pairs.components import Component
from pyg_hag.search.pairs.state import OLDEST, Ties, new_state
from pyg_hag.search.progress import STOP
from pyg_hag.utils.arrays import I32, I64

SMALL = 1 << 9
"""Entries of a component up to which it is searched most often."""
_SHORT = (
    8  # entries of a row, in the mean: components of such rows are searched as often
)
_MEDIUM = 1 << 12  # up to so many entries, and twice beyond
_MOST = 8


@jit
def count_tries(num_entries: int, num_rows: int, min_redundancy: int) -> int:
    """How often a component is searched.

    Large ones are searched again only where pairs that two rows share are merged: of
    these, most are equally frequent.
    """
    is_short = num_entries <= _SHORT * num_rows
    if num_entries <= (_MEDIUM if is_short else SMALL):
        return _MOST
    return 2 if is_short and min_redundancy == 2 else 1


def most_copied(num_rows: int) -> int:
    """The most entries, of so many rows, that are in components searched again."""
    return max(SMALL, _SHORT * num_rows)


@jit
def ties_of(number: int) -> Ties:
    """The ties of a search of a component, the first of which has number 0."""
    if number < 2:
        return Ties(True, OLDEST if number == 1 else 0)
    mask = np.int64(splitmix64(number) & np.uint64(OLDEST))
    return Ties(number % 2 == 0, mask)


@jit
def search_component(
    component: Component, min_redundancy: int, pairs: I32, control: I64
) -> int:
    """Merges pairs in a component, with the ties that leave the fewest operations.

    Args:
        component: The rows; changed in place.
        min_redundancy: Smallest number of rows that must share a pair.
        pairs: Output: the inputs of the new items, `[num_entries / 2, 2]`.
        control: Stops the search when `control[STOP]` is not 0.

    Returns:
        The number of new items.
    """
    num_rows = component.row_len.size
    num_entries = component.row_ptr[num_rows] - component.row_ptr[0]
    tries = count_tries(num_entries, num_rows, min_redundancy)
    if tries == 1:
        return _search(component, ties_of(0), min_redundancy, pairs, control)
    given = copied(component)
    best = -1
    for number in range(tries):
        if best == 0 or (number > 0 and control[STOP] != 0):
            break
        attempt = copied(given)
        found = np.empty((num_entries // 2, 2), np.int32)
        num_new = _search(attempt, ties_of(number), min_redundancy, found, control)
        best = keep_fewest(component, pairs, best, attempt, found, num_new)
    return best


@jit
def _search(
    component: Component, ties: Ties, min_redundancy: int, pairs: I32, control: I64
) -> int:
    num_items = component.num_items
    state, counter = new_state(component, ties, 2), new_counter(num_items)
    find_first_candidates(state, counter, 0, num_items, min_redundancy, control)
    return sampled.merge_pairs(state, counter, min_redundancy, pairs, control)


@jit
def copied(component: Component) -> Component:
    """The same rows in arrays of their own."""
    first, end = component.row_ptr[0], component.row_ptr[-1]
    return Component(
        component.row_ptr - first,
        component.row[first:end].copy(),
        component.row_len.copy(),
        component.num_items,
    )


@jit
def keep_fewest(
    component: Component,
    pairs: I32,
    num_kept: int,
    attempt: Component,
    found: I32,
    num_found: int,
) -> int:
    """Writes an attempt to `component` and `pairs` if it leaves fewer operations.

    Args:
        component: The rows of the best attempt so far.
        pairs: Its new items.
        num_kept: Their number; -1 if there was no attempt yet.
        attempt: The rows of another attempt.
        found: Its new items.
        num_found: Their number.

    Returns:
        The number of new items of the better of both.
    """
    ours = component.row_len.sum() + num_kept
    if num_kept >= 0 and attempt.row_len.sum() + num_found >= ours:
        return num_kept
    pairs[:num_found] = found[:num_found]
    component.row_len[:] = attempt.row_len
    first = component.row_ptr[0]
    for v in range(attempt.row_len.size):
        begin = attempt.row_ptr[v]
        for e in range(begin, begin + attempt.row_len[v]):
            component.row[first + e] = attempt.row[e]
    return num_found

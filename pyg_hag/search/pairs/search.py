"""The search over all components of a graph, on all threads."""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime import thread_pool
from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs import greedy, tries
from pyg_hag.search.pairs.components import Component, Components, split_components
from pyg_hag.search.pairs.large import LargeSearch
from pyg_hag.search.progress import STOP
from pyg_hag.utils.arrays import I32, I64, Bool

_CHUNKS_PER_THREAD = 16  # components differ in work; threads take chunks in turn
_LARGE = 1 << 18  # entries from which several threads work on one component


class MergedPairs(NamedTuple):
    """The pairs that a search has merged, in the numbering of each component.

    Attributes:
        components: The rows, as they are after the search.
        row_len: Length of each row after the search, `[components.rows.size]`.
        pairs: The inputs of the new items, `[num_entries / 2, 2]`; those of a
            component start at half of its first entry.
        num_shared: How many rows shared each pair, `[num_entries / 2]`; only the
            exact search writes it.
        num_new: Number of pairs merged in each component, `[num_components]`.
    """

    components: Components
    row_len: I64
    pairs: I32
    num_shared: I32
    num_new: I64


def merge_pairs(
    row_ptr: I64,
    row: I32,
    num_items: int,
    exact: bool,
    min_redundancy: int,
    control: I64,
) -> MergedPairs:
    """Merges pairs of items in all components.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending and distinct.
        num_items: Number of items.
        exact: Whether to look through all rows of an item rather than a sample.
        min_redundancy: Smallest number of rows that must share a pair.
        control: Stops the search when `control[STOP]` is not 0; `control[MERGED]`
            counts merges.
    """
    components = split_components(row_ptr, row, num_items)
    merged = _none_merged(components, exact)
    sizes = np.diff(components.entry_ptr[components.rows_ptr])
    is_large = (sizes >= _LARGE) & (not exact)
    for c in is_large.nonzero()[0].tolist():
        _search_large(merged, c, min_redundancy, control)
    bounds = _chunks(np.where(is_large, 0, sizes))
    search_range = _search_exactly if exact else _search_range
    thread_pool.run(
        lambda i: search_range(
            merged, bounds[i], bounds[i + 1], is_large, min_redundancy, control
        ),
        len(bounds) - 1,
    )
    return merged


def compile_ahead() -> None:
    """Compiles what only the search of large components needs."""
    row_ptr, row = np.arange(0, 33, 4), np.tile(np.arange(4, dtype=np.int32), 8)
    merged = _none_merged(split_components(row_ptr, row, 4), False)
    _search_large(merged, 0, 2, np.zeros(2, np.int64))


def _none_merged(components: Components, exact: bool) -> MergedPairs:
    room = components.entries.size // 2
    return MergedPairs(
        components,
        np.diff(components.entry_ptr),
        np.empty((room, 2), np.int32),
        np.empty(room if exact else 0, np.int32),
        np.zeros(components.rows_ptr.size - 1, np.int64),
    )


def _chunks(work: I64) -> list[int]:
    """Cuts the components into ranges of about equally many entries."""
    first = np.concatenate([[0], np.cumsum(work)])
    num_chunks = _CHUNKS_PER_THREAD * thread_pool.num_threads()
    targets = np.linspace(0, first[-1], num_chunks + 1)
    cuts = np.searchsorted(first, targets[1:-1])
    return np.unique([0, *cuts, work.size]).tolist()


def _search_large(
    merged: MergedPairs, c: int, min_redundancy: int, control: I64
) -> None:
    """Searches one component, on all threads."""
    component = _component(merged, c)
    pairs = merged.pairs[component.row_ptr[0] // 2 :]
    num_entries = int(component.row_ptr[-1] - component.row_ptr[0])
    num_rows = component.row_len.size
    num_tries = tries.count_tries(num_entries, num_rows, min_redundancy)
    if num_tries == 1:
        ties = tries.ties_of(0)
        search = LargeSearch(component, ties, min_redundancy, pairs, control)
        merged.num_new[c] = search.run()
        return
    given, best = tries.copied(component), -1
    for number in range(num_tries):
        if number > 0 and control[STOP] != 0:
            break
        attempt = tries.copied(given)
        found = np.empty((num_entries // 2, 2), np.int32)
        ties = tries.ties_of(number)
        search = LargeSearch(attempt, ties, min_redundancy, found, control)
        num_new = search.run()
        best = tries.keep_fewest(component, pairs, best, attempt, found, num_new)
    merged.num_new[c] = best


@jit
def _component(merged: MergedPairs, c: int) -> Component:
    components = merged.components
    lo, hi = components.rows_ptr[c], components.rows_ptr[c + 1]
    return Component(
        components.entry_ptr[lo : hi + 1],
        components.entries,
        merged.row_len[lo:hi],
        components.items_ptr[c + 1] - components.items_ptr[c],
    )


@jit
def _is_dense(component: Component) -> bool:
    """Whether comparing one item with all others reads less in bit sets."""
    num_rows = component.row_ptr.size - 1
    num_entries = component.row_ptr[-1] - component.row_ptr[0]
    as_bits = component.num_items * ((num_rows + 63) // 64)
    as_lists = (num_entries / component.num_items) * (num_entries / num_rows)
    return as_bits <= as_lists


@jit
def _search_range(
    merged: MergedPairs,
    begin: int,
    end: int,
    done: Bool,
    min_redundancy: int,
    control: I64,
) -> None:
    """Searches the components from `begin` to `end`, except those that are done."""
    for c in range(begin, end):
        component = _component(merged, c)
        if component.row_len.size < 2 or done[c] or control[STOP] != 0:
            continue
        pairs = merged.pairs[component.row_ptr[0] // 2 :]
        merged.num_new[c] = tries.search_component(
            component, min_redundancy, pairs, control
        )


@jit
def _search_exactly(
    merged: MergedPairs,
    begin: int,
    end: int,
    done: Bool,
    min_redundancy: int,
    control: I64,
) -> None:
    """The same, looking through all rows of an item rather than a sample."""
    for c in range(begin, end):
        component = _component(merged, c)
        if component.row_len.size < 2 or done[c] or control[STOP] != 0:
            continue
        first = component.row_ptr[0] // 2
        merged.num_new[c] = greedy.merge_pairs(
            component,
            _is_dense(component),
            min_redundancy,
            merged.pairs[first:],
            merged.num_shared[first:],
            control,
        )

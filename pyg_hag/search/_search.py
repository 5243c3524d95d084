"""The search over all components of a graph, on all threads."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag import _threads
from pyg_hag._jit import jit
from pyg_hag.search import _components, _greedy, _lists, _sampled

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_CHUNKS_PER_THREAD = 16  # components differ in work; threads take chunks in turn
_LARGE = 1 << 18  # entries from which several threads work on one component
_LONG = 1 << 23  # entries from which looks become shorter


class Found(NamedTuple):
    """The pairs that a search has merged, in the numbers of each component."""

    rows_ptr: I64
    rows: I32
    items_ptr: I64
    items: I32
    entry_ptr: I64
    entries: I32
    row_len: I64
    pairs: I32
    """Those of component c start at half of its first entry."""
    shared: I32
    """Exact search only: the rows that shared each pair."""
    num_new: I64
    """Pairs merged in each component."""


def merge_pairs(
    row_ptr: I64,
    row: I32,
    num_items: int,
    exact: bool,
    least: int,
    control: I64,
) -> Found:
    """Merges pairs of items in all components.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`.
        row: The items of the rows, ascending and different.
        num_items: Number of items.
        exact: Whether to look through all rows of an item, always.
        least: Least number of rows that a pair must share.
        control: Stops when the first is not 0; the second counts merges.
    """
    rows_ptr, rows, items_ptr, entry_ptr, entries, items = _components.components(
        row_ptr, row, num_items
    )
    row_len = np.diff(entry_ptr)
    pairs = np.empty((entries.size // 2, 2), np.int32)
    shared = np.empty(entries.size // 2 if exact else 0, np.int32)
    num_new = np.zeros(rows_ptr.size - 1, np.int64)
    found = Found(
        rows_ptr,
        rows,
        items_ptr,
        items,
        entry_ptr,
        entries,
        row_len,
        pairs,
        shared,
        num_new,
    )
    large = np.zeros(num_new.size, np.bool_)
    if not exact:
        sizes = np.diff(entry_ptr[rows_ptr])
        for c in (sizes >= _LARGE).nonzero()[0].tolist():
            large[c] = True
            _search_large(c, found, least, control)
    bounds = _chunks(np.where(large, 0, np.diff(entry_ptr[rows_ptr])))
    _threads.run(
        lambda i: _search(
            bounds[i],
            bounds[i + 1],
            rows_ptr,
            items_ptr,
            entry_ptr,
            entries,
            row_len,
            large,
            exact,
            least,
            pairs,
            shared,
            num_new,
            control,
        ),
        len(bounds) - 1,
    )
    return found


def _chunks(work: I64) -> list[int]:
    """Cuts the components into runs of about equally many entries."""
    first = np.concatenate([[0], np.cumsum(work)])
    num_chunks = _CHUNKS_PER_THREAD * _threads.num_threads()
    targets = np.linspace(0, first[-1], num_chunks + 1)
    cuts = np.searchsorted(first, targets[1:-1])
    return np.unique([0, *cuts, work.size]).tolist()


def _search_large(c: int, found: Found, least: int, control: I64) -> None:
    """Searches one component: threads share the first looks."""
    lo, hi = found.rows_ptr[c : c + 2]
    num_items = int(found.items_ptr[c + 1] - found.items_ptr[c])
    row_ptr = found.entry_ptr[lo : hi + 1]
    row_len = found.row_len[lo:hi]
    state = _prepare(row_ptr, found.entries, num_items)
    bounds = np.linspace(0, num_items, 64 * _threads.num_threads() + 1).astype(int)
    _threads.run(
        lambda i: _first_looks(
            int(bounds[i]),
            int(bounds[i + 1]),
            state,
            row_ptr,
            found.entries,
            row_len,
            least,
            control,
        ),
        bounds.size - 1,
    )
    found.num_new[c] = _finish(
        state,
        row_ptr,
        found.entries,
        row_len,
        num_items,
        least,
        found.pairs[row_ptr[0] // 2 :],
        control,
    )


@jit
def _is_dense(c: int, rows_ptr: I64, items_ptr: I64, entry_ptr: I64) -> bool:
    """Whether a scan of one item reads less in bit sets than in lists."""
    lo, hi = rows_ptr[c], rows_ptr[c + 1]
    num_items = items_ptr[c + 1] - items_ptr[c]
    num_entries = entry_ptr[hi] - entry_ptr[lo]
    as_bits = num_items * ((hi - lo + 63) // 64)
    as_lists = (num_entries / num_items) * (num_entries / (hi - lo))
    return as_bits <= as_lists


@jit
def _budget(num_entries: int) -> int:
    """What a look may read, so that huge components take minutes, not hours."""
    shrunk = _sampled.BUDGET * _LONG // num_entries
    return max(_sampled.LEAST_BUDGET, min(_sampled.BUDGET, shrunk))


@jit
def _prepare(
    row_ptr: I64, row: I32, num_items: int
) -> tuple[I32, I64, I64, I32, I32, I32, I64]:
    """The state of the sampled search of one component."""
    num_entries = row_ptr[-1] - row_ptr[0]
    pool = np.empty(2 * num_entries, np.int32)
    start = np.zeros(num_items, np.int64)
    size = np.zeros(num_items, np.int64)
    rank = np.arange(num_items).astype(np.int32)
    _lists.fill(pool, start, size, row_ptr, row, num_items)
    for v in range(row_ptr.size - 1):
        if row_ptr[v + 1] - row_ptr[v] > _sampled.WINDOW:
            _sampled.order_rows(row_ptr, row, num_items, start, size, pool, rank)
            break
    shape = (num_items, _sampled.CANDIDATES)
    candidate = np.full(shape, -1, np.int32)
    shared = np.zeros(shape, np.int32)
    rest = np.zeros(num_items, np.int64)
    return pool, start, size, rank, candidate, shared, rest


@jit
def _first_looks(
    begin: int,
    end: int,
    state: tuple[I32, I64, I64, I32, I32, I32, I64],
    row_ptr: I64,
    row: I32,
    row_len: I64,
    least: int,
    control: I64,
) -> None:
    pool, start, size, rank, candidate, shared, rest = state
    _sampled.first_looks(
        begin,
        end,
        pool,
        start,
        size,
        row_ptr,
        row,
        row_len,
        rank,
        _budget(row_ptr[-1] - row_ptr[0]),
        least,
        candidate,
        shared,
        rest,
        control,
    )


@jit
def _finish(
    state: tuple[I32, I64, I64, I32, I32, I32, I64],
    row_ptr: I64,
    row: I32,
    row_len: I64,
    num_items: int,
    least: int,
    pairs: I32,
    control: I64,
) -> int:
    pool, start, size, rank, candidate, shared, rest = state
    return _sampled.merge_pairs(
        pool,
        start,
        size,
        row_ptr,
        row,
        row_len,
        rank,
        num_items,
        _budget(row_ptr[-1] - row_ptr[0]),
        least,
        candidate,
        shared,
        rest,
        pairs,
        control,
    )


@jit
def _search(
    begin: int,
    end: int,
    rows_ptr: I64,
    items_ptr: I64,
    entry_ptr: I64,
    entries: I32,
    row_len: I64,
    done: NDArray[np.bool_],
    exact: bool,
    least: int,
    pairs: I32,
    shared: I32,
    num_new: I64,
    control: I64,
) -> None:
    for c in range(begin, end):
        lo, hi = rows_ptr[c], rows_ptr[c + 1]
        if hi - lo < 2 or done[c] or control[0] != 0:
            continue
        num_items = items_ptr[c + 1] - items_ptr[c]
        base = entry_ptr[lo] // 2
        if exact:
            dense = _is_dense(c, rows_ptr, items_ptr, entry_ptr)
            num_new[c] = _greedy.merge_pairs(
                entry_ptr[lo : hi + 1],
                entries,
                row_len[lo:hi],
                num_items,
                dense,
                least,
                pairs[base:],
                shared[base:],
                control,
            )
        else:
            state = _prepare(entry_ptr[lo : hi + 1], entries, num_items)
            _first_looks(
                0,
                num_items,
                state,
                entry_ptr[lo : hi + 1],
                entries,
                row_len[lo:hi],
                least,
                control,
            )
            num_new[c] = _finish(
                state,
                entry_ptr[lo : hi + 1],
                entries,
                row_len[lo:hi],
                num_items,
                least,
                pairs[base:],
                control,
            )

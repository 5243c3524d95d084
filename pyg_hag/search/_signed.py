"""The search with subtraction: rows that are those of a cheaper graph, corrected.

The graph is searched as it is, with closed neighbourhoods, and with similar rows as
one row and a few corrections. Each component takes what is cheapest for it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit
from pyg_hag.search import _combine, _components, _layout, _similar
from pyg_hag.search._rules import Rules

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_TINY = 1e-3  # reads: what rounding may make of equal costs

Search = Callable[[I64, I32, int], Rules]


def find_signed(
    row_ptr: I64, row: I32, num_items: int, num_nodes: int, search: Search, control: I64
) -> Rules:
    """The rules of the graph where rows may subtract.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`.
        row: The items of the rows, ascending and different.
        num_items: Number of items.
        num_nodes: Row v and item v belong to one node for `v < num_nodes`.
        search: Finds the rules of rows in this form, of so many items.
        control: Stops when the first is not 0.

    Returns:
        Rules: Given item `num_items + x` subtracts item x.
    """
    rules = _combine.widened(search(row_ptr, row, num_items), num_items)
    closed_ptr, closed_row, is_closed = _close(row_ptr, row, num_nodes)
    component, of_item = _label(closed_ptr, closed_row, num_items)
    costs = _costs(rules)
    if is_closed.any() and control[0] == 0:
        closed = _combine.widened(search(closed_ptr, closed_row, num_items), num_items)
        closed = _combine.without_self(closed, is_closed, num_items)
        rules, costs, better = _cheaper(rules, costs, closed, component, of_item)
        is_closed &= better[component]
        row_ptr, row = _mixed(row_ptr, row, closed_ptr, closed_row, is_closed)
    else:
        is_closed[:] = False
    if control[0] != 0:
        return rules
    clusters = _similar.find_clusters(row_ptr, row, num_items, costs)
    if clusters.row_ptr.size > 1:
        all_ptr, all_row = _similar.corrected(row_ptr, row, *clusters[:3], num_items)
        num_means = clusters.row_ptr.size - 1
        found = search(all_ptr, all_row, 2 * num_items + num_means)
        similar = _combine.with_means(found, num_means)
        similar = _combine.without_self(similar, is_closed, num_items)
        rules, _, _ = _cheaper(rules, costs, similar, component, of_item)
    return rules


@jit
def _close(row_ptr: I64, row: I32, num_nodes: int) -> tuple[I64, I32, Bool]:
    """Adds item v to every row v that has others, and says to which."""
    added = np.zeros(row_ptr.size - 1, np.bool_)
    out_ptr = np.zeros(row_ptr.size, np.int64)
    out = np.empty(row.size + num_nodes, np.int32)
    n = 0
    for v in range(row_ptr.size - 1):
        pending = v < num_nodes and row_ptr[v] < row_ptr[v + 1]
        for e in range(row_ptr[v], row_ptr[v + 1]):
            if pending and row[e] >= v:
                pending = False
                if row[e] > v:
                    added[v] = True
                    out[n] = v
                    n += 1
            out[n] = row[e]
            n += 1
        if pending:
            added[v] = True
            out[n] = v
            n += 1
        out_ptr[v + 1] = n
    return out_ptr, out[:n].copy(), added


@jit
def _mixed(a_ptr: I64, a: I32, b_ptr: I64, b: I32, take_b: Bool) -> tuple[I64, I32]:
    """Of each row that of `a` or of `b`."""
    out_ptr = np.zeros(a_ptr.size, np.int64)
    out = np.empty(a.size + b.size, np.int32)
    n = 0
    for v in range(take_b.size):
        ptr, idx = (b_ptr, b) if take_b[v] else (a_ptr, a)
        for e in range(ptr[v], ptr[v + 1]):
            out[n] = idx[e]
            n += 1
        out_ptr[v + 1] = n
    return out_ptr, out[:n].copy()


def _label(row_ptr: I64, row: I32, num_items: int) -> tuple[I32, I32]:
    """The component of each row and item; of those in none, an additional one."""
    rows_ptr, rows, items_ptr, _, _, items = _components.components(
        row_ptr, row, num_items
    )
    count = rows_ptr.size - 1
    of_row = np.full(row_ptr.size - 1, count, np.int32)
    of_item = np.full(num_items, count, np.int32)
    of_row[rows] = np.repeat(np.arange(count), np.diff(rows_ptr))
    of_item[items] = np.repeat(np.arange(count), np.diff(items_ptr))
    return of_row, np.concatenate([of_item, of_item])


def _costs(rules: Rules) -> F64:
    """What each row reads, and its share of what its aggregates read and write."""
    graph = (
        rules.num_items,
        _combine.input_pointers(rules),
        rules.inputs,
        rules.start,
        rules.length,
        rules.row,
    )
    keep = np.ones(rules.counts.size, np.bool_)
    _layout.inline_unshared(*graph, keep)
    uses, _ = _layout.measure(*graph, keep)
    return _combine.shares(*graph, keep, uses)


def _cheaper(
    rules: Rules, costs: F64, others: Rules, component: I32, of_item: I32
) -> tuple[Rules, F64, Bool]:
    """Of each component the cheaper rules; where those are the others."""
    theirs = _costs(others)
    count = int(of_item.max(initial=0)) + 1
    ours_sum, their_sum = (
        np.bincount(component, cost, count) for cost in (costs, theirs)
    )
    better = their_sum < ours_sum - _TINY
    if better.any():
        rules = _combine.chosen(rules, others, better[component], better[of_item])
    return rules, np.where(better[component], theirs, costs), better

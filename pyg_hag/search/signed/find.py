"""The search with subtraction: rows as corrected rows of a cheaper graph.

The graph is searched as it is, with closed neighbourhoods, and with similar rows as
one row and a few corrections. Each component takes the cheapest result.
"""

from collections.abc import Callable

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.choose import choose_cheaper, costs_of, label_components
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.progress import STOP
from pyg_hag.search.signed.combine import add_items, subtract_self, with_means
from pyg_hag.search.signed.corrections import correct
from pyg_hag.search.signed.promise import may_pay_closed, may_pay_similar, restricted
from pyg_hag.search.signed.similar_rows import find_clusters
from pyg_hag.utils.arrays import I32, I64, Bool

Search = Callable[[I64, I32, int], Rules]


def find_signed(
    row_ptr: I64,
    row: I32,
    num_items: int,
    num_nodes: int,
    search: Search,
    write: int,
    control: I64,
) -> tuple[Rules, Rules | None]:
    """The rules of the graph where rows may subtract.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending and without duplicates.
        num_items: Number of items.
        num_nodes: Row v and item v belong to the same node for `v < num_nodes`.
        search: Finds the rules of such rows: `search(row_ptr, row, num_items)`.
        write: The cost of an aggregate beside its reads, see
            :func:`pyg_hag.search.emit.choose.costs_of`.
        control: Stops the search when `control[STOP]` is not 0.

    Returns:
        The rules, in which given item `num_items + x` subtracts item x; and those
        without any subtraction, None where they are the same.
    """
    unsigned = add_items(search(row_ptr, row, num_items), num_items)
    rules = unsigned
    closed_ptr, closed_row, is_closed = _close(row_ptr, row, num_nodes)
    of_row, of_item = label_components(closed_ptr, closed_row, num_items)
    of_item = np.concatenate([of_item, of_item])  # added and subtracted
    costs = costs_of(rules, write)

    def sampled(ptr: I64, items: I32) -> tuple[Rules, Rules]:
        unchanged = search(ptr, items, num_items)
        keep = np.bincount(items, minlength=num_items) > 0
        added = is_closed.copy()
        added[:num_nodes] &= keep[:num_nodes]
        ptr, items = restricted(closed_ptr, closed_row, keep)
        return unchanged, _search_closed(ptr, items, added, num_items, search)

    may_pay = is_closed.any() and control[STOP] == 0
    if may_pay and may_pay_closed(row_ptr, row, num_items, of_row, sampled, write):
        closed = _search_closed(closed_ptr, closed_row, is_closed, num_items, search)
        rules, costs, better = choose_cheaper(
            rules, costs, closed, of_row, of_item, write
        )
        is_closed &= better[of_row]
        row_ptr, row = _merge_rows(row_ptr, row, closed_ptr, closed_row, is_closed)
    else:
        is_closed[:] = False
    if control[STOP] != 0:
        return rules, None if rules is unsigned else unsigned
    clusters = find_clusters(row_ptr, row, num_items, costs)
    num_means = clusters.row_ptr.size - 1
    if may_pay_similar(clusters, costs, row.size, bool(is_closed.any())):
        all_ptr, all_row = correct(row_ptr, row, clusters, num_items)
        found = search(all_ptr, all_row, 2 * num_items + num_means)
        similar = with_means(found, num_means)
        similar = subtract_self(similar, is_closed, num_items)
        rules, _, _ = choose_cheaper(rules, costs, similar, of_row, of_item, write)
    return rules, None if rules is unsigned else unsigned


def _search_closed(
    row_ptr: I64, row: I32, is_closed: Bool, num_items: int, search: Search
) -> Rules:
    """The rules of closed rows, from which the rows in `is_closed` subtract."""
    closed = add_items(search(row_ptr, row, num_items), num_items)
    return subtract_self(closed, is_closed, num_items)


@jit
def _close(row_ptr: I64, row: I32, num_nodes: int) -> tuple[I64, I32, Bool]:
    """Adds item v to every non-empty row v that does not contain it.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending.
        num_nodes: Row v and item v belong to the same node for `v < num_nodes`.

    Returns:
        The first two anew, and the rows to which an item was added, `[num_rows]`.
    """
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
def _merge_rows(
    a_ptr: I64, a: I32, b_ptr: I64, b: I32, take_b: Bool
) -> tuple[I64, I32]:
    """The rows of `b` where `take_b` (`[num_rows]`) is true, else those of `a`."""
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

"""The cheaper of two searches: costs of rows, and rules of both put together."""

import numpy as np

from pyg_hag.graph.csr import label_groups
from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.inlining import inline_unshared
from pyg_hag.search.emit.rules import IndexedRules, Rules
from pyg_hag.utils.arrays import F64, I32, I64, Bool

_TOLERANCE = 1e-3  # operations: equal costs may differ by rounding


def choose_cheaper(
    rules: Rules, costs: F64, others: Rules, of_row: I32, of_item: I32, write: int
) -> tuple[Rules, F64, Bool]:
    """The cheaper of two searches in each component.

    Args:
        rules: Rules of a search.
        costs: What each row costs with them, `[num_rows]`.
        others: Rules of another search of the same items.
        of_row: The component of each row, `[num_rows]`.
        of_item: The component of each given item, `[num_items]`.
        write: The cost of an aggregate beside its reads, as in :func:`costs_of`.

    Returns:
        The rules, the costs, and the components in which the others are cheaper.
    """
    other_costs = costs_of(others, write)
    count = int(of_item.max(initial=0)) + 1
    total, other_total = (
        np.bincount(of_row, cost, count) for cost in (costs, other_costs)
    )
    better = other_total < total - _TOLERANCE
    if better.any():
        rules = choose(rules, others, better[of_row], better[of_item])
    return rules, np.where(better[of_row], other_costs, costs), better


def label_components(row_ptr: I64, row: I32, num_items: int) -> tuple[I32, I32]:
    """The component of each row and of each item, `[num_rows]` and `[num_items]`.

    Rows and items that are in no component form an additional one.
    """
    count, of_row = label_groups(row_ptr, row, num_items)
    of_row[of_row < 0] = count
    of_item = np.full(num_items, count, np.int32)
    of_item[row] = np.repeat(of_row, np.diff(row_ptr))
    return of_row, of_item


def costs_of(rules: Rules, write: int) -> F64:
    """The cost of each row: its reads, and its share of the aggregates below it.

    Args:
        rules: The rules.
        write: The cost of an aggregate beside its reads: -1 where operations count,
            one less than reads; 1 where a write takes as long as a read.
    """
    indexed = rules.indexed()
    keep = np.ones(rules.counts.size, np.bool_)
    uses = inline_unshared(indexed, keep)
    costs: F64 = _row_costs(indexed, keep, uses, write)
    return costs


def choose(rules: Rules, others: Rules, rows: Bool, items: Bool) -> Rules:
    """The rules of one search in some components and those of another elsewhere.

    Both have the same given items. No row and no new item reads items of both kinds.

    Args:
        rules: Rules of a search.
        others: Rules of another search.
        rows: The rows for which `others` are taken, `[num_rows]`.
        items: The given items of these rows, `[num_items]`.
    """
    ours = _without(rules, rows, items, 0)
    first = ours.counts.size
    theirs = _without(others, ~rows, ~items, first)
    return Rules(
        num_items=rules.num_items,
        counts=np.concatenate([ours.counts, theirs.counts]),
        inputs=np.concatenate([ours.inputs, theirs.inputs]),
        start=np.where(rows, theirs.start + ours.row.size, ours.start),
        length=np.where(rows, theirs.length, ours.length),
        row=np.concatenate([ours.row, theirs.row]),
    )


def _without(rules: Rules, rows: Bool, items: Bool, first: int) -> Rules:
    """The rules without some rows and without the new items made of some items.

    The new items that remain are numbered from `num_items + first` on.
    """
    return Rules(rules.num_items, *_dropped(rules.indexed(), rows, items, first))


@jit
def _dropped(
    rules: IndexedRules, rows: Bool, items: Bool, first: int
) -> tuple[I32, I32, I64, I64, I32]:
    """The same as arrays: the fields of `Rules` from `counts` on.

    Args:
        rules: The rules.
        rows: The rows that become empty, `[num_rows]`.
        items: The given items whose sums are dropped, `[num_items]`.
        first: The position of the first new item among all new items.
    """
    num_new = rules.in_ptr.size - 1
    is_dropped = _label_new_items(rules, items)
    number = np.arange(rules.num_items + num_new).astype(np.int32)
    counts = np.empty(num_new, np.int32)
    inputs = np.empty(rules.inputs.size, np.int32)
    i = 0
    n = 0
    for k in range(num_new):
        if not is_dropped[k]:
            number[rules.num_items + k] = rules.num_items + first + i
            for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
                inputs[n] = number[rules.inputs[e]]
                n += 1
            counts[i] = rules.in_ptr[k + 1] - rules.in_ptr[k]
            i += 1
    start = np.zeros(rules.start.size, np.int64)
    length = np.where(rows, 0, rules.length)
    row = np.empty(length.sum(), np.int32)
    m = 0
    for v in range(start.size):
        start[v] = m
        for e in range(rules.start[v], rules.start[v] + length[v]):
            row[m] = number[rules.row[e]]
            m += 1
    return counts[:i].copy(), inputs[:n].copy(), start, length, row


@jit
def _label_new_items(rules: IndexedRules, label: Bool) -> Bool:
    """The label of each new item, `[num_new]`: that of the given items in it.

    Args:
        rules: The rules.
        label: The label of each given item, `[num_items]`; that of all items in a
            new one is the same.
    """
    out = np.empty(rules.in_ptr.size - 1, label.dtype)
    for k in range(out.size):
        x = rules.inputs[rules.in_ptr[k]]
        out[k] = label[x] if x < rules.num_items else out[x - rules.num_items]
    return out


@jit
def _row_costs(rules: IndexedRules, keep: Bool, uses: I64, write: int) -> F64:
    """The cost of each row: its reads, and its share of the aggregates below it.

    An aggregate costs its reads and `write`, which all that read it share.

    Args:
        rules: The rules.
        keep: The new items that become aggregates, `[num_new]`; others are inlined.
        uses: How often each new item is read, `[num_new]`.
        write: The cost of an aggregate beside its reads.

    Returns:
        float64 of shape `[num_rows]`, in reads.
    """
    num_items = rules.num_items
    price = np.ones(num_items + keep.size)  # of one read
    for k in range(keep.size):
        total = 0.0
        for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
            total += price[rules.inputs[e]]
        price[num_items + k] = 1 + (total + write) / uses[k] if keep[k] else total
    out = np.zeros(rules.start.size)
    for v in range(out.size):
        for e in range(rules.start[v], rules.start[v] + rules.length[v]):
            out[v] += price[rules.row[e]]
    return out

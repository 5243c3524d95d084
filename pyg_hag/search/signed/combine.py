"""Rules of the parts of a signed search, brought into one numbering of the items."""

from typing import NamedTuple

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.rules import IndexedRules, Rules
from pyg_hag.utils.arrays import I32, I64, Bool


def add_items(rules: Rules, num_added: int) -> Rules:
    """The same rules with additional given items, which nothing reads."""
    inputs = np.where(rules.inputs >= rules.num_items, num_added, 0) + rules.inputs
    row = np.where(rules.row >= rules.num_items, num_added, 0) + rules.row
    return rules._replace(
        num_items=rules.num_items + num_added,
        inputs=inputs.astype(np.int32),
        row=row.astype(np.int32),
    )


def subtract_self(rules: Rules, is_closed: Bool, num_items: int) -> Rules:
    """The rules whose row v, where it is closed, subtracts item v.

    Args:
        rules: Rules in which item `num_items + x` subtracts item x.
        is_closed: The rows that contain their own item, `[num_rows]`.
        num_items: Number of items that are added.
    """
    start, length, row = _subtract_self(
        rules.start, rules.length, rules.row, is_closed, num_items
    )
    return rules._replace(start=start, length=length, row=row)


@jit
def _subtract_self(
    start: I64, length: I64, row: I32, is_closed: Bool, num_items: int
) -> tuple[I64, I64, I32]:
    """Removes item v from closed row v, or adds the one that subtracts it.

    Args:
        start: Row v is `row[start[v] : start[v] + length[v]]`, `[num_rows]`.
        length: Length of each row, `[num_rows]`.
        row: Items of the rows.
        is_closed: The rows that are changed, `[num_rows]`.
        num_items: Item `num_items + x` subtracts item x.

    Returns:
        The first three anew.
    """
    out_start = np.empty(start.size, np.int64)
    out_length = np.empty(start.size, np.int64)
    out = np.empty(length.sum() + start.size, np.int32)
    n = 0
    for v in range(start.size):
        out_start[v] = n
        removed = False
        for e in range(start[v], start[v] + length[v]):
            if is_closed[v] and row[e] == v:
                removed = True
            else:
                out[n] = row[e]
                n += 1
        if is_closed[v] and not removed:
            out[n] = num_items + v
            n += 1
        out_length[v] = n - out_start[v]
    return out_start, out_length, out[:n].copy()


# The rows of clusters as items ################################################


class _Numbers(NamedTuple):
    """The order of new items in which each comes after its inputs.

    Attributes:
        is_late: The new items that some mean goes into, `[num_new]`. The others come
            first, then the means, then these.
        number: The new number of each item, `[num_items + num_means + num_new]`.
        num_new: How many new items there are, means included.
        num_inputs: The number of their inputs.
    """

    is_late: Bool
    number: I32
    num_new: int
    num_inputs: int


def with_means(rules: Rules, num_means: int) -> Rules:
    """The rules in which the last given items are computed by the last rows.

    These rows must not read any of those items, neither directly nor through others.
    """
    counts, inputs, row = _with_means(rules.indexed(), num_means)
    num_rows = rules.start.size - num_means
    return Rules(
        num_items=rules.num_items - num_means,
        counts=counts,
        inputs=inputs,
        start=rules.start[:num_rows],
        length=rules.length[:num_rows],
        row=row,
    )


@jit
def _with_means(rules: IndexedRules, num_means: int) -> tuple[I32, I32, I32]:
    """Makes new items of the last rows.

    Returns:
        Number of inputs of each new item, the inputs, and the items of the rows.
    """
    numbers = _number_items(rules, num_means)
    counts = np.empty(numbers.num_new, np.int32)
    inputs = np.empty(numbers.num_inputs, np.int32)
    i, n = _write_items(rules, numbers, False, 0, 0, counts, inputs)
    for v in range(rules.start.size - num_means, rules.start.size):
        if rules.length[v] > 1:
            for e in range(rules.start[v], rules.start[v] + rules.length[v]):
                inputs[n] = numbers.number[rules.row[e]]
                n += 1
            counts[i] = rules.length[v]
            i += 1
    _write_items(rules, numbers, True, i, n, counts, inputs)
    return counts, inputs, numbers.number[rules.row]


@jit
def _number_items(rules: IndexedRules, num_means: int) -> _Numbers:
    """Numbers the new items in the order in which they are written."""
    num_items = rules.num_items - num_means
    num_new = rules.in_ptr.size - 1
    is_late = _find_late(rules, num_items)
    number = np.arange(rules.num_items + num_new).astype(np.int32)
    following = num_items
    for k in range(num_new):
        if not is_late[k]:
            number[rules.num_items + k] = following
            following += 1
    num_inputs = np.int64(rules.inputs.size)
    for c in range(num_means):
        v = rules.start.size - num_means + c
        if rules.length[v] == 1:
            number[num_items + c] = number[rules.row[rules.start[v]]]
        else:
            number[num_items + c] = following
            following += 1
            num_inputs += rules.length[v]
    for k in range(num_new):
        if is_late[k]:
            number[rules.num_items + k] = following
            following += 1
    return _Numbers(is_late, number, following - num_items, num_inputs)


@jit
def _find_late(rules: IndexedRules, first_mean: int) -> Bool:
    """The new items that a given item from `first_mean` on goes into, `[num_new]`."""
    is_late = np.zeros(rules.in_ptr.size - 1, np.bool_)
    for k in range(is_late.size):
        for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
            x = rules.inputs[e]
            if x >= rules.num_items:
                is_late[k] = is_late[k] or is_late[x - rules.num_items]
            else:
                is_late[k] = is_late[k] or x >= first_mean
    return is_late


@jit
def _write_items(
    rules: IndexedRules,
    numbers: _Numbers,
    late: bool,
    i: int,
    n: int,
    counts: I32,
    inputs: I32,
) -> tuple[int, int]:
    """Writes the new items that are late, or those that are not.

    They are written to `counts[i:]` and `inputs[n:]`.

    Returns:
        The ends of what is written.
    """
    for k in range(numbers.is_late.size):
        if numbers.is_late[k] == late:
            for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
                inputs[n] = numbers.number[rules.inputs[e]]
                n += 1
            counts[i] = rules.in_ptr[k + 1] - rules.in_ptr[k]
            i += 1
    return i, n

"""Rules of several searches brought into one numbering, and put together."""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._derived import pointers
from pyg_hag._jit import jit
from pyg_hag.search._rules import Rules

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def input_pointers(rules: Rules) -> I64:
    """Where the inputs of each new item start."""
    ptr: I64 = pointers(rules.counts)
    return ptr


def widened(rules: Rules, by: int) -> Rules:
    """The same rules with so many given items more, which nothing reads."""
    inputs = np.where(rules.inputs >= rules.num_items, by, 0) + rules.inputs
    row = np.where(rules.row >= rules.num_items, by, 0) + rules.row
    return rules._replace(
        num_items=rules.num_items + by,
        inputs=inputs.astype(np.int32),
        row=row.astype(np.int32),
    )


def without_self(rules: Rules, is_closed: Bool, num_items: int) -> Rules:
    """The rules whose row v, where it is closed, subtracts item v."""
    start, length, row = _without_self(
        rules.start, rules.length, rules.row, is_closed, num_items
    )
    return rules._replace(start=start, length=length, row=row)


@jit
def _without_self(
    start: I64, length: I64, row: I32, is_closed: Bool, num_items: int
) -> tuple[I64, I64, I32]:
    out_start = np.empty(start.size, np.int64)
    out_length = np.empty(start.size, np.int64)
    out = np.empty(length.sum() + start.size, np.int32)
    n = 0
    for v in range(start.size):
        out_start[v] = n
        dropped = False
        for e in range(start[v], start[v] + length[v]):
            if is_closed[v] and row[e] == v:
                dropped = True
            else:
                out[n] = row[e]
                n += 1
        if is_closed[v] and not dropped:
            out[n] = num_items + v
            n += 1
        out_length[v] = n - out_start[v]
    return out_start, out_length, out[:n].copy()


def with_means(rules: Rules, num_means: int) -> Rules:
    """The rules where the last given items are made from the last rows.

    Those rows must not read, directly or not, any of those items.
    """
    counts, inputs, row = _with_means(
        rules.num_items - num_means,
        num_means,
        input_pointers(rules),
        rules.inputs,
        rules.start,
        rules.length,
        rules.row,
    )
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
def _with_means(
    num_items: int,
    num_means: int,
    in_ptr: I64,
    inputs: I32,
    start: I64,
    length: I64,
    row: I32,
) -> tuple[I32, I32, I32]:
    num_new = in_ptr.size - 1
    first_new = num_items + num_means
    first_mean = start.size - num_means  # its row
    # New items that no mean goes into come first, then the means, then the others:
    late = np.zeros(num_new, np.bool_)
    num_early = 0
    for k in range(num_new):
        for e in range(in_ptr[k], in_ptr[k + 1]):
            x = inputs[e]
            if x >= first_new:
                late[k] = late[k] or late[x - first_new]
            else:
                late[k] = late[k] or x >= num_items
        num_early += not late[k]
    number = np.arange(first_new + num_new).astype(np.int32)
    early = num_items
    for k in range(num_new):
        if not late[k]:
            number[first_new + k] = early
            early += 1
    following = num_items + num_early
    total = np.int64(0)
    for c in range(num_means):
        v = first_mean + c
        if length[v] == 1:
            number[num_items + c] = number[row[start[v]]]
        else:
            number[num_items + c] = following
            following += 1
            total += length[v]
    for k in range(num_new):
        total += in_ptr[k + 1] - in_ptr[k]
        if late[k]:
            number[first_new + k] = following
            following += 1

    counts = np.empty(following - num_items, np.int32)
    out = np.empty(total, np.int32)
    i = 0
    n = 0
    for late_ones in range(2):
        for k in range(num_new):
            if late[k] == (late_ones == 1):
                for e in range(in_ptr[k], in_ptr[k + 1]):
                    out[n] = number[inputs[e]]
                    n += 1
                counts[i] = in_ptr[k + 1] - in_ptr[k]
                i += 1
        if late_ones == 0:
            for v in range(first_mean, start.size):
                if length[v] > 1:
                    for e in range(start[v], start[v] + length[v]):
                        out[n] = number[row[e]]
                        n += 1
                    counts[i] = length[v]
                    i += 1
    return counts, out, number[row]


def chosen(rules: Rules, others: Rules, rows: Bool, items: Bool) -> Rules:
    """The rules, but those of the others for some rows and what is made of some items.

    Both have the same given items. No row and no new item reads items of both kinds.
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
    """The rules without some rows and without what is made of some items.

    Their new items are numbered from `first` on, after the given ones.
    """
    counts, inputs, start, length, row = _dropped(
        rules.num_items,
        input_pointers(rules),
        rules.inputs,
        rules.start,
        rules.length,
        rules.row,
        rows,
        items,
        first,
    )
    return Rules(rules.num_items, counts, inputs, start, length, row)


@jit
def _dropped(
    num_items: int,
    in_ptr: I64,
    inputs: I32,
    start: I64,
    length: I64,
    row: I32,
    rows: Bool,
    items: Bool,
    first: int,
) -> tuple[I32, I32, I64, I64, I32]:
    num_new = in_ptr.size - 1
    label = new_labels(num_items, in_ptr, inputs, items)
    number = np.arange(num_items + num_new).astype(np.int32)
    counts = np.empty(num_new, np.int32)
    out_inputs = np.empty(inputs.size, np.int32)
    i = 0
    n = 0
    for k in range(num_new):
        if not label[k]:
            number[num_items + k] = num_items + first + i
            for e in range(in_ptr[k], in_ptr[k + 1]):
                out_inputs[n] = number[inputs[e]]
                n += 1
            counts[i] = in_ptr[k + 1] - in_ptr[k]
            i += 1
    out_start = np.zeros(start.size, np.int64)
    out_length = np.zeros(start.size, np.int64)
    total = np.int64(0)
    for v in range(start.size):
        total += 0 if rows[v] else length[v]
    out = np.empty(total, np.int32)
    m = 0
    for v in range(start.size):
        out_start[v] = m
        if not rows[v]:
            out_length[v] = length[v]
            for e in range(start[v], start[v] + length[v]):
                out[m] = number[row[e]]
                m += 1
    return counts[:i].copy(), out_inputs[:n].copy(), out_start, out_length, out


@jit
def new_labels(num_items: int, in_ptr: I64, inputs: I32, of_item: I32) -> I32:
    """The label of each new item: that of the given items it is made of."""
    out = np.empty(in_ptr.size - 1, of_item.dtype)
    for k in range(out.size):
        x = inputs[in_ptr[k]]
        out[k] = of_item[x] if x < num_items else out[x - num_items]
    return out


@jit
def shares(
    num_items: int,
    in_ptr: I64,
    inputs: I32,
    start: I64,
    length: I64,
    row: I32,
    keep: Bool,
    uses: I64,
) -> F64:
    """What each row costs: its reads, and its share of the aggregates below it.

    An aggregate costs its reads and one write, which its `uses` share. New items that
    are not kept are inlined.
    """
    price = np.ones(num_items + keep.size)  # of one read
    for k in range(keep.size):
        total = 0.0
        for e in range(in_ptr[k], in_ptr[k + 1]):
            total += price[inputs[e]]
        price[num_items + k] = 1 + (total + 1) / uses[k] if keep[k] else total
    out = np.zeros(start.size)
    for v in range(start.size):
        for e in range(start[v], start[v] + length[v]):
            out[v] += price[row[e]]
    return out

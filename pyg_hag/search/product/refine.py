"""A HAG searched as if it were a graph: its rows may share inputs again."""

from collections.abc import Callable

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.hag.arrays import Flat
from pyg_hag.hag.structure import row_targets
from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.rules import IndexedRules, Rules
from pyg_hag.search.pairs.copies import separate_copies
from pyg_hag.utils.arrays import I32, I64, pointers

Search = Callable[[I64, I32, int], Rules]


def to_rows(hag: HAG) -> tuple[I64, I32]:
    """The rows of a HAG that does not subtract, of its sources and then its aggregates.

    Returns:
        Pointers `[num_rows + 1]` and inputs, ascending; aggregate k is
        `num_src + k`.
    """
    flat = hag.host.flat
    ptr = pointers(flat.src_count + flat.agg_count)
    row: I32 = _joined(flat, ptr, hag.num_src)
    return ptr, row


@jit
def _joined(flat: Flat, ptr: I64, num_src: int) -> I32:
    out = np.empty(ptr[-1], np.int32)
    s, a = 0, 0
    for r in range(flat.src_count.size):
        n = ptr[r]
        for _ in range(flat.src_count[r]):
            out[n] = flat.src[s]
            n += 1
            s += 1
        for _ in range(flat.agg_count[r]):
            out[n] = num_src + flat.agg[a]
            n += 1
            a += 1
    return out


def refine(hag: HAG, ptr: I64, row: I32, search: Search) -> Rules:
    """The rules of a HAG whose rows were searched.

    Args:
        hag: The HAG.
        ptr: As :func:`to_rows` returns them.
        row: Likewise.
        search: Searches rows.
    """
    num_src, num_aggs = hag.num_src, hag.num_aggregates
    row, origin = separate_copies(ptr, row, num_src + num_aggs)
    rules = search(ptr, row, origin.size).indexed()
    flat = hag.host.flat
    target = row_targets(flat.group_aggs, flat.group_dsts, flat.dst)
    item_of, order = _in_order(rules, origin, num_src, num_aggs)
    of_agg = np.empty(num_aggs, np.int64)
    of_agg[-1 - target[target < 0]] = (target < 0).nonzero()[0]
    of_dst = np.empty(hag.num_dst, np.int64)
    of_dst[target[target >= 0]] = (target >= 0).nonzero()[0]
    counts, inputs = _renumbered(rules, item_of, order, of_agg)
    rows = item_of[rules.row]
    return Rules(
        num_src, counts, inputs, rules.start[of_dst], rules.length[of_dst], rows
    )


@jit
def _in_order(
    rules: IndexedRules, origin: I32, num_src: int, num_aggs: int
) -> tuple[I32, I64]:
    """Puts the new items among the aggregates, each after what it is made of.

    Returns:
        The number that each given and each new item gets; and in the order of these
        numbers, the aggregates k and the new items, as `-1 - j`.
    """
    num_new = rules.in_ptr.size - 1
    after = np.full(num_new, -1, np.int64)  # the last aggregate that each is made of
    first = np.zeros(num_aggs + 2, np.int64)  # where what is after each one starts
    for j in range(num_new):
        for e in range(rules.in_ptr[j], rules.in_ptr[j + 1]):
            x = rules.inputs[e]
            if x >= rules.num_items:
                after[j] = max(after[j], after[x - rules.num_items])
            else:
                after[j] = max(after[j], origin[x] - num_src)
        first[after[j] + 2] += 1
    for k in range(num_aggs):
        first[k + 1] += first[k]
        first[k + 2] += 1  # the aggregate itself
    item_of = np.empty(origin.size + num_new, np.int32)
    order = np.empty(num_aggs + num_new, np.int64)
    place = first[1:].copy()
    for k in range(num_aggs):
        order[place[k]] = k
        first[k + 1] += 1
    for x in range(origin.size):
        u = origin[x]
        item_of[x] = u if u < num_src else num_src + place[u - num_src]
    for j in range(num_new):
        at = first[after[j] + 1]
        first[after[j] + 1] += 1
        order[at] = -1 - j
        item_of[origin.size + j] = num_src + at
    return item_of, order


@jit
def _renumbered(
    rules: IndexedRules, item_of: I32, order: I64, of_agg: I64
) -> tuple[I32, I32]:
    """The counts and inputs of aggregates and new items in their order."""
    counts = np.empty(order.size, np.int32)
    total = rules.inputs.size
    for k in range(of_agg.size):
        total += rules.length[of_agg[k]]
    inputs = np.empty(total, np.int32)
    n = 0
    for i in range(order.size):
        begin = n
        if order[i] < 0:
            j = -1 - order[i]
            for e in range(rules.in_ptr[j], rules.in_ptr[j + 1]):
                inputs[n] = item_of[rules.inputs[e]]
                n += 1
        else:
            r = of_agg[order[i]]
            for e in range(rules.start[r], rules.start[r] + rules.length[r]):
                inputs[n] = item_of[rules.row[e]]
                n += 1
        counts[i] = n - begin
    return counts, inputs

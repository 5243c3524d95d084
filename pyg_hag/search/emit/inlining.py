"""Inlining: an item that is not kept is replaced by its inputs wherever it is read."""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.rules import IndexedRules
from pyg_hag.utils.arrays import I64, Bool


@jit
def inline_unshared(rules: IndexedRules, keep: Bool) -> I64:
    """Drops from `keep` (`[num_new]`) the items that are read less than twice.

    Returns:
        How often each new item is read, `[num_new]`, or would be if it were kept.
    """
    num_items = rules.num_items
    num_new = keep.size
    uses = np.zeros(num_items + num_new, np.int64)
    for v in range(rules.start.size):
        for e in range(rules.start[v], rules.start[v] + rules.length[v]):
            uses[rules.row[e]] += 1
    for i in range(num_new):
        k = num_new - 1 - i
        readers = uses[num_items + k]
        keep[k] = keep[k] and readers > 1
        if keep[k]:
            readers = 1
        for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
            uses[rules.inputs[e]] += readers
    return uses[num_items:].copy()


@jit
def count_inputs(rules: IndexedRules, keep: Bool) -> I64:
    """How many inputs each new item has once those not in `keep` are inlined.

    Returns:
        int64 of shape `[num_new]`; for items not in `keep`, the number that they
        would have.
    """
    width = np.zeros(keep.size, np.int64)
    for k in range(keep.size):
        for e in range(rules.in_ptr[k], rules.in_ptr[k + 1]):
            x = rules.inputs[e] - rules.num_items
            width[k] += 1 if x < 0 or keep[x] else width[x]
    return width

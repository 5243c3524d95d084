"""Products in which several paths count as often, or once: every node is a sum."""

from collections.abc import Sequence

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.product.composition import Composition
from pyg_hag.search.product.factors import Factor
from pyg_hag.search.twins.find import label_equal
from pyg_hag.utils.arrays import I32, I64


def chain(factors: Sequence[Factor], distinct: bool) -> Rules:
    """The rules of a product in which each path of the factors is one path.

    Each node between is the sum of those that it reads. Nodes that read the same ones
    are one.

    Args:
        factors: The factors, in the order of the paths.
        distinct: Whether a row needs no item twice, as for a maximum.
    """
    rules = Composition(factors[0].num_src)
    item_of = np.arange(factors[0].num_src, dtype=np.int32)
    for factor in factors[:-1]:
        ptr, items = _items(factor.ptr, factor.idx, item_of, distinct)
        leader = label_equal(ptr, items, rules.next_id)
        full = np.diff(ptr) > 0
        first = (full & (leader == np.arange(leader.size))).nonzero()[0]
        item_of = np.full(leader.size, -1, np.int32)
        item_of[first] = rules.sums(ptr, items, first)
        item_of[full] = item_of[leader[full]]
    ptr, items = _items(factors[-1].ptr, factors[-1].idx, item_of, distinct)
    leader = label_equal(ptr, items, rules.next_id)
    row_of = np.where(np.diff(ptr) > 0, leader, -1).astype(np.int32)
    return rules.rules(*rules.repeated(ptr[:-1], np.diff(ptr), items, row_of))


@jit
def _items(ptr: I64, idx: I32, item_of: I32, distinct: bool) -> tuple[I64, I32]:
    """The items of the nodes in rows, ascending, without those of no item (-1)."""
    out_ptr = np.zeros(ptr.size, np.int64)
    out = np.empty(idx.size, np.int32)
    n = 0
    for v in range(ptr.size - 1):
        begin = n
        for e in range(ptr[v], ptr[v + 1]):
            if item_of[idx[e]] >= 0:
                out[n] = item_of[idx[e]]
                n += 1
        out[begin:n].sort()
        if distinct:
            end, n = n, begin
            for e in range(begin, end):
                if e == begin or out[e] != out[e - 1]:
                    out[n] = out[e]
                    n += 1
        out_ptr[v + 1] = n
    return out_ptr, out[:n].copy()

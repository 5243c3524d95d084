"""Products in which several paths count as often, or once: every node is a sum."""

from collections.abc import Sequence

import numpy as np

from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.product.composition import Composition
from pyg_hag.search.product.factors import Factor, distinct_rows, renumbered
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
        ptr, items = _items(factor, item_of, distinct)
        leader = label_equal(ptr, items, rules.next_id)
        full = np.diff(ptr) > 0
        first = (full & (leader == np.arange(leader.size))).nonzero()[0]
        item_of = np.full(leader.size, -1, np.int32)
        item_of[first] = rules.sums(ptr, items, first)
        item_of[full] = item_of[leader[full]]
    ptr, items = _items(factors[-1], item_of, distinct)
    leader = label_equal(ptr, items, rules.next_id)
    row_of = np.where(np.diff(ptr) > 0, leader, -1).astype(np.int32)
    return rules.rules(*rules.repeated(ptr[:-1], np.diff(ptr), items, row_of))


def _items(factor: Factor, item_of: I32, distinct: bool) -> tuple[I64, I32]:
    """The items of the nodes in rows, ascending, without those of no item (-1)."""
    ptr, items = renumbered(factor.ptr, factor.idx, item_of)
    if distinct:
        ptr, items = distinct_rows(ptr, items)
    return ptr, items

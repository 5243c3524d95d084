"""Chooses which of the new items become aggregates, and writes the HAG."""

from typing import NamedTuple

import numpy as np

from pyg_hag.cost import CostModel
from pyg_hag.plan.cpu import reach
from pyg_hag.search.emit.cancel import cancel
from pyg_hag.search.emit.inlining import count_inputs, inline_unshared
from pyg_hag.search.emit.layout import Groups, find_groups, write
from pyg_hag.search.emit.rules import Rules
from pyg_hag.utils.arrays import F64, I32, I64, Bool

_SMALL_STEP = 32  # items that are inlined at once although others may gain by it


class Prices(NamedTuple):
    """What an aggregate costs, for the objective of least time.

    Attributes:
        model: Prices of rows and reads.
        num_features: Features per node.
        share: Fraction of a row's price that an aggregate must save.
    """

    model: CostModel
    num_features: int
    share: float


def assemble(
    rules: Rules,
    origin: I32,
    keep: Bool,
    capacity: int | None,
    prices: Prices | None,
) -> tuple[I64, ...]:
    """The flat arrays of the HAG.

    Args:
        rules: What the search has found.
        origin: The source that each given item stands for, `[num_items]`; `-1 - u`
            subtracts source u.
        keep: The new items that may become aggregates, `[num_new]`; changed in
            place. All others are inlined, and so are those read less than twice.
        capacity: Largest number of aggregates.
        prices: Keep only what saves time; None keeps all that saves aggregations.
    """
    graph = rules.indexed()
    groups = find_groups(graph)
    uses = inline_unshared(graph, keep)
    read, row = np.ones(keep.size), np.zeros(keep.size)
    if prices is not None:
        read, row = _read_and_row_prices(rules, origin, groups, prices)
    while True:
        excess = 0 if capacity is None else int(keep.sum()) - capacity
        if prices is None and excess <= 0:
            break
        # What the readers would read without the item, less what it reads itself:
        width = count_inputs(graph, keep)
        gain = read * (uses * width - uses - width) - row
        inlined = _worst(gain, keep, excess)
        if inlined.size == 0:
            break
        keep[inlined] = False
        uses = inline_unshared(graph, keep)
    flat = write(graph, keep, origin, groups)
    if origin.min(initial=0) >= 0:
        return flat
    src, agg, src_count, *rest = flat
    src, src_count, minus = cancel(src, src_count)
    return src, agg, src_count, *rest, minus, np.zeros_like(minus)


def _read_and_row_prices(
    rules: Rules, origin: I32, groups: Groups, prices: Prices
) -> tuple[F64, F64]:
    """What a read costs, and what an aggregate must save, for each new item."""
    given = groups.of_item[: rules.num_items][origin >= 0]
    sources = np.bincount(given[given >= 0], minlength=max(1, groups.num_groups))
    near = reach(np.where(rules.row < rules.num_items, rules.row, -1))
    sources = np.minimum(sources, near)
    read, row = prices.model.prices(sources, prices.num_features)
    of_new = groups.of_item[rules.num_items :]
    return read[of_new], prices.share * row[of_new]


def _worst(gain: F64, keep: Bool, excess: int) -> I64:
    """The items to inline next: only the worst, as others gain once they are gone."""
    losers = (keep & (gain < 0)).nonzero()[0]
    if losers.size > 0:
        count = losers.size if losers.size <= _SMALL_STEP else losers.size // 2
    elif excess > 0:
        losers = keep.nonzero()[0]
        count = (excess + 1) // 2
    else:
        count = 0
    return losers[np.argsort(gain[losers], kind="stable")[:count]]

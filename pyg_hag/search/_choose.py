"""Which of the items that a search has made become aggregates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag._derived import pointers
from pyg_hag._plan import reach
from pyg_hag.cost import CostModel
from pyg_hag.search import _layout
from pyg_hag.search._cancel import cancel
from pyg_hag.search._rules import Rules

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_FEW = 32  # items that are inlined at once, without looking at each other


class Prices(NamedTuple):
    """What an aggregate costs, for the objective of least time.

    Attributes:
        model: Prices of rows and reads.
        num_features: Features per node.
        share: Of a row's price that an aggregate must earn.
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
        origin: The source that each given item stands for; -1 - u subtracts u.
        keep: The new items that may become aggregates; changed in place. Others,
            and those that are read less than twice, are inlined.
        capacity: Largest number of aggregates.
        prices: Keep only what saves time; None keeps all that saves aggregations.
    """
    graph = (
        rules.num_items,
        pointers(rules.counts),
        rules.inputs,
        rules.start,
        rules.length,
        rules.row,
    )
    num_groups, group, label = _layout.find_groups(*graph)
    _layout.inline_unshared(*graph, keep)
    read: F64 | float = 1.0
    row: F64 | float = 0.0
    share = 1.0
    if prices is not None:
        given = label[: rules.num_items][origin >= 0]
        sources = np.bincount(given[given >= 0], minlength=num_groups)
        near = reach(np.where(rules.row < rules.num_items, rules.row, -1))
        sources = np.minimum(sources, near)
        groups = label[rules.num_items :]
        read, row = (
            price[groups] if num_groups else price
            for price in prices.model.prices(sources, prices.num_features)
        )
        share = prices.share
    while True:
        excess = 0 if capacity is None else int(keep.sum()) - capacity
        if prices is None and excess <= 0:
            break
        uses, width = _layout.measure(*graph, keep)
        # Inputs that others read when the aggregate is gone, less those it reads:
        gain = read * (uses * width - uses - width) - share * row
        losers = (keep & (gain < 0)).nonzero()[0]
        if losers.size > 0:
            count = losers.size if losers.size <= _FEW else losers.size // 2
        elif excess > 0:
            losers = keep.nonzero()[0]
            count = (excess + 1) // 2
        else:
            break
        # Only the worst at a time: when they are gone, others gain.
        keep[losers[np.argsort(gain[losers], kind="stable")[:count]]] = False
    flat = _layout.write(*graph, keep, origin, num_groups, group, label)
    if origin.min(initial=0) >= 0:
        return flat
    src, agg, src_count, *rest = flat
    src, src_count, minus = cancel(src, src_count)
    return src, agg, src_count, *rest, minus, np.zeros_like(minus)

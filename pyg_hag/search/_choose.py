"""Which of the items that a search has made become aggregates."""

import numpy as np
from numpy.typing import NDArray

from pyg_hag.hag import pointers
from pyg_hag.search import _layout
from pyg_hag.search._rules import Rules

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def choose(rules: Rules, capacity: int | None) -> Bool:
    """The items to keep: those that are read more than once, the best of them."""
    keep = np.ones(rules.counts.size, np.bool_)
    graph = _flat(rules)
    _layout.inline_unshared(*graph, keep)
    while capacity is not None and (excess := int(keep.sum()) - capacity) > 0:
        uses, width = _layout.measure(*graph, keep)
        # Inputs that others read when the aggregate is gone, less those it reads:
        gain = uses * width - uses - width
        worst = np.argsort(np.where(keep, gain, np.iinfo(np.int64).max), kind="stable")
        keep[worst[: (excess + 1) // 2]] = False
    return keep


def layout(rules: Rules, keep: Bool, origin: I32) -> tuple[I64, ...]:
    """The flat arrays of the HAG with the items to keep as aggregates."""
    graph = _flat(rules)
    _layout.inline_unshared(*graph, keep)
    return _layout.write(*graph, keep, origin)


def _flat(rules: Rules) -> tuple[int, I64, I32, I64, I64, I32]:
    return (
        rules.num_items,
        pointers(rules.counts),
        rules.inputs,
        rules.start,
        rules.length,
        rules.row,
    )

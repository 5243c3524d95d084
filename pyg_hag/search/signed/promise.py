"""Whether closed neighbourhoods, or similar rows, are worth a search of their own.

Each takes as long as the search without subtraction, and on most graphs finds nothing.
"""

from collections.abc import Callable

import numpy as np

from pyg_hag.runtime.hashing import splitmix64
from pyg_hag.runtime.jit import jit
from pyg_hag.search.emit.choose import costs_of
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.signed.similar_rows import Clusters
from pyg_hag.utils.arrays import F64, I32, I64, Bool

_MIN_EDGES = 1 << 14  # smaller graphs are searched in a moment
_SHARE = 1 / 32  # of the edges that are in a sample,
_FEWEST = 1 << 13  # which has so many at least
_WINDOWS = 4
_MIN_GAIN = 0.001  # of what rows cost: less is not worth a search,
_MIN_GAIN_CLOSED = 0.1  # nor is this where closed rows are similar already
_PRICE = 0.5  # reads per item of a cluster's mean, which other rows share

Pair = tuple[Rules, Rules]


def may_pay_closed(
    row_ptr: I64,
    row: I32,
    num_items: int,
    of_row: I32,
    search: Callable[[I64, I32], Pair],
    write: int,
) -> bool:
    """Whether closed neighbourhoods cost less in a sample of the graph.

    Items that are in similar rows are put side by side by the smallest hash of their
    rows; the sample consists of a few windows of them, in all of their rows.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending.
        num_items: Number of items.
        of_row: The component of each row, `[num_rows]`, -1 for none.
        search: Finds the rules of such rows, and of their closed neighbourhoods.
        write: The cost of an aggregate beside its reads.
    """
    if row.size < _MIN_EDGES:
        return True
    least, degree = _least_hashes(row_ptr, row, num_items)
    keep = _sampled(np.argsort(least, kind="stable"), degree, row.size)
    plain, closed = search(*restricted(row_ptr, row, keep))
    costs = costs_of(plain, write)
    used = of_row >= 0
    gains = np.bincount(of_row[used], (costs - costs_of(closed, write))[used])
    return bool(gains[gains > 0].sum() > _MIN_GAIN * costs.sum())


def may_pay_similar(clusters: Clusters, costs: F64, num_edges: int, has: bool) -> bool:
    """Whether clusters of rows save enough for a search.

    Args:
        clusters: The clusters.
        costs: What each row costs otherwise, in reads, `[num_rows]`.
        num_edges: Number of edges of the graph.
        has: Whether closed neighbourhoods were taken somewhere.
    """
    if clusters.row_ptr.size == 1:
        return False
    if num_edges < _MIN_EDGES:
        return True
    member = clusters.label >= 0
    saved = (costs[member] - clusters.difference[member] - 1).sum()
    gain = saved - _PRICE * clusters.row_ptr[-1]
    return bool(gain > (_MIN_GAIN_CLOSED if has else _MIN_GAIN) * costs.sum())


@jit
def _least_hashes(row_ptr: I64, row: I32, num_items: int) -> tuple[I64, I64]:
    """The smallest hash of the rows of each item, and their number."""
    least = np.full(num_items, np.int64(0x7FFFFFFFFFFFFFFF))
    degree = np.zeros(num_items, np.int64)
    for v in range(row_ptr.size - 1):
        h = np.int64(splitmix64(v + 1) >> np.uint64(1))
        for e in range(row_ptr[v], row_ptr[v + 1]):
            least[row[e]] = min(least[row[e]], h)
            degree[row[e]] += 1
    return least, degree


def _sampled(order: I64, degree: I64, num_edges: int) -> Bool:
    """The items of a few windows of an order, `[num_items]`."""
    wanted = max(_SHARE * num_edges, _FEWEST) / _WINDOWS
    before = np.cumsum(degree[order]) - degree[order]
    window = before * _WINDOWS // num_edges
    keep = np.zeros(order.size, np.bool_)
    keep[order] = before - window * (num_edges / _WINDOWS) < wanted
    return keep


@jit
def restricted(row_ptr: I64, row: I32, keep: Bool) -> tuple[I64, I32]:
    """The rows without the items that are not kept."""
    out_ptr = np.zeros(row_ptr.size, np.int64)
    n = 0
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v], row_ptr[v + 1]):
            n += keep[row[e]]
        out_ptr[v + 1] = n
    out = np.empty(n, np.int32)
    n = 0
    for x in row:
        if keep[x]:
            out[n] = x
            n += 1
    return out_ptr, out
